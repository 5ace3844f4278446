//! Keys that an issuer publishes: fetched ahead of need, kept while no newer ones can be had, looked for again when a token
//! names one that nobody knows.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use jsonwebtoken::DecodingKey;
use parking_lot::Mutex;
use polyport_net::Tasks;
use serde::Deserialize;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};

use crate::{Algorithm, JwksRules, algorithm::Family, events, key::Key};

/// Largest key set, in bytes.
pub(crate) const MAX_SET: usize = 1 << 20;

/// Keys beyond so many are left out.
const MAX_KEYS: usize = 100;

/// The first pause after a failure; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Gets the text of a key set; the error is for the log.
pub(crate) type Fetch = Box<dyn Fn() -> Fetching + Send + Sync>;

/// A fetch under way.
pub(crate) type Fetching = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// The published keys as they are known now.
pub(crate) struct Published {
    rules: JwksRules,
    set: ArcSwapOption<Set>,
    desk: Mutex<Desk>,
    /// Asks the task to fetch now. The task ends when this is dropped.
    wanted: mpsc::Sender<()>,
    /// Changes when a fetch has ended, well or not.
    ended: watch::Receiver<u64>,
}

/// Keys that were published together.
pub(crate) struct Set {
    pub(crate) keys: Vec<Key>,
    fetched: Instant,
}

#[derive(Default)]
struct Desk {
    is_fetching: bool,
    /// When a token's unknown `kid` last led to a fetch.
    asked: Option<Instant>,
}

impl Published {
    /// Fetches now, unless `known` is there already, and from then on in a task of `tasks`.
    pub(crate) fn start(
        rules: JwksRules,
        known: Option<Vec<Key>>,
        fetch: Fetch,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let (wanted, wishes) = mpsc::channel(1);
        let (ends, ended) = watch::channel(0);
        let is_known = known.is_some();
        let set = known.map(|keys| {
            Arc::new(Set {
                keys,
                fetched: Instant::now(),
            })
        });
        let published = Arc::new(Self {
            rules,
            set: ArcSwapOption::new(set),
            desk: Mutex::new(Desk {
                is_fetching: !is_known,
                asked: None,
            }),
            wanted,
            ended,
        });
        let keeping = keep(
            Arc::downgrade(&published),
            fetch,
            wishes,
            ends,
            is_known.then_some(published.rules.refresh),
        );
        let stopping = tasks.stopping();
        tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = keeping => {}
            }
        });
        published
    }

    pub(crate) fn allows(&self, algorithm: &str) -> bool {
        let allowed = &self.rules.algorithms;
        allowed.iter().any(|known| known.name() == algorithm)
    }

    /// The keys, unless they are too old to be used.
    pub(crate) fn set(&self) -> Option<Arc<Set>> {
        let set = self.set.load_full()?;
        (set.fetched.elapsed() <= self.rules.stale).then_some(set)
    }

    /// Newer keys are wanted, for a token that names none of those at hand. What comes back is ready when a fetch has ended,
    /// within the time that one may take. `None`: it was asked for a moment ago.
    pub(crate) fn newer(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut ended = {
            let mut desk = self.desk.lock();
            if !desk.is_fetching {
                if desk.asked.is_some_and(|at| at.elapsed() < self.rules.retry) {
                    return None;
                }
                desk.asked = Some(Instant::now());
                desk.is_fetching = true;
                // When it is full, the task is about to fetch anyway.
                let _ = self.wanted.try_send(());
            }
            // Under the lock: the fetch has not ended yet, so its end cannot be missed.
            let mut ended = self.ended.clone();
            ended.mark_unchanged();
            ended
        };
        let patience = self.rules.timeout;
        Some(async move {
            // An end in failure, a task that has gone and a time that is up are all one: look at what there is.
            let _ = timeout(patience, ended.changed()).await;
        })
    }
}

