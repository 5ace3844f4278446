//! Settings that belong to one protocol.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    places::{LoginCallback, ProtocolVersion, Secret},
    strict::{optional_table, optional_word, word},
    units::{ByteSize, Period},
    verbs::{
        CacheShape, Compat, ErrorPrefix, FileError, MessageCount, MessageId, RoomErrors, Scrub,
        VerbErrorKey, VerbsSwitches,
    },
};

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

/// How a `ws-rpc` listener behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RpcSettings {
    /// How often an open connection is pinged; one that has not answered by the next ping is cut. `"0s"` is never.
    pub heartbeat: Period,
    /// Answers a plain `GET` from the same decision as an opening, for clients that validate before they connect.
    pub validators: bool,
    /// The origins whose pages may read such answers; `*` is any.
    pub allow_origins: Vec<String>,
    /// The origins whose pages may connect; empty: any, and clients without one.
    pub origins: Vec<String>,
}

impl Default for RpcSettings {
    fn default() -> Self {
        Self {
            heartbeat: Period::secs(30),
            validators: false,
            allow_origins: vec!["*".to_owned()],
            origins: Vec::new(),
        }
    }
}

/// How a `socket-io` listener behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SocketIoSettings {
    /// Where it is served; clients may leave the last slash away.
    pub path: String,
    /// What clients may speak; a polling client is offered the upgrade only if `websocket` is here.
    pub transports: Vec<SocketIoTransport>,
    /// Which generations of clients are served: 3 is socket.io-client 1.x and 2.x, 4 is 3.x and 4.x (the number is Engine.IO's).
    pub generations: Vec<u8>,
    /// Namespaces beside `/`, which always exists. A `*` stands for any part of a name. Each has a realm of its own, `<realm>/<name>`.
    pub namespaces: Vec<String>,
    /// Time between pings.
    pub ping_interval: Period,
    /// How long the answer to a ping may take before the client counts as gone.
    pub ping_timeout: Period,
    /// How long a client may take to go from polling to WebSocket.
    pub upgrade_timeout: Period,
    /// How long a client may go without any namespace.
    pub connect_timeout: Period,
    /// How long a session of generation 4 whose connection is lost waits for its client, which comes back as who it was and gets what it has missed. `"0s"` is not at all. Every event has one more argument while this is on.
    pub recovery: Period,
    /// The name of a cookie with the session's id, for load balancers; empty is none.
    pub cookie: String,
    /// Pages that may poll from another origin, and open a WebSocket.
    pub cors: CorsSettings,
    /// Lets very old browsers poll by JSONP (generation 3). Every page can read that, whatever its origin, so that it needs `cors.origins = ["*"]` and no credentials.
    pub jsonp: bool,
    /// Answers to polls are compressed from this size on, if the client takes gzip or deflate; 0 is never. WebSocket is never compressed.
    pub compress_from: ByteSize,
    /// The folder with the browser's client, the `dist` of npm socket.io-client: pages take `socket.io.js` and its kin from `path`. It is read when the listener starts. Default: none is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_files: Option<PathBuf>,
    /// Events that no backend knows and that go to rooms.
    pub publish: Vec<PublishSettings>,
    /// How clients give the tokens that `auth` of the listener asks for.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub jwt: Option<JwtSettings>,
    /// What packets are written with; clients must be set to the same.
    #[serde(deserialize_with = "word")]
    pub parser: SocketIoParser,
}

/// How Socket.IO clients give their tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JwtSettings {
    /// Where tokens count: in the event `authenticate`, in the handshake (where `auth.from` says), in the payload of CONNECT.
    pub ways: Vec<JwtWay>,
    /// How long a client that has to log in by the event has for it, from CONNECT on or from when its token has expired.
    pub timeout: Period,
    /// What becomes of a client whose `authenticate` was refused: `"confirm"`, it is disconnected when it calls the callback; `"immediate"`; or a duration.
    pub callback: LoginCallback,
    /// Whether a client that has still to log in gets what is published to the rooms in `join`. Its own events are dropped either way.
    pub deliver_before_auth: bool,
}

