//! Lines: finding where one ends, without I/O.

use memchr::{memchr, memchr2};

/// Cuts bytes into lines. Knows how far it has looked, so that a line arriving byte by byte is looked at once, and never
/// asks its caller to keep more than the limit.
#[derive(Debug, Clone)]
pub struct LineReader {
    delimiter: u8,
    /// Bytes at the start of the input that hold no delimiter.
    looked_at: usize,
    /// The rest of a line that was too long is thrown away up to its end.
    skipping: bool,
}

/// What stands at the beginning of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// `length` bytes are a line; `length + 1` are consumed with its end.
    Complete {
        /// Bytes of the line without its end.
        length: usize,
    },
    /// `consumed` bytes belong to a line that is longer than allowed, of which `length` have been seen so far. Said once
    /// per line.
    TooLong {
        /// Bytes to drop from the input.
        consumed: usize,
        /// The line's length, as far as it has been seen.
        length: usize,
    },
    /// `consumed` bytes are the further rest of a line that was too long.
    Skipped {
        /// Bytes to drop from the input.
        consumed: usize,
    },
    /// More bytes are needed.
    Incomplete,
}

impl LineReader {
    /// Lines that end with `delimiter`; with LF, a CR ends a line just as well (and the two together end a line and an
    /// empty one).
    #[must_use]
    pub fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            looked_at: 0,
            skipping: false,
        }
    }

    /// What stands at the beginning of `input`, which is what was left the last time and whatever came behind it.
    pub fn next(&mut self, input: &[u8], limit: usize) -> Line {
        let fresh = input.get(self.looked_at..).unwrap_or_default();
        let end = if self.delimiter == b'\n' {
            memchr2(b'\n', b'\r', fresh)
        } else {
            memchr(self.delimiter, fresh)
        };
        let line = match end.map(|end| end + self.looked_at) {
            Some(length) if self.skipping => {
                self.skipping = false;
                Line::Skipped {
                    consumed: length + 1,
                }
            }
            Some(length) if length > limit => Line::TooLong {
                consumed: length + 1,
                length,
            },
            Some(length) => Line::Complete { length },
            None if input.is_empty() => Line::Incomplete,
            None if self.skipping => Line::Skipped {
                consumed: input.len(),
            },
            None if input.len() > limit => {
                self.skipping = true;
                Line::TooLong {
                    consumed: input.len(),
                    length: input.len(),
                }
            }
            None => {
                self.looked_at = input.len();
                return Line::Incomplete;
            }
        };
        self.looked_at = 0;
        line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `input` in the given pieces and returns the lines and the lengths of those that were too long.
    fn read(
        input: &[u8],
        pieces: &[usize],
        delimiter: u8,
        limit: usize,
    ) -> Vec<Result<Vec<u8>, ()>> {
        let mut reader = LineReader::new(delimiter);
        let mut kept: Vec<u8> = Vec::new();
        let mut lines = Vec::new();
        let mut rest = input;
        let mut sizes = pieces.iter().copied().cycle();
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
            kept.extend_from_slice(&rest[..size]);
            rest = &rest[size..];
            loop {
                let consumed = match reader.next(&kept, limit) {
                    Line::Complete { length } => {
                        lines.push(Ok(kept[..length].to_vec()));
                        length + 1
                    }
                    Line::TooLong { consumed, length } => {
                        assert!(length > limit);
                        lines.push(Err(()));
                        consumed
                    }
                    Line::Skipped { consumed } => consumed,
                    Line::Incomplete => break,
                };
                kept.drain(..consumed);
            }
            assert!(kept.len() <= limit, "no more than the limit is kept");
        }
        lines
    }

    #[test]
    fn cr_lf_and_both_end_lines() {
        let lines = read(b"a\rb\nc\r\nd", &[100], b'\n', 100);
        let expected: Vec<Result<Vec<u8>, ()>> =
            ["a", "b", "c", ""].map(|line| Ok(line.into())).to_vec();
        assert_eq!(lines, expected);
    }

    #[test]
    fn another_delimiter_leaves_line_breaks_alone() {
        let lines = read(b"\na|b\r\n|", &[100], b'|', 100);
        assert_eq!(lines, [Ok(b"\na".to_vec()), Ok(b"b\r\n".to_vec())]);
    }

    #[test]
    fn a_long_line_is_said_once_and_skipped() {
        let mut input = vec![b'x'; 10_000];
        input.extend_from_slice(b"\nok\n");
        for pieces in [vec![1], vec![7, 300], vec![20_000]] {
            let lines = read(&input, &pieces, b'\n', 64);
            assert_eq!(lines, [Err(()), Ok(b"ok".to_vec())], "{pieces:?}");
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_bytes_arrive(
            input in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
            pieces in proptest::collection::vec(1_usize..20, 1..10),
            limit in 1_usize..30,
        ) {
            let at_once = read(&input, &[1000], b'\n', limit);
            prop_assert_eq!(read(&input, &pieces, b'\n', limit), at_once);
        }
    }
}
