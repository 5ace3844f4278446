//! The fuzz targets' bodies, fed by proptest.

use polyport_fuzz_bodies::{
    channels, cluster_binary, cluster_packets, engine_payload, lines, lost_sessions,
    msgpack_packets, redis_messages, relay_messages, rpc, socket_packets, verbs, ws_frames,
};
use polyport_redis_rooms::codec::read_lost_session;
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

const PACKETS: &[&str] = &[
    "\n",
    "\n#ab",
    "2[\"x\"",
    "51-[\"x\",",
    "52-/a,7[\"x\",",
    "61-3[",
    "{\"_placeholder\":true,\"num\":0}",
    "{ \"num\": 1, \"_placeholder\": true}",
    "{\"a\":",
    "}",
    "[",
    "]",
    ",",
    "\"\\\"\"",
];

const CLUSTER: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    " ",
    "\"event\":",
    "\"#publish\"",
    "\"#subscribe\"",
    "\"e\"",
    "\"\\ud800\"",
    "\"data\":",
    "\"channel\":",
    "\"c\"",
    "\"cid\":",
    "\"rid\":",
    "\"error\":",
    "null",
    "true",
    "-1.5",
    "1e999",
    "#2",
];

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

const ENGINE: &[&str] = &[
    "\u{1e}",
    "0:",
    "1:1",
    "2:40",
    "3:4",
    "6:b4aGk=",
    "b4",
    "baGk=",
    "42[",
    "451-",
    "/a,",
    "\"",
    "\0\u{2}",
    "\u{1}\u{3}",
    "é",
    "Ã©",
    "€",
    "\u{1f600}",
    "\\n",
    "d=%5C",
];

/// Choices, then a packet of known bytes.
fn msgpack() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: &[&[u8]] = &[
        b"\xa3nsp\xa1/",
        b"\xa4data",
        b"\xa4type",
        b"\xa2id",
        b"\x91",
        b"\x92",
        b"\x81",
        b"\xa1a",
        b"\x02",
        b"\xd4\x00\x00",
        b"\xd7\x00",
        b"\xc4\x01",
        b"\xc7\x01\x00",
        b"\xcb",
        b"\xc0",
    ];
    const HEADS: &[&[u8]] = &[
        b"",
        b"\x83\xa3nsp\xa1/\xa4type\x02\xa4data\x92\xa1a",
        b"\x84\xa3nsp\xa1/\xa4type\x03\xa2id\x07\xa4data\x91",
    ];
    let word = prop_oneof![
        4 => prop::sample::select(KNOWN).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..9),
    ];
    let head = prop::sample::select(HEADS);
    let choices = prop::collection::vec(any::<u8>(), 4);
    (choices, head, prop::collection::vec(word, 0..8))
        .prop_map(|(choices, head, words)| [choices, head.to_vec(), words.concat()].concat())
}

/// A binary message of known pieces.
fn cluster() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"\x81\xa1e\x93",
        b"\x81\xa1p\x93",
        b"\x81\xa1r\x93",
        b"\xa1e\x92",
        b"\xa8#publish",
        b"\xa5event",
        b"\xa4data",
        b"\xa3cid",
        b"\xa1a",
        b"\x82",
        b"\x91",
        b"\x07",
        b"\xc0",
        b"\xc4\x01\x01",
        b"\xcb\x43\x40\x00\x00\x00\x00\x00\x00",
        b"\xd7\x00",
    ];
    const HEADS: &[&[u8]] = &[
        b"",
        b"\x92",
        b"\x81\xa1e\x93\xa1a",
        b"\x81\xa1r\x93\x01\xc0",
    ];
    let word = prop_oneof![
        6 => prop::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..9),
    ];
    let head = prop::sample::select(HEADS);
    (head, prop::collection::vec(word, 0..10))
        .prop_map(|(head, words)| [head.to_vec(), words.concat()].concat())
}

