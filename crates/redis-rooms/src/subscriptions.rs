//! What this node listens to: it follows the realms that exist and the rooms that somebody is in.

use std::{collections::HashSet, convert::Infallible};

use parking_lot::Mutex;
use polyport_core::{Hub, RealmName, RoomName};
use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::sync::Notify;

use crate::{
    deployment::{ConnectError, Found},
    realms,
    shards::Inlets,
    shared::Shared,
    typed,
};

/// Channels, or patterns, that one command names.
const BATCH: usize = 1000;

/// Bytes of the ids that clients of Socket.IO have. Rooms of such a name are heard by a pattern, since every client is in
/// one of its own.
const ID: usize = 20;

/// Something that may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// Whether a realm exists.
    Realm(RealmName),
    /// Whether somebody is in a room.
    Room(RealmName, RoomName),
}

/// What may have changed since it was looked at.
#[derive(Default)]
pub(crate) struct Changes {
    /// Nothing while nobody will look: then everything is looked at later.
    found: Mutex<Option<HashSet<Change>>>,
    more: Notify,
}

impl Changes {
    pub(crate) fn add(&self, change: impl FnOnce() -> Change) {
        let mut found = self.found.lock();
        let Some(found) = &mut *found else { return };
        if found.insert(change()) && found.len() == 1 {
            self.more.notify_one();
        }
    }

    /// Remembers from now on.
    fn begin(&self) {
        *self.found.lock() = Some(HashSet::new());
    }

    /// Remembers nothing from now on.
    pub(crate) fn end(&self) {
        *self.found.lock() = None;
    }

    async fn take(&self) -> HashSet<Change> {
        loop {
            let taken = self.found.lock().as_mut().map(std::mem::take);
            match taken {
                Some(changes) if !changes.is_empty() => return changes,
                _ => self.more.notified().await,
            }
        }
    }
}

/// The subscriptions of one connection.
pub(crate) struct Subscriptions<'a> {
    shared: &'a Shared,
    found: &'a Found,
    connection: MultiplexedConnection,
    /// On a Cluster, the way from sharded channels.
    inlets: Option<Inlets<'a>>,
    channels: HashSet<String>,
    patterns: HashSet<String>,
    shards: HashSet<String>,
}

impl<'a> Subscriptions<'a> {
    /// Subscribes to everything that is wanted now.
    pub(crate) async fn start(
        shared: &'a Shared,
        hub: &Hub,
        found: &'a Found,
        connection: MultiplexedConnection,
        inlets: Option<Inlets<'a>>,
    ) -> Result<Self, ConnectError> {
        let mut subscriptions = Self {
            shared,
            found,
            connection,
            inlets,
            channels: HashSet::new(),
            patterns: HashSet::new(),
            shards: HashSet::new(),
        };
        // First, so that nothing changes unseen.
        shared.changes.begin();
        let mut wanted = Wanted::default();
        wanted.add_always(shared);
        for realm in hub.realms() {
            wanted.add_realm(shared, realm.name());
            for room in realm.rooms(|_| true) {
                if room.members > 0 {
                    wanted.add_room(shared, realm.name(), &room.name);
                }
            }
        }
        subscriptions.change(wanted, Wanted::default()).await?;
        Ok(subscriptions)
    }

    /// Follows what changes, for as long as the connection lives.
    pub(crate) async fn follow(mut self, hub: &Hub) -> Result<Infallible, ConnectError> {
        loop {
            tokio::select! {
                changes = self.shared.changes.take() => {
                    let (more, less) = self.looked_at(hub, changes);
                    self.change(more, less).await?;
                }
                () = lost(self.inlets.as_ref()) => self.regain().await?,
            }
        }
    }

    /// What is wanted by now of what has changed, and what is not.
    fn looked_at(&self, hub: &Hub, changes: HashSet<Change>) -> (Wanted, Wanted) {
        let (mut more, mut less) = (Wanted::default(), Wanted::default());
        for change in changes {
            match change {
                Change::Realm(name) => {
                    let exists = hub.find_realm(name.as_str()).is_some();
                    let into = if exists { &mut more } else { &mut less };
                    into.add_realm(self.shared, &name);
                }
                Change::Room(realm, room) => {
                    let found = hub.find_realm(realm.as_str());
                    let is_used = found.is_some_and(|found| found.has_members(&room));
                    let into = if is_used { &mut more } else { &mut less };
                    into.add_room(self.shared, &realm, &room);
                }
            }
        }
        (more, less)
    }

    /// Follows sharded channels to the nodes that have them now.
    async fn regain(&mut self) -> Result<(), ConnectError> {
        match &mut self.inlets {
            Some(inlets) => inlets.subscribe(&list(&self.shards)).await,
            None => Ok(()),
        }
    }

