//! The configuration: from `gateway.toml`, the environment and the command line to a [`Config`] that can be run.
//!
//! [`settings`] is what may be written, [`resolved`] what the program runs on, [`resolve`] the way between them. [`layers`] merges who said what,
//! [`locate`] knows on which line, [`report`] finds the words for it, [`syntax`] and [`advice`] those for what to write instead. Nothing is bound or opened here, except that
//! [`Inputs::load`] reads the file and [`Loaded::check_paths`] looks at the files that it names.

mod advice;
mod diff;
mod effective;
mod explain;
mod layers;
mod locate;
mod places;
mod report;
mod resolve;
mod resolved;
mod schema;
mod settings;
mod source;
mod strict;
mod syntax;
mod units;
mod verbs;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use layers::{Layer, Layers};
use locate::{Document, KeyPath, Part};
use polyport_admin::ChangedSetting;
use polyport_net::TlsAcceptance;
use resolve::{NamedPath, PathKind, Resolved, collisions};
use syntax::SyntaxError;

pub use explain::{TakesEffect, kind, meaning, table};
pub use places::{ApiKeyHash, ProtocolVersion, Secret, TokenPlace};
pub use report::{Place, Problem, Problems};
pub use resolved::{
    ApiConfig, ApiKeyConfig, AuthConfig, BackendConfig, BackendKindConfig, Bind, CertificateFiles,
    ChannelsConfig, Config, DevtoolsConfig, DevtoolsUser, HttpConfig, JwksConfig, JwksPlace,
    KeyMaterial, ListenerConfig, LogConfig, PermissionRules, Protocol, RedisConfig, RedisLogin,
    RouteConfig, RpcConfig, ScriptConfig, SecretConfig, SocketIoConfig, TokenKeyConfig,
    TokensConfig, TracingConfig, VerbsConfig,
};
pub use schema::json_schema;
pub use settings::{
    AdminSettings, ApiKeySettings, ApiSettings, ApiVerb, AskBackends, AuthSettings, BackendKind,
    BackendSettings, BackplaneEngine, BackplaneSettings, BackplaneSocketIoSettings,
    BackplaneStreamsSettings, BackplaneTlsSettings, BreakerSettings, ChannelsSettings,
    CorsSettings, DevtoolsCodec, DevtoolsRight, DevtoolsSettings, DevtoolsUserSettings, HookName,
    JwksSettings, JwtSettings, JwtWay, LimitSettings, ListenerSettings, LogFormat, LogSettings,
    OnExpiry, OnOutage, PermissionSettings, ProcessLimitSettings, ProtocolName, PublishSettings,
    RedisAdapter, RedisDeployment, RedisExpose, RedisWire, Relay, RouteSettings, RpcSettings,
    ServerSideAck, Settings, ShutdownSettings, SiteSettings, SiteSource, SocketIoParser,
    SocketIoSettings, SocketIoTransport, TapSettings, TlsSettings, TokenAlgorithm,
    TokenKeySettings, TokenSettings, TraceparentTrust, TracingSettings, VerbsSettings,
};
pub use source::SourceFile;
pub use strict::OneOrMany;
pub use units::{Address, ByteSize, Malformed, Network, Period};
pub use verbs::{
    CacheShape, Compat, ErrorPrefix, FileError, MessageCount, MessageId, RoomErrors, Scrub,
    VerbErrorKey, VerbsSwitches,
};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "gateway.toml";

/// The environment variable that names the file, for where no command line can be given.
pub const FILE_VARIABLE: &str = "POLYPORT_CONFIG";

/// The environment variable with a key of the server API that has all rights.
pub const API_KEY_VARIABLE: &str = "POLYPORT_API_KEY";

const PREFIX: &str = "POLYPORT_";

/// The backend that is always there.
pub const BUILTIN: &str = "builtin";

