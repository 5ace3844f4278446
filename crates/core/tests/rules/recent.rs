//! What is kept for whoever looks at the node: the last refusals, the slow, and how much goes through rooms.

use bytes::Bytes;
use polyport_core::{CloseReason, Hub, Json, Peer, RefuseReason, Target};

use crate::rig::{
    ListenerPlan, MemoryPeer, address, announce, hub_and_listener, member, name, open_at, open_on,
    room,
};

#[test]
fn the_last_refusals_are_remembered_with_their_reasons() {
    let hub = Hub::new(1, None);
    let listener = ListenerPlan::new("one").on(&hub);
    let from = address(7).ip();
    let _only = listener.admit(Some(from)).unwrap();
    listener.refused(None, RefuseReason::Token);
    listener.admit(Some(from)).unwrap_err();
    let kept = hub.recent().refusals.list();
    let seen: Vec<_> = kept
        .iter()
        .map(|it| (&*it.listener, it.peer, it.reason))
        .collect();
    assert_eq!(
        seen,
        [
            ("one", Some(from), RefuseReason::Sessions),
            ("one", None, RefuseReason::Token),
        ]
    );
    for _ in 0..200 {
        listener.refused(Some(from), RefuseReason::Tls);
    }
    let kept = hub.recent().refusals.list();
    assert_eq!(kept.len(), 100);
    assert!(kept.iter().all(|it| it.reason == RefuseReason::Tls));
}

#[test]
fn the_slowest_come_first_and_those_that_were_too_slow_are_remembered() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.outbox = 10_000;
    let listener = plan.on(&hub);
    let slow: Vec<_> = (1..=5_u8)
        .map(|n| {
            let session = open_at(&listener, MemoryPeer::taking(0), address(n)).unwrap();
            session.send(Bytes::from(vec![b'x'; 1000 * usize::from(n)]));
            session
        })
        .collect();
    let (_quick, _) = member(&listener, "lobby");
    let seen = hub.slowest(3);
    let expected: Vec<_> = slow.iter().rev().take(3).map(|it| it.id()).collect();
    assert_eq!(
        seen.iter().map(|(it, _)| it.id()).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(seen[0].1, slow[4].outbox().waiting());
    assert_eq!(hub.slowest(20).len(), 5, "nothing waits for the quick");

    slow[4].send(Bytes::from(vec![b'x'; 9000]));
    assert_eq!(slow[4].outbox().closing(), Some(CloseReason::OutboxFull));
    let id = slow[4].id();
    drop(slow);
    let kept = hub.recent().too_slow.list();
    let seen: Vec<_> = kept
        .iter()
        .map(|it| (it.session, &*it.listener, it.peer))
        .collect();
    assert_eq!(seen, [(id, "one", Peer::Ip(address(5)))]);
}

#[test]
fn a_room_counts_the_events_that_it_is_given_not_who_gets_them() {
    let (hub, listener) = hub_and_listener();
    let events = |wanted: &str| {
        let rooms = listener.realm().rooms(|name| name.as_str() == wanted);
        rooms.first().map(|room| room.events)
    };
    let _members: Vec<_> = (0..3).map(|_| member(&listener, "lobby")).collect();
    assert_eq!(events("lobby"), Some(0));
    for value in 0..4 {
        announce(&listener, "lobby", Json::encode(&value));
    }
    assert_eq!(events("lobby"), Some(4));
    let session = open_on(&listener, &MemoryPeer::new());
    session.put_into(&room("aside")).unwrap();
    let both = [room("lobby"), room("aside")];
    let event = polyport_core::Event::new(name("n"), Json::NULL);
    let target = Target::Rooms {
        realm: listener.realm(),
        any_of: &both,
        except: &[],
    };
    assert_eq!(hub.publish(target, &event).sessions, 4);
    assert_eq!((events("lobby"), events("aside")), (Some(5), Some(1)));
}
