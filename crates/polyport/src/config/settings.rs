//! The settings as they are written: what `gateway.toml`, the environment and the command line may say.
//!
//! These structs are the one place where keys, defaults and their descriptions live; the JSON Schema and the reference
//! table in `docs/configuration.md` are generated from them. What the rest of the program sees is [`super::resolve`].

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    strict::{OneOrMany, optional_table, optional_word, table, tables, word},
    units::{Address, ByteSize, Network, Period},
    verbs::{
        CacheShape, Compat, ErrorPrefix, FileError, MessageCount, MessageId, RoomErrors, Scrub,
        VerbErrorKey, VerbsSwitches,
    },
};

/// The whole configuration of a gateway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is logged, and how.
    #[serde(deserialize_with = "table")]
    pub log: LogSettings,
    /// How the gateway stops.
    #[serde(deserialize_with = "table")]
    pub shutdown: ShutdownSettings,
    /// Bounds of the whole process.
    #[serde(deserialize_with = "table")]
    pub limits: ProcessLimitSettings,
    /// The listener for metrics and health checks. Without this table there is none.
    #[serde(deserialize_with = "optional_table")]
    pub admin: Option<AdminSettings>,
    /// The listeners, each under a name of your choice (letters, digits, `-`, `_`) that logs and metrics show.
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
    #[serde(deserialize_with = "word")]
    pub format: LogFormat,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Auto,
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
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self {
            deadline: Period::secs(10),
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
    /// What answers calls, the first that knows the name. Only `builtin` exists so far.
    pub backends: Vec<String>,
    /// Certificate and key, or a list of such tables, one per set of server names. Without it the listener speaks plain TCP.
    #[serde(skip_serializing_if = "no_certificate")]
    pub tls: OneOrMany<TlsSettings>,
    /// Networks whose connections begin with a PROXY protocol header (version 1 or 2); connections from elsewhere are taken without one.
    pub proxy_protocol: Vec<Network>,
    /// Bounds of this listener.
    #[serde(deserialize_with = "table")]
    pub limits: LimitSettings,
    /// Which rooms the sessions of this listener may join and publish to.
    #[serde(deserialize_with = "table")]
    pub permissions: PermissionSettings,
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
            limits: LimitSettings::default(),
            permissions: PermissionSettings::default(),
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
}

impl ProtocolName {
    /// Every protocol, in the order in which they are listed to people.
    pub const ALL: [Self; 2] = [Self::TcpVerbs, Self::WsChannels];

    /// The word in the configuration, in metrics and in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TcpVerbs => "tcp-verbs",
            Self::WsChannels => "ws-channels",
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
    /// Bytes of one message from a client, that is one line or one WebSocket message. Default: `"1MiB"` with tcp-verbs, 4194303 with ws-channels.
    pub message: Option<ByteSize>,
    /// Bytes that may wait for a slow client before it is closed. Default: `"1MiB"` with tcp-verbs, `"8MiB"` with ws-channels.
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
    /// Time that a backend has for one call.
    pub call: Period,
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
            call: Period::secs(60),
        }
    }
}

/// Which rooms sessions may join and publish to, as patterns: `*` any text, `?` one character, `{a,b}` one of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PermissionSettings {
    /// Rooms that a session may join by itself.
    pub join: Vec<String>,
    /// Rooms that a session may publish to while it is a member.
    pub publish: Vec<String>,
    /// Rooms that a session may publish to without being a member.
    pub publish_unjoined: Vec<String>,
}

impl Default for PermissionSettings {
    fn default() -> Self {
        Self {
            join: vec!["*".to_owned()],
            publish: vec!["*".to_owned()],
            publish_unjoined: Vec::new(),
        }
    }
}

