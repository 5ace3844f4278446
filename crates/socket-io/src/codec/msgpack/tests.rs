use std::sync::Arc;

use bytes::Bytes;
use polyport_core::Mixed;
use polyport_msgpack::{GAP, parts, with_gaps};
use proptest::prelude::*;

use super::*;
use crate::codec::packet::tests::arg;

const LIMITS: ReadLimits = ReadLimits {
    revision: Revision::V4,
    attachments: 10,
    attachment_bytes: 1000,
};

const OLD: ReadLimits = ReadLimits {
    revision: Revision::V3,
    ..LIMITS
};

fn read(data: &[u8]) -> Result<Packet<'_>, PacketError> {
    read_msgpack(data, &LIMITS)
}

fn json(text: &str) -> Arg {
    Arg::Json(Json::parse(text).unwrap())
}

fn event<'a>(namespace: &'a str, id: Option<u64>, name: &str, args: &[Arg]) -> Packet<'a> {
    Packet {
        id,
        name: Some(EventName::new(name).unwrap()),
        args: args.into(),
        ..packet_of(Kind::Event, (namespace, None))
    }
}

fn ack<'a>(namespace: &'a str, id: u64, args: &[Arg]) -> Packet<'a> {
    Packet {
        id: Some(id),
        args: args.into(),
        ..packet_of(Kind::Ack, (namespace, None))
    }
}

fn other<'a>(kind: Kind, namespace: &'a str, data: Option<&str>) -> Packet<'a> {
    Packet {
        data: data.map(|text| Json::parse(text).unwrap()),
        ..packet_of(kind, (namespace, None))
    }
}

/// An event `a` whose only argument is `value`.
fn with_value(value: &[u8]) -> Vec<u8> {
    [b"\x83\xa4type\x02\xa4data\x92\xa1a", value, b"\xa3nsp\xa1/"].concat()
}

fn value(value: &[u8]) -> Result<Arg, PacketError> {
    let data = with_value(value);
    let mut packet = read(&data)?;
    Ok(packet.args.pop().unwrap())
}

#[test]
fn recorded_packets_in() {
    let args = [
        json("1"),
        json("{\"a\":\"b\"}"),
        Arg::Binary(Bytes::from_static(b"\x01\x02")),
    ];
    for (packet, expected) in [
        (
            &b"\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/"[..],
            other(Kind::Connect, "/", None),
        ),
        (
            b"\x83\xa4type\x00\xa4data\x81\xa5token\xa1t\xa3nsp\xa6/admin",
            other(Kind::Connect, "/admin", Some("{\"token\":\"t\"}")),
        ),
        (
            b"\x83\xa4type\x00\xa4data\x82\xa3sid\xa1s\xa3pid\xd4\x00\x00\xa3nsp\xa1/",
            other(Kind::Connect, "/", Some("{\"sid\":\"s\"}")),
        ),
        (
            b"\x84\xa4type\x02\xa4data\x94\xa4echo\x01\x81\xa1a\xa1b\xc4\x02\x01\x02\xa7options\x81\xa8compress\xc3\xa3nsp\xa1/",
            event("/", None, "echo", &args),
        ),
        (
            b"\x85\xa4type\x02\xa4data\x92\xa3ack\xa1x\xa7options\x81\xa8compress\xc3\xa2id\x00\xa3nsp\xa1/",
            event("/", Some(0), "ack", &[json("\"x\"")]),
        ),
        (
            b"\x84\xa2id\x00\xa4type\x03\xa4data\x91\xa1x\xa3nsp\xa1/",
            ack("/", 0, &[json("\"x\"")]),
        ),
        (
            b"\x82\xa4type\x01\xa3nsp\xa1/",
            other(Kind::Disconnect, "/", None),
        ),
        (
            b"\x83\xa4type\x04\xa3nsp\xa8/unknown\xa4data\x81\xa7message\xb1Invalid namespace",
            other(
                Kind::ConnectError,
                "/unknown",
                Some("{\"message\":\"Invalid namespace\"}"),
            ),
        ),
        // As npm never writes it, but PyPI's python-socketio does.
        (
            b"\x83\xa4type\x01\xa4data\xc0\xa3nsp\xa1/",
            other(Kind::Disconnect, "/", None),
        ),
    ] {
        assert_eq!(read(packet), Ok(expected));
    }
}

