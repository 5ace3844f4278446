//! Every metric of the gateway. The only file that knows the metrics library, but for the admin listener's encoder.
//!
//! Label values are bounded: listeners, protocols, realms and outcomes come from the configuration or from enums.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::{CallError, CloseReason, LimitKind, RefuseReason};

/// Seconds; from a builtin answered in place to a slow backend.
const CALL_BUCKETS: &[f64] = &[
    0.000_01, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

const CALL_OUTCOMES: [&str; 8] = [
    "ok",
    "unknown_action",
    "missing_param",
    "rejected",
    "too_many_pending",
    "shutting_down",
    "deadline",
    "internal",
];

/// The registry and the families that are not bound to one listener.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sessions: IntGaugeVec,
    opened: IntCounterVec,
    closed: IntCounterVec,
    refused: IntCounterVec,
    calls: IntCounterVec,
    call_duration: HistogramVec,
    published: IntCounterVec,
    delivered: IntCounterVec,
    encodes: IntCounterVec,
    received_bytes: IntCounterVec,
    sent_bytes: IntCounterVec,
    received_messages: IntCounterVec,
    invalid_messages: IntCounterVec,
    limit_hits: IntCounterVec,
    rooms: IntGaugeVec,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All families, registered.
    ///
    /// # Panics
    /// Never: the names are constant and distinct.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let per_listener = &["listener", "protocol"];
        let counter = |name, help, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)
                .expect("metric names are constant and valid");
            registry
                .register(Box::new(family.clone()))
                .expect("metric names are distinct");
            family
        };
        let gauge = |name, help, labels: &[&str]| {
            let family = IntGaugeVec::new(Opts::new(name, help), labels)
                .expect("metric names are constant and valid");
            registry
                .register(Box::new(family.clone()))
                .expect("metric names are distinct");
            family
        };
        let call_duration = HistogramVec::new(
            HistogramOpts::new(
                "polyport_call_duration_seconds",
                "Time from a call's arrival to its answer.",
            )
            .buckets(CALL_BUCKETS.to_vec()),
            per_listener,
        )
        .expect("metric names are constant and valid");
        registry
            .register(Box::new(call_duration.clone()))
            .expect("metric names are distinct");
        Self {
            sessions: gauge("polyport_sessions", "Sessions open now.", per_listener),
            opened: counter(
                "polyport_sessions_opened_total",
                "Sessions opened.",
                per_listener,
            ),
            closed: counter(
                "polyport_sessions_closed_total",
                "Sessions closed, by reason.",
                &["listener", "protocol", "reason"],
            ),
            refused: counter(
                "polyport_connections_refused_total",
                "Connections that never became a session, by reason.",
                &["listener", "protocol", "reason"],
            ),
            calls: counter(
                "polyport_calls_total",
                "Calls answered, by outcome.",
                &["listener", "protocol", "outcome"],
            ),
            call_duration,
            published: counter(
                "polyport_events_published_total",
                "Events that sessions of the listener published.",
                per_listener,
            ),
            delivered: counter(
                "polyport_events_delivered_total",
                "Frames of events queued to sessions, by the receivers' protocol.",
                &["protocol"],
            ),
            encodes: counter(
                "polyport_encodes_total",
                "Events written as frames; one per event and dialect, whatever the number of receivers.",
                &["protocol"],
            ),
            received_bytes: counter(
                "polyport_received_bytes_total",
                "Bytes read from clients, without TLS.",
                per_listener,
            ),
            sent_bytes: counter(
                "polyport_sent_bytes_total",
                "Bytes written to clients, without TLS.",
                per_listener,
            ),
            received_messages: counter(
                "polyport_received_messages_total",
                "Messages (lines, WebSocket messages) read from clients.",
                per_listener,
            ),
            invalid_messages: counter(
                "polyport_invalid_messages_total",
                "Messages that broke the protocol's rules.",
                per_listener,
            ),
            limit_hits: counter(
                "polyport_limit_hits_total",
                "Times a session ran into a limit, by limit.",
                &["listener", "protocol", "limit"],
            ),
            rooms: gauge("polyport_rooms", "Rooms that exist now.", &["realm"]),
            registry,
        }
    }

    /// The registry, for encoding and for further collectors.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn rooms(&self, realm: &str) -> IntGauge {
        self.rooms.with_label_values(&[realm])
    }

    pub(crate) fn encodes(&self, protocol: &str) -> IntCounter {
        self.encodes.with_label_values(&[protocol])
    }

    pub(crate) fn delivered(&self, protocol: &str) -> IntCounter {
        self.delivered.with_label_values(&[protocol])
    }

    /// Resolves the children of one listener, so that counting is one atomic addition, and every series exists from the
    /// start with the value 0.
    pub(crate) fn listener(&self, name: &str, protocol: &str) -> ListenerMetrics {
        let labels = [name, protocol];
        let with = |family: &IntCounterVec, value: &str| {
            family.with_label_values(&[name, protocol, value])
        };
        self.delivered(protocol);
        self.encodes(protocol);
        ListenerMetrics {
            sessions: self.sessions.with_label_values(&labels),
            opened: self.opened.with_label_values(&labels),
            closed: CloseReason::ALL.map(|reason| with(&self.closed, reason.label())),
            refused: RefuseReason::ALL.map(|reason| with(&self.refused, reason.label())),
            calls: CALL_OUTCOMES.map(|outcome| with(&self.calls, outcome)),
            call_duration: self.call_duration.with_label_values(&labels),
            published: self.published.with_label_values(&labels),
            received_bytes: self.received_bytes.with_label_values(&labels),
            sent_bytes: self.sent_bytes.with_label_values(&labels),
            received_messages: self.received_messages.with_label_values(&labels),
            invalid_messages: self.invalid_messages.with_label_values(&labels),
            limit_hits: LimitKind::ALL.map(|kind| with(&self.limit_hits, kind.label())),
        }
    }
}

/// One listener's counters.
#[derive(Debug)]
pub struct ListenerMetrics {
    pub(crate) sessions: IntGauge,
    pub(crate) opened: IntCounter,
    closed: [IntCounter; CloseReason::ALL.len()],
    refused: [IntCounter; RefuseReason::ALL.len()],
    calls: [IntCounter; CALL_OUTCOMES.len()],
    pub(crate) call_duration: Histogram,
    pub(crate) published: IntCounter,
    /// Bytes read from clients.
    pub received_bytes: IntCounter,
    /// Bytes written to clients.
    pub sent_bytes: IntCounter,
    /// Messages read from clients.
    pub received_messages: IntCounter,
    /// Messages that broke the protocol's rules.
    pub invalid_messages: IntCounter,
    limit_hits: [IntCounter; LimitKind::ALL.len()],
}

impl ListenerMetrics {
    pub(crate) fn closed(&self, reason: CloseReason) -> &IntCounter {
        &self.closed[position(&CloseReason::ALL, &reason)]
    }

    pub(crate) fn refused(&self, reason: RefuseReason) -> &IntCounter {
        &self.refused[position(&RefuseReason::ALL, &reason)]
    }

    pub(crate) fn limit_hit(&self, kind: LimitKind) -> &IntCounter {
        &self.limit_hits[position(&LimitKind::ALL, &kind)]
    }

    pub(crate) fn call(&self, error: Option<&CallError>) -> &IntCounter {
        let label = error.map_or("ok", CallError::label);
        &self.calls[position(&CALL_OUTCOMES, &label)]
    }
}

fn position<T: PartialEq>(all: &[T], wanted: &T) -> usize {
    all.iter()
        .position(|item| item == wanted)
        .expect("the list holds every value")
}
