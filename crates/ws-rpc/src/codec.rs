//! socket.red's texts: calls in, answers, actions and events out. Pure; never panics; nesting costs no stack.

use std::{borrow::Cow, str};

use polyport_core::{Arg, Args, Json};
use serde_json::value::RawValue;

/// Something that a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Where the answer goes; `None` for a call that wants none (code 0).
    pub id: Option<&'a str>,
    /// The name, as JavaScript would print what stands there.
    pub name: Cow<'a, str>,
    /// Whether the name is a string: only such a name can be an API's.
    pub is_named: bool,
    /// The arguments; `None` when something stands there that cannot be a list of them.
    pub args: Option<Args>,
}

/// Reads a client's text. `None` is what the original ignores: no JSON, no list, no call.
#[must_use]
pub fn read(text: &str) -> Option<Request<'_>> {
    let list: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let id = call_id(list.first()?.get())?;
    let (name, is_named) = match list.get(1).map(|name| name.get()) {
        None => ("undefined".into(), false),
        Some(name) => shown(name),
    };
    let args = match list.get(2).map(|args| args.get()) {
        None => Some(Args::new()),
        Some(args) => arguments(args),
    };
    Some(Request {
        id: (!id.is_empty()).then_some(id),
        name,
        is_named,
        args,
    })
}

/// The id of a call as it stands there; empty for code 0; `None` for what is no call. Strings count as the number that
/// they hold, as JavaScript's `>` takes them, but the string `"0"` is no code 0.
fn call_id(raw: &str) -> Option<&str> {
    let (digits, is_text) = match raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(text) => (text.trim(), true),
        None => (raw, false),
    };
    let number: f64 = if digits
        .starts_with(|char: char| char.is_ascii_digit() || matches!(char, '-' | '+' | '.'))
    {
        digits.parse().ok()?
    } else {
        return None;
    };
    if number > 0.0 {
        Some(raw)
    } else if number == 0.0 && !is_text {
        Some("")
    } else {
        None
    }
}

/// What JavaScript prints for a value that stands in the place of a name, and whether it is a string.
fn shown(raw: &str) -> (Cow<'_, str>, bool) {
    if raw.starts_with('"') {
        return match serde_json::from_str::<Cow<'_, str>>(raw) {
            Ok(name) => (name, true),
            // A lone surrogate, which no name of ours holds.
            Err(_) => (raw.into(), false),
        };
    }
    match raw.as_bytes().first() {
        Some(b'{') => ("[object Object]".into(), false),
        _ => (raw.into(), false),
    }
}

/// `null` and objects are no arguments; a number, a string and the like are a mistake.
fn arguments(raw: &str) -> Option<Args> {
    match raw.as_bytes().first() {
        Some(b'[') => {
            let list: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
            Some(
                list.into_iter()
                    .map(|arg| Arg::Json(Json::from(arg)))
                    .collect(),
            )
        }
        Some(b'{' | b'n') => Some(Args::new()),
        _ => None,
    }
}

/// `[id,true,result]`
pub fn write_result(out: &mut String, id: &str, result: &str) {
    write_list(out, &[id, "true", result]);
}

/// `[id,false,"message"]`
pub fn write_failure(out: &mut String, id: &str, message: &str) {
    write_list(out, &[id, "false", Json::string(message).as_str()]);
}

/// `[0,action]`
pub fn write_action(out: &mut String, action: &str) {
    write_list(out, &["0", action]);
}

/// `[-1,"name",data]`
pub fn write_event(out: &mut String, name: &str, data: &str) {
    write_list(out, &["-1", Json::string(name).as_str(), data]);
}

