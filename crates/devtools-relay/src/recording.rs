//! Recordings: what the instances of apps have said, a line of JSON each, and how it is said again.
//!
//! A file begins with a line about the instance; every other line is a message and when it came. Bare messages, as the
//! operation `recording` of `POST /` answers them, are lines too.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::{
    codec::{members, push_string, string},
    relay::{Head, unwrapped},
};

/// A line has no more members than this.
const MOST_MEMBERS: usize = 64;

/// What is recorded of one instance.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// What the instance calls itself.
    pub name: Option<String>,
    /// Its messages, the oldest first.
    pub messages: Vec<Recorded>,
}

/// A message, and how long after the first one it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Since the first message.
    pub after: Duration,
    /// Whether it holds a whole state, so that nothing before it matters.
    pub is_base: bool,
    message: Box<RawText>,
}

/// JSON of a message, as it was recorded.
type RawText = str;

/// Why a text is no recording.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordingError {
    /// A line is something else.
    #[error("line {0} is no message of an app: expected JSON with `type`, or `at` and `message`")]
    Line(usize),
    /// There is nothing to be said again.
    #[error("it has no message with a state")]
    Empty,
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn read(text: &str) -> Result<Self, RecordingError> {
        let mut found = Self::default();
        let mut first = None;
        let mut last = Duration::ZERO;
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let wrong = RecordingError::Line(index + 1);
            let Ok(line) = serde_json::from_str::<&RawValue>(line) else {
                return Err(wrong);
            };
            let Some((at, message)) = entry(line).ok_or(wrong)? else {
                continue;
            };
            let head = Head::read(message);
            let (is_base, is_action) = (is_base(&head), is_action(&head));
            if found.messages.is_empty() && !is_base && !is_action {
                continue;
            }
            if let Some(at) = at {
                let first = *first.get_or_insert(at);
                last = last.max(Duration::from_millis(at.saturating_sub(first)));
            }
            if let Some(name) = &head.name {
                found.name = Some(name.clone().into_owned());
            }
            // An action has the state behind it: as the first message it is a beginning.
            let is_beginning = found.messages.is_empty() && is_action;
            found.messages.push(Recorded {
                after: last,
                is_base: is_base || is_beginning,
                message: if is_beginning {
                    beginning(&head)
                } else {
                    message.get().into()
                },
            });
        }
        if found.messages.is_empty() {
            return Err(RecordingError::Empty);
        }
        Ok(found)
    }
}

impl Recorded {
    /// The message as an instance of that name says it on the connection `id`.
    #[must_use]
    pub fn said_by(&self, id: &str, instance: &str) -> String {
        let message: Option<&RawValue> = serde_json::from_str(&self.message).ok();
        let known = message.and_then(|it| members(it, MOST_MEMBERS));
        let mut text = String::from("{");
        for (key, value) in known.iter().flatten() {
            if key != "id" && key != "instanceId" {
                push_string(&mut text, key);
                text.push(':');
                text.push_str(value.get());
                text.push(',');
            }
        }
        text.push_str("\"id\":");
        push_string(&mut text, id);
        text.push_str(",\"instanceId\":");
        push_string(&mut text, instance);
        text.push('}');
        text
    }
}

/// Whether a message holds all that is known of its instance.
pub(crate) fn is_base(head: &Head<'_>) -> bool {
    matches!(head.kind.as_deref(), Some("STATE" | "INIT"))
}

fn is_action(head: &Head<'_>) -> bool {
    head.kind.as_deref() == Some("ACTION")
}

/// Whether a message belongs into a recording. The others are about its connection.
pub(crate) fn is_recorded(head: &Head<'_>) -> bool {
    let kind = head.kind.as_deref();
    kind.is_some_and(|kind| !matches!(kind, "START" | "STOP" | "DISCONNECTED"))
}

/// The line of a message.
pub(crate) fn write_line(out: &mut String, at: u64, message: &str) {
    out.push_str("{\"at\":");
    out.push_str(&at.to_string());
    out.push_str(",\"message\":");
    out.push_str(message);
    out.push_str("}\n");
}

/// The first line, about the instance.
pub(crate) fn write_title(out: &mut String, realm: &str, instance: &str, name: Option<&str>) {
    out.push_str("{\"recording\":1,\"realm\":");
    push_string(out, realm);
    out.push_str(",\"instanceId\":");
    push_string(out, instance);
    if let Some(name) = name {
        out.push_str(",\"name\":");
        push_string(out, name);
    }
    out.push_str("}\n");
}

