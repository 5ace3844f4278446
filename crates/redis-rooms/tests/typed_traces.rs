//! Recorded messages of the sharded and the streams adapter: every one is read, and those without binary are written with the
//! very bytes of the recording.

#![cfg(test)]

use std::{collections::BTreeMap, fs};

use base64::{Engine, engine::general_purpose::STANDARD};
use polyport_redis_rooms::codec::{
    read_content, read_server_message, write_content, write_server_message,
};
use serde_json::Value;

const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/traces/socket-io-redis"
);

/// The commands of a recording.
fn commands(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(format!("{FOLDER}/{name}.jsonl")).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// How many messages there are by their number and whether they are JSON.
type Read = BTreeMap<(u64, bool), usize>;

/// A message is read, and written so that it is read as the same; JSON with the same bytes but for the escapes that are
/// left to whoever writes.
fn whole(payload: &[u8], read: &mut Read) {
    let message = read_server_message(payload).unwrap();
    let written = write_server_message(&message).unwrap();
    assert_eq!(read_server_message(&written), Ok(message.clone()));
    let is_json = payload[0] == b'{';
    if is_json {
        let text = String::from_utf8_lossy(payload);
        assert_eq!(String::from_utf8_lossy(&written), text);
    }
    *read
        .entry((message.content.kind().unwrap(), is_json))
        .or_default() += 1;
}

#[test]
fn of_the_sharded_adapter() {
    for name in ["", "-static", "-dynamic-private"] {
        let mut read = Read::new();
        for command in commands(&format!("adapter-redis-adapter_8.3.0_sharded{name}")) {
            if command["cmd"] == "SPUBLISH" {
                let payload = command["payload_b64"].as_str().unwrap();
                whole(&STANDARD.decode(payload).unwrap(), &mut read);
            }
        }
        assert_eq!(read.values().sum::<usize>(), 30, "{read:?}");
        let kinds = read.keys().map(|(kind, _)| *kind);
        let kinds: std::collections::BTreeSet<_> = kinds.collect();
        assert_eq!(kinds.len(), 10, "{kinds:?}");
    }
}

#[test]
fn of_the_streams_adapter() {
    let mut read = Read::new();
    let mut entries = 0;
    for command in commands("adapter-redis-streams-adapter_0.3.1") {
        if command["cmd"] == "PUBLISH" {
            let payload = command["payload_b64"].as_str().unwrap();
            whole(&STANDARD.decode(payload).unwrap(), &mut read);
        } else if command["cmd"] == "XADD" {
            let args = command["args"].as_array().unwrap();
            let field = |name: &str| {
                let at = args.iter().position(|arg| arg == name)?;
                args[at + 1].as_str()
            };
            let (kind, namespace) = (field("type").unwrap(), field("nsp").unwrap());
            let data = field("data").unwrap_or_default();
            let is_json = data.is_empty() || data.starts_with('{');
            let bytes = if is_json {
                data.as_bytes().to_vec()
            } else {
                STANDARD.decode(data).unwrap()
            };
            let kind: u64 = kind.parse().unwrap();
            let content = read_content(kind, &bytes, namespace).unwrap();
            let (written_kind, written) = write_content(&content).unwrap();
            assert_eq!(written_kind, kind);
            assert_eq!(read_content(kind, &written, namespace), Ok(content));
            if is_json && !data.is_empty() {
                assert_eq!(String::from_utf8_lossy(&written), data);
            }
            entries += 1;
        }
    }
    assert_eq!((entries, read.values().sum::<usize>()), (16, 15));
}
