//! Polling bodies: several Engine.IO packets at once, and JSONP around them.

use std::borrow::Cow;

use bytes::Bytes;
use polyport_core::Json;

use crate::codec::{
    Malformed, Revision,
    engine::{BINARY_MESSAGE, read_engine_base64, read_engine_binary, write_engine_base64},
};

/// What stands between two packets of revision 4.
const SEPARATOR: u8 = 0x1e;

/// What a packet of revision 3's binary bodies begins with, and what ends its length.
const IS_TEXT: u8 = 0;
const IS_BINARY: u8 = 1;
const END_OF_LENGTH: u8 = 0xff;

/// A packet of a polling body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollPacket<'a> {
    /// An Engine.IO packet, with its type digit.
    Text(Cow<'a, str>),
    /// The data of a binary message.
    Binary(Bytes),
}

/// How a polling client of revision 3 encodes text, as far as its texts have shown.
///
/// Clients 1.x encode to UTF-8 twice: they take the bytes for characters up to U+00FF, count those, and encode them
/// again. Clients 2.x encode once. Nothing else tells them apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style(Option<Encoding>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Once,
    Twice,
}

/// A polling body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The bytes.
    pub body: Bytes,
    /// Whether they are `application/octet-stream`; text otherwise.
    pub is_octets: bool,
}

