use std::borrow::Cow;

use bytes::Bytes;
use polyport_core::{Arg, Mixed, RoomName};
use proptest::prelude::*;

use super::*;
use crate::codec::{Channel, Channels, MAX_ITEMS, MAX_MESSAGE, script::Script};

fn name(text: &str) -> RoomName {
    RoomName::new(text).unwrap()
}

fn any_of(rooms: &[&str]) -> Rooms {
    Rooms::AnyOf(rooms.iter().copied().map(name).collect())
}

fn json(text: &str) -> Arg {
    Arg::Json(Json::parse(text).unwrap())
}

fn broadcast(uid: &str, namespace: &str, event: &str, args: &[Arg], rooms: Rooms) -> Broadcast {
    Broadcast {
        uid: uid.to_owned(),
        packet: Packet {
            namespace: namespace.to_owned(),
            name: EventName::new(event).unwrap(),
            args: args.into(),
        },
        selection: Selection {
            rooms,
            except: Vec::new(),
        },
        flags: Flags::default(),
    }
}

/// Reads from the channel of that name.
fn read(channel: &str, payload: &[u8]) -> Result<Arrived, ReadError> {
    let channels = Channels::default();
    match channels.read(channel) {
        Some(Channel::Broadcast(channel)) => read_broadcast(&channel, payload),
        other => panic!("{channel}: {other:?}"),
    }
}

#[track_caller]
fn check(channel: &str, payload: &[u8], expected: Broadcast) {
    let arrived = read(channel, payload).unwrap();
    assert_eq!(
        (
            arrived.broadcast,
            arrived.per_room,
            arrived.unknown_extensions
        ),
        (expected, None, 0)
    );
}

/// `io.to("user(1)").emit("room","x")` as adapter 8.3.0 publishes it.
const GOLDEN: &[u8] = b"\x93\xa6VF4joU\x83\xa4type\x02\xa4data\x92\xa4room\xa1x\xa3nsp\xa1/\x83\xa5rooms\x91\xa7user(1)\xa6except\x90\xa5flags\x80";

#[test]
fn the_bytes_are_those_of_node() {
    let expected = broadcast(
        "VF4joU",
        "/",
        "room",
        &[json("\"x\"")],
        any_of(&["user(1)"]),
    );
    let channel = Channels::default().of(&expected);
    assert_eq!(channel, "socket.io#/#user(1)#");
    for wire in [Wire::Modern, Wire::Legacy] {
        assert_eq!(write_broadcast(&expected, wire), GOLDEN);
    }
    let without_uid = [&[0x92], &GOLDEN[8..]].concat();
    assert_eq!(write_ancient(&expected), Some(without_uid));
    check(&channel, GOLDEN, expected);
}

