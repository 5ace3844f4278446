//! Bytes in, lines out: however they are cut, merged or dribbled.

use polyport_core::{CloseReason, Limits};

use crate::{
    gateway::{Gateway, Plan, wait_until},
    peer::Client,
};

#[test]
fn a_line_may_be_cut_anywhere() {
    let gateway = Gateway::lines(Plan::default());
    let input = b"echo first\necho second\r\n";
    for cut in 1..input.len() {
        let mut client = Client::greeted(&gateway);
        let before = gateway.received_bytes();
        client.send(&input[..cut]);
        wait_until("the first piece has arrived", || {
            gateway.received_bytes() == before + cut as u64
        });
        client.send(&input[cut..]);
        let answers = [client.line(), client.line(), client.line()];
        assert_eq!(answers, ["first", "second", "unknown: "], "cut at {cut}");
    }
    gateway.finish(());
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    for (sent, byte) in (1..).zip(b"echo one byte at a time\n") {
        client.send([*byte]);
        wait_until("the byte has arrived", || gateway.received_bytes() == sent);
    }
    assert_eq!(client.line(), "one byte at a time");
    gateway.finish(client);
}

#[test]
fn many_lines_in_one_write_are_answered_in_order() {
    let gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    let sent: String = (0..5000).map(|i| format!("echo {i}\n")).collect();
    client.send(sent);
    for number in 0..5000 {
        assert_eq!(client.line(), number.to_string());
    }
    gateway.finish(client);
}

#[test]
fn a_long_line_is_refused_once_and_the_next_is_heard() {
    let gateway = Gateway::lines(Plan {
        limits: Limits {
            message: 1000,
            ..Limits::default()
        },
        ..Plan::default()
    });
    let mut client = Client::greeted(&gateway);
    let long = format!("echo {}\necho after\n", "x".repeat(200_000));
    client.send(long);
    assert_eq!(client.line(), "too long");
    assert_eq!(client.line(), "after");
    assert_eq!(gateway.metric("polyport_limit_hits_total", "message"), 1);
    gateway.finish(client);
}

#[test]
fn a_line_of_many_reads_arrives_whole() {
    let gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    let text = "0123456789".repeat(90_000);
    client.send(format!("echo {text}\necho short\n"));
    assert_eq!(client.line(), text);
    assert_eq!(client.line(), "short");
    gateway.finish(client);
}

#[test]
fn bytes_are_counted_both_ways() {
    let gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    assert_eq!(client.ask("echo four"), "four");
    assert_eq!(gateway.received_bytes(), 10);
    // They are counted when the write is over, which the client may notice first.
    wait_until("the bytes that were sent are counted", || {
        gateway.listener.metrics().sent_bytes.get() == 6 + 5
    });
    gateway.finish(client);
}

#[test]
fn a_peer_that_leaves_or_vanishes_is_gone() {
    let gateway = Gateway::lines(Plan::default());
    drop(Client::greeted(&gateway));
    gateway.wait_for_close(CloseReason::PeerGone);
    Client::greeted(&gateway).reset();
    wait_until("the reset is seen", || {
        gateway.closed(CloseReason::PeerGone) == 2
    });
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn a_source_is_written_between_what_was_queued_before_and_after_it() {
    let gateway = Gateway::lines(Plan {
        limits: Limits {
            outbox: 64 << 10,
            ..Limits::default()
        },
        ..Plan::default()
    });
    let mut client = Client::greeted(&gateway);
    let length = 20_000_000;
    client.send(format!("echo before\nsource {length}\necho after\n"));
    assert_eq!(client.line(), "before");
    assert!(client.bytes(length).iter().all(|byte| *byte == b'x'));
    assert_eq!(client.line(), "after");
    assert_eq!(client.ask("echo still there"), "still there");
    gateway.finish(client);
}
