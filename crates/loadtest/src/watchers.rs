//! What it costs a busy gateway to be watched: its CPU in turns with and without `polyport top`, and with somebody who asks for
//! the console's overview.
//!
//! Intervals with a watcher alternate with intervals without, on the same sessions and under the same load, and each is compared
//! with the mean of the two beside it, so that what drifts slowly cancels out. Medians of these differences are told, with the
//! lowest and the highest.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde::Serialize;

use crate::clients::Clients;
use crate::clock::{Clock, Nanos, nanos, parse_duration};
use crate::launch::{Launched, free_address, pause};
use crate::machine::{self, Cores};
use crate::process::ProcessTree;
use crate::protocol::{Protocol, Role};
use crate::report::{self, Report};
use crate::stamp::{Stamp, StampFinder};
use crate::subject::Subject;

/// The key by which watchers are known.
const KEY: &str = "key-of-the-load-generator-0123456789";

/// The console asks so often.
const OVERVIEW_EVERY: Duration = Duration::from_secs(2);

/// What is left out behind the beginning and the end of a watcher.
const SETTLE: Duration = Duration::from_secs(2);

/// Less than this share of the wanted load is another load.
const ENOUGH: f64 = 0.95;

/// The load, and how thoroughly it is measured.
#[derive(Args, Clone, Debug)]
pub(crate) struct WatchersOptions {
    /// The gateway's binary, which is `polyport top` too.
    #[arg(long, default_value = "target/release/polyport")]
    server: PathBuf,
    /// Sessions in one room.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) sessions: usize,
    /// Deliveries a second.
    #[arg(long, default_value_t = 50_000)]
    deliveries: u32,
    /// Intervals with each watcher; one without stands between any two.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// One interval.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    interval: Duration,
    /// The longest time that setting up may take.
    #[arg(long, default_value = "120s", value_parser = parse_duration)]
    patience: Duration,
}

/// Who watches in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watcher {
    Nobody,
    Top,
    Overview,
}

/// One interval: shares of one core, and what was delivered.
#[derive(Clone, Copy, Debug, Serialize)]
struct Interval {
    server: f64,
    watcher: f64,
    deliveries_per_second: f64,
}

/// Median, lowest and highest, in per cent of one core.
#[derive(Clone, Copy, Debug, Serialize)]
struct Percent {
    median: f64,
    lowest: f64,
    highest: f64,
}

/// What being watched costs.
#[derive(Debug, Serialize)]
pub(crate) struct WatchersReport {
    sessions: usize,
    rounds: usize,
    deliveries_per_second: f64,
    /// The gateway with nobody watching.
    alone: Percent,
    /// What `polyport top` adds to the gateway.
    top_adds: Percent,
    /// What `polyport top` itself uses.
    top_uses: Percent,
    /// What asking for the overview adds to the gateway; nothing if it has none.
    overview_adds: Option<Percent>,
    lost_connections: usize,
}

/// Starts a gateway, puts the load on it and has it watched in turns.
pub(crate) fn run(options: &WatchersOptions, json: bool) -> anyhow::Result<ExitCode> {
    ensure!(options.rounds > 0, "at least one round is needed");
    ensure!(
        options.sessions > 0 && options.deliveries > 0,
        "there is no load to be watched"
    );
    machine::allow_open_files(options.sessions as u64 + 500)?;
    let cores = Cores::pick();
    if let Some(cores) = cores {
        machine::pin(cores.client)?;
    }
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let (admin, tcp) = (free_address()?, free_address()?);
    let configuration = folder.path().join("gateway.toml");
    fs::write(&configuration, text(admin, tcp)).context("cannot write the configuration")?;
    let mut command = polyport(&options.server, &["run", "--config"]);
    command.arg(&configuration);
    let server = Launched::start(command, cores, &[admin, tcp], options.patience)?;
    let subject = Subject {
        far: None,
        protocol: Protocol::TcpVerbs,
        address: tcp,
        member_path: String::new(),
        publish_path: String::new(),
        room: "lobby".to_owned(),
        join: false,
        process: Some(server.process()?),
        tls: None,
        patience: options.patience,
    };
    let mut load = Load::new(&subject, options)?;
    let watching = Watching {
        binary: &options.server,
        folder: folder.path(),
        admin,
        server: server.process()?,
    };
    report::print(&measure(&mut load, &watching, options)?, json)
}

