//! From msgpack to arguments: JSON as text, with what is binary beside it.

use std::sync::Arc;

use bytes::Bytes;
use polyport_core::{Arg, Json, Mixed};

use super::{
    number::{date, printed, push_whole},
    reader::{Reader, Token},
    text::{GAP, push_string},
};
use crate::codec::{DEPTH, MAX_ITEMS, ReadError};

/// Makes arguments of the values of one message.
#[derive(Debug, Default)]
pub(in crate::codec) struct Values {
    /// How many extensions of unknown types were taken for binary.
    pub(in crate::codec) unknown: usize,
    /// How many values were binary.
    binaries: usize,
}

/// An array or a map that is being written as JSON.
struct Open {
    is_map: bool,
    /// How many elements or members are missing.
    missing: usize,
    is_empty: bool,
}

impl Values {
    /// The next value, inside of so many arrays and maps. `undefined` is `null`, except that members of maps with it are left
    /// out. Counts in the bytes are only counted down, so that one that lies costs nothing.
    pub(in crate::codec) fn read(
        &mut self,
        reader: &mut Reader<'_>,
        depth: usize,
    ) -> Result<Arg, ReadError> {
        let mut text = String::new();
        let mut parts = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        loop {
            match reader.token()? {
                Token::Undefined | Token::Nil => text.push_str("null"),
                Token::Bool(value) => text.push_str(if value { "true" } else { "false" }),
                Token::Unsigned(number) => push_whole(&mut text, i128::from(number)),
                Token::Signed(number) => push_whole(&mut text, i128::from(number)),
                Token::Float(number) => text.push_str(&printed(number)),
                Token::Date(millis) => text.push_str(&date(millis)),
                Token::Text(value) => push_string(&mut text, &String::from_utf8_lossy(value)),
                Token::Binary(bytes) => self.binary(bytes, &mut text, &mut parts)?,
                Token::Unknown(bytes) => {
                    self.unknown += 1;
                    self.binary(bytes, &mut text, &mut parts)?;
                }
                token @ (Token::Array(missing) | Token::Map(missing)) => {
                    if depth + open.len() >= DEPTH {
                        return Err(ReadError::TooDeep);
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
    ) -> Result<(), ReadError> {
        self.binaries += 1;
        if self.binaries > MAX_ITEMS {
            return Err(ReadError::TooMany);
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
) -> Result<bool, ReadError> {
    while let Some(innermost) = open.last_mut() {
        if innermost.missing == 0 {
            text.push(if innermost.is_map { '}' } else { ']' });
            open.pop();
            continue;
        }
        innermost.missing -= 1;
        let key = if innermost.is_map {
            let key = reader.token()?;
            let value = *reader;
            if reader.token()? == Token::Undefined {
                continue;
            }
            *reader = value;
            Some(key)
        } else {
            None
        };
        if !innermost.is_empty {
            text.push(',');
        }
        innermost.is_empty = false;
        if let Some(key) = key {
            push_key(text, key, reader.has_number_keys())?;
        }
        return Ok(true);
    }
    Ok(false)
}

/// Appends a key; JavaScript takes numbers for keys.
fn push_key(text: &mut String, key: Token<'_>, has_number_keys: bool) -> Result<(), ReadError> {
    match (key, key.number()) {
        (Token::Text(name), _) => push_string(text, &String::from_utf8_lossy(name)),
        (_, Some(number)) if has_number_keys => push_string(text, &printed(number)),
        _ => return Err(ReadError::Malformed("a key that is no text")),
    }
    text.push(':');
    Ok(())
}

/// The argument that this text with gaps is.
fn arg_of(text: &str, mut parts: Vec<Bytes>) -> Result<Arg, ReadError> {
    const NO_JSON: ReadError = ReadError::Malformed("a value that JSON does not have");
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
