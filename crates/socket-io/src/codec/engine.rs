//! Engine.IO's packets: a type digit and data.

use std::time::Duration;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bytes::Bytes;
use polyport_core::Json;

use crate::codec::{Malformed, Revision};

/// Padding may be missing: Node's decoder minds it as little.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The byte in front of binary data of revision 3: the type of a message, as a number.
pub(super) const BINARY_MESSAGE: u8 = 4;

/// A packet of text. Data that means nothing is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnginePacket<'a> {
    /// A session begins; only servers say so.
    Open,
    /// The sender wants nothing more.
    Close,
    /// Asks for a [`Pong`](Self::Pong) with the same data.
    Ping(&'a str),
    /// Answers a [`Ping`](Self::Ping).
    Pong(&'a str),
    /// A Socket.IO packet.
    Message(&'a str),
    /// The session goes on on this transport.
    Upgrade,
    /// Nothing; it ends a waiting poll.
    Noop,
}

/// Reads a packet of text, from a WebSocket frame or a polling body.
///
/// # Errors
/// [`Malformed`] when the text is empty or its type is unknown.
pub fn read_engine(text: &str) -> Result<EnginePacket<'_>, Malformed> {
    let mut chars = text.chars();
    let kind = chars.next().ok_or(Malformed("an empty packet"))?;
    let data = chars.as_str();
    match kind {
        '0' => Ok(EnginePacket::Open),
        '1' => Ok(EnginePacket::Close),
        '2' => Ok(EnginePacket::Ping(data)),
        '3' => Ok(EnginePacket::Pong(data)),
        '4' => Ok(EnginePacket::Message(data)),
        '5' => Ok(EnginePacket::Upgrade),
        '6' => Ok(EnginePacket::Noop),
        _ => Err(Malformed("an unknown type of packet")),
    }
}

/// The data of a binary message, from a binary WebSocket frame or a binary packet of a polling body.
///
/// # Errors
/// [`Malformed`] when revision 3's type is missing or not a message's.
pub fn read_engine_binary(revision: Revision, data: &[u8]) -> Result<&[u8], Malformed> {
    match (revision, data) {
        (Revision::V4, data) | (Revision::V3, [BINARY_MESSAGE, data @ ..]) => Ok(data),
        (Revision::V3, _) => Err(Malformed("binary that is not a message")),
    }
}

/// The data of a binary message in a text packet, `b` and base64; `None` for other text packets.
///
/// # Errors
/// [`Malformed`] when revision 3's type is missing or not a message's, or the data is not base64.
pub fn read_engine_base64(revision: Revision, text: &str) -> Result<Option<Bytes>, Malformed> {
    let Some(data) = text.strip_prefix('b') else {
        return Ok(None);
    };
    let data = match revision {
        Revision::V3 => data
            .strip_prefix('4')
            .ok_or(Malformed("binary that is not a message"))?,
        Revision::V4 => data,
    };
    let bytes = LENIENT.decode(data).map_err(|_| Malformed("bad base64"))?;
    Ok(Some(Bytes::from(bytes)))
}

/// A binary message as a text packet: for all polling bodies of revision 4, and for clients of revision 3 that want no
/// binary.
#[must_use]
pub fn write_engine_base64(revision: Revision, data: &[u8]) -> String {
    let mut text = String::from(match revision {
        Revision::V3 => "b4",
        Revision::V4 => "b",
    });
    STANDARD.encode_string(data, &mut text);
    text
}

/// What a session's first packet tells the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPacket<'a> {
    /// The session's secret.
    pub sid: &'a str,
    /// The transports that the client may change to.
    pub upgrades: &'a [&'a str],
    /// The time between pings.
    pub ping_interval: Duration,
    /// How long the other side may take to answer one.
    pub ping_timeout: Duration,
    /// The longest body that the client may post.
    pub max_payload: usize,
}

