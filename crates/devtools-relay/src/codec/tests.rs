use proptest::prelude::*;

use super::*;

/// The packets of a text: name, data, number, answered number.
fn packets(text: &str) -> Vec<String> {
    let Message::Packets(packets) = read(text) else {
        panic!("no packets: {text}");
    };
    let mut all = Vec::new();
    packets
        .each(|packet| {
            let raw = |value: Option<&RawValue>| value.map_or("-", RawValue::get).to_owned();
            let name = packet
                .name()
                .map_or_else(|| "-".to_owned(), Cow::into_owned);
            all.push(format!(
                "{name} {} {} {}",
                raw(packet.data),
                raw(packet.cid),
                raw(packet.rid)
            ));
            true
        })
        .unwrap();
    all
}

fn written(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    out
}

#[test]
fn pings_and_what_is_no_packet() {
    assert_eq!(read(""), Message::Pong(Generation::V2));
    assert_eq!(read("#2"), Message::Pong(Generation::V1));
    for raw in [
        "#1",
        "hello",
        "123",
        "null",
        "\"str\"",
        "{bad json}",
        "[1,",
        " ",
        "{} {}",
        "[]\t\u{c}",
        "\u{b}[]",
    ] {
        assert_eq!(read(raw), Message::Raw, "{raw}");
    }
}

