//! From an instance's messages to one lifted state, the form in which monitors import a history.
//!
//! States and actions stand in messages as JSON inside a string. They are put together as text and never looked into: what
//! npm jsan has written stays as it is.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use super::head::Head;
use crate::codec::{Member, members, string};

/// Actions and states beyond this are left to the app.
const MOST: usize = 100_000;

/// Reference of npm jsan: a path from the root of the document, which moves when the document is put into another one.
const REFERENCE: &str = r#""$jsan":"$"#;

/// A lifted state that is put together.
#[derive(Default)]
struct Lifted {
    /// `actionsById`, as texts of keys and values.
    actions: Vec<(String, String)>,
    staged: Vec<String>,
    skipped: Option<String>,
    states: Vec<String>,
    committed: Option<String>,
    next: u64,
}

/// One lifted state of a message with a state and those with actions that follow. Nothing if no message has a state.
pub(super) fn merge<'a>(messages: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut lifted: Option<Lifted> = None;
    for message in messages {
        let Ok(message) = serde_json::from_str::<&RawValue>(message) else {
            continue;
        };
        let head = Head::read(message);
        let Some(payload) = head.payload.map(unwrapped) else {
            continue;
        };
        match (&mut lifted, head.kind.as_deref()) {
            (_, Some("STATE")) => lifted = Lifted::read(&payload).or(lifted),
            (Some(known), Some("ACTION")) => {
                let is_whole = !payload.contains(REFERENCE) && known.add(&head, payload);
                // What comes behind cannot stand here; a shorter history is a true one.
                let true = is_whole else { break };
            }
            (_, Some("INIT" | "ACTION")) => lifted = Some(Lifted::beginning(payload)),
            _ => {}
        }
    }
    lifted.map(|lifted| lifted.write())
}

/// The JSON inside a string, or what stands there by itself: programs in other languages send either.
pub(crate) fn unwrapped(value: &RawValue) -> String {
    let inside = string(value).filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
    inside.map_or_else(|| value.get().to_owned(), std::borrow::Cow::into_owned)
}

