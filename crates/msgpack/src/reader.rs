//! msgpack, one token after the other.

use std::{borrow::Cow, str};

use crate::Error::{self, Malformed};

const CUT: Error = Malformed("msgpack that ends too early");
const FOREIGN: Error = Malformed("an extension of msgpack that no client has");

/// JavaScript's `undefined`, as npm `notepack.io` 2 writes it: extension 0 of one byte.
pub(crate) const UNDEFINED: [u8; 3] = [0xd4, 0, 0];

/// The same as npm `msgpack-js` has it.
const LEGACY_UNDEFINED: u8 = 0xc4;

/// `null`.
pub(crate) const NIL: u8 = 0xc0;

/// Which msgpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The format of today, with every extension that some library has.
    Standard,
    /// The same with numbers for keys, as Python writes them: tried last, for it makes sense of too much.
    NumberKeys,
    /// npm `msgpack-js`, of emitters and adapters before 2.0: `c4` is undefined, `d8` and `d9` are binary.
    Legacy,
    /// npm `notepack.io` 2 and nothing else: extensions are `undefined`, dates and buffers, text is UTF-8. Whole numbers keep
    /// all of their digits.
    Notepack,
}

/// A value, or the beginning of one that holds others.
#[derive(Debug, Clone, PartialEq)]
pub enum Token<'a> {
    /// `null`.
    Nil,
    /// JavaScript's `undefined`.
    Undefined,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Unsigned(u64),
    /// One that is less than 0.
    Signed(i64),
    /// Any other number, in four or eight bytes.
    Float(f64),
    /// Milliseconds since 1970.
    Date(f64),
    /// A string. What is not UTF-8 is replaced, where that is no error; all else is borrowed.
    Text(Cow<'a, str>),
    /// Bytes, of a buffer or a typed array.
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
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match *self {
            Self::Unsigned(number) => Some(number as f64),
            Self::Signed(number) => Some(number as f64),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }
}

/// Bytes that have not been read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    dialect: Dialect,
}

impl<'a> Reader<'a> {
    /// Begins with the first of them.
    #[must_use]
    pub fn new(rest: &'a [u8], dialect: Dialect) -> Self {
        Self { rest, dialect }
    }

    /// Which msgpack they are.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether all have been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether the next value is `undefined`.
    pub(crate) fn is_undefined(&self) -> bool {
        match self.dialect {
            Dialect::Legacy => self.rest.first() == Some(&LEGACY_UNDEFINED),
            _ => self.rest.starts_with(&UNDEFINED),
        }
    }

