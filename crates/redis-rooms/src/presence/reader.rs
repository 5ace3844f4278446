//! Reads what the other nodes have written.

use std::{collections::HashMap, sync::Arc, time::Duration};

use polyport_core::{
    Known, Member, Millis, Part, RealmName, RoomInfo, RoomName, SessionId, SessionInfo,
};
use redis::{FromRedisValue, Pipeline, RedisResult};
use tokio::time::timeout;
use tracing::debug;

use super::{Records, writer::MemberRecord};
use crate::connection::Connection;

/// Names or members that one command reads.
const BATCH: usize = 1000;

/// How long reading may take in all.
const LIMIT: Duration = Duration::from_secs(2);

/// The other nodes that are alive.
struct Others {
    nodes: Vec<Arc<str>>,
    /// Whether all of them have written everything.
    are_whole: bool,
}

/// Reads over one connection.
struct Reader<'a> {
    records: &'a Records,
    connection: Connection,
}

/// A way through the names of one node, in their order.
struct Walk {
    node: Arc<str>,
    key: String,
    /// Where the next batch begins.
    from: Vec<u8>,
    /// How many of them were wanted.
    found: usize,
    is_over: bool,
}

impl Records {
    /// Has somebody read; nothing is known if that cannot be done in time.
    async fn read<T: Default>(
        &self,
        work: impl AsyncFnOnce(&mut Reader<'_>, &Others) -> RedisResult<T>,
    ) -> Known<T> {
        let connection = self.connection.lock().clone();
        let reading = async {
            let mut reader = Reader {
                records: self,
                connection: connection?,
            };
            let read = async {
                let others = reader.others().await?;
                let value = work(&mut reader, &others).await?;
                Ok(Known {
                    value,
                    is_complete: others.are_whole && !self.is_doubtful(),
                })
            };
            let read: RedisResult<Known<T>> = read.await;
            read.inspect_err(|error| debug!(%error, "the records of other nodes cannot be read"))
                .ok()
        };
        let read = timeout(LIMIT, reading).await.ok().flatten();
        read.unwrap_or_else(|| Known {
            value: T::default(),
            is_complete: false,
        })
    }

    pub(crate) async fn members(&self, realm: &RealmName, room: &RoomName) -> Known<Vec<Member>> {
        let read = self.read(async |reader, others| {
            let found = reader.room(others, realm, room).await?;
            let members = found.into_iter().flat_map(|(node, members)| {
                let members = members.into_iter();
                members.filter_map(move |(id, record)| member(&node, &id, &record))
            });
            Ok(members.collect())
        });
        read.await
    }

    pub(crate) async fn rooms(
        &self,
        realm: &RealmName,
        prefix: &str,
        part: Part<'_, RoomName>,
    ) -> Known<Vec<RoomInfo>> {
        let read = self.read(async |reader, others| {
            let mut walks = reader.walks(others, |keys| keys.rooms(realm), part.after);
            let mut found = Vec::new();
            // No text is behind this one that begins so.
            let end = [b"(", prefix.as_bytes(), b"\xff"].concat();
            for walk in &mut walks {
                walk.from = later(&walk.from, prefix);
            }
            while let Some(batches) = reader.names(&mut walks, &end).await? {
                for (index, names) in batches {
                    let names = names.iter().filter_map(|name| RoomName::new(name).ok());
                    let names = names.filter(|name| (part.wanted)(name));
                    let names: Vec<_> = names.take(part.count - walks[index].found).collect();
                    walks[index].count(names.len(), part.count);
                    found.extend(names.into_iter().map(|name| (index, name)));
                }
            }
            reader.counts(&walks, realm, found).await
        });
        read.await
    }

    pub(crate) async fn sessions(
        &self,
        room: Option<(&RealmName, &RoomName)>,
        part: Part<'_, SessionInfo>,
    ) -> Known<Vec<SessionInfo>> {
        let read = self.read(async |reader, others| {
            if let Some((realm, room)) = room {
                return reader.sessions_in(others, realm, room, part).await;
            }
            let mut walks = reader.walks(others, super::NodeKeys::ids, part.after);
            let mut found = Vec::new();
            while let Some(batches) = reader.names(&mut walks, b"+").await? {
                for (index, ids) in batches {
                    let node = Arc::clone(&walks[index].node);
                    let sessions = reader.infos(&node, &ids).await?.into_iter();
                    let sessions = sessions.filter(|session| (part.wanted)(session));
                    let before = found.len();
                    found.extend(sessions.take(part.count - walks[index].found));
                    walks[index].count(found.len() - before, part.count);
                }
            }
            Ok(found)
        });
        read.await
    }

    pub(crate) async fn session(&self, id: SessionId) -> Known<Option<SessionInfo>> {
        let read = self.read(async |reader, others| {
            let mut pipeline = redis::pipe();
            for node in &others.nodes {
                let key = reader.records.keys.of(node).sessions();
                pipeline.hget(key, id.to_string());
            }
            let found: Vec<Option<String>> = reader.query(&pipeline).await?;
            let mut found = others.nodes.iter().zip(found);
            Ok(found.find_map(|(node, record)| info(node, &record?)))
        });
        read.await
    }
}

impl Reader<'_> {
    /// The answer to a pipeline. One without commands is not sent.
    async fn query<T: FromRedisValue + Default>(&mut self, pipeline: &Pipeline) -> RedisResult<T> {
        if pipeline.is_empty() {
            return Ok(T::default());
        }
        self.connection.query(pipeline).await
    }

