//! Socket.IO packets as JSON: `TYPE [COUNT "-"] [NAMESPACE ","] [ID] [JSON]` inside an Engine.IO message, and the binary
//! messages that follow one.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use bytes::Bytes;
use polyport_core::{Arg, Args, EventName, Json, Mixed};
use polyport_msgpack::end_of_string;
use serde_json::value::RawValue;

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

/// An argument of a packet with attachments: these stand where the placeholders are.
fn with_parts(text: &str, parts: &[Bytes]) -> Result<Arg, PacketError> {
    let mut texts: Vec<Box<str>> = Vec::new();
    let mut found = Vec::new();
    let mut from = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'{' => match placeholder(bytes, at) {
                Some((num, end)) => {
                    let num = usize::try_from(num).ok();
                    let part = num.and_then(|num| parts.get(num));
                    found.push(part.ok_or(Broken("a placeholder out of range"))?.clone());
                    texts.push(Box::from(&text[from..at]));
                    at = end;
                    from = end;
                }
                None if is_false_placeholder(bytes, at) => {
                    return Err(Broken("a placeholder without a number"));
                }
                None => at += 1,
            },
            _ => at += 1,
        }
    }
    let last = &text[from..];
    match (&*found, last) {
        ([], _) => Json::parse(text)
            .map(Arg::Json)
            .map_err(|_| Unreadable("bad JSON")),
        ([only], "") if texts[0].is_empty() => Ok(Arg::Binary(only.clone())),
        _ => {
            texts.push(Box::from(last));
            Mixed::new(texts, found)
                .map(|mixed| Arg::Mixed(Arc::new(mixed)))
                .map_err(|_| Unreadable("bad JSON"))
        }
    }
}

/// Tokens one after another, with white space between them.
struct Tokens<'a>(&'a [u8], usize);

impl Tokens<'_> {
    fn skip(&mut self) {
        while self.0.get(self.1).is_some_and(u8::is_ascii_whitespace) {
            self.1 += 1;
        }
    }

    fn is(&mut self, token: &str) -> bool {
        self.skip();
        let is_here = self.0[self.1..].starts_with(token.as_bytes());
        self.1 += if is_here { token.len() } else { 0 };
        is_here
    }

    fn number(&mut self) -> Option<u64> {
        self.skip();
        let digits = self.0[self.1..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let text = std::str::from_utf8(&self.0[self.1..self.1 + digits]).ok()?;
        self.1 += digits;
        number(text)
    }

    fn mark(&mut self) -> bool {
        self.is("\"_placeholder\"") && self.is(":") && self.is("true")
    }

    fn num(&mut self) -> Option<u64> {
        let is_key = self.is("\"num\"") && self.is(":");
        is_key.then(|| self.number()).flatten()
    }
}

/// The number of the placeholder that begins at `at`, and where it has ended. Its keys may stand in either order.
fn placeholder(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut tokens = Tokens(bytes, at + 1);
    let num = if tokens.mark() {
        tokens.is(",").then(|| tokens.num()).flatten()
    } else {
        tokens = Tokens(bytes, at + 1);
        let num = tokens.num();
        num.filter(|_| tokens.is(",") && tokens.mark())
    }?;
    tokens.is("}").then_some((num, tokens.1))
}

/// Whether what begins at `at` says that it is a placeholder, which [`placeholder`] has not found it to be.
fn is_false_placeholder(bytes: &[u8], at: usize) -> bool {
    Tokens(bytes, at + 1).mark()
}

// --- writing ----------------------------------------------------------------------------------------------------------

/// The binary messages that follow a packet, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Attachments(pub Vec<Bytes>);

/// Appends `4` and an event. `offset` is one more argument, a string.
pub fn write_event(
    out: &mut String,
    attachments: &mut Attachments,
    namespace: &str,
    id: Option<u64>,
    name: &str,
    args: &[Arg],
    offset: Option<&str>,
) {
    write_head(out, ('2', '5'), namespace, id, args);
    out.push('[');
    out.push_str(Json::string(name).as_str());
    for arg in args {
        out.push(',');
        write_arg(out, attachments, arg);
    }
    if let Some(offset) = offset {
        out.push(',');
        out.push_str(Json::string(offset).as_str());
    }
    out.push(']');
}

/// Appends `4` and an ack.
pub fn write_ack(
    out: &mut String,
    attachments: &mut Attachments,
    namespace: &str,
    id: u64,
    args: &[Arg],
) {
    write_head(out, ('3', '6'), namespace, Some(id), args);
    out.push('[');
    for (position, arg) in args.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_arg(out, attachments, arg);
    }
    out.push(']');
}

