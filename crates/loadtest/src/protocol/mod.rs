//! The wire of each protocol, as far as a load needs it: opening, one text out, texts in.
//!
//! Pure functions over bytes. Only frame borders are looked for; what is inside is read by the scenario, and only where
//! it must be.

mod rpc;
mod sc;
mod sio;
mod verbs;
mod websocket;

use clap::ValueEnum;
use memchr::memmem;
use serde::Serialize;

use crate::stamp::{self, Stamp};
use sc::Generation;

/// Payload of the pings that touch a connection.
const TOUCH: &[u8] = b"load";

/// What is spoken to the server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    /// Actionhero's verbs: lines of text, answers as lines of JSON.
    TcpVerbs,
    /// WebSocket, one message per text frame: a Pocketsocket hub, or a peer of this benchmark.
    Ws,
    /// socket.red's calls over WebSocket.
    WsRpc,
    /// Socket.IO of generation 4 over WebSocket, without polling.
    SocketIo,
    /// SocketCluster of generation 2.
    Socketcluster,
    /// Apps and monitors of the Redux DevTools, by SocketCluster of generation 1.
    DevtoolsRelay,
}

/// What a client is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Receives what is published.
    Member,
    /// Publishes, or calls.
    Publisher,
}

/// One thing the server sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// The server is ready for the first message.
    Opened,
    /// A message, or the payload of a pong, which is the answer to [`Protocol::write_touch`].
    Text(&'a [u8]),
    /// Wants a pong with the same bytes.
    Ping(&'a [u8]),
    /// Wants this text in return: a step of the opening, or a protocol's own ping.
    Asks(&'static [u8]),
    /// The server is about to close.
    Closing,
}

/// Bytes that this protocol does not allow, in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unexpected(pub(crate) String);

/// What was found at the beginning of the input, and how many bytes it took; `None` means that more is needed.
pub(crate) type Split<'a> = Result<Option<(Incoming<'a>, usize)>, Unexpected>;

impl Protocol {
    /// What WebSockets open where nothing else is said.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::TcpVerbs | Self::Ws | Self::WsRpc => "/",
            Self::SocketIo => sio::PATH,
            Self::Socketcluster | Self::DevtoolsRelay => sc::PATH,
        }
    }

    /// Where servers listen that nobody has told otherwise.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::TcpVerbs => 5000,
            Self::Ws => 8001,
            Self::WsRpc => 8080,
            Self::SocketIo => 3000,
            Self::Socketcluster | Self::DevtoolsRelay => 8000,
        }
    }

    /// What the client must send first.
    pub(crate) fn opening(self, host: &str, path: &str) -> Vec<u8> {
        match self {
            Self::TcpVerbs => Vec::new(),
            _ => websocket::opening(host, path),
        }
    }

    /// Reads one thing from the beginning of `input`. `opened` says whether the opening is behind us.
    pub(crate) fn split(self, opened: bool, input: &[u8]) -> Split<'_> {
        match (self, opened) {
            (Self::TcpVerbs, _) => verbs::split(opened, input),
            (Self::Ws | Self::WsRpc, false) => websocket::split_opening(input),
            (Self::Ws | Self::WsRpc, true) => websocket::split(input),
            (Self::SocketIo, false) => sio::split_opening(input),
            (Self::SocketIo, true) => sio::split(input),
            (Self::Socketcluster, false) => sc::split_opening(Generation::Second, input),
            (Self::Socketcluster, true) => sc::split(Generation::Second, input),
            (Self::DevtoolsRelay, false) => sc::split_opening(Generation::First, input),
            (Self::DevtoolsRelay, true) => sc::split(Generation::First, input),
        }
    }

    /// Appends one message: a line, or a text frame.
    pub(crate) fn write_text(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::TcpVerbs => verbs::write_line(text, out),
            _ => websocket::write_frame(websocket::TEXT, text, out),
        }
    }

    /// Appends the answer to a ping of WebSocket.
    pub(crate) fn write_pong(self, payload: &[u8], out: &mut Vec<u8>) {
        if self != Self::TcpVerbs {
            websocket::write_frame(websocket::PONG, payload, out);
        }
    }

    /// Appends the smallest thing that the server answers to the sender alone: a ping, or a verb.
    pub(crate) fn write_touch(self, out: &mut Vec<u8>) {
        match self {
            Self::TcpVerbs => verbs::write_line(b"paramsView", out),
            _ => websocket::write_frame(websocket::PING, TOUCH, out),
        }
    }

    /// Whether `text` answers a request of its receiver: a touch, a verb or an action.
    pub(crate) fn is_answer(self, text: &[u8]) -> bool {
        match self {
            Self::TcpVerbs => memmem::find(text, br#""context":"response""#).is_some(),
            _ => text == TOUCH,
        }
    }

    /// The room that publisher number `publisher` has. In a relay every app is an instance of its own.
    pub(crate) fn room_of(self, room: &str, publisher: usize) -> String {
        match self {
            Self::DevtoolsRelay => format!("{room}-{publisher}"),
            _ => room.to_owned(),
        }
    }

    /// Appends what a client must say before it hears of `room` or publishes there, and returns how many answers that has.
    pub(crate) fn write_entry(self, role: Role, room: &str, out: &mut Vec<u8>) -> usize {
        let (texts, answers) = match (self, role) {
            (Self::TcpVerbs, _) => (vec![format!("roomAdd {room}")], 1),
            (Self::Socketcluster, Role::Member) => (vec![sc::subscription(room)], 1),
            (Self::DevtoolsRelay, Role::Member) => (sc::monitor().to_vec(), 2),
            (Self::DevtoolsRelay, Role::Publisher) => (sc::app(room).to_vec(), 2),
            _ => (Vec::new(), 0),
        };
        for text in texts {
            self.write_text(text.as_bytes(), out);
        }
        answers
    }

    /// Whether `text` lets its receiver in, if it answers what [`Protocol::write_entry`] wrote.
    pub(crate) fn entered(self, text: &[u8]) -> Option<bool> {
        match self {
            Self::TcpVerbs => self
                .is_answer(text)
                .then(|| text.starts_with(br#"{"status":"OK""#)),
            Self::Socketcluster | Self::DevtoolsRelay => answered(text).map(|(_, worked)| worked),
            _ => None,
        }
    }

    /// Appends a message for all members of `room`, `size` bytes long where the stamp leaves that choice. On a WebSocket
    /// that is the whole text of the frame, in a verb it is the text that is said.
    pub(crate) fn write_publish(self, room: &str, stamp: Stamp, size: usize, out: &mut Vec<u8>) {
        let mut text = Vec::with_capacity(size + 64);
        match self {
            Self::TcpVerbs => {
                text.extend_from_slice(b"say ");
                text.extend_from_slice(room.as_bytes());
                text.push(b' ');
                stamp.write(&mut text);
                pad(size.saturating_sub(stamp::LENGTH), &mut text);
            }
            Self::Ws => {
                text.extend_from_slice(
                    format!(
                        r#"{{"id":"0.{:08}","message":"load.tick","data":""#,
                        stamp.sequence
                    )
                    .as_bytes(),
                );
                stamp.write(&mut text);
                pad(size.saturating_sub(text.len() + 2), &mut text);
                text.extend_from_slice(br#""}"#);
            }
            Self::WsRpc => {
                text.extend_from_slice(br#"[0,"tick",[""#);
                stamp.write(&mut text);
                pad(size.saturating_sub(text.len() + 3), &mut text);
                text.extend_from_slice(br#""]]"#);
            }
            Self::SocketIo => {
                text.extend_from_slice(br#"42["publish",""#);
                stamp.write(&mut text);
                pad(size.saturating_sub(text.len() + 2), &mut text);
                text.extend_from_slice(br#""]"#);
            }
            Self::Socketcluster => sc::write_publication(room, stamp, size, &mut text),
            Self::DevtoolsRelay => sc::write_action(room, stamp, size, &mut text),
        }
        self.write_text(&text, out);
    }
}

fn pad(bytes: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + bytes, b'x');
}

pub(crate) use rpc::{answered_call, write_call};
pub(crate) use sc::{answered, write_invocation};
pub(crate) use sio::{acknowledged, write_acknowledged};
pub(crate) use verbs::message_count;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_text_has_the_size_asked_for() {
        let stamp = Stamp {
            sequence: 3,
            intended: 9,
        };
        let mut line = Vec::new();
        Protocol::TcpVerbs.write_publish("lobby", stamp, 100, &mut line);
        assert_eq!(line.len(), "say lobby ".len() + 100 + "\r\n".len());

        for protocol in [Protocol::Ws, Protocol::WsRpc, Protocol::SocketIo] {
            let mut frame = Vec::new();
            protocol.write_publish("lobby", stamp, 100, &mut frame);
            let expected = 2 + 4 + 100;
            assert_eq!(frame.len(), expected, "{protocol:?}: header, mask, payload");
        }
    }
}
