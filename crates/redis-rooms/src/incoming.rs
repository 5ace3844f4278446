//! What arrives: to whom it goes on this node.

use polyport_core::{
    Arg, Event, Except, Hub, Millis, Order, Place, Realm, RealmName, RoomName, Sender, SessionId,
    Target, is_identity_room, trace,
};

use crate::{
    codec::{Arrived, Broadcast, Flags, Packet, Question, Rooms, Selection, Whom},
    outgoing::Note,
    realms::Base,
};

/// Delivers what another server has published for rooms. Returns how many sessions got it.
/// `place` is where it stands in their common history, if it has come from there.
pub(crate) fn deliver(hub: &Hub, base: &Base, arrived: Arrived, place: Option<Place>) -> usize {
    let Arrived {
        mut broadcast,
        per_room,
        ..
    } = arrived;
    let Some(realm) = realm(hub, base, &broadcast) else {
        return 0;
    };
    let note = note(&broadcast);
    let Selection {
        mut rooms,
        mut except,
    } = std::mem::take(&mut broadcast.selection);
    if let Some(per_room) = per_room {
        rooms = Rooms::AnyOf(vec![per_room.room]);
        except.extend(per_room.before);
    }
    // Only a name: whoever was told in another way came through the listener of that name here, too.
    let without = note.without.as_deref().and_then(|name| {
        let mut listeners = hub.listeners().into_iter();
        listeners.find(|listener| listener.name() == name)
    });
    let event = Event {
        place,
        ..event(broadcast.packet, &broadcast.flags, &note, &rooms)
    };
    let target = match &rooms {
        Rooms::All => Target::Realm {
            realm: &realm,
            except: &except,
        },
        Rooms::AnyOf(rooms) => match &**rooms {
            [room] if except.is_empty() => Target::Room {
                realm: &realm,
                room,
                except: Except {
                    session: None,
                    listener: without.as_deref(),
                },
            },
            rooms => Target::Rooms {
                realm: &realm,
                any_of: rooms,
                except: &except,
            },
        },
    };
    let context = note.context();
    trace::within(context.as_ref(), || hub.deliver(target, &event))
}

/// Delivers what another gateway has for a single session.
pub(crate) fn deliver_to_session(hub: &Hub, broadcast: Broadcast) -> usize {
    let Rooms::AnyOf(rooms) = &broadcast.selection.rooms else {
        return 0;
    };
    let id = rooms.first().and_then(|room| room.as_str().parse().ok());
    let Some(id): Option<SessionId> = id else {
        return 0;
    };
    let note = note(&broadcast);
    let event = event(broadcast.packet, &broadcast.flags, &note, &Rooms::All);
    let context = note.context();
    let deliver = || hub.deliver(Target::Session(id), &event);
    trace::within(context.as_ref(), deliver)
}

/// Delivers a finished frame of another gateway. After a listener was bound anew there are two of its name.
pub(crate) fn deliver_frame(hub: &Hub, broadcast: &Broadcast) -> usize {
    let note = note(broadcast);
    let [Arg::Binary(frame)] = &*broadcast.packet.args else {
        return 0;
    };
    let listeners = hub.listeners().into_iter();
    let named = listeners.filter(|listener| Some(listener.name()) == note.only.as_deref());
    let context = note.context();
    trace::within(context.as_ref(), || {
        named
            .map(|listener| hub.deliver_frame(&listener, Except::default(), frame))
            .sum()
    })
}

fn realm(hub: &Hub, base: &Base, broadcast: &Broadcast) -> Option<std::sync::Arc<Realm>> {
    let name = base.realm(&broadcast.packet.namespace)?;
    hub.find_realm(name.as_str())
}

/// What a gateway has said about it; nothing is known of what others have sent, or of what cannot be read.
pub(crate) fn note(broadcast: &Broadcast) -> Note {
    note_of(&broadcast.flags)
}

/// The same, by what else is said about an event.
pub(crate) fn note_of(flags: &Flags) -> Note {
    let text = flags.polyport.as_ref();
    text.and_then(|text| serde_json::from_str(text.as_str()).ok())
        .unwrap_or_default()
}

/// The event itself, which was for these rooms.
pub(crate) fn event(packet: Packet, flags: &Flags, note: &Note, rooms: &Rooms) -> Event {
    let room = match rooms {
        Rooms::AnyOf(rooms) => <&[RoomName; 1]>::try_from(&**rooms).ok(),
        Rooms::All => None,
    };
    Event {
        name: packet.name,
        args: packet.args,
        room: room.map(|[room]| room.clone()),
        from: note.from.map_or(Sender::Server, Sender::Session),
        sent_at: note.at.map_or_else(Millis::now, Millis),
        is_volatile: flags.volatile,
        place: None,
    }
}

/// Does what another server orders to the sessions of this node in a realm, or to a single session if none is named. What is
/// no order is left alone.
pub(crate) fn obey(hub: &Hub, realm: Option<&RealmName>, question: &Question) {
    let (whom, orders): (_, Vec<Order<'_>>) = match question {
        Question::Join { whom, rooms } => {
            // Nobody becomes somebody by an order.
            let rooms = rooms.iter().filter(|room| !is_identity_room(room.as_str()));
            (whom, rooms.map(Order::Join).collect())
        }
        Question::Leave { whom, rooms } => (whom, rooms.iter().map(Order::Leave).collect()),
        Question::Disconnect { whom, close } => (whom, vec![Order::Disconnect { whole: *close }]),
        _ => return,
    };
    let Whom::Matching(selection) = whom else {
        return;
    };
    match (realm, &selection.rooms) {
        (None, Rooms::AnyOf(rooms)) => {
            let ids = rooms.iter().filter_map(|room| room.as_str().parse().ok());
            for id in ids {
                for order in &orders {
                    hub.obey(Target::Session(id), *order);
                }
            }
        }
        (None, Rooms::All) => {}
        (Some(realm), _) => {
            let Some(realm) = hub.find_realm(realm.as_str()) else {
                return;
            };
            let target = target(&realm, selection);
            for order in &orders {
                hub.obey(target, *order);
            }
        }
    }
}

/// Whom a selection means in a realm.
pub(crate) fn target<'a>(realm: &'a Realm, selection: &'a Selection) -> Target<'a> {
    let except = &*selection.except;
    match &selection.rooms {
        Rooms::All => Target::Realm { realm, except },
        Rooms::AnyOf(any_of) => Target::Rooms {
            realm,
            any_of,
            except,
        },
    }
}