    async fn change(&mut self, mut more: Wanted, mut less: Wanted) -> Result<(), ConnectError> {
        more.channels.retain(|name| !self.channels.contains(name));
        more.patterns.retain(|name| !self.patterns.contains(name));
        more.shards.retain(|name| !self.shards.contains(name));
        less.channels.retain(|name| self.channels.contains(name));
        less.patterns.retain(|name| self.patterns.contains(name));
        less.shards.retain(|name| self.shards.contains(name));
        let found = self.found;
        let broken = |error| found.error(error);
        self.subscribe(&more).await.map_err(broken)?;
        self.unsubscribe(&less).await.map_err(broken)?;
        if let Some(inlets) = &mut self.inlets {
            inlets.subscribe(&list(&more.shards)).await?;
            inlets.unsubscribe(&list(&less.shards)).await?;
        }
        self.channels.retain(|name| !less.channels.contains(name));
        self.patterns.retain(|name| !less.patterns.contains(name));
        self.channels.extend(more.channels);
        self.patterns.extend(more.patterns);
        self.shards.retain(|name| !less.shards.contains(name));
        self.shards.extend(more.shards);
        let all = self.channels.len() + self.patterns.len() + self.shards.len();
        let metrics = &self.shared.metrics;
        metrics
            .subscriptions
            .set(i64::try_from(all).unwrap_or(i64::MAX));
        Ok(())
    }

    async fn subscribe(&mut self, more: &Wanted) -> RedisResult<()> {
        for names in list(&more.channels).chunks(BATCH) {
            self.connection.subscribe(names).await?;
        }
        for names in list(&more.patterns).chunks(BATCH) {
            self.connection.psubscribe(names).await?;
        }
        self.sharded("SSUBSCRIBE", &more.shards).await
    }

    async fn unsubscribe(&mut self, less: &Wanted) -> RedisResult<()> {
        for names in list(&less.channels).chunks(BATCH) {
            self.connection.unsubscribe(names).await?;
        }
        for names in list(&less.patterns).chunks(BATCH) {
            self.connection.punsubscribe(names).await?;
        }
        self.sharded("SUNSUBSCRIBE", &less.shards).await
    }

    /// Where one server has all channels. Each is named by a command of its own, since each is confirmed by itself.
    async fn sharded(&mut self, command: &str, names: &HashSet<String>) -> RedisResult<()> {
        if self.inlets.is_some() {
            return Ok(());
        }
        for names in list(names).chunks(BATCH) {
            let mut pipeline = redis::Pipeline::with_capacity(names.len());
            for name in names {
                pipeline.cmd(command).arg(name).ignore();
            }
            pipeline.query_async::<()>(&mut self.connection).await?;
        }
        Ok(())
    }
}

/// Waits until sharded channels have left their node.
async fn lost(inlets: Option<&Inlets<'_>>) {
    match inlets {
        Some(inlets) => inlets.lost().await,
        None => std::future::pending().await,
    }
}

fn list(names: &HashSet<String>) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[derive(Default)]
struct Wanted {
    channels: HashSet<String>,
    patterns: HashSet<String>,
    shards: HashSet<String>,
}

impl Wanted {
    fn add_always(&mut self, shared: &Shared) {
        self.channels.extend(shared.private.all());
        for base in shared.shared_bases() {
            if shared.options.ancient {
                self.channels.insert(base.channels.emitter());
            }
            if shared.options.ancient_servers && !shared.streams.carry(base.realm_name()) {
                self.patterns.insert(base.channels.ancient_pattern());
            }
        }
    }

    fn add_realm(&mut self, shared: &Shared, realm: &RealmName) {
        let base = shared.base(realm);
        let (_, namespace) = realms::split(realm.as_str());
        if base.is_shared && shared.options.sharded.is_some() {
            self.shards.insert(base.channels.namespace(namespace));
            let answers = base.channels.room(namespace, &shared.shard_uid);
            self.shards.insert(answers);
        }
        if shared.streams.carry(base.realm_name()) {
            self.channels.insert(base.channels.namespace(namespace));
            let answers = base.channels.room(namespace, &shared.shard_uid);
            self.channels.insert(answers);
        }
        if !shared.is_classic(&base) {
            return;
        }
        self.channels.insert(base.channels.namespace(namespace));
        self.channels.insert(base.channels.request(namespace));
        self.channels.insert(base.channels.response(namespace));
        self.patterns.insert(base.channels.ids(namespace));
        self.patterns.extend(base.channels.old_ids(namespace));
        if base.is_shared {
            if shared.options.legacy_sync {
                self.channels.insert(base.channels.sync_request(namespace));
            }
            self.patterns
                .extend(base.channels.pattern_without_slash(namespace));
        }
    }

    fn add_room(&mut self, shared: &Shared, realm: &RealmName, room: &RoomName) {
        let (_, namespace) = realms::split(realm.as_str());
        let base = shared.base(realm);
        let channel = base.channels.room(namespace, room.as_str());
        let sharded = shared.options.sharded.filter(|_| base.is_shared);
        if sharded.is_some_and(|sharding| typed::has_channel(sharding, room)) {
            self.shards.insert(channel.clone());
        }
        if shared.is_classic(&base) && !is_heard_by_pattern(namespace, room.as_str()) {
            self.channels.insert(channel);
        }
    }
}

/// Whether messages for a room arrive without a subscription of its own; with one they would arrive twice.
fn is_heard_by_pattern(namespace: &str, room: &str) -> bool {
    let old = room
        .strip_prefix(namespace)
        .and_then(|rest| rest.strip_prefix('#'))
        .filter(|_| namespace != "/");
    room.len() == ID || old.is_some_and(|id| id.len() == ID)
}
