//! What is counted of backends: what they were asked for, what became of it, and why engines of scripts were replaced.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::{BackendFigures, Metrics, position};

/// What a backend is asked for; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendRequest {
    /// A call.
    Call,
    /// Whether a session may open.
    Open,
    /// That a session has closed.
    Close,
    /// Whether a session may join a room.
    Join,
    /// Whether a session may publish to a room.
    Publish,
}

impl BackendRequest {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Call,
        Self::Open,
        Self::Close,
        Self::Join,
        Self::Publish,
    ];

    /// The metric label; also the hook's name in settings and on the wire to a service.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Open => "open",
            Self::Close => "close",
            Self::Join => "join",
            Self::Publish => "publish",
        }
    }
}

/// What became of asking a backend; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendOutcome {
    /// It answered.
    Ok,
    /// It answered with an error of the application's own.
    Rejected,
    /// It did not answer in time.
    Timeout,
    /// It could not be reached, or the link broke.
    Unreachable,
    /// Its circuit breaker is open.
    CircuitOpen,
    /// As many requests waited as may.
    Overloaded,
    /// It answered with something that is no answer.
    BadAnswer,
    /// A script ran for too long.
    TimeLimit,
    /// A script used too much memory.
    MemoryLimit,
    /// A script failed in a way that is not the application's own error.
    Failed,
}

impl BackendOutcome {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::Rejected,
        Self::Timeout,
        Self::Unreachable,
        Self::CircuitOpen,
        Self::Overloaded,
        Self::BadAnswer,
        Self::TimeLimit,
        Self::MemoryLimit,
        Self::Failed,
    ];

    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::CircuitOpen => "circuit_open",
            Self::Overloaded => "overloaded",
            Self::BadAnswer => "bad_answer",
            Self::TimeLimit => "time_limit",
            Self::MemoryLimit => "memory_limit",
            Self::Failed => "failed",
        }
    }
}

/// Why a script's engine was replaced; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartCause {
    /// The script was loaded anew.
    Reload,
    /// It kept more memory than an engine can go on with.
    Memory,
    /// It could not be interrupted in an orderly way.
    Stuck,
}

impl RestartCause {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reload, Self::Memory, Self::Stuck];

    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Memory => "memory",
            Self::Stuck => "stuck",
        }
    }
}

/// One backend's figures.
#[derive(Debug)]
pub struct BackendMetrics {
    pub(super) requests: [[IntCounter; BackendOutcome::ALL.len()]; BackendRequest::ALL.len()],
    pub(super) duration: Histogram,
    /// Requests that it works on now.
    pub in_flight: IntGauge,
    /// Requests that wait for their turn.
    pub waiting: IntGauge,
    /// Whether it is asked at all.
    pub available: IntGauge,
    pub(super) restarts: [IntCounter; RestartCause::ALL.len()],
}

impl BackendMetrics {
    /// Counts a request that is answered, and its time.
    pub fn asked(&self, request: BackendRequest, outcome: BackendOutcome, took: Duration) {
        let by_outcome = &self.requests[position(&BackendRequest::ALL, &request)];
        by_outcome[position(&BackendOutcome::ALL, &outcome)].inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Counts a fresh engine.
    pub fn restarted(&self, cause: RestartCause) {
        self.restarts[position(&RestartCause::ALL, &cause)].inc();
    }
}

impl Metrics {
    /// Resolves the children of one backend, so that every series exists from the start with the value 0.
    #[must_use]
    pub fn backend(&self, name: &str) -> BackendMetrics {
        let metrics = self.backend_as_it_is(name);
        metrics.available.set(1);
        metrics
    }

    /// What the figures of a backend are now.
    #[must_use]
    pub fn backend_figures(&self, name: &str) -> BackendFigures {
        self.backend_as_it_is(name).figures()
    }

    fn backend_as_it_is(&self, name: &str) -> BackendMetrics {
        let requests = BackendRequest::ALL.map(|request| {
            BackendOutcome::ALL.map(|outcome| {
                self.backend_requests
                    .with_label_values(&[name, request.label(), outcome.label()])
            })
        });
        BackendMetrics {
            requests,
            duration: self.backend_duration.with_label_values(&[name]),
            in_flight: self.backend_in_flight.with_label_values(&[name]),
            waiting: self.backend_waiting.with_label_values(&[name]),
            available: self.backend_available.with_label_values(&[name]),
            restarts: RestartCause::ALL.map(|cause| {
                self.backend_restarts
                    .with_label_values(&[name, cause.label()])
            }),
        }
    }
}
