//! The listeners that run, and how a new configuration changes them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context;
use polyport_admin::{ApiKeys, BoundListener, KeyOptions, KnownBackend, Standing};
use polyport_backends::{Actions, Node, Provider, Registry, builtin};
use polyport_core::{
    Authentication, Backend, CloseReason, Hub, Listener, Millis, Reception, SessionId,
};
use polyport_devtools_relay::Relay;
use polyport_net::{
    Bind, Deadlines, FlushTasks, HttpClient, HttpClientOptions, Inherited, Place, Process, Server,
    ServerSettings, Tasks, TlsAcceptance, Transportation,
};
use polyport_redis_rooms::RedisRooms;
use polyport_socket_io::Clients;
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, sleep},
};
use tracing::{info, warn};

use crate::{
    backends::{Backends, Surroundings},
    backplane,
    config::{BUILTIN, Config, ListenerConfig, Protocol},
    goodbye, protocols,
    secrets::Secrets,
    tokens::{self, Tokens},
    traces::Traces,
};

/// How often the end of the last session is looked for while draining.
const DRAIN_CHECK: Duration = Duration::from_millis(20);

/// What sessions that are cut at the deadline have to take their goodbye.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How often identities are looked at that may have expired.
const EXPIRY_CHECK: Duration = Duration::from_secs(1);

/// Everything that runs.
pub struct Gateway {
    process: Process,
    surroundings: Surroundings,
    backends: Backends,
    tokens: Tokens,
    traces: Traces,
    backplane: Option<Arc<RedisRooms>>,
    listeners: Vec<Running>,
    /// Listeners that were bound anew: they accept nothing any more, but their sessions go on under their name.
    earlier: Vec<Arc<Listener>>,
    /// The clients of Socket.IO listeners by the listeners' names, under which they go on when those are bound anew.
    clients: HashMap<String, Arc<Clients>>,
    /// The relays of DevTools by the names of their listeners, likewise.
    relays: HashMap<String, Arc<Relay>>,
    config: Config,
}

/// Who may use the server API.
pub(crate) struct ApiAccess {
    pub(crate) keys: ApiKeys,
    /// The key that was made up for this run, if there is no other.
    pub(crate) made_up: Option<String>,
}

/// A listener that runs, and the configuration it was started with.
struct Running {
    config: ListenerConfig,
    server: Server,
    /// What answers its calls; its providers are replaced in place.
    registry: Arc<Registry>,
}

impl Gateway {
    /// Starts every listener of `config`, on the sockets that were handed over or on its own, and before them the way to other
    /// nodes, for which it waits a moment. Call inside a runtime.
    ///
    /// # Errors
    /// The first listener that cannot be started, with its name and the reason; none is left running then.
    pub async fn start(config: Config, inherited: Inherited) -> anyhow::Result<Self> {
        let tasks = Tasks::new();
        let pool = FlushTasks::new(Handle::current(), tasks.clone());
        let hub = Hub::new(config.sessions, Some(Arc::new(pool)));
        let process = Process {
            hub,
            transportation: Transportation {
                deadlines: Deadlines::start(&tasks),
                tasks,
                inherited,
            },
        };
        let tasks = process.transportation.tasks.clone();
        let surroundings = Surroundings {
            hub: Arc::clone(&process.hub),
            node: Arc::new(Node::new(SessionId::random().to_string())),
            client: HttpClient::new(HttpClientOptions::default()),
            secrets: Arc::new(Secrets::new()),
            tasks,
        };
        expire_identities(&process);
        set_tap_limits(&process.hub, &config);
        let mut tokens = prepare_tokens(&Tokens::default(), &config, &surroundings)?;
        tokens.put_in_force();
        let mut traces = Traces::default();
        let prepared = Traces::prepare(config.tracing.as_ref(), &surroundings.secrets)?;
        traces.put_in_force(prepared, &surroundings);
        let redis = config.backplane.as_ref();
        let backplane = redis.map(|redis| {
            let Surroundings {
                secrets,
                hub,
                tasks,
                ..
            } = &surroundings;
            backplane::start(redis, secrets, hub, tasks)
        });
        let mut gateway = Self {
            backplane: backplane.transpose()?,
            backends: Backends::default().prepare(&config.backends, &surroundings)?,
            tokens,
            traces,
            process,
            surroundings,
            listeners: Vec::new(),
            earlier: Vec::new(),
            clients: HashMap::new(),
            relays: HashMap::new(),
            config,
        };
        if let Some(rooms) = &gateway.backplane {
            // What its first clients publish reaches everybody.
            backplane::settle(rooms).await;
        }
        for listener in gateway.config.listeners.clone() {
            let running = gateway.start_listener(listener)?;
            gateway.listeners.push(running);
        }
        Ok(gateway)
    }