/// A message and its moment, if that is known; nothing for the line about the instance. `None` if it is no line.
#[expect(
    clippy::option_option,
    reason = "no line, and a line without a message"
)]
fn entry(line: &RawValue) -> Option<Option<(Option<u64>, &RawValue)>> {
    let members = members(line, MOST_MEMBERS)?;
    let member = |name: &str| {
        let found = members.iter().rfind(|(key, _)| key == name);
        found.map(|(_, value)| *value)
    };
    if member("recording").is_some() {
        return Some(None);
    }
    if let Some(message) = member("message").filter(|_| member("type").is_none()) {
        let at = member("at")?.get().parse().ok()?;
        Head::read(message).kind.as_ref()?;
        return Some(Some((Some(at), message)));
    }
    let head = Head::read(line);
    head.kind.as_ref()?;
    Some(Some((stamp(&head), line)))
}

/// When an action was done, as its library says.
fn stamp(head: &Head<'_>) -> Option<u64> {
    let action = head.action.map(unwrapped)?;
    let action: &RawValue = serde_json::from_str(&action).ok()?;
    let members = members(action, MOST_MEMBERS)?;
    let (_, stamp) = members.into_iter().rfind(|(key, _)| key == "timestamp")?;
    stamp.get().parse().ok().filter(|stamp| *stamp > 0)
}

/// A message by which a new log begins with the state of this one.
fn beginning(head: &Head<'_>) -> Box<str> {
    let mut text = String::from("{\"type\":\"INIT\"");
    if let Some(name) = &head.name {
        text.push_str(",\"name\":");
        push_string(&mut text, name);
    }
    if let Some(payload) = head.payload {
        text.push_str(",\"payload\":");
        match string(payload) {
            Some(_) => text.push_str(payload.get()),
            None => push_string(&mut text, payload.get()),
        }
    }
    text.push('}');
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: &str = r#"{"type":"STATE","id":"x","name":"Shop","payload":"{}"}"#;

    fn action(stamp: u64) -> String {
        format!(
            r#"{{"type":"ACTION","instanceId":7,"payload":"{{\"n\":1}}","action":"{{\"type\":\"PERFORM_ACTION\",\"timestamp\":{stamp}}}","nextActionId":2}}"#
        )
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut text = String::new();
        write_title(&mut text, "devtools", "a\"b", Some("Shop"));
        write_line(&mut text, 1_000, STATE);
        write_line(&mut text, 1_250, &action(1));
        write_line(&mut text, 900, r#"{"type":"ERROR","payload":"no"}"#);
        let read = Recording::read(&text).unwrap();
        assert_eq!(read.name.as_deref(), Some("Shop"));
        let times: Vec<_> = read
            .messages
            .iter()
            .map(|it| it.after.as_millis())
            .collect();
        // A clock that was put back does not make time run backwards.
        assert_eq!(times, [0, 250, 250]);
        let bases: Vec<_> = read.messages.iter().map(|it| it.is_base).collect();
        assert_eq!(bases, [true, false, false]);
        assert_eq!(
            read.messages[1].said_by("ID", "again"),
            action(1).replace(r#""instanceId":7,"#, "").replace(
                r#""nextActionId":2}"#,
                r#""nextActionId":2,"id":"ID","instanceId":"again"}"#
            )
        );
    }

    #[test]
    fn bare_messages_have_the_pace_of_their_actions() {
        let text = format!("{STATE}\n{}\n\n{}\n", action(5_000), action(5_040));
        let read = Recording::read(&text).unwrap();
        let times: Vec<_> = read
            .messages
            .iter()
            .map(|it| it.after.as_millis())
            .collect();
        assert_eq!(times, [0, 0, 40]);
    }

    #[test]
    fn a_recording_without_its_beginning_begins_with_its_first_action() {
        let read = Recording::read(&format!("{}\n{}", action(1), action(2))).unwrap();
        assert!(read.messages[0].is_base);
        assert_eq!(
            read.messages[0].said_by("I", "J"),
            r#"{"type":"INIT","payload":"{\"n\":1}","id":"I","instanceId":"J"}"#
        );
    }

    #[test]
    fn what_is_no_recording() {
        for (text, expected) in [
            ("", RecordingError::Empty),
            ("{\"recording\":1}", RecordingError::Empty),
            ("{\"type\":\"ERROR\"}", RecordingError::Empty),
            ("[]", RecordingError::Line(1)),
            ("{\"type\":7}", RecordingError::Line(1)),
            ("\n{\"at\":1}", RecordingError::Line(2)),
            (
                "{\"at\":-1,\"message\":{\"type\":\"STATE\"}}",
                RecordingError::Line(1),
            ),
            ("{\"at\":1,\"message\":3}", RecordingError::Line(1)),
            ("{", RecordingError::Line(1)),
        ] {
            assert_eq!(Recording::read(text), Err(expected), "{text}");
        }
    }
}
