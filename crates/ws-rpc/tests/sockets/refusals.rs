//! Who gets no session is told so in the original's bytes, but for the case of header names.

use std::time::Duration;

use polyport_core::{Limits, RefuseReason};
use polyport_ws_rpc::RpcOptions;

use crate::support::{Gateway, OPENING, opening_of};

fn refusal(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const UPGRADE_REQUIRED: &str = "HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain\r\n\
    Connection: close\r\nContent-Length: 16\r\n\r\n";

#[tokio::test]
async fn openings_that_the_backend_refuses() {
    let gateway = Gateway::new(RpcOptions::default());
    for (target, status, body) in [
        ("/unauthorized", "401 Unauthorized", "Unauthorized access"),
        (
            "/boom",
            "500 Internal Server Error",
            "Session store is down",
        ),
        ("/boom-utf8", "500 Internal Server Error", "läuft nicht 😀"),
        (
            "/boom-empty",
            "500 Internal Server Error",
            "Internal Server Error",
        ),
        (
            "/unavailable",
            "503 Service Unavailable",
            "the backend is down",
        ),
    ] {
        let answer = gateway.ask(&opening_of(target)).await;
        assert_eq!(answer, refusal(status, body), "{target}");
        assert_eq!(gateway.ended(1).await, [(1006, String::new())], "{target}");
    }
    assert_eq!(gateway.refused(RefuseReason::Nobody), 1);
    assert_eq!(gateway.refused(RefuseReason::BackendFailed), 3);
    assert_eq!(gateway.refused(RefuseReason::BackendUnavailable), 1);
}

#[tokio::test]
async fn a_decision_that_does_not_come() {
    let limits = Limits {
        call: Duration::from_millis(50),
        ..Limits::default()
    };
    let gateway = Gateway::with(RpcOptions::default(), limits);
    let answer = gateway.ask(&opening_of("/never")).await;
    let expected = refusal("503 Service Unavailable", "Service Unavailable");
    assert_eq!(answer, expected);
    assert_eq!(gateway.refused(RefuseReason::BackendUnavailable), 1);
    assert_eq!(gateway.ended(1).await, [(1006, String::new())]);
}

#[tokio::test]
async fn openings_that_are_malformed() {
    let gateway = Gateway::new(RpcOptions::default());
    let expected = refusal("400 Bad Request", "Bad Request");
    for (from, to) in [
        ("GET ", "POST "),
        ("GET ", "HEAD "),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Sec-WebSocket-Version: 13\r\n", ""),
        ("Version: 13", "Version: 7"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ("dGhlIHNhbXBsZSBub25jZQ==", "xyz"),
    ] {
        let request = OPENING.replace(from, to);
        assert_ne!(request, OPENING);
        let answer = gateway.ask(&request).await;
        // A HEAD is answered without a body.
        let expected = match to {
            "HEAD " => expected.trim_end_matches("Bad Request"),
            _ => &expected,
        };
        assert_eq!(answer, expected, "{from} → {to}");
    }
    assert_eq!(gateway.refused(RefuseReason::HttpRequest), 7);
    assert_eq!(gateway.doorman.asked.lock().len(), 0);
}

#[tokio::test]
async fn what_is_no_opening() {
    let gateway = Gateway::new(RpcOptions::default());
    for (method, body) in [
        ("GET", "Upgrade Required"),
        ("HEAD", ""),
        ("POST", "Upgrade Required"),
        ("OPTIONS", "Upgrade Required"),
    ] {
        let request = format!("{method} /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let answer = gateway.ask(&request).await;
        assert_eq!(answer, format!("{UPGRADE_REQUIRED}{body}"), "{method}");
    }
    assert_eq!(gateway.refused(RefuseReason::HttpRequest), 4);
    assert_eq!(gateway.doorman.asked.lock().len(), 0);
}

#[tokio::test]
async fn openings_from_other_origins_than_those_allowed() {
    let origins = vec!["http://page.example".to_owned(), "null".to_owned()];
    let gateway = Gateway::new(RpcOptions {
        origins,
        ..RpcOptions::default()
    });
    let from = |origin: &str| OPENING.replace("Host: ", &format!("Origin: {origin}\r\nHost: "));
    let close = b"\x88\x80\0\0\0\0";
    for request in [
        OPENING.to_owned(),
        from("http://other.example"),
        from("http://page.example.other"),
        from("https://page.example"),
    ] {
        let answer = gateway.ask(&request).await;
        assert_eq!(answer, refusal("403 Forbidden", "Forbidden"), "{request}");
    }
    assert_eq!(gateway.doorman.asked.lock().len(), 0, "nobody is bothered");
    for origin in ["http://page.example", "null"] {
        let answer = gateway
            .converse([from(origin).as_bytes(), close].concat())
            .await;
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{origin}");
    }
}
