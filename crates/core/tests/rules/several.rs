//! Events to several rooms, a realm or many targets: written once per dialect, heard once per session, in one order.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use polyport_core::{
    CloseReason, Dialect, Event, Hub, JoinError, Json, Listener, RoomName, Session, SessionId,
    SessionRef, Target,
};

use crate::rig::{
    LineDialect, ListenerPlan, MemoryPeer, announce, check_metric, hub_and_listener, member,
    member_called, name, open_on, room,
};

fn rooms(names: &[&str]) -> Vec<RoomName> {
    names.iter().map(|name| room(name)).collect()
}

fn to_rooms(listener: &Listener, any_of: &[&str], except: &[&str], value: usize) -> usize {
    let target = Target::Rooms {
        realm: listener.realm(),
        any_of: &rooms(any_of),
        except: &rooms(except),
    };
    let event = Event::new(name("n"), Json::encode(&value));
    listener.hub().publish(target, &event).sessions
}

fn to_realm(listener: &Listener, value: usize) -> usize {
    let event = Event::new(name("n"), Json::encode(&value));
    let target = Target::Realm {
        realm: listener.realm(),
        except: &[],
    };
    listener.hub().publish(target, &event).sessions
}

#[test]
fn one_encoding_per_dialect_over_all_rooms_and_one_frame_per_session() {
    let hub = Hub::new(0, None);
    let dialects = ["one", "two"].map(LineDialect::new);
    let listeners = dialects.clone().map(|dialect| {
        let mut plan = ListenerPlan::new(dialect.protocol());
        plan.dialect = dialect;
        plan.on(&hub)
    });
    let members: Vec<(Session, Arc<MemoryPeer>)> = (0..300)
        .map(|i| {
            let (session, peer) = member(&listeners[i % 2], ["a", "b", "c"][i % 3]);
            session.put_into(&room("all")).unwrap();
            (session, peer)
        })
        .collect();
    assert_eq!(
        to_rooms(&listeners[0], &["a", "b", "c", "all", "a"], &[], 1),
        300
    );
    assert_eq!(to_rooms(&listeners[0], &["all"], &["a", "b"], 2), 100);
    assert_eq!(to_realm(&listeners[1], 3), 300);
    assert_eq!(dialects.map(|dialect| dialect.encodes()), [3, 3]);
    for (index, (_, peer)) in members.iter().enumerate() {
        let lines = peer.lines();
        let numbers: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.split(' ').next_back())
            .collect();
        let expected: &[&str] = if index % 3 == 2 {
            &["1", "2", "3"]
        } else {
            &["1", "3"]
        };
        assert_eq!((&*numbers, peer.writes()), (expected, expected.len()));
    }
    check_metric(&hub, "polyport_encodes_total", &[], 6.0);
    check_metric(&hub, "polyport_events_delivered_total", &[], 700.0);
}

#[test]
fn nobody_is_no_encoding() {
    let (hub, listener) = hub_and_listener();
    let mut plan = ListenerPlan::new("elsewhere");
    plan.realm = "other";
    let elsewhere = plan.on(&hub);
    let (_session, peer) = member(&listener, "a");
    assert_eq!(to_rooms(&listener, &["a", "b"], &["a"], 1), 0);
    assert_eq!(to_rooms(&listener, &["x", "y"], &[], 1), 0);
    assert_eq!(to_rooms(&elsewhere, &["a", "b"], &[], 1), 0);
    assert_eq!(to_realm(&elsewhere, 1), 0);
    let nothing = Event::new(name("n"), Json::NULL);
    assert_eq!(hub.publish(Target::Any(&[]), &nothing).sessions, 0);
    assert_eq!(peer.text(), "");
    check_metric(&hub, "polyport_encodes_total", &[], 0.0);
}

