//! `polyport check --strict`: settings that are good for trying things out, and that nobody should serve the world with.

use std::net::SocketAddr;

use polyport_core::trace::ParentTrust;

use crate::{
    config::{
        ApiConfig, BackendKindConfig, Bind, Config, HookName, KeyMaterial, ListenerConfig, Loaded,
        Problem, Protocol, SecretConfig, TokensConfig, in_order,
    },
    secrets::Secrets,
};

/// Bytes that a shared secret has at least, as RFC 7518 demands for HS256.
const SECRET_BYTES: usize = 32;

/// What is to be said of a configuration that is meant to serve the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What makes it unsafe.
    pub refused: Vec<Problem>,
    /// What may be meant so: something outside may make it safe.
    pub doubtful: Vec<Problem>,
}

/// Looks for what is unsafe.
#[must_use]
pub fn find(loaded: &Loaded) -> Findings {
    let mut search = Search {
        loaded,
        findings: Findings::default(),
    };
    search.process();
    for tokens in &loaded.config.tokens {
        search.tokens(tokens);
    }
    for listener in &loaded.config.listeners {
        search.listener(listener);
    }
    let mut findings = search.findings;
    in_order(&mut findings.refused);
    in_order(&mut findings.doubtful);
    findings
}

struct Search<'a> {
    loaded: &'a Loaded,
    findings: Findings,
}

impl Search<'_> {
    fn refuse(&mut self, setting: &[&str], message: impl Into<String>) {
        let problem = self.loaded.problem(setting, message.into());
        self.findings.refused.push(problem);
    }

    fn doubt(&mut self, setting: &[&str], message: impl Into<String>) {
        let problem = self.loaded.problem(setting, message.into());
        self.findings.doubtful.push(problem);
    }

    fn process(&mut self) {
        let Config {
            admin,
            api,
            sessions,
            ..
        } = &self.loaded.config;
        if *sessions == 0 {
            self.refuse(
                &["limits", "sessions"],
                "0 is no bound; give the number of sessions that the machine can take",
            );
        }
        if let Some(address) = admin.filter(is_reachable) {
            let message = format!(
                "{address} can be reached from other machines, and metrics ask nobody who he is; \
                 bind 127.0.0.1:{}",
                address.port()
            );
            self.refuse(&["admin", "bind"], message);
        }
        let is_made_up = |api: &ApiConfig| api.keys.is_empty() && api.master_key.is_none();
        if api.as_ref().is_some_and(is_made_up) {
            self.refuse(
                &["api"],
                "its key is made at each start; set POLYPORT_API_KEY, or add [api.keys.NAME] with a \
                 hash from `polyport api-key`",
            );
        }
    }

    fn tokens(&mut self, tokens: &TokensConfig) {
        for (index, key) in tokens.keys.iter().enumerate() {
            let KeyMaterial::Secret(secret) = &key.material else {
                continue;
            };
            let index = index.to_string();
            let setting = ["tokens", &tokens.name, "keys", &index, "secret"];
            if *secret == SecretConfig::Random {
                self.refuse(
                    &setting,
                    "POLYPORT_JWT_SECRET is not set, so that the secret is made at each start; set it",
                );
                continue;
            }
            match Secrets::new().load(secret) {
                Ok(secret) if secret.len() >= SECRET_BYTES => {}
                Ok(_) => self.refuse(
                    &setting,
                    format!(
                        "the secret has less than {SECRET_BYTES} bytes and can be guessed from a token; \
                         take one of `openssl rand -hex {SECRET_BYTES}`"
                    ),
                ),
                Err(error) => self.refuse(&setting, format!("{error:#}")),
            }
        }
    }

    fn listener(&mut self, listener: &ListenerConfig) {
        let Bind::Tcp(address) = &listener.bind else {
            return;
        };
        if !is_reachable(address) {
            return;
        }
        self.who_comes_in(listener);
        self.origins(listener);
        self.limits(listener);
        if self.loaded.config.tracing.is_some() && listener.traceparent == ParentTrust::Trust {
            self.doubt(
                &["listeners", &listener.name, "traceparent"],
                "whoever comes in decides which traces are kept, whatever tracing.ratio says; leave it out unless all of them are services of yours",
            );
        }
        if listener.tls.is_empty() && listener.proxy_protocol.is_empty() {
            self.doubt(
                &["listeners", &listener.name, "bind"],
                "other machines reach it without TLS; add `tls`, or bind 127.0.0.1 behind a proxy that has it",
            );
        }
    }

    fn who_comes_in(&mut self, listener: &ListenerConfig) {
        let name = listener.name.as_str();
        if let Some(auth) = &listener.auth {
            if !auth.required {
                self.doubt(
                    &["listeners", name, "auth"],
                    "clients without a token come in too; add `required = true` to keep them out",
                );
            }
            return;
        }
        if let Protocol::DevtoolsRelay(devtools) = &listener.protocol
            && !devtools.users.is_empty()
        {
            return;
        }
        let config = &self.loaded.config;
        let guard = config.backends.iter().find(|backend| {
            listener.backends.contains(&backend.name)
                && match &backend.kind {
                    BackendKindConfig::Script(_) => true,
                    BackendKindConfig::Http(http) => http.hooks.contains(&HookName::Open),
                }
        });
        match guard {
            Some(guard) => self.doubt(
                &["listeners", name],
                format!(
                    "without `auth`, only the backend {} can keep clients out",
                    guard.name
                ),
            ),
            None => self.refuse(
                &["listeners", name],
                "everybody comes in from other machines; add `auth = { tokens = \"NAME\", required = true }` and \
                 [tokens.NAME], or bind 127.0.0.1",
            ),
        }
    }

    fn origins(&mut self, listener: &ListenerConfig) {
        let name = listener.name.as_str();
        let is_any = |origins: &[String]| origins.iter().any(|origin| origin == "*");
        match &listener.protocol {
            Protocol::SocketIo(socket_io) if is_any(&socket_io.origins) => self.refuse(
                &["listeners", name, "socket_io", "cors", "origins"],
                ANY_PAGE,
            ),
            Protocol::WsRpc(rpc) => {
                if rpc.origins.is_empty() {
                    self.refuse(&["listeners", name, "rpc", "origins"], ANY_PAGE);
                }
                if rpc.validators && is_any(&rpc.allow_origins) {
                    self.refuse(&["listeners", name, "rpc", "allow_origins"], ANY_PAGE);
                }
            }
            Protocol::DevtoolsRelay(devtools)
                if devtools.options.origins.iter().any(|one| one == "*:*") =>
            {
                self.refuse(
                    &["listeners", name, "devtools", "origins"],
                    "pages of every site may connect; name the hosts that may, such as \"tools.example.com:443\"",
                );
            }
            Protocol::SocketIo(_)
            | Protocol::DevtoolsRelay(_)
            | Protocol::TcpVerbs(_)
            | Protocol::WsChannels(_) => {}
        }
    }

    fn limits(&mut self, listener: &ListenerConfig) {
        for limit in self.loaded.limits_off(&listener.name) {
            self.refuse(
                &["listeners", &listener.name, "limits", limit],
                "0 is no bound; give one, or leave it out for the default",
            );
        }
    }
}

const ANY_PAGE: &str =
    "pages of every site may connect; name those that may, such as \"https://app.example.com\"";

fn is_reachable(address: &SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}
