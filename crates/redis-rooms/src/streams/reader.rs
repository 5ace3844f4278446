//! The streams while there is a link: read to their ends and on, each entry once, and added to.

use std::{collections::HashMap, convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use polyport_core::{Hub, Place};
use redis::{Pipeline, RedisError, RedisResult, Value, aio::MultiplexedConnection};
use tracing::warn;

use super::{Stream, take_in};
use crate::{
    connection::Connection,
    deployment::{ConnectError, Found, Kind},
    shared::Shared,
};

/// Entries that are read in one go from each stream.
const COUNT: usize = 100;

/// How long Redis may wait for another entry before it says that there is none: less than the answer of a server that lives
/// may take.
const BLOCK: Duration = Duration::from_secs(1);

/// Entries that are added in one go, and how large they may be together. A Redis that was held takes what is left of a lost
/// connection before it has answered all that a new link asks before it reads to the end; of much more it might not.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 1 << 16;

/// What Redis says when it has not added an entry and would not add it later either.
const REFUSALS: [&str; 5] = ["OOM", "NOPERM", "WRONGTYPE", "MISCONF", "NOREPLICAS"];

/// More entries than Redis can add to a stream in a millisecond: with pipelines it is 180 on a slow machine.
const FASTEST: u64 = 1000;

/// The id of an entry, and its fields.
type Read = (String, Vec<Vec<u8>>);

/// Entries by the keys of their streams.
type Entries = HashMap<String, Vec<Read>>;

type Work<'a> = Pin<Box<dyn Future<Output = RedisResult<Infallible>> + Send + 'a>>;

/// The streams of one link.
pub(crate) struct Streaming<'a> {
    readers: Vec<Reader<'a>>,
    writing: Connection,
}

/// What waits for entries, on a connection of its own: nobody else gets an answer there meanwhile.
struct Reader<'a> {
    shared: &'a Shared,
    hub: &'a Hub,
    streams: Vec<Arc<Stream>>,
    connection: Connection,
}

impl<'a> Streaming<'a> {
    /// Reads all streams to their ends; from then on what this node adds comes back. `commands` and `reading` are connections
    /// with the one server, where there is one.
    pub(crate) async fn start(
        shared: &'a Shared,
        hub: &'a Hub,
        found: &Found,
        commands: MultiplexedConnection,
        reading: MultiplexedConnection,
    ) -> Result<Self, ConnectError> {
        let reader = |streams: &[Arc<Stream>], connection| Reader {
            shared,
            hub,
            streams: streams.to_vec(),
            connection,
        };
        let all = &shared.streams.all;
        let (mut readers, writing) = if *shared.options.deployment.kind() == Kind::Cluster {
            // The streams are on several nodes, and one command asks only one.
            let mut readers = Vec::new();
            for stream in all.chunks(1) {
                readers.push(reader(stream, connect_cluster(shared, found).await?));
            }
            (readers, connect_cluster(shared, found).await?)
        } else {
            let reading = reader(all, Connection::Single(reading));
            (vec![reading], Connection::Single(commands))
        };
        for reader in &mut readers {
            let caught_up = reader.catch_up().await;
            caught_up.map_err(|error| found.error(error))?;
        }
        for stream in all {
            shared.metrics.sent_again(stream.journal.begin());
        }
        *shared.streams.connection.lock() = Some(writing.clone());
        Ok(Self { readers, writing })
    }

