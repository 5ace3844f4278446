//! Resolving the backplane.

use std::time::Duration;

use polyport_core::RealmName;
use polyport_redis_rooms::Deployment;

use super::Resolver;
use crate::config::{
    locate::Part,
    places::Secret,
    resolved::{RedisConfig, RedisLogin},
    settings::{BackplaneEngine, BackplaneSettings, RedisAdapter, RedisDeployment},
};

/// The bounds of a node's time to live.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);
const LONGEST_LIFE: Duration = Duration::from_mins(10);

/// The bounds of streams.
const SHORTEST_STREAM: usize = 100;
const MOST_STREAMS: usize = 16;

impl Resolver<'_> {
    /// What Redis is used for, if it is.
    pub(super) fn backplane(&mut self, settings: &BackplaneSettings) -> Option<RedisConfig> {
        let at = |key: &'static str| ["backplane", key];
        let urls = self.redis_urls(&settings.url.0);
        let keys = self.cluster_keys(settings);
        if settings.deployment == RedisDeployment::Cluster && settings.database != 0 {
            self.fault(
                &at("database"),
                "a Redis Cluster has only the database 0; write 0, or remove the line",
            );
        }
        if settings.database < 0 {
            self.fault(
                &at("database"),
                "no database has a number below 0; write 0 or more",
            );
        }
        if settings.queue.0 < 1 << 16 {
            self.fault(
                &at("queue"),
                "too small for what waits for Redis; write \"64KiB\" or more",
            );
        }
        if !(SHORTEST_LIFE..=LONGEST_LIFE).contains(&settings.time_to_live.0) {
            self.fault(
                &at("time_to_live"),
                "out of bounds; write a time from \"1s\" to \"10m\"",
            );
        }
        let tls = settings.tls.clone().unwrap_or_default();
        let mut file = |key: &'static str, path: Option<std::path::PathBuf>| {
            path.map(|path| self.file(&["backplane", "tls", key], &path))
        };
        let (ca, cert, key) = (
            file("ca", tls.ca),
            file("cert", tls.cert),
            file("key", tls.key),
        );
        if cert.is_some() != key.is_some() {
            let missing = if key.is_none() { "key" } else { "cert" };
            let message =
                format!("a certificate goes with its key; write {missing} = \"PATH\" too");
            self.fault(&["backplane", "tls"], message);
        }
        let adapters = &settings.socket_io.adapters;
        self.adapters(settings);
        let login = self.redis_login(
            "password",
            settings.user.as_ref(),
            settings.password.as_ref(),
        );
        let sentinel_login = self.redis_login(
            "sentinel_password",
            settings.sentinel_user.as_ref(),
            settings.sentinel_password.as_ref(),
        );
        self.streams(settings);
        let has_streams = settings.engine == BackplaneEngine::RedisStreams;
        (settings.engine != BackplaneEngine::Memory).then(|| RedisConfig {
            urls,
            deployment: settings.deployment,
            primary: settings.primary.clone(),
            login,
            sentinel_login,
            database: settings.database,
            ca,
            identity: cert.zip(key),
            on_outage: settings.on_outage,
            queue: settings.queue.0,
            time_to_live: settings.presence.then_some(settings.time_to_live.0),
            keys,
            classic: adapters.contains(&RedisAdapter::Classic),
            sharded: adapters.iter().find_map(|adapter| match adapter {
                RedisAdapter::Classic => None,
                RedisAdapter::Sharded => Some(true),
                RedisAdapter::ShardedStatic => Some(false),
            }),
            streams: has_streams.then_some((settings.streams.length, settings.streams.count)),
            session_prefix: settings.streams.session_prefix.clone(),
            wire: settings.socket_io.wire,
            ancient: settings.socket_io.ancient,
            ancient_servers: settings.socket_io.ancient_servers,
            legacy_sync: settings.socket_io.legacy_sync,
            expose: settings.socket_io.expose,
            server_side_ack: settings.socket_io.server_side_ack,
        })
    }

    fn adapters(&mut self, settings: &BackplaneSettings) {
        let adapters = &settings.socket_io.adapters;
        let at = ["backplane", "socket_io", "adapters"];
        if adapters.is_empty() {
            self.fault(
                &at,
                "no server would be heard; write one at least, such as [\"classic\"]",
            );
        }
        let is_sharded = |adapter: &&RedisAdapter| **adapter != RedisAdapter::Classic;
        if adapters.iter().filter(is_sharded).count() > 1 {
            let message = "all servers with the sharded adapter have one subscriptionMode; write one of the two";
            self.fault(&at, message);
        }
    }

    fn streams(&mut self, settings: &BackplaneSettings) {
        let streams = &settings.streams;
        if streams.length < SHORTEST_STREAM {
            let message = format!("too short to come back to; write {SHORTEST_STREAM} or more");
            self.fault(&["backplane", "streams", "length"], message);
        }
        if !(1..=MOST_STREAMS).contains(&streams.count) {
            let message = format!("out of bounds; write a number from 1 to {MOST_STREAMS}");
            self.fault(&["backplane", "streams", "count"], message);
        }
        if streams.session_prefix.is_empty() {
            let message =
                "any key could be taken for a session's; write a text such as \"sio:session:\"";
            self.fault(&["backplane", "streams", "session_prefix"], message);
        }
        let names_others = settings.socket_io.adapters != [RedisAdapter::Classic];
        if settings.engine == BackplaneEngine::RedisStreams && names_others {
            let message = "the engine `redis-streams` is for servers with the streams adapter alone; remove this, or write engine = \"redis\"";
            self.fault(&["backplane", "socket_io", "adapters"], message);
        }
    }

    fn redis_urls(&mut self, urls: &[String]) -> Vec<String> {
        if urls.is_empty() {
            self.fault(
                &["backplane", "url"],
                "there is no address; write one at least, such as \"redis://127.0.0.1:6379\"",
            );
        }
        for (index, url) in urls.iter().enumerate() {
            if let Err(error) = Deployment::check_url(url) {
                let index = index.to_string();
                let setting: &[&str] = match urls {
                    [_] => &["backplane", "url"],
                    _ => &["backplane", "url", &index],
                };
                self.fault(
                    setting,
                    error.to_string().replacen(": expected", "; write", 1),
                );
            }
        }
        urls.to_vec()
    }

    fn cluster_keys(&mut self, settings: &BackplaneSettings) -> Vec<(RealmName, String)> {
        let mut keys: Vec<(RealmName, String)> = Vec::new();
        for (realm, key) in &settings.keys {
            let setting = ["backplane", "keys", realm];
            if realm.contains('/') {
                let message = "what follows the slash is a namespace, which has the key of its realm; write the realm alone";
                self.fault_at(&setting, Part::Key, message.to_owned());
            }
            if key.is_empty() {
                self.fault(
                    &setting,
                    "a key may not be empty; write one such as \"socket.io\"",
                );
            }
            if keys.iter().any(|(_, other)| other == key) {
                let message =
                    "another realm has this key, and realms never touch; write a key of its own";
                self.fault(&setting, message);
            }
            let realm = self.checked(RealmName::new(realm), &setting);
            keys.extend(realm.map(|realm| (realm, key.clone())));
        }
        keys
    }

    fn redis_login(
        &mut self,
        key: &'static str,
        user: Option<&String>,
        password: Option<&Secret>,
    ) -> RedisLogin {
        RedisLogin {
            user: user.cloned(),
            password: password.and_then(|secret| self.secret(secret, &["backplane", key])),
        }
    }
}