#[test]
fn targets_overlap_without_a_session_hearing_twice() {
    let (hub, listener) = hub_and_listener();
    let (one, one_hears) = member(&listener, "a");
    let (_two, two_hears) = member(&listener, "b");
    let [a, b] = ["a", "b"].map(room);
    let realm = listener.realm();
    let except = polyport_core::Except::default();
    let to_a = Target::Room {
        realm,
        room: &a,
        except,
    };
    let others = Target::Rooms {
        realm,
        any_of: std::slice::from_ref(&b),
        except: &rooms(&["a"]),
    };
    let event = Event::new(name("n"), Json::NULL);
    let publish = |targets: &[Target<'_>]| hub.publish(Target::Any(targets), &event).sessions;
    assert_eq!(publish(&[to_a, Target::Session(one.id()), to_a]), 1);
    assert_eq!(
        publish(&[
            Target::Any(&[to_a, others]),
            Target::Realm { realm, except: &[] }
        ]),
        2
    );
    assert_eq!(publish(&[others]), 1);
    assert_eq!((one_hears.lines().len(), two_hears.lines().len()), (2, 2));
}

#[test]
fn a_clients_own_name_is_a_room_with_nobody_else_in_it() {
    let (_hub, listener) = hub_and_listener();
    let secret = "H3Kok42QCvlKrePAAAAA";
    let (alone, alone_hears) = member_called(&listener, SessionId::hiding(secret));
    let (other, other_hears) = member(&listener, "lobby");
    alone.put_into(&room("lobby")).unwrap();
    assert_eq!(announce(&listener, secret, Json::NULL), 1);
    assert_eq!(to_rooms(&listener, &[secret, "lobby"], &[], 1), 2);
    assert_eq!(to_rooms(&listener, &["lobby"], &[secret], 2), 1);
    assert_eq!(to_rooms(&listener, &[secret], &["lobby"], 3), 0);
    assert_eq!(to_rooms(&listener, &[secret, "nowhere"], &[], 4), 1);
    assert_eq!(
        (alone_hears.lines().len(), other_hears.lines().len()),
        (3, 2)
    );
    assert_eq!(other.may_join(&room(secret)), Err(JoinError::Forbidden));
    assert_eq!(other.join(&room(secret)), Err(JoinError::Forbidden));
    // The server may put it there; it hears once all the same.
    alone.put_into(&room(secret)).unwrap();
    assert_eq!(announce(&listener, secret, Json::NULL), 1);
    assert_eq!(to_rooms(&listener, &[secret, "nowhere"], &[], 5), 1);
    drop(alone);
    assert_eq!(announce(&listener, secret, Json::NULL), 0);
    assert_eq!(other.may_join(&room(secret)), Ok(()));
}

#[test]
fn a_session_that_closes_or_overflows_is_not_counted() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.outbox = 100;
    let listener = plan.on(&hub);
    let (closing, _) = member(&listener, "a");
    closing.close(CloseReason::Disconnected);
    let full = MemoryPeer::taking(0);
    let slow = open_on(&listener, &full);
    slow.put_into(&room("b")).unwrap();
    let (_healthy, hears) = member(&listener, "b");
    let sent = (0..20).find(|value| to_rooms(&listener, &["a", "b"], &[], *value) == 1);
    let sent = sent.expect("the slow one is full at last") + 1;
    assert_eq!(slow.outbox().closing(), Some(CloseReason::OutboxFull));
    assert!(full.wakes() > 0);
    assert_eq!(to_realm(&listener, 0), 1);
    assert_eq!(hears.lines().len(), sent + 1);
    check_metric(
        &hub,
        "polyport_limit_hits_total",
        &[("limit", "outbox")],
        1.0,
    );
}

