//! The binary codec of npm `sc-codec-min-bin` 3: a packet is a MessagePack map of one key. It is read as the JSON that
//! [`super::read`] takes, and made of the JSON that the functions of this codec write, so that everything else knows one form.

use std::slice;

use polyport_core::{Json, argument_with_binary, single_argument};
use polyport_msgpack::{Dialect, Error, Form, Limits, Reader, Token, Values, Writer};
use serde_json::value::RawValue;

use super::{Channel, MAX_BATCH, Packet, push_string};

/// The ping of generation 1, to which a ping is a packet: the string `#1`. That of generation 2 is text.
pub const OLD_PING: &[u8] = b"\xa2#1";

/// The message by which its clients answer.
pub const OLD_PONG: &[u8] = b"\xa2#2";

/// Keys of one packet: it has one, and a hand-made one has five. More are refused, since the JSON of an empty one is long.
const MAX_KEYS: usize = 16;

const LIMITS: Limits = Limits {
    depth: 128,
    binaries: 65_536,
    // A message has a bound.
    binary_bytes: usize::MAX,
};

/// What a binary message says, as JSON: a packet, a list of packets, or anything else. Binary is
/// `{"base64":true,"data":"…"}`. Bytes behind the value are left out, as by the original, and packets of a list beyond
/// [`MAX_BATCH`] but for one, which shows that it is too long.
///
/// # Errors
/// [`Error`] when it is no MessagePack, nests too deep, or has too many parts.
pub fn read_min_bin(data: &[u8]) -> Result<String, Error> {
    let mut reading = Reading {
        // `msgpack-lite` takes numbers for keys.
        reader: Reader::new(data, Dialect::NumberKeys),
        values: Values::new(LIMITS),
        text: String::new(),
    };
    let start = reading.reader;
    match reading.reader.token()? {
        Token::Array(count) => {
            reading.text.push('[');
            for index in 0..count.min(MAX_BATCH + 1) {
                reading.separate(index > 0);
                reading.packet(1)?;
            }
            reading.text.push(']');
        }
        _ => {
            reading.reader = start;
            reading.packet(0)?;
        }
    }
    Ok(reading.text)
}

struct Reading<'a> {
    reader: Reader<'a>,
    values: Values,
    text: String,
}

impl Reading<'_> {
    /// The next value inside of so many others, which is a packet if it is a map.
    fn packet(&mut self, depth: usize) -> Result<(), Error> {
        let start = self.reader;
        let Token::Map(count) = self.reader.token()? else {
            self.reader = start;
            return self.value(depth);
        };
        if count > MAX_KEYS {
            return Err(Error::TooMany);
        }
        self.text.push('{');
        let mut is_first = true;
        for _ in 0..count {
            let Token::Text(key) = self.reader.token()? else {
                return Err(Error::Malformed("a key of a packet that is no text"));
            };
            let start = self.reader;
            let members = match (&*key, self.reader.token()?) {
                ("e", Token::Array(count)) => Some((["event", "data", "cid"], count)),
                ("r", Token::Array(count)) => Some((["rid", "error", "data"], count)),
                ("p", Token::Array(count)) => {
                    self.publish(&mut is_first, count, depth + 2)?;
                    continue;
                }
                _ => None,
            };
            match members {
                Some((names, count)) => self.members(&mut is_first, names, count, depth + 2)?,
                // Packets may come as they are in JSON, too.
                None => {
                    self.reader = start;
                    self.key(&mut is_first, &key);
                    self.value(depth + 1)?;
                }
            }
        }
        self.text.push('}');
        Ok(())
    }

    /// The elements of a list, each by its name. A number that is `null` is none.
    fn members(
        &mut self,
        is_first: &mut bool,
        names: [&str; 3],
        count: usize,
        depth: usize,
    ) -> Result<(), Error> {
        for index in 0..count {
            match names.get(index) {
                Some(&"cid") if self.reader.is_nothing() => self.reader.skip()?,
                Some(name) => {
                    self.key(is_first, name);
                    self.value(depth)?;
                }
                None => self.reader.skip()?,
            }
        }
        Ok(())
    }

    /// The same for what is published, whose first two elements are one object.
    fn publish(&mut self, is_first: &mut bool, count: usize, depth: usize) -> Result<(), Error> {
        self.key(is_first, "event");
        push_string(&mut self.text, "#publish");
        self.key(is_first, "data");
        self.text.push('{');
        let inside = count.min(2);
        self.members(&mut true, ["channel", "data", ""], inside, depth)?;
        self.text.push('}');
        self.members(is_first, ["cid", "", ""], (count - inside).min(1), depth)?;
        for _ in 3..count {
            self.reader.skip()?;
        }
        Ok(())
    }

    fn separate(&mut self, is_needed: bool) {
        if is_needed {
            self.text.push(',');
        }
    }

    fn key(&mut self, is_first: &mut bool, key: &str) {
        self.separate(!std::mem::take(is_first));
        push_string(&mut self.text, key);
        self.text.push(':');
    }

    fn value(&mut self, depth: usize) -> Result<(), Error> {
        let value = self.values.read(&mut self.reader, depth)?;
        let json = single_argument(slice::from_ref(&value));
        self.text.push_str(json.as_str());
        Ok(())
    }
}

