//! `polyport config diff`: what a reload would change, and when that takes effect.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use polyport_admin::ChangedSetting;
use toml::Value;

use super::{
    effective::{values, written},
    explain::{TakesEffect, look_up},
    locate::KeyPath,
    settings::Settings,
};

/// A setting, or a whole table, that is different.
struct Change {
    path: KeyPath,
    effect: TakesEffect,
    what: What,
}

enum What {
    Added(Value),
    Removed(Value),
    Changed(Value, Value),
}

/// What is different in `new`.
fn changes(now: &Settings, new: &Settings) -> Vec<Change> {
    let mut differences = Vec::new();
    compare(
        &mut Vec::new(),
        &values(now),
        &values(new),
        &mut differences,
    );
    differences
        .into_iter()
        .map(|(path, what)| {
            let of = if matches!(what, What::Removed(_)) {
                now
            } else {
                new
            };
            let effect = effect(&path, of);
            Change { path, effect, what }
        })
        .collect()
}

/// What is different in `new`, for programs.
pub(crate) fn list(now: &Settings, new: &Settings) -> Vec<ChangedSetting> {
    let changes = changes(now, new).into_iter().map(|change| {
        let (before, after) = match &change.what {
            What::Added(after) => (None, Some(after)),
            What::Removed(before) => (Some(before), None),
            What::Changed(before, after) => (Some(before), Some(after)),
        };
        ChangedSetting {
            setting: Key(&change.path).to_string(),
            takes_effect: change.effect.name(),
            before: before.map(written),
            after: after.map(written),
        }
    });
    changes.collect()
}

/// What is different in `new`, by when it takes effect; a text for people.
pub(crate) fn print(now: &Settings, new: &Settings) -> String {
    let changes = changes(now, new);
    if changes.is_empty() {
        return "nothing would change\n".to_owned();
    }
    let mut text = String::new();
    for effect in TakesEffect::ALL {
        let mut changes = changes.iter().filter(|it| it.effect == effect).peekable();
        if changes.peek().is_some() {
            let _ = writeln!(text, "{effect}:");
        }
        for change in changes {
            let _ = writeln!(text, "  {change}");
        }
    }
    text
}

fn compare(path: &mut KeyPath, now: &Value, new: &Value, differences: &mut Vec<(KeyPath, What)>) {
    let (Value::Table(now), Value::Table(new)) = (now, new) else {
        if now != new {
            let what = What::Changed(now.clone(), new.clone());
            differences.push((path.clone(), what));
        }
        return;
    };
    let keys: BTreeSet<&String> = now.keys().chain(new.keys()).collect();
    for key in keys {
        path.push(key.clone());
        match (now.get(key), new.get(key)) {
            (Some(now), Some(new)) => compare(path, now, new, differences),
            (Some(now), None) => differences.push((path.clone(), What::Removed(now.clone()))),
            (None, Some(new)) => differences.push((path.clone(), What::Added(new.clone()))),
            (None, None) => {}
        }
        path.pop();
    }
}

fn effect(path: &[String], settings: &Settings) -> TakesEffect {
    if is_listener(path) {
        return TakesEffect::Live;
    }
    let (_, effect) = look_up(path, settings).expect("every setting is in the schema");
    effect
}

/// Whether a whole listener is meant, which comes or goes at once.
fn is_listener(path: &[String]) -> bool {
    matches!(path, [table, _] if table == "listeners")
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = Key(&self.path);
        match &self.what {
            What::Added(_) if is_listener(&self.path) => write!(f, "+ {key}  is bound"),
            What::Removed(_) if is_listener(&self.path) => write!(
                f,
                "- {key}  is closed, and its sessions end once they have no call in flight"
            ),
            What::Added(Value::Table(_)) => write!(f, "+ [{key}]"),
            What::Removed(Value::Table(_)) => write!(f, "- [{key}]"),
            What::Added(value) => write!(f, "+ {key}  {}", written(value)),
            What::Removed(value) => write!(f, "- {key}  {}", written(value)),
            What::Changed(now, new) => write!(f, "  {key}  {} → {}", written(now), written(new)),
        }
    }
}

/// Keys joined by dots, in quotation marks where TOML needs them.
struct Key<'a>(&'a [String]);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        for (index, key) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if key.chars().all(is_bare) {
                f.write_str(key)?;
            } else {
                write!(f, "{}", serde_json::Value::from(key.as_str()))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Inputs, SourceFile, source::SHIPPED};

    const MORE: &str = r#"
[api.keys.news]
hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

[backends.service]
kind = "http"
url = "http://127.0.0.1:1"
routes."slow.*" = { timeout = "1m" }
breaker = { failures = 3 }

[backplane]
engine = "redis"
keys = { default = "other" }
tls = {}

[listeners.one]
protocol = "tcp-verbs"
bind = "127.0.0.1:0"
tls = { cert = "c.pem", key = "k.pem" }

[listeners.two]
protocol = "socket-io"
bind = "127.0.0.1:0"
auth = { tokens = "main" }
tls = [{ cert = "c.pem", key = "k.pem" }]
site.map = { "shop.example.de" = "example.com" }
socket_io.jwt = { timeout = "3s" }
"#;

    /// Every table and every value in it.
    fn paths(value: &Value, path: &mut KeyPath, all: &mut Vec<KeyPath>) {
        let Value::Table(table) = value else {
            return;
        };
        for (key, value) in table {
            path.push(key.clone());
            all.push(path.clone());
            paths(value, path, all);
            path.pop();
        }
    }

    #[test]
    fn whatever_is_in_effect_is_in_the_schema() {
        let file = SourceFile {
            name: "whole".to_owned(),
            text: format!("{SHIPPED}{MORE}"),
            folder: Path::new("/").to_owned(),
            built_in: false,
        };
        let settings = Inputs::default().load_from(&file).unwrap().settings;
        let mut all = Vec::new();
        paths(&values(&settings), &mut Vec::new(), &mut all);
        assert!(all.len() > 200, "only {} settings", all.len());
        for path in all {
            let found = look_up(&path, &settings);
            assert!(found.is_ok(), "{}: {found:?}", path.join("."));
        }
    }
}