impl Default for JwtSettings {
    fn default() -> Self {
        Self {
            ways: vec![JwtWay::Event, JwtWay::Handshake, JwtWay::Auth],
            timeout: Period::secs(5),
            callback: LoginCallback::Confirm,
            deliver_before_auth: false,
        }
    }
}

/// How a Socket.IO client can give a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JwtWay {
    /// By the event `authenticate` after CONNECT, as npm socketio-jwt has it.
    Event,
    /// In the address or a header of the handshake.
    Handshake,
    /// In the payload of CONNECT: `auth: { token }`.
    Auth,
}

/// What packets of Socket.IO are written with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SocketIoParser {
    /// What clients have by themselves.
    #[default]
    Json,
    /// For clients with npm socket.io-msgpack-parser, and no others.
    Msgpack,
    /// What a client of generation 4 shows by its first message; JSON for generation 3.
    Auto,
}

/// What packets of SocketCluster are written with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DevtoolsCodec {
    /// What clients have by themselves.
    #[default]
    Json,
    /// For clients with npm sc-codec-min-bin 3 as their codec, and no others.
    MinBin,
}

/// How a `devtools-relay` listener behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DevtoolsSettings {
    /// Where it is served; clients send the last slash too.
    pub path: String,
    /// Which generation of clients is served: `"auto"` finds out for each connection, `1` is socketcluster-client up to 14, `2` from 15 on; then it behaves as a server of that generation in every detail.
    pub protocol_version: ProtocolVersion,
    /// How packets are written: `"json"`, or `"min-bin"` for clients with npm sc-codec-min-bin, and no others.
    pub codec: DevtoolsCodec,
    /// Time between pings.
    pub ping_interval: Period,
    /// How long a client may be silent before it counts as gone, and how long it waits for a ping itself. Long, so that a program can stand at a breakpoint.
    pub ping_timeout: Period,
    /// How long a client may take to answer a call of the server.
    pub ack_timeout: Period,
    /// How long a client may take to shake hands.
    pub handshake_timeout: Period,
    /// When backends are asked whether a client may come in: at its `"handshake"`, which may bring a token, where a refusal is an error with a code; or at the `"upgrade"`, where it is HTTP 401.
    pub ask_backends: AskBackends,
    /// Whether clients may publish at all; what they may publish to is in `permissions`. Default: yes, unless it is a relay.
    pub allow_publish: Option<bool>,
    /// Whether it is a relay of the Redux DevTools too, where apps and monitors meet.
    pub relay: bool,
    /// Apps are told of every monitor that leaves, and monitors at once of every app, as by the original relay.
    pub strict: bool,
    /// How long an app may take to come back before monitors hear that it has gone.
    pub grace: Period,
    /// Apps at once, of each user if `teams` is on.
    pub max_apps: usize,
    /// Monitors at once, of each user if `teams` is on.
    pub max_monitors: usize,
    /// Bytes of the last states and actions of all instances that are kept for snapshots; 0 keeps none.
    pub history: ByteSize,
    /// The SQLite file in which reports are kept, relative to the configuration file. Default: they are in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reports: Option<PathBuf>,
    /// Reports that are kept; the oldest go.
    pub max_reports: usize,
    /// Bytes of all reports that are kept; the oldest go.
    pub reports_size: ByteSize,
    /// How long a report is kept; `"0s"` is for ever.
    pub reports_age: Period,
    /// The folder in which what apps say is recorded for `polyport devtools replay`, relative to the configuration file. Default: nothing is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recordings: Option<PathBuf>,
    /// Bytes of all recordings that are kept; the oldest go.
    pub recordings_size: ByteSize,
    /// The folder with the page that browsers see, such as `polyport devtools install-page` makes, relative to the configuration file. Default: a smaller page of the gateway's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<PathBuf>,
    /// Who may what on the relay: tables with `name`, `secret` (`"env:NAME"` or `"file:PATH"`) and `rights` (`"app"`, `"monitor"`, `"report"`; all of them by default). Without any, everybody who may connect may everything.
    pub users: Vec<DevtoolsUserSettings>,
    /// What those may who show no name, where there are `users` or a `rights_claim`.
    pub anybody: Vec<DevtoolsRight>,
    /// Every user is among its own, in the realm `<realm>/<name>`.
    pub teams: bool,
    /// Names of hosts that choose a team for who shows no name: `"*.devtools.example.com"`, where the first label is the user's name. They give no right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_hosts: Option<String>,
    /// The claim of tokens that has rights: a list of `"app"`, `"monitor"`, `"report"`, or a text with such words. The token's user counts as a name. Needs `auth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rights_claim: Option<String>,
    /// Pages that may connect, beside those of this machine, of the listener's own address and of browser extensions: `host:port`, either of them `*`. Programs always may.
    pub origins: Vec<String>,
}

