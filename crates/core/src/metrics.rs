//! Every metric of the gateway. The only module that knows the metrics library, but for the admin listener's encoder.
//!
//! Label values are bounded: listeners, protocols, realms and outcomes come from the configuration or from enums.

mod backend;
mod backplane;
mod figures;

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

pub use self::{
    backend::{BackendMetrics, BackendOutcome, BackendRequest, RestartCause},
    backplane::{Arrival, BackplaneMetrics},
    figures::{
        BackendFigures, BackplaneFigures, Counts, Durations, ListenerFigures, ProtocolFigures,
    },
};
use crate::{CallError, CloseReason, LimitKind, RefuseReason, TokenError};

/// Seconds; from a builtin answered in place to a slow backend.
const CALL_BUCKETS: &[f64] = &[
    0.000_01, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

const CALL_OUTCOMES: [&str; 13] = [
    "ok",
    "unknown_action",
    "missing_param",
    "rejected",
    "too_many_pending",
    "shutting_down",
    "deadline",
    "forbidden",
    "unavailable",
    "overloaded",
    "bad_answer",
    "over_limit",
    "internal",
];

const TOKEN_OUTCOMES: [&str; 5] = ["ok", "missing", "invalid", "expired", "unavailable"];

/// The registry and the families that are not bound to one listener.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    certificates: IntGaugeVec,
    sessions: IntGaugeVec,
    parked: IntGaugeVec,
    recoveries: IntCounterVec,
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
    tokens: IntCounterVec,
    rooms: IntGaugeVec,
    backend_requests: IntCounterVec,
    backend_duration: HistogramVec,
    backend_in_flight: IntGaugeVec,
    backend_waiting: IntGaugeVec,
    backend_available: IntGaugeVec,
    backend_restarts: IntCounterVec,
    script_counters: IntCounterVec,
    api_requests: IntCounterVec,
    api_duration: HistogramVec,
    backplane_up: IntGaugeVec,
    backplane_links: IntCounterVec,
    backplane_subscriptions: IntGaugeVec,
    backplane_published: IntCounterVec,
    backplane_received: IntCounterVec,
    backplane_answers: IntCounterVec,
    backplane_records: IntCounterVec,
    backplane_gaps: IntCounterVec,
    taps: IntGaugeVec,
    tap_records: IntCounterVec,
    trace_spans: IntCounterVec,
    log_suppressed: IntCounterVec,
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
        let histogram = |name, help, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(CALL_BUCKETS.to_vec());
            let family =
                HistogramVec::new(options, labels).expect("metric names are constant and valid");
            registry
                .register(Box::new(family.clone()))
                .expect("metric names are distinct");
            family
        };
        Self {
            backplane_up: gauge(
                "polyport_backplane_up",
                "Whether other nodes are reached.",
                &[],
            ),
            backplane_links: counter(
                "polyport_backplane_links_total",
                "Times that the backplane was connected.",
                &[],
            ),
            backplane_subscriptions: gauge(
                "polyport_backplane_subscriptions",
                "Channels and patterns that this node listens to.",
                &[],
            ),
            backplane_published: counter(
                "polyport_backplane_published_total",
                "Messages for other nodes, by whether they were sent.",
                &["outcome"],
            ),
            backplane_received: counter(
                "polyport_backplane_received_total",
                "Messages that have arrived from other nodes, servers and emitters, by what became of them.",
                &["outcome"],
            ),
            backplane_answers: counter(
                "polyport_backplane_answers_total",
                "Questions of other servers that were answered, by whether the answer is about very many sessions.",
                &["size"],
            ),
            backplane_records: counter(
                "polyport_backplane_records_total",
                "Pipelines of records about this node's sessions, by whether they were written.",
                &["outcome"],
            ),
            backplane_gaps: counter(
                "polyport_backplane_gaps_total",
                "Times that a stream had lost something before this node had read it.",
                &[],
            ),
            certificates: gauge(
                "polyport_certificate_expiry_timestamp_seconds",
                "When the certificate that is served ends, in seconds since 1970.",
                &["listener"],
            ),
            trace_spans: counter(
                "polyport_trace_spans_total",
                "Steps of traces that have ended, by what became of them.",
                &["outcome"],
            ),
            log_suppressed: counter(
                "polyport_log_records_suppressed_total",
                "Warnings and errors that were not logged because they had been logged often enough.",
                &[],
            ),
            sessions: gauge("polyport_sessions", "Sessions open now.", per_listener),
            parked: gauge(
                "polyport_sessions_parked",
                "Sessions whose connection is lost and whose client may come back.",
                per_listener,
            ),
            recoveries: counter(
                "polyport_recoveries_total",
                "Clients that came back for a session they had, by what became of it.",
                &["listener", "protocol", "result"],
            ),
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
            call_duration: histogram(
                "polyport_call_duration_seconds",
                "Time from a call's arrival to its answer.",
                per_listener,
            ),
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
            tokens: counter(
                "polyport_tokens_total",
                "Tokens that clients brought, or should have, by what became of them.",
                &["listener", "protocol", "outcome"],
            ),
            rooms: gauge("polyport_rooms", "Rooms that exist now.", &["realm"]),
            backend_requests: counter(
                "polyport_backend_requests_total",
                "Calls and session hooks that a backend was asked for, by outcome.",
                &["backend", "request", "outcome"],
            ),
            backend_duration: histogram(
                "polyport_backend_duration_seconds",
                "Time from the moment a backend was asked to its answer, waiting included.",
                &["backend"],
            ),
            backend_in_flight: gauge(
                "polyport_backend_in_flight",
                "Requests that a backend works on now.",
                &["backend"],
            ),
            backend_waiting: gauge(
                "polyport_backend_waiting",
                "Requests that wait for their turn with a backend.",
                &["backend"],
            ),
            backend_available: gauge(
                "polyport_backend_available",
                "Whether a backend is asked at all: 0 while its circuit breaker is open.",
                &["backend"],
            ),
            backend_restarts: counter(
                "polyport_backend_restarts_total",
                "Times a script's engine was replaced by a fresh one, by cause.",
                &["backend", "cause"],
            ),
            script_counters: counter(
                "polyport_script_counter_total",
                "What scripts count, by the name they give it.",
                &["backend", "counter"],
            ),
            api_requests: counter(
                "polyport_api_requests_total",
                "Requests to the server API, by outcome.",
                &["verb", "outcome"],
            ),
            api_duration: histogram(
                "polyport_api_duration_seconds",
                "Time from the head of a request to the server API to its answer.",
                &["verb"],
            ),
            taps: gauge("polyport_taps", "Taps open now.", &[]),
            tap_records: counter(
                "polyport_tap_records_total",
                "Records of taps, by whether they were taken by their readers or dropped.",
                &["outcome"],
            ),
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

    pub(crate) fn forget_rooms(&self, realm: &str) {
        // It is not there if no room was ever counted.
        let _ = self.rooms.remove_label_values(&[realm]);
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
        ListenerMetrics {
            delivered: self.delivered(protocol),
            encodes: self.encodes(protocol),
            sessions: self.sessions.with_label_values(&labels),
            parked: self.parked.with_label_values(&labels),
            recoveries: Recovery::ALL.map(|result| with(&self.recoveries, result.label())),
            opened: self.opened.with_label_values(&labels),
            closed: CloseReason::ALL.map(|reason| with(&self.closed, reason.label())),
            refused: RefuseReason::ALL.map(|reason| with(&self.refused, reason.label())),
            calls: CALL_OUTCOMES.map(|outcome| with(&self.calls, outcome)),
            name: name.to_owned(),
            certificates: self.certificates.clone(),
            call_duration: self.call_duration.with_label_values(&labels),
            published: self.published.with_label_values(&labels),
            received_bytes: self.received_bytes.with_label_values(&labels),
            sent_bytes: self.sent_bytes.with_label_values(&labels),
            received_messages: self.received_messages.with_label_values(&labels),
            invalid_messages: self.invalid_messages.with_label_values(&labels),
            limit_hits: LimitKind::ALL.map(|kind| with(&self.limit_hits, kind.label())),
            tokens: TOKEN_OUTCOMES.map(|outcome| with(&self.tokens, outcome)),
        }
    }
}

