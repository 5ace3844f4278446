//! An action as the registry runs it: its description, the rules for its inputs, and what it does.

use std::{borrow::Cow, slice};

use polyport_core::{Answer, Arg, CallArgs, CallError, Json, SessionRef, single_argument};
use smallvec::SmallVec;

/// What an action does with a call whose inputs are in order. Must not block the thread.
pub type Run = Box<dyn Fn(&Request<'_>) -> Answer + Send + Sync>;

/// Rewrites the value of an input.
pub type Formatter = fn(&Json) -> Json;

/// Checks the value of an input; the error is for the client.
pub type Validator = fn(&Json) -> Result<(), String>;

/// One action in one version.
pub struct Action {
    /// Its name.
    pub name: String,
    /// Its version; several may exist beside each other.
    pub version: u32,
    /// What it does, for people.
    pub description: String,
    /// Its inputs; list arguments are given to them by position.
    pub inputs: Vec<Input>,
    /// An answer to show in documentation, a JSON object.
    pub output_example: Json,
    /// What it does.
    pub run: Run,
}

/// One declared input and what happens to its value before the action sees it: default, formatter, validator, required.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Whether a call is refused in which it is not given, `null` or the empty string.
    pub required: bool,
    /// Taken when it is not given.
    pub default: Option<Json>,
    /// Rewrites a value that is given.
    pub formatter: Option<Formatter>,
    /// Whether `null` goes through the formatter like any value, so that one which makes text of everything turns it
    /// into the text `null`.
    pub formats_null: bool,
    /// Checks a value that is given.
    pub validator: Option<Validator>,
}

/// A call on its way into an action.
pub struct Request<'a> {
    /// Who calls.
    pub session: &'a SessionRef,
    /// With which inputs.
    pub inputs: Inputs<'a>,
    /// The documentation of every action of the registry.
    pub documentation: &'a Json,
}

/// The values of an action's declared inputs. What a client sends beyond them never reaches an action.
#[derive(Debug)]
pub struct Inputs<'a> {
    declared: &'a [Input],
    values: SmallVec<[Option<Cow<'a, Json>>; 2]>,
}

impl<'a> Inputs<'a> {
    /// Takes the declared inputs out of a call's arguments, in declared order.
    ///
    /// # Errors
    /// [`CallError::MissingParam`] for the first required input that is missing; else [`CallError::Rejected`] with the
    /// text of the first validator that refused.
    pub(crate) fn resolve(declared: &'a [Input], args: CallArgs<'a>) -> Result<Self, CallError> {
        let mut values = SmallVec::with_capacity(declared.len());
        let mut refusal = None;
        for (position, input) in declared.iter().enumerate() {
            let value = input.formatted(given(args, position, &input.name));
            if input.required && value.as_deref().is_none_or(is_missing) {
                return Err(CallError::MissingParam(input.name.clone()));
            }
            if let (None, Some(validator), Some(value)) = (&refusal, input.validator, &value) {
                refusal = validator(value).err();
            }
            values.push(value);
        }
        match refusal {
            Some(text) => Err(CallError::Rejected(text)),
            None => Ok(Self { declared, values }),
        }
    }

    /// What an action would see of its inputs, whether or not that is enough to run it.
    pub(crate) fn seen(declared: &[Input], args: CallArgs<'_>) -> Vec<(String, Json)> {
        declared
            .iter()
            .enumerate()
            .filter_map(|(position, input)| {
                let value = input.formatted(given(args, position, &input.name))?;
                Some((input.name.clone(), value.into_owned()))
            })
            .collect()
    }

    /// The value of an input, if it was given or has a default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        let position = self.declared.iter().position(|input| input.name == name)?;
        self.values.get(position)?.as_deref()
    }

    /// The value of an input that is required.
    ///
    /// # Panics
    /// When the action does not declare the input as required: a mistake in the action, not in the call.
    #[must_use]
    pub fn required(&self, name: &str) -> &Json {
        self.get(name)
            .expect("a required input has a value when its action runs")
    }
}

impl Input {
    fn formatted<'a>(&'a self, given: Option<Cow<'a, Json>>) -> Option<Cow<'a, Json>> {
        let value = given.or_else(|| self.default.as_ref().map(Cow::Borrowed))?;
        match self.formatter {
            Some(formatter) if self.formats_null || *value != Json::NULL => {
                Some(Cow::Owned(formatter(&value)))
            }
            _ => Some(value),
        }
    }
}

fn given<'a>(args: CallArgs<'a>, position: usize, name: &str) -> Option<Cow<'a, Json>> {
    match args {
        CallArgs::Named(params) => params.get(name).map(Cow::Borrowed),
        CallArgs::List(list) => list.get(position).map(|arg| match arg {
            Arg::Json(json) => Cow::Borrowed(json),
            Arg::Binary(_) | Arg::Mixed(_) => Cow::Owned(single_argument(slice::from_ref(arg))),
        }),
    }
}

