//! The way to the records, whatever stands there.

use redis::{
    FromRedisValue, Pipeline, RedisResult, aio::MultiplexedConnection,
    cluster_async::ClusterConnection,
};

/// A connection for commands.
#[derive(Clone)]
pub(crate) enum Connection {
    /// With the one server that has everything.
    Single(MultiplexedConnection),
    /// With the nodes of a Cluster: it finds the one that has the slot, and finds it again when that moves.
    Cluster(ClusterConnection),
}

impl Connection {
    pub(crate) async fn query<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> RedisResult<T> {
        match self {
            Self::Single(connection) => pipeline.query_async(connection).await,
            Self::Cluster(connection) => pipeline.query_async(connection).await,
        }
    }
}
