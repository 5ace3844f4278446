//! Settings of traces: which are kept, and where they go.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{places::Secret, units::Period};

/// Which traces are kept, and the collector that they go to over OTLP. Off without an `endpoint`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TracingSettings {
    /// The collector's address for OTLP over HTTP, such as `"http://127.0.0.1:4318"`; without a path, `/v1/traces` is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Headers of every request to the collector, each with the place of its value: `"env:NAME"` or `"file:PATH"`.
    pub headers: BTreeMap<String, Secret>,
    /// What the collector calls this gateway: `service.name`.
    pub service: String,
    /// What else the collector is to know of this process: names and values of resource attributes.
    pub attributes: BTreeMap<String, String>,
    /// The share of traces that begin here and are kept, from 0 to 1. Whether one that a client has begun is kept, `traceparent` of its listener decides.
    pub ratio: f64,
    /// Spans that wait for the collector. What is more is dropped and counted.
    pub queue: usize,
    /// Spans of one request to the collector; no more than `queue`.
    pub batch: usize,
    /// How long a span waits for others to go with.
    pub interval: Period,
    /// How long a request to the collector may take.
    pub timeout: Period,
}

impl Default for TracingSettings {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: BTreeMap::new(),
            service: "polyport".to_owned(),
            attributes: BTreeMap::new(),
            ratio: 1.0,
            queue: 4096,
            batch: 512,
            interval: Period::secs(5),
            timeout: Period::secs(10),
        }
    }
}

/// How much counts of what a client says about its trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TraceparentTrust {
    /// All of it: clients decide which traces are kept.
    Trust,
    /// The trace, of which no more is kept than `tracing.ratio` says.
    #[default]
    Ids,
    /// Nothing.
    Ignore,
}