/// `40…`: the namespace is open. `sid` is for generation 4 alone; `pid`, the private id, for recovery.
#[must_use]
pub fn write_connect(namespace: &str, sid: Option<&str>, pid: Option<&str>) -> String {
    let mut out = String::from("40");
    write_namespace(&mut out, namespace);
    if let Some(sid) = sid {
        out.push_str("{\"sid\":");
        out.push_str(Json::string(sid).as_str());
        if let Some(pid) = pid {
            out.push_str(",\"pid\":");
            out.push_str(Json::string(pid).as_str());
        }
        out.push('}');
    }
    out
}

/// `41…`: the namespace is over.
#[must_use]
pub fn write_disconnect(namespace: &str) -> String {
    let mut out = String::from("41");
    write_namespace(&mut out, namespace);
    out
}

/// `44…`: the namespace is refused. Generation 3 gets the data if there is any, else the message as a string.
#[must_use]
pub fn write_error(
    revision: Revision,
    namespace: &str,
    message: &str,
    data: Option<&Json>,
) -> String {
    let mut out = String::from("44");
    write_namespace(&mut out, namespace);
    match (revision, data) {
        (Revision::V3, Some(data)) => out.push_str(data.as_str()),
        (Revision::V3, None) => out.push_str(Json::string(message).as_str()),
        (Revision::V4, data) => {
            out.push_str("{\"message\":");
            out.push_str(Json::string(message).as_str());
            if let Some(data) = data {
                out.push_str(",\"data\":");
                out.push_str(data.as_str());
            }
            out.push('}');
        }
    }
    out
}

fn write_namespace(out: &mut String, namespace: &str) {
    if namespace != "/" {
        out.push_str(namespace);
        out.push(',');
    }
}

fn write_head(
    out: &mut String,
    (plain, binary): (char, char),
    namespace: &str,
    id: Option<u64>,
    args: &[Arg],
) {
    let count: usize = args
        .iter()
        .map(|arg| match arg {
            Arg::Json(_) => 0,
            Arg::Binary(_) => 1,
            Arg::Mixed(mixed) => mixed.parts().len(),
        })
        .sum();
    out.push('4');
    if count == 0 {
        out.push(plain);
    } else {
        out.push(binary);
        write!(out, "{count}-").expect("a String takes everything");
    }
    write_namespace(out, namespace);
    if let Some(id) = id {
        write!(out, "{id}").expect("a String takes everything");
    }
}