/// How a `tcp-verbs` listener speaks: a bundle of switches, and single ones that override it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VerbsSettings {
    /// Which version of Actionhero is answered like: a bundle of all switches whose default is "by `compat`".
    #[serde(deserialize_with = "word")]
    pub compat: Compat,
    /// Whether answers carry `messageCount`.
    #[serde(deserialize_with = "optional_word")]
    pub message_count: Option<MessageCount>,
    /// Whether answers carry `messageId`.
    #[serde(deserialize_with = "optional_word")]
    pub message_id: Option<MessageId>,
    /// Which errors of actions start with `Error: `.
    #[serde(deserialize_with = "optional_word")]
    pub error_prefix: Option<ErrorPrefix>,
    /// The key that holds the error text of a failed verb.
    #[serde(deserialize_with = "optional_word")]
    pub verb_error_key: Option<VerbErrorKey>,
    /// Whether the error texts about rooms name the room.
    #[serde(deserialize_with = "optional_word")]
    pub room_errors: Option<RoomErrors>,
    /// Verbs that return nothing answer `"data":null`.
    pub null_data: Option<bool>,
    /// The welcome line shows the default room.
    pub welcome_room: Option<bool>,
    /// `detailsView` shows the default room.
    pub details_room: Option<bool>,
    /// `roomAdd default Room` joins `defaultRoom` and is answered by the bare `{"status":"OK"}` of the printed session.
    pub bare_room_add: Option<bool>,
    /// A session hears what it says, after the OK.
    pub echo_own_say: Option<bool>,
    /// Running an action edits the session's params (`true`), only adds `apiVersion` (`"partly"`) or leaves them alone.
    pub sticky_scrub: Option<Scrub>,
    /// `randomNumber` answers `stringRandomNumber` too.
    pub random_string: Option<bool>,
    /// The times that `cacheTest` shows.
    #[serde(deserialize_with = "optional_word")]
    pub cache_shape: Option<CacheShape>,
    /// What a failed `file` is answered with.
    #[serde(deserialize_with = "optional_word")]
    pub file_error: Option<FileError>,
    /// The text of the farewell.
    pub goodbye: Option<String>,
    /// The text of the first line that a client gets.
    pub welcome: String,
    /// The room that the welcome line and `detailsView` show.
    pub default_room: String,
    /// Really puts every session into `default_room` when it opens.
    pub auto_join: bool,
    /// Rooms that exist from the start. Rooms under `join` exist too.
    pub rooms: Vec<String>,
    /// Folders that `file NAME` sends from, the first that has the file, relative to the configuration file.
    pub files: Vec<PathBuf>,
    /// What ends a line. `"\n"` also takes `\r\n` and `\r`.
    pub delimiter: String,
    /// Bytes of one line, refused in the protocol's words when exceeded; 0 leaves only `limits.message`.
    pub max_data_length: ByteSize,
    /// Asks the system to probe silent clients (TCP keepalive).
    pub tcp_keepalive: bool,
}

impl Default for VerbsSettings {
    fn default() -> Self {
        Self {
            compat: Compat::Classic,
            message_count: None,
            message_id: None,
            error_prefix: None,
            verb_error_key: None,
            room_errors: None,
            null_data: None,
            welcome_room: None,
            details_room: None,
            bare_room_add: None,
            echo_own_say: None,
            sticky_scrub: None,
            random_string: None,
            cache_shape: None,
            file_error: None,
            goodbye: None,
            welcome: "Hello! Welcome to the actionhero api".to_owned(),
            default_room: "defaultRoom".to_owned(),
            auto_join: false,
            rooms: ["defaultRoom", "anotherRoom", "otherRoom"]
                .map(str::to_owned)
                .to_vec(),
            files: vec!["public".into()],
            delimiter: "\n".to_owned(),
            max_data_length: ByteSize(0),
            tcp_keepalive: false,
        }
    }
}

/// How a `ws-channels` listener behaves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelsSettings {
    /// A client also gets its own text back, after the receipt.
    pub echo: bool,
    /// Prints `Ready HOST PORT` and logs what comes in and goes out.
    pub verbose: bool,
    /// How the texts of clients are passed on.
    #[serde(deserialize_with = "word")]
    pub relay: Relay,
    /// Refuses texts of clients that look like the hub's own (`{"socket":…}`).
    pub refuse_forgeries: bool,
    /// How often an open connection is pinged; `"0s"` is never.
    pub ping: Period,
}

