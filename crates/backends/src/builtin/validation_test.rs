//! `validationTest`: answers a string, refuses everything else.

use polyport_core::{Answer, Json};
use serde::Serialize;

use super::{examples, reply};
use crate::{Action, Input};

#[derive(Serialize)]
struct Fields<'a> {
    string: &'a Json,
}

pub(super) fn action() -> Action {
    let input = Input {
        name: "string".to_owned(),
        required: true,
        validator: Some(is_string),
        ..Input::default()
    };
    Action {
        name: "validationTest".to_owned(),
        version: 1,
        description: "I will test action input validators.".to_owned(),
        inputs: vec![input],
        output_example: examples::validation_test(),
        run: Box::new(|request| {
            let string = request.inputs.required("string");
            Answer::Now(Ok(reply(&Fields { string })))
        }),
    }
}

fn is_string(value: &Json) -> Result<(), String> {
    if value.is_string() {
        return Ok(());
    }
    Err(r#"Input for parameter "string" failed validation!"#.to_owned())
}
