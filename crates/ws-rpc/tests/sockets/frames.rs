//! Openings that are granted, and frames behind them.

use polyport_core::Limits;
use polyport_ws_rpc::RpcOptions;

use crate::support::{Gateway, OPENING, opening_of};

/// A client's frame; the mask is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

const CLOSE: &[u8] = b"\x88\x80\0\0\0\0";

#[tokio::test]
async fn an_opening_is_answered_in_the_originals_words() {
    let gateway = Gateway::new(RpcOptions::default());
    let accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
        Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (offer, echo) in [
        ("", ""),
        (
            "Sec-WebSocket-Protocol: foo, bar\r\n",
            "Sec-Websocket-Protocol: foo\r\n",
        ),
        ("Sec-WebSocket-Protocol: , bar\r\n", ""),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", ""),
        ("Origin: null\r\n", ""),
    ] {
        let request = OPENING.replace("Host: ", &format!("{offer}Host: "));
        let answer = gateway.converse([request.as_bytes(), CLOSE].concat()).await;
        let expected = format!("{accepted}{echo}\r\n");
        assert_eq!(
            answer,
            [expected.as_bytes(), b"\x88\x00"].concat(),
            "{offer}"
        );
    }
    let version_8 = OPENING.replace("Version: 13", "Version: 8");
    let answer = gateway
        .converse([version_8.as_bytes(), CLOSE].concat())
        .await;
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let target = opening_of("/token-abc?x=1");
    gateway.converse([target.as_bytes(), CLOSE].concat()).await;
    let asked = gateway.doorman.asked.lock();
    assert_eq!(asked.last().map(String::as_str), Some("/token-abc?x=1"));
}

#[tokio::test]
async fn close_frames_are_mirrored_byte_for_byte_and_told() {
    let gateway = Gateway::new(RpcOptions::default());
    let longest = "é".repeat(61);
    for (code, text) in [
        (1000_u16, "bye"),
        (1001, ""),
        (4000, "hi"),
        (3000, longest.as_str()),
    ] {
        let payload = [&code.to_be_bytes()[..], text.as_bytes()].concat();
        let answer = gateway.after_opening(&frame(0x88, &payload)).await;
        let length = u8::try_from(payload.len()).unwrap();
        assert_eq!(
            answer,
            [&[0x88, length], &payload[..]].concat(),
            "{code} {text}"
        );
        assert_eq!(gateway.ended(1).await, [(code, text.to_owned())]);
    }
    assert_eq!(gateway.after_opening(CLOSE).await, b"\x88\x00");
    assert_eq!(gateway.ended(1).await, [(1005, String::new())]);
}

#[tokio::test]
async fn frames_that_break_the_rules() {
    let limits = Limits {
        message: 99,
        ..Limits::default()
    };
    let gateway = Gateway::with(RpcOptions::default(), limits);
    for (bytes, code) in [
        (frame(0xc1, b"hi"), 1002_u16),
        (frame(0x83, b"hi"), 1002),
        (b"\x81\x02hi".to_vec(), 1002),
        (frame(0x88, b"\x03\xed"), 1002),
        (frame(0x88, b"\x03"), 1002),
        (frame(0x81, b"\xff"), 1007),
        (frame(0x88, b"\x03\xe8\xff"), 1007),
        (frame(0x81, &[b' '; 100]), 1009),
    ] {
        let answer = gateway.after_opening(&bytes).await;
        assert_eq!(answer[0], 0x88, "{bytes:?}");
        assert_eq!(answer[2..4], code.to_be_bytes(), "{bytes:?}");
        let ended = gateway.ended(1).await;
        assert_eq!(ended[0].0, code, "{bytes:?}");
    }
}

#[tokio::test]
async fn fragments_with_a_ping_between_and_calls_right_behind_the_opening() {
    let gateway = Gateway::new(RpcOptions::default());
    let bytes = [
        frame(0x82, br#"[1,"echo",[9]]"#),
        frame(0x01, br#"[2,"ec"#),
        frame(0x00, br#"ho",[1"#),
        frame(0x89, b"mid"),
        frame(0x80, b"0]]"),
        CLOSE.to_vec(),
        frame(0x81, br#"[3,"echo",[9]]"#),
    ];
    let answer = gateway.after_opening(&bytes.concat()).await;
    let expected = [
        &b"\x81\x0a[1,true,9]"[..],
        b"\x8a\x03mid",
        b"\x81\x0b[2,true,10]",
        b"\x88\x00",
    ];
    assert_eq!(answer, expected.concat());
}
