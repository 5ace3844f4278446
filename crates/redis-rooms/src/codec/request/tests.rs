use bytes::Bytes;
use polyport_core::Mixed;
use proptest::prelude::*;

use super::*;

fn name(text: &str) -> RoomName {
    RoomName::new(text).unwrap()
}

fn names(rooms: &[&str]) -> Vec<RoomName> {
    rooms.iter().copied().map(name).collect()
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn selection(rooms: &[&str], except: &[&str]) -> Selection {
    Selection {
        rooms: Rooms::of(names(rooms)),
        except: names(except),
    }
}

fn one() -> Whom {
    Whom::One {
        sid: "s".to_owned(),
    }
}

/// Read and written again, both are the same.
#[track_caller]
fn check(
    text: &str,
    uid: Option<&str>,
    id: Option<&str>,
    numbering: Numbering,
    question: Question,
) {
    let expected = Request {
        uid: uid.map(str::to_owned),
        id: id.map(str::to_owned),
        numbering,
        question,
    };
    assert_eq!(
        read_request(text.as_bytes()),
        Ok(expected.clone()),
        "{text}"
    );
    let written = write_request(&expected);
    assert_eq!(String::from_utf8(written).unwrap(), text);
}

#[test]
fn new_numbering() {
    let asked = |text: &str, question| check(text, Some("u"), Some("i"), Numbering::New, question);
    asked(
        r#"{"uid":"u","requestId":"i","type":0,"rooms":["a"]}"#,
        Question::Sockets {
            rooms: Rooms::of(names(&["a"])),
        },
    );
    asked(
        r#"{"uid":"u","requestId":"i","type":0,"rooms":[]}"#,
        Question::Sockets { rooms: Rooms::All },
    );
    asked(
        r#"{"uid":"u","requestId":"i","type":1}"#,
        Question::AllRooms,
    );
    asked(
        r#"{"uid":"u","requestId":"i","type":2,"sid":"s","room":"r"}"#,
        Question::Join {
            whom: one(),
            rooms: names(&["r"]),
        },
    );
    asked(
        r#"{"uid":"u","requestId":"i","type":3,"sid":"s","room":"r"}"#,
        Question::Leave {
            whom: one(),
            rooms: names(&["r"]),
        },
    );
    asked(
        r#"{"uid":"u","requestId":"i","type":4,"sid":"s","close":true}"#,
        Question::Disconnect {
            whom: one(),
            close: true,
        },
    );
    asked(
        r#"{"uid":"u","requestId":"i","type":5,"opts":{"rooms":["a"],"except":["b"]}}"#,
        Question::Fetch(selection(&["a"], &["b"])),
    );
    asked(
        r#"{"uid":"u","requestId":"i","type":6,"data":["hello",{"a":1.50}]}"#,
        Question::ServerSide {
            name: EventName::new("hello").unwrap(),
            args: Args::from_iter([Arg::Json(json(r#"{"a":1.50}"#))]),
        },
    );
}

#[test]
fn orders_of_emitters_are_not_confirmed() {
    let told = |text: &str, question| check(text, None, None, Numbering::New, question);
    told(
        r#"{"type":2,"opts":{"rooms":["user(1)"],"except":["x"]},"rooms":["r1","r2"]}"#,
        Question::Join {
            whom: Whom::Matching(selection(&["user(1)"], &["x"])),
            rooms: names(&["r1", "r2"]),
        },
    );
    told(
        r#"{"type":3,"opts":{"rooms":[],"except":[]},"rooms":["r1"]}"#,
        Question::Leave {
            whom: Whom::Matching(Selection::default()),
            rooms: names(&["r1"]),
        },
    );
    told(
        r#"{"type":4,"opts":{"rooms":[""],"except":[]},"close":false}"#,
        Question::Disconnect {
            whom: Whom::Matching(Selection {
                rooms: Rooms::AnyOf(Vec::new()),
                except: Vec::new(),
            }),
            close: false,
        },
    );
    let question = Question::ServerSide {
        name: EventName::new("hello").unwrap(),
        args: Args::new(),
    };
    check(
        r#"{"uid":"emitter","type":6,"data":["hello"]}"#,
        Some("emitter"),
        None,
        Numbering::New,
        question,
    );
}

#[test]
fn old_numbering() {
    let asked = |text: &str, question| check(text, None, Some("i"), Numbering::Old, question);
    asked(
        r#"{"requestid":"i","type":0,"rooms":["a"]}"#,
        Question::Sockets {
            rooms: Rooms::of(names(&["a"])),
        },
    );
    asked(
        r#"{"requestid":"i","type":1,"sid":"s"}"#,
        Question::RoomsOf {
            sid: "s".to_owned(),
        },
    );
    asked(r#"{"requestid":"i","type":2}"#, Question::AllRooms);
    asked(
        r#"{"requestid":"i","type":3,"sid":"s","room":"r"}"#,
        Question::Join {
            whom: one(),
            rooms: names(&["r"]),
        },
    );
    asked(
        r#"{"requestid":"i","type":4,"sid":"s","room":"r"}"#,
        Question::Leave {
            whom: one(),
            rooms: names(&["r"]),
        },
    );
    asked(
        r#"{"requestid":"i","type":5,"data":{"b":1,"a":2}}"#,
        Question::Custom(json(r#"{"b":1,"a":2}"#)),
    );
    asked(
        r#"{"requestid":"i","type":6,"sid":"s","close":true}"#,
        Question::Disconnect {
            whom: one(),
            close: true,
        },
    );
}

fn ask(args: &[Arg]) -> Request {
    Request {
        uid: Some("VF4joU".to_owned()),
        id: Some("_v0jX-".to_owned()),
        numbering: Numbering::New,
        question: Question::Ask {
            packet: Packet {
                namespace: "/".to_owned(),
                name: EventName::new("ask").unwrap(),
                args: args.into(),
            },
            selection: Selection::default(),
            flags: Flags {
                timeout: Some(500),
                ..Flags::default()
            },
        },
    }
}

#[test]
fn events_that_want_acks() {
    let bytes = b"\x85\xa3uid\xa6VF4joU\xa9requestId\xa6_v0jX-\xa4type\x07\xa6packet\x83\xa4type\x02\xa4data\x92\xa3ask\x01\xa3nsp\xa1/\xa4opts\x83\xa5rooms\x90\xa6except\x90\xa5flags\x81\xa7timeout\xcd\x01\xf4";
    let request = ask(&[Arg::Json(json("1"))]);
    assert_eq!(write_request(&request), bytes);
    assert_eq!(read_request(bytes), Ok(request));
    let request = ask(&[Arg::Binary(Bytes::from_static(b"\x01"))]);
    assert_eq!(read_request(&write_request(&request)), Ok(request));
}

/// A reader of either form takes both.
#[test]
fn the_form_is_known_by_its_first_byte() {
    let expected = read_request(br#"{"requestId":"i","type":1}"#);
    assert!(expected.is_ok());
    assert_eq!(
        read_request(b"\x82\xa9requestId\xa1i\xa4type\x01"),
        expected
    );
    let text = r#"{"requestId":"i","type":7,"packet":{"type":2,"data":["a",{}],"nsp":"x"}}"#;
    let Ok(Request {
        question: Question::Ask { packet, .. },
        ..
    }) = read_request(text.as_bytes())
    else {
        panic!("{text}");
    };
    assert_eq!((packet.namespace.as_str(), packet.args.len()), ("/x", 1));
}

#[test]
fn binary_for_servers_is_what_node_makes_of_it() {
    let mixed = Mixed::new(vec!["[".into(), "]".into()], vec![Bytes::new()]).unwrap();
    let request = Request {
        uid: None,
        id: None,
        numbering: Numbering::New,
        question: Question::ServerSide {
            name: EventName::new("a\"").unwrap(),
            args: Args::from_iter([
                Arg::Binary(Bytes::from_static(b"\x01\xff")),
                Arg::Mixed(mixed.into()),
            ]),
        },
    };
    assert_eq!(
        String::from_utf8(write_request(&request)).unwrap(),
        r#"{"type":6,"data":["a\"",{"type":"Buffer","data":[1,255]},[{"type":"Buffer","data":[]}]]}"#
    );
}

#[test]
fn what_is_no_request() {
    for text in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"requestId":"i"}"#,
        r#"{"requestId":"i","type":8}"#,
        r#"{"requestId":"i","type":"1"}"#,
        r#"{"requestid":"i","type":7}"#,
        r#"{"type":1}"#,
        r#"{"type":5,"opts":{}}"#,
        r#"{"type":2,"sid":"s","room":"r"}"#,
        // Without anybody named, these would be for everybody.
        r#"{"type":4,"close":true}"#,
        r#"{"requestId":"i","type":4,"opts":null,"close":true}"#,
        r#"{"requestId":"i","type":3,"rooms":["r"]}"#,
        r#"{"type":4,"opts":{"rooms":"user(1)"},"close":true}"#,
        r#"{"type":6,"data":[]}"#,
        r#"{"type":6,"data":[1]}"#,
        r#"{"type":6}"#,
        r#"{"requestId":"i","type":7}"#,
        r#"{"requestid":"i","type":1}"#,
    ] {
        assert!(read_request(text.as_bytes()).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(
        data in prop::collection::vec(any::<u8>(), 0..60),
        words in prop::collection::vec(prop::sample::select(&[
            "{", "}", "[", "]", ",", ":", "\"requestId\":\"i\"", "\"requestid\":\"i\"", "\"type\":",
            "1", "5", "7", "\"opts\":{\"rooms\":[]}", "\"sid\":\"s\"", "\"data\":[\"a\"]", "\"close\":",
        ][..]), 0..9),
    ) {
        let text = words.concat();
        for payload in [&data[..], text.as_bytes(), format!("{{{text}}}").as_bytes()] {
            if let Ok(request) = read_request(payload) {
                prop_assert_eq!(read_request(&write_request(&request)), Ok(request));
            }
        }
    }
}
