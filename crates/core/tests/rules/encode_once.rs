//! Rule 1: an event is written at most once per dialect, however many sessions receive it.

use std::{collections::HashSet, sync::Arc};

use polyport_core::{Dialect, Except, Frame, Hub, Json};

use crate::rig::{LineDialect, ListenerPlan, announce, check_metric, member, name, room};

#[test]
fn an_event_to_a_thousand_members_of_three_dialects_is_written_three_times() {
    let hub = Hub::new(0, None);
    let dialects = ["one", "two", "three"].map(LineDialect::new);
    let listeners = dialects.clone().map(|dialect| {
        let mut plan = ListenerPlan::new(dialect.protocol());
        plan.dialect = dialect;
        plan.on(&hub)
    });
    let members: Vec<_> = (0..1000)
        .map(|i| member(&listeners[i % 3], "lobby"))
        .collect();

    assert_eq!(announce(&listeners[0], "lobby", Json::string("hi")), 1000);

    for dialect in &dialects {
        assert_eq!(dialect.encodes(), 1);
    }
    for (index, (_, peer)) in members.iter().enumerate() {
        let expected = format!("{} lobby news \"hi\"\n", dialects[index % 3].protocol());
        assert_eq!(peer.text(), expected);
    }
    let buffers: HashSet<usize> = members
        .iter()
        .flat_map(|(_, peer)| peer.addresses())
        .collect();
    assert_eq!(
        buffers.len(),
        3,
        "all receivers of a dialect share its bytes"
    );
    check_metric(&hub, "polyport_encodes_total", &[], 3.0);
    check_metric(&hub, "polyport_events_delivered_total", &[], 1000.0);
    check_metric(
        &hub,
        "polyport_events_delivered_total",
        &[("protocol", "one")],
        334.0,
    );
}

#[test]
fn two_listeners_that_share_a_dialect_share_its_frames() {
    let hub = Hub::new(0, None);
    let dialect = LineDialect::new("shared");
    let listeners = ["a", "b"].map(|name| {
        let mut plan = ListenerPlan::new(name);
        plan.dialect = Arc::clone(&dialect) as Arc<dyn Dialect>;
        plan.on(&hub)
    });
    let members: Vec<_> = (0..10)
        .map(|i| member(&listeners[i % 2], "lobby"))
        .collect();
    assert_eq!(announce(&listeners[0], "lobby", Json::NULL), 10);
    assert_eq!(dialect.encodes(), 1);
    drop(members);
}

#[test]
fn a_dialect_nobody_in_the_room_speaks_writes_nothing() {
    let hub = Hub::new(0, None);
    let silent = LineDialect::new("silent");
    let mut plan = ListenerPlan::new("silent");
    plan.dialect = Arc::clone(&silent) as Arc<dyn Dialect>;
    let elsewhere = plan.on(&hub);
    let listener = ListenerPlan::new("heard").on(&hub);
    let _other = member(&elsewhere, "another room");
    let _member = member(&listener, "lobby");
    assert_eq!(announce(&listener, "lobby", Json::NULL), 1);
    assert_eq!(announce(&listener, "nobody's room", Json::NULL), 0);
    assert_eq!(silent.encodes(), 0);
    check_metric(&hub, "polyport_encodes_total", &[], 1.0);
}

#[test]
fn a_relayed_frame_reaches_only_its_own_dialect_and_is_never_written_again() {
    let hub = Hub::new(0, None);
    let [mine, other] = ["mine", "other"].map(LineDialect::new);
    let listeners = [mine.clone(), other.clone()].map(|dialect| {
        let mut plan = ListenerPlan::new(dialect.protocol());
        plan.dialect = dialect;
        plan.on(&hub)
    });
    let members: Vec<_> = (0..6).map(|i| member(&listeners[i % 2], "lobby")).collect();
    listeners[0].set_own_room(room("lobby"));
    let delivered = hub.relay(
        &listeners[0],
        Except {
            session: Some(&members[0].0),
            listener: None,
        },
        &Frame::from_static(b"verbatim\n"),
    );
    assert_eq!(delivered.sessions, 2);
    let received: Vec<String> = members.iter().map(|(_, peer)| peer.text()).collect();
    assert_eq!(received, ["", "", "verbatim\n", "", "verbatim\n", ""]);
    assert_eq!((mine.encodes(), other.encodes()), (0, 0));
}

#[test]
fn exceptions_hold_for_sessions_and_listeners() {
    let hub = Hub::new(0, None);
    let listeners = ["a", "b"].map(|name| ListenerPlan::new(name).on(&hub));
    let members: Vec<_> = (0..4).map(|i| member(&listeners[i % 2], "lobby")).collect();
    let publish = |session, listener| {
        members[0]
            .0
            .publish(
                &room("lobby"),
                name("said"),
                crate::rig::number(1),
                Except { session, listener },
            )
            .unwrap()
            .sessions
    };
    assert_eq!(publish(None, None), 4);
    assert_eq!(publish(Some(&members[0].0), None), 3);
    assert_eq!(publish(None, Some(&*listeners[1])), 2);
    assert_eq!(publish(Some(&members[0].0), Some(&*listeners[1])), 1);
    let counts: Vec<usize> = members.iter().map(|(_, peer)| peer.lines().len()).collect();
    assert_eq!(counts, [2, 2, 4, 2]);
}
