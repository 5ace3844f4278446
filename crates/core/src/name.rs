//! Names and ids: rooms, events, realms, sessions.

use std::{
    fmt,
    hash::{self, BuildHasher, RandomState},
    marker::PhantomData,
    sync::{Arc, LazyLock},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

/// Longest name of a room, an event or a realm, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// A checked, shared name: not empty and at most 1,024 bytes. `K` says what it names, so that a room's name is never
/// taken for an event's.
pub struct Name<K> {
    text: Arc<str>,
    kind: PhantomData<fn() -> K>,
}

/// Marks the name of a room.
#[derive(Debug)]
pub enum OfRoom {}
/// Marks the name of an event.
#[derive(Debug)]
pub enum OfEvent {}
/// Marks the name of a realm.
#[derive(Debug)]
pub enum OfRealm {}

/// The name of a room within a realm.
pub type RoomName = Name<OfRoom>;
/// The name of an event.
pub type EventName = Name<OfEvent>;
/// The name of a realm.
pub type RealmName = Name<OfRealm>;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name may not be empty")]
    Empty,
    /// The text is longer than 1,024 bytes.
    #[error("a name may not be longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
}

impl<K> Name<K> {
    /// Checks `text` and takes it as a name.
    ///
    /// # Errors
    /// [`NameError`] when the text is empty or too long.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong);
        }
        Ok(Self {
            text: Arc::from(text),
            kind: PhantomData,
        })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<K> Clone for Name<K> {
    fn clone(&self) -> Self {
        Self {
            text: Arc::clone(&self.text),
            kind: PhantomData,
        }
    }
}

impl<K> PartialEq for Name<K> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<K> Eq for Name<K> {}

impl<K> hash::Hash for Name<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// Lets maps keyed by a name be asked with a plain text.
impl<K> std::borrow::Borrow<str> for Name<K> {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl<K> AsRef<str> for Name<K> {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl<K> fmt::Display for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<K> fmt::Debug for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<K> serde::Serialize for Name<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Reads a JSON string and checks it.
impl<'de, K> serde::Deserialize<'de> for Name<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

/// Who a session is, unique over all nodes: 122 random bits, printed as a version 4 UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A new id nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        Self(uuid::Builder::from_random_bytes(rand::random()).into_uuid())
    }

    /// A new id nobody can guess that [`SessionId::short`] gives whole.
    #[must_use]
    pub fn random_short() -> Self {
        let mut bytes: [u8; 16] = rand::random();
        bytes[15] = 0;
        Self(Uuid::from_bytes(bytes))
    }

    /// A new id nobody can guess, and that no room's name stands for: its [`SessionId::short`] does not give it whole.
    #[must_use]
    pub fn random_unnamed() -> Self {
        let mut bytes: [u8; 16] = rand::random();
        bytes[15] |= 1;
        Self(Uuid::from_bytes(bytes))
    }

    /// The first 15 bytes: 20 characters of base64, for protocols whose ids have that form.
    #[must_use]
    pub fn short(self) -> [u8; 15] {
        let [short @ .., _] = self.0.into_bytes();
        short
    }

    /// The id that [`SessionId::short`] gives whole, from that in base64; nothing if the text is none.
    #[must_use]
    pub fn of_short_text(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let read = text.len() == SHORT_TEXT
            && URL_SAFE_NO_PAD
                .decode_slice(text, &mut bytes)
                .is_ok_and(|length| length == 15);
        bytes[15] = 0;
        read.then(|| Self(Uuid::from_bytes(bytes)))
    }

    /// The id of a session whose client's own name for itself is a secret: the same for the same name in this process,
    /// and nobody can tell the name by it.
    #[must_use]
    pub fn hiding(name: &str) -> Self {
        static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
        let mut bytes = [0; 16];
        for (half, key) in bytes.chunks_mut(8).zip(&*KEYS) {
            half.copy_from_slice(&key.hash_one(name).to_be_bytes());
        }
        bytes[15] = 0;
        Self(Uuid::from_bytes(bytes))
    }

    /// The ids of sessions that would be in a room of that name alone, because it is their client's own name:
    /// [`SessionId::short`] in base64, or what [`SessionId::hiding`] was given.
    pub(crate) fn named(name: &str) -> impl Iterator<Item = Self> {
        let may_hide = name.len() == SHORT_TEXT || name.contains('#');
        Self::of_short_text(name)
            .into_iter()
            .chain(may_hide.then(|| Self::hiding(name)))
    }

    /// Which of `count` shards holds it.
    pub(crate) fn shard(self, count: usize) -> usize {
        usize::from(self.0.as_bytes()[14]) % count
    }
}

/// Characters of [`SessionId::short`] in base64.
const SHORT_TEXT: usize = 20;

/// The text is not the id of any session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no session id: expected a UUID such as 7e57d004-2b97-4e7a-b45f-5387367791cd")]
pub struct SessionIdError;

impl std::str::FromStr for SessionId {
    type Err = SessionIdError;

    /// Takes only the form in which ids are printed.
    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let is_hyphenated = text.len() == 36;
        let id = is_hyphenated.then(|| Uuid::try_parse(text).ok()).flatten();
        id.map(Self).ok_or(SessionIdError)
    }
}

impl serde::Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(RoomName::new("").unwrap_err(), NameError::Empty);
        assert_eq!(
            RoomName::new(&"r".repeat(1025)).unwrap_err(),
            NameError::TooLong
        );
        assert_eq!(
            RoomName::new("default Room").unwrap().as_str(),
            "default Room"
        );
    }

    #[test]
    fn names_that_clients_have_for_themselves() {
        let id = SessionId::random_short();
        let text = URL_SAFE_NO_PAD.encode(id.short());
        assert_eq!(SessionId::named(&text).next(), Some(id));
        for secret in ["H3Kok42QCvlKrePAAAAA", "/admin#H3Kok42QCvlKrePAAAAA"] {
            let id = SessionId::hiding(secret);
            assert_eq!(id, SessionId::hiding(secret));
            assert!(SessionId::named(secret).any(|named| named == id));
        }
        let id = SessionId::random_unnamed();
        let text = URL_SAFE_NO_PAD.encode(id.short());
        assert!(SessionId::named(&text).all(|named| named != id));
        assert_eq!(SessionId::named("lobby").count(), 0);
        assert_eq!(SessionId::named("twenty characters...").count(), 1);
    }

    #[test]
    fn session_ids_print_as_uuid_v4() {
        let text = SessionId::random().to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(text.as_bytes()[14], b'4');
        assert_ne!(SessionId::random(), SessionId::random());
        let id: SessionId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        for other in [
            "",
            "7",
            &text[1..],
            &format!("{{{text}}}"),
            &text.replace('-', ""),
        ] {
            assert_eq!(other.parse::<SessionId>(), Err(SessionIdError), "{other}");
        }
    }
}
