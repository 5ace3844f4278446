//! Socket.IO packets as JSON: `TYPE [COUNT "-"] [NAMESPACE ","] [ID] [JSON]` inside an Engine.IO message, and the binary
//! messages that follow one.

mod placeholders;
#[cfg(test)]
pub(super) mod tests;
mod writer;

use std::borrow::Cow;

use bytes::Bytes;
use polyport_core::{Arg, Args, EventName, Json};
use serde_json::value::RawValue;

use self::placeholders::with_parts;
pub use self::writer::{
    Attachments, write_ack, write_connect, write_disconnect, write_error, write_event,
};
use super::Revision;

/// The largest ack id: what a double holds exactly.
pub(super) const MAX_ID: u64 = 1 << 53;

/// Names of the client's own occurrences, which no packet may carry (`RESERVED_EVENTS` of socket.io-parser 4.2).
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// Whether an event of this name would set off the client's own handlers.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// What is wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// No packet at all: an unknown type, or bad JSON.
    #[error("{0}")]
    Unreadable(&'static str),
    /// A packet against the rules.
    #[error("{0}")]
    Broken(&'static str),
    /// An event with a name of the client's own.
    #[error("a reserved event name")]
    Reserved,
}

use PacketError::{Broken, Unreadable};

/// The type of a packet; the binary types are told by their arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 0: a namespace is wanted, or open.
    Connect,
    /// 1: a namespace is left.
    Disconnect,
    /// 2 and 5.
    Event,
    /// 3 and 6.
    Ack,
    /// 4: a namespace is refused.
    ConnectError,
}

impl Kind {
    /// Its number, without regard to binary.
    pub(super) fn digit(self) -> u8 {
        match self {
            Self::Connect => 0,
            Self::Disconnect => 1,
            Self::Event => 2,
            Self::Ack => 3,
            Self::ConnectError => 4,
        }
    }
}

/// A packet, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its type.
    pub kind: Kind,
    /// `/` if none is named.
    pub namespace: &'a str,
    /// What stands behind `?` in the namespace of a CONNECT of generation 3.
    pub query: Option<&'a str>,
    /// The number of the ack that it wants, or is.
    pub id: Option<u64>,
    /// The name of an event.
    pub name: Option<EventName>,
    /// The arguments of an event, without its name, or of an ack.
    pub args: Args,
    /// What CONNECT and CONNECT_ERROR carry.
    pub data: Option<Json>,
}

/// What a text can be read with.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// Generation 3 names namespaces with a query.
    pub revision: Revision,
    /// Most attachments of a packet.
    pub attachments: usize,
    /// Most bytes of all of them.
    pub attachment_bytes: usize,
}

/// The state of a connection between a packet with attachments and the last of these. No memory while there is none.
#[derive(Debug, Default)]
pub struct Assembler(Option<Box<Whole>>);

/// A packet with attachments.
#[derive(Debug)]
pub struct Whole {
    text: String,
    expected: usize,
    parts: Vec<Bytes>,
    bytes: usize,
}

impl Assembler {
    /// Whether attachments are missing.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.is_some()
    }

    /// Reads the message that holds a packet, without its Engine.IO type; nothing if attachments follow.
    ///
    /// # Errors
    /// [`PacketError`].
    pub fn text<'a>(
        &mut self,
        text: &'a str,
        limits: &ReadLimits,
    ) -> Result<Option<Packet<'a>>, PacketError> {
        if self.is_waiting() {
            return Err(Broken("text while attachments are missing"));
        }
        let head = Head::read(text)?;
        if head.attachments == 0 {
            return head.packet(limits, &[]).map(Some);
        }
        if head.attachments > limits.attachments {
            return Err(Broken("too many attachments"));
        }
        self.0 = Some(Box::new(Whole {
            text: text.to_owned(),
            expected: head.attachments,
            parts: Vec::new(),
            bytes: 0,
        }));
        Ok(None)
    }

    /// Takes an attachment; the packet if that was the last.
    ///
    /// # Errors
    /// [`PacketError::Broken`] when none is expected, or all together are too large.
    pub fn binary(
        &mut self,
        data: &[u8],
        limits: &ReadLimits,
    ) -> Result<Option<Box<Whole>>, PacketError> {
        let Some(whole) = &mut self.0 else {
            return Err(Broken("binary that was not announced"));
        };
        whole.bytes += data.len();
        if whole.bytes > limits.attachment_bytes {
            return Err(Broken("attachments too large"));
        }
        whole.parts.push(Bytes::copy_from_slice(data));
        let is_whole = whole.parts.len() == whole.expected;
        Ok(if is_whole { self.0.take() } else { None })
    }
}

