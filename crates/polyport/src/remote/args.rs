//! What can be asked of a gateway that runs, as the command line says it.

use std::path::PathBuf;

use clap::Args;
use serde_json::value::RawValue;

use crate::{config::Period, logging::parse_filter};

/// Where the gateway is and by which key it knows us. Keys are never on a command line, which everybody on the machine can read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Reach {
    /// The gateway's admin listener, for example http://127.0.0.1:9900 [default: admin.bind of the configuration]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A file with a key of the server API [default: the key in POLYPORT_API_KEY]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Who is connected.
    Sessions(Sessions),
    /// Which rooms there are.
    Rooms(Rooms),
    /// Send an event.
    Publish(Publish),
    /// End sessions.
    Disconnect(Disconnect),
    /// Stop the process in order.
    Drain(Drain),
    /// Say what is logged, or change it for now.
    Log(Log),
    /// Read the configuration again.
    Reload(Reload),
    /// Hand over to a new process.
    Upgrade(Upgrade),
}

/// Which sessions are wanted; all that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Sessions {
    /// Only those that speak this protocol
    #[arg(long, value_name = "NAME")]
    pub protocol: Option<String>,
    /// Only those in this room
    #[arg(long, value_name = "ROOM")]
    pub room: Option<String>,
    /// Only those of this user
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Only those of this listener
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
    /// Only those of this realm [default: all, but `default` for --room and --user]
    #[arg(long, value_name = "NAME")]
    pub realm: Option<String>,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    pub limit: usize,
}

/// Which rooms are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Rooms {
    /// The realm whose rooms are meant [default: default]
    #[arg(long, value_name = "NAME")]
    pub realm: Option<String>,
    /// Only those whose names begin so
    #[arg(long, value_name = "TEXT")]
    pub prefix: Option<String>,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    pub limit: usize,
}

/// What is sent, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Publish {
    #[command(flatten)]
    #[expect(missing_docs, reason = "its text would be the help's")]
    pub to: Target,
    /// Only to those who can take it at once
    #[arg(long)]
    pub volatile: bool,
    /// The name of the event
    pub event: String,
    /// Its arguments, each a JSON text: 7, '"hello"', '{"n":1}'
    #[arg(value_name = "JSON", value_parser = json, allow_negative_numbers = true)]
    pub args: Vec<String>,
}

/// Whose sessions are ended.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Disconnect {
    #[command(flatten)]
    #[expect(missing_docs, reason = "its text would be the help's")]
    pub to: Target,
}

/// What is watched, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Tap {
    #[command(flatten)]
    #[expect(missing_docs, reason = "its text would be the help's")]
    pub watched: Watched,
    /// The realm that the room is in [default: default]
    #[arg(long, value_name = "NAME", conflicts_with = "listener")]
    pub realm: Option<String>,
    /// Show too how each protocol writes an event
    #[arg(long)]
    pub forms: bool,
    /// End after this time, for example 10s
    #[arg(long = "for", value_name = "TIME")]
    pub time: Option<Period>,
    /// End after so many things have happened
    #[arg(long, value_name = "N", value_parser = limit)]
    pub count: Option<usize>,
}

/// Exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[group(required = true, multiple = false)]
pub struct Watched {
    /// A room, whether it exists yet or not
    #[arg(long, value_name = "ROOM")]
    pub room: Option<String>,
    /// A session, until it ends
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// All sessions of a listener
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
}

/// How the gateway stops.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Drain {
    /// Time over which sessions are told goodbye evenly, for example 30s [default: shutdown.window of the gateway's configuration]
    #[arg(long, value_name = "TIME")]
    pub window: Option<Period>,
}

/// What is to be logged.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Log {
    /// The time after which the configuration counts again, for example 10m [default: until it is reloaded, or the gateway ends]
    #[arg(long = "for", value_name = "TIME", requires = "level")]
    pub lasts: Option<Period>,
    /// What to log: a level, and levels of single modules, such as info,polyport_net=debug [default: only say what is logged]
    #[arg(value_parser = level)]
    pub level: Option<String>,
}

/// What the gateway reads again.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Reload {
    /// Only certificates, of listeners whose files have changed
    #[arg(long)]
    pub certificates: bool,
}

/// How the gateway hands over to a new process.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Upgrade {
    /// Time over which sessions of the old process are told goodbye evenly, for example 30s [default: shutdown.window of the gateway's configuration]
    #[arg(long, value_name = "TIME")]
    pub window: Option<Period>,
}

/// Which sessions are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Target {
    #[command(flatten)]
    #[expect(missing_docs, reason = "its text would be the help's")]
    pub whom: Whom,
    /// The realm that is meant [default: default]
    #[arg(long, value_name = "NAME")]
    pub realm: Option<String>,
}

/// Exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// The members of a room
    #[arg(long, value_name = "ROOM")]
    pub room: Option<String>,
    /// Every session of a user
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// One session
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Every session of the realm
    #[arg(long)]
    pub everyone: bool,
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| "expected a number above 0".to_owned())
}

fn level(text: &str) -> Result<String, String> {
    match parse_filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn json(text: &str) -> Result<String, String> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "it is no JSON ({error}); a text stands in quotes of its own: '\"hello\"'"
        )),
    }
}
