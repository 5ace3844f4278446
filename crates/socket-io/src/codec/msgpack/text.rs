//! What npm `socket.io-msgpack-parser` 2.2.1, the one of generation 3, writes as text: CONNECT, DISCONNECT and ERROR are the
//! JSON of the packet.

use std::fmt::Write as _;

use polyport_core::Json;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{packet_of, split_query};
use crate::codec::{
    Revision,
    packet::{
        Kind, Packet,
        PacketError::{self, Broken},
    },
};

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: u64,
    #[serde(rename = "nsp")]
    namespace: &'a str,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Reads a packet that came as text, without its Engine.IO type.
///
/// # Errors
/// [`PacketError::Broken`] when it is none, or one that comes as binary.
pub fn read_msgpack_text(text: &str) -> Result<Packet<'_>, PacketError> {
    let head: Head<'_> =
        serde_json::from_str(text).map_err(|_| Broken("text that is no packet"))?;
    let kind = match head.kind {
        0 => Kind::Connect,
        1 => Kind::Disconnect,
        4 => Kind::ConnectError,
        _ => return Err(Broken("text of a type that is binary")),
    };
    let mut packet = packet_of(kind, split_query(head.namespace, Revision::V3)?);
    packet.data = head.data.map(Json::from);
    Ok(packet)
}

/// `4` and a packet as text. `message` is what an ERROR says: nothing but a string, for the client takes nothing else.
#[must_use]
pub fn write_msgpack_text(kind: Kind, namespace: &str, message: Option<&str>) -> String {
    let namespace = Json::string(namespace);
    let mut text = format!(r#"4{{"type":{},"nsp":{}"#, kind.digit(), namespace.as_str());
    if let Some(message) = message {
        let message = Json::string(message);
        write!(text, r#","data":{}"#, message.as_str()).expect("a String takes everything");
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, kind: Kind, namespace: &str, query: Option<&str>) {
        let packet = read_msgpack_text(text).unwrap();
        assert_eq!(
            (packet.kind, packet.namespace, packet.query),
            (kind, namespace, query)
        );
    }

    #[test]
    fn packets_in() {
        check(r#"{"type":0,"nsp":"/"}"#, Kind::Connect, "/", None);
        check(
            r#"{"type":0,"query":"token=abc","nsp":"/admin?token=abc"}"#,
            Kind::Connect,
            "/admin",
            Some("token=abc"),
        );
        check(r#"{"type":1,"nsp":"/é"}"#, Kind::Disconnect, "/é", None);
        for text in [
            "",
            "0",
            "[]",
            r#"{"type":0}"#,
            r#"{"type":0,"nsp":1}"#,
            r#"{"type":0,"nsp":"admin"}"#,
            r#"{"type":2,"nsp":"/","data":["a"]}"#,
            r#"{"type":9,"nsp":"/"}"#,
            r#"{"type":"0","nsp":"/"}"#,
        ] {
            assert!(matches!(read_msgpack_text(text), Err(Broken(_))), "{text}");
        }
    }

    #[test]
    fn packets_out() {
        let write = write_msgpack_text;
        assert_eq!(write(Kind::Connect, "/", None), r#"4{"type":0,"nsp":"/"}"#);
        assert_eq!(
            write(Kind::Disconnect, "/admin", None),
            r#"4{"type":1,"nsp":"/admin"}"#
        );
        assert_eq!(
            write(Kind::ConnectError, "/x", Some("a \"b\"")),
            r#"4{"type":4,"nsp":"/x","data":"a \"b\""}"#
        );
    }
}
