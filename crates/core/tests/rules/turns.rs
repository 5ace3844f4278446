//! Rule 1's other half: a receiver's share of a system call. What one turn queues leaves in one write.

use std::panic::{AssertUnwindSafe, catch_unwind};

use polyport_core::Frame;

use crate::rig::{hub_and_listener, member, say};

#[test]
fn the_frames_of_one_turn_leave_in_one_write() {
    let (hub, listener) = hub_and_listener();
    let members: Vec<_> = (0..10).map(|_| member(&listener, "lobby")).collect();
    hub.turn(|| {
        for number in 0..10 {
            say(&members[0].0, "lobby", number);
            assert_eq!(members[1].1.writes(), 0, "nothing leaves within the turn");
        }
    });
    for (_, peer) in &members {
        assert_eq!(peer.writes(), 1);
        assert_eq!(peer.lines().len(), 10);
    }
}

#[test]
fn a_turn_within_a_turn_is_part_of_it() {
    let (hub, listener) = hub_and_listener();
    let (session, peer) = member(&listener, "lobby");
    hub.turn(|| {
        hub.turn(|| session.send(Frame::from_static(b"inner\n")));
        assert_eq!(peer.writes(), 0);
        session.send(Frame::from_static(b"outer\n"));
    });
    assert_eq!((peer.writes(), peer.text().as_str()), (1, "inner\nouter\n"));
}

#[test]
fn without_a_turn_every_frame_leaves_at_once() {
    let (_hub, listener) = hub_and_listener();
    let (session, peer) = member(&listener, "lobby");
    session.send(Frame::from_static(b"a\n"));
    assert_eq!(peer.writes(), 1);
    say(&session, "lobby", 1);
    assert_eq!(peer.writes(), 2);
}

#[test]
fn a_turn_that_panics_still_sends_what_it_queued() {
    let (hub, listener) = hub_and_listener();
    let (session, peer) = member(&listener, "lobby");
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        hub.turn(|| {
            session.send(Frame::from_static(b"said before\n"));
            panic!("a handler's mistake");
        })
    }));
    assert!(outcome.is_err());
    assert_eq!(peer.text(), "said before\n");
    session.send(Frame::from_static(b"said after\n"));
    assert_eq!(peer.lines(), ["said before", "said after"]);
}

#[test]
fn delivery_does_not_wake_the_task_of_a_peer_that_takes_everything() {
    let (_hub, listener) = hub_and_listener();
    let members: Vec<_> = (0..5).map(|_| member(&listener, "lobby")).collect();
    for number in 0..100 {
        say(&members[0].0, "lobby", number);
    }
    for (_, peer) in &members {
        assert_eq!(peer.wakes(), 0);
    }
}
