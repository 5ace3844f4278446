//! Calls: how many at once, how they are counted, and what a drain means for them.

use std::sync::Arc;

use polyport_core::{CallError, CloseReason, Frame, Hub};

use crate::rig::{ListenerPlan, MemoryPeer, check_metric, hub_and_listener, member, open_on};

#[test]
fn calls_in_flight_are_bounded_and_counted_down_when_dropped() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.calls_in_flight = 2;
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "lobby");
    let first = session.begin_call("any").unwrap();
    let second = session.begin_call("any").unwrap();
    assert_eq!(
        session.begin_call("any").unwrap_err(),
        CallError::TooManyPending
    );
    assert_eq!(
        session.calls_in_flight(),
        2,
        "a refused call takes no place"
    );
    check_metric(
        &hub,
        "polyport_limit_hits_total",
        &[("limit", "calls_in_flight")],
        1.0,
    );
    drop(first.finish(None));
    drop(second);
    assert_eq!(session.calls_in_flight(), 0);
    let third = session.begin_call("any").unwrap();
    drop(third.finish(Some(&CallError::Deadline)));

    let calls = |outcome: &str, expected: f64| {
        check_metric(
            &hub,
            "polyport_calls_total",
            &[("outcome", outcome)],
            expected,
        );
    };
    calls("ok", 1.0);
    calls("too_many_pending", 1.0);
    calls("deadline", 1.0);
    check_metric(&hub, "polyport_calls_total", &[], 3.0);
}

#[test]
fn one_session_at_its_bound_does_not_hinder_another() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.calls_in_flight = 1;
    let listener = plan.on(&hub);
    let (busy, _) = member(&listener, "lobby");
    let (other, _) = member(&listener, "lobby");
    let _ticket = busy.begin_call("any").unwrap();
    assert!(busy.begin_call("any").is_err());
    assert!(other.begin_call("any").is_ok());
}

#[test]
fn a_draining_listener_takes_no_new_calls_and_waits_for_the_old() {
    let (hub, listener) = hub_and_listener();
    let other = ListenerPlan::new("two").on(&hub);
    let peer = MemoryPeer::new();
    let session = open_on(&listener, &peer);
    let (elsewhere, _) = member(&other, "lobby");
    let ticket = session.begin_call("any").unwrap();
    listener.drain();
    assert!(listener.is_draining());
    let before = peer.wakes();
    assert_eq!(
        session.begin_call("any").unwrap_err(),
        CallError::ShuttingDown
    );
    assert_eq!(session.calls_in_flight(), 1);
    assert!(
        elsewhere.begin_call("any").is_ok(),
        "another listener goes on"
    );
    let refused = peer.wakes();
    drop(ticket.finish(None));
    assert!(
        peer.wakes() > refused && refused >= before,
        "its task looks whether it may end"
    );
    check_metric(
        &hub,
        "polyport_calls_total",
        &[("outcome", "shutting_down")],
        1.0,
    );
    check_metric(&hub, "polyport_calls_total", &[("outcome", "ok")], 1.0);
}

#[test]
fn a_drain_waits_until_the_answer_is_queued() {
    let (_hub, listener) = hub_and_listener();
    let (session, peer) = member(&listener, "lobby");
    let ticket = session.begin_call("any").unwrap();
    listener.drain();
    let unsent = ticket.finish(None);
    assert_eq!(session.calls_in_flight(), 0);
    assert!(!session.is_settled(), "the answer is computed, not queued");
    let before = peer.wakes();
    let answer = Frame::from_static(b"answer\n");
    unsent.session().unwrap().send(answer);
    drop(unsent);
    assert!(session.is_settled());
    assert!(peer.wakes() > before, "its task looks whether it may end");
    assert_eq!(peer.lines(), ["answer"]);
}

#[test]
fn a_session_is_ended_between_two_calls_or_not_at_all() {
    let (_hub, listener) = hub_and_listener();
    let (session, _peer) = member(&listener, "lobby");
    let ticket = session.begin_call("a").unwrap();
    assert!(!session.close_if_settled(CloseReason::Shutdown));
    assert_eq!(session.outbox().closing(), None);
    drop(ticket.finish(None));
    assert!(session.close_if_settled(CloseReason::Shutdown));
    assert_eq!(session.outbox().closing(), Some(CloseReason::Shutdown));
    let late = session.begin_call("a");
    assert_eq!(late.unwrap_err(), CallError::ShuttingDown);
}

#[test]
fn the_call_of_a_session_that_has_left_runs_to_its_end_and_keeps_nothing_of_it() {
    let (hub, listener) = hub_and_listener();
    let (session, peer) = member(&listener, "lobby");
    let ticket = session.begin_call("any").unwrap();
    drop(session);
    assert!(hub.is_empty());
    assert_eq!(Arc::strong_count(&peer), 1, "its connection is not kept");
    assert!(ticket.session().upgrade().is_none());
    let unsent = ticket.finish(None);
    assert!(unsent.session().is_none());
    check_metric(&hub, "polyport_calls_total", &[("outcome", "ok")], 1.0);
}

#[test]
fn threads_that_race_for_calls_never_get_too_many() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.calls_in_flight = 5;
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "lobby");
    let tickets: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..50)
                        .filter_map(|_| session.begin_call("any").ok())
                        .collect()
                })
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| -> Vec<_> { racer.join().unwrap() })
            .collect()
    });
    assert_eq!(tickets.iter().map(Vec::len).sum::<usize>(), 5);
    assert_eq!(session.calls_in_flight(), 5);
    drop(tickets);
    assert_eq!(session.calls_in_flight(), 0);
}
