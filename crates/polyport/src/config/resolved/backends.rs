//! Backends, known to be complete.

use std::{path::PathBuf, time::Duration};

use crate::config::HookName;

/// A backend under its name.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendConfig {
    /// The operator's name for it: in `backends`, in logs, in metrics.
    pub name: String,
    /// Time that a call or a hook may take in all.
    pub timeout: Duration,
    /// Calls and hooks that may wait.
    pub queue: usize,
    /// What it is.
    pub kind: BackendKindConfig,
}

/// What a backend is, with the settings that only this kind has.
#[derive(Debug, Clone, PartialEq)]
pub enum BackendKindConfig {
    /// A script.
    Script(ScriptConfig),
    /// A service.
    Http(HttpConfig),
}

impl BackendKindConfig {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Script(_) => "script",
            Self::Http(_) => "http",
        }
    }
}

/// A script that is run inside.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptConfig {
    /// The file, absolute.
    pub file: PathBuf,
    /// Engines side by side; at least one.
    pub instances: usize,
    /// Memory of one engine, in bytes.
    pub memory: usize,
    /// Time that JavaScript may run without a pause.
    pub time: Duration,
    /// Hosts that `fetch` may reach.
    pub fetch: Vec<String>,
    /// Whether it is loaded anew when a file has changed.
    pub watch: bool,
}

/// A service that requests are posted to.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// Where: `http://…`, `https://…` or `unix:/path.sock:/request/path`, as the client takes it.
    pub url: String,
    /// Patterns of the calls it answers, known to compile.
    pub actions: Vec<String>,
    /// What it wants to be asked about or told of.
    pub hooks: Vec<HookName>,
    /// What is different for some calls.
    pub routes: Vec<RouteConfig>,
    /// Requests under way at once.
    pub concurrency: usize,
    /// Bytes of the largest answer.
    pub answer: usize,
    /// HTTP/2 by prior knowledge.
    pub http2: bool,
    /// Keys that requests are signed with, the first first.
    pub secrets: Vec<SecretConfig>,
    /// Failures in a row that open the circuit breaker; 0 is never.
    pub breaker_failures: u32,
    /// How long it stays open.
    pub breaker_pause: Duration,
}

/// What is different for calls that match a pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    /// The pattern, known to compile.
    pub pattern: String,
    /// Their time, if it is another.
    pub timeout: Option<Duration>,
    /// Whether they may be repeated.
    pub idempotent: bool,
}

/// A secret, or where it is. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretConfig {
    /// The secret itself, from the environment.
    Value(Vec<u8>),
    /// A file to be read when the gateway starts or reloads.
    File(PathBuf),
    /// Nobody gave one: a random one is made for this run.
    Random,
}

impl std::fmt::Debug for SecretConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(hidden)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Random => f.write_str("Random"),
        }
    }
}