impl Whole {
    /// The packet.
    ///
    /// # Errors
    /// [`PacketError`].
    pub fn packet(&self, limits: &ReadLimits) -> Result<Packet<'_>, PacketError> {
        Head::read(&self.text)?.packet(limits, &self.parts)
    }
}

/// A packet's text, taken apart as far as its JSON.
struct Head<'a> {
    kind: Kind,
    is_binary: bool,
    attachments: usize,
    namespace: &'a str,
    id: Option<u64>,
    json: &'a str,
}

impl<'a> Head<'a> {
    fn read(text: &'a str) -> Result<Self, PacketError> {
        let (kind, is_binary) = match text.as_bytes().first() {
            Some(b'0') => (Kind::Connect, false),
            Some(b'1') => (Kind::Disconnect, false),
            Some(b'2') => (Kind::Event, false),
            Some(b'3') => (Kind::Ack, false),
            Some(b'4') => (Kind::ConnectError, false),
            Some(b'5') => (Kind::Event, true),
            Some(b'6') => (Kind::Ack, true),
            _ => return Err(Unreadable("unknown packet type")),
        };
        let mut rest = &text[1..];
        let mut attachments = 0;
        if is_binary {
            let (count, behind) = rest
                .split_once('-')
                .ok_or(Broken("no number of attachments"))?;
            attachments = number(count).ok_or(Broken("no number of attachments"))?;
            rest = behind;
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, json) = rest.split_at(digits);
        let id = match id {
            "" => None,
            id => {
                let id = number(id).filter(|id| *id <= MAX_ID);
                Some(id.ok_or(Broken("ack id out of range"))?)
            }
        };
        Ok(Self {
            kind,
            is_binary,
            attachments: usize::try_from(attachments).unwrap_or(usize::MAX),
            namespace,
            id,
            json,
        })
    }

    fn packet(self, limits: &ReadLimits, parts: &[Bytes]) -> Result<Packet<'a>, PacketError> {
        let (mut namespace, mut query) = (self.namespace, None);
        if limits.revision == Revision::V3
            && let Some((name, behind)) = namespace.split_once('?')
        {
            (namespace, query) = (name, Some(behind));
        }
        let mut packet = Packet {
            kind: self.kind,
            namespace,
            query,
            id: self.id,
            name: None,
            args: Args::new(),
            data: None,
        };
        match self.kind {
            Kind::Disconnect if self.json.is_empty() => {}
            Kind::Disconnect => return Err(Broken("data behind a DISCONNECT")),
            Kind::Connect | Kind::ConnectError => {
                if !self.json.is_empty() {
                    let data = Json::parse(self.json).map_err(|_| Unreadable("bad JSON"))?;
                    let is_object = data.as_str().starts_with('{');
                    if limits.revision == Revision::V4 && self.kind == Kind::Connect && !is_object {
                        return Err(Broken("a CONNECT payload that is no object"));
                    }
                    packet.data = Some(data);
                }
            }
            Kind::Event | Kind::Ack => {
                if !self.json.trim_start().starts_with('[') {
                    let is_json = Json::parse(self.json).is_ok();
                    let text = "a payload that is no array";
                    return Err(if is_json {
                        Broken(text)
                    } else {
                        Unreadable(text)
                    });
                }
                let elements: Vec<&RawValue> =
                    serde_json::from_str(self.json).map_err(|_| Unreadable("bad JSON"))?;
                let mut elements = elements.into_iter();
                if self.kind == Kind::Event {
                    packet.name = Some(event_name(elements.next())?);
                } else if self.id.is_none() {
                    return Err(Broken("an ACK without id"));
                }
                packet.args = elements
                    .map(|element| {
                        if self.is_binary {
                            with_parts(element.get(), parts)
                        } else {
                            Ok(Arg::Json(Json::from(element)))
                        }
                    })
                    .collect::<Result<_, _>>()?;
            }
        }
        Ok(packet)
    }
}

/// Digits as a number; nothing if there are none, or too many.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

fn event_name(element: Option<&RawValue>) -> Result<EventName, PacketError> {
    let text = element.ok_or(Broken("an event without a name"))?.get();
    let name: Cow<'_, str> = match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str(text).map_err(|_| Unreadable("bad JSON"))?,
        Some(b'-' | b'0'..=b'9') => Cow::Borrowed(text),
        _ => return Err(Broken("an event's name is a string")),
    };
    checked_name(&name)
}

/// The name of an event, unless no packet may carry it.
pub(super) fn checked_name(name: &str) -> Result<EventName, PacketError> {
    if is_reserved(name) {
        return Err(PacketError::Reserved);
    }
    EventName::new(name).map_err(|_| Broken("an event's name is empty or too long"))
}
