//! Pocketsocket's texts.

use polyport_core::Json;
use polyport_ws_channels::codec::{
    Presence, Receipt, channel_and_event, read, write_event, write_presence, write_receipt,
};
use serde_json::Value;

use crate::Input;

/// Reads the payload as a client's text, and writes receipts and events that carry what it says.
///
/// # Panics
/// When the hub hears something that the text does not say, or writes what is no JSON or says something else.
pub fn channels(data: &[u8]) {
    let mut input = Input::new(data);
    let port = u16::from_be_bytes([input.byte(), input.byte()]);
    let text = String::from_utf8_lossy(input.payload());
    check_event(&text);
    let Some(message) = read(&text) else {
        check_receipt(Receipt::Other(text.len()), &Value::from(text.len()));
        let mut out = String::new();
        write_presence(&mut out, Presence::Connected, port, "192.0.2.1");
        assert_eq!(decoded(&out)["port"], port);
        return;
    };
    assert!(Json::parse(&text).is_ok(), "only JSON is read");
    if let Some(name) = message.name() {
        check_event(&name);
        if let Some((channel, event)) = channel_and_event(&name) {
            assert!(name.starts_with(&format!("{channel}.{event}")));
        }
    }
    if let Some(data) = message.data {
        assert!(
            text.contains(data.get()),
            "data stands in the text as it is"
        );
        let mut out = String::new();
        write_event(&mut out, Some("room"), "event", data.get());
        assert!(Json::parse(&out).is_ok());
    }
    let id = message.id();
    let expected: Result<Value, _> = serde_json::from_str(id.unwrap_or("null"));
    match expected {
        Ok(expected) => {
            check_receipt(Receipt::Object(id), &expected);
            check_receipt(Receipt::Refused(id), &expected);
        }
        // Lone surrogates, numbers without end, nesting: valid JSON that serde's tree cannot hold.
        Err(_) => drop(written(Receipt::Object(id))),
    }
    if message.is_forgery() {
        assert!(text.contains("socket") || text.contains('\\'));
    }
}

fn check_event(name: &str) {
    let mut out = String::new();
    write_event(&mut out, None, name, "null");
    assert_eq!(decoded(&out)["message"], name);
}

fn check_receipt(receipt: Receipt<'_>, id: &Value) {
    assert_eq!(decoded(&written(receipt))["messageId"], *id);
}

/// A receipt's text, which is one line of printable ASCII.
fn written(receipt: Receipt<'_>) -> String {
    let mut out = String::new();
    write_receipt(&mut out, 1.5, receipt);
    assert!(
        out.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "{out:?}"
    );
    assert!(Json::parse(&out).is_ok(), "{out}");
    out
}

fn decoded(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