/// Makes a binary message of a packet, or a list of them, in JSON. What is absent becomes `null`, for which alone the codec
/// has a place; what stands there as `{"base64":true,"data":"…"}` becomes binary.
#[must_use]
pub fn write_min_bin(text: &str) -> Vec<u8> {
    let mut out = Writer::new(Form::Lite);
    if text.starts_with('[') {
        let packets: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
        out.array(packets.len());
        for packet in packets {
            push_packet(&mut out, packet.get());
        }
    } else {
        push_packet(&mut out, text);
    }
    out.finish()
}

fn push_packet(out: &mut Writer, text: &str) {
    let packet = Packet::read(text).unwrap_or_default();
    out.map(1);
    if packet.rid.is_some() {
        out.text("r");
        out.array(3);
        push_values(out, [packet.rid, packet.error, packet.data]);
        return;
    }
    let is_published = packet.name().as_deref() == Some("#publish");
    let object = packet.data.filter(|data| data.get().starts_with('{'));
    let values = match object.filter(|_| is_published) {
        Some(data) => {
            out.text("p");
            let channel = Channel::read(Some(data));
            [channel.channel, channel.data]
        }
        None => {
            out.text("e");
            [packet.event, packet.data]
        }
    };
    let cid = packet.cid.filter(|cid| cid.get() != "null");
    out.array(if cid.is_some() { 3 } else { 2 });
    push_values(out, values);
    if cid.is_some() {
        push_values(out, [cid]);
    }
}

