//! Recorded messages of original servers and emitters: every one is read as what the recorder made of it, and what is
//! written of it is read as the same. Requests and answers are written with the very bytes of the recording.

#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use polyport_core::{Arg, RoomName};
use polyport_redis_rooms::codec::{
    Answer, Arrived, Broadcast, BroadcastChannel, Channel, Channels, Packet, PerRoom, Question,
    ReadError, Rooms, Selection, Wire, read_broadcast, read_request, read_response,
    read_sync_request, read_sync_response, write_broadcast, write_request, write_response,
    write_sync_request, write_sync_response,
};
use serde_json::{Map, Value, json};

const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/traces/socket-io-redis"
);

/// Families that are not read yet, and what is no recording of commands.
const NOT_READ: [&str; 5] = [
    "adapter-redis-adapter_8.3.0_sharded-dynamic-private",
    "adapter-redis-adapter_8.3.0_sharded-static",
    "adapter-redis-adapter_8.3.0_sharded",
    "adapter-redis-streams-adapter_0.3.1",
    "emitter-to-server-matrix",
];

#[derive(Default)]
struct Replay {
    /// How many messages were read, by what they are.
    read: BTreeMap<&'static str, usize>,
    /// How many broadcasts of a recording are written with its very bytes, and how many are not.
    identical: BTreeMap<String, (usize, usize)>,
    /// What is dropped: the recording, the step and why.
    dropped: Vec<(String, String, ReadError)>,
    /// Rooms of channels, with those before them, that senders published to one by one.
    per_room: BTreeSet<(String, Vec<String>)>,
    /// The arguments of all events `date` and `d`.
    dates: BTreeSet<String>,
}

impl Replay {
    fn file(&mut self, path: &Path) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        for line in fs::read_to_string(path).unwrap().lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            if entry["cmd"] == "PUBLISH" {
                self.message(name, &entry);
            }
        }
    }

    fn message(&mut self, name: &str, entry: &Value) {
        let channel = entry["channel"].as_str().unwrap();
        let payload = STANDARD
            .decode(entry["payload_b64"].as_str().unwrap())
            .unwrap();
        let decoded = &entry["decoded"];
        let result = match Channels::default().read(channel).unwrap() {
            Channel::Broadcast(channel) => self.broadcast(name, &channel, &payload, decoded),
            Channel::Request { .. } => self.request(&payload, decoded),
            Channel::Response { .. } => self.response(&payload, decoded),
            Channel::SyncRequest { .. } => read_sync_request(&payload).map(|request| {
                self.count("sync request");
                assert_eq!(write_sync_request(&request), payload);
            }),
            Channel::SyncResponse { .. } => read_sync_response(&payload).map(|clients| {
                self.count("sync response");
                assert_eq!(write_sync_response(&clients), payload);
            }),
        };
        if let Err(error) = result {
            let step = entry["step"].as_str().unwrap().to_owned();
            self.dropped.push((name.to_owned(), step, error));
        }
    }

    fn broadcast(
        &mut self,
        name: &str,
        channel: &BroadcastChannel<'_>,
        payload: &[u8],
        decoded: &Value,
    ) -> Result<(), ReadError> {
        let arrived = read_broadcast(channel, payload)?;
        self.count("broadcast");
        assert_eq!(arrived.unknown_extensions, 0);
        assert_eq!(told(&arrived.broadcast), expected(channel, decoded));
        self.heard(&arrived);
        let is_identical = self.written(name, &arrived.broadcast, payload);
        let counts = self.identical.entry(name.to_owned()).or_default();
        if is_identical {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
        Ok(())
    }

    /// Whether what is written of it is what was recorded. It is read as the same in any case, on the channel where it
    /// belongs.
    fn written(&self, name: &str, broadcast: &Broadcast, payload: &[u8]) -> bool {
        let channels = Channels::default();
        let channel = channels.of(broadcast);
        let Some(Channel::Broadcast(channel)) = channels.read(&channel) else {
            panic!("{name}: {channel}");
        };
        [Wire::Modern, Wire::Legacy]
            .map(|wire| {
                let written = write_broadcast(broadcast, wire);
                let again = read_broadcast(&channel, &written).unwrap();
                assert_eq!(&again.broadcast, broadcast);
                written == payload
            })
            .contains(&true)
    }

    fn heard(&mut self, arrived: &Arrived) {
        if let Some(PerRoom { room, before }) = &arrived.per_room {
            let before = before.iter().map(|room| room.as_str().to_owned());
            self.per_room
                .insert((room.as_str().to_owned(), before.collect()));
        }
        let packet = &arrived.broadcast.packet;
        if let Some(Arg::Json(json)) = packet.args.first()
            && ["date", "d"].contains(&packet.name.as_str())
        {
            self.dates.insert(json.as_str().to_owned());
        }
    }

    fn request(&mut self, payload: &[u8], decoded: &Value) -> Result<(), ReadError> {
        let request = read_request(payload)?;
        self.count("request");
        if let Question::Ask {
            packet, selection, ..
        } = &request.question
        {
            assert_eq!(packet_told(packet), decoded["packet"]["data"]);
            assert_eq!(rooms_told(&selection.rooms), decoded["opts"]["rooms"]);
        }
        assert_eq!(write_request(&request), payload, "{decoded}");
        Ok(())
    }

    fn response(&mut self, payload: &[u8], decoded: &Value) -> Result<(), ReadError> {
        let response = read_response(payload)?;
        self.count("response");
        if let Answer::Ack(arg) = &response.answer {
            assert_eq!(arg_told(arg), decoded["packet"]);
        }
        assert_eq!(write_response(&response), payload, "{decoded}");
        Ok(())
    }

    fn count(&mut self, what: &'static str) {
        *self.read.entry(what).or_default() += 1;
    }
}