impl Metrics {
    /// The figures of traces, which appear with this.
    #[must_use]
    pub fn traces(&self) -> TraceMetrics {
        let counter = |outcome| self.trace_spans.with_label_values(&[outcome]);
        TraceMetrics {
            sent: counter("sent"),
            dropped: counter("dropped"),
            failed: counter("failed"),
        }
    }

    /// Counts log records that were left out; appears with this.
    #[must_use]
    pub fn log_suppressed(&self) -> IntCounter {
        self.log_suppressed.with_label_values::<&str>(&[])
    }

    /// A counter of a script. `counter` becomes a label: bound how many there are.
    #[must_use]
    pub fn script_counter(&self, backend: &str, counter: &str) -> IntCounter {
        self.script_counters.with_label_values(&[backend, counter])
    }
}

impl Metrics {
    /// Resolves the children of one verb of the server API, so that every series exists from the start with the value 0.
    #[must_use]
    pub fn api(&self, verb: &str, outcomes: &[&'static str]) -> ApiMetrics {
        let counter = |outcome| self.api_requests.with_label_values(&[verb, outcome]);
        ApiMetrics {
            requests: outcomes
                .iter()
                .map(|outcome| (*outcome, counter(outcome)))
                .collect(),
            duration: self.api_duration.with_label_values(&[verb]),
        }
    }
}

/// The figures of taps.
#[derive(Debug)]
pub(crate) struct TapMetrics {
    pub(crate) open: IntGauge,
    pub(crate) sent: IntCounter,
    pub(crate) dropped: IntCounter,
}

impl Metrics {
    pub(crate) fn taps(&self) -> TapMetrics {
        let records = |outcome| self.tap_records.with_label_values(&[outcome]);
        TapMetrics {
            open: self.taps.with_label_values::<&str>(&[]),
            sent: records("sent"),
            dropped: records("dropped"),
        }
    }
}

/// The figures of one verb of the server API.
#[derive(Debug)]
pub struct ApiMetrics {
    requests: Box<[(&'static str, IntCounter)]>,
    duration: Histogram,
}

impl ApiMetrics {
    /// Counts a request that is answered, and its time.
    ///
    /// # Panics
    /// When `outcome` is none of those that were named at the start.
    pub fn answered(&self, outcome: &str, took: Duration) {
        let known = self.requests.iter().find(|(known, _)| *known == outcome);
        known.expect("all outcomes are named at the start").1.inc();
        self.duration.observe(took.as_secs_f64());
    }
}

/// What became of a client that came back for a session it had; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It has it again.
    Recovered,
    /// No session waits for it: it came too late, or to another process.
    Unknown,
    /// Not everything that it has missed is kept any more.
    Missed,
    /// The session was ended while the client was away, or its identity has.
    Ended,
}

impl Recovery {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Recovered, Self::Unknown, Self::Missed, Self::Ended];

    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Unknown => "unknown",
            Self::Missed => "missed",
            Self::Ended => "ended",
        }
    }
}