/// Where the configuration comes from. Kept for the life of the process, so that a reload reads the same places again.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The file that the operator named, if any.
    pub file: Option<PathBuf>,
    /// The environment; of it only what begins with `POLYPORT_` counts.
    pub variables: Vec<(String, String)>,
    /// Settings given as options, in order.
    pub options: Vec<SettingOption>,
}

/// A setting given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingOption {
    /// The option as the operator knows it: `--set listeners.tcp.bind`, `--log-level`.
    pub option: String,
    /// The setting, its keys joined by dots.
    pub key: String,
    /// Its value: TOML, or a plain text.
    pub value: String,
}

impl Inputs {
    /// Reads the file and resolves the whole configuration.
    ///
    /// # Errors
    /// [`Problems`] when the file cannot be read or anything in it or in the other layers is wrong.
    pub fn load(&self) -> Result<Loaded, Problems> {
        let file = source::find(self).map_err(|problem| Problems(vec![problem]))?;
        self.load_from(&file)
    }

    /// The same, and looks at the files and folders that the configuration names.
    ///
    /// # Errors
    /// [`Problems`] with those of [`Self::load`] and [`Loaded::check_paths`] together.
    pub fn load_checked(&self) -> Result<Loaded, Problems> {
        let file = source::find(self).map_err(|problem| Problems(vec![problem]))?;
        let (loaded, mut problems) = self.assemble(&file)?;
        problems.extend(loaded.path_problems());
        loaded.unless(problems)
    }

    /// Resolves the configuration with `file` in the place of the file on disk.
    ///
    /// # Errors
    /// [`Problems`] when anything in the file or in the other layers is wrong.
    pub fn load_from(&self, file: &SourceFile) -> Result<Loaded, Problems> {
        let (loaded, problems) = self.assemble(file)?;
        loaded.unless(problems)
    }

    /// What can be made of a file, and what is wrong with it; with what is no TOML, nothing can be made.
    fn assemble(&self, file: &SourceFile) -> Result<(Loaded, Vec<Problem>), Problems> {
        let document = Document::parse(&file.text).map_err(|errors| {
            let problem = |error: SyntaxError| Problem {
                place: Place::File {
                    name: file.name.clone(),
                    position: error.position.map(|at| (at.line, at.column)),
                },
                key: String::new(),
                message: error.message,
            };
            Problems(errors.into_iter().map(problem).collect())
        })?;
        let mut problems = Vec::new();
        let mut layers = Layers::default();
        layers.push(Layer::file(&file.name, file.built_in, document));
        for (name, value) in &self.variables {
            match variable(name) {
                Variable::Foreign => {}
                Variable::Setting(path) => {
                    layers.push(Layer::text(Place::Variable(name.clone()), path, value));
                }
                Variable::Slip(message) => problems.push(Problem {
                    place: Place::Variable(name.clone()),
                    key: String::new(),
                    message,
                }),
            }
        }
        for option in &self.options {
            let path = option.key.split('.').map(str::to_owned).collect();
            layers.push(Layer::text(
                Place::Option(option.option.clone()),
                path,
                &option.value,
            ));
        }
        let (settings, unread) = layers.read();
        problems.extend(unread);
        let resolved = resolve::resolve(&settings.clone().filled(), &file.folder, &self.variables);
        problems.extend(faults(&layers, file, &resolved, &problems));
        let loaded = Loaded {
            config: resolved.config,
            file: file.clone(),
            settings: settings.filled(),
            paths: resolved.paths,
            layers,
        };
        Ok((loaded, problems))
    }

    /// Resolves the configuration as it would be with the file at `path` in the place of the one that `now` was read from.
    ///
    /// # Errors
    /// [`Problems`] when the file cannot be read or anything in it or in the other layers is wrong.
    pub fn load_in_place(&self, now: &Loaded, path: &Path) -> Result<Loaded, Problems> {
        self.load_from(&SourceFile {
            name: path.display().to_string(),
            text: source::read(path).map_err(|problem| Problems(vec![problem]))?,
            folder: now.file.folder.clone(),
            built_in: false,
        })
    }
}

