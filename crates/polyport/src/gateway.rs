//! The listeners that run. How a new configuration changes them is in `change`, how they stop in `stop`.

mod change;
mod stop;

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context;
use polyport_admin::{ApiKeys, BoundListener, KeyOptions, KnownBackend, Standing};
use polyport_backends::{Actions, Node, Provider, Registry, builtin};
use polyport_core::{Authentication, Backend, Hub, Listener, Millis, Reception, SessionId};
use polyport_devtools_relay::Relay;
use polyport_net::{
    Bind, Deadlines, FlushTasks, FreshCertificates, HttpClient, HttpClientOptions, Place, Process,
    Server, ServerSettings, Sockets, Tasks, TlsAcceptance, Transportation,
};
use polyport_redis_rooms::RedisRooms;
use polyport_socket_io::Clients;
use tokio::{runtime::Handle, time::MissedTickBehavior};

use crate::{
    backends::{Backends, Surroundings},
    backplane,
    config::{BUILTIN, Config, ListenerConfig, Protocol},
    protocols,
    secrets::Secrets,
    tokens::{self, Tokens},
    traces::Traces,
};

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

/// What lies before the protocol of a listener, and certificates that take the place of those in use when the configuration
/// is put in force.
struct NextSettings {
    now: ServerSettings,
    certificates: Option<FreshCertificates>,
}

impl Gateway {
    /// Binds every listener of `config`, on the sockets that were handed over or on its own, and before them finds the way to
    /// other nodes, for which it waits a moment. Nobody is let in before [`Gateway::begin`]. Call inside a runtime.
    ///
    /// # Errors
    /// The first listener that cannot be started, with its name and the reason; none is left bound then.
    pub async fn start(config: Config, sockets: Sockets) -> anyhow::Result<Self> {
        let tasks = Tasks::new();
        let pool = FlushTasks::new(Handle::current(), tasks.clone());
        let hub = Hub::new(config.sessions, Some(Arc::new(pool)));
        let process = Process {
            hub,
            transportation: Transportation {
                deadlines: Deadlines::start(&tasks),
                tasks,
                sockets,
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
            let settings = gateway.settings_for(&listener)?;
            let running = gateway.start_listener(listener, settings.now)?;
            gateway.listeners.push(running);
        }
        Ok(gateway)
    }

    /// Lets clients in.
    pub fn begin(&self) {
        for running in &self.listeners {
            running.server.begin();
        }
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

    /// The listening sockets.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.process.transportation.sockets
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

    /// Binds a listener, which lets nobody in yet.
    fn start_listener(
        &mut self,
        config: ListenerConfig,
        settings: ServerSettings,
    ) -> anyhow::Result<Running> {
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
    fn settings_for(&self, config: &ListenerConfig) -> anyhow::Result<NextSettings> {
        let not_used = || format!("listener `{}`: certificate not used", config.name);
        let in_use = self
            .listeners
            .iter()
            .filter_map(|running| running.server.settings().tls.clone())
            .find(|tls| tls.files() == config.tls);
        let mut certificates = None;
        let tls = match in_use {
            _ if config.tls.is_empty() => None,
            Some(tls) => {
                certificates = tls.read_if_changed().with_context(not_used)?;
                Some(tls)
            }
            None => Some(TlsAcceptance::load(config.tls.clone()).with_context(not_used)?),
        };
        let keepalive = match &config.protocol {
            Protocol::TcpVerbs(verbs) => verbs.tcp_keepalive,
            Protocol::WsChannels(_) | Protocol::WsRpc(_) | Protocol::SocketIo(_) => false,
            // Clients may be silent for long: the system finds out which of them are gone.
            Protocol::DevtoolsRelay(_) => true,
        };
        Ok(NextSettings {
            now: ServerSettings {
                proxy_from: config.proxy_protocol.clone(),
                tls,
                keepalive,
                traceparent: config.traceparent,
            },
            certificates,
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