#[test]
fn every_sender_has_its_own_options() {
    let plain = broadcast("emitter", "/", "m", &[], Rooms::All);
    let in_rooms = broadcast("emitter", "/", "m", &[], any_of(&["5", "1.5", "a"]));
    let volatile = Broadcast {
        flags: Flags {
            volatile: true,
            ..Flags::default()
        },
        ..plain.clone()
    };
    let uncompressed = Broadcast {
        flags: Flags {
            compress: Some(false),
            ..Flags::default()
        },
        ..plain.clone()
    };
    let local = Broadcast {
        flags: Flags {
            local: true,
            ..Flags::default()
        },
        ..plain.clone()
    };
    let except = Broadcast {
        selection: Selection {
            rooms: Rooms::All,
            except: vec![name("x")],
        },
        ..plain.clone()
    };
    let nobody = broadcast("emitter", "/", "m", &[], any_of(&[]));
    for (options, expected) in [
        (&b"\x80"[..], &plain),
        (b"\x82\xa5rooms\x90\xa5flags\x80", &plain),
        (b"\x82\xa5rooms\xc4\xa5flags\xc4", &plain),
        (b"\x82\xa5rooms\xc0\xa5flags\xc0", &plain),
        (b"\x82\xa5flags\xa0\xa5rooms\xa0", &plain),
        (b"\x82\xa5rooms\x90\xa5flags\x90", &plain),
        (
            b"\x81\xa5rooms\x93\x05\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1a",
            &in_rooms,
        ),
        (b"\x81\xa5rooms\x91\xa0", &nobody),
        (b"\x82\xa6except\x92\xa1x\xa0\xa5rooms\xc4", &except),
        (
            b"\x81\xa5flags\x83\xa8volatile\xc3\xa9broadcast\xc3\xa4json\xc3",
            &volatile,
        ),
        (
            b"\x81\xa5flags\x82\xa8volatile\xc2\xa8compress\xc2",
            &uncompressed,
        ),
        (b"\x81\xa5flags\x81\xa5local\xc3", &local),
    ] {
        let message = [b"\x93\xa7emitter\x82\xa4type\x02\xa4data\x91\xa1m", options].concat();
        check("socket.io#/#", &message, expected.clone());
        let written = write_broadcast(expected, Wire::Modern);
        check("socket.io#/#", &written, expected.clone());
    }
}

#[test]
fn emitters_byte_for_byte() {
    const DATE: &[u8] = b"\xb82014-06-07T12:34:56.789Z";
    let date = json("\"2014-06-07T12:34:56.789Z\"");
    let in_room = broadcast("emitter", "/", "message", &[date], any_of(&["user(1)"]));
    let to_all = broadcast("emitter", "/", "message", &[json("\"hello\"")], Rooms::All);
    check(
        "socket.io#emitter",
        b"\x92\x82\xa4type\x02\xa4data\x92\xa7message\xa5hello\x82\xa5rooms\x90\xa5flags\x80",
        to_all,
    );
    let ancient = [
        b"\x92\x82\xa4type\x02\xa4data\x92\xa7message",
        DATE,
        b"\x82\xa5rooms\x91\xa7user(1)\xa5flags\x80",
    ];
    check("socket.io#emitter", &ancient.concat(), in_room.clone());
    for (date, options) in [
        (DATE, &b"\x82\xa5rooms\x91\xa7user(1)\xa5flags\x80"[..]),
        (
            b"\xc7\x09\x0d\xcb\x42\x74\x67\x65\x31\xc9\x50\x00",
            b"\x82\xa5rooms\x91\xa7user(1)\xa5flags\x80",
        ),
        (
            b"\xd7\x00\x00\x00\x01\x46\x76\x53\x1c\x95",
            b"\x82\xa5rooms\x91\xa7user(1)\xa5flags\x80",
        ),
        (
            b"\xd7\xff\xbc\x1c\xbd\x00\x53\x93\x06\xf0",
            b"\x83\xa5rooms\x91\xa7user(1)\xa5flags\x80\xa6except\x90",
        ),
    ] {
        let head = b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x92\xa7message";
        let message = [head, date, b"\xa3nsp\xa1/", options].concat();
        check("socket.io#/#user(1)#", &message, in_room.clone());
    }
}

#[test]
fn a_namespace_may_lack_its_slash_but_must_be_that_of_the_channel() {
    let message = b"\x93\xa7emitter\x83\xa4type\x02\xa4data\x91\xa1x\xa3nsp\xa5admin\x80";
    let expected = broadcast("emitter", "/admin", "x", &[], Rooms::All);
    check("socket.io#admin#", message, expected.clone());
    check("socket.io#/admin#", message, expected);
    assert_eq!(
        read("socket.io#/#", message),
        Err(ReadError::OtherNamespace)
    );
    assert_eq!(
        read("socket.io#/#admin#", message),
        Err(ReadError::OtherNamespace)
    );
}