fn text(admin: SocketAddr, tcp: SocketAddr) -> String {
    format!(
        r#"[limits]
sessions = 100000

[log]
level = "warn"

[admin]
bind = "{admin}"

[api]

[listeners.tcp]
protocol = "tcp-verbs"
bind = "{tcp}"
join = ["lobby"]
limits = {{ sessions = 50000, sessions_per_address = 0 }}
"#
    )
}

fn polyport(binary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).env("POLYPORT_API_KEY", KEY);
    command
}

fn measure(
    load: &mut Load<'_>,
    watching: &Watching<'_>,
    options: &WatchersOptions,
) -> anyhow::Result<WatchersReport> {
    load.drive(SETTLE)?;
    let has_overview = overview(watching.admin)? == 200;
    if !has_overview {
        report::tell("the gateway has no /api/overview: asking for it is left out");
    }
    let watchers: &[Watcher] = if has_overview {
        &[Watcher::Top, Watcher::Overview]
    } else {
        &[Watcher::Top]
    };
    let mut intervals = vec![(
        Watcher::Nobody,
        watching.interval(Watcher::Nobody, load, options)?,
    )];
    for _ in 0..options.rounds {
        for &watcher in watchers {
            for next in [watcher, Watcher::Nobody] {
                intervals.push((next, watching.interval(next, load, options)?));
            }
        }
    }
    let alone = figures(&intervals, Watcher::Nobody, |_, interval| interval.server);
    let adds = |watcher| {
        figures(&intervals, watcher, |at, interval| {
            let beside = [intervals[at - 1].1.server, intervals[at + 1].1.server];
            interval.server - f64::midpoint(beside[0], beside[1])
        })
    };
    let rates = intervals
        .iter()
        .map(|(_, interval)| interval.deliveries_per_second);
    Ok(WatchersReport {
        sessions: options.sessions,
        rounds: options.rounds,
        deliveries_per_second: rates.clone().sum::<f64>() / rates.count() as f64,
        alone: Percent::of(alone),
        top_adds: Percent::of(adds(Watcher::Top)),
        top_uses: Percent::of(figures(&intervals, Watcher::Top, |_, it| it.watcher)),
        overview_adds: has_overview.then(|| Percent::of(adds(Watcher::Overview))),
        lost_connections: load.clients.lost(),
    })
}

/// A figure of each interval with that watcher, which knows its place among all of them.
fn figures(
    intervals: &[(Watcher, Interval)],
    watcher: Watcher,
    figure: impl Fn(usize, &Interval) -> f64,
) -> Vec<f64> {
    let all = intervals.iter().enumerate();
    let of_it = all.filter(|(_, (known, _))| *known == watcher);
    of_it
        .map(|(at, (_, interval))| figure(at, interval))
        .collect()
}

impl Percent {
    fn of(mut shares: Vec<f64>) -> Self {
        shares.sort_by(f64::total_cmp);
        let middle = shares.len() / 2;
        let median = if shares.len() % 2 == 1 {
            shares[middle]
        } else {
            f64::midpoint(shares[middle - 1], shares[middle])
        };
        Self {
            median: median * 100.0,
            lowest: shares[0] * 100.0,
            highest: shares[shares.len() - 1] * 100.0,
        }
    }

    fn text(self) -> String {
        let Self {
            median,
            lowest,
            highest,
        } = self;
        format!("{median:.2} % of a core ({lowest:.2} to {highest:.2})")
    }
}

