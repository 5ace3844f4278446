//! Deadlines. The ticker is good to a quarter of a second; tests wait for what follows from a deadline, not for times.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use polyport_core::{CloseReason, Limits, RefuseReason};

use crate::{
    gateway::{Gateway, Plan, wait_until},
    peer::{Client, OPENING},
    tls::Certificates,
};

fn limits(change: impl FnOnce(&mut Limits)) -> Plan {
    let mut plan = Plan::default();
    plan.limits.outbox = 64 << 20;
    change(&mut plan.limits);
    plan
}

#[test]
fn a_silent_client_is_closed_after_the_idle_time_and_told_why() {
    let gateway = Gateway::lines(limits(|limits| limits.idle = Duration::from_millis(600)));
    let begun = Instant::now();
    let mut client = Client::greeted(&gateway);
    assert_eq!(client.rest(), "closed idle_timeout\n");
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "after {:?}",
        begun.elapsed()
    );
    gateway.wait_for_close(CloseReason::IdleTimeout);
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn every_byte_puts_the_idle_time_off() {
    let gateway = Gateway::lines(limits(|limits| limits.idle = Duration::from_millis(1500)));
    let mut client = Client::greeted(&gateway);
    let begun = Instant::now();
    for byte in b"echo on\n" {
        client.hears_nothing_for(Duration::from_millis(300));
        client.send([*byte]);
    }
    assert!(begun.elapsed() > Duration::from_millis(2000));
    assert_eq!(client.line(), "on");
    gateway.finish(client);
}

#[test]
fn without_an_idle_time_nobody_is_closed_for_silence() {
    let gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    client.hears_nothing_for(Duration::from_millis(1200));
    assert_eq!(client.ask("echo still here"), "still here");
    gateway.finish(client);
}

#[test]
fn a_peer_that_takes_nothing_is_cut_after_the_write_time() {
    let gateway = Gateway::lines(limits(|limits| limits.write = Duration::from_secs(1)));
    let mut client = Client::with_small_buffer(&gateway);
    client.send("big 20000000\n");
    gateway.wait_for_close(CloseReason::WriteTimeout);
    gateway.wait_until_empty();
    client.wait_for_end();
    gateway.finish(client);
}

/// Takes `pieces` at a time for longer than the write time, then the rest, and gets everything.
#[track_caller]
fn check_is_not_cut(client: Client<std::net::TcpStream>, gateway: Gateway, pieces: usize) {
    let length = 12_000_000;
    let mut client = client;
    client.send(format!("big {length}\n"));
    let mut stream = client.stream();
    let begun = Instant::now();
    let mut taken = 0;
    let mut buffer = vec![0; 1 << 20];
    while begun.elapsed() < 3 * gateway.listener.limits().write {
        taken += stream.read(&mut buffer[..pieces]).unwrap();
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(
        gateway.closed(CloseReason::WriteTimeout),
        0,
        "{taken} bytes were taken"
    );
    while taken < "hello\n".len() + length + 1 {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "ended after {taken} bytes");
        taken += count;
    }
    gateway.finish(stream);
}

#[test]
fn a_peer_that_takes_a_little_now_and_then_is_not_cut() {
    let gateway = Gateway::lines(limits(|limits| limits.write = Duration::from_secs(1)));
    check_is_not_cut(Client::with_small_buffer(&gateway), gateway, 64 << 10);
}

/// A hundred kilobytes a second: the kernel, which holds megabytes for the peer, must not make it look dead.
#[test]
fn a_peer_on_a_slow_line_is_not_cut() {
    let gateway = Gateway::lines(limits(|limits| limits.write = Duration::from_secs(2)));
    check_is_not_cut(Client::with_buffer(16 << 10, &gateway), gateway, 2 << 10);
}

/// Less waits than TLS keeps in its own buffers: the outbox looks empty, and still the peer takes nothing.
#[test]
fn a_tls_peer_that_takes_nothing_is_cut_after_the_write_time() {
    let certificates = Certificates::new(&["localhost"]);
    let mut plan = limits(|limits| limits.write = Duration::from_secs(1));
    plan.settings.tls = Some(certificates.acceptance());
    let gateway = Gateway::lines(plan);
    let mut client = certificates.client(Client::with_small_buffer(&gateway).stream(), "localhost");
    assert_eq!(client.line(), "hello");
    let session = gateway.hub.sessions(|_| true).pop().unwrap();
    // A frame that waits for a moment, because it is being written, says nothing about the sockets: ask for small ones, and only while
    // none waits, until the gateway has had enough.
    let has_been_cut = || gateway.closed(CloseReason::WriteTimeout) > 0;
    let mut asked = 0;
    loop {
        wait_until("nothing waits, or the peer is cut", || {
            session.outbox().waiting() == 0 || has_been_cut()
        });
        // The socket may be gone before that is counted.
        if has_been_cut() || client.try_send(b"big 20000\n").is_err() {
            break;
        }
        asked += 1;
        wait_until("the question arrives, or the peer is cut", || {
            gateway.received_bytes() >= asked * 10 || has_been_cut()
        });
        assert!(asked < 2000, "the peer's buffers never fill");
    }
    gateway.wait_for_close(CloseReason::WriteTimeout);
    gateway.wait_until_empty();
    gateway.finish(client);
}

