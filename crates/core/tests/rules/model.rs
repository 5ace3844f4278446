//! The hub against a naive model: whatever is joined, left, published and closed, in whatever order, the same sessions
//! get the same events in the same order.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use polyport_core::{
    Event, Except, Frame, Hub, JoinError, Json, Listener, Permissions, PublishError, Session,
    Target,
};
use proptest::prelude::*;

use crate::rig::{
    LineDialect, ListenerPlan, MemoryPeer, announce, check_metric, name, number, open_on, room,
};

const ROOMS_PER_SESSION: usize = 3;
const ROOMS: [&str; 5] = ["lobby", "a", "b", "c", "private"];
/// Listener, realm, protocol, rooms joined at open.
const LISTENERS: [(&str, &str, &str, &[&str]); 3] = [
    ("first", "main", "p", &[]),
    ("second", "main", "q", &["lobby"]),
    ("third", "other", "p", &["lobby", "a"]),
];

/// The listener's own room, as an index.
fn own_room(listener: usize) -> usize {
    listener % ROOMS.len()
}

#[derive(Debug, Clone)]
enum Step {
    Open {
        listener: usize,
    },
    Close {
        session: usize,
    },
    Join {
        session: usize,
        room: usize,
    },
    PutInto {
        session: usize,
        room: usize,
    },
    Leave {
        session: usize,
        room: usize,
    },
    Publish {
        session: usize,
        room: usize,
        skip_self: bool,
        skip_own_listener: bool,
    },
    Announce {
        listener: usize,
        room: usize,
    },
    /// To several rooms, and perhaps to one session or the whole realm besides.
    AnnounceWidely {
        listener: usize,
        any_of: Vec<usize>,
        except: Vec<usize>,
        session: Option<usize>,
        realm: bool,
    },
    Relay {
        listener: usize,
    },
    Send {
        session: usize,
    },
    Turn(Vec<Self>),
}

fn step() -> impl Strategy<Value = Step> {
    let session = 0_usize..8;
    let room = 0..ROOMS.len();
    let listener = 0..LISTENERS.len();
    let leaf = prop_oneof![
        3 => listener.clone().prop_map(|listener| Step::Open { listener }),
        1 => session.clone().prop_map(|session| Step::Close { session }),
        4 => (session.clone(), room.clone()).prop_map(|(session, room)| Step::Join { session, room }),
        1 => (session.clone(), room.clone())
            .prop_map(|(session, room)| Step::PutInto { session, room }),
        2 => (session.clone(), room.clone()).prop_map(|(session, room)| Step::Leave { session, room }),
        5 => (session.clone(), room.clone(), any::<bool>(), any::<bool>()).prop_map(
            |(session, room, skip_self, skip_own_listener)| Step::Publish {
                session, room, skip_self, skip_own_listener,
            }
        ),
        2 => (listener.clone(), room.clone())
            .prop_map(|(listener, room)| Step::Announce { listener, room }),
        4 => (
            listener.clone(),
            prop::collection::vec(room.clone(), 0..4),
            prop::collection::vec(room.clone(), 0..2),
            prop::option::of(session.clone()),
            prop::bool::weighted(0.2),
        ).prop_map(|(listener, any_of, except, session, realm)| Step::AnnounceWidely {
            listener, any_of, except, session, realm,
        }),
        1 => listener.prop_map(|listener| Step::Relay { listener }),
        1 => session.prop_map(|session| Step::Send { session }),
    ];
    leaf.prop_recursive(1, 8, 6, |inner| {
        prop::collection::vec(inner, 1..6).prop_map(Step::Turn)
    })
}

/// A session as the model knows it.
#[derive(Default)]
struct Expected {
    listener: usize,
    rooms: Vec<usize>,
    received: String,
}

struct Worlds {
    hub: Arc<Hub>,
    listeners: Vec<Arc<Listener>>,
    dialects: [Arc<LineDialect>; 2],
    real: HashMap<usize, (Session, Arc<MemoryPeer>)>,
    model: HashMap<usize, Expected>,
    opened: usize,
    events: usize,
}

