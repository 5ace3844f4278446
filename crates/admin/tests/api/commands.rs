//! What the verbs do to sessions, and what they cannot do.

use polyport_core::{CloseReason, RoomName};
use serde_json::json;

use crate::rig::world;

#[tokio::test]
async fn publish_reaches_every_kind_of_target() {
    let world = world().await;
    let (one, one_hears) = world.user("7", &["a"]);
    let (_two, two_hears) = world.member(&["b"]);
    let (_three, three_hears) = world.stranger(&["a"]);
    for (to, sessions) in [
        (r#"{"room":"a"}"#.to_owned(), 1),
        (r#"{"room":"a","realm":"other"}"#.to_owned(), 1),
        (r#"{"rooms":["a","b","a"]}"#.to_owned(), 2),
        (r#"{"rooms":["a","b"],"except":["a"]}"#.to_owned(), 1),
        (r#"{"user":7}"#.to_owned(), 1),
        (r#"{"everyone":true}"#.to_owned(), 2),
        (format!(r#"{{"session":"{}"}}"#, one.id()), 1),
        (r#"{"room":"nobody's"}"#.to_owned(), 0),
        (r#"{"site":"example.com"}"#.to_owned(), 0),
    ] {
        let body = format!(r#"{{"to":{to},"event":"n"}}"#);
        assert_eq!(world.reached("/api/publish", &body).await, sessions, "{to}");
    }
    assert_eq!(one_hears.lines(), ["a n", "- n", "user(7) n", "- n", "- n"]);
    assert_eq!(two_hears.lines(), ["- n", "- n", "- n"]);
    assert_eq!(three_hears.lines(), ["a n"]);
}

#[tokio::test]
async fn arguments_arrive_as_they_were_written() {
    let world = world().await;
    let (_one, hears) = world.member(&["a"]);
    for said in [
        r#""event":"n","data":{"big":123456789012345678901234567890,"e":1E400}"#,
        "\"event\":\"n\",\"args\":[ 1,\r\n \"a b\" ]",
        r#""action":{"type":"ADD"}"#,
        r#""event":"n","data":null"#,
        r#""event":"n""#,
    ] {
        let body = format!(r#"{{"to":{{"room":"a"}},{said}}}"#);
        assert_eq!(world.reached("/api/publish", &body).await, 1);
    }
    assert_eq!(
        hears.lines(),
        [
            r#"a n {"big":123456789012345678901234567890,"e":1E400}"#,
            r#"a n 1 "a b""#,
            r#"a action {"type":"ADD"}"#,
            "a n null",
            "a n",
        ]
    );
}

#[tokio::test]
async fn broadcast_reaches_each_session_once() {
    let world = world().await;
    let (_one, one_hears) = world.user("7", &["a", "b"]);
    let (_two, two_hears) = world.stranger(&["a"]);
    let body = r#"{"to":[{"room":"a"},{"user":7},{"room":"b"},{"room":"a","realm":"other"}],"event":"n","data":1}"#;
    assert_eq!(world.reached("/api/broadcast", body).await, 2);
    assert_eq!(
        (one_hears.lines(), two_hears.lines()),
        (vec!["- n 1".to_owned()], vec!["- n 1".to_owned()])
    );
    for (body, wanted) in [
        (r#"{"to":[],"event":"n"}"#.to_owned(), "1 to 100 targets"),
        (
            format!(
                r#"{{"to":[{}{{"room":"a"}}],"event":"n"}}"#,
                r#"{"room":"a"},"#.repeat(100)
            ),
            "1 to 100 targets",
        ),
        (
            r#"{"to":[{"room":"a"}]}"#.to_owned(),
            "`event` (or `action`) is missing",
        ),
        (
            r#"{"to":{"room":"a"},"event":"n"}"#.to_owned(),
            "expected a sequence",
        ),
    ] {
        let message = world
            .post("/api/broadcast", &body)
            .await
            .refused(422, "invalid_request");
        assert!(message.contains(wanted), "{message}");
    }
    let body = r#"{"to":[{"room":"a"},{"room":"a","realm":"none"}],"event":"n"}"#;
    world
        .post("/api/broadcast", body)
        .await
        .refused(404, "unknown_realm");
    assert_eq!(
        one_hears.lines().len(),
        1,
        "one target that is none keeps all from hearing"
    );
}

#[tokio::test]
async fn join_and_leave() {
    let world = world().await;
    let (one, _) = world.user("7", &["a"]);
    let (two, _) = world.member(&["a"]);
    let news = RoomName::new("news").unwrap();
    assert_eq!(
        world
            .reached("/api/join", r#"{"to":{"user":"7"},"room":"news"}"#)
            .await,
        1
    );
    assert!(one.is_in(&news) && !two.is_in(&news));
    assert_eq!(
        world
            .reached("/api/join", r#"{"to":{"room":"a"},"room":"news"}"#)
            .await,
        1
    );
    assert!(two.is_in(&news));
    assert_eq!(
        world
            .reached("/api/leave", r#"{"to":{"everyone":true},"room":"news"}"#)
            .await,
        2
    );
    assert!(!one.is_in(&news) && !two.is_in(&news));
    let answer = world
        .post("/api/join", r#"{"to":{"room":"a"},"room":"user(8)"}"#)
        .await;
    answer.refused(422, "identity_room");
    for room in 0..3 {
        let body = format!(r#"{{"to":{{"session":"{}"}},"room":"r{room}"}}"#, one.id());
        world.reached("/api/join", &body).await;
    }
    let body = format!(r#"{{"to":{{"session":"{}"}},"room":"one more"}}"#, one.id());
    world
        .post("/api/join", &body)
        .await
        .refused(422, "too_many_rooms");
}

#[tokio::test]
async fn disconnect_ends_sessions() {
    let world = world().await;
    let (one, _) = world.user("7", &["a"]);
    let (two, _) = world.member(&["a"]);
    assert_eq!(
        world
            .reached("/api/disconnect", r#"{"to":{"user":7}}"#)
            .await,
        1
    );
    assert_eq!(one.outbox().closing(), Some(CloseReason::Disconnected));
    assert_eq!(two.outbox().closing(), None);
    let id = one.id();
    drop(one);
    let body = format!(r#"{{"to":{{"session":"{id}"}}}}"#);
    let message = world
        .post("/api/disconnect", &body)
        .await
        .refused(404, "unknown_session");
    assert!(message.contains(&id.to_string()));
}

#[tokio::test]
async fn more_sessions_than_a_command_may_touch() {
    let world = world().await;
    let sessions: Vec<_> = (0..10_001).map(|_| world.member(&["a"])).collect();
    for (path, body) in [
        ("/api/join", r#"{"to":{"room":"a"},"room":"b"}"#),
        ("/api/leave", r#"{"to":{"everyone":true},"room":"a"}"#),
        ("/api/disconnect", r#"{"to":{"room":"a"}}"#),
    ] {
        world
            .post(path, body)
            .await
            .refused(422, "too_many_sessions");
    }
    assert_eq!(
        world
            .reached("/api/publish", r#"{"to":{"room":"a"},"event":"n"}"#)
            .await,
        10_001
    );
    drop(sessions);
}

#[tokio::test]
async fn realms_are_told_apart() {
    let world = world().await;
    let (stranger, hears) = world.stranger(&["a"]);
    let publish = |to: String| format!(r#"{{"to":{to},"event":"n"}}"#);
    let body = publish(r#"{"room":"a","realm":"none"}"#.to_owned());
    let message = world
        .post("/api/publish", &body)
        .await
        .refused(404, "unknown_realm");
    assert_eq!(message, "there is no realm `none`");
    assert!(world.hub.find_realm("none").is_none());
    let body = publish(format!(r#"{{"session":"{}"}}"#, stranger.id()));
    assert_eq!(world.reached("/api/publish", &body).await, 1);
    let body = publish(format!(
        r#"{{"session":"{}","realm":"default"}}"#,
        stranger.id()
    ));
    world
        .post("/api/publish", &body)
        .await
        .refused(404, "unknown_session");
    assert_eq!(hears.lines().len(), 1);
}

#[tokio::test]
async fn a_batch_is_done_in_order_whatever_comes_of_each() {
    let world = world().await;
    let (one, hears) = world.member(&["a"]);
    let body = r#"{"commands":[
        {"publish":{"to":{"room":"news"},"event":"early"}},
        {"join":{"to":{"room":"a"},"room":"news"}},
        {"publish":{"to":{"room":"news"},"event":"hello","data":1}},
        {"join":{"to":{"room":"a"},"room":"user(1)"}},
        {"shout":{}},
        {"publish":{"to":{"room":"a"},"event":""}},
        7,
        {"leave":{"to":{"room":"a"},"room":"news"}},
        {"publish":{"to":{"room":"news"},"event":"late"}},
        {"disconnect":{"to":{"room":"a"}}}
    ]}"#;
    let answer = world.post("/api/batch", body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = answer.json()["results"].as_array().unwrap().clone();
    let outcomes: Vec<_> = results
        .iter()
        .map(|result| match result.get("sessions") {
            Some(sessions) => sessions.clone(),
            None => result["error"]["code"].clone(),
        })
        .collect();
    let invalid = json!("invalid_request");
    assert_eq!(
        outcomes,
        [
            json!(0),
            json!(1),
            json!(1),
            json!("identity_room"),
            invalid.clone(),
            invalid.clone(),
            invalid,
            json!(1),
            json!(0),
            json!(1)
        ]
    );
    assert_eq!(hears.lines(), ["news hello 1"]);
    assert_eq!(one.outbox().closing(), Some(CloseReason::Disconnected));
    for body in [
        r#"{"commands":[]}"#.to_owned(),
        format!(r#"{{"commands":[{}1]}}"#, "1,".repeat(100)),
        r#"{"commands":{}}"#.to_owned(),
        r#"{"commands":[1],"x":1}"#.to_owned(),
        "[]".to_owned(),
    ] {
        world
            .post("/api/batch", &body)
            .await
            .refused(422, "invalid_request");
    }
}
