//! From settings as they are written to a [`Config`]: addresses that can be bound, absolute paths, checked names, no option
//! left open. Everything that is wrong is collected, not only the first.

mod access;
mod backends;
mod backplane;
mod devtools;
mod socket_io;
mod tracing;

use std::{
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

use polyport_core::{Limits, Permissions, RealmName, RoomName, trace::ParentTrust};

use super::{
    BUILTIN,
    locate::{KeyPath, Part},
    report::suggestion,
    resolved::{
        Bind, CertificateFiles, ChannelsConfig, Config, ListenerConfig, LogConfig, PermissionRules,
        Protocol, RpcConfig, VerbsConfig,
    },
    settings::{
        ListenerSettings, PermissionSettings, ProtocolName, RpcSettings, Settings,
        TraceparentTrust, VerbsSettings,
    },
    units::{Address, Period},
};
use crate::logging::{self, Filter, Repeats};

/// Stands for "never" where a deadline is switched off: far enough away, and no clock overflows.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A file or folder that the configuration names. Looked at when the gateway starts or is checked, not before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) setting: KeyPath,
    pub(crate) path: PathBuf,
    pub(crate) kind: PathKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathKind {
    File,
    Folder,
}

/// Something wrong with a value that reads well by itself.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) setting: KeyPath,
    pub(crate) part: Part,
    pub(crate) message: String,
}

/// What became of the settings.
pub(crate) struct Resolved {
    pub(crate) config: Config,
    pub(crate) paths: Vec<NamedPath>,
    pub(crate) faults: Vec<Fault>,
    /// The addresses, also of listeners that could not be resolved, with the settings that name them.
    pub(crate) binds: Vec<(KeyPath, Bind)>,
}

/// Resolves settings that are [filled](Settings::filled). Relative paths are relative to `folder`. If there are faults,
/// the configuration is only what could be made of the rest. `variables` is the environment, for secrets.
pub(crate) fn resolve(
    settings: &Settings,
    folder: &Path,
    variables: &[(String, String)],
) -> Resolved {
    let mut resolver = Resolver {
        folder,
        variables,
        paths: Vec::new(),
        faults: Vec::new(),
        binds: Vec::new(),
    };
    let config = resolver.config(settings);
    Resolved {
        config,
        paths: resolver.paths,
        faults: resolver.faults,
        binds: resolver.binds,
    }
}

struct Resolver<'a> {
    folder: &'a Path,
    variables: &'a [(String, String)],
    paths: Vec<NamedPath>,
    faults: Vec<Fault>,
    binds: Vec<(KeyPath, Bind)>,
}

