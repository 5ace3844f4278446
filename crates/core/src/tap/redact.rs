//! Taking secrets out of what is shown: values under names that tell of a secret, and JSON Web Tokens wherever they stand.
//!
//! Texts are looked at as they stand and written again only where something was taken out. A text may be cut off anywhere:
//! what its end would have been is then taken for the worst.

mod words;

use std::{borrow::Cow, fmt::Write as _, ops::Range};

use bytes::Bytes;
use serde_json::value::RawValue;

/// What stands in the place of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// Strings that hold JSON are looked into, so many deep. Deeper ones are taken out whole.
const MAX_DEPTH: usize = 6;

/// A name is one of a secret if it is one of these, without regard to case, `_`, `-` and whatever else is no letter or digit.
const NAMES: [&str; 33] = [
    "accesskey",
    "apikey",
    "authorization",
    "bearer",
    "cardnumber",
    "connectsid",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "creditcard",
    "cvc",
    "cvv",
    "jwt",
    "mnemonic",
    "otp",
    "passcode",
    "passwd",
    "passwort",
    "phpsessid",
    "privatekey",
    "proxyauthorization",
    "pwd",
    "secret",
    "secretkey",
    "session",
    "sessionid",
    "sessionkey",
    "setcookie",
    "sid",
    "signingkey",
    "token",
    "xapikey",
];

/// A name that ends so is one too: `client_secret`, `x-auth-token`.
const ENDINGS: [&str; 7] = [
    "apikey",
    "cookie",
    "jwt",
    "privatekey",
    "secret",
    "secretkey",
    "token",
];

/// A name that has one of these anywhere is one too: `newPassword`, `password_again`.
const PARTS: [&str; 3] = ["passphrase", "passwd", "password"];

/// Names of fields, events and calls whose values nobody sees.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redaction {
    /// Beside the usual ones; letters and digits alone, in lower case.
    more: Vec<String>,
}

impl Redaction {
    /// With these names beside the usual ones.
    pub(crate) fn new(more: &[String]) -> Self {
        let more = more.iter().map(|name| plain(name));
        Self {
            more: more.filter(|name| !name.is_empty()).collect(),
        }
    }

    /// Whether what stands under this name is a secret.
    pub(crate) fn is_secret(&self, name: &str) -> bool {
        let name = plain(name);
        NAMES.contains(&&*name)
            || ENDINGS.iter().any(|ending| name.ends_with(ending))
            || PARTS.iter().any(|part| name.contains(part))
            || self.more.contains(&name)
    }

    /// A JSON text, or the beginning of one, without its secrets.
    pub(crate) fn json<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.value(text, 0).map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// Any text without its secrets.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.content(text, 0)
            .map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// Bytes without the secrets that stand in them as text.
    pub(crate) fn binary(&self, bytes: &Bytes) -> Bytes {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return match self.content(text, 0) {
                Some(clean) => clean.into(),
                None => bytes.clone(),
            };
        }
        let mut clean = Vec::new();
        let mut done = 0;
        while let Some(token) = words::find_token(bytes, done) {
            clean.extend_from_slice(&bytes[done..token.start]);
            clean.extend_from_slice(REDACTED.as_bytes());
            done = token.end;
        }
        if done == 0 {
            return bytes.clone();
        }
        clean.extend_from_slice(&bytes[done..]);
        clean.into()
    }

    /// JSON, or the beginning of some; nothing if there is nothing to take out.
    fn value(&self, text: &str, depth: usize) -> Option<String> {
        let mut clean = Clean::new(text);
        let mut at = 0;
        while let Some(found) = text[at..].find('"') {
            let start = at + found;
            let literal = Literal::read(text, start);
            let behind = literal.end + blanks(&text[literal.end..]);
            let is_key = text[behind..].starts_with(':');
            at = literal.end;
            let content = literal.content();
            if is_key && self.is_secret(&content) {
                let value = behind + 1 + blanks(&text[behind + 1..]);
                at = value + value_length(&text[value..]);
                clean.replace(value..at, &format!("\"{REDACTED}\""));
            } else if let Some(other) = self.content(&content, depth) {
                clean.replace(start..literal.end, &quoted(&other));
            }
        }
        clean.finish()
    }

    /// What a string says.
    fn content(&self, text: &str, depth: usize) -> Option<String> {
        if looks_like_json(text) {
            if depth >= MAX_DEPTH {
                return Some(REDACTED.to_owned());
            }
            let clean = self.value(text, depth + 1);
            if serde_json::from_str::<&RawValue>(text).is_ok() {
                return clean;
            }
            // In what is no JSON after all, secrets may stand outside of quotes.
            return words::clean(self, clean.as_deref().unwrap_or(text)).or(clean);
        }
        words::clean(self, text)
    }
}