/// An event to several rooms has one place among the events of each room, although other threads publish to each of them
/// alone and to both in the other order.
#[test]
fn all_members_of_a_room_hear_wide_and_narrow_events_in_one_order() {
    const EVENTS: usize = 300;
    let (_hub, listener) = hub_and_listener();
    let members: Vec<(&str, Session, Arc<MemoryPeer>)> = (0..12)
        .map(|i| {
            let home = ["a", "b"][i % 2];
            let (session, peer) = member(&listener, home);
            // Every other one is in both, and its seat is behind those of the others in one of the rooms.
            if i % 4 > 1 {
                session.put_into(&room(["b", "a"][i % 2])).unwrap();
            }
            (home, session, peer)
        })
        .collect();
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for publisher in 0..4_usize {
            let (listener, start) = (&listener, &start);
            scope.spawn(move || {
                start.wait();
                for index in 0..EVENTS {
                    let value = publisher * EVENTS + index;
                    match publisher {
                        0 => to_rooms(listener, &["a", "b"], &[], value),
                        1 => to_rooms(listener, &["b", "a"], &[], value),
                        2 => announce(listener, "a", Json::encode(&value)),
                        _ => announce(listener, "b", Json::encode(&value)),
                    };
                }
            });
        }
    });
    let heard = |peer: &MemoryPeer, wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
        let number = |line: &String| line.rsplit(' ').next().unwrap().parse().unwrap();
        let numbers = peer.lines();
        numbers.iter().map(number).filter(|n| wanted(*n)).collect()
    };
    let in_both: Vec<&SessionRef> = members
        .iter()
        .map(|(_, s, _)| &**s)
        .filter(|s| s.rooms().len() == 2)
        .collect();
    assert_eq!(in_both.len(), 6);
    for (home, publisher_elsewhere) in [("a", 3), ("b", 2)] {
        let of_room = |value: usize| value / EVENTS != publisher_elsewhere;
        let orders: Vec<Vec<usize>> = members
            .iter()
            .filter(|(_, session, _)| session.is_in(&room(home)))
            .map(|(_, _, peer)| heard(peer, &of_room))
            .collect();
        assert_eq!(orders.len(), 9);
        assert_eq!(orders[0].len(), 3 * EVENTS);
        assert!(
            orders.iter().all(|order| *order == orders[0]),
            "room {home}"
        );
        for publisher in 0..4 {
            let own: Vec<_> = orders[0]
                .iter()
                .filter(|n| **n / EVENTS == publisher)
                .collect();
            assert!(own.is_sorted(), "what one publisher sends keeps its order");
        }
    }
}

#[test]
fn no_lock_is_held_while_a_wide_event_is_encoded() {
    let (hub, listener) = hub_and_listener();
    let (_session, peer) = member(&listener, "a");
    let (_fourth, _) = member(&listener, "d");
    // Encoding it publishes to several rooms again, and looks at its own.
    struct Publishes(Arc<Listener>);
    impl Dialect for Publishes {
        fn protocol(&self) -> &'static str {
            "busy"
        }
        fn encode(&self, event: &Event) -> polyport_core::Frame {
            assert_eq!(to_rooms(&self.0, &["a", "d"], &["b"], 1), 2);
            LineDialect::new("busy").encode(event)
        }
    }
    let mut plan = ListenerPlan::new("nested");
    plan.dialect = Arc::new(Publishes(Arc::clone(&listener)));
    let nested = plan.on(&hub);
    let (_waiting, waiting_hears) = member(&nested, "b");
    let (_other, _) = member(&nested, "c");
    assert_eq!(
        to_rooms(&nested, &["b", "c"], &[], 2),
        2,
        "no lock is held while encoding"
    );
    assert_eq!(peer.lines(), ["lines - n 1"]);
    assert_eq!(waiting_hears.lines(), ["busy - n 2"]);
}

#[test]
fn realms_and_rooms_are_listed_and_never_made_by_asking() {
    let (hub, listener) = hub_and_listener();
    let _members = [
        member(&listener, "b"),
        member(&listener, "b"),
        member(&listener, "a"),
    ];
    let mut listed: Vec<_> = listener
        .realm()
        .rooms(|_| true)
        .into_iter()
        .map(|info| (info.name.as_str().to_owned(), info.members))
        .collect();
    listed.sort();
    assert_eq!(listed, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    let picked = listener.realm().rooms(|name| name.as_str() == "a");
    assert_eq!(picked.len(), 1);
    assert!(hub.find_realm("none").is_none());
    let realms: Vec<_> = hub
        .realms()
        .iter()
        .map(|realm| realm.name().to_string())
        .collect();
    assert_eq!(realms, ["main"]);
    let listeners = hub.listeners();
    assert_eq!(listeners.len(), 1);
    assert!(Arc::ptr_eq(&listeners[0], &listener));
    drop((listeners, listener));
    assert_eq!(hub.listeners().len(), 1, "it has sessions");
    drop(_members);
    assert_eq!(hub.listeners().len(), 0);
}
