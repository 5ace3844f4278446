//! How long until the last member of a room has what was said.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::clock::{Clock, Nanos, parse_duration};
use crate::protocol::Role;
use crate::stamp::{Stamp, StampFinder};
use crate::subject::Subject;

/// The load of `say`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SayOptions {
    /// Connections that receive.
    #[arg(long, default_value_t = 500)]
    pub(crate) members: usize,
    /// How many messages are measured, one after the other.
    #[arg(long, default_value_t = 50)]
    pub(crate) count: u32,
    /// Time between two messages, if the last one has arrived everywhere by then.
    #[arg(long, default_value = "50ms", value_parser = parse_duration)]
    pub(crate) pause: Duration,
    /// Bytes of a message.
    #[arg(long, default_value_t = 100)]
    pub(crate) bytes: usize,
}

/// What `say` showed: times from the write of the message to its receipt by the first and the last member.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SayReport {
    pub(crate) members: usize,
    pub(crate) count: u32,
    pub(crate) first_us_median: f64,
    pub(crate) last_us_median: f64,
    pub(crate) last_us_best: f64,
    pub(crate) last_us_worst: f64,
}

/// Runs the load against a server that is up.
pub(crate) fn run(subject: &Subject, options: &SayOptions) -> anyhow::Result<SayReport> {
    /// Not measured: the first messages meet cold code and, in some servers, a compiler.
    const WARMUP: u32 = 10;
    let mut clients = subject.clients()?;
    subject.open(&mut clients, Role::Member, options.members)?;
    subject.open(&mut clients, Role::Publisher, 1)?;

    let room = subject.room_of(0);
    let clock = Clock::start();
    let finder = StampFinder::new();
    let mut firsts = Vec::new();
    let mut lasts = Vec::new();
    let mut outgoing = Vec::new();
    for sequence in 0..WARMUP + options.count {
        let intended = clock.now();
        outgoing.clear();
        subject.protocol.write_publish(
            &room,
            Stamp { sequence, intended },
            options.bytes,
            &mut outgoing,
        );
        clients.send(options.members, &outgoing)?;
        let mut first = 0;
        let mut last = 0;
        clients.collect(
            "members that heard a message",
            options.members,
            subject.patience,
            |index, text| {
                let mine = finder
                    .find(text)
                    .is_some_and(|stamp| stamp.sequence == sequence);
                if !mine || index == options.members {
                    return false;
                }
                last = clock.now() - intended;
                if first == 0 {
                    first = last;
                }
                true
            },
        )?;
        if sequence >= WARMUP {
            firsts.push(first);
            lasts.push(last);
        }
        clients.drain(options.pause, options.pause)?;
    }
    firsts.sort_unstable();
    lasts.sort_unstable();
    Ok(SayReport {
        members: options.members,
        count: options.count,
        first_us_median: us(firsts[firsts.len() / 2]),
        last_us_median: us(lasts[lasts.len() / 2]),
        last_us_best: us(lasts[0]),
        last_us_worst: us(lasts[lasts.len() - 1]),
    })
}

fn us(time: Nanos) -> f64 {
    time as f64 / 1_000.0
}
