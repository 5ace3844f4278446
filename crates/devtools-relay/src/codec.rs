//! SocketCluster's messages, as text: what a client sends taken apart, and the packets of a server; and their binary form.
//!
//! Pure functions; nothing here recurses over what a client sent, and every part that is passed on is passed on as it stands
//! in the text.

mod min_bin;
mod write;

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

pub use min_bin::{OLD_PING, OLD_PONG, read_min_bin, write_min_bin};
pub use write::{
    push_string, write_answer, write_batch, write_call, write_disconnect, write_error, write_event,
    write_kick_out, write_publish,
};

/// More packets than this in one message are refused.
pub const MAX_BATCH: usize = 10_000;

/// A longer `cid`, in bytes, is none: it is kept while a call waits.
const MAX_CID: usize = 128;

/// Which protocol a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// npm socketcluster-client up to 14, and drivers of their time.
    V1,
    /// npm socketcluster-client from 15 on, and drivers of their time.
    V2,
}

impl Generation {
    /// The text that a server sends now and then.
    #[must_use]
    pub const fn ping(self) -> &'static str {
        match self {
            Self::V1 => "#1",
            Self::V2 => "",
        }
    }

    /// The text by which a client answers it.
    #[must_use]
    pub const fn pong(self) -> &'static str {
        match self {
            Self::V1 => "#2",
            Self::V2 => "",
        }
    }
}

/// How packets are written down: an agreement between an application's clients and its servers, which nothing announces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Codec {
    /// As JSON in text.
    #[default]
    Json,
    /// As npm `sc-codec-min-bin` 3 does. Pings of generation 2 and their answers are text all the same.
    MinBin,
}

/// What a text from a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// The answer to a ping of that generation.
    Pong(Generation),
    /// One packet or a list of them, which is JSON: for [`Message::each`].
    Packets(Packets<'a>),
    /// Anything else.
    Raw,
}

/// The text of one packet or of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packets<'a>(&'a str);

/// A list has more than [`MAX_BATCH`] packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many packets in one message")]
pub struct BatchTooLong;

/// Says what a text is.
#[must_use]
pub fn read(text: &str) -> Message<'_> {
    match text {
        "" => Message::Pong(Generation::V2),
        "#2" => Message::Pong(Generation::V1),
        _ => {
            // As JSON has blanks: others are what JavaScript skips in front of a packet, and then cannot read.
            let inside = text.trim_matches([' ', '\t', '\r', '\n']);
            let is_json = inside.starts_with(['{', '['])
                && serde_json::from_str::<IgnoredAny>(inside).is_ok();
            if is_json {
                Message::Packets(Packets(inside))
            } else {
                Message::Raw
            }
        }
    }
}

impl<'a> Packets<'a> {
    /// Whether it is a list.
    #[must_use]
    pub fn is_list(self) -> bool {
        self.0.starts_with('[')
    }

    /// Hands out the packets in order. Elements of a list that are no objects are left out, as is what follows when `each`
    /// says that it is enough.
    ///
    /// # Errors
    /// [`BatchTooLong`]; the first packets have been handed out.
    pub fn each(self, each: impl FnMut(Packet<'a>) -> bool) -> Result<(), BatchTooLong> {
        let mut handing = Handing {
            each,
            left: MAX_BATCH,
            is_too_long: false,
        };
        if self.is_list() {
            let mut reader = serde_json::Deserializer::from_str(self.0);
            // It is known to be JSON: an error can only be that somebody has had enough.
            let _ = reader.deserialize_seq(&mut handing);
        } else if let Some(packet) = Packet::read(self.0) {
            (handing.each)(packet);
        }
        if handing.is_too_long {
            Err(BatchTooLong)
        } else {
            Ok(())
        }
    }
}

/// Hands out the elements of a list without holding them all.
struct Handing<F> {
    each: F,
    left: usize,
    is_too_long: bool,
}

impl<'de: 'a, 'a, F: FnMut(Packet<'a>) -> bool> Visitor<'de> for &mut Handing<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of packets")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element::<&'de RawValue>()? {
            if self.left == 0 {
                self.is_too_long = true;
                return Err(de::Error::custom(BatchTooLong));
            }
            self.left -= 1;
            if let Some(packet) = Packet::read(element.get())
                && !(self.each)(packet)
            {
                return Err(de::Error::custom("enough"));
            }
        }
        Ok(())
    }
}

/// One packet: an event, a call, or an answer to a call of the server. Of keys that stand there twice the last one counts.
/// What is absent and what is `null` are not the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Packet<'a> {
    /// The whole packet.
    pub text: &'a str,
    /// The name of an event or a call; other programs than clients of SocketCluster put objects here.
    pub event: Option<&'a RawValue>,
    /// What is said, or answered.
    pub data: Option<&'a RawValue>,
    /// The number of a call, which wants an answer.
    pub cid: Option<&'a RawValue>,
    /// The number of the call that is answered.
    pub rid: Option<&'a RawValue>,
    /// Why the call has failed.
    pub error: Option<&'a RawValue>,
}

