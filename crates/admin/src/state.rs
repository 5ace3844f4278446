//! What the admin listener answers from.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use polyport_core::Hub;
use prometheus::{
    IntGauge, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{
    Configuration, Standing,
    api::{Api, ApiKeys, ApiOptions},
};

/// What all admin connections share.
#[derive(Debug, Clone)]
pub struct AdminState {
    hub: Arc<Hub>,
    readiness: Arc<Readiness>,
    configuration: Arc<Configuration>,
    version: Arc<str>,
    api: Option<Arc<Api>>,
}

impl AdminState {
    /// Adds the figures of the process (`polyport_process_…`), of the configuration, of the build (`polyport_build_info`, with `version` as
    /// its label) and of its readiness (`polyport_ready`) to the hub's metrics, and answers from there. `version` is the binary's.
    #[must_use]
    pub fn new(hub: Arc<Hub>, readiness: Arc<Readiness>, version: &str) -> Self {
        let registry = hub.metrics().registry();
        register(registry, build_info(version));
        register(registry, ReadyGauge::new(Arc::clone(&readiness)));
        #[cfg(target_os = "linux")]
        register(
            registry,
            prometheus::process_collector::ProcessCollector::new(
                std::process::id().cast_signed(),
                "polyport",
            ),
        );
        let configuration = Arc::new(Configuration::new(registry));
        Self {
            hub,
            readiness,
            configuration,
            version: version.into(),
            api: None,
        }
    }

    /// The same, with the server API under `/api/`.
    #[must_use]
    pub fn with_api(mut self, options: ApiOptions) -> Self {
        let api = Api::new(Arc::clone(&self.hub), options, &self.version);
        self.api = Some(Arc::new(api));
        self
    }

    /// Puts other API keys in force, for clones of this state too. Nothing happens without [`AdminState::with_api`].
    pub fn set_api_keys(&self, keys: ApiKeys) {
        if let Some(api) = &self.api {
            api.set_keys(keys);
        }
    }

    /// Says how the configuration in force stands, for clones of this state too. Nothing happens without
    /// [`AdminState::with_api`].
    pub fn set_standing(&self, standing: Standing) {
        if let Some(api) = &self.api {
            api.set_standing(standing);
        }
    }

    /// Which configuration is in force.
    #[must_use]
    pub fn configuration(&self) -> &Arc<Configuration> {
        &self.configuration
    }

    pub(crate) fn api(&self) -> Option<&Api> {
        self.api.as_deref()
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.hub.metrics().registry()
    }

    pub(crate) fn readiness(&self) -> &Readiness {
        &self.readiness
    }
}

/// Only a second state over the same hub can fail here, and then the collector is there already.
pub(crate) fn register(registry: &Registry, collector: impl Collector + 'static) {
    if let Err(error) = registry.register(Box::new(collector)) {
        tracing::debug!(%error, "collector not registered again");
    }
}

fn build_info(version: &str) -> IntGauge {
    let options = Opts::new("polyport_build_info", "The running build; always 1.")
        .const_label("version", version);
    let gauge =
        IntGauge::with_opts(options).expect("metric and label names are constant and valid");
    gauge.set(1);
    gauge
}

/// `polyport_ready`: what `/readyz` would answer at this moment.
struct ReadyGauge {
    gauge: IntGauge,
    readiness: Arc<Readiness>,
}

impl ReadyGauge {
    fn new(readiness: Arc<Readiness>) -> Self {
        let help = "Whether traffic should be sent here.";
        let gauge = IntGauge::new("polyport_ready", help)
            .expect("metric and label names are constant and valid");
        Self { gauge, readiness }
    }
}

impl Collector for ReadyGauge {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(self.readiness.reasons().is_empty().into());
        self.gauge.collect()
    }
}

/// Whether traffic should be sent here. Starts as not ready.
#[derive(Debug, Default)]
pub struct Readiness {
    ready: AtomicBool,
    draining: AtomicBool,
    cut_off: AtomicBool,
}

impl Readiness {
    /// Says whether every configured listener is bound.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Says that the process has begun to stop. There is no way back.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Says whether other nodes are out of reach and this one should get no traffic without them.
    pub fn set_cut_off(&self, cut_off: bool) {
        self.cut_off.store(cut_off, Ordering::Relaxed);
    }

    /// Why no traffic should be sent here; empty when it should.
    #[must_use]
    pub fn reasons(&self) -> Vec<&'static str> {
        let not_ready = !self.ready.load(Ordering::Relaxed);
        let draining = self.draining.load(Ordering::Relaxed);
        let cut_off = self.cut_off.load(Ordering::Relaxed);
        [
            (not_ready, "not all listeners are bound"),
            (draining, "draining: the process is stopping"),
            (cut_off, "backplane: Redis is out of reach"),
        ]
        .into_iter()
        .filter_map(|(applies, reason)| applies.then_some(reason))
        .collect()
    }
}
