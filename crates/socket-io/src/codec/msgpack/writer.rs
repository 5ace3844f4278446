//! msgpack in the shortest form, as npm `notepack.io` 2 writes it.

use bytes::Bytes;

use super::{
    json::{GAP, unescaped},
    reader::{NIL, UNDEFINED},
};
use crate::codec::packet::{Kind, end_of_string};

/// A packet that is being written.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// The member `type`.
    pub(super) fn kind(&mut self, kind: Kind) {
        self.text("type");
        self.unsigned(kind.digit().into());
    }

    /// The member `nsp`.
    pub(super) fn namespace(&mut self, namespace: &str) {
        self.text("nsp");
        self.text(namespace);
    }

    pub(super) fn undefined(&mut self) {
        self.0.extend_from_slice(&UNDEFINED);
    }

    /// The beginning of a map of so many members.
    pub(super) fn map(&mut self, members: usize) {
        self.length(0x80..0x90, [None, Some(0xde), Some(0xdf)], members);
    }

    /// The beginning of an array of so many elements.
    pub(super) fn array(&mut self, elements: usize) {
        self.length(0x90..0xa0, [None, Some(0xdc), Some(0xdd)], elements);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.length(0xa0..0xc0, [Some(0xd9), Some(0xda), Some(0xdb)], text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.length(0..0, [Some(0xc4), Some(0xc5), Some(0xc6)], bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// A length, in the first byte if that has room for it, else behind one of the first bytes for one, two and four
    /// bytes. What is longer than msgpack can say does not fit into any message either.
    fn length(
        &mut self,
        small: std::ops::Range<u8>,
        [one, two, four]: [Option<u8>; 3],
        length: usize,
    ) {
        let out = &mut self.0;
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length), _) if length < small.end - small.start => out.push(small.start + length),
            (Ok(length), _) if one.is_some() => {
                out.extend(one);
                out.push(length);
            }
            (_, Ok(length)) => {
                out.extend(two);
                out.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                out.extend(four);
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
    }

    pub(super) fn unsigned(&mut self, number: u64) {
        let out = &mut self.0;
        if let Ok(number) = u8::try_from(number) {
            if number > 0x7f {
                out.push(0xcc);
            }
            out.push(number);
        } else if let Ok(number) = u16::try_from(number) {
            out.push(0xcd);
            out.extend_from_slice(&number.to_be_bytes());
        } else if let Ok(number) = u32::try_from(number) {
            out.push(0xce);
            out.extend_from_slice(&number.to_be_bytes());
        } else {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    fn signed(&mut self, number: i64) {
        let out = &mut self.0;
        if let Ok(number) = u64::try_from(number) {
            self.unsigned(number);
        } else if let Ok(number) = i8::try_from(number) {
            if number < -0x20 {
                out.push(0xd0);
            }
            out.extend_from_slice(&number.to_be_bytes());
        } else if let Ok(number) = i16::try_from(number) {
            out.push(0xd1);
            out.extend_from_slice(&number.to_be_bytes());
        } else if let Ok(number) = i32::try_from(number) {
            out.push(0xd2);
            out.extend_from_slice(&number.to_be_bytes());
        } else {
            out.push(0xd3);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }

    /// The number that JSON writes so. Whole ones are integers, however they are written.
    fn number(&mut self, raw: &str) {
        // Less than 2^63, and so are all doubles below it.
        const WHOLE: f64 = 9.2e18;
        if let Ok(number) = raw.parse() {
            self.unsigned(number);
        } else if let Ok(number) = raw.parse() {
            self.signed(number);
        } else {
            let number: f64 = raw.parse().unwrap_or_default();
            if number.fract() == 0.0 && number.abs() < WHOLE {
                self.signed(number as i64);
            } else {
                self.0.push(0xcb);
                self.0.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    /// A JSON value, with the attachments in its gaps.
    pub(super) fn json(&mut self, text: &str, parts: &[Bytes]) {
        let mut counts = counts(text).into_iter();
        let mut parts = parts.iter();
        for token in tokens(text) {
            match token.as_bytes() {
                [b'[', ..] => self.array(counts.next().unwrap_or_default()),
                [b'{', ..] => self.map(counts.next().unwrap_or_default()),
                [b'"', ..] => self.text(&unescaped(token)),
                [b'n', ..] => self.0.push(NIL),
                [b'f', ..] => self.0.push(0xc2),
                [b't', ..] => self.0.push(0xc3),
                [b'-' | b'0'..=b'9', ..] => self.number(token),
                _ if token.starts_with(GAP) => {
                    if let Some(part) = parts.next() {
                        self.binary(part);
                    }
                }
                // Commas, colons and ends: the counts say it all.
                _ => {}
            }
        }
    }
}

/// How many elements or members the arrays and objects of a JSON text have, in order of their beginnings.
fn counts(text: &str) -> Vec<usize> {
    let mut counts = Vec::new();
    // Which of them are open.
    let mut open: Vec<usize> = Vec::new();
    for token in tokens(text) {
        if matches!(token, "]" | "}") {
            open.pop();
            continue;
        }
        if let Some(count) = open.last().and_then(|index| counts.get_mut(*index)) {
            match token {
                "," => *count += 1,
                _ if *count == 0 => *count = 1,
                _ => {}
            }
        }
        if matches!(token, "[" | "{") {
            open.push(counts.len());
            counts.push(0);
        }
    }
    counts
}

/// The tokens of a JSON text, possibly with gaps, without the white space between them.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let bytes = text.as_bytes();
        while bytes.get(at)?.is_ascii_whitespace() {
            at += 1;
        }
        let start = at;
        at = match bytes.get(at)? {
            b'"' => end_of_string(bytes, at),
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E');
                let rest = bytes.get(at..)?;
                at + rest
                    .iter()
                    .position(|byte| !is_part(byte))
                    .unwrap_or(rest.len())
            }
            _ => at + 1,
        };
        text.get(start..at)
    })
}
