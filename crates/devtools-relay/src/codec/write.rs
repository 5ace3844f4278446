//! The packets of a server. Values are JSON as it stands; keys are in the order of the originals.

use serde::Serialize;

use super::Generation;

/// Writes an event. Data that is absent is left out.
pub fn write_event(out: &mut String, name: &str, data: Option<&str>) {
    out.push_str("{\"event\":");
    push_string(out, name);
    push_data(out, data);
    out.push('}');
}

/// Writes what was published to a channel.
pub fn write_publish(out: &mut String, channel: &str, data: Option<&str>) {
    out.push_str("{\"event\":\"#publish\",\"data\":{\"channel\":");
    push_string(out, channel);
    push_data(out, data);
    out.push_str("}}");
}

/// Writes a call of the server.
pub fn write_call(
    out: &mut String,
    generation: Generation,
    name: &str,
    data: Option<&str>,
    cid: u64,
) {
    out.push_str("{\"event\":");
    push_string(out, name);
    if generation == Generation::V1 {
        push_data(out, data);
    }
    push_member(out, "cid", &cid.to_string());
    if generation == Generation::V2 {
        push_data(out, data);
    }
    out.push('}');
}

/// Writes the answer to a call that went well; `rid` is its number as it came.
pub fn write_answer(out: &mut String, rid: &str, data: Option<&str>) {
    out.push_str("{\"rid\":");
    out.push_str(rid);
    push_data(out, data);
    out.push('}');
}

/// Writes the answer to a call that has failed; generation 1 may have data beside the error.
pub fn write_error(out: &mut String, rid: &str, error: &str, data: Option<&str>) {
    out.push_str("{\"rid\":");
    out.push_str(rid);
    push_member(out, "error", error);
    push_data(out, data);
    out.push('}');
}

/// Writes that the server has ended a subscription.
pub fn write_kick_out(
    out: &mut String,
    generation: Generation,
    channel: &str,
    message: Option<&str>,
) {
    out.push_str("{\"event\":\"#kickOut\",\"data\":{");
    let mut members = [("channel", Some(channel)), ("message", message)];
    if generation == Generation::V1 {
        members.reverse();
    }
    let written = members
        .iter()
        .filter_map(|(key, text)| Some((key, (*text)?)));
    for (index, (key, text)) in written.enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(out, key);
        out.push(':');
        push_string(out, text);
    }
    out.push_str("}}");
}

/// Writes the packet by which generation 1 says goodbye before it closes; `reason` is JSON.
pub fn write_disconnect(out: &mut String, code: u16, reason: Option<&str>) {
    out.push_str("{\"event\":\"#disconnect\",\"data\":{\"code\":");
    out.push_str(&code.to_string());
    push_data(out, reason);
    out.push_str("}}");
}

/// Writes packets as a list.
pub fn write_batch(out: &mut String, packets: &[String]) {
    out.push('[');
    out.push_str(&packets.join(","));
    out.push(']');
}

/// Appends a string in JSON, escaped as JavaScript does.
pub fn push_string(out: &mut String, text: &str) {
    let needs_escape = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.bytes().any(needs_escape) {
        out.push_str(&escaped(text));
        return;
    }
    out.push('"');
    out.push_str(text);
    out.push('"');
}

fn escaped<T: Serialize + ?Sized>(text: &T) -> String {
    serde_json::to_string(text).expect("a text is always written")
}

fn push_data(out: &mut String, data: Option<&str>) {
    if let Some(data) = data {
        push_member(out, "data", data);
    }
}

fn push_member(out: &mut String, key: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(key);
    out.push_str("\":");
    out.push_str(value);
}