impl Worlds {
    fn new() -> Self {
        let hub = Hub::new(0, None);
        let dialects = ["p", "q"].map(|protocol| (protocol, LineDialect::new(protocol)));
        let listeners = LISTENERS
            .map(|(name, realm, protocol, join)| {
                let mut plan = ListenerPlan::new(name);
                plan.realm = realm;
                plan.join = join.to_vec();
                plan.limits.rooms_per_session = ROOMS_PER_SESSION;
                let any = ["*".to_owned()];
                let open = ["[abcl]*".to_owned()];
                plan.permissions = Permissions::new(&open, &any, &["b".to_owned()]).unwrap();
                let (_, dialect) = dialects.iter().find(|(name, _)| *name == protocol).unwrap();
                plan.dialect = dialect.clone();
                plan.on(&hub)
            })
            .to_vec();
        for (index, listener) in listeners.iter().enumerate() {
            listener.set_own_room(room(ROOMS[own_room(index)]));
        }
        Self {
            hub,
            listeners,
            dialects: dialects.map(|(_, dialect)| dialect),
            real: HashMap::new(),
            model: HashMap::new(),
            opened: 0,
            events: 0,
        }
    }

    /// The open session that a step means, if any is open.
    fn pick(&self, wish: usize) -> Option<usize> {
        let mut open: Vec<usize> = self.model.keys().copied().collect();
        open.sort_unstable();
        (!open.is_empty()).then(|| open[wish % open.len()])
    }

