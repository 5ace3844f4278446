//! The way of servers with the streams adapter: events and orders are entries of a stream that every node reads, its own among
//! them. So all nodes agree on one order, and whoever was cut off reads on where it stopped.
//!
//! What this node adds waits in a `journal` until it has come back. `reader` is what runs while there is a link; what is to
//! happen here without one, does [`deliver_here`]. Questions go by channels, as `typed` has them.

use std::sync::Arc;

use parking_lot::Mutex;
use polyport_core::{Arrival, Event, Hub, Place, Target};
use tokio::sync::Notify;

use crate::{
    codec::{Arrived, Broadcast, Content, Request},
    connection::Connection,
    incoming,
    options::{RedisOptions, StreamOptions},
    realms::{self, Base},
    shared::{Shared, unreadable},
};
use entry::{Entry, Found};
use here::Here;
use journal::{Journal, Kept};
pub(crate) use reader::Streaming;

mod entry;
mod here;
mod journal;
pub(crate) mod keeping;
mod reader;

/// All streams of this node.
pub(crate) struct Streams {
    all: Vec<Arc<Stream>>,
    options: StreamOptions,
    /// Something has to be queued here without waiting until it comes back.
    due: Arc<Notify>,
    /// For commands, while there is a link.
    connection: Mutex<Option<Connection>>,
}

/// One stream, and how far it has been read.
pub(crate) struct Stream {
    key: String,
    base: Arc<Base>,
    journal: Journal,
    /// The last entry that was read; nothing before the first link.
    last: Mutex<Option<Place>>,
}

