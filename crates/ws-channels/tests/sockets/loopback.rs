//! Clients on real sockets.

use std::time::Duration;

use polyport_core::Limits;
use polyport_net::Server;
use polyport_ws_channels::ChannelsOptions;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::support::{Client, Gateway, address, masked};

const ARRIVAL: &str = r#"{"socket": "connected", "port": P, "address": "127.0.0.1"}"#;
const DEPARTURE: &str = r#"{"socket": "disconnected", "port": P, "address": "127.0.0.1"}"#;

/// The opening of RFC 6455, section 1.3, with all that we do not speak offered.
const OPENING: &str = "GET /chat?x=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: null\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

const ACCEPTED: &str = "http/1.1 101 switching protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n\r\n";

/// Writes bytes and returns what comes back until the server closes.
async fn converse(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address(server)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    timeout(Duration::from_secs(20), reading)
        .await
        .unwrap()
        .unwrap();
    answer
}

/// Opens a WebSocket, sends raw bytes, and returns what comes behind the opening.
async fn after_opening(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let answer = converse(server, &[OPENING.as_bytes(), bytes].concat()).await;
    let (head, rest) = answer.split_at(ACCEPTED.len());
    assert_eq!(str::from_utf8(head).unwrap().to_ascii_lowercase(), ACCEPTED);
    rest.to_vec()
}

#[tokio::test]
async fn violations_are_closed_with_their_code() {
    let gateway = Gateway::new();
    let limits = Limits {
        message: 99,
        ..Limits::default()
    };
    let server = gateway.listen("pocket", limits, ChannelsOptions::default());
    let mut witness = Client::connect(&server, "").await;
    for (bytes, code) in [
        (&b"\xc1\x82\0\0\0\0hi"[..], 1002_u16),
        (b"\x83\x82\0\0\0\0hi", 1002),
        (b"\x81\x02hi", 1002),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x81\xe4\0\0\0\0", 1009),
    ] {
        let answer = after_opening(&server, bytes).await;
        assert_eq!(answer[0], 0x88, "{answer:?}");
        assert_eq!(answer[2..4], code.to_be_bytes(), "{bytes:?}");
        assert_eq!(masked(&witness.next_text().await), ARRIVAL);
        assert_eq!(masked(&witness.next_text().await), DEPARTURE);
    }
    let answer = after_opening(&server, b"\x88\x85\0\0\0\0\x03\xe8bye").await;
    assert_eq!(answer, b"\x88\x00");
}

