//! socket.red's texts.

use polyport_core::{Arg, Json};
use polyport_ws_rpc::codec::{
    read, write_action, write_event, write_failure, write_result, write_unknown,
};
use serde_json::Value;

/// Reads the payload as a client's text, and answers what it asks for.
///
/// # Panics
/// When something is heard that the text does not say, or what is written is no JSON or says something else.
pub fn rpc(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    check(
        &[Value::from(-1), Value::from(&*text), Value::Null],
        |out| {
            write_event(out, &text, "null");
        },
    );
    let Some(request) = read(&text) else {
        return;
    };
    assert!(Json::parse(&text).is_ok(), "only JSON is read");
    for arg in request.args.iter().flatten() {
        let Arg::Json(json) = arg else {
            panic!("a text holds no binary");
        };
        assert!(text.contains(json.as_str()), "arguments stand in the text");
        check(&[Value::from(0), Value::Null], |out| {
            write_action(out, "null")
        });
    }
    let Some(id) = request.id else {
        return;
    };
    assert!(text.contains(id), "the id stands in the text");
    // Numbers without end are valid JSON that serde's tree cannot hold.
    let Ok(echoed) = serde_json::from_str::<Value>(id) else {
        return;
    };
    check(&[echoed.clone(), Value::from(true), Value::Null], |out| {
        write_result(out, id, "null");
    });
    check(
        &[
            echoed.clone(),
            Value::from(false),
            Value::from(&*request.name),
        ],
        |out| write_failure(out, id, &request.name),
    );
    let unknown = format!("Unknown api '{}'", request.name);
    check(&[echoed, Value::from(false), Value::from(unknown)], |out| {
        write_unknown(out, id, &request.name)
    });
}

fn check(expected: &[Value], write: impl FnOnce(&mut String)) {
    let mut out = String::new();
    write(&mut out);
    let written: Vec<Value> =
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{out}: {error}"));
    assert_eq!(written, expected);
}
