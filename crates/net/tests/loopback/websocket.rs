//! WebSocket messages, pings and closing (RFC 6455), over a real connection.

use std::time::Duration;

use polyport_core::{CloseReason, Limits};

use crate::{
    gateway::{Gateway, Plan, wait_until},
    peer::{BINARY, CLOSE, Client, PING, PONG, TEXT, client_frame},
};

fn open(gateway: &Gateway) -> Client<std::net::TcpStream> {
    Client::connect(gateway).opened()
}

#[test]
fn text_and_binary_of_every_size_come_back() {
    let gateway = Gateway::websocket(Plan::default());
    let mut client = open(&gateway);
    for length in [
        0, 1, 119, 120, 121, 125, 126, 127, 65_530, 65_535, 65_536, 1_000_000,
    ] {
        let text = "é".repeat(length / 2);
        client.send_text(&format!("echo {text}"));
        assert_eq!(client.text_frame(), text);
        let binary = vec![0xfe; length];
        client.send(client_frame(0x80 | BINARY, &binary));
        assert_eq!(client.frame(), (BINARY, binary));
    }
    gateway.finish(client);
}

#[test]
fn a_frame_may_be_cut_anywhere() {
    let gateway = Gateway::websocket(Plan::default());
    let mut client = open(&gateway);
    let text = "x".repeat(130);
    let mut frames = client_frame(0x80 | TEXT, format!("echo {text}").as_bytes());
    frames.extend(client_frame(0x80 | TEXT, b"echo second"));
    for cut in 1..frames.len() {
        let before = gateway.received_bytes();
        client.send(&frames[..cut]);
        wait_until("the first piece has arrived", || {
            gateway.received_bytes() == before + cut as u64
        });
        client.send(&frames[cut..]);
        assert_eq!(client.text_frame(), text, "cut at {cut}");
        assert_eq!(client.text_frame(), "second", "cut at {cut}");
    }
    gateway.finish(client);
}

#[test]
fn fragments_make_one_message_and_pings_pass_between_them() {
    let gateway = Gateway::websocket(Plan::default());
    let mut client = open(&gateway);
    let text = "echo h\u{e9}llo".as_bytes();
    // The cut is within a character.
    client.send(client_frame(TEXT, &text[..7]));
    client.send(client_frame(0x80 | PING, b"between"));
    assert_eq!(client.frame(), (PONG, b"between".to_vec()));
    client.send(client_frame(0, &text[7..9]));
    client.send(client_frame(0x80, &text[9..]));
    assert_eq!(client.text_frame(), "h\u{e9}llo");
    gateway.finish(client);
}

#[test]
fn pings_are_answered_and_pongs_are_not() {
    let gateway = Gateway::websocket(Plan::default());
    let mut client = open(&gateway);
    client.send(client_frame(0x80 | PONG, b"unasked"));
    client.send(client_frame(0x80 | PING, b""));
    client.send(client_frame(0x80 | PING, &[7; 125]));
    assert_eq!(client.frame(), (PONG, Vec::new()));
    assert_eq!(client.frame(), (PONG, vec![7; 125]));
    gateway.finish(client);
}

#[test]
fn a_client_that_answers_pings_stays_and_a_silent_one_is_closed() {
    let gateway = Gateway::websocket(Plan {
        ping: Duration::from_millis(500),
        ..Plan::default()
    });
    let mut lively = Client::connect(&gateway);
    lively.send(crate::peer::OPENING);
    lively.head();
    assert_eq!(lively.text_frame(), "hello /chat");
    for _ in 0..5 {
        assert_eq!(lively.frame(), (PING, Vec::new()));
        lively.send(client_frame(0x80 | PONG, b""));
    }
    let mut silent = open(&gateway);
    assert_eq!(silent.frame(), (PING, Vec::new()));
    silent.closed_with(1001);
    gateway.wait_for_close(CloseReason::IdleTimeout);
    gateway.finish((lively, silent));
}

#[track_caller]
fn check_error(gateway: &Gateway, input: &[u8], code: u16) {
    let mut client = open(gateway);
    client.send_text("echo before");
    client.send(input);
    client.send_text("echo behind an error nothing is heard");
    assert_eq!(client.text_frame(), "before");
    client.closed_with(code);
}

