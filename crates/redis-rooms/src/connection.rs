//! The way to keys, whatever stands there.

use redis::{
    Cmd, FromRedisValue, Pipeline, RedisFuture, RedisResult, RetryMethod, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
};

use crate::deployment::Deployment;

/// A connection for commands.
#[derive(Clone)]
pub(crate) enum Connection {
    /// With the one server that has everything.
    Single(MultiplexedConnection),
    /// With the nodes of a Cluster: it finds the one that has the slot, and finds it again when that moves.
    Cluster {
        /// Tries once, and then knows better where the slot is.
        once: ClusterConnection,
        /// Makes connections that try again and go where the nodes send them.
        again: Box<ClusterClient>,
    },
    /// The same, where nothing may be done twice: whatever fails is left to whoever asked.
    Once(ClusterConnection),
}

/// How often a command is sent again: the bound is the time that it may take.
pub(crate) const RETRIES: u32 = 16;

impl Connection {
    pub(crate) async fn with_cluster(deployment: &Deployment) -> RedisResult<Self> {
        Ok(Self::Cluster {
            once: deployment.cluster(0)?.get_async_connection().await?,
            again: Box::new(deployment.cluster(RETRIES)?),
        })
    }

    pub(crate) async fn query<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> RedisResult<T> {
        match self {
            Self::Single(connection) => pipeline.query_async(connection).await,
            Self::Cluster { once, again } => match pipeline.query_async(once).await {
                Err(error) if !matches!(error.retry_method(), RetryMethod::NoRetry) => {
                    let mut one_by_one = OneByOne(again.get_async_connection().await?);
                    pipeline.query_async(&mut one_by_one).await
                }
                done => done,
            },
            Self::Once(connection) => pipeline.query_async(connection).await,
        }
    }
}

/// Sends the commands of a pipeline each by itself. While a slot moves some of its keys are here and others there: were all of
/// a pipeline sent after one key that has moved, a second record would begin beside each that has not, and the slot could
/// not move any further.
struct OneByOne(ClusterConnection);

impl ConnectionLike for OneByOne {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.0.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut values = Vec::with_capacity(count);
            for command in pipeline.cmd_iter().skip(offset).take(count) {
                values.push(self.0.req_packed_command(command).await?);
            }
            Ok(values)
        })
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}
