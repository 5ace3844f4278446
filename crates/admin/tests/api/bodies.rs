//! Bodies that are wrong, hostile, large or slow.

use std::time::Duration;

use tokio::time::Instant;

use crate::rig::{JSON, ROOT, World, authorization, quoted, world};

async fn publish(world: &World, body: &[u8]) -> crate::rig::Answer {
    let headers = authorization(ROOT) + JSON;
    world.ask("POST", "/api/publish", &headers, body).await
}

#[tokio::test]
async fn what_is_no_json_is_told_where_it_ends_to_be() {
    let world = world().await;
    for (body, wanted) in [
        (&b""[..], "EOF while parsing a value at line 1 column 0"),
        (
            b"{\n\"to\": {\"room\" \"a\"}}",
            "expected `:` at line 2 column 15",
        ),
        (
            b"{\"to\":{\"room\":\"a\"},\"event\":\"n\"} x",
            "trailing characters at line 1 column",
        ),
        (
            b"{\"to\":{\"room\":\"a\"},\"event\":\"n\",}",
            "trailing comma",
        ),
        (
            b"{\"to\":{\"room\":\"a\"},\"event\":\"n\",\"data\":NaN}",
            "expected value",
        ),
        (
            b"{\"to\":{\"room\":\"a\"},\"event\":\"n\",\"data\":\"\xff\"}",
            "invalid unicode code point",
        ),
        (
            b"{\"to\":{\"room\":\"\xff\"},\"event\":\"n\"}",
            "invalid unicode code point",
        ),
        (b"\xef\xbb\xbf{}", "expected value"),
    ] {
        let message = publish(&world, body).await.refused(400, "malformed_json");
        assert!(message.contains(wanted), "{message}");
    }
}

