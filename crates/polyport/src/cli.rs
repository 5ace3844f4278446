//! The command line.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{
    config::{Inputs, Period, SettingOption},
    remote::{
        Asked, Disconnect, Drain, Log, Publish, Reach, Reload, Rooms, Sessions, Tap, Upgrade,
    },
};

/// One gateway for the live connections of applications that speak different real-time protocols.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "polyport", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

const AFTER_HELP: &str = "\
Each setting comes from the built-in defaults, the file, the environment (POLYPORT_LISTENERS__TCP__BIND) and the command
line; later wins. Without a file the gateway starts with the one that is built in: every protocol on a loopback port.

Exit status: 0 done, 1 failed while running, 2 wrong command line, 78 wrong configuration (nothing was bound).";

#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct Options {
    /// The configuration file [default: gateway.toml here, if there is one; also POLYPORT_CONFIG]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one value, for example --set listeners.tcp.bind=127.0.0.1:5001; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = set)]
    set: Vec<SettingOption>,
    /// Same as --set log.level=LEVEL: info, or info,polyport_net=debug
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Same as --set log.format=FORMAT: auto, pretty or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Subcommand)]
enum Subcommands {
    /// Start the gateway (the default)
    Run(Options),
    /// Check the configuration and the files that it names, without starting
    Check {
        /// Refuse what is unsafe where other machines reach it: no tokens asked for, pages of any origin, secrets made at the start, limits that are off
        #[arg(long)]
        strict: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Print the configuration in effect, with the source of each value
    Config {
        #[command(flatten)]
        options: Options,
        #[command(subcommand)]
        command: Option<ConfigCommands>,
    },
    /// Ask the gateway that runs with this configuration whether it is ready
    Health(Options),
    /// Look for what keeps a gateway from running well: files, addresses, clock, certificates, Redis, services, keys
    Doctor(Options),
    /// Show how the gateway that runs does: sessions, calls, events, backends; anew every second, until Ctrl-C
    Top(Top),
    /// List who is connected to the gateway that runs
    Sessions(Remote<Sessions>),
    /// List the rooms of the gateway that runs
    Rooms(Remote<Rooms>),
    /// Watch live what happens in a room, to a session or on a listener of the gateway that runs, until Ctrl-C
    Tap(Remote<Tap>),
    /// Send an event to clients, whatever they speak
    Publish(Remote<Publish>),
    /// End sessions, each in its protocol's own way
    Disconnect(Remote<Disconnect>),
    /// Stop the gateway that runs in order, as SIGTERM does
    Drain(Remote<Drain>),
    /// Say what the gateway that runs logs, or change it for now
    Log(Remote<Log>),
    /// Have the gateway that runs read its configuration again, as SIGHUP does, and print what has changed
    Reload(Remote<Reload>),
    /// Have the gateway that runs hand over to a new process of its binary, as SIGUSR2 does, without refusing a connection
    Upgrade(Remote<Upgrade>),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Make a key of the server API: prints it, and the hash that stands in the configuration
    ApiKey,
    /// Print a script that completes this program's command lines in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print this program's manual page, for man -l -; or write those of all commands into a folder
    Man {
        /// The folder
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// JSON Web Tokens: make one, or see what is in one
    #[command(subcommand)]
    Token(TokenCommands),
    /// The relay of the Redux DevTools
    #[command(subcommand)]
    Devtools(DevtoolsCommands),
}

#[derive(Debug, Clone, PartialEq, Subcommand)]
enum DevtoolsCommands {
    /// Fetch the real page of the Redux DevTools from the npm registry, for the setting devtools.page
    InstallPage {
        /// The folder that is made
        #[arg(long, value_name = "DIR", default_value = "devtools-page")]
        to: PathBuf,
    },
    /// Say again to a relay what an app has said, as an app of its own; ends with Ctrl-C
    Replay(Replay),
}

#[derive(Debug, Clone, PartialEq, Subcommand)]
enum ConfigCommands {
    /// What a setting means, may be and is, who set it, and when a change takes effect
    Explain {
        /// The setting, for example listeners.tcp.limits.idle
        key: String,
        #[command(flatten)]
        options: Options,
    },
    /// What a reload would change if another file stood in the place of this one, and what needs a restart
    Diff {
        /// The other file
        #[arg(long, value_name = "NEW")]
        file: PathBuf,
        #[command(flatten)]
        options: Options,
    },
}

impl ConfigCommands {
    fn options(&self) -> &Options {
        match self {
            Self::Explain { options, .. } | Self::Diff { options, .. } => options,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Subcommand)]
enum TokenCommands {
    /// Make a token that the configuration accepts, and print it
    Make {
        #[command(flatten)]
        token: MakeToken,
        #[command(flatten)]
        options: Options,
    },
    /// Print header, claims and times of a token, and whether the configuration accepts it; exit status 1 if it does not
    Inspect {
        /// The token; without it, or with -, it is read from standard input, where other processes do not see it
        token: Option<String>,
        #[command(flatten)]
        options: Options,
    },
}

/// The token that is made.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct MakeToken {
    /// The [tokens.NAME] of the configuration whose key signs it and whose demands it meets [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub tokens: Option<String>,
    /// Signs it with HS256 and the secret in this environment variable, and reads no configuration
    #[arg(long, value_name = "NAME", conflicts_with = "tokens")]
    pub secret_env: Option<String>,
    /// The key's id [default: the first key with a secret signs]
    #[arg(long, value_name = "ID")]
    pub kid: Option<String>,
    /// The user's id, in the claim that the configuration names, else in sub
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// The site, in the claim that the configuration names
    #[arg(long, value_name = "HOST")]
    pub site: Option<String>,
    /// One more claim, its value JSON or a plain text; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    pub claims: Vec<(String, serde_json::Value)>,
    /// How long it is good for, for example 90s or 12h; 0s is for ever
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = period)]
    pub expires: Period,
}