/// A choice, then a message of known pieces.
fn redis() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"\xa3nsp\xa1/",
        b"\xa1a",
        b"\x81",
        b"\x91",
        b"\x02",
        b"\xc0",
        b"\xc4",
        b"\xc4\x01\x01",
        b"\xd8\x00\x01\x01",
        b"\xd4\x00\x00",
        b"\xd7\xff",
        b"\xc7\x01\x00\x00",
        b"\x83\xa5rooms\x90\xa6except\x90\xa5flags\x80",
        b"\x82\xa5rooms\x92\xa1b\xa1a\xa5flags\xc4",
        b"\x81\xa5flags\x81\xa8polyport",
        b"\xa6packet",
    ];
    const HEADS: &[&[u8]] = &[
        b"",
        b"\x93\xa1u\x83\xa4type\x02\xa4data\x92\xa1a",
        b"\x92\x83\xa4type\x05\xa4data\x92\xa1a",
        b"\x82\xa4data\x92\xa1a",
        b"\x84\xa9requestId\xa1i\xa4type\x07\xa6packet\x83\xa4type\x02\xa4data\x92\xa1a",
        b"\x83\xa9requestId\xa1i\xa4type\x06\xa4data\x92\xa1a",
        b"\x83\xa9requestId\xa1i\xa4type\x09",
    ];
    let word = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..9),
    ];
    let head = prop::sample::select(HEADS);
    (any::<u8>(), head, prop::collection::vec(word, 0..8))
        .prop_map(|(choice, head, words)| [vec![choice], head.to_vec(), words.concat()].concat())
}

/// A lost session of known pieces.
fn kept() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"\x80",
        b"\x81\xa1a",
        b"\x91",
        b"\xa1a",
        b"\x02",
        b"\xc0",
        b"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
        b"\xc4\x01\x01",
        b"\xd4\x00\x00",
        b"\xa4data",
        b"\xa8polyport",
        b"\x83\xa4node\xa1n\xa7session\xd9\x2400000000-0000-4000-8000-000000000000\xa3own",
    ];
    const HEADS: &[&[u8]] = &[
        b"",
        b"\x83\xa3sid\xa1s\xa3pid\xa1p\xa5rooms",
        b"\x84\xa3sid\xa1s\xa3pid\xa1p\xa5rooms\x91\xa1s\xa4data",
        b"\x85\xa3sid\xa1s\xa3pid\xa1p\xa5rooms\x91\xa1s\xa4data\xc4\x01\x01\xa8polyport",
    ];
    let word = prop_oneof![
        4 => prop::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..9),
    ];
    let head = prop::sample::select(HEADS);
    (head, prop::collection::vec(word, 0..8))
        .prop_map(|(head, words)| [head.to_vec(), words.concat()].concat())
}

/// Choices, then lines of programs at a relay.
fn relay() -> impl Strategy<Value = Vec<u8>> {
    const ORDERS: &[&str] = &["login", "login", "watch", "leave", "wait"];
    const SAID: &[&str] = &[
        "log",
        "log-noid",
        "log {\"type\":\"START\",\"instanceId\":\"a\"}",
        "log {\"type\":\"START\",\"instanceId\":\"b\"}",
        "log {\"type\":\"START\",\"instanceId\":7}",
        "log-noid {\"type\":\"INIT\",\"id\":null,\"payload\":\"{}\"}",
        "log {\"type\":\"INIT\",\"instanceId\":\"a\",\"payload\":{\"n\":[1e999]}}",
        "log {\"type\":\"ACTION\",\"instanceId\":\"a\",\"payload\":\"1\",\"action\":\"{\\\"type\\\":1}\"}",
        "log {\"type\":\"ACTION\",\"id\":\"a\",\"payload\":\"{\",\"nextActionId\":9}",
        "log {\"type\":\"ACTION\",\"instanceId\":\"a\",\"payload\":\"{\\\"$jsan\\\":\\\"$.a\\\"}\"}",
        "log {\"type\":\"STATE\",\"instanceId\":\"a\",\"payload\":{\"actionsById\":{\"0\":1},\"stagedActionIds\":[0],\"computedStates\":[{}],\"nextActionId\":1}}",
        "report {\"type\":\"STATE\",\"payload\":{},\"exception\":{\"message\":\"m\"}}",
        "report {\"type\":\"ACTIONS\",\"payload\":\"[]\",\"title\":7,\"user\":{\"id\":1}}",
        "report {\"op\":\"list\",\"query\":{\"id\":1}}",
    ];
    let order = prop_oneof![
        2 => prop::sample::select(ORDERS),
        3 => prop::sample::select(SAID),
    ];
    let line = (0..6_u8, order).prop_map(|(program, order)| format!("{program} {order}\n"));
    let choices = prop::collection::vec(any::<u8>(), 3);
    (choices, prop::collection::vec(line, 0..60))
        .prop_map(|(choices, lines)| [choices, lines.concat().into_bytes()].concat())
}

