//! The last state of every instance and what has happened since, within a bound of bytes.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use polyport_core::{Json, RealmName};

use super::{head::Head, lifted};

/// One instance may have this part of all bytes.
const SHARE: usize = 4;

/// What is counted for an instance beside its messages.
const OVERHEAD: usize = 512;

/// A realm and one of its instances.
type Key = (RealmName, Arc<str>);

/// Histories by realm and instance.
#[derive(Default)]
pub struct History {
    instances: HashMap<Key, Instance>,
    /// Who was heard of when, by the history's own clock: apps choose their instances' names, and may choose many.
    heard: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
}

struct Instance {
    name: Option<Box<str>>,
    /// The message with the state that everything began with.
    base: Option<Json>,
    actions: VecDeque<Json>,
    bytes: usize,
    /// When it was last heard of; never yet at 0.
    heard: u64,
}

/// The state of an instance, as a report has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What the instance calls itself.
    pub title: String,
    /// Its lifted state.
    pub payload: String,
}

impl History {
    /// Notes a message of an app that is connected as `sender`. `most` are the bytes that all histories may have.
    pub fn note(
        &mut self,
        realm: &RealmName,
        sender: &str,
        head: &Head<'_>,
        message: &Json,
        most: usize,
    ) {
        let (is_base, is_action) = match head.kind.as_deref() {
            Some("STATE" | "INIT") => (true, false),
            Some("ACTION") => (false, true),
            _ => (false, false),
        };
        if !is_base && !is_action {
            return;
        }
        self.clock += 1;
        let key: Key = (realm.clone(), head.shown_as().unwrap_or(sender).into());
        let instance = self.instances.entry(key.clone()).or_insert_with(|| {
            self.bytes += OVERHEAD;
            Instance::new()
        });
        self.heard.remove(&instance.heard);
        self.heard.insert(self.clock, key);
        instance.heard = self.clock;
        if let Some(name) = &head.name {
            instance.name = Some((&**name).into());
        }
        let before = instance.bytes;
        if is_base {
            instance.start(message.clone());
        } else {
            instance.add(message.clone());
        }
        instance.shrink(most / SHARE);
        self.bytes = self.bytes + instance.bytes - before;
        self.evict(most);
    }

    /// Bytes that are kept, with what is counted for an instance beside its messages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets go of those that were not heard of for longest, until the rest has room.
    fn evict(&mut self, most: usize) {
        while self.bytes > most {
            let Some((_, key)) = self.heard.pop_first() else {
                return;
            };
            if let Some(gone) = self.instances.remove(&key) {
                self.bytes -= gone.bytes + OVERHEAD;
            }
        }
    }

    /// The state of an instance as it is now.
    #[must_use]
    pub fn snapshot(&self, realm: &RealmName, instance: &str) -> Option<Snapshot> {
        let kept = self.find(realm, instance)?;
        let messages = kept.messages().map(Json::as_str);
        Some(Snapshot {
            title: kept.name.as_deref().unwrap_or(instance).to_owned(),
            payload: lifted::merge(messages)?,
        })
    }

    /// The messages that are kept of an instance, the oldest first.
    #[must_use]
    pub fn recording(&self, realm: &RealmName, instance: &str) -> Option<Vec<Box<str>>> {
        let kept = self.find(realm, instance)?;
        Some(kept.messages().map(|it| it.as_str().into()).collect())
    }

    fn find(&self, realm: &RealmName, instance: &str) -> Option<&Instance> {
        self.instances.get(&(realm.clone(), instance.into()))
    }
}

impl Instance {
    fn new() -> Self {
        Self {
            name: None,
            base: None,
            actions: VecDeque::new(),
            bytes: 0,
            heard: 0,
        }
    }

    fn messages(&self) -> impl Iterator<Item = &Json> {
        self.base.iter().chain(&self.actions)
    }

    fn start(&mut self, state: Json) {
        self.actions = VecDeque::new();
        self.bytes = state.len();
        self.base = Some(state);
    }

    fn add(&mut self, action: Json) {
        self.bytes += action.len();
        self.actions.push_back(action);
    }

    /// Forgets what is oldest. Every action has the state behind it, so that the first of the rest is a beginning by itself.
    fn shrink(&mut self, most: usize) {
        while self.bytes > most && !self.actions.is_empty() {
            if let Some(base) = self.base.take() {
                self.bytes -= base.len();
            } else if let Some(action) = self.actions.pop_front() {
                self.bytes -= action.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm() -> RealmName {
        RealmName::new("devtools").unwrap()
    }

    fn note(history: &mut History, text: &str, most: usize) {
        let message = Json::parse(text).unwrap();
        let head = Head::read(message.decode().unwrap());
        history.note(&realm(), "connection", &head, &message, most);
    }

    fn action(instance: &str, number: usize) -> String {
        format!(
            r#"{{"type":"ACTION","instanceId":"{instance}","payload":"{{\"n\":{number}}}","action":"{{\"action\":{{\"type\":\"INC\"}}}}"}}"#
        )
    }

    #[test]
    fn a_state_and_what_follows_it() {
        let mut history = History::default();
        note(
            &mut history,
            r#"{"type":"INIT","name":"Shop","instanceId":"a","payload":"{\"n\":0}"}"#,
            10_000,
        );
        note(&mut history, &action("a", 1), 10_000);
        note(&mut history, r#"{"type":"START","instanceId":"b"}"#, 10_000);
        let snapshot = history.snapshot(&realm(), "a").unwrap();
        assert_eq!(snapshot.title, "Shop");
        assert!(
            snapshot
                .payload
                .contains(r#""computedStates":[{"state":{"n":0}},{"state":{"n":1}}]"#),
            "{}",
            snapshot.payload
        );
        assert_eq!(history.recording(&realm(), "a").unwrap().len(), 2);
        assert!(
            history.snapshot(&realm(), "b").is_none(),
            "it has no state yet"
        );
    }

    #[test]
    fn who_sends_no_instance_is_known_by_its_connection() {
        let mut history = History::default();
        note(
            &mut history,
            r#"{"type":"INIT","payload":"{}","id":null}"#,
            10_000,
        );
        assert!(history.snapshot(&realm(), "connection").is_some());
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let mut history = History::default();
        for number in 0..1_000 {
            note(&mut history, &action("a", number), 8_000);
        }
        let kept = history.recording(&realm(), "a").unwrap();
        assert!(kept.len() > 5 && kept.len() < 30, "{}", kept.len());
        assert!(kept.last().unwrap().contains("999"));
        assert!(
            history
                .snapshot(&realm(), "a")
                .unwrap()
                .payload
                .contains(r#"{"n":999}"#)
        );
        for instance in 0..20 {
            for number in 0..20 {
                note(
                    &mut history,
                    &action(&format!("other{instance}"), number),
                    8_000,
                );
            }
        }
        assert!(history.recording(&realm(), "a").is_none());
        assert!(history.bytes <= 8_000, "{}", history.bytes);
    }
}
