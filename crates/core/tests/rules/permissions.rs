//! What a session may do by itself, and what only the server does to it.

use std::sync::Arc;

use polyport_core::{
    Except, Hub, Identity, JoinError, LeaveError, Permissions, PublishError, Session,
};

use crate::rig::{ListenerPlan, check_metric, hub_and_listener, member, name, number, room};

fn rules(join: &[&str], publish: &[&str], publish_unjoined: &[&str]) -> Permissions {
    let list = |items: &[&str]| {
        items
            .iter()
            .map(|item| (*item).to_owned())
            .collect::<Vec<_>>()
    };
    Permissions::new(&list(join), &list(publish), &list(publish_unjoined)).unwrap()
}

fn publish(session: &Session, to: &str) -> Result<usize, PublishError> {
    session
        .publish(&room(to), name("said"), number(1), Except::default())
        .map(|delivered| delivered.sessions)
}

#[test]
fn joining_is_by_pattern_but_the_server_may_put_anybody_anywhere() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.permissions = rules(&["chat-*"], &["*"], &[]);
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "admins");
    session.join(&room("chat-1")).unwrap();
    assert_eq!(session.join(&room("staff")), Err(JoinError::Forbidden));
    assert!(
        !listener.realm().exists(room("staff")),
        "a refusal makes no room"
    );
    assert_eq!(session.join(&room("admins")), Err(JoinError::AlreadyIn));
    assert_eq!(session.join(&room("chat-1")), Err(JoinError::AlreadyIn));
    session.leave(&room("admins")).unwrap();
    assert_eq!(session.leave(&room("admins")), Err(LeaveError));
    assert_eq!(session.join(&room("admins")), Err(JoinError::Forbidden));
}

#[test]
fn publishing_is_by_pattern_and_membership() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.permissions = rules(&["*"], &["talk"], &["hall"]);
    let listener = plan.on(&hub);
    let (inside, peer) = member(&listener, "talk");
    inside.join(&room("news")).unwrap();
    inside.join(&room("hall")).unwrap();
    let (outside, _) = member(&listener, "elsewhere");
    assert_eq!(publish(&inside, "talk"), Ok(1));
    assert_eq!(publish(&inside, "news"), Err(PublishError::Forbidden));
    assert_eq!(publish(&inside, "hall"), Ok(1));
    assert_eq!(publish(&outside, "talk"), Err(PublishError::NotMember));
    assert_eq!(publish(&outside, "hall"), Ok(1));
    assert_eq!(publish(&outside, "nowhere"), Err(PublishError::NotMember));
    assert_eq!(peer.lines().len(), 3);
    check_metric(&hub, "polyport_events_published_total", &[], 3.0);
}

#[test]
fn new_permissions_hold_for_open_sessions() {
    let (_hub, listener) = hub_and_listener();
    let (session, _) = member(&listener, "lobby");
    assert_eq!(publish(&session, "lobby"), Ok(1));
    let limits = (*listener.limits()).clone();
    listener.reconfigure(limits, rules(&[], &[], &[]));
    assert_eq!(publish(&session, "lobby"), Err(PublishError::Forbidden));
    assert_eq!(session.join(&room("other")), Err(JoinError::Forbidden));
    session.leave(&room("lobby")).unwrap();
}

#[test]
fn a_star_is_any_name() {
    let all = rules(&["*"], &["*"], &[]);
    for name in [
        "a",
        "a/b",
        "/",
        ".",
        "..",
        "a.b.c",
        "ä\u{1f600}",
        "a\nb",
        "a b",
        "{x}",
        "\0",
    ] {
        assert!(all.may_join(&room(name), None), "{name:?}");
        assert!(all.may_publish(&room(name), true, None), "{name:?}");
    }
}

#[test]
fn realms_never_touch() {
    let hub = Hub::new(0, None);
    let one = ListenerPlan::new("one").on(&hub);
    let mut plan = ListenerPlan::new("two");
    plan.realm = "another";
    let two = plan.on(&hub);
    let (here, _) = member(&one, "lobby");
    let (_there, peer) = member(&two, "lobby");
    assert_eq!(publish(&here, "lobby"), Ok(1));
    assert_eq!(peer.text(), "");
    assert_eq!(one.realm().members(&room("lobby")).len(), 1);
    check_metric(&hub, "polyport_rooms", &[("realm", "main")], 1.0);
    check_metric(&hub, "polyport_rooms", &[("realm", "another")], 1.0);
}

fn who(user: &str, site: &str) -> Option<Arc<Identity>> {
    Some(Arc::new(Identity {
        site: Some(site.into()),
        ..Identity::of_user(user)
    }))
}

#[test]
fn placeholders_stand_for_the_sessions_own() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.permissions = rules(&["box-{user}", "on-{site}-*"], &["box-*"], &["to-{user}"])
        .with_calls(&["{user}.read".to_owned(), "time".to_owned()])
        .unwrap();
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "lobby");
    assert_eq!(session.join(&room("box-7")), Err(JoinError::Forbidden));
    assert!(session.may_call("time") && !session.may_call("7.read"));
    session.identify(who("7", "a.example"));
    session.join(&room("box-7")).unwrap();
    session.join(&room("on-a.example-x")).unwrap();
    for other in ["box-8", "box-77", "on-aXexample-x", "box-{user}"] {
        assert_eq!(session.join(&room(other)), Err(JoinError::Forbidden));
    }
    assert_eq!(publish(&session, "box-7"), Ok(1));
    assert_eq!(publish(&session, "to-7"), Ok(0));
    assert_eq!(publish(&session, "to-8"), Err(PublishError::NotMember));
    assert!(session.may_call("7.read") && !session.may_call("8.read"));
    // A name that is a pattern itself gains nothing.
    session.identify(who("*", "?"));
    assert_eq!(session.join(&room("box-8")), Err(JoinError::Forbidden));
    assert!(!session.may_call("8.read"));
}

#[test]
fn no_star_reaches_the_rooms_of_identities() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.permissions = rules(&["*", "[u]ser(*", "{user(*,x}"], &["*"], &["*", "*)"]);
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "lobby");
    session.identify(who("7", "a.example"));
    for name in ["user(7)", "user(8)", "site(a.example)", "site()"] {
        let joined = session.join(&room(name));
        assert!(
            matches!(joined, Err(JoinError::Forbidden | JoinError::AlreadyIn)),
            "{name}"
        );
        assert!(publish(&session, name).is_err(), "{name}");
    }
    // What only looks alike is a room like any other.
    session.join(&room("user(7")).unwrap();
    session.join(&room("users(7)")).unwrap();
}

#[test]
fn patterns_that_begin_so_do_reach_them() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.permissions = rules(&["user(guest*)"], &["site({site})"], &["user(*)"]);
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "lobby");
    session.identify(who("7", "a.example"));
    session.join(&room("user(guests)")).unwrap();
    assert_eq!(session.join(&room("user(8)")), Err(JoinError::Forbidden));
    assert_eq!(publish(&session, "site(a.example)"), Ok(1));
    assert_eq!(
        publish(&session, "site(b.example)"),
        Err(PublishError::NotMember)
    );
    assert_eq!(publish(&session, "user(8)"), Ok(0));
}
