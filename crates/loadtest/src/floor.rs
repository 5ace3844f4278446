//! What the kernel alone asks for a fan-out: a bare thread that writes every message to every socket.
//!
//! No server can deliver one message at a time for less, unless it merges messages or saves system calls, so the figures
//! of servers are read relative to this one, taken on the same machine in the same minute.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;

use crate::clients::Clients;
use crate::clock::Clock;
use crate::latency::{Latencies, Quantiles};
use crate::launch::pause;
use crate::load::{Used, Window};
use crate::machine::{self, Cores};
use crate::process::thread_cpu;
use crate::protocol::Protocol;
use crate::scenario::fanout::FanoutOptions;
use crate::schedule::Schedule;
use crate::stamp::{self, Stamp, StampFinder};

/// What the floor showed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FloorReport {
    pub(crate) sockets: usize,
    pub(crate) burst: u32,
    /// CPU time of the writing thread per message and socket, in microseconds. A burst is one `write`.
    pub(crate) us_per_message: f64,
    pub(crate) latency: Quantiles,
    /// Cores' worth of work that other programs did meanwhile.
    pub(crate) foreign_cores: f64,
}

/// Runs the load of a fan-out without any server.
pub(crate) fn run(options: &FanoutOptions, cores: Option<Cores>) -> anyhow::Result<FloorReport> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let address = listener.local_addr().context("cannot listen")?;
    std::thread::scope(|scope| {
        let (go, started) = channel();
        let sender = scope.spawn(move || {
            if let Some(cores) = cores {
                machine::pin(cores.server)?;
            }
            send_all(&listener, options, &started)
        });
        let received = receive_all(address, options, go);
        let us_per_message = sender
            .join()
            .map_err(|_| anyhow!("the sender panicked"))??;
        let (latency, used) = received?;
        Ok(FloorReport {
            sockets: options.members,
            burst: options.burst,
            us_per_message,
            latency,
            foreign_cores: used.foreign_cores,
        })
    })
}

fn send_all(
    listener: &TcpListener,
    options: &FanoutOptions,
    started: &Receiver<(Clock, Schedule)>,
) -> anyhow::Result<f64> {
    let mut sockets: Vec<TcpStream> = Vec::with_capacity(options.members);
    while sockets.len() < options.members {
        let (mut socket, _) = listener.accept().context("cannot accept")?;
        socket.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        socket.write_all(b"welcome\r\n").context("cannot greet")?;
        sockets.push(socket);
    }
    let (clock, schedule) = started.recv().context("the receiver gave up")?;
    let mut measured_from = None;
    let mut message = Vec::new();
    for (burst, intended) in schedule.bursts() {
        if burst * schedule.burst() == schedule.first_measured() {
            measured_from = Some(thread_cpu());
        }
        pause(clock.until(intended));
        message.clear();
        for index in 0..schedule.burst() {
            let sequence = burst * schedule.burst() + index;
            Stamp { sequence, intended }.write(&mut message);
            let padding = options.bytes.saturating_sub(stamp::LENGTH + 2);
            message.resize(message.len() + padding, b'x');
            message.extend_from_slice(b"\r\n");
        }
        for socket in &mut sockets {
            socket.write_all(&message).context("cannot send")?;
        }
    }
    let Some(measured_from) = measured_from else {
        bail!("the run was too short");
    };
    let used = thread_cpu() - measured_from;
    let messages = f64::from(schedule.measured()) * options.members as f64;
    Ok(used.as_secs_f64() * 1e6 / messages)
}

fn receive_all(
    address: SocketAddr,
    options: &FanoutOptions,
    go: std::sync::mpsc::Sender<(Clock, Schedule)>,
) -> anyhow::Result<(Quantiles, Used)> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let mut clients = Clients::new(Protocol::TcpVerbs, None)?;
    clients.open(address, "", options.members, PATIENCE)?;
    let clock = Clock::start();
    let schedule = Schedule::new(
        10_000_000,
        options.rate,
        options.burst,
        options.warmup,
        options.duration,
    );
    let window = Window::begin(None, 0)?;
    go.send((clock, schedule)).context("the sender gave up")?;
    let finder = StampFinder::new();
    let mut latencies = Latencies::new()?;
    clients.collect(
        "messages",
        schedule.measured() as usize * options.members,
        options.warmup + options.duration + PATIENCE,
        |_, text| {
            let Some(stamp) = finder.find(text) else {
                return false;
            };
            let measured = stamp.sequence >= schedule.first_measured();
            if measured {
                latencies.record(clock.now().saturating_sub(stamp.intended));
            }
            measured
        },
    )?;
    let latency = latencies.quantiles();
    let used = window.end(latency.count)?;
    Ok((latency, used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_measured_over_all_measured_messages() {
        let options = FanoutOptions {
            members: 4,
            rate: 100.0,
            burst: 2,
            bytes: 100,
            warmup: Duration::from_millis(20),
            duration: Duration::from_millis(100),
        };
        let report = run(&options, None).unwrap();
        assert_eq!(report.latency.count, 4 * 10, "{report:?}");
        assert!(report.us_per_message > 0.0, "{report:?}");
    }
}
