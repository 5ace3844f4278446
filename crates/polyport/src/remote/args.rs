//! What can be asked of a gateway that runs, as the command line says it.

use std::path::PathBuf;

use clap::Args;
use serde_json::value::RawValue;

use crate::config::Period;

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

/// How the gateway stops.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Drain {
    /// Time over which sessions are told goodbye evenly, for example 30s [default: shutdown.window of the gateway's configuration]
    #[arg(long, value_name = "TIME")]
    pub window: Option<Period>,
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

fn json(text: &str) -> Result<String, String> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!(
            "it is no JSON ({error}); a text stands in quotes of its own: '\"hello\"'"
        )),
    }
}