#[test]
fn packets_of_generation_3() {
    let args = [json("1"), Arg::Binary(Bytes::from_static(b"\x01\x02"))];
    let packet = b"\x83\xa4type\x05\xa4data\x93\xa1a\x01\xc4\x02\x01\x02\xa3nsp\xa1/";
    assert_eq!(read_msgpack(packet, &OLD), Ok(event("/", None, "a", &args)));
    assert_eq!(read(packet), Err(Broken("unknown packet type")));
    let packet = b"\x84\xa4type\x06\xa2id\x07\xa4data\x91\x01\xa3nsp\xa2/a";
    assert_eq!(read_msgpack(packet, &OLD), Ok(ack("/a", 7, &args[..1])));
    let packet = b"\x82\xa4type\x00\xa3nsp\xa4/a?b";
    let expected = Packet {
        query: Some("b"),
        ..other(Kind::Connect, "/a", None)
    };
    assert_eq!(read_msgpack(packet, &OLD), Ok(expected));
    assert_eq!(read(packet), Ok(other(Kind::Connect, "/a?b", None)));
}

#[test]
fn packets_out() {
    let args = [
        json("1"),
        json("{\"a\":\"b\"}"),
        Arg::Binary(Bytes::from_static(b"\x01\x02")),
    ];
    assert_eq!(
        write_msgpack_event("/", None, "echo", &args, None),
        &b"\x83\xa4type\x02\xa4data\x94\xa4echo\x01\x81\xa1a\xa1b\xc4\x02\x01\x02\xa3nsp\xa1/"[..]
    );
    assert_eq!(
        write_msgpack_event("/admin", Some(300), "a", &[], Some("Q7vFnSS")),
        &b"\x84\xa4type\x02\xa4data\x92\xa1a\xa7Q7vFnSS\xa2id\xcd\x01\x2c\xa3nsp\xa6/admin"[..]
    );
    assert_eq!(
        write_msgpack_ack("/", 0, &[json("\"x\"")]),
        &b"\x84\xa2id\x00\xa4type\x03\xa4data\x91\xa1x\xa3nsp\xa1/"[..]
    );
    assert_eq!(
        write_msgpack_connect("/", Some("s"), None),
        &b"\x83\xa4type\x00\xa4data\x82\xa3sid\xa1s\xa3pid\xd4\x00\x00\xa3nsp\xa1/"[..]
    );
    assert_eq!(
        write_msgpack_connect("/", Some("s"), Some("p")),
        &b"\x83\xa4type\x00\xa4data\x82\xa3sid\xa1s\xa3pid\xa1p\xa3nsp\xa1/"[..]
    );
    assert_eq!(
        write_msgpack_connect("/", None, None),
        &b"\x83\xa4type\x00\xa4data\xd4\x00\x00\xa3nsp\xa1/"[..]
    );
    assert_eq!(
        write_msgpack_disconnect("/"),
        &b"\x82\xa4type\x01\xa3nsp\xa1/"[..]
    );
    let data = Json::parse("[1]").unwrap();
    assert_eq!(
        write_msgpack_error("/a", "no", Some(&data)),
        &b"\x83\xa4type\x04\xa3nsp\xa2/a\xa4data\x82\xa7message\xa2no\xa4data\x91\x01"[..]
    );
    assert_eq!(
        write_msgpack_error("/a", "no", None),
        &b"\x83\xa4type\x04\xa3nsp\xa2/a\xa4data\x81\xa7message\xa2no"[..]
    );
}