const REDIS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"requestId\":\"i\"",
    "\"requestid\":\"i\"",
    "\"type\":",
    "\"opts\":{\"rooms\":[\"\"]}",
    "\"data\":[\"a\"",
    "\"sid\":\"s\"",
    "\"room\":1e3",
    "\"sockets\":[{\"id\":\"a\"}]",
    "\"clients\":[]",
    "\\ud800",
    "socket.io",
    "-request",
    "-response",
    "#/",
    "#",
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
    fn cluster_packets_hold(data in prop_oneof![input(b"{}[]:,\"\\e"), words(CLUSTER, 0)]) {
        cluster_packets(&data);
    }

    #[test]
    fn cluster_binary_holds(data in cluster()) {
        cluster_binary(&data);
    }

    #[test]
    fn channels_hold(data in prop_oneof![input(b"{}[]:,\"\\u"), words(CHANNELS, 2)]) {
        channels(&data);
    }

    #[test]
    fn rpc_holds(data in prop_oneof![input(b"[]{}:,\"0123e.-\\u"), words(RPC, 0)]) {
        rpc(&data);
    }

    #[test]
    fn socket_packets_hold(data in prop_oneof![input(b"0123456-/,[]{}\":#\n"), words(PACKETS, 1)]) {
        socket_packets(&data);
    }

    #[test]
    fn msgpack_packets_hold(data in prop_oneof![msgpack(), words(RPC, 4)]) {
        msgpack_packets(&data);
    }

    #[test]
    fn redis_messages_hold(data in prop_oneof![redis(), words(REDIS, 1)]) {
        redis_messages(&data);
    }

    #[test]
    fn lost_sessions_hold(data in prop_oneof![kept(), input(b"\x80\x84\x91\xa1\xc4\xcb")]) {
        lost_sessions(&data);
    }

    #[test]
    fn relay_messages_hold(data in relay()) {
        relay_messages(&data);
    }

    #[test]
    fn engine_payload_holds(data in prop_oneof![input(b"\x00\x01\x02\x04\xff\x1e012:4b"), words(ENGINE, 1)]) {
        engine_payload(&data);
    }
}

