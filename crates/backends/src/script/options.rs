//! What an operator may set of a script.

use std::{path::PathBuf, time::Duration};

/// Settings of one script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptOptions {
    /// The file to run. `require` reaches the files of its folder and below.
    pub file: PathBuf,
    /// Engines, each with a thread of its own; at least 1.
    pub instances: usize,
    /// Bytes that one engine may use.
    pub memory: usize,
    /// How long JavaScript may run without a pause.
    pub time: Duration,
    /// How long a call or hook may take in all, promises included.
    pub timeout: Duration,
    /// Calls and hooks that may wait for one engine.
    pub queue: usize,
    /// Hosts that `fetch` may reach: `host` at its default port, or `host:port`.
    pub fetch: Vec<String>,
    /// Whether the script is loaded anew when one of its files has changed.
    pub watch: bool,
}

impl Default for ScriptOptions {
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            instances: 1,
            memory: 64 << 20,
            time: Duration::from_millis(500),
            timeout: Duration::from_millis(2500),
            queue: 1000,
            fetch: Vec::new(),
            watch: true,
        }
    }
}

/// Why a script does not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Its file cannot be read.
    #[error("{0}")]
    File(String),
    /// It failed while it was loaded: `tour.js:12:5: …`.
    #[error("{0}")]
    Load(String),
    /// No engine or thread could be made for it.
    #[error("the script's engine cannot be made: {0}")]
    Engine(String),
}
