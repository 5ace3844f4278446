//! Every way a session can end, and every way a connection can be turned away.

/// Why a session ended. The same list serves the wire (each front end maps it to its protocol's words), the log and the
/// metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client said goodbye in its protocol's way.
    ClientLeft,
    /// The peer ended the connection without a word.
    PeerGone,
    /// Reading or writing failed.
    IoError,
    /// The client broke its protocol in a way that cannot be answered otherwise.
    ProtocolError,
    /// A message was larger than the listener allows, in a protocol that must close for it.
    MessageTooBig,
    /// The client read too slowly: its outbox was full.
    OutboxFull,
    /// Nothing could be written to the peer for the write time-out.
    WriteTimeout,
    /// The client was silent for the idle time-out.
    IdleTimeout,
    /// The client did not finish its opening in time.
    HandshakeTimeout,
    /// The server disconnected the client.
    Disconnected,
    /// The session's identity has expired.
    IdentityExpired,
    /// The listener was removed or the process is stopping.
    Shutdown,
}

impl CloseReason {
    /// All reasons, for metrics that exist from the start.
    pub const ALL: [Self; 12] = [
        Self::ClientLeft,
        Self::PeerGone,
        Self::IoError,
        Self::ProtocolError,
        Self::MessageTooBig,
        Self::OutboxFull,
        Self::WriteTimeout,
        Self::IdleTimeout,
        Self::HandshakeTimeout,
        Self::Disconnected,
        Self::IdentityExpired,
        Self::Shutdown,
    ];

    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::PeerGone => "peer_gone",
            Self::IoError => "io_error",
            Self::ProtocolError => "protocol_error",
            Self::MessageTooBig => "message_too_big",
            Self::OutboxFull => "outbox_full",
            Self::WriteTimeout => "write_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Disconnected => "disconnected",
            Self::IdentityExpired => "identity_expired",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Why a connection never became a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefuseReason {
    /// The process holds as many sessions as it may.
    Sessions,
    /// The listener holds as many sessions as it may.
    ListenerSessions,
    /// The address holds as many sessions as it may.
    AddressSessions,
    /// The listener holds as many connections without a session as it may.
    ListenerConnections,
    /// The address holds as many connections without a session as it may.
    AddressConnections,
    /// The opening (TLS, PROXY header, HTTP head) took too long.
    HandshakeTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The PROXY header was missing or malformed.
    ProxyHeader,
    /// The HTTP request was not an opening of this protocol.
    HttpRequest,
    /// The token was missing or no good.
    Token,
    /// A backend knows no such client.
    Nobody,
    /// A backend refused with an error.
    BackendFailed,
    /// The backend that must be asked could not be, or did not answer in time.
    BackendUnavailable,
    /// Other nodes are out of reach, and this one takes nobody without them.
    CutOff,
}

impl RefuseReason {
    /// All reasons, for metrics that exist from the start.
    pub const ALL: [Self; 14] = [
        Self::Sessions,
        Self::ListenerSessions,
        Self::AddressSessions,
        Self::ListenerConnections,
        Self::AddressConnections,
        Self::HandshakeTimeout,
        Self::Tls,
        Self::ProxyHeader,
        Self::HttpRequest,
        Self::Token,
        Self::Nobody,
        Self::BackendFailed,
        Self::BackendUnavailable,
        Self::CutOff,
    ];

    /// The metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::ListenerSessions => "listener_sessions",
            Self::AddressSessions => "address_sessions",
            Self::ListenerConnections => "listener_connections",
            Self::AddressConnections => "address_connections",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Tls => "tls",
            Self::ProxyHeader => "proxy_header",
            Self::HttpRequest => "http_request",
            Self::Token => "token",
            Self::Nobody => "nobody",
            Self::BackendFailed => "backend_failed",
            Self::BackendUnavailable => "backend_unavailable",
            Self::CutOff => "cut_off",
        }
    }
}
