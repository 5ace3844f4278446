use bytes::Bytes;
use polyport_core::{Arg, Json, Mixed};
use proptest::prelude::*;

use super::{legacy::Script, text::tokens, *};
use crate::codec::{DEPTH, MAX_ITEMS, ReadError};

/// The one value that these bytes are, and how many unknown extensions there were.
fn read(dialect: Dialect, data: &[u8]) -> Result<(Arg, usize), ReadError> {
    let mut reader = Reader::new(data, dialect);
    let mut values = Values::default();
    let arg = values.read(&mut reader, 0)?;
    assert!(reader.is_empty(), "{data:x?}");
    Ok((arg, values.unknown))
}

fn json(text: &str) -> Arg {
    Arg::Json(Json::parse(text).unwrap())
}

fn binary(bytes: &'static [u8]) -> Arg {
    Arg::Binary(Bytes::from_static(bytes))
}

#[track_caller]
fn check(dialect: Dialect, data: &[u8], expected: Arg) {
    assert_eq!(read(dialect, data), Ok((expected, 0)), "{data:x?}");
}

#[test]
fn what_both_dialects_have() {
    for dialect in [Dialect::Standard, Dialect::Legacy] {
        for (data, text) in [
            (&b"\x00"[..], "0"),
            (b"\x7f", "127"),
            (b"\xff", "-1"),
            (b"\xe0", "-32"),
            (b"\xcc\xff", "255"),
            (b"\xcd\xff\xff", "65535"),
            (b"\xce\xff\xff\xff\xff", "4294967295"),
            (b"\xd0\x80", "-128"),
            (b"\xd1\x80\x00", "-32768"),
            (b"\xd2\x80\x00\x00\x00", "-2147483648"),
            (b"\xca\x3d\xcc\xcc\xcd", "0.10000000149011612"),
            (b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5"),
            (b"\xcb\x80\x00\x00\x00\x00\x00\x00\x00", "0"),
            (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
            (b"\xcb\xff\xf0\x00\x00\x00\x00\x00\x00", "null"),
            (b"\xcf\x00\x1f\xff\xff\xff\xff\xff\xff", "9007199254740991"),
            (
                b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
                "18446744073709552000",
            ),
            (b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff", "-2147483649"),
            (b"\xc0", "null"),
            (b"\xc2", "false"),
            (b"\xc3", "true"),
            (b"\xa3\"\n\\", r#""\"\n\\""#),
            (b"\xa3\xed\xa0\x80", "\"\u{fffd}\u{fffd}\u{fffd}\""),
            (b"\xda\x00\x02\xc3\xa9", "\"é\""),
            (b"\xdb\x00\x00\x00\x01a", "\"a\""),
            (b"\x92\x90\x80", "[[],{}]"),
            (b"\xdc\x00\x01\x00", "[0]"),
            (b"\xdd\x00\x00\x00\x01\x00", "[0]"),
            (b"\xde\x00\x01\xa1a\x00", r#"{"a":0}"#),
            (b"\xdf\x00\x00\x00\x01\xa1a\x00", r#"{"a":0}"#),
        ] {
            check(dialect, data, json(text));
        }
        for data in [
            &b"\xc1"[..],
            b"",
            b"\xa2a",
            b"\x91",
            b"\x81\xa1a",
            b"\xdd\xff\xff\xff\xff",
        ] {
            assert!(read(dialect, data).is_err(), "{data:x?}");
        }
        assert_eq!(
            read(dialect, b"\x81\xc3\x01"),
            Err(ReadError::Malformed("a key that is no text"))
        );
    }
}

#[test]
fn numbers_may_be_keys() {
    let data = b"\x82\x01\x00\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x01";
    check(Dialect::NumberKeys, data, json(r#"{"1":0,"1.5":1}"#));
    for dialect in [Dialect::Standard, Dialect::Legacy] {
        let error = ReadError::Malformed("a key that is no text");
        assert_eq!(read(dialect, data), Err(error));
    }
}

#[test]
fn what_only_the_standard_has() {
    let standard = Dialect::Standard;
    let date = "\"2014-06-07T12:34:56.789Z\"";
    for (data, text) in [
        (&b"\xd9\x01a"[..], "\"a\""),
        (b"\xd4\x00\x00", "null"),
        (
            b"\x83\xa1a\xd4\x00\x00\xa1b\x01\xa1c\xd4\x00\x00",
            r#"{"b":1}"#,
        ),
        (b"\xc7\x09\x0d\xcb\x42\x74\x67\x65\x31\xc9\x50\x00", date),
        (b"\xd4\x0d\x00", "\"1970-01-01T00:00:00.000Z\""),
        (b"\xd7\x00\x00\x00\x01\x46\x76\x53\x1c\x95", date),
        (b"\xd7\xff\xbc\x1c\xbd\x00\x53\x93\x06\xf0", date),
        (b"\xd6\xff\x53\x93\x06\xf0", "\"2014-06-07T12:34:56.000Z\""),
        (
            b"\xc7\x0c\xff\x3b\x8b\x87\xc0\xff\xff\xff\xff\xff\xff\xff\xff",
            "\"1969-12-31T23:59:59.999Z\"",
        ),
        (
            b"\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
            "null",
        ),
        (b"\xc7\x09\x0d\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "null"),
    ] {
        check(standard, data, json(text));
    }
    for (data, bytes) in [
        (&b"\xc4\x02ab"[..], &b"ab"[..]),
        (b"\xc5\x00\x02ab", b"ab"),
        (b"\xc6\x00\x00\x00\x02ab", b"ab"),
        // ArrayBuffers and typed arrays.
        (b"\xc7\x02\x00ab", b"ab"),
        (b"\xc7\x01\x00\x00", b"\0"),
        (b"\xc7\x08\x00abcdefgh", b"abcdefgh"),
        (b"\xc8\x00\x02\x11ab", b"ab"),
        (b"\xc9\x00\x00\x00\x02\x1dab", b"ab"),
        (b"\xd4\x00\x01", b"\x01"),
        (b"\xd5\x00ab", b"ab"),
        (b"\xd8\x12abcdefghijklmnop", b"abcdefghijklmnop"),
    ] {
        check(standard, data, binary(bytes));
    }
    for (data, bytes) in [
        (&b"\xd4\x01a"[..], &b"a"[..]),
        (b"\xc7\x02\x7fab", b"ab"),
        (b"\xc7\x02\xffab", b"ab"),
        (b"\xc7\x02\x0dab", b"ab"),
        (b"\xc7\x03\x0d\xd4\x0d\x00", b"\xd4\x0d\x00"),
    ] {
        assert_eq!(read(standard, data), Ok((binary(bytes), 1)), "{data:x?}");
    }
    assert_eq!(
        read(standard, b"\xd8\x00\x0f0123456789abcde"),
        Err(ReadError::Malformed("binary of msgpack-js"))
    );
}

#[test]
fn what_only_the_legacy_dialect_has() {
    let legacy = Dialect::Legacy;
    check(legacy, b"\xc4", json("null"));
    check(legacy, b"\x93\xc4\x01\xc4", json("[null,1,null]"));
    check(legacy, b"\x82\xa1a\xc4\xa1b\x01", json(r#"{"b":1}"#));
    check(legacy, b"\xd8\x00\x00", binary(b""));
    check(legacy, b"\xd8\x00\x02ab", binary(b"ab"));
    check(legacy, b"\xd9\x00\x00\x00\x02ab", binary(b"ab"));
    let mixed = Mixed::new(
        [r#"{"a":["#, ",1],\"b\":", "}"].map(Box::from).to_vec(),
        vec![Bytes::from_static(b"\x01"), Bytes::new()],
    );
    check(
        legacy,
        b"\x82\xa1a\x92\xd8\x00\x01\x01\x01\xa1b\xd8\x00\x00",
        Arg::Mixed(mixed.unwrap().into()),
    );
    for first in [0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7] {
        let data = [first, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let error = ReadError::Malformed("a type that msgpack-js does not have");
        assert_eq!(Reader::new(&data, legacy).token(), Err(error));
    }
}

#[test]
fn bounds() {
    let nested = |depth| [&vec![0x91; depth][..], &[0]].concat();
    assert!(read(Dialect::Standard, &nested(DEPTH)).is_ok());
    for depth in [DEPTH + 1, 1_000_000] {
        assert_eq!(
            read(Dialect::Standard, &nested(depth)),
            Err(ReadError::TooDeep)
        );
    }
    let binaries = |count: usize| {
        let head = [&[0xdd][..], &(count as u32).to_be_bytes()].concat();
        [&head[..], &[0xc4, 0].repeat(count)].concat()
    };
    assert!(read(Dialect::Standard, &binaries(MAX_ITEMS)).is_ok());
    assert_eq!(
        read(Dialect::Standard, &binaries(MAX_ITEMS + 1)),
        Err(ReadError::TooMany)
    );
    for data in [
        &b"\xdf\xff\xff\xff\xff"[..],
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    ] {
        let cut = ReadError::Malformed("msgpack that ends too early");
        assert_eq!(read(Dialect::Standard, data), Err(cut));
        assert_eq!(Reader::new(data, Dialect::Standard).skip(), Err(cut));
    }
    let mut deep = Writer::default();
    deep.json(&("[".repeat(500_000) + &"]".repeat(500_000)), &[]);
    let written = deep.finish();
    assert_eq!(written.len(), 500_000);
    assert_eq!(Reader::new(&written, Dialect::Legacy).skip(), Ok(()));
}

#[test]
fn what_is_written_is_what_all_libraries_have() {
    #[track_caller]
    fn check(text: &str, expected: &[u8]) {
        let mut out = Writer::default();
        out.json(text, &[]);
        assert_eq!(out.finish(), expected, "{text}");
    }
    for (text, expected) in [
        (" null ", &b"\xc0"[..]),
        ("true", b"\xc3"),
        ("false", b"\xc2"),
        ("0", b"\x00"),
        ("-0", b"\x00"),
        ("127", b"\x7f"),
        ("128", b"\xcc\x80"),
        ("256.0", b"\xcd\x01\x00"),
        ("65536", b"\xce\x00\x01\x00\x00"),
        ("4294967295", b"\xce\xff\xff\xff\xff"),
        ("4294967296", b"\xcb\x41\xf0\x00\x00\x00\x00\x00\x00"),
        ("-32", b"\xe0"),
        ("-33", b"\xd0\xdf"),
        ("-129", b"\xd1\xff\x7f"),
        ("-32769", b"\xd2\xff\xff\x7f\xff"),
        ("-2147483649", b"\xcb\xc1\xe0\x00\x00\x00\x20\x00\x00"),
        ("1.5", b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"),
        ("1e400", b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"),
        (r#""\u00e9""#, b"\xa2\xc3\xa9"),
        (
            r#"{"a" : [ 1 , {} ],"b":[]}"#,
            b"\x82\xa1a\x92\x01\x80\xa1b\x90",
        ),
    ] {
        check(text, expected);
    }
    for (length, head) in [
        (31, &b"\xbf"[..]),
        (32, b"\xda\x00\x20"),
        (65_535, b"\xda\xff\xff"),
        (65_536, b"\xdb\x00\x01\x00\x00"),
    ] {
        let text = "x".repeat(length);
        check(
            Json::string(&text).as_str(),
            &[head, text.as_bytes()].concat(),
        );
    }
    for (length, head) in [
        (15, &b"\x9f"[..]),
        (16, b"\xdc\x00\x10"),
        (65_536, b"\xdd\x00\x01\x00\x00"),
    ] {
        let list = format!("[{}]", vec!["1"; length].join(","));
        check(&list, &[head, &vec![1; length]].concat());
    }
    for (length, head) in [
        (0, &b"\xc4\x00"[..]),
        (255, b"\xc4\xff"),
        (256, b"\xc5\x01\x00"),
        (65_536, b"\xc6\x00\x01\x00\x00"),
    ] {
        let bytes = vec![7; length];
        let mut out = Writer::default();
        out.arg(&Arg::Binary(bytes.clone().into()));
        assert_eq!(out.finish(), [head, &bytes].concat());
    }
}

proptest! {
    #[test]
    fn legacy_values_are_read(value in Script::any(true)) {
        prop_assert_eq!(read(Dialect::Legacy, &value.legacy()), Ok((value.arg(), 0)));
    }

    #[test]
    fn what_is_written_is_read(value in Script::any(false)) {
        let mut out = Writer::default();
        out.arg(&value.arg());
        let written = out.finish();
        prop_assert_eq!(read(Dialect::Standard, &written), Ok((value.arg(), 0)));
        // Without binary there is one form for everybody.
        if parts(&value.arg()).is_empty() {
            prop_assert_eq!(read(Dialect::Legacy, &written), Ok((value.arg(), 0)));
        }
    }

    #[test]
    fn no_bytes_are_too_odd(data in prop::collection::vec(any::<u8>(), 0..60)) {
        for dialect in [Dialect::Standard, Dialect::Legacy] {
            let mut reader = Reader::new(&data, dialect);
            let skipped = reader.skip();
            let mut values = Reader::new(&data, dialect);
            // Whatever can be read can be left out, and ends at the same place.
            if Values::default().read(&mut values, 0).is_ok() {
                prop_assert_eq!(skipped, Ok(()));
                prop_assert_eq!(reader.is_empty(), values.is_empty());
            }
        }
    }

    #[test]
    fn no_text_is_too_odd(text in "[\\[\\]{}:,\"\\\\\u{1}0-9a-z. é-]{0,30}") {
        let mut out = Writer::default();
        out.json(&text, &[]);
        prop_assert!(tokens(&text).count() <= text.len());
    }
}