#[test]
fn violations_are_answered_with_1002() {
    let gateway = Gateway::websocket(Plan::default());
    let violations = [
        vec![0x81, 0x02, b'h', b'i'],
        client_frame(0xc1, b"reserved bit"),
        client_frame(0x83, b"opcode 3"),
        client_frame(0x8f, b"opcode 15"),
        client_frame(0x80, b"continues nothing"),
        client_frame(PING, b"fragmented ping"),
        client_frame(0x80 | PING, &[0; 126]),
        client_frame(0x80 | CLOSE, &[3]),
        client_frame(0x80 | CLOSE, &1005_u16.to_be_bytes()),
        [
            client_frame(TEXT, b"begun"),
            client_frame(0x80 | TEXT, b"not continued"),
        ]
        .concat(),
    ];
    for violation in &violations {
        check_error(&gateway, violation, 1002);
    }
    let count = violations.len() as u64;
    wait_until("all are counted", || {
        gateway.closed(CloseReason::ProtocolError) == count
    });
    assert_eq!(
        gateway.metric("polyport_invalid_messages_total", "under-test"),
        count
    );
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn text_that_is_not_utf_8_is_answered_with_1007() {
    let gateway = Gateway::websocket(Plan::default());
    check_error(&gateway, &client_frame(0x80 | TEXT, b"echo \xff"), 1007);
    let fragments = [client_frame(TEXT, b"echo \xc3"), client_frame(0x80, b"x")].concat();
    check_error(&gateway, &fragments, 1007);
    check_error(&gateway, &client_frame(0x80 | CLOSE, b"\x03\xe8\xff"), 1007);
    gateway.finish(());
}

#[test]
fn messages_over_the_limit_are_answered_with_1009() {
    let gateway = Gateway::websocket(Plan {
        limits: Limits {
            message: 1000,
            ..Limits::default()
        },
        ..Plan::default()
    });
    let mut client = open(&gateway);
    client.send(client_frame(0x80 | BINARY, &[1; 1000]));
    assert_eq!(client.frame(), (BINARY, vec![1; 1000]));
    drop(client);
    // Whole, announced only, and in fragments.
    check_error(&gateway, &client_frame(0x80 | BINARY, &[1; 1001]), 1009);
    check_error(
        &gateway,
        &client_frame(0x80 | BINARY, &vec![1; 1 << 20])[..14],
        1009,
    );
    let fragments = [client_frame(BINARY, &[1; 600]), client_frame(0, &[1; 401])].concat();
    check_error(&gateway, &fragments, 1009);
    wait_until("all are counted", || {
        gateway.closed(CloseReason::MessageTooBig) == 3
    });
    assert_eq!(gateway.metric("polyport_limit_hits_total", "message"), 3);
    gateway.finish(());
}

#[test]
fn a_length_that_no_memory_holds_is_answered_with_1009() {
    let gateway = Gateway::websocket(Plan::default());
    let mut frame = vec![0x82, 0xff];
    frame.extend_from_slice(&(u64::MAX >> 1).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    check_error(&gateway, &frame, 1009);
    gateway.finish(());
}

#[test]
fn the_client_s_close_is_echoed() {
    let gateway = Gateway::websocket(Plan::default());
    for (payload, code) in [
        (b"".to_vec(), 1000),
        (1000_u16.to_be_bytes().to_vec(), 1000),
        (b"\x0f\xa0because".to_vec(), 4000),
    ] {
        let mut client = open(&gateway);
        client.send_text("echo last");
        client.send(client_frame(0x80 | CLOSE, &payload));
        client.send_text("echo behind the close nothing is heard");
        assert_eq!(client.text_frame(), "last");
        assert_eq!(client.closed_with(code), "");
    }
    wait_until("all are counted", || {
        gateway.closed(CloseReason::ClientLeft) == 3
    });
    gateway.wait_until_empty();
    gateway.finish(());
}

#[test]
fn the_server_s_close_says_why() {
    let gateway = Gateway::websocket(Plan::default());
    let mut client = open(&gateway);
    client.send_text("kick");
    client.closed_with(1000);
    gateway.wait_for_close(CloseReason::Disconnected);
    gateway.wait_until_empty();
    gateway.finish(client);
}

#[test]
fn a_drain_closes_with_1001_when_the_call_is_answered() {
    let gateway = Gateway::websocket(Plan::default());
    let mut idle = open(&gateway);
    let mut busy = open(&gateway);
    busy.send_text("call");
    gateway.wait_for_calls(1);
    gateway.drain();
    assert_eq!(idle.closed_with(1001), "going away");
    busy.send_text("echo heard");
    assert_eq!(busy.text_frame(), "heard");
    busy.send_text("call");
    assert_eq!(busy.text_frame(), "the server is shutting down");
    assert_eq!(gateway.answer_calls(), 1);
    assert_eq!(busy.bytes(9), b"answered\n");
    assert_eq!(busy.closed_with(1001), "going away");
    gateway.finish((idle, busy));
}

#[test]
fn rooms_work_over_websocket_too() {
    let gateway = Gateway::websocket(Plan::default());
    let mut members: Vec<_> = (0..3).map(|_| open(&gateway)).collect();
    for member in &mut members {
        member.send_text("join room");
        assert_eq!(member.text_frame(), "joined");
    }
    members[0].send_text("say room hello everybody");
    for member in &mut members {
        assert_eq!(member.text_frame(), "said room hello everybody");
    }
    gateway.finish(members);
}