/// Keeps the keys fresh for as long as somebody holds them.
async fn keep(
    published: Weak<Published>,
    fetch: Fetch,
    mut wishes: mpsc::Receiver<()>,
    ends: watch::Sender<u64>,
    first_pause: Option<Duration>,
) {
    let mut failures = 0_u32;
    let mut pause = first_pause;
    let mut is_news = true;
    loop {
        if let Some(pause) = pause {
            tokio::select! {
                wish = wishes.recv() => if wish.is_none() { return },
                () = sleep(pause) => {}
            }
        }
        let Some(limit) = published.upgrade().map(|published| {
            published.desk.lock().is_fetching = true;
            published.rules.timeout
        }) else {
            return;
        };
        let fetched = timeout(limit, fetch())
            .await
            .unwrap_or_else(|_| Err("it did not come in time".to_owned()));
        let Some(published) = published.upgrade() else {
            return;
        };
        let rules = &published.rules;
        let parsed = fetched.and_then(|text| parse(&text, &rules.algorithms));
        pause = Some(match parsed {
            Ok(keys) => {
                events::keys_fetched(&rules.source, keys.len(), is_news || failures > 0);
                (failures, is_news) = (0, false);
                published.set.store(Some(Arc::new(Set {
                    keys,
                    fetched: Instant::now(),
                })));
                rules.refresh
            }
            Err(error) => {
                events::keys_not_fetched(&rules.source, &error, failures == 0);
                let pause = FIRST_PAUSE
                    .saturating_mul(1 << failures.min(5))
                    .min(LAST_PAUSE);
                failures = failures.saturating_add(1);
                pause.min(rules.refresh)
            }
        });
        published.desk.lock().is_fetching = false;
        ends.send_modify(|ended| *ended = ended.wrapping_add(1));
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// What of RFC 7517 matters here.
#[derive(Deserialize)]
struct WebKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that are good for one of `algorithms`. Others, such as those for encryption, are left out.
pub(crate) fn parse(text: &[u8], algorithms: &[Algorithm]) -> Result<Vec<Key>, String> {
    let set: KeySet =
        serde_json::from_slice(text).map_err(|error| format!("it is no key set: {error}"))?;
    let keys: Vec<Key> = set
        .keys
        .into_iter()
        .take(MAX_KEYS)
        .filter_map(|key| serde_json::from_value::<WebKey>(key).ok())
        .flat_map(|key| key.ready(algorithms))
        .collect();
    if keys.is_empty() {
        return Err(format!(
            "it has no key for {}",
            algorithms
                .iter()
                .map(|algorithm| algorithm.name())
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    Ok(keys)
}

impl WebKey {
    /// The key once for each algorithm that it may be used with: its own, or those that it fits.
    fn ready(&self, algorithms: &[Algorithm]) -> Vec<Key> {
        if self
            .purpose
            .as_deref()
            .is_some_and(|purpose| purpose != "sig")
        {
            return Vec::new();
        }
        algorithms
            .iter()
            .filter(|algorithm| {
                self.alg
                    .as_deref()
                    .is_none_or(|own| own == algorithm.name())
            })
            .filter_map(|algorithm| {
                let decoding = self.decoding(*algorithm)?;
                Key::published(*algorithm, self.kid.as_deref(), decoding).ok()
            })
            .collect()
    }

    fn decoding(&self, algorithm: Algorithm) -> Option<DecodingKey> {
        let x = self.x.as_deref();
        match (algorithm.family(), self.kty.as_str(), self.crv.as_deref()) {
            (Family::Rsa, "RSA", _) => {
                DecodingKey::from_rsa_components(self.n.as_deref()?, self.e.as_deref()?).ok()
            }
            (Family::Ec(65), "EC", Some("P-256")) | (Family::Ec(97), "EC", Some("P-384")) => {
                DecodingKey::from_ec_components(x?, self.y.as_deref()?).ok()
            }
            (Family::Ed, "OKP", Some("Ed25519")) => DecodingKey::from_ed_components(x?).ok(),
            _ => None,
        }
    }
}