#[test]
fn who_publishes_per_room_is_known_by_the_rooms() {
    let message =
        b"\x93\xa7emitter\x82\xa4type\x02\xa4data\x91\xa1x\x81\xa5rooms\x93\xa1a\x07\xa1c";
    for (channel, expected) in [
        ("socket.io#/#", None),
        ("socket.io#/#d#", None),
        ("socket.io#/#a#", Some(("a", &[][..]))),
        ("socket.io#/#7#", Some(("7", &["a"]))),
        ("socket.io#/#c#", Some(("c", &["a", "7"]))),
    ] {
        let expected = expected.map(|(room, before): (&str, &[&str])| PerRoom {
            room: name(room),
            before: before.iter().copied().map(name).collect(),
        });
        assert_eq!(
            read(channel, message).unwrap().per_room,
            expected,
            "{channel}"
        );
    }
}

#[test]
fn without_an_emitter() {
    let hi = |rooms| broadcast(EMITTER, "/", "message", &[json("\"hi\"")], rooms);
    let channel = "socket.io#emitter";
    check(
        channel,
        b"\x82\xa4data\x92\xa7message\xa2hi\xa4room\xa7user(1)",
        hi(any_of(&["user(1)"])),
    );
    for (text, expected) in [
        (r#"{"data":"hi"}"#, hi(Rooms::All)),
        (r#"{"data":"hi","room":null}"#, hi(Rooms::All)),
        (r#"{"data":"hi","room":"\u0061"}"#, hi(any_of(&["a"]))),
        (
            r#"{"data":"hi","room":["a",1e3]}"#,
            hi(any_of(&["a", "1000"])),
        ),
        (
            r#"{"data":"hi","rooms":["a"],"room":"b"}"#,
            hi(any_of(&["b", "a"])),
        ),
        (r#"{"data":"hi","room":""}"#, hi(any_of(&[]))),
        (
            r#"{ "data": ["n", 1.50, {"a": [ ]}], "nsp": "admin" }"#,
            broadcast(
                EMITTER,
                "/admin",
                "n",
                &[json("1.50"), json(r#"{"a": [ ]}"#)],
                Rooms::All,
            ),
        ),
        (
            r#"{"data":[1,"a"]}"#,
            broadcast(EMITTER, "/", "message", &[json(r#"[1,"a"]"#)], Rooms::All),
        ),
        (
            r#"[{"type":2,"data":["m"]},{"rooms":["a"],"flags":{"volatile":true}}]"#,
            Broadcast {
                flags: Flags {
                    volatile: true,
                    ..Flags::default()
                },
                ..broadcast(EMITTER, "/", "m", &[], any_of(&["a"]))
            },
        ),
    ] {
        check(channel, text.as_bytes(), expected);
    }
    // Nobody has msgpack-js to write this with any more.
    let long = "x".repeat(40);
    let message = [b"\x82\xa4data\xd9\x28", long.as_bytes(), b"\xa4room\xa1a"].concat();
    let expected = [Arg::Json(Json::string(&long))];
    check(
        channel,
        &message,
        broadcast(EMITTER, "/", "message", &expected, any_of(&["a"])),
    );
    for text in [
        "{}",
        "[]",
        "[{}]",
        "{",
        "{\"data\":1}x",
        r#"{"data":[""]}"#,
        r#"{"data":1,"room":{}}"#,
    ] {
        assert!(read(channel, text.as_bytes()).is_err(), "{text}");
    }
    assert!(read("socket.io#/#", br#"{"data":"hi"}"#).is_err());
}

#[test]
fn python_has_numbers_for_keys() {
    let message = b"\x93\xa7emitter\x82\xa4data\x92\xa1m\x81\x01\x02\xa4type\x02\x82\xa5flags\xa0\xa5rooms\xa0";
    let expected = broadcast("emitter", "/", "m", &[json(r#"{"1":2}"#)], Rooms::All);
    check("socket.io#/#", message, expected);
}

#[test]
fn what_is_no_broadcast() {
    let shape = ReadError::Shape;
    for (message, error) in [
        (
            &b"\x92\xa7emitter\x80"[..],
            shape("something else where a list belongs"),
        ),
        (b"\x80", shape("something else where a list belongs")),
        (b"\x93\x01\x80\x80", shape("a uid that is no text")),
        (b"\x93\xa1a\x80\x80", shape("a packet that is no event")),
        (
            b"\x93\xa1a\x81\xa4type\x03\x80",
            shape("a packet that is no event"),
        ),
        (
            b"\x93\xa1a\x81\xa4type\xa12\x80",
            shape("a packet that is no event"),
        ),
        (
            b"\x93\xa1a\x81\xa4type\x02\x80",
            shape("an event without data"),
        ),
        (
            b"\x93\xa1a\x82\xa4type\x02\xa4data\x90\x80",
            shape("an event without a name"),
        ),
        (
            b"\x93\xa1a\x82\xa4type\x02\xa4data\x91\x05\x80",
            shape("an event without a name"),
        ),
        (
            b"\x93\xa1a\x82\xa4type\x02\xa4data\x91\xa0\x80",
            shape("an event's name is empty or too long"),
        ),
        (
            b"\x93\xa1a\x83\xa4type\x02\xa4data\x91\xa1m\xa3nsp\x01\x80",
            shape("a namespace that is no text"),
        ),
        (
            b"\x93\xa1a\x82\xa4type\x02\xa4data\x91\xa1m\x81\xa5rooms\xa1a",
            shape("something else where a list belongs"),
        ),
        (
            b"\x93\xa1a\x82\xa4type\x02\xa4data\x91\xa1m\x81\xa5rooms\x91\xc3",
            shape("a room whose name is no text"),
        ),
        (b"\x93\xa1a\x81\x01\x02\x80", shape("a key that is no text")),
        (
            b"\xc0\xc0",
            ReadError::Malformed("bytes behind the message"),
        ),
        (b"", ReadError::Malformed("msgpack that ends too early")),
        (
            b"\x93\xa1a\x83\xa4type\x05\xa4data\x91\xa1m\xabattachments\x01\x80",
            ReadError::Placeholders,
        ),
    ] {
        assert_eq!(read("socket.io#/#", message), Err(error), "{message:x?}");
    }
}

#[test]
fn bounds() {
    let large = vec![0x90; MAX_MESSAGE + 1];
    let rooms = |count: usize| {
        let head = b"\x93\xa1a\x82\xa4type\x02\xa4data\x91\xa1m\x81\xa5rooms\xdd";
        [
            &head[..],
            &(count as u32).to_be_bytes(),
            &b"\xa1r".repeat(count),
        ]
        .concat()
    };
    let args = |count: usize| {
        let head = b"\x93\xa1a\x82\xa4type\x02\xa4data\xdd";
        let count_bytes = ((count + 1) as u32).to_be_bytes();
        [&head[..], &count_bytes, b"\xa1m", &vec![0; count], b"\x80"].concat()
    };
    assert_eq!(read("socket.io#/#", &large), Err(ReadError::TooLarge));
    assert!(read("socket.io#/#", &rooms(MAX_ITEMS)).is_ok());
    assert_eq!(
        read("socket.io#/#", &rooms(MAX_ITEMS + 1)),
        Err(ReadError::TooMany)
    );
    assert!(read("socket.io#/#", &args(MAX_ITEMS)).is_ok());
    assert_eq!(
        read("socket.io#/#", &args(MAX_ITEMS + 1)),
        Err(ReadError::TooMany)
    );
    for (depth, is_read) in [(125, true), (126, false)] {
        let nested = [&vec![0x91; depth][..], &[0]].concat();
        let message = [
            b"\x93\xa1a\x82\xa4type\x02\xa4data\x92\xa1m",
            &nested[..],
            b"\x80",
        ]
        .concat();
        assert_eq!(read("socket.io#/#", &message).is_ok(), is_read, "{depth}");
        let list = "[".repeat(depth + 1) + &"]".repeat(depth + 1);
        let text = format!(
            r#"[{{"type":2,"data":["[\"m",{}]}},{{}}]"#,
            &list[1..list.len() - 1]
        );
        assert_eq!(
            read("socket.io#emitter", text.as_bytes()).is_ok(),
            is_read,
            "{depth}"
        );
    }
}

/// A message as emitter 1.x publishes it to one room.
fn legacy_message(rooms: Script, args: &[Script]) -> Vec<u8> {
    let data = [&[Script::text("bin")], args].concat();
    Script::Array(vec![
        Script::text("emitter"),
        Script::object([
            ("type", Script::Number(5.0)),
            ("data", Script::Array(data)),
            ("nsp", Script::text("/")),
        ]),
        Script::object([("rooms", rooms), ("flags", Script::object([]))]),
    ])
    .legacy()
}

/// The message that a naive reader takes for one to everybody: the binary's length and byte, and the keys up to `rooms`,
/// pass for the sixteen bytes of an extension.
#[test]
fn binary_of_the_legacy_dialect_arrives_whole_and_only_there() {
    let other = [Script::Number(1.0), Script::text("two")];
    for length in (0..=40).chain([300, 70_000]) {
        for byte in [0, 0x01, 0x90, 0xc0, 0xc4, 0xd8, 0xff] {
            let binary = Script::Binary(vec![byte; length]);
            for place in 0..3 {
                let mut args = other.to_vec();
                args.insert(place, binary.clone());
                let rooms = Script::Array(vec![Script::text("user(1)")]);
                let message = legacy_message(rooms, &args);
                let args: Vec<Arg> = args.iter().map(Script::arg).collect();
                let expected = broadcast("emitter", "/", "bin", &args, any_of(&["user(1)"]));
                check("socket.io#/#user(1)#", &message, expected);
            }
        }
    }
}

#[test]
fn binary_for_both_wires() {
    let mixed = Mixed::new(
        vec!["[".into(), "]".into()],
        vec![Bytes::from_static(b"\x01")],
    );
    let args = [
        Arg::Binary(Bytes::from_static(b"\x01\x02")),
        Arg::Mixed(mixed.unwrap().into()),
    ];
    let expected = broadcast("VF4joU", "/", "b", &args, any_of(&["a", "b"]));
    let data = b"\xa4data\x93\xa1b\xc4\x02\x01\x02\x91\xc4\x01\x01\xa3nsp\xa1/\x83\xa5rooms\x92\xa1a\xa1b\xa6except\x90\xa5flags\x80";
    for (wire, kind) in [(Wire::Modern, 2), (Wire::Legacy, 5)] {
        let written = write_broadcast(&expected, wire);
        assert_eq!(
            written,
            [b"\x93\xa6VF4joU\x83\xa4type", &[kind][..], data].concat()
        );
        check("socket.io#/#", &written, expected.clone());
    }
}

#[test]
fn what_gateways_say_to_each_other_comes_through() {
    let flags = Flags {
        volatile: true,
        compress: Some(true),
        local: false,
        timeout: Some(500),
        polyport: Some(Json::parse(r#"{"from":"a","at":1795181633050,"more":[null]}"#).unwrap()),
    };
    let expected = Broadcast {
        flags,
        ..broadcast("VF4joU", "/", "m", &[], Rooms::All)
    };
    check(
        "socket.io#/#",
        &write_broadcast(&expected, Wire::Modern),
        expected,
    );
    let binary = b"\x93\xa1a\x82\xa4type\x02\xa4data\x91\xa1m\x81\xa5flags\x81\xa8polyport\xc4\x00";
    assert_eq!(
        read("socket.io#/#", binary),
        Err(ReadError::Shape("binary where it has no place"))
    );
}

fn rooms() -> impl Strategy<Value = Rooms> {
    let named = prop::collection::vec("\\PC{1,40}", 0..4);
    prop_oneof![
        Just(Rooms::All),
        named.prop_map(|rooms| Rooms::AnyOf(rooms.iter().map(|room| name(room)).collect())),
    ]
}

fn flags() -> impl Strategy<Value = Flags> {
    let polyport = prop::option::of("[a-z]{0,50}");
    let bools = (
        any::<bool>(),
        prop::option::of(any::<bool>()),
        any::<bool>(),
    );
    let timeout = prop::option::of(0..1_u64 << 53);
    (bools, timeout, polyport).prop_map(|((volatile, compress, local), timeout, polyport)| Flags {
        volatile,
        compress,
        local,
        timeout,
        polyport: polyport.map(|text| Json::string(&text)),
    })
}

fn scripts() -> impl Strategy<Value = (bool, Vec<Script>)> {
    any::<bool>().prop_flat_map(|has_undefined| {
        let most = if has_undefined { 3 } else { 5 };
        let values = prop::collection::vec(Script::any(has_undefined), 0..most);
        (Just(has_undefined), values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn legacy_messages_are_read_rightly(
        (has_undefined, args) in scripts(),
        rooms in prop::collection::vec("[a-z]{1,3}|user\\([0-9]\\)", 0..3),
    ) {
        let listed = if has_undefined && rooms.is_empty() {
            Script::Undefined
        } else {
            Script::Array(rooms.iter().map(|room| Script::text(room)).collect())
        };
        let message = legacy_message(listed, &args);
        prop_assume!(!has_undefined || message.len() < 150);
        let args: Vec<Arg> = args.iter().map(Script::arg).collect();
        let rooms = Rooms::of(rooms.iter().map(|room| name(room)).collect());
        let arrived = read("socket.io#/#", &message).unwrap();
        prop_assert_eq!(arrived.broadcast, broadcast("emitter", "/", "bin", &args, rooms));
        prop_assert_eq!(arrived.unknown_extensions, 0);
    }

    #[test]
    fn what_is_written_is_read(
        uid in "[A-Za-z0-9_-]{6}",
        namespace in "/\\PC{0,40}",
        event in "\\PC{1,40}",
        args in prop::collection::vec(Script::any(false), 0..4),
        rooms in rooms(),
        flags in flags(),
    ) {
        let args: Vec<Arg> = args.iter().map(Script::arg).collect();
        let except = match rooms.clone() {
            Rooms::AnyOf(rooms) => rooms,
            Rooms::All => Vec::new(),
        };
        let mut expected = broadcast(&uid, &namespace, &event, &args, rooms);
        expected.selection.except = except;
        expected.flags = flags;
        let channel = BroadcastChannel::Namespace {
            namespace: Cow::Borrowed(&*namespace),
            room: None,
        };
        for wire in [Wire::Modern, Wire::Legacy] {
            let arrived = read_broadcast(&channel, &write_broadcast(&expected, wire)).unwrap();
            prop_assert_eq!(&arrived.broadcast, &expected);
        }
    }

    #[test]
    fn no_bytes_are_too_odd(
        data in prop::collection::vec(any::<u8>(), 0..60),
        text in "[\\[\\]{}:,\"\\\\0-9a-z. é-]{0,30}",
        cut in 0..GOLDEN.len(),
        (at, byte) in (0..GOLDEN.len(), any::<u8>()),
    ) {
        let mut changed = GOLDEN.to_vec();
        changed[at] = byte;
        for channel in ["socket.io#/#", "socket.io#/#a#", "socket.io#emitter", "socket.io#abcdef"] {
            for payload in [&data[..], text.as_bytes(), &changed] {
                drop(read(channel, payload));
            }
        }
        prop_assert!(read("socket.io#/#", &GOLDEN[..cut]).is_err());
    }
}
