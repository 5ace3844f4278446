//! Backends, known to be complete.

use std::{path::PathBuf, time::Duration};

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
