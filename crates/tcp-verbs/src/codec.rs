//! Lines ⇄ requests and replies. Pure; knows nothing of sessions.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use polyport_core::{Json, Params, ParamsFull};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What telnet sends for Ctrl-C (interrupt process, timing mark) and for Ctrl-D. The original takes them for a goodbye
/// only when one read delivers exactly these bytes.
const BREAKS: [&[u8]; 2] = [&[0xff, 0xf4, 0xff, 0xfd, 0x06], &[0x04]];

/// Whether `input`, which is all there is, asks to break off.
#[must_use]
pub fn is_break(input: &[u8]) -> bool {
    BREAKS.contains(&input)
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// A verb and the rest of the line behind one space; `None` without a space.
    Verb(Verb, Option<&'a str>),
    /// `file`, and the name if one is given.
    File(Option<&'a str>),
    /// An action by name, with the sticky params.
    Action(&'a str),
    /// A JSON object.
    Json(JsonRequest),
    /// JSON that is no object: names no action.
    Nothing,
}

/// A JSON request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JsonRequest {
    /// What replaces the sticky params, if anything does; an error when there are more than allowed.
    pub params: Option<Result<Params, ParamsFull>>,
    /// The action, if the member is truthy: any JSON value.
    pub action: Option<Json>,
}

/// The verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `quit` or `exit`.
    Quit,
    /// `documentation`.
    Documentation,
    /// `paramAdd`.
    ParamAdd,
    /// `paramDelete`.
    ParamDelete,
    /// `paramView`.
    ParamView,
    /// `paramsView`.
    ParamsView,
    /// `paramsDelete`.
    ParamsDelete,
    /// `roomAdd`.
    RoomAdd,
    /// `roomLeave`.
    RoomLeave,
    /// `roomView`.
    RoomView,
    /// `detailsView`.
    DetailsView,
    /// `say`.
    Say,
}

impl Verb {
    /// The verb of that name; with `aliases` also by the names that the manual uses in passing.
    #[must_use]
    pub fn parse(word: &str, aliases: bool) -> Option<Self> {
        Some(match word {
            "quit" | "exit" => Self::Quit,
            "documentation" => Self::Documentation,
            "paramAdd" => Self::ParamAdd,
            "paramDelete" => Self::ParamDelete,
            "paramView" => Self::ParamView,
            "paramsView" => Self::ParamsView,
            "paramsDelete" => Self::ParamsDelete,
            "roomAdd" => Self::RoomAdd,
            "roomLeave" => Self::RoomLeave,
            "roomView" => Self::RoomView,
            "detailsView" => Self::DetailsView,
            "say" => Self::Say,
            "addParam" if aliases => Self::ParamAdd,
            "viewParam" if aliases => Self::ParamView,
            "deleteParam" if aliases => Self::ParamDelete,
            _ => return None,
        })
    }
}

/// Decodes a line; bytes that are not UTF-8 become U+FFFD.
#[must_use]
pub fn decode_line(line: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(line)
}

/// What a line that is not empty asks for. Words are separated by exactly one space; nothing is trimmed. A JSON request
/// may carry `max_params` params.
#[must_use]
pub fn parse(line: &str, aliases: bool, max_params: usize) -> Request<'_> {
    let (first, rest) = match line.split_once(' ') {
        Some((first, rest)) => (first, Some(rest)),
        None => (line, None),
    };
    if first == "file" {
        return Request::File(rest.map(first_word).filter(|name| !name.is_empty()));
    }
    if let Some(verb) = Verb::parse(first, aliases) {
        return Request::Verb(verb, rest);
    }
    if may_be_json(line) {
        match parse_json(line, max_params) {
            Ok(Shape::Object(request)) => return Request::Json(request),
            Ok(Shape::Other) => return Request::Nothing,
            Ok(Shape::Null) | Err(_) => {}
        }
    }
    Request::Action(first)
}

