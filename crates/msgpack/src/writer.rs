//! msgpack in the forms of those who read it.

use std::ops::Range;

use bytes::Bytes;
use polyport_core::Arg;

use crate::{
    reader::{NIL, UNDEFINED},
    text::{GAP, parts, tokens, unescaped, with_gaps},
};

/// Whose msgpack is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What npm `msgpack-js`, `notepack.io`, `msgpack-lite` and Python's all read alike: only binary has no form in common.
    Common,
    /// The shortest, as npm `notepack.io` 2 writes it.
    Notepack,
    /// As npm `msgpack-lite` writes it.
    Lite,
}

impl Form {
    /// Which numbers are integers; others have eight bytes with a point.
    fn integers(self) -> std::ops::RangeInclusive<i128> {
        match self {
            Self::Common => i32::MIN.into()..=u32::MAX.into(),
            Self::Notepack => i64::MIN.into()..=u64::MAX.into(),
            Self::Lite => i32::MIN.into()..=i32::MAX.into(),
        }
    }
}

/// A message that is being written.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    form: Form,
}

impl Writer {
    /// An empty one.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self {
            out: Vec::new(),
            form,
        }
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    /// The beginning of a map of so many members.
    pub fn map(&mut self, members: usize) {
        self.length(0x80..0x90, [None, Some(0xde), Some(0xdf)], members);
    }

    /// The beginning of an array of so many elements.
    pub fn array(&mut self, elements: usize) {
        self.length(0x90..0xa0, [None, Some(0xdc), Some(0xdd)], elements);
    }

    /// A string.
    pub fn text(&mut self, text: &str) {
        // Old libraries have binary there.
        let one = (self.form != Form::Common).then_some(0xd9);
        self.length(0xa0..0xc0, [one, Some(0xda), Some(0xdb)], text.len());
        self.out.extend_from_slice(text.as_bytes());
    }

    /// `null`.
    pub fn nil(&mut self) {
        self.out.push(NIL);
    }

    /// JavaScript's `undefined`, for those who read `notepack.io`'s.
    pub fn undefined(&mut self) {
        self.out.extend_from_slice(&UNDEFINED);
    }

    /// True or false.
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { 0xc3 } else { 0xc2 });
    }

    /// Bytes.
    pub fn binary(&mut self, bytes: &[u8]) {
        // `msgpack-lite` wants two bytes for 255.
        let has_one = self.form != Form::Lite || bytes.len() < 0xff;
        let one = has_one.then_some(0xc4);
        self.length(0..0, [one, Some(0xc5), Some(0xc6)], bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// A length, in the first byte if that has room for it, else behind one of the first bytes for one, two and four
    /// bytes. What is longer than msgpack can say does not fit into any message either.
    fn length(&mut self, small: Range<u8>, [one, two, four]: [Option<u8>; 3], length: usize) {
        let out = &mut self.out;
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

    /// A whole number.
    pub fn unsigned(&mut self, number: u64) {
        self.integer(number.into());
    }

    fn integer(&mut self, number: i128) {
        if !self.form.integers().contains(&number) {
            return self.float(number as f64);
        }
        let (first, size) = match number {
            -0x20..=0x7f => return self.out.push(number as u8),
            0x80..=0xff => (0xcc, 1),
            0x100..=0xffff => (0xcd, 2),
            0x1_0000..=0xffff_ffff => (0xce, 4),
            0x1_0000_0000.. => (0xcf, 8),
            -0x80..=-0x21 => (0xd0, 1),
            -0x8000..=-0x81 => (0xd1, 2),
            -0x8000_0000..=-0x8001 => (0xd2, 4),
            _ => (0xd3, 8),
        };
        self.out.push(first);
        let bytes = number.to_be_bytes();
        self.out.extend_from_slice(&bytes[bytes.len() - size..]);
    }

    fn float(&mut self, number: f64) {
        self.out.push(0xcb);
        self.out.extend_from_slice(&number.to_be_bytes());
    }

    /// The number that JSON writes so. Whole ones are integers, however they are written.
    fn number(&mut self, raw: &str) {
        // Less than 2^63, and so are all doubles below it.
        const WHOLE: f64 = 9.2e18;
        if let Ok(number) = raw.parse() {
            return self.integer(number);
        }
        let number: f64 = raw.parse().unwrap_or_default();
        if number.fract() == 0.0 && number.abs() < WHOLE {
            self.integer(number as i128);
        } else {
            self.float(number);
        }
    }

    /// An argument, whatever it is.
    pub fn arg(&mut self, arg: &Arg) {
        self.json(&with_gaps(arg), parts(arg));
    }

    /// A JSON value, with binary in its gaps.
    pub fn json(&mut self, text: &str, parts: &[Bytes]) {
        let mut counts = counts(text).into_iter();
        let mut parts = parts.iter();
        for token in tokens(text) {
            match token.as_bytes() {
                [b'[', ..] => self.array(counts.next().unwrap_or_default()),
                [b'{', ..] => self.map(counts.next().unwrap_or_default()),
                [b'"', ..] => self.text(&unescaped(token)),
                [b'n', ..] => self.nil(),
                [b'f', ..] => self.bool(false),
                [b't', ..] => self.bool(true),
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
