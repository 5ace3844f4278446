//! The fuzz targets' bodies, fed by proptest.

use polyport_fuzz_bodies::{channels, lines, rpc, verbs, ws_frames};
use proptest::prelude::*;

/// Nine bytes of choices at most, and a payload of mostly telling bytes.
fn input(telling: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![2 => prop::sample::select(telling), 1 => any::<u8>()];
    let choices = prop::collection::vec(any::<u8>(), 0..16);
    (choices, prop::collection::vec(byte, 0..300))
        .prop_map(|(choices, payload)| [choices, payload].concat())
}

/// Choices, then text made of the words that a codec knows.
fn words(known: &'static [&'static str], choices: usize) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        6 => prop::sample::select(known).prop_map(str::to_owned),
        1 => "\\PC{0,5}",
        1 => "[0-9]{1,3}",
    ];
    let choices = prop::collection::vec(any::<u8>(), choices);
    (choices, prop::collection::vec(word, 0..12))
        .prop_map(|(choices, words)| [choices, words.concat().into_bytes()].concat())
}

const VERBS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    " ",
    "=",
    "\"",
    "\"params\":",
    "\"action\":",
    "null",
    "paramAdd",
    "paramsView",
    "file",
    "say",
    "roomAdd",
    "viewParam",
    "\"a\"",
    "\\ud800",
    "\\n",
    "true",
    "-0",
];

const RPC: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "[1,\"a\",[",
    "[0,",
    "\"7\"",
    "null",
    "true",
    "-0",
    "1e9",
    "\\u00e9",
];

const CHANNELS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    " ",
    "\"",
    "\"id\":",
    "\"message\":",
    "\"data\":",
    "\"socket\":",
    "\"socket.sent\"",
    "\"a.b.c\"",
    ".",
    "null",
    "1e400",
    "\"\\u00e9\"",
    "\\ud800",
    "\\\\",
    "é",
    "\u{1f600}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn lines_hold(data in input(b"\n\r|ab\0")) {
        lines(&data);
    }

    #[test]
    fn ws_frames_hold(data in input(&[0x01, 0x02, 0x81, 0x82, 0x80, 0x88, 0x89, 0xfe, 0xff, 0x83, 0x00])) {
        ws_frames(&data);
    }

    #[test]
    fn verbs_hold(data in prop_oneof![input(b"{}[]:,\" ="), words(VERBS, 3)]) {
        verbs(&data);
    }

    #[test]
    fn channels_hold(data in prop_oneof![input(b"{}[]:,\"\\u"), words(CHANNELS, 2)]) {
        channels(&data);
    }

    #[test]
    fn rpc_holds(data in prop_oneof![input(b"[]{}:,\"0123e.-\\u"), words(RPC, 0)]) {
        rpc(&data);
    }
}

#[test]
fn well_formed_requests_hold() {
    for line in [
        r#"{"params":{"action":"status","key":"é"},"action":"status"}"#,
        r#"{"params":["a",1],"action":null}"#,
        r#"{"params":"text"}"#,
        "paramAdd key=a value",
        "say defaultRoom hello  world",
        "file simple.txt",
        "[1]",
    ] {
        verbs(&[&[1, 7, 100], line.as_bytes()].concat());
    }
}

#[test]
fn well_formed_texts_hold() {
    for text in [
        r#"{"id":"1","message":"chat.said","data":{"text":"é\ud83d\ude00"}}"#,
        r#"{"id":{"a":[1, 2.50, "\/"]},"message":"socket.connected"}"#,
        r#"{"socket":"sent","id":"\ud800"}"#,
        r#"{"id":1e999,"id":-0}"#,
        "plain text",
    ] {
        channels(&[&[31, 64], text.as_bytes()].concat());
    }
}

#[test]
fn well_formed_calls_hold() {
    for text in [
        r#"[1,"clap",[2]]"#,
        r#"["7","s\u00e9",[{"a":[1, 2.50]},null]]"#,
        r#"[0,"act",null,"more"]"#,
        r#"[1e999,"sum",[1e999]]"#,
        "[1]",
    ] {
        rpc(text.as_bytes());
    }
}
