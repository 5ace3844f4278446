//! Rule 3 for what one session may hold: rooms and params. Every bound that is hit is counted.

use polyport_core::{Hub, JoinError, Json, Limits, Params, ParamsFull, Permissions};

use crate::rig::{ListenerPlan, check_metric, hub_and_listener, member, room};

#[test]
fn rooms_per_session_are_bounded() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.rooms_per_session = 3;
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "first");
    session.join(&room("second")).unwrap();
    session.put_into(&room("third")).unwrap();
    assert_eq!(session.join(&room("fourth")), Err(JoinError::TooManyRooms));
    assert_eq!(
        session.put_into(&room("fourth")),
        Err(JoinError::TooManyRooms)
    );
    assert!(!listener.realm().exists(room("fourth")));
    check_metric(
        &hub,
        "polyport_limit_hits_total",
        &[("limit", "rooms_per_session")],
        2.0,
    );
    session.leave(&room("second")).unwrap();
    session.join(&room("fourth")).unwrap();
    let rooms: Vec<String> = session.rooms().iter().map(ToString::to_string).collect();
    assert_eq!(rooms, ["first", "third", "fourth"]);
}

#[test]
fn the_rooms_of_the_listener_always_have_a_place() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.rooms_per_session = 1;
    plan.join = vec!["lobby", "news", "weather"];
    let listener = plan.on(&hub);
    let (session, _) = {
        let peer = crate::rig::MemoryPeer::new();
        (crate::rig::open_on(&listener, &peer), peer)
    };
    assert_eq!(session.rooms().len(), 3);
    assert_eq!(session.join(&room("own")), Err(JoinError::TooManyRooms));
}

#[test]
fn a_room_named_twice_in_the_configuration_is_joined_once() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.join = vec!["lobby", "lobby"];
    let listener = plan.on(&hub);
    let peer = crate::rig::MemoryPeer::new();
    let session = crate::rig::open_on(&listener, &peer);
    assert_eq!(session.rooms(), [room("lobby")]);
}

#[test]
fn params_are_bounded_in_number_and_bytes() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.params_per_session = 3;
    plan.limits.params_bytes = 30;
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "lobby");
    for name in ["a", "b", "c"] {
        session.set_param(name, Json::NULL).unwrap();
    }
    assert_eq!(session.set_param("d", Json::NULL), Err(ParamsFull));
    session
        .set_param("a", Json::string("1234567890123456"))
        .unwrap();
    assert_eq!(
        session.set_param("b", Json::string("12345")),
        Err(ParamsFull)
    );
    session.with_params(|params| {
        assert_eq!(
            params.get("b"),
            Some(&Json::NULL),
            "a refused value changes nothing"
        );
        assert!(params.bytes() <= 30);
        params.remove("c");
    });
    session.set_param("b", Json::string("12345")).unwrap();
    check_metric(
        &hub,
        "polyport_limit_hits_total",
        &[("limit", "params_per_session")],
        2.0,
    );
}

#[test]
fn all_params_at_once_are_bounded_too() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.params_per_session = 2;
    plan.limits.params_bytes = 20;
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "lobby");
    let params = |entries: &[(&str, &str)]| {
        let mut params = Params::default();
        for (name, value) in entries {
            params.set(name, Json::string(value));
        }
        params
    };
    session
        .replace_params(params(&[("a", "1"), ("b", "2")]))
        .unwrap();
    let too_many = params(&[("a", ""), ("b", ""), ("c", "")]);
    assert_eq!(session.replace_params(too_many), Err(ParamsFull));
    let too_long = params(&[("a", "12345678901234567890")]);
    assert_eq!(session.replace_params(too_long), Err(ParamsFull));
    session.with_params(|params| assert_eq!(params.len(), 2));
    check_metric(
        &hub,
        "polyport_limit_hits_total",
        &[("limit", "params_per_session")],
        2.0,
    );
}

#[test]
fn new_bounds_hold_for_open_sessions() {
    let (_hub, listener) = hub_and_listener();
    let (session, _) = member(&listener, "first");
    session.join(&room("second")).unwrap();
    let limits = Limits {
        rooms_per_session: 1,
        params_per_session: 0,
        calls_in_flight: 0,
        outbox: 1,
        ..Limits::default()
    };
    listener.reconfigure(limits, Permissions::default());
    assert_eq!(
        session.rooms().len(),
        2,
        "what is over a lowered bound stays"
    );
    assert_eq!(session.join(&room("third")), Err(JoinError::TooManyRooms));
    assert_eq!(session.set_param("a", Json::NULL), Err(ParamsFull));
    assert!(session.begin_call("any").is_err());
}

#[test]
fn a_limit_that_a_front_end_checks_is_counted_under_its_name() {
    let (hub, listener) = hub_and_listener();
    let (session, _) = member(&listener, "lobby");
    session.limit_hit(polyport_core::LimitKind::Message);
    check_metric(
        &hub,
        "polyport_limit_hits_total",
        &[
            ("listener", "one"),
            ("protocol", "lines"),
            ("limit", "message"),
        ],
        1.0,
    );
}