    fn realm_of(session: &Expected) -> &'static str {
        LISTENERS[session.listener].1
    }

    /// Gives `line` to every member of a room that `wanted` picks; returns their number.
    fn deliver(
        &mut self,
        realm: &str,
        room: usize,
        wanted: impl Fn(usize, &Expected) -> bool,
        line: impl Fn(&str) -> String,
    ) -> usize {
        let mut delivered = 0;
        for (id, session) in &mut self.model {
            if Self::realm_of(session) == realm
                && session.rooms.contains(&room)
                && wanted(*id, session)
            {
                session
                    .received
                    .push_str(&line(LISTENERS[session.listener].2));
                delivered += 1;
            }
        }
        delivered
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Open { listener } => self.open(listener),
            Step::Close { session } => {
                if let Some(id) = self.pick(session) {
                    let (session, peer) = self.real.remove(&id).unwrap();
                    drop(session);
                    let expected = self.model.remove(&id).unwrap();
                    assert_eq!(peer.text(), expected.received);
                }
            }
            Step::Join { session, room } => self.join(session, room, false),
            Step::PutInto { session, room } => self.join(session, room, true),
            Step::Leave { session, room: at } => {
                if let Some(id) = self.pick(session) {
                    let rooms = &mut self.model.get_mut(&id).unwrap().rooms;
                    let was_in = rooms.contains(&at);
                    rooms.retain(|known| *known != at);
                    assert_eq!(self.real[&id].0.leave(&room(ROOMS[at])).is_ok(), was_in);
                }
            }
            Step::Publish {
                session,
                room,
                skip_self,
                skip_own_listener,
            } => {
                self.publish(session, room, skip_self, skip_own_listener);
            }
            Step::Announce { listener, room: to } => {
                let value = self.next_event();
                let json = Json::encode(&value);
                let delivered = announce(&self.listeners[listener], ROOMS[to], json);
                let expected = self.deliver(
                    LISTENERS[listener].1,
                    to,
                    |_, _| true,
                    |protocol| format!("{protocol} {} news {value}\n", ROOMS[to]),
                );
                assert_eq!(delivered, expected);
            }
            Step::AnnounceWidely {
                listener,
                ref any_of,
                ref except,
                session,
                realm,
            } => self.announce_widely(listener, any_of, except, session, realm),
            Step::Relay { listener } => self.relay(listener),
            Step::Send { session } => {
                if let Some(id) = self.pick(session) {
                    let line = format!("direct {}\n", self.next_event());
                    self.real[&id].0.send(Frame::from(line.clone()));
                    self.model.get_mut(&id).unwrap().received.push_str(&line);
                }
            }
            Step::Turn(ref steps) => {
                let hub = Arc::clone(&self.hub);
                hub.turn(|| {
                    // Closing compares what has left already, which within a turn is not everything.
                    let inner = steps
                        .iter()
                        .filter(|step| !matches!(step, Step::Close { .. }));
                    inner.for_each(|step| self.run(step));
                });
            }
        }
    }

    fn open(&mut self, listener: usize) {
        let peer = MemoryPeer::new();
        let session = open_on(&self.listeners[listener], &peer);
        let (_, _, _, join) = LISTENERS[listener];
        let rooms = join
            .iter()
            .map(|name| ROOMS.iter().position(|known| known == name).unwrap())
            .collect();
        self.real.insert(self.opened, (session, peer));
        self.model.insert(
            self.opened,
            Expected {
                listener,
                rooms,
                received: String::new(),
            },
        );
        self.opened += 1;
    }

    fn join(&mut self, session: usize, to: usize, by_server: bool) {
        let Some(id) = self.pick(session) else {
            return;
        };
        let expected = self.model.get_mut(&id).unwrap();
        let outcome = if expected.rooms.contains(&to) {
            Err(JoinError::AlreadyIn)
        } else if ROOMS[to] == "private" && !by_server {
            Err(JoinError::Forbidden)
        } else if expected.rooms.len() >= ROOMS_PER_SESSION {
            Err(JoinError::TooManyRooms)
        } else {
            expected.rooms.push(to);
            Ok(())
        };
        let session = &self.real[&id].0;
        let to = room(ROOMS[to]);
        let real = if by_server {
            session.put_into(&to)
        } else {
            session.join(&to)
        };
        assert_eq!(real, outcome);
    }

    fn publish(&mut self, session: usize, to: usize, skip_self: bool, skip_own_listener: bool) {
        let Some(id) = self.pick(session) else {
            return;
        };
        let value = self.next_event();
        let (session, _) = &self.real[&id];
        let except = Except {
            session: skip_self.then_some(&**session),
            listener: skip_own_listener.then_some(&**session.listener()),
        };
        let real = session
            .publish(&room(ROOMS[to]), name("said"), number(value), except)
            .map(|delivered| delivered.sessions);
        let publisher = &self.model[&id];
        let (listener, realm) = (publisher.listener, Self::realm_of(publisher));
        if !publisher.rooms.contains(&to) && ROOMS[to] != "b" {
            assert_eq!(real, Err(PublishError::NotMember));
            return;
        }
        let wanted = |other: usize, session: &Expected| {
            !(skip_self && other == id || skip_own_listener && session.listener == listener)
        };
        let expected = self.deliver(realm, to, wanted, |protocol| {
            format!("{protocol} {} said {value}\n", ROOMS[to])
        });
        assert_eq!(real, Ok(expected));
    }

    fn announce_widely(
        &mut self,
        listener: usize,
        any_of: &[usize],
        except: &[usize],
        session: Option<usize>,
        everyone: bool,
    ) {
        let value = self.next_event();
        let one = session.and_then(|wish| self.pick(wish));
        let realm = self.listeners[listener].realm();
        let names = |rooms: &[usize]| rooms.iter().map(|at| room(ROOMS[*at])).collect::<Vec<_>>();
        let (room_names, except_names) = (names(any_of), names(except));
        let mut targets = vec![Target::Rooms {
            realm,
            any_of: &room_names,
            except: &except_names,
        }];
        targets.extend(one.map(|id| Target::Session(self.real[&id].0.id())));
        targets.extend(everyone.then_some(Target::Realm { realm, except: &[] }));
        let event = Event::new(name("wide"), Json::encode(&value));
        let encoded_before = self.encodes();
        let delivered = self.hub.publish(Target::Any(&targets), &event).sessions;
        let encoded = self.encodes() - encoded_before;

        let realm = LISTENERS[listener].1;
        let mut protocols = BTreeSet::new();
        let mut expected = 0;
        for (id, session) in &mut self.model {
            let is_here = Self::realm_of(session) == realm;
            let in_any = |rooms: &[usize]| rooms.iter().any(|at| session.rooms.contains(at));
            let by_room = is_here && in_any(any_of) && !in_any(except);
            if by_room || one == Some(*id) || everyone && is_here {
                let protocol = LISTENERS[session.listener].2;
                protocols.insert(protocol);
                session
                    .received
                    .push_str(&format!("{protocol} - wide {value}\n"));
                expected += 1;
            }
        }
        assert_eq!(delivered, expected);
        assert_eq!(
            encoded,
            protocols.len(),
            "once per dialect, and none for nobody"
        );
    }

    fn encodes(&self) -> usize {
        self.dialects.iter().map(|dialect| dialect.encodes()).sum()
    }

    fn relay(&mut self, listener: usize) {
        let to = own_room(listener);
        let line = format!("relayed {}\n", self.next_event());
        let from = &self.listeners[listener];
        let delivered = self
            .hub
            .relay(from, Except::default(), &Frame::from(line.clone()));
        let (_, realm, protocol, _) = LISTENERS[listener];
        let speaks = |_, session: &Expected| LISTENERS[session.listener].2 == protocol;
        let expected = self.deliver(realm, to, speaks, |_| line.clone());
        assert_eq!(delivered.sessions, expected);
    }

    fn next_event(&mut self) -> usize {
        self.events += 1;
        self.events
    }

    fn check(&self) {
        assert_eq!(self.hub.len(), self.model.len());
        for (id, expected) in &self.model {
            let (session, peer) = &self.real[id];
            assert_eq!(peer.text(), expected.received, "session {id}");
            let rooms: Vec<_> = expected.rooms.iter().map(|at| room(ROOMS[*at])).collect();
            assert_eq!(session.rooms(), rooms, "session {id}");
        }
        for (index, realm) in ["main", "other"].into_iter().enumerate() {
            let real = self.listeners[index * 2].realm();
            let mut exist = 0;
            for (at, name) in ROOMS.iter().enumerate() {
                let mut members: Vec<_> = self
                    .model
                    .iter()
                    .filter(|(_, s)| Self::realm_of(s) == realm && s.rooms.contains(&at))
                    .map(|(id, _)| self.real[id].0.id())
                    .collect();
                let mut listed: Vec<_> = real
                    .members(&room(name))
                    .into_iter()
                    .map(|info| info.id)
                    .collect();
                members.sort_unstable();
                listed.sort_unstable();
                assert_eq!(listed, members, "{realm} {name}");
                let declared = LISTENERS
                    .iter()
                    .any(|(_, r, _, join)| *r == realm && join.contains(name));
                let exists = declared || !members.is_empty();
                assert_eq!(real.exists(room(name)), exists, "{realm} {name}");
                exist += usize::from(exists);
            }
            assert_eq!(real.len(), exist);
            let counted: usize = real.rooms(|_| true).iter().map(|room| room.members).sum();
            let in_rooms = self.model.values().filter(|s| Self::realm_of(s) == realm);
            let expected: usize = in_rooms.map(|s| s.rooms.len()).sum();
            assert_eq!((real.rooms(|_| true).len(), counted), (exist, expected));
            check_metric(
                &self.hub,
                "polyport_rooms",
                &[("realm", realm)],
                exist as f64,
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_hub_does_what_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        let mut worlds = Worlds::new();
        for step in &steps {
            worlds.run(step);
        }
        worlds.check();
        worlds.real.clear();
        worlds.model.clear();
        worlds.check();
    }
}
