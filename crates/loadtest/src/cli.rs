//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::bench::{self, BenchOptions};
use crate::clock::parse_duration;
use crate::floor;
use crate::launch::Launched;
use crate::machine::{self, Cores};
use crate::process::ProcessTree;
use crate::protocol::Protocol;
use crate::report::{self, Report};
use crate::scenario::calls::{self, CallsOptions};
use crate::scenario::fanout::{self, FanoutOptions};
use crate::scenario::full::{self, FullOptions};
use crate::scenario::idle::{self, IdleOptions};
use crate::scenario::say::{self, SayOptions};
use crate::stream::Tls;
use crate::subject::Subject;
use crate::watchers::{self, WatchersOptions};

/// Load generator for Polyport and the servers it is compared with.
///
/// Messages are sent on a fixed schedule and latencies are counted from the intended time. Give --pid or --spawn to have
/// the server's CPU time and memory told too.
#[derive(Parser, Debug)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// One publisher, many members: server CPU and latency per delivery
    Fanout {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        options: FanoutOptions,
    },
    /// Publishers that keep messages under way: deliveries a second and server CPU per delivery at full load
    Full {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        options: FullOptions,
    },
    /// Requests answered to their sender: server CPU and latency per reply
    Calls {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        options: CallsOptions,
    },
    /// Memory per idle connection, before and after a burst of messages
    Idle {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        options: IdleOptions,
    },
    /// Time until the last member of a room has a message
    Say {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        options: SayOptions,
    },
    /// What the kernel alone asks for a fan-out: a bare thread writing to sockets
    Floor {
        #[command(flatten)]
        options: FanoutOptions,
        #[command(flatten)]
        output: Output,
    },
    /// What a busy gateway's CPU is asked for by `polyport top` and by the console's overview
    Watchers {
        #[command(flatten)]
        options: WatchersOptions,
        #[command(flatten)]
        output: Output,
    },
    /// Starts the gateway and its peers in turns, measures all of them and prints medians and ratios
    Bench {
        #[command(flatten)]
        options: BenchOptions,
        #[command(flatten)]
        output: Output,
    },
}

/// How results are printed.
#[derive(Args, Clone, Copy, Debug)]
struct Output {
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// The server under test.
#[derive(Args, Clone, Debug)]
struct Target {
    /// What it speaks.
    #[arg(long, value_enum, default_value = "tcp-verbs")]
    protocol: Protocol,
    /// Where it listens [default: 127.0.0.1:5000 for tcp-verbs, 127.0.0.1:8001 for ws, 127.0.0.1:8080 for ws-rpc,
    /// 127.0.0.1:3000 for socket-io, 127.0.0.1:8000 for socketcluster and devtools-relay].
    #[arg(long)]
    address: Option<SocketAddr>,
    /// Its process.
    #[arg(long, conflicts_with = "spawn")]
    pid: Option<u32>,
    /// The command that starts it, words separated by spaces. It gets a core of its own and is killed at the end.
    #[arg(long)]
    spawn: Option<String>,
    /// Room that is published to (tcp-verbs, socketcluster), or what apps call themselves (devtools-relay).
    #[arg(long, default_value = "defaultRoom")]
    room: String,
    /// The server puts members into the room by itself.
    #[arg(long)]
    joined: bool,
    /// Path that members open over WebSocket [default: /; for socket-io /socket.io/ with EIO=4&transport=websocket; for
    /// socketcluster and devtools-relay /socketcluster/].
    #[arg(long)]
    path: Option<String>,
    /// Path that the publisher or caller opens over WebSocket [default: --path].
    #[arg(long)]
    publish_path: Option<String>,
    /// Speak TLS and trust the certificates in this PEM file, which must name the server's address.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// The longest time that setting up or waiting for answers may take.
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    patience: Duration,
    #[command(flatten)]
    output: Output,
}

impl Cli {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Task::Fanout { target, options } => {
                target.run(options.members, |subject| fanout::run(subject, &options))
            }
            Task::Full { target, options } => target
                .run(options.members + options.publishers, |subject| {
                    full::run(subject, &options)
                }),
            Task::Calls { target, options } => {
                target.run(options.connections, |subject| calls::run(subject, &options))
            }
            Task::Idle { target, options } => target
                .run(options.connections + options.first, |subject| {
                    idle::run(subject, &options)
                }),
            Task::Say { target, options } => {
                target.run(options.members, |subject| say::run(subject, &options))
            }
            Task::Floor { options, output } => {
                machine::allow_open_files(room_for(options.members * 2))?;
                let cores = pin_self()?;
                report::print(&floor::run(&options, cores)?, output.json)
            }
            Task::Watchers { options, output } => watchers::run(&options, output.json),
            Task::Bench { options, output } => bench::run(&options, output.json),
        }
    }
}

impl Target {
    fn run<R: Report + Serialize>(
        self,
        connections: usize,
        scenario: impl FnOnce(&Subject) -> anyhow::Result<R>,
    ) -> anyhow::Result<ExitCode> {
        machine::allow_open_files(room_for(connections))?;
        let address = self
            .address
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], self.protocol.port())));
        let launched = match &self.spawn {
            Some(line) => Some(self.launch(line, address)?),
            None => None,
        };
        let process = match (&launched, self.pid) {
            (Some(launched), _) => Some(launched.process()?),
            (None, Some(pid)) => Some(ProcessTree::new(pid)?),
            (None, None) => None,
        };
        let path = self.path.unwrap_or_else(|| self.protocol.path().to_owned());
        let subject = Subject {
            far: None,
            protocol: self.protocol,
            address,
            publish_path: self.publish_path.unwrap_or_else(|| path.clone()),
            member_path: path,
            room: self.room,
            join: !self.joined,
            process,
            tls: self.tls.as_deref().map(Tls::trusting).transpose()?,
            patience: self.patience,
        };
        report::print(&scenario(&subject)?, self.output.json)
    }

    fn launch(&self, line: &str, address: SocketAddr) -> anyhow::Result<Launched> {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().context("--spawn is empty")?);
        command.args(words);
        Launched::start(command, pin_self()?, &[address], self.patience)
    }
}

/// Open files that `connections` need in one process, with some to spare.
fn room_for(connections: usize) -> u64 {
    connections as u64 + 500
}

fn pin_self() -> anyhow::Result<Option<Cores>> {
    let cores = Cores::pick();
    if let Some(cores) = cores {
        machine::pin(cores.client)?;
    }
    Ok(cores)
}
