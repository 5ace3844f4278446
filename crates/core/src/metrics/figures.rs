//! The metrics as plain numbers, for those who look at a node without Prometheus. Reading them costs no more than
//! loading them.

use prometheus::{Histogram, IntCounter, core::Metric as _};

use super::{
    Arrival, BackendMetrics, BackendOutcome, BackplaneMetrics, CALL_OUTCOMES, ListenerMetrics,
};
use crate::{CloseReason, LimitKind, RefuseReason};

/// Counts by a label, in the label's own order, without those that never happened.
pub type Counts = Vec<(&'static str, u64)>;

/// How long something took, as a histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durations {
    /// How many there were.
    pub count: u64,
    /// Seconds in all.
    pub sum: f64,
    /// Bounds in seconds, each with how many took no longer.
    pub buckets: Vec<(f64, u64)>,
}

/// The figures of one listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerFigures {
    /// Sessions open now.
    pub sessions: i64,
    /// Sessions whose connection is lost and whose client may come back.
    pub parked: i64,
    /// Sessions opened.
    pub opened: u64,
    /// Sessions closed, by reason.
    pub closed: Counts,
    /// Connections refused, by reason.
    pub refused: Counts,
    /// Limits hit, by limit.
    pub limit_hits: Counts,
    /// Calls answered, by outcome.
    pub calls: Counts,
    /// How long calls took.
    pub call_durations: Durations,
    /// Events that its sessions published.
    pub published: u64,
    /// Messages read from clients.
    pub received_messages: u64,
    /// Messages that broke the protocol's rules.
    pub invalid_messages: u64,
    /// Bytes read from clients.
    pub received_bytes: u64,
    /// Bytes written to clients.
    pub sent_bytes: u64,
}

/// The figures of one protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolFigures {
    /// Frames of events queued to its sessions.
    pub delivered: u64,
    /// Events written as its frames.
    pub encodes: u64,
}

/// The figures of one backend.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendFigures {
    /// Whether it is asked at all.
    pub is_available: bool,
    /// Requests that it works on now.
    pub in_flight: i64,
    /// Requests that wait for their turn.
    pub waiting: i64,
    /// Requests answered, by outcome.
    pub requests: Counts,
    /// How long they took.
    pub durations: Durations,
    /// Times that its engine was replaced.
    pub restarts: u64,
}

/// The figures of the backplane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackplaneFigures {
    /// Whether other nodes are reached.
    pub is_up: bool,
    /// Times that it was connected.
    pub links: u64,
    /// Channels and patterns that this node listens to.
    pub subscriptions: i64,
    /// Messages for other nodes, by whether they were sent.
    pub published: Counts,
    /// Messages from others, by what became of them.
    pub received: Counts,
}

impl Durations {
    fn of(histogram: &Histogram) -> Self {
        let metric = histogram.metric();
        let read = metric.get_histogram();
        let buckets = read.get_bucket().iter();
        Self {
            count: read.get_sample_count(),
            sum: read.get_sample_sum(),
            buckets: buckets
                .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
                .collect(),
        }
    }
}

/// What each counter has counted, with its label.
fn counts<'a>(
    labels: impl IntoIterator<Item = &'static str>,
    counters: impl IntoIterator<Item = &'a IntCounter>,
) -> Counts {
    let counted = labels.into_iter().zip(counters);
    let counted = counted.map(|(label, counter)| (label, counter.get()));
    counted.filter(|(_, count)| *count > 0).collect()
}

impl ListenerMetrics {
    /// What they are now.
    #[must_use]
    pub fn figures(&self) -> ListenerFigures {
        ListenerFigures {
            sessions: self.sessions.get(),
            parked: self.parked.get(),
            opened: self.opened.get(),
            closed: counts(CloseReason::ALL.map(CloseReason::label), &self.closed),
            refused: counts(RefuseReason::ALL.map(RefuseReason::label), &self.refused),
            limit_hits: counts(LimitKind::ALL.map(LimitKind::label), &self.limit_hits),
            calls: counts(CALL_OUTCOMES, &self.calls),
            call_durations: Durations::of(&self.call_duration),
            published: self.published.get(),
            received_messages: self.received_messages.get(),
            invalid_messages: self.invalid_messages.get(),
            received_bytes: self.received_bytes.get(),
            sent_bytes: self.sent_bytes.get(),
        }
    }

    /// What they are now for all listeners of the protocol.
    #[must_use]
    pub fn protocol_figures(&self) -> ProtocolFigures {
        ProtocolFigures {
            delivered: self.delivered.get(),
            encodes: self.encodes.get(),
        }
    }
}

impl BackendMetrics {
    /// What they are now.
    #[must_use]
    pub fn figures(&self) -> BackendFigures {
        let outcomes = BackendOutcome::ALL.iter().enumerate();
        let requests = outcomes.map(|(at, outcome)| {
            let asked = self.requests.iter().map(|outcomes| outcomes[at].get());
            (outcome.label(), asked.sum::<u64>())
        });
        BackendFigures {
            is_available: self.available.get() != 0,
            in_flight: self.in_flight.get(),
            waiting: self.waiting.get(),
            requests: requests.filter(|(_, count)| *count > 0).collect(),
            durations: Durations::of(&self.duration),
            restarts: self.restarts.iter().map(IntCounter::get).sum(),
        }
    }
}

impl BackplaneMetrics {
    /// What they are now.
    #[must_use]
    pub fn figures(&self) -> BackplaneFigures {
        BackplaneFigures {
            is_up: self.up.get() != 0,
            links: self.links.get(),
            subscriptions: self.subscriptions.get(),
            published: counts(
                ["sent", "not_sent", "sent_again"],
                [&self.sent, &self.not_sent, &self.sent_again],
            ),
            received: counts(Arrival::ALL.map(Arrival::label), &self.received),
        }
    }
}