/// Whether a text is to be looked at as JSON.
fn looks_like_json(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with(['{', '['])
        || (text.starts_with('"') && serde_json::from_str::<&RawValue>(text).is_ok())
}

/// A text of which parts are replaced; nothing is copied before the first.
pub(super) struct Clean<'a> {
    text: &'a str,
    clean: String,
    done: usize,
}

impl<'a> Clean<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            clean: String::new(),
            done: 0,
        }
    }

    /// Parts come in order.
    pub(super) fn replace(&mut self, part: Range<usize>, with: &str) {
        self.clean.push_str(&self.text[self.done..part.start]);
        self.clean.push_str(with);
        self.done = part.end;
    }

    pub(super) fn finish(mut self) -> Option<String> {
        if self.clean.is_empty() {
            return None;
        }
        self.clean.push_str(&self.text[self.done..]);
        Some(self.clean)
    }
}

/// A JSON string as it is written.
struct Literal<'a> {
    /// Without its quotes.
    inner: &'a str,
    /// Behind its closing quote, or the end of the text.
    end: usize,
}

impl<'a> Literal<'a> {
    /// The one whose opening quote stands at `start`.
    fn read(text: &'a str, start: usize) -> Self {
        let bytes = text.as_bytes();
        let mut at = start + 1;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 2,
                b'"' => {
                    return Self {
                        inner: &text[start + 1..at],
                        end: at + 1,
                    };
                }
                _ => at += 1,
            }
        }
        Self {
            inner: &text[start + 1..],
            end: text.len(),
        }
    }

    /// What it says. An escape that is cut off is left out.
    fn content(&self) -> Cow<'a, str> {
        if !self.inner.contains('\\') {
            return Cow::Borrowed(self.inner);
        }
        let mut content = String::with_capacity(self.inner.len());
        let mut units: Vec<u16> = Vec::new();
        let mut rest = self.inner;
        while let Some(at) = rest.find('\\') {
            let (before, escape) = rest.split_at(at);
            if !before.is_empty() {
                flush(&mut units, &mut content);
                content.push_str(before);
            }
            let mut escaped = escape[1..].chars();
            let letter = escaped.next();
            rest = escaped.as_str();
            if letter == Some('u') {
                let digits = rest.get(..4);
                let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                units.extend(unit);
                rest = rest.get(4..).unwrap_or_default();
                continue;
            }
            flush(&mut units, &mut content);
            content.extend(letter.map(|letter| match letter {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                other => other,
            }));
        }
        flush(&mut units, &mut content);
        content.push_str(rest);
        Cow::Owned(content)
    }
}

/// UTF-16 that is written as escapes.
fn flush(units: &mut Vec<u16>, content: &mut String) {
    content.extend(
        char::decode_utf16(units.drain(..)).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)),
    );
}

/// A JSON string of this text.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for letter in text.chars() {
        match letter {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            control if control < ' ' => {
                let _ = write!(literal, "\\u{:04x}", u32::from(control));
            }
            other => literal.push(other),
        }
    }
    literal.push('"');
    literal
}

/// How long the value is that a text begins with, or what there is of it.
pub(super) fn value_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'"') => Literal::read(text, 0).end,
        Some(b'{' | b'[') => {
            let mut open = 0_usize;
            let mut at = 0;
            while at < bytes.len() {
                match bytes[at] {
                    b'"' => at = Literal::read(text, at).end,
                    byte => {
                        at += 1;
                        match byte {
                            b'{' | b'[' => open += 1,
                            b'}' | b']' => open -= 1,
                            _ => {}
                        }
                        if open == 0 {
                            return at;
                        }
                    }
                }
            }
            bytes.len()
        }
        _ => {
            let ends = |byte: &u8| byte.is_ascii_whitespace() || b",}]".contains(byte);
            bytes.iter().position(ends).unwrap_or(bytes.len())
        }
    }
}

pub(super) fn blanks(text: &str) -> usize {
    text.len() - text.trim_ascii_start().len()
}

fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests;