    /// The keys of the server API of a configuration that serves it, and the one that was made up for this run if there is
    /// no other.
    ///
    /// # Errors
    /// When a key cannot be used.
    pub(crate) fn api_keys(&self, config: &Config) -> anyhow::Result<Option<ApiAccess>> {
        let Some(api) = &config.api else {
            return Ok(None);
        };
        let made_up = &self.surroundings.secrets.api_key;
        let is_made_up = api.keys.is_empty() && api.master_key.is_none();
        let master = api
            .master_key
            .as_ref()
            .or_else(|| is_made_up.then_some(made_up));
        let mut keys: Vec<KeyOptions> = api.keys.iter().map(protocols::key_options).collect();
        if let Some(master) = master {
            keys.push(KeyOptions {
                name: "POLYPORT_API_KEY".to_owned(),
                hash: ApiKeys::hash(master).context("POLYPORT_API_KEY")?,
                ..KeyOptions::default()
            });
        }
        Ok(Some(ApiAccess {
            keys: ApiKeys::new(&keys)?,
            made_up: is_made_up.then(|| made_up.clone()),
        }))
    }

    /// A token that is good for this run, if the secret of tokens was made up for it.
    pub(crate) fn sample_token(&self) -> Option<String> {
        let now = Millis::now().0 / 1000;
        tokens::sample(&self.config.tokens, &self.surroundings.secrets, now)
    }