/// The text up to the first space.
#[must_use]
pub fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// The key and value of a `paramAdd`: `key=value` or `key value`; the value runs to the end of the line. `None` for the
/// value when there is none at all.
///
/// The original cuts the value at the next `=` or space; no client can send such a line and expect that.
#[must_use]
pub fn key_and_value(rest: &str) -> (&str, Option<&str>) {
    let (word, behind) = match rest.split_once(' ') {
        Some((word, behind)) => (word, Some(behind)),
        None => (rest, None),
    };
    if word.contains('=') {
        let (key, value) = rest.split_once('=').unwrap_or((word, ""));
        // One space at the end is what a terminal leaves behind, not a value.
        return (key, Some(value.strip_suffix(' ').unwrap_or(value)));
    }
    (word, behind)
}

fn may_be_json(line: &str) -> bool {
    line.bytes().next().is_some_and(|byte| {
        matches!(
            byte,
            b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'
        ) || byte.is_ascii_whitespace()
    })
}

enum Shape {
    Object(JsonRequest),
    Null,
    Other,
}

fn parse_json(line: &str, max_params: usize) -> serde_json::Result<Shape> {
    // Checked as a whole first: a line with something behind its JSON is no JSON.
    let raw: &RawValue = serde_json::from_str(line)?;
    Ok(match raw.get().as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(raw.get())?;
            let mut request = JsonRequest::default();
            for (key, value) in members {
                match &*key {
                    "params" => request.params = Some(params_of(value, max_params)),
                    "action" => {
                        request.action = is_truthy(value).then(|| Json::from(value).compact())
                    }
                    _ => {}
                }
            }
            Shape::Object(request)
        }
        Some(b'n') => Shape::Null,
        _ => Shape::Other,
    })
}

/// Members of a JSON value as JavaScript's `for … in` sees them: of an object its own, of an array or a string the
/// elements by index, of anything else none.
fn params_of(value: &RawValue, max: usize) -> Result<Params, ParamsFull> {
    let mut params = Params::default();
    let mut set = |key: &str, value| params.set_within(key, value, max, usize::MAX);
    match value.get().as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(value.get()).unwrap_or_default();
            for (key, value) in members {
                set(&key, Json::from(value).compact())?;
            }
        }
        Some(b'[') => {
            let Elements(elements) = serde_json::from_str(value.get()).unwrap_or_default();
            for (index, element) in elements.into_iter().enumerate() {
                set(&index.to_string(), Json::from(element).compact())?;
            }
        }
        Some(b'"') => {
            let text = text_of(value.get());
            for (index, character) in text.chars().enumerate() {
                set(
                    &index.to_string(),
                    Json::string(character.encode_utf8(&mut [0; 4])),
                )?;
            }
        }
        _ => {}
    }
    Ok(params)
}

fn is_truthy(value: &RawValue) -> bool {
    !matches!(value.get(), "null" | "false" | "0" | "-0" | "0.0" | "\"\"")
}

/// An object's members, values unread, in order.
#[derive(Default)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((key.0, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The text of a JSON string. Half of a surrogate pair, which JavaScript lets stand alone, becomes U+FFFD.
#[must_use]
pub fn text_of(string: &str) -> String {
    let text: Result<Text<'_>, _> = serde_json::from_str(string);
    text.map(|text| text.0.into_owned()).unwrap_or_default()
}

/// A string or key, borrowed unless it has escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Text(String::from_utf8_lossy(text)))
            }

            fn visit_bytes<E>(self, text: &[u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(String::from_utf8_lossy(text).into_owned())))
            }
        }
        // As bytes, because serde_json lets only those hold what is not quite UTF-8.
        deserializer.deserialize_bytes(Bytes)
    }
}

/// An array's elements, unread.
#[derive(Default)]
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

/// Writes one line: a JSON object of members in the order in which they are added, and CR LF.
#[derive(Debug)]
pub struct LineWriter {
    text: Vec<u8>,
}