/// What an environment variable is to us.
enum Variable {
    Setting(KeyPath),
    Slip(String),
    Foreign,
}

/// `__` stands between the levels of a setting. A name without it is no setting, and left alone: container platforms put
/// addresses of services named `polyport` there (`POLYPORT_PORT`, `POLYPORT_ADMIN_SERVICE_HOST`). Only what looks like a
/// setting with too few underscores is refused.
fn variable(name: &str) -> Variable {
    const TABLES: [&str; 7] = [
        "LOG_",
        "SHUTDOWN_",
        "LIMITS_",
        "ADMIN_",
        "TOKENS_",
        "BACKENDS_",
        "LISTENERS_",
    ];
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return Variable::Foreign;
    };
    if rest.contains("__") {
        return Variable::Setting(rest.to_lowercase().split("__").map(str::to_owned).collect());
    }
    let service_link = rest.contains("_SERVICE_") || rest.contains("_PORT");
    let table = TABLES.iter().find(|table| rest.starts_with(**table));
    match table {
        Some(table) if !service_link => {
            let fixed = format!(
                "{PREFIX}{}__{}",
                table.trim_end_matches('_'),
                &rest[table.len()..]
            );
            Variable::Slip(format!(
                "no setting; write two underscores between levels, {fixed}"
            ))
        }
        _ => Variable::Foreign,
    }
}

/// Faults of values that read well, but not those that only follow from what is already known.
fn faults(
    layers: &Layers,
    file: &SourceFile,
    resolved: &Resolved,
    known: &[Problem],
) -> Vec<Problem> {
    let follows = |problem: &Problem| {
        let key = &problem.key;
        (key == "listeners" && !known.is_empty())
            || known.iter().any(|known| {
                about_the_same(&known.key, key)
                    || (problem.message.starts_with("missing") && about_the_same(key, &known.key))
            })
    };
    let problem = |setting: &[String], part: Part, message: String| {
        problem_at(layers, file, setting, part, message)
    };
    let faults = resolved
        .faults
        .iter()
        .map(|fault| problem(&fault.setting, fault.part, fault.message.clone()))
        .filter(|problem| !follows(problem));
    let collisions = collisions(&resolved.binds)
        .into_iter()
        .map(|(setting, bind, earlier)| {
            let other = layers.nearest_place(earlier, Part::Value);
            let message = format!(
                "{bind} is taken by {} ({other}); give one of them another port or path",
                earlier.join(".")
            );
            problem(setting, Part::Value, message)
        });
    faults.chain(collisions).collect()
}

/// What is wrong with a setting, at its place or that of the table around it.
fn problem_at(
    layers: &Layers,
    file: &SourceFile,
    setting: &[String],
    part: Part,
    message: String,
) -> Problem {
    Problem {
        place: match layers.nearest_place(setting, part) {
            Place::Default => Place::File {
                name: file.name.clone(),
                position: Some((1, 1)),
            },
            place => place,
        },
        key: setting.join("."),
        message,
    }
}

fn about_the_same(known: &str, key: &str) -> bool {
    !known.is_empty()
        && key
            .strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Puts problems in the order of the file; those of other places follow.
pub(crate) fn in_order(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| order(&problem.place));
}

fn order(place: &Place) -> (u8, Option<(usize, usize)>) {
    match place {
        Place::File { position, .. } => (0, *position),
        Place::Default => (1, None),
        Place::Variable(_) => (2, None),
        Place::Option(_) => (3, None),
    }
}

/// A configuration that reads well, and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What to run.
    pub config: Config,
    /// The file that was read.
    pub file: SourceFile,
    settings: Settings,
    paths: Vec<NamedPath>,
    layers: Layers,
}

