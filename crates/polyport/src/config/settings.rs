//! The settings as they are written: what `gateway.toml`, the environment and the command line may say.
//!
//! These structs are the one place where keys, defaults and their descriptions live; the JSON Schema and the reference
//! table in `docs/configuration.md` are generated from them. What the rest of the program sees is [`super::resolve`].

mod access;
mod backends;
mod backplane;
mod protocols;
mod tracing;

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use access::{
    ApiKeySettings, ApiSettings, ApiVerb, AuthSettings, JwksSettings, OnExpiry, SiteSettings,
    SiteSource, TapSettings, TokenAlgorithm, TokenKeySettings, TokenSettings,
};
pub use backends::{BackendKind, BackendSettings, BreakerSettings, HookName, RouteSettings};
pub use backplane::{
    BackplaneEngine, BackplaneSettings, BackplaneSocketIoSettings, BackplaneStreamsSettings,
    BackplaneTlsSettings, OnOutage, RedisAdapter, RedisDeployment, RedisExpose, RedisWire,
    ServerSideAck,
};
pub use protocols::{
    AskBackends, ChannelsSettings, CorsSettings, DevtoolsCodec, DevtoolsRight, DevtoolsSettings,
    DevtoolsUserSettings, JwtSettings, JwtWay, PublishSettings, Relay, RpcSettings, SocketIoParser,
    SocketIoSettings, SocketIoTransport, VerbsSettings,
};

pub use tracing::{TraceparentTrust, TracingSettings};

use polyport_devtools_relay::DEFAULT_MESSAGE_LIMIT;

use super::{
    strict::{OneOrMany, optional_table, optional_word, table, tables, word},
    units::{Address, ByteSize, Network, Period},
};

/// The whole configuration of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is logged, and how.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "table")]
    pub log: LogSettings,
    /// Which traces are kept, and the collector that they go to over OTLP. Off without an `endpoint`.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "table")]
    pub tracing: TracingSettings,
    /// How the gateway stops.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "table")]
    pub shutdown: ShutdownSettings,
    /// Bounds of the whole process.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "table")]
    pub limits: ProcessLimitSettings,
    /// The listener for metrics and health checks. Without this table there is none.
    #[schemars(extend("x-takes-effect" = "restart"))]
    #[serde(deserialize_with = "optional_table")]
    pub admin: Option<AdminSettings>,
    /// The server API, on the admin listener. Without this table there is none.
    #[schemars(extend("x-takes-effect" = "restart"))]
    #[serde(deserialize_with = "optional_table")]
    pub api: Option<ApiSettings>,
    /// How tokens are checked, each way under a name that listeners use.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "tables")]
    pub tokens: BTreeMap<String, TokenSettings>,
    /// Scripts and services, each under a name that listeners use in `backends`.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "tables")]
    pub backends: BTreeMap<String, BackendSettings>,
    /// How the nodes of a cluster reach each other.
    #[schemars(extend("x-takes-effect" = "restart"))]
    #[serde(deserialize_with = "table")]
    pub backplane: BackplaneSettings,
    /// The listeners, each under a name of your choice (letters, digits, `-`, `_`) that logs and metrics show.
    #[schemars(extend("x-takes-effect" = "new-connections"))]
    #[serde(deserialize_with = "tables")]
    pub listeners: BTreeMap<String, ListenerSettings>,
}

/// What is logged, and how. Logs go to standard error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`, and the same per module: `"info,polyport_net=debug"`.
    pub level: String,
    /// How a log line looks.
    #[schemars(extend("x-takes-effect" = "restart"))]
    #[serde(deserialize_with = "word")]
    pub format: LogFormat,
    /// How often the same warning or error about the same listener or backend is written in a `period`; what is more is counted, and one line tells how many they were. 0 is no bound.
    pub repeats: u32,
    /// The time that `repeats` is about.
    pub period: Period,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Auto,
            repeats: 10,
            period: Period::secs(10),
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// `pretty` on a terminal, else `json`.
    #[default]
    Auto,
    /// Lines for people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// How the gateway stops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownSettings {
    /// How long calls in flight and unsent bytes are waited for after SIGTERM or SIGINT.
    pub deadline: Period,
    /// Time over which sessions are told goodbye evenly, before the deadline begins to run; 0 tells all at once.
    pub window: Period,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self {
            deadline: Period::secs(10),
            window: Period::secs(0),
        }
    }
}

