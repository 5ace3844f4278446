//! What the relay reads of a message: which instance it is about, and what kind of message it is.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::codec::{members, string};

/// More members than this has no message of an app; one that has is passed on unread.
const MOST_MEMBERS: usize = 64;

/// The parts of a message that say what it is about.
#[derive(Debug, Default, Clone)]
pub struct Head<'a> {
    pub(crate) kind: Option<Cow<'a, str>>,
    pub(crate) id: Option<Cow<'a, str>>,
    instance: Option<Cow<'a, str>>,
    pub(crate) name: Option<Cow<'a, str>>,
    pub(crate) payload: Option<&'a RawValue>,
    pub(crate) action: Option<&'a RawValue>,
    pub(crate) next_action: Option<&'a RawValue>,
}

impl<'a> Head<'a> {
    /// Reads a message. What is no object has no parts.
    #[must_use]
    pub fn read(message: &'a RawValue) -> Self {
        let mut head = Self::default();
        for (key, value) in members(message, MOST_MEMBERS).unwrap_or_default() {
            match &*key {
                "type" => head.kind = string(value),
                "id" => head.id = identifier(value),
                "instanceId" => head.instance = identifier(value),
                "name" => head.name = string(value),
                "payload" => head.payload = Some(value),
                "action" => head.action = Some(value),
                "nextActionId" => head.next_action = Some(value),
                _ => {}
            }
        }
        head
    }

    /// The name that an app has given its instance, which stays when it connects again.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// By what monitors know the instance.
    #[must_use]
    pub fn shown_as(&self) -> Option<&str> {
        self.instance().or(self.id.as_deref())
    }
}

/// Numbers stand for themselves: programs in other languages count their instances.
fn identifier(value: &RawValue) -> Option<Cow<'_, str>> {
    string(value).or_else(|| {
        let text = value.get();
        let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        is_number.then_some(Cow::Borrowed(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_instance_a_message_is_about() {
        let check = |text: &str, instance: Option<&str>, shown: Option<&str>| {
            let message: &RawValue = serde_json::from_str(text).unwrap();
            let head = Head::read(message);
            assert_eq!(
                (head.instance(), head.shown_as()),
                (instance, shown),
                "{text}"
            );
        };
        check(r#"{"type":"START","id":"a"}"#, None, Some("a"));
        check(r#"{"id":"a","instanceId":"b"}"#, Some("b"), Some("b"));
        check(r#"{"id":null,"instanceId":7}"#, Some("7"), Some("7"));
        check("[1]", None, None);
        check("null", None, None);
    }
}
