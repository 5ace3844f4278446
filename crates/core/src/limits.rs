//! The bounds of a listener. Every one is a setting; hitting one is counted.

use std::time::Duration;

/// The bounds of a listener's sessions. 0 and `Duration::ZERO` mean "no bound" where the field says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at once on the listener; 0 is no bound.
    pub sessions: usize,
    /// Sessions at once from one address; 0 is no bound.
    pub sessions_per_address: usize,
    /// Bytes of one message (a line, a WebSocket message).
    pub message: usize,
    /// Unsent bytes of one session, the queue's own memory included.
    pub outbox: usize,
    /// Calls of one session that wait for their answer.
    pub calls_in_flight: usize,
    /// Rooms one session may be in.
    pub rooms_per_session: usize,
    /// Params one session may keep.
    pub params_per_session: usize,
    /// Bytes of names and values of one session's params.
    pub params_bytes: usize,
    /// Time for TLS, PROXY header and HTTP head together.
    pub handshake: Duration,
    /// A session that sends nothing for so long is closed; zero is never.
    pub idle: Duration,
    /// A peer that takes nothing for so long is cut.
    pub write: Duration,
    /// Time a backend has to answer a call.
    pub call: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 20_000,
            sessions_per_address: 5_000,
            message: 1 << 20,
            outbox: 1 << 20,
            calls_in_flight: 100,
            rooms_per_session: 100,
            params_per_session: 100,
            params_bytes: 64 << 10,
            handshake: Duration::from_secs(10),
            idle: Duration::ZERO,
            write: Duration::from_secs(30),
            call: Duration::from_secs(60),
        }
    }
}

/// A bound that a session ran into and was told about; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// [`Limits::message`].
    Message,
    /// [`Limits::outbox`].
    Outbox,
    /// [`Limits::calls_in_flight`].
    CallsInFlight,
    /// [`Limits::rooms_per_session`].
    Rooms,
    /// [`Limits::params_per_session`] or [`Limits::params_bytes`].
    Params,
    /// Clients of one kind, where a protocol bounds them.
    Clients,
}

impl LimitKind {
    /// All kinds, for metrics that exist from the start.
    pub const ALL: [Self; 6] = [
        Self::Message,
        Self::Outbox,
        Self::CallsInFlight,
        Self::Rooms,
        Self::Params,
        Self::Clients,
    ];

    /// The metric label: the setting's name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Outbox => "outbox",
            Self::CallsInFlight => "calls_in_flight",
            Self::Rooms => "rooms_per_session",
            Self::Params => "params_per_session",
            Self::Clients => "clients",
        }
    }
}
