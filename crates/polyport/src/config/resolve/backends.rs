//! Resolving scripts and services.

use std::path::Path;

use polyport_core::Permissions;

use super::{PathKind, Resolver};
use crate::config::{
    locate::Part,
    places::Secret,
    resolved::{
        BackendConfig, BackendKindConfig, HttpConfig, RouteConfig, ScriptConfig, SecretConfig,
    },
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
            let message =
                "`builtin` is the name of the actions that are built in; write another name";
            self.fault_at(&["backends", name], Part::Key, message);
        }
        self.name(&["backends", name]);
        let Some(kind) = settings.kind else {
            self.fault(
                &at("kind"),
                "missing; write kind = \"…\" (valid: script, http)",
            );
            return None;
        };
        for key in settings.strangers(kind) {
            let message = format!(
                "not a setting of backends with kind = \"{}\"; remove it, or write the other kind",
                kind.name()
            );
            self.fault_at(&["backends", name, key], Part::Key, message);
        }
        let timeout = settings.timeout.unwrap_or_default().0;
        if timeout.is_zero() {
            self.fault(
                &at("timeout"),
                "every call needs an end; write a time such as \"2500ms\"",
            );
        }
        let kind = match kind {
            BackendKind::Script => BackendKindConfig::Script(self.script(name, settings)?),
            BackendKind::Http => BackendKindConfig::Http(self.service(name, settings)?),
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
            self.fault(
                &at("file"),
                "missing; write the path of the JavaScript file, such as file = \"app.js\"",
            );
            return None;
        };
        let file = self.folder.join(file);
        self.path(&at("file"), &file, PathKind::File);
        let instances = settings.instances.unwrap_or_default();
        if !(1..=MAX_INSTANCES).contains(&instances) {
            let message =
                format!("expected a number from 1 to {MAX_INSTANCES}; write 1 if in doubt");
            self.fault(&at("instances"), message);
        }
        let memory = settings.memory.unwrap_or_default().0;
        if memory < 4 << 20 {
            self.fault(
                &at("memory"),
                "too little for an engine; write \"4MiB\" or more",
            );
        }
        let time = settings.time.unwrap_or_default().0;
        if time.is_zero() {
            self.fault(
                &at("time"),
                "a script without an end would stop its engine; write a time such as \"500ms\"",
            );
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

    fn service(&mut self, name: &str, settings: &BackendSettings) -> Option<HttpConfig> {
        let at = |key: &'static str| ["backends", name, key];
        let url = self.service_url(name, settings)?;
        let actions = settings.actions.clone().unwrap_or_default();
        self.patterns(&actions, &at("actions"));
        let mut routes = Vec::new();
        for (pattern, route) in &settings.routes {
            if let Err(error) = Permissions::new(std::slice::from_ref(pattern), &[], &[]) {
                let setting = ["backends", name, "routes", pattern];
                let message = format!("{error}; write a pattern such as \"order*\"");
                self.fault_at(&setting, Part::Key, message);
            }
            routes.push(RouteConfig {
                pattern: pattern.clone(),
                timeout: route.timeout.map(|timeout| timeout.0),
                idempotent: route.idempotent,
            });
        }
        let concurrency = settings.concurrency.unwrap_or_default();
        if concurrency == 0 {
            self.fault(
                &at("concurrency"),
                "nothing would ever be asked; write 1 or more",
            );
        }
        let mut secrets = Vec::new();
        for (index, secret) in settings.secrets.iter().flatten().enumerate() {
            let index = index.to_string();
            secrets.extend(self.secret(secret, &["backends", name, "secrets", &index]));
        }
        let breaker = settings.breaker.clone().unwrap_or_default();
        Some(HttpConfig {
            url,
            actions,
            hooks: settings.hooks.clone().unwrap_or_default(),
            routes,
            concurrency,
            answer: settings.answer.unwrap_or_default().0,
            http2: settings.http2.unwrap_or_default(),
            secrets,
            breaker_failures: breaker.failures,
            breaker_pause: breaker.pause.0,
        })
    }

    fn service_url(&mut self, name: &str, settings: &BackendSettings) -> Option<String> {
        let at = |key: &'static str| ["backends", name, key];
        let expected =
            r#"write an address such as "http://127.0.0.1:7000/polyport" or "unix:/run/app.sock""#;
        let Some(url) = &settings.url else {
            self.fault(&at("url"), format!("missing; {expected}"));
            return None;
        };
        if let Some(socket) = url.strip_prefix("unix:") {
            let path = settings.path.as_deref().unwrap_or("/");
            if socket.is_empty() {
                self.fault(
                    &at("url"),
                    format!("this is no address of a service; {expected}"),
                );
            }
            if !path.starts_with('/') {
                self.fault(
                    &at("path"),
                    "a path begins with `/`; write one such as \"/polyport\"",
                );
            }
            return Some(format!(
                "unix:{}:{path}",
                self.folder.join(socket).display()
            ));
        }
        let host = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            self.fault(
                &at("url"),
                format!("this is no address of a service; {expected}"),
            );
            return None;
        }
        Some(url.clone())
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
                        let message = format!(
                            "the environment variable {name} is not set; set it, or write \"file:PATH\""
                        );
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
