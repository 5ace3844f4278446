//! Settings of the backplane: how the nodes of a cluster reach each other.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    places::Secret,
    strict::{Texts, optional_table, table, word, words},
    units::{ByteSize, Period},
};

/// How the nodes of a cluster reach each other. Changes take effect at the next start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackplaneSettings {
    /// `memory`: this node is alone. `redis`: nodes, Socket.IO servers and their emitters meet in Redis. `redis-streams`: the same
    /// with servers that have the streams adapter; what Redis has missed is delivered when it is back.
    #[serde(deserialize_with = "word")]
    pub engine: BackplaneEngine,
    /// Where Redis is: `redis://HOST:PORT`, `rediss://HOST:PORT` for TLS, `redis+unix:///PATH`. Several are Sentinels or nodes
    /// of a Cluster, or else tried one after the other.
    pub url: Texts,
    /// What stands at `url`.
    #[serde(deserialize_with = "word")]
    pub deployment: RedisDeployment,
    /// The name that Sentinels have for the primary.
    pub primary: String,
    /// The user of Redis's access list; without one, the default user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password, in a place of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The user at the Sentinels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel_user: Option<String>,
    /// The password of the Sentinels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentinel_password: Option<Secret>,
    /// The database of the records. Messages have none: all databases of a server share their channels.
    pub database: i64,
    /// Whom a `rediss` connection trusts. Without it, the authorities of the system.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub tls: Option<BackplaneTlsSettings>,
    /// What becomes of this node while Redis is out of reach.
    #[serde(deserialize_with = "word")]
    pub on_outage: OnOutage,
    /// Bytes that may wait in each direction. What is more is dropped and counted.
    pub queue: ByteSize,
    /// Whether this node puts on record who is here, and sees who is on other nodes.
    pub presence: bool,
    /// How long a node counts as alive that says nothing: so long after its death it is still seen by others.
    pub time_to_live: Period,
    /// The keys of Socket.IO clusters, by the realm that shares their rooms; a namespace `/x` is the realm `REALM/x`. Gateways
    /// share the rooms of all other realms among themselves. Default: `{ default = "socket.io" }`.
    pub keys: BTreeMap<String, String>,
    /// The streams of the engine `redis-streams`, which are called like the keys.
    #[serde(deserialize_with = "table")]
    pub streams: BackplaneStreamsSettings,
    /// How this node gets on with servers and emitters of Socket.IO.
    #[serde(deserialize_with = "table")]
    pub socket_io: BackplaneSocketIoSettings,
}

impl Default for BackplaneSettings {
    fn default() -> Self {
        Self {
            engine: BackplaneEngine::Memory,
            url: Texts(vec!["redis://127.0.0.1:6379".to_owned()]),
            deployment: RedisDeployment::Single,
            primary: "mymaster".to_owned(),
            user: None,
            password: None,
            sentinel_user: None,
            sentinel_password: None,
            database: 0,
            tls: None,
            on_outage: OnOutage::Local,
            queue: ByteSize(16 << 20),
            presence: true,
            time_to_live: Period::secs(15),
            keys: BTreeMap::from([("default".to_owned(), "socket.io".to_owned())]),
            streams: BackplaneStreamsSettings::default(),
            socket_io: BackplaneSocketIoSettings::default(),
        }
    }
}

/// How nodes reach each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackplaneEngine {
    /// Not at all: there is one.
    #[default]
    Memory,
    /// Over channels of Redis, which keeps nothing.
    Redis,
    /// Over streams of Redis, which keeps the last events.
    RedisStreams,
}

/// What servers of Redis are to each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RedisDeployment {
    /// There is one.
    #[default]
    Single,
    /// Sentinels, which know the primary.
    Sentinel,
    /// Nodes of a Redis Cluster.
    Cluster,
}

/// What becomes of a node that is cut off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnOutage {
    /// It goes on by itself, and stays ready.
    #[default]
    Local,
    /// It goes on by itself; `/readyz` says no.
    Unready,
    /// It takes no new sessions either.
    Refuse,
}

/// Files in PEM.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackplaneTlsSettings {
    /// The authorities that are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The own certificate, where Redis asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Streams; all servers of a cluster have to agree on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackplaneStreamsSettings {
    /// About how many events each of them keeps: the `maxLen` of servers.
    pub length: usize,
    /// How many there are for each key: the `streamCount` of servers. A namespace is in one of them.
    pub count: usize,
    /// What precedes the keys under which sessions of lost clients are kept: the `sessionKeyPrefix` of servers.
    pub session_prefix: String,
}

impl Default for BackplaneStreamsSettings {
    fn default() -> Self {
        Self {
            length: 10_000,
            count: 1,
            session_prefix: "sio:session:".to_owned(),
        }
    }
}

/// How a node gets on with servers and emitters of Socket.IO.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackplaneSocketIoSettings {
    /// Whose adapters take part: `classic`, and one of `sharded` and `sharded-static`, which is the `subscriptionMode` of theirs.
    #[serde(deserialize_with = "words")]
    pub adapters: Vec<RedisAdapter>,
    /// How binary is written: `modern` for servers of 3.x and 4.x, `legacy` for those of 2.x.
    #[serde(deserialize_with = "word")]
    pub wire: RedisWire,
    /// Hears `KEY#emitter`: emitters before 1.0, and programs that publish without one.
    pub ancient: bool,
    /// Hears servers with socket.io-redis 0.1, and has them hear text.
    pub ancient_servers: bool,
    /// Answers servers with socket.io-redis 1.1, which ask in a way of their own.
    pub legacy_sync: bool,
    /// Whose sessions other servers are told of: `socket-io`, or those of `all` protocols.
    #[serde(deserialize_with = "word")]
    pub expose: RedisExpose,
    /// What answers an event that another server has for servers and wants an answer to: `null` at once, or with `ignore`
    /// nothing, so that the other server waits until its time is over.
    #[serde(deserialize_with = "word")]
    pub server_side_ack: ServerSideAck,
}

impl Default for BackplaneSocketIoSettings {
    fn default() -> Self {
        Self {
            adapters: vec![RedisAdapter::Classic],
            wire: RedisWire::Modern,
            ancient: true,
            ancient_servers: false,
            legacy_sync: false,
            expose: RedisExpose::SocketIo,
            server_side_ack: ServerSideAck::Null,
        }
    }
}

/// An adapter of Socket.IO servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RedisAdapter {
    /// `createAdapter` of @socket.io/redis-adapter, and all of socket.io-redis.
    Classic,
    /// `createShardedAdapter`, with a channel for each room.
    Sharded,
    /// The same with `subscriptionMode: "static"`.
    ShardedStatic,
}

/// How binary is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RedisWire {
    /// As MessagePack has it.
    #[default]
    Modern,
    /// As socket.io-redis 3.x to 5.x has it.
    Legacy,
}

/// Whose sessions count as sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RedisExpose {
    /// Those of listeners that speak Socket.IO.
    #[default]
    SocketIo,
    /// Those of all listeners of the realm.
    All,
}

/// What answers an event for servers that wants an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServerSideAck {
    /// `null`, at once.
    #[default]
    Null,
    /// Nothing: who asks waits until its time is over.
    Ignore,
}
