//! The load generator of Polyport, and the benchmark that runs it side by side against other servers.
//!
//! It is a pure client: it shares no code with the gateway, so that neither can hide the other's mistakes. `scenario` says
//! what is measured, `clients` and `protocol` how it is driven, `process` and `load` what it costs the server, `bench`
//! which servers are put beside each other. Start reading at `scenario/fanout.rs`.

mod bench;
mod cli;
mod clients;
mod clock;
mod floor;
mod latency;
mod launch;
mod load;
mod machine;
mod process;
mod protocol;
mod report;
mod scenario;
mod schedule;
mod stamp;
mod stream;
mod subject;
mod watchers;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}
