//! Entries of a stream: four fields of text.

use base64::{Engine, engine::general_purpose::STANDARD};
use redis::Pipeline;

use crate::codec::{Content, ReadError, read_content, write_content};

/// What this node adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) namespace: String,
    kind: u64,
    /// Text: JSON, or MessagePack in base64 where there is binary.
    pub(super) data: Vec<u8>,
}

impl Entry {
    /// Nothing for what that adapter cannot say.
    pub(super) fn new(namespace: &str, content: &Content) -> Option<Self> {
        let (kind, data) = write_content(content)?;
        let data = if is_json(&data) {
            data
        } else {
            STANDARD.encode(data).into_bytes()
        };
        Some(Self {
            namespace: namespace.to_owned(),
            kind,
            data,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.namespace.len() + self.data.len()
    }

    /// Adds it to a stream that keeps about so many.
    pub(super) fn add(&self, pipeline: &mut Pipeline, key: &str, length: usize, uid: &str) {
        let command = pipeline.cmd("XADD");
        command.arg(key).arg("MAXLEN").arg("~").arg(length).arg("*");
        command.arg("uid").arg(uid).arg("nsp").arg(&self.namespace);
        command
            .arg("type")
            .arg(self.kind)
            .arg("data")
            .arg(&*self.data);
    }
}

/// What stands in a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) uid: String,
    pub(super) namespace: String,
    kind: u64,
    pub(super) data: Vec<u8>,
}

impl Found {
    /// Names and values in turn; nothing if one is missing that an entry has.
    pub(super) fn new(fields: Vec<Vec<u8>>) -> Option<Self> {
        let (mut uid, mut namespace, mut kind, mut data) = (None, None, None, Vec::new());
        let mut fields = fields.into_iter();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            match &*name {
                b"uid" => uid = String::from_utf8(value).ok(),
                b"nsp" => namespace = String::from_utf8(value).ok(),
                b"type" => kind = String::from_utf8(value).ok().and_then(|it| it.parse().ok()),
                b"data" => data = value,
                _ => {}
            }
        }
        Some(Self {
            uid: uid?,
            namespace: namespace?,
            kind: kind?,
            data,
        })
    }

    pub(super) fn content(&self) -> Result<Content, ReadError> {
        if self.data.is_empty() || is_json(&self.data) {
            return read_content(self.kind, &self.data, &self.namespace);
        }
        let data = STANDARD.decode(&self.data);
        let data = data.map_err(|_| ReadError::Malformed("neither JSON nor base64"))?;
        read_content(self.kind, &data, &self.namespace)
    }
}

/// MessagePack begins a map with another byte.
fn is_json(data: &[u8]) -> bool {
    data.starts_with(b"{")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;

    const RECORDING: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/traces/socket-io-redis/adapter-redis-streams-adapter_0.3.1.jsonl"
    );

    /// The arguments of every XADD that was recorded.
    fn recorded() -> Vec<Vec<String>> {
        let text = fs::read_to_string(RECORDING).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let added = lines.filter(|line: &Value| line["cmd"] == "XADD");
        let args = added.map(|line| serde_json::from_value(line["args"].clone()).unwrap());
        args.collect()
    }

    #[test]
    fn recorded_entries_are_read_and_added_with_the_same_bytes() {
        let recorded = recorded();
        assert_eq!(recorded.len(), 16);
        for args in recorded {
            let [key, head @ ..] = &*args else {
                panic!("an entry without a key")
            };
            assert_eq!(head[..4], ["MAXLEN", "~", "10000", "*"]);
            let fields = head[4..].iter().map(|field| field.clone().into_bytes());
            let found = Found::new(fields.collect()).unwrap();
            let content = found.content().unwrap();
            let entry = Entry::new(&found.namespace, &content).unwrap();
            let mut pipeline = Pipeline::new();
            entry.add(&mut pipeline, key, 10_000, &found.uid);
            let mut expected = Pipeline::new();
            expected.cmd("XADD").arg(&args);
            let binary = !is_json(&found.data);
            if binary {
                // The package's MessagePack has other lengths of texts.
                let again = Found {
                    data: entry.data,
                    ..found
                };
                assert_eq!(again.content(), Ok(content));
            } else {
                assert_eq!(
                    pipeline.get_packed_pipeline(),
                    expected.get_packed_pipeline()
                );
            }
        }
    }

    #[test]
    fn what_is_no_entry_is_dropped() {
        let fields = |list: &[&str]| list.iter().map(|it| it.as_bytes().to_vec()).collect();
        for list in [
            &[][..],
            &["uid"],
            &["uid", "a", "nsp", "/"],
            &["uid", "a", "nsp", "/", "type", "x"],
            &["uid", "a", "type", "3", "data", "{}"],
        ] {
            assert_eq!(Found::new(fields(list)), None, "{list:?}");
        }
        let all = [
            "uid", "a", "nsp", "/", "more", "b", "type", "3", "data", "?",
        ];
        let found = Found::new(fields(&all)).unwrap();
        assert!(found.content().is_err());
    }
}
