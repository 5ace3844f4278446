//! What the server API and backends may have done to sessions, as JSON.

use std::sync::Arc;

use polyport_core::{
    Command, CommandError, Done, Hub, Identity, Json, Listener, RealmName, Recipients, RoomName,
    TargetSpec,
};

use crate::rig::{ListenerPlan, MemoryPeer, member, open_on, room};

fn main_realm() -> RealmName {
    RealmName::new("main").unwrap()
}

/// A hub with a listener in the realm `main` and one in `other`.
fn hub() -> (Arc<Hub>, Arc<Listener>, Arc<Listener>) {
    let hub = Hub::new(0, None);
    let listener = ListenerPlan::new("one").on(&hub);
    let mut plan = ListenerPlan::new("elsewhere");
    plan.realm = "other";
    let elsewhere = plan.on(&hub);
    (hub, listener, elsewhere)
}

fn command(text: &str) -> Command {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn run(hub: &Hub, text: &str) -> Result<usize, CommandError> {
    let done = hub.execute(&main_realm(), &command(text));
    done.map(|Done { sessions, .. }| sessions)
}

#[track_caller]
fn check_refused(text: &str, message: &str) {
    let error = serde_json::from_str::<Command>(text)
        .unwrap_err()
        .to_string();
    assert!(error.contains(message), "{text}: {error}");
}

#[test]
fn targets_reach_whom_they_name() {
    let (hub, listener, elsewhere) = hub();
    let (one, one_hears) = member(&listener, "a");
    let (two, two_hears) = member(&listener, "b");
    let (three, three_hears) = member(&elsewhere, "a");
    one.put_into(&room("b")).unwrap();
    let mut identity = Identity::of_user("7");
    identity.site = Some("example.com".into());
    two.identify(Some(Arc::new(identity)));
    let mut said = 0;
    let mut check = |target: &str, heard: [bool; 3]| {
        let before = [&one_hears, &two_hears, &three_hears].map(|peer| peer.lines().len());
        said += 1;
        let text = format!(r#"{{"publish":{{"to":{target},"event":"n","data":{said}}}}}"#);
        let reached = heard.iter().filter(|hears| **hears).count();
        assert_eq!(run(&hub, &text), Ok(reached), "{target}");
        let after = [&one_hears, &two_hears, &three_hears].map(|peer| peer.lines().len());
        for index in 0..3 {
            let expected = before[index] + usize::from(heard[index]);
            assert_eq!(after[index], expected, "{target}, session {index}");
        }
    };
    check(r#"{"room":"a"}"#, [true, false, false]);
    check(r#"{"room":"a","realm":"other"}"#, [false, false, true]);
    check(r#"{"room":"nobody's"}"#, [false, false, false]);
    check(r#"{"rooms":["a","b"]}"#, [true, true, false]);
    check(
        r#"{"rooms":["b","b"],"except":["a"]}"#,
        [false, true, false],
    );
    check(r#"{"rooms":["a"],"except":["a"]}"#, [false, false, false]);
    check(r#"{"user":7}"#, [false, true, false]);
    check(r#"{"user":"7"}"#, [false, true, false]);
    check(r#"{"user":70e-1}"#, [false, true, false]);
    check(r#"{"user":-0.0}"#, [false, false, false]);
    check(r#"{"user":"8"}"#, [false, false, false]);
    check(r#"{"site":"example.com"}"#, [false, true, false]);
    check(r#"{"everyone":true}"#, [true, true, false]);
    check(r#"{"everyone":true,"realm":"other"}"#, [false, false, true]);
    check(
        &format!(r#"{{"session":"{}"}}"#, one.id()),
        [true, false, false],
    );
    check(
        &format!(r#"{{"session":"{}"}}"#, three.id()),
        [false, false, true],
    );
}

#[test]
fn an_event_carries_the_one_room_it_went_to() {
    let (hub, listener, _elsewhere) = hub();
    let (session, hears) = member(&listener, "a");
    session.identify(Some(Arc::new(Identity::of_user("7"))));
    for to in [
        r#"{"room":"a"}"#,
        r#"{"rooms":["a"]}"#,
        r#"{"user":7}"#,
        r#"{"rooms":["a","b"]}"#,
        r#"{"everyone":true}"#,
    ] {
        run(&hub, &format!(r#"{{"publish":{{"to":{to},"event":"n"}}}}"#)).unwrap();
    }
    let rooms: Vec<String> = hears
        .lines()
        .iter()
        .map(|line| line.split(' ').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(rooms, ["a", "a", "user(7)", "-", "-"]);
}

#[test]
fn arguments_are_taken_as_they_stand_but_for_white_space() {
    let (hub, listener, _elsewhere) = hub();
    let (_session, hears) = member(&listener, "a");
    for said in [
        "\"event\":\"n\",\"data\":{ \"b \" :\r\n 1e0 }",
        r#""event":"n","data":null"#,
        r#""event":"n","args":["\u0041", 2]"#,
        r#""event":"n""#,
        r#""action":{"type":"ADD"}"#,
    ] {
        run(
            &hub,
            &format!(r#"{{"publish":{{"to":{{"room":"a"}},{said}}}}}"#),
        )
        .unwrap();
    }
    let heard: Vec<String> = hears
        .lines()
        .iter()
        .map(|line| line.splitn(3, ' ').nth(2).unwrap().to_owned())
        .collect();
    assert_eq!(
        heard,
        [
            r#"n {"b ":1e0}"#,
            "n null",
            r#"n "\u0041""#,
            "n -",
            r#"action {"type":"ADD"}"#
        ]
    );
}

#[test]
fn join_leave_and_disconnect_take_every_session_of_the_target() {
    let (hub, listener, _elsewhere) = hub();
    let sessions: Vec<_> = (0..3).map(|_| member(&listener, "a")).collect();
    let (guest, _) = member(&listener, "b");
    let news = room("news");
    assert_eq!(
        run(&hub, r#"{"join":{"to":{"room":"a"},"room":"news"}}"#),
        Ok(3)
    );
    assert_eq!(
        run(&hub, r#"{"join":{"to":{"everyone":true},"room":"news"}}"#),
        Ok(1),
        "the others are in it already"
    );
    assert!(guest.is_in(&news));
    assert_eq!(
        run(
            &hub,
            r#"{"leave":{"to":{"rooms":["news"],"except":["b"]},"room":"news"}}"#
        ),
        Ok(3)
    );
    assert_eq!(
        run(&hub, r#"{"leave":{"to":{"room":"a"},"room":"news"}}"#),
        Ok(0)
    );
    assert!(guest.is_in(&news) && !sessions[0].0.is_in(&news));
    assert_eq!(
        run(&hub, r#"{"disconnect":{"to":{"rooms":["a","news"]}}}"#),
        Ok(4)
    );
    for session in sessions.iter().map(|(session, _)| session).chain([&guest]) {
        let reason = session.outbox().closing();
        assert_eq!(reason, Some(polyport_core::CloseReason::Disconnected));
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let (hub, listener, elsewhere) = hub();
    let (session, _) = member(&elsewhere, "a");
    let nobody = polyport_core::SessionId::random();
    let publish = |target: &str| {
        run(
            &hub,
            &format!(r#"{{"publish":{{"to":{target},"event":"n"}}}}"#),
        )
        .unwrap_err()
    };
    let error = publish(r#"{"room":"a","realm":"none"}"#);
    assert_eq!(error.to_string(), "there is no realm `none`");
    assert!(hub.find_realm("none").is_none(), "asking makes no realm");
    let error = publish(&format!(r#"{{"session":"{nobody}"}}"#));
    assert_eq!(error, CommandError::UnknownSession(nobody));
    let error = publish(&format!(
        r#"{{"session":"{}","realm":"main"}}"#,
        session.id()
    ));
    assert_eq!(error, CommandError::UnknownSession(session.id()));
    for identity in ["user(7)", "site(example.com)"] {
        let text = format!(r#"{{"join":{{"to":{{"room":"a"}},"room":"{identity}"}}}}"#);
        assert_eq!(
            run(&hub, &text),
            Err(CommandError::IdentityRoom(room(identity)))
        );
    }
    let full = open_on(&listener, &MemoryPeer::new());
    for index in 0..listener.limits().rooms_per_session {
        full.put_into(&room(&format!("room {index}"))).unwrap();
    }
    let text = format!(
        r#"{{"join":{{"to":{{"session":"{}"}},"room":"z"}}}}"#,
        full.id()
    );
    assert_eq!(run(&hub, &text), Err(CommandError::TooManyRooms));
    let text = r#"{"join":{"to":{"everyone":true},"room":"z"}}"#;
    assert_eq!(
        run(&hub, text),
        Ok(0),
        "one of many that is full is no error"
    );
}

#[test]
fn a_command_that_would_touch_very_many_sessions_touches_none() {
    let (hub, listener, _elsewhere) = hub();
    let peer = MemoryPeer::new();
    let sessions: Vec<_> = (0..10_001)
        .map(|_| {
            let session = open_on(&listener, &peer);
            session.put_into(&room("a")).unwrap();
            session
        })
        .collect();
    for to in [
        r#"{"room":"a"}"#,
        r#"{"everyone":true}"#,
        r#"{"rooms":["a","b"]}"#,
    ] {
        let text = format!(r#"{{"join":{{"to":{to},"room":"b"}}}}"#);
        assert_eq!(run(&hub, &text), Err(CommandError::TooManySessions(10_001)));
    }
    assert_eq!(listener.realm().members(&room("b")), []);
    let text = r#"{"publish":{"to":{"everyone":true},"event":"n"}}"#;
    assert_eq!(
        run(&hub, text),
        Ok(10_001),
        "a publish reaches as many as there are"
    );
    drop(sessions);
}

#[test]
fn what_is_no_command_is_refused_with_the_reason() {
    let publish = |rest: &str| format!(r#"{{"publish":{{{rest}}}}}"#);
    let to = |target: &str| publish(&format!(r#""event":"n","to":{target}"#));
    check_refused("{", "EOF while parsing");
    check_refused(
        r#"{"publis":{}}"#,
        "unknown variant `publis`, expected one of `publish`",
    );
    check_refused(&publish(r#""event":"n""#), "missing field `to`");
    check_refused(&to("{}"), "a target needs exactly one of session, room,");
    check_refused(&to(r#"{"room":"a","user":"b"}"#), "exactly one of session,");
    check_refused(&to(r#"{"rom":"a"}"#), "unknown field `rom`");
    check_refused(&to(r#"{"room":"a","room":"b"}"#), "duplicate field `room`");
    check_refused(
        &to(r#"{"room":""}"#),
        "a name may not be empty at line 1 column",
    );
    check_refused(
        &to(r#"{"room":null}"#),
        "invalid type: null, expected a string",
    );
    check_refused(&to(r#"{"room":"a","realm":""}"#), "a name may not be empty");
    let long = format!(r#"{{"room":"{}"}}"#, "r".repeat(1025));
    check_refused(&to(&long), "longer than 1024 bytes");
    check_refused(&to(r#"{"session":"7"}"#), "no session id: expected a UUID");
    check_refused(&to(r#"{"rooms":[]}"#), "`rooms` names no room");
    let many = Json::encode(&vec!["r"; 101]);
    check_refused(
        &to(&format!(r#"{{"rooms":{many:?}}}"#)),
        "at most 100 rooms",
    );
    check_refused(
        &to(r#"{"room":"a","except":["b"]}"#),
        "`except` goes with `rooms` only",
    );
    check_refused(&to(r#"{"everyone":false}"#), "`everyone` can only be true");
    check_refused(&to(r#"{"user":""}"#), "`user` may not be empty");
    check_refused(
        &to(r#"{"user":1.5}"#),
        "a user's id, a string or an integer",
    );
    let long = format!(r#"{{"user":"{}"}}"#, "7".repeat(1020));
    check_refused(&to(&long), "`user` is too long");
    check_refused(
        &publish(r#""to":{"room":"a"}"#),
        "`event` (or `action`) is missing",
    );
    check_refused(
        &publish(r#""to":{"room":"a"},"event":"n","data":1,"args":[]"#),
        "either `args` or `data`",
    );
    check_refused(
        &publish(r#""to":{"room":"a"},"event":"n","action":1"#),
        "`action` stands alone",
    );
    check_refused(
        &publish(r#""to":{"room":"a"},"event":"n","extra":1"#),
        "unknown field `extra`",
    );
    check_refused(r#"{"join":{"to":{"room":"a"}}}"#, "missing field `room`");
    check_refused(
        r#"{"disconnect":{"to":{"room":"a"},"room":"b"}}"#,
        "unknown field `room`",
    );
}

#[test]
fn a_target_says_which_room_it_is() {
    let target: TargetSpec = serde_json::from_str(r#"{"user":-7,"realm":"main"}"#).unwrap();
    assert_eq!(target.realm.as_ref(), Some(&main_realm()));
    assert_eq!(target.to, Recipients::Room(room("user(-7)")));
    assert_eq!(
        TargetSpec::user("7").unwrap().room(),
        Some(&room("user(7)"))
    );
    let target: TargetSpec = RoomName::new("a").unwrap().into();
    assert_eq!(
        (target.realm.as_ref(), target.room()),
        (None, Some(&room("a")))
    );
}
