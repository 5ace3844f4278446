//! As many messages as the server can take: what a delivery costs when it is never idle.
//!
//! Every publisher keeps a number of messages under way and sends the next one when all members have its oldest (*closed
//! loop*), so that nothing piles up and nobody is asked for more than it can do. Latencies are those of such polite
//! publishers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use serde::Serialize;

use crate::clients::Clients;
use crate::clock::{Clock, Nanos, nanos, parse_duration};
use crate::latency::{Latencies, Quantiles};
use crate::load::{Used, Window};
use crate::protocol::Role;
use crate::stamp::{Stamp, StampFinder};
use crate::subject::Subject;

/// The load of publishers that never rest.
#[derive(Args, Clone, Debug)]
pub(crate) struct FullOptions {
    /// Connections that receive.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) members: usize,
    /// Connections that publish.
    #[arg(long, default_value_t = 1)]
    pub(crate) publishers: usize,
    /// Messages that each publisher keeps under way.
    #[arg(long, default_value_t = 16)]
    pub(crate) in_flight: usize,
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

/// What full load showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FullReport {
    pub(crate) members: usize,
    pub(crate) publishers: usize,
    pub(crate) in_flight: usize,
    pub(crate) used: Used,
    /// Messages a second that all members have received.
    pub(crate) messages_per_second: f64,
    /// CPU time of the server for each of them, in microseconds.
    pub(crate) server_us_per_published: Option<f64>,
    /// From sending a message to its receipt at a member.
    pub(crate) latency: Quantiles,
    /// Deliveries that never came.
    pub(crate) missing: u64,
    /// Deliveries that overtook an earlier one of the same publisher, or came again.
    pub(crate) out_of_order: u64,
    pub(crate) lost_connections: usize,
}

/// Messages under way and what has come of them.
struct Flight<'a> {
    subject: &'a Subject,
    options: &'a FullOptions,
    clock: Clock,
    finder: StampFinder,
    publishers: Vec<Publisher>,
    /// The number of the message that each member should get next of each publisher.
    next: Vec<u32>,
    outgoing: Vec<u8>,
    measuring: bool,
    latencies: Latencies,
    deliveries: u64,
    completed: u64,
    out_of_order: u64,
}

/// One publisher's messages, which it numbers from 0.
struct Publisher {
    room: String,
    sent: u32,
    /// How many members each message under way has still to reach, the oldest first.
    waiting: VecDeque<usize>,
}

/// Runs the load against a server that is up.
pub(crate) fn run(subject: &Subject, options: &FullOptions) -> anyhow::Result<FullReport> {
    ensure!(
        options.members > 0 && options.publishers > 0 && options.in_flight > 0,
        "full load needs a member, a publisher and a message under way"
    );
    let mut clients = subject.clients()?;
    subject.open_members(&mut clients, options.members)?;
    subject.open(&mut clients, Role::Publisher, options.publishers)?;
    let mut flight = Flight::new(subject, options)?;
    let (used, completed) = flight.steady(&mut clients)?;
    flight.rest(&mut clients)?;
    let cpu = used.server_cpu_seconds.filter(|_| completed > 0);
    Ok(FullReport {
        members: options.members,
        publishers: options.publishers,
        in_flight: options.in_flight,
        messages_per_second: completed as f64 / used.seconds,
        server_us_per_published: cpu.map(|cpu| cpu * 1e6 / completed as f64),
        used,
        latency: flight.latencies.quantiles(),
        missing: flight.missing(),
        out_of_order: flight.out_of_order,
        lost_connections: clients.lost(),
    })
}

impl<'a> Flight<'a> {
    fn new(subject: &'a Subject, options: &'a FullOptions) -> anyhow::Result<Self> {
        let publishers = (0..options.publishers).map(|number| Publisher {
            room: subject.room_of(number),
            sent: 0,
            waiting: VecDeque::with_capacity(options.in_flight),
        });
        Ok(Self {
            subject,
            options,
            clock: Clock::start(),
            finder: StampFinder::new(),
            publishers: publishers.collect(),
            next: vec![0; options.members * options.publishers],
            outgoing: Vec::new(),
            measuring: false,
            latencies: Latencies::new()?,
            deliveries: 0,
            completed: 0,
            out_of_order: 0,
        })
    }

