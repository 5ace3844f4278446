//! Sessions whose clients are lost, as servers with the streams adapter keep them, and what those find in the stream that they
//! have missed.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use polyport_core::{
    Arg, Event, History, KeptSession, Missing, Place, RealmName, RoomName, SessionId, Taken,
    is_identity_room,
};
use redis::{Pipeline, RedisResult, Value};
use tokio::time::timeout;
use tracing::debug;

use super::{Stream, entry::Found, reader::place};
use crate::{
    asking,
    codec::{
        Content, Flags, LostSession, OfGateway, Packet, Rooms, Selection, read_lost_session,
        write_lost_session,
    },
    connection::Connection,
    incoming, realms,
    shared::Shared,
};

/// How long any of this may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Entries that are read in one go.
const COUNT: usize = 100;

/// A client's secret is a part of a key: longer ones are nobody's.
const LONGEST_SECRET: usize = 64;

/// The id of an entry, and its fields.
type Read = (String, Vec<Vec<u8>>);

/// Does what a link is needed for; nothing if there is none, or Redis does not do it in time.
async fn over<T>(
    shared: &Shared,
    work: impl AsyncFnOnce(Connection) -> RedisResult<T>,
) -> Option<T> {
    let connection = shared.streams.connection()?;
    match timeout(LIMIT, work(connection)).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            debug!(%error, "a lost session cannot be kept or taken");
            None
        }
        Err(_) => None,
    }
}

fn key(shared: &Shared, secret: &str) -> Option<String> {
    let prefix = &shared.options.session_prefix;
    (secret.len() <= LONGEST_SECRET).then(|| format!("{prefix}{secret}"))
}

pub(crate) async fn keep(
    shared: &Shared,
    secret: &str,
    kept: &KeptSession,
    time: Duration,
) -> bool {
    let Some(key) = key(shared, secret) else {
        return false;
    };
    let own = RoomName::new(&kept.name).ok();
    let others = kept.rooms.iter().filter(|room| Some(*room) != own.as_ref());
    let lost = LostSession {
        sid: kept.name.clone(),
        pid: secret.to_owned(),
        rooms: own.iter().chain(others).cloned().collect(),
        data: kept.data.clone(),
        polyport: kept.own.as_ref().map(|own| OfGateway {
            node: shared.node.to_string(),
            session: kept.id,
            own: own.clone(),
        }),
    };
    let value = STANDARD.encode(write_lost_session(&lost));
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let mut pipeline = Pipeline::new();
    let command = pipeline.cmd("SET").arg(key).arg(value);
    command.arg("PX").arg(millis).ignore();
    over(shared, async |mut connection| {
        connection.query::<()>(&pipeline).await
    })
    .await
    .is_some()
}

pub(crate) async fn has(shared: &Shared, secret: &str) -> Option<bool> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("EXISTS").arg(key(shared, secret)?);
    let asking = over(shared, async |mut connection| {
        connection.query::<(bool,)>(&pipeline).await
    });
    asking.await.map(|(is_there,)| is_there)
}

pub(crate) async fn forget(shared: &Shared, secret: &str) {
    let Some(key) = key(shared, secret) else {
        return;
    };
    let mut pipeline = Pipeline::new();
    pipeline.cmd("DEL").arg(key).ignore();
    // What is left expires.
    over(shared, async |mut connection| {
        connection.query::<()>(&pipeline).await
    })
    .await;
}

