//! The tables in `docs/configuration.md` are those that the settings themselves say. With `UPDATE_DOCS=1` in the
//! environment this test writes them instead of comparing them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::PathBuf,
};

use polyport::config::{
    Compat, Inputs, ListenerSettings, ProtocolName, Settings, SourceFile, TakesEffect,
    VerbsSettings, json_schema, kind, meaning, table,
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

/// Every key says when a change takes effect, and says the same as the table about reloading.
#[test]
fn every_key_takes_effect_as_the_table_about_reloading_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let page = fs::read_to_string(&path).unwrap();
    let (_, section) = page.split_once("### Reloading\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut told = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.split(" | ").collect();
        let effect = match cells[1] {
            at if at.contains("at once") => TakesEffect::Live,
            at if at.contains("at the next start") => TakesEffect::Restart,
            _ => TakesEffect::NewConnections,
        };
        if cells[0].contains("of a script") {
            told.insert("Scripts:".to_owned(), effect);
            continue;
        }
        for name in cells[0].split('`').skip(1).step_by(2) {
            let path = match name.trim_matches(['[', ']']) {
                key if name.contains(['[', '.']) => key.to_owned(),
                key => format!("listeners.NAME.{key}"),
            };
            assert!(told.insert(path, effect).is_none(), "{name} is told twice");
        }
    }
    let mut seen = BTreeSet::new();
    check_effects("", &json_schema().to_value(), &told, &mut seen);
    let unseen: Vec<_> = told.keys().filter(|path| !seen.contains(*path)).collect();
    assert!(unseen.is_empty(), "rows about no key: {unseen:?}");
}

/// What takes effect for new connections only is what a listener is bound anew for, but for certificates and PROXY
/// networks, which each new connection looks at.
#[test]
fn listeners_are_bound_anew_for_what_is_not_live() {
    const BIND: &str = "bind = \"127.0.0.1:1\"";
    const CHANGES: [&str; 11] = [
        "bind = \"127.0.0.1:2\"",
        "realm = \"other\"",
        "join = [\"lobby\"]",
        "backends = []",
        "tls = { cert = \"c.pem\", key = \"k.pem\" }",
        "proxy_protocol = [\"10.0.0.0/8\"]",
        "limits = { idle = \"5m\", handshake = \"1s\" }",
        "permissions = { call = [] }",
        "auth = {}",
        "site = { sources = [] }",
        "rpc = { validators = true }",
    ];
    let listener = |settings: &str| {
        let text = format!(
            "[tokens.main]\nkeys = [{{ algorithm = \"HS256\", secret = \"env:POLYPORT_JWT_SECRET\" }}]\n\
             [listeners.one]\nprotocol = \"ws-rpc\"\n{settings}\n"
        );
        let file = SourceFile {
            name: "one".to_owned(),
            text,
            folder: "/".into(),
            built_in: false,
        };
        let mut config = Inputs::default().load_from(&file).unwrap().config;
        config.listeners.remove(0)
    };
    let schema = json_schema().to_value();
    let keys = &schema["properties"]["listeners"]["additionalProperties"]["properties"];
    let before = listener(BIND);
    for change in CHANGES {
        let key = change.split(' ').next().unwrap();
        let after = listener(&match key {
            "bind" => change.to_owned(),
            _ => format!("{BIND}\n{change}"),
        });
        assert_ne!(before, after, "{change}");
        let is_live = TakesEffect::of(&keys[key]) == Some(TakesEffect::Live);
        let is_looked_at = ["tls", "proxy_protocol"].contains(&key);
        assert_eq!(
            before.is_same_front_end(&after),
            is_live || is_looked_at,
            "{change}"
        );
    }
}

fn check_effects(
    path: &str,
    schema: &Value,
    told: &BTreeMap<String, TakesEffect>,
    seen: &mut BTreeSet<String>,
) {
    for (key, property) in schema["properties"].as_object().unwrap() {
        let path = format!("{path}{}{key}", if path.is_empty() { "" } else { "." });
        let effect = TakesEffect::of(property);
        let effect = effect.unwrap_or_else(|| panic!("{path} does not say when it takes effect"));
        let (inside, path) = match named(property) {
            Some(named) => (Some(named), format!("{path}.NAME")),
            None => (table(property), path),
        };
        let is_of_script = meaning(property, "").starts_with("Scripts: ");
        let around = || {
            let mut ends: Vec<_> = path.match_indices('.').map(|(end, _)| end).collect();
            ends.push(path.len());
            ends.into_iter()
                .rev()
                .map(|end| &path[..end])
                .find(|around| told.contains_key(*around))
        };
        let row = if is_of_script {
            Some("Scripts:")
        } else {
            around()
        };
        match row {
            Some(row) if row == path || inside.is_none() => {
                assert_eq!(told[row], effect, "{path} by the row about {row}");
                seen.insert(row.to_owned());
            }
            None if inside.is_none() => panic!("no row is about {path}"),
            _ => {}
        }
        if let Some(inside) = inside {
            check_effects(&path, inside, told, seen);
        }
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
    for name in [
        "log",
        "tracing",
        "shutdown",
        "limits",
        "admin",
        "api",
        "backplane",
    ] {
        describe_table(name, &schema["properties"][name], &mut text);
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
    let is_plain = |property: &Value| table(property).is_none() && named(property).is_none();
    if keys.iter().any(|(_, property)| is_plain(property)) {
        text.push_str("| key | value | default | change | meaning |\n|---|---|---|---|---|\n");
    }
    for (key, property) in keys.iter().filter(|(_, property)| is_plain(property)) {
        let _ = writeln!(
            text,
            "| `{key}` | {} | {} | {} | {} |",
            kind(property, "`").replace('|', "\\|"),
            default(path, property),
            change(property),
            meaning(property, "`").replace('|', "\\|"),
        );
    }
    text.push('\n');
    for (key, property) in keys {
        let (inner, path) = match (table(property), named(property)) {
            (Some(inner), _) => (inner, format!("{path}.{key}")),
            (None, Some(named)) => (named, format!("{path}.{key}.NAME")),
            (None, None) => continue,
        };
        let mut inner = inner.clone();
        inner["description"] = property["description"].clone();
        describe_table(&path, &inner, text);
    }
}

/// The schema of the tables that a key holds under names.
fn named(property: &Value) -> Option<&Value> {
    let one = property.get("additionalProperties")?;
    one.get("properties").map(|_| one)
}

fn change(property: &Value) -> &'static str {
    match TakesEffect::of(property).unwrap() {
        TakesEffect::Live => "at once",
        TakesEffect::NewConnections => "new",
        TakesEffect::Restart => "restart",
    }
}

fn default(path: &str, property: &Value) -> String {
    match property.get("default") {
        Some(value) => format!("`{}`", value.to_string().replace(',', ", ")),
        None if path.ends_with(".verbs") => "by `compat`".to_owned(),
        None => String::new(),
    }
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