/// What became of steps of traces that have ended.
#[derive(Debug, Clone)]
pub struct TraceMetrics {
    /// The collector has taken them.
    pub sent: IntCounter,
    /// There was no room for them.
    pub dropped: IntCounter,
    /// The collector has not taken them.
    pub failed: IntCounter,
}

/// One listener's counters.
#[derive(Debug)]
pub struct ListenerMetrics {
    /// Of the protocol, over all listeners that speak it: for what goes to one session.
    pub(crate) delivered: IntCounter,
    pub(crate) encodes: IntCounter,
    name: String,
    certificates: IntGaugeVec,
    pub(crate) sessions: IntGauge,
    pub(crate) parked: IntGauge,
    recoveries: [IntCounter; Recovery::ALL.len()],
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
    tokens: [IntCounter; TOKEN_OUTCOMES.len()],
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

    /// Says when the certificate that the listener serves ends, in seconds since 1970; `None` when it serves none, or
    /// when that cannot be told.
    pub fn certificate_ends(&self, time: Option<u64>) {
        match time {
            Some(time) => {
                let time = i64::try_from(time).unwrap_or(i64::MAX);
                self.certificates.with_label_values(&[&self.name]).set(time);
            }
            // It is not there if no certificate was ever served.
            None => drop(self.certificates.remove_label_values(&[&self.name])),
        }
    }

    /// Counts a client that came back for a session it had.
    pub fn recovery(&self, result: Recovery) {
        self.recoveries[position(&Recovery::ALL, &result)].inc();
    }

    /// Counts what became of a token.
    pub fn token(&self, error: Option<&TokenError>) {
        let label = error.map_or("ok", TokenError::outcome);
        self.tokens[position(&TOKEN_OUTCOMES, &label)].inc();
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
