//! How connections end: with last words that arrive.

use std::{io::Read, thread, time::Duration};

use polyport_core::{CloseReason, Limits, SessionRef};

use crate::{
    gateway::{Gateway, Plan, wait_until},
    peer::Client,
};

#[test]
fn last_words_arrive_although_the_client_was_still_talking() {
    let gateway = Gateway::lines(Plan::default());
    for _ in 0..10 {
        let mut client = Client::greeted(&gateway);
        client.send("echo answered\nbye\n");
        // What the gateway does not read any more must not turn its goodbye into a reset.
        client.send("echo never read\n".repeat(50_000));
        assert_eq!(client.rest(), "answered\nclosed client_left\n");
    }
    gateway.wait_until_empty();
    assert_eq!(gateway.closed(CloseReason::ClientLeft), 10);
    gateway.finish(());
}

#[test]
fn a_client_that_does_not_hang_up_is_cut_after_a_while() {
    let gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    client.send("kick\n");
    assert_eq!(client.rest(), "closed disconnected\n");
    gateway.wait_for_close(CloseReason::Disconnected);
    gateway.wait_until_empty();
    drop(client);
    gateway.finish(());
}

#[test]
fn a_client_that_talks_on_after_the_end_is_cut_after_a_while() {
    let gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    client.send("kick\n");
    assert_eq!(client.line(), "closed disconnected");
    let begun = std::time::Instant::now();
    while client.try_send(&[b'x'; 1000]).is_ok() {
        assert!(
            begun.elapsed() < crate::gateway::PATIENCE,
            "it may talk for ever"
        );
    }
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn what_waits_when_the_server_ends_a_session_is_delivered_before_the_last_words() {
    let gateway = Gateway::lines(Plan {
        limits: Limits {
            outbox: 64 << 20,
            ..Limits::default()
        },
        ..Plan::default()
    });
    let mut client = Client::with_small_buffer(&gateway);
    assert_eq!(client.line(), "hello");
    client.send("big 5000000\nkick\n");
    assert_eq!(client.line().len(), 5_000_000);
    assert_eq!(client.rest(), "closed disconnected\n");
    gateway.wait_for_close(CloseReason::Disconnected);
    gateway.finish(client);
}

/// Reads 2 MB/s or so until the end, and returns how much that was.
fn read_slowly(client: Client<std::net::TcpStream>) -> (usize, Vec<u8>) {
    let mut stream = client.stream();
    let mut buffer = vec![0; 64 << 10];
    let (mut total, mut end) = (0, Vec::new());
    loop {
        let count = stream.read(&mut buffer).unwrap();
        if count == 0 {
            return (total, end);
        }
        total += count;
        end.extend_from_slice(&buffer[..count]);
        let superfluous = end.len().saturating_sub(100);
        end.drain(..superfluous);
        thread::park_timeout(Duration::from_millis(20));
    }
}

fn plan_for_slow_readers() -> Plan {
    Plan {
        limits: Limits {
            outbox: 64 << 20,
            ..Limits::default()
        },
        ..Plan::default()
    }
}

/// What was computed is not lost because it takes a while to read: the peer is cut when it takes nothing, not before.
#[test]
fn a_closing_session_s_answers_reach_a_slow_reader() {
    let gateway = Gateway::lines(plan_for_slow_readers());
    let mut client = Client::with_small_buffer(&gateway);
    assert_eq!(client.line(), "hello");
    let length = 24_000_000;
    client.send(format!("big {length}\nkick\n"));
    let (total, end) = read_slowly(client);
    let last = b"x\nclosed disconnected\n";
    assert!(end.ends_with(last), "cut after {total} bytes");
    assert_eq!(total, length + last.len() - 1);
    gateway.finish(());
}

#[test]
fn a_slow_reader_that_has_ended_its_side_gets_all_that_waits() {
    let gateway = Gateway::lines(plan_for_slow_readers());
    let mut client = Client::with_small_buffer(&gateway);
    assert_eq!(client.line(), "hello");
    let length = 24_000_000;
    client.send(format!("source {length}\necho the last answer\n"));
    client.end_writing();
    let (total, end) = read_slowly(client);
    let last = b"xthe last answer\n";
    assert!(end.ends_with(last), "cut after {total} bytes");
    assert_eq!(total, length + last.len() - 1);
    gateway.finish(());
}

/// `printf 'big …\n' | nc`: the client has said all it had to say, and reads on.
#[test]
fn answers_reach_a_client_that_has_ended_its_side() {
    let gateway = Gateway::lines(Plan {
        limits: Limits {
            outbox: 64 << 20,
            ..Limits::default()
        },
        ..Plan::default()
    });
    let mut client = Client::with_small_buffer(&gateway);
    assert_eq!(client.line(), "hello");
    client.send("source 8000000\necho the last answer\n");
    client.end_writing();
    wait_until("the end is seen", || {
        let open = |session: &SessionRef| session.outbox().closing().is_none();
        gateway.hub.sessions(open).is_empty()
    });
    let rest = client.rest();
    assert!(
        rest.ends_with("xthe last answer\n"),
        "{} bytes came",
        rest.len()
    );
    assert_eq!(rest.len(), 8_000_000 + "the last answer\n".len());
    gateway.wait_for_close(CloseReason::PeerGone);
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn a_closed_session_leaves_its_rooms_before_its_connection_has_ended() {
    let gateway = Gateway::lines(Plan::default());
    let mut leaving = Client::greeted(&gateway);
    let mut other = Client::greeted(&gateway);
    for client in [&mut leaving, &mut other] {
        assert_eq!(client.ask("join room"), "joined");
    }
    leaving.send("bye\n");
    assert_eq!(leaving.line(), "closed client_left");
    let room = polyport_core::RoomName::new("room").unwrap();
    assert_eq!(gateway.listener.realm().members(&room).len(), 1);
    gateway.finish((other, leaving));
}