/// An overview of a gateway that runs.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct Top {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    reach: Reach,
    /// Print one overview and end
    #[arg(long)]
    once: bool,
}

/// A question to the server API of a gateway that runs.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct Remote<T: Args> {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    reach: Reach,
    /// Print the answer as the server API gives it, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    asked: T,
}

/// What is replayed, where to and how.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Replay {
    /// The recording: a file of the folder devtools.recordings, or the answer of {"op":"recording"}; - is standard input
    pub file: PathBuf,
    /// The relay; NAME:SECRET@ may stand in front of the host
    #[arg(
        long,
        value_name = "URL",
        default_value = "ws://127.0.0.1:8000/socketcluster/"
    )]
    pub url: String,
    /// So many times as fast
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// Without any pause
    #[arg(long, conflicts_with = "speed")]
    pub at_once: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start the gateway.
    Run,
    /// Check the configuration and the files that it names.
    Check {
        /// Whether unsafe settings are refused.
        is_strict: bool,
    },
    /// Print the configuration in effect.
    Config,
    /// Explain a setting.
    ExplainSetting(String),
    /// Say what would be different with another file.
    CompareWith(PathBuf),
    /// Ask a gateway that runs whether it is ready.
    Health,
    /// Look for what keeps a gateway from running well.
    Doctor,
    /// Show how a gateway that runs does.
    Top {
        /// Where it is.
        reach: Reach,
        /// One overview, instead of one every second.
        once: bool,
    },
    /// Ask a gateway that runs.
    Remote {
        /// Where it is.
        reach: Reach,
        /// What it is asked.
        asked: Asked,
        /// Whether programs read the answer.
        as_json: bool,
    },
    /// Watch live what happens in a gateway that runs.
    Tap {
        /// Where it is.
        reach: Reach,
        /// What is watched.
        wanted: Tap,
        /// Whether programs read it.
        as_json: bool,
    },
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Make a key of the server API.
    ApiKey,
    /// Print a script that completes command lines in a shell.
    Completions(Shell),
    /// Print the manual page, or write those of all commands into a folder.
    Man(Option<PathBuf>),
    /// Make a token.
    MakeToken(MakeToken),
    /// Say what is in the token, or in the one on standard input.
    InspectToken(Option<String>),
    /// Fetch the page of the Redux DevTools into a folder.
    InstallPage(PathBuf),
    /// Say a recording of an app again.
    Replay(Replay),
}

