//! The link to Redis: found anew, subscribed and looked after for as long as the process lives.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use polyport_core::Hub;
use rand::RngExt;
use redis::{PushInfo, PushKind, RedisError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    backplane::Health,
    deployment::{ConnectError, Found, RESPONSE},
    presence,
    shared::{Incoming, Shared},
    subscriptions::Subscriptions,
};

/// The first pause before another attempt, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);

/// How often both connections are asked for a sign of life.
const PING: Duration = Duration::from_secs(1);

/// Messages that are published in one go.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 1 << 20;

/// Why a link has ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{address}: {error}")]
    Redis { address: String, error: RedisError },
    #[error("{0}: the connection was closed")]
    Closed(String),
    #[error("{0}: no sign of life")]
    Silent(String),
}

/// Keeps the link up, until it is dropped.
pub(crate) async fn run(shared: &Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    let mut is_known = false;
    loop {
        let Some(hub) = shared.hub.upgrade() else {
            return;
        };
        let Err(error) = hold(shared, &hub).await;
        drop(hub);
        let was_up = *shared.health.borrow() == Health::Up;
        give_up(shared);
        if was_up {
            (pause, is_known) = (FIRST_PAUSE, false);
        }
        // Each attempt after the first says the same again.
        if is_known {
            tracing::debug!(%error, "Redis is still out of reach");
        } else {
            warn!(%error, "Redis is out of reach: other nodes do not get what is published here");
        }
        is_known = true;
        // So that the gateways of a cluster do not all come back at once.
        let jitter = rand::rng().random_range(0.5..1.0);
        sleep(pause.mul_f64(jitter)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn give_up(shared: &Shared) {
    shared.health.send_replace(Health::Down);
    shared.changes.end();
    if let Some(records) = &shared.records {
        records.give_up();
    }
    let lost = shared.outgoing.close();
    shared.metrics.published(false, lost);
    shared.metrics.up.set(0);
    shared.metrics.subscriptions.set(0);
}

/// One link, until it breaks.
async fn hold(shared: &Arc<Shared>, hub: &Hub) -> Result<Infallible, LinkError> {
    let found = shared.options.deployment.find().await?;
    let lost = Arc::new(Notify::new());
    let commands = {
        let lost = Arc::clone(&lost);
        found.connect(move |push| note_loss(&push, &lost)).await?
    };
    let listening = {
        let lost = Arc::clone(&lost);
        let hears = hearing(shared);
        found
            .connect(move |push| {
                note_loss(&push, &lost);
                hears(push);
            })
            .await?
    };
    let broken = |error| LinkError::Redis {
        address: found.address.clone(),
        error,
    };
    let subscriptions = Subscriptions::start(shared, hub, listening).await;
    let subscriptions = subscriptions.map_err(broken)?;
    let pinged = [commands.clone(), subscriptions.connection()];
    shared.outgoing.open();
    shared.metrics.up.set(1);
    shared.metrics.links.inc();
    shared.health.send_replace(Health::Up);
    info!(address = found.address, "connected with Redis");
    tokio::select! {
        () = lost.notified() => Err(LinkError::Closed(found.address.clone())),
        broke = publish(shared, commands.clone()) => broke.map_err(broken),
        broke = presence::keep(shared, hub, commands) => broke.map_err(broken),
        broke = subscriptions.follow(hub) => broke.map_err(broken),
        broke = watch_over(pinged, &found) => broke,
    }
}

fn note_loss(push: &PushInfo, lost: &Notify) {
    if push.kind == PushKind::Disconnection {
        lost.notify_one();
    }
}

/// What is done with messages as they arrive.
fn hearing(shared: &Arc<Shared>) -> impl Fn(PushInfo) + Send + Sync + 'static {
    let shared = Arc::downgrade(shared);
    move |push| {
        if let (Some(shared), Some(message)) = (shared.upgrade(), message(push)) {
            shared.arrived(message);
        }
    }
}

fn message(push: PushInfo) -> Option<Incoming> {
    let mut parts = push.data.into_iter().map(|part| match part {
        Value::BulkString(bytes) => Some(Bytes::from(bytes)),
        _ => None,
    });
    let pattern = match push.kind {
        PushKind::Message | PushKind::SMessage => None,
        PushKind::PMessage => Some(parts.next()??),
        _ => return None,
    };
    Some(Incoming {
        is_sharded: push.kind == PushKind::SMessage,
        pattern,
        channel: parts.next()??,
        payload: parts.next()??,
    })
}

/// Publishes what waits, in its order.
async fn publish(
    shared: &Shared,
    mut connection: MultiplexedConnection,
) -> Result<Infallible, RedisError> {
    loop {
        let messages = shared.outgoing.take(BATCH, BATCH_BYTES).await;
        let mut pipeline = redis::Pipeline::with_capacity(messages.len());
        for message in &messages {
            let name = if message.is_sharded {
                "SPUBLISH"
            } else {
                "PUBLISH"
            };
            let command = pipeline.cmd(name);
            command.arg(&message.channel).arg(&message.payload).ignore();
        }
        let published: Result<(), _> = pipeline.query_async(&mut connection).await;
        shared.metrics.published(published.is_ok(), messages.len());
        published?;
    }
}

/// Ends when one of the connections gives no sign of life.
async fn watch_over(
    connections: [MultiplexedConnection; 2],
    found: &Found,
) -> Result<Infallible, LinkError> {
    loop {
        sleep(PING).await;
        for mut connection in connections.clone() {
            let ping = redis::cmd("PING");
            let pinging = ping.query_async::<()>(&mut connection);
            match timeout(RESPONSE, pinging).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if error.is_timeout() => {
                    return Err(LinkError::Silent(found.address.clone()));
                }
                Ok(Err(error)) => return Err(found.error(error).into()),
                Err(_) => return Err(LinkError::Silent(found.address.clone())),
            }
        }
    }
}
