//! Asking a client: only where the protocol lets it answer.

use std::time::Duration;

use polyport_core::{SessionId, SessionRef};

use crate::rig::{Acks, world};

fn call(session: &SessionRef, rest: &str) -> String {
    format!(
        r#"{{"to":{{"session":"{}"}},"event":"q"{rest}}}"#,
        session.id()
    )
}

#[tokio::test]
async fn a_client_that_answers() {
    let world = world().await;
    let session = world.answering(Acks::Echo);
    let answer = world
        .post("/api/call", &call(&session, r#","args":[{"a":1E2}]"#))
        .await;
    assert_eq!(
        (answer.status, &*answer.body),
        (200, r#"{"args":[{"a":1E2},{"base64":true,"data":"AQI="}]}"#)
    );
    let answer = world.post("/api/call", &call(&session, "")).await;
    assert_eq!(answer.json()["args"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn protocols_without_answers() {
    let world = world().await;
    let (session, hears) = world.member(&["a"]);
    world
        .post("/api/call", &call(&session, ""))
        .await
        .refused(409, "no_acks");
    assert_eq!(hears.lines().len(), 0, "it was not told");
    let ends = world.answering(Acks::Ends);
    world
        .post("/api/call", &call(&ends, ""))
        .await
        .refused(409, "session_ended");
    let body = format!(
        r#"{{"to":{{"session":"{}"}},"event":"q"}}"#,
        SessionId::random()
    );
    world
        .post("/api/call", &body)
        .await
        .refused(404, "unknown_session");
}

#[tokio::test]
async fn a_client_that_does_not_answer_in_time() {
    let world = world().await;
    let session = world.answering(Acks::Silent);
    let answer = world
        .post("/api/call", &call(&session, r#","timeout":2e1"#))
        .await;
    assert_eq!(
        answer.refused(504, "no_answer"),
        "the client did not answer within 20 ms"
    );
}

#[tokio::test(start_paused = true)]
async fn five_seconds_go_without_saying() {
    let world = world().await;
    let session = world.answering(Acks::Silent);
    let started = tokio::time::Instant::now();
    world
        .post("/api/call", &call(&session, ""))
        .await
        .refused(504, "no_answer");
    assert_eq!(
        started.elapsed().as_secs(),
        Duration::from_secs(5).as_secs()
    );
}

#[tokio::test]
async fn what_is_no_call() {
    let world = world().await;
    let session = world.answering(Acks::Echo);
    for rest in [
        r#","timeout":0"#,
        r#","timeout":20001"#,
        r#","timeout":-1"#,
        r#","timeout":1.5"#,
        r#","timeout":1e999"#,
        r#","timeout":"5s""#,
        r#","data":1,"args":[]"#,
        r#","x":1"#,
    ] {
        world
            .post("/api/call", &call(&session, rest))
            .await
            .refused(422, "invalid_request");
    }
    let message = world
        .post("/api/call", r#"{"to":{"room":"a"},"event":"q"}"#)
        .await
        .refused(422, "invalid_request");
    assert!(message.contains("one session"), "{message}");
}