/// Reads what a client posts and gives its packets one by one to `take`, so that a body of very many tiny ones costs no
/// memory. Those before a broken one are given too.
///
/// `is_octets` says that the body's type is `application/octet-stream`. `style` is the session's: the body is read by it,
/// and may settle it.
///
/// # Errors
/// [`Malformed`] when the body is empty or of the wrong type, or one of its packets is broken.
pub fn read_payload(
    revision: Revision,
    is_octets: bool,
    style: &mut Style,
    body: &[u8],
    take: impl FnMut(PollPacket<'_>),
) -> Result<(), Malformed> {
    match (revision, is_octets) {
        _ if body.is_empty() => Err(Malformed("an empty body")),
        (Revision::V3, false) => read_counted(style, body, take),
        (Revision::V3, true) => read_octets(body, take),
        (Revision::V4, false) => read_separated(body, take),
        (Revision::V4, true) => Err(Malformed("a binary body")),
    }
}

fn read_separated(body: &[u8], mut take: impl FnMut(PollPacket<'_>)) -> Result<(), Malformed> {
    for packet in body.split(|byte| *byte == SEPARATOR) {
        take(text_packet(Revision::V4, utf8(packet)?)?);
    }
    Ok(())
}

/// `LENGTH:PACKET`, one behind the other.
fn read_counted(
    style: &mut Style,
    body: &[u8],
    mut take: impl FnMut(PollPacket<'_>),
) -> Result<(), Malformed> {
    let body = utf8(body)?;
    let (body, unit) = style.decode(body);
    let mut rest: &str = &body;
    while !rest.is_empty() {
        let (digits, behind) = rest
            .split_once(':')
            .ok_or(Malformed("a length without an end"))?;
        let length = length(digits.bytes().map(|digit| digit.wrapping_sub(b'0')))?;
        let (packet, behind) = unit
            .split(behind, length)
            .ok_or(Malformed("a length beyond the body, or inside a character"))?;
        // `0:` is how a body without packets is written.
        if !packet.is_empty() {
            take(text_packet(Revision::V3, packet)?);
        }
        rest = behind;
    }
    Ok(())
}

/// `00` or `01`, the length's digits as bytes 0 to 9, `ff`, the packet; one behind the other.
fn read_octets(mut body: &[u8], mut take: impl FnMut(PollPacket<'_>)) -> Result<(), Malformed> {
    while let [kind, behind @ ..] = body {
        let end = behind.iter().position(|byte| *byte == END_OF_LENGTH);
        let (digits, behind) = end
            .and_then(|end| Some((behind.get(..end)?, behind.get(end + 1..)?)))
            .ok_or(Malformed("a length without an end"))?;
        let (packet, behind) = behind
            .split_at_checked(length(digits.iter().copied())?)
            .ok_or(Malformed("a length beyond the body"))?;
        take(match *kind {
            // Clients of all versions encode text once here.
            IS_TEXT => text_packet(Revision::V3, utf8(packet)?)?,
            IS_BINARY => {
                let data = read_engine_binary(Revision::V3, packet)?;
                PollPacket::Binary(Bytes::copy_from_slice(data))
            }
            _ => return Err(Malformed("neither text nor binary")),
        });
        body = behind;
    }
    Ok(())
}

fn text_packet(revision: Revision, packet: &str) -> Result<PollPacket<'_>, Malformed> {
    if packet.is_empty() {
        return Err(Malformed("an empty packet"));
    }
    let binary = read_engine_base64(revision, packet)?;
    Ok(binary.map_or(PollPacket::Text(packet.into()), PollPacket::Binary))
}

fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    str::from_utf8(bytes).map_err(|_| Malformed("text that is not UTF-8"))
}

/// The number whose digits, 0 to 9, these are.
fn length(digits: impl ExactSizeIterator<Item = u8>) -> Result<usize, Malformed> {
    const WRONG: Malformed = Malformed("a length that is no number");
    if digits.len() == 0 {
        return Err(WRONG);
    }
    let mut length = 0_usize;
    for digit in digits {
        length = Some(length)
            .filter(|_| digit <= 9)
            .and_then(|length| length.checked_mul(10))
            .and_then(|length| length.checked_add(digit.into()))
            .ok_or(WRONG)?;
    }
    Ok(length)
}

/// What lengths count.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Bytes,
    Utf16,
}

impl Unit {
    /// Splits behind `length` units; `None` beyond the end and inside a character.
    fn split(self, text: &str, length: usize) -> Option<(&str, &str)> {
        let at = match self {
            Self::Bytes => length,
            Self::Utf16 => {
                let mut left = length;
                let mut chars = text.chars();
                while left > 0 {
                    left = left.checked_sub(chars.next()?.len_utf16())?;
                }
                text.len() - chars.as_str().len()
            }
        };
        text.split_at_checked(at)
    }
}

impl Style {
    /// The text that a body means, and what its lengths count.
    ///
    /// A text that was encoded twice has only characters up to U+00FF, and those are UTF-8. Any other proves the opposite
    /// for good. A text that passes may still be a strange one that was encoded once, so that it counts only until there
    /// is proof.
    fn decode<'a>(&mut self, body: &'a str) -> (Cow<'a, str>, Unit) {
        if body.is_ascii() {
            return (Cow::Borrowed(body), Unit::Bytes);
        }
        match encoded_once_less(body) {
            Some(text) if *self != Self(Some(Encoding::Once)) => {
                *self = Self(Some(Encoding::Twice));
                (Cow::Owned(text), Unit::Bytes)
            }
            Some(_) => (Cow::Borrowed(body), Unit::Utf16),
            None => {
                *self = Self(Some(Encoding::Once));
                (Cow::Borrowed(body), Unit::Utf16)
            }
        }
    }

    fn encode(self, packet: Cow<'_, str>) -> Cow<'_, str> {
        if self == Self(Some(Encoding::Twice)) && !packet.is_ascii() {
            packet.bytes().map(char::from).collect()
        } else {
            packet
        }
    }
}

/// The text whose bytes these characters are, if they are any text's.
fn encoded_once_less(text: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(char).ok()).collect();
    String::from_utf8(bytes?).ok()
}

