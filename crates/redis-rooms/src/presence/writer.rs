//! Writes down what this node has: first everything, then what changes.

use std::{collections::HashSet, convert::Infallible, sync::Arc};

use polyport_core::{
    BackplaneMetrics, Hub, MemberInfo, RealmName, RoomName, SessionId, SessionInfo, SessionRef,
};
use redis::{FromRedisValue, Pipeline, RedisError, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::{
    Records,
    changes::{Change, Changed},
};
use crate::connection::Connection;

/// Commands after which a pipeline is sent.
const BATCH: usize = 500;

/// Of the rooms of one session, so many are written and so many bytes of names: a client that goes through rooms by the
/// thousand must not have all their names written each time.
const ROOMS: usize = 256;
const ROOM_BYTES: usize = 32 << 10;

/// In so many beats each room's record is renewed once: in a quarter of the time that it is kept.
const ROUND: usize = 15;

/// How a session is in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemberRecord {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) user: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub(super) joined_at: u64,
    pub(super) place: u64,
}

/// Writes over one connection.
pub(super) struct Writer<'a> {
    records: &'a Records,
    metrics: &'a BackplaneMetrics,
    hub: &'a Hub,
    connection: Connection,
    next_beat: Instant,
    /// The records are what the hub says, but for what has changed since.
    is_whole: bool,
    /// Redis has lost them meanwhile.
    is_lost: bool,
    /// Nothing could be written, the last time.
    is_failing: bool,
    /// What is to be sent next, and the rooms of which there is no record when it has been.
    pipeline: Pipeline,
    removed: Vec<(RealmName, RoomName)>,
    /// Rooms whose records wait for being renewed in this round, and how many are renewed by a beat.
    to_renew: Vec<(RealmName, RoomName)>,
    share: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        records: &'a Records,
        metrics: &'a BackplaneMetrics,
        hub: &'a Hub,
        connection: Connection,
    ) -> Self {
        Self {
            records,
            metrics,
            hub,
            connection,
            next_beat: Instant::now(),
            is_whole: false,
            is_lost: false,
            is_failing: false,
            pipeline: Pipeline::new(),
            removed: Vec::new(),
            to_renew: Vec::new(),
            share: 0,
        }
    }

    /// Writes until the link has to end.
    pub(super) async fn run(mut self) -> Result<Infallible, RedisError> {
        self.records.changes.begin();
        loop {
            let changed = tokio::select! {
                () = sleep_until(self.next_beat) => None,
                changed = self.records.changes.take() => Some(changed),
            };
            let done = match changed {
                None => self.look_after().await,
                // Everything will be written anyway.
                Some(_) if !self.is_whole => Ok(()),
                Some(Changed::Some(changes)) => self.write(changes).await,
                Some(Changed::Everything) => self.write_everything().await,
            };
            self.judge(done)?;
            if std::mem::take(&mut self.is_lost) {
                self.is_whole = false;
                self.next_beat = Instant::now();
            }
        }
    }

    /// Goes on after an error, or ends the link if it is at the wrong server or has lost it.
    fn judge(&mut self, done: RedisResult<()>) -> Result<(), RedisError> {
        let Err(error) = done else {
            if self.is_failing {
                info!("the records of who is here are written again");
            }
            self.is_failing = false;
            return Ok(());
        };
        self.is_whole = false;
        self.pipeline.clear();
        self.removed.clear();
        let is_single = matches!(self.connection, Connection::Single(_));
        if is_single && (error.code() == Some("READONLY") || error.is_unrecoverable_error()) {
            return Err(error);
        }
        if !self.is_failing {
            warn!(%error, "the records of who is here are not written: other nodes do not see it; what is published \
                  reaches them all the same");
        }
        self.is_failing = true;
        // Not again at once.
        self.next_beat = self
            .next_beat
            .max(Instant::now() + self.records.beat_every());
        Ok(())
    }

    /// What is due from time to time: says that this node is alive, and repairs and renews what it has written.
    async fn look_after(&mut self) -> RedisResult<()> {
        self.beat().await?;
        self.forget_the_dead().await?;
        if self.is_whole && !self.is_lost {
            self.renew().await
        } else {
            self.write_everything().await
        }
    }

    async fn send<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> RedisResult<T> {
        let sent = self.connection.query(pipeline).await;
        self.metrics.recorded(sent.is_ok());
        sent
    }

    /// Sends what has been put together, if that is enough for one pipeline.
    async fn send_if_full(&mut self) -> RedisResult<()> {
        if self.pipeline.len() < BATCH {
            return Ok(());
        }
        self.send_rest().await
    }

    /// Sends what has been put together. However much there is to do, this node says that it is alive.
    async fn send_rest(&mut self) -> RedisResult<()> {
        let pipeline = std::mem::take(&mut self.pipeline);
        let removed = std::mem::take(&mut self.removed);
        if pipeline.is_empty() {
            return Ok(());
        }
        if Instant::now() >= self.next_beat {
            self.beat().await?;
        }
        self.send::<()>(&pipeline).await?;
        let mut written = self.records.written.lock();
        for (realm, room) in removed {
            written.remove(&realm, &room);
        }
        Ok(())
    }

    async fn beat(&mut self) -> RedisResult<()> {
        self.next_beat = Instant::now() + self.records.beat_every();
        let own = &self.records.own;
        let (nodes, kept) = (self.records.keys.nodes(), millis(self.records.kept()));
        let mut pipeline = redis::pipe();
        pipeline.exists(own.beat());
        let alive = millis(self.records.time_to_live);
        let set = pipeline.cmd("SET").arg(own.beat());
        set.arg(u8::from(self.is_whole))
            .arg("PX")
            .arg(alive)
            .ignore();
        pipeline.sadd(&nodes, &*self.records.node).ignore();
        for key in [nodes.clone(), own.sessions(), own.ids()] {
            pipeline.pexpire(key, kept).ignore();
        }
        for realm in self.records.written.lock().realms() {
            pipeline.pexpire(own.rooms(realm), kept).ignore();
        }
        pipeline.smembers(nodes);
        let (was_alive, all): (bool, Vec<String>) = self.send(&pipeline).await?;
        if !was_alive {
            self.lost();
        }
        let others = all.iter().filter(|node| **node != *self.records.node);
        *self.records.others.lock() = others.map(|node| Arc::from(&**node)).collect();
        Ok(())
    }

    /// Redis has lost the records, or has none yet, or others have seen this node dead.
    fn lost(&mut self) {
        self.is_lost = true;
        // Those that were there may be so still.
        if !self.records.others.lock().is_empty() {
            let until = Instant::now() + self.records.time_to_live;
            *self.records.doubtful.lock() = Some(until);
        }
    }

    /// Takes nodes that are not alive out of the set of all. Who is alive after all puts itself in again.
    async fn forget_the_dead(&mut self) -> RedisResult<()> {
        let others = self.records.others.lock().clone();
        if others.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for node in &others {
            pipeline.exists(self.records.keys.of(node).beat());
        }
        let alive: Vec<bool> = self.send(&pipeline).await?;
        let dead = others.iter().zip(alive).filter(|(_, is_alive)| !is_alive);
        let dead: Vec<&str> = dead.map(|(node, _)| &**node).collect();
        if dead.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        pipeline.srem(self.records.keys.nodes(), dead).ignore();
        self.send(&pipeline).await
    }

    /// Renews a share of the rooms' records, and writes those anew that are gone.
    async fn renew(&mut self) -> RedisResult<()> {
        if self.to_renew.is_empty() {
            self.to_renew = self.records.written.lock().rooms();
            self.share = self.to_renew.len().div_ceil(ROUND);
        }
        let rest = self.to_renew.len().saturating_sub(self.share);
        let share = self.to_renew.split_off(rest);
        for rooms in share.chunks(BATCH) {
            let mut pipeline = redis::pipe();
            for (realm, room) in rooms {
                let key = self.records.own.room(realm, room);
                pipeline.pexpire(key, millis(self.records.kept()));
            }
            let renewed: Vec<bool> = self.send(&pipeline).await?;
            let lost = rooms.iter().zip(renewed).filter(|(_, is_there)| !is_there);
            for ((realm, room), _) in lost {
                self.write_room(realm, room).await?;
            }
        }
        self.send_rest().await
    }

    // --- everything -------------------------------------------------------------------------------------------------

    /// Writes everything anew. What changes meanwhile is looked at afterwards.
    async fn write_everything(&mut self) -> RedisResult<()> {
        (self.is_whole, self.is_lost) = (false, false);
        self.records.changes.begin();
        let before = self.records.written.lock().rooms();
        self.write_sessions().await?;
        let mut now: HashSet<(RealmName, RoomName)> = HashSet::new();
        for realm in self.hub.realms() {
            let rooms = realm.rooms(|_| true).into_iter();
            let rooms = rooms.filter(|room| room.members > 0).map(|room| room.name);
            let rooms: Vec<RoomName> = rooms.collect();
            for room in &rooms {
                self.write_room(realm.name(), room).await?;
            }
            let key = self.records.own.rooms(realm.name());
            let names = rooms.iter().map(|room| room.as_str().to_owned());
            self.replace_names(key, names.collect()).await?;
            now.extend(rooms.into_iter().map(|room| (realm.name().clone(), room)));
        }
        for (realm, room) in before.iter().filter(|room| !now.contains(room)) {
            self.remove_room(realm, room);
            self.send_if_full().await?;
        }
        self.send_rest().await?;
        self.is_whole = !self.is_lost;
        // It says so.
        self.beat().await
    }

    async fn write_sessions(&mut self) -> RedisResult<()> {
        let sessions = self.hub.sessions(|_| true);
        // Nothing here keeps them.
        let ids: Vec<SessionId> = sessions.iter().map(SessionRef::id).collect();
        drop(sessions);
        let draft = self.records.own.draft();
        self.pipeline.unlink(&draft).ignore();
        let mut written = Vec::new();
        for id in ids {
            if let Some(record) = self.session(id) {
                written.push(id.to_string());
                self.pipeline.hset(&draft, id.to_string(), record).ignore();
                self.send_if_full().await?;
            }
        }
        self.put(&draft, self.records.own.sessions(), written.is_empty());
        self.replace_names(self.records.own.ids(), written).await
    }

    /// Puts other names into a sorted set.
    async fn replace_names(&mut self, key: String, names: Vec<String>) -> RedisResult<()> {
        let draft = self.records.own.draft();
        self.pipeline.unlink(&draft).ignore();
        for name in &names {
            self.pipeline.zadd(&draft, name, 0).ignore();
            self.send_if_full().await?;
        }
        self.put(&draft, key, names.is_empty());
        self.send_if_full().await
    }

    async fn write_room(&mut self, realm: &RealmName, room: &RoomName) -> RedisResult<()> {
        let found = self.hub.find_realm(realm.as_str());
        let members = found.map(|found| found.members(room)).unwrap_or_default();
        self.records.written.lock().add(realm, room);
        let draft = self.records.own.draft();
        self.pipeline.unlink(&draft).ignore();
        for member in &members {
            let (id, record) = (member.id.to_string(), self.member(member));
            self.pipeline.hset(&draft, id, record).ignore();
            self.send_if_full().await?;
        }
        let key = self.records.own.room(realm, room);
        self.put(&draft, key, members.is_empty());
        self.send_if_full().await
    }

    /// Puts a draft in the place of a record: readers see the one or the other.
    fn put(&mut self, draft: &str, key: String, is_empty: bool) {
        if is_empty {
            self.pipeline.unlink(key).ignore();
        } else {
            let kept = millis(self.records.kept());
            self.pipeline.pexpire(draft, kept).ignore();
            self.pipeline.rename(draft, key).ignore();
        }
    }

    // --- what changes -----------------------------------------------------------------------------------------------

    async fn write(&mut self, changes: HashSet<Change>) -> RedisResult<()> {
        let mut rooms = HashSet::new();
        for change in changes {
            match change {
                Change::Session(id) => self.write_session(id),
                Change::Identity(id) => {
                    self.write_session(id);
                    self.write_member_everywhere(id);
                }
                Change::Member(realm, room, id) => {
                    self.write_member(&realm, &room, id);
                    rooms.insert((realm, room));
                }
            }
            self.send_if_full().await?;
        }
        for (realm, room) in &rooms {
            self.name_room(realm, room);
            self.send_if_full().await?;
        }
        self.send_rest().await
    }

    fn write_session(&mut self, id: SessionId) {
        let own = &self.records.own;
        let (sessions, ids, kept) = (own.sessions(), own.ids(), millis(self.records.kept()));
        let text = id.to_string();
        match self.session(id) {
            Some(record) => {
                self.pipeline.hset(&sessions, &text, record).ignore();
                self.pipeline.zadd(&ids, text, 0).ignore();
                self.pipeline.pexpire(sessions, kept).ignore();
                self.pipeline.pexpire(ids, kept).ignore();
            }
            None => {
                self.pipeline.hdel(sessions, &text).ignore();
                self.pipeline.zrem(ids, text).ignore();
            }
        }
    }

    fn write_member_everywhere(&mut self, id: SessionId) {
        let Some(session) = self.hub.session(id) else {
            return;
        };
        for room in session.rooms() {
            self.write_member(session.realm().name(), &room, id);
        }
    }

    fn write_member(&mut self, realm: &RealmName, room: &RoomName, id: SessionId) {
        let key = self.records.own.room(realm, room);
        let session = self.hub.session(id);
        let session = session.filter(|session| session.realm().name() == realm);
        match session.and_then(|session| session.membership(room)) {
            Some(member) => {
                let record = self.member(&member);
                self.records.written.lock().add(realm, room);
                self.pipeline.hset(&key, id.to_string(), record).ignore();
                let kept = millis(self.records.kept());
                self.pipeline.pexpire(key, kept).ignore();
            }
            None => {
                self.pipeline.hdel(key, id.to_string()).ignore();
            }
        }
    }

    /// Says that there is a room, or that there is none any more.
    fn name_room(&mut self, realm: &RealmName, room: &RoomName) {
        let found = self.hub.find_realm(realm.as_str());
        if !found.is_some_and(|found| found.has_members(room)) {
            return self.remove_room(realm, room);
        }
        let rooms = self.records.own.rooms(realm);
        self.pipeline.zadd(&rooms, room.as_str(), 0).ignore();
        let kept = millis(self.records.kept());
        self.pipeline.pexpire(rooms, kept).ignore();
    }

    fn remove_room(&mut self, realm: &RealmName, room: &RoomName) {
        let own = &self.records.own;
        self.pipeline.unlink(own.room(realm, room)).ignore();
        let rooms = own.rooms(realm);
        self.pipeline.zrem(rooms, room.as_str()).ignore();
        self.removed.push((realm.clone(), room.clone()));
    }

    fn session(&self, id: SessionId) -> Option<String> {
        let mut info = SessionInfo::of(&self.hub.session(id)?);
        shorten(&mut info.rooms);
        Some(serde_json::to_string(&info).expect("our own types always serialize"))
    }

    fn member(&self, member: &MemberInfo) -> String {
        let session = self.hub.session(member.id);
        let identity = session.and_then(|session| session.identity());
        let record = MemberRecord {
            user: identity.and_then(|who| who.user.as_deref().map(str::to_owned)),
            joined_at: member.joined_at.0,
            place: member.place,
        };
        serde_json::to_string(&record).expect("our own types always serialize")
    }
}

