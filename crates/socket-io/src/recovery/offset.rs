//! Offsets: what a client that comes back calls the last event it has got. An event that wants no ack carries its own as
//! one more argument, behind all others.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use polyport_core::Millis;

use crate::codec::msgpack_tail;

const RADIX: u32 = 36;

/// The longest offset there is: 64 bits in base 36.
const LONGEST: usize = 13;

/// The place of an event among those of its namespace; on the wire in base 36.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset(u64);

impl Offset {
    /// The offset that a client names; nothing when it cannot be one.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let is_short = text.len() <= LONGEST;
        let is_plain = text.bytes().all(|it| it.is_ascii_alphanumeric());
        let number = u64::from_str_radix(text, RADIX).ok();
        number.filter(|_| is_short && is_plain).map(Self)
    }

    /// That of an event as the dialect of `namespace` has written it. Everything else has none, also an event that wants an
    /// ack, whatever its last argument is.
    pub(crate) fn of(frame: &[u8], namespace: &str) -> Option<Self> {
        let packet = match payload_of(frame)? {
            (TEXT, text) => text.strip_prefix(b"4")?,
            (_, packet) => return Self::of_msgpack(packet, namespace),
        };
        let rest = match packet.split_first()? {
            (b'2', rest) => rest,
            (b'5', rest) => {
                let mark = rest.iter().position(|byte| *byte == b'-')?;
                rest.get(mark + 1..)?
            }
            _ => return None,
        };
        let rest = if namespace == "/" {
            rest
        } else {
            rest.strip_prefix(namespace.as_bytes())?
                .strip_prefix(b",")?
        };
        let args = rest.strip_prefix(b"[")?.strip_suffix(b"\"]")?;
        let quote = args.iter().rposition(|byte| *byte == b'"')?;
        Self::read(std::str::from_utf8(args.get(quote + 1..)?).ok()?)
    }

    /// The last string in front of the last member, `nsp`.
    fn of_msgpack(packet: &[u8], namespace: &str) -> Option<Self> {
        let rest = packet.strip_prefix(b"\x83\xa4type\x02\xa4data")?;
        let args = rest.strip_suffix(&*msgpack_tail(namespace))?;
        let length = args.iter().rev().take_while(|it| it.is_ascii()).count();
        let (before, text) = args.split_at(args.len() - length);
        let is_string = *before.last()? == 0xa0 + u8::try_from(length).ok()?;
        Self::read(std::str::from_utf8(text).ok()?).filter(|_| is_string)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; LONGEST];
        let mut first = LONGEST;
        let mut rest = self.0;
        while first > 0 && (rest > 0 || first == LONGEST) {
            first -= 1;
            digits[first] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
        }
        f.write_str(std::str::from_utf8(&digits[first..]).unwrap_or_default())
    }
}

/// The first byte of a text frame and of a binary one.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// The kind and the payload of the WebSocket frame that stands first.
fn payload_of(frame: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, rest) = frame.split_first()?;
    if ![TEXT, BINARY].contains(kind) {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(*short), rest),
    };
    let payload = rest.get(..usize::try_from(length).ok()?)?;
    Some((*kind, payload))
}

/// Gives the events of one namespace their offsets.
#[derive(Debug)]
pub(crate) struct Offsets(AtomicU64);

impl Offsets {
    /// They begin with the time in microseconds: clients keep an offset beyond the session that it is of, so that none may
    /// come again, not even in another process.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(Millis::now().0.saturating_mul(1000)))
    }

    pub(crate) fn next(&self) -> Offset {
        Offset(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use polyport_core::{Arg, Args, Dialect, Event, EventName, Json};
    use polyport_net::ws;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        codec::Revision,
        dialect::{Form, SocketIoDialect},
        options::Parser,
    };

    fn dialect(namespace: &str, parser: Parser) -> SocketIoDialect {
        SocketIoDialect {
            namespace: namespace.into(),
            form: Form::new(Revision::V4, parser),
            offsets: Some(Offsets(AtomicU64::new(71))),
        }
    }

    fn event(args: impl IntoIterator<Item = Arg>) -> Event {
        let mut event = Event::new(EventName::new("news").unwrap(), Json::NULL);
        event.args = args.into_iter().collect();
        event
    }

    #[test]
    fn an_event_carries_its_offset_behind_all_else() {
        let json = |text: &str| Arg::Json(Json::parse(text).unwrap());
        let binary = || Arg::Binary(Bytes::from_static(b"\"]"));
        let namespaces = ["/", "/admin", "/2[,"].into_iter();
        let parsers = [Parser::Json, Parser::Msgpack];
        for (namespace, parser) in namespaces.flat_map(|it| parsers.map(|parser| (it, parser))) {
            let dialect = dialect(namespace, parser);
            for (number, args) in [
                vec![],
                vec![json("\"zz\"")],
                vec![json("[\"a\"]"), binary()],
                vec![json(&format!("\"{}\"", "x".repeat(300)))],
                vec![json(&format!("\"{}\"", "x".repeat(70_000)))],
            ]
            .into_iter()
            .enumerate()
            {
                let frame = dialect.encode(&event(args));
                let offset = Offset(71 + number as u64);
                assert_eq!(Offset::of(&frame, namespace), Some(offset), "{frame:?}");
            }
        }
        let text = ws::text(r#"42["news",1,"1z"]"#);
        assert_eq!(dialect("/", Parser::Json).encode(&event([json("1")])), text);
    }

    #[test]
    fn nothing_else_has_one() {
        let args: Args = [Arg::Json(Json::string("1z"))].into_iter().collect();
        let [json, msgpack] = [Parser::Json, Parser::Msgpack].map(|it| Form::new(Revision::V4, it));
        for frame in [
            json.event("/", Some(7), &event(args.clone()), None),
            json.ack("/", 7, &args),
            msgpack.event("/", Some(7), &event(args.clone()), None),
            msgpack.ack("/", 7, &args),
            msgpack.event(
                "/",
                None,
                &event([Arg::Json(Json::string("no offset"))]),
                None,
            ),
            ws::text(r#"40{"sid":"1z"}"#),
            ws::text("2"),
            ws::text(r#"42["news",1]"#),
            ws::text(r#"42["news","no offset"]"#),
            ws::text(r#"42/admin,["news","1z"]"#),
            ws::binary(br#"42["news","1z"]"#),
            Bytes::from_static(b"\x81\x7f\xff"),
            Bytes::new(),
        ] {
            assert_eq!(Offset::of(&frame, "/"), None, "{frame:?}");
        }
    }

    #[test]
    fn what_clients_name() {
        for (text, expected) in [
            ("1z", Some(71)),
            ("0", Some(0)),
            ("", None),
            ("+1", None),
            ("1 ", None),
            ("zzzzzzzzzzzzz", None),
            ("00000000000001", None),
        ] {
            assert_eq!(Offset::read(text), expected.map(Offset), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64) {
            let offset = Offset(number);
            prop_assert_eq!(Offset::read(&offset.to_string()), Some(offset));
        }

        #[test]
        fn no_frame_is_too_much(frame in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Offset::of(&frame, "/");
        }
    }
}