impl Resolver<'_> {
    fn config(&mut self, settings: &Settings) -> Config {
        let filter = match logging::parse_filter(&settings.log.level) {
            Ok(filter) => filter,
            Err(error) => {
                self.fault(
                    &["log", "level"],
                    format!("{error}; write one such as \"info\""),
                );
                Filter::new()
            }
        };
        if settings.log.period.0.is_zero() {
            self.fault(&["log", "period"], "expected a time above 0");
        }
        let admin = settings.admin.as_ref().and_then(|admin| {
            match self.bind(&admin.bind, &["admin", "bind"])? {
                Bind::Tcp(address) => Some(address),
                Bind::Unix(_) => {
                    let message = "expected an address and a port, not a unix socket; write one such as \"127.0.0.1:9900\"";
                    self.fault(&["admin", "bind"], message);
                    None
                }
            }
        });
        if settings.listeners.is_empty() {
            self.fault(
                &["listeners"],
                "no listener is configured; add a [listeners.NAME] table",
            );
        }
        let listeners: Vec<_> = settings
            .listeners
            .iter()
            .filter_map(|(name, listener)| self.listener(name, listener, settings))
            .collect();
        let tokens = settings.tokens.iter();
        let tokens = tokens
            .map(|(name, tokens)| self.tokens(name, tokens))
            .collect();
        let backends = settings.backends.iter();
        let backends = backends
            .filter_map(|(name, backend)| self.backend(name, backend))
            .collect();
        let backplane = self.backplane(&settings.backplane);
        let api = settings.api.as_ref();
        Config {
            log: LogConfig {
                filter,
                format: settings.log.format,
                repeats: Repeats {
                    most: settings.log.repeats,
                    period: settings.log.period.0,
                },
            },
            tracing: self.tracing(&settings.tracing),
            shutdown_deadline: settings.shutdown.deadline.0,
            shutdown_window: settings.shutdown.window.0,
            sessions: settings.limits.sessions,
            admin,
            api: api.map(|api| self.api(api, settings.admin.is_some())),
            tokens,
            backends,
            backplane,
            listeners,
        }
    }

    fn listener(
        &mut self,
        name: &str,
        settings: &ListenerSettings,
        all: &Settings,
    ) -> Option<ListenerConfig> {
        let at = |key: &'static str| ["listeners", name, key];
        self.name(&["listeners", name]);
        if settings.protocol.is_none() {
            let valid = ProtocolName::ALL.map(ProtocolName::name).join(", ");
            self.fault(
                &at("protocol"),
                format!("missing; write protocol = \"…\" (valid: {valid})"),
            );
        }
        let bind = match &settings.bind {
            Some(address) => self.bind(address, &at("bind")),
            None => {
                self.fault(
                    &at("bind"),
                    r#"missing; write an address, such as bind = "127.0.0.1:5000""#,
                );
                None
            }
        };
        let realm = self.checked(RealmName::new(&settings.realm), &at("realm"));
        let join = self.rooms(&settings.join, &at("join"));
        for (index, backend) in settings.backends.iter().enumerate() {
            if backend != BUILTIN && !all.backends.contains_key(backend) {
                let index = index.to_string();
                let configured = all.backends.keys().map(String::as_str);
                let valid: Vec<&str> = [BUILTIN].into_iter().chain(configured).collect();
                let message = format!("unknown backend `{backend}`{}", suggestion(backend, &valid));
                self.fault(&["listeners", name, "backends", &index], message);
            }
        }
        let tls = self.certificates(name, settings);
        let permissions = self.permissions(name, &settings.permissions);
        let auth = settings.auth.as_ref();
        let auth = auth.and_then(|auth| self.auth(name, auth, all));
        let site = self.site(name, &settings.site);
        let protocol = self.protocol(name, settings);
        Some(ListenerConfig {
            name: name.to_owned(),
            bind: bind?,
            realm: realm?,
            join,
            backends: settings.backends.clone(),
            tls,
            proxy_protocol: settings
                .proxy_protocol
                .iter()
                .map(|network| network.0)
                .collect(),
            traceparent: match settings.traceparent {
                TraceparentTrust::Trust => ParentTrust::Trust,
                TraceparentTrust::Ids => ParentTrust::Ids,
                TraceparentTrust::Ignore => ParentTrust::Ignore,
            },
            limits: limits(settings),
            permissions,
            auth,
            site: site?,
            protocol: protocol?,
        })
    }

    fn protocol(&mut self, name: &str, settings: &ListenerSettings) -> Option<Protocol> {
        let protocol = settings.protocol?;
        let tables = [
            ("verbs", ProtocolName::TcpVerbs, settings.verbs.is_some()),
            (
                "channels",
                ProtocolName::WsChannels,
                settings.channels.is_some(),
            ),
            ("rpc", ProtocolName::WsRpc, settings.rpc.is_some()),
            (
                "socket_io",
                ProtocolName::SocketIo,
                settings.socket_io.is_some(),
            ),
            (
                "devtools",
                ProtocolName::DevtoolsRelay,
                settings.devtools.is_some(),
            ),
        ];
        for (table, owner, is_set) in tables {
            if !is_set || owner == protocol {
                continue;
            }
            let message = format!(
                "this table belongs to listeners with protocol = \"{}\", and `{name}` has protocol = \"{}\"; remove it, or write the other protocol",
                owner.name(),
                protocol.name()
            );
            self.fault_at(&["listeners", name, table], Part::Key, message);
        }
        match protocol {
            ProtocolName::TcpVerbs => {
                let verbs = settings.verbs.clone().unwrap_or_default();
                self.verbs(name, &verbs).map(Protocol::TcpVerbs)
            }
            ProtocolName::WsChannels => {
                let channels = settings.channels.clone().unwrap_or_default();
                Some(Protocol::WsChannels(ChannelsConfig {
                    echo: channels.echo,
                    verbose: channels.verbose,
                    relay: channels.relay,
                    refuse_forgeries: channels.refuse_forgeries,
                    ping: (!channels.ping.0.is_zero()).then_some(channels.ping.0),
                }))
            }
            ProtocolName::WsRpc => {
                let RpcSettings {
                    heartbeat,
                    validators,
                    allow_origins,
                    origins,
                } = settings.rpc.clone().unwrap_or_default();
                Some(Protocol::WsRpc(RpcConfig {
                    heartbeat: heartbeat.0,
                    validators,
                    allow_origins,
                    origins,
                }))
            }
            ProtocolName::SocketIo => {
                let socket_io = settings.socket_io.clone().unwrap_or_default();
                let has_auth = settings.auth.is_some();
                let config = self.socket_io(name, socket_io, has_auth);
                config.map(Protocol::SocketIo)
            }
            ProtocolName::DevtoolsRelay => {
                let devtools = settings.devtools.clone().unwrap_or_default();
                let options = self.devtools(name, devtools, settings.auth.is_some());
                options.map(Protocol::DevtoolsRelay)
            }
        }
    }

    fn verbs(&mut self, name: &str, settings: &VerbsSettings) -> Option<VerbsConfig> {
        let at = |key: &'static str| ["listeners", name, "verbs", key];
        let delimiter = match settings.delimiter.as_str() {
            "" => {
                self.fault(
                    &at("delimiter"),
                    r#"may not be empty; write one character, such as "\n""#,
                );
                None
            }
            // The reader takes every CR for LF, so that LF as delimiter is what CR LF means.
            "\r\n" => Some(b'\n'),
            text if text.contains('\r') => {
                let message = r#"may not contain "\r", which clients' lines never keep; write "\n" for lines that end in CR LF"#;
                self.fault(&at("delimiter"), message);
                None
            }
            text => match text.as_bytes() {
                [byte] => Some(*byte),
                _ => {
                    let message = r#"expected one ASCII character; write one, such as "\n" or "|""#;
                    self.fault(&at("delimiter"), message);
                    None
                }
            },
        };
        let default_room = self.checked(RoomName::new(&settings.default_room), &at("default_room"));
        let mut rooms = self.rooms(&settings.rooms, &at("rooms"));
        if let Some(room) = &default_room
            && settings.auto_join
            && !rooms.contains(room)
        {
            rooms.push(room.clone());
        }
        let files: Vec<_> = settings
            .files
            .iter()
            .map(|folder| self.folder.join(folder))
            .collect();
        for (index, folder) in files.iter().enumerate() {
            let index = index.to_string();
            let setting = ["listeners", name, "verbs", "files", &index];
            self.path(&setting, folder, PathKind::Folder);
        }
        let bytes = settings.max_data_length.0;
        Some(VerbsConfig {
            compat: settings.compat,
            switches: settings.switches(),
            welcome: settings.welcome.clone(),
            default_room: default_room?,
            auto_join: settings.auto_join,
            rooms,
            files,
            delimiter: delimiter?,
            max_data_length: (bytes > 0).then_some(bytes),
            tcp_keepalive: settings.tcp_keepalive,
        })
    }

    fn certificates(&mut self, name: &str, settings: &ListenerSettings) -> Vec<CertificateFiles> {
        let many = settings.tls.0.len() > 1;
        let mut certificates = Vec::new();
        for (index, tls) in settings.tls.0.iter().enumerate() {
            let index = index.to_string();
            let files = CertificateFiles {
                cert: self.folder.join(&tls.cert),
                key: self.folder.join(&tls.key),
                names: tls.names.clone(),
            };
            for (key, path) in [("cert", &files.cert), ("key", &files.key)] {
                let setting: &[&str] = if many {
                    &["listeners", name, "tls", &index, key]
                } else {
                    &["listeners", name, "tls", key]
                };
                self.path(setting, path, PathKind::File);
            }
            certificates.push(files);
        }
        certificates
    }

    fn permissions(&mut self, name: &str, settings: &PermissionSettings) -> PermissionRules {
        let publish_unjoined = settings.publish_unjoined.clone().unwrap_or_default();
        let lists = [
            ("join", &settings.join),
            ("publish", &settings.publish),
            ("publish_unjoined", &publish_unjoined),
            ("call", &settings.call),
        ];
        for (key, patterns) in lists {
            self.patterns(patterns, &["listeners", name, "permissions", key]);
        }
        PermissionRules {
            join: settings.join.clone(),
            publish: settings.publish.clone(),
            publish_unjoined,
            call: settings.call.clone(),
        }
    }

    fn patterns(&mut self, patterns: &[String], setting: &[&str]) {
        for (index, pattern) in patterns.iter().enumerate() {
            if let Err(error) = Permissions::new(std::slice::from_ref(pattern), &[], &[]) {
                let index = index.to_string();
                let setting: Vec<&str> = setting.iter().copied().chain([index.as_str()]).collect();
                self.fault(
                    &setting,
                    format!("{error}; write a pattern such as \"chat*\" or \"[a-z]*\""),
                );
            }
        }
    }

    /// Names stand in logs, metrics and environment variables.
    fn name(&mut self, setting: &[&str]) {
        let name = setting.last().copied().unwrap_or_default();
        let well_named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(well_named) {
            let message = format!(
                "this name has other characters than letters, digits, `-` and `_`; write one such as [{}]",
                example_name(setting)
            );
            self.fault_at(setting, Part::Key, message);
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn rooms(&mut self, names: &[String], setting: &[&str]) -> Vec<RoomName> {
        let mut rooms = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let index = index.to_string();
            let setting: Vec<&str> = setting.iter().copied().chain([index.as_str()]).collect();
            let room = self.checked(RoomName::new(name), &setting);
            rooms.extend(room);
        }
        rooms
    }

    fn bind(&mut self, address: &Address, setting: &[&str]) -> Option<Bind> {
        let bind = match address {
            Address::Unix(path) => Bind::Unix(self.folder.join(path)),
            Address::Tcp { host, port } => match look_up(host, *port) {
                Ok(address) => Bind::Tcp(address),
                Err(error) => {
                    let message = match host.as_str() {
                        "*" => format!(
                            "`*` is no host; write \"0.0.0.0:{port}\" for all of IPv4, \"[::]:{port}\" for all of IPv6"
                        ),
                        _ => format!(
                            "the host `{host}` has no address ({error}); write one of this machine's addresses"
                        ),
                    };
                    self.fault(setting, message);
                    return None;
                }
            },
        };
        self.binds.push((keys(setting), bind.clone()));
        Some(bind)
    }

    fn path(&mut self, setting: &[&str], path: &Path, kind: PathKind) {
        self.paths.push(NamedPath {
            setting: keys(setting),
            path: path.to_owned(),
            kind,
        });
    }

    fn checked<T, E: fmt::Display>(&mut self, result: Result<T, E>, setting: &[&str]) -> Option<T> {
        result
            .map_err(|error| self.fault(setting, format!("{error}; write another name")))
            .ok()
    }

    fn fault(&mut self, setting: &[&str], message: impl Into<String>) {
        self.fault_at(setting, Part::Value, message);
    }

    fn fault_at(&mut self, setting: &[&str], part: Part, message: impl Into<String>) {
        self.faults.push(Fault {
            setting: keys(setting),
            part,
            message: message.into(),
        });
    }
}