#[test]
fn programs_at_a_relay_hold() {
    for lines in [
        // An app that becomes a monitor, alone and when it stands for another.
        "1 login\n2 watch\n1 log {\"instanceId\":\"a\"}\n1 watch\n1 leave\n",
        "0 login\n0 log {\"instanceId\":\"a\"}\n0 leave\n1 login\n1 log {\"instanceId\":\"a\"}\n1 watch\n1 leave\n",
        // One of two instances has an heir.
        "0 login\n0 log {\"instanceId\":\"a\"}\n0 log {\"instanceId\":\"b\"}\n1 login\n1 log {\"instanceId\":\"a\"}\n0 leave\n1 leave\n",
        // Nobody comes back in time.
        "0 login\n0 log {\"instanceId\":7}\n0 leave\n1 wait\n1 login\n1 log {\"instanceId\":7}\n",
    ] {
        for is_strict in [0, 1] {
            relay_messages(&[&[is_strict, 16, 255], lines.as_bytes()].concat());
        }
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

#[test]
fn well_formed_payloads_hold() {
    for body in [
        "2:4017:42[\"echo\",\"é€😀\"]",
        "8:42[\"Ã©\"]5:40/Ã©",
        "10:b4AAEC/f7/6:b4aGk=",
        "42[\"é\"]\u{1e}bAAEC/f7/\u{1e}1",
        "d=2%3A40",
    ] {
        for choices in 0..16 {
            engine_payload(&[&[choices], body.as_bytes()].concat());
        }
    }
    for choices in 0..16 {
        let body = b"\x00\x05\xff40/\xc3\xa9\x01\x03\xff\x04hi";
        engine_payload(&[&[choices], &body[..]].concat());
    }
}

#[test]
fn well_formed_msgpack_holds() {
    for packet in [
        &b"\x84\xa4type\x02\xa4data\x94\xa4echo\x01\x81\xa1a\xa1b\xc4\x02\x01\x02\xa2id\x00\xa3nsp\xa1/"[..],
        b"\x84\xa2id\x00\xa4type\x03\xa4data\x91\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa3nsp\xa1/",
        b"\x83\xa4type\x02\xa4data\x92\xa1a\xd7\x00\x80\x00\x00\x00\x00\x00\x00\x00\xa3nsp\xa1/",
        b"{\"type\":0,\"query\":\"b\",\"nsp\":\"/a?b\"}",
        b"[1,-1.5e3,\"\\ud800\",{\"a\":1e999}]",
    ] {
        for revision in 0..2 {
            msgpack_packets(&[&[revision, 10, 16, 255], packet].concat());
        }
    }
}

#[test]
fn well_formed_cluster_binary_holds() {
    for message in [
        &b"\x81\xa1e\x93\xaa#handshake\x81\xa9authToken\xc0\x01"[..],
        b"\x81\xa1p\x93\xa1n\x92\x01\x02\x04",
        b"\x81\xa1r\x93\xcb\x43\x40\x00\x00\x00\x00\x00\x01\xc0\xc4\x02\x01\x02",
        b"\x92\x81\xa1e\x92\xa1a\xc0\x83\xa5event\xa8#publish\xa4data\x05\xa3cid\xa1s",
        b"\x81\xa1e\x92\xa1a\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
    ] {
        cluster_binary(message);
    }
}

#[test]
fn well_formed_redis_messages_hold() {
    for message in [
        &b"\x93\xa1u\x83\xa4type\x02\xa4data\x93\xa1a\x01\xc4\x01\x01\xa3nsp\xa1/\x83\xa5rooms\x92\xa1b\xa1a\xa6except\x90\xa5flags\x80"[..],
        b"\x92\x82\xa4type\x05\xa4data\x93\xa1a\xd8\x00\x01\x01\xc4\x82\xa5rooms\xc4\xa5flags\xc4",
        b"\x83\xa9requestId\xa1i\xa4type\x06\xa4data\x92\xa1a\xc4\x01\x01",
        b"{\"data\":[\"a\",1e999,\"\\ud800\"],\"room\":[1e3]}",
        b"{\"requestId\":\"i\",\"type\":7,\"packet\":{\"type\":2,\"data\":[\"a\",1e999]}}",
        b"{\"requestid\":\"i\",\"clients\":[\"\\u00e9\"]}",
        b"{\"requestId\":\"i\",\"sockets\":[{\"id\":\"a\",\"data\":7}]}",
        b"{\"transaction\":\"i\",\"rooms\":[\"\"]}",
        b"socket.io-response#admin#uid#",
    ] {
        for choice in 0..2 {
            redis_messages(&[&[choice], message].concat());
        }
    }
}

#[test]
fn well_formed_lost_sessions_hold() {
    let head = b"\xa3sid\xa1s\xa3pid\xa1p\xa5rooms\x92\xa1s\xa1a";
    let id = b"\x83\xa4node\xa1n\xa7session\xd9\x2400000000-0000-4000-8000-000000000000\xa3own\x81\xa1a\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00";
    for lost in [
        [&b"\x83"[..], head].concat(),
        [&b"\x84"[..], head, b"\xa4data\x81\xa1a\xc4\x01\x01"].concat(),
        [&b"\x84"[..], head, b"\xa8polyport", id].concat(),
    ] {
        assert!(read_lost_session(&lost).is_ok(), "{lost:?}");
        lost_sessions(&lost);
    }
}
