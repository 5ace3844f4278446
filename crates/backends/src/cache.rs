//! A key-value cache in this process: values with a time to live, bounded in entries and bytes.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use polyport_core::{Json, Millis};

/// What an entry costs beside its key and value: map and index slots, reference counts.
const ENTRY_OVERHEAD: usize = 160;

/// The bounds of a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Entries at once.
    pub entries: usize,
    /// Bytes of all keys and values, with the cache's own memory.
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            bytes: 64 << 20,
        }
    }
}

/// A shared cache. Every method takes the time, and first drops what has expired by then.
#[derive(Debug)]
pub struct Cache {
    limits: CacheLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Keys are chosen by clients, so the map keeps std's collision-resistant hash.
    entries: HashMap<Arc<str>, Cached>,
    by_expiry: BTreeSet<(Millis, Arc<str>)>,
    bytes: usize,
}

/// A cached value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// The value.
    pub value: Json,
    /// When it was saved.
    pub created_at: Millis,
    /// When it expires; `None` is never.
    pub expires_at: Option<Millis>,
    /// When it was loaded before, if it was.
    pub read_at: Option<Millis>,
}

/// A value was not saved: the cache holds as many entries, or as many bytes, as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheFull;

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(limits: CacheLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
        }
    }

    /// Saves a value in place of what the key had before. Without `ttl` it never expires.
    ///
    /// # Errors
    /// [`CacheFull`]; what the key had before is gone all the same.
    pub fn save(
        &self,
        key: &str,
        value: Json,
        ttl: Option<Duration>,
        now: Millis,
    ) -> Result<(), CacheFull> {
        let mut state = self.state.lock();
        state.drop_expired(now);
        state.remove(key);
        let cost = cost(key, &value);
        if state.entries.len() >= self.limits.entries || state.bytes + cost > self.limits.bytes {
            return Err(CacheFull);
        }
        let key: Arc<str> = key.into();
        let expires_at = ttl.map(|ttl| Millis(now.0.saturating_add(millis(ttl))));
        if let Some(at) = expires_at {
            state.by_expiry.insert((at, Arc::clone(&key)));
        }
        state.bytes += cost;
        state.entries.insert(
            key,
            Cached {
                value,
                created_at: now,
                expires_at,
                read_at: None,
            },
        );
        Ok(())
    }

    /// The entry as it was before this load, which it remembers.
    #[must_use]
    pub fn load(&self, key: &str, now: Millis) -> Option<Cached> {
        let mut state = self.state.lock();
        state.drop_expired(now);
        let entry = state.entries.get_mut(key)?;
        let before = entry.clone();
        entry.read_at = Some(now);
        Some(before)
    }

    /// Removes an entry; whether it was there.
    pub fn remove(&self, key: &str, now: Millis) -> bool {
        let mut state = self.state.lock();
        state.drop_expired(now);
        state.remove(key)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self, now: Millis) -> usize {
        let mut state = self.state.lock();
        state.drop_expired(now);
        state.entries.len()
    }
}

impl State {
    fn drop_expired(&mut self, now: Millis) {
        while let Some((at, key)) = self.by_expiry.first() {
            if *at > now {
                return;
            }
            let key = Arc::clone(key);
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some((key, entry)) = self.entries.remove_entry(key) else {
            return false;
        };
        self.bytes -= cost(&key, &entry.value);
        if let Some(at) = entry.expires_at {
            self.by_expiry.remove(&(at, key));
        }
        // A flood of entries must not leave its map behind.
        if self.entries.len() * 4 < self.entries.capacity() {
            let few = self.entries.len() * 2;
            self.entries.shrink_to(few);
        }
        true
    }
}

fn cost(key: &str, value: &Json) -> usize {
    key.len() + value.len() + ENTRY_OVERHEAD
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Option<Duration> = Some(Duration::from_secs(1));

    fn cache(entries: usize, bytes: usize) -> Cache {
        Cache::new(CacheLimits { entries, bytes })
    }

    #[test]
    fn a_load_remembers_when_it_was() {
        let cache = cache(10, 10_000);
        cache
            .save("k", Json::string("v"), SECOND, Millis(100))
            .unwrap();
        let first = cache.load("k", Millis(150)).unwrap();
        assert_eq!(first.value, Json::string("v"));
        assert_eq!(first.created_at, Millis(100));
        assert_eq!(first.expires_at, Some(Millis(1100)));
        assert_eq!(first.read_at, None);
        assert_eq!(
            cache.load("k", Millis(160)).unwrap().read_at,
            Some(Millis(150))
        );
        assert!(cache.remove("k", Millis(170)));
        assert!(!cache.remove("k", Millis(170)));
        assert_eq!(cache.load("k", Millis(170)), None);
    }

    #[test]
    fn entries_expire() {
        let cache = cache(10, 10_000);
        cache.save("short", Json::NULL, SECOND, Millis(0)).unwrap();
        cache.save("for ever", Json::NULL, None, Millis(0)).unwrap();
        assert_eq!(cache.len(Millis(999)), 2);
        assert_eq!(cache.len(Millis(1000)), 1);
        assert_eq!(cache.load("short", Millis(1000)), None);
        assert!(cache.load("for ever", Millis(u64::MAX)).is_some());
    }

    #[test]
    fn saving_again_starts_anew() {
        let cache = cache(10, 10_000);
        cache
            .save("k", Json::string("old"), SECOND, Millis(0))
            .unwrap();
        cache
            .save("k", Json::string("new"), SECOND, Millis(500))
            .unwrap();
        let entry = cache.load("k", Millis(1200)).unwrap();
        assert_eq!(entry.value, Json::string("new"));
        assert_eq!(cache.len(Millis(1500)), 0);
    }

    #[test]
    fn the_bounds_hold_and_everything_is_given_back() {
        let few = cache(2, 10_000);
        few.save("a", Json::NULL, SECOND, Millis(0)).unwrap();
        few.save("b", Json::NULL, SECOND, Millis(0)).unwrap();
        assert_eq!(few.save("c", Json::NULL, SECOND, Millis(0)), Err(CacheFull));
        few.save("b", Json::NULL, SECOND, Millis(0)).unwrap();
        few.save("c", Json::NULL, SECOND, Millis(1000)).unwrap();
        assert_eq!(few.len(Millis(2000)), 0);
        let state = few.state.lock();
        assert_eq!((state.bytes, state.by_expiry.len()), (0, 0));

        let small = cache(1000, 1000);
        small
            .save("a", Json::string(&"x".repeat(500)), None, Millis(0))
            .unwrap();
        let more = Json::string(&"x".repeat(500));
        assert_eq!(small.save("b", more, None, Millis(0)), Err(CacheFull));
    }
}