impl Streams {
    /// Those of the bases, if there are any.
    pub(crate) fn new(options: &RedisOptions, bases: &[Arc<Base>]) -> Self {
        let due = Arc::new(Notify::new());
        let mut all = Vec::new();
        let known = options.streams.unwrap_or(StreamOptions {
            length: 0,
            count: 0,
        });
        for base in bases {
            for key in keys(base.channels.key(), known.count) {
                all.push(Arc::new(Stream {
                    key,
                    base: Arc::clone(base),
                    journal: Journal::new(options.queue_bytes, Arc::clone(&due)),
                    last: Mutex::default(),
                }));
            }
        }
        Self {
            all,
            options: known,
            due,
            connection: Mutex::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether streams carry a realm with this base.
    pub(crate) fn carry(&self, base: &str) -> bool {
        let mut all = self.all.iter();
        all.any(|stream| stream.base.realm_name() == base)
    }

    /// Whether events for this target come back by a stream.
    pub(crate) fn bring_back(&self, target: Target<'_>) -> bool {
        let realm = match target {
            Target::Session(_) | Target::Rooms { any_of: [], .. } => return false,
            Target::Any(targets) => return targets.iter().any(|target| self.bring_back(*target)),
            Target::Room { realm, .. }
            | Target::Rooms { realm, .. }
            | Target::Realm { realm, .. } => realm,
        };
        self.carry(realms::split(realm.name().as_str()).0)
    }

    /// The one that a namespace is in.
    fn of(&self, base: &str, namespace: &str) -> Option<&Stream> {
        let mut own = self.all.iter();
        let first = own.position(|stream| stream.base.realm_name() == base)?;
        let index = index(namespace, self.options.count);
        self.all.get(first + index).map(|stream| &**stream)
    }

    /// The same, if nobody adds what is for that namespace elsewhere.
    fn whole_of(&self, base: &str, namespace: &str) -> Option<&Stream> {
        let is_whole = self.options.count == 1 || hash(namespace) >= 0;
        is_whole.then(|| self.of(base, namespace)).flatten()
    }

    fn connection(&self) -> Option<Connection> {
        self.connection.lock().clone()
    }

    /// Nothing comes back until there is another link.
    pub(crate) fn end(&self) {
        *self.connection.lock() = None;
        for stream in &self.all {
            stream.journal.end();
        }
    }

    /// Waits until everything has come back that this node has added.
    pub(crate) async fn settled(&self) {
        for stream in &self.all {
            stream.journal.settled().await;
        }
    }

    /// How many messages of this node are in no stream yet.
    pub(crate) fn waiting(&self) -> usize {
        let journals = self.all.iter().map(|stream| &stream.journal);
        journals.map(Journal::waiting).sum()
    }
}

/// The names of the streams of a key: those that are written to, in the order of their numbers, and behind them those to which
/// servers write in vain, since the adapter takes a negative number for a negative hash and nobody else reads there.
fn keys(key: &str, count: usize) -> Vec<String> {
    if count == 1 {
        return vec![key.to_owned()];
    }
    let written = (0..count).map(|index| format!("{key}-{index}"));
    let negative = (1..count).map(|index| format!("{key}--{index}"));
    written.chain(negative).collect()
}

/// Which of so many streams a namespace is in: the adapter's hash, without its sign.
fn index(namespace: &str, count: usize) -> usize {
    usize::try_from(hash(namespace).unsigned_abs()).map_or(0, |hash| hash % count.max(1))
}

fn hash(namespace: &str) -> i32 {
    namespace.encode_utf16().fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

/// Adds to a stream what is for rooms, and has it queued here when it comes back; whether it is on its way.
pub(crate) fn publish(
    shared: &Shared,
    target: Target<'_>,
    event: &Event,
    base: &str,
    broadcasts: &[Broadcast],
) -> bool {
    let Some(hub) = shared.hub.upgrade() else {
        return false;
    };
    let entries = broadcasts.iter().map(|broadcast| {
        let content = Content::Event {
            packet: broadcast.packet.clone(),
            selection: broadcast.selection.clone(),
            flags: broadcast.flags.clone(),
        };
        Entry::new(&broadcast.packet.namespace, &content)
    });
    let namespace = broadcasts.first().map(|it| &*it.packet.namespace);
    let stream = namespace.and_then(|namespace| shared.streams.of(base, namespace));
    let (Some(stream), Some(entries)) = (stream, entries.collect()) else {
        return false;
    };
    add(shared, stream, entries, Here::of(&hub, target, event))
}

/// Adds an order, which has been carried out here.
pub(crate) fn order(shared: &Shared, base: &Base, namespace: &str, request: &Request) -> bool {
    let content = Content::Question {
        id: None,
        question: request.question.clone(),
    };
    let stream = shared.streams.of(base.realm_name(), namespace);
    match (stream, Entry::new(namespace, &content)) {
        (Some(stream), Some(entry)) => add(shared, stream, vec![entry], None),
        _ => false,
    }
}

fn add(shared: &Shared, stream: &Stream, entries: Vec<Entry>, here: Option<Here>) -> bool {
    let count = entries.len();
    let kept = stream.journal.push(entries, here);
    if kept != Kept::Whole {
        shared.metrics.published(false, count);
    }
    if kept == Kept::Not {
        shared.metrics.received(Arrival::Overflow);
    }
    kept == Kept::Whole
}

/// Queues here what does not wait until it comes back: because there is no link, or because more waits than may. On the task
/// that reads, so that one order is everybody's.
pub(crate) async fn deliver_here(shared: &Shared) {
    loop {
        let Some(hub) = shared.hub.upgrade() else {
            return;
        };
        hub.turn(|| {
            for stream in &shared.streams.all {
                for here in stream.journal.overdue() {
                    here.deliver(&hub, None);
                }
            }
        });
        drop(hub);
        shared.streams.due.notified().await;
    }
}

/// Does what an entry says.
fn take_in(
    shared: &Shared,
    hub: &Hub,
    stream: &Stream,
    place: Place,
    fields: Vec<Vec<u8>>,
) -> Arrival {
    let Some(found) = Found::new(fields) else {
        return Arrival::Malformed;
    };
    if found.uid == shared.shard_uid {
        for (here, place) in stream.journal.came_back(place, &found) {
            here.deliver(hub, place);
        }
        return Arrival::Own;
    }
    let realm = stream.base.realm(&found.namespace);
    let Some(realm) = realm.and_then(|name| hub.find_realm(name.as_str())) else {
        return Arrival::Ignored;
    };
    match found.content() {
        Ok(Content::Event { flags, .. }) if flags.local => Arrival::Ignored,
        Ok(Content::Event {
            packet,
            selection,
            flags,
        }) => {
            let broadcast = Broadcast {
                uid: found.uid,
                packet,
                selection,
                flags,
            };
            let arrived = Arrived {
                broadcast,
                per_room: None,
                unknown_extensions: 0,
            };
            incoming::deliver(hub, &stream.base, arrived, Some(place));
            Arrival::Delivered
        }
        Ok(Content::Question { id: None, question }) => {
            incoming::obey(hub, Some(realm.name()), &question);
            Arrival::Delivered
        }
        Ok(_) => Arrival::Ignored,
        Err(error) => unreadable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_in_the_streams_of_the_adapter() {
        // What `hashCode` of the package gives.
        for (namespace, hash) in [
            ("/", 47_isize),
            ("/admin", 1_438_238_848),
            ("/é😀", 3_396_989),
            ("/private", -6_790_540),
        ] {
            assert_eq!(
                index(namespace, 7),
                (hash % 7).unsigned_abs(),
                "{namespace}"
            );
            assert_eq!(index(namespace, 1), 0);
        }
    }

    #[test]
    fn several_streams_have_numbers() {
        assert_eq!(keys("k", 1), ["k"]);
        assert_eq!(keys("k", 3), ["k-0", "k-1", "k-2", "k--1", "k--2"]);
    }
}
