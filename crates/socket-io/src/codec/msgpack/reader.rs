//! msgpack, one token after the other.

use std::str;

use crate::codec::packet::PacketError::{self, Broken};

const CUT: PacketError = Broken("msgpack that ends too early");

/// JavaScript's `undefined`, as npm `notepack.io` 2 writes it: extension 0 of one byte.
pub(super) const UNDEFINED: [u8; 3] = [0xd4, 0, 0];

/// `null`.
pub(super) const NIL: u8 = 0xc0;

/// A value, or the beginning of one that holds others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token<'a> {
    Nil,
    Undefined,
    Bool(bool),
    Unsigned(u64),
    /// Less than 0.
    Signed(i64),
    Float(f64),
    /// Milliseconds since 1970: extension 0 of eight bytes.
    Date(i64),
    Text(&'a str),
    /// Also extension 0 of a length of its own, which is what browsers send for an `ArrayBuffer`.
    Binary(&'a [u8]),
    /// So many values follow.
    Array(usize),
    /// So many keys follow, each with its value.
    Map(usize),
}

/// Bytes that have not been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether that is the next value.
    pub(super) fn is_undefined(&self) -> bool {
        self.0.starts_with(&UNDEFINED)
    }

    /// Whether the next value is that, or `nil`.
    pub(super) fn is_nothing(&self) -> bool {
        self.is_undefined() || self.0.first() == Some(&NIL)
    }

    pub(super) fn token(&mut self) -> Result<Token<'a>, PacketError> {
        let [first] = self.array()?;
        Ok(match first {
            0x00..=0x7f => Token::Unsigned(first.into()),
            0x80..=0x8f => Token::Map(usize::from(first & 0x0f)),
            0x90..=0x9f => Token::Array(usize::from(first & 0x0f)),
            0xa0..=0xbf => self.text(usize::from(first & 0x1f))?,
            NIL => Token::Nil,
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4 => {
                let length = self.length8()?;
                Token::Binary(self.take(length)?)
            }
            0xc5 => {
                let length = self.length16()?;
                Token::Binary(self.take(length)?)
            }
            0xc6 => {
                let length = self.length32()?;
                Token::Binary(self.take(length)?)
            }
            0xc7 => {
                let length = self.length8()?;
                self.buffer(length)?
            }
            0xc8 => {
                let length = self.length16()?;
                self.buffer(length)?
            }
            0xc9 => {
                let length = self.length32()?;
                self.buffer(length)?
            }
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
            0xd4 => match self.array()? {
                [0, 0] => Token::Undefined,
                _ => return Err(FOREIGN),
            },
            0xd7 => match self.array()? {
                [0] => Token::Date(i64::from_be_bytes(self.array()?)),
                _ => return Err(FOREIGN),
            },
            0xd9 => {
                let length = self.length8()?;
                self.text(length)?
            }
            0xda => {
                let length = self.length16()?;
                self.text(length)?
            }
            0xdb => {
                let length = self.length32()?;
                self.text(length)?
            }
            0xdc => Token::Array(self.length16()?),
            0xdd => Token::Array(self.length32()?),
            0xde => Token::Map(self.length16()?),
            0xdf => Token::Map(self.length32()?),
            0xe0..=0xff => Token::Signed(i64::from(first) - 0x100),
            0xc1 | 0xd5 | 0xd6 | 0xd8 => return Err(FOREIGN),
        })
    }

    /// Leaves out one value with all that is in it, however deep: that costs neither stack nor memory.
    pub(super) fn skip(&mut self) -> Result<(), PacketError> {
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

    fn take(&mut self, length: usize) -> Result<&'a [u8], PacketError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn length8(&mut self) -> Result<usize, PacketError> {
        Ok(u8::from_be_bytes(self.array()?).into())
    }

    fn length16(&mut self) -> Result<usize, PacketError> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn length32(&mut self) -> Result<usize, PacketError> {
        usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| CUT)
    }

    fn text(&mut self, length: usize) -> Result<Token<'a>, PacketError> {
        let text = str::from_utf8(self.take(length)?);
        text.map(Token::Text)
            .map_err(|_| Broken("text that is not UTF-8"))
    }

    fn buffer(&mut self, length: usize) -> Result<Token<'a>, PacketError> {
        match self.array()? {
            [0] => Ok(Token::Binary(self.take(length)?)),
            _ => Err(FOREIGN),
        }
    }
}

const FOREIGN: PacketError = Broken("an extension of msgpack that no client has");

/// A number of a signed type that need not be less than 0.
fn signed<'a>(number: i64) -> Token<'a> {
    u64::try_from(number).map_or(Token::Signed(number), Token::Unsigned)
}
