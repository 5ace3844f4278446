//! The one registry that answers a listener's calls.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use polyport_core::{ActionInfo, Answer, Backend, Call, CallError, InputInfo, Json, SessionRef};

use crate::{
    Action, DocumentationShape, Inputs, Request, documentation::documentation, javascript,
};

/// Finds the action that a call names and runs it. A name belongs to the first backend that has it, in all versions.
pub struct Registry {
    /// Clients only look names up, they never add one: a hash without a secret is safe.
    actions: HashMap<Box<str>, Versions, FixedState>,
    infos: Vec<ActionInfo>,
    documentation: Json,
}

/// The versions of one action, the newest last; never empty.
struct Versions(Vec<Version>);

struct Version {
    /// As clients may write it.
    text: String,
    action: Action,
}

impl Registry {
    /// A registry over the actions of `backends`, the first one asked first. Of two actions with one name and version
    /// in the same backend the later counts.
    #[must_use]
    pub fn new(
        backends: impl IntoIterator<Item = Vec<Action>>,
        documentation_shape: DocumentationShape,
    ) -> Self {
        let mut actions: HashMap<Box<str>, Versions, FixedState> = HashMap::default();
        for backend in backends {
            let mut own: HashMap<Box<str>, Versions, FixedState> = HashMap::default();
            for action in backend {
                own.entry(action.name.as_str().into())
                    .or_insert_with(|| Versions(Vec::new()))
                    .insert(action);
            }
            for (name, versions) in own {
                actions.entry(name).or_insert(versions);
            }
        }
        let mut by_name: Vec<&Versions> = actions.values().collect();
        by_name.sort_by(|a, b| a.newest().name.cmp(&b.newest().name));
        let all = || by_name.iter().flat_map(|versions| versions.all());
        let infos = all().map(info).collect();
        let documentation = documentation(all(), documentation_shape);
        Self {
            actions,
            infos,
            documentation,
        }
    }

    fn find(&self, call: &Call<'_>) -> Option<&Action> {
        let versions = self.actions.get(call.action)?;
        match call.version {
            Some(version) if !javascript::is_falsy(version) => {
                versions.find(&javascript::text(version))
            }
            _ => Some(versions.newest()),
        }
    }
}

impl Backend for Registry {
    fn call(&self, session: &SessionRef, call: Call<'_>) -> Answer {
        let Some(action) = self.find(&call) else {
            return Answer::Now(Err(CallError::UnknownAction));
        };
        match Inputs::resolve(&action.inputs, call.args) {
            Ok(inputs) => (action.run)(&Request {
                session,
                inputs,
                documentation: &self.documentation,
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

    fn describe(&self) -> &[ActionInfo] {
        &self.infos
    }

    /// As the `documentation` verb and the action `showDocumentation` tell it, in order of names and versions:
    /// `{name: {version: {name, version, description, inputs, outputExample}}}`.
    fn documentation(&self) -> Json {
        self.documentation.clone()
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

    fn registry() -> Registry {
        let first = vec![
            action("both", 2, "first 2"),
            action("both", 1, "first 1"),
            action("both", 10, "first 10"),
        ];
        let second = vec![action("both", 99, "second"), action("own", 1, "own 1")];
        Registry::new([first, second], DocumentationShape::Keys)
    }

    #[track_caller]
    fn check(name: &str, version: Option<&str>, expected: Option<&str>) {
        let registry = registry();
        let version = version.map(|text| Json::parse(text).unwrap());
        let found = registry.find(&Call {
            action: name,
            version: version.as_ref(),
            args: CallArgs::List(&[]),
        });
        assert_eq!(found.map(|action| action.description.as_str()), expected);
    }

    #[test]
    fn the_newest_version_is_the_default() {
        check("both", None, Some("first 10"));
        for falsy in ["null", r#""""#, "0", "false"] {
            check("both", Some(falsy), Some("first 10"));
        }
    }

    #[test]
    fn versions_are_compared_as_text() {
        check("both", Some("1"), Some("first 1"));
        check("both", Some(r#""1""#), Some("first 1"));
        check("both", Some("1.0"), Some("first 1"));
        check("both", Some("[2]"), Some("first 2"));
        for unknown in [r#""1.0""#, r#""01""#, "3", "true", "{}", r#"" 1""#] {
            check("both", Some(unknown), None);
        }
    }

    #[test]
    fn a_name_belongs_to_the_first_backend_that_has_it() {
        check("both", Some("99"), None);
        check("own", None, Some("own 1"));
        check("Own", None, None);
        check("", None, None);
    }

    #[test]
    fn actions_are_described_in_order_of_names_and_versions() {
        let registry = registry();
        let described: Vec<(&str, u32)> = registry
            .describe()
            .iter()
            .map(|info| (info.name.as_str(), info.version))
            .collect();
        assert_eq!(
            described,
            [("both", 1), ("both", 2), ("both", 10), ("own", 1)]
        );
    }
}
