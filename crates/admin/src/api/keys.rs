//! API keys: kept as hashes, each with what it may do.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use polyport_core::{Permissions, Recipients, RoomName, TargetSpec};
use tokio::time::Instant;

use crate::api::{
    error::{ApiError, Code},
    verb::Right,
};

/// What every key that is made here begins with, so that it is found where it does not belong.
const PREFIX: &str = "pp_";

/// 128 bits are 22 characters in base64url.
const MIN_KEY: usize = 22;

const HASH_PREFIX: &str = "sha256:";

type Hash = [u8; 32];

/// One key as it is configured.
#[derive(Debug, Clone, Default)]
pub struct KeyOptions {
    /// What the operator calls it; in logs and error texts.
    pub name: String,
    /// `sha256:<hex>` of the key.
    pub hash: String,
    /// What it may do, as [`ApiKeys::VERBS`] lists; empty: everything.
    pub verbs: Vec<String>,
    /// Patterns of the rooms it may address; empty: every target.
    pub rooms: Vec<String>,
    /// Requests per second; 0: no bound.
    pub rate: u32,
}

/// Why keys cannot be used. Names the key, never its text or hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The hash is not `sha256:` and 64 hexadecimal digits.
    #[error(
        "key `{0}`: the hash must be `sha256:` and 64 hexadecimal digits, as `polyport api-key` prints it"
    )]
    Hash(String),
    /// There is no such verb.
    #[error("key `{key}`: there is no verb `{verb}`; there are {}", ApiKeys::VERBS.join(", "))]
    Verb {
        /// The key's name.
        key: String,
        /// The verb.
        verb: String,
    },
    /// A room pattern is malformed.
    #[error("key `{key}`: {reason}")]
    Room {
        /// The key's name.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two keys have one hash: which of their rights would count?
    #[error("the keys `{0}` and `{1}` have the same hash")]
    Twice(String, String),
    /// The text of a key is too easy to guess.
    #[error(
        "an API key has at least {MIN_KEY} characters (128 bits); `polyport api-key` makes one"
    )]
    TooShort,
}

/// A key that has just been made.
#[derive(Clone)]
pub struct NewKey {
    /// The key: shown once, kept by whoever calls the API.
    pub key: String,
    /// What stands in the configuration.
    pub hash: String,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey")
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}

/// The keys that are known. None: nobody may do anything.
#[derive(Debug, Default)]
pub struct ApiKeys {
    keys: Vec<Arc<ApiKey>>,
}

/// One key and its rights.
#[derive(Debug)]
pub(crate) struct ApiKey {
    name: Arc<str>,
    hash: Hash,
    /// `None`: all.
    rights: Option<Vec<Right>>,
    rooms: Option<Rooms>,
    bucket: Option<Bucket>,
}

/// The rooms that a key may address. Rooms of identities are meant only by patterns that begin with `user(` or `site(`, as
/// in the permissions of listeners.
#[derive(Debug)]
struct Rooms(Permissions);

impl ApiKeys {
    /// What a key can be allowed to do. `publish` is `broadcast` too; `batch` needs the verbs of its commands.
    pub const VERBS: [&'static str; 15] = [
        "publish",
        "call",
        "join",
        "leave",
        "disconnect",
        "drain",
        "reload",
        "upgrade",
        "serverSideEmit",
        "sessions",
        "rooms",
        "presence",
        "tap",
        "log",
        "info",
    ];

    /// Takes keys as they are configured.
    ///
    /// # Errors
    /// [`KeyError`] names the first key that cannot be used, and why.
    pub fn new(keys: &[KeyOptions]) -> Result<Self, KeyError> {
        let mut known: Vec<Arc<ApiKey>> = Vec::with_capacity(keys.len());
        for options in keys {
            let key = ApiKey::new(options)?;
            if let Some(other) = known.iter().find(|other| other.hash == key.hash) {
                let names = [&other.name, &key.name].map(ToString::to_string);
                let [other, this] = names;
                return Err(KeyError::Twice(other, this));
            }
            known.push(Arc::new(key));
        }
        Ok(Self { keys: known })
    }

    /// The hash of a key, as it stands in the configuration.
    ///
    /// # Errors
    /// [`KeyError::TooShort`] when it can have no 128 bits.
    pub fn hash(key: &str) -> Result<String, KeyError> {
        if key.len() < MIN_KEY {
            return Err(KeyError::TooShort);
        }
        let digits = sha256(key.as_bytes()).map(|byte| format!("{byte:02x}"));
        Ok(HASH_PREFIX.to_owned() + &digits.concat())
    }

