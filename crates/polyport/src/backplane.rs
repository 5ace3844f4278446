//! The backplane of a configuration: what Redis is told of it, and what the process makes of an outage.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use polyport_admin::Readiness;
use polyport_core::Hub;
use polyport_net::Tasks;
use polyport_redis_rooms::{
    Deployment, Expose, Health, Kind, Login, RedisOptions, RedisRooms, Sharding, StreamOptions,
    Tls, codec::Wire,
};
use tokio::time::timeout;
use tracing::warn;

use crate::{
    config::{
        OnOutage, RedisConfig, RedisDeployment, RedisExpose, RedisLogin, RedisWire, ServerSideAck,
    },
    secrets::Secrets,
};

/// How long a start waits for Redis.
const START: Duration = Duration::from_secs(3);

/// Does what the configuration says while other nodes are out of reach, and as long as they are.
pub(crate) fn watch(
    rooms: &RedisRooms,
    on_outage: OnOutage,
    hub: &Arc<Hub>,
    readiness: &Arc<Readiness>,
    tasks: &Tasks,
) {
    let mut health = rooms.health();
    let (hub, readiness) = (Arc::clone(hub), Arc::clone(readiness));
    let stopping = tasks.stopping();
    let watching = async move {
        loop {
            let is_down = *health.borrow_and_update() == Health::Down;
            readiness.set_cut_off(is_down && on_outage != OnOutage::Local);
            hub.set_cut_off(is_down && on_outage == OnOutage::Refuse);
            if health.changed().await.is_err() {
                return;
            }
        }
    };
    tasks.spawn(async move { stopping.run_until_cancelled(watching).await });
}

/// Waits until other nodes are in reach, but not longer than a start may take.
pub(crate) async fn settle(rooms: &RedisRooms) {
    let mut health = rooms.health();
    let is_up = health.wait_for(|health| *health == Health::Up);
    if timeout(START, is_up).await.is_err() {
        warn!("Redis is not reached yet: this node starts by itself");
    }
}

/// Connects the hub with other nodes.
///
/// # Errors
/// When a file or a secret cannot be used.
pub(crate) fn start(
    config: &RedisConfig,
    secrets: &Secrets,
    hub: &Arc<Hub>,
    tasks: &Tasks,
) -> anyhow::Result<Arc<RedisRooms>> {
    let options = options(config, secrets).context("backplane")?;
    Ok(RedisRooms::start(options, hub, tasks))
}

/// Where Redis is and how it lets in.
///
/// # Errors
/// When a file or a secret cannot be used.
pub(crate) fn deployment(config: &RedisConfig, secrets: &Secrets) -> anyhow::Result<Deployment> {
    let kind = match config.deployment {
        RedisDeployment::Single => Kind::Single,
        RedisDeployment::Sentinel => Kind::Sentinel {
            primary: config.primary.clone(),
            login: login(&config.sentinel_login, secrets)?,
        },
        RedisDeployment::Cluster => Kind::Cluster,
    };
    let identity = config.identity.as_ref();
    let tls = Tls {
        authorities: config.ca.as_deref().map(read).transpose()?,
        identity: identity
            .map(|(cert, key)| anyhow::Ok((read(cert)?, read(key)?)))
            .transpose()?,
    };
    let login = Login {
        database: config.database,
        ..login(&config.login, secrets)?
    };
    let urls = config.urls.iter().map(String::as_str);
    Ok(Deployment::new(urls, kind, login, tls)?)
}

fn options(config: &RedisConfig, secrets: &Secrets) -> anyhow::Result<RedisOptions> {
    Ok(RedisOptions {
        deployment: deployment(config, secrets)?,
        keys: config.keys.clone(),
        classic: config.classic,
        sharded: config.sharded.map(|has_rooms| {
            if has_rooms {
                Sharding::Dynamic
            } else {
                Sharding::Static
            }
        }),
        streams: config
            .streams
            .map(|(length, count)| StreamOptions { length, count }),
        session_prefix: config.session_prefix.clone(),
        wire: match config.wire {
            RedisWire::Modern => Wire::Modern,
            RedisWire::Legacy => Wire::Legacy,
        },
        ancient: config.ancient,
        ancient_servers: config.ancient_servers,
        legacy_sync: config.legacy_sync,
        expose: match config.expose {
            RedisExpose::SocketIo => Expose::SocketIo,
            RedisExpose::All => Expose::All,
        },
        server_side_ack: config.server_side_ack == ServerSideAck::Null,
        queue_bytes: config.queue,
        time_to_live: config.time_to_live,
    })
}

fn login(config: &RedisLogin, secrets: &Secrets) -> anyhow::Result<Login> {
    let password = config.password.as_ref();
    let password = password.map(|secret| secrets.load(secret)).transpose()?;
    let password = password.map(String::from_utf8).transpose();
    Ok(Login {
        user: config.user.clone(),
        password: password.context("the password is not UTF-8")?,
        database: 0,
    })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
