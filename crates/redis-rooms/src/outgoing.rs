//! From what the hub has done here to the messages that other nodes get.

use polyport_core::{
    Arg, Args, Event, EventName, Except, Frame, Json, Listener, Order, RoomName, Sender, SessionId,
    Target,
    trace::{self, TraceContext},
};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{Broadcast, Flags, Numbering, Packet, Question, Request, Rooms, Selection, Whom},
    incoming, realms,
};

/// What gateways say to each other about an event, where servers of Socket.IO do not look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The session that published it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) from: Option<SessionId>,
    /// When it was published, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) at: Option<u64>,
    /// The listener whose sessions have been told in another way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) without: Option<String>,
    /// A gateway has published it, which says so where other gateways hear it twice.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(crate) is_gateways: bool,
    /// The listener whose sessions alone are meant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) only: Option<String>,
    /// Where its publication stands in a trace that is kept, as `traceparent` says it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) trace: Option<String>,
    /// The `tracestate` of that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) trace_state: Option<String>,
}

impl Note {
    fn of(event: &Event, except: Except<'_>) -> Self {
        let from = match event.from {
            Sender::Session(id) => Some(id),
            Sender::Server => None,
        };
        Self {
            from,
            at: from.map(|_| event.sent_at.0),
            without: except.listener.map(|listener| listener.name().to_owned()),
            ..Self::traced()
        }
    }

    /// Where what runs now stands in a trace that is kept, and nothing else.
    fn traced() -> Self {
        let context = trace::current().filter(TraceContext::is_sampled);
        let state = context.as_ref().and_then(TraceContext::state);
        Self {
            trace_state: state.map(str::to_owned),
            trace: context.as_ref().map(TraceContext::parent),
            ..Self::default()
        }
    }

    /// Where its publication stands in a trace, if that is known.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        TraceContext::read(self.trace.as_deref()?, self.trace_state.as_deref())
    }

    /// Nothing for what is said by the server itself to everybody and is not traced: such events look as if a Node server had
    /// sent them.
    fn written(&self) -> Option<Json> {
        (*self != Self::default()).then(|| Json::encode(self))
    }
}

/// What is said about an event where other gateways hear it twice: from whom it is.
pub(crate) fn marked(broadcast: &Broadcast) -> Flags {
    let note = Note {
        is_gateways: true,
        ..incoming::note(broadcast)
    };
    Flags {
        polyport: Some(Json::encode(&note)),
        ..broadcast.flags.clone()
    }
}

/// A message, and what it goes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parcel {
    /// Rooms of a realm, by the name of its base.
    Rooms(String, Broadcast),
    /// A single session, wherever it is: the only room that is named is its id.
    Session(Broadcast),
}

/// Who is meant in one namespace.
struct Address<'a> {
    base: &'a str,
    namespace: &'a str,
    selection: Selection,
    except: Except<'a>,
}

/// What other nodes are to be told of an event. Of several targets that overlap each session is told once: what the second
/// and later ones say spares the rooms that were addressed before. Only who is in such a room and was excepted there is
/// missed, if a later target with exceptions of its own would reach it.
pub(crate) fn parcels(uid: &str, target: Target<'_>, event: &Event) -> Vec<Parcel> {
    let mut parcels = Vec::new();
    let mut addresses = Vec::new();
    for_each(target, &mut |target| match target {
        Target::Session(id) => parcels.push(Parcel::Session(to_session(uid, id, event))),
        target => addresses.extend(address(target)),
    });
    if addresses.len() > 1 {
        addresses = each_once(addresses);
    }
    parcels.extend(addresses.into_iter().map(|address| {
        let base = address.base.to_owned();
        Parcel::Rooms(base, broadcast(uid, address, event))
    }));
    parcels
}

fn for_each<'a>(target: Target<'a>, work: &mut dyn FnMut(Target<'a>)) {
    match target {
        Target::Any(targets) => targets.iter().for_each(|target| for_each(*target, work)),
        target => work(target),
    }
}