impl Cli {
    /// What to do.
    #[must_use]
    pub fn command(&self) -> Command {
        match &self.command {
            None | Some(Subcommands::Run(_)) => Command::Run,
            Some(Subcommands::Check { strict, .. }) => Command::Check { is_strict: *strict },
            Some(Subcommands::Config { command: None, .. }) => Command::Config,
            Some(Subcommands::Config {
                command: Some(ConfigCommands::Explain { key, .. }),
                ..
            }) => Command::ExplainSetting(key.clone()),
            Some(Subcommands::Config {
                command: Some(ConfigCommands::Diff { file, .. }),
                ..
            }) => Command::CompareWith(file.clone()),
            Some(Subcommands::Health(_)) => Command::Health,
            Some(Subcommands::Doctor(_)) => Command::Doctor,
            Some(Subcommands::Top(top)) => Command::Top {
                reach: top.reach.clone(),
                once: top.once,
            },
            Some(Subcommands::Sessions(remote)) => remote.command(Asked::Sessions),
            Some(Subcommands::Rooms(remote)) => remote.command(Asked::Rooms),
            Some(Subcommands::Tap(remote)) => Command::Tap {
                reach: remote.reach.clone(),
                wanted: remote.asked.clone(),
                as_json: remote.json,
            },
            Some(Subcommands::Publish(remote)) => remote.command(Asked::Publish),
            Some(Subcommands::Disconnect(remote)) => remote.command(Asked::Disconnect),
            Some(Subcommands::Drain(remote)) => remote.command(Asked::Drain),
            Some(Subcommands::Log(remote)) => remote.command(Asked::Log),
            Some(Subcommands::Reload(remote)) => remote.command(Asked::Reload),
            Some(Subcommands::Upgrade(remote)) => remote.command(Asked::Upgrade),
            Some(Subcommands::Schema) => Command::Schema,
            Some(Subcommands::ApiKey) => Command::ApiKey,
            Some(Subcommands::Completions { shell }) => Command::Completions(*shell),
            Some(Subcommands::Man { to }) => Command::Man(to.clone()),
            Some(Subcommands::Token(TokenCommands::Make { token, .. })) => {
                Command::MakeToken(token.clone())
            }
            Some(Subcommands::Token(TokenCommands::Inspect { token, .. })) => {
                Command::InspectToken(token.clone())
            }
            Some(Subcommands::Devtools(DevtoolsCommands::InstallPage { to })) => {
                Command::InstallPage(to.clone())
            }
            Some(Subcommands::Devtools(DevtoolsCommands::Replay(replay))) => {
                Command::Replay(replay.clone())
            }
        }
    }

    /// Where the configuration comes from, given the process's environment. Options may stand before and behind the
    /// command; the later one wins.
    #[must_use]
    pub fn inputs(&self, variables: impl Iterator<Item = (String, String)>) -> Inputs {
        let behind = match &self.command {
            Some(
                Subcommands::Run(options)
                | Subcommands::Check { options, .. }
                | Subcommands::Health(options)
                | Subcommands::Doctor(options)
                | Subcommands::Token(
                    TokenCommands::Make { options, .. } | TokenCommands::Inspect { options, .. },
                ),
            ) => [Some(options), None],
            Some(Subcommands::Config { options, command }) => {
                [Some(options), command.as_ref().map(ConfigCommands::options)]
            }
            Some(Subcommands::Top(top)) => [Some(&top.options), None],
            Some(Subcommands::Sessions(remote)) => [Some(&remote.options), None],
            Some(Subcommands::Rooms(remote)) => [Some(&remote.options), None],
            Some(Subcommands::Tap(remote)) => [Some(&remote.options), None],
            Some(Subcommands::Publish(remote)) => [Some(&remote.options), None],
            Some(Subcommands::Disconnect(remote)) => [Some(&remote.options), None],
            Some(Subcommands::Drain(remote)) => [Some(&remote.options), None],
            Some(Subcommands::Log(remote)) => [Some(&remote.options), None],
            Some(Subcommands::Reload(remote)) => [Some(&remote.options), None],
            Some(Subcommands::Upgrade(remote)) => [Some(&remote.options), None],
            Some(
                Subcommands::Schema
                | Subcommands::ApiKey
                | Subcommands::Completions { .. }
                | Subcommands::Man { .. }
                | Subcommands::Devtools(_),
            )
            | None => [None, None],
        };
        let mut inputs = Inputs {
            variables: variables.collect(),
            ..Inputs::default()
        };
        for options in [Some(&self.options)].into_iter().chain(behind).flatten() {
            options.add_to(&mut inputs);
        }
        inputs
    }
}

/// What may stand on the command line.
fn syntax() -> clap::Command {
    <Cli as CommandFactory>::command()
}

/// The script that completes command lines in `shell`.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut syntax(), "polyport", &mut script);
    script
}

/// The manual page of the program itself.
///
/// # Errors
/// None in fact: it is written to memory.
pub fn manual() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(syntax().disable_help_subcommand(true)).render(&mut page)?;
    Ok(page)
}

/// Writes the manual page of the program and one of each command into a folder, which is made.
///
/// # Errors
/// When they cannot be written.
pub fn write_manual(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(syntax(), folder)
}

impl<T: Args + Clone> Remote<T> {
    fn command(&self, asked: impl FnOnce(T) -> Asked) -> Command {
        Command::Remote {
            reach: self.reach.clone(),
            asked: asked(self.asked.clone()),
            as_json: self.json,
        }
    }
}