#[test]
fn packets_alone_and_in_lists() {
    assert_eq!(
        packets(" {\n  \"cid\": 1, \"data\": null, \"event\": \"ec\\u0068o\"}\n"),
        ["echo null 1 -"]
    );
    assert_eq!(packets(r#"{"rid":7}"#), ["- - - 7"]);
    assert_eq!(packets(r#"{"a":1}"#), ["- - - -"]);
    assert_eq!(
        packets(r#"[{"event":"a"},5,{"event":"b","data":{"x":[1e2]},"cid":"s"},[]]"#),
        ["a - - -", r#"b {"x":[1e2]} "s" -"#]
    );
    assert!(packets("[]").is_empty());
    assert_eq!(packets(r#"{"event":"a","event":"b"}"#), ["b - - -"]);
    assert_eq!(
        packets(r#"{"event":{"type":"ERROR"},"data":1}"#),
        ["- 1 - -"]
    );
    assert_eq!(packets(r#"{"event":"\ud800"}"#), ["- - - -"]);
}

#[test]
fn a_list_has_a_bound_and_can_be_left() {
    let long = format!("[{}]", vec!["{}"; MAX_BATCH + 1].join(","));
    let Message::Packets(long) = read(&long) else {
        panic!("it is a list");
    };
    let mut count = 0;
    let counted = long.each(|_| {
        count += 1;
        true
    });
    assert_eq!((counted, count), (Err(BatchTooLong), MAX_BATCH));
    let left = long.each(|_| {
        count += 1;
        false
    });
    assert_eq!((left, count), (Ok(()), MAX_BATCH + 1));
}

#[test]
fn numbers_of_calls() {
    let taken = |cid: &str, cids| {
        let text = format!(r#"{{"event":"x","cid":{cid}}}"#);
        let packet: Packet<'_> = serde_json::from_str(&text).unwrap();
        packet.call_id(cids).is_some()
    };
    for (cid, truthy, number, all) in [
        ("1", true, true, true),
        ("-5", true, true, true),
        ("1.5", true, true, true),
        ("9007199254740993", true, true, true),
        ("0", false, true, true),
        ("-0.0", false, true, true),
        ("\"s\"", true, false, true),
        ("\"\"", false, false, true),
        ("false", false, false, true),
        ("[]", true, false, true),
        ("null", false, false, false),
    ] {
        let found = [Cids::Truthy, Cids::Numbers, Cids::All].map(|cids| taken(cid, cids));
        assert_eq!(found, [truthy, number, all], "{cid}");
    }
    assert!(!taken(&format!("\"{}\"", "x".repeat(MAX_CID)), Cids::All));
}

#[test]
fn channels_in_all_forms() {
    let check = |data: &str, name: Option<&str>, flags: (bool, bool)| {
        let raw: &RawValue = serde_json::from_str(data).unwrap();
        let channel = Channel::read(Some(raw));
        assert_eq!(channel.name().as_deref(), name, "{data}");
        assert_eq!(
            (channel.waits_for_auth, channel.is_batched),
            flags,
            "{data}"
        );
    };
    check(r#""news""#, Some("news"), (false, false));
    check(r#"{"channel":"a","batch":true}"#, Some("a"), (false, true));
    check(
        r#"{"channel":"","waitForAuth":true}"#,
        Some(""),
        (true, false),
    );
    check(r#"{"a":1}"#, None, (false, false));
    check(r#"{"channel":5}"#, None, (false, false));
    check("5", None, (false, false));
    assert!(Channel::read(None).name().is_none());
}

#[test]
fn members_of_objects() {
    let raw = |text| -> &RawValue { serde_json::from_str(text).unwrap() };
    let object = raw(r#"{"a":1,"b":{"a":2},"a":[3]}"#);
    assert_eq!(member(object, "a").map(RawValue::get), Some("[3]"));
    assert_eq!(member(object, "c").map(RawValue::get), None);
    assert_eq!(member(raw("[1]"), "a").map(RawValue::get), None);
    let found = members(object, 3).unwrap();
    let keys: Vec<&str> = found.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, ["a", "b", "a"]);
    assert!(members(object, 2).is_none());
    assert!(members(raw("5"), 9).is_none());
}

#[test]
fn packets_of_a_server() {
    use Generation::{V1, V2};
    let check = |found: String, expected: &str| assert_eq!(found, expected);
    check(
        written(|out| write_event(out, "greet", None)),
        r#"{"event":"greet"}"#,
    );
    check(
        written(|out| write_event(out, "a\"\n", Some("null"))),
        r#"{"event":"a\"\n","data":null}"#,
    );
    check(
        written(|out| write_publish(out, "news", Some(r#"{"n":1}"#))),
        r##"{"event":"#publish","data":{"channel":"news","data":{"n":1}}}"##,
    );
    check(
        written(|out| write_publish(out, "news", None)),
        r##"{"event":"#publish","data":{"channel":"news"}}"##,
    );
    check(
        written(|out| write_call(out, V1, "p", Some("5"), 1)),
        r#"{"event":"p","data":5,"cid":1}"#,
    );
    check(
        written(|out| write_call(out, V2, "p", Some("5"), 1)),
        r#"{"event":"p","cid":1,"data":5}"#,
    );
    check(written(|out| write_answer(out, "4", None)), r#"{"rid":4}"#);
    check(
        written(|out| write_answer(out, "\"s\"", Some("null"))),
        r#"{"rid":"s","data":null}"#,
    );
    check(
        written(|out| write_error(out, "1", r#"{"message":"no"}"#, Some(r#"{"code":4008}"#))),
        r#"{"rid":1,"error":{"message":"no"},"data":{"code":4008}}"#,
    );
    check(
        written(|out| write_kick_out(out, V1, "news", Some("out!"))),
        r##"{"event":"#kickOut","data":{"message":"out!","channel":"news"}}"##,
    );
    check(
        written(|out| write_kick_out(out, V2, "news", Some("out!"))),
        r##"{"event":"#kickOut","data":{"channel":"news","message":"out!"}}"##,
    );
    check(
        written(|out| write_kick_out(out, V1, "news", None)),
        r##"{"event":"#kickOut","data":{"channel":"news"}}"##,
    );
    check(
        written(|out| write_disconnect(out, 4321, Some("\"go away\""))),
        r##"{"event":"#disconnect","data":{"code":4321,"data":"go away"}}"##,
    );
    check(
        written(|out| write_batch(out, &[r#"{"rid":1}"#.to_owned(), r#"{"rid":2}"#.to_owned()])),
        r#"[{"rid":1},{"rid":2}]"#,
    );
}

/// JSON values of every kind.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        "\\PC{0,8}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map("\\PC{0,4}", inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(name in "\\PC{0,20}", data in prop::option::of(value()), cid in any::<u64>(), old in any::<bool>()) {
        let generation = if old { Generation::V1 } else { Generation::V2 };
        let data = data.map(|data| data.to_string());
        let call = written(|out| write_call(out, generation, &name, data.as_deref(), cid));
        let answer = written(|out| write_answer(out, &cid.to_string(), data.as_deref()));
        let both = written(|out| write_batch(out, &[call, answer]));
        let Message::Packets(packets) = read(&both) else {
            panic!("it is a list");
        };
        let mut seen = Vec::new();
        packets.each(|packet| { seen.push(packet); true }).unwrap();
        prop_assert_eq!(seen.len(), 2);
        let found = seen[0].name();
        prop_assert_eq!(found.as_deref(), Some(&*name));
        let number = cid.to_string();
        prop_assert_eq!(seen[0].call_id(Cids::Numbers), Some(&*number));
        prop_assert_eq!(seen[1].answered(), Some(cid));
        for packet in seen {
            prop_assert_eq!(packet.data.map(RawValue::get), data.as_deref());
        }
    }

    #[test]
    fn channels_are_read_as_they_were_written(channel in "\\PC{0,20}", data in prop::option::of(value())) {
        let data = data.map(|data| data.to_string());
        let text = written(|out| write_publish(out, &channel, data.as_deref()));
        let packet: Packet<'_> = serde_json::from_str(&text).unwrap();
        let read = Channel::read(packet.data);
        let found = read.name();
        prop_assert_eq!(found.as_deref(), Some(&*channel));
        prop_assert_eq!(read.data.map(RawValue::get), data.as_deref());
    }

    #[test]
    fn any_text_is_taken(text in "[\\[\\]{}\",:#a-e0-9\\\\ ]{0,80}") {
        if let Message::Packets(packets) = read(&text) {
            packets.each(|packet| {
                let _ = (packet.name(), packet.call_id(Cids::All), packet.answered());
                true
            }).unwrap();
        }
    }
}
