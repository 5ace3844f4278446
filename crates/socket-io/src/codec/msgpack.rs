//! Socket.IO packets as npm `socket.io-msgpack-parser` has them: 3.0.2, of generation 4, writes each as one binary message,
//! a msgpack map with the attachments inside. 2.2.1, of generation 3, writes some as text instead ([`text`]).

use std::borrow::Cow;

use polyport_core::{Arg, Args, EventName, Json};
use polyport_msgpack::{Dialect, Error, Form, Limits, Reader, Token, Values, Writer, printed};

use super::{
    Revision,
    packet::{
        Kind, MAX_ID, Packet,
        PacketError::{self, Broken},
        ReadLimits, checked_name,
    },
};

mod text;

pub use text::{read_msgpack_text, write_msgpack_text};

/// How deep a payload may nest; the array around the arguments counts.
const DEPTH: usize = 128;

/// Reads a packet from a binary message. JavaScript's `undefined` is `null`, except that members of objects with it are left
/// out; its dates are the strings that JSON has for them. Attachments are what stands as binary in the payload.
///
/// # Errors
/// [`PacketError::Broken`] when the bytes are no such packet, or beyond a limit; [`PacketError::Reserved`].
pub fn read_msgpack<'a>(data: &'a [u8], limits: &ReadLimits) -> Result<Packet<'a>, PacketError> {
    let members = Members::read(data)?;
    let kind = match (members.kind, limits.revision) {
        (Some(Token::Unsigned(0)), _) => Kind::Connect,
        (Some(Token::Unsigned(1)), _) => Kind::Disconnect,
        (Some(Token::Unsigned(2)), _) => Kind::Event,
        (Some(Token::Unsigned(3)), _) => Kind::Ack,
        (Some(Token::Unsigned(4)), _) => Kind::ConnectError,
        // Clients of 2.x still count the binary types, though they need them no more.
        (Some(Token::Unsigned(5)), Revision::V3) => Kind::Event,
        (Some(Token::Unsigned(6)), Revision::V3) => Kind::Ack,
        _ => return Err(Broken("unknown packet type")),
    };
    let Some(Token::Text(Cow::Borrowed(namespace))) = members.namespace else {
        return Err(NO_NAMESPACE);
    };
    let mut packet = packet_of(kind, split_query(namespace, limits.revision)?);
    packet.id = match members.id {
        None | Some(Token::Undefined | Token::Nil) => None,
        Some(Token::Unsigned(id)) if id <= MAX_ID => Some(id),
        Some(_) => return Err(Broken("ack id out of range")),
    };
    read_payload(&mut packet, members.payload, limits)?;
    Ok(packet)
}

/// What stands in a packet's map; of a key that comes twice the last, as in JavaScript.
#[derive(Default)]
struct Members<'a> {
    kind: Option<Token<'a>>,
    namespace: Option<Token<'a>>,
    id: Option<Token<'a>>,
    payload: Option<Reader<'a>>,
}

impl<'a> Members<'a> {
    fn read(data: &'a [u8]) -> Result<Self, PacketError> {
        let mut reader = Reader::new(data, Dialect::Notepack);
        let Token::Map(count) = reader.token()? else {
            return Err(Broken("a packet that is no map"));
        };
        let mut members = Self::default();
        for _ in 0..count {
            let Token::Text(key) = reader.token()? else {
                return Err(NO_KEY);
            };
            let mut value = reader;
            reader.skip()?;
            match &*key {
                "type" => members.kind = Some(value.token()?),
                "nsp" => members.namespace = Some(value.token()?),
                "id" => members.id = Some(value.token()?),
                "data" => members.payload = Some(value),
                // Such as the client's own options.
                _ => {}
            }
        }
        if !reader.is_empty() {
            return Err(Broken("bytes behind a packet"));
        }
        Ok(members)
    }
}

const NO_KEY: PacketError = Broken("a key that is no text");
const NO_NAMESPACE: PacketError = Broken("a packet without a namespace");
const NO_LIST: PacketError = Broken("a payload that is no array");

/// A namespace, and in generation 3 the query behind it.
fn split_query(namespace: &str, revision: Revision) -> Result<(&str, Option<&str>), PacketError> {
    if !namespace.starts_with('/') {
        return Err(NO_NAMESPACE);
    }
    Ok(match namespace.split_once('?') {
        Some((namespace, query)) if revision == Revision::V3 => (namespace, Some(query)),
        _ => (namespace, None),
    })
}

/// A packet with nothing in it.
fn packet_of<'a>(kind: Kind, (namespace, query): (&'a str, Option<&'a str>)) -> Packet<'a> {
    Packet {
        kind,
        namespace,
        query,
        id: None,
        name: None,
        args: Args::new(),
        data: None,
    }
}

