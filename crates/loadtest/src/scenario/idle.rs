//! What a connection costs in memory when nothing happens on it, and whether a burst changes that for good.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use crate::clients::Clients;
use crate::clock::parse_duration;
use crate::process::{Memory, ProcessTree};
use crate::protocol::Role;
use crate::stamp::{Stamp, StampFinder};
use crate::subject::Subject;

/// The load of idle connections.
#[derive(Args, Clone, Debug)]
pub(crate) struct IdleOptions {
    /// Connections whose memory is measured.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) connections: usize,
    /// Connections made and used before the first reading, so that what a server sets up once is not counted.
    #[arg(long, default_value_t = 200)]
    pub(crate) first: usize,
    /// Messages of the burst that every connection then receives.
    #[arg(long, default_value_t = 16)]
    pub(crate) burst: u32,
    /// Bytes of each of them.
    #[arg(long, default_value_t = 1_024)]
    pub(crate) bytes: usize,
    /// The longest time to wait for memory to stop changing.
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub(crate) settle: Duration,
}

/// Memory of the server, in bytes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct IdleReport {
    pub(crate) connections: usize,
    /// Resident before the measured connections.
    pub(crate) base: u64,
    /// More resident memory per connection that has never received anything.
    pub(crate) per_connection: f64,
    /// The same for heap and stacks alone.
    pub(crate) anonymous_per_connection: f64,
    /// More resident memory per connection, against the same base, after everyone has been answered once and has
    /// received the burst.
    pub(crate) per_connection_after_burst: f64,
    /// The highest value of that while the burst went out.
    pub(crate) per_connection_at_most: f64,
    pub(crate) lost_connections: usize,
}

/// Runs the load against a server that is up.
pub(crate) fn run(subject: &Subject, options: &IdleOptions) -> anyhow::Result<IdleReport> {
    let process = subject
        .process
        .context("memory can only be told of a known process: give --pid or --spawn")?;
    let mut clients = subject.clients()?;
    let first = options.first.max(1);
    subject.open(&mut clients, Role::Publisher, 1)?;
    subject.open(&mut clients, Role::Member, first - 1)?;
    subject.touch(&mut clients)?;
    burst(subject, options, &mut clients)?;
    let base = settle(process, options.settle, &mut clients)?;

    subject.open(&mut clients, Role::Member, options.connections)?;
    let idle = settle(process, options.settle, &mut clients)?;

    subject.touch(&mut clients)?;
    let highest = burst(subject, options, &mut clients)?;
    let after = settle(process, options.settle, &mut clients)?;

    let connections = options.connections as f64;
    let more = |now: u64, before: u64| (now as f64 - before as f64) / connections;
    Ok(IdleReport {
        connections: options.connections,
        base: base.resident,
        per_connection: more(idle.resident, base.resident),
        anonymous_per_connection: more(idle.anonymous, base.anonymous),
        per_connection_after_burst: more(after.resident, base.resident),
        per_connection_at_most: more(highest.max(after.resident), base.resident),
        lost_connections: clients.lost(),
    })
}

/// Everyone but the publisher receives the burst; returns the most resident memory seen meanwhile.
fn burst(subject: &Subject, options: &IdleOptions, clients: &mut Clients) -> anyhow::Result<u64> {
    let room = subject.room_of(0);
    let mut outgoing = Vec::new();
    for sequence in 0..options.burst {
        let stamp = Stamp {
            sequence,
            intended: 0,
        };
        subject
            .protocol
            .write_publish(&room, stamp, options.bytes, &mut outgoing);
    }
    clients.send(0, &outgoing)?;
    let finder = StampFinder::new();
    let wanted = (clients.len() - 1) * options.burst as usize;
    let mut highest = 0;
    let mut read = Instant::now();
    clients.collect(
        "messages of the burst",
        wanted,
        subject.patience,
        |index, text| {
            if read.elapsed() > Duration::from_millis(50) {
                read = Instant::now();
                let memory = subject.process.and_then(|process| process.memory().ok());
                highest = highest.max(memory.map_or(0, |memory| memory.resident));
            }
            index != 0 && finder.find(text).is_some()
        },
    )?;
    Ok(highest)
}

/// Waits until memory has stopped changing, for servers that clean up later, and returns it.
fn settle(
    process: ProcessTree,
    patience: Duration,
    clients: &mut Clients,
) -> anyhow::Result<Memory> {
    /// Changes below this share of the whole are noise.
    const STEADY: f64 = 0.002;
    const STEADY_FOR: Duration = Duration::from_secs(2);
    let until = Instant::now() + patience;
    let mut memory = process.memory()?;
    let mut since = Instant::now();
    while since.elapsed() < STEADY_FOR && Instant::now() < until {
        clients.drain(Duration::from_millis(250), Duration::from_millis(250))?;
        let now = process.memory()?;
        let change = now.resident.abs_diff(memory.resident) as f64;
        if change > memory.resident as f64 * STEADY {
            memory = now;
            since = Instant::now();
        }
    }
    process.memory()
}
