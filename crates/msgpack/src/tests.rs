use bytes::Bytes;
use polyport_core::{Arg, Json, Mixed};
use proptest::prelude::*;

use super::{Error::Malformed, text::tokens, *};

const LIMITS: Limits = Limits {
    depth: 128,
    binaries: 1000,
    binary_bytes: 200_000,
};

/// The one value that these bytes are, and how many unknown extensions there were.
fn read(dialect: Dialect, data: &[u8]) -> Result<(Arg, usize), Error> {
    let mut reader = Reader::new(data, dialect);
    let mut values = Values::new(LIMITS);
    let arg = values.read(&mut reader, 0)?;
    assert!(reader.is_empty(), "{data:x?}");
    Ok((arg, values.unknown()))
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
            Err(Malformed("a key that is no text"))
        );
    }
}

#[test]
fn numbers_may_be_keys() {
    let data = b"\x82\x01\x00\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x01";
    check(Dialect::NumberKeys, data, json(r#"{"1":0,"1.5":1}"#));
    for dialect in [Dialect::Standard, Dialect::Legacy] {
        let error = Malformed("a key that is no text");
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
        Err(Malformed("binary of msgpack-js"))
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
        let error = Malformed("a type that msgpack-js does not have");
        assert_eq!(Reader::new(&data, legacy).token(), Err(error));
    }
}

#[test]
fn bounds() {
    let nested = |depth| [&vec![0x91; depth][..], &[0]].concat();
    assert!(read(Dialect::Standard, &nested(LIMITS.depth)).is_ok());
    for depth in [LIMITS.depth + 1, 1_000_000] {
        assert_eq!(read(Dialect::Standard, &nested(depth)), Err(Error::TooDeep));
    }
    let binaries = |count: usize| {
        let head = [&[0xdd][..], &(count as u32).to_be_bytes()].concat();
        [&head[..], &[0xc4, 0].repeat(count)].concat()
    };
    assert!(read(Dialect::Standard, &binaries(LIMITS.binaries)).is_ok());
    assert_eq!(
        read(Dialect::Standard, &binaries(LIMITS.binaries + 1)),
        Err(Error::TooMany)
    );
    let many = |length: u32| {
        [
            &[0xc6][..],
            &length.to_be_bytes(),
            &vec![7; length as usize],
        ]
        .concat()
    };
    assert!(read(Dialect::Standard, &many(200_000)).is_ok());
    assert_eq!(
        read(Dialect::Standard, &many(200_001)),
        Err(Error::TooLarge)
    );
    for data in [
        &b"\xdf\xff\xff\xff\xff"[..],
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    ] {
        let cut = Malformed("msgpack that ends too early");
        assert_eq!(read(Dialect::Standard, data), Err(cut));
        assert_eq!(Reader::new(data, Dialect::Standard).skip(), Err(cut));
    }
    let mut deep = Writer::new(Form::Common);
    deep.json(&("[".repeat(500_000) + &"]".repeat(500_000)), &[]);
    let written = deep.finish();
    assert_eq!(written.len(), 500_000);
    assert_eq!(Reader::new(&written, Dialect::Legacy).skip(), Ok(()));
}

#[test]
fn what_is_written_is_what_all_libraries_have() {
    #[track_caller]
    fn check(text: &str, expected: &[u8]) {
        let mut out = Writer::new(Form::Common);
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
        let mut out = Writer::new(Form::Common);
        out.arg(&Arg::Binary(bytes.clone().into()));
        assert_eq!(out.finish(), [head, &bytes].concat());
    }
}

#[test]
fn what_only_notepack_has() {
    let notepack = Dialect::Notepack;
    for (data, text) in [
        (&b"\xd9\x01a"[..], "\"a\""),
        (b"\x82\xa1a\xd4\x00\x00\xa1b\x01", r#"{"b":1}"#),
        (
            b"\xd7\x00\x00\x00\x01\x46\x76\x53\x1c\x95",
            "\"2014-06-07T12:34:56.789Z\"",
        ),
        // Digits that JavaScript's numbers do not have.
        (
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            "18446744073709551615",
        ),
        (
            b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
            "-9223372036854775808",
        ),
    ] {
        check(notepack, data, json(text));
    }
    check(notepack, b"\xc7\x02\x00ab", binary(b"ab"));
    for data in [
        &b"\xd4\x00\x01"[..],
        b"\xd4\x0d\x00",
        b"\xd5\x00ab",
        b"\xd7\xff\xbc\x1c\xbd\x00\x53\x93\x06\xf0",
        b"\xc8\x00\x02\x11ab",
        b"\xc1",
    ] {
        let error = Malformed("an extension of msgpack that no client has");
        assert_eq!(read(notepack, data), Err(error), "{data:x?}");
    }
    let error = Malformed("text that is not UTF-8");
    assert_eq!(read(notepack, b"\xa1\xff"), Err(error));
    assert_eq!(Reader::new(b"\xa1\xff", notepack).skip(), Err(error));
}

#[test]
fn nothing() {
    for (dialect, data, is_nothing) in [
        (Dialect::Standard, &b"\xd4\x00\x00"[..], true),
        (Dialect::Standard, b"\xc0", true),
        (Dialect::Standard, b"\xc4\x00", false),
        (Dialect::Legacy, b"\xc4", true),
        (Dialect::Legacy, b"\xd4\x00\x00", false),
        (Dialect::Notepack, b"", false),
    ] {
        let reader = Reader::new(data, dialect);
        assert_eq!(reader.is_nothing(), is_nothing, "{data:x?}");
    }
}

#[test]
fn forms_differ_in_numbers_and_lengths() {
    let written = |form, text: &str| {
        let mut out = Writer::new(form);
        out.json(text, &[]);
        out.finish()
    };
    let float = |number: f64| [&[0xcb][..], &number.to_be_bytes()].concat();
    for (text, number) in [
        ("2147483648", 2_147_483_648.0),
        ("4294967296", 4_294_967_296.0),
        ("-2147483649", -2_147_483_649.0),
        ("18446744073709551615", 18_446_744_073_709_551_615.0),
        ("18446744073709551616", 18_446_744_073_709_551_616.0),
    ] {
        assert_eq!(written(Form::Lite, text), float(number));
    }
    assert_eq!(written(Form::Common, "2147483648"), b"\xce\x80\x00\x00\x00");
    assert_eq!(written(Form::Common, "4294967296"), float(4_294_967_296.0));
    assert_eq!(
        written(Form::Notepack, "18446744073709551615"),
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
    );
    assert_eq!(
        written(Form::Notepack, "-2147483649"),
        b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff"
    );
    assert_eq!(
        written(Form::Notepack, "18446744073709551616"),
        float(18_446_744_073_709_551_616.0)
    );
    assert_eq!(written(Form::Lite, "2147483647"), b"\xce\x7f\xff\xff\xff");
    let long = format!("\"{}\"", "x".repeat(32));
    assert!(written(Form::Common, &long).starts_with(b"\xda\x00\x20"));
    for form in [Form::Lite, Form::Notepack] {
        assert!(written(form, &long).starts_with(b"\xd9\x20"));
    }
    for (form, head) in [
        (Form::Lite, &b"\xc5\x00\xff"[..]),
        (Form::Notepack, b"\xc4\xff"),
        (Form::Common, b"\xc4\xff"),
    ] {
        let mut out = Writer::new(form);
        out.binary(&[7; 255]);
        assert!(out.finish().starts_with(head));
    }
    let mut out = Writer::new(Form::Notepack);
    out.undefined();
    out.nil();
    out.bool(true);
    out.unsigned(u64::MAX);
    assert_eq!(
        out.finish(),
        b"\xd4\x00\x00\xc0\xc3\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
    );
}

/// The text of a JSON value, with gaps for binary. Numbers are such as come back as they were.
fn gapped() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        (any::<i64>(), 11..64_u32).prop_map(|(number, bits)| (number >> bits).to_string()),
        prop::num::f64::NORMAL.prop_map(printed),
        "\\PC{0,40}".prop_map(|text| Json::string(&text).as_str().to_owned()),
        Just(GAP.to_string()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let members = prop::collection::vec(("[a-z]{0,3}", inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..20).prop_map(|list| format!("[{}]", list.join(","))),
            members.prop_map(|members| {
                let member = |(key, value): &(String, String)| format!("\"{key}\":{value}");
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Any argument.
fn arg() -> impl Strategy<Value = Arg> {
    let part = prop::collection::vec(any::<u8>(), 0..300);
    (gapped(), prop::collection::vec(part, 20)).prop_map(|(text, parts)| {
        let gaps = text.matches(GAP).count();
        let mut parts: Vec<Bytes> = parts
            .into_iter()
            .map(Bytes::from)
            .cycle()
            .take(gaps)
            .collect();
        if parts.is_empty() {
            return json(&text);
        }
        if text.len() == GAP.len_utf8() {
            return Arg::Binary(parts.remove(0));
        }
        let texts = text.split(GAP).map(Box::from).collect();
        Arg::Mixed(Mixed::new(texts, parts).unwrap().into())
    })
}

/// The tokens of an argument, its numbers as JavaScript has them.
fn numbers(arg: &Arg) -> Vec<String> {
    let text = with_gaps(arg);
    let token = |token: &str| match token.parse::<f64>() {
        Ok(number) if !token.starts_with('n') => printed(number),
        _ => token.to_owned(),
    };
    tokens(&text).map(token).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(arg in arg()) {
        for (form, dialects) in [
            (Form::Common, &[Dialect::Standard, Dialect::NumberKeys, Dialect::Notepack][..]),
            (Form::Lite, &[Dialect::Standard, Dialect::NumberKeys, Dialect::Notepack]),
            (Form::Notepack, &[Dialect::Notepack]),
        ] {
            let mut out = Writer::new(form);
            out.arg(&arg);
            let written = out.finish();
            for dialect in dialects {
                let (read, unknown) = read(*dialect, &written).unwrap();
                prop_assert_eq!(unknown, 0);
                prop_assert_eq!(parts(&read), parts(&arg));
                // A double that is whole is one integer in some forms, and all of its digits in others.
                prop_assert_eq!(numbers(&read), numbers(&arg));
            }
            if form == Form::Common && parts(&arg).is_empty() {
                let (read, _) = read(Dialect::Legacy, &written).unwrap();
                prop_assert_eq!(numbers(&read), numbers(&arg));
            }
        }
    }

    #[test]
    fn no_bytes_are_too_odd(data in prop::collection::vec(any::<u8>(), 0..60)) {
        for dialect in [
            Dialect::Standard,
            Dialect::NumberKeys,
            Dialect::Legacy,
            Dialect::Notepack,
        ] {
            let mut reader = Reader::new(&data, dialect);
            let skipped = reader.skip();
            let mut values = Reader::new(&data, dialect);
            // Whatever can be read can be left out, and ends at the same place.
            if Values::new(LIMITS).read(&mut values, 0).is_ok() {
                prop_assert_eq!(skipped, Ok(()));
                prop_assert_eq!(reader.is_empty(), values.is_empty());
            }
        }
    }

    #[test]
    fn no_text_is_too_odd(text in "[\\[\\]{}:,\"\\\\\u{1}0-9a-z. é-]{0,30}") {
        for form in [Form::Common, Form::Notepack, Form::Lite] {
            let mut out = Writer::new(form);
            out.json(&text, &[]);
            let longest = 9 * text.chars().count();
            prop_assert!(out.finish().len() <= longest);
        }
        prop_assert!(tokens(&text).count() <= text.len());
    }
}
