//! What came has gone: no map, no count and no memory stays behind.

use std::{sync::Arc, thread};

use polyport_core::{CallError, CloseReason, Json, Limits, Permissions, RefuseReason, Session};

use crate::rig::{
    ListenerPlan, MemoryPeer, address, announce, check_metric, hub_and_listener, open_at, room, say,
};

const SESSIONS: usize = 10_000;

/// One session that uses everything a session can use.
fn live(listener: &Arc<polyport_core::Listener>, peer: &Arc<MemoryPeer>, number: usize) -> Session {
    let from = address(u8::try_from(number % 200).unwrap());
    let session = open_at(listener, Arc::clone(peer) as Arc<_>, from).unwrap();
    session.join(&room("declared")).unwrap();
    session
        .join(&room(&format!("room {}", number % 100)))
        .unwrap();
    session.join(&room(&format!("own room {number}"))).unwrap();
    session.set_param("key", Json::string("value")).unwrap();
    let call = session.begin_call("any").unwrap();
    drop(call.finish(Some(&CallError::Internal)));
    say(&session, &format!("own room {number}"), number);
    session
}

#[track_caller]
fn check_nothing_is_left(hub: &polyport_core::Hub, listener: &Arc<polyport_core::Listener>) {
    assert_eq!(hub.len(), 0);
    assert_eq!(listener.realm().len(), 1, "only the declared room");
    assert_eq!(announce(listener, "declared", Json::NULL), 0);
    check_metric(hub, "polyport_sessions", &[], 0.0);
    check_metric(hub, "polyport_rooms", &[], 1.0);
    check_metric(hub, "polyport_sessions_opened_total", &[], SESSIONS as f64);
    check_metric(hub, "polyport_sessions_closed_total", &[], SESSIONS as f64);
    // The counts of admission cannot be read, but they can be used up.
    let limits = Limits {
        sessions: 400,
        sessions_per_address: 2,
        ..Limits::default()
    };
    listener.reconfigure(limits, Permissions::default());
    let mut places = Vec::new();
    for number in 0..200 {
        for _ in 0..2 {
            let mut place = listener.admit(None).unwrap();
            place.count_address(address(number).ip()).unwrap();
            places.push(place);
        }
    }
    assert_eq!(
        listener.admit(None).unwrap_err(),
        RefuseReason::ListenerSessions
    );
    hub.set_max_sessions(400);
    assert_eq!(listener.admit(None).unwrap_err(), RefuseReason::Sessions);
}

#[test]
fn nothing_is_left_of_ten_thousand_sessions() {
    let (hub, listener) = hub_and_listener();
    listener.realm().declare(&room("declared"));
    let peer = MemoryPeer::new();
    let sessions: Vec<_> = (0..SESSIONS).map(|i| live(&listener, &peer, i)).collect();
    assert_eq!(hub.len(), SESSIONS);
    assert_eq!(listener.realm().len(), 1 + 100 + SESSIONS);
    check_metric(&hub, "polyport_sessions", &[], SESSIONS as f64);
    for (number, session) in sessions.iter().enumerate() {
        session.close(CloseReason::ALL[number % CloseReason::ALL.len()]);
    }
    drop(sessions);
    check_nothing_is_left(&hub, &listener);
    assert_eq!(Arc::strong_count(&peer), 1, "no session is alive anywhere");
    for reason in CloseReason::ALL {
        let closed = crate::rig::metric(
            &hub,
            "polyport_sessions_closed_total",
            &[("reason", reason.label())],
        );
        assert!(closed >= 800.0, "{closed} closed by {reason:?}");
    }
}

#[test]
fn nothing_is_left_when_threads_come_and_go_at_once() {
    let (hub, listener) = hub_and_listener();
    listener.realm().declare(&room("declared"));
    let peer = MemoryPeer::new();
    thread::scope(|scope| {
        for part in 0..4 {
            let (listener, peer) = (&listener, &peer);
            scope.spawn(move || {
                let mut open = std::collections::VecDeque::new();
                for number in (part..SESSIONS).step_by(4) {
                    open.push_back(live(listener, peer, number));
                    announce(listener, &format!("room {}", number % 100), Json::NULL);
                    if open.len() > 20 {
                        open.pop_front();
                    }
                }
            });
        }
    });
    check_nothing_is_left(&hub, &listener);
    assert_eq!(Arc::strong_count(&peer), 1, "no session is alive anywhere");
}

#[test]
fn a_refused_connection_leaves_nothing() {
    let hub = polyport_core::Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.sessions_per_address = 1;
    let listener = plan.on(&hub);
    let peer = MemoryPeer::new();
    let first = open_at(&listener, Arc::clone(&peer) as Arc<_>, address(1)).unwrap();
    for _ in 0..100 {
        let refused = open_at(&listener, Arc::clone(&peer) as Arc<_>, address(1));
        assert_eq!(refused.err(), Some(RefuseReason::AddressSessions));
    }
    drop(first);
    assert_eq!(Arc::strong_count(&peer), 1);
    assert!(open_at(&listener, peer, address(1)).is_ok());
    check_metric(&hub, "polyport_sessions_opened_total", &[], 2.0);
    check_metric(&hub, "polyport_connections_refused_total", &[], 100.0);
}