impl OpenPacket<'_> {
    /// `0{"sid":…,"upgrades":…,"pingInterval":…,"pingTimeout":…,"maxPayload":…}`
    #[must_use]
    pub fn write(&self) -> String {
        format!(
            r#"0{{"sid":{},"upgrades":{},"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            Json::string(self.sid).as_str(),
            Json::encode(self.upgrades).as_str(),
            self.ping_interval.as_millis(),
            self.ping_timeout.as_millis(),
            self.max_payload
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types() {
        for (text, expected) in [
            ("0{}", EnginePacket::Open),
            ("1", EnginePacket::Close),
            ("2", EnginePacket::Ping("")),
            ("2probe", EnginePacket::Ping("probe")),
            ("3", EnginePacket::Pong("")),
            ("3probe", EnginePacket::Pong("probe")),
            ("42[\"é\"]", EnginePacket::Message("2[\"é\"]")),
            ("4", EnginePacket::Message("")),
            ("5", EnginePacket::Upgrade),
            ("6", EnginePacket::Noop),
        ] {
            assert_eq!(read_engine(text), Ok(expected), "{text}");
        }
        for text in ["", "7", "9", "b", "abc", " 4", "é", "-1", "٤"] {
            assert!(read_engine(text).is_err(), "{text}");
        }
    }

    #[test]
    fn binary() {
        assert_eq!(
            read_engine_binary(Revision::V3, b"\x04\x04hi"),
            Ok(&b"\x04hi"[..])
        );
        assert_eq!(read_engine_binary(Revision::V3, b"\x04"), Ok(&b""[..]));
        assert!(read_engine_binary(Revision::V3, b"").is_err());
        assert!(read_engine_binary(Revision::V3, b"4hi").is_err());
        assert_eq!(
            read_engine_binary(Revision::V4, b"\x04hi"),
            Ok(&b"\x04hi"[..])
        );
        assert_eq!(read_engine_binary(Revision::V4, b""), Ok(&b""[..]));
    }

    #[test]
    fn base64() {
        let data = Bytes::from_static(b"\x00\x01\x02\xfd\xfe\xff");
        for (revision, text) in [(Revision::V3, "b4AAEC/f7/"), (Revision::V4, "bAAEC/f7/")] {
            assert_eq!(write_engine_base64(revision, &data), text);
            assert_eq!(read_engine_base64(revision, text), Ok(Some(data.clone())));
            assert_eq!(read_engine_base64(revision, "4b"), Ok(None));
            assert_eq!(read_engine_base64(revision, ""), Ok(None));
        }
        for text in ["bCQgH", "bBg==", "bBg", "bBh==", "b"] {
            assert!(read_engine_base64(Revision::V4, text).is_ok(), "{text}");
        }
        for text in ["b", "bAAEC", "b2", "b4=", "b4A", "b4A_-A", "b4 AAEC", "b4é"] {
            assert!(read_engine_base64(Revision::V3, text).is_err(), "{text}");
        }
    }

    #[test]
    fn open() {
        let packet = OpenPacket {
            sid: "H3Kok42QCvlKrePAAAAA",
            upgrades: &["websocket"],
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            max_payload: 1_000_000,
        };
        assert_eq!(
            packet.write(),
            r#"0{"sid":"H3Kok42QCvlKrePAAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        let on_websocket = OpenPacket {
            upgrades: &[],
            ..packet
        };
        assert!(on_websocket.write().contains(r#","upgrades":[],"#));
    }

    proptest! {
        #[test]
        fn base64_returns(data: Vec<u8>) {
            for revision in [Revision::V3, Revision::V4] {
                let text = write_engine_base64(revision, &data);
                prop_assert_eq!(read_engine_base64(revision, &text), Ok(Some(Bytes::from(data.clone()))));
            }
        }

        #[test]
        fn nothing_is_too_odd(text in ".*", prefix in "b?4?", data: Vec<u8>) {
            let _ = read_engine(&text);
            for revision in [Revision::V3, Revision::V4] {
                let _ = read_engine_binary(revision, &data);
                let _ = read_engine_base64(revision, &(prefix.clone() + &text));
            }
        }
    }
}
