//! `polyport config explain`: what a setting means, what it may be, what it is and who set it, and when a change of it
//! takes effect. Everything but the value comes from the schema; the reference in `docs/configuration.md` has the same words.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::{
    effective,
    layers::Layers,
    report::suggestion,
    schema::{EFFECT, json_schema},
    settings::{BackendKind, Settings},
};

/// When a change of a setting takes effect, once the configuration is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TakesEffect {
    /// At once, for open sessions too.
    Live,
    /// For new connections; open sessions go on as they were.
    NewConnections,
    /// At the next start of the process.
    Restart,
}

impl TakesEffect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Live, Self::NewConnections, Self::Restart];

    /// The word in the schema.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::NewConnections => "new-connections",
            Self::Restart => "restart",
        }
    }

    /// What the schema says of a setting.
    #[must_use]
    pub fn of(schema: &Value) -> Option<Self> {
        let word = schema.get(EFFECT)?.as_str()?;
        Self::ALL.into_iter().find(|known| known.name() == word)
    }
}

impl fmt::Display for TakesEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "at once, for open sessions too",
            Self::NewConnections => "for new connections",
            Self::Restart => "at the next start",
        })
    }
}

/// The schema of the setting at `path`, and when a change of it takes effect with these settings.
///
/// # Errors
/// What is wrong with the path.
pub(crate) fn look_up(
    path: &[String],
    settings: &Settings,
) -> Result<(Value, TakesEffect), String> {
    let mut schema = json_schema().to_value();
    let mut effect = None;
    for (depth, key) in path.iter().enumerate() {
        schema = step(&schema, key).map_err(|valid| {
            let valid: Vec<_> = valid.iter().map(String::as_str).collect();
            let around = path[..depth].join(".");
            let place = if around.is_empty() {
                String::new()
            } else {
                format!(" in {around}")
            };
            let suggested = match valid[..] {
                [] => String::new(),
                _ => suggestion(key, &valid),
            };
            format!("no setting `{key}`{place}{suggested}")
        })?;
        effect = TakesEffect::of(&schema).or(effect);
    }
    let effect = effect.ok_or_else(|| "expected a setting such as log.level".to_owned())?;
    Ok((schema, of_script(path, settings).unwrap_or(effect)))
}

/// A script whose settings change gets a new engine, whatever it is that changes.
fn of_script(path: &[String], settings: &Settings) -> Option<TakesEffect> {
    let [table, name, _, ..] = path else {
        return None;
    };
    let backend = settings.backends.get(name)?;
    (table == "backends" && backend.kind == Some(BackendKind::Script))
        .then_some(TakesEffect::NewConnections)
}

/// The schema of `key` in what `schema` describes; else the keys that there are.
fn step(schema: &Value, key: &str) -> Result<Value, Vec<String>> {
    if key.parse::<usize>().is_ok()
        && let Some(element) = elements(schema)
    {
        return Ok(element.clone());
    }
    let table = table(schema).unwrap_or(schema);
    let properties = table.get("properties").and_then(Value::as_object);
    if let Some(properties) = properties {
        return properties
            .get(key)
            .cloned()
            .ok_or_else(|| properties.keys().cloned().collect());
    }
    let named = table
        .get("additionalProperties")
        .filter(|of| of.is_object());
    named.cloned().ok_or_else(Vec::new)
}

/// The schema of a list's elements, also where one may stand for a list of one.
fn elements(schema: &Value) -> Option<&Value> {
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    [schema]
        .into_iter()
        .chain(choices)
        .find_map(|one| one.get("items"))
}

/// The schema of the table that a setting holds, or of the tables of its list.
#[must_use]
pub fn table(setting: &Value) -> Option<&Value> {
    let one = setting["anyOf"].get(0).unwrap_or(setting);
    let one = one.get("items").unwrap_or(one);
    one.get("properties").map(|_| one)
}

/// What a setting may be, in a few words. With `mark` around what is written as it stands.
#[must_use]
pub fn kind(setting: &Value, mark: &str) -> String {
    if let Some(title) = setting["title"].as_str() {
        return title.to_owned();
    }
    if let Some(words) = words(setting) {
        let words: Vec<_> = words
            .iter()
            .map(|word| format!("{mark}{word}{mark}"))
            .collect();
        return words.join(", ");
    }
    match setting["type"].as_str() {
        Some("array") => match words(&setting["items"]) {
            Some(_) => format!("list of {}", kind(&setting["items"], mark)),
            None => format!("list of {}s", kind(&setting["items"], mark)),
        },
        Some("boolean") => format!("{mark}true{mark}, {mark}false{mark}"),
        Some("integer") => "number".to_owned(),
        Some("object") => match setting["additionalProperties"].is_object() {
            true => format!("table of {}s", kind(&setting["additionalProperties"], mark)),
            false => "table".to_owned(),
        },
        Some(other) => other.to_owned(),
        None => "table, or list of tables".to_owned(),
    }
}

/// The values of a setting that takes one of a few.
fn words(setting: &Value) -> Option<Vec<String>> {
    if let Some(Value::Array(words)) = setting.get("enum") {
        return Some(words.iter().map(Value::to_string).collect());
    }
    let choices = setting["oneOf"].as_array()?;
    Some(
        choices
            .iter()
            .map(|choice| choice["const"].to_string())
            .collect(),
    )
}

/// What a setting means, and each of its few values.
#[must_use]
pub fn meaning(setting: &Value, mark: &str) -> String {
    let description = setting["description"].as_str().unwrap_or_default();
    let mut text = description.replace('\n', " ");
    for choice in setting["oneOf"].as_array().into_iter().flatten() {
        let about = choice["description"].as_str().unwrap_or_default();
        let about = about.trim_end_matches('.').replace('\n', " ");
        let _ = write!(text, " {mark}{}{mark}: {about}.", choice["const"]);
    }
    text
}

/// The page about the setting at `path`.
///
/// # Errors
/// When there is no such setting.
pub(crate) fn explain(
    path: &[String],
    settings: &Settings,
    layers: &Layers,
) -> Result<String, String> {
    let (schema, effect) = look_up(path, settings)?;
    let key = path.join(".");
    let mut text = format!("{key}\n{}\n\n", meaning(&schema, ""));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<13} {value}");
    };
    if let Some(keys) = table(&schema).and_then(|table| table["properties"].as_object()) {
        let keys: Vec<_> = keys.keys().map(String::as_str).collect();
        line("keys", &keys.join(", "));
    } else if schema["additionalProperties"].get("properties").is_some() {
        line("keys", "names of your choice");
        let names = effective::keys(settings, path);
        line("now", &names.unwrap_or_else(|| "none".to_owned()));
    } else {
        line("type", &kind(&schema, ""));
        if let Some(default) = schema.get("default") {
            line("default", &default.to_string());
        }
        match effective::value(settings, layers, path) {
            Some((value, source)) => line("now", &format!("{value}  # {source}")),
            None => line("now", "not set"),
        }
    }
    line("environment", &variable(path));
    line("takes effect", &effect.to_string());
    Ok(text)
}

/// The variable that sets it, if one can.
fn variable(path: &[String]) -> String {
    let is_reachable = |key: &String| {
        *key == key.to_lowercase() && !key.contains('-') && key.parse::<usize>().is_err()
    };
    if path.len() > 1 && path.iter().all(is_reachable) {
        format!("POLYPORT_{}", path.join("__").to_uppercase())
    } else {
        "none".to_owned()
    }
}