/// A broadcast in the recorder's words.
fn told(broadcast: &Broadcast) -> Value {
    let Broadcast {
        uid,
        packet,
        selection: Selection { rooms, except },
        flags,
    } = broadcast;
    json!({
        "uid": uid,
        "nsp": packet.namespace,
        "data": packet_told(packet),
        "rooms": rooms_told(rooms),
        "except": except.iter().map(RoomName::as_str).collect::<Vec<_>>(),
        "volatile": flags.volatile,
        "compress": flags.compress,
        "local": flags.local,
    })
}

fn packet_told(packet: &Packet) -> Value {
    let name = Value::from(packet.name.as_str());
    let args = packet.args.iter().map(arg_told);
    [name].into_iter().chain(args).collect()
}

fn rooms_told(rooms: &Rooms) -> Value {
    match rooms {
        Rooms::All => json!([]),
        Rooms::AnyOf(rooms) => rooms.iter().map(RoomName::as_str).collect(),
    }
}

fn arg_told(arg: &Arg) -> Value {
    let mut text = String::new();
    let push_binary = |text: &mut String, bytes: &[u8]| {
        text.push_str(&json!({ "$bin": STANDARD.encode(bytes) }).to_string());
    };
    match arg {
        Arg::Json(json) => text.push_str(json.as_str()),
        Arg::Binary(bytes) => push_binary(&mut text, bytes),
        Arg::Mixed(mixed) => mixed.write(&mut text, |text, bytes| push_binary(text, bytes)),
    }
    serde_json::from_str(&text).unwrap()
}

/// What the recorder has, normalised.
fn expected(channel: &BroadcastChannel<'_>, decoded: &Value) -> Value {
    let mut elements = decoded.as_array().unwrap().iter();
    let uid = match channel {
        BroadcastChannel::Namespace { .. } => elements.next().unwrap().clone(),
        BroadcastChannel::Emitter => json!("emitter"),
        BroadcastChannel::Server { uid } => json!(uid),
    };
    let packet = normalised(elements.next().unwrap());
    let options = normalised(elements.next().unwrap());
    let list = |key: &str| {
        let list = &options[key];
        if list.is_array() {
            list.clone()
        } else {
            json!([])
        }
    };
    let namespace = packet["nsp"].as_str().unwrap_or("/");
    let flag = |key: &str| options["flags"][key].as_bool();
    json!({
        "uid": uid,
        "nsp": format!("/{}", namespace.trim_start_matches('/')),
        "data": packet["data"],
        "rooms": list("rooms"),
        "except": list("except"),
        "volatile": flag("volatile").unwrap_or_default(),
        "compress": flag("compress"),
        "local": flag("local").unwrap_or_default(),
    })
}

fn is_undefined(value: &Value) -> bool {
    value["$undefined"] == true || value["$ext"] == 0 && value["hex"] == "00"
}

