//! The texts of a Pocketsocket hub: taking a client's apart as far as the hub looks, and writing the hub's own.
//!
//! The hub's own texts have the form of Python's `json.dumps`, which the original used: a space behind `:` and `,`, and
//! everything outside printable ASCII escaped. Pure functions; nothing here recurses over what a client sent.

use std::{borrow::Cow, fmt, fmt::Write};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What the hub looks at in a JSON object from a client. Of keys that stand there twice the last one counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message<'a> {
    id: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    /// The payload, as it stands in the text.
    pub data: Option<&'a RawValue>,
    /// Whether there is a key `socket`, by which clients know the hub's own messages.
    has_socket: bool,
}

/// Reads a text from a client; `None` is whatever is not one JSON object, JSON or not: the hub treats all that alike.
#[must_use]
pub fn read(text: &str) -> Option<Message<'_>> {
    // Saves the parser, and the making of its error, for plain text.
    text.trim_ascii_start()
        .starts_with('{')
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

impl<'a> Message<'a> {
    /// The `id`, as it stands in the text.
    #[must_use]
    pub fn id(&self) -> Option<&'a str> {
        self.id.map(RawValue::get)
    }

    /// `message`, if it is a string.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'a, str>> {
        let raw = self.name?.get();
        let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
        if inside.contains('\\') {
            // A lone surrogate is no text to us; such a message is relayed and nothing else.
            return serde_json::from_str(raw).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inside))
    }

    /// Whether the client library would take this for a message of the hub itself: an object with a key `socket`, or one
    /// whose `message` names such an event (`media/js/pocketsocket.js`, where the two end in the same listeners).
    #[must_use]
    pub fn is_forgery(&self) -> bool {
        self.has_socket
            || self.name().is_some_and(|name| {
                let own = channel_and_event(&name);
                matches!(
                    own,
                    Some(("socket", "connected" | "disconnected" | "sent" | "refused"))
                )
            })
    }
}

/// The channel and the event in a message's name: its first two parts between dots, as the client library splits it.
#[must_use]
pub fn channel_and_event(name: &str) -> Option<(&str, &str)> {
    let mut parts = name.split('.');
    Some((parts.next()?, parts.next()?))
}

/// What the hub tells a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt<'a> {
    /// An object was taken; its `id` as it stood in the text.
    Object(Option<&'a str>),
    /// Something else was taken; its length in bytes.
    Other(usize),
    /// An object was refused as a forgery; its `id` as it stood in the text.
    Refused(Option<&'a str>),
}

/// Writes a receipt; `time` is written as it is.
pub fn write_receipt(out: &mut String, time: impl fmt::Display, receipt: Receipt<'_>) {
    write_infallibly(out, format_args!(r#"{{"time": "{time}", "messageId": "#));
    match receipt {
        Receipt::Object(Some(id)) | Receipt::Refused(Some(id)) => write_as_python(out, id),
        Receipt::Object(None) | Receipt::Refused(None) => out.push_str("null"),
        Receipt::Other(bytes) => write_infallibly(out, format_args!("{bytes}")),
    }
    out.push_str(match receipt {
        Receipt::Object(_) => r#", "socket": "sent", "attr": "json"}"#,
        Receipt::Other(_) => r#", "socket": "sent", "attr": "string"}"#,
        Receipt::Refused(_) => r#", "socket": "refused", "attr": "forgery"}"#,
    });
}

/// Who comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A client has opened its connection.
    Connected,
    /// A client has gone.
    Disconnected,
}

/// Writes an arrival or a departure. `address` is an IP address or empty.
pub fn write_presence(out: &mut String, presence: Presence, port: u16, address: &str) {
    let socket = match presence {
        Presence::Connected => "connected",
        Presence::Disconnected => "disconnected",
    };
    write_infallibly(
        out,
        format_args!(r#"{{"socket": "{socket}", "port": {port}, "address": "{address}"}}"#),
    );
}

/// Writes an event of another protocol in the form, and in the compact JSON, of the client library; `data` is JSON.
pub fn write_event(out: &mut String, room: Option<&str>, event: &str, data: &str) {
    let name = match room {
        Some(room) => Cow::Owned(format!("{room}.{event}")),
        None => Cow::Borrowed(event),
    };
    let name = serde_json::to_string(&name).expect("a text is always written");
    write_infallibly(
        out,
        format_args!(r#"{{"id":null,"message":{name},"data":{data}}}"#),
    );
}

fn write_infallibly(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to memory does not fail");
}

/// Writes a JSON value as Python would write it again, but for numbers, which keep their text.
fn write_as_python(out: &mut String, json: &str) {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'\\';
    if !json.starts_with(['{', '[']) && json.bytes().all(is_plain) {
        out.push_str(json);
        return;
    }
    let mut chars = json.chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\n' | '\r' => {}
            ':' => out.push_str(": "),
            ',' => out.push_str(", "),
            '"' => write_string_as_python(out, &mut chars),
            other => out.push(other),
        }
    }
}

/// Writes the string whose opening quote has just been taken from `chars`, and takes the rest of it.
fn write_string_as_python(out: &mut String, chars: &mut std::str::Chars<'_>) {
    out.push('"');
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => {
                if let Some(unit) = read_escape(chars) {
                    write_unit(out, unit);
                }
            }
            ' '..='~' => out.push(char),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    write_unit(out, *unit);
                }
            }
        }
    }
    out.push('"');
}

/// The UTF-16 unit that is escaped by what follows a backslash. JSON's escapes are UTF-16, so a lone surrogate comes back as
/// it came.
fn read_escape(chars: &mut std::str::Chars<'_>) -> Option<u16> {
    Some(match chars.next()? {
        'b' => 0x08,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'u' => {
            let digits = chars.as_str().get(..4)?;
            let unit = u16::from_str_radix(digits, 16).ok()?;
            *chars = chars.as_str()[4..].chars();
            unit
        }
        other => u16::try_from(u32::from(other)).ok()?,
    })
}

fn write_unit(out: &mut String, unit: u16) {
    match unit {
        0x22 => out.push_str("\\\""),
        0x5c => out.push_str("\\\\"),
        0x08 => out.push_str("\\b"),
        0x0c => out.push_str("\\f"),
        0x0a => out.push_str("\\n"),
        0x0d => out.push_str("\\r"),
        0x09 => out.push_str("\\t"),
        0x20..=0x7e => out.push(char::from(unit.to_le_bytes()[0])),
        _ => write_infallibly(out, format_args!("\\u{unit:04x}")),
    }
}

enum Key {
    Id,
    Message,
    Data,
    Socket,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E: de::Error>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "id" => Key::Id,
                    "message" => Key::Message,
                    "data" => Key::Data,
                    "socket" => Key::Socket,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MessageVisitor;
        impl<'de> Visitor<'de> for MessageVisitor {
            type Value = Message<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            // By hand, because what serde derives refuses a key that stands there twice.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message<'de>, A::Error> {
                let mut message = Message::default();
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::Id => message.id = Some(map.next_value()?),
                        Key::Message => message.name = Some(map.next_value()?),
                        Key::Data => message.data = Some(map.next_value()?),
                        Key::Socket => {
                            message.has_socket = true;
                            map.next_value::<IgnoredAny>()?;
                        }
                        Key::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(message)
            }
        }
        deserializer.deserialize_map(MessageVisitor)
    }
}

#[cfg(test)]
mod tests;
