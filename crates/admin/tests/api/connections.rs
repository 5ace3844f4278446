//! Paths, methods, and connections that stay.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use crate::rig::{JSON, ROOT, authorization, world};

const BODY: &[u8] = br#"{"to":{"room":"a"},"event":"n"}"#;

#[tokio::test]
async fn many_requests_share_a_connection() {
    let world = world().await;
    let (_session, hears) = world.member(&["a"]);
    let mut client = world.connect().await;
    let headers = authorization(ROOT) + JSON;
    for _ in 0..100 {
        client.send("POST", "/api/publish", &headers, BODY).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
    client
        .send("POST", "/api/publish", &authorization("wrong"), BODY)
        .await;
    assert_eq!(client.answer().await.status, 401);
    client.send("GET", "/api/none", "", b"").await;
    assert_eq!(client.answer().await.status, 404);
    client.send("GET", "/healthz", "", b"").await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(client.is_closed().await);
    assert_eq!(hears.lines().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_requests_is_closed() {
    let world = world().await;
    let mut client = world.connect().await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        client
            .send("GET", "/api/info", &authorization(ROOT), b"")
            .await;
        assert_eq!(
            client.answer().await.status,
            200,
            "a minute of requests is no reason to close"
        );
    }
    let started = Instant::now();
    assert!(client.is_closed().await);
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn kept_connections_do_not_keep_others_out() {
    let world = world().await;
    let mut kept = Vec::new();
    let mut closed = 0;
    for _ in 0..64 {
        let mut client = world.connect().await;
        client
            .send("GET", "/api/info", &authorization(ROOT), b"")
            .await;
        let answer = client.answer().await;
        closed += usize::from(answer.header("connection") == Some("close"));
        kept.push(client);
    }
    assert_eq!(closed, 64 - 48, "a quarter of the places stays free");
    let started = Instant::now();
    let answer = world.ask("GET", "/healthz", "", b"").await;
    assert_eq!((answer.status, started.elapsed().as_secs()), (200, 0));
}

/// Who does not read his answer does not keep his place for ever.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_cut() {
    let world = world().await;
    let mut client = world.connect().await;
    let started = Instant::now();
    let request = b"GET /api/openapi.json HTTP/1.1\r\nhost: test\r\n\r\n";
    while client.0.write_all(request).await.is_ok() {}
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn paths_and_methods_that_there_are_not() {
    let world = world().await;
    for path in [
        "/api",
        "/api/",
        "/api/publish/",
        "/api/Publish",
        "/api/sessions/a/b",
        "/api//info",
        "/api/sessions/",
    ] {
        world.get(path).await.refused(404, "not_found");
    }
    let answer = world.ask("GET", "/apix", "", b"").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (404, Some("text/plain; charset=utf-8"))
    );
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "post"] {
        let answer = world.ask(method, "/api/publish", "", b"").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("post")),
            "{method}"
        );
    }
    for path in [
        "/api/info",
        "/api/sessions",
        "/api/sessions/x",
        "/api/openapi.json",
    ] {
        let answer = world.ask("POST", path, "", b"").await;
        answer.refused(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("get, head"));
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = world().await;
    let mut client = world.connect().await;
    for path in ["/api/info", "/api/openapi.json"] {
        let request = format!(
            "HEAD {path} HTTP/1.1\r\nhost: test\r\n{}\r\n",
            authorization(ROOT)
        );
        client.write(request.as_bytes()).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: "),
            "{head}"
        );
    }
}

#[tokio::test]
async fn requests_are_counted_by_verb_and_outcome() {
    let world = world().await;
    world.get("/api/info").await;
    world.get("/api/info?x=1").await;
    world.ask("GET", "/api/info", "", b"").await;
    world.post("/api/publish", "{").await;
    let answer = world.ask("GET", "/healthz", "", b"").await;
    assert_eq!(answer.status, 200);
    let mut client = world.connect().await;
    client
        .write(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    let mut metrics = String::new();
    client.0.read_to_string(&mut metrics).await.unwrap();
    for line in [
        r#"polyport_api_requests_total{outcome="ok",verb="info"} 1"#,
        r#"polyport_api_requests_total{outcome="malformed",verb="info"} 1"#,
        r#"polyport_api_requests_total{outcome="unauthorized",verb="info"} 1"#,
        r#"polyport_api_requests_total{outcome="malformed",verb="publish"} 1"#,
        r#"polyport_api_requests_total{outcome="ok",verb="publish"} 0"#,
        r#"polyport_api_duration_seconds_count{verb="info"} 3"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    assert!(!metrics.contains(ROOT));
}
