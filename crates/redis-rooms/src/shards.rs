//! Sharded channels on a Redis Cluster: each is on the node that has its slot, and moves with it.

mod slots;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{
    Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::{sync::Notify, time::sleep};

use crate::{
    deployment::{ConnectError, Deployment, Found, RESPONSE},
    link::Watched,
};
use slots::Slots;

/// Commands that one node gets at a time.
const BATCH: usize = 1000;

/// The pause before a node that has just got a slot is asked again.
const PAUSE: Duration = Duration::from_millis(10);

/// What is done with what a node says by itself, by its address.
type Pushed = dyn Fn(&Arc<str>, PushInfo) + Send + Sync;

/// The primaries of a Cluster, as far as a link knows them.
pub(crate) struct Cluster<'a> {
    deployment: &'a Deployment,
    entry: &'a Found,
    slots: Slots,
    watched: &'a Watched,
}

impl<'a> Cluster<'a> {
    /// Asks a node which one has what.
    pub(crate) async fn find(
        deployment: &'a Deployment,
        entry: &'a Found,
        mut commands: MultiplexedConnection,
        watched: &'a Watched,
    ) -> Result<Self, ConnectError> {
        let mut question = redis::cmd("CLUSTER");
        question.arg("SLOTS");
        let answer = question.query_async(&mut commands).await;
        let answer: Value = answer.map_err(|error| entry.error(error))?;
        Ok(Self {
            deployment,
            entry,
            slots: Slots::read(&answer, &entry.host()),
            watched,
        })
    }

    /// A connection with each primary.
    async fn connect(&'a self, pushed: Arc<Pushed>) -> Result<Nodes<'a>, ConnectError> {
        let mut nodes = Nodes {
            cluster: self,
            pushed,
            connections: HashMap::new(),
        };
        for address in self.slots.nodes() {
            nodes.connection(&address).await?;
        }
        Ok(nodes)
    }

    /// The way out.
    pub(crate) async fn outlets(
        &'a self,
        pushed: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Outlets<'a>, ConnectError> {
        let pushed = move |_: &Arc<str>, push| pushed(push);
        self.connect(Arc::new(pushed)).await.map(Outlets)
    }

    /// The way in.
    pub(crate) async fn inlets(
        &'a self,
        pushed: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Inlets<'a>, ConnectError> {
        let confirmed = Arc::<Confirmed>::default();
        let noted = Arc::clone(&confirmed);
        let pushed = move |address: &Arc<str>, push| {
            noted.note(address, &push);
            pushed(push);
        };
        let nodes = self.connect(Arc::new(pushed)).await?;
        Ok(Inlets { nodes, confirmed })
    }
}

/// Connections with the primaries. Each is made once, and lives as long as the link.
struct Nodes<'a> {
    cluster: &'a Cluster<'a>,
    pushed: Arc<Pushed>,
    connections: HashMap<Arc<str>, MultiplexedConnection>,
}

/// A command for the node that has a channel.
#[derive(Clone, Copy)]
struct Call<'a> {
    name: &'static str,
    channel: &'a str,
    payload: Option<&'a [u8]>,
}

impl Nodes<'_> {
    async fn connection(
        &mut self,
        address: &Arc<str>,
    ) -> Result<MultiplexedConnection, ConnectError> {
        if let Some(connection) = self.connections.get(address) {
            return Ok(connection.clone());
        }
        let Cluster {
            deployment,
            entry,
            watched,
            ..
        } = self.cluster;
        let node = deployment.beside(entry, address)?;
        let (pushed, from) = (Arc::clone(&self.pushed), Arc::clone(address));
        let connection = node.connect(move |push| pushed(&from, push)).await?;
        watched.add(address, connection.clone());
        let kept = (Arc::clone(address), connection.clone());
        self.connections.extend([kept]);
        Ok(connection)
    }

    /// Gives each command to the node that is known to have its channel, in their order. Returns those whose channel is
    /// with another node, which is known from then on.
    async fn call<'c>(&mut self, calls: &[Call<'c>]) -> Result<Vec<Call<'c>>, ConnectError> {
        let mut by_node: HashMap<Arc<str>, Vec<Call<'c>>> = HashMap::new();
        for call in calls {
            let owner = self.cluster.slots.owner(call.channel);
            let owner = owner.ok_or_else(|| unserved(call.channel))?;
            by_node.entry(owner).or_default().push(*call);
        }
        let mut asked = Vec::with_capacity(by_node.len());
        for (address, calls) in by_node {
            let connection = self.connection(&address).await?;
            asked.push(ask(address, connection, calls));
        }
        let mut refused = Vec::new();
        for answered in join_all(asked).await {
            let (address, answers) = answered?;
            for (call, error) in answers {
                if !self.cluster.slots.learn(&error, &address) {
                    let address = address.to_string();
                    return Err(ConnectError::Redis { address, error });
                }
                refused.push(call);
            }
        }
        Ok(refused)
    }
}

