use proptest::prelude::*;

use super::*;

const TIME: &str = "2026-11-20 13:15:57.985326";

/// The receipt for a text.
fn receipt_for(text: &str) -> String {
    let receipt = match read(text) {
        Some(message) => Receipt::Object(message.id()),
        None => Receipt::Other(text.len()),
    };
    let mut out = String::new();
    write_receipt(&mut out, TIME, receipt);
    out
}

#[track_caller]
fn check_receipt(text: &str, message_id: &str, attr: &str) {
    let expected = format!(
        r#"{{"time": "{TIME}", "messageId": {message_id}, "socket": "sent", "attr": "{attr}"}}"#
    );
    assert_eq!(receipt_for(text), expected, "{text}");
}

#[test]
fn receipts_of_objects_bring_the_id_back() {
    for (text, id) in [
        (
            r#"{"id":"0.lchkqdo","message":"Art can be very abstract.","data":{}}"#,
            r#""0.lchkqdo""#,
        ),
        (r#"{"message":"x.y"}"#, "null"),
        ("{}", "null"),
        (r#"{"id":null}"#, "null"),
        (r#"{"id":12}"#, "12"),
        (r#"{"id":0.5}"#, "0.5"),
        (r#"{"id":-1e400}"#, "-1e400"),
        (r#"{"id":true}"#, "true"),
        ("{ \"id\" : \"sp\" ,\n \"message\":\"a.b\" }", r#""sp""#),
        ("\n\t {\"id\":1} \r\n", "1"),
        (r#"{"id":1,"id":2}"#, "2"),
        (r#"{"\u0069d":7}"#, "7"),
        (r#"{"data":{"id":1}}"#, "null"),
    ] {
        check_receipt(text, id, "json");
    }
}

#[test]
fn ids_come_back_in_pythons_form() {
    for (id, expected) in [
        (r#""hé""#, r#""h\u00e9""#),
        (r#""hé\n\"q""#, r#""h\u00e9\n\"q""#),
        (r#""é😀""#, r#""\u00e9\ud83d\ude00""#),
        (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
        (
            r#""\u00E9\u0041\/\u000a\u0008\f\r\t\u0000\\""#,
            r#""\u00e9A/\n\b\f\r\t\u0000\\""#,
        ),
        ("\"\u{7f}\"", r#""\u007f""#),
        (r#""a: b, [c] ""#, r#""a: b, [c] ""#),
        (r#""\ud800""#, r#""\ud800""#),
        ("[1,1]", "[1, 1]"),
        (r#"{"a":1,"b":1}"#, r#"{"a": 1, "b": 1}"#),
        (
            "{\n\"a\" :\t[ ] , \"é,:\":{ }}",
            r#"{"a": [], "\u00e9,:": {}}"#,
        ),
        (r#"{"a":1,"b":[1,2]}"#, r#"{"a": 1, "b": [1, 2]}"#),
    ] {
        check_receipt(&format!(r#"{{"id":{id}}}"#), expected, "json");
    }
}

#[test]
fn receipts_of_everything_else_count_bytes() {
    for (text, bytes) in [
        ("", "0"),
        ("5", "1"),
        (r#""hello""#, "7"),
        ("[1,2,3]", "7"),
        ("null", "4"),
        ("true", "4"),
        ("Flerburry (42)!", "15"),
        (r#"{"id":"#, "6"),
        ("héllo", "6"),
        (r#"{"id":NaN}"#, "10"),
        (r#"{"id":Infinity}"#, "15"),
        ("{\"id\":1} x", "10"),
        ("{'id':1}", "8"),
        ("{\"id\":\"a\nb\"}", "12"),
        ("\u{feff}{}", "5"),
    ] {
        check_receipt(text, bytes, "string");
    }
}

#[test]
fn refusals_and_presence() {
    let mut out = String::new();
    write_receipt(&mut out, TIME, Receipt::Refused(Some(r#""x""#)));
    let expected = format!(
        r#"{{"time": "{TIME}", "messageId": "x", "socket": "refused", "attr": "forgery"}}"#
    );
    assert_eq!(out, expected);
    out.clear();
    write_presence(&mut out, Presence::Connected, 41078, "127.0.0.1");
    assert_eq!(
        out,
        r#"{"socket": "connected", "port": 41078, "address": "127.0.0.1"}"#
    );
    out.clear();
    write_presence(&mut out, Presence::Disconnected, 41066, "::1");
    assert_eq!(
        out,
        r#"{"socket": "disconnected", "port": 41066, "address": "::1"}"#
    );
}

#[test]
fn names_are_split_as_the_client_library_does() {
    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let name = read(text).and_then(|message| message.name());
        let found = name.as_deref().and_then(channel_and_event);
        assert_eq!(found, expected, "{text}");
    }
    check(r#"{"message":"room.hello"}"#, Some(("room", "hello")));
    check(r#"{"message":"a.b.c"}"#, Some(("a", "b")));
    check(
        r#"{"message":"Art can be very abstract."}"#,
        Some(("Art can be very abstract", "")),
    );
    check(
        r#"{"message":"\u0072oom\u002ehello"}"#,
        Some(("room", "hello")),
    );
    check(r#"{"message":"hello"}"#, None);
    check(r#"{"message":5}"#, None);
    check(r#"{"message":["a.b"]}"#, None);
    check(r#"{"message":"\ud800.x"}"#, None);
    check("{}", None);
}

#[test]
fn forgeries_are_what_clients_would_believe() {
    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(read(text).unwrap().is_forgery(), expected, "{text}");
    }
    check(
        r#"{"socket":"connected","port":1,"address":"10.0.0.1"}"#,
        true,
    );
    check(r#"{"id":1,"\u0073ocket":null}"#, true);
    check(r#"{"message":"socket.disconnected","port":1}"#, true);
    check(r#"{"message":"socket.sent.x"}"#, true);
    check(r#"{"message":"socket.message","data":"milk"}"#, false);
    check(
        r#"{"message":"socket.reconnect","data":{"socket":{}}}"#,
        false,
    );
    check(r#"{"message":"socket"}"#, false);
}

#[test]
fn depth_costs_no_stack() {
    let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
    let text = format!(r#"{{"id":{deep},"message":"a.b","data":{deep},"other":{deep}}}"#);
    let message = read(&text).unwrap();
    assert_eq!(message.data.unwrap().get().len(), deep.len());
    check_receipt(&text, &deep, "json");
    let objects = r#"{"a":"#.repeat(100_000) + "1" + &"}".repeat(100_000);
    let expected = r#"{"a": "#.repeat(100_000) + "1" + &"}".repeat(100_000);
    check_receipt(&format!(r#"{{"id":{objects}}}"#), &expected, "json");
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn an_id_comes_back_as_the_same_value_in_ascii(id in any_json(), pretty in any::<bool>()) {
        let id_text = if pretty {
            serde_json::to_string_pretty(&id).unwrap()
        } else {
            id.to_string()
        };
        let receipt = receipt_for(&format!(r#"{{"x":[],"id":{id_text}}}"#));
        prop_assert!(receipt.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{receipt}");
        let receipt: serde_json::Value = serde_json::from_str(&receipt).unwrap();
        prop_assert_eq!(&receipt["messageId"], &id);
        prop_assert_eq!(&receipt["attr"], "json");
    }

    #[test]
    fn any_text_gets_a_receipt_that_is_json(text in ".*") {
        let receipt: serde_json::Value = serde_json::from_str(&receipt_for(&text)).unwrap();
        prop_assert_eq!(&receipt["socket"], "sent");
    }

    #[test]
    fn an_object_is_taken_for_one_exactly_when_it_is_json(text in r#"\{("id":)?[0-9a-z"\\\[\],:{}eE+\-. ]{0,20}\}"#) {
        let is_object = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        // What serde's own values refuse for another reason than grammar: numbers out of range, surrogates.
        if is_object {
            prop_assert!(read(&text).is_some());
        }
        if read(&text).is_some() {
            prop_assert!(serde_json::from_str::<&RawValue>(&text).is_ok());
        }
    }

    #[test]
    fn events_are_json_whatever_their_names(room in ".*", event in ".*") {
        let mut out = String::new();
        write_event(&mut out, Some(&room), &event, "[1]");
        let written: serde_json::Value = serde_json::from_str(&out).unwrap();
        prop_assert_eq!(&written["message"], &format!("{room}.{event}"));
    }
}