#[test]
fn values_in() {
    for (bytes, text) in [
        (&b"\xc0"[..], "null"),
        (b"\xd4\x00\x00", "null"),
        (b"\x92\xd4\x00\x00\xc2", "[null,false]"),
        (
            b"\x83\xa1a\xd4\x00\x00\xa1b\x01\xa1c\xd4\x00\x00",
            "{\"b\":1}",
        ),
        (b"\x7f", "127"),
        (b"\xcc\xff", "255"),
        (b"\xcd\xff\xff", "65535"),
        (b"\xce\xff\xff\xff\xff", "4294967295"),
        (
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            "18446744073709551615",
        ),
        (b"\xff", "-1"),
        (b"\xe0", "-32"),
        (b"\xd0\x80", "-128"),
        (b"\xd0\x7f", "127"),
        (b"\xd1\x80\x00", "-32768"),
        (b"\xd2\x80\x00\x00\x00", "-2147483648"),
        (
            b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
            "-9223372036854775808",
        ),
        (b"\xca\x3f\xc0\x00\x00", "1.5"),
        (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5"),
        (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
        (b"\xd9\x01\"", "\"\\\"\""),
        (b"\xda\x00\x02\xc3\xa9", "\"é\""),
        (b"\xdb\x00\x00\x00\x01\x01", "\"\\u0001\""),
        (b"\xdc\x00\x01\x90", "[[]]"),
        (b"\xdd\x00\x00\x00\x01\x80", "[{}]"),
        (b"\xde\x00\x01\xa1a\xc3", "{\"a\":true}"),
        (b"\xdf\x00\x00\x00\x01\xa0\xc0", "{\"\":null}"),
        (
            b"\xd7\x00\x00\x00\x01\x46\x76\x53\x1c\x95",
            "\"2014-06-07T12:34:56.789Z\"",
        ),
    ] {
        assert_eq!(value(bytes), Ok(json(text)));
    }
    for bytes in [
        &b"\xc4\x01x"[..],
        b"\xc5\x00\x01x",
        b"\xc6\x00\x00\x00\x01x",
        b"\xc7\x01\x00x",
        b"\xc8\x00\x01\x00x",
        b"\xc9\x00\x00\x00\x01\x00x",
    ] {
        assert_eq!(value(bytes), Ok(Arg::Binary(Bytes::from_static(b"x"))));
    }
    let inside = value(b"\x92\xc4\x01x\x81\xa1a\xc4\x00").unwrap();
    let texts = ["[", ",{\"a\":", "}]"].map(Box::from).to_vec();
    let parts = vec![Bytes::from_static(b"x"), Bytes::new()];
    let mixed = Mixed::new(texts, parts).unwrap();
    assert_eq!(inside, Arg::Mixed(Arc::new(mixed)));
}

#[test]
fn values_out() {
    for (text, bytes) in [
        (" [ null , true,false ] ", &b"\x93\xc0\xc3\xc2"[..]),
        ("{\"a\" :[],\"b\":{ }}", b"\x82\xa1a\x90\xa1b\x80"),
        ("127", b"\x7f"),
        ("128", b"\xcc\x80"),
        ("256", b"\xcd\x01\x00"),
        ("65536", b"\xce\x00\x01\x00\x00"),
        ("4294967296", b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
        ("-0", b"\x00"),
        ("-1", b"\xff"),
        ("-32", b"\xe0"),
        ("-33", b"\xd0\xdf"),
        ("-129", b"\xd1\xff\x7f"),
        ("-32769", b"\xd2\xff\xff\x7f\xff"),
        ("-2147483649", b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff"),
        ("1e2", b"\x64"),
        ("-1.0E1", b"\xf6"),
        ("1.5", b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"),
        ("1e999", b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"),
        ("\"\\u00e9\\ud800\"", b"\xa5\xc3\xa9\xef\xbf\xbd"),
    ] {
        let written = write_msgpack_event("/", None, "a", &[json(text)], None);
        assert_eq!(written, with_value(bytes), "{text}");
    }
    for length in [0, 31, 32, 255, 256, 65_535, 65_536] {
        let arg = json(&format!("\"{}\"", "x".repeat(length)));
        let written = write_msgpack_event("/", None, "a", std::slice::from_ref(&arg), None);
        assert_eq!(read(&written), Ok(event("/", None, "a", &[arg])));
        let arg = json(&format!("[{}0]", "0,".repeat(length)));
        let written = write_msgpack_event("/", None, "a", std::slice::from_ref(&arg), None);
        assert_eq!(read(&written), Ok(event("/", None, "a", &[arg])));
        let arg = Arg::Binary(vec![1; length].into());
        let limits = ReadLimits {
            attachment_bytes: length,
            ..LIMITS
        };
        let written = write_msgpack_ack("/", 1, std::slice::from_ref(&arg));
        assert_eq!(read_msgpack(&written, &limits), Ok(ack("/", 1, &[arg])));
    }
}

#[test]
fn broken_packets() {
    for (packet, reason) in [
        (&b""[..], "msgpack that ends too early"),
        (b"\x93", "a packet that is no map"),
        (b"\x80", "unknown packet type"),
        (b"\xdf\xff\xff\xff\xff", "msgpack that ends too early"),
        (
            b"\x83\x91\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa1a",
            "a key that is no text",
        ),
        (
            b"\x83\xa4type\x03\xa3nsp\xa1/\xa4data\x90",
            "an ACK without id",
        ),
        (b"\x82\xa4type\x05\xa3nsp\xa1/", "unknown packet type"),
        (b"\x82\xa4type\xa1\x31\xa3nsp\xa1/", "unknown packet type"),
        (b"\x81\xa4type\x01", "a packet without a namespace"),
        (
            b"\x82\xa4type\x01\xa3nsp\x01",
            "a packet without a namespace",
        ),
        (
            b"\x82\xa4type\x01\xa3nsp\xa1a",
            "a packet without a namespace",
        ),
        (b"\x82\xa4type\x01\xa3nsp\xa1/\xc0", "bytes behind a packet"),
        (
            b"\x82\xa4type\x02\xa3nsp\xa1/",
            "a payload that is no array",
        ),
        (
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x80",
            "a payload that is no array",
        ),
        (
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x90",
            "an event without a name",
        ),
        (
            b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xc0",
            "an event's name is a string",
        ),
        (
            b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\x90",
            "a CONNECT payload that is no object",
        ),
        (
            b"\x83\xa4type\x00\xa3nsp\xa1/\xa4data\xc4\x00",
            "binary outside of events and acks",
        ),
        (
            b"\x83\xa4type\x01\xa3nsp\xa1/\xa4data\x80",
            "data behind a DISCONNECT",
        ),
        (
            b"\x84\xa4type\x03\xa3nsp\xa1/\xa4data\x90\xa2id\xff",
            "ack id out of range",
        ),
        (
            b"\x84\xa4type\x03\xa3nsp\xa1/\xa4data\x90\xa2id\xcf\x00\x20\x00\x00\x00\x00\x00\x01",
            "ack id out of range",
        ),
    ] {
        assert_eq!(read(packet), Err(Broken(reason)), "{packet:?}");
    }
    assert_eq!(
        read(b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x91\xa7connect"),
        Err(PacketError::Reserved)
    );
    for (bytes, reason) in [
        (&b"\x81\x01\x02"[..], "a key that is no text"),
        (b"\xa1\xff", "text that is not UTF-8"),
        (b"\xc1", "an extension of msgpack that no client has"),
        (
            b"\xd4\x00\x01",
            "an extension of msgpack that no client has",
        ),
        (
            b"\xd4\x01\x00",
            "an extension of msgpack that no client has",
        ),
        (
            b"\xc7\x00\x01",
            "an extension of msgpack that no client has",
        ),
        (b"\xdd\xff\xff\xff\xff", "msgpack that ends too early"),
        (b"\xdf\xff\xff\xff\xff", "msgpack that ends too early"),
        (b"\xc6\xff\xff\xff\xff", "msgpack that ends too early"),
    ] {
        assert_eq!(value(bytes), Err(Broken(reason)), "{bytes:?}");
    }
    assert_eq!(
        value(&[b"\x9b", &[0xc4, 0].repeat(11)[..]].concat()),
        Err(Broken("too many attachments"))
    );
    assert_eq!(
        value(&[b"\xc5\x03\xe9", &[0; 1001][..]].concat()),
        Err(Broken("attachments too large"))
    );
    assert!(value(&[&[0x91; 127][..], &[0]].concat()).is_ok());
    for depth in [128, 500_000] {
        assert_eq!(
            value(&[&vec![0x91; depth][..], &[0]].concat()),
            Err(Broken("a payload that nests too deep"))
        );
    }
}

#[test]
fn depth_of_what_is_written_costs_no_stack() {
    let deep = "[".repeat(500_000) + &"]".repeat(500_000);
    let written = write_msgpack_event("/", None, "a", &[json(&deep)], None);
    assert_eq!(
        written,
        with_value(&[&[0x91; 499_999][..], &[0x90]].concat())
    );
}

/// The arguments with their numbers and strings as msgpack leaves them.
fn decoded(args: &[Arg]) -> Option<Vec<(serde_json::Value, Vec<Bytes>)>> {
    args.iter()
        .map(|arg| {
            let text = with_gaps(arg).replace(GAP, "\"gap\"");
            Some((serde_json::from_str(&text).ok()?, parts(arg).to_vec()))
        })
        .collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        namespace in "/|/[a-z,é]{1,40}",
        id in prop::option::of(0..=MAX_ID),
        name in "\\PC{1,40}",
        args in prop::collection::vec(arg(), 0..4),
    ) {
        let limits = ReadLimits { attachments: 1000, attachment_bytes: 10_000, ..LIMITS };
        let written = write_msgpack_event(&namespace, id, &name, &args, None);
        let packet = read_msgpack(&written, &limits).unwrap();
        let read = &packet.args;
        prop_assert_eq!(&packet, &event(&namespace, id, &name, read));
        // What JSON can decode is the same; and once through msgpack, nothing changes any more.
        if let Some(expected) = decoded(&args) {
            let read = decoded(read).unwrap();
            for ((read, read_parts), (expected, expected_parts)) in read.iter().zip(&expected) {
                prop_assert_eq!(read_parts, expected_parts);
                // Whole numbers lose their fraction.
                let read = read.to_string();
                prop_assert_eq!(read, expected.to_string());
            }
        }
        let again = write_msgpack_event(&namespace, id, &name, read, None);
        prop_assert_eq!(again, written);
        let again = write_msgpack_ack(&namespace, id.unwrap_or_default(), read);
        let expected = ack(&namespace, id.unwrap_or_default(), read);
        prop_assert_eq!(read_msgpack(&again, &limits), Ok(expected));
    }

    #[test]
    fn no_bytes_are_too_odd(data in prop::collection::vec(any::<u8>(), 0..60)) {
        drop(read(&data));
        drop(read_msgpack(&data, &OLD));
        drop(value(&data));
    }
}