    /// The hub.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.process.hub
    }

    /// How other nodes are reached, if there are any.
    pub(crate) fn backplane(&self) -> Option<&Arc<RedisRooms>> {
        self.backplane.as_ref()
    }

    /// The owner of all tasks.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.process.transportation.tasks
    }

    /// The sockets that were handed over.
    pub(crate) fn inherited(&self) -> &Inherited {
        &self.process.transportation.inherited
    }

    /// From now on sessions are told goodbye over this time when the gateway stops, whatever the configuration says.
    pub(crate) fn set_shutdown_window(&mut self, window: Duration) {
        self.config.shutdown_window = window;
    }

    /// The longest that [`Gateway::stop`] takes for sessions to end.
    pub(crate) fn longest_stop(&self) -> Duration {
        self.config.shutdown_window + self.config.shutdown_deadline + LAST_WORDS
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

    /// What the admin listener cannot know by itself.
    pub(crate) fn standing(&self) -> Standing {
        let listeners = self.listeners.iter().map(|running| BoundListener {
            name: running.config.name.clone(),
            address: running.server.local().to_string(),
            is_tls: !running.config.tls.is_empty(),
        });
        let backends = self.config.backends.iter().map(|backend| KnownBackend {
            name: backend.name.clone(),
            kind: backend.kind.name(),
        });
        Standing {
            listeners: listeners.collect(),
            backends: backends.collect(),
        }
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
        let traces = Traces::prepare(new.tracing.as_ref(), &self.surroundings.secrets)?;
        let tokens = prepare_tokens(&self.tokens, &new, &self.surroundings)?;
        let backends = self.backends.prepare(&new.backends, &self.surroundings)?;
        let tokens_before = std::mem::replace(&mut self.tokens, tokens);
        let backends_before = std::mem::replace(&mut self.backends, backends);
        let mut added = Vec::new();
        for listener in &new.listeners {
            let is_in_use = |running: &Running| running.config.bind == listener.bind;
            if self.listeners.iter().any(is_in_use) {
                continue;
            }
            match self.start_listener(listener.clone()) {
                Ok(running) => added.push(running),
                Err(error) => {
                    self.tokens = tokens_before;
                    self.backends = backends_before;
                    return Err(error);
                }
            }
        }
        self.traces.put_in_force(traces, &self.surroundings);
        self.tokens.put_in_force();
        self.backends.put_in_force()?;
        self.backends.reload_scripts(&backends_before);
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
        set_tap_limits(&self.process.hub, &new);
        self.config = new;
        failed.map_or(Ok(()), Err)
    }

    /// Listeners that accept nothing any more have the limits and permissions of their name, or are drained when it is gone.
    fn settle_earlier(&mut self, new: &Config) {
        self.earlier
            .retain(|earlier| Arc::strong_count(earlier) > 1);
        let is_listener = |name: &String| new.listeners.iter().any(|l| l.name == *name);
        self.clients.retain(|name, _| is_listener(name));
        self.relays.retain(|name, _| is_listener(name));
        for earlier in &self.earlier {
            let namesake = new.listeners.iter().find(|l| l.name == earlier.name());
            match namesake {
                Some(listener) => {
                    earlier.reconfigure(listener.limits.clone(), listener.permissions.compile())
                }
                None => {
                    earlier.metrics().certificate_ends(None);
                    info!(listener = earlier.name(), "listener removed");
                    earlier.drain();
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
                old.registry.replace(self.providers(listener));
                Ok(Running {
                    config: listener.clone(),
                    ..old
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

    /// Stops in order: accepts no more, says goodbye to sessions evenly over the window, if there is one, lets calls in flight finish until the deadline, says goodbye, flushes, closes.
    pub async fn stop(&self) {
        self.end_sessions().await;
        if let Some(rooms) = &self.backplane {
            rooms.leave().await;
        }
        self.traces.finish().await;
    }

    async fn end_sessions(&self) {
        for running in &self.listeners {
            running.server.stop_accepting();
        }
        info!(sessions = self.process.hub.len(), "draining");
        if !self.config.shutdown_window.is_zero() {
            goodbye::over(self.config.shutdown_window, &self.process.hub).await;
        }
        for listener in self.all_listeners() {
            listener.drain();
        }
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
        while self.has_clients() && Instant::now() < deadline {
            sleep(DRAIN_CHECK).await;
        }
    }

    fn has_clients(&self) -> bool {
        !self.process.hub.is_empty() || self.all_listeners().any(|it| it.has_connections())
    }

    fn all_listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        let running = self.listeners.iter();
        running
            .map(|running| running.server.listener())
            .chain(&self.earlier)
    }

    /// Tells sessions that their listener drains: they end when they have no call in flight.
    fn drain_sessions(&self, which: impl Fn(&polyport_core::SessionRef) -> bool) {
        for session in self.process.hub.sessions(which) {
            session.wake();
        }
    }

    fn start_listener(&mut self, config: ListenerConfig) -> anyhow::Result<Running> {
        let settings = self.settings_for(&config)?;
        let place = Place {
            name: config.name.clone(),
            bind: config.bind.clone(),
            realm: config.realm.clone(),
            join: config.join.clone(),
            rooms: match &config.protocol {
                Protocol::TcpVerbs(verbs) => verbs.rooms.clone(),
                Protocol::WsChannels(_)
                | Protocol::WsRpc(_)
                | Protocol::SocketIo(_)
                | Protocol::DevtoolsRelay(_) => Vec::new(),
            },
            limits: config.limits.clone(),
            permissions: config.permissions.compile(),
            server: settings,
        };
        let options = protocols::builtin_options(&config.protocol);
        let registry = Registry::new(self.providers(&config), options.documentation_shape);
        let registry = Arc::new(registry);
        let authentication = self.authentication(&config);
        let backend = Arc::clone(&registry) as Arc<dyn Backend>;
        let reception = Reception::new(Arc::clone(&backend), authentication);
        let server = match &config.protocol {
            Protocol::TcpVerbs(verbs) => {
                let options = protocols::verbs_options(verbs);
                polyport_tcp_verbs::start(place, &self.process, options, reception)
            }
            Protocol::WsChannels(channels) => {
                let options = protocols::channels_options(channels);
                polyport_ws_channels::start(place, &self.process, options, reception)
            }
            Protocol::WsRpc(rpc) => {
                let options = protocols::rpc_options(rpc);
                polyport_ws_rpc::start(place, &self.process, options, reception)
            }
            Protocol::SocketIo(socket_io) => {
                let options = protocols::socket_io_options(socket_io)
                    .with_context(|| format!("listener `{}`", config.name))?;
                let reception = reception.with_sites(Arc::new(config.site.clone()));
                let clients = self.clients.entry(config.name.clone()).or_default();
                polyport_socket_io::start(place, &self.process, options, reception, clients)
            }
            Protocol::DevtoolsRelay(devtools) => {
                let options = protocols::devtools_options(devtools, &self.surroundings.secrets)
                    .with_context(|| format!("listener `{}`", config.name))?;
                let relay = self.relays.entry(config.name.clone()).or_default();
                let started =
                    polyport_devtools_relay::start(place, &self.process, options, reception, relay);
                Ok(started.with_context(|| format!("listener `{}`", config.name))?)
            }
        };
        let server = server.with_context(|| format!("listener `{}`", config.name))?;
        server.listener().answer_servers(backend);
        Ok(Running {
            config,
            server,
            registry,
        })
    }

    /// What a listener asks of tokens.
    fn authentication(&self, listener: &ListenerConfig) -> Option<Authentication> {
        let sites = Arc::new(listener.site.clone());
        let auth = listener.auth.as_ref()?;
        self.tokens.authentication(auth, &sites)
    }

    /// What answers the calls of a listener, the first first.
    fn providers(&self, listener: &ListenerConfig) -> Vec<Arc<dyn Provider>> {
        let authentication = self.authentication(listener);
        let backends = listener.backends.iter();
        backends
            .filter_map(|name| match name.as_str() {
                BUILTIN => Some(self.builtin(&listener.protocol, authentication.as_ref())),
                name => self.backends.provider(name),
            })
            .collect()
    }

    fn builtin(
        &self,
        protocol: &Protocol,
        authentication: Option<&Authentication>,
    ) -> Arc<dyn Provider> {
        let options = protocols::builtin_options(protocol);
        let mut actions = builtin::actions(&options, &self.surroundings.node);
        if let Some(authentication) = authentication {
            actions.push(builtin::authenticate(Arc::clone(&authentication.verifier)));
        }
        Arc::new(Actions::new(actions))
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
                Protocol::WsChannels(_) | Protocol::WsRpc(_) | Protocol::SocketIo(_) => false,
                // Clients may be silent for long: the system finds out which of them are gone.
                Protocol::DevtoolsRelay(_) => true,
            },
        })
    }
}

fn prepare_tokens(
    tokens: &Tokens,
    config: &Config,
    surroundings: &Surroundings,
) -> anyhow::Result<Tokens> {
    tokens.prepare(
        &config.tokens,
        &surroundings.secrets,
        &surroundings.tasks,
        &surroundings.client,
    )
}

/// What can be watched; without a server API, nobody is there to watch.
fn set_tap_limits(hub: &Hub, config: &Config) {
    if let Some(api) = &config.api {
        hub.set_tap_limits(&api.tap);
    }
}

/// Ends or downgrades sessions whose identity has expired, until the process stops.
fn expire_identities(process: &Process) {
    let tasks = &process.transportation.tasks;
    let stopping = tasks.stopping();
    let hub = Arc::clone(&process.hub);
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(EXPIRY_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ticking = async {
            loop {
                ticks.tick().await;
                hub.expire_identities(Millis::now());
            }
        };
        stopping.run_until_cancelled(ticking).await;
    });
}
