//! `polyport tap`: what happens in a gateway, line by line, as it happens.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};

use super::{Tap, gateway::Gateway, table::visible};

/// The gateway says every ten seconds that it is there.
const SILENCE: Duration = Duration::from_secs(30);

/// A line is far shorter.
const MAX_LINE: usize = 1 << 20;

/// A thing that has happened, as the server API tells it.
#[derive(Debug, Deserialize)]
struct Record<'a> {
    at: u64,
    kind: String,
    protocol: Option<String>,
    session: Option<String>,
    peer: Option<String>,
    room: Option<String>,
    event: Option<String>,
    name: Option<String>,
    outcome: Option<String>,
    error: Option<String>,
    seconds: Option<f64>,
    reason: Option<String>,
    count: Option<u64>,
    #[serde(borrow)]
    args: Option<Vec<&'a RawValue>>,
    raw: Option<String>,
    #[serde(default)]
    forms: Map<String, Value>,
}

/// How it goes on behind a line.
enum After {
    More,
    Enough,
}

/// Where lines go, and how many may still.
struct Printer {
    as_json: bool,
    has_colours: bool,
    left: Option<usize>,
    /// The session that is watched, whose end is the end.
    session: Option<String>,
}

/// Prints lines until it is told to stop, until there are enough, or until nobody reads them.
pub(super) async fn watch(gateway: &Gateway, wanted: &Tap, as_json: bool) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let has_colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut printer = Printer {
        as_json,
        has_colours,
        left: wanted.count,
        session: wanted.watched.session.clone(),
    };
    let end = async {
        match wanted.time {
            Some(time) => sleep(time.0).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        watched = follow(gateway, wanted, &mut printer) => watched,
        () = end => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn follow(gateway: &Gateway, wanted: &Tap, printer: &mut Printer) -> anyhow::Result<()> {
    let watched = &wanted.watched;
    let parameters = [
        ("room", watched.room.as_deref()),
        ("session", watched.session.as_deref()),
        ("listener", watched.listener.as_deref()),
        ("realm", wanted.realm.as_deref()),
        ("forms", Some(if wanted.forms { "true" } else { "false" })),
    ];
    let mut answer = gateway.lines("/api/tap", &parameters).await?;
    let mut waiting: Vec<u8> = Vec::new();
    loop {
        let next = timeout(SILENCE, answer.next()).await;
        let next =
            next.with_context(|| format!("nothing is heard of {} any more", gateway.url()))?;
        let gone = || format!("{} has gone away", gateway.url());
        let Some(bytes) = next.with_context(gone)? else {
            bail!(gone());
        };
        waiting.extend_from_slice(&bytes);
        while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = waiting.drain(..=end).collect();
            match printer.line(&line) {
                Ok(After::More) => {}
                Ok(After::Enough) => return Ok(()),
                // Whoever read it has seen enough.
                Err(error) if is_closed_pipe(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if waiting.len() > MAX_LINE {
            bail!("{} answers what are no lines", gateway.url());
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

impl Printer {
    fn line(&mut self, line: &[u8]) -> anyhow::Result<After> {
        let record: Record<'_> = serde_json::from_slice(line)
            .context("a line cannot be read: is it a gateway of another version?")?;
        match (&*record.kind, &record.reason) {
            ("alive", _) => return Ok(After::More),
            ("end", reason) => {
                bail!(
                    "the gateway ends it: {}",
                    reason.as_deref().unwrap_or("it does not say why")
                )
            }
            _ => {}
        }
        let mut out = io::stdout().lock();
        if self.as_json {
            out.write_all(line)?;
        } else {
            out.write_all(record.shown(self.has_colours).as_bytes())?;
        }
        out.flush()?;
        if record.kind == "close" && self.session.is_some() && record.session == self.session {
            return Ok(After::Enough);
        }
        if record.kind != "dropped"
            && let Some(left) = &mut self.left
        {
            *left -= 1;
            if *left == 0 {
                return Ok(After::Enough);
            }
        }
        Ok(After::More)
    }
}

impl Record<'_> {
    /// A line for people, and one more for each form.
    fn shown(&self, has_colours: bool) -> String {
        let paint = |colour: &str, text: &str| {
            if has_colours {
                format!("\x1b[{colour}m{text}\x1b[0m")
            } else {
                text.to_owned()
            }
        };
        let mut line = paint("2", &time(self.at));
        let kind = format!("{:<7}", visible(&self.kind));
        let _ = write!(line, "  {}", paint(colour(&self.kind), &kind));
        let who = match (&self.protocol, &self.session) {
            (Some(protocol), Some(session)) => {
                format!("{} {}", visible(protocol), visible(session))
            }
            (None, Some(session)) => visible(session),
            _ if matches!(&*self.kind, "publish" | "deliver") => "server".to_owned(),
            _ => String::new(),
        };
        let mut add = |text: &str| {
            if !text.is_empty() {
                line.push_str("  ");
                line.push_str(text);
            }
        };
        add(&who);
        for text in [
            &self.room,
            &self.event,
            &self.name,
            &self.peer,
            &self.reason,
        ] {
            add(&text.as_deref().map(visible).unwrap_or_default());
        }
        if let Some(args) = &self.args {
            let args: Vec<_> = args.iter().map(|arg| visible(arg.get())).collect();
            add(&args.join(" "));
        }
        add(&self.raw.as_deref().map(visible).unwrap_or_default());
        if let Some(outcome) = &self.outcome {
            let good = if outcome == "ok" { "32" } else { "31" };
            add(&paint(good, &visible(outcome)));
            add(&self.error.as_deref().map(visible).unwrap_or_default());
        }
        if let Some(seconds) = self.seconds {
            add(&format!("{:.1} ms", seconds * 1000.0));
        }
        if let Some(count) = self.count {
            add(&format!("{count} more, which are not shown"));
        }
        line.push('\n');
        for (protocol, form) in &self.forms {
            for part in form.as_str().unwrap_or_default().lines() {
                let protocol = paint("2", &visible(protocol));
                let _ = writeln!(line, "              {protocol}  {}", visible(part));
            }
        }
        line
    }
}

fn colour(kind: &str) -> &'static str {
    match kind {
        "publish" | "deliver" => "36",
        "call" | "answer" => "35",
        "join" | "open" => "32",
        "leave" | "close" => "33",
        _ => "31",
    }
}

/// The time of the day, in UTC.
fn time(at: u64) -> String {
    let seconds = at / 1000;
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!(
        "{hours:02}:{minutes:02}:{:02}.{:03}Z",
        seconds % 60,
        at % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &str, expected: &str) {
        let record: Record<'_> = serde_json::from_str(record).unwrap();
        assert_eq!(record.shown(false), expected);
    }

    #[test]
    fn lines_for_people() {
        check(
            r#"{"at":86399999,"kind":"publish","protocol":"tcp-verbs","session":"x","room":"lobby","event":"message","args":["hi",{"n":1.0}],"forms":{"socket-io":"42[1]"}}"#,
            "23:59:59.999Z  publish  tcp-verbs x  lobby  message  \"hi\" {\"n\":1.0}\n              socket-io  42[1]\n",
        );
        check(
            r#"{"at":0,"kind":"answer","name":"a","outcome":"rejected","error":"no","seconds":0.0125}"#,
            "00:00:00.000Z  answer   a  rejected  no  12.5 ms\n",
        );
        check(
            r#"{"at":0,"kind":"dropped","count":7}"#,
            "00:00:00.000Z  dropped  7 more, which are not shown\n",
        );
    }

    #[test]
    fn what_clients_write_does_nothing_to_a_terminal() {
        let record = r#"{"at":0,"kind":"publish","room":"\u001b[2J","raw":"\u202ex"}"#;
        let record: Record<'_> = serde_json::from_str(record).unwrap();
        assert!(!record.shown(false).contains(['\u{1b}', '\u{202e}']));
        assert!(record.shown(true).contains("\u{1b}[36m"));
    }
}
