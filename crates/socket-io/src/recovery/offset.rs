//! Offsets: what a client that comes back calls the last event it has got. An event that wants no ack carries its own as
//! one more argument, behind all others.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use polyport_core::{Hub, Millis, Place, RealmName};

use crate::codec::msgpack_tail;

const RADIX: u32 = 36;

/// The longest number there is: 64 bits in base 36.
const LONGEST: usize = 13;

/// Most zeros that precede each of the two numbers of a place: Redis reads no longer texts than 127 characters.
const ZEROS: u16 = 40;

/// How many texts there are for a place beside its own.
const ALONE: u16 = (ZEROS + 1) * (ZEROS + 1) - 1;

/// The place of an event among those of its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offset {
    /// Where no history is shared: on the wire in base 36.
    Number(u64),
    /// What stands in the history that all nodes share.
    In(Place),
    /// What does not, behind what does: events that have one place have different numbers. On the wire the number is in the
    /// zeros that precede those of the place, so that to whoever reads numbers it is the place.
    Behind(Place, u16),
}

impl Offset {
    /// The offset that a client names; nothing when it cannot be one.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if let Some((millis, number)) = text.split_once('-') {
            return Self::read_place(millis, number);
        }
        let is_short = text.len() <= LONGEST;
        let is_plain = text.bytes().all(|it| it.is_ascii_alphanumeric());
        let number = u64::from_str_radix(text, RADIX).ok();
        number.filter(|_| is_short && is_plain).map(Self::Number)
    }

    fn read_place(millis: &str, number: &str) -> Option<Self> {
        let before = zeros_before(millis)? * (ZEROS + 1) + zeros_before(number)?;
        let place = format!("{millis}-{number}").parse().ok()?;
        Some(if before == 0 {
            Self::In(place)
        } else {
            Self::Behind(place, before)
        })
    }

    /// Where it stands in the history that all nodes share, or behind what.
    pub(crate) fn place(self) -> Option<Place> {
        match self {
            Self::Number(_) => None,
            Self::In(place) | Self::Behind(place, _) => Some(place),
        }
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
        let text = match *before.last()? {
            // The length of a longer text is ASCII itself.
            0xd9 => {
                let (length, text) = text.split_first()?;
                (usize::from(*length) == text.len()).then_some(text)?
            }
            mark if length < 32 && usize::from(mark) == 0xa0 + length => text,
            _ => return None,
        };
        Self::read(std::str::from_utf8(text).ok()?)
    }
}

/// How many zeros precede a number, unless there are more than may be.
fn zeros_before(digits: &str) -> Option<u16> {
    let significant = digits.trim_start_matches('0').len().max(1);
    let zeros = digits.len().checked_sub(significant)?;
    u16::try_from(zeros).ok().filter(|zeros| *zeros <= ZEROS)
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number(number) => write_number(number, f),
            Self::In(place) => place.fmt(f),
            Self::Behind(place, number) => {
                let zeros = |count: u16| "0".repeat(usize::from(count));
                f.write_str(&zeros(number / (ZEROS + 1)))?;
                write!(f, "{}-", place.millis)?;
                f.write_str(&zeros(number % (ZEROS + 1)))?;
                write!(f, "{}", place.number)
            }
        }
    }
}

