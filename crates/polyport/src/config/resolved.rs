//! What the program runs on. Everything in it is known to be good, except what only the system can tell: that an address is
//! free, that a file is there.

mod access;
mod backends;
mod backplane;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use polyport_core::{EventName, Limits, Permissions, RealmName, RoomName, trace::ParentTrust};
use polyport_devtools_relay::{DevtoolsOptions, Right};
use polyport_identity::SiteRules;
pub use polyport_net::{Bind, CertificateFiles};
use polyport_socket_io::LoginOptions;

pub use access::{
    ApiConfig, ApiKeyConfig, AuthConfig, JwksConfig, JwksPlace, KeyMaterial, TokenKeyConfig,
    TokensConfig,
};
pub use backends::{
    BackendConfig, BackendKindConfig, HttpConfig, RouteConfig, ScriptConfig, SecretConfig,
};

pub use backplane::{RedisConfig, RedisLogin};

use super::{
    settings::{LogFormat, ProtocolName, Relay, SocketIoParser},
    verbs::{Compat, VerbsSwitches},
};
use crate::logging::{Filter, Repeats};

/// A configuration that can be run. Two of them can be compared, which is what a reload does.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Logging.
    pub log: LogConfig,
    /// Where traces go, if anywhere.
    pub tracing: Option<TracingConfig>,
    /// How long calls in flight and unsent bytes are waited for when the gateway stops.
    pub shutdown_deadline: Duration,
    /// Time over which sessions are told goodbye before that.
    pub shutdown_window: Duration,
    /// Sessions at once on all listeners together; 0 is no bound.
    pub sessions: usize,
    /// Where metrics and health checks are served, if anywhere.
    pub admin: Option<SocketAddr>,
    /// The server API, if it is served.
    pub api: Option<ApiConfig>,
    /// Ways of checking tokens, by name.
    pub tokens: Vec<TokensConfig>,
    /// Scripts and services, by name.
    pub backends: Vec<BackendConfig>,
    /// How other nodes are reached over Redis, if there are any.
    pub backplane: Option<RedisConfig>,
    /// The listeners, by name.
    pub listeners: Vec<ListenerConfig>,
}

/// Logging.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// Which records are written.
    pub filter: Filter,
    /// How they look.
    pub format: LogFormat,
    /// How often the same warning or error is written.
    pub repeats: Repeats,
}

/// Where traces go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingConfig {
    /// The collector's URL, with its path.
    pub endpoint: String,
    /// Headers of every request to it.
    pub headers: Vec<(String, SecretConfig)>,
    /// What it calls this gateway.
    pub service: String,
    /// Further attributes of this process.
    pub attributes: Vec<(String, String)>,
    /// The share of traces that begin here and are kept.
    pub ratio: f64,
    /// Spans that may wait.
    pub queue: usize,
    /// Spans of one request.
    pub batch: usize,
    /// How long a span waits for others to go with.
    pub interval: Duration,
    /// How long a request may take.
    pub timeout: Duration,
}

/// A listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerConfig {
    /// The operator's name for it: in logs, in metrics.
    pub name: String,
    /// The address.
    pub bind: Bind,
    /// The realm whose rooms its sessions are in.
    pub realm: RealmName,
    /// Rooms that its sessions are put into when they open.
    pub join: Vec<RoomName>,
    /// The backends that answer its calls, the first first.
    pub backends: Vec<String>,
    /// Certificates; none means plain TCP.
    pub tls: Vec<CertificateFiles>,
    /// Networks whose connections begin with a PROXY header.
    pub proxy_protocol: Vec<IpNet>,
    /// What is believed of clients that say which trace they belong to.
    pub traceparent: ParentTrust,
    /// Bounds. Where the settings say 0 for a bound that [`Limits`] cannot switch off, it is out of reach.
    pub limits: Limits,
    /// Room patterns, known to compile.
    pub permissions: PermissionRules,
    /// What is asked of tokens, if anything is.
    pub auth: Option<AuthConfig>,
    /// How the sites of clients' pages are found.
    pub site: SiteRules,
    /// What clients speak, with the settings that only this protocol has.
    pub protocol: Protocol,
}

impl ListenerConfig {
    /// Whether a running listener can become `other` in place: they differ at most in limits, permissions, backends,
    /// certificates, PROXY networks and what is believed of clients' traces.
    #[must_use]
    pub fn is_same_front_end(&self, other: &Self) -> bool {
        let Self {
            name,
            bind,
            realm,
            join,
            backends: _,
            tls: _,
            proxy_protocol: _,
            traceparent: _,
            limits: _,
            permissions: _,
            auth,
            site,
            protocol,
        } = self;
        *name == other.name
            && *bind == other.bind
            && *realm == other.realm
            && *join == other.join
            && *auth == other.auth
            && *site == other.site
            && *protocol == other.protocol
    }
}

/// How a listener of SocketCluster speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct DevtoolsConfig {
    /// Everything but who is known.
    pub options: DevtoolsOptions,
    /// Who is known to the relay, with the secrets.
    pub users: Vec<DevtoolsUser>,
}

