//! The way of servers with the sharded adapter: one form for events, questions and answers, on sharded channels. Those with the
//! streams adapter have the same form, on channels, for what is asked and answered.

use std::sync::Arc;

use polyport_core::{Arrival, Hub, RoomName};

use crate::{
    answers::{Answerer, Way},
    codec::{
        Answer, Arrived, Broadcast, BroadcastChannel, Channel, Content, Question, Request, Rooms,
        ServerMessage, read_server_message, write_packed_message, write_server_message,
    },
    incoming,
    options::Sharding,
    outgoing,
    realms::Base,
    shared::Shared,
};

/// Bytes of the ids of clients: rooms of such a name have no channel of their own.
const ID: usize = 20;

/// What the uids of gateways begin with: where there are both kinds of adapters they know by it what they hear on classic
/// channels, too.
const GATEWAY: &str = "706f6c79";

/// A name for this node that is like those of other servers.
pub(crate) fn new_uid() -> String {
    format!("{GATEWAY}{:08x}", rand::random::<u32>())
}

/// Whether it comes on classic channels, too.
fn is_second(shared: &Shared, base: &Base, uid: &str) -> bool {
    shared.is_classic(base) && uid.starts_with(GATEWAY)
}

/// Whether servers of a realm put their questions so.
pub(crate) fn is_typed(shared: &Shared, base: &Base) -> bool {
    let is_sharded = base.is_shared && shared.options.sharded.is_some();
    is_sharded || shared.streams.carry(base.realm_name())
}

/// Whether events for one room go to a channel of its own, and not to that of the namespace.
pub(crate) fn has_channel(sharding: Sharding, room: &RoomName) -> bool {
    sharding == Sharding::Dynamic && room.as_str().len() != ID
}

/// Publishes an event, if such servers are to hear it; whether it is on its way.
pub(crate) fn publish(shared: &Shared, base: &Base, broadcast: &Broadcast) -> bool {
    let Some(sharding) = shared.options.sharded.filter(|_| base.is_shared) else {
        return true;
    };
    let namespace = &broadcast.packet.namespace;
    let channel = match &broadcast.selection.rooms {
        Rooms::AnyOf(rooms) => match &**rooms {
            [room] if has_channel(sharding, room) => base.channels.room(namespace, room.as_str()),
            _ => base.channels.namespace(namespace),
        },
        Rooms::All => base.channels.namespace(namespace),
    };
    let flags = if shared.options.classic {
        outgoing::marked(broadcast)
    } else {
        broadcast.flags.clone()
    };
    let content = Content::Event {
        packet: broadcast.packet.clone(),
        selection: broadcast.selection.clone(),
        flags,
    };
    say(shared, base, channel, namespace, content)
}

/// Passes an order on, likewise.
pub(crate) fn order(shared: &Shared, base: &Base, namespace: &str, request: &Request) -> bool {
    if is_typed(shared, base) {
        put(shared, base, namespace, None, &request.question)
    } else {
        true
    }
}

/// Puts a question to such servers, if they take part; whether it is on its way.
pub(crate) fn ask(shared: &Shared, base: &Base, namespace: &str, request: &Request) -> bool {
    if is_typed(shared, base) {
        let id = request.id.clone();
        put(shared, base, namespace, id, &request.question)
    } else {
        true
    }
}

fn put(
    shared: &Shared,
    base: &Base,
    namespace: &str,
    id: Option<String>,
    question: &Question,
) -> bool {
    let content = Content::Question {
        id,
        question: question.clone(),
    };
    let channel = base.channels.namespace(namespace);
    say(shared, base, channel, namespace, content)
}

fn say(shared: &Shared, base: &Base, channel: String, namespace: &str, content: Content) -> bool {
    let message = ServerMessage {
        uid: shared.shard_uid.clone(),
        namespace: namespace.to_owned(),
        content,
    };
    if shared.streams.carry(base.realm_name()) {
        let payload = write_packed_message(&message);
        return payload.is_some_and(|payload| shared.post(channel, payload));
    }
    let payload = write_server_message(&message);
    payload.is_some_and(|payload| shared.post_sharded(channel, payload))
}

/// Does what a message says.
pub(crate) fn heard(
    shared: &Arc<Shared>,
    hub: &Hub,
    base: &Base,
    channel: &str,
    payload: &[u8],
) -> Arrival {
    let Some(Channel::Broadcast(BroadcastChannel::Namespace { namespace, .. })) =
        base.channels.read(channel)
    else {
        return Arrival::Ignored;
    };
    let message = match read_server_message(payload) {
        Ok(message) => message,
        Err(error) => {
            tracing::debug!(%error, "a message on Redis is dropped");
            return Arrival::Malformed;
        }
    };
    if message.uid == shared.shard_uid {
        return Arrival::Own;
    }
    if message.namespace != namespace {
        return Arrival::Ignored;
    }
    match message.content {
        Content::Event { flags, .. } if flags.local => Arrival::Ignored,
        Content::Event {
            packet,
            selection,
            flags,
        } => {
            let broadcast = Broadcast {
                uid: message.uid,
                packet,
                selection,
                flags,
            };
            let is_heard_elsewhere =
                shared.options.classic && incoming::note(&broadcast).is_gateways;
            if is_heard_elsewhere {
                return Arrival::Ignored;
            }
            incoming::deliver(
                hub,
                base,
                Arrived {
                    broadcast,
                    per_room: None,
                    unknown_extensions: 0,
                },
                None,
            );
            Arrival::Delivered
        }
        Content::Question {
            id,
            question: Question::ServerSide { .. },
        } if is_second(shared, base, &message.uid) => {
            let way = Way::typed(shared, base, &namespace, &message.uid);
            way.acknowledge(shared, id.as_deref());
            Arrival::Ignored
        }
        Content::Question { id, question } => {
            let answerer = Answerer::new(shared, hub, base, &namespace);
            if let Some(realm) = answerer.realm() {
                incoming::obey(hub, Some(realm.name()), &question);
            }
            let way = Way::typed(shared, base, &namespace, &message.uid);
            answerer.answer(&way, id.as_deref(), &question);
            Arrival::Delivered
        }
        Content::Answer {
            id,
            answer: Answer::ServerSide(answer),
        } => {
            let answer = (!is_second(shared, base, &message.uid)).then_some(answer);
            shared.server_questions.answered(&id, answer)
        }
        Content::Answer { .. } | Content::Presence => Arrival::Ignored,
    }
}