fn write_arg(out: &mut String, attachments: &mut Attachments, arg: &Arg) {
    let mut part = |out: &mut String, bytes: &Bytes| {
        let num = attachments.0.len();
        write!(out, r#"{{"_placeholder":true,"num":{num}}}"#).expect("a String takes everything");
        attachments.0.push(bytes.clone());
    };
    match arg {
        Arg::Json(json) => out.push_str(json.as_str()),
        Arg::Binary(bytes) => part(out, bytes),
        Arg::Mixed(mixed) => mixed.write(out, part),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: ReadLimits = ReadLimits {
        revision: Revision::V4,
        attachments: 10,
        attachment_bytes: 1000,
    };

    /// A packet in words: kind, namespace, id, name, arguments.
    fn shown(packet: &Packet<'_>) -> String {
        let args: Vec<String> = packet
            .args
            .iter()
            .map(|arg| match arg {
                Arg::Json(json) => json.as_str().to_owned(),
                Arg::Binary(bytes) => format!("<{}>", hex(bytes)),
                Arg::Mixed(mixed) => {
                    let mut text = String::new();
                    mixed.write(&mut text, |text, bytes| {
                        *text += &format!("<{}>", hex(bytes))
                    });
                    text
                }
            })
            .collect();
        let name = packet.name.as_ref().map_or("-", EventName::as_str);
        let id = packet
            .id
            .map_or_else(|| "-".to_owned(), |id| id.to_string());
        let data = packet.data.as_ref().map_or("-", Json::as_str);
        let (kind, namespace) = (packet.kind, packet.namespace);
        let query = packet.query.unwrap_or("-");
        format!(
            "{kind:?} {namespace} {query} {id} {name} {data} {}",
            args.join(" ")
        )
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[track_caller]
    fn check(revision: Revision, text: &str, parts: &[&[u8]], expected: &str) {
        let limits = ReadLimits { revision, ..LIMITS };
        let mut assembler = Assembler::default();
        let read = match assembler.text(text, &limits) {
            Ok(Some(packet)) => Ok(shown(&packet)),
            Err(error) => Err(error),
            Ok(None) => {
                let mut whole = Ok(None);
                for part in parts {
                    whole = assembler.binary(part, &limits);
                }
                match whole {
                    Ok(Some(whole)) => whole.packet(&limits).map(|packet| shown(&packet)),
                    Ok(None) => Ok("more".to_owned()),
                    Err(error) => Err(error),
                }
            }
        };
        let read = read.unwrap_or_else(|error| format!("{error:?}"));
        assert_eq!(read.trim_end(), expected, "{text}");
    }

    #[test]
    fn the_examples_of_the_protocol() {
        let check = |text: &str, expected: &str| check(Revision::V4, text, &[], expected);
        check(
            r#"2["echo","hello",1,{"a":[true,null]}]"#,
            r#"Event / - - echo - "hello" 1 {"a":[true,null]}"#,
        );
        check(
            r#"2/admin,["echo","adm"]"#,
            r#"Event /admin - - echo - "adm""#,
        );
        check(r#"20["ack","x",2]"#, r#"Event / - 0 ack - "x" 2"#);
        check(r#"30["x",2]"#, r#"Ack / - 0 - - "x" 2"#);
        check(
            r#"3/admin,9007199254740992[]"#,
            "Ack /admin - 9007199254740992 - -",
        );
        check("1/admin,", "Disconnect /admin - - - -");
        check("1", "Disconnect / - - - -");
        check(r#"0{"token":"abc"}"#, r#"Connect / - - - {"token":"abc"}"#);
        check(
            r#"0/admin,{"token":"abc"}"#,
            r#"Connect /admin - - - {"token":"abc"}"#,
        );
        check("0/admin", "Connect /admin - - - -");
        check("2[7,1.50]", "Event / - - 7 - 1.50");
        check(r#"2["a\"b", {"x" : 1} ]"#, r#"Event / - - a"b - {"x" : 1}"#);
    }

    #[test]
    fn generation_3_names_namespaces_with_a_query() {
        check(
            Revision::V3,
            "0/admin?token=abc,",
            &[],
            "Connect /admin token=abc - - -",
        );
        check(
            Revision::V3,
            "0/admin?token=abc",
            &[],
            "Connect /admin token=abc - - -",
        );
        check(
            Revision::V4,
            "0/admin?token=abc,",
            &[],
            "Connect /admin?token=abc - - - -",
        );
    }

    #[test]
    fn attachments() {
        let check = |text: &str, parts: &[&[u8]], expected: &str| {
            check(Revision::V4, text, parts, expected);
        };
        check(
            r#"52-["bin",{"_placeholder":true,"num":0},{"nested":[{"_placeholder":true,"num":1}]}]"#,
            &[b"\x00\x01\x02\xfd\xfe\xff", b"hi"],
            r#"Event / - - bin - <000102fdfeff> {"nested":[<6869>]}"#,
        );
        check(
            r#"62-1[{"_placeholder":true,"num":0},{"x":{ "num" : 1 , "_placeholder" : true }}]"#,
            &[b"\x01", b"\x04"],
            r#"Ack / - 1 - - <01> {"x":<04>}"#,
        );
        check(
            r#"51-/a,3["s","{\"_placeholder\":true,\"num\":0}",{"_placeholder":true,"num":0}]"#,
            &[b"\x07"],
            r#"Event /a - 3 s - "{\"_placeholder\":true,\"num\":0}" <07>"#,
        );
        check(r#"50-["none"]"#, &[], "Event / - - none -");
        check(r#"51-["more"]"#, &[], "more");
        check(
            r#"51-["x",{"_placeholder":true,"num":1}]"#,
            &[b""],
            r#"Broken("a placeholder out of range")"#,
        );
        for num in ["-1", "1.5", "\"0\"", "null"] {
            let text = format!(r#"51-["x",{{"_placeholder":true,"num":{num}}}]"#);
            check(&text, &[b""], r#"Broken("a placeholder without a number")"#);
        }
        check(r#"511-["x"]"#, &[], r#"Broken("too many attachments")"#);
        check(r#"5["x"]"#, &[], r#"Broken("no number of attachments")"#);
        check(r#"5-["x"]"#, &[], r#"Broken("no number of attachments")"#);
        check(
            r#"51-["x"]"#,
            &[&[0; 1001]],
            r#"Broken("attachments too large")"#,
        );
    }

    #[test]
    fn what_is_no_packet() {
        let check = |text: &str, expected: &str| check(Revision::V4, text, &[], expected);
        for text in ["", "7", "abc", "é"] {
            check(text, r#"Unreadable("unknown packet type")"#);
        }
        check("2[\"a\"", r#"Unreadable("bad JSON")"#);
        check("2[\"a\"]x", r#"Unreadable("bad JSON")"#);
        check("2{}", r#"Broken("a payload that is no array")"#);
        check("2", r#"Unreadable("a payload that is no array")"#);
        check("2[]", r#"Broken("an event without a name")"#);
        check("2[null]", r#"Broken("an event's name is a string")"#);
        check("2[{\"a\":1}]", r#"Broken("an event's name is a string")"#);
        for name in RESERVED {
            check(&format!("2[\"{name}\"]"), "Reserved");
        }
        check("3[]", r#"Broken("an ACK without id")"#);
        check(
            "29007199254740993[\"a\"]",
            r#"Broken("ack id out of range")"#,
        );
        check(
            "299999999999999999999[\"a\"]",
            r#"Broken("ack id out of range")"#,
        );
        check("0[1]", r#"Broken("a CONNECT payload that is no object")"#);
        check("0{", r#"Unreadable("bad JSON")"#);
        check("1{}", r#"Broken("data behind a DISCONNECT")"#);
    }

    #[test]
    fn attachments_are_waited_for() {
        let mut assembler = Assembler::default();
        assert_eq!(
            assembler.binary(b"x", &LIMITS).unwrap_err(),
            Broken("binary that was not announced")
        );
        assert!(assembler.text(r#"51-["x"]"#, &LIMITS).unwrap().is_none());
        assert_eq!(
            assembler.text(r#"2["x"]"#, &LIMITS).unwrap_err(),
            Broken("text while attachments are missing")
        );
    }

    #[test]
    fn what_the_server_says_of_namespaces() {
        assert_eq!(write_connect("/", Some("abc"), None), r#"40{"sid":"abc"}"#);
        assert_eq!(
            write_connect("/admin", Some("abc"), Some("p")),
            r#"40/admin,{"sid":"abc","pid":"p"}"#
        );
        assert_eq!(write_connect("/admin", None, None), "40/admin,");
        assert_eq!(write_disconnect("/"), "41");
        assert_eq!(write_disconnect("/admin"), "41/admin,");
        let data = Json::parse(r#"{"content":"later"}"#).unwrap();
        assert_eq!(
            write_error(Revision::V4, "/private", "no", Some(&data)),
            r#"44/private,{"message":"no","data":{"content":"later"}}"#
        );
        assert_eq!(
            write_error(Revision::V3, "/private", "no", Some(&data)),
            r#"44/private,{"content":"later"}"#
        );
        assert_eq!(write_error(Revision::V3, "/", "boom", None), r#"44"boom""#);
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i32>().prop_map(|number| number.to_string()),
            ".*".prop_map(|text| Json::string(&text).as_str().to_owned()),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3)
                    .prop_map(|each| format!("[{}]", each.join(","))),
                (".*", inner).prop_map(|(key, value)| format!(
                    "{{{}:{value}}}",
                    Json::string(&key).as_str()
                )),
            ]
        })
    }

    pub(in crate::codec) fn arg() -> impl Strategy<Value = Arg> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..9).prop_map(Bytes::from);
        prop_oneof![
            json().prop_map(|text| Arg::Json(Json::parse(&text).unwrap())),
            bytes().prop_map(Arg::Binary),
            (json(), bytes(), bytes()).prop_map(|(value, one, two)| {
                let texts = [
                    format!("{{\"a\":[{value},"),
                    ",".to_owned(),
                    "]}".to_owned(),
                ];
                let texts = texts.into_iter().map(Into::into).collect();
                Arg::Mixed(Arc::new(Mixed::new(texts, vec![one, two]).unwrap()))
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in "[a-z]{1,9}x",
            namespace in "(/[a-z?]{1,5})?",
            id in prop::option::of(0..=MAX_ID),
            args in prop::collection::vec(arg(), 0..4),
        ) {
            let namespace = if namespace.is_empty() { "/" } else { &namespace };
            let (mut text, mut attachments) = (String::new(), Attachments::default());
            write_event(&mut text, &mut attachments, namespace, id, &name, &args, None);
            let mut assembler = Assembler::default();
            let whole;
            let packet = match assembler.text(&text[1..], &LIMITS).unwrap() {
                Some(packet) => packet,
                None => {
                    let mut last = None;
                    for part in &attachments.0 {
                        last = assembler.binary(part, &LIMITS).unwrap();
                    }
                    whole = last.unwrap();
                    whole.packet(&LIMITS).unwrap()
                }
            };
            prop_assert_eq!(packet.kind, Kind::Event);
            prop_assert_eq!(packet.namespace, namespace);
            prop_assert_eq!(packet.id, id);
            prop_assert_eq!(packet.name.as_ref().unwrap().as_str(), &name);
            prop_assert_eq!(&packet.args[..], &args[..]);
        }

        #[test]
        fn no_text_is_too_much(text in "[0-7][0-9/,\\[\\]{}\":a-z_-]{0,40}|.*", part in prop::collection::vec(any::<u8>(), 0..9)) {
            let mut assembler = Assembler::default();
            let _ = assembler.text(&text, &LIMITS).map(|packet| packet.map(|packet| packet.args.len()));
            if let Ok(Some(whole)) = assembler.binary(&part, &LIMITS) {
                let _ = whole.packet(&LIMITS);
            }
        }
    }
}
