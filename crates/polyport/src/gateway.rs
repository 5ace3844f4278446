//! The listeners that run, and how a new configuration changes them.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use polyport_backends::{Actions, Node, Provider, Registry, builtin};
use polyport_core::{CloseReason, Hub, Listener, Reception, SessionId};
use polyport_net::{
    Bind, Deadlines, FlushTasks, Place, Process, Server, ServerSettings, Tasks, TlsAcceptance,
    Transportation,
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use crate::{
    config::{Config, ListenerConfig, Protocol},
    protocols,
};

/// How often the end of the last session is looked for while draining.
const DRAIN_CHECK: Duration = Duration::from_millis(20);

/// What sessions that are cut at the deadline have to take their goodbye.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Everything that runs.
pub struct Gateway {
    process: Process,
    node: Arc<Node>,
    listeners: Vec<Running>,
    /// Listeners that were bound anew: they accept nothing any more, but their sessions go on under their name.
    earlier: Vec<Arc<Listener>>,
    config: Config,
}

/// A listener that runs, and the configuration it was started with.
struct Running {
    config: ListenerConfig,
    server: Server,
}

impl Gateway {
    /// Starts every listener of `config`. Call inside a runtime.
    ///
    /// # Errors
    /// The first listener that cannot be started, with its name and the reason; none is left running then.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        let tasks = Tasks::new();
        let pool = FlushTasks::new(Handle::current(), tasks.clone());
        let hub = Hub::new(config.sessions, Some(Arc::new(pool)));
        let process = Process {
            hub,
            transportation: Transportation {
                deadlines: Deadlines::start(&tasks),
                tasks,
            },
        };
        let mut gateway = Self {
            process,
            node: Arc::new(Node::new(SessionId::random().to_string())),
            listeners: Vec::new(),
            earlier: Vec::new(),
            config,
        };
        for listener in gateway.config.listeners.clone() {
            let running = gateway.start_listener(listener)?;
            gateway.listeners.push(running);
        }
        Ok(gateway)
    }

    /// The hub.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.process.hub
    }

    /// The owner of all tasks.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.process.transportation.tasks
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The addresses in use, in the order of the configuration's listeners.
    #[must_use]
    pub fn bound(&self) -> Vec<Bind> {
        self.listeners
            .iter()
            .map(|running| running.server.local().clone())
            .collect()
    }

    /// Changes what runs to what `new` says. Sessions of listeners that stay go on, also when their listener is rebound;
    /// those of listeners that go are ended in their protocol's way.
    ///
    /// # Errors
    /// When a certificate cannot be used or a new address cannot be bound: then nothing has changed. When an address that
    /// was in use cannot be bound again, that listener is gone and the rest is as `new` says.
    pub async fn reload(&mut self, new: Config) -> anyhow::Result<()> {
        // Everything that can fail without touching what runs comes first.
        let mut settings = Vec::new();
        for listener in &new.listeners {
            settings.push(self.settings_for(listener)?);
        }
        let mut added = Vec::new();
        for listener in &new.listeners {
            let is_in_use = |running: &Running| running.config.bind == listener.bind;
            if !self.listeners.iter().any(is_in_use) {
                added.push(self.start_listener(listener.clone())?);
            }
        }
        let mut before = std::mem::take(&mut self.listeners);
        let mut failed = None;
        for (listener, settings) in new.listeners.iter().zip(settings) {
            if let Some(index) = added.iter().position(|r| r.config.name == listener.name) {
                info!(listener = listener.name, address = %added[index].server.local(), "listener added");
                self.listeners.push(added.swap_remove(index));
                continue;
            }
            let old = before.iter().position(|r| r.config.bind == listener.bind);
            let old = old.map(|index| before.swap_remove(index));
            match self.change(old, listener, settings).await {
                Ok(running) => self.listeners.push(running),
                Err(error) => failed = Some(error),
            }
        }
        // What is left has another address now, or is gone.
        for old in before {
            old.server.stop_accepting();
            self.earlier.push(Arc::clone(old.server.listener()));
        }
        self.settle_earlier(&new);
        self.process.hub.set_max_sessions(new.sessions);
        self.config = new;
        failed.map_or(Ok(()), Err)
    }

    /// Listeners that accept nothing any more have the limits and permissions of their name, or are drained when it is gone.
    fn settle_earlier(&mut self, new: &Config) {
        self.earlier
            .retain(|earlier| Arc::strong_count(earlier) > 1);
        for earlier in &self.earlier {
            let namesake = new.listeners.iter().find(|l| l.name == earlier.name());
            match namesake {
                Some(listener) => {
                    earlier.reconfigure(listener.limits.clone(), listener.permissions.compile())
                }
                None => {
                    info!(listener = earlier.name(), "listener removed");
                    self.drain_sessions(|session| Arc::ptr_eq(session.listener(), earlier));
                }
            }
        }
    }

    /// Takes over a running listener: in place where only limits, permissions, certificates or PROXY networks differ, by
    /// binding anew where the protocol is to be spoken differently. Open sessions go on either way.
    async fn change(
        &mut self,
        old: Option<Running>,
        listener: &ListenerConfig,
        settings: ServerSettings,
    ) -> anyhow::Result<Running> {
        match old {
            Some(old) if old.config.is_same_front_end(listener) => {
                old.server.reconfigure(settings);
                let permissions = listener.permissions.compile();
                old.server
                    .listener()
                    .reconfigure(listener.limits.clone(), permissions);
                Ok(Running {
                    config: listener.clone(),
                    server: old.server,
                })
            }
            Some(mut old) => {
                old.server.close().await;
                self.earlier.push(Arc::clone(old.server.listener()));
                info!(
                    listener = listener.name,
                    "listener bound anew for new connections"
                );
                self.start_listener(listener.clone())
            }
            None => self.start_listener(listener.clone()),
        }
    }

    /// Stops in order: accepts no more, lets calls in flight finish until the deadline, says goodbye, flushes, closes.
    pub async fn stop(&self) {
        for running in &self.listeners {
            running.server.stop_accepting();
        }
        info!(sessions = self.process.hub.len(), "draining");
        self.drain_sessions(|_| true);
        self.wait_for_sessions(self.config.shutdown_deadline).await;
        let late = self.process.hub.sessions(|_| true);
        if late.is_empty() {
            return;
        }
        warn!(
            sessions = late.len(),
            "the deadline has passed: ending sessions with calls in flight"
        );
        for session in late {
            session.close(CloseReason::Shutdown);
        }
        self.wait_for_sessions(LAST_WORDS).await;
    }

    async fn wait_for_sessions(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        while !self.process.hub.is_empty() && Instant::now() < deadline {
            sleep(DRAIN_CHECK).await;
        }
    }

    /// Tells sessions that their listener drains: they end when they have no call in flight.
    fn drain_sessions(&self, which: impl Fn(&polyport_core::SessionRef) -> bool) {
        for session in self.process.hub.sessions(which) {
            session.listener().drain();
            session.wake();
        }
    }

    fn start_listener(&self, config: ListenerConfig) -> anyhow::Result<Running> {
        let settings = self.settings_for(&config)?;
        let place = Place {
            name: config.name.clone(),
            bind: config.bind.clone(),
            realm: config.realm.clone(),
            join: config.join.clone(),
            rooms: match &config.protocol {
                Protocol::TcpVerbs(verbs) => verbs.rooms.clone(),
                Protocol::WsChannels(_) => Vec::new(),
            },
            limits: config.limits.clone(),
            permissions: config.permissions.compile(),
            server: settings,
        };
        let server = match &config.protocol {
            Protocol::TcpVerbs(verbs) => {
                let reception = self.reception(&config, &protocols::builtin_options(verbs));
                let options = protocols::verbs_options(verbs);
                polyport_tcp_verbs::start(place, &self.process, options, reception)
            }
            Protocol::WsChannels(channels) => {
                let options = protocols::channels_options(channels);
                let reception = self.reception(&config, &builtin::BuiltinOptions::default());
                polyport_ws_channels::start(place, &self.process, options, reception)
            }
        };
        let server = server.with_context(|| format!("listener `{}`", config.name))?;
        Ok(Running { config, server })
    }

    /// Who lets sessions in on a listener and answers their calls.
    fn reception(&self, listener: &ListenerConfig, options: &builtin::BuiltinOptions) -> Reception {
        let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
        for name in &listener.backends {
            // The configuration knows no other backend yet.
            debug_assert_eq!(name, "builtin");
            providers.push(Arc::new(Actions::new(builtin::actions(
                options, &self.node,
            ))));
        }
        let registry = Registry::new(providers, options.documentation_shape);
        Reception::new(Arc::new(registry), None)
    }

    /// PROXY, TLS and keepalive of a listener. Certificates of files that are in use already are looked at again and kept
    /// in the same place, so that they go on being watched.
    fn settings_for(&self, config: &ListenerConfig) -> anyhow::Result<ServerSettings> {
        let in_use = self
            .listeners
            .iter()
            .filter_map(|running| running.server.settings().tls.clone())
            .find(|tls| tls.files() == config.tls);
        let tls = match in_use {
            _ if config.tls.is_empty() => None,
            Some(tls) => {
                tls.reload_if_changed()
                    .with_context(|| format!("listener `{}`: certificate not used", config.name))?;
                Some(tls)
            }
            None => Some(
                TlsAcceptance::load(config.tls.clone())
                    .with_context(|| format!("listener `{}`: certificate not used", config.name))?,
            ),
        };
        Ok(ServerSettings {
            proxy_from: config.proxy_protocol.clone(),
            tls,
            keepalive: match &config.protocol {
                Protocol::TcpVerbs(verbs) => verbs.tcp_keepalive,
                Protocol::WsChannels(_) => false,
            },
        })
    }
}