/// Bounds of the whole process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessLimitSettings {
    /// Sessions at once on all listeners together; 0 is no bound.
    pub sessions: usize,
}

impl Default for ProcessLimitSettings {
    fn default() -> Self {
        Self { sessions: 100_000 }
    }
}

/// The listener for metrics and health checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// Where `/metrics`, `/healthz` and `/readyz` are served. Keep it private: it asks nobody who they are.
    pub bind: Address,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            bind: Address::Tcp {
                host: "127.0.0.1".to_owned(),
                port: 9900,
            },
        }
    }
}

/// A bound address with a protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerSettings {
    /// The protocol that clients speak here. Required.
    #[serde(
        deserialize_with = "optional_word",
        skip_serializing_if = "Option::is_none"
    )]
    pub protocol: Option<ProtocolName>,
    /// The address: `"127.0.0.1:5000"`, `"[::1]:5000"`, `"unix:/run/polyport.sock"`; port 0 is any free port. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<Address>,
    /// Listeners of one realm share their rooms; realms never touch.
    pub realm: String,
    /// Rooms that every session of this listener is put into when it opens.
    pub join: Vec<String>,
    /// What answers calls, the first that knows the name: `builtin` and names of `[backends.NAME]`.
    #[schemars(extend("x-takes-effect" = "live"))]
    pub backends: Vec<String>,
    /// Certificate and key, or a list of such tables, one per set of server names. Without it the listener speaks plain TCP.
    #[serde(skip_serializing_if = "no_certificate")]
    pub tls: OneOrMany<TlsSettings>,
    /// Networks whose connections begin with a PROXY protocol header (version 1 or 2); connections from elsewhere are taken without one.
    pub proxy_protocol: Vec<Network>,
    /// How much counts of what a client says about its trace, in the headers `traceparent` and `tracestate` of its opening.
    #[serde(deserialize_with = "word")]
    pub traceparent: TraceparentTrust,
    /// Bounds of this listener.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "table")]
    pub limits: LimitSettings,
    /// Which rooms the sessions of this listener may join and publish to, and what they may call.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "table")]
    pub permissions: PermissionSettings,
    /// What is asked of tokens. Without this table nobody is asked who he is.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub auth: Option<AuthSettings>,
    /// How the site of a client's page is found, for the room `site(HOST)`.
    #[serde(deserialize_with = "table")]
    pub site: SiteSettings,
    /// Only with `protocol = "devtools-relay"`.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub devtools: Option<DevtoolsSettings>,
    /// Only with `protocol = "ws-rpc"`.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub rpc: Option<RpcSettings>,
    /// Only with `protocol = "socket-io"`.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub socket_io: Option<SocketIoSettings>,
    /// Only with `protocol = "tcp-verbs"`.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub verbs: Option<VerbsSettings>,
    /// Only with `protocol = "ws-channels"`.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub channels: Option<ChannelsSettings>,
}

fn no_certificate(tls: &OneOrMany<TlsSettings>) -> bool {
    tls.0.is_empty()
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            protocol: None,
            bind: None,
            realm: "default".to_owned(),
            join: Vec::new(),
            backends: vec!["builtin".to_owned()],
            tls: OneOrMany::default(),
            proxy_protocol: Vec::new(),
            traceparent: TraceparentTrust::default(),
            limits: LimitSettings::default(),
            permissions: PermissionSettings::default(),
            auth: None,
            site: SiteSettings::default(),
            devtools: None,
            rpc: None,
            socket_io: None,
            verbs: None,
            channels: None,
        }
    }
}

