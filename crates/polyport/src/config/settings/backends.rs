//! Settings of what answers calls beside the builtin actions.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    strict::optional_word,
    units::{ByteSize, Period},
};

/// A script that answers calls and session hooks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackendSettings {
    /// What it is. Required.
    #[serde(
        deserialize_with = "optional_word",
        skip_serializing_if = "Option::is_none"
    )]
    pub kind: Option<BackendKind>,
    /// Time that a call or a hook may take in all, waiting included. Default: `"2500ms"`, since clients of socket.red give up after 3 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Calls and hooks that may wait for their turn; more are refused. Default: 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<usize>,
    /// The JavaScript file, relative to the configuration file. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Engines side by side, each with a thread and variables of its own; more than one only for scripts that keep nothing between calls. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
    /// Memory of one engine. Default: `"64MiB"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Time that JavaScript may run without a pause. Default: `"500ms"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Period>,
    /// Hosts that `fetch` may reach, as `host` or `host:port`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch: Option<Vec<String>>,
    /// Whether the script is loaded anew when one of its files has changed. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<bool>,
}

/// What a backend is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKind {
    /// A JavaScript file that is run inside.
    Script,
}

impl BackendSettings {
    /// Writes out the defaults of its kind.
    pub(in crate::config) fn fill(&mut self) {
        let Some(kind) = self.kind else {
            return;
        };
        self.timeout.get_or_insert(Period::millis(2500));
        self.queue.get_or_insert(1000);
        match kind {
            BackendKind::Script => {
                self.instances.get_or_insert(1);
                self.memory.get_or_insert(ByteSize(64 << 20));
                self.time.get_or_insert(Period::millis(500));
                self.fetch.get_or_insert_default();
                self.watch.get_or_insert(true);
            }
        }
    }
}
