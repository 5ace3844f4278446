//! A peer that stops reading, and the others that do not notice.

use std::time::{Duration, Instant};

use polyport_core::{CloseReason, Limits};

use crate::{
    gateway::{Gateway, Plan, wait_until},
    peer::Client,
};

fn plan(outbox: usize) -> Plan {
    Plan {
        limits: Limits {
            outbox,
            ..Limits::default()
        },
        ..Plan::default()
    }
}

#[test]
fn a_peer_that_stops_reading_is_closed_while_the_others_go_on() {
    let gateway = Gateway::lines(plan(256 << 10));
    let mut stuck = Client::with_small_buffer(&gateway);
    assert_eq!(stuck.line(), "hello");
    assert_eq!(stuck.ask("join room"), "joined");
    let mut others: Vec<_> = (0..3).map(|_| Client::greeted(&gateway)).collect();
    for other in &mut others {
        assert_eq!(other.ask("join room"), "joined");
    }
    let text = "x".repeat(8 << 10);
    let expected = format!("said room {text}");
    let command = format!("say room {text}\n");
    let mut slowest = Duration::ZERO;
    let mut events = 0;
    while gateway.metric("polyport_limit_hits_total", "outbox") == 0 || events < 100 {
        let begun = Instant::now();
        others[events % 3].send(&command);
        for other in &mut others {
            assert_eq!(other.line(), expected);
        }
        slowest = slowest.max(begun.elapsed());
        events += 1;
        assert!(events < 10_000, "a peer that reads nothing is never closed");
    }
    assert!(
        slowest < Duration::from_secs(2),
        "an event took {slowest:?}"
    );
    gateway.wait_for_close(CloseReason::OutboxFull);
    assert_eq!(gateway.hub.len(), 3);
    assert_eq!(others[0].ask("echo still here"), "still here");
    drop(stuck);
    gateway.finish(others);
}

#[test]
fn a_slow_peer_that_comes_back_gets_everything_in_order() {
    let gateway = Gateway::lines(plan(32 << 20));
    let mut slow = Client::with_small_buffer(&gateway);
    assert_eq!(slow.line(), "hello");
    assert_eq!(slow.ask("join room"), "joined");
    let mut other = Client::greeted(&gateway);
    assert_eq!(other.ask("join room"), "joined");
    let filler = "x".repeat(10_000);
    for number in 0..1000 {
        other.send(format!("say room {number} {filler}\n"));
        assert_eq!(other.line(), format!("said room {number} {filler}"));
    }
    for number in 0..1000 {
        assert_eq!(slow.line(), format!("said room {number} {filler}"));
    }
    assert_eq!(slow.ask("echo caught up"), "caught up");
    gateway.finish((other, slow));
}

/// A client that asks and asks without reading answers must not make the gateway remember them all.
#[test]
fn a_peer_that_reads_no_answers_is_not_read_from() {
    let gateway = Gateway::lines(plan(64 << 20));
    let client = Client::with_small_buffer(&gateway).stream();
    client.set_nonblocking(true).unwrap();
    let question = format!("echo {}\n", "x".repeat(9_994)).repeat(10);
    let mut asked = 0;
    let begun = Instant::now();
    // Until the kernel's buffers on the way in are full as well.
    let mut refused_since = None;
    while refused_since.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(1)) {
        match std::io::Write::write(&mut &client, question.as_bytes()) {
            Ok(count) => {
                asked += count;
                refused_since = None;
            }
            Err(_) => {
                refused_since.get_or_insert_with(Instant::now);
                std::thread::park_timeout(Duration::from_millis(10));
            }
        }
        assert!(asked < 60 << 20, "the gateway reads on and on");
        assert!(begun.elapsed() < crate::gateway::PATIENCE);
    }
    let session = gateway.hub.sessions(|_| true).pop().unwrap();
    let waiting = session.outbox().waiting();
    assert!(waiting < 2 << 20, "{waiting} bytes of answers wait");
    drop(client);
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn a_peer_paused_for_not_reading_is_read_from_again() {
    let gateway = Gateway::lines(plan(64 << 20));
    let mut client = Client::with_small_buffer(&gateway);
    assert_eq!(client.line(), "hello");
    client.send("big 8000000\n");
    wait_until("the answer waits", || gateway.received_bytes() > 0);
    client.send("echo afterwards\n");
    assert_eq!(client.line().len(), 8_000_000);
    assert_eq!(client.line(), "afterwards");
    gateway.finish(client);
}
