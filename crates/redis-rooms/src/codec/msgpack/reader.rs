//! msgpack, one token after the other.

use crate::codec::ReadError::{self, Malformed};

const CUT: ReadError = Malformed("msgpack that ends too early");

/// Which msgpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) enum Dialect {
    /// The format of today.
    Standard,
    /// The same with numbers for keys, as Python writes them: tried last, for it makes sense of too much.
    NumberKeys,
    /// npm `msgpack-js`, of emitters and adapters before 2.0: `c4` is undefined, `d8` and `d9` are binary.
    Legacy,
}

/// A value, or the beginning of one that holds others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::codec) enum Token<'a> {
    Nil,
    Undefined,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// Milliseconds since 1970.
    Date(f64),
    /// Supposed to be UTF-8.
    Text(&'a [u8]),
    Binary(&'a [u8]),
    /// What an extension holds that no sender is known to have.
    Unknown(&'a [u8]),
    /// So many values follow.
    Array(usize),
    /// So many keys follow, each with its value.
    Map(usize),
}

impl Token<'_> {
    /// The number that it is, as JavaScript has it.
    pub(in crate::codec) fn number(self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => Some(number as f64),
            Self::Signed(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }
}

/// Bytes that have not been read.
#[derive(Debug, Clone, Copy)]
pub(in crate::codec) struct Reader<'a> {
    rest: &'a [u8],
    dialect: Dialect,
}

impl<'a> Reader<'a> {
    pub(in crate::codec) fn new(rest: &'a [u8], dialect: Dialect) -> Self {
        Self { rest, dialect }
    }

    pub(super) fn has_number_keys(&self) -> bool {
        self.dialect == Dialect::NumberKeys
    }

    pub(in crate::codec) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(in crate::codec) fn token(&mut self) -> Result<Token<'a>, ReadError> {
        let [first] = self.array()?;
        Ok(match first {
            0x00..=0x7f => Token::Unsigned(first.into()),
            0x80..=0x8f => Token::Map(usize::from(first & 0x0f)),
            0x90..=0x9f => Token::Array(usize::from(first & 0x0f)),
            0xa0..=0xbf => Token::Text(self.take(usize::from(first & 0x1f))?),
            0xc0 => Token::Nil,
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xca => Token::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Token::Unsigned(u8::from_be_bytes(self.array()?).into()),
            0xcd => Token::Unsigned(u16::from_be_bytes(self.array()?).into()),
            0xce => Token::Unsigned(u32::from_be_bytes(self.array()?).into()),
            0xcf => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => Token::Signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => Token::Signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => Token::Signed(i32::from_be_bytes(self.array()?).into()),
            0xd3 => Token::Signed(i64::from_be_bytes(self.array()?)),
            0xda => Token::Text(self.sized16()?),
            0xdb => Token::Text(self.sized32()?),
            0xdc => Token::Array(self.length16()?),
            0xdd => Token::Array(self.length32()?),
            0xde => Token::Map(self.length16()?),
            0xdf => Token::Map(self.length32()?),
            0xe0..=0xff => Token::Signed(i64::from(first) - 0x100),
            0xc1 | 0xc4..=0xc9 | 0xd4..=0xd9 => match self.dialect {
                Dialect::Standard | Dialect::NumberKeys => self.standard(first)?,
                Dialect::Legacy => self.legacy(first)?,
            },
        })
    }

    /// What the dialects disagree about.
    fn legacy(&mut self, first: u8) -> Result<Token<'a>, ReadError> {
        match first {
            0xc4 => Ok(Token::Undefined),
            0xd8 => Ok(Token::Binary(self.sized16()?)),
            0xd9 => Ok(Token::Binary(self.sized32()?)),
            _ => Err(Malformed("a type that msgpack-js does not have")),
        }
    }

    fn standard(&mut self, first: u8) -> Result<Token<'a>, ReadError> {
        Ok(match first {
            0xc4 => Token::Binary(self.sized8()?),
            0xc5 => Token::Binary(self.sized16()?),
            0xc6 => Token::Binary(self.sized32()?),
            0xc7 => {
                let length = self.length8()?;
                self.extension(length)?
            }
            0xc8 => {
                let length = self.length16()?;
                self.extension(length)?
            }
            0xc9 => {
                let length = self.length32()?;
                self.extension(length)?
            }
            0xd4 => self.fixed::<1>()?,
            0xd5 => self.fixed::<2>()?,
            0xd6 => self.fixed::<4>()?,
            0xd7 => self.fixed::<8>()?,
            0xd8 => self.fixed::<16>()?,
            0xd9 => Token::Text(self.sized8()?),
            _ => return Err(Malformed("a type that msgpack does not have")),
        })
    }

    /// An extension whose first byte says its length. npm `notepack.io` 2 has a date and `undefined` among those of type 0;
    /// all others of it are binary.
    fn fixed<const N: usize>(&mut self) -> Result<Token<'a>, ReadError> {
        if self.rest.first() != Some(&0) {
            return self.extension(N);
        }
        // So begins every binary of the legacy dialect below 256 bytes, and nothing that a standard sender writes.
        if N == 16 {
            return Err(Malformed("binary of msgpack-js"));
        }
        self.take(1)?;
        let data = self.take(N)?;
        Ok(match *data {
            [0] => Token::Undefined,
            [a, b, c, d, e, f, g, h] => {
                Token::Date(i64::from_be_bytes([a, b, c, d, e, f, g, h]) as f64)
            }
            _ => Token::Binary(data),
        })
    }

    fn extension(&mut self, length: usize) -> Result<Token<'a>, ReadError> {
        let [kind] = self.array()?;
        let data = self.take(length)?;
        Ok(match kind {
            0 | 0x11..=0x1d => Token::Binary(data),
            0x0d => number_in(data).map_or(Token::Unknown(data), Token::Date),
            0xff => timestamp(data).map_or(Token::Unknown(data), Token::Date),
            _ => Token::Unknown(data),
        })
    }

    /// Leaves out one value with all that is in it, however deep: that costs neither stack nor memory.
    pub(in crate::codec) fn skip(&mut self) -> Result<(), ReadError> {
        let mut missing = 1_usize;
        while let Some(left) = missing.checked_sub(1) {
            let inside = match self.token()? {
                Token::Array(count) => count,
                Token::Map(count) => count.saturating_mul(2),
                _ => 0,
            };
            missing = left.saturating_add(inside);
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ReadError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn length8(&mut self) -> Result<usize, ReadError> {
        Ok(u8::from_be_bytes(self.array()?).into())
    }

    fn length16(&mut self) -> Result<usize, ReadError> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn length32(&mut self) -> Result<usize, ReadError> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| CUT)
    }

    fn sized8(&mut self) -> Result<&'a [u8], ReadError> {
        let length = self.length8()?;
        self.take(length)
    }

    fn sized16(&mut self) -> Result<&'a [u8], ReadError> {
        let length = self.length16()?;
        self.take(length)
    }

    fn sized32(&mut self) -> Result<&'a [u8], ReadError> {
        let length = self.length32()?;
        self.take(length)
    }
}

/// The date of npm `msgpack-lite`: its milliseconds as msgpack.
fn number_in(data: &[u8]) -> Option<f64> {
    let is_number = !matches!(data.first(), Some(0xc7..=0xc9 | 0xd4..=0xd8));
    let mut reader = Reader::new(data, Dialect::Standard);
    let token = is_number.then(|| reader.token().ok()).flatten()?;
    reader.is_empty().then(|| token.number()).flatten()
}

/// msgpack's own date, in milliseconds.
fn timestamp(data: &[u8]) -> Option<f64> {
    let (seconds, nanos) = match *data {
        [a, b, c, d] => (f64::from(u32::from_be_bytes([a, b, c, d])), 0),
        [a, b, c, d, e, f, g, h] => {
            let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            ((both & 0x3_ffff_ffff) as f64, both >> 34)
        }
        [n0, n1, n2, n3, a, b, c, d, e, f, g, h] => {
            let seconds = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
            (
                seconds as f64,
                u64::from(u32::from_be_bytes([n0, n1, n2, n3])),
            )
        }
        _ => return None,
    };
    Some(seconds * 1000.0 + (nanos / 1_000_000) as f64)
}