/// Removes everything that a node has written.
pub(super) async fn remove_all(records: &Records, mut connection: Connection) -> RedisResult<()> {
    let own = &records.own;
    let rooms = records.written.lock().rooms();
    let realms: HashSet<&RealmName> = rooms.iter().map(|(realm, _)| realm).collect();
    let mut pipeline = redis::pipe();
    for key in [own.beat(), own.sessions(), own.ids(), own.draft()] {
        pipeline.unlink(key).ignore();
    }
    for realm in realms {
        pipeline.unlink(own.rooms(realm)).ignore();
    }
    let nodes = records.keys.nodes();
    pipeline.srem(nodes, &*records.node).ignore();
    connection.query::<()>(&pipeline).await?;
    for rooms in rooms.chunks(BATCH) {
        let mut pipeline = redis::pipe();
        for (realm, room) in rooms {
            pipeline.unlink(own.room(realm, room)).ignore();
        }
        connection.query::<()>(&pipeline).await?;
    }
    Ok(())
}

fn shorten(rooms: &mut Vec<RoomName>) {
    rooms.truncate(ROOMS);
    let mut bytes = 0;
    rooms.retain(|room| {
        bytes += room.as_str().len();
        bytes <= ROOM_BYTES
    });
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_rooms_the_first_are_written() {
        let names = |count: usize, length: usize| -> Vec<RoomName> {
            let name = |index| RoomName::new(&format!("{index:0length$}")).unwrap();
            (0..count).map(name).collect()
        };
        for (mut rooms, expected) in [
            (names(3, 10), 3),
            (names(1000, 10), ROOMS),
            (names(100, 1024), ROOM_BYTES / 1024),
        ] {
            let before = rooms.clone();
            shorten(&mut rooms);
            assert_eq!(rooms, before[..expected]);
        }
    }
}
