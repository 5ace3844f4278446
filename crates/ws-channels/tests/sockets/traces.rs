//! Recorded conversations of the original server, said again to ours. Compared is what each connection receives: its
//! receipts in their order, and everything else in its order.

use std::{collections::BTreeMap, fs, path::PathBuf};

use polyport_core::Limits;
use polyport_net::Server;
use polyport_ws_channels::{ChannelsOptions, DEFAULT_MESSAGE_LIMIT, Relay};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{
        CloseFrame,
        frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use crate::support::{Client, Gateway, masked};

/// What a connection receives, as text.
type Heard = BTreeMap<u64, Vec<String>>;

enum Step {
    Open {
        conn: u64,
        server: String,
        path: String,
    },
    Send {
        conn: u64,
        line: Value,
    },
    /// The client leaves, by a reset or properly.
    Leave {
        conn: u64,
        by_reset: bool,
    },
    /// The server ended the connection, or died, in the recording.
    Ended {
        conn: u64,
    },
}

struct Trace {
    steps: Vec<Step>,
    expected: Heard,
}

fn file(name: &str) -> String {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/traces/pocketsocket"
    );
    fs::read_to_string(PathBuf::from(folder).join(name)).unwrap()
}

fn load(name: &str) -> Trace {
    let mut timed: Vec<(u64, Step)> = Vec::new();
    let mut expected = Heard::new();
    let http: Vec<Value> = serde_json::from_str(&file(&format!("{name}.http.json"))).unwrap();
    for entry in &http {
        let conn = entry["conn"].as_u64().unwrap();
        let step = match (
            entry["kind"].as_str().unwrap(),
            entry["dir"].as_str().unwrap(),
        ) {
            ("http", "c2s") => Step::Open {
                conn,
                server: entry["server"].as_str().unwrap_or("A").to_owned(),
                path: entry["head"]
                    .as_str()
                    .unwrap()
                    .split(' ')
                    .nth(1)
                    .unwrap()
                    .to_owned(),
            },
            ("eof", "c2s") => Step::Leave {
                conn,
                by_reset: false,
            },
            ("reset", "c2s") => Step::Leave {
                conn,
                by_reset: true,
            },
            ("eof", "s2c") => Step::Ended { conn },
            _ => continue,
        };
        if matches!(step, Step::Open { .. }) {
            expected.insert(conn, Vec::new());
        }
        timed.push((entry["t_ms"].as_u64().unwrap(), step));
    }
    for line in file(&format!("{name}.jsonl")).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let conn = line["conn"].as_u64().unwrap();
        if line["dir"] == "s2c" {
            let text = match line["kind"].as_str().unwrap() {
                "close" => "close".to_owned(),
                _ => masked(line["data"].as_str().unwrap()),
            };
            expected.get_mut(&conn).unwrap().push(text);
        } else {
            timed.push((line["t_ms"].as_u64().unwrap(), Step::Send { conn, line }));
        }
    }
    // At the same millisecond: first it opens, then it speaks, then it ends.
    timed.sort_by_key(|(time, step)| {
        let rank = match step {
            Step::Open { .. } => 0,
            Step::Send { .. } => 1,
            Step::Leave { .. } | Step::Ended { .. } => 2,
        };
        (*time, rank)
    });
    Trace {
        steps: timed.into_iter().map(|(_, step)| step).collect(),
        expected,
    }
}

/// The recorded frame as a client of ours sends it.
fn frame(line: &Value) -> Message {
    let text = || line["data"].as_str().unwrap().to_owned();
    let is_final = line["fin"] != false;
    let continues = line["cont"] == true;
    match line["kind"].as_str().unwrap() {
        "text" if is_final && !continues => Message::text(text()),
        "text" => {
            let data = if continues {
                Data::Continue
            } else {
                Data::Text
            };
            Message::Frame(Frame::message(text(), OpCode::Data(data), is_final))
        }
        "binary" if line["enc"] == "base64" => Message::binary(base64(&text())),
        "binary" => Message::binary(text()),
        "ping" => Message::Ping(text().into()),
        "pong" => Message::Pong(text().into()),
        "close" => Message::Close(line["data"]["code"].as_u64().map(|code| CloseFrame {
            code: u16::try_from(code).unwrap().into(),
            reason: line["data"]["reason"].as_str().unwrap().into(),
        })),
        other => panic!("unknown kind {other}"),
    }
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0_u32;
    let mut bytes = Vec::new();
    let digits = text.bytes().filter(|digit| *digit != b'=');
    for (index, digit) in digits.enumerate() {
        let value = DIGITS.iter().position(|known| *known == digit).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        if index % 4 > 0 {
            bytes.push(u8::try_from(bits >> (6 - 2 * (index % 4)) & 0xff).unwrap());
        }
    }
    bytes
}

