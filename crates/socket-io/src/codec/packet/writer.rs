//! Writing packets as JSON.

use std::fmt::Write as _;

use bytes::Bytes;
use polyport_core::{Arg, Json};

use crate::codec::Revision;

/// The binary messages that follow a packet, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Attachments(pub Vec<Bytes>);

/// Appends `4` and an event. `offset` is one more argument, a string.
pub fn write_event(
    out: &mut String,
    attachments: &mut Attachments,
    namespace: &str,
    id: Option<u64>,
    name: &str,
    args: &[Arg],
    offset: Option<&str>,
) {
    write_head(out, ('2', '5'), namespace, id, args);
    out.push('[');
    out.push_str(Json::string(name).as_str());
    for arg in args {
        out.push(',');
        write_arg(out, attachments, arg);
    }
    if let Some(offset) = offset {
        out.push(',');
        out.push_str(Json::string(offset).as_str());
    }
    out.push(']');
}

/// Appends `4` and an ack.
pub fn write_ack(
    out: &mut String,
    attachments: &mut Attachments,
    namespace: &str,
    id: u64,
    args: &[Arg],
) {
    write_head(out, ('3', '6'), namespace, Some(id), args);
    out.push('[');
    for (position, arg) in args.iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_arg(out, attachments, arg);
    }
    out.push(']');
}

/// `40…`: the namespace is open. `sid` is for generation 4 alone; `pid`, the private id, for recovery.
#[must_use]
pub fn write_connect(namespace: &str, sid: Option<&str>, pid: Option<&str>) -> String {
    let mut out = String::from("40");
    write_namespace(&mut out, namespace);
    if let Some(sid) = sid {
        out.push_str("{\"sid\":");
        out.push_str(Json::string(sid).as_str());
        if let Some(pid) = pid {
            out.push_str(",\"pid\":");
            out.push_str(Json::string(pid).as_str());
        }
        out.push('}');
    }
    out
}

/// `41…`: the namespace is over.
#[must_use]
pub fn write_disconnect(namespace: &str) -> String {
    let mut out = String::from("41");
    write_namespace(&mut out, namespace);
    out
}

/// `44…`: the namespace is refused. Generation 3 gets the data if there is any, else the message as a string.
#[must_use]
pub fn write_error(
    revision: Revision,
    namespace: &str,
    message: &str,
    data: Option<&Json>,
) -> String {
    let mut out = String::from("44");
    write_namespace(&mut out, namespace);
    match (revision, data) {
        (Revision::V3, Some(data)) => out.push_str(data.as_str()),
        (Revision::V3, None) => out.push_str(Json::string(message).as_str()),
        (Revision::V4, data) => {
            out.push_str("{\"message\":");
            out.push_str(Json::string(message).as_str());
            if let Some(data) = data {
                out.push_str(",\"data\":");
                out.push_str(data.as_str());
            }
            out.push('}');
        }
    }
    out
}

fn write_namespace(out: &mut String, namespace: &str) {
    if namespace != "/" {
        out.push_str(namespace);
        out.push(',');
    }
}

fn write_head(
    out: &mut String,
    (plain, binary): (char, char),
    namespace: &str,
    id: Option<u64>,
    args: &[Arg],
) {
    let count: usize = args
        .iter()
        .map(|arg| match arg {
            Arg::Json(_) => 0,
            Arg::Binary(_) => 1,
            Arg::Mixed(mixed) => mixed.parts().len(),
        })
        .sum();
    out.push('4');
    if count == 0 {
        out.push(plain);
    } else {
        out.push(binary);
        write!(out, "{count}-").expect("a String takes everything");
    }
    write_namespace(out, namespace);
    if let Some(id) = id {
        write!(out, "{id}").expect("a String takes everything");
    }
}

fn write_arg(out: &mut String, attachments: &mut Attachments, arg: &Arg) {
    let mut part = |out: &mut String, bytes: &Bytes| {
        let num = attachments.0.len();
        write!(out, r#"{{"_placeholder":true,"num":{num}}}"#).expect("a String takes everything");
        attachments.0.push(bytes.clone());
    };
    match arg {
        Arg::Json(json) => out.push_str(json.as_str()),
        Arg::Binary(bytes) => part(out, bytes),
        Arg::Mixed(mixed) => mixed.write(out, part),
    }
}