fn write_list(out: &mut String, parts: &[&str]) {
    for (index, part) in parts.iter().enumerate() {
        out.push(if index == 0 { '[' } else { ',' });
        out.push_str(part);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read, as `id name args`; nothing for what is ignored.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = read(text).map(|request| {
            let args = request.args.map_or_else(
                || "no list".to_owned(),
                |args| {
                    let shown = args.iter().map(|arg| match arg {
                        Arg::Json(json) => json.as_str().to_owned(),
                        Arg::Binary(_) => unreachable!("texts hold no binary"),
                    });
                    shown.collect::<Vec<_>>().join(" ")
                },
            );
            let name = if request.is_named { "" } else { "not named " };
            format!(
                "{}: {name}{}({args})",
                request.id.unwrap_or("-"),
                request.name
            )
        });
        assert_eq!(read.unwrap_or_default(), expected, "{text}");
    }

    /// The messages of the recording `edge-messages`.
    #[test]
    fn what_the_original_takes_for_a_call() {
        check(r#"[1,"sum",[4,5]]"#, "1: sum(4 5)");
        check(r#"  [5,"sum",[1,2]]  "#, "5: sum(1 2)");
        check(r#"[4,"sum",[1,2],"extra",9]"#, "4: sum(1 2)");
        check(r#"["7","sum",[4,5]]"#, r#""7": sum(4 5)"#);
        check(r#"[1.5,"sum",[4]]"#, "1.5: sum(4)");
        check(r#"[1e999,"sum",[]]"#, "1e999: sum()");
        check("[1]", "1: not named undefined()");
        check("[1,null]", "1: not named null()");
        check("[1,5]", "1: not named 5()");
        check("[1,{}]", "1: not named [object Object]()");
        check(r#"[1,"sum",null]"#, "1: sum()");
        check(r#"[1,"sum",{}]"#, "1: sum()");
        check(r#"[1,"sum",5]"#, "1: sum(no list)");
        check(r#"[1,"sum","ab"]"#, "1: sum(no list)");
        check(r#"[1,"sum",true]"#, "1: sum(no list)");
        check(r#"[0,"act",["ff"]]"#, r#"-: act("ff")"#);
        check(r#"[-0,"act",[]]"#, "-: act()");
        check(r#"[0.0,"act",[]]"#, "-: act()");
        check(r#"[1,"h\u00e9",[]]"#, "1: hé()");
    }

    #[test]
    fn what_the_original_ignores() {
        for text in [
            "",
            "not json",
            r#"{"a":1}"#,
            "\"str\"",
            "5",
            "null",
            "true",
            "[]",
            r#"["abc","sum",[]]"#,
            r#"[null,"sum",[]]"#,
            r#"[false,"sum",[]]"#,
            r#"[-1,"sum",[]]"#,
            r#"["","sum",[]]"#,
            r#"["0","sum",[]]"#,
            r#"[true,"sum",[]]"#,
            r#"[[3],"sum",[]]"#,
            r#"["infinity","sum",[]]"#,
        ] {
            check(text, "");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("[1,\"a\",[{}{}]]", "[".repeat(500_000), "]".repeat(500_000));
        assert!(read(&deep).is_some());
    }

    #[test]
    fn texts_out() {
        let written = |write: &dyn Fn(&mut String)| {
            let mut out = String::new();
            write(&mut out);
            out
        };
        assert_eq!(
            written(&|out| write_result(out, "8", "null")),
            "[8,true,null]"
        );
        assert_eq!(
            written(&|out| write_failure(out, "\"7\"", "a \"b\"")),
            r#"["7",false,"a \"b\""]"#
        );
        assert_eq!(written(&|out| write_action(out, "{}")), "[0,{}]");
        assert_eq!(
            written(&|out| write_event(out, "hi", "null")),
            r#"[-1,"hi",null]"#
        );
    }

    proptest! {
        #[test]
        fn a_call_is_read_as_it_was_written(id in 1_u64.., name in ".*", args in prop::collection::vec(".*", 0..4)) {
            let text = serde_json::to_string(&(id, &name, &args)).unwrap();
            let request = read(&text).unwrap();
            let id = id.to_string();
            prop_assert_eq!(request.id, Some(id.as_str()));
            prop_assert_eq!(&*request.name, &name);
            let expected: Args = args.iter().map(|arg| Arg::Json(Json::string(arg))).collect();
            prop_assert_eq!(request.args, Some(expected));
        }

        #[test]
        fn no_text_is_too_odd(text in ".*") {
            drop(read(&text));
        }
    }
}
