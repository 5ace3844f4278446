//! What a listener of this protocol can be told.

use std::{sync::Arc, time::Duration};

use polyport_core::{EventName, RoomName};

use crate::{client_files::ClientFiles, codec::Revision};

/// What a listener of this protocol can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketIoOptions {
    /// Where it is served: `/socket.io/`. Clients may leave the last slash away.
    pub path: String,
    /// Whether long-polling is spoken.
    pub polling: bool,
    /// Whether WebSocket is spoken.
    pub websocket: bool,
    /// The revisions of Engine.IO that are spoken.
    pub revisions: Vec<Revision>,
    /// Namespaces beside `/`, by name; a star stands for any part of a name.
    pub namespaces: Vec<String>,
    /// Time between pings.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub ping_timeout: Duration,
    /// How long the upgrade of a polling session may take.
    pub upgrade_timeout: Duration,
    /// How long a client may go without any namespace.
    pub connect_timeout: Duration,
    /// How long a session of revision 4 waits for a client whose connection is lost; zero is not at all.
    pub recovery: Duration,
    /// The name of a cookie with the session's id for load balancers; empty is none.
    pub cookie: String,
    /// Origins whose pages may poll; `*` is any. WebSockets are let in from them and from pages of the gateway's own host.
    pub origins: Vec<String>,
    /// Whether pages may send credentials.
    pub credentials: bool,
    /// Whether clients of revision 3 may poll by JSONP, which every page can: only with any origin and without credentials.
    pub jsonp: bool,
    /// Answers to polls are compressed from so many bytes on; 0 is never.
    pub compress_from: usize,
    /// The browser's client, if it is served.
    pub client_files: Option<Arc<ClientFiles>>,
    /// Events that no backend knows and that go to rooms.
    pub publish: Vec<PublishRule>,
    /// How clients give their tokens, if those are asked for.
    pub login: LoginOptions,
    /// What packets are written with. None: a client of revision 4 shows it by its first message, and one of revision 3
    /// has JSON.
    pub parser: Option<Parser>,
}

/// How clients give their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginOptions {
    /// By the event `authenticate`.
    pub event: bool,
    /// In address and headers.
    pub handshake: bool,
    /// In the payload of CONNECT.
    pub payload: bool,
    /// How long a client has that must log in by an event.
    pub time: Duration,
    /// What becomes of one whose token was no good.
    pub refused: AfterRefusal,
    /// Whether one that has still to log in is delivered to. Its own events are dropped either way.
    pub delivers: bool,
}

/// When a client is disconnected whose `authenticate` was refused; at the end of its time at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRefusal {
    /// When it has confirmed that it has heard so.
    Confirmed,
    /// At once.
    AtOnce,
    /// After so long, or when it has confirmed.
    After(Duration),
}

/// All ways, and the times of npm socketio-jwt.
impl Default for LoginOptions {
    fn default() -> Self {
        Self {
            event: true,
            handshake: true,
            payload: true,
            time: Duration::from_secs(5),
            refused: AfterRefusal::Confirmed,
            delivers: false,
        }
    }
}

/// What packets are written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parser {
    /// Text, with binary in messages of its own.
    Json,
    /// npm `socket.io-msgpack-parser`.
    Msgpack,
}

/// Which events are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishRule {
    /// The event's name.
    pub event: EventName,
    /// The rooms it goes to.
    pub rooms: Vec<RoomName>,
    /// The name under which it goes there.
    pub name: EventName,
}

impl Default for SocketIoOptions {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            polling: true,
            websocket: true,
            revisions: vec![Revision::V3, Revision::V4],
            namespaces: Vec::new(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(45),
            recovery: Duration::ZERO,
            cookie: String::new(),
            origins: Vec::new(),
            credentials: false,
            jsonp: false,
            compress_from: 0,
            client_files: None,
            publish: Vec::new(),
            login: LoginOptions::default(),
            parser: Some(Parser::Json),
        }
    }
}

/// Whether `text` is of `pattern`, in which a star stands for any part.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars() {
        for (pattern, text, expected) in [
            ("/admin", "/admin", true),
            ("/admin", "/admins", false),
            ("/room-*", "/room-", true),
            ("/room-*", "/room-7", true),
            ("/room-*", "/roo", false),
            ("/*/x*y", "/a/xby", true),
            ("/*/x*y", "/a/xb", false),
            ("*", "", true),
            ("/a*a", "/a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
