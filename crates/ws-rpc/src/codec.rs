//! socket.red's texts: calls in, answers, actions and events out. Pure; never panics; nesting costs no stack.

use std::{borrow::Cow, fmt};

use polyport_core::{Arg, Args, Json};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

mod javascript;

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
    let list: Elements<'_> = serde_json::from_str(text).ok()?;
    let id = call_id(list.code)?;
    let (name, is_named) = match list.name {
        None => ("undefined".into(), false),
        Some(name) => match javascript::string(name) {
            Some(name) => (name, true),
            None => (javascript::printed(name), false),
        },
    };
    Some(Request {
        id: (!id.is_empty()).then_some(id),
        name,
        is_named,
        args: list.args.map_or_else(|| Some(Args::new()), arguments),
    })
}

/// The first three elements of a list, unread; what stands behind them is nobody's business.
struct Elements<'a> {
    code: &'a str,
    name: Option<&'a str>,
    args: Option<&'a str>,
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of a code, a name and arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let elements = Elements {
                    code: element(&mut list)?.ok_or_else(|| A::Error::invalid_length(0, &self))?,
                    name: element(&mut list)?,
                    args: element(&mut list)?,
                };
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(elements)
            }
        }

        deserializer.deserialize_seq(List)
    }
}

fn element<'de, A: SeqAccess<'de>>(list: &mut A) -> Result<Option<&'de str>, A::Error> {
    Ok(list.next_element::<&RawValue>()?.map(RawValue::get))
}

/// The id of a call as it stands there; empty for code 0; `None` for what is no call. Strings count as the number that
/// they hold, as JavaScript's `>` takes them, but the string `"0"` is no code 0.
fn call_id(raw: &str) -> Option<&str> {
    if raw.starts_with('"') {
        return javascript::is_positive(&javascript::string(raw)?).then_some(raw);
    }
    // The other values of JSON are no numbers to Rust either.
    match raw.parse::<f64>().ok()? {
        number if number > 0.0 => Some(raw),
        0.0 => Some(""),
        _ => None,
    }
}

/// `null` and objects are no arguments; a number, a string and the like are a mistake.
fn arguments(raw: &str) -> Option<Args> {
    match raw.as_bytes() {
        b"[]" | [b'{' | b'n', ..] => Some(Args::new()),
        [b'[', ..] => serde_json::from_str(raw).ok().map(|Arguments(args)| args),
        _ => None,
    }
}

struct Arguments(Args);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Arguments;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut args = Args::new();
                while let Some(arg) = list.next_element::<&RawValue>()? {
                    args.push(Arg::Json(Json::from(arg)));
                }
                Ok(Arguments(args))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// `[id,true,result]`
pub fn write_result(out: &mut String, id: &str, result: &str) {
    begin(out, id);
    out.push_str("true,");
    end(out, result);
}

/// `[id,false,"message"]`
pub fn write_failure(out: &mut String, id: &str, message: &str) {
    write_failure_of(out, id, &[message]);
}

/// `[id,false,"Unknown api 'name'"]`
pub fn write_unknown(out: &mut String, id: &str, name: &str) {
    write_failure_of(out, id, &["Unknown api '", name, "'"]);
}

fn write_failure_of(out: &mut String, id: &str, message: &[&str]) {
    begin(out, id);
    out.push_str("false,");
    write_string(out, message);
    out.push(']');
}

/// `[0,action]`
pub fn write_action(out: &mut String, action: &str) {
    begin(out, "0");
    end(out, action);
}

/// `[-1,"name",data]`
pub fn write_event(out: &mut String, name: &str, data: &str) {
    begin(out, "-1");
    write_string(out, &[name]);
    out.push(',');
    end(out, data);
}

fn begin(out: &mut String, code: &str) {
    out.push('[');
    out.push_str(code);
    out.push(',');
}

fn end(out: &mut String, last: &str) {
    out.push_str(last);
    out.push(']');
}

/// One string of several parts, as `JSON.stringify` writes it.
fn write_string(out: &mut String, parts: &[&str]) {
    out.push('"');
    for part in parts {
        javascript::escape(out, part);
    }
    out.push('"');
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
                        Arg::Binary(_) | Arg::Mixed(_) => unreachable!("texts hold no binary"),
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
        check(r#"[" 0x7\t","sum",[]]"#, r#"" 0x7\t": sum()"#);
        check(r#"[1.5,"sum",[4]]"#, "1.5: sum(4)");
        check(r#"[1e999,"sum",[]]"#, "1e999: sum()");
        check("[1]", "1: not named undefined()");
        check("[1,null]", "1: not named null()");
        check("[1,5]", "1: not named 5()");
        check("[1,{}]", "1: not named [object Object]()");
        check("[1,true]", "1: not named true()");
        check("[1,1e3]", "1: not named 1000()");
        check(r#"[1,["sum"],[4,5]]"#, "1: not named sum(4 5)");
        check(r#"[1,"\ud800",[]]"#, r"1: not named \ud800()");
        check(r#"[1,"sum",null]"#, "1: sum()");
        check(r#"[1,"sum",{}]"#, "1: sum()");
        check(r#"[1,"sum",{"length":2,"0":"x"}]"#, "1: sum()");
        check(r#"[1,"sum",[ ]]"#, "1: sum()");
        check(
            r#"[1,"sum",[ {"a" : 1} ,"\ud800",1e999]]"#,
            r#"1: sum({"a" : 1} "\ud800" 1e999)"#,
        );
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
            r#"["+inf","sum",[]]"#,
            r#"["\ud800","sum",[]]"#,
            r#"[1,"sum",[]"#,
            r#"[1,"sum",[],]"#,
            r#"[1,"sum",[]] x"#,
            r#"[1,"sum",[4,]]"#,
            "\u{feff}[1,\"sum\",[]]",
        ] {
            check(text, "");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let nested = "[".repeat(500_000) + &"]".repeat(500_000);
        for text in [
            format!("[1,\"a\",[{nested}]]"),
            format!("[1,{nested}]"),
            format!("[1,\"a\",[],{nested}]"),
            format!(
                "[1,\"a\",{}1{}]",
                "{\"a\":".repeat(500_000),
                "}".repeat(500_000)
            ),
        ] {
            assert!(read(&text).is_some());
        }
        assert!(read(&format!("[{nested}]")).is_none());
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
        assert_eq!(
            written(&|out| write_unknown(out, "7", "no'such\"")),
            r#"[7,false,"Unknown api 'no'such\"'"]"#
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
