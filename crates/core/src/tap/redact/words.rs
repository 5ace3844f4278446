//! Secrets in text that is no JSON: `password=…`, `"token": …` in the middle of something, `Bearer …`, tokens by their looks.

use std::ops::Range;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Clean, REDACTED, Redaction, blanks, value_length};

/// Characters that a token begins with at least: whole groups of base64.
const MIN_HEADER: usize = 8;

/// Fewer characters are no part of a token.
const MIN_CLAIMS: usize = 4;

/// What ends a value that no quotes and brackets bound.
const ENDS: [char; 10] = ['&', ',', ';', '"', '\'', ')', ']', '}', '<', '\\'];

/// Nothing if there is nothing to take out.
pub(super) fn clean(redaction: &Redaction, text: &str) -> Option<String> {
    let mut clean = Clean::new(text);
    let mut at = 0;
    while let Some(word) = next_word(text, at) {
        at = word.end;
        if let Some((value, quote)) = value_of(redaction, text, &word) {
            at = value.end;
            clean.replace(value, &format!("{quote}{REDACTED}{quote}"));
        } else if let Some(token) = find_token(&text.as_bytes()[..word.end], word.start) {
            at = token.end;
            clean.replace(token, REDACTED);
        } else if is_scheme(&text[word.clone()])
            && let Some(credentials) = credentials(text, word.end)
        {
            at = credentials.end;
            clean.replace(credentials, REDACTED);
        }
    }
    clean.finish()
}

/// Letters, digits and what else names and tokens are made of.
fn is_in_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.')
}

fn next_word(text: &str, from: usize) -> Option<Range<usize>> {
    let start = from + text[from..].find(is_in_word)?;
    let length = text[start..].find(|letter| !is_in_word(letter));
    Some(start..length.map_or(text.len(), |length| start + length))
}

/// Where the value stands that a word names, if the word names a secret; and in what quotes.
fn value_of<'a>(
    redaction: &Redaction,
    text: &'a str,
    word: &Range<usize>,
) -> Option<(Range<usize>, &'a str)> {
    let behind = &text[word.end..];
    // The quotes around a name may be escaped, once or more.
    let quote = quote(behind);
    let rest = behind[quote.len()..].trim_ascii_start();
    let rest = rest.strip_prefix([':', '='])?;
    let name = text[word.clone()].trim_matches(['.', '-']);
    // In `user.password` the last part is what counts, as in `X-Token` the whole.
    let last = name.rsplit('.').next().unwrap_or(name);
    if !redaction.is_secret(name) && !redaction.is_secret(last) {
        return None;
    }
    let rest = &rest[blanks(rest)..];
    let start = text.len() - rest.len();
    let own = self::quote(rest);
    let length = match rest.chars().next()? {
        '"' | '{' | '[' => value_length(rest),
        // To its own closing quote, which is escaped as its opening one is.
        _ if !own.is_empty() => {
            let inner = &rest[own.len()..];
            let end = closing(inner, own);
            own.len() + end.map_or(inner.len(), |end| end + own.len())
        }
        _ if is_header(last) => rest.find(['\n', '\r', '"']).unwrap_or(rest.len()),
        _ => {
            let ends = |letter: char| letter.is_whitespace() || ENDS.contains(&letter);
            let first = rest.find(ends).unwrap_or(rest.len());
            match credentials(text, start + first) {
                Some(more) if is_scheme(&rest[..first]) => more.end - start,
                _ => first,
            }
        }
    };
    let quote = if quote.is_empty() { own } else { quote };
    (length > 0).then_some((start..start + length, quote))
}

/// The quote that a text begins with, with the backslashes before it; empty if there is none.
fn quote(text: &str) -> &str {
    let slashes = text.len() - text.trim_start_matches('\\').len();
    let is_quote = text[slashes..].starts_with(['"', '\'']);
    if is_quote { &text[..=slashes] } else { "" }
}

/// Where a quote stands that is escaped just as often as `quote`.
fn closing(text: &str, quote: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find(quote)?;
        if !text[..at].ends_with('\\') {
            return Some(at);
        }
        from = at + quote.len();
    }
}

/// Headers whose value goes to the end of the line.
fn is_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with("cookie") || name.ends_with("authorization")
}

fn is_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic")
}

/// What follows the word `Bearer` or `Basic`, if it can be credentials and no word of a sentence.
fn credentials(text: &str, behind: usize) -> Option<Range<usize>> {
    let start = behind + blanks(&text[behind..]);
    let is_part = |letter: char| is_in_word(letter) || matches!(letter, '+' | '/' | '=' | '~');
    let rest = &text[start..];
    let length = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
    let is_long = length >= 16;
    let has_digit = rest[..length].contains(|letter: char| letter.is_ascii_digit());
    (start > behind && (is_long || has_digit)).then_some(start..start + length)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The first JSON Web Token at or behind `from`, whole or cut off by the end of the bytes: an object in base64, a dot, and
/// more of it.
pub(super) fn find_token(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let run = |from: usize| {
        let rest = &bytes[from..];
        let length = rest.iter().position(|byte| !is_base64(*byte));
        from + length.unwrap_or(rest.len())
    };
    let mut at = from;
    while let Some(found) = bytes[at..].windows(MIN_HEADER).position(is_beginning) {
        let start = at + found;
        let header = run(start);
        if header == bytes.len() {
            return Some(start..header);
        }
        if bytes[header] == b'.' {
            let claims = run(header + 1);
            if claims == bytes.len() {
                return Some(start..claims);
            }
            if claims > header + MIN_CLAIMS && bytes[claims] == b'.' {
                let mut end = claims;
                // Five parts if it is encrypted.
                while bytes.get(end) == Some(&b'.') {
                    end = run(end + 1);
                }
                return Some(start..end);
            }
        }
        at = header;
    }
    None
}

/// Whether base64 says `{"`, perhaps with white space between.
fn is_beginning(bytes: &[u8]) -> bool {
    // Nearly always this is the end of it.
    if !matches!(bytes, [b'e', b'y' | b'w', ..]) {
        return false;
    }
    let Ok(decoded) = URL_SAFE_NO_PAD.decode(bytes) else {
        return false;
    };
    let inside = decoded.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|inside| inside.first() == Some(&b'"'))
}