/// Addresses that cannot be bound at the same time: the later one with its setting, and the setting of the earlier one.
pub(crate) fn collisions(binds: &[(KeyPath, Bind)]) -> Vec<(&KeyPath, &Bind, &KeyPath)> {
    let earlier = |index: usize, bind: &Bind| {
        let found = binds[..index]
            .iter()
            .find(|(_, other)| collide(bind, other));
        found.map(|(setting, _)| setting)
    };
    binds
        .iter()
        .enumerate()
        .filter_map(|(index, (setting, bind))| Some((setting, bind, earlier(index, bind)?)))
        .collect()
}

fn collide(one: &Bind, other: &Bind) -> bool {
    match (one, other) {
        (Bind::Unix(one), Bind::Unix(other)) => one == other,
        (Bind::Tcp(one), Bind::Tcp(other)) => {
            let overlap = one.ip() == other.ip()
                || (one.is_ipv4() == other.is_ipv4()
                    && (one.ip().is_unspecified() || other.ip().is_unspecified()));
            one.port() != 0 && one.port() == other.port() && overlap
        }
        _ => false,
    }
}

/// The table at `setting` with a name that can be had.
fn example_name(setting: &[&str]) -> String {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let (name, around) = setting.split_last().unwrap_or((&"", &[]));
    let kept: String = name
        .chars()
        .map(|c| if is_good(c) { c } else { '-' })
        .collect();
    let name = if kept.is_empty() {
        "NAME"
    } else {
        kept.as_str()
    };
    format!("{}.{name}", around.join("."))
}

