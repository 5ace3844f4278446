//! `cacheTest`: saves a value in the cache, counts the entries, loads it, deletes it.

use std::{sync::Arc, time::Duration};

use polyport_core::{Answer, CallError, Json, Millis, Reply};
use serde::Serialize;

use super::{BuiltinOptions, CacheShape, LengthRule, TextInputs, examples, reply};
use crate::{Action, Cached, Formatter, Input, Inputs, Node, Validator, javascript};

const TIME_TO_LIVE: Duration = Duration::from_secs(5);
const MIN_LETTERS: usize = 3;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    cache_test_results: Results<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Results<'a> {
    save_resp: bool,
    size_resp: usize,
    /// `null` if another call with the same key deleted the entry meanwhile.
    load_resp: Option<Loaded<'a>>,
    delete_resp: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Loaded<'a> {
    key: &'a str,
    value: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_timestamp: Option<u64>,
    created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_at: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_read_at: Option<Option<u64>>,
}

pub(super) fn action(options: &BuiltinOptions, node: &Arc<Node>) -> Action {
    let node = Arc::clone(node);
    let shape = options.cache_shape;
    Action {
        name: "cacheTest".to_owned(),
        version: 1,
        description: "I will test the internal cache functions of the API".to_owned(),
        inputs: inputs(options),
        output_example: examples::cache_test(options),
        run: Box::new(move |request| Answer::Now(run(&node, shape, &request.inputs))),
    }
}

fn inputs(options: &BuiltinOptions) -> Vec<Input> {
    let formatter: Option<Formatter> = match options.text_inputs {
        TextInputs::Untouched => None,
        TextInputs::Converted | TextInputs::ConvertedWithNull => Some(as_text),
    };
    let input = |name: &str, validator| Input {
        name: name.to_owned(),
        required: true,
        default: None,
        formatter,
        formats_null: options.text_inputs == TextInputs::ConvertedWithNull,
        validator,
    };
    let (key_validator, value_validator): (Option<Validator>, Option<Validator>) =
        match options.length_rule {
            LengthRule::None => (None, None),
            LengthRule::Value => (None, Some(long_enough_value)),
            LengthRule::Both => (Some(long_enough_input), Some(long_enough_input)),
        };
    vec![input("key", key_validator), input("value", value_validator)]
}

fn as_text(value: &Json) -> Json {
    if value.is_string() {
        return value.clone();
    }
    Json::string(&javascript::text(value))
}

fn long_enough_value(value: &Json) -> Result<(), String> {
    long_enough(value, "`value` should be at least 3 letters long")
}

fn long_enough_input(value: &Json) -> Result<(), String> {
    long_enough(value, "inputs should be at least 3 letters long")
}

fn long_enough(value: &Json, complaint: &str) -> Result<(), String> {
    if javascript::length(&javascript::text(value)) < MIN_LETTERS {
        return Err(complaint.to_owned());
    }
    Ok(())
}

fn run(node: &Node, shape: CacheShape, inputs: &Inputs<'_>) -> Result<Reply, CallError> {
    let key = format!("cacheTest_{}", javascript::text(inputs.required("key")));
    let value = inputs.required("value").clone();
    let now = Millis::now();
    node.cache
        .save(&key, value, Some(TIME_TO_LIVE), now)
        .map_err(|_| CallError::Rejected("the cache is full".to_owned()))?;
    let size_resp = node.cache.len(now);
    let cached = node.cache.load(&key, now);
    let delete_resp = node.cache.remove(&key, now);
    Ok(reply(&Fields {
        cache_test_results: Results {
            save_resp: true,
            size_resp,
            load_resp: cached
                .as_ref()
                .map(|cached| loaded(&key, cached, shape, now)),
            delete_resp,
        },
    }))
}

fn loaded<'a>(key: &'a str, cached: &'a Cached, shape: CacheShape, now: Millis) -> Loaded<'a> {
    let millis = |time: Option<Millis>| time.map(|time| time.0);
    let (read_at, last_read_at) = match shape {
        CacheShape::ReadNow => (Some(Some(now.0)), None),
        CacheShape::ReadAt => (Some(millis(cached.read_at)), None),
        CacheShape::LastReadAt => (None, Some(millis(cached.read_at))),
        CacheShape::Plain => (None, None),
    };
    Loaded {
        key,
        value: &cached.value,
        expire_timestamp: millis(cached.expires_at).filter(|_| shape != CacheShape::Plain),
        created_at: cached.created_at.0,
        read_at,
        last_read_at,
    }
}
