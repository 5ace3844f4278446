//! Engine.IO's packets and polling bodies.

use polyport_socket_io::codec::{
    Malformed, PollPacket, Revision, Style, read_engine, read_engine_base64, read_engine_binary,
    read_jsonp, read_payload, write_jsonp, write_payload,
};

use crate::Input;

/// Reads the payload as what a client posts, plain and as a JSONP form, and as frames; writes what it says as an answer to
/// a poll, and reads that.
///
/// # Panics
/// When a packet is empty, is lost or altered on its way, or a client of the wrong kind gets a binary body.
pub fn engine_payload(data: &[u8]) {
    let mut input = Input::new(data);
    let choices = input.byte();
    let is_chosen = |bit: u8| choices >> bit & 1 == 1;
    let revision = if is_chosen(0) {
        Revision::V4
    } else {
        Revision::V3
    };
    let mut style = if is_chosen(1) {
        shown_by("2:4€")
    } else {
        Style::default()
    };
    let payload = input.payload();
    check_frames(revision, payload);
    check_jsonp(&String::from_utf8_lossy(payload));

    let (packets, fault) = read_all(revision, is_chosen(2), &mut style, payload);
    assert!(fault.is_some() || !payload.is_empty());
    for packet in &packets {
        if let PollPacket::Text(text) = packet {
            assert!(!text.is_empty(), "a packet has a type");
            assert_eq!(read_engine_base64(revision, text), Ok(None));
        }
    }
    if !packets.is_empty() {
        check_answer(revision, is_chosen(3), style, &packets);
    }
}

/// All packets of a body, and what is wrong with it.
fn read_all(
    revision: Revision,
    is_octets: bool,
    style: &mut Style,
    body: &[u8],
) -> (Vec<PollPacket<'static>>, Option<Malformed>) {
    let mut packets = Vec::new();
    let read = read_payload(revision, is_octets, style, body, |packet| {
        packets.push(match packet {
            PollPacket::Text(text) => PollPacket::Text(text.into_owned().into()),
            PollPacket::Binary(data) => PollPacket::Binary(data),
        });
    });
    (packets, read.err())
}

/// What a client's style is known to be behind this body.
fn shown_by(body: &str) -> Style {
    let mut style = Style::default();
    let (_, fault) = read_all(Revision::V3, false, &mut style, body.as_bytes());
    assert_eq!(fault, None);
    style
}

fn check_answer(revision: Revision, base64_only: bool, style: Style, packets: &[PollPacket<'_>]) {
    let written = write_payload(revision, base64_only, style, packets);
    assert!(!written.is_octets || revision == Revision::V3 && !base64_only);
    // A client whose style is not known gets what 2.x clients read.
    let known = if style == Style::default() {
        shown_by("2:4€")
    } else {
        style
    };
    let mut after = known;
    let (read, fault) = read_all(revision, written.is_octets, &mut after, &written.body);
    assert_eq!((fault, after), (None, known));
    match revision {
        Revision::V4 => assert_eq!(read, packets),
        Revision::V3 => assert!(read.iter().map(escaped).eq(packets.iter().map(escaped))),
    }
    assert_eq!(
        write_payload(revision, base64_only, style, &read).body,
        written.body
    );
}

/// The packet with escapes for what revision 3 may escape.
fn escaped<'a>(packet: &PollPacket<'a>) -> PollPacket<'a> {
    let PollPacket::Text(text) = packet else {
        return packet.clone();
    };
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ 0..=b'~') => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    PollPacket::Text(out.into())
}

fn check_frames(revision: Revision, payload: &[u8]) {
    if let Ok(data) = read_engine_binary(revision, payload) {
        assert!(payload.ends_with(data));
    }
    let text = String::from_utf8_lossy(payload);
    let is_packet = matches!(text.as_bytes(), [b'0'..=b'6', ..]);
    assert_eq!(read_engine(&text).is_ok(), is_packet);
    if let Ok(Some(data)) = read_engine_base64(revision, &text) {
        assert!(data.len() < text.len());
    }
}

/// The text returns from a call in JavaScript, and from a form.
fn check_jsonp(text: &str) {
    let call = write_jsonp("7", text);
    let literal = call
        .strip_prefix("___eio[7](")
        .and_then(|call| call.strip_suffix(");"))
        .expect("it is a call");
    let said: String = serde_json::from_str(literal).expect("its argument is a string");
    assert_eq!(said, text);
    assert!(!literal.contains(['\n', '\r', '\u{2028}', '\u{2029}']));

    let _ = read_jsonp(text.as_bytes());
    // What follows a backslash at a line's end is ambiguous for clients already.
    if !text.contains("\\\n") {
        let text_in_form = text.replace("\\n", "\\\n").replace('\n', "\\n");
        let mut form = String::from("d=");
        for byte in text_in_form.bytes() {
            form.push_str(&format!("%{byte:02x}"));
        }
        let read = read_jsonp(form.as_bytes());
        assert_eq!(read.as_deref(), Ok(text.as_bytes()));
    }
}