/// Takes a session, and tells the node that had it.
pub(crate) async fn take(shared: &Shared, secret: &str) -> Taken {
    let Some(key) = key(shared, secret) else {
        return Taken::Nothing;
    };
    let mut pipeline = Pipeline::new();
    pipeline.atomic();
    pipeline.cmd("GET").arg(&key);
    pipeline.cmd("DEL").arg(&key).ignore();
    let found = over(shared, async |mut connection| {
        connection.query::<(Option<Vec<u8>>,)>(&pipeline).await
    });
    let value = match found.await {
        Some((Some(value),)) => value,
        Some((None,)) => return Taken::Nothing,
        None => return Taken::OutOfReach,
    };
    let read = STANDARD.decode(value).ok();
    let read = read.and_then(|payload| read_lost_session(&payload).ok());
    let Some(kept) = read.and_then(kept_session) else {
        return Taken::Nothing;
    };
    let (kept, node) = kept;
    if let Some(node) = node.filter(|node| **node != *shared.node) {
        asking::moved(shared, &node, kept.id);
    }
    Taken::Session(Box::new(kept))
}

/// What is kept, and the node that had it; nothing if its client has no name that gateways give.
fn kept_session(lost: LostSession) -> Option<(KeptSession, Option<String>)> {
    let id = SessionId::of_short_text(&lost.sid)?;
    let (node, own) = lost.polyport.map(|it| (it.node, it.own)).unzip();
    let is_gateways = own.is_some();
    let kept = KeptSession {
        id,
        // Nobody becomes somebody by what another server says.
        rooms: lost
            .rooms
            .into_iter()
            .filter(|room| is_gateways || !is_identity_room(room.as_str()))
            .collect(),
        name: lost.sid,
        data: lost.data,
        own,
    };
    Some((kept, node))
}

/// Where a realm's history is, if it is in one stream.
fn stream_of<'a>(shared: &'a Shared, realm: &'a RealmName) -> Option<(&'a Stream, &'a str)> {
    let (base, namespace) = realms::split(realm.as_str());
    let stream = shared.streams.whole_of(base, namespace)?;
    Some((stream, namespace))
}

/// Up to where the history of a realm has been queued here.
pub(crate) fn place_in(shared: &Shared, realm: &RealmName) -> Option<Place> {
    stream_of(shared, realm).map(|(stream, _)| stream.last())
}

pub(crate) async fn history(
    shared: &Shared,
    realm: &RealmName,
    after: Place,
    missing: Missing<'_>,
) -> Option<History> {
    let (stream, namespace) = stream_of(shared, realm)?;
    let most = shared.streams.options.length.saturating_mul(2);
    let reading = over(shared, async |mut connection| {
        if !is_whole(shared, stream, after, &mut connection).await? {
            return Ok(None);
        }
        let mut search = Search {
            namespace,
            missing,
            bytes: 0,
            history: History {
                events: Vec::new(),
                until: after,
            },
        };
        for _ in 0..=most / COUNT {
            let entries = next(stream, search.history.until, &mut connection).await?;
            let is_end = entries.len() < COUNT;
            for (id, fields) in entries {
                search.look_at(place(&id)?, fields);
            }
            if search.bytes > missing.bytes {
                return Ok(None);
            }
            if is_end {
                return Ok(Some(search.history));
            }
        }
        Ok(None)
    });
    reading.await.flatten()
}

/// Whether everything behind a place is still there: so it is if that itself is, or if nothing has been before it and nothing
/// was dropped.
async fn is_whole(
    shared: &Shared,
    stream: &Stream,
    after: Place,
    connection: &mut Connection,
) -> RedisResult<bool> {
    let mut pipeline = Pipeline::new();
    if after == Place::default() {
        pipeline.cmd("XLEN").arg(&stream.key);
        let (length,): (usize,) = connection.query(&pipeline).await?;
        return Ok(length < shared.streams.options.length);
    }
    let at = after.to_string();
    pipeline.cmd("XRANGE").arg(&stream.key).arg(&at).arg(&at);
    let (found,): (Vec<Value>,) = connection.query(&pipeline).await?;
    Ok(!found.is_empty())
}

