//! What to write instead of a value or a key that the reader of the settings has refused.

use std::io;

use figment::error::Actual;
use serde_json::Value;

use super::{
    places::{ApiKeyHash, Secret},
    schema::json_schema,
    units::{Address, ByteSize, Network, Period},
};

/// Whether a value is not for messages: what stands where a secret's place should be mostly is the secret.
pub(crate) fn is_secret(expected: &str) -> bool {
    [Secret::EXPECTED, ApiKeyHash::EXPECTED].contains(&expected)
}

/// What to write for a value that is not what was expected.
pub(crate) fn instead(found: &Actual, expected: &str, path: &[String]) -> String {
    let text = match found {
        Actual::Str(text) => Some(text.as_str()),
        _ => None,
    };
    match expected {
        Secret::EXPECTED => {
            "put the secret into an environment variable or a file, and write its name".to_owned()
        }
        ApiKeyHash::EXPECTED => "write the hash, never the key".to_owned(),
        Period::EXPECTED => duration(found, text),
        ByteSize::EXPECTED => size(text),
        Address::EXPECTED => address(found, text),
        Network::EXPECTED => network(text),
        "a boolean" => boolean(found, text),
        "a sequence" => list(found, text),
        "a map" | "a table or a list of tables" => table(path),
        "a string" => string(found),
        "a string or a list of strings" => "write a text in quotes, or [\"…\", \"…\"]".to_owned(),
        "path string" => "write the path in quotes".to_owned(),
        "usize" | "u64" | "u32" | "u16" | "i64" => number(found, text),
        _ if expected.starts_with("struct ") => table(path),
        _ => "write one of these".to_owned(),
    }
}

/// What to do about a file or folder that cannot be read.
pub(crate) fn readable(error: &io::Error, is_folder: bool) -> String {
    let kind = if is_folder { "folder" } else { "file" };
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "write the path of a {kind} that is there; a relative one begins in the folder of the configuration"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("let the user that the gateway runs as read the {kind}")
        }
        _ => format!("write the path of a {kind}"),
    }
}

/// What a required setting looks like.
pub(crate) fn missing(name: &str) -> String {
    let example = match name {
        "cert" => r#""/etc/polyport/cert.pem""#,
        "key" => r#""/etc/polyport/key.pem""#,
        "algorithm" => r#""HS256""#,
        "secret" => r#""env:NAME""#,
        "event" => r#""chat""#,
        "rooms" => r#"["lobby"]"#,
        _ => r#""…""#,
    };
    format!("write {name} = {example}")
}

fn duration(found: &Actual, text: Option<&str>) -> String {
    const UNITS: [(&str, &[&str]); 5] = [
        ("ms", &["ms", "msec", "millis", "milliseconds"]),
        ("s", &["s", "sec", "secs", "second", "seconds"]),
        ("m", &["m", "min", "mins", "minute", "minutes"]),
        ("h", &["h", "hr", "hrs", "hour", "hours"]),
        ("d", &["d", "day", "days"]),
    ];
    let units = "write a number and ms, s, m, h or d".to_owned();
    let text = match (found, text) {
        (Actual::Unsigned(number), _) => return format!("write \"{number}s\""),
        (Actual::Signed(number), _) if *number >= 0 => return format!("write \"{number}s\""),
        (Actual::Signed(_), _) => return "no time is below zero, write \"0s\" or more".to_owned(),
        (_, Some(text)) => text.trim(),
        _ => return units,
    };
    if text.starts_with('-') {
        return "no time is below zero, write \"0s\" or more".to_owned();
    }
    let (number, unit) = split(text);
    if number.is_empty() {
        return units;
    }
    if unit.starts_with('.') {
        return "write whole numbers, as in \"1500ms\" or \"1m30s\"".to_owned();
    }
    if number.len() > 12 {
        return "it is too long, write \"0s\" where it is to have no end".to_owned();
    }
    let known = UNITS
        .iter()
        .find(|(_, names)| names.contains(&unit.to_lowercase().as_str()));
    match known {
        Some((short, _)) => format!("write \"{number}{short}\""),
        None if unit.is_empty() => format!("write \"{number}s\""),
        None => format!("`{unit}` is no unit, {units}"),
    }
}

fn size(text: Option<&str>) -> String {
    const UNITS: [(&str, &[&str]); 4] = [
        ("B", &["b", "byte", "bytes"]),
        ("KiB", &["k", "kb", "kib"]),
        ("MiB", &["m", "mb", "mib"]),
        ("GiB", &["g", "gb", "gib"]),
    ];
    let units = "write a whole number and B, KiB, MiB or GiB".to_owned();
    let Some(text) = text.map(str::trim) else {
        return "write a whole number, 0 or more".to_owned();
    };
    let (number, unit) = split(text);
    if number.is_empty() || unit.starts_with('.') {
        return units;
    }
    if number.len() > 9 {
        return "no machine has as much, write \"1GiB\" or less".to_owned();
    }
    let known = UNITS
        .iter()
        .find(|(_, names)| names.contains(&unit.to_lowercase().as_str()));
    match known {
        Some((short, _)) => format!("write \"{number}{short}\""),
        None => format!("`{unit}` is no unit, {units}"),
    }
}

/// Digits and what follows them.
fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    (number, rest.trim_start())
}