fn address(target: Target<'_>) -> Option<Address<'_>> {
    let (realm, rooms, without, except) = match target {
        Target::Room {
            realm,
            room,
            except,
        } => (realm, Rooms::AnyOf(vec![room.clone()]), &[][..], except),
        Target::Rooms {
            realm,
            any_of,
            except,
        } if !any_of.is_empty() => {
            let rooms = Rooms::AnyOf(any_of.to_vec());
            (realm, rooms, except, Except::default())
        }
        Target::Realm { realm, except } => (realm, Rooms::All, except, Except::default()),
        Target::Rooms { .. } | Target::Session(_) | Target::Any(_) => return None,
    };
    let (base, namespace) = realms::split(realm.name().as_str());
    let selection = Selection {
        rooms,
        except: without.to_vec(),
    };
    Some(Address {
        base,
        namespace,
        selection,
        except,
    })
}

/// Joins the addresses that except nobody, per namespace, and has the others spare the rooms before them.
fn each_once(mut addresses: Vec<Address<'_>>) -> Vec<Address<'_>> {
    let excepts = |address: &Address<'_>| !address.selection.except.is_empty();
    addresses.sort_by_key(excepts);
    let mut kept: Vec<Address<'_>> = Vec::new();
    for mut address in addresses {
        let before = kept
            .iter_mut()
            .filter(|other| (other.base, other.namespace) == (address.base, address.namespace));
        let mut is_told = false;
        for other in before {
            let joins = !excepts(&address) && !excepts(other);
            match (&mut other.selection.rooms, &mut address.selection.rooms) {
                (Rooms::All, _) => is_told = true,
                (all, Rooms::All) if joins => {
                    *all = Rooms::All;
                    is_told = true;
                }
                (Rooms::AnyOf(rooms), Rooms::AnyOf(more)) if joins => {
                    more.retain(|room| !rooms.contains(room));
                    rooms.append(more);
                    is_told = true;
                }
                (Rooms::AnyOf(rooms), _) => {
                    address.selection.except.extend(rooms.iter().cloned());
                }
            }
        }
        if !is_told {
            kept.push(address);
        }
    }
    kept
}

fn to_session(uid: &str, id: SessionId, event: &Event) -> Broadcast {
    let address = Address {
        base: "",
        namespace: "/",
        selection: only(id),
        except: Except::default(),
    };
    broadcast(uid, address, event)
}

fn broadcast(uid: &str, address: Address<'_>, event: &Event) -> Broadcast {
    Broadcast {
        uid: uid.to_owned(),
        packet: Packet {
            namespace: address.namespace.to_owned(),
            name: event.name.clone(),
            args: event.args.clone(),
        },
        selection: address.selection,
        flags: Flags {
            volatile: event.is_volatile,
            polyport: Note::of(event, address.except).written(),
            ..Flags::default()
        },
    }
}

/// An order, and whom it is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// For sessions of a realm, by the name of its base and the namespace.
    Realm(String, String, Request),
    /// For a single session, whose id is the only room that is named.
    Session(Request),
}

/// What other nodes are to be told of an order. Nobody answers. An order that reaches a session twice does nothing the second
/// time.
pub(crate) fn commands(uid: &str, target: Target<'_>, order: Order<'_>) -> Vec<Command> {
    let request = |selection| {
        let whom = Whom::Matching(selection);
        let question = match order {
            Order::Join(room) => Question::Join {
                whom,
                rooms: vec![room.clone()],
            },
            Order::Leave(room) => Question::Leave {
                whom,
                rooms: vec![room.clone()],
            },
            Order::Disconnect { whole } => Question::Disconnect { whom, close: whole },
        };
        Request {
            uid: Some(uid.to_owned()),
            id: None,
            numbering: Numbering::New,
            question,
        }
    };
    let mut commands = Vec::new();
    for_each(target, &mut |target| match target {
        Target::Session(id) => commands.push(Command::Session(request(only(id)))),
        target => commands.extend(address(target).map(|address| {
            let (base, namespace) = (address.base.to_owned(), address.namespace.to_owned());
            Command::Realm(base, namespace, request(address.selection))
        })),
    });
    commands
}

/// A single session, as the only room that is named.
fn only(id: SessionId) -> Selection {
    let room = RoomName::new(&id.to_string()).expect("an id is short and not empty");
    Selection {
        rooms: Rooms::AnyOf(vec![room]),
        except: Vec::new(),
    }
}

/// A finished frame for the sessions of a listener.
pub(crate) fn frame(uid: &str, listener: &Listener, frame: &Frame) -> Broadcast {
    let note = Note {
        only: Some(listener.name().to_owned()),
        ..Note::traced()
    };
    Broadcast {
        uid: uid.to_owned(),
        packet: Packet {
            namespace: "/".to_owned(),
            name: EventName::new("frame").expect("it is short and not empty"),
            args: Args::from_iter([Arg::Binary(frame.clone())]),
        },
        selection: Selection::default(),
        flags: Flags {
            polyport: note.written(),
            ..Flags::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use polyport_core::{Hub, Millis, Realm, RealmName};

    use super::*;

    fn event(from: Sender) -> Event {
        Event {
            from,
            sent_at: Millis(7),
            ..Event::new(EventName::new("news").unwrap(), Json::NULL)
        }
    }

    fn rooms(names: &[&str]) -> Vec<RoomName> {
        let name = |name: &&str| RoomName::new(name).unwrap();
        names.iter().map(name).collect()
    }

    /// Base, namespace, rooms (none is everybody) and exceptions of each message.
    fn sent(target: Target<'_>) -> Vec<String> {
        let list = |rooms: &[RoomName]| {
            let names: Vec<_> = rooms.iter().map(RoomName::as_str).collect();
            names.join(",")
        };
        let parcels = parcels("abcdef", target, &event(Sender::Server));
        let shown = parcels.into_iter().map(|parcel| match parcel {
            Parcel::Session(_) => "session".to_owned(),
            Parcel::Rooms(base, broadcast) => {
                let Selection { rooms, except } = &broadcast.selection;
                let rooms = match rooms {
                    Rooms::All => "everybody".to_owned(),
                    Rooms::AnyOf(rooms) => list(rooms),
                };
                let namespace = &broadcast.packet.namespace;
                format!("{base}{namespace} {rooms} but {}", list(except))
            }
        });
        shown.collect()
    }

    fn realms() -> [std::sync::Arc<Realm>; 3] {
        let hub = Hub::new(0, None);
        ["default", "default/admin", "shop"].map(|name| hub.realm(&RealmName::new(name).unwrap()))
    }

    #[test]
    fn targets_become_rooms_and_namespaces() {
        let [root, admin, shop] = realms();
        let (a, ab, c) = (&rooms(&["a"])[0], &*rooms(&["a", "b"]), &*rooms(&["c"]));
        let in_room = |realm| Target::Room {
            realm,
            room: a,
            except: Except::default(),
        };
        assert_eq!(sent(in_room(&root)), ["default/ a but "]);
        assert_eq!(sent(in_room(&admin)), ["default/admin a but "]);
        assert_eq!(sent(in_room(&shop)), ["shop/ a but "]);
        let in_rooms = |any_of, except| Target::Rooms {
            realm: &root,
            any_of,
            except,
        };
        assert_eq!(sent(in_rooms(ab, c)), ["default/ a,b but c"]);
        assert_eq!(
            sent(in_rooms(&[], c)),
            [""; 0],
            "nobody, which an empty list would not mean"
        );
        let everybody = |except| Target::Realm {
            realm: &root,
            except,
        };
        assert_eq!(sent(everybody(c)), ["default/ everybody but c"]);
        assert_eq!(sent(Target::Session(SessionId::random())), ["session"]);
    }

    #[test]
    fn of_several_targets_each_session_is_told_once() {
        let [root, admin, _] = realms();
        let lists = [&["a"][..], &["b", "a"], &["c"], &["d"]].map(rooms);
        let [a, ba, c, d] = lists.each_ref().map(|list| &**list);
        let of = |realm, any_of, except| Target::Rooms {
            realm,
            any_of,
            except,
        };
        let (root, admin) = (&*root, &*admin);
        assert_eq!(
            sent(Target::Any(&[
                of(root, a, &[]),
                of(root, ba, &[]),
                of(admin, a, &[])
            ])),
            ["default/ a,b but ", "default/admin a but "]
        );
        assert_eq!(
            sent(Target::Any(&[of(root, c, d), of(root, a, &[])])),
            ["default/ a but ", "default/ c but d,a"]
        );
        let everybody = Target::Realm {
            realm: root,
            except: &[],
        };
        assert_eq!(
            sent(Target::Any(&[of(root, a, &[]), everybody, of(root, c, d)])),
            ["default/ everybody but "]
        );
    }

    #[test]
    fn only_what_a_client_publishes_has_a_note() {
        let [root, ..] = realms();
        let room = &rooms(&["a"])[0];
        let target = Target::Room {
            realm: &root,
            room,
            except: Except::default(),
        };
        let note = |from| match &*parcels("abcdef", target, &event(from)) {
            [Parcel::Rooms(_, broadcast)] => broadcast.flags.polyport.clone(),
            _ => panic!("one message"),
        };
        assert_eq!(note(Sender::Server), None);
        let id = SessionId::random();
        let expected = format!(r#"{{"from":"{id}","at":7}}"#);
        assert_eq!(note(Sender::Session(id)).unwrap().as_str(), expected);
    }

    #[test]
    fn what_is_traced_says_where_it_stands() {
        let [root, ..] = realms();
        let target = Target::Realm {
            realm: &root,
            except: &[],
        };
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let note = |parent: &str| {
            let context = TraceContext::read(parent, Some("a=b"));
            let parcels = || parcels("abcdef", target, &event(Sender::Server));
            match &*trace::within(context.as_ref(), parcels) {
                [Parcel::Rooms(_, broadcast)] => broadcast.flags.polyport.clone(),
                _ => panic!("one message"),
            }
        };
        let expected = format!(r#"{{"trace":"{parent}","trace_state":"a=b"}}"#);
        let written = note(parent).unwrap();
        assert_eq!(written.as_str(), expected);
        let read: Note = serde_json::from_str(written.as_str()).unwrap();
        assert_eq!(read.context(), TraceContext::read(parent, Some("a=b")));
        assert_eq!(note(&parent.replace("-01", "-00")), None, "nobody keeps it");
    }
}