fn push_values<const N: usize>(out: &mut Writer, values: [Option<&RawValue>; N]) {
    for value in values {
        match value {
            Some(value) => out.arg(&argument_with_binary(Json::from(value).compact())),
            None => out.nil(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{BatchTooLong, Message, read};

    #[track_caller]
    fn check(bytes: &[u8], text: &str) {
        assert_eq!(read_min_bin(bytes).as_deref(), Ok(text), "{bytes:x?}");
    }

    /// Both ways.
    #[track_caller]
    fn same(bytes: &[u8], text: &str) {
        check(bytes, text);
        assert_eq!(write_min_bin(text), bytes, "{text}");
    }

    #[test]
    fn packets_of_the_original() {
        for (base64, text) in [
            (
                "gaFlk6ojaGFuZHNoYWtlgalhdXRoVG9rZW7AAQ==",
                r##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##,
            ),
            (
                "gaFykwHAg6JpZLRoN2NEQzZGZkprakFTeWx1QUFBQatwaW5nVGltZW91dM11MK9pc0F1dGhlbnRpY2F0ZWTC",
                r#"{"rid":1,"error":null,"data":{"id":"h7cDC6FfJkjASyluAAAA","pingTimeout":30000,"isAuthenticated":false}}"#,
            ),
            (
                "gaFlk6RlY2hvgqFhAaFigqEwaKExaQI=",
                r#"{"event":"echo","data":{"a":1,"b":{"0":104,"1":105}},"cid":2}"#,
            ),
            (
                "gaFwk6FukgECBA==",
                r##"{"event":"#publish","data":{"channel":"n","data":[1,2]},"cid":4}"##,
            ),
            (
                "gaFwkqFukgEC",
                r##"{"event":"#publish","data":{"channel":"n","data":[1,2]}}"##,
            ),
            ("gaFykwPAwA==", r#"{"rid":3,"error":null,"data":null}"#),
        ] {
            same(&STANDARD.decode(base64).unwrap(), text);
        }
    }

    #[test]
    fn lists_and_binary() {
        same(
            b"\x92\x81\xa1e\x93\xa1a\x01\x01\x81\xa1e\x92\xa1b\xc4\x02hi",
            r#"[{"event":"a","data":1,"cid":1},{"event":"b","data":{"base64":true,"data":"aGk="}}]"#,
        );
        same(
            b"\x81\xa1e\x92\xa1b\x81\xa1x\x92\xc4\x01a\xcb\x41\xe0\0\0\0\0\0\0",
            r#"{"event":"b","data":{"x":[{"base64":true,"data":"YQ=="},2147483648]}}"#,
        );
    }

    #[test]
    fn what_is_absent_is_null() {
        for (text, bytes) in [
            (r#"{"rid":4}"#, &b"\x81\xa1r\x93\x04\xc0\xc0"[..]),
            (
                r##"{"event":"#removeAuthToken"}"##,
                b"\x81\xa1e\x92\xb0#removeAuthToken\xc0",
            ),
            (
                r##"{"event":"#publish","data":{"channel":"n"}}"##,
                b"\x81\xa1p\x92\xa1n\xc0",
            ),
            (
                r#"{"event":"a","cid":7,"data":{ "x" : "y" }}"#,
                b"\x81\xa1e\x93\xa1a\x81\xa1x\xa1y\x07",
            ),
        ] {
            assert_eq!(write_min_bin(text), bytes, "{text}");
        }
    }

    #[test]
    fn what_only_others_write() {
        for (bytes, text) in [
            // As in JSON.
            (
                &b"\x82\xa5event\xa1a\xa3cid\x02"[..],
                r#"{"event":"a","cid":2}"#,
            ),
            (b"\x81\xa1e\x91\xa1a", r#"{"event":"a"}"#),
            (
                b"\x81\xa1e\x95\xa1a\x01\xc0\x02\x03",
                r#"{"event":"a","data":1}"#,
            ),
            (b"\x81\xa1p\x90", r##"{"event":"#publish","data":{}}"##),
            (
                b"\x81\xa1p\x94\xa1n\x01\xc0\x05",
                r##"{"event":"#publish","data":{"channel":"n","data":1}}"##,
            ),
            (b"\x81\xa1e\x05", r#"{"e":5}"#),
            (
                b"\x81\xa1e\x92\xa1a\x81\x01\x02",
                r#"{"event":"a","data":{"1":2}}"#,
            ),
            // Bytes behind it.
            (
                b"\x81\xa1e\x92\xa1a\x01\xff\xff",
                r#"{"event":"a","data":1}"#,
            ),
            (b"\x80", "{}"),
            (b"\x90", "[]"),
            (b"\x92\x05\x91\x80", "[5,[{}]]"),
            (b"\x05", "5"),
            (b"\xc0", "null"),
        ] {
            check(bytes, text);
        }
        for bytes in [
            &b""[..],
            b"\xc1",
            b"\x81\xa1e\x93",
            b"\x81\xc0\xc0",
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\x81\xa1p\xdd\xff\xff\xff\xff",
        ] {
            assert!(read_min_bin(bytes).is_err(), "{bytes:x?}");
        }
    }

    #[test]
    fn bounds() {
        let list = |count: usize| {
            let head = [&[0xdd][..], &(count as u32).to_be_bytes()].concat();
            read_min_bin(&[&head[..], &[0x80].repeat(count)].concat()).unwrap()
        };
        let handed = |text: &str| match read(text) {
            Message::Packets(packets) => packets.each(|_| true),
            message => panic!("{message:?}"),
        };
        assert_eq!(handed(&list(MAX_BATCH)), Ok(()));
        assert_eq!(handed(&list(MAX_BATCH + 1)), Err(BatchTooLong));
        // No more of it than says so.
        assert_eq!(list(1_000_000), list(MAX_BATCH + 1));
        let keys = |count: u8| [&[0x80 | count][..], &b"\xa1p\x90".repeat(count.into())].concat();
        assert!(read_min_bin(&keys(15)).is_ok());
        let many = [&[0xde, 0, 17][..], &b"\xa1p\x90".repeat(17)].concat();
        assert_eq!(read_min_bin(&many), Err(Error::TooMany));
        let nested = |depth| [&b"\x81\xa1e\x92\xa1a"[..], &vec![0x91; depth], &[0]].concat();
        assert!(read_min_bin(&nested(126)).is_ok());
        for depth in [127, 1_000_000] {
            assert_eq!(read_min_bin(&nested(depth)), Err(Error::TooDeep));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(data in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(text) = read_min_bin(&data) {
                prop_assert!(Json::parse(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn no_text_is_too_odd(text in "[\\[\\]{}:,\"\\\\a-z0-9. é-]{0,30}") {
            let written = write_min_bin(&text);
            prop_assert!(read_min_bin(&written).is_ok());
        }
    }
}