    /// A new key of 256 random bits.
    #[must_use]
    pub fn generate() -> NewKey {
        let secret: [u8; 32] = rand::random();
        let key = PREFIX.to_owned() + &URL_SAFE_NO_PAD.encode(secret);
        let hash = Self::hash(&key).expect("it is long enough");
        NewKey { key, hash }
    }

    /// The key as it is configured now, if it still is.
    pub(crate) fn same(&self, key: &ApiKey) -> Option<&Arc<ApiKey>> {
        self.keys.iter().find(|known| known.hash == key.hash)
    }

    /// The key of that text. Takes the same time whatever is wrong with it.
    pub(crate) fn find(&self, text: &[u8]) -> Option<Arc<ApiKey>> {
        let hash = sha256(text);
        let mut found = None;
        for key in &self.keys {
            if verify_slices_are_equal(&key.hash, &hash).is_ok() {
                found = Some(key);
            }
        }
        found.cloned()
    }
}

impl ApiKey {
    fn new(options: &KeyOptions) -> Result<Self, KeyError> {
        let name = || options.name.clone();
        let hash = parse_hash(&options.hash).ok_or_else(|| KeyError::Hash(name()))?;
        let rights = options.verbs.iter().map(|verb| {
            Right::named(verb).ok_or_else(|| KeyError::Verb {
                key: name(),
                verb: verb.clone(),
            })
        });
        let rights = rights.collect::<Result<Vec<_>, _>>()?;
        let rooms = Permissions::new(&options.rooms, &[], &[]).map_err(|error| KeyError::Room {
            key: name(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            name: options.name.as_str().into(),
            hash,
            rights: (!rights.is_empty()).then_some(rights),
            rooms: (!options.rooms.is_empty()).then_some(Rooms(rooms)),
            bucket: (options.rate > 0).then(|| Bucket::new(options.rate)),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it may do, as [`ApiKeys::VERBS`] lists.
    pub(crate) fn verbs(&self) -> Vec<&'static str> {
        let rights = self.rights.as_deref().unwrap_or(&Right::ALL);
        rights.iter().map(|right| right.name()).collect()
    }

    /// Whether it may do that at all.
    pub(crate) fn check_right(&self, right: Right) -> Result<(), ApiError> {
        if self
            .rights
            .as_ref()
            .is_none_or(|rights| rights.contains(&right))
        {
            return Ok(());
        }
        let verb = right.name();
        Err(ApiError::forbidden(format!(
            "key `{}` does not have the verb `{verb}`",
            self.name
        )))
    }

    /// Whether it may address that target. A key with rooms may address rooms that match (users and sites are rooms), and
    /// nothing else: neither everyone nor a single session.
    pub(crate) fn check_target(&self, target: &TargetSpec) -> Result<(), ApiError> {
        if self.rooms.is_none() {
            return Ok(());
        }
        match &target.to {
            Recipients::Room(room) => self.check_room(room),
            Recipients::Rooms { any_of, .. } => {
                any_of.iter().try_for_each(|room| self.check_room(room))
            }
            Recipients::Session(_) | Recipients::Everyone => Err(self.only_rooms()),
        }
    }

    pub(crate) fn check_room(&self, room: &RoomName) -> Result<(), ApiError> {
        if self.means(room) {
            return Ok(());
        }
        let name = &self.name;
        Err(ApiError::forbidden(format!(
            "key `{name}` may not address the room `{room}`"
        )))
    }

    /// That only keys without `rooms` may do this.
    pub(crate) fn check_unbounded(&self) -> Result<(), ApiError> {
        if self.rooms.is_some() {
            Err(self.only_rooms())
        } else {
            Ok(())
        }
    }

    fn only_rooms(&self) -> ApiError {
        let name = &self.name;
        ApiError::forbidden(format!("key `{name}` may address rooms only"))
    }

    /// Whether it may know of that room.
    pub(crate) fn means(&self, room: &RoomName) -> bool {
        self.rooms
            .as_ref()
            .is_none_or(|rooms| rooms.0.may_join(room, None))
    }

    /// Takes the price of a request, if there is anything left.
    pub(crate) fn spend(&self) -> Result<(), ApiError> {
        let Some(bucket) = &self.bucket else {
            return Ok(());
        };
        bucket.take(Instant::now()).map_err(|seconds| {
            let message = format!(
                "key `{}` may make {} requests per second",
                self.name, bucket.rate
            );
            ApiError::retry_after(Code::RateLimited, message, seconds)
        })
    }

    /// Takes the price of what a request holds besides, whether it is there or not: the next request waits the longer.
    pub(crate) fn spend_more(&self, requests: usize) {
        if let Some(bucket) = &self.bucket {
            bucket.overdraw(requests);
        }
    }
}

/// A token bucket that holds what a second brings.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    state: Mutex<(f64, Instant)>,
}

impl Bucket {
    fn new(rate: u32) -> Self {
        let rate = f64::from(rate);
        Self {
            rate,
            state: Mutex::new((rate, Instant::now())),
        }
    }

    /// Takes a token if there is one; else says after how many whole seconds there will be.
    fn take(&self, now: Instant) -> Result<(), u64> {
        let mut state = self.state.lock();
        let (left, since) = *state;
        let brought = now.saturating_duration_since(since).as_secs_f64() * self.rate;
        let left = (left + brought).min(self.rate);
        let is_enough = left >= 1.0;
        *state = (if is_enough { left - 1.0 } else { left }, now);
        if is_enough {
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - left) / self.rate);
        Err(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }

    fn overdraw(&self, tokens: usize) {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        self.state.lock().0 -= f64::from(tokens);
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Hash {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn parse_hash(text: &str) -> Option<Hash> {
    let digits = text.strip_prefix(HASH_PREFIX)?.as_bytes();
    let mut hash = Hash::default();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(16 * digit(0)? + digit(1)?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(hash: &str) -> KeyOptions {
        KeyOptions {
            name: "one".to_owned(),
            hash: hash.to_owned(),
            ..KeyOptions::default()
        }
    }

    #[test]
    fn a_made_key_is_found_by_its_text_alone() {
        let made = ApiKeys::generate();
        assert_eq!((made.key.len(), &made.key[..3]), (46, "pp_"));
        assert_ne!(made.key, ApiKeys::generate().key);
        assert_eq!(ApiKeys::hash(&made.key).unwrap(), made.hash);
        assert!(!format!("{made:?}").contains(&made.key));
        let keys = ApiKeys::new(&[options(&made.hash)]).unwrap();
        assert!(keys.find(made.key.as_bytes()).is_some());
        for other in ["", &made.key[..45], &made.hash, "\0"] {
            assert!(keys.find(other.as_bytes()).is_none());
        }
        let upper = made.hash.to_uppercase().replace("SHA", "sha");
        assert!(ApiKeys::new(&[options(&upper)]).is_ok());
    }

    #[test]
    fn the_hash_is_plain_sha256() {
        assert_eq!(
            ApiKeys::hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").unwrap(),
            "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        );
        assert_eq!(ApiKeys::hash("secret").unwrap_err(), KeyError::TooShort);
    }

    #[test]
    fn what_is_no_key_is_named() {
        let good = ApiKeys::generate().hash;
        #[track_caller]
        fn check(keys: &[KeyOptions], wanted: &str) {
            let error = ApiKeys::new(keys).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        for hash in [
            "",
            "sha256:",
            "sha256:00",
            &good[7..],
            &format!("{good}0"),
            &good.replace(&good[70..], "x"),
        ] {
            check(&[options(hash)], "key `one`: the hash must be `sha256:`");
        }
        let mut verbs = options(&good);
        verbs.verbs = vec!["publish".to_owned(), "shout".to_owned()];
        check(
            &[verbs],
            "there is no verb `shout`; there are publish, call,",
        );
        let mut rooms = options(&good);
        rooms.rooms = vec!["[a".to_owned()];
        check(&[rooms], "key `one`: `[a` is no room pattern");
        let mut twin = options(&good);
        twin.name = "two".to_owned();
        check(&[options(&good), twin], "the keys `one` and `two`");
    }

    #[test]
    fn a_bucket_holds_a_second_and_can_be_overdrawn() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let bucket = Bucket::new(2);
        assert_eq!(bucket.take(at(0)), Ok(()));
        assert_eq!(bucket.take(at(0)), Ok(()));
        assert_eq!(bucket.take(at(0)), Err(1));
        assert_eq!(bucket.take(at(500)), Ok(()));
        assert_eq!(bucket.take(at(900)), Err(1));
        assert_eq!(
            bucket.take(at(60_000)),
            Ok(()),
            "two are there, however long it waited"
        );
        bucket.overdraw(20);
        assert_eq!(bucket.take(at(60_000)), Err(10));
        assert_eq!(bucket.take(at(69_000)), Err(1));
        assert_eq!(bucket.take(at(70_500)), Ok(()));
    }
}
