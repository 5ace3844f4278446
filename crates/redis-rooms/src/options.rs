//! What the backplane is started with.

use std::time::Duration;

use polyport_core::RealmName;

use crate::{codec::Wire, deployment::Deployment};

/// How nodes reach each other over Redis.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Where Redis is.
    pub deployment: Deployment,
    /// The keys by which servers of Socket.IO know each other, by the realm that shares their rooms. Other realms are shared
    /// by gateways only.
    pub keys: Vec<(RealmName, String)>,
    /// Whether servers with the classic adapter take part; gateways need it among themselves in any case.
    pub classic: bool,
    /// Whether servers with the sharded adapter take part, and where they say what.
    pub sharded: Option<Sharding>,
    /// Whether the realms with keys are carried by streams: then servers with the streams adapter take part, and no others.
    pub streams: Option<StreamOptions>,
    /// What precedes the keys under which lost sessions are kept where there are streams: servers have the same.
    pub session_prefix: String,
    /// How binary is written.
    pub wire: Wire,
    /// Whether emitters before 1.0 are heard, and whoever publishes to `KEY#emitter` without one.
    pub ancient: bool,
    /// Whether servers with an adapter before 0.2 are heard, and hear the text that is published here.
    pub ancient_servers: bool,
    /// Whether servers with adapter 1.1 are answered when they ask who is in a room.
    pub legacy_sync: bool,
    /// Who counts as a socket when other servers ask.
    pub expose: Expose,
    /// Whether an event that another server has for servers is confirmed, so that it need not wait in vain.
    pub server_side_ack: bool,
    /// How many bytes may wait in each direction.
    pub queue_bytes: usize,
    /// How long a node that says nothing counts as alive, a second at least; without one, nodes put nothing on record about
    /// their sessions.
    pub time_to_live: Option<Duration>,
}

impl RedisOptions {
    /// By what gateways of one cluster know each other.
    pub(crate) fn cluster_name(&self) -> &str {
        self.keys.first().map_or("socket.io", |(_, key)| key)
    }
}

/// The streams of a cluster; all of its servers have to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// About so many entries are kept in each.
    pub length: usize,
    /// How many there are for each key: 1 or more.
    pub count: usize,
}

/// Where servers with the sharded adapter publish what is for one room; all of a cluster have to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharding {
    /// On the channel of the namespace.
    Static,
    /// On a channel of its own.
    Dynamic,
}

/// Whose sessions other servers hear of. What they order and publish reaches all either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expose {
    /// Those of their own protocol.
    #[default]
    SocketIo,
    /// Those of every protocol.
    All,
}
