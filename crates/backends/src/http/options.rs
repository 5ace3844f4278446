//! The settings of a service, and what is made of them.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use globset::{Glob, GlobMatcher};
use polyport_core::{BackendRequest, Hooks, SERVER_SIDE};
use polyport_net::{ClientError, HttpClient};

use super::{lane::Lane, signature::Signer};

/// A key for signing requests. Its text is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the bytes of a key.
    #[must_use]
    pub fn new(key: impl Into<Vec<u8>>) -> Self {
        Self(key.into().into_boxed_slice())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How a service is asked, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Where: `http://…`, `https://…`, or `unix:/path/to.sock:/request/path`.
    pub url: String,
    /// Which calls it answers: patterns of action names (`*` any text, `?` one character).
    pub actions: Vec<String>,
    /// Which doings of sessions it is asked about or told of. Fixed for a backend's life.
    pub hooks: Hooks,
    /// Longest time for a call or hook, waiting for its turn and a second attempt included.
    pub timeout: Duration,
    /// Actions with rules, and a lane, of their own. Of several that match, the longest pattern counts.
    pub routes: Vec<HttpRoute>,
    /// Requests at once in each lane: the calls of each route, the other calls, and the hooks.
    pub concurrency: usize,
    /// Requests of each lane that may wait for their turn.
    pub queue: usize,
    /// Longest answer, in bytes.
    pub max_answer: usize,
    /// Longest `data` of one session, in bytes.
    pub max_data: usize,
    /// Whether HTTP/2 is spoken, without TLS by prior knowledge.
    pub http2: bool,
    /// Keys that requests are signed with, the newest first; empty: they are not signed.
    pub secrets: Vec<Secret>,
    /// When the service is left alone for a while.
    pub breaker: BreakerOptions,
}

/// Rules for some actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRoute {
    /// Which actions: a pattern.
    pub pattern: String,
    /// Longest time for their calls; `None` is the backend's.
    pub timeout: Option<Duration>,
    /// Whether a call may be sent again although the service may have acted on it.
    pub idempotent: bool,
}

/// When a service is left alone for a while. Each lane has a breaker of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerOptions {
    /// So many requests in a row without any answer open it; 0: never.
    pub failures: u32,
    /// How long nobody is asked then, and up to a quarter longer. One request goes out after that; its outcome decides.
    pub pause: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Duration::from_secs(5),
        }
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            actions: vec!["*".to_owned()],
            hooks: Hooks::default(),
            // Below the three seconds after which clients of socket.red give up and reconnect.
            timeout: Duration::from_millis(2500),
            routes: Vec::new(),
            concurrency: 64,
            queue: 1000,
            max_answer: 1 << 20,
            max_data: 64 << 10,
            http2: false,
            secrets: Vec::new(),
            breaker: BreakerOptions::default(),
        }
    }
}

/// Why a backend cannot work with its options; names the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpOptionsError {
    /// The URL cannot be asked.
    #[error("url: {0}")]
    Url(#[from] ClientError),
    /// A pattern is malformed.
    #[error("{key}: `{pattern}` is no pattern: {reason}")]
    Pattern {
        /// `actions` or `routes`.
        key: &'static str,
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A bound of zero would let nothing through.
    #[error("{0} must not be 0")]
    Zero(&'static str),
    /// A key without bytes proves nothing.
    #[error("secrets: a secret is empty")]
    EmptySecret,
    /// The hooks of a running backend cannot change: make a new one.
    #[error("hooks: they cannot change while the backend runs")]
    HooksChanged,
}

/// Options made ready for use.
pub(super) struct Settings {
    pub(super) options: HttpOptions,
    pub(super) client: HttpClient,
    pub(super) signer: Signer,
    actions: Vec<GlobMatcher>,
    routes: Vec<(GlobMatcher, Arc<Lane>)>,
    calls: Arc<Lane>,
    hooks: Arc<Lane>,
    /// How many lanes' breakers are open.
    pub(super) open_breakers: AtomicUsize,
}

impl Settings {
    pub(super) fn new(options: HttpOptions, client: &HttpClient) -> Result<Self, HttpOptionsError> {
        HttpClient::check_url(&options.url)?;
        let bounds = [
            ("concurrency", options.concurrency == 0),
            ("answer", options.max_answer == 0),
            ("timeout", options.timeout.is_zero()),
            ("breaker.pause", options.breaker.pause.is_zero()),
            (
                "routes: timeout",
                options
                    .routes
                    .iter()
                    .any(|r| r.timeout == Some(Duration::ZERO)),
            ),
        ];
        if let Some((key, _)) = bounds.iter().find(|(_, is_zero)| *is_zero) {
            return Err(HttpOptionsError::Zero(key));
        }
        if options.secrets.iter().any(|secret| secret.0.is_empty()) {
            return Err(HttpOptionsError::EmptySecret);
        }
        let actions = options
            .actions
            .iter()
            .map(|pattern| matcher("actions", pattern))
            .collect::<Result<_, HttpOptionsError>>()?;
        let mut sorted: Vec<&HttpRoute> = options.routes.iter().collect();
        sorted.sort_by(|a, b| {
            let lengths = b.pattern.len().cmp(&a.pattern.len());
            lengths.then_with(|| a.pattern.cmp(&b.pattern))
        });
        let routes = sorted
            .into_iter()
            .map(|route| {
                let timeout = route.timeout.unwrap_or(options.timeout);
                let lane = Lane::new(&options, timeout, route.idempotent);
                Ok((matcher("routes", &route.pattern)?, Arc::new(lane)))
            })
            .collect::<Result<_, HttpOptionsError>>()?;
        let lane = || Arc::new(Lane::new(&options, options.timeout, false));
        Ok(Self {
            client: if options.http2 {
                client.with_http2()
            } else {
                client.clone()
            },
            signer: Signer::new(&options.secrets),
            actions,
            routes,
            calls: lane(),
            hooks: lane(),
            open_breakers: AtomicUsize::new(0),
            options,
        })
    }

    pub(super) fn answers(&self, action: &str) -> bool {
        self.actions.iter().any(|pattern| pattern.is_match(action))
    }

    /// Whether it answers an action that servers call. What is said of all actions is said of those of clients.
    pub(super) fn answers_servers(&self, action: &str) -> bool {
        let is_of_servers = |it: &&GlobMatcher| it.glob().glob().starts_with(SERVER_SIDE);
        let mut patterns = self.actions.iter().filter(is_of_servers);
        patterns.any(|pattern| pattern.is_match(action))
    }

    /// The lane of a request; `action` is that of a call.
    pub(super) fn lane(&self, request: BackendRequest, action: &str) -> &Arc<Lane> {
        if request != BackendRequest::Call {
            return &self.hooks;
        }
        let route = self
            .routes
            .iter()
            .find(|(pattern, _)| pattern.is_match(action));
        route.map_or(&self.calls, |(_, lane)| lane)
    }

    pub(super) fn is_available(&self) -> bool {
        self.open_breakers.load(Ordering::Relaxed) == 0
    }
}

fn matcher(key: &'static str, pattern: &str) -> Result<GlobMatcher, HttpOptionsError> {
    let glob = Glob::new(pattern).map_err(|error| HttpOptionsError::Pattern {
        key,
        pattern: pattern.to_owned(),
        reason: error.kind().to_string(),
    })?;
    Ok(glob.compile_matcher())
}