    /// Keeps the load up until the window is over; tells what was used in it and how many messages everybody has received.
    fn steady(&mut self, clients: &mut Clients) -> anyhow::Result<(Used, u64)> {
        let begin = self.clock.now() + nanos(self.options.warmup);
        let end = begin + nanos(self.options.duration);
        let mut window: Option<(Window, u64)> = None;
        let mut moved = (Instant::now(), 0);
        loop {
            self.send(clients)?;
            clients.turn(Duration::from_millis(50), |index, text| {
                self.take(index, text);
            })?;
            if moved.1 < self.deliveries {
                moved = (Instant::now(), self.deliveries);
            }
            ensure!(
                moved.0.elapsed() < self.subject.patience,
                "nothing came for {:?} while {} deliveries were under way",
                self.subject.patience,
                self.missing()
            );
            let now = self.clock.now();
            match window {
                None if now >= begin => {
                    self.measuring = true;
                    let opened = Window::begin(self.subject.process, self.deliveries)?;
                    window = Some((opened, self.completed));
                }
                Some((window, completed)) if now >= end => {
                    self.measuring = false;
                    return Ok((window.end(self.deliveries)?, self.completed - completed));
                }
                _ => {}
            }
        }
    }

    /// Every publisher sends what its window has room for, in one write.
    fn send(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        let count = self.publishers.len();
        for (number, publisher) in self.publishers.iter_mut().enumerate() {
            let room = self.options.in_flight - publisher.waiting.len();
            if room == 0 {
                continue;
            }
            self.outgoing.clear();
            let intended = self.clock.now();
            for _ in 0..room {
                let sequence = publisher.sent * count as u32 + number as u32;
                let stamp = Stamp { sequence, intended };
                self.subject.protocol.write_publish(
                    &publisher.room,
                    stamp,
                    self.options.bytes,
                    &mut self.outgoing,
                );
                publisher.sent += 1;
                publisher.waiting.push_back(self.options.members);
            }
            clients.send(self.options.members + number, &self.outgoing)?;
        }
        Ok(())
    }

    fn take(&mut self, index: usize, text: &[u8]) {
        let Some(stamp) = self.finder.find(text) else {
            return;
        };
        self.deliveries += 1;
        // Publishers may hear each other; they are numbered behind the members.
        if index >= self.options.members {
            return;
        }
        let count = self.publishers.len();
        let (message, number) = divide(stamp, count);
        let next = &mut self.next[index * count + number];
        if message != *next {
            self.out_of_order += 1;
        }
        *next = message + 1;
        let publisher = &mut self.publishers[number];
        publisher.arrived(message);
        while publisher.waiting.front() == Some(&0) {
            publisher.waiting.pop_front();
            self.completed += 1;
        }
        if self.measuring {
            let now: Nanos = self.clock.now();
            self.latencies.record(now.saturating_sub(stamp.intended));
        }
    }

    /// Receives what is still under way when the last message has been sent.
    fn rest(&mut self, clients: &mut Clients) -> anyhow::Result<()> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let end = Instant::now() + PATIENCE;
        while self.missing() > 0 && Instant::now() < end {
            clients.turn(Duration::from_millis(50), |index, text| {
                self.take(index, text);
            })?;
        }
        Ok(())
    }

    fn missing(&self) -> u64 {
        let waiting = self.publishers.iter().flat_map(|it| &it.waiting);
        waiting.map(|&members| members as u64).sum()
    }
}

impl Publisher {
    /// A member has message number `message`; one that everybody has already counts no more.
    fn arrived(&mut self, message: u32) {
        let oldest = self.sent - self.waiting.len() as u32;
        let position = message.checked_sub(oldest);
        if let Some(members) = position.and_then(|at| self.waiting.get_mut(at as usize)) {
            *members = members.saturating_sub(1);
        }
    }
}

/// The number of a message among those of its publisher, and the publisher's.
fn divide(stamp: Stamp, publishers: usize) -> (u32, usize) {
    let publishers = publishers as u32;
    (
        stamp.sequence / publishers,
        (stamp.sequence % publishers) as usize,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_through_when_all_members_have_it_and_those_before_it() {
        let mut publisher = Publisher {
            room: "lobby".to_owned(),
            sent: 12,
            waiting: VecDeque::from([2, 1]),
        };
        publisher.arrived(11);
        publisher.arrived(10);
        assert_eq!(publisher.waiting, [1, 0]);
        publisher.arrived(9);
        publisher.arrived(11);
        publisher.arrived(12);
        assert_eq!(
            publisher.waiting,
            [1, 0],
            "what is no longer or not yet under way"
        );
    }

    #[test]
    fn a_number_tells_the_publisher() {
        let stamp = Stamp {
            sequence: 11,
            intended: 0,
        };
        assert_eq!(divide(stamp, 4), (2, 3));
        assert_eq!(divide(stamp, 1), (11, 0));
    }
}
