//! The same request sent again.

use crate::rig::{Acks, Answer, JSON, ROOT, World, authorization, key, world, world_with};

const BODY: &str = r#"{"to":{"room":"a"},"event":"n"}"#;

async fn send(world: &World, key: &str, name: &str, path: &str, body: &str) -> Answer {
    let headers = format!("{}{JSON}idempotency-key: {name}\r\n", authorization(key));
    world.ask("POST", path, &headers, body.as_bytes()).await
}

#[tokio::test]
async fn an_upgrade_is_not_done_under_a_name() {
    let world = world().await;
    let answer = send(&world, ROOT, "1", "/api/upgrade", "{}").await;
    answer.refused(400, "malformed_request");
    assert!(world.orders.lock().await.try_recv().is_err());
}

#[tokio::test]
async fn the_same_request_is_done_once() {
    let world = world().await;
    let (session, hears) = world.member(&["a"]);
    let first = send(&world, ROOT, "1", "/api/publish", BODY).await;
    assert_eq!(
        (first.status, first.header("idempotent-replayed")),
        (200, None)
    );
    drop(session);
    let again = send(&world, ROOT, "1", "/api/publish", BODY).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(hears.lines().len(), 1);
    let other = send(&world, ROOT, "2", "/api/publish", BODY).await;
    assert_ne!(other.body, first.body);
}

#[tokio::test]
async fn another_request_of_the_same_name_is_refused() {
    let world = world_with(vec![key("another", "another-key-of-these-tests")]).await;
    send(&world, ROOT, "1", "/api/publish", BODY).await;
    let body = BODY.replace("\"a\"", "\"b\"");
    let answer = send(&world, ROOT, "1", "/api/publish", &body).await;
    answer.refused(409, "idempotency_mismatch");
    let answer = send(&world, ROOT, "1", "/api/disconnect", BODY).await;
    answer.refused(409, "idempotency_mismatch");
    let answer = send(
        &world,
        "another-key-of-these-tests",
        "1",
        "/api/publish",
        &body,
    )
    .await;
    assert_eq!(answer.status, 200, "names belong to keys");
    for name in ["", "a b", &"k".repeat(256)] {
        let answer = send(&world, ROOT, name, "/api/publish", BODY).await;
        answer.refused(400, "malformed_request");
    }
}

#[tokio::test]
async fn errors_are_kept_too() {
    let world = world().await;
    let body = r#"{"to":{"room":"a","realm":"none"},"event":"n"}"#;
    for replayed in [None, Some("true")] {
        let answer = send(&world, ROOT, "1", "/api/publish", body).await;
        answer.refused(404, "unknown_realm");
        assert_eq!(answer.header("idempotent-replayed"), replayed);
    }
    // What never got to be worked on is not.
    let large = "x".repeat((1 << 20) + 1);
    send(&world, ROOT, "2", "/api/publish", &large)
        .await
        .refused(413, "body_too_large");
    assert_eq!(
        send(&world, ROOT, "2", "/api/publish", BODY).await.status,
        200
    );
}

#[tokio::test]
async fn a_request_in_flight_is_not_done_twice_and_one_given_up_is_done_again() {
    let world = world().await;
    let session = world.answering(Acks::Silent);
    let body = |timeout: u32| {
        let id = session.id();
        format!(r#"{{"to":{{"session":"{id}"}},"event":"q","timeout":{timeout}}}"#)
    };
    let mut client = world.connect().await;
    let headers = format!("{}{JSON}idempotency-key: 1\r\n", authorization(ROOT));
    let slow = body(20_000);
    client
        .send("POST", "/api/call", &headers, slow.as_bytes())
        .await;
    // It is in flight as soon as another body of that name is refused.
    let quick = body(1);
    while send(&world, ROOT, "1", "/api/call", &quick).await.status != 409 {}
    let mut client = world.connect().await;
    let headers = format!("{}{JSON}idempotency-key: 2\r\n", authorization(ROOT));
    client
        .send("POST", "/api/call", &headers, slow.as_bytes())
        .await;
    let answer = loop {
        let answer = send(&world, ROOT, "2", "/api/call", &slow).await;
        if answer.status == 409 {
            break answer;
        }
    };
    answer.refused(409, "idempotency_in_flight");
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop(client);
    let answer = loop {
        let answer = send(&world, ROOT, "2", "/api/call", &quick).await;
        if answer.status != 409 {
            break answer;
        }
    };
    answer.refused(504, "no_answer");
}