fn is_missing(value: &Json) -> bool {
    matches!(value.as_str(), "null" | r#""""#)
}

#[cfg(test)]
mod tests {
    use polyport_core::Params;

    use super::*;

    fn upper(value: &Json) -> Json {
        Json::string(&value.as_str().trim_matches('"').to_uppercase())
    }

    fn short(value: &Json) -> Result<(), String> {
        if value.len() > 5 {
            return Err(format!("{value:?} is too long"));
        }
        Ok(())
    }

    fn declared() -> [Input; 3] {
        let input = |name: &str| Input {
            name: name.to_owned(),
            ..Input::default()
        };
        [
            Input {
                required: true,
                formatter: Some(upper),
                validator: Some(short),
                ..input("a")
            },
            Input {
                default: Some(Json::string("d")),
                formatter: Some(upper),
                ..input("b")
            },
            Input {
                required: true,
                ..input("c")
            },
        ]
    }

    /// `given` as an object by name and as a list by position must come to the same.
    #[track_caller]
    fn check(given: &[(&str, &str)], expected: Result<[Option<&str>; 3], CallError>) {
        let declared = declared();
        let expected = expected.map(|values| values.map(|value| value.map(str::to_owned)));
        let resolve = |args| {
            Inputs::resolve(&declared, args)
                .map(|inputs| ["a", "b", "c"].map(|name| inputs.get(name).map(text)))
        };
        let mut params = Params::default();
        for (name, value) in given {
            params.set(name, Json::parse(value).unwrap());
        }
        assert_eq!(resolve(CallArgs::Named(&params)), expected, "by name");

        let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
        if ["a", "b", "c"].starts_with(&names) {
            let list: Vec<Arg> = given
                .iter()
                .map(|(_, value)| Arg::Json(Json::parse(value).unwrap()))
                .collect();
            assert_eq!(resolve(CallArgs::List(&list)), expected, "by position");
        }
    }

    fn text(json: &Json) -> String {
        json.as_str().to_owned()
    }

    fn missing<T>(name: &str) -> Result<T, CallError> {
        Err(CallError::MissingParam(name.to_owned()))
    }

    #[test]
    fn default_formatter_validator_required() {
        check(
            &[("a", r#""x""#), ("c", "7")],
            Ok([Some(r#""X""#), Some(r#""D""#), Some("7")]),
        );
        check(
            &[("a", r#""x""#), ("b", r#""y""#), ("c", "false")],
            Ok([Some(r#""X""#), Some(r#""Y""#), Some("false")]),
        );
        check(
            &[("a", r#""x""#), ("b", "null"), ("c", "0")],
            Ok([Some(r#""X""#), Some("null"), Some("0")]),
        );
        check(&[], missing("a"));
        check(&[("a", r#""""#), ("b", r#""""#), ("c", "1")], missing("a"));
        check(&[("a", "null"), ("b", "1"), ("c", "1")], missing("a"));
        check(&[("a", r#""x""#)], missing("c"));
        check(&[("a", r#""toolong""#)], missing("c"));
        check(
            &[("a", r#""toolong""#), ("b", "1"), ("c", "1")],
            Err(CallError::Rejected(r#""TOOLONG" is too long"#.to_owned())),
        );
    }

    #[test]
    fn a_formatter_gets_null_only_where_the_input_says_so() {
        let mut declared = declared();
        declared[0].formats_null = true;
        declared[0].validator = None;
        let mut params = Params::default();
        params.set("a", Json::NULL);
        params.set("c", Json::NULL);
        let result = Inputs::resolve(&declared[..1], CallArgs::Named(&params));
        assert_eq!(
            result.unwrap().get("a").map(Json::as_str),
            Some(r#""NULL""#)
        );
    }

    #[test]
    fn undeclared_params_stay_outside() {
        let declared = declared();
        let mut params = Params::default();
        params.set("secret", Json::NULL);
        let inputs = Inputs::resolve(&declared[1..2], CallArgs::Named(&params)).unwrap();
        assert_eq!(inputs.get("secret"), None);
    }

    #[test]
    fn binary_arrives_as_base64() {
        let declared = declared();
        let list = [Arg::Binary(bytes::Bytes::from_static(b"\0\xff"))];
        let inputs = Inputs::resolve(&declared[2..], CallArgs::List(&list)).unwrap();
        assert_eq!(
            inputs.required("c").as_str(),
            r#"{"base64":true,"data":"AP8="}"#
        );
    }
}
