//! JSON as text, as far as msgpack needs it: strings, tokens, and gaps where binary belongs.

use std::{borrow::Cow, slice};

use bytes::Bytes;
use polyport_core::{Arg, Json};

/// Stands for binary in the text of a value with gaps. JSON has no place for it, so it never means anything else.
pub const GAP: char = '\u{1}';

/// What a JSON string holds; half a surrogate pair becomes U+FFFD.
#[must_use]
pub fn unescaped(raw: &str) -> Cow<'_, str> {
    let inner = raw.strip_prefix('"').unwrap_or(raw);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    // Escapes are UTF-16, so that two of them may be one character.
    let mut units: Vec<u16> = Vec::new();
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            push_units(&mut text, &mut units);
            text.push(char);
            continue;
        }
        let plain = match chars.next() {
            Some('u') => {
                let hex = chars.as_str().get(..4).unwrap_or_default();
                units.push(u16::from_str_radix(hex, 16).unwrap_or(0xfffd));
                chars = chars.as_str().get(4..).unwrap_or_default().chars();
                continue;
            }
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(other) => other,
            None => break,
        };
        push_units(&mut text, &mut units);
        text.push(plain);
    }
    push_units(&mut text, &mut units);
    Cow::Owned(text)
}

fn push_units(text: &mut String, units: &mut Vec<u16>) {
    let chars = char::decode_utf16(units.drain(..));
    text.extend(chars.map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

/// Appends `text` as `JSON.stringify` writes it.
pub(super) fn push_string(out: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(Json::string(text).as_str());
    }
}

/// An argument's text, with [`GAP`] where binary belongs.
#[must_use]
pub fn with_gaps(arg: &Arg) -> Cow<'_, str> {
    match arg {
        Arg::Json(json) => Cow::Borrowed(json.as_str()),
        Arg::Binary(_) => Cow::Owned(GAP.to_string()),
        Arg::Mixed(mixed) => {
            let mut text = String::new();
            mixed.write(&mut text, |text, _| text.push(GAP));
            Cow::Owned(text)
        }
    }
}

/// What belongs into an argument's gaps.
#[must_use]
pub fn parts(arg: &Arg) -> &[Bytes] {
    match arg {
        Arg::Json(_) => &[],
        Arg::Binary(bytes) => slice::from_ref(bytes),
        Arg::Mixed(mixed) => mixed.parts(),
    }
}

/// The tokens of a JSON text, possibly with gaps, without the white space between them.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let bytes = text.as_bytes();
        while bytes.get(at)?.is_ascii_whitespace() {
            at += 1;
        }
        let start = at;
        at = match bytes.get(at)? {
            b'"' => end_of_string(bytes, at),
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                let is_part =
                    |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
                let rest = bytes.get(at..)?;
                at + rest
                    .iter()
                    .position(|byte| !is_part(byte))
                    .unwrap_or(rest.len())
            }
            _ => at + 1,
        };
        text.get(start..at)
    })
}

/// Where the JSON string ends that begins at `at`, or everything if it does not.
#[must_use]
pub fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes() {
        for (raw, text) in [
            (r#""plain é""#, "plain é"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u00e9\ud83d\ude00!""#, "é😀!"),
            (r#""\ud83d\\\ud83d""#, "\u{fffd}\\\u{fffd}"),
            (r#""\ude00\ud83dx""#, "\u{fffd}\u{fffd}x"),
        ] {
            assert_eq!(unescaped(raw), text);
        }
    }

    #[test]
    fn tokens_of_json() {
        let text = "{ \"a\\\"\\\\\":[1.5e+3,\u{1}, true] }";
        let found: Vec<&str> = tokens(text).collect();
        assert_eq!(
            found,
            [
                "{",
                "\"a\\\"\\\\\"",
                ":",
                "[",
                "1.5e+3",
                ",",
                "\u{1}",
                ",",
                "true",
                "]",
                "}"
            ]
        );
    }

    proptest! {
        #[test]
        fn strings_come_back(text in "\\PC{0,5}[\u{0}-\u{7f}]{0,9}.{0,5}") {
            let mut raw = String::new();
            push_string(&mut raw, &text);
            let expected = Json::string(&text);
            prop_assert_eq!(&raw, expected.as_str());
            prop_assert_eq!(tokens(&raw).collect::<Vec<_>>(), [raw.as_str()]);
            prop_assert_eq!(unescaped(&raw), text);
        }

        #[test]
        fn no_text_is_too_odd(text in "[\"\\\\u0-9a-f\\[{}\\]:,é \u{1}]{0,20}") {
            drop(unescaped(&text));
            let length: usize = tokens(&text).map(str::len).sum();
            prop_assert!(length <= text.len());
        }
    }
}