/// The protocols that a listener can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProtocolName {
    /// Actionhero's verbs over TCP or TLS.
    TcpVerbs,
    /// Pocketsocket's channels over WebSocket.
    WsChannels,
    /// socket.red's calls, actions and events over WebSocket.
    WsRpc,
    /// Socket.IO over polling and WebSocket.
    SocketIo,
    /// SocketCluster, and the relay of the Redux DevTools.
    DevtoolsRelay,
}

impl ProtocolName {
    /// Every protocol, in the order in which they are listed to people.
    pub const ALL: [Self; 5] = [
        Self::TcpVerbs,
        Self::WsChannels,
        Self::WsRpc,
        Self::SocketIo,
        Self::DevtoolsRelay,
    ];

    /// The word in the configuration, in metrics and in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TcpVerbs => "tcp-verbs",
            Self::WsChannels => "ws-channels",
            Self::WsRpc => "ws-rpc",
            Self::SocketIo => "socket-io",
            Self::DevtoolsRelay => "devtools-relay",
        }
    }
}

/// A certificate chain and its private key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM file with the certificate chain, relative to the configuration file.
    pub cert: PathBuf,
    /// PEM file with the private key, relative to the configuration file.
    pub key: PathBuf,
    /// Server names (SNI) that get this certificate; the first certificate also serves every other name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// Bounds of a listener and of each of its sessions. 0 (or `"0s"`) is no bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Sessions at once.
    pub sessions: usize,
    /// Sessions at once from one client address.
    pub sessions_per_address: usize,
    /// Bytes of one message from a client, that is one line or one WebSocket message. Default: `"1MiB"` with tcp-verbs, 4194303 with ws-channels, `"4MiB"` with ws-rpc, `"1000000"` with socket-io (there also of one polling body), `"16MiB"` with devtools-relay.
    pub message: Option<ByteSize>,
    /// Bytes that may wait for a slow client before it is closed. Default: `"1MiB"` with tcp-verbs, `"4MiB"` with socket-io, `"32MiB"` with devtools-relay, else `"8MiB"`.
    pub outbox: Option<ByteSize>,
    /// Calls of one session that wait for their answer. Default: 5 with tcp-verbs, else 100.
    pub calls_in_flight: Option<usize>,
    /// Rooms that one session may be in.
    pub rooms_per_session: usize,
    /// Params that one session may keep.
    pub params_per_session: usize,
    /// Bytes of all params of one session.
    pub params_bytes: ByteSize,
    /// Time for TLS, PROXY header and HTTP head together.
    pub handshake: Period,
    /// A client that sends nothing for so long is closed; `"0s"` is never.
    pub idle: Period,
    /// A client that takes nothing for so long, while bytes wait for it, is cut.
    pub write: Period,
    /// Time that a backend has for one call, and for deciding whether a session may open. Default: `"2500ms"` with ws-rpc, whose clients give up after 3 s, else `"1m"`.
    pub call: Option<Period>,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            sessions: 20_000,
            sessions_per_address: 5_000,
            message: None,
            outbox: None,
            calls_in_flight: None,
            rooms_per_session: 100,
            params_per_session: 100,
            params_bytes: ByteSize(64 << 10),
            handshake: Period::secs(10),
            idle: Period::secs(0),
            write: Period::secs(30),
            call: None,
        }
    }
}

