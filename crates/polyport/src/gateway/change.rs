//! From one configuration to the next: everything that can fail first, and then everything else.

use std::sync::Arc;

use anyhow::Context;
use tracing::info;

use super::{Gateway, NextSettings, Running, prepare_tokens, set_tap_limits};
use crate::{
    backends::Backends,
    config::{Bind, Config, ListenerConfig},
    tokens::Tokens,
    traces::Traces,
};

/// A listener of a new configuration.
struct Next {
    config: ListenerConfig,
    settings: NextSettings,
    /// Nothing where the one that runs goes on.
    started: Option<Running>,
}

impl Gateway {
    /// Changes what runs to what `new` says. Sessions of listeners that stay go on, also when their listener is bound anew;
    /// those of listeners that go are ended in their protocol's way.
    ///
    /// # Errors
    /// When a certificate, key, script or folder cannot be used or an address cannot be bound: then nothing has changed.
    pub fn reload(&mut self, new: Config) -> anyhow::Result<()> {
        let traces = Traces::prepare(new.tracing.as_ref(), &self.surroundings.secrets)?;
        let tokens = prepare_tokens(&self.tokens, &new, &self.surroundings)?;
        let backends = self.backends.prepare(&new.backends, &self.surroundings)?;
        // Listeners are started with what their calls and tokens are to be answered by.
        let tokens = std::mem::replace(&mut self.tokens, tokens);
        let backends = std::mem::replace(&mut self.backends, backends);
        match self.prepare(&new) {
            Ok(next) => {
                self.traces.put_in_force(traces, &self.surroundings);
                self.put_in_force(new, next, &backends);
                Ok(())
            }
            Err(error) => {
                self.restore(tokens, backends);
                Err(error)
            }
        }
    }

    fn restore(&mut self, tokens: Tokens, backends: Backends) {
        self.tokens = tokens;
        self.backends = backends;
        let is_listener = |name: &String| self.config.listeners.iter().any(|l| l.name == *name);
        self.clients.retain(|name, _| is_listener(name));
        self.relays.retain(|name, _| is_listener(name));
    }

    /// Binds what is new. Nobody is let in there yet, and what runs is not touched.
    fn prepare(&mut self, new: &Config) -> anyhow::Result<Vec<Next>> {
        let mut all = Vec::new();
        for config in &new.listeners {
            let settings = self.settings_for(config)?;
            let goes_on = self
                .listeners
                .iter()
                .any(|running| running.config.is_same_front_end(config));
            let started = if goes_on {
                None
            } else {
                Some(self.start_listener(config.clone(), settings.now.clone())?)
            };
            all.push(Next {
                config: config.clone(),
                settings,
                started,
            });
        }
        Ok(all)
    }

    /// From here on nothing can fail.
    fn put_in_force(&mut self, new: Config, next: Vec<Next>, backends_before: &Backends) {
        self.tokens.put_in_force();
        self.backends.put_in_force();
        self.backends.reload_scripts(backends_before);
        let mut before = std::mem::take(&mut self.listeners);
        for next in next {
            if let (Some(tls), Some(fresh)) = (&next.settings.now.tls, next.settings.certificates) {
                tls.replace(fresh);
                info!(listener = next.config.name, "certificates replaced");
            }
            let old = before
                .iter()
                .position(|running| is_same_place(&running.config, &next.config))
                .map(|index| before.swap_remove(index));
            let running = match (next.started, old) {
                (None, Some(old)) => {
                    old.server.reconfigure(next.settings.now);
                    old.server.listener().reconfigure(
                        next.config.limits.clone(),
                        next.config.permissions.compile(),
                    );
                    old.registry.replace(self.providers(&next.config));
                    Running {
                        config: next.config,
                        ..old
                    }
                }
                (Some(started), Some(old)) => {
                    info!(
                        listener = next.config.name,
                        "listener bound anew for new connections"
                    );
                    self.retire(&old);
                    started.server.begin();
                    started
                }
                (Some(started), None) => {
                    info!(listener = next.config.name, address = %started.server.local(), "listener added");
                    started.server.begin();
                    started
                }
                (None, None) => unreachable!("only a listener that runs goes on"),
            };
            self.listeners.push(running);
        }
        // What is left has another address now, or is gone.
        for old in before {
            self.retire(&old);
        }
        self.settle_earlier(&new);
        for running in &self.listeners {
            running.server.note_certificates();
        }
        self.process.hub.set_max_sessions(new.sessions);
        set_tap_limits(&self.process.hub, &new);
        self.config = new;
    }

    /// It accepts nothing any more; its sessions go on.
    fn retire(&mut self, old: &Running) {
        old.server.stop_accepting();
        self.earlier.push(Arc::clone(old.server.listener()));
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

    /// Reads the certificates of all listeners again if their files have changed; the names of the listeners that have got
    /// new ones.
    ///
    /// # Errors
    /// When one cannot be used: then all stay as they are.
    pub fn reload_certificates(&self) -> anyhow::Result<Vec<String>> {
        let mut all = Vec::new();
        for running in &self.listeners {
            let name = &running.config.name;
            let Some(tls) = running.server.settings().tls.clone() else {
                continue;
            };
            let fresh = tls
                .read_if_changed()
                .with_context(|| format!("listener `{name}`: certificate not used"))?;
            all.extend(fresh.map(|fresh| (running, tls, fresh)));
        }
        let replaced = all.into_iter().map(|(running, tls, fresh)| {
            let name = &running.config.name;
            tls.replace(fresh);
            running.server.note_certificates();
            info!(listener = name, "certificates replaced");
            name.clone()
        });
        Ok(replaced.collect())
    }
}

/// Whether a listener has the address of another: of several on any free port, that of its name.
fn is_same_place(running: &ListenerConfig, new: &ListenerConfig) -> bool {
    let is_on_any_port = matches!(&new.bind, Bind::Tcp(address) if address.port() == 0);
    running.bind == new.bind && (!is_on_any_port || running.name == new.name)
}
