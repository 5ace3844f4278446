//! Requests that are answered to their sender: what a reply costs and how long it takes.
//!
//! Without `--rate` every connection keeps a number of requests in flight and sends the next one when an answer comes
//! (*closed loop*): right for throughput and CPU per reply, while its latencies are those of a client that waits
//! politely. With `--rate` requests leave on schedule and latency is counted from the intended time.

use std::time::Duration;

use clap::Args;
use memchr::memmem::Finder;
use serde::Serialize;

use crate::clients::Clients;
use crate::clock::{Clock, Nanos, nanos, parse_duration};
use crate::latency::{Latencies, Quantiles};
use crate::load::{Used, Window};
use crate::protocol::{
    Protocol, acknowledged, answered, answered_call, message_count, write_acknowledged, write_call,
    write_invocation,
};
use crate::schedule::Schedule;
use crate::stamp::{Stamp, StampFinder};
use crate::subject::Subject;

/// The load of calls.
#[derive(Args, Clone, Debug)]
pub(crate) struct CallsOptions {
    /// Connections that call.
    #[arg(long, default_value_t = 50)]
    pub(crate) connections: usize,
    /// Requests that each connection keeps in flight; not used with --rate.
    #[arg(long, default_value_t = 1)]
    pub(crate) in_flight: usize,
    /// Requests a second over all connections, sent on schedule whether or not answers come.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// The line that is sent (tcp-verbs), or the call or event and its arguments, as in "sum [4,5]" (ws-rpc, socket-io,
    /// socketcluster). With ws a text of --bytes bytes is sent and must come back.
    #[arg(long, default_value = "randomNumber")]
    pub(crate) action: String,
    /// Bytes of a WebSocket message.
    #[arg(long, default_value_t = 100)]
    pub(crate) bytes: usize,
    /// Load before the measurement.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub(crate) warmup: Duration,
    /// The measurement.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) duration: Duration,
}

/// What calls showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CallsReport {
    pub(crate) connections: usize,
    pub(crate) in_flight: Option<usize>,
    pub(crate) rate: Option<f64>,
    pub(crate) replies_per_second: f64,
    pub(crate) used: Used,
    pub(crate) latency: Quantiles,
    /// Replies that were errors.
    pub(crate) errors: u64,
    /// Requests never answered.
    pub(crate) missing: u64,
    pub(crate) lost_connections: usize,
}

/// Requests under way and what came back.
struct Calls<'a> {
    subject: &'a Subject,
    options: &'a CallsOptions,
    clock: Clock,
    stamps: StampFinder,
    error: Finder<'static>,
    /// Per connection, the times of its last requests by number.
    sent: Vec<SentTimes>,
    /// Answers that have come and are not yet followed by new requests, by connection.
    answered: Vec<usize>,
    text: Vec<u8>,
    outgoing: Vec<u8>,
    measuring: bool,
    latencies: Latencies,
    requests: u64,
    replies: u64,
    errors: u64,
}

/// Runs the load against a server that is up.
pub(crate) fn run(subject: &Subject, options: &CallsOptions) -> anyhow::Result<CallsReport> {
    let mut clients = subject.clients()?;
    clients.open(
        subject.address,
        &subject.publish_path,
        options.connections,
        subject.patience,
    )?;
    let mut calls = Calls::new(subject, options)?;
    let used = match options.rate {
        None => calls.closed_loop(&mut clients)?,
        Some(rate) => calls.open_loop(rate, &mut clients)?,
    };
    calls.measuring = false;
    calls.rest(&mut clients)?;
    Ok(CallsReport {
        connections: options.connections,
        in_flight: options.rate.is_none().then_some(options.in_flight),
        rate: options.rate,
        replies_per_second: used.received as f64 / used.seconds,
        used,
        latency: calls.latencies.quantiles(),
        errors: calls.errors,
        missing: calls.requests - calls.replies,
        lost_connections: clients.lost(),
    })
}

