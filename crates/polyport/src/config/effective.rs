//! `polyport config`: the configuration in effect, with the source of each value.

use std::fmt::Write as _;

use figment::value::Value;
use serde::Serialize;

use super::{
    layers::Layers,
    locate::{Document, Part, find},
    report::Place,
    settings::{LimitSettings, Settings, VerbsSettings},
};

/// The settings as TOML, with a comment behind each value that says who set it.
pub(crate) fn print(settings: &Settings, layers: &Layers) -> String {
    let text = to_toml(settings);
    let document = Document::parse(&text).expect("what was just written as TOML reads as TOML");
    let mut leaves: Vec<_> = document.leaves().collect();
    leaves.sort_unstable_by_key(|(_, span)| (span.start, std::cmp::Reverse(span.end)));
    let mut commented = String::new();
    let mut from = 0;
    for (path, span) in leaves {
        if span.start < from {
            continue; // an element of a list that has its comment already
        }
        commented.push_str(&text[from..span.start]);
        match find(document.values(), path) {
            Some(Value::String(_, string)) if string.contains('\n') => {
                // The writer would spread it over lines; a JSON string is a TOML string too.
                let _ = write!(commented, "{}", serde_json::Value::from(string.as_str()));
            }
            _ => commented.push_str(&text[span.clone()]),
        }
        let source = source(&layers.place(path, Part::Value), path);
        let _ = write!(commented, "  # {source}");
        from = span.end;
    }
    commented.push_str(&text[from..]);
    commented
}

/// The value at `path` and who set it, if there is one.
pub(crate) fn value(
    settings: &Settings,
    layers: &Layers,
    path: &[String],
) -> Option<(String, String)> {
    let settings = values(settings);
    let source = source(&layers.place(path, Part::Value), path);
    Some((written(get(&settings, path)?), source))
}

/// The names in the table at `path`, if there are any.
pub(crate) fn keys(settings: &Settings, path: &[String]) -> Option<String> {
    let settings = values(settings);
    let table = get(&settings, path)?.as_table()?;
    let names: Vec<_> = table.keys().map(String::as_str).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn get<'a>(mut value: &'a toml::Value, path: &[String]) -> Option<&'a toml::Value> {
    for key in path {
        value = match value {
            toml::Value::Table(table) => table.get(key)?,
            toml::Value::Array(list) => list.get(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

/// The settings as TOML has them.
pub(crate) fn values(settings: &Settings) -> toml::Value {
    toml::Value::try_from(settings).expect("settings consist of what TOML can say")
}

/// A value on one line, without names and passwords that stand in addresses.
pub(crate) fn written(value: &toml::Value) -> String {
    let text = match value {
        // The writer would spread it over lines; a JSON string is a TOML string too.
        toml::Value::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        other => other.to_string(),
    };
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '"', '\'']).unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        shown.push_str("://");
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                let _ = write!(shown, "…@{host}");
            }
            None => shown.push_str(authority),
        }
        shown.push_str(rest);
    }
    shown
}

fn to_toml(settings: &impl Serialize) -> String {
    toml::to_string(settings).expect("settings consist of what TOML can say")
}

/// Who set the value at `path`: lines only, since columns are for people who look for a mistake.
fn source(place: &Place, path: &[String]) -> String {
    let keys: Vec<&str> = path.iter().map(String::as_str).collect();
    match (place, keys.as_slice()) {
        (
            Place::File {
                name,
                position: Some((line, _)),
            },
            _,
        ) => format!("{name}:{line}"),
        (Place::Default, ["listeners", _, "verbs", key])
            if !has_default(&VerbsSettings::default(), key) =>
        {
            "by compat".to_owned()
        }
        (Place::Default, ["listeners", _, "limits", key])
            if !has_default(&LimitSettings::default(), key) =>
        {
            "default of the protocol".to_owned()
        }
        _ => place.to_string(),
    }
}

/// Whether a table gives `key` a value of its own, not one that follows from another setting.
fn has_default(table: &impl Serialize, key: &str) -> bool {
    let document = Document::parse(&to_toml(table)).expect("what was just written reads");
    document.values().contains_key(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_passwords() {
        let check = |value: toml::Value, expected: &str| assert_eq!(written(&value), expected);
        check("a\nb".into(), r#""a\nb""#);
        check("http://host/p@th".into(), r#""http://host/p@th""#);
        check("redis://me:p@ss@host:1/2".into(), r#""redis://…@host:1/2""#);
        check(
            vec!["redis://:one@a", "redis://b"].into(),
            r#"["redis://…@a", "redis://b"]"#,
        );
    }
}