fn read_payload(
    packet: &mut Packet<'_>,
    payload: Option<Reader<'_>>,
    limits: &ReadLimits,
) -> Result<(), PacketError> {
    let mut values = Values::new(Limits {
        depth: DEPTH,
        binaries: limits.attachments,
        binary_bytes: limits.attachment_bytes,
    });
    match packet.kind {
        Kind::Event | Kind::Ack => {
            let mut reader = payload.ok_or(NO_LIST)?;
            let Token::Array(mut count) = reader.token()? else {
                return Err(NO_LIST);
            };
            if packet.kind == Kind::Event {
                count = count.checked_sub(1).ok_or(NO_NAME)?;
                packet.name = Some(event_name(reader.token()?)?);
            } else if packet.id.is_none() {
                return Err(Broken("an ACK without id"));
            }
            for _ in 0..count {
                packet.args.push(values.read(&mut reader, 1)?);
            }
        }
        // Python's msgpack has `nil` where JavaScript has nothing.
        Kind::Connect | Kind::Disconnect | Kind::ConnectError => {
            if let Some(mut reader) = payload.filter(|payload| !payload.is_nothing()) {
                let Arg::Json(data) = values.read(&mut reader, 0)? else {
                    return Err(Broken("binary outside of events and acks"));
                };
                packet.data = Some(data);
            }
        }
    }
    let is_object = |data: &Json| data.as_str().starts_with('{');
    match (packet.kind, limits.revision, &packet.data) {
        (Kind::Disconnect, _, Some(_)) => Err(Broken("data behind a DISCONNECT")),
        (Kind::Connect, Revision::V4, Some(data)) if !is_object(data) => {
            Err(Broken("a CONNECT payload that is no object"))
        }
        _ => Ok(()),
    }
}

const NO_NAME: PacketError = Broken("an event without a name");

fn event_name(token: Token<'_>) -> Result<EventName, PacketError> {
    match token {
        Token::Text(name) => checked_name(&name),
        Token::Unsigned(number) => checked_name(&number.to_string()),
        Token::Signed(number) => checked_name(&number.to_string()),
        Token::Float(number) => checked_name(&printed(number)),
        _ => Err(Broken("an event's name is a string")),
    }
}

impl From<Error> for PacketError {
    fn from(error: Error) -> Self {
        Broken(match error {
            Error::Malformed(reason) => reason,
            Error::TooDeep => "a payload that nests too deep",
            Error::TooMany => "too many attachments",
            Error::TooLarge => "attachments too large",
        })
    }
}

// --- writing ----------------------------------------------------------------------------------------------------------

/// The member `type`.
fn push_kind(out: &mut Writer, kind: Kind) {
    out.text("type");
    out.unsigned(kind.digit().into());
}

/// The member `nsp`.
fn push_namespace(out: &mut Writer, namespace: &str) {
    out.text("nsp");
    out.text(namespace);
}

/// An event. `offset` is one more argument, a string.
#[must_use]
pub fn write_msgpack_event(
    namespace: &str,
    id: Option<u64>,
    name: &str,
    args: &[Arg],
    offset: Option<&str>,
) -> Vec<u8> {
    let mut out = Writer::new(Form::Notepack);
    out.map(if id.is_some() { 4 } else { 3 });
    push_kind(&mut out, Kind::Event);
    out.text("data");
    out.array(1 + args.len() + usize::from(offset.is_some()));
    out.text(name);
    push_args(&mut out, args);
    if let Some(offset) = offset {
        out.text(offset);
    }
    if let Some(id) = id {
        out.text("id");
        out.unsigned(id);
    }
    push_namespace(&mut out, namespace);
    out.finish()
}

/// What every packet of a namespace ends with: its last member.
pub(crate) fn msgpack_tail(namespace: &str) -> Vec<u8> {
    let mut out = Writer::new(Form::Notepack);
    push_namespace(&mut out, namespace);
    out.finish()
}

/// An ack.
#[must_use]
pub fn write_msgpack_ack(namespace: &str, id: u64, args: &[Arg]) -> Vec<u8> {
    let mut out = Writer::new(Form::Notepack);
    out.map(4);
    out.text("id");
    out.unsigned(id);
    push_kind(&mut out, Kind::Ack);
    out.text("data");
    out.array(args.len());
    push_args(&mut out, args);
    push_namespace(&mut out, namespace);
    out.finish()
}

fn push_args(out: &mut Writer, args: &[Arg]) {
    for arg in args {
        out.arg(arg);
    }
}

/// The namespace is open. `pid`, the private id for recovery, is there even when it has no value.
#[must_use]
pub fn write_msgpack_connect(namespace: &str, sid: Option<&str>, pid: Option<&str>) -> Vec<u8> {
    let mut out = Writer::new(Form::Notepack);
    out.map(3);
    push_kind(&mut out, Kind::Connect);
    out.text("data");
    match sid {
        None => out.undefined(),
        Some(sid) => {
            out.map(2);
            out.text("sid");
            out.text(sid);
            out.text("pid");
            match pid {
                None => out.undefined(),
                Some(pid) => out.text(pid),
            }
        }
    }
    push_namespace(&mut out, namespace);
    out.finish()
}

/// The namespace is over.
#[must_use]
pub fn write_msgpack_disconnect(namespace: &str) -> Vec<u8> {
    let mut out = Writer::new(Form::Notepack);
    out.map(2);
    push_kind(&mut out, Kind::Disconnect);
    push_namespace(&mut out, namespace);
    out.finish()
}

/// The namespace is refused, in the form of generation 4.
#[must_use]
pub fn write_msgpack_error(namespace: &str, message: &str, data: Option<&Json>) -> Vec<u8> {
    let mut out = Writer::new(Form::Notepack);
    out.map(3);
    push_kind(&mut out, Kind::ConnectError);
    push_namespace(&mut out, namespace);
    out.text("data");
    out.map(1 + usize::from(data.is_some()));
    out.text("message");
    out.text(message);
    if let Some(data) = data {
        out.text("data");
        out.json(data.as_str(), &[]);
    }
    out.finish()
}

#[cfg(test)]
mod tests;