    /// Whether the next value is `undefined` or `null`.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.is_undefined() || self.rest.first() == Some(&NIL)
    }

    /// The next value, or its beginning.
    ///
    /// # Errors
    /// [`Error::Malformed`] where there is none.
    pub fn token(&mut self) -> Result<Token<'a>, Error> {
        let [first] = self.array()?;
        Ok(match first {
            0x00..=0x7f => Token::Unsigned(first.into()),
            0x80..=0x8f => Token::Map(usize::from(first & 0x0f)),
            0x90..=0x9f => Token::Array(usize::from(first & 0x0f)),
            0xa0..=0xbf => {
                let text = self.take(usize::from(first & 0x1f))?;
                self.text(text)?
            }
            NIL => Token::Nil,
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xca => Token::Float(f32::from_be_bytes(self.array()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.array()?)),
            0xcc => Token::Unsigned(u8::from_be_bytes(self.array()?).into()),
            0xcd => Token::Unsigned(u16::from_be_bytes(self.array()?).into()),
            0xce => Token::Unsigned(u32::from_be_bytes(self.array()?).into()),
            0xcf => Token::Unsigned(u64::from_be_bytes(self.array()?)),
            0xd0 => signed(i8::from_be_bytes(self.array()?).into()),
            0xd1 => signed(i16::from_be_bytes(self.array()?).into()),
            0xd2 => signed(i32::from_be_bytes(self.array()?).into()),
            0xd3 => signed(i64::from_be_bytes(self.array()?)),
            0xda => {
                let text = self.sized16()?;
                self.text(text)?
            }
            0xdb => {
                let text = self.sized32()?;
                self.text(text)?
            }
            0xdc => Token::Array(self.length16()?),
            0xdd => Token::Array(self.length32()?),
            0xde => Token::Map(self.length16()?),
            0xdf => Token::Map(self.length32()?),
            0xe0..=0xff => Token::Signed(i64::from(first) - 0x100),
            0xc1 | 0xc4..=0xc9 | 0xd4..=0xd9 => match self.dialect {
                Dialect::Standard | Dialect::NumberKeys => self.standard(first)?,
                Dialect::Legacy => self.legacy(first)?,
                Dialect::Notepack => self.notepack(first)?,
            },
        })
    }

    /// What the dialects disagree about.
    fn legacy(&mut self, first: u8) -> Result<Token<'a>, Error> {
        match first {
            LEGACY_UNDEFINED => Ok(Token::Undefined),
            0xd8 => Ok(Token::Binary(self.sized16()?)),
            0xd9 => Ok(Token::Binary(self.sized32()?)),
            _ => Err(Malformed("a type that msgpack-js does not have")),
        }
    }

    fn notepack(&mut self, first: u8) -> Result<Token<'a>, Error> {
        let length = match first {
            0xc4..=0xc6 | 0xd9 => return self.standard(first),
            0xc7 => self.length8()?,
            0xc8 => self.length16()?,
            0xc9 => self.length32()?,
            0xd4 => {
                return match self.array()? {
                    [0, 0] => Ok(Token::Undefined),
                    _ => Err(FOREIGN),
                };
            }
            0xd7 => {
                return match self.array()? {
                    [0] => Ok(Token::Date(i64::from_be_bytes(self.array()?) as f64)),
                    _ => Err(FOREIGN),
                };
            }
            _ => return Err(FOREIGN),
        };
        match self.array()? {
            [0] => Ok(Token::Binary(self.take(length)?)),
            _ => Err(FOREIGN),
        }
    }

    fn standard(&mut self, first: u8) -> Result<Token<'a>, Error> {
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
            0xd9 => {
                let text = self.sized8()?;
                self.text(text)?
            }
            _ => return Err(Malformed("a type that msgpack does not have")),
        })
    }

    /// An extension whose first byte says its length. npm `notepack.io` 2 has a date and `undefined` among those of type 0;
    /// all others of it are binary.
    fn fixed<const N: usize>(&mut self) -> Result<Token<'a>, Error> {
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

    fn extension(&mut self, length: usize) -> Result<Token<'a>, Error> {
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
    ///
    /// # Errors
    /// [`Error::Malformed`] where something in it is no msgpack, or the bytes end.
    pub fn skip(&mut self) -> Result<(), Error> {
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

    fn text(&self, text: &'a [u8]) -> Result<Token<'a>, Error> {
        match (str::from_utf8(text), self.dialect) {
            (Ok(text), _) => Ok(Token::Text(Cow::Borrowed(text))),
            (Err(_), Dialect::Notepack) => Err(Malformed("text that is not UTF-8")),
            (Err(_), _) => Ok(Token::Text(String::from_utf8_lossy(text))),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn length8(&mut self) -> Result<usize, Error> {
        Ok(u8::from_be_bytes(self.array()?).into())
    }

    fn length16(&mut self) -> Result<usize, Error> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn length32(&mut self) -> Result<usize, Error> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| CUT)
    }

    fn sized8(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length8()?;
        self.take(length)
    }

    fn sized16(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length16()?;
        self.take(length)
    }

    fn sized32(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length32()?;
        self.take(length)
    }
}

/// A number of a signed type, which need not be less than 0.
fn signed<'a>(number: i64) -> Token<'a> {
    u64::try_from(number).map_or(Token::Signed(number), Token::Unsigned)
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
