//! What a listener of this protocol can be told.

use std::time::Duration;

use crate::{access::AccessOptions, codec::Codec, relay::RelayOptions};

/// The protocol's usual bound of [`polyport_core::Limits::message`], in bytes: states of DevTools are large.
pub const DEFAULT_MESSAGE_LIMIT: usize = 16 << 20;

/// What a listener of this protocol can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevtoolsOptions {
    /// Where it is served.
    pub path: String,
    /// Which generations are spoken.
    pub version: Version,
    /// How packets are written down.
    pub codec: Codec,
    /// Time between pings.
    pub ping_interval: Duration,
    /// How long a client may be silent, and how long it waits for a ping.
    pub ping_timeout: Duration,
    /// How long a client may take to answer a call of the server.
    pub ack_timeout: Duration,
    /// How long a client may take to shake hands.
    pub handshake_timeout: Duration,
    /// When backends are asked whether a client may come in.
    pub ask_backends: AskBackends,
    /// Whether clients may publish at all.
    pub allow_publish: bool,
    /// Origins whose pages may connect beside those that always may: `host:port`, either of them `*`.
    pub origins: Vec<String>,
    /// The relay of the Redux DevTools, if it is one.
    pub relay: Option<RelayOptions>,
    /// Who may what on the relay.
    pub access: AccessOptions,
}

/// When backends are asked whether a client may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskBackends {
    /// At its first packet, which may bring a token. A refusal is an error with a code.
    Handshake,
    /// Before the WebSocket is there. A refusal is an answer of HTTP.
    Upgrade,
}

/// Which generations a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Both, and each connection is asked which.
    Auto,
    /// Generation 1 as its servers do.
    V1,
    /// Generation 2 as its servers do.
    V2,
}

/// The times of the original, but for a silence that a debugger's breakpoint may need.
impl Default for DevtoolsOptions {
    fn default() -> Self {
        Self {
            path: "/socketcluster/".to_owned(),
            version: Version::Auto,
            codec: Codec::Json,
            ping_interval: Duration::from_secs(8),
            ping_timeout: Duration::from_mins(10),
            ack_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            ask_backends: AskBackends::Handshake,
            allow_publish: true,
            origins: Vec::new(),
            relay: None,
            access: AccessOptions::default(),
        }
    }
}
