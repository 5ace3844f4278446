//! Resolving scripts, and secrets.

use std::path::Path;

use super::{PathKind, Resolver};
use crate::config::{
    locate::Part,
    places::Secret,
    resolved::{BackendConfig, BackendKindConfig, ScriptConfig, SecretConfig},
    settings::{BackendKind, BackendSettings},
};

/// The variable whose secret is made up for the run when it is not set.
const TOKEN_VARIABLE: &str = "POLYPORT_JWT_SECRET";

/// Engines that a machine could have a use for.
const MAX_INSTANCES: usize = 64;

impl Resolver<'_> {
    pub(super) fn backend(
        &mut self,
        name: &str,
        settings: &BackendSettings,
    ) -> Option<BackendConfig> {
        let at = |key: &'static str| ["backends", name, key];
        if name == "builtin" {
            let message = "`builtin` is the name of the actions that are built in";
            self.fault_at(&["backends", name], Part::Key, message);
        }
        self.name("backend", &["backends", name]);
        let Some(kind) = settings.kind else {
            self.fault(&at("kind"), "missing (valid: script)");
            return None;
        };
        let timeout = settings.timeout.unwrap_or_default().0;
        if timeout.is_zero() {
            self.fault(&at("timeout"), "every call needs an end");
        }
        let kind = match kind {
            BackendKind::Script => BackendKindConfig::Script(self.script(name, settings)?),
        };
        Some(BackendConfig {
            name: name.to_owned(),
            timeout,
            queue: settings.queue.unwrap_or_default(),
            kind,
        })
    }

    fn script(&mut self, name: &str, settings: &BackendSettings) -> Option<ScriptConfig> {
        let at = |key: &'static str| ["backends", name, key];
        let Some(file) = &settings.file else {
            self.fault(&at("file"), "missing; the JavaScript file");
            return None;
        };
        let file = self.folder.join(file);
        self.path(&at("file"), &file, PathKind::File);
        let instances = settings.instances.unwrap_or_default();
        if !(1..=MAX_INSTANCES).contains(&instances) {
            let message = format!("expected a number from 1 to {MAX_INSTANCES}");
            self.fault(&at("instances"), message);
        }
        let memory = settings.memory.unwrap_or_default().0;
        if memory < 4 << 20 {
            self.fault(&at("memory"), "an engine needs 4MiB at least");
        }
        let time = settings.time.unwrap_or_default().0;
        if time.is_zero() {
            self.fault(&at("time"), "a script without an end would stop its engine");
        }
        Some(ScriptConfig {
            file,
            instances,
            memory,
            time,
            fetch: settings.fetch.clone().unwrap_or_default(),
            watch: settings.watch.unwrap_or_default(),
        })
    }

    /// A secret's value, or the file that holds it.
    pub(super) fn secret(&mut self, secret: &Secret, setting: &[&str]) -> Option<SecretConfig> {
        match secret {
            Secret::File(path) => {
                let path = self.folder.join(path);
                self.path(setting, &path, PathKind::File);
                Some(SecretConfig::File(path))
            }
            Secret::Env(name) => {
                let value = self.variable(name).filter(|value| !value.is_empty());
                match value {
                    Some(value) => Some(SecretConfig::Value(value.as_bytes().to_vec())),
                    None if name == TOKEN_VARIABLE => Some(SecretConfig::Random),
                    None => {
                        let message = format!("the environment variable {name} is not set");
                        self.fault(setting, message);
                        None
                    }
                }
            }
        }
    }

    /// A file that a setting names, made absolute.
    pub(super) fn file(&mut self, setting: &[&str], path: &Path) -> std::path::PathBuf {
        let path = self.folder.join(path);
        self.path(setting, &path, PathKind::File);
        path
    }
}