impl LimitSettings {
    /// The bounds that are switched off, but for `idle`.
    pub(super) fn off(&self) -> Vec<&'static str> {
        let Self {
            sessions,
            sessions_per_address,
            message,
            outbox,
            calls_in_flight,
            rooms_per_session,
            params_per_session,
            params_bytes,
            handshake,
            idle: _,
            write,
            call,
        } = self;
        let zero = ByteSize::default();
        let none = Period::default();
        [
            ("sessions", *sessions == 0),
            ("sessions_per_address", *sessions_per_address == 0),
            ("message", *message == Some(zero)),
            ("outbox", *outbox == Some(zero)),
            ("calls_in_flight", *calls_in_flight == Some(0)),
            ("rooms_per_session", *rooms_per_session == 0),
            ("params_per_session", *params_per_session == 0),
            ("params_bytes", *params_bytes == zero),
            ("handshake", *handshake == none),
            ("write", *write == none),
            ("call", *call == Some(none)),
        ]
        .into_iter()
        .filter_map(|(name, is_off)| is_off.then_some(name))
        .collect()
    }
}

/// What sessions may do, as patterns: `*` any text, `?` one character, `{a,b}` one of several; `{user}` and `{site}` stand for who the session is. Rooms `user(…)` and `site(…)` are covered only by patterns that begin so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PermissionSettings {
    /// Rooms that a session may join by itself.
    pub join: Vec<String>,
    /// Rooms that a session may publish to while it is a member.
    pub publish: Vec<String>,
    /// Rooms that a session may publish to without being a member. Default: all with devtools-relay, whose clients need not subscribe to publish, else none.
    pub publish_unjoined: Option<Vec<String>>,
    /// Actions that a session may call.
    pub call: Vec<String>,
}

impl Default for PermissionSettings {
    fn default() -> Self {
        Self {
            join: vec!["*".to_owned()],
            publish: vec!["*".to_owned()],
            publish_unjoined: None,
            call: vec!["*".to_owned()],
        }
    }
}

impl Settings {
    /// Writes out what depends on another setting, so that nothing in effect is left unsaid: the limits that depend on
    /// the protocol, the switches that depend on `compat`, and the table of the listener's protocol.
    #[must_use]
    pub fn filled(mut self) -> Self {
        for listener in self.listeners.values_mut() {
            listener.fill();
        }
        for backend in self.backends.values_mut() {
            backend.fill();
        }
        self
    }
}

impl ListenerSettings {
    fn fill(&mut self) {
        let Some(protocol) = self.protocol else {
            return;
        };
        let (message, outbox, calls, call) = match protocol {
            ProtocolName::TcpVerbs => (1 << 20, 1 << 20, 5, Period::secs(60)),
            // A frame of 4 MiB ends a connection of the original; what it takes must also fit into outboxes.
            ProtocolName::WsChannels => ((4 << 20) - 1, 8 << 20, 100, Period::secs(60)),
            ProtocolName::WsRpc => (4 << 20, 8 << 20, 100, Period::millis(2500)),
            // `maxHttpBufferSize` of the original.
            ProtocolName::SocketIo => (1_000_000, 4 << 20, 100, Period::secs(60)),
            // States of DevTools are large, and whoever shows them must be able to take two.
            ProtocolName::DevtoolsRelay => (DEFAULT_MESSAGE_LIMIT, 32 << 20, 100, Period::secs(60)),
        };
        let limits = &mut self.limits;
        limits.message.get_or_insert(ByteSize(message));
        limits.outbox.get_or_insert(ByteSize(outbox));
        limits.calls_in_flight.get_or_insert(calls);
        limits.call.get_or_insert(call);
        let unjoined = &mut self.permissions.publish_unjoined;
        unjoined.get_or_insert_with(|| match protocol {
            ProtocolName::DevtoolsRelay => vec!["*".to_owned()],
            _ => Vec::new(),
        });
        match protocol {
            ProtocolName::TcpVerbs => self.verbs.get_or_insert_default().fill(),
            ProtocolName::WsChannels => {
                self.channels.get_or_insert_default();
            }
            ProtocolName::WsRpc => {
                self.rpc.get_or_insert_default();
            }
            ProtocolName::SocketIo => {
                self.socket_io.get_or_insert_default();
            }
            ProtocolName::DevtoolsRelay => {
                let devtools = self.devtools.get_or_insert_default();
                devtools.allow_publish.get_or_insert(!devtools.relay);
            }
        }
    }
}
