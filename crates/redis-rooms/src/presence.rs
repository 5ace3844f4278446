//! The records: what each node of a cluster writes down about its sessions, and reads of the others'.
//!
//! Nodes do not ask each other who is there. Each one writes what it has under keys of its own (`keys`), follows what changes
//! (`changes`, `writer`), and renews every third of its time to live the key that says that it is alive. Whoever wants to know
//! (`reader`) looks at the records of the nodes whose key is there. So a node that dies is forgotten when its time to live is
//! over, without anybody doing anything, and later its records expire too.

mod changes;
mod keys;
mod reader;
mod writer;
mod written;

use std::{convert::Infallible, sync::Arc, time::Duration};

use parking_lot::Mutex;
use polyport_core::{Hub, RealmName, RoomName, SessionId};
use redis::{RedisError, aio::MultiplexedConnection};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    connection::Connection,
    deployment::{Deployment, Kind},
    shared::Shared,
};
use changes::{Change, Changes};
use keys::{Keys, NodeKeys};
use writer::Writer;
use written::Written;

/// Records that are not renewed outlive their node by so many times its time to live.
const KEPT: u32 = 20;

/// The pause before another attempt to reach the nodes of a Redis Cluster.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a node that stops may take to remove its records.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a node needs for its records and those of others.
pub(crate) struct Records {
    node: Arc<str>,
    keys: Keys,
    own: NodeKeys,
    time_to_live: Duration,
    changes: Changes,
    connection: Mutex<Option<Connection>>,
    /// The other nodes as of the last beat, alive or not.
    others: Mutex<Vec<Arc<str>>>,
    written: Mutex<Written>,
    /// Until then other nodes may not have written again what Redis has lost.
    doubtful: Mutex<Option<Instant>>,
    /// Held by whoever writes.
    writing: tokio::sync::Mutex<()>,
    leaving: CancellationToken,
}

impl Records {
    pub(crate) fn new(node: Arc<str>, cluster: &str, time_to_live: Duration) -> Self {
        let keys = Keys::new(cluster);
        Self {
            own: keys.of(&node),
            node,
            keys,
            time_to_live,
            changes: Changes::default(),
            connection: Mutex::default(),
            others: Mutex::default(),
            written: Mutex::default(),
            doubtful: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            leaving: CancellationToken::new(),
        }
    }

    pub(crate) fn membership_changed(&self, realm: &RealmName, room: &RoomName, id: SessionId) {
        let member = Change::Member(realm.clone(), room.clone(), id);
        self.changes.add([member, Change::Session(id)]);
    }

    pub(crate) fn session_changed(&self, id: SessionId) {
        self.changes.add([Change::Identity(id)]);
    }

    /// Nobody reads or writes until the link is back.
    pub(crate) fn give_up(&self) {
        self.changes.end();
        *self.connection.lock() = None;
    }

    fn is_doubtful(&self) -> bool {
        let until = *self.doubtful.lock();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn beat_every(&self) -> Duration {
        self.time_to_live / 3
    }

    fn kept(&self) -> Duration {
        self.time_to_live * KEPT
    }

    async fn connect(
        &self,
        deployment: &Deployment,
        commands: MultiplexedConnection,
    ) -> Connection {
        if *deployment.kind() != Kind::Cluster {
            return Connection::Single(commands);
        }
        let mut is_known = false;
        loop {
            match Connection::with_cluster(deployment).await {
                Ok(connection) => return connection,
                Err(error) if is_known => debug!(%error, "the records are still out of reach"),
                Err(error) => {
                    warn!(%error, "the records are out of reach: other nodes do not see who is here");
                }
            }
            is_known = true;
            sleep(PAUSE).await;
        }
    }

    /// Removes what this node has written, as far as there is time, and writes nothing any more.
    pub(crate) async fn leave(&self) {
        self.leaving.cancel();
        self.changes.end();
        let connection = self.connection.lock().take();
        let Some(connection) = connection else {
            return;
        };
        let removing = async {
            let _writing = self.writing.lock().await;
            writer::remove_all(self, connection).await
        };
        match timeout(FAREWELL, removing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "the records of this node are left to expire"),
            Err(_) => debug!("the records of this node are left to expire: there is no time"),
        }
    }
}

/// Keeps this node's records for as long as a link lives. Ends when the link has to.
pub(crate) async fn keep(
    shared: &Shared,
    hub: &Hub,
    commands: MultiplexedConnection,
) -> Result<Infallible, RedisError> {
    let Some(records) = &shared.records else {
        return std::future::pending().await;
    };
    let connection = records.connect(&shared.options.deployment, commands).await;
    *records.connection.lock() = Some(connection.clone());
    let writer = Writer::new(records, &shared.metrics, hub, connection);
    let left = {
        let _writing = records.writing.lock().await;
        records.leaving.run_until_cancelled(writer.run()).await
    };
    match left {
        Some(ended) => ended,
        None => std::future::pending().await,
    }
}