impl Default for DevtoolsSettings {
    fn default() -> Self {
        Self {
            path: "/socketcluster/".to_owned(),
            protocol_version: ProtocolVersion::default(),
            codec: DevtoolsCodec::default(),
            ping_interval: Period::secs(8),
            ping_timeout: Period::secs(600),
            ack_timeout: Period::secs(10),
            handshake_timeout: Period::secs(10),
            ask_backends: AskBackends::Handshake,
            allow_publish: None,
            relay: false,
            strict: false,
            grace: Period::secs(3),
            max_apps: 100,
            max_monitors: 100,
            history: ByteSize(64 << 20),
            reports: None,
            max_reports: 1_000,
            reports_size: ByteSize(256 << 20),
            reports_age: Period::secs(30 * 86_400),
            recordings: None,
            recordings_size: ByteSize(1 << 30),
            page: None,
            users: Vec::new(),
            anybody: Vec::new(),
            teams: false,
            team_hosts: None,
            rights_claim: None,
            origins: Vec::new(),
        }
    }
}

/// When backends are asked whether a client of SocketCluster may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AskBackends {
    /// At its first packet.
    Handshake,
    /// Before the WebSocket is there.
    Upgrade,
}

/// Somebody who is known to a relay, and what he may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DevtoolsUserSettings {
    /// The name, without a colon.
    pub name: String,
    /// Where the secret is: `"env:NAME"` or `"file:PATH"`.
    pub secret: Secret,
    /// What it may. Default: everything.
    #[serde(default = "every_right")]
    pub rights: Vec<DevtoolsRight>,
}

fn every_right() -> Vec<DevtoolsRight> {
    vec![
        DevtoolsRight::App,
        DevtoolsRight::Monitor,
        DevtoolsRight::Report,
    ]
}

/// What a client may on a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DevtoolsRight {
    /// Say what happens inside it, and send reports.
    App,
    /// See what apps say, and have them do something.
    Monitor,
    /// Read and remove reports.
    Report,
}

/// What may carry Engine.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SocketIoTransport {
    /// HTTP long-polling.
    Polling,
    /// WebSocket.
    Websocket,
}

/// Which pages of other origins may talk to a listener.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CorsSettings {
    /// Their origins; a `*` stands for any part, alone for any origin. Empty: no page of another origin can poll, and WebSockets are opened only by pages whose host is the gateway's, and by programs.
    pub origins: Vec<String>,
    /// Whether they may send cookies.
    pub credentials: bool,
}

/// An event that clients publish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishSettings {
    /// The event's name.
    pub event: String,
    /// The rooms it goes to, to everybody in them.
    pub rooms: Vec<String>,
    /// The name under which it goes there. Default: its own.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Default for SocketIoSettings {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            transports: vec![SocketIoTransport::Polling, SocketIoTransport::Websocket],
            generations: vec![3, 4],
            namespaces: Vec::new(),
            ping_interval: Period::secs(25),
            ping_timeout: Period::secs(20),
            upgrade_timeout: Period::secs(10),
            connect_timeout: Period::secs(45),
            recovery: Period::secs(0),
            cookie: String::new(),
            cors: CorsSettings::default(),
            jsonp: false,
            compress_from: ByteSize(0),
            client_files: None,
            publish: Vec::new(),
            jwt: None,
            parser: SocketIoParser::default(),
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

    pub(super) fn fill(&mut self) {
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
