//! Opening a WebSocket: what is granted, and how everything else is answered.

use polyport_core::RefuseReason;

use crate::{
    gateway::{Gateway, Plan, wait_until},
    peer::{CLOSE, Client, OPENING, TEXT, client_frame},
};

/// The answer to a request, head and body; the connection must end behind it.
fn answer(gateway: &Gateway, request: &str) -> String {
    let mut client = Client::connect(gateway);
    client.send(request);
    client.rest()
}

#[test]
fn the_answer_is_that_of_the_rfc() {
    let gateway = Gateway::websocket(Plan::default());
    let mut client = Client::connect(&gateway);
    client.send(OPENING);
    let head = client.head().to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 101 switching protocols\r\n"),
        "{head}"
    );
    // The key and its answer are the example of RFC 6455, section 1.3; header names and tokens know no case.
    for line in [
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
    ] {
        assert!(
            head.lines().any(|other| other == line),
            "{line} is missing in {head}"
        );
    }
    assert_eq!(client.text_frame(), "hello /chat");
    gateway.finish(client);
}

#[test]
fn openings_that_browsers_and_old_clients_send_are_granted() {
    let gateway = Gateway::websocket(Plan::default());
    for (from, to) in [
        ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
        ("Connection: Upgrade", "connection: upgrade"),
        ("Upgrade: websocket", "upgrade: WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c, websocket"),
        (
            "Host: localhost",
            "Host: localhost\r\nOrigin: http://example.org\r\nCookie: a=b; c=d",
        ),
    ] {
        let mut client = Client::connect(&gateway);
        client.send(OPENING.replace(from, to));
        assert!(client.head().starts_with("HTTP/1.1 101 "), "{to}");
        assert_eq!(client.text_frame(), "hello /chat", "{to}");
    }
    gateway.finish(());
}

#[test]
fn a_plain_request_is_told_what_is_spoken_here() {
    let gateway = Gateway::websocket(Plan::default());
    let text = answer(&gateway, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 426 "), "{text}");
    assert!(
        text.to_ascii_lowercase()
            .contains("\r\nupgrade: websocket\r\n"),
        "{text}"
    );
    assert!(text.contains("WebSocket client"), "{text}");
    let text = answer(
        &gateway,
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    assert_eq!(gateway.refused(RefuseReason::HttpRequest), 2);
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn malformed_openings_are_answered_with_400() {
    let gateway = Gateway::websocket(Plan::default());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let malformed = [
        ("GET ", "POST "),
        ("HTTP/1.1", "HTTP/1.0"),
        ("Connection: Upgrade\r\n", ""),
        ("Connection: Upgrade", "Connection: close"),
        ("Version: 13", "Version: 7"),
        ("Sec-WebSocket-Version: 13\r\n", ""),
        (key, ""),
        (key, "Sec-WebSocket-Key: c2hvcnQ=\r\n"),
        (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==extra\r\n"),
        (key, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n"),
    ];
    for (count, (from, to)) in (1..).zip(malformed) {
        let request = OPENING.replace(from, to);
        assert_ne!(request, OPENING);
        let text = answer(&gateway, &request);
        assert!(text.contains(" 400 "), "{from} → {to}: {text}");
        wait_until("the refusal is counted", || {
            gateway.refused(RefuseReason::HttpRequest) == count
        });
    }
    assert_eq!(
        gateway.metric("polyport_sessions_opened_total", "under-test"),
        0
    );
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn what_is_not_http_is_refused_and_counted() {
    let gateway = Gateway::websocket(Plan::default());
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "x".repeat(100_000)
    );
    let many: String = (0..200).map(|i| format!("X-Header-{i}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\n{many}\r\n");
    for (count, request) in
        (1..).zip(["nonsense\r\n\r\n", "\x16\x03\x01\x02\x00\x01", &long, &many])
    {
        let mut client = Client::connect(&gateway);
        drop(client.try_send(request.as_bytes()));
        client.end_writing_if_open();
        client.wait_for_end();
        wait_until("the refusal is counted", || {
            gateway.refused(RefuseReason::HttpRequest) == count
        });
    }
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn bytes_right_behind_the_opening_are_not_lost() {
    let gateway = Gateway::websocket(Plan::default());
    for length in [1, 1000, 20_000, 200_000] {
        let text = "x".repeat(length);
        let mut input = OPENING.as_bytes().to_vec();
        input.extend(client_frame(0x80 | TEXT, format!("echo {text}").as_bytes()));
        input.extend(client_frame(0x80 | TEXT, b"echo the second"));
        let mut client = Client::connect(&gateway);
        client.send(&input);
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        assert_eq!(client.text_frame(), "hello /chat");
        assert_eq!(client.text_frame(), text);
        assert_eq!(client.text_frame(), "the second");
    }
    gateway.finish(());
}

#[test]
fn a_client_that_closes_right_behind_its_opening_is_answered() {
    let gateway = Gateway::websocket(Plan::default());
    let mut client = Client::connect(&gateway);
    let mut input = OPENING.as_bytes().to_vec();
    input.extend(client_frame(0x80 | CLOSE, &1000_u16.to_be_bytes()));
    client.send(&input);
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.text_frame(), "hello /chat");
    client.closed_with(1000);
    gateway.finish(client);
}

#[test]
fn an_opening_may_come_byte_by_byte() {
    let gateway = Gateway::websocket(Plan::default());
    let mut client = Client::connect(&gateway);
    for byte in OPENING.as_bytes() {
        client.send([*byte]);
    }
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.text_frame(), "hello /chat");
    gateway.finish(client);
}
