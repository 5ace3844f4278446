//! How many servers listen to a channel.

use std::collections::HashMap;

use parking_lot::Mutex;
use redis::{
    Cmd, ErrorKind, RedisError, RedisResult, Value,
    aio::MultiplexedConnection,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo},
    from_redis_value,
};

use crate::{connection::RETRIES, deployment::Kind, shared::Shared};

/// The connections on which is counted, while the link is up.
#[derive(Default)]
pub(crate) struct Counting {
    commands: Mutex<Option<MultiplexedConnection>>,
    /// On a Cluster each node knows its own connections only. Made when it is needed first.
    cluster: Mutex<Option<ClusterConnection>>,
}

/// What a node answers: the channel, and how many connections listen to it.
type Count = (String, usize);

impl Counting {
    pub(crate) fn begin(&self, commands: MultiplexedConnection) {
        *self.commands.lock() = Some(commands);
    }

    pub(crate) fn end(&self) {
        *self.commands.lock() = None;
        *self.cluster.lock() = None;
    }

    /// Asks with `PUBSUB NUMSUB` or `PUBSUB SHARDNUMSUB`.
    pub(crate) async fn subscribers(
        &self,
        shared: &Shared,
        kind: &'static str,
        channel: &str,
    ) -> RedisResult<usize> {
        let mut question = redis::cmd("PUBSUB");
        question.arg(kind).arg(channel);
        if *shared.options.deployment.kind() == Kind::Cluster {
            return self.on_all_nodes(shared, question).await;
        }
        let commands = self.commands.lock().clone();
        let down = || RedisError::from((ErrorKind::Io, "the link is down"));
        let mut commands = commands.ok_or_else(down)?;
        let (_, count): Count = question.query_async(&mut commands).await?;
        Ok(count)
    }

    async fn on_all_nodes(&self, shared: &Shared, question: Cmd) -> RedisResult<usize> {
        let known = self.cluster.lock().clone();
        let mut cluster = match known {
            Some(cluster) => cluster,
            None => {
                let client = shared.options.deployment.cluster(RETRIES)?;
                client.get_async_connection().await?
            }
        };
        let everywhere = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllNodes, None));
        let counts: Value = cluster.route_command(question, everywhere).await?;
        let counts: HashMap<String, Count> = from_redis_value(counts)?;
        *self.cluster.lock() = Some(cluster);
        Ok(counts.into_values().map(|(_, count)| count).sum())
    }
}