fn write_number(mut rest: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [0; LONGEST];
    let mut first = LONGEST;
    while first > 0 && (rest > 0 || first == LONGEST) {
        first -= 1;
        digits[first] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
        rest /= 36;
    }
    f.write_str(std::str::from_utf8(&digits[first..]).unwrap_or_default())
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
pub(crate) struct Offsets {
    /// Whose history it may be that all nodes share.
    hub: Arc<Hub>,
    realm: RealmName,
    next: AtomicU64,
    /// The last offset behind a place.
    behind: Mutex<(Place, u16)>,
}

impl Offsets {
    /// Numbers begin with the time in microseconds: clients keep an offset beyond the session that it is of, so that none may
    /// come again, not even in another process.
    pub(crate) fn new(hub: &Arc<Hub>, realm: &RealmName) -> Self {
        Self {
            hub: Arc::clone(hub),
            realm: realm.clone(),
            next: AtomicU64::new(Millis::now().0.saturating_mul(1000)),
            behind: Mutex::default(),
        }
    }

    /// That of an event that stands in the history, or does not.
    pub(crate) fn next(&self, place: Option<Place>) -> Offset {
        if let Some(place) = place {
            return Offset::In(place);
        }
        match self.hub.place(&self.realm) {
            Some(place) => self.next_behind(place),
            None => Offset::Number(self.next.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// Everything up to `place` has been queued: a client that names this has missed nothing before it.
    fn next_behind(&self, place: Place) -> Offset {
        let mut behind = self.behind.lock();
        *behind = match *behind {
            (known, number) if known >= place => (known, number % ALONE + 1),
            _ => (place, 1),
        };
        Offset::Behind(behind.0, behind.1)
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
            offsets: Some(Offsets {
                next: AtomicU64::new(71),
                ..Offsets::new(&Hub::new(0, None), &RealmName::new("r").unwrap())
            }),
        }
    }

    fn place(millis: u64, number: u64) -> Place {
        Place { millis, number }
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
                let offset = Offset::Number(71 + number as u64);
                assert_eq!(Offset::of(&frame, namespace), Some(offset), "{frame:?}");
            }
        }
        let text = ws::text(r#"42["news",1,"1z"]"#);
        assert_eq!(dialect("/", Parser::Json).encode(&event([json("1")])), text);
    }

    #[test]
    fn an_event_with_a_place_carries_that() {
        for parser in [Parser::Json, Parser::Msgpack] {
            for (namespace, place) in [("/", place(1_795_181_665_506, 0)), ("/a", place(7, 12))] {
                let event = Event {
                    place: Some(place),
                    ..event([])
                };
                let frame = dialect(namespace, parser).encode(&event);
                assert_eq!(Offset::of(&frame, namespace), Some(Offset::In(place)));
            }
        }
    }

    #[test]
    fn events_behind_a_place_are_told_apart_and_stand_there_for_others() {
        let offsets = Offsets::new(&Hub::new(0, None), &RealmName::new("r").unwrap());
        let mut seen = std::collections::HashSet::new();
        for _ in 0..ALONE {
            let offset = offsets.next_behind(place(1_795_181_665_506, 3));
            let text = offset.to_string();
            assert_eq!(Offset::read(&text), Some(offset));
            let (millis, number) = text.split_once('-').unwrap();
            assert_eq!(millis.parse(), Ok(1_795_181_665_506_u64));
            assert_eq!(number.parse(), Ok(3_u64));
            assert!(text.len() < 128 && seen.insert(text));
        }
        let later = offsets.next_behind(place(1_795_181_665_507, 0));
        assert_eq!(later.to_string(), "1795181665507-00");
        let late = offsets.next_behind(place(1_795_181_665_506, 3));
        assert_eq!(
            late.to_string(),
            "1795181665507-000",
            "no place comes again"
        );
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
            let expected = expected.map(Offset::Number);
            assert_eq!(Offset::read(text), expected, "{text:?}");
        }
        for text in [
            "-",
            "1-",
            "-1",
            "+1-0",
            "1-a",
            "1-0-0",
            &format!("{}1-0", "0".repeat(41)),
        ] {
            assert_eq!(Offset::read(text), None, "{text:?}");
        }
        assert_eq!(Offset::read("0-0"), Some(Offset::In(Place::default())));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64) {
            let offset = Offset::Number(number);
            prop_assert_eq!(Offset::read(&offset.to_string()), Some(offset));
        }

        #[test]
        fn what_is_written_of_a_place_is_read(millis: u64, number: u64, behind in 1..=ALONE) {
            let place = place(millis, number);
            for offset in [Offset::In(place), Offset::Behind(place, behind)] {
                let text = offset.to_string();
                prop_assert_eq!(Offset::read(&text), Some(offset));
                let mut out = vec![0x83];
                out.extend_from_slice(b"\xa4type\x02\xa4data\x92\xa1e");
                let length = u8::try_from(text.len()).unwrap();
                out.extend_from_slice(&if length < 32 { vec![0xa0 + length] } else { vec![0xd9, length] });
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(&msgpack_tail("/"));
                prop_assert_eq!(Offset::of(&ws::binary(&out), "/"), Some(offset));
            }
        }

        #[test]
        fn no_frame_is_too_much(frame in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Offset::of(&frame, "/");
        }
    }
}
