//! Who is in a room, and when rooms exist.

use polyport_core::{CloseReason, Hub, JoinError, Json, SessionId};

use crate::rig::{
    LineDialect, ListenerPlan, MemoryPeer, announce, check_metric, hub_and_listener, member,
    open_on, room,
};

#[test]
fn declared_rooms_stay_and_others_vanish_with_their_last_member() {
    let (hub, listener) = hub_and_listener();
    let realm = listener.realm();
    assert!(realm.declare(&room("declared")));
    assert!(!realm.declare(&room("declared")));
    assert!(realm.exists(room("declared")));
    let (first, _) = member(&listener, "declared");
    first.join(&room("passing")).unwrap();
    let (second, _) = member(&listener, "passing");
    drop(first);
    assert!(realm.exists(room("passing")));
    second.leave(&room("passing")).unwrap();
    assert!(!realm.exists(room("passing")));
    assert!(realm.exists(room("declared")));
    assert_eq!(realm.len(), 1);
    check_metric(&hub, "polyport_rooms", &[], 1.0);
    second.join(&room("passing")).unwrap();
    assert!(
        realm.declare(&room("passing")),
        "declaring a room with members keeps them"
    );
    assert_eq!(announce(&listener, "passing", Json::NULL), 1);
    drop(second);
    assert!(realm.exists(room("passing")));
    assert_eq!(realm.members(&room("passing")), []);
    assert_eq!(realm.members(&room("never heard of")), []);
}

#[test]
fn the_rooms_a_listener_joins_are_declared() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.join = vec!["lobby", "news"];
    let listener = plan.on(&hub);
    assert!(listener.realm().exists(room("lobby")) && listener.realm().exists(room("news")));
    let peer = MemoryPeer::new();
    let session = open_on(&listener, &peer);
    assert_eq!(session.rooms(), [room("lobby"), room("news")]);
    assert_eq!(announce(&listener, "lobby", Json::NULL), 1);
    drop(session);
    assert_eq!(listener.realm().len(), 2);
}

#[test]
fn the_rooms_of_a_listener_go_with_it_unless_somebody_else_wants_them() {
    let hub = Hub::new(0, None);
    let plan = |name| {
        let mut plan = ListenerPlan::new(name);
        plan.join = vec!["lobby", "lobby"];
        plan
    };
    let (one, two) = (plan("one").on(&hub), plan("two").on(&hub));
    let realm = std::sync::Arc::clone(one.realm());
    let (session, _) = member(&one, "passing");
    drop(one);
    assert!(realm.exists(room("lobby")), "the other listener has it too");
    drop(two);
    assert!(realm.exists(room("lobby")), "somebody is in it");
    drop(session);
    assert!(realm.is_empty());
    check_metric(&hub, "polyport_rooms", &[], 0.0);
}

/// Leavers free places in the room's table; those who come later must not be listed in them.
#[test]
fn members_are_listed_in_the_order_of_joining() {
    let hub = Hub::new(0, None);
    let listeners = ["a", "b"].map(|name| {
        let mut plan = ListenerPlan::new(name);
        plan.dialect = LineDialect::new(name);
        plan.on(&hub)
    });
    let mut members: Vec<_> = (0..8).map(|i| member(&listeners[i % 2], "lobby")).collect();
    for round in 0..200 {
        members.remove(round % 5);
        members.push(member(&listeners[round % 2], "lobby"));
        let listed = listeners[0].realm().members(&room("lobby"));
        let listed: Vec<SessionId> = listed.into_iter().map(|info| info.id).collect();
        let expected: Vec<SessionId> = members.iter().map(|(session, _)| session.id()).collect();
        assert_eq!(listed, expected, "round {round}");
    }
}

#[test]
fn a_session_that_left_gets_nothing_more() {
    let (_hub, listener) = hub_and_listener();
    let (session, peer) = member(&listener, "lobby");
    announce(&listener, "lobby", Json::NULL);
    session.leave(&room("lobby")).unwrap();
    assert_eq!(announce(&listener, "lobby", Json::NULL), 0);
    assert_eq!(peer.lines().len(), 1);
    session.join(&room("lobby")).unwrap();
    assert_eq!(announce(&listener, "lobby", Json::NULL), 1);
    assert_eq!(peer.lines().len(), 2);
}

#[test]
fn an_ended_session_joins_nothing() {
    let (hub, listener) = hub_and_listener();
    let (session, _) = member(&listener, "lobby");
    let remembered = (*session).clone();
    assert_eq!(hub.session(session.id()), Some(remembered.clone()));
    drop(session);
    assert_eq!(remembered.put_into(&room("lobby")), Err(JoinError::Ended));
    assert!(remembered.rooms().is_empty());
    assert_eq!(hub.session(remembered.id()), None);
    assert!(!listener.realm().exists(room("lobby")));
    remembered.send(polyport_core::Frame::from_static(b"late"));
    assert_eq!(remembered.outbox().waiting(), 0);
}

#[test]
fn the_first_reason_of_an_end_is_the_one_that_counts() {
    let (hub, listener) = hub_and_listener();
    let (session, peer) = member(&listener, "lobby");
    session.close(CloseReason::IdleTimeout);
    session.close(CloseReason::Shutdown);
    assert_eq!(session.outbox().closing(), Some(CloseReason::IdleTimeout));
    assert_eq!(peer.wakes(), 1);
    drop(session);
    check_metric(
        &hub,
        "polyport_sessions_closed_total",
        &[("reason", "idle_timeout")],
        1.0,
    );
    check_metric(&hub, "polyport_sessions_closed_total", &[], 1.0);
}

#[test]
fn last_words_pass_a_full_and_closing_outbox() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.outbox = 100;
    let listener = plan.on(&hub);
    let peer = MemoryPeer::taking(0);
    let session = open_on(&listener, &peer);
    for _ in 0..10 {
        session.send(polyport_core::Frame::from_static(&[b'x'; 50]));
    }
    assert_eq!(session.outbox().closing(), Some(CloseReason::OutboxFull));
    session.send_last(polyport_core::Frame::from_static(b"Bye!\n"));
    assert!(session.outbox().needs_resume());
    peer.take_more(usize::MAX);
    session
        .outbox()
        .resume(&mut |frames| polyport_core::Transport::write(&*peer, frames));
    assert_eq!(peer.text(), "Bye!\n");
}

#[test]
fn the_sessions_of_one_listener_can_be_ended_alone() {
    let (hub, one) = hub_and_listener();
    let two = ListenerPlan::new("two").on(&hub);
    let mine: Vec<_> = (0..3).map(|_| member(&one, "lobby")).collect();
    let (other, _) = member(&two, "lobby");
    hub.close_sessions_of(&one, CloseReason::Shutdown);
    for (session, peer) in &mine {
        assert_eq!(session.outbox().closing(), Some(CloseReason::Shutdown));
        assert_eq!(peer.wakes(), 1);
    }
    assert_eq!(other.outbox().closing(), None);
    assert_eq!(
        hub.sessions(|session| session.outbox().closing().is_none())
            .len(),
        1
    );
    assert_eq!(
        hub.len(),
        4,
        "they are here until their connections have ended"
    );
}