    /// Which of the other nodes are alive.
    async fn others(&mut self) -> RedisResult<Others> {
        let mut pipeline = redis::pipe();
        pipeline.smembers(self.records.keys.nodes());
        let all: Vec<Vec<String>> = self.query(&pipeline).await?;
        let all = all.into_iter().flatten();
        let all: Vec<Arc<str>> = all
            .filter(|node| **node != *self.records.node)
            .map(Arc::from)
            .collect();
        let mut pipeline = redis::pipe();
        for node in &all {
            pipeline.get(self.records.keys.of(node).beat());
        }
        let beats: Vec<Option<u8>> = self.query(&pipeline).await?;
        let alive = all.into_iter().zip(beats);
        let alive: Vec<(Arc<str>, u8)> = alive
            .filter_map(|(node, beat)| Some((node, beat?)))
            .collect();
        Ok(Others {
            are_whole: alive.iter().all(|(_, whole)| *whole == 1),
            nodes: alive.into_iter().map(|(node, _)| node).collect(),
        })
    }

    /// The records of a room, by the node that has written them.
    async fn room(
        &mut self,
        others: &Others,
        realm: &RealmName,
        room: &RoomName,
    ) -> RedisResult<Vec<(Arc<str>, HashMap<String, String>)>> {
        let nodes = others.nodes.iter();
        let mut found: Vec<_> = nodes
            .map(|node| (Arc::clone(node), HashMap::new()))
            .collect();
        // A large room comes in parts, so that Redis can do something else in between.
        let mut open: Vec<(usize, u64)> = (0..found.len()).map(|index| (index, 0)).collect();
        while !open.is_empty() {
            let mut pipeline = redis::pipe();
            for (index, cursor) in &open {
                let key = self.records.keys.of(&found[*index].0).room(realm, room);
                let scan = pipeline.cmd("HSCAN").arg(key).arg(*cursor);
                scan.arg("COUNT").arg(BATCH);
            }
            let parts: Vec<(u64, HashMap<String, String>)> = self.query(&pipeline).await?;
            let mut rest = Vec::new();
            for ((index, _), (cursor, part)) in open.into_iter().zip(parts) {
                found[index].1.extend(part);
                if cursor != 0 {
                    rest.push((index, cursor));
                }
            }
            open = rest;
        }
        Ok(found)
    }