impl Report for WatchersReport {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let load = format!(
            "{} sessions, {:.0} deliveries a second, {} rounds",
            self.sessions, self.deliveries_per_second, self.rounds
        );
        let mut lines = vec![
            ("load", load),
            ("gateway alone", self.alone.text()),
            ("top adds", self.top_adds.text()),
            ("top itself", self.top_uses.text()),
        ];
        if let Some(adds) = self.overview_adds {
            lines.push(("overview adds", adds.text()));
        }
        if self.lost_connections > 0 {
            lines.push(("connections lost", self.lost_connections.to_string()));
        }
        lines
    }
}

/// A gateway, and who may watch it.
struct Watching<'a> {
    binary: &'a Path,
    folder: &'a Path,
    admin: SocketAddr,
    server: ProcessTree,
}

impl Watching<'_> {
    /// Measures one interval, without what a watcher takes to begin and to end.
    fn interval(
        &self,
        watcher: Watcher,
        load: &mut Load<'_>,
        options: &WatchersOptions,
    ) -> anyhow::Result<Interval> {
        let top = match watcher {
            Watcher::Top => Some(Top::start(self)?),
            Watcher::Nobody | Watcher::Overview => None,
        };
        let asking = match watcher {
            Watcher::Overview => Some(Asking::start(self.admin)),
            Watcher::Nobody | Watcher::Top => None,
        };
        load.drive(SETTLE)?;
        let used = |top: &Option<Top>| top.as_ref().map_or(Ok(Duration::ZERO), Top::cpu);
        let began = Instant::now();
        let (server, by_watcher) = (self.server.cpu()?, used(&top)?);
        let delivered = load.drive(options.interval)?;
        let seconds = began.elapsed().as_secs_f64();
        let share = |after: Duration, before: Duration| (after - before).as_secs_f64() / seconds;
        let interval = Interval {
            server: share(self.server.cpu()?, server),
            watcher: share(used(&top)?, by_watcher),
            deliveries_per_second: delivered as f64 / seconds,
        };
        let wanted = f64::from(options.deliveries);
        // One message may be just before or behind the interval.
        let on_the_edge = options.sessions as f64 / seconds;
        ensure!(
            interval.deliveries_per_second + on_the_edge > wanted * ENOUGH,
            "only {:.0} deliveries a second instead of {wanted}: the machine is too busy for this load",
            interval.deliveries_per_second
        );
        if let Some(asking) = asking {
            asking.end()?;
        }
        Ok(interval)
    }
}

/// Sessions in a room, and somebody who speaks there.
struct Load<'a> {
    subject: &'a Subject,
    clients: Clients,
    clock: Clock,
    finder: StampFinder,
    period: Nanos,
    next: Nanos,
    sequence: u32,
    outgoing: Vec<u8>,
}

impl<'a> Load<'a> {
    fn new(subject: &'a Subject, options: &WatchersOptions) -> anyhow::Result<Self> {
        let mut clients = subject.clients()?;
        subject.open(&mut clients, Role::Member, options.sessions)?;
        // Messages a second, each to all of them.
        let rate = f64::from(options.deliveries) / options.sessions as f64;
        let clock = Clock::start();
        Ok(Self {
            subject,
            clients,
            finder: StampFinder::new(),
            period: nanos(Duration::from_secs_f64(1.0 / rate)),
            next: clock.now(),
            clock,
            sequence: 0,
            outgoing: Vec::new(),
        })
    }

    /// Goes on for that long; returns how many deliveries have come.
    fn drive(&mut self, time: Duration) -> anyhow::Result<u64> {
        let end = self.clock.now() + nanos(time);
        let mut delivered = 0;
        while self.next < end {
            delivered += self.receive(self.next)?;
            let stamp = Stamp {
                sequence: self.sequence,
                intended: self.next,
            };
            self.sequence = self.sequence.wrapping_add(1);
            self.outgoing.clear();
            let protocol = self.subject.protocol;
            protocol.write_publish(&self.subject.room, stamp, 100, &mut self.outgoing);
            self.clients.send(0, &self.outgoing)?;
            self.next += self.period;
        }
        Ok(delivered + self.receive(end)?)
    }

