//! Settings of what answers calls beside the builtin actions: scripts and services.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    places::Secret,
    strict::{optional_table, optional_word, optional_words, tables},
    units::{ByteSize, Period},
};

/// A script or a service that answers calls and session hooks. What stands behind `Scripts:` or `Services:` belongs to that kind only.
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
    /// Scripts: the JavaScript file, relative to the configuration file. Required.
    #[schemars(extend("x-takes-effect" = "new-connections"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Scripts: engines side by side, each with a thread and variables of its own; more than one only for scripts that keep nothing between calls. Default: 1.
    #[schemars(extend("x-takes-effect" = "new-connections"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
    /// Scripts: memory of one engine. Default: `"64MiB"`.
    #[schemars(extend("x-takes-effect" = "new-connections"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Scripts: time that JavaScript may run without a pause. Default: `"500ms"`.
    #[schemars(extend("x-takes-effect" = "new-connections"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Period>,
    /// Scripts: hosts that `fetch` may reach, as `host` or `host:port`. Default: none.
    #[schemars(extend("x-takes-effect" = "new-connections"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch: Option<Vec<String>>,
    /// Scripts: whether the script is loaded anew when one of its files has changed. Default: true.
    #[schemars(extend("x-takes-effect" = "new-connections"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<bool>,
    /// Services: where requests are posted: `http://…`, `https://…`, or `unix:/run/app.sock`. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Services: the path of requests when `url` is a unix socket. Default: `"/"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Services: patterns of the calls that it answers. Default: `["*"]`, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<String>>,
    /// Services: what it is asked about or told of beside calls. Default: nothing.
    #[serde(
        deserialize_with = "optional_words",
        skip_serializing_if = "Option::is_none"
    )]
    pub hooks: Option<Vec<HookName>>,
    /// Services: what is different for calls whose name matches a pattern, the longest pattern first.
    #[serde(
        deserialize_with = "tables",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub routes: BTreeMap<String, RouteSettings>,
    /// Services: requests under way at once. Default: 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// Services: the largest answer that is read. Default: `"1MiB"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<ByteSize>,
    /// Services: HTTP/2 without TLS, by prior knowledge. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2: Option<bool>,
    /// Services: keys that requests are signed with, as `"env:NAME"` or `"file:PATH"`; several while keys are being changed. Default: requests are not signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<Secret>>,
    /// Services: when a service that keeps failing is left alone.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub breaker: Option<BreakerSettings>,
}

/// What a backend is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKind {
    /// A JavaScript file that is run inside.
    Script,
    /// A service of your own that requests are posted to.
    Http,
}

/// Something that sessions do and a service wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HookName {
    /// Whether a session may open.
    Open,
    /// That it has closed.
    Close,
    /// Whether it may join a room.
    Join,
    /// Whether it may publish to a room.
    Publish,
}

/// What is different for some calls of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteSettings {
    /// Time that they may take, in place of the backend's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Whether a call may be repeated when it is not known what became of it.
    pub idempotent: bool,
}

/// When a service that keeps failing is left alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// Failures in a row after which it is left alone; 0 is never.
    pub failures: u32,
    /// For how long, before one request tries again.
    pub pause: Period,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            pause: Period::secs(5),
        }
    }
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
            BackendKind::Http => {
                self.path.get_or_insert_with(|| "/".to_owned());
                self.actions.get_or_insert_with(|| vec!["*".to_owned()]);
                self.hooks.get_or_insert_default();
                self.concurrency.get_or_insert(64);
                self.answer.get_or_insert(ByteSize(1 << 20));
                self.http2.get_or_insert(false);
                self.secrets.get_or_insert_default();
                self.breaker.get_or_insert_default();
            }
        }
    }

    /// The keys that are set and belong to the other kind.
    pub(in crate::config) fn strangers(&self, kind: BackendKind) -> Vec<&'static str> {
        let scripts = [
            ("file", self.file.is_some()),
            ("instances", self.instances.is_some()),
            ("memory", self.memory.is_some()),
            ("time", self.time.is_some()),
            ("fetch", self.fetch.is_some()),
            ("watch", self.watch.is_some()),
        ];
        let services = [
            ("url", self.url.is_some()),
            ("path", self.path.is_some()),
            ("actions", self.actions.is_some()),
            ("hooks", self.hooks.is_some()),
            ("routes", !self.routes.is_empty()),
            ("concurrency", self.concurrency.is_some()),
            ("answer", self.answer.is_some()),
            ("http2", self.http2.is_some()),
            ("secrets", self.secrets.is_some()),
            ("breaker", self.breaker.is_some()),
        ];
        let of_the_other: &[(&str, bool)] = match kind {
            BackendKind::Script => &services,
            BackendKind::Http => &scripts,
        };
        let set = of_the_other.iter().filter(|(_, is_set)| *is_set);
        set.map(|(key, _)| *key).collect()
    }
}

impl BackendKind {
    /// The word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Http => "http",
        }
    }
}
