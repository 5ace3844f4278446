//! Recorded conversations of the original servers: every line of a client is understood as the protocol says, and every
//! line of a server is what the line writer makes of its members. What a server answers when is compared elsewhere, by
//! playing the recordings to the whole gateway.

#![cfg(test)]

use std::{collections::BTreeMap, fmt, fs, path::Path};

use polyport_core::{Json, Params};
use polyport_tcp_verbs::codec::{self, LineWriter, Request};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/traces/actionhero");

const VERBS: [&str; 13] = [
    "quit",
    "exit",
    "documentation",
    "paramAdd",
    "paramDelete",
    "paramView",
    "paramsView",
    "paramsDelete",
    "roomAdd",
    "roomLeave",
    "roomView",
    "detailsView",
    "say",
];

/// What one side of each connection wrote, per recording and connection.
fn streams(direction: &str) -> BTreeMap<(String, u64), Vec<u8>> {
    let mut streams: BTreeMap<(String, u64), Vec<u8>> = BTreeMap::new();
    for file in fs::read_dir(Path::new(FOLDER)).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for entry in fs::read_to_string(&path).unwrap().lines() {
            let entry: Value = serde_json::from_str(entry).unwrap();
            let data = entry["data"].as_str().unwrap_or_default();
            if entry["dir"] != direction || data.contains("[truncated in trace") {
                continue;
            }
            let stream = streams
                .entry((name.clone(), entry["conn"].as_u64().unwrap()))
                .or_default();
            if entry["encoding"] == "latin-1" {
                stream.extend(data.chars().map(|c| u8::try_from(c).unwrap()));
            } else {
                stream.extend_from_slice(data.as_bytes());
            }
        }
    }
    streams
}

/// The kind of request, by the words of the protocol page.
fn kind(line: &str) -> &'static str {
    let first = line.split(' ').next().unwrap();
    if first == "file" {
        return "file";
    }
    if VERBS.contains(&first) {
        return "verb";
    }
    match serde_json::from_str(line) {
        Ok(Value::Object(_)) => "object",
        Ok(Value::Null) | Err(_) => "action",
        Ok(_) => "nothing",
    }
}

#[test]
fn what_clients_said_is_understood() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for ((name, _), stream) in streams("c2s") {
        for line in stream.split(|byte| matches!(byte, b'\r' | b'\n')) {
            if line.is_empty() {
                continue;
            }
            let line = codec::decode_line(line);
            let found = match codec::parse(&line, false, 1000) {
                Request::Verb(..) => "verb",
                Request::File(_) => "file",
                Request::Nothing => "nothing",
                Request::Action(action) => {
                    assert_eq!(Some(action), line.split(' ').next(), "{name}: {line}");
                    "action"
                }
                Request::Json(request) => {
                    check_json(&line, &request);
                    "object"
                }
            };
            assert_eq!(found, kind(&line), "{name}: {line}");
            *counts.entry(found).or_default() += 1;
        }
    }
    let enough = |kind: &str, least: usize| {
        assert!(counts.get(kind) >= Some(&least), "{kind}: {counts:?}");
    };
    enough("verb", 800);
    enough("action", 300);
    enough("object", 200);
    enough("file", 50);
    enough("nothing", 5);
}

/// Compares a request with what another reader of JSON makes of its line.
fn check_json(line: &str, request: &codec::JsonRequest) {
    let members: Value = serde_json::from_str(line).unwrap();
    let action = request.action.as_ref().map(|json| json.decode().unwrap());
    let expected = members.get("action").filter(|action| {
        !matches!(action, Value::Null | Value::Bool(false))
            && *action != &Value::from("")
            && *action != &Value::from(0)
    });
    assert_eq!(action.as_ref(), expected, "{line}");
    let params = request.params.as_ref().map(|params| {
        let params = params.as_ref().unwrap().iter();
        params
            .map(|(name, value)| (name.to_owned(), value.decode().unwrap()))
            .collect::<BTreeMap<String, Value>>()
    });
    let expected = members.get("params").map(|params| match params {
        Value::Object(members) => members.clone().into_iter().collect(),
        Value::Array(elements) => (0..)
            .map(|index: usize| index.to_string())
            .zip(elements.iter().cloned())
            .collect(),
        Value::String(text) => (0..)
            .map(|index: usize| index.to_string())
            .zip(text.chars().map(|c| Value::from(c.to_string())))
            .collect(),
        _ => BTreeMap::new(),
    });
    assert_eq!(params, expected, "{line}");
}

#[test]
fn what_servers_said_can_be_written_byte_for_byte() {
    let mut written = 0;
    for ((name, conn), stream) in streams("s2c") {
        let Ok(stream) = String::from_utf8(stream) else {
            continue;
        };
        for line in stream.split_terminator("\r\n") {
            // Other lines are those of files.
            let Ok(Members(members)) = serde_json::from_str(line) else {
                continue;
            };
            let again = members
                .iter()
                .fold(LineWriter::new(0), |writer, (key, value)| {
                    write(writer, key, value)
                });
            let again = String::from_utf8(again.finish().to_vec()).unwrap();
            assert_eq!(again, format!("{line}\r\n"), "{name}, connection {conn}");
            written += 1;
        }
    }
    assert!(written >= 1500, "{written}");
}

fn write(writer: LineWriter, key: &str, value: &RawValue) -> LineWriter {
    if let Ok(text) = serde_json::from_str::<String>(value.get()) {
        writer.string(key, &text)
    } else if let Ok(number) = value.get().parse() {
        writer.number(key, number)
    } else {
        writer.raw(key, again(value).as_str())
    }
}

/// A value read and encoded anew; numbers keep their text.
fn again(value: &RawValue) -> Json {
    if let Ok(text) = serde_json::from_str::<String>(value.get()) {
        Json::string(&text)
    } else if let Ok(Members(members)) = serde_json::from_str(value.get()) {
        let mut params = Params::default();
        for (key, value) in members {
            params.set(&key, again(value));
        }
        Json::encode(&params)
    } else if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        let elements: Vec<Json> = elements.into_iter().map(again).collect();
        Json::encode(&elements)
    } else {
        Json::from(value)
    }
}

/// An object's members in order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

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
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