async fn next(
    stream: &Stream,
    after: Place,
    connection: &mut Connection,
) -> RedisResult<Vec<Read>> {
    let from = Place {
        number: after.number.saturating_add(1),
        ..after
    };
    let mut pipeline = Pipeline::new();
    let command = pipeline.cmd("XRANGE").arg(&stream.key);
    command.arg(from.to_string()).arg("+");
    command.arg("COUNT").arg(COUNT);
    let (entries,): (Vec<Read>,) = connection.query(&pipeline).await?;
    Ok(entries)
}

/// A walk along a stream.
struct Search<'a> {
    namespace: &'a str,
    missing: Missing<'a>,
    /// Of the arguments that were found.
    bytes: usize,
    history: History,
}

impl Search<'_> {
    /// What is of no concern, or cannot be read, is passed over.
    fn look_at(&mut self, place: Place, fields: Vec<Vec<u8>>) {
        self.history.until = place;
        let Some(found) = Found::new(fields).filter(|it| it.namespace == self.namespace) else {
            return;
        };
        if let Ok(Content::Event {
            packet,
            selection,
            flags,
        }) = found.content()
        {
            self.consider(place, packet, selection, flags);
        }
    }

    /// What is volatile is worth nothing later.
    fn consider(&mut self, place: Place, packet: Packet, selection: Selection, flags: Flags) {
        if flags.local || flags.volatile || !is_meant(self.missing.rooms, &selection) {
            return;
        }
        let note = incoming::note_of(&flags);
        if note.without.as_deref() == Some(self.missing.listener) {
            return;
        }
        let event = incoming::event(packet, &flags, &note, &selection.rooms);
        self.bytes += event.args.iter().map(Arg::bytes).sum::<usize>();
        self.bytes += size_of::<Event>();
        if self.bytes <= self.missing.bytes {
            let place = Some(place);
            self.history.events.push(Event { place, ..event });
        }
    }
}

/// Whether a member of these rooms is meant.
fn is_meant(rooms: &[RoomName], selection: &Selection) -> bool {
    let is_in = |room: &RoomName| rooms.contains(room);
    let is_included = match &selection.rooms {
        Rooms::All => true,
        Rooms::AnyOf(any_of) => any_of.iter().any(is_in),
    };
    is_included && !selection.except.iter().any(is_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(names: &[&str]) -> Vec<RoomName> {
        let name = |name: &&str| RoomName::new(name).unwrap();
        names.iter().map(name).collect()
    }

    #[test]
    fn who_is_meant() {
        let own = rooms(&["me", "a"]);
        for (any_of, except, expected) in [
            (&[][..], &[][..], true),
            (&["a", "z"], &[], true),
            (&["z"], &[], false),
            (&["me"], &[], true),
            (&["a"], &["me"], false),
            (&[], &["a"], false),
            (&["a"], &["z"], true),
        ] {
            let selection = Selection {
                rooms: Rooms::of(rooms(any_of)),
                except: rooms(except),
            };
            let meant = is_meant(&own, &selection);
            assert_eq!(meant, expected, "{any_of:?} but {except:?}");
        }
    }

    #[test]
    fn nobody_is_somebody_by_what_another_server_has_kept() {
        let lost = |polyport| LostSession {
            sid: "yKKAZ0qYd9WGzcR-AAAB".to_owned(),
            pid: "p".to_owned(),
            rooms: rooms(&["yKKAZ0qYd9WGzcR-AAAB", "user(1)", "a", "site(a.com)"]),
            data: Arg::Json(polyport_core::Json::EMPTY_OBJECT),
            polyport,
        };
        let (kept, node) = kept_session(lost(None)).unwrap();
        assert_eq!(kept.rooms, rooms(&["yKKAZ0qYd9WGzcR-AAAB", "a"]));
        assert_eq!(node, None);
        let (kept, node) = kept_session(lost(Some(OfGateway {
            node: "n".to_owned(),
            session: kept.id,
            own: polyport_core::Json::EMPTY_OBJECT,
        })))
        .unwrap();
        assert_eq!((kept.rooms.len(), node.as_deref()), (4, Some("n")));
    }
}