/// Writes what answers a poll.
///
/// `base64_only` says that the client wants no binary bodies. Texts are Engine.IO packets with their type digit; for
/// revision 4 they hold no U+001E, which JSON escapes.
#[must_use]
pub fn write_payload(
    revision: Revision,
    base64_only: bool,
    style: Style,
    packets: &[PollPacket<'_>],
) -> Written {
    let has_binary = packets
        .iter()
        .any(|packet| matches!(packet, PollPacket::Binary(_)));
    let is_octets = revision == Revision::V3 && has_binary && !base64_only;
    let body = match revision {
        Revision::V3 if is_octets => write_octets(packets),
        Revision::V3 => write_counted(style, packets),
        Revision::V4 => write_separated(packets),
    };
    Written {
        body: Bytes::from(body),
        is_octets,
    }
}

fn write_separated(packets: &[PollPacket<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        if index > 0 {
            body.push(SEPARATOR);
        }
        let text = match packet {
            PollPacket::Text(text) => Cow::Borrowed(&**text),
            PollPacket::Binary(data) => Cow::Owned(write_engine_base64(Revision::V4, data)),
        };
        body.extend_from_slice(text.as_bytes());
    }
    body
}

fn write_counted(style: Style, packets: &[PollPacket<'_>]) -> Vec<u8> {
    if packets.is_empty() {
        return b"0:".to_vec();
    }
    let mut body = Vec::new();
    for packet in packets {
        let text = match packet {
            PollPacket::Text(text) => style.encode(in_ascii(text)),
            PollPacket::Binary(data) => Cow::Owned(write_engine_base64(Revision::V3, data)),
        };
        let length = text.encode_utf16().count();
        body.extend_from_slice(length.to_string().as_bytes());
        body.push(b':');
        body.extend_from_slice(text.as_bytes());
    }
    body
}

fn write_octets(packets: &[PollPacket<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for packet in packets {
        match packet {
            PollPacket::Text(text) => {
                let text = in_ascii(text);
                write_head(&mut body, IS_TEXT, text.len());
                body.extend_from_slice(text.as_bytes());
            }
            PollPacket::Binary(data) => {
                write_head(&mut body, IS_BINARY, data.len() + 1);
                body.push(BINARY_MESSAGE);
                body.extend_from_slice(data);
            }
        }
    }
    body
}

fn write_head(body: &mut Vec<u8>, kind: u8, length: usize) {
    body.push(kind);
    body.extend(length.to_string().bytes().map(|digit| digit - b'0'));
    body.push(END_OF_LENGTH);
}

/// The packet with its JSON in ASCII, which reads the same however often it is encoded. The name of a namespace is no
/// JSON and stays as it is.
fn in_ascii(packet: &str) -> Cow<'_, str> {
    let (head, json) = packet.split_at(json_start(packet));
    if json.bytes().all(|byte| byte <= b'~') {
        return Cow::Borrowed(packet);
    }
    let mut out = String::with_capacity(packet.len() * 2);
    out.push_str(head);
    for char in json.chars() {
        if char <= '~' {
            out.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    Cow::Owned(out)
}

/// Where JSON begins in an Engine.IO packet, the ack's id included; its end when there is none.
fn json_start(packet: &str) -> usize {
    let Some(message) = packet.strip_prefix('4') else {
        return packet.len();
    };
    let behind_type = message.trim_start_matches(|char: char| char.is_ascii_digit() || char == '-');
    let json = if behind_type.starts_with('/') {
        behind_type.split_once(',').map_or("", |(_, json)| json)
    } else {
        behind_type
    };
    packet.len() - json.len()
}

/// `___eio[N]("…");`, a call in JavaScript. Of `number`, which the client chooses, only the digits are taken.
#[must_use]
pub fn write_jsonp(number: &str, payload: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    // Old JavaScript takes these two for the end of a line, which no string may hold.
    let literal = Json::string(payload)
        .as_str()
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    format!("___eio[{digits}]({literal});")
}

/// The body inside a JSONP client's form: its field `d`.
///
/// # Errors
/// [`Malformed`] when there is no such field.
pub fn read_jsonp(form: &[u8]) -> Result<Vec<u8>, Malformed> {
    let value = form
        .split(|byte| *byte == b'&')
        .find_map(|field| field.strip_prefix(b"d="))
        .ok_or(Malformed("a form without `d`"))?;
    Ok(with_newlines(&percent_decoded(value)))
}

fn percent_decoded(mut rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, behind @ ..]) => {
                if let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) {
                    bytes.push(high << 4 | low);
                    rest = behind;
                } else {
                    bytes.push(b'%');
                }
            }
            _ => bytes.push(*first),
        }
    }
    bytes
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Browsers alter line ends in forms, whence clients write one as `\n`, and put another backslash before what was `\n`
/// already.
fn with_newlines(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut backslashes = 0_usize;
    for byte in text {
        if *byte == b'n' && backslashes > 0 {
            out.pop();
            out.push(if backslashes == 1 { b'\n' } else { b'n' });
        } else {
            out.push(*byte);
        }
        backslashes = if *byte == b'\\' { backslashes + 1 } else { 0 };
    }
    out
}

#[cfg(test)]
mod tests;