impl LineWriter {
    /// An empty object, to become about `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let mut text = Vec::with_capacity(capacity);
        text.push(b'{');
        Self { text }
    }

    /// An object that begins with the members of `object`, a JSON object.
    #[must_use]
    pub fn from_object(object: &Json, capacity: usize) -> Self {
        let mut text = Vec::with_capacity(object.len() + capacity);
        let inner = object.as_str().strip_suffix('}').unwrap_or("{");
        text.extend_from_slice(inner.trim_end().as_bytes());
        Self { text }
    }

    /// Adds a member with a value that is JSON text already.
    #[must_use]
    pub fn raw(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        self.text.extend_from_slice(value.as_bytes());
        self
    }

    /// Adds a member with a text.
    #[must_use]
    pub fn string(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        // Only a few lines need escaping, and serde writes the others as they are.
        serde_json::to_writer(&mut self.text, value).expect("writing to memory does not fail");
        self
    }

    /// Adds a member with a number.
    #[must_use]
    pub fn number(mut self, key: &str, value: u64) -> Self {
        self.key(key);
        let mut digits = itoa::Buffer::new();
        self.text.extend_from_slice(digits.format(value).as_bytes());
        self
    }

    /// The finished line.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.text.extend_from_slice(b"}\r\n");
        Bytes::from(self.text)
    }

    fn key(&mut self, key: &str) {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(key.as_bytes());
        self.text.extend_from_slice(b"\":");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_json(line: &str, params: Option<&str>, action: Option<&str>) {
        let Request::Json(request) = parse(line, true, 100) else {
            panic!("{line} is no JSON request");
        };
        let printed = request
            .params
            .map(|params| Json::encode(&params.unwrap()).as_str().to_owned());
        assert_eq!(printed.as_deref(), params, "params of {line}");
        assert_eq!(
            request.action.as_ref().map(Json::as_str),
            action,
            "action of {line}"
        );
    }

    #[test]
    fn verbs_files_and_actions() {
        assert_eq!(
            parse("detailsView", true, 100),
            Request::Verb(Verb::DetailsView, None)
        );
        assert_eq!(
            parse("say room  two spaces", true, 100),
            Request::Verb(Verb::Say, Some("room  two spaces"))
        );
        assert_eq!(parse("file", true, 100), Request::File(None));
        assert_eq!(parse("file ", true, 100), Request::File(None));
        assert_eq!(
            parse("file a.txt more", true, 100),
            Request::File(Some("a.txt"))
        );
        assert_eq!(parse("PARAMADD x", true, 100), Request::Action("PARAMADD"));
        assert_eq!(parse(" randomNumber", true, 100), Request::Action(""));
        assert_eq!(parse("a\tb c", true, 100), Request::Action("a\tb"));
        assert_eq!(
            parse("addParam k=v", false, 100),
            Request::Action("addParam")
        );
        assert_eq!(
            parse("addParam k=v", true, 100),
            Request::Verb(Verb::ParamAdd, Some("k=v"))
        );
    }

    #[test]
    fn json_requests() {
        check_json(
            r#"{"action":"cacheTest","params":{"key":"k", "n": 1e2}}"#,
            Some(r#"{"key":"k","n":1e2}"#),
            Some(r#""cacheTest""#),
        );
        check_json(r#" {"action":"a"} "#, None, Some(r#""a""#));
        check_json(
            r#"{"action":"a","params":null}"#,
            Some("{}"),
            Some(r#""a""#),
        );
        check_json(r#"{"params":"hé"}"#, Some(r#"{"0":"h","1":"é"}"#), None);
        check_json(r#"{"params":[1,{}]}"#, Some(r#"{"0":1,"1":{}}"#), None);
        check_json(r#"{"action":"","params":{}}"#, Some("{}"), None);
        check_json(r#"{"action":5}"#, None, Some("5"));
        check_json(r#"{"action":"a","action":"b"}"#, None, Some(r#""b""#));
        check_json(r#"{"verb":"detailsView"}"#, None, None);
        check_json("{}", None, None);
    }

    #[test]
    fn json_that_is_no_request() {
        for line in ["[]", "123", "true", r#""randomNumber""#] {
            assert_eq!(parse(line, true, 100), Request::Nothing, "{line}");
        }
        assert_eq!(parse("null", true, 100), Request::Action("null"));
        assert_eq!(parse("{bad json", true, 100), Request::Action("{bad"));
        assert_eq!(
            parse(r#"{"action": "a", "params": {} } trailing"#, true, 100),
            Request::Action(r#"{"action":"#)
        );
    }

    #[test]
    fn params_are_bounded() {
        let many = format!("{{\"params\":\"{}\"}}", "x".repeat(101));
        let Request::Json(request) = parse(&many, true, 100) else {
            panic!("no JSON request");
        };
        assert_eq!(request.params, Some(Err(ParamsFull)));
    }

    #[test]
    fn nesting_costs_no_stack() {
        let deep = format!(
            r#"{{"params":{{"a":{}{}}}}}"#,
            "[".repeat(500_000),
            "]".repeat(500_000)
        );
        assert!(matches!(parse(&deep, true, 100), Request::Json(_)));
    }

    #[test]
    fn keys_and_values() {
        assert_eq!(key_and_value("key=value"), ("key", Some("value")));
        assert_eq!(key_and_value("key value"), ("key", Some("value")));
        assert_eq!(key_and_value("key=a=b c"), ("key", Some("a=b c")));
        assert_eq!(key_and_value("key="), ("key", Some("")));
        assert_eq!(key_and_value("key=1 "), ("key", Some("1")));
        assert_eq!(key_and_value("key"), ("key", None));
        assert_eq!(key_and_value("=x"), ("", Some("x")));
        assert_eq!(key_and_value(" key=2"), ("", Some("key=2")));
        assert_eq!(key_and_value("key:colon"), ("key:colon", None));
    }

    #[test]
    fn breaks_are_exact() {
        assert!(is_break(&[0x04]));
        assert!(is_break(&[0xff, 0xf4, 0xff, 0xfd, 0x06]));
        assert!(!is_break(&[0x04, b'\r', b'\n']));
        assert!(!is_break(&[0x03]));
    }

    #[test]
    fn lines_are_written_as_json_stringify_writes() {
        let line = LineWriter::new(0)
            .string("status", "a\"\\/\u{8}\u{1}☃")
            .raw("data", "null")
            .number("messageCount", 12)
            .finish();
        assert_eq!(
            &line[..],
            "{\"status\":\"a\\\"\\\\/\\b\\u0001☃\",\"data\":null,\"messageCount\":12}\r\n"
                .as_bytes()
        );
        let line = LineWriter::from_object(&Json::parse("{}").unwrap(), 0)
            .raw("a", "1")
            .finish();
        assert_eq!(&line[..], b"{\"a\":1}\r\n");
        let object = Json::parse(r#"{"x":{"y":1} }"#).unwrap();
        let line = LineWriter::from_object(&object, 0).raw("a", "1").finish();
        assert_eq!(&line[..], b"{\"x\":{\"y\":1},\"a\":1}\r\n");
    }

    proptest! {
        #[test]
        fn any_line_is_parsed(line in ".*", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&line, true, 100);
            let _ = parse(&decode_line(&bytes), false, 100);
        }

        #[test]
        fn params_come_back_as_they_were_sent(
            members in proptest::collection::btree_map("[a-z\"\\\\é]{1,8}", ".{0,20}", 0..6)
        ) {
            let sent = serde_json::json!({ "action": "a", "params": members });
            let Request::Json(request) = parse(&sent.to_string(), true, 100).clone() else {
                return Err(TestCaseError::fail("no JSON request"));
            };
            let params = request.params.unwrap().unwrap();
            let got: std::collections::BTreeMap<String, String> = params
                .iter()
                .map(|(key, value)| (key.to_owned(), value.decode().unwrap()))
                .collect();
            prop_assert_eq!(got, members);
        }
    }
}
