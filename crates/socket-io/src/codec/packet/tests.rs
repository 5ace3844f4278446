use std::sync::Arc;

use polyport_core::Mixed;
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
            (".*", inner)
                .prop_map(|(key, value)| format!("{{{}:{value}}}", Json::string(&key).as_str())),
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
