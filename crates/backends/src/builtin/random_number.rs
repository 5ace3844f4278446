//! `randomNumber`: a number in [0, 1).

use polyport_core::Answer;
use serde::Serialize;

use super::{BuiltinOptions, examples, reply};
use crate::{Action, javascript::Number};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    random_number: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_random_number: Option<String>,
}

pub(super) fn action(options: &BuiltinOptions) -> Action {
    let with_sentence = options.random_string;
    Action {
        name: "randomNumber".to_owned(),
        version: 1,
        description: "I am an API method which will generate a random number".to_owned(),
        inputs: Vec::new(),
        output_example: examples::random_number(options),
        run: Box::new(move |_| {
            let number = Number(rand::random());
            Answer::Now(Ok(reply(&Fields {
                random_number: number,
                string_random_number: with_sentence
                    .then(|| format!("Your random number is {number}")),
            })))
        }),
    }
}
