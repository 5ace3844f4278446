//! Plain requests that are answered from the decision about a session.

use std::time::Duration;

use polyport_core::{Limits, RefuseReason};
use polyport_ws_rpc::RpcOptions;

use crate::support::{Gateway, OPENING};

const PAGE: &str = "http://page.example";

fn options(allow_origins: &[&str], origins: &[&str]) -> RpcOptions {
    let owned = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
    RpcOptions {
        validators: true,
        allow_origins: owned(allow_origins),
        origins: owned(origins),
        ..RpcOptions::default()
    }
}

/// The answer to a page's request, with the headers that come in this order: type, cache, vary, allowed origin.
async fn get(gateway: &Gateway, target: &str, origin: Option<&str>) -> String {
    let origin = origin.map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: x\r\n{origin}Accept: application/json\r\n\r\n");
    gateway.ask(&request).await
}

#[tokio::test]
async fn a_session_is_shown_and_its_end_is_told() {
    let gateway = Gateway::new(options(&["*"], &[]));
    for (target, body) in [("/public", r#"{"id":7}"#), ("/token-abc?x=1", "{}")] {
        let answer = get(&gateway, target, Some(PAGE)).await;
        let expected = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nVary: Origin\r\n\
             Access-Control-Allow-Origin: {PAGE}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(answer, expected);
        assert_eq!(gateway.ended(1).await, [(1006, String::new())]);
    }
    assert_eq!(
        *gateway.doorman.asked.lock(),
        ["/public", "/token-abc?x=1"],
        "the decision is that of an opening"
    );
    assert_eq!(gateway.refused(RefuseReason::HttpRequest), 0, "not refused");
}

#[tokio::test]
async fn refusals_can_be_read_by_the_page_too() {
    let gateway = Gateway::new(options(&["*"], &[]));
    for (target, status, body) in [
        ("/unauthorized", "401 Unauthorized", "Unauthorized access"),
        (
            "/boom",
            "500 Internal Server Error",
            "Session store is down",
        ),
        (
            "/unavailable",
            "503 Service Unavailable",
            "the backend is down",
        ),
    ] {
        let answer = get(&gateway, target, Some(PAGE)).await;
        let expected = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/html\r\nVary: Origin\r\n\
             Access-Control-Allow-Origin: {PAGE}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(answer, expected);
    }
    assert_eq!(gateway.refused(RefuseReason::Nobody), 1);
    assert_eq!(
        gateway.refused(RefuseReason::HttpRequest),
        0,
        "counted once"
    );
}

#[tokio::test]
async fn a_decision_that_does_not_come() {
    let limits = Limits {
        call: Duration::from_millis(50),
        ..Limits::default()
    };
    let gateway = Gateway::with(options(&["*"], &[]), limits);
    let answer = get(&gateway, "/never", Some(PAGE)).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\nService Unavailable"), "{answer}");
    assert_eq!(gateway.refused(RefuseReason::BackendUnavailable), 1);
    assert_eq!(gateway.ended(1).await, [(1006, String::new())]);
}

#[tokio::test]
async fn only_pages_of_the_allowed_origins_may_read() {
    let gateway = Gateway::new(options(&[PAGE], &[]));
    for (origin, is_allowed) in [
        (Some(PAGE), true),
        (Some("http://other.example"), false),
        (None, false),
    ] {
        let answer = get(&gateway, "/public", origin).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let allows = answer.contains("Access-Control-Allow-Origin");
        assert_eq!(allows, is_allowed, "{origin:?}: {answer}");
    }
}

#[tokio::test]
async fn a_page_that_may_not_open_is_told_when_it_validates() {
    let gateway = Gateway::new(options(&["*"], &[PAGE]));
    // A page of the gateway's own site sends no origin with a plain request.
    for (origin, status) in [
        (Some(PAGE), "200 OK"),
        (Some("http://other.example"), "403 Forbidden"),
        (None, "200 OK"),
    ] {
        let answer = get(&gateway, "/public", origin).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn browsers_may_ask_beforehand() {
    let gateway = Gateway::new(options(&[PAGE], &[]));
    let ask = |origin: &str| {
        format!(
            "OPTIONS /x HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x-token\r\n\r\n"
        )
    };
    let answer = gateway.ask(&ask(PAGE)).await;
    let expected = format!(
        "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Methods: GET\r\nAccess-Control-Allow-Headers: x-token\r\n\
         Vary: Origin\r\nAccess-Control-Allow-Origin: {PAGE}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(answer, expected);
    let answer = gateway.ask(&ask("http://other.example")).await;
    assert!(!answer.contains("Access-Control-Allow-Origin"), "{answer}");
    assert_eq!(gateway.doorman.asked.lock().len(), 0);
}

#[tokio::test]
async fn nothing_else_becomes_a_validation() {
    let gateway = Gateway::new(options(&["*"], &[]));
    for method in ["HEAD", "POST", "PUT"] {
        let request = format!("{method} /public HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let answer = gateway.ask(&request).await;
        assert!(answer.starts_with("HTTP/1.1 426 "), "{method}: {answer}");
    }
    let other = OPENING.replace("Upgrade: websocket", "Upgrade: h2c");
    let answer = gateway.ask(&other).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(gateway.doorman.asked.lock().len(), 0);
}
