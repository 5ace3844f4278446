//! Actionhero's requests.

use polyport_core::Json;
use polyport_tcp_verbs::codec::{
    LineWriter, Request, Verb, decode_line, first_word, is_break, key_and_value, parse,
};

use crate::Input;

/// Parses the payload as one line, and writes what it says into a reply.
///
/// # Panics
/// When a request says something that the line does not, breaks a bound, or makes a reply that is no line of JSON.
pub fn verbs(data: &[u8]) {
    let mut input = Input::new(data);
    let aliases = input.byte() % 2 == 1;
    let max_params = input.number();
    let payload = input.payload();
    let line = decode_line(payload);
    let _ = is_break(payload);
    match parse(&line, aliases, max_params) {
        Request::Verb(verb, rest) => {
            let word = first_word(&line);
            assert_eq!(Verb::parse(word, aliases), Some(verb));
            assert_eq!(
                line.len(),
                word.len() + rest.map_or(0, |rest| rest.len() + 1)
            );
            let (key, value) = key_and_value(rest.unwrap_or_default());
            let rest = rest.unwrap_or_default();
            assert!(rest.starts_with(key) && value.is_none_or(|value| rest.contains(value)));
            check_reply(key, &Json::string(value.unwrap_or_default()));
        }
        Request::File(name) => {
            assert!(line.starts_with("file"));
            assert!(name.is_none_or(|name| !name.is_empty() && !name.contains(' ')));
        }
        Request::Action(name) => {
            assert_eq!(name, first_word(&line));
            check_reply(name, &Json::NULL);
        }
        Request::Json(request) => {
            if let Some(Ok(params)) = &request.params {
                assert!(params.len() <= max_params);
                for (name, value) in params.iter() {
                    check_reply(name, value);
                }
                check_reply("params", &Json::encode(params));
            }
            if let Some(action) = &request.action {
                check_reply("action", action);
            }
        }
        Request::Nothing => {
            assert!(Json::parse(&line).is_ok(), "only JSON asks for nothing");
        }
    }
}

/// A reply that carries `text` and `value` is one line and says exactly that.
fn check_reply(text: &str, value: &Json) {
    let start = Json::parse("{ \"a\" : 1 }").expect("it is JSON");
    let reply = LineWriter::from_object(&start, 0)
        .string("text", text)
        .raw("value", value.as_str())
        .number("count", 1)
        .finish();
    let line = reply
        .strip_suffix(b"\r\n")
        .expect("a reply ends with CR LF");
    assert!(
        !line.contains(&b'\n') && !line.contains(&b'\r'),
        "a reply is one line"
    );
    let line = std::str::from_utf8(line).expect("a reply is text");
    let members: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(line);
    // Too deep for serde's tree is not too deep for the wire.
    if let Ok(members) = members {
        assert_eq!(members["text"], text);
        assert_eq!(members["count"], 1);
    } else {
        assert!(Json::parse(line).is_ok(), "{line}");
    }
}
