//! Rule 6 and rule 8: JSON that is only passed on is never rewritten, and what is not JSON is an error, not a panic.

use polyport_core::{EventName, Json, RoomName};
use proptest::prelude::*;

use crate::rig::{announce, hub_and_listener, member};

#[test]
fn payloads_reach_members_exactly_as_they_were_written() {
    let (_hub, listener) = hub_and_listener();
    let (_session, peer) = member(&listener, "lobby");
    let texts = [
        r#"{"a":1,"a":2}"#,
        "1.0000000000000000000000001",
        "1e+400",
        "-0",
        r#""h\u00e9\u0000\ud800""#,
        "{ \"white\" : [ 1 , 2 ] }",
        "\"\u{2028}\"",
    ];
    for text in texts {
        announce(&listener, "lobby", Json::parse(text).unwrap());
    }
    let expected: String = texts
        .iter()
        .map(|text| format!("lines lobby news {text}\n"))
        .collect();
    assert_eq!(peer.text(), expected);
}

#[test]
fn passing_json_on_copies_nothing() {
    let json = Json::parse(r#"{"large":"value"}"#).unwrap();
    assert_eq!(json.clone().as_str().as_ptr(), json.as_str().as_ptr());
}

proptest! {
    #[test]
    fn any_text_is_json_or_an_error(text in any::<String>()) {
        if let Ok(json) = Json::parse(&text) {
            prop_assert_eq!(json.as_str(), text.trim_matches([' ', '\t', '\r', '\n']));
        }
        let quoted = Json::string(&text);
        prop_assert_eq!(quoted.decode::<String>().unwrap(), text.clone());
        prop_assert_eq!(Json::parse(quoted.as_str()).unwrap(), quoted);
        prop_assert_eq!(RoomName::new(&text).is_ok(), (1..=1024).contains(&text.len()));
        prop_assert_eq!(EventName::new(&text).is_ok(), (1..=1024).contains(&text.len()));
    }

    #[test]
    fn what_looks_like_json_is_judged_as_serde_judges_it(
        text in "[\\[\\]{}:,\"0-9eE+. a-zA-Z\\\\-]{0,40}"
    ) {
        let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(Json::parse(&text).is_ok(), expected);
    }
}
