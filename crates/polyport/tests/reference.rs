//! The tables in `docs/configuration.md` are those that the settings themselves say. With `UPDATE_DOCS=1` in the
//! environment this test writes them instead of comparing them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{env, fmt::Write as _, fs, path::PathBuf};

use polyport::config::{
    Compat, ListenerSettings, ProtocolName, Settings, VerbsSettings, json_schema,
};
use serde_json::Value;

#[test]
fn the_reference_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let settings = replaced(&page, "settings", &settings_tables());
    let expected = replaced(&settings, "compat", &compat_table());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
    } else {
        assert!(
            page == expected,
            "docs/configuration.md is out of date; run: UPDATE_DOCS=1 cargo test -p polyport --test reference"
        );
    }
}

/// `page` with `text` between the two markers called `name`.
fn replaced(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {name}: generated -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let (before, rest) = page.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    format!("{before}{begin}\n{text}\n{end}{after}")
}

fn settings_tables() -> String {
    let schema = json_schema().to_value();
    let mut text = String::new();
    for table in ["log", "shutdown", "limits", "admin", "api", "backplane"] {
        describe_table(table, &schema["properties"][table], &mut text);
    }
    for tables in ["tokens", "backends", "listeners"] {
        let one = &schema["properties"][tables]["additionalProperties"];
        describe_table(&format!("{tables}.NAME"), one, &mut text);
    }
    text.trim_end().to_owned() + "\n"
}

/// A heading, a sentence and a row for each key; then the tables inside.
fn describe_table(path: &str, schema: &Value, text: &mut String) {
    let properties = schema["properties"].as_object().unwrap();
    let mut keys: Vec<_> = properties.iter().collect();
    keys.sort_by_key(|(key, _)| *key);
    let about = schema["description"].as_str().unwrap();
    let _ = write!(text, "### `[{path}]`\n\n{about}\n\n");
    let is_plain = |property: &Value| inner(property).is_none() && named(property).is_none();
    if keys.iter().any(|(_, property)| is_plain(property)) {
        text.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    }
    for (key, property) in keys.iter().filter(|(_, property)| is_plain(property)) {
        let _ = writeln!(
            text,
            "| `{key}` | {} | {} | {} |",
            kind(property).replace('|', "\\|"),
            default(path, property),
            meaning(property).replace('|', "\\|"),
        );
    }
    text.push('\n');
    for (key, property) in keys {
        let (table, path) = match (inner(property), named(property)) {
            (Some(table), _) => (table, format!("{path}.{key}")),
            (None, Some(table)) => (table, format!("{path}.{key}.NAME")),
            (None, None) => continue,
        };
        let mut table = table.clone();
        table["description"] = property["description"].clone();
        describe_table(&path, &table, text);
    }
}

/// The schema of the table that a key holds, or of the tables of its list.
fn inner(property: &Value) -> Option<&Value> {
    let one = property["anyOf"].get(0).unwrap_or(property);
    let one = one.get("items").unwrap_or(one);
    one.get("properties").map(|_| one)
}

/// The schema of the tables that a key holds under names.
fn named(property: &Value) -> Option<&Value> {
    let one = property.get("additionalProperties")?;
    one.get("properties").map(|_| one)
}

fn kind(property: &Value) -> String {
    if let Some(title) = property["title"].as_str() {
        return title.to_owned();
    }
    if let Some(words) = words(property) {
        return words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    match property["type"].as_str() {
        Some("array") => match words(&property["items"]) {
            Some(_) => format!("list of {}", kind(&property["items"])),
            None => format!("list of {}s", kind(&property["items"])),
        },
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("object") => format!("table of {}s", kind(&property["additionalProperties"])),
        Some(other) => other.to_owned(),
        None => panic!("no words for {property}"),
    }
}

/// The values of a setting that takes one of a few.
fn words(property: &Value) -> Option<Vec<String>> {
    if let Some(Value::Array(words)) = property.get("enum") {
        return Some(words.iter().map(Value::to_string).collect());
    }
    let choices = property["oneOf"].as_array()?;
    Some(
        choices
            .iter()
            .map(|choice| choice["const"].to_string())
            .collect(),
    )
}

fn default(path: &str, property: &Value) -> String {
    match property.get("default") {
        Some(value) => format!("`{}`", value.to_string().replace(',', ", ")),
        None if path.ends_with(".verbs") => "by `compat`".to_owned(),
        None => String::new(),
    }
}

fn meaning(property: &Value) -> String {
    let mut text = property["description"]
        .as_str()
        .unwrap_or_default()
        .replace('\n', " ");
    for choice in property["oneOf"].as_array().into_iter().flatten() {
        let about = choice["description"].as_str().unwrap_or_default();
        let about = about.trim_end_matches('.').replace('\n', " ");
        let _ = write!(text, " `{}`: {about}.", choice["const"]);
    }
    text
}

/// Each switch as a row, each bundle as a column.
fn compat_table() -> String {
    let bundles = [
        Compat::Classic,
        Compat::V9,
        Compat::V12,
        Compat::V18,
        Compat::V20,
        Compat::V29,
    ];
    let columns: Vec<(&str, Value)> = bundles.map(|compat| (compat.name(), filled(compat))).into();
    let open = serde_json::to_value(VerbsSettings::default()).unwrap();
    let mut switches: Vec<_> = open
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| value.is_null())
        .map(|(switch, _)| switch)
        .collect();
    switches.sort();
    let mut text = "| switch |".to_owned();
    for (name, _) in &columns {
        let _ = write!(text, " `{name}` |");
    }
    text.push_str("\n|---|---|---|---|---|---|---|\n");
    for switch in switches {
        let _ = write!(text, "| `{switch}` |");
        for (_, bundle) in &columns {
            let _ = write!(text, " `{}` |", bundle[switch]);
        }
        text.push('\n');
    }
    text
}

fn filled(compat: Compat) -> Value {
    let listener = ListenerSettings {
        protocol: Some(ProtocolName::TcpVerbs),
        verbs: Some(VerbsSettings {
            compat,
            ..VerbsSettings::default()
        }),
        ..ListenerSettings::default()
    };
    let settings = Settings {
        listeners: [("tcp".to_owned(), listener)].into(),
        ..Settings::default()
    };
    let filled = settings.filled();
    serde_json::to_value(&filled.listeners["tcp"].verbs).unwrap()
}