impl Options {
    fn add_to(&self, inputs: &mut Inputs) {
        if self.config.is_some() {
            inputs.file.clone_from(&self.config);
        }
        inputs.options.extend_from_slice(&self.set);
        let short = [
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ];
        for (option, key, value) in short {
            inputs
                .options
                .extend(value.iter().map(|value| SettingOption {
                    option: option.to_owned(),
                    key: key.to_owned(),
                    value: value.clone(),
                }));
        }
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok();
    let is_good = |speed: &f64| speed.is_finite() && (0.001..=1_000_000.0).contains(speed);
    speed
        .filter(is_good)
        .ok_or_else(|| "expected a number between 0.001 and 1000000".to_owned())
}

fn period(text: &str) -> Result<Period, String> {
    text.parse()
        .map_err(|_| "expected a time such as 90s or 12h".to_owned())
}

fn claim(text: &str) -> Result<(String, serde_json::Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            Ok((name.to_owned(), value))
        }
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn set(text: &str) -> Result<SettingOption, String> {
    match text.split_once('=') {
        Some((key, value)) if key.split('.').all(|part| !part.trim().is_empty()) => {
            let key = key.trim();
            Ok(SettingOption {
                option: format!("--set {key}"),
                key: key.to_owned(),
                value: value.to_owned(),
            })
        }
        _ => Err("expected KEY=VALUE, the key with dots between its levels".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DEFAULT_FILE, FILE_VARIABLE};

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn run_is_the_default() {
        assert_eq!(parse("polyport").unwrap().command(), Command::Run);
        assert_eq!(parse("polyport run").unwrap().command(), Command::Run);
        assert_eq!(
            parse("polyport check -c a.toml").unwrap().command(),
            Command::Check { is_strict: false }
        );
        assert_eq!(
            parse("polyport health -c a.toml").unwrap().command(),
            Command::Health
        );
        assert_eq!(
            parse("polyport devtools install-page --to d")
                .unwrap()
                .command(),
            Command::InstallPage("d".into())
        );
        let replayed = parse("polyport devtools replay a.jsonl --speed 2.5").unwrap();
        let Command::Replay(replay) = replayed.command() else {
            panic!("{replayed:?}");
        };
        assert_eq!((replay.file, replay.speed), ("a.jsonl".into(), 2.5));
        for bad in ["--speed 0", "--speed fast", "--speed 2 --at-once"] {
            let line = format!("polyport devtools replay a.jsonl {bad}");
            assert!(parse(&line).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_to_the_server_api_says_whom_it_means() {
        let asked = |line: &str| match parse(line).map(|cli| cli.command()) {
            Ok(Command::Remote { asked, .. }) => Some(asked),
            _ => None,
        };
        let line = r#"polyport publish --room lobby --realm r news -1 {"n":1} "x""#;
        let Some(Asked::Publish(publish)) = asked(line) else {
            panic!("{:?}", parse(line));
        };
        assert_eq!(publish.to.whom.room.as_deref(), Some("lobby"));
        assert_eq!(publish.args, ["-1", r#"{"n":1}"#, r#""x""#]);
        assert!(asked("polyport disconnect --session x").is_some());
        assert_eq!(
            asked("polyport reload --certificates"),
            Some(Asked::Reload(Reload { certificates: true }))
        );
        assert_eq!(
            asked("polyport upgrade"),
            Some(Asked::Upgrade(Upgrade { window: None }))
        );
        for bad in [
            "publish news",
            "publish --room a",
            "publish --room a --user 7 news",
            "publish --room a --everyone news",
            "publish --room a news hello",
            "disconnect",
            "disconnect --realm r",
            "upgrade --window soon",
            "sessions --limit 0",
        ] {
            assert!(parse(&format!("polyport {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_become_settings_in_order() {
        let cli = parse("polyport --set a.b=1 run --set c.d=x=y --log-level debug").unwrap();
        let inputs = cli.inputs(std::iter::empty());
        let told: Vec<_> = inputs
            .options
            .iter()
            .map(|set| (set.option.as_str(), set.key.as_str(), set.value.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("--set a.b", "a.b", "1"),
                ("--set c.d", "c.d", "x=y"),
                ("--log-level", "log.level", "debug"),
            ]
        );
    }

    #[test]
    fn a_malformed_set_is_refused() {
        for bad in ["a.b", "=1", "a..b=1"] {
            assert!(parse(&format!("polyport --set {bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_help_names_the_defaults_that_the_code_uses() {
        let help = syntax().render_long_help().to_string();
        assert!(help.contains(DEFAULT_FILE), "{help}");
        assert!(help.contains(FILE_VARIABLE), "{help}");
    }
}
