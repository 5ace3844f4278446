//! What becomes of the process: another configuration, another binary.

use std::fmt::Write as _;

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Reload, Upgrade, commands::window, gateway::Gateway, table::visible};
use crate::config::TakesEffect;

#[derive(Debug, Deserialize)]
struct Reloaded {
    generation: u64,
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    setting: String,
    takes_effect: String,
    before: Option<String>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Replaced {
    certificates: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Upgraded {
    old_pid: u32,
    new_pid: u32,
    sessions: u64,
}

/// Has the configuration, or the certificates, read again.
pub(super) async fn reload(
    gateway: &Gateway,
    what: &Reload,
    as_json: bool,
) -> anyhow::Result<String> {
    let body = json!({ "certificates": what.certificates });
    let answer = gateway.command("/api/reload", &body).await?;
    if as_json {
        return Ok(format!("{answer}\n"));
    }
    if what.certificates {
        return Ok(certificates(&read(answer)?));
    }
    Ok(changes(&read(answer)?))
}

/// Has a new process take over.
pub(super) async fn upgrade(
    gateway: &Gateway,
    upgrade: &Upgrade,
    as_json: bool,
) -> anyhow::Result<String> {
    let body = window(upgrade.window)?;
    let answer = gateway.command("/api/upgrade", &body).await?;
    if as_json {
        return Ok(format!("{answer}\n"));
    }
    let Upgraded {
        old_pid,
        new_pid,
        sessions,
    } = read(answer)?;
    let leaving = match sessions {
        0 => "nobody is there to leave".to_owned(),
        1 => "1 session is to leave".to_owned(),
        more => format!("{more} sessions are to leave"),
    };
    Ok(format!(
        "process {new_pid} has taken over from {old_pid}; {leaving}\n"
    ))
}

fn read<T: for<'de> Deserialize<'de>>(answer: Value) -> anyhow::Result<T> {
    serde_json::from_value(answer).context("the answer is another")
}

fn certificates(replaced: &Replaced) -> String {
    match replaced.certificates.as_slice() {
        [] => "no certificate has changed\n".to_owned(),
        listeners => format!("new certificates: {}\n", visible(&listeners.join(", "))),
    }
}

/// The changes by when they take effect, as `polyport config diff` tells them.
fn changes(reloaded: &Reloaded) -> String {
    let mut text = format!("generation {} is in force", reloaded.generation);
    if reloaded.changes.is_empty() {
        text.push_str("; no setting has changed\n");
        return text;
    }
    text.push('\n');
    for effect in TakesEffect::ALL {
        let is_then = |change: &&Change| change.takes_effect == effect.name();
        let mut changes = reloaded.changes.iter().filter(is_then).peekable();
        if changes.peek().is_some() {
            let _ = writeln!(text, "{effect}:");
        }
        for change in changes {
            let setting = visible(&change.setting);
            let _ = match (&change.before, &change.after) {
                (Some(before), Some(after)) => {
                    let (before, after) = (visible(before), visible(after));
                    writeln!(text, "    {setting}  {before} → {after}")
                }
                (Some(before), None) => writeln!(text, "  - {setting}  {}", visible(before)),
                (None, after) => {
                    let after = after.as_deref().unwrap_or_default();
                    writeln!(text, "  + {setting}  {}", visible(after))
                }
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reload_has_changed() {
        let told = |answer: Value| changes(&read(answer).unwrap());
        let none = json!({ "generation": 2, "changes": [] });
        assert_eq!(
            told(none),
            "generation 2 is in force; no setting has changed\n"
        );
        let some = json!({ "generation": 3, "changes": [
            { "setting": "log.format", "takes_effect": "restart", "before": "\"auto\"", "after": "\"json\"" },
            { "setting": "listeners.tcp.limits.idle", "takes_effect": "live", "before": "\"0s\"", "after": "\"5m\"" },
            { "setting": "listeners.old", "takes_effect": "live", "before": "{}" },
            { "setting": "listeners.web", "takes_effect": "live", "after": "{}" },
        ]});
        assert_eq!(
            told(some),
            "generation 3 is in force\n\
             at once, for open sessions too:\n    \
               listeners.tcp.limits.idle  \"0s\" → \"5m\"\n  \
               - listeners.old  {}\n  \
               + listeners.web  {}\n\
             at the next start:\n    \
               log.format  \"auto\" → \"json\"\n"
        );
    }

    #[test]
    fn which_certificates_are_new() {
        let told = |names: Value| certificates(&read(json!({ "certificates": names })).unwrap());
        assert_eq!(told(json!([])), "no certificate has changed\n");
        assert_eq!(told(json!(["a", "b"])), "new certificates: a, b\n");
    }
}
