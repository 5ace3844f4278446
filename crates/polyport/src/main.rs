//! The `polyport` command.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Error, bail, ensure};
use clap::Parser;
use polyport::{
    cli::{self, Cli, Command},
    config::{self, Inputs, Loaded, Problems},
    doctor, health, install_page, logging, remote, replay,
    run::{self, Origin},
    safety, token_command,
    upgrade::Program,
};
use polyport_net::{Predecessor, Sockets};

/// `EX_CONFIG` of sysexits.h: the configuration is wrong, and trying again will not help.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    match act(cli.command(), &cli.inputs(variables)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let status = if error.is::<Problems>() {
                ExitCode::from(EXIT_CONFIG)
            } else {
                ExitCode::FAILURE
            };
            // Nothing is left to be done when standard error is gone as well.
            let _ = writeln!(io::stderr(), "{error:#}");
            status
        }
    }
}

fn act(command: Command, inputs: &Inputs) -> anyhow::Result<()> {
    match command {
        Command::Run => {
            let program = Program::of_this_process().context("cannot find the own binary")?;
            let taken = Sockets::take().context("cannot use what LISTEN_FDS says")?;
            let (sockets, mut predecessor) = taken;
            let origin = Origin {
                inputs: inputs.clone(),
                program,
                sockets,
            };
            let ran = run_gateway(&origin, &mut predecessor);
            if let (Err(error), Some(predecessor)) = (&ran, predecessor) {
                predecessor.fail(&format!("{error:#}"));
            }
            ran
        }
        Command::Check { is_strict } => {
            let loaded = inputs.load_checked()?;
            if is_strict {
                refuse_unsafe(&loaded)?;
            }
            let listeners = loaded.config.listeners.len();
            say(&format!(
                "{}: ok, {listeners} listeners\n",
                loaded.file.name
            ))
        }
        Command::Config => say(&inputs.load()?.effective()),
        Command::ExplainSetting(key) => {
            let explained = inputs.load()?.explain(&key).map_err(Error::msg)?;
            say(&explained)
        }
        Command::CompareWith(file) => {
            let now = inputs.load()?;
            let new = inputs.load_in_place(&now, &file)?;
            new.check_paths()?;
            say(&now.difference(&new))
        }
        Command::Health => say(&health::ask(inputs.load()?.config.admin)?),
        Command::Doctor => {
            let report = doctor::examine(inputs)?;
            say(&report.to_string())?;
            match report.wrong() {
                0 => say("nothing is wrong\n"),
                1 => bail!("1 thing is wrong"),
                wrong => bail!("{wrong} things are wrong"),
            }
        }
        Command::Top { reach, once } => say(&remote::top(inputs, &reach, once)?),
        Command::Remote {
            reach,
            asked,
            as_json,
        } => say(&remote::ask(inputs, &reach, &asked, as_json)?),
        Command::Tap {
            reach,
            wanted,
            as_json,
        } => remote::tap(inputs, &reach, &wanted, as_json),
        Command::ApiKey => {
            let made = polyport_admin::ApiKeys::generate();
            say(&format!("key   {}\nhash  {}\n", made.key, made.hash))
        }
        Command::Completions(shell) => say_bytes(&cli::completions(shell)),
        Command::Man(None) => say_bytes(&cli::manual()?),
        Command::Man(Some(folder)) => {
            let written = cli::write_manual(&folder);
            written.with_context(|| format!("{} cannot be written", folder.display()))
        }
        Command::MakeToken(wanted) => say(&token_command::make(&wanted, inputs)?),
        Command::InspectToken(token) => {
            let inspection = token_command::inspect(token.as_deref(), inputs)?;
            say(&inspection.text)?;
            ensure!(
                inspection.is_accepted,
                "the configuration does not accept this token"
            );
            Ok(())
        }
        Command::InstallPage(to) => say(&install_page::install(&to)?),
        Command::Replay(options) => replay::replay(&options, |line| say(&format!("{line}\n"))),
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&config::json_schema())?;
            say(&format!("{schema}\n"))
        }
    }
}

fn run_gateway(origin: &Origin, predecessor: &mut Option<Predecessor>) -> anyhow::Result<()> {
    let loaded = origin.inputs.load_checked()?;
    let log = logging::init(&loaded.config.log)?;
    if loaded.file.built_in {
        tracing::info!("no gateway.toml here: the configuration that is built in is used");
    }
    run::run(origin, loaded, &log, predecessor)
}

/// Tells what is doubtful, and refuses what is unsafe.
fn refuse_unsafe(loaded: &Loaded) -> anyhow::Result<()> {
    let findings = safety::find(loaded);
    for doubt in findings.doubtful {
        writeln!(io::stderr(), "warning: {doubt}").context("standard error cannot be written")?;
    }
    if findings.refused.is_empty() {
        return Ok(());
    }
    Err(Problems(findings.refused).into())
}

fn say(text: &str) -> anyhow::Result<()> {
    say_bytes(text.as_bytes())
}

fn say_bytes(text: &[u8]) -> anyhow::Result<()> {
    io::stdout()
        .write_all(text)
        .context("standard output cannot be written")
}
