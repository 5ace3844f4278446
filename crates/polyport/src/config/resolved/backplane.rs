//! What the backplane runs on.

use std::{path::PathBuf, time::Duration};

use polyport_core::RealmName;

use super::SecretConfig;
use crate::config::settings::{OnOutage, RedisDeployment, RedisExpose, RedisWire, ServerSideAck};

/// How nodes reach each other over Redis.
#[derive(Debug, Clone, PartialEq)]
pub struct RedisConfig {
    /// Where Redis is; at least one address, each known to be one.
    pub urls: Vec<String>,
    /// What stands there.
    pub deployment: RedisDeployment,
    /// The name that Sentinels have for the primary.
    pub primary: String,
    /// How servers let in.
    pub login: RedisLogin,
    /// How Sentinels let in.
    pub sentinel_login: RedisLogin,
    /// The database of the records.
    pub database: i64,
    /// Trusted authorities, if not those of the system.
    pub ca: Option<PathBuf>,
    /// The own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// What becomes of this node while Redis is out of reach.
    pub on_outage: OnOutage,
    /// Bytes that may wait in each direction.
    pub queue: usize,
    /// How long a node counts as alive that says nothing; without it, nothing is put on record.
    pub time_to_live: Option<Duration>,
    /// Realms and the keys of their clusters.
    pub keys: Vec<(RealmName, String)>,
    /// Whether servers with the classic adapter take part.
    pub classic: bool,
    /// Whether those with the sharded adapter do, and whether with a channel for each room.
    pub sharded: Option<bool>,
    /// How long and how many the streams are, if realms with keys are carried by streams.
    pub streams: Option<(usize, usize)>,
    /// What precedes the keys of lost sessions.
    pub session_prefix: String,
    /// How binary is written.
    pub wire: RedisWire,
    /// Whether emitters before 1.0 are heard.
    pub ancient: bool,
    /// Whether servers with socket.io-redis 0.1 are heard, and hear text.
    pub ancient_servers: bool,
    /// Whether servers with socket.io-redis 1.1 are answered.
    pub legacy_sync: bool,
    /// Whose sessions other servers are told of.
    pub expose: RedisExpose,
    /// What answers an event for servers.
    pub server_side_ack: ServerSideAck,
}

/// A user and where the password is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RedisLogin {
    /// The user; without one, the default user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<SecretConfig>,
}
