//! A provider made of actions that are functions of this program.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use polyport_core::{ActionInfo, Answer, Call, CallError, InputInfo, Json, SessionRef};

use crate::{Action, Inputs, Provider, Request, javascript};

/// Actions by name, each in one or several versions.
#[derive(Default)]
pub struct Actions {
    /// Clients only look names up, they never add one: a hash without a secret is safe.
    by_name: HashMap<Box<str>, Versions, FixedState>,
}

/// The versions of one action, the newest last; never empty.
struct Versions(Vec<Version>);

struct Version {
    /// As clients may write it.
    text: String,
    action: Action,
}

impl Actions {
    /// Of two actions with one name and version the later counts.
    #[must_use]
    pub fn new(actions: impl IntoIterator<Item = Action>) -> Self {
        let mut by_name: HashMap<Box<str>, Versions, FixedState> = HashMap::default();
        for action in actions {
            by_name
                .entry(action.name.as_str().into())
                .or_insert_with(|| Versions(Vec::new()))
                .insert(action);
        }
        Self { by_name }
    }

    fn find(&self, call: &Call<'_>) -> Option<&Action> {
        let versions = self.by_name.get(call.action)?;
        match call.version {
            Some(version) if !javascript::is_falsy(version) => {
                versions.find(&javascript::text(version))
            }
            _ => Some(versions.newest()),
        }
    }
}

impl Provider for Actions {
    fn actions(&self) -> Vec<ActionInfo> {
        self.by_name
            .values()
            .flat_map(Versions::all)
            .map(info)
            .collect()
    }

    fn call(&self, session: &SessionRef, call: Call<'_>, documentation: &Json) -> Answer {
        let Some(action) = self.find(&call) else {
            return Answer::Now(Err(CallError::UnknownAction));
        };
        match Inputs::resolve(&action.inputs, call.args) {
            Ok(inputs) => (action.run)(&Request {
                session,
                inputs,
                documentation,
            }),
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn inputs(&self, call: &Call<'_>) -> Vec<(String, Json)> {
        let Some(action) = self.find(call) else {
            return Vec::new();
        };
        Inputs::seen(&action.inputs, call.args)
    }
}

impl Versions {
    fn insert(&mut self, action: Action) {
        let version = action.version;
        let entry = Version {
            text: version.to_string(),
            action,
        };
        match self
            .0
            .binary_search_by_key(&version, |known| known.action.version)
        {
            Ok(index) => self.0[index] = entry,
            Err(index) => self.0.insert(index, entry),
        }
    }

    fn find(&self, text: &str) -> Option<&Action> {
        let known = self.0.iter().find(|known| known.text == text)?;
        Some(&known.action)
    }

    fn newest(&self) -> &Action {
        &self.0.last().expect("made with its first version").action
    }

    fn all(&self) -> impl Iterator<Item = &Action> {
        self.0.iter().map(|version| &version.action)
    }
}

fn info(action: &Action) -> ActionInfo {
    let inputs = action.inputs.iter().map(|input| InputInfo {
        name: input.name.clone(),
        required: input.required,
        default: input.default.clone(),
        has_formatter: input.formatter.is_some(),
        has_validator: input.validator.is_some(),
    });
    ActionInfo {
        name: action.name.clone(),
        version: action.version,
        description: action.description.clone(),
        inputs: inputs.collect(),
        output_example: action.output_example.clone(),
    }
}

#[cfg(test)]
mod tests {
    use polyport_core::{CallArgs, Params, Reply};

    use super::*;

    fn action(name: &str, version: u32, answer: &'static str) -> Action {
        Action {
            name: name.to_owned(),
            version,
            description: answer.to_owned(),
            inputs: Vec::new(),
            output_example: Json::encode(&Params::default()),
            run: Box::new(|_| Answer::Now(Ok(Reply::Nothing))),
        }
    }

    #[track_caller]
    fn check(name: &str, version: Option<&str>, expected: Option<&str>) {
        let actions = Actions::new([
            action("both", 2, "two"),
            action("both", 1, "one"),
            action("both", 10, "ten"),
        ]);
        let version = version.map(|text| Json::parse(text).unwrap());
        let found = actions.find(&Call {
            action: name,
            version: version.as_ref(),
            args: CallArgs::List(&[]),
        });
        assert_eq!(found.map(|action| action.description.as_str()), expected);
    }

    #[test]
    fn the_newest_version_is_the_default() {
        check("both", None, Some("ten"));
        for falsy in ["null", r#""""#, "0", "false"] {
            check("both", Some(falsy), Some("ten"));
        }
        check("Both", None, None);
        check("", None, None);
    }

    #[test]
    fn versions_are_compared_as_text() {
        check("both", Some("1"), Some("one"));
        check("both", Some(r#""1""#), Some("one"));
        check("both", Some("1.0"), Some("one"));
        check("both", Some("[2]"), Some("two"));
        for unknown in [r#""1.0""#, r#""01""#, "3", "true", "{}", r#"" 1""#] {
            check("both", Some(unknown), None);
        }
    }
}