/// How the texts of clients are passed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Relay {
    /// With receipts, arrivals and departures (the hub of 2013).
    #[default]
    Hub,
    /// Nothing but the texts themselves (the rewrite of 2016).
    Plain,
}

impl Settings {
    /// Writes out what depends on another setting, so that nothing in effect is left unsaid: the limits that depend on
    /// the protocol, the switches that depend on `compat`, and the table of the listener's protocol.
    #[must_use]
    pub fn filled(mut self) -> Self {
        for listener in self.listeners.values_mut() {
            listener.fill();
        }
        self
    }
}

impl ListenerSettings {
    fn fill(&mut self) {
        let Some(protocol) = self.protocol else {
            return;
        };
        let (message, outbox, calls) = match protocol {
            ProtocolName::TcpVerbs => (1 << 20, 1 << 20, 5),
            // A frame of 4 MiB ends a connection of the original; what it takes must also fit into outboxes.
            ProtocolName::WsChannels => ((4 << 20) - 1, 8 << 20, 100),
        };
        let limits = &mut self.limits;
        limits.message.get_or_insert(ByteSize(message));
        limits.outbox.get_or_insert(ByteSize(outbox));
        limits.calls_in_flight.get_or_insert(calls);
        match protocol {
            ProtocolName::TcpVerbs => self.verbs.get_or_insert_default().fill(),
            ProtocolName::WsChannels => {
                self.channels.get_or_insert_default();
            }
        }
    }
}

impl VerbsSettings {
    /// The switches in effect: those set alone, else those of the bundle.
    #[must_use]
    pub fn switches(&self) -> VerbsSwitches {
        let bundle = VerbsSwitches::of(self.compat);
        VerbsSwitches {
            message_count: self.message_count.unwrap_or(bundle.message_count),
            message_id: self.message_id.unwrap_or(bundle.message_id),
            error_prefix: self.error_prefix.unwrap_or(bundle.error_prefix),
            verb_error_key: self.verb_error_key.unwrap_or(bundle.verb_error_key),
            room_errors: self.room_errors.unwrap_or(bundle.room_errors),
            null_data: self.null_data.unwrap_or(bundle.null_data),
            welcome_room: self.welcome_room.unwrap_or(bundle.welcome_room),
            details_room: self.details_room.unwrap_or(bundle.details_room),
            bare_room_add: self.bare_room_add.unwrap_or(bundle.bare_room_add),
            echo_own_say: self.echo_own_say.unwrap_or(bundle.echo_own_say),
            sticky_scrub: self.sticky_scrub.unwrap_or(bundle.sticky_scrub),
            random_string: self.random_string.unwrap_or(bundle.random_string),
            cache_shape: self.cache_shape.unwrap_or(bundle.cache_shape),
            file_error: self.file_error.unwrap_or(bundle.file_error),
            goodbye: self.goodbye.clone().unwrap_or(bundle.goodbye),
        }
    }

    fn fill(&mut self) {
        let switches = self.switches();
        self.message_count = Some(switches.message_count);
        self.message_id = Some(switches.message_id);
        self.error_prefix = Some(switches.error_prefix);
        self.verb_error_key = Some(switches.verb_error_key);
        self.room_errors = Some(switches.room_errors);
        self.null_data = Some(switches.null_data);
        self.welcome_room = Some(switches.welcome_room);
        self.details_room = Some(switches.details_room);
        self.bare_room_add = Some(switches.bare_room_add);
        self.echo_own_say = Some(switches.echo_own_say);
        self.sticky_scrub = Some(switches.sticky_scrub);
        self.random_string = Some(switches.random_string);
        self.cache_shape = Some(switches.cache_shape);
        self.file_error = Some(switches.file_error);
        self.goodbye = Some(switches.goodbye);
    }
}
