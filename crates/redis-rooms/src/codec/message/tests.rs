use polyport_core::Args;

use super::*;
use crate::codec::Rooms;

/// As recorded between servers with the sharded adapter of 8.3.0.
const RECORDED: &str = r#"{"type":3,"data":{"packet":{"type":2,"data":["room","x"]},"opts":{"rooms":["user(1)"],"except":[],"flags":{}}},"uid":"c89237a4bb1f101a","nsp":"/"}"#;

#[track_caller]
fn round_trip(content: Content) -> Vec<u8> {
    let message = ServerMessage {
        uid: "c89237a4bb1f101a".to_owned(),
        namespace: "/admin".to_owned(),
        content,
    };
    let written = write_server_message(&message).unwrap();
    assert_eq!(read_server_message(&written), Ok(message.clone()));
    let (kind, data) = write_content(&message.content).unwrap();
    assert_eq!(read_content(kind, &data, "/admin"), Ok(message.content));
    written
}

fn packet(args: &[Arg]) -> Packet {
    Packet {
        namespace: "/admin".to_owned(),
        name: EventName::new("news").unwrap(),
        args: Args::from(args),
    }
}

fn selection() -> Selection {
    let room = |name| polyport_core::RoomName::new(name).unwrap();
    Selection {
        rooms: Rooms::AnyOf(vec![room("a"), room("b")]),
        except: vec![room("c")],
    }
}

#[test]
fn what_is_recorded_is_read_and_written_again() {
    let message = read_server_message(RECORDED.as_bytes()).unwrap();
    assert_eq!(message.uid, "c89237a4bb1f101a");
    assert_eq!(write_server_message(&message).unwrap(), RECORDED.as_bytes());
}

#[test]
fn everything_that_can_be_said_comes_back() {
    let json = Arg::Json(Json::parse(r#"{"é":[1,"\u0001",null]}"#).unwrap());
    let binary = Arg::Binary(Bytes::from_static(&[0, 255]));
    let flags = Flags {
        volatile: true,
        timeout: Some(500),
        polyport: Some(Json::parse(r#"{"at":7}"#).unwrap()),
        ..Flags::default()
    };
    let event = |args: &[Arg]| Content::Event {
        packet: packet(args),
        selection: selection(),
        flags: flags.clone(),
    };
    assert_eq!(round_trip(event(std::slice::from_ref(&json)))[0], b'{');
    assert_eq!(
        round_trip(event(&[json.clone(), binary.clone()]))[0] & 0xf0,
        0x80
    );
    let whom = || Whom::Matching(selection());
    let rooms = || vec![polyport_core::RoomName::new("r").unwrap()];
    let asked = |id: Option<&str>, question| Content::Question {
        id: id.map(str::to_owned),
        question,
    };
    round_trip(asked(
        None,
        Question::Join {
            whom: whom(),
            rooms: rooms(),
        },
    ));
    round_trip(asked(
        None,
        Question::Leave {
            whom: whom(),
            rooms: rooms(),
        },
    ));
    round_trip(asked(
        None,
        Question::Disconnect {
            whom: whom(),
            close: true,
        },
    ));
    round_trip(asked(Some("1"), Question::Fetch(Selection::default())));
    for id in [None, Some("2")] {
        let name = EventName::new("hello").unwrap();
        let args = Args::from(&[json.clone()][..]);
        round_trip(asked(id, Question::ServerSide { name, args }));
    }
    let ask = Question::Ask {
        packet: packet(std::slice::from_ref(&binary)),
        selection: Selection::default(),
        flags: Flags::default(),
    };
    round_trip(asked(Some("3"), ask));
    for answer in [
        Answer::Details(Vec::new()),
        Answer::Details(vec![Details {
            id: "x".to_owned(),
            handshake: Json::EMPTY_OBJECT,
            rooms: rooms(),
            data: Json::EMPTY_OBJECT,
        }]),
        Answer::ServerSide(Json::NULL),
        Answer::ClientCount(3),
        Answer::Ack(json),
        Answer::Ack(binary),
    ] {
        round_trip(Content::Answer {
            id: "4".to_owned(),
            answer,
        });
    }
    round_trip(Content::Presence);
}

#[test]
fn what_the_adapter_cannot_say_is_not_written() {
    let question = Question::AllRooms;
    assert_eq!(
        write_content(&Content::Question { id: None, question }),
        None
    );
    let answer = Answer::Done;
    assert_eq!(
        write_content(&Content::Answer {
            id: String::new(),
            answer
        }),
        None
    );
}

#[test]
fn what_is_no_message_is_dropped() {
    for text in [
        "",
        "{}",
        "[]",
        r#"{"type":3,"uid":"u","nsp":"/"}"#,
        r#"{"type":99,"data":{},"uid":"u","nsp":"/"}"#,
        r#"{"type":4,"data":{"rooms":["a"]},"uid":"u","nsp":"/"}"#,
        r#"{"type":7,"data":{"opts":{}},"uid":"u","nsp":"/"}"#,
        r#"{"type":11,"data":{"requestId":"1"},"uid":"u","nsp":"/"}"#,
        r#"{"type":2,"data":{},"nsp":"/"}"#,
    ] {
        assert!(read_server_message(text.as_bytes()).is_err(), "{text}");
    }
}