/// Undefined is `null`, and left out of maps; a date is its text. There is one date in all recordings.
fn normalised(value: &Value) -> Value {
    const DATES: [(i64, &str); 3] = [
        (0, "0000014676531c95"),
        (-1, "bc1cbd00539306f0"),
        (13, "cb4274676531c95000"),
    ];
    match value {
        _ if is_undefined(value) => Value::Null,
        Value::Object(members) if members.contains_key("$ext") => {
            let extension = (
                value["$ext"].as_i64().unwrap(),
                value["hex"].as_str().unwrap(),
            );
            if extension == (0, "ff00") {
                // A buffer that a browser would have, in the event `bin`.
                return json!({ "$bin": "/wA=" });
            }
            assert!(DATES.contains(&extension), "{value}");
            json!("2014-06-07T12:34:56.789Z")
        }
        Value::Array(elements) => elements.iter().map(normalised).collect(),
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !is_undefined(value));
            let members: Map<String, Value> = members
                .map(|(key, value)| (key.clone(), normalised(value)))
                .collect();
            Value::Object(members)
        }
        other => other.clone(),
    }
}

fn recordings() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 25);
    files
}

#[test]
fn recorded_messages_are_read_and_written_again() {
    let mut replay = Replay::default();
    let mut not_read = Vec::new();
    for path in recordings() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if NOT_READ.contains(&name.as_str()) {
            not_read.push(name);
        } else {
            replay.file(&path);
        }
    }
    assert_eq!(not_read, NOT_READ);
    // None is left out silently: a recording more or less changes these.
    let read: Vec<_> = replay.read.into_iter().collect();
    assert_eq!(
        read,
        [
            ("broadcast", 190),
            ("request", 83),
            ("response", 63),
            ("sync request", 1),
            ("sync response", 2),
        ]
    );
    let dropped: Vec<_> = replay
        .dropped
        .iter()
        .map(|(name, step, error)| (&**name, &**step, *error))
        .collect();
    assert_eq!(dropped, DROPPED);
    // Others name the members of the options in another order. What differs here are dates, and a flag without meaning.
    let identical: Vec<_> = replay
        .identical
        .iter()
        .filter(|(_, (identical, _))| *identical > 0)
        .map(|(name, counts)| (&**name, *counts))
        .collect();
    assert_eq!(
        identical,
        [
            ("adapter-redis-adapter_7.2.0", (11, 1)),
            ("adapter-redis-adapter_8.3.0", (11, 1)),
            ("adapter-redis-adapter_8.3.0_specific-response", (11, 1)),
            ("adapter-socket.io-redis_6.1.1", (9, 2)),
            (MIXED, (2, 4)),
        ]
    );
    let per_room: Vec<_> = replay.per_room.into_iter().collect();
    assert_eq!(
        per_room,
        [
            ("site(example.com)".to_owned(), vec!["user(1)".to_owned()]),
            ("user(1)".to_owned(), vec![]),
        ]
    );
    assert!(replay.dates.iter().eq(["\"2014-06-07T12:34:56.789Z\""]));
}

const MIXED: &str = "mixed-cluster_socket.io-redis_5.4.0_with_redis-adapter_8.3.0";

/// Nobody can make anything of these.
const DROPPED: [(&str, &str, ReadError); 7] = [
    (
        "adapter-socket.io-redis_0.1.4",
        "A: io.to(user(1)).emit binary",
        ReadError::Placeholders,
    ),
    (
        "adapter-socket.io-redis_0.2.0",
        "A: io.to(user(1)).emit binary",
        ReadError::Placeholders,
    ),
    (MIXED, "NEW: fetchSockets", TO_NOTHING),
    (MIXED, "OLD: clients", TO_NOTHING),
    (
        MIXED,
        "OLD: remoteJoin(id of new client, room x)",
        TO_NOTHING,
    ),
    (
        MIXED,
        "OLD: remoteJoin(id of new client, room r) [type 3 = REMOTE_LEAVE for NEW]",
        TO_NOTHING,
    ),
    (
        MIXED,
        "OLD: remoteLeave(id of new client, r) [type 4 = REMOTE_DISCONNECT for NEW]",
        TO_NOTHING,
    ),
];

const TO_NOTHING: ReadError = ReadError::Shape("an answer to nothing");
