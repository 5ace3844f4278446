//! Servers side by side: every case is run by every server in turns (A B A B ...), each time by a fresh process on a core
//! of its own, and the medians are compared.

mod cases;
mod gateway;
mod servers;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use crate::clock::parse_duration;
use crate::machine::{self, Cores};
use crate::report;
use cases::{Case, Entry, Server};
use table::Table;

/// What is compared, and how thoroughly.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchOptions {
    /// Only these cases; all of them if none is named. `--list` names them.
    pub(crate) cases: Vec<String>,
    /// Print the cases with their budgets and stop.
    #[arg(long)]
    list: bool,
    /// How often every server runs every case.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The gateway's binary.
    #[arg(long, default_value = "target/release/polyport")]
    server: PathBuf,
    /// Where the peers are installed (by the script `install` in it).
    #[arg(long, default_value = "crates/loadtest/peers")]
    peers: PathBuf,
    /// Only these servers.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Only>,
    /// Load before each measurement.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    warmup: Duration,
    /// Each measurement.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// End with an error when a budget is missed.
    #[arg(long)]
    check: bool,
}

/// A server, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Polyport itself.
    Gateway,
    /// µWebSockets, inside npm `bun`.
    Bun,
    /// npm `ws`.
    Ws,
    /// npm `actionhero`.
    Actionhero,
    /// npm socket.red.
    SocketRed,
    /// npm socket.io.
    SocketIo,
    /// The crate socketioxide.
    Socketioxide,
    /// npm `socketcluster-server`.
    Socketcluster,
    /// npm `remotedev-server`.
    Remotedev,
    /// A bare thread that writes to sockets.
    Kernel,
}

/// Runs what `options` ask for and prints it.
pub(crate) fn run(options: &BenchOptions, json: bool) -> anyhow::Result<ExitCode> {
    let cases = chosen(options)?;
    if options.list {
        cases.iter().for_each(table::print_case);
        return Ok(ExitCode::SUCCESS);
    }
    machine::allow_open_files(12_000)?;
    let cores = Cores::pick();
    if let Some(cores) = cores {
        machine::pin(cores.client)?;
    }
    let mut table = Table::default();
    for case in &cases {
        measure(case, options, cores, &mut table)?;
        if !json {
            table.print_last();
        }
    }
    if json {
        table.print_json()?;
    }
    let missed = table.missed();
    if options.check && missed > 0 {
        report::tell(&format!("{missed} budgets are missed"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(options: &BenchOptions) -> anyhow::Result<Vec<Case>> {
    let mut cases = cases::all(options.warmup, options.duration);
    for name in &options.cases {
        if !cases.iter().any(|case| case.name == name) {
            let names: Vec<_> = cases.iter().map(|case| case.name).collect();
            bail!("there is no case `{name}`; there are {}", names.join(", "));
        }
    }
    if !options.cases.is_empty() {
        cases.retain(|case| options.cases.iter().any(|name| case.name == name));
    }
    Ok(cases)
}

fn measure(
    case: &Case,
    options: &BenchOptions,
    cores: Option<Cores>,
    table: &mut Table,
) -> anyhow::Result<()> {
    let available: Vec<&Entry> = case
        .entries
        .iter()
        .filter(|entry| options.only.is_empty() || options.only.contains(&only(entry.server)))
        .filter(|entry| match servers::missing(entry.server, options) {
            None => true,
            Some(what) => {
                report::tell(&format!(
                    "{}: {} is left out: {what}",
                    case.name, entry.label
                ));
                false
            }
        })
        .collect();
    table.begin(case);
    for round in 1..=options.runs.max(1) {
        for entry in &available {
            report::tell(&format!(
                "{}: {} ({round} of {})",
                case.name, entry.label, options.runs
            ));
            let figures = servers::run(entry, options, cores)
                .with_context(|| format!("{}: {}", case.name, entry.label))?;
            table.add(entry, figures);
        }
    }
    Ok(())
}

fn only(server: Server) -> Only {
    match server {
        Server::Gateway(_) | Server::Nodes => Only::Gateway,
        Server::Bun => Only::Bun,
        Server::Ws => Only::Ws,
        Server::Actionhero => Only::Actionhero,
        Server::SocketRed => Only::SocketRed,
        Server::SocketIo | Server::SocketIoNodes => Only::SocketIo,
        Server::Socketioxide => Only::Socketioxide,
        Server::Socketcluster => Only::Socketcluster,
        Server::Remotedev => Only::Remotedev,
        Server::Kernel => Only::Kernel,
    }
}
