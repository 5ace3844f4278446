//! From msgpack to arguments: JSON as text, with what is binary beside it.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use polyport_core::{Arg, Json, Mixed};

use crate::{
    Dialect, Error,
    number::{date, printed, push_whole},
    reader::{Reader, Token},
    text::{GAP, push_string},
};

/// What one message may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Arrays and maps around a value.
    pub depth: usize,
    /// Values that are binary. Each costs many times the memory that it takes in the message.
    pub binaries: usize,
    /// Bytes of them together.
    pub binary_bytes: usize,
}

/// Makes arguments of the values of one message.
#[derive(Debug)]
pub struct Values {
    limits: Limits,
    unknown: usize,
    binaries: usize,
    binary_bytes: usize,
}

/// An array or a map that is being written as JSON.
struct Open {
    is_map: bool,
    /// How many elements or members are missing.
    missing: usize,
    is_empty: bool,
}

impl Values {
    /// Of a message of which nothing has been read.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            unknown: 0,
            binaries: 0,
            binary_bytes: 0,
        }
    }

    /// How many extensions of unknown types were taken for binary.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.unknown
    }

    /// The next value, inside of so many arrays and maps. `undefined` is `null`, except that members of maps with it are left
    /// out. Counts in the bytes are only counted down, so that one that lies costs nothing.
    ///
    /// # Errors
    /// [`Error`] when there is no value, none that JSON has, or one beyond the limits.
    pub fn read(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Arg, Error> {
        let mut text = String::new();
        let mut parts = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        let is_exact = reader.dialect() == Dialect::Notepack;
        loop {
            match reader.token()? {
                Token::Undefined | Token::Nil => text.push_str("null"),
                Token::Bool(value) => text.push_str(if value { "true" } else { "false" }),
                Token::Unsigned(number) => push_whole(&mut text, number.into(), is_exact),
                Token::Signed(number) => push_whole(&mut text, number.into(), is_exact),
                Token::Float(number) => text.push_str(&printed(number)),
                Token::Date(millis) => text.push_str(&date(millis)),
                Token::Text(value) => push_string(&mut text, &value),
                Token::Binary(bytes) => self.binary(bytes, &mut text, &mut parts)?,
                Token::Unknown(bytes) => {
                    self.unknown += 1;
                    self.binary(bytes, &mut text, &mut parts)?;
                }
                token @ (Token::Array(missing) | Token::Map(missing)) => {
                    if depth + open.len() >= self.limits.depth {
                        return Err(Error::TooDeep);
                    }
                    let is_map = matches!(token, Token::Map(_));
                    text.push(if is_map { '{' } else { '[' });
                    open.push(Open {
                        is_map,
                        missing,
                        is_empty: true,
                    });
                }
            }
            if !next_place(reader, &mut text, &mut open)? {
                return arg_of(&text, parts);
            }
        }
    }

    fn binary(
        &mut self,
        bytes: &[u8],
        text: &mut String,
        parts: &mut Vec<Bytes>,
    ) -> Result<(), Error> {
        self.binaries += 1;
        self.binary_bytes = self.binary_bytes.saturating_add(bytes.len());
        if self.binaries > self.limits.binaries {
            return Err(Error::TooMany);
        }
        if self.binary_bytes > self.limits.binary_bytes {
            return Err(Error::TooLarge);
        }
        text.push(GAP);
        parts.push(Bytes::copy_from_slice(bytes));
        Ok(())
    }
}

/// Writes what stands between two values. Returns whether there is another one.
fn next_place(
    reader: &mut Reader<'_>,
    text: &mut String,
    open: &mut Vec<Open>,
) -> Result<bool, Error> {
    while let Some(innermost) = open.last_mut() {
        if innermost.missing == 0 {
            text.push(if innermost.is_map { '}' } else { ']' });
            open.pop();
            continue;
        }
        innermost.missing -= 1;
        let mut key = None;
        if innermost.is_map {
            key = Some(key_of(reader)?);
            if reader.is_undefined() {
                reader.skip()?;
                continue;
            }
        }
        if !innermost.is_empty {
            text.push(',');
        }
        innermost.is_empty = false;
        if let Some(key) = key {
            push_string(text, &key);
            text.push(':');
        }
        return Ok(true);
    }
    Ok(false)
}

/// A key; JavaScript takes numbers for keys.
fn key_of<'a>(reader: &mut Reader<'a>) -> Result<Cow<'a, str>, Error> {
    let has_number_keys = reader.dialect() == Dialect::NumberKeys;
    let key = reader.token()?;
    match (key.number(), key) {
        (_, Token::Text(name)) => Ok(name),
        (Some(number), _) if has_number_keys => Ok(Cow::Owned(printed(number))),
        _ => Err(Error::Malformed("a key that is no text")),
    }
}

/// The argument that this text with gaps is.
fn arg_of(text: &str, mut parts: Vec<Bytes>) -> Result<Arg, Error> {
    const NO_JSON: Error = Error::Malformed("a value that JSON does not have");
    if parts.is_empty() {
        return Json::parse(text).map(Arg::Json).map_err(|_| NO_JSON);
    }
    if text.len() == GAP.len_utf8()
        && let Some(only) = parts.pop()
    {
        return Ok(Arg::Binary(only));
    }
    Mixed::new(text.split(GAP).map(Box::from).collect(), parts)
        .map(|mixed| Arg::Mixed(Arc::new(mixed)))
        .map_err(|_| NO_JSON)
}