impl Lifted {
    fn beginning(state: String) -> Self {
        Self {
            actions: vec![(
                "0".to_owned(),
                r#"{"type":"PERFORM_ACTION","action":{"type":"@@INIT"},"timestamp":0}"#.to_owned(),
            )],
            staged: vec!["0".to_owned()],
            states: vec![format!(r#"{{"state":{state}}}"#)],
            committed: Some(state),
            skipped: None,
            next: 1,
        }
    }

    /// Takes a lifted state apart; nothing if it is none.
    fn read(text: &str) -> Option<Self> {
        let whole: &RawValue = serde_json::from_str(text).ok()?;
        let parts = members(whole, MOST)?;
        let part = |name: &str| {
            let found: Option<&Member<'_>> = parts.iter().rfind(|(key, _)| key == name);
            found.map(|(_, value)| *value)
        };
        let actions = members(part("actionsById")?, MOST)?;
        let actions = actions.into_iter();
        Some(Self {
            actions: actions
                .map(|(key, value)| (key.into_owned(), value.get().to_owned()))
                .collect(),
            staged: list(part("stagedActionIds")?)?,
            skipped: part("skippedActionIds").map(|it| it.get().to_owned()),
            states: list(part("computedStates")?)?,
            committed: part("committedState").map(|it| it.get().to_owned()),
            next: part("nextActionId")?.get().parse().ok()?,
        })
    }

    /// Adds an action and the state that it has led to; whether there was room.
    fn add(&mut self, head: &Head<'_>, state: String) -> bool {
        if self.states.len() >= MOST {
            return false;
        }
        let announced = head.next_action.and_then(|it| it.get().parse::<u64>().ok());
        let id = announced.map_or(self.next, |next| next.saturating_sub(1));
        let action = head.action.map_or_else(|| "{}".to_owned(), unwrapped);
        if action.contains(REFERENCE) {
            return false;
        }
        let action = if action.contains(r#""action":"#) {
            action
        } else {
            format!(r#"{{"type":"PERFORM_ACTION","action":{action},"timestamp":0}}"#)
        };
        self.actions.push((id.to_string(), action));
        self.staged.push(id.to_string());
        self.states.push(format!(r#"{{"state":{state}}}"#));
        self.next = id.saturating_add(1);
        true
    }

    fn write(&self) -> String {
        let mut text = String::from(r#"{"monitorState":{},"actionsById":{"#);
        for (index, (id, action)) in self.actions.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let id = serde_json::to_string(id).unwrap_or_default();
            let _ = write!(text, "{comma}{id}:{action}");
        }
        let _ = write!(
            text,
            r#"}},"nextActionId":{},"stagedActionIds":[{}],"skippedActionIds":{}"#,
            self.next,
            self.staged.join(","),
            self.skipped.as_deref().unwrap_or("[]"),
        );
        if let Some(committed) = &self.committed {
            let _ = write!(text, r#","committedState":{committed}"#);
        }
        let _ = write!(
            text,
            r#","currentStateIndex":{},"computedStates":[{}],"isLocked":false,"isPaused":false}}"#,
            self.states.len().saturating_sub(1),
            self.states.join(","),
        );
        text
    }
}

/// The elements of a list, as text.
fn list(value: &RawValue) -> Option<Vec<String>> {
    let elements: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
    let is_short = elements.len() <= MOST;
    is_short.then(|| elements.iter().map(|it| it.get().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r#"{"type":"STATE","payload":"{\"monitorState\":{},\"actionsById\":{\"0\":{\"type\":\"PERFORM_ACTION\",\"action\":{\"type\":\"@@INIT\"},\"timestamp\":5}},\"nextActionId\":1,\"stagedActionIds\":[0],\"skippedActionIds\":[],\"committedState\":{\"z\":1,\"a\":2},\"currentStateIndex\":0,\"computedStates\":[{\"state\":{\"z\":1,\"a\":2}}],\"isLocked\":false,\"isPaused\":false}"}"#;

    #[track_caller]
    fn check(messages: &[&str], expected: Option<&str>) {
        assert_eq!(merge(messages.iter().copied()).as_deref(), expected);
    }

    #[test]
    fn a_state_and_an_action() {
        let action = r#"{"type":"ACTION","payload":"{\"z\":2,\"a\":2}","action":"{\"type\":\"PERFORM_ACTION\",\"action\":{\"type\":\"INC\"},\"timestamp\":6}","nextActionId":2}"#;
        check(
            &[STATE, action],
            Some(
                r#"{"monitorState":{},"actionsById":{"0":{"type":"PERFORM_ACTION","action":{"type":"@@INIT"},"timestamp":5},"1":{"type":"PERFORM_ACTION","action":{"type":"INC"},"timestamp":6}},"nextActionId":2,"stagedActionIds":[0,1],"skippedActionIds":[],"committedState":{"z":1,"a":2},"currentStateIndex":1,"computedStates":[{"state":{"z":1,"a":2}},{"state":{"z":2,"a":2}}],"isLocked":false,"isPaused":false}"#,
            ),
        );
    }

    #[test]
    fn plain_values_and_actions_without_a_beginning() {
        check(
            &[
                r#"{"type":"ACTION","payload":{"v":1},"action":{"type":"first"}}"#,
                r#"{"type":"ACTION","payload":"text","action":{"type":"second"}}"#,
            ],
            Some(
                r#"{"monitorState":{},"actionsById":{"0":{"type":"PERFORM_ACTION","action":{"type":"@@INIT"},"timestamp":0},"1":{"type":"PERFORM_ACTION","action":{"type":"second"},"timestamp":0}},"nextActionId":2,"stagedActionIds":[0,1],"skippedActionIds":[],"committedState":{"v":1},"currentStateIndex":1,"computedStates":[{"state":{"v":1}},{"state":"text"}],"isLocked":false,"isPaused":false}"#,
            ),
        );
    }

    #[test]
    fn references_end_it_and_rubbish_is_none() {
        let action =
            r#"{"type":"ACTION","payload":"{\"a\":{\"$jsan\":\"$.b\"},\"b\":1}","action":"{}"}"#;
        let alone = merge([STATE].into_iter());
        assert_eq!(merge([STATE, action].into_iter()), alone);
        check(&[r#"{"type":"STATE","payload":"{}"}"#], None);
        check(&[r#"{"type":"STATE"}"#, "[]", "{}"], None);
    }
}