/// Which values a server takes for the number of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cids {
    /// What JavaScript takes for true, as generation 1.
    Truthy,
    /// Numbers, as generation 2.
    Numbers,
    /// Everything but `null`.
    All,
}

impl<'a> Packet<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let packet: Self = serde_json::from_str(text).ok()?;
        Some(Self { text, ..packet })
    }

    /// The name, if it is a string.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'a, str>> {
        string(self.event?)
    }

    /// The number of a call as it stands in the text, if it is one.
    #[must_use]
    pub fn call_id(&self, cids: Cids) -> Option<&'a str> {
        let text = self.cid?.get();
        let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let is_taken = match cids {
            Cids::All => text != "null",
            Cids::Numbers => is_number,
            Cids::Truthy if is_number => text.parse::<f64>().is_ok_and(|number| number != 0.0),
            Cids::Truthy => !matches!(text, "null" | "false" | "\"\""),
        };
        (is_taken && text.len() <= MAX_CID).then_some(text)
    }

    /// The number of the server's own call that this answers.
    #[must_use]
    pub fn answered(&self) -> Option<u64> {
        self.rid?.get().parse().ok()
    }
}

/// What a value says, if it is a string.
#[must_use]
pub fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        // A lone surrogate is no text to us.
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
}

/// A key and its value.
pub type Member<'a> = (Cow<'a, str>, &'a RawValue);

/// The members of an object in order, if it is one and has no more than `most`.
#[must_use]
pub fn members<'a>(value: &'a RawValue, most: usize) -> Option<Vec<Member<'a>>> {
    if !value.get().starts_with('{') {
        return None;
    }
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(value.get());
    let collecting = Members(|key: Cow<'a, str>, value: &'a RawValue| {
        if found.len() <= most {
            found.push((key, value));
        }
    });
    reader.deserialize_map(collecting).ok()?;
    (found.len() <= most).then_some(found)
}

/// The member of that name, if it is an object and has one; of several the last.
#[must_use]
pub fn member<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    if !object.get().starts_with('{') {
        return None;
    }
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_str(object.get());
    let looking = Members(|key: Cow<'a, str>, value: &'a RawValue| {
        if key == name {
            found = Some(value);
        }
    });
    reader.deserialize_map(looking).ok()?;
    found
}

/// What stands in the data of `#subscribe`, `#publish` and `#unsubscribe`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Channel<'a> {
    /// The channel's name, or whatever stands in its place.
    pub channel: Option<&'a RawValue>,
    /// What is published, or what an application is told about a subscription.
    pub data: Option<&'a RawValue>,
    /// The client has waited until it was somebody.
    pub waits_for_auth: bool,
    /// Packets about this subscription are put into lists (generation 1).
    pub is_batched: bool,
}

impl<'a> Channel<'a> {
    /// Reads the data; what is no object is a channel's name by itself.
    #[must_use]
    pub fn read(data: Option<&'a RawValue>) -> Self {
        let Some(data) = data else {
            return Self::default();
        };
        if !data.get().starts_with('{') {
            return Self {
                channel: Some(data),
                ..Self::default()
            };
        }
        serde_json::from_str(data.get()).unwrap_or_default()
    }

    /// The channel's name, if it is a string.
    #[must_use]
    pub fn name(&self) -> Option<Cow<'a, str>> {
        string(self.channel?)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Packet<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut packet = Packet::default();
        deserializer.deserialize_map(Members(|key: Cow<'de, str>, value| match &*key {
            "event" => packet.event = Some(value),
            "data" => packet.data = Some(value),
            "cid" => packet.cid = Some(value),
            "rid" => packet.rid = Some(value),
            "error" => packet.error = Some(value),
            _ => {}
        }))?;
        Ok(packet)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Channel<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut channel = Channel::default();
        let is_true = |value: &RawValue| value.get() == "true";
        deserializer.deserialize_map(Members(|key: Cow<'de, str>, value| match &*key {
            "channel" => channel.channel = Some(value),
            "data" => channel.data = Some(value),
            "waitForAuth" => channel.waits_for_auth = is_true(value),
            "batch" => channel.is_batched = is_true(value),
            _ => {}
        }))?;
        Ok(channel)
    }
}

/// Hands out the members of an object. By hand, because what serde derives refuses a key that stands there twice.
struct Members<F>(F);

impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue)> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            (self.0)(key.0, value);
        }
        Ok(())
    }
}

/// A key, borrowed where it can be.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests;
