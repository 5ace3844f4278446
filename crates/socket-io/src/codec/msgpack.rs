//! Socket.IO packets as npm `socket.io-msgpack-parser` has them: 3.0.2, of generation 4, writes each as one binary message,
//! a msgpack map with the attachments inside. 2.2.1, of generation 3, writes some as text instead ([`text`]).

use std::sync::Arc;

use bytes::Bytes;
use polyport_core::{Arg, Args, EventName, Json, Mixed};

use super::{
    Revision,
    packet::{
        Kind, MAX_ID, Packet,
        PacketError::{self, Broken},
        ReadLimits, checked_name,
    },
};

mod json;
mod number;
mod reader;
mod text;
mod writer;

pub use text::{read_msgpack_text, write_msgpack_text};

use json::{GAP, parts, push_string, with_gaps};
use reader::{Reader, Token};
use writer::Writer;

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
    let Some(Token::Text(namespace)) = members.namespace else {
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
        let mut reader = Reader::new(data);
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
            match key {
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
    let mut values = Values {
        limits,
        attachments: 0,
        bytes: 0,
    };
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
        Token::Text(name) => checked_name(name),
        Token::Unsigned(number) => checked_name(&number.to_string()),
        Token::Signed(number) => checked_name(&number.to_string()),
        Token::Float(number) => checked_name(&number::printed(number)),
        _ => Err(Broken("an event's name is a string")),
    }
}

/// Makes arguments of the values of one packet.
struct Values<'a> {
    limits: &'a ReadLimits,
    /// How many there were so far, and of how many bytes.
    attachments: usize,
    bytes: usize,
}

/// An array or a map that is being written as JSON.
struct Open {
    is_map: bool,
    /// How many elements or members are missing.
    missing: usize,
    is_empty: bool,
}

impl Values<'_> {
    /// The next value, inside of so many arrays. Counts in the bytes are only counted down, so that one that lies costs
    /// nothing.
    fn read(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Arg, PacketError> {
        let mut text = String::new();
        let mut parts = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        loop {
            match reader.token()? {
                Token::Undefined | Token::Nil => text.push_str("null"),
                Token::Bool(value) => text.push_str(if value { "true" } else { "false" }),
                Token::Unsigned(number) => text.push_str(&number.to_string()),
                Token::Signed(number) => text.push_str(&number.to_string()),
                Token::Float(number) => text.push_str(&number::printed(number)),
                Token::Date(millis) => text.push_str(&number::date(millis)),
                Token::Text(value) => push_string(&mut text, value),
                Token::Binary(bytes) => {
                    self.count(bytes)?;
                    text.push(GAP);
                    parts.push(Bytes::copy_from_slice(bytes));
                }
                token @ (Token::Array(missing) | Token::Map(missing)) => {
                    if depth + open.len() >= DEPTH {
                        return Err(Broken("a payload that nests too deep"));
                    }
                    let is_map = matches!(token, Token::Map(_));
                    text.push(if is_map { '{' } else { '[' });
                    open.push(Open {
                        is_map,
                        missing,
                        is_empty: true,
                    });
                }
            }
            if !next_place(reader, &mut text, &mut open)? {
                return arg_of(&text, parts);
            }
        }
    }

    fn count(&mut self, attachment: &[u8]) -> Result<(), PacketError> {
        self.attachments += 1;
        self.bytes = self.bytes.saturating_add(attachment.len());
        if self.attachments > self.limits.attachments {
            return Err(Broken("too many attachments"));
        }
        if self.bytes > self.limits.attachment_bytes {
            return Err(Broken("attachments too large"));
        }
        Ok(())
    }
}

/// Writes what stands between two values. Returns whether there is another one.
fn next_place(
    reader: &mut Reader<'_>,
    text: &mut String,
    open: &mut Vec<Open>,
) -> Result<bool, PacketError> {
    while let Some(innermost) = open.last_mut() {
        if innermost.missing == 0 {
            text.push(if innermost.is_map { '}' } else { ']' });
            open.pop();
            continue;
        }
        innermost.missing -= 1;
        let mut key = None;
        if innermost.is_map {
            let Token::Text(name) = reader.token()? else {
                return Err(NO_KEY);
            };
            if reader.is_undefined() {
                reader.skip()?;
                continue;
            }
            key = Some(name);
        }
        if !innermost.is_empty {
            text.push(',');
        }
        innermost.is_empty = false;
        if let Some(key) = key {
            push_string(text, key);
            text.push(':');
        }
        return Ok(true);
    }
    Ok(false)
}

/// The argument that this text with gaps is.
fn arg_of(text: &str, mut parts: Vec<Bytes>) -> Result<Arg, PacketError> {
    const NO_JSON: PacketError = Broken("a payload that JSON does not have");
    if parts.is_empty() {
        return Json::parse(text).map(Arg::Json).map_err(|_| NO_JSON);
    }
    if text.len() == GAP.len_utf8()
        && let Some(only) = parts.pop()
    {
        return Ok(Arg::Binary(only));
    }
    Mixed::new(text.split(GAP).map(Box::from).collect(), parts)
        .map(|mixed| Arg::Mixed(Arc::new(mixed)))
        .map_err(|_| NO_JSON)
}

// --- writing ----------------------------------------------------------------------------------------------------------

/// An event. `offset` is one more argument, a string.
#[must_use]
pub fn write_msgpack_event(
    namespace: &str,
    id: Option<u64>,
    name: &str,
    args: &[Arg],
    offset: Option<&str>,
) -> Vec<u8> {
    let mut out = Writer::default();
    out.map(if id.is_some() { 4 } else { 3 });
    out.kind(Kind::Event);
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
    out.namespace(namespace);
    out.finish()
}

/// What every packet of a namespace ends with: its last member.
pub(crate) fn msgpack_tail(namespace: &str) -> Vec<u8> {
    let mut out = Writer::default();
    out.namespace(namespace);
    out.finish()
}

/// An ack.
#[must_use]
pub fn write_msgpack_ack(namespace: &str, id: u64, args: &[Arg]) -> Vec<u8> {
    let mut out = Writer::default();
    out.map(4);
    out.text("id");
    out.unsigned(id);
    out.kind(Kind::Ack);
    out.text("data");
    out.array(args.len());
    push_args(&mut out, args);
    out.namespace(namespace);
    out.finish()
}

fn push_args(out: &mut Writer, args: &[Arg]) {
    for arg in args {
        out.json(&with_gaps(arg), parts(arg));
    }
}

/// The namespace is open. `pid`, the private id for recovery, is there even when it has no value.
#[must_use]
pub fn write_msgpack_connect(namespace: &str, sid: Option<&str>, pid: Option<&str>) -> Vec<u8> {
    let mut out = Writer::default();
    out.map(3);
    out.kind(Kind::Connect);
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
    out.namespace(namespace);
    out.finish()
}

/// The namespace is over.
#[must_use]
pub fn write_msgpack_disconnect(namespace: &str) -> Vec<u8> {
    let mut out = Writer::default();
    out.map(2);
    out.kind(Kind::Disconnect);
    out.namespace(namespace);
    out.finish()
}

/// The namespace is refused, in the form of generation 4.
#[must_use]
pub fn write_msgpack_error(namespace: &str, message: &str, data: Option<&Json>) -> Vec<u8> {
    let mut out = Writer::default();
    out.map(3);
    out.kind(Kind::ConnectError);
    out.namespace(namespace);
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