fn keys(setting: &[&str]) -> KeyPath {
    setting.iter().map(|key| (*key).to_owned()).collect()
}

/// The first address of a host, IPv4 before IPv6, because that is what people who write `localhost` expect.
fn look_up(host: &str, port: u16) -> io::Result<SocketAddr> {
    (host, port)
        .to_socket_addrs()?
        .min_by_key(SocketAddr::is_ipv6)
        .ok_or_else(|| io::Error::other("no address found"))
}

fn limits(settings: &ListenerSettings) -> Limits {
    let limits = &settings.limits;
    let count = |bound: usize| if bound == 0 { usize::MAX } else { bound };
    let time = |bound: Period| if bound.0.is_zero() { NEVER } else { bound.0 };
    Limits {
        sessions: limits.sessions,
        sessions_per_address: limits.sessions_per_address,
        message: count(limits.message.unwrap_or_default().0),
        outbox: count(limits.outbox.unwrap_or_default().0),
        calls_in_flight: count(limits.calls_in_flight.unwrap_or_default()),
        rooms_per_session: count(limits.rooms_per_session),
        params_per_session: count(limits.params_per_session),
        params_bytes: count(limits.params_bytes.0),
        handshake: time(limits.handshake),
        idle: limits.idle.0,
        write: time(limits.write),
        call: time(limits.call.unwrap_or_default()),
    }
}