/// Gives a node its commands; returns those that it has not done, and why.
async fn ask(
    address: Arc<str>,
    mut connection: MultiplexedConnection,
    calls: Vec<Call<'_>>,
) -> Result<(Arc<str>, Vec<(Call<'_>, RedisError)>), ConnectError> {
    let mut refused = Vec::new();
    for calls in calls.chunks(BATCH) {
        let mut pipeline = Pipeline::with_capacity(calls.len());
        pipeline.ignore_errors();
        for call in calls {
            pipeline.cmd(call.name).arg(call.channel).arg(call.payload);
        }
        let answers: RedisResult<Vec<RedisResult<Value>>> =
            pipeline.query_async(&mut connection).await;
        let answers = answers.map_err(|error| ConnectError::Redis {
            address: address.to_string(),
            error,
        })?;
        let answered = calls.iter().zip(answers);
        refused.extend(answered.filter_map(|(call, answer)| Some((*call, answer.err()?))));
    }
    Ok((address, refused))
}

fn unserved(channel: &str) -> ConnectError {
    ConnectError::Unserved {
        channel: channel.to_owned(),
    }
}

/// How long a channel may be without a node that serves it.
struct Patience(Instant);

impl Patience {
    fn begin() -> Self {
        Self(Instant::now() + RESPONSE)
    }

    /// Waits a moment, unless that has been done long enough.
    async fn wait(&self, channel: &str) -> Result<(), ConnectError> {
        if Instant::now() > self.0 {
            return Err(unserved(channel));
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

/// The way out to sharded channels.
pub(crate) struct Outlets<'a>(Nodes<'a>);

impl Outlets<'_> {
    /// Publishes messages, by channel and payload, those of one channel in their order.
    pub(crate) async fn publish<'c>(
        &mut self,
        messages: impl Iterator<Item = (&'c str, &'c [u8])>,
    ) -> Result<(), ConnectError> {
        let calls = messages.map(|(channel, payload)| Call {
            name: "SPUBLISH",
            channel,
            payload: Some(payload),
        });
        let mut waiting: Vec<Call<'_>> = calls.collect();
        let patience = Patience::begin();
        loop {
            waiting = self.0.call(&waiting).await?;
            let Some(first) = waiting.first() else {
                return Ok(());
            };
            patience.wait(first.channel).await?;
        }
    }
}

/// The way in from sharded channels.
pub(crate) struct Inlets<'a> {
    nodes: Nodes<'a>,
    confirmed: Arc<Confirmed>,
}

impl Inlets<'_> {
    /// Subscribes to channels, of which each is one afterwards.
    pub(crate) async fn subscribe(&mut self, channels: &[&str]) -> Result<(), ConnectError> {
        let patience = Patience::begin();
        loop {
            let missing = self.confirmed.missing(channels.iter().copied());
            let Some(first) = missing.first() else {
                return Ok(());
            };
            let calls = calls("SSUBSCRIBE", &missing);
            self.nodes.call(&calls).await?;
            if !self.confirmed.has(first) {
                patience.wait(first).await?;
            }
        }
    }

    /// Leaves channels. A node that has lost one meanwhile has ended its subscriptions.
    pub(crate) async fn unsubscribe(&mut self, channels: &[&str]) -> Result<(), ConnectError> {
        let calls = calls("SUNSUBSCRIBE", channels);
        self.nodes.call(&calls).await.map(drop)
    }

    /// Waits until a node has lost channels, or has ended a subscription because it was told to.
    pub(crate) async fn lost(&self) {
        self.confirmed.lost.notified().await;
    }
}

fn calls<'c>(name: &'static str, channels: &[&'c str]) -> Vec<Call<'c>> {
    let call = |channel: &&'c str| Call {
        name,
        channel,
        payload: None,
    };
    channels.iter().map(call).collect()
}

/// The subscriptions that stand, and with which node, by what these push. That is no answer to anything when a node loses a
/// slot, but is taken for one; so what seems to be the answer to a command does not tell.
#[derive(Default)]
struct Confirmed {
    at: Mutex<HashMap<String, Arc<str>>>,
    lost: Notify,
}

impl Confirmed {
    fn note(&self, address: &Arc<str>, push: &PushInfo) {
        let Some(Value::BulkString(name)) = push.data.first() else {
            return;
        };
        let Ok(name) = std::str::from_utf8(name) else {
            return;
        };
        let mut at = self.at.lock();
        match push.kind {
            PushKind::SSubscribe => {
                at.insert(name.to_owned(), Arc::clone(address));
            }
            PushKind::SUnsubscribe if at.get(name) == Some(address) => {
                at.remove(name);
                self.lost.notify_one();
            }
            _ => {}
        }
    }

    fn has(&self, channel: &str) -> bool {
        self.at.lock().contains_key(channel)
    }

    fn missing<'c>(&self, channels: impl Iterator<Item = &'c str>) -> Vec<&'c str> {
        let at = self.at.lock();
        channels
            .filter(|channel| !at.contains_key(*channel))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(kind: PushKind, channel: &str) -> PushInfo {
        let data = vec![
            Value::BulkString(channel.as_bytes().to_vec()),
            Value::Int(1),
        ];
        PushInfo { kind, data }
    }

    #[tokio::test]
    async fn a_channel_that_a_node_loses_is_missing() {
        let confirmed = Confirmed::default();
        let [old, new] = ["a:1", "b:1"].map(Arc::<str>::from);
        let missing = || confirmed.missing(["x", "y"].into_iter());
        assert_eq!(missing(), ["x", "y"]);
        confirmed.note(&old, &push(PushKind::SSubscribe, "x"));
        confirmed.note(&old, &push(PushKind::SSubscribe, "y"));
        assert_eq!(missing(), [""; 0]);
        confirmed.note(&old, &push(PushKind::SUnsubscribe, "x"));
        confirmed.lost.notified().await;
        assert_eq!(missing(), ["x"]);
        confirmed.note(&new, &push(PushKind::SSubscribe, "x"));
        confirmed.note(&old, &push(PushKind::SUnsubscribe, "x"));
        assert_eq!(missing(), [""; 0], "it is with another node by now");
        confirmed.note(&new, &push(PushKind::SMessage, "x"));
        assert_eq!(missing(), [""; 0]);
    }
}
