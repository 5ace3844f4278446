//! What a published message carries so that a receiver can judge it: its number and when it was meant to be sent.

use std::io::Write as _;

use memchr::memmem::Finder;

use crate::clock::Nanos;

const MARK: &str = "load=";
const SEQUENCE_DIGITS: usize = 8;
const TIME_DIGITS: usize = 16;

/// Bytes of a written stamp.
pub(crate) const LENGTH: usize = MARK.len() + SEQUENCE_DIGITS + TIME_DIGITS;

/// Number and intended sending time of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) sequence: u32,
    pub(crate) intended: Nanos,
}

impl Stamp {
    /// Appends the stamp: `load=` and 24 hexadecimal digits, which no protocol needs to escape.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        write!(out, "{MARK}{:08x}{:016x}", self.sequence, self.intended)
            .expect("a Vec takes every write");
    }
}

/// Finds stamps in received texts, wherever the server's own envelope puts them.
#[derive(Debug)]
pub(crate) struct StampFinder {
    finder: Finder<'static>,
}

impl StampFinder {
    pub(crate) fn new() -> Self {
        Self {
            finder: Finder::new(MARK),
        }
    }

    /// The stamp in `text`, or `None` if this is some other message.
    pub(crate) fn find(&self, text: &[u8]) -> Option<Stamp> {
        let digits = text.get(self.finder.find(text)? + MARK.len()..)?;
        let sequence = hex(digits.get(..SEQUENCE_DIGITS)?)?;
        let intended = hex(digits.get(SEQUENCE_DIGITS..SEQUENCE_DIGITS + TIME_DIGITS)?)?;
        Some(Stamp {
            sequence: u32::try_from(sequence).ok()?,
            intended,
        })
    }
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again_inside_an_envelope() {
        let stamp = Stamp {
            sequence: 77,
            intended: 123_456_789_012,
        };
        let mut text = br#"{"message":""#.to_vec();
        stamp.write(&mut text);
        assert_eq!(text.len(), 12 + LENGTH);
        text.extend_from_slice(br#"xxxx","room":"lobby"}"#);
        assert_eq!(StampFinder::new().find(&text), Some(stamp));
    }

    #[test]
    fn other_texts_have_none() {
        let finder = StampFinder::new();
        for text in [
            &b""[..],
            br#"{"socket": "connected"}"#,
            b"load=",
            b"load=0000004d0000001cbe991a1",
            b"load=0000004d0000001cbe991axx",
        ] {
            assert_eq!(finder.find(text), None);
        }
    }
}
