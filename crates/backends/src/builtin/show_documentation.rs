//! `showDocumentation`: every action with its inputs and an example of its answer.

use polyport_core::{Answer, Json};
use serde::Serialize;

use super::{BuiltinOptions, examples, reply};
use crate::Action;

#[derive(Serialize)]
struct Fields<'a> {
    documentation: &'a Json,
}

pub(super) fn action(options: &BuiltinOptions) -> Action {
    Action {
        name: "showDocumentation".to_owned(),
        version: 1,
        description: "return API documentation".to_owned(),
        inputs: Vec::new(),
        output_example: examples::show_documentation(options),
        run: Box::new(|request| {
            Answer::Now(Ok(reply(&Fields {
                documentation: request.documentation,
            })))
        }),
    }
}