fn address(found: &Actual, text: Option<&str>) -> String {
    let port = match (found, text) {
        (Actual::Unsigned(port), _) => Some(port.to_string()),
        (Actual::Signed(port), _) => Some(port.to_string()),
        (_, Some(text)) if text.parse::<u16>().is_ok() => Some(text.to_owned()),
        (_, Some(text)) => text
            .strip_prefix(':')
            .filter(|port| port.bytes().all(|c| c.is_ascii_digit()))
            .map(str::to_owned),
        _ => None,
    };
    if let Some(port) = port {
        return format!(
            "write the host too, \"127.0.0.1:{port}\" for this machine alone or \"0.0.0.0:{port}\" for all"
        );
    }
    let Some(text) = text else {
        return "write a host and a port in quotes".to_owned();
    };
    if text == "unix:" {
        return "write the path of the socket behind `unix:`".to_owned();
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.split('/').next().unwrap_or(rest);
        return format!("leave `{scheme}://` out, write {rest:?}");
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() || text.matches(':').count() > 1 {
        return "write an IPv6 address in brackets, and the port behind them".to_owned();
    }
    match text.rsplit_once(':') {
        None => format!("write the port too, as in \"{text}:5000\""),
        Some((_, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => {
            "write a port from 0 to 65535, 0 is any that is free".to_owned()
        }
        Some((host, "")) => {
            format!("write the port too, as in \"{host}:5000\"")
        }
        Some(_) => "write the port as a number from 0 to 65535".to_owned(),
    }
}

fn network(text: Option<&str>) -> String {
    match text.and_then(|text| text.split_once('/')) {
        Some(_) => "write at most /32 behind an IPv4 address and at most /128 behind an IPv6 one"
            .to_owned(),
        None => "names are not looked up, write the address".to_owned(),
    }
}

fn boolean(found: &Actual, text: Option<&str>) -> String {
    let means =
        match (found, text.map(str::to_lowercase).as_deref()) {
            (_, Some("yes" | "on" | "true" | "1"))
            | (Actual::Unsigned(1) | Actual::Signed(1), _) => "true",
            (_, Some("no" | "off" | "false" | "0"))
            | (Actual::Unsigned(0) | Actual::Signed(0), _) => "false",
            _ => "true or false",
        };
    format!("write {means}, without quotes")
}

fn list(found: &Actual, text: Option<&str>) -> String {
    match (found, text) {
        (_, Some(text)) => format!("write [{text:?}]"),
        (Actual::Signed(_) | Actual::Unsigned(_) | Actual::Bool(_), _) => {
            "write each element between brackets, as in [\"…\", \"…\"]".to_owned()
        }
        _ => "write it between brackets, [ and ]".to_owned(),
    }
}

fn string(found: &Actual) -> String {
    match found {
        Actual::Signed(number) => format!("write \"{number}\""),
        Actual::Unsigned(number) => format!("write \"{number}\""),
        Actual::Float(number) => format!("write \"{number}\""),
        Actual::Bool(value) => format!("write \"{value}\""),
        _ => "write a text in quotes".to_owned(),
    }
}

fn number(found: &Actual, text: Option<&str>) -> String {
    match (found, text.map(str::trim)) {
        (_, Some(text)) if text.parse::<u64>().is_ok() => format!("write {text}, without quotes"),
        (_, Some(_)) => "write a number without quotes, such as 100".to_owned(),
        (Actual::Float(number), _) => format!("write {}", number.round()),
        (Actual::Signed(_), _) => "write 0 or more".to_owned(),
        (Actual::Other(_) | Actual::Unsigned(_), _) => "write a smaller one".to_owned(),
        _ => "write a number such as 100".to_owned(),
    }
}

fn table(path: &[String]) -> String {
    format!(
        "write [{}], and its settings in the lines below",
        path.join(".")
    )
}

/// Where a key that is unknown at `path` has its place: in one of the tables beside it, or in one of the whole file.
pub(crate) fn place_of_key(path: &[String]) -> Option<String> {
    let (key, around) = path.split_last()?;
    let root = json_schema().to_value();
    let beside = tables_with(&descend(&root, around)?, key);
    let (found, prefix) = if beside.is_empty() {
        (tables_with(&root, key), &[][..])
    } else {
        (beside, around)
    };
    let names: Vec<String> = found
        .iter()
        .map(|table| {
            let all: Vec<&str> = prefix
                .iter()
                .map(String::as_str)
                .chain([table.as_str()])
                .collect();
            format!("[{}]", all.join("."))
        })
        .collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

/// The names of the tables in `schema` that have `key`.
fn tables_with(schema: &Value, key: &str) -> Vec<String> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .filter(|(_, table)| table["properties"].get(key).is_some())
        .map(|(name, _)| name.clone())
        .collect()
}

/// The schema of the table at `path`.
fn descend(schema: &Value, path: &[String]) -> Option<Value> {
    let mut schema = schema;
    for key in path {
        let named = &schema["additionalProperties"];
        schema = schema["properties"]
            .get(key)
            .or_else(|| named.is_object().then_some(named))?;
    }
    Some(schema.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_key_has_its_place() {
        let check = |key: &str, expected: Option<&str>| {
            assert_eq!(place_of_key(&path(key)).as_deref(), expected, "{key}");
        };
        check("listeners.tcp.idle", Some("[listeners.tcp.limits]"));
        check("listeners.tcp.auto_join", Some("[listeners.tcp.verbs]"));
        check("listeners.tcp.level", Some("[log]"));
        check("listeners.tcp.parrots", None);
        check("parrots", None);
    }

    #[test]
    fn a_time_in_other_words() {
        let check = |text: &str, expected: &str| {
            assert_eq!(
                duration(&Actual::Str(text.to_owned()), Some(text)),
                expected,
                "{text}"
            );
        };
        check("10 minutes", "write \"10m\"");
        check("10", "write \"10s\"");
        check("soon", "write a number and ms, s, m, h or d");
        check("-5s", "no time is below zero, write \"0s\" or more");
        check(
            "10 parrots",
            "`parrots` is no unit, write a number and ms, s, m, h or d",
        );
    }
}