#[tokio::test]
async fn what_is_json_but_no_publish_is_told_why() {
    let world = world().await;
    for (body, wanted) in [
        ("{}", "missing field `to`"),
        ("[]", "invalid"),
        ("null", "invalid type: null"),
        (
            r#"{"to":{"room":"a","room":"b"},"event":"n"}"#,
            "duplicate field `room`",
        ),
        (
            r#"{"to":{"room":"a"},"to":{"room":"a"},"event":"n"}"#,
            "duplicate field `to`",
        ),
        (
            r#"{"to":{"room":"a"},"event":"n","data":1,"data":2}"#,
            "duplicate field `data`",
        ),
        (
            r#"{"to":{"room":"\ud800"},"event":"n"}"#,
            "unexpected end of hex escape",
        ),
        (r#"{"to":{"room":1E999},"event":"n"}"#, "at line 1 column"),
        (r#"{"to":{"user":1E999},"event":"n"}"#, "at line 1 column"),
        (
            r#"{"to":{"user":123456789012345678901234567890},"event":"n"}"#,
            "a user's id",
        ),
        (
            r#"{"to":{"room":"a"},"event":"n","priority":1}"#,
            "unknown field `priority`",
        ),
    ] {
        let answer = publish(&world, body.as_bytes()).await;
        let message = answer.refused(422, "invalid_request");
        assert!(message.contains(wanted), "{body}: {message}");
    }
}

#[tokio::test]
async fn depth_costs_no_stack() {
    let world = world().await;
    let (_session, hears) = world.member(&["a"]);
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let body = format!(r#"{{"to":{{"room":"a"}},"event":"n","data":{deep}}}"#);
    assert_eq!(publish(&world, body.as_bytes()).await.status, 200);
    assert_eq!(hears.lines()[0].len(), "a n ".len() + deep.len());
    let objects = r#"{"a":"#.repeat(100_000);
    for body in [
        format!(r#"{{"to":{deep},"event":"n"}}"#),
        format!(r#"{{"to":{{"room":{deep}}},"event":"n"}}"#),
        format!(r#"{{"x":{deep}}}"#),
        deep.clone(),
        objects,
    ] {
        let status = publish(&world, body.as_bytes()).await.status;
        assert!(matches!(status, 400 | 422), "{status}");
    }
    let batch = format!(r#"{{"commands":[{deep}]}}"#);
    let answer = world.post("/api/batch", &batch).await;
    assert_eq!(
        answer.json()["results"][0]["error"]["code"],
        "invalid_request"
    );
}

#[tokio::test]
async fn what_a_message_quotes_is_cut() {
    let world = world().await;
    let body = format!(r#"{{{}:1}}"#, quoted(&"é".repeat(100_000)));
    let message = publish(&world, body.as_bytes())
        .await
        .refused(422, "invalid_request");
    assert!(message.len() < 500, "{}", message.len());
}

#[tokio::test]
async fn a_body_has_a_largest_size() {
    let world = world().await;
    let body = |length: usize| {
        let empty = r#"{"to":{"room":"a"},"event":"n","data":""}"#;
        empty.replace("\"\"", &quoted(&"x".repeat(length - empty.len())))
    };
    assert_eq!(publish(&world, body(1 << 20).as_bytes()).await.status, 200);
    for length in [(1 << 20) + 1, 5 << 20] {
        let answer = publish(&world, body(length).as_bytes()).await;
        let message = answer.refused(413, "body_too_large");
        assert!(message.contains("1048576 bytes"), "{message}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    // In chunks nobody knows how long it will be.
    let mut client = world.connect().await;
    let head = format!(
        "POST /api/publish HTTP/1.1\r\nhost: test\r\n{}{JSON}transfer-encoding: chunked\r\n\r\n",
        authorization(ROOT)
    );
    client.write(head.as_bytes()).await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
    for _ in 0..20 {
        client.write(chunk.as_bytes()).await;
    }
    client.write(b"0\r\n\r\n").await;
    client.answer().await.refused(413, "body_too_large");
    // Who asks before sending is told at once.
    let mut client = world.connect().await;
    let head = head.replace(
        "transfer-encoding: chunked",
        "content-length: 99999999\r\nexpect: 100-continue",
    );
    client.write(head.as_bytes()).await;
    client.answer().await.refused(413, "body_too_large");
}

#[tokio::test]
async fn a_body_is_said_to_be_json() {
    let world = world().await;
    let body = br#"{"to":{"room":"a"},"event":"n"}"#;
    for kind in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json;x=y",
    ] {
        let headers = format!("{}content-type: {kind}\r\n", authorization(ROOT));
        assert_eq!(
            world
                .ask("POST", "/api/publish", &headers, body)
                .await
                .status,
            200,
            "{kind}"
        );
    }
    for headers in [
        "",
        "content-type: \r\n",
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: application/jsonx\r\n",
        "content-type: application/json-patch+json\r\n",
    ] {
        let headers = authorization(ROOT) + headers;
        let answer = world.ask("POST", "/api/publish", &headers, body).await;
        answer.refused(415, "unsupported_media_type");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = world().await;
    let mut client = world.connect().await;
    let head = format!(
        "POST /api/publish HTTP/1.1\r\nhost: test\r\n{}{JSON}content-length: 100\r\n\r\n{{",
        authorization(ROOT)
    );
    let started = Instant::now();
    client.write(head.as_bytes()).await;
    let answer = client.answer().await;
    answer.refused(408, "body_timeout");
    assert_eq!(
        started.elapsed().as_secs(),
        Duration::from_secs(10).as_secs()
    );
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_body_with_broken_chunks() {
    let world = world().await;
    let mut client = world.connect().await;
    let head = format!(
        "POST /api/publish HTTP/1.1\r\nhost: test\r\n{}{JSON}transfer-encoding: chunked\r\n\r\nzz\r\n",
        authorization(ROOT)
    );
    client.write(head.as_bytes()).await;
    client.answer().await.refused(400, "malformed_request");
}