    async fn sessions_in(
        &mut self,
        others: &Others,
        realm: &RealmName,
        room: &RoomName,
        part: Part<'_, SessionInfo>,
    ) -> RedisResult<Vec<SessionInfo>> {
        let mut found = Vec::new();
        for (node, members) in self.room(others, realm, room).await? {
            let ids = members.into_keys();
            let ids = ids.filter(|id| part.after.is_none_or(|after| &**id > after));
            let mut ids: Vec<String> = ids.collect();
            ids.sort_unstable();
            let mut left = part.count;
            for ids in ids.chunks(BATCH) {
                let sessions = self.infos(&node, ids).await?.into_iter();
                let sessions = sessions.filter(|session| (part.wanted)(session));
                let before = found.len();
                found.extend(sessions.take(left));
                left -= found.len() - before;
                if left == 0 {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// What is known of some sessions of a node.
    async fn infos(&mut self, node: &Arc<str>, ids: &[String]) -> RedisResult<Vec<SessionInfo>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        let key = self.records.keys.of(node).sessions();
        pipeline.cmd("HMGET").arg(key).arg(ids);
        let records: Vec<Vec<Option<String>>> = self.query(&pipeline).await?;
        let records = records.into_iter().flatten().flatten();
        Ok(records.filter_map(|record| info(node, &record)).collect())
    }

    /// How many members the rooms have that were found.
    async fn counts(
        &mut self,
        walks: &[Walk],
        realm: &RealmName,
        found: Vec<(usize, RoomName)>,
    ) -> RedisResult<Vec<RoomInfo>> {
        let mut infos = Vec::new();
        for rooms in found.chunks(BATCH) {
            let mut pipeline = redis::pipe();
            for (index, room) in rooms {
                let keys = self.records.keys.of(&walks[*index].node);
                pipeline.hlen(keys.room(realm, room));
            }
            let counts: Vec<usize> = self.query(&pipeline).await?;
            let rooms = rooms.iter().zip(counts);
            infos.extend(rooms.map(|((_, name), members)| RoomInfo {
                name: name.clone(),
                members,
                // Each node counts its own.
                events: 0,
            }));
        }
        Ok(infos)
    }

    fn walks(
        &self,
        others: &Others,
        key: impl Fn(&super::NodeKeys) -> String,
        after: Option<&str>,
    ) -> Vec<Walk> {
        let from = after.map_or_else(|| b"-".to_vec(), behind);
        let nodes = others.nodes.iter();
        let walks = nodes.map(|node| Walk {
            node: Arc::clone(node),
            key: key(&self.records.keys.of(node)),
            from: from.clone(),
            found: 0,
            is_over: false,
        });
        walks.collect()
    }

    /// The next names on every way that is not over, each with the index of its way; nothing if all are.
    async fn names(
        &mut self,
        walks: &mut [Walk],
        end: &[u8],
    ) -> RedisResult<Option<Vec<(usize, Vec<String>)>>> {
        let open = walks.iter().enumerate().filter(|(_, walk)| !walk.is_over);
        let open: Vec<usize> = open.map(|(index, _)| index).collect();
        if open.is_empty() {
            return Ok(None);
        }
        let mut pipeline = redis::pipe();
        for index in &open {
            let walk = &walks[*index];
            let range = pipeline.cmd("ZRANGEBYLEX").arg(&walk.key).arg(&walk.from);
            range.arg(end).arg("LIMIT").arg(0).arg(BATCH);
        }
        let batches: Vec<Vec<String>> = self.query(&pipeline).await?;
        for (index, names) in open.iter().zip(&batches) {
            let walk = &mut walks[*index];
            walk.is_over = names.len() < BATCH;
            if let Some(last) = names.last() {
                walk.from = behind(last);
            }
        }
        Ok(Some(open.into_iter().zip(batches).collect()))
    }
}

impl Walk {
    /// Counts names that were wanted; with so many it is over.
    fn count(&mut self, found: usize, enough: usize) {
        self.found += found;
        self.is_over |= self.found >= enough;
    }
}

/// A range that begins behind a name.
fn behind(name: &str) -> Vec<u8> {
    [b"(", name.as_bytes()].concat()
}

/// The later one of the beginning of a range and the names that begin with a prefix.
fn later(from: &[u8], prefix: &str) -> Vec<u8> {
    let after = from.strip_prefix(b"(");
    if after.is_some_and(|after| after >= prefix.as_bytes()) {
        return from.to_vec();
    }
    [b"[", prefix.as_bytes()].concat()
}

fn member(node: &Arc<str>, id: &str, record: &str) -> Option<Member> {
    let session = id.parse().ok()?;
    let record: MemberRecord = serde_json::from_str(record).ok()?;
    Some(Member {
        node: Some(Arc::clone(node)),
        session,
        user: record.user,
        joined_at: Millis(record.joined_at),
        place: record.place,
    })
}

fn info(node: &Arc<str>, record: &str) -> Option<SessionInfo> {
    let info: SessionInfo = serde_json::from_str(record).ok()?;
    Some(SessionInfo {
        node: Some(Arc::clone(node)),
        ..info
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_rooms_begins_behind_its_cursor_and_at_its_prefix() {
        for (from, prefix, expected) in [
            ("-", "", "["),
            ("-", "b", "[b"),
            ("(a", "b", "[b"),
            ("(b", "b", "(b"),
            ("(bc", "b", "(bc"),
        ] {
            let expected = expected.as_bytes();
            assert_eq!(later(from.as_bytes(), prefix), expected, "{from} {prefix}");
        }
    }

    #[test]
    fn what_others_write_is_read_and_what_is_none_is_left_out() {
        let node = Arc::from("n");
        let id = SessionId::random();
        let record = MemberRecord {
            user: Some("7".to_owned()),
            joined_at: 5,
            place: 3,
        };
        let text = serde_json::to_string(&record).unwrap();
        let read = member(&node, &id.to_string(), &text).unwrap();
        assert_eq!((read.session, read.user.as_deref()), (id, Some("7")));
        assert_eq!((read.joined_at, read.place), (Millis(5), 3));
        assert_eq!(member(&node, "7", &text), None);
        assert_eq!(member(&node, &id.to_string(), "{}"), None);
        assert_eq!(info(&node, "[]"), None);
    }
}