struct Replay {
    gateway: Gateway,
    servers: BTreeMap<String, Server>,
    /// Open connections and the server of each.
    clients: BTreeMap<u64, (Client, String)>,
    heard: Heard,
}

impl Replay {
    fn new(options: ChannelsOptions) -> Self {
        let gateway = Gateway::new();
        let limits = Limits {
            message: DEFAULT_MESSAGE_LIMIT,
            ..Limits::default()
        };
        let servers = ["A", "B"].map(|name| {
            (
                name.to_owned(),
                gateway.listen(name, limits.clone(), options),
            )
        });
        Self {
            gateway,
            servers: servers.into(),
            clients: BTreeMap::new(),
            heard: Heard::new(),
        }
    }

    fn hear(&mut self, conn: u64, messages: Vec<Message>) {
        let heard = self.heard.entry(conn).or_default();
        heard.extend(messages.into_iter().map(|message| match message {
            Message::Text(text) => masked(text.as_str()),
            Message::Binary(data) => format!("binary {data:?}"),
            Message::Close(None) => "close".to_owned(),
            other => format!("{other:?}"),
        }));
    }

    async fn settle(&mut self, conn: u64) {
        if let Some((client, _)) = self.clients.get_mut(&conn) {
            let messages = client.settle().await;
            self.hear(conn, messages);
        }
    }

    async fn step(&mut self, step: Step, dies: bool) {
        match step {
            Step::Open { conn, server, path } => {
                let client = Client::connect(&self.servers[&server], &path).await;
                self.heard.entry(conn).or_default();
                self.clients.insert(conn, (client, server));
            }
            Step::Send { conn, line } => {
                let Some((client, _)) = self.clients.get_mut(&conn) else {
                    return;
                };
                client.send(frame(&line)).await;
                if line["kind"] != "close" {
                    return self.settle(conn).await;
                }
                let rest = client.rest().await;
                self.hear(conn, rest);
                self.leave(conn, false).await;
            }
            Step::Leave { conn, by_reset } => {
                self.settle(conn).await;
                self.leave(conn, by_reset).await;
            }
            Step::Ended { conn } if dies => {
                let Some((_, server)) = self.clients.get(&conn) else {
                    return;
                };
                let server = server.clone();
                let all: Vec<u64> = self.clients.keys().copied().collect();
                for conn in all {
                    if self.clients[&conn].1 == server {
                        self.settle(conn).await;
                    }
                }
                self.clients.retain(|_, (_, of)| *of != server);
                self.gateway.wait_for_sessions(self.clients.len()).await;
            }
            Step::Ended { conn } => {
                self.settle(conn).await;
                self.leave(conn, false).await;
            }
        }
    }

    async fn leave(&mut self, conn: u64, by_reset: bool) {
        if let Some((client, _)) = self.clients.remove(&conn) {
            if by_reset {
                client.reset();
            } else {
                drop(client);
            }
            self.gateway.wait_for_sessions(self.clients.len()).await;
        }
    }
}