/// The session is closed while the peer takes nothing: it must not hold its connection for ever.
#[test]
fn a_tls_peer_that_does_not_take_our_last_words_is_cut() {
    let certificates = Certificates::new(&["localhost"]);
    let mut plan = limits(|_| ());
    plan.settings.tls = Some(certificates.acceptance());
    let gateway = Gateway::lines(plan);
    let mut client = certificates.client(Client::with_small_buffer(&gateway).stream(), "localhost");
    assert_eq!(client.line(), "hello");
    let session = gateway.hub.sessions(|_| true).pop().unwrap();
    // A question is read after all before it have been answered as far as the sockets took that: so much waits only when they are full.
    let mut asked = 0;
    while session.outbox().waiting() < 100_000 {
        client.send(b"big 20000\n");
        asked += 1;
        wait_until("the question arrives", || {
            gateway.received_bytes() >= asked * 10
        });
        assert!(asked < 2000, "the peer's buffers never fill");
    }
    session.close(CloseReason::Disconnected);
    drop(session);
    gateway.wait_for_close(CloseReason::Disconnected);
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn a_plain_peer_that_does_not_take_our_last_words_is_cut() {
    let gateway = Gateway::lines(limits(|limits| limits.write = Duration::from_secs(60)));
    let mut client = Client::with_small_buffer(&gateway);
    client.send("big 20000000\nbye\n");
    wait_until("the session closes", || {
        gateway
            .hub
            .sessions(|session| session.outbox().closing().is_some())
            .len()
            == 1
            || gateway.closed(CloseReason::ClientLeft) == 1
    });
    gateway.wait_for_close(CloseReason::ClientLeft);
    gateway.wait_until_empty();
    gateway.finish(client);
}

fn short_handshake() -> Plan {
    limits(|limits| limits.handshake = Duration::from_millis(500))
}

#[test]
fn a_client_that_says_nothing_to_http_is_refused_in_time() {
    let gateway = Gateway::websocket(short_handshake());
    let mut client = Client::connect(&gateway);
    client.wait_for_end();
    gateway.wait_for_refusal(RefuseReason::HandshakeTimeout);
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn a_client_that_never_ends_its_head_is_refused_in_time() {
    let gateway = Gateway::websocket(short_handshake());
    let mut client = Client::connect(&gateway);
    let half = &OPENING[..OPENING.len() - 4];
    let begun = Instant::now();
    // A header line every moment keeps no connection alive.
    client.send(half);
    while client.try_send(b"\r\nX-More: 1").is_ok() {
        std::thread::park_timeout(Duration::from_millis(50));
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it is never refused"
        );
    }
    gateway.wait_for_refusal(RefuseReason::HandshakeTimeout);
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn a_client_that_says_nothing_to_tls_is_refused_in_time() {
    let certificates = Certificates::new(&["localhost"]);
    let mut plan = short_handshake();
    plan.settings.tls = Some(certificates.acceptance());
    let gateway = Gateway::lines(plan);
    let mut client = Client::connect(&gateway);
    client.wait_for_end();
    gateway.wait_for_refusal(RefuseReason::HandshakeTimeout);
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn a_proxy_that_says_nothing_is_refused_in_time() {
    let mut plan = short_handshake();
    plan.settings.proxy_from = vec!["127.0.0.0/8".parse().unwrap()];
    let gateway = Gateway::lines(plan);
    let mut client = Client::connect(&gateway);
    client.send("PROXY TCP4 192.0.2.1");
    client.wait_for_end();
    gateway.wait_for_refusal(RefuseReason::HandshakeTimeout);
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn a_connection_that_has_been_opened_outlives_the_handshake_time() {
    let gateway = Gateway::websocket(short_handshake());
    let mut client = Client::connect(&gateway).opened();
    client.hears_nothing_for(Duration::from_millis(1200));
    client.send_text("echo still here");
    assert_eq!(client.text_frame(), "still here");
    gateway.finish(client);
}