impl<'a> Calls<'a> {
    fn new(subject: &'a Subject, options: &'a CallsOptions) -> anyhow::Result<Self> {
        let times = SentTimes::new(options.in_flight);
        Ok(Self {
            subject,
            options,
            clock: Clock::start(),
            stamps: StampFinder::new(),
            error: Finder::new(br#""error":"#),
            sent: vec![times; options.connections],
            answered: vec![0; options.connections],
            text: Vec::new(),
            outgoing: Vec::new(),
            measuring: false,
            latencies: Latencies::new()?,
            requests: 0,
            replies: 0,
            errors: 0,
        })
    }

    fn closed_loop(&mut self, clients: &mut Clients) -> anyhow::Result<Used> {
        for index in 0..clients.len() {
            self.request(index, self.options.in_flight, self.clock.now(), clients)?;
        }
        let mut answering = Vec::new();
        let mut window: Option<Window> = None;
        let begin = self.clock.now() + nanos(self.options.warmup);
        let end = begin + nanos(self.options.duration);
        loop {
            let now = self.clock.now();
            match window {
                None if now >= begin => {
                    self.measuring = true;
                    window = Some(Window::begin(self.subject.process, self.replies)?);
                }
                Some(window) if now >= end => return window.end(self.replies),
                _ => {}
            }
            clients.turn(Duration::from_millis(50), |index, text| {
                if self.take(index, text) {
                    if self.answered[index] == 0 {
                        answering.push(index);
                    }
                    self.answered[index] += 1;
                }
            })?;
            let now = self.clock.now();
            for index in answering.drain(..) {
                let count = std::mem::take(&mut self.answered[index]);
                self.request(index, count, now, clients)?;
            }
        }
    }

    fn open_loop(&mut self, rate: f64, clients: &mut Clients) -> anyhow::Result<Used> {
        let schedule = Schedule::new(
            self.clock.now(),
            rate,
            1,
            self.options.warmup,
            self.options.duration,
        );
        let (window_start, window_end) = schedule.window();
        let mut window = None;
        for (number, intended) in schedule.bursts() {
            if window.is_none() && intended > window_start {
                self.until(window_start, clients)?;
                self.measuring = true;
                window = Some(Window::begin(self.subject.process, self.replies)?);
            }
            self.until(intended, clients)?;
            let index = number as usize % clients.len();
            self.request(index, 1, intended, clients)?;
        }
        self.until(window_end, clients)?;
        match window {
            Some(window) => window.end(self.replies),
            None => anyhow::bail!("the run was too short to have a steady window"),
        }
    }

    fn until(&mut self, at: Nanos, clients: &mut Clients) -> anyhow::Result<()> {
        while self.clock.now() < at {
            let timeout = self.clock.until(at);
            clients.turn(timeout, |index, text| {
                self.take(index, text);
            })?;
        }
        Ok(())
    }

    fn rest(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let end = self.clock.now() + nanos(PATIENCE);
        while self.replies < self.requests && self.clock.now() < end {
            clients.turn(Duration::from_millis(50), |index, text| {
                self.take(index, text);
            })?;
        }
        Ok(())
    }

    /// Sends `count` requests in one write.
    fn request(
        &mut self,
        index: usize,
        count: usize,
        intended: Nanos,
        clients: &mut Clients,
    ) -> anyhow::Result<()> {
        self.outgoing.clear();
        for _ in 0..count {
            let sequence = self.sent[index].push(intended);
            let (protocol, action) = (self.subject.protocol, &self.options.action);
            self.text.clear();
            match protocol {
                Protocol::TcpVerbs => self.text.extend_from_slice(action.as_bytes()),
                Protocol::Ws => {
                    let stamp = Stamp { sequence, intended };
                    protocol.write_publish("", stamp, self.options.bytes, &mut self.outgoing);
                    continue;
                }
                Protocol::WsRpc => write_call(sequence, action, &mut self.text),
                Protocol::SocketIo => write_acknowledged(sequence, action, &mut self.text),
                Protocol::Socketcluster | Protocol::DevtoolsRelay => {
                    write_invocation(sequence, action, &mut self.text);
                }
            }
            protocol.write_text(&self.text, &mut self.outgoing);
        }
        self.requests += count as u64;
        clients.send(index, &self.outgoing)
    }

    /// Counts a reply; `false` if `text` is something else.
    fn take(&mut self, index: usize, text: &[u8]) -> bool {
        let mut is_error = false;
        let intended = match self.subject.protocol {
            Protocol::TcpVerbs => {
                is_error = self.error.find(text).is_some();
                message_count(text).map(|count| self.sent[index].get(count))
            }
            Protocol::Ws => self.stamps.find(text).map(|stamp| stamp.intended),
            Protocol::WsRpc => answered_call(text).map(|(number, worked)| {
                is_error = !worked;
                self.sent[index].get(number)
            }),
            Protocol::Socketcluster | Protocol::DevtoolsRelay => {
                answered(text).map(|(number, worked)| {
                    is_error = !worked;
                    self.sent[index].get(number)
                })
            }
            Protocol::SocketIo => acknowledged(text).map(|number| {
                is_error = self.error.find(text).is_some();
                self.sent[index].get(number)
            }),
        };
        let Some(intended) = intended else {
            return false;
        };
        self.replies += 1;
        self.errors += u64::from(is_error);
        if self.measuring {
            self.latencies
                .record(self.clock.now().saturating_sub(intended));
        }
        true
    }
}

/// When the last requests of a connection were meant to be sent. Requests are numbered from 1, as the verbs' own
/// `messageCount` is; of those older than the ring the time is lost, which costs a latency and nothing else.
#[derive(Clone, Debug)]
struct SentTimes {
    last: u32,
    ring: Vec<Nanos>,
}

impl SentTimes {
    fn new(in_flight: usize) -> Self {
        let size = (in_flight * 4).next_power_of_two().max(64);
        Self {
            last: 0,
            ring: vec![0; size],
        }
    }

    fn push(&mut self, intended: Nanos) -> u32 {
        self.last += 1;
        let size = self.ring.len();
        self.ring[self.last as usize % size] = intended;
        self.last
    }

    fn get(&self, number: u32) -> Nanos {
        self.ring[number as usize % self.ring.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_find_the_time_of_their_request_in_any_order() {
        let mut sent = SentTimes::new(16);
        let numbers: Vec<u32> = (0..200).map(|time| sent.push(time * 10)).collect();
        assert_eq!(numbers.first(), Some(&1));
        assert_eq!(sent.get(200), 1_990);
        assert_eq!(sent.get(150), 1_490);
    }
}
