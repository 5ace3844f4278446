//! Packets of Socket.IO in msgpack, and the texts that generation 3 has beside it.

use polyport_core::{Arg, Json};
use polyport_socket_io::codec::{
    Kind, Packet, PacketError, ReadLimits, Revision, is_reserved, read_msgpack, read_msgpack_text,
    write_msgpack_ack, write_msgpack_event, write_msgpack_text,
};

use crate::Input;

/// Reads the payload as a packet, and writes what it says; then as a packet of text, and as JSON to write.
///
/// # Panics
/// When a limit is broken, or what is written is not read as the same.
pub fn msgpack_packets(data: &[u8]) {
    let mut input = Input::new(data);
    let revision = if input.byte() & 1 == 1 {
        Revision::V4
    } else {
        Revision::V3
    };
    let limits = ReadLimits {
        revision,
        attachments: usize::from(input.byte() % 16),
        attachment_bytes: input.number(),
    };
    let payload = input.payload();
    if let Ok(packet) = read_msgpack(payload, &limits) {
        check(packet, &limits);
    }
    if let Ok(text) = std::str::from_utf8(payload) {
        if let Ok(packet) = read_msgpack_text(text) {
            check_text(&packet);
        }
        if let Ok(json) = Json::parse(text) {
            check_json(json);
        }
    }
}

fn check(packet: Packet<'_>, limits: &ReadLimits) {
    assert!(packet.namespace.starts_with('/'));
    assert_eq!(packet.name.is_some(), packet.kind == Kind::Event);
    let parts = packet.args.iter().flat_map(parts);
    let (count, bytes) = parts.fold((0, 0), |(count, bytes), part| {
        (count + 1, bytes + part.len())
    });
    assert!(count <= limits.attachments && bytes <= limits.attachment_bytes);

    let expected = Packet {
        query: None,
        ..packet
    };
    let (namespace, args) = (expected.namespace, &expected.args);
    let written = match (expected.kind, &expected.name, expected.id) {
        (Kind::Event, Some(name), id) => {
            assert!(!is_reserved(name.as_str()));
            write_msgpack_event(namespace, id, name.as_str(), args, None)
        }
        (Kind::Ack, None, Some(id)) => write_msgpack_ack(namespace, id, args),
        (Kind::Event | Kind::Ack, _, _) => panic!("an event without name or an ack without id"),
        (Kind::Connect | Kind::Disconnect | Kind::ConnectError, _, _) => return,
    };
    assert_eq!(read_msgpack(&written, limits), Ok(expected));
}

fn parts(arg: &Arg) -> &[bytes::Bytes] {
    match arg {
        Arg::Json(_) => &[],
        Arg::Binary(part) => std::slice::from_ref(part),
        Arg::Mixed(mixed) => mixed.parts(),
    }
}

fn check_text(packet: &Packet<'_>) {
    let written = write_msgpack_text(packet.kind, packet.namespace, None);
    let again = read_msgpack_text(&written[1..]).expect("we wrote it");
    assert_eq!(
        (again.kind, again.namespace),
        (packet.kind, packet.namespace)
    );
}

/// msgpack has other forms for some numbers and characters, and JSON none for numbers without end; behind that nothing
/// changes any more.
fn check_json(json: Json) {
    let limits = ReadLimits {
        revision: Revision::V4,
        attachments: 0,
        attachment_bytes: 0,
    };
    let written = write_msgpack_ack("/", 1, &[Arg::Json(json)]);
    match read_msgpack(&written, &limits) {
        Ok(packet) => {
            let again = write_msgpack_ack("/", 1, &packet.args);
            assert_eq!(read_msgpack(&again, &limits), Ok(packet));
        }
        Err(error) => assert_eq!(error, PacketError::Broken("a payload that nests too deep")),
    }
}