    /// Reads and adds, for as long as the link lives.
    pub(crate) async fn run(self, shared: &Shared) -> RedisResult<Infallible> {
        let Self { readers, writing } = self;
        let reading = readers
            .into_iter()
            .map(|reader| Box::pin(reader.follow()) as Work<'_>);
        let adding = shared.streams.all.iter().map(|stream| {
            let connection = writing.clone();
            Box::pin(add(shared, stream, connection)) as Work<'_>
        });
        let ended = try_join_all(reading.chain(adding)).await?;
        match ended.first() {
            Some(never) => match *never {},
            None => std::future::pending().await,
        }
    }
}

async fn connect_cluster(shared: &Shared, found: &Found) -> Result<Connection, ConnectError> {
    let client = shared.options.deployment.cluster(0);
    let client = client.map_err(|error| found.error(error))?;
    let connection = client.get_async_connection().await;
    let connection = connection.map_err(|error| found.error(error))?;
    Ok(Connection::Once(connection))
}

impl Reader<'_> {
    async fn catch_up(&mut self) -> RedisResult<()> {
        for stream in self.streams.clone() {
            self.find_place(&stream).await?;
        }
        while self.read(None).await? {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn follow(mut self) -> RedisResult<Infallible> {
        loop {
            self.read(Some(BLOCK)).await?;
            // A task that always has something to do would keep others waiting.
            tokio::task::yield_now().await;
        }
    }

    /// Finds out where to read on: behind the last entry that was read, or at the end of a stream that was not read before.
    async fn find_place(&mut self, stream: &Stream) -> RedisResult<()> {
        let mut pipeline = Pipeline::new();
        let command = pipeline.cmd("XREVRANGE").arg(&stream.key);
        command.arg("+").arg("-").arg("COUNT").arg(1);
        let (newest,): (Vec<(String, Value)>,) = self.connection.query(&pipeline).await?;
        let newest = newest.first().map(|(id, _)| place(id)).transpose()?;
        let newest = newest.unwrap_or_default();
        let mut last = stream.last.lock();
        if last.is_some_and(|last| newest < last) {
            // It is another stream, or a copy that had not heard of everything.
            stream.note_gap(self.shared);
            *last = None;
        }
        last.get_or_insert(newest);
        Ok(())
    }

    /// Reads what comes next and does what it says; whether there was anything.
    async fn read(&mut self, block: Option<Duration>) -> RedisResult<bool> {
        let question = self.question(block);
        let (entries,): (Option<Entries>,) = self.connection.query(&question).await?;
        let mut entries = entries.unwrap_or_default();
        let is_empty = entries.is_empty();
        for stream in self.streams.clone() {
            let entries = entries.remove(&stream.key).unwrap_or_default();
            if self.has_lost(&stream, &entries).await? {
                stream.note_gap(self.shared);
            }
            self.take_in(&stream, entries)?;
        }
        Ok(!is_empty)
    }

    fn question(&self, block: Option<Duration>) -> Pipeline {
        let mut pipeline = Pipeline::new();
        let command = pipeline.cmd("XREAD").arg("COUNT").arg(COUNT);
        if let Some(block) = block {
            command.arg("BLOCK").arg(block.as_millis() as u64);
        }
        command.arg("STREAMS");
        for stream in &self.streams {
            command.arg(&stream.key);
        }
        for stream in &self.streams {
            command.arg(stream.last().to_string());
        }
        pipeline
    }

    /// Whether something may be gone that was between what was read last and what is read now. Not so if there was no time for
    /// adding more than the stream keeps, or if what was read last is still there.
    async fn has_lost(&mut self, stream: &Stream, entries: &[Read]) -> RedisResult<bool> {
        let last = stream.last();
        let Some((id, _)) = entries.first().filter(|_| last != Place::default()) else {
            return Ok(false);
        };
        let length = self.shared.streams.options.length as u64;
        let passed = place(id)?.millis.saturating_sub(last.millis);
        if passed < length / FASTEST {
            return Ok(false);
        }
        let last = last.to_string();
        let mut pipeline = Pipeline::new();
        let command = pipeline.cmd("XRANGE").arg(&stream.key);
        command.arg(&last).arg(&last);
        let (last,): (Vec<Value>,) = self.connection.query(&pipeline).await?;
        Ok(last.is_empty())
    }

    fn take_in(&self, stream: &Stream, entries: Vec<Read>) -> RedisResult<()> {
        self.hub.turn(|| {
            for (id, fields) in entries {
                let place = place(&id)?;
                let arrival = take_in(self.shared, self.hub, stream, place, fields);
                self.shared.metrics.received(arrival);
                *stream.last.lock() = Some(place);
            }
            Ok(())
        })
    }
}

impl Stream {
    pub(super) fn last(&self) -> Place {
        self.last.lock().unwrap_or_default()
    }

    fn note_gap(&self, shared: &Shared) {
        shared.metrics.gaps.inc();
        let stream = &self.key;
        warn!(
            stream,
            "a stream has lost something before it was read here"
        );
    }
}

/// Adds what waits for a stream, in its order.
async fn add(
    shared: &Shared,
    stream: &Stream,
    mut connection: Connection,
) -> RedisResult<Infallible> {
    loop {
        let entries = stream.journal.take(BATCH, BATCH_BYTES).await;
        let mut pipeline = Pipeline::with_capacity(entries.len());
        pipeline.ignore_errors();
        for (_, entry) in &entries {
            let length = shared.streams.options.length;
            entry.add(&mut pipeline, &stream.key, length, &shared.shard_uid);
        }
        let answers: Vec<RedisResult<String>> = connection.query(&pipeline).await?;
        let mut last_error = None;
        for ((number, _), answer) in entries.iter().zip(answers) {
            match answer {
                Ok(id) => {
                    stream.journal.added(*number, place(&id)?);
                    shared.metrics.published(true, 1);
                }
                Err(error) if error.code().is_some_and(|code| REFUSALS.contains(&code)) => {
                    stream.journal.refused(*number);
                    shared.metrics.published(false, 1);
                    last_error = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = last_error {
            let stream = &stream.key;
            warn!(stream, %error, "Redis does not take what is published: other nodes do not get it");
        }
    }
}

pub(super) fn place(id: &str) -> RedisResult<Place> {
    id.parse().map_err(|_| {
        let text = "the id of an entry that is none";
        RedisError::from((redis::ErrorKind::UnexpectedReturnType, text))
    })
}
