//! Which configuration is in force, for the server API and the metrics.

use parking_lot::Mutex;
use polyport_core::Millis;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use serde::Serialize;

use crate::state::register;

/// Bytes of the reason why a reload has failed.
const MAX_REASON: usize = 4 << 10;

/// Which configuration is in force, and how the last attempts to put another one in force have ended.
#[derive(Debug)]
pub struct Configuration {
    state: Mutex<State>,
    generation: IntGauge,
    is_last_good: IntGauge,
    ok: IntCounter,
    failed: IntCounter,
}

#[derive(Debug)]
struct State {
    generation: u64,
    loaded_at: Millis,
    /// When a reload was last over, however it went.
    last_reload: Option<Millis>,
    last_error: Option<String>,
}

/// How it is told.
#[derive(Debug, Serialize)]
pub(crate) struct ConfigurationInfo {
    generation: u64,
    loaded_at: u64,
    reloads: Reloads,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reload_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Reloads {
    ok: u64,
    failed: u64,
}

impl Configuration {
    pub(crate) fn new(registry: &Registry) -> Self {
        let valid = "metric and label names are constant and valid";
        let reloads = IntCounterVec::new(
            Opts::new(
                "polyport_reloads_total",
                "Reloads of the configuration, by how they ended.",
            ),
            &["outcome"],
        )
        .expect(valid);
        let generation = IntGauge::new(
            "polyport_config_generation",
            "Which configuration is in force: 1 at the start, one more with each reload.",
        )
        .expect(valid);
        generation.set(1);
        let is_last_good = IntGauge::new(
            "polyport_config_last_reload_successful",
            "Whether the last reload of the configuration has worked; 1 before the first.",
        )
        .expect(valid);
        is_last_good.set(1);
        register(registry, reloads.clone());
        register(registry, generation.clone());
        register(registry, is_last_good.clone());
        Self {
            state: Mutex::new(State {
                generation: 1,
                loaded_at: Millis::now(),
                last_reload: None,
                last_error: None,
            }),
            generation,
            is_last_good,
            ok: reloads.with_label_values(&["ok"]),
            failed: reloads.with_label_values(&["failed"]),
        }
    }

    /// Another configuration is in force; gives its generation.
    pub fn reloaded(&self) -> u64 {
        let mut state = self.state.lock();
        state.generation += 1;
        state.loaded_at = Millis::now();
        state.last_reload = Some(state.loaded_at);
        state.last_error = None;
        self.generation.inc();
        self.is_last_good.set(1);
        self.ok.inc();
        state.generation
    }

    /// The configuration could not be reloaded, for this reason; gives the generation that stays in force.
    pub fn not_reloaded(&self, mut reason: String) -> u64 {
        if reason.len() > MAX_REASON {
            reason.truncate(reason.floor_char_boundary(MAX_REASON));
            reason.push('…');
        }
        let mut state = self.state.lock();
        state.last_reload = Some(Millis::now());
        state.last_error = Some(reason);
        self.is_last_good.set(0);
        self.failed.inc();
        state.generation
    }

    pub(crate) fn info(&self) -> ConfigurationInfo {
        let state = self.state.lock();
        ConfigurationInfo {
            generation: state.generation,
            loaded_at: state.loaded_at.0,
            reloads: Reloads {
                ok: self.ok.get(),
                failed: self.failed.get(),
            },
            last_reload_at: state.last_reload.map(|at| at.0),
            last_error: state.last_error.clone(),
        }
    }
}
