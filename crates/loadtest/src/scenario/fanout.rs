//! One publisher, many members: what a delivery costs and how long it takes.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::clients::Clients;
use crate::clock::{Clock, parse_duration};
use crate::latency::{Latencies, Quantiles};
use crate::load::{Used, Window};
use crate::protocol::Role;
use crate::schedule::Schedule;
use crate::stamp::{Stamp, StampFinder};
use crate::subject::Subject;

/// The load of a fan-out.
#[derive(Args, Clone, Debug)]
pub(crate) struct FanoutOptions {
    /// Connections that receive.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) members: usize,
    /// Messages published a second.
    #[arg(long, default_value_t = 100.0)]
    pub(crate) rate: f64,
    /// Messages published at the same moment; the rate stays the same.
    #[arg(long, default_value_t = 1)]
    pub(crate) burst: u32,
    /// Bytes of a message.
    #[arg(long, default_value_t = 100)]
    pub(crate) bytes: usize,
    /// Load before the measurement.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub(crate) warmup: Duration,
    /// The measurement.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
}

/// What a fan-out showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FanoutReport {
    pub(crate) members: usize,
    pub(crate) burst: u32,
    pub(crate) used: Used,
    /// From the intended time of publishing to the receipt at a member, over all measured messages.
    pub(crate) latency: Quantiles,
    /// What the way to another node adds to the 99th percentile, in microseconds, if half of the members are there; then
    /// `latency` is theirs.
    pub(crate) added_p99_us: Option<f64>,
    /// How late the generator itself was with sending: its part of the latency.
    pub(crate) send_lag: Quantiles,
    /// Deliveries that never came.
    pub(crate) missing: u64,
    /// Deliveries that overtook an earlier one of the same member.
    pub(crate) out_of_order: u64,
    /// Connections that the server closed.
    pub(crate) lost_connections: usize,
}

/// What the receivers have seen so far.
#[derive(Debug)]
struct Received {
    clock: Clock,
    finder: StampFinder,
    first_measured: u32,
    latencies: Latencies,
    /// Of the members on the publisher's own node, if there are others.
    near: Option<Near>,
    /// The number of the message that each connection should get next.
    next: Vec<u32>,
    all: u64,
    measured: u64,
    out_of_order: u64,
}

/// Members on the publisher's own node.
#[derive(Debug)]
struct Near {
    members: usize,
    latencies: Latencies,
}

/// Runs the load against a server that is up.
pub(crate) fn run(subject: &Subject, options: &FanoutOptions) -> anyhow::Result<FanoutReport> {
    let mut clients = subject.clients()?;
    let near = subject.open_members(&mut clients, options.members)?;
    subject.open(&mut clients, Role::Publisher, 1)?;
    let publisher = options.members;
    let room = subject.room_of(0);

    let clock = Clock::start();
    let schedule = Schedule::new(
        10_000_000,
        options.rate,
        options.burst,
        options.warmup,
        options.duration,
    );
    let near = subject.far.map(|_| near);
    let mut received = Received::new(clock, schedule.first_measured(), clients.len(), near)?;
    let mut send_lag = Latencies::new()?;
    let (window_start, window_end) = schedule.window();
    let mut window = None;
    let mut outgoing = Vec::new();
    for (burst, intended) in schedule.bursts() {
        if window.is_none() && intended > window_start {
            received.until(window_start, &mut clients)?;
            window = Some(Window::begin(subject.process, received.all)?);
        }
        received.until(intended, &mut clients)?;
        outgoing.clear();
        for message in 0..schedule.burst() {
            let sequence = burst * schedule.burst() + message;
            let stamp = Stamp { sequence, intended };
            subject
                .protocol
                .write_publish(&room, stamp, options.bytes, &mut outgoing);
        }
        send_lag.record(clock.now().saturating_sub(intended));
        clients.send(publisher, &outgoing)?;
    }
    received.until(window_end, &mut clients)?;
    let used = match window {
        Some(window) => window.end(received.all)?,
        None => anyhow::bail!("the run was too short to have a steady window"),
    };

    let expected = u64::from(schedule.measured()) * options.members as u64;
    received.rest(expected, &mut clients)?;
    let latency = received.latencies.quantiles();
    let near = received.near.map(|near| near.latencies.quantiles());
    Ok(FanoutReport {
        members: options.members,
        burst: options.burst,
        used,
        added_p99_us: near.map(|near| latency.p99_us - near.p99_us),
        latency,
        send_lag: send_lag.quantiles(),
        missing: expected.saturating_sub(received.measured),
        out_of_order: received.out_of_order,
        lost_connections: clients.lost(),
    })
}

impl Received {
    fn new(
        clock: Clock,
        first_measured: u32,
        connections: usize,
        near: Option<usize>,
    ) -> anyhow::Result<Self> {
        let near = near.map(|members| {
            let latencies = Latencies::new()?;
            anyhow::Ok(Near { members, latencies })
        });
        Ok(Self {
            near: near.transpose()?,
            clock,
            finder: StampFinder::new(),
            first_measured,
            latencies: Latencies::new()?,
            next: vec![0; connections],
            all: 0,
            measured: 0,
            out_of_order: 0,
        })
    }

    /// Receives until `at`; returns at once when that is past.
    fn until(&mut self, at: u64, clients: &mut Clients) -> anyhow::Result<()> {
        while self.clock.now() < at {
            let timeout = self.clock.until(at);
            clients.turn(timeout, |index, text| self.take(index, text))?;
        }
        Ok(())
    }

    /// Receives what is still under way when the last message has been sent.
    fn rest(&mut self, expected: u64, clients: &mut Clients) -> anyhow::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let end = self.clock.now() + PATIENCE.as_nanos() as u64;
        while self.measured < expected && self.clock.now() < end {
            clients.turn(Duration::from_millis(100), |index, text| {
                self.take(index, text);
            })?;
        }
        Ok(())
    }

    fn take(&mut self, index: usize, text: &[u8]) {
        let Some(stamp) = self.finder.find(text) else {
            return;
        };
        self.all += 1;
        let next = &mut self.next[index];
        if stamp.sequence < *next {
            self.out_of_order += 1;
        }
        *next = stamp.sequence + 1;
        // The publisher may hear itself; members are numbered below it.
        if stamp.sequence >= self.first_measured && index + 1 < self.next.len() {
            self.measured += 1;
            let latencies = match &mut self.near {
                Some(near) if index < near.members => &mut near.latencies,
                _ => &mut self.latencies,
            };
            latencies.record(self.clock.now().saturating_sub(stamp.intended));
        }
    }
}
