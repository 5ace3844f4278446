//! The JSON Schema of the settings, for editors and for the reference in `docs/configuration.md`.

use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

use super::settings::Settings;

/// The word of the schema that says when a change of a setting takes effect; [`super::TakesEffect`] has its values.
pub(crate) const EFFECT: &str = "x-takes-effect";

/// The JSON Schema (draft 2020-12) of a `gateway.toml`. Each key has `x-takes-effect`: `live`, `new-connections` or `restart`.
#[must_use]
pub fn json_schema() -> Schema {
    let inline = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(as_toml));
    let mut schema = inline.into_generator().into_root_schema_for::<Settings>();
    schema.insert("title".to_owned(), "Polyport: gateway.toml".into());
    let mut all = schema.to_value();
    inherit(&mut all, None);
    all.try_into()
        .expect("a schema with more words is a schema")
}

/// What the settings say of a table goes for each of its keys that says nothing else.
fn inherit(schema: &mut Value, from: Option<&Value>) {
    let Value::Object(members) = schema else {
        return;
    };
    for (name, member) in members {
        match (name.as_str(), member) {
            ("properties", Value::Object(keys)) => {
                for key in keys.values_mut() {
                    let own = key.get(EFFECT).or(from).cloned();
                    if let (Value::Object(key), Some(own)) = (&mut *key, &own) {
                        key.insert(EFFECT.to_owned(), own.clone());
                    }
                    inherit(key, own.as_ref());
                }
            }
            ("additionalProperties" | "items", inner) => inherit(inner, from),
            ("anyOf", Value::Array(choices)) => {
                choices.iter_mut().for_each(|choice| inherit(choice, from));
            }
            _ => {}
        }
    }
}

/// TOML has no null: what may be left out is left out. The defaults of a table are those of its keys.
fn as_toml(schema: &mut Schema) {
    if let Some(Value::Null | Value::Object(_)) = schema.get("default") {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| choice.get("type") != Some(&"null".into()));
    if let [Value::Object(only)] = choices.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (key, value) in only {
            if schema.get(&key).is_none() {
                schema.insert(key, value);
            }
        }
    }
}
