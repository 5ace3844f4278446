//! What is counted of the backplane: the link to it, and the messages of both directions.

use prometheus::{IntCounter, IntGauge};

use super::{Metrics, position};

/// What became of a message from the backplane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It was delivered to whom it was for, if they are here.
    Delivered,
    /// This node has sent it itself.
    Own,
    /// It is for nobody here.
    Ignored,
    /// It cannot be read.
    Malformed,
    /// Too much waited already.
    Overflow,
}

impl Arrival {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Delivered,
        Self::Own,
        Self::Ignored,
        Self::Malformed,
        Self::Overflow,
    ];

    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Own => "own",
            Self::Ignored => "ignored",
            Self::Malformed => "malformed",
            Self::Overflow => "overflow",
        }
    }
}

/// The figures of the backplane.
#[derive(Debug)]
pub struct BackplaneMetrics {
    /// Whether other nodes are reached.
    pub up: IntGauge,
    /// Times that it was connected.
    pub links: IntCounter,
    /// Channels and patterns that this node listens to.
    pub subscriptions: IntGauge,
    pub(super) sent: IntCounter,
    pub(super) not_sent: IntCounter,
    pub(super) sent_again: IntCounter,
    written: IntCounter,
    not_written: IntCounter,
    pub(super) received: [IntCounter; Arrival::ALL.len()],
    usual_answers: IntCounter,
    large_answers: IntCounter,
    /// Times that a stream had lost something before it was read here.
    pub gaps: IntCounter,
}

impl BackplaneMetrics {
    /// Counts an answer to another server.
    pub fn answered(&self, is_large: bool) {
        let counter = if is_large {
            &self.large_answers
        } else {
            &self.usual_answers
        };
        counter.inc();
    }

    /// Counts messages for other nodes, by whether they were sent.
    pub fn published(&self, are_sent: bool, messages: usize) {
        let counter = if are_sent { &self.sent } else { &self.not_sent };
        counter.inc_by(messages as u64);
    }

    /// Counts messages of which nobody knows whether they were sent, so that they are sent again.
    pub fn sent_again(&self, messages: usize) {
        self.sent_again.inc_by(messages as u64);
    }

    /// Counts a pipeline of records, by whether it was written.
    pub fn recorded(&self, is_written: bool) {
        let counter = if is_written {
            &self.written
        } else {
            &self.not_written
        };
        counter.inc();
    }

    /// Counts a message that has arrived.
    pub fn received(&self, arrival: Arrival) {
        self.received[position(&Arrival::ALL, &arrival)].inc();
    }
}

impl Metrics {
    /// The figures of the backplane, which appear with this.
    #[must_use]
    pub fn backplane(&self) -> BackplaneMetrics {
        let published = |outcome| self.backplane_published.with_label_values(&[outcome]);
        BackplaneMetrics {
            up: self.backplane_up.with_label_values::<&str>(&[]),
            links: self.backplane_links.with_label_values::<&str>(&[]),
            subscriptions: self.backplane_subscriptions.with_label_values::<&str>(&[]),
            sent: published("sent"),
            not_sent: published("not_sent"),
            sent_again: published("sent_again"),
            written: self.backplane_records.with_label_values(&["written"]),
            not_written: self.backplane_records.with_label_values(&["not_written"]),
            received: Arrival::ALL.map(|arrival| {
                self.backplane_received
                    .with_label_values(&[arrival.label()])
            }),
            usual_answers: self.backplane_answers.with_label_values(&["usual"]),
            large_answers: self.backplane_answers.with_label_values(&["large"]),
            gaps: self.backplane_gaps.with_label_values::<&str>(&[]),
        }
    }
}