/// Receipts, and the rest.
fn sorted_out(heard: &Heard) -> BTreeMap<u64, [Vec<&str>; 2]> {
    heard
        .iter()
        .map(|(conn, texts)| {
            let (receipts, others) = texts
                .iter()
                .map(String::as_str)
                .partition(|text| text.starts_with(r#"{"time": "T""#));
            (*conn, [receipts, others])
        })
        .collect()
}

/// Replays a trace. `differs` changes what the original sent to what we send instead.
async fn check_with(name: &str, options: ChannelsOptions, differs: impl FnOnce(&mut Heard)) {
    let mut trace = load(name);
    // In recordings of two servers a server that ends connections has died.
    let dies = name.contains("server-dies") || name.contains("two-servers");
    let mut replay = Replay::new(options);
    for step in trace.steps {
        replay.step(step, dies).await;
    }
    let open: Vec<u64> = replay.clients.keys().copied().collect();
    for conn in open {
        replay.settle(conn).await;
    }
    differs(&mut trace.expected);
    assert_eq!(
        sorted_out(&replay.heard),
        sorted_out(&trace.expected),
        "{name}"
    );
}

async fn check(name: &str) {
    check_with(name, ChannelsOptions::default(), |_| {}).await;
}

const PONG: &str = r#"Pong(b"hi")"#;

const DEPARTURE: &str = r#"{"socket": "disconnected", "port": P, "address": "127.0.0.1"}"#;

fn text_receipt(bytes: usize) -> String {
    format!(r#"{{"time": "T", "messageId": {bytes}, "socket": "sent", "attr": "string"}}"#)
}

/// Puts what the original lost, with its sender, before the departure that it announced instead.
fn before_departure(heard: &mut Heard, conn: u64, text: &str) {
    let texts = heard.get_mut(&conn).unwrap();
    let place = texts.iter().position(|text| text == DEPARTURE).unwrap();
    texts.insert(place, text.to_owned());
}

#[tokio::test]
async fn conversations_that_are_the_same() {
    for name in [
        "close-1000",
        "close-empty",
        "disconnect-tcp-fin",
        "disconnect-tcp-reset",
        "first-server-dies",
        "ignored-pong",
        "june-2014-server-plain-text",
        "length-16-bit",
        "length-64-bit",
        "two-frames-one-packet",
        "two-servers-broadcast",
    ] {
        check(name).await;
    }
}

#[tokio::test]
async fn pings_are_answered() {
    check_with("ignored-ping", ChannelsOptions::default(), |heard| {
        heard.get_mut(&2).unwrap().push(PONG.to_owned());
    })
    .await;
}

#[tokio::test]
async fn three_clients() {
    check_with("relay-three-clients", ChannelsOptions::default(), |heard| {
        for text in heard.get_mut(&1).unwrap() {
            // The original answers with texts that are no JSON.
            if text.contains(r#""messageId": [1, 1, ]"#) {
                *text = text.replace("[1, 1, ]", "[1, 1]");
            } else if text.contains(r#""messageId": NaN"#) {
                *text = text_receipt(10);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_tour_of_the_readme() {
    check_with("readme-tour", ChannelsOptions::default(), |heard| {
        let text = "What are you looking at?";
        heard.get_mut(&1).unwrap().push(text_receipt(text.len()));
        before_departure(heard, 2, text);
        heard.get_mut(&2).unwrap().push("close".to_owned());
    })
    .await;
}

#[tokio::test]
async fn what_the_server_of_2013_dropped_its_clients_for() {
    for (name, bytes, relayed) in [
        ("drop-plain-text", 15, "Flerburry (42)!"),
        ("drop-empty-text", 0, ""),
        ("drop-truncated-json", 6, r#"{"id":"#),
        ("drop-binary-not-utf8", 4, r#"binary b"\0\xff\xfe\x01""#),
    ] {
        check_with(name, ChannelsOptions::default(), |heard| {
            heard.get_mut(&2).unwrap().push(text_receipt(bytes));
            before_departure(heard, 1, relayed);
        })
        .await;
    }
}

#[tokio::test]
async fn plain_relay() {
    let plain = ChannelsOptions {
        relay: Relay::Plain,
        ..ChannelsOptions::default()
    };
    check_with("other-wire-pypi-0.4.1-echo", plain, |heard| {
        for conn in [2, 3] {
            // The original relays each fragment as a message of its own, and dies of the second one.
            *heard.get_mut(&conn).unwrap().last_mut().unwrap() = "hello".to_owned();
        }
        heard.get_mut(&1).unwrap().push(PONG.to_owned());
    })
    .await;
}