impl Loaded {
    /// Looks at the files and folders that the configuration names. A folder that nobody asked for by name (a default's,
    /// or of the configuration that is built in) may be missing.
    ///
    /// # Errors
    /// [`Problems`] with each file that cannot be read and each folder that cannot be listed.
    pub fn check_paths(&self) -> Result<(), Problems> {
        let mut problems = self.path_problems();
        if problems.is_empty() {
            return Ok(());
        }
        in_order(&mut problems);
        Err(Problems(problems))
    }

    fn path_problems(&self) -> Vec<Problem> {
        let mut problems: Vec<_> = self
            .paths
            .iter()
            .filter(|named| named.kind == PathKind::File || self.layers.is_explicit(&named.setting))
            .filter_map(|named| {
                let error = match named.kind {
                    PathKind::File => fs::File::open(&named.path)
                        .and_then(|file| file.metadata())
                        .and_then(|data| match data.is_dir() {
                            true => Err(io::ErrorKind::IsADirectory.into()),
                            false => Ok(()),
                        })
                        .err(),
                    PathKind::Folder => fs::read_dir(&named.path).err(),
                }?;
                Some(Problem {
                    place: self.layers.nearest_place(&named.setting, Part::Value),
                    key: named.setting.join("."),
                    message: format!(
                        "{} cannot be read: {error}; {}",
                        named.path.display(),
                        advice::readable(&error, named.kind == PathKind::Folder)
                    ),
                })
            })
            .collect();
        if problems.is_empty() {
            problems.extend(self.certificate_problems());
        }
        problems
    }

    /// Itself, if nothing is wrong with it.
    fn unless(self, mut problems: Vec<Problem>) -> Result<Self, Problems> {
        if problems.is_empty() {
            return Ok(self);
        }
        in_order(&mut problems);
        Err(Problems(problems))
    }

    /// Certificates that are none, or whose key is another's.
    fn certificate_problems(&self) -> impl Iterator<Item = Problem> {
        let with_tls = self.config.listeners.iter().filter(|l| !l.tls.is_empty());
        with_tls.filter_map(|listener| {
            let error = TlsAcceptance::load(listener.tls.clone()).err()?;
            let setting = ["listeners", &listener.name, "tls"].map(str::to_owned);
            Some(Problem {
                place: self.layers.nearest_place(&setting, Part::Value),
                key: setting.join("."),
                message: format!("{error}; write PEM files, of a certificate and of its own key"),
            })
        })
    }

    /// What is wrong with a setting that reads well.
    pub(crate) fn problem(&self, setting: &[&str], message: String) -> Problem {
        let setting: KeyPath = setting.iter().map(|key| (*key).to_owned()).collect();
        problem_at(&self.layers, &self.file, &setting, Part::Value, message)
    }

    /// The bounds of a listener that are switched off, but for `idle`, which is off by itself: pings find who is gone.
    pub(crate) fn limits_off(&self, listener: &str) -> Vec<&'static str> {
        let limits = self.settings.listeners.get(listener).map(|it| &it.limits);
        limits.map(LimitSettings::off).unwrap_or_default()
    }

    /// The configuration in effect as TOML, each value with where it comes from as a comment.
    #[must_use]
    pub fn effective(&self) -> String {
        effective::print(&self.settings, &self.layers)
    }

    /// What is different in `new`, and when that would take effect.
    #[must_use]
    pub fn difference(&self, new: &Self) -> String {
        diff::print(&self.settings, &new.settings)
    }

    /// What is different in `new`, a setting each.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<ChangedSetting> {
        diff::list(&self.settings, &new.settings)
    }

    /// What the setting `key` means, may be and is, and when a change of it takes effect.
    ///
    /// # Errors
    /// What is wrong with `key`.
    pub fn explain(&self, key: &str) -> Result<String, String> {
        let path: KeyPath = key.split('.').map(str::to_owned).collect();
        explain::explain(&path, &self.settings, &self.layers)
    }
}