#[tokio::test]
async fn what_never_opens_is_no_client() {
    let gateway = Gateway::new();
    let server = gateway.listen("pocket", Limits::default(), ChannelsOptions::default());
    let mut witness = Client::connect(&server, "").await;
    let silent = TcpStream::connect(address(&server)).await.unwrap();
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "400",
        ),
        (&OPENING.replace("Version: 13", "Version: 7"), "400"),
        (&OPENING.replace("dGhl", "!!!!"), "400"),
    ] {
        let answer = converse(&server, request.as_bytes()).await;
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
    witness.say("x").await;
    let mut nothing = [0; 1];
    assert_eq!(
        silent.try_read(&mut nothing).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    drop(silent);
    let heard = witness.settle().await;
    assert_eq!(heard.len(), 1, "its own receipt: {heard:?}");
}

#[tokio::test]
async fn a_fragmented_message_with_a_ping_between() {
    let gateway = Gateway::new();
    let server = gateway.listen("pocket", Limits::default(), ChannelsOptions::default());
    let mut sender = Client::connect(&server, "").await;
    let mut other = Client::connect(&server, "").await;
    sender.settle().await;
    let part = |text: &'static str, data, is_final| {
        Message::Frame(Frame::message(text, OpCode::Data(data), is_final))
    };
    sender.send(part(r#"{"id":"#, Data::Text, false)).await;
    assert_eq!(sender.settle().await, [], "a pong and nothing else");
    sender.send(part(r#""frag"}"#, Data::Continue, true)).await;
    let receipt = masked(&sender.next_text().await);
    assert_eq!(
        receipt,
        r#"{"time": "T", "messageId": "frag", "socket": "sent", "attr": "json"}"#
    );
    assert_eq!(other.next_text().await, r#"{"id":"frag"}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_of_two_senders_arrive_in_one_common_order() {
    const BURST: usize = 200;
    let gateway = Gateway::new();
    let server = gateway.listen("pocket", Limits::default(), ChannelsOptions::default());
    let mut a = Client::connect(&server, "").await;
    let mut b = Client::connect(&server, "").await;
    let mut c = Client::connect(&server, "").await;
    let mut d = Client::connect(&server, "").await;
    for client in [&mut a, &mut b, &mut c, &mut d] {
        client.settle().await;
    }
    let burst = async |client: &mut Client, name: &str| {
        for n in 0..BURST {
            client
                .say(&format!(r#"{{"id":"{name}{n:03}","message":"x.y"}}"#))
                .await;
        }
        let mut texts = Vec::new();
        while texts.len() < 2 * BURST {
            texts.push(masked(&client.next_text().await));
        }
        texts
    };
    let listen = async |client: &mut Client| {
        let mut texts = Vec::new();
        while texts.len() < 2 * BURST {
            texts.push(client.next_text().await);
        }
        texts
    };
    let (at_a, at_b, at_c, at_d) = tokio::join!(
        burst(&mut a, "a"),
        burst(&mut b, "b"),
        listen(&mut c),
        listen(&mut d)
    );
    assert_eq!(at_c, at_d);
    for (own, name, other) in [(&at_a, "a", "b"), (&at_b, "b", "a")] {
        let is_receipt = |text: &&String| text.starts_with(r#"{"time""#);
        let receipts: Vec<&String> = own.iter().filter(is_receipt).collect();
        assert_eq!(receipts.len(), BURST);
        assert!(receipts.is_sorted());
        assert!(receipts[0].contains(&format!(r#""{name}000""#)));
        let relays: Vec<&String> = own.iter().filter(|text| !is_receipt(text)).collect();
        let of_other = format!(r#"{{"id":"{other}"#);
        let common: Vec<&String> = at_c
            .iter()
            .filter(|text| text.starts_with(&of_other))
            .collect();
        assert_eq!(relays, common);
        assert!(common.is_sorted());
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_hurts_nobody() {
    let gateway = Gateway::new();
    let server = gateway.listen("pocket", Limits::default(), ChannelsOptions::default());
    let mut sender = Client::connect(&server, "").await;
    let mut reader = Client::connect(&server, "").await;
    let _stalled = Client::connect(&server, "").await;
    sender.settle().await;
    reader.settle().await;
    let text = "x".repeat(256 << 10);
    // As much as the kernel may hold for the stalled one, and its outbox.
    let enough = (64 << 20) / text.len();
    let mut departures = 0;
    for _ in 0..enough {
        sender.say(&text).await;
        loop {
            let heard = reader.next_text().await;
            if heard.len() == text.len() {
                break;
            }
            assert_eq!(masked(&heard), DEPARTURE);
            departures += 1;
        }
        sender.settle().await;
        if departures > 0 {
            break;
        }
    }
    assert_eq!(departures, 1);
    sender.say("still here").await;
    assert_eq!(reader.next_text().await, "still here");
}

#[tokio::test]
async fn a_stopping_listener_says_1001_and_announces_nobody() {
    let gateway = Gateway::new();
    let server = gateway.listen("pocket", Limits::default(), ChannelsOptions::default());
    let mut a = Client::connect(&server, "").await;
    let mut b = Client::connect(&server, "").await;
    a.settle().await;
    server.stop_accepting();
    server.listener().drain();
    for session in gateway.hub.sessions(|_| true) {
        session.wake();
    }
    for client in [&mut a, &mut b] {
        let rest = client.rest().await;
        let [Message::Close(Some(close))] = &rest[..] else {
            panic!("expected one close frame, got {rest:?}");
        };
        assert_eq!(u16::from(close.code), 1001);
    }
    drop((a, b));
    gateway.wait_for_sessions(0).await;
}

#[tokio::test]
async fn listeners_are_hubs_of_their_own_but_share_rooms() {
    let gateway = Gateway::new();
    let listen = |name| gateway.listen(name, Limits::default(), ChannelsOptions::default());
    let (first, second) = (listen("first"), listen("second"));
    let mut a = Client::connect(&first, "").await;
    let mut b = Client::connect(&second, "").await;
    a.say(r#"{"id":1,"message":"room.hello"}"#).await;
    a.say(r#"{"id":2,"message":"lobby.hello","data":[1]}"#)
        .await;
    a.settle().await;
    let expected = Message::text(r#"{"id":null,"message":"lobby.hello","data":[1]}"#);
    assert_eq!(b.settle().await, [expected]);
}
