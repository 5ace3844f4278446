//! msgpack that all four libraries read alike. Only binary has no form in common.

use std::ops::Range;

use bytes::Bytes;
use polyport_core::Arg;

use super::text::{GAP, parts, tokens, unescaped, with_gaps};

/// A message that is being written.
#[derive(Debug, Default)]
pub(in crate::codec) struct Writer(Vec<u8>);

impl Writer {
    pub(in crate::codec) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// The beginning of a map of so many members.
    pub(in crate::codec) fn map(&mut self, members: usize) {
        self.length(0x80..0x90, 0xde, 0xdf, members);
    }

    /// The beginning of an array of so many elements.
    pub(in crate::codec) fn array(&mut self, elements: usize) {
        self.length(0x90..0xa0, 0xdc, 0xdd, elements);
    }

    /// Never with one byte for the length: old libraries have binary there.
    pub(in crate::codec) fn text(&mut self, text: &str) {
        self.length(0xa0..0xc0, 0xda, 0xdb, text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(in crate::codec) fn bool(&mut self, value: bool) {
        self.0.push(if value { 0xc3 } else { 0xc2 });
    }

    fn binary(&mut self, bytes: &[u8]) {
        if let Ok(length) = u8::try_from(bytes.len()) {
            self.0.extend([0xc4, length]);
        } else {
            self.length(0..0, 0xc5, 0xc6, bytes.len());
        }
        self.0.extend_from_slice(bytes);
    }

    /// A length, in the first byte if that has room for it, else behind one of the first bytes for two and four bytes. What
    /// is longer than msgpack can say does not fit into any message either.
    fn length(&mut self, small: Range<u8>, two: u8, four: u8, length: usize) {
        let out = &mut self.0;
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length), _) if length < small.end - small.start => out.push(small.start + length),
            (_, Ok(length)) => {
                out.push(two);
                out.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                out.push(four);
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
    }

    /// A number as JavaScript has it: an integer if it is whole and has no more than 32 bits.
    pub(in crate::codec) fn number(&mut self, number: f64) {
        let whole = number as i64;
        let out = &mut self.0;
        if whole as f64 != number {
            return self.float(number);
        }
        if let Ok(number) = u8::try_from(whole) {
            if number > 0x7f {
                out.push(0xcc);
            }
            out.push(number);
        } else if let Ok(number) = i8::try_from(whole) {
            if number < -0x20 {
                out.push(0xd0);
            }
            out.extend_from_slice(&number.to_be_bytes());
        } else if let Ok(number) = u16::try_from(whole) {
            out.push(0xcd);
            out.extend_from_slice(&number.to_be_bytes());
        } else if let Ok(number) = i16::try_from(whole) {
            out.push(0xd1);
            out.extend_from_slice(&number.to_be_bytes());
        } else if let Ok(number) = u32::try_from(whole) {
            out.push(0xce);
            out.extend_from_slice(&number.to_be_bytes());
        } else if let Ok(number) = i32::try_from(whole) {
            out.push(0xd2);
            out.extend_from_slice(&number.to_be_bytes());
        } else {
            self.float(number);
        }
    }

    fn float(&mut self, number: f64) {
        self.0.push(0xcb);
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(in crate::codec) fn arg(&mut self, arg: &Arg) {
        self.json(&with_gaps(arg), parts(arg));
    }

    /// A JSON value, with binary in its gaps.
    pub(in crate::codec) fn json(&mut self, text: &str, parts: &[Bytes]) {
        let mut counts = counts(text).into_iter();
        let mut parts = parts.iter();
        for token in tokens(text) {
            match token.as_bytes() {
                [b'[', ..] => self.array(counts.next().unwrap_or_default()),
                [b'{', ..] => self.map(counts.next().unwrap_or_default()),
                [b'"', ..] => self.text(&unescaped(token)),
                [b'n', ..] => self.0.push(0xc0),
                [b'f', ..] => self.bool(false),
                [b't', ..] => self.bool(true),
                [b'-' | b'0'..=b'9', ..] => self.number(token.parse().unwrap_or_default()),
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
