//! `sleepTest`: answers after a while. How long a call may take at most is the listener's call deadline.

use std::time::Duration;

use polyport_core::{Answer, Json, Millis};
use serde::Serialize;

use super::{BuiltinOptions, TextInputs, examples, reply};
use crate::{
    Action, Input, Inputs,
    javascript::{self, Number},
};

const DEFAULT_MS: f64 = 1000.0;

/// A timer's range in JavaScript. Longer sleeps are cut to it, shorter ones (and what is no number) last one millisecond.
const TIMER_MS: std::ops::RangeInclusive<f64> = 1.0..=2_147_483_647.0;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    sleep_started: u64,
    sleep_ended: u64,
    sleep_delta: u64,
    sleep_duration: Number,
}

pub(super) fn action(options: &BuiltinOptions) -> Action {
    let converted = options.text_inputs != TextInputs::Untouched;
    let input = Input {
        name: "sleepDuration".to_owned(),
        required: converted,
        default: Some(Json::encode(&Number(DEFAULT_MS))),
        formatter: converted.then_some(as_whole_number),
        formats_null: options.text_inputs == TextInputs::ConvertedWithNull,
        validator: None,
    };
    Action {
        name: "sleepTest".to_owned(),
        version: 1,
        description: "I will sleep and then return".to_owned(),
        inputs: vec![input],
        output_example: examples::sleep_test(options),
        run: Box::new(move |request| run(duration(&request.inputs, converted))),
    }
}

/// JSON has no `NaN` and no infinity, and `null` would be taken for missing: they go on as text.
fn as_whole_number(value: &Json) -> Json {
    let number = Number(parse_int(value));
    if number.0.is_finite() {
        Json::encode(&number)
    } else {
        Json::string(&number.to_string())
    }
}

fn parse_int(value: &Json) -> f64 {
    javascript::parse_int(&javascript::text(value))
}

fn duration(inputs: &Inputs<'_>, converted: bool) -> f64 {
    let given = inputs.get("sleepDuration");
    if converted {
        given.map_or(DEFAULT_MS, |number| number.decode().unwrap_or(f64::NAN))
    } else {
        given
            .map(parse_int)
            .filter(|number| !number.is_nan())
            .unwrap_or(DEFAULT_MS)
    }
}

fn run(duration_ms: f64) -> Answer {
    let started = Millis::now();
    let timer_ms = duration_ms.max(*TIMER_MS.start()).min(*TIMER_MS.end());
    Answer::Later(Box::pin(async move {
        tokio::time::sleep(Duration::from_secs_f64(timer_ms / 1000.0)).await;
        let ended = Millis::now();
        Ok(reply(&Fields {
            sleep_started: started.0,
            sleep_ended: ended.0,
            sleep_delta: ended.0.saturating_sub(started.0),
            sleep_duration: Number(duration_ms),
        }))
    }))
}
