//! Where the attachments of a packet belong in its JSON.

use std::sync::Arc;

use bytes::Bytes;
use polyport_core::{Arg, Json, Mixed};
use polyport_msgpack::end_of_string;

use super::{
    PacketError,
    PacketError::{Broken, Unreadable},
    number,
};

/// An argument of a packet with attachments: these stand where the placeholders are.
pub(super) fn with_parts(text: &str, parts: &[Bytes]) -> Result<Arg, PacketError> {
    let mut texts: Vec<Box<str>> = Vec::new();
    let mut found = Vec::new();
    let mut from = 0;
    let mut at = 0;
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'{' => match placeholder(bytes, at) {
                Some((num, end)) => {
                    let num = usize::try_from(num).ok();
                    let part = num.and_then(|num| parts.get(num));
                    found.push(part.ok_or(Broken("a placeholder out of range"))?.clone());
                    texts.push(Box::from(&text[from..at]));
                    at = end;
                    from = end;
                }
                None if is_false_placeholder(bytes, at) => {
                    return Err(Broken("a placeholder without a number"));
                }
                None => at += 1,
            },
            _ => at += 1,
        }
    }
    let last = &text[from..];
    match (&*found, last) {
        ([], _) => Json::parse(text)
            .map(Arg::Json)
            .map_err(|_| Unreadable("bad JSON")),
        ([only], "") if texts[0].is_empty() => Ok(Arg::Binary(only.clone())),
        _ => {
            texts.push(Box::from(last));
            Mixed::new(texts, found)
                .map(|mixed| Arg::Mixed(Arc::new(mixed)))
                .map_err(|_| Unreadable("bad JSON"))
        }
    }
}

/// Tokens one after another, with white space between them.
struct Tokens<'a>(&'a [u8], usize);

impl Tokens<'_> {
    fn skip(&mut self) {
        while self.0.get(self.1).is_some_and(u8::is_ascii_whitespace) {
            self.1 += 1;
        }
    }

    fn is(&mut self, token: &str) -> bool {
        self.skip();
        let is_here = self.0[self.1..].starts_with(token.as_bytes());
        self.1 += if is_here { token.len() } else { 0 };
        is_here
    }

    fn number(&mut self) -> Option<u64> {
        self.skip();
        let digits = self.0[self.1..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let text = std::str::from_utf8(&self.0[self.1..self.1 + digits]).ok()?;
        self.1 += digits;
        number(text)
    }

    fn mark(&mut self) -> bool {
        self.is("\"_placeholder\"") && self.is(":") && self.is("true")
    }

    fn num(&mut self) -> Option<u64> {
        let is_key = self.is("\"num\"") && self.is(":");
        is_key.then(|| self.number()).flatten()
    }
}

/// The number of the placeholder that begins at `at`, and where it has ended. Its keys may stand in either order.
fn placeholder(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut tokens = Tokens(bytes, at + 1);
    let num = if tokens.mark() {
        tokens.is(",").then(|| tokens.num()).flatten()
    } else {
        tokens = Tokens(bytes, at + 1);
        let num = tokens.num();
        num.filter(|_| tokens.is(",") && tokens.mark())
    }?;
    tokens.is("}").then_some((num, tokens.1))
}

/// Whether what begins at `at` says that it is a placeholder, which [`placeholder`] has not found it to be.
fn is_false_placeholder(bytes: &[u8], at: usize) -> bool {
    Tokens(bytes, at + 1).mark()
}
