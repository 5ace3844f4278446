use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn names(rooms: &[&str]) -> Vec<RoomName> {
    rooms
        .iter()
        .map(|room| RoomName::new(room).unwrap())
        .collect()
}

/// Read and written again, both are the same.
#[track_caller]
fn check(text: &str, numbering: Numbering, answer: Answer) {
    let expected = Response {
        numbering,
        id: "i".to_owned(),
        answer,
    };
    assert_eq!(
        read_response(text.as_bytes()),
        Ok(expected.clone()),
        "{text}"
    );
    let written = write_response(&expected);
    assert_eq!(String::from_utf8(written).unwrap(), text);
}

#[test]
fn new_numbering() {
    let given = |text: &str, answer| check(text, Numbering::New, answer);
    given(
        r#"{"requestId":"i","sockets":["a","b"]}"#,
        Answer::Sockets(vec!["a".to_owned(), "b".to_owned()]),
    );
    given(
        r#"{"requestId":"i","sockets":[]}"#,
        Answer::Sockets(Vec::new()),
    );
    given(
        r#"{"requestId":"i","rooms":["a"]}"#,
        Answer::Rooms(names(&["a"])),
    );
    given(r#"{"requestId":"i"}"#, Answer::Done);
    given(
        r#"{"requestId":"i","sockets":[{"id":"a","handshake":{"headers":{}},"rooms":["a","r"],"data":{"u":1.50}}]}"#,
        Answer::Details(vec![Details {
            id: "a".to_owned(),
            handshake: json(r#"{"headers":{}}"#),
            rooms: names(&["a", "r"]),
            data: json(r#"{"u":1.50}"#),
        }]),
    );
    given(
        r#"{"type":6,"requestId":"i","data":"hi"}"#,
        Answer::ServerSide(json("\"hi\"")),
    );
    given(
        r#"{"type":8,"requestId":"i","clientCount":0}"#,
        Answer::ClientCount(0),
    );
    assert_eq!(
        read_response(br#"{"type":6,"requestId":"i"}"#).map(|response| response.answer),
        Ok(Answer::ServerSide(Json::NULL))
    );
}

#[test]
fn old_numbering() {
    let given = |text: &str, answer| check(text, Numbering::Old, answer);
    given(
        r#"{"requestid":"i","clients":["a"]}"#,
        Answer::Sockets(vec!["a".to_owned()]),
    );
    given(
        r#"{"requestid":"i","rooms":["a"]}"#,
        Answer::Rooms(names(&["a"])),
    );
    given(r#"{"requestid":"i"}"#, Answer::Done);
    given(
        r#"{"requestid":"i","data":null}"#,
        Answer::Custom(Json::NULL),
    );
}

#[test]
fn acks() {
    let response = |arg| Response {
        numbering: Numbering::New,
        id: "_v0jX-".to_owned(),
        answer: Answer::Ack(arg),
    };
    for (arg, bytes) in [
        (
            Arg::Json(json("\"b:1\"")),
            &b"\x83\xa4type\x09\xa9requestId\xa6_v0jX-\xa6packet\xa3b:1"[..],
        ),
        (
            Arg::Binary(Bytes::from_static(b"\x09")),
            b"\x83\xa4type\x09\xa9requestId\xa6_v0jX-\xa6packet\xc4\x01\x09",
        ),
    ] {
        assert_eq!(write_response(&response(arg.clone())), bytes);
        assert_eq!(read_response(bytes), Ok(response(arg)));
    }
    assert_eq!(
        read_response(br#"{"type":9,"requestId":"_v0jX-"}"#),
        Ok(response(Arg::Json(Json::NULL)))
    );
}

#[test]
fn what_is_no_answer() {
    for text in [
        "",
        "[]",
        // What old and new servers say to each other.
        "{}",
        r#"{"data":null}"#,
        r#"{"sockets":["a"]}"#,
        r#"{"requestId":"i","sockets":{}}"#,
        r#"{"requestId":"i","sockets":[1]}"#,
        r#"{"requestId":"i","sockets":[{"id":"a"},"b"]}"#,
        r#"{"requestId":"i","sockets":[{}]}"#,
        r#"{"requestId":"i","rooms":[{}]}"#,
        r#"{"type":8,"requestId":"i"}"#,
        r#"{"type":8,"requestId":"i","clientCount":-1}"#,
    ] {
        assert!(read_response(text.as_bytes()).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(
        data in prop::collection::vec(any::<u8>(), 0..60),
        words in prop::collection::vec(prop::sample::select(&[
            "{", "}", "[", "]", ",", ":", "\"requestId\":\"i\"", "\"requestid\":\"i\"", "\"type\":",
            "6", "8", "9", "\"sockets\":[]", "\"clients\":", "\"data\":1", "\"clientCount\":2",
        ][..]), 0..9),
    ) {
        let text = words.concat();
        for payload in [&data[..], text.as_bytes(), format!("{{{text}}}").as_bytes()] {
            if let Ok(response) = read_response(payload) {
                prop_assert_eq!(read_response(&write_response(&response)), Ok(response));
            }
        }
    }
}
