//! Rule 3 for connections: how many at once, in all, per listener and per address.

use std::net::{IpAddr, Ipv4Addr};

use polyport_core::{Admission, Hub, Limits, Peer, Permissions, RefuseReason, Wire};

use crate::rig::{ListenerPlan, MemoryPeer, check_metric, hub_and_listener};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

#[test]
fn the_hub_bounds_all_listeners_together() {
    let hub = Hub::new(3, None);
    let listeners = ["a", "b"].map(|name| ListenerPlan::new(name).on(&hub));
    let mut places: Vec<_> = (0..3)
        .map(|i| listeners[i % 2].admit(None).unwrap())
        .collect();
    assert_eq!(
        listeners[1].admit(None).unwrap_err(),
        RefuseReason::Sessions
    );
    check_metric(
        &hub,
        "polyport_connections_refused_total",
        &[("listener", "b"), ("reason", "sessions")],
        1.0,
    );
    places.pop();
    places.push(listeners[1].admit(None).unwrap());
    hub.set_max_sessions(4);
    places.push(listeners[0].admit(None).unwrap());
    assert_eq!(
        listeners[0].admit(None).unwrap_err(),
        RefuseReason::Sessions
    );
    hub.set_max_sessions(0);
    places.extend((0..100).map(|_| listeners[0].admit(None).unwrap()));
}

#[test]
fn a_listener_bounds_its_own_and_a_refusal_takes_no_place_anywhere() {
    let hub = Hub::new(3, None);
    let mut plan = ListenerPlan::new("small");
    plan.limits.sessions = 1;
    let small = plan.on(&hub);
    let large = ListenerPlan::new("large").on(&hub);
    let first = small.admit(None).unwrap();
    for _ in 0..10 {
        assert_eq!(
            small.admit(None).unwrap_err(),
            RefuseReason::ListenerSessions
        );
    }
    let _others = [large.admit(None).unwrap(), large.admit(None).unwrap()];
    assert_eq!(large.admit(None).unwrap_err(), RefuseReason::Sessions);
    drop(first);
    let _again = small.admit(None).unwrap();
    check_metric(
        &hub,
        "polyport_connections_refused_total",
        &[("reason", "listener_sessions")],
        10.0,
    );
}

#[test]
fn a_wire_above_another_takes_no_place() {
    let hub = Hub::new(2, None);
    let listener = ListenerPlan::new("one").on(&hub);
    let base = Wire::new(listener.admit(None).unwrap(), Peer::Unix, MemoryPeer::new());
    let above = Wire::above(&base, MemoryPeer::new());
    assert_eq!(above.peer(), base.peer());
    let other = listener.admit(None).unwrap();
    drop(above);
    assert_eq!(listener.admit(None).unwrap_err(), RefuseReason::Sessions);
    drop((base, other));
    let _both = [listener.admit(None).unwrap(), listener.admit(None).unwrap()];
}

#[test]
fn an_address_bounds_its_own_whatever_its_form() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.sessions_per_address = 2;
    let listener = plan.on(&hub);
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped());
    let mut first = listener.admit(None).unwrap();
    first.count_address(ADDRESS).unwrap();
    let mut second = listener.admit(None).unwrap();
    second.count_address(mapped).unwrap();
    let mut third = listener.admit(None).unwrap();
    assert_eq!(
        third.count_address(ADDRESS),
        Err(RefuseReason::AddressSessions)
    );
    third
        .count_address(IpAddr::V4(Ipv4Addr::LOCALHOST))
        .unwrap();
    drop(first);
    let mut fourth = listener.admit(None).unwrap();
    fourth.count_address(mapped).unwrap();
    check_metric(
        &hub,
        "polyport_connections_refused_total",
        &[("reason", "address_sessions")],
        1.0,
    );
}

#[test]
fn zero_is_no_bound_and_a_changed_bound_holds_at_once() {
    let (_hub, listener) = hub_and_listener();
    let mut places: Vec<_> = (0..50)
        .map(|_| {
            let mut admission = listener.admit(None).unwrap();
            admission.count_address(ADDRESS).unwrap();
            admission
        })
        .collect();
    let limits = Limits {
        sessions: 51,
        sessions_per_address: 50,
        ..Limits::default()
    };
    listener.reconfigure(limits, Permissions::default());
    let mut one_more = listener.admit(None).unwrap();
    assert_eq!(
        one_more.count_address(ADDRESS),
        Err(RefuseReason::AddressSessions)
    );
    assert_eq!(
        listener.admit(None).unwrap_err(),
        RefuseReason::ListenerSessions
    );
    places.pop();
    one_more.count_address(ADDRESS).unwrap();
}

#[test]
fn threads_that_race_for_places_never_get_too_many() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.sessions = 10;
    let listener = plan.on(&hub);
    let admitted: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..100).filter_map(|_| listener.admit(None).ok()).collect()))
            .collect();
        racers
            .into_iter()
            .map(|racer| -> Vec<_> { racer.join().unwrap() })
            .collect()
    });
    assert_eq!(admitted.iter().map(Vec::len).sum::<usize>(), 10);
}

/// Twice as many as sessions, and 64 more.
#[test]
fn connections_without_a_session_have_places_of_their_own() {
    let hub = Hub::new(2, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.sessions = 3;
    let listener = plan.on(&hub);
    let _sessions = [listener.admit(None).unwrap(), listener.admit(None).unwrap()];
    let mut connections: Vec<_> = (0..68)
        .map(|_| listener.admit_connection(None).unwrap())
        .collect();
    let refused = RefuseReason::ListenerConnections;
    assert_eq!(listener.admit_connection(None).unwrap_err(), refused);
    hub.set_max_sessions(0);
    connections.extend((0..2).map(|_| listener.admit_connection(None).unwrap()));
    assert_eq!(listener.admit_connection(None).unwrap_err(), refused);
    let _third = listener.admit(None).unwrap();
    check_metric(
        &hub,
        "polyport_connections_refused_total",
        &[("reason", "listener_connections")],
        2.0,
    );
    drop(connections);
    listener.admit_connection(None).unwrap();
    let limits = Limits {
        sessions: 0,
        ..Limits::default()
    };
    listener.reconfigure(limits, Permissions::default());
    let all: Vec<_> = (0..500)
        .map(|_| listener.admit_connection(None).unwrap())
        .collect();
    assert!(all.iter().all(Admission::may_idle));
}

#[test]
fn connections_without_a_session_are_bounded_for_each_address() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.sessions_per_address = 1;
    let listener = plan.on(&hub);
    let connect = || {
        let mut place = listener.admit_connection(None).unwrap();
        place.count_address(ADDRESS).map(|()| place)
    };
    let mut places: Vec<_> = (0..66).map(|_| connect().unwrap()).collect();
    assert_eq!(connect().unwrap_err(), RefuseReason::AddressConnections);
    // One that has served a session is counted in any case, so that it is missed by those who come.
    let back = listener.readmit_connection(Some(ADDRESS));
    places.pop();
    assert_eq!(connect().unwrap_err(), RefuseReason::AddressConnections);
    drop(back);
    places.push(connect().unwrap());
    assert!(!places[0].may_idle());
    places.truncate(33);
    assert!(places[0].may_idle());
    let mut session = listener.admit(None).unwrap();
    session.count_address(ADDRESS).unwrap();
}
