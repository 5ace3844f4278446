//! What servers and emitters of Socket.IO say to each other over Redis.

use std::{borrow::Cow, fmt::Debug};

use polyport_redis_rooms::codec::{
    Arrived, BroadcastChannel, Channel, Channels, ReadError, Rooms, Wire, read_broadcast,
    read_request, read_response, read_sync_request, read_sync_response, write_broadcast,
    write_request, write_response, write_sync_request, write_sync_response,
};

use crate::Input;

/// Reads the payload as a message of every kind, and what is written of it once more; then as the name of a channel.
///
/// # Panics
/// When a promise is broken, or what was written changes when it is read and written again.
pub fn redis_messages(data: &[u8]) {
    let mut input = Input::new(data);
    let wire = if input.byte() & 1 == 1 {
        Wire::Modern
    } else {
        Wire::Legacy
    };
    let payload = input.payload();
    for channel in [
        in_root(None),
        in_root(Some("a")),
        BroadcastChannel::Emitter,
        BroadcastChannel::Server { uid: "abcdef" },
    ] {
        if let Ok(arrived) = read_broadcast(&channel, payload) {
            check(&channel, &arrived, wire);
        }
    }
    settles(payload, read_request, write_request);
    settles(payload, read_response, write_response);
    settles(payload, read_sync_request, write_sync_request);
    settles(payload, read_sync_response, |clients| {
        write_sync_response(clients)
    });
    if let Ok(name) = std::str::from_utf8(payload) {
        check_name(name);
    }
}

fn in_root(room: Option<&str>) -> BroadcastChannel<'_> {
    BroadcastChannel::Namespace {
        namespace: Cow::Borrowed("/"),
        room,
    }
}

fn check(channel: &BroadcastChannel<'_>, arrived: &Arrived, wire: Wire) {
    let broadcast = &arrived.broadcast;
    let namespace = broadcast.packet.namespace.as_str();
    assert!(namespace.starts_with('/'));
    if let BroadcastChannel::Namespace {
        namespace: channels,
        room,
    } = channel
    {
        assert_eq!(namespace, channels);
        assert!(room.is_some() || arrived.per_room.is_none());
    }
    if let Some(per_room) = &arrived.per_room {
        let Rooms::AnyOf(rooms) = &broadcast.selection.rooms else {
            panic!("a room of all");
        };
        assert!(rooms.starts_with(&per_room.before) && rooms.contains(&per_room.room));
        assert!(!per_room.before.contains(&per_room.room));
    }
    let where_it_belongs = BroadcastChannel::Namespace {
        namespace: Cow::Borrowed(namespace),
        room: None,
    };
    let written = write_broadcast(broadcast, wire);
    settles(
        &written,
        |payload| read_broadcast(&where_it_belongs, payload).map(|arrived| arrived.broadcast),
        |broadcast| write_broadcast(broadcast, wire),
    );
}

/// JSON and msgpack have several forms for one value, and JSON none for some; once through both, nothing changes any more.
/// What has no form in JSON may nest deeper there.
pub(crate) fn settles<T: PartialEq + Debug>(
    payload: &[u8],
    read: impl Fn(&[u8]) -> Result<T, ReadError>,
    write: impl Fn(&T) -> Vec<u8>,
) {
    let Ok(first) = read(payload) else {
        return;
    };
    match read(&write(&first)) {
        Ok(second) => assert_eq!(read(&write(&second)).as_ref(), Ok(&second)),
        Err(error) => assert_eq!(error, ReadError::TooDeep),
    }
}

/// A name that is read is the one that is written for what it says, but for slashes that were missing.
fn check_name(name: &str) {
    let channels = Channels::default();
    let written = match channels.read(name) {
        None => return,
        Some(Channel::Broadcast(BroadcastChannel::Emitter)) => channels.emitter(),
        Some(Channel::Broadcast(BroadcastChannel::Server { uid })) => channels.ancient_server(uid),
        Some(Channel::Broadcast(BroadcastChannel::Namespace { namespace, room })) => match room {
            Some(room) => channels.room(&namespace, room),
            None => channels.namespace(&namespace),
        },
        Some(Channel::Request { namespace }) => channels.request(&namespace),
        Some(Channel::Response { namespace, uid }) => match uid {
            Some(uid) => channels.response_to(&namespace, uid),
            None => channels.response(&namespace),
        },
        Some(Channel::SyncRequest { namespace }) => channels.sync_request(&namespace),
        Some(Channel::SyncResponse { transaction }) => channels.sync_response(transaction),
    };
    assert!(written == name || written.replacen("#/", "#", 1) == name);
}