    fn receive(&mut self, until: Nanos) -> anyhow::Result<u64> {
        let mut delivered = 0;
        while self.clock.now() < until {
            let timeout = self.clock.until(until);
            let finder = &self.finder;
            self.clients.turn(timeout, |_, text| {
                delivered += u64::from(finder.find(text).is_some());
            })?;
        }
        Ok(delivered)
    }
}

/// `polyport top` on a terminal of its own; ended when dropped.
struct Top {
    child: Child,
    /// Reads what it draws.
    screen: Option<JoinHandle<u64>>,
}

impl Top {
    fn start(watching: &Watching<'_>) -> anyhow::Result<Self> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let name = ptsname(&terminal, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let side = rustix::fs::open(&*name, flags, Mode::empty())?;
        let stdio = |side: &OwnedFd| side.try_clone().map(Stdio::from);
        let mut command = polyport(watching.binary, &["top", "--url"]);
        command
            .arg(format!("http://{}", watching.admin))
            .current_dir(watching.folder)
            .stdin(stdio(&side)?)
            .stdout(stdio(&side)?)
            .stderr(stdio(&side)?);
        let child = command.spawn().context("cannot start polyport top")?;
        // With nobody else holding its side, the terminal ends when `top` does.
        drop(command);
        drop(side);
        let mut terminal = fs::File::from(terminal);
        let screen = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut drawn = 0;
            while let Ok(length @ 1..) = terminal.read(&mut buffer) {
                drawn += length as u64;
            }
            drawn
        });
        Ok(Self {
            child,
            screen: Some(screen),
        })
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        let process = ProcessTree::new(self.child.id()).context("polyport top has ended")?;
        process.cpu()
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(screen) = self.screen.take() {
            let _ = screen.join();
        }
    }
}

/// Somebody who asks for the overview as the console does.
struct Asking {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Asking {
    fn start(admin: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU32::new(0));
        let (told, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            let mut next = Instant::now();
            while !told.load(Ordering::Relaxed) {
                if Instant::now() < next {
                    pause(Duration::from_millis(50));
                    continue;
                }
                next += OVERVIEW_EVERY;
                let status = overview(admin)?;
                ensure!(status == 200, "/api/overview is answered with {status}");
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self {
            stop,
            answered,
            thread,
        }
    }

    fn end(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Ok(ended) = self.thread.join() else {
            bail!("asking for the overview has failed");
        };
        ended?;
        ensure!(
            self.answered.load(Ordering::Relaxed) > 0,
            "the overview was never answered"
        );
        Ok(())
    }
}

/// Asks for the overview and reads all of it; the status.
fn overview(admin: SocketAddr) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(admin).context("the admin listener is gone")?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "GET /api/overview HTTP/1.1\r\nhost: {admin}\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = String::from_utf8_lossy(&answer[..answer.len().min(32)]).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    status.with_context(|| format!("no answer of HTTP: {head}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(server: f64) -> Interval {
        Interval {
            server,
            watcher: 0.01,
            deliveries_per_second: 1.0,
        }
    }

    #[test]
    fn a_drift_is_no_cost() {
        let servers = [0.50, 0.53, 0.54, 0.57, 0.58];
        let watchers = [Watcher::Nobody, Watcher::Top].into_iter().cycle();
        let intervals: Vec<_> = watchers.zip(servers.map(interval)).collect();
        let adds = figures(&intervals, Watcher::Top, |at, it| {
            it.server - (intervals[at - 1].1.server + intervals[at + 1].1.server) / 2.0
        });
        let adds = Percent::of(adds);
        assert!((adds.median - 1.0).abs() < 1e-9, "{adds:?}");
        assert!((adds.highest - adds.lowest).abs() < 1e-9);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        let odd = Percent::of(vec![0.3, 0.1, 0.2]);
        assert_eq!(odd.text(), "20.00 % of a core (10.00 to 30.00)");
        assert!((Percent::of(vec![0.1, 0.4, 0.2, 0.3]).median - 25.0).abs() < 1e-9);
    }
}