/// Somebody who is known to a relay.
#[derive(Debug, Clone, PartialEq)]
pub struct DevtoolsUser {
    /// The name.
    pub name: String,
    /// Its secret.
    pub secret: SecretConfig,
    /// What it may.
    pub rights: Vec<Right>,
}

/// Room patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionRules {
    /// Rooms that a session may join by itself.
    pub join: Vec<String>,
    /// Rooms that a session may publish to while it is a member.
    pub publish: Vec<String>,
    /// Rooms that a session may publish to without being a member.
    pub publish_unjoined: Vec<String>,
    /// Actions that a session may call.
    pub call: Vec<String>,
}

impl PermissionRules {
    /// The patterns compiled.
    #[must_use]
    pub fn compile(&self) -> Permissions {
        Permissions::new(&self.join, &self.publish, &self.publish_unjoined)
            .and_then(|rules| rules.with_calls(&self.call))
            .expect("the patterns have been compiled once when the configuration was resolved")
    }
}

/// A protocol with its own settings.
#[derive(Debug, Clone, PartialEq)]
pub enum Protocol {
    /// Actionhero's verbs.
    TcpVerbs(VerbsConfig),
    /// Pocketsocket's channels.
    WsChannels(ChannelsConfig),
    /// socket.red's calls.
    WsRpc(RpcConfig),
    /// Socket.IO.
    SocketIo(SocketIoConfig),
    /// SocketCluster.
    DevtoolsRelay(DevtoolsConfig),
}

impl Protocol {
    /// The protocol's name, for metrics and logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TcpVerbs(_) => ProtocolName::TcpVerbs.name(),
            Self::WsChannels(_) => ProtocolName::WsChannels.name(),
            Self::WsRpc(_) => ProtocolName::WsRpc.name(),
            Self::SocketIo(_) => ProtocolName::SocketIo.name(),
            Self::DevtoolsRelay(_) => ProtocolName::DevtoolsRelay.name(),
        }
    }
}

/// How a `tcp-verbs` listener speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct VerbsConfig {
    /// The version that is answered like, where no switch says it: error texts, the shape of `status`.
    pub compat: Compat,
    /// What differs between versions.
    pub switches: VerbsSwitches,
    /// The first line's text.
    pub welcome: String,
    /// The room that is shown as the session's.
    pub default_room: RoomName,
    /// Whether sessions really are put into it.
    pub auto_join: bool,
    /// Rooms that exist from the start, `default_room` among them if sessions are put into it.
    pub rooms: Vec<RoomName>,
    /// Folders that files are sent from. Absolute; one that nobody asked for by name may be missing.
    pub files: Vec<PathBuf>,
    /// What ends a line; never CR.
    pub delimiter: u8,
    /// Bytes of one line before it is refused; `None` leaves only [`Limits::message`].
    pub max_data_length: Option<usize>,
    /// TCP keepalive.
    pub tcp_keepalive: bool,
}

/// How a `ws-channels` listener behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelsConfig {
    /// The sender gets its own text too.
    pub echo: bool,
    /// Prints `Ready HOST PORT` and logs messages.
    pub verbose: bool,
    /// Hub or plain relay.
    pub relay: Relay,
    /// Refuses texts that look like the hub's own.
    pub refuse_forgeries: bool,
    /// Time between pings.
    pub ping: Option<Duration>,
}

/// How a `socket-io` listener behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct SocketIoConfig {
    /// Where it is served.
    pub path: String,
    /// Whether long-polling is spoken.
    pub polling: bool,
    /// Whether WebSocket is spoken.
    pub websocket: bool,
    /// Revisions of Engine.IO: 3, 4 or both.
    pub generations: Vec<u8>,
    /// Namespaces beside `/`.
    pub namespaces: Vec<String>,
    /// Time between pings.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub ping_timeout: Duration,
    /// How long an upgrade may take.
    pub upgrade_timeout: Duration,
    /// How long a client may go without a namespace.
    pub connect_timeout: Duration,
    /// How long a session waits for a client that was lost; zero is not at all.
    pub recovery: Duration,
    /// The name of a cookie with the session's id; empty is none.
    pub cookie: String,
    /// Origins whose pages may poll.
    pub origins: Vec<String>,
    /// Whether they may send cookies.
    pub credentials: bool,
    /// Whether JSONP is spoken.
    pub jsonp: bool,
    /// The size in bytes from which answers to polls are compressed; 0 is never.
    pub compress_from: usize,
    /// The folder with the browser's client.
    pub client_files: Option<PathBuf>,
    /// Events that are published: the name, the rooms, and the name there.
    pub publish: Vec<(EventName, Vec<RoomName>, EventName)>,
    /// How clients give their tokens.
    pub login: LoginOptions,
    /// What packets are written with.
    pub parser: SocketIoParser,
}

/// How a `ws-rpc` listener behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcConfig {
    /// Time between pings; zero is none.
    pub heartbeat: Duration,
    /// Answers a plain `GET` from the decision about a session.
    pub validators: bool,
    /// Origins whose pages may read such answers.
    pub allow_origins: Vec<String>,
    /// Origins whose pages may connect; empty: any.
    pub origins: Vec<String>,
}
