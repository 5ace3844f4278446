//! The registry's description of itself, in the forms that Actionhero's clients know.

use std::borrow::Cow;

use polyport_core::{ActionInfo, InputInfo, Json};
use serde::{Serialize, Serializer};

/// How the inputs of an action are described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DocumentationShape {
    /// `{"required":["key"],"optional":[]}`: Actionhero up to 10.
    Lists,
    /// `{"key":{"required":true}}`: Actionhero 11 to 16, whose JSON leaves functions out.
    #[default]
    Keys,
    /// `{"key":{"required":true,"formatter":[null]}}`: Actionhero 17 and later keep lists of functions, which JSON
    /// shows as lists of `null`, once the action has run.
    KeysAndFunctions,
}

/// `{name: {version: {name, version, description, inputs, outputExample}}}`. Versions of one action stand together.
pub(crate) fn documentation(actions: &[ActionInfo], shape: DocumentationShape) -> Json {
    let mut names: Vec<(&str, Object<'_>)> = Vec::new();
    for action in actions {
        let version = (action.version.to_string().into(), describe(action, shape));
        match names.last_mut() {
            Some((name, versions)) if *name == action.name => versions.0.push(version),
            _ => names.push((&action.name, Object(vec![version]))),
        }
    }
    let names = names
        .iter()
        .map(|(name, versions)| ((*name).into(), Json::encode(versions)));
    Json::encode(&Object(names.collect()))
}

/// A JSON object whose members keep their order.
struct Object<'a>(Vec<(Cow<'a, str>, Json)>);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn describe(action: &ActionInfo, shape: DocumentationShape) -> Json {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Description<'a> {
        name: &'a str,
        version: u32,
        description: &'a str,
        inputs: Json,
        output_example: &'a Json,
    }
    Json::encode(&Description {
        name: &action.name,
        version: action.version,
        description: &action.description,
        inputs: describe_inputs(&action.inputs, shape),
        output_example: &action.output_example,
    })
}

fn describe_inputs(inputs: &[InputInfo], shape: DocumentationShape) -> Json {
    #[derive(Serialize)]
    struct Lists<'a> {
        required: Vec<&'a str>,
        optional: Vec<&'a str>,
    }
    #[derive(Serialize)]
    struct Key {
        required: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        formatter: Option<[(); 1]>,
        #[serde(skip_serializing_if = "Option::is_none")]
        validator: Option<[(); 1]>,
    }
    if shape == DocumentationShape::Lists {
        let names = |required| {
            let wanted = inputs
                .iter()
                .filter(move |input| input.required == required);
            wanted.map(|input| input.name.as_str()).collect()
        };
        return Json::encode(&Lists {
            required: names(true),
            optional: names(false),
        });
    }
    let functions = shape == DocumentationShape::KeysAndFunctions;
    let keys = inputs.iter().map(|input| {
        let key = Key {
            required: input.required,
            formatter: (functions && input.has_formatter).then_some([()]),
            validator: (functions && input.has_validator).then_some([()]),
        };
        (input.name.as_str().into(), Json::encode(&key))
    });
    Json::encode(&Object(keys.collect()))
}
