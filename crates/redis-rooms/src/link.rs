//! The link to Redis: found anew, subscribed and looked after for as long as the process lives.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use polyport_core::Hub;
use rand::RngExt;
use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    backplane::Health,
    deployment::{ConnectError, Found, Kind, RESPONSE},
    presence,
    shards::{Cluster, Outlets},
    shared::{Incoming, Outgoing, Shared},
    streams::{self, Streaming},
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
    #[error("{0}: the connection was closed")]
    Closed(String),
    #[error("{0}: no sign of life")]
    Silent(String),
}

/// Keeps the link up, until it is dropped; with or without it, what is published for streams gets to whom it is for here.
pub(crate) async fn run(shared: &Arc<Shared>) {
    if shared.streams.is_empty() {
        return keep_up(shared).await;
    }
    // On one task, so that what is queued by the one and by the other has one order.
    tokio::select! {
        () = keep_up(shared) => {}
        () = streams::deliver_here(shared) => {}
    }
}

async fn keep_up(shared: &Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    let mut is_known = false;
    loop {
        let Some(hub) = shared.hub.upgrade() else {
            return;
        };
        // It holds everything of a link, which is much for a future that others hold.
        let Err(error) = Box::pin(hold(shared, &hub)).await;
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
    shared.counting.end();
    shared.streams.end();
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
    let only_loss = {
        let lost = Arc::clone(&lost);
        move |push: PushInfo| note_loss(&push, &lost)
    };
    let everything = {
        let lost = Arc::clone(&lost);
        let hears = hearing(shared);
        move |push: PushInfo| {
            note_loss(&push, &lost);
            hears(push);
        }
    };
    let commands = found.connect(only_loss.clone()).await?;
    let listening = found.connect(everything.clone()).await?;
    let watched = Watched::default();
    watched.add(&found.address, commands.clone());
    watched.add(&found.address, listening.clone());
    let cluster = cluster(shared, &found, &commands, &watched).await?;
    let (outlets, inlets) = match &cluster {
        Some(cluster) => (
            Some(cluster.outlets(only_loss.clone()).await?),
            Some(cluster.inlets(everything).await?),
        ),
        None => (None, None),
    };
    let subscriptions = Subscriptions::start(shared, hub, &found, listening, inlets).await?;
    let publisher = Publisher {
        found: &found,
        commands: commands.clone(),
        outlets,
    };
    let streaming = if shared.streams.is_empty() {
        None
    } else {
        let reading = found.connect(only_loss).await?;
        Some(Streaming::start(shared, hub, &found, commands.clone(), reading).await?)
    };
    shared.counting.begin(commands.clone());
    shared.outgoing.open();
    shared.metrics.up.set(1);
    shared.metrics.links.inc();
    shared.health.send_replace(Health::Up);
    info!(address = found.address, "connected with Redis");
    tokio::select! {
        () = lost.notified() => Err(LinkError::Closed(found.address.clone())),
        broke = publisher.run(shared) => Ok(broke?),
        broke = presence::keep(shared, hub, commands) => Ok(broke.map_err(|error| found.error(error))?),
        broke = subscriptions.follow(hub) => Ok(broke?),
        broke = follow(streaming, shared) => Ok(broke.map_err(|error| found.error(error))?),
        broke = watched.ask() => broke,
    }
}

/// The nodes of a Cluster, if there is something on sharded channels.
async fn cluster<'a>(
    shared: &'a Shared,
    found: &'a Found,
    commands: &MultiplexedConnection,
    watched: &'a Watched,
) -> Result<Option<Cluster<'a>>, ConnectError> {
    let deployment = &shared.options.deployment;
    if *deployment.kind() != Kind::Cluster || shared.options.sharded.is_none() {
        return Ok(None);
    }
    let cluster = Cluster::find(deployment, found, commands.clone(), watched);
    cluster.await.map(Some)
}

/// Reads and adds to streams, if there are any.
async fn follow(
    streaming: Option<Streaming<'_>>,
    shared: &Shared,
) -> redis::RedisResult<Infallible> {
    match streaming {
        Some(streaming) => streaming.run(shared).await,
        None => std::future::pending().await,
    }
}

fn note_loss(push: &PushInfo, lost: &Notify) {
    if push.kind == PushKind::Disconnection {
        lost.notify_one();
    }
}

/// What is done with messages as they arrive.
fn hearing(shared: &Arc<Shared>) -> impl Fn(PushInfo) + Clone + Send + Sync + 'static {
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
struct Publisher<'a> {
    found: &'a Found,
    commands: MultiplexedConnection,
    /// On a Cluster, the way to sharded channels.
    outlets: Option<Outlets<'a>>,
}

impl Publisher<'_> {
    async fn run(mut self, shared: &Shared) -> Result<Infallible, ConnectError> {
        loop {
            let messages = shared.outgoing.take(BATCH, BATCH_BYTES).await;
            let published = self.publish(&messages).await;
            shared.metrics.published(published.is_ok(), messages.len());
            published?;
        }
    }

    async fn publish(&mut self, messages: &[Outgoing]) -> Result<(), ConnectError> {
        let has_outlets = self.outlets.is_some();
        let is_elsewhere = |message: &&Outgoing| message.is_sharded && has_outlets;
        let here = messages.iter().filter(|message| !is_elsewhere(message));
        let here = publish(self.found, &mut self.commands, here);
        let Some(outlets) = &mut self.outlets else {
            return here.await;
        };
        let elsewhere = messages.iter().filter(is_elsewhere);
        let elsewhere = elsewhere.map(|message| (&*message.channel, &*message.payload));
        tokio::try_join!(here, outlets.publish(elsewhere)).map(drop)
    }
}

async fn publish(
    found: &Found,
    connection: &mut MultiplexedConnection,
    messages: impl Iterator<Item = &Outgoing>,
) -> Result<(), ConnectError> {
    let mut pipeline = redis::Pipeline::new();
    for message in messages {
        let name = if message.is_sharded {
            "SPUBLISH"
        } else {
            "PUBLISH"
        };
        let command = pipeline.cmd(name);
        command.arg(&message.channel).arg(&message.payload).ignore();
    }
    if pipeline.is_empty() {
        return Ok(());
    }
    let published = pipeline.query_async(connection).await;
    published.map_err(|error| found.error(error))
}

/// The connections of a link, with the addresses of their servers.
#[derive(Default)]
pub(crate) struct Watched(Mutex<Vec<(String, MultiplexedConnection)>>);

impl Watched {
    pub(crate) fn add(&self, address: &str, connection: MultiplexedConnection) {
        self.0.lock().push((address.to_owned(), connection));
    }

    /// Ends when one of the connections gives no sign of life.
    async fn ask(&self) -> Result<Infallible, LinkError> {
        loop {
            sleep(PING).await;
            let connections = self.0.lock().clone();
            for (address, mut connection) in connections {
                let ping = redis::cmd("PING");
                let pinging = ping.query_async::<()>(&mut connection);
                match timeout(RESPONSE, pinging).await {
                    Ok(Ok(())) => {}
                    // What a Cluster says of a slot: it was meant for another command, and is a sign of life.
                    Ok(Err(error)) if error.redirect_node().is_some() => {}
                    Ok(Err(error)) if !error.is_timeout() => {
                        return Err(ConnectError::Redis { address, error }.into());
                    }
                    Ok(Err(_)) | Err(_) => return Err(LinkError::Silent(address)),
                }
            }
        }
    }
}
