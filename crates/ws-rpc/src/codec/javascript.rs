//! What JavaScript makes of values where the original leaves it to the language.

use std::borrow::Cow;

/// What a string of JSON holds; `None` when `raw` is none, or has half a surrogate pair, which no text of ours can hold.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(inner.into())
    }
}

/// Whether `text > 0`, as `Number(text)` reads it.
pub(super) fn is_positive(text: &str) -> bool {
    let text = text.trim_matches(is_space);
    if let [b'0', kind, digits @ ..] = text.as_bytes()
        && let Some(radix) = radix(*kind)
    {
        let is_digit = |digit: &u8| char::from(*digit).is_digit(radix);
        return digits.iter().all(is_digit) && digits.iter().any(|digit| *digit != b'0');
    }
    if matches!(text, "Infinity" | "+Infinity") {
        return true;
    }
    // Rust takes further words for numbers, such as `inf`.
    let is_decimal = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    text.as_bytes().iter().all(is_decimal) && text.parse::<f64>().is_ok_and(|number| number > 0.0)
}

/// JavaScript's white space.
fn is_space(char: char) -> bool {
    (char.is_whitespace() && char != '\u{85}') || char == '\u{feff}'
}

fn radix(kind: u8) -> Option<u32> {
    match kind {
        b'x' | b'X' => Some(16),
        b'o' | b'O' => Some(8),
        b'b' | b'B' => Some(2),
        _ => None,
    }
}

/// `String(value)` of the JSON value `raw`.
pub(super) fn printed(raw: &str) -> Cow<'_, str> {
    match raw.as_bytes().first() {
        Some(b'{') => "[object Object]".into(),
        Some(b'[') => list(raw).into(),
        Some(b'-' | b'0'..=b'9') => number(raw).into(),
        // Half a surrogate pair stays as it was written.
        Some(b'"') => string(raw).unwrap_or_else(|| raw.trim_matches('"').into()),
        _ => raw.into(),
    }
}

fn number(raw: &str) -> String {
    let number: f64 = raw.parse().unwrap_or(f64::NAN);
    let size = number.abs();
    if number == 0.0 {
        "0".to_owned()
    } else if size.is_infinite() {
        let sign = if number < 0.0 { "-" } else { "" };
        format!("{sign}Infinity")
    } else if size >= 1e21 {
        format!("{number:e}").replace('e', "e+")
    } else if size < 1e-6 {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

/// The elements with commas between them; lists in it lose their brackets and `null` is empty, so that depth needs no
/// recursion.
fn list(raw: &str) -> String {
    let mut out = String::new();
    let mut rest = raw;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '{' => object_length(rest),
            '[' | ']' | ',' => 1,
            _ if first.is_ascii_whitespace() => 1,
            _ => rest
                .find([',', ']', ' ', '\t', '\n', '\r'])
                .unwrap_or(rest.len()),
        };
        let (value, behind) = rest.split_at(length);
        match value {
            "," => out.push(','),
            "[" | "]" | "null" => {}
            _ if first.is_ascii_whitespace() => {}
            value => out.push_str(&printed(value)),
        }
        rest = behind;
    }
    out
}

/// The length of the string that `text` begins with.
fn string_length(text: &str) -> usize {
    let mut is_escaped = true;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        // The quote that opens it counts as escaped.
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}

/// The length of the object that `text` begins with.
fn object_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += text.get(at..).map_or(1, string_length) - 1,
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Appends `text` as it stands inside of a string that `JSON.stringify` writes.
pub(super) fn escape(out: &mut String, text: &str) {
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[written..at]);
        written = at + 1;
        if escaped.is_empty() {
            let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
            out.push_str("\\u00");
            out.push(digit(byte >> 4));
            out.push(digit(byte & 0xf));
        } else {
            out.push_str(escaped);
        }
    }
    out.push_str(&text[written..]);
}

#[cfg(test)]
mod tests {
    use polyport_core::Json;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_that_are_numbers_above_zero() {
        for text in [
            "7",
            " 7\t",
            "\u{feff}7",
            "1.5",
            ".5",
            "5.",
            "+5",
            "1e3",
            "1e999",
            "0x1F",
            "0b10",
            "0o7",
            "Infinity",
        ] {
            assert!(is_positive(text), "{text}");
        }
        for text in [
            "",
            " ",
            "0",
            "-1",
            "abc",
            "7a",
            "1_000",
            "inf",
            "+inf",
            "infinity",
            "nan",
            "-Infinity",
            "0x",
            "0x0",
            "0xg",
            "+0x1",
            "1e",
            ".",
            "e5",
            "\u{85}7",
            "1 2",
        ] {
            assert!(!is_positive(text), "{text}");
        }
    }

    #[test]
    fn values_as_text() {
        for (raw, expected) in [
            ("true", "true"),
            ("null", "null"),
            ("5", "5"),
            ("5.0", "5"),
            ("-0", "0"),
            ("-1.50", "-1.5"),
            ("1e3", "1000"),
            ("1e21", "1e+21"),
            ("-1.5e300", "-1.5e+300"),
            ("123456789012345678901", "123456789012345680000"),
            ("12345678901234567890", "12345678901234567000"),
            ("0.000001", "0.000001"),
            ("1e-7", "1e-7"),
            ("12.5e-8", "1.25e-7"),
            ("1e999", "Infinity"),
            ("-1e999", "-Infinity"),
            (r#"{"a":"}"}"#, "[object Object]"),
            ("[]", ""),
            ("[[],[]]", ","),
            (r#"["sum"]"#, "sum"),
            (
                r#"[ 1.0 , "a\n\"]," , null, [true,{"a":{"b\"}":1}},"x"] ,{} ]"#,
                "1,a\n\"],,,true,[object Object],x,[object Object]",
            ),
            (r#""\ud800""#, r"\ud800"),
        ] {
            assert_eq!(printed(raw), expected, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_written_as_serde_writes_them(text in "\\PC*|[\u{0}-\u{30}\"\\\\]*") {
            let mut out = String::from("\"");
            escape(&mut out, &text);
            out.push('"');
            let expected = Json::string(&text);
            prop_assert_eq!(out.as_str(), expected.as_str());
            let held = string(&out);
            prop_assert_eq!(held.as_deref(), Some(&*text));
        }

        #[test]
        fn lists_of_any_values_are_printed(values in prop::collection::vec("[ -~é😀]*", 0..6)) {
            let raw = serde_json::to_string(&values).unwrap();
            let printed = printed(&raw);
            prop_assert_eq!(printed, values.join(","));
        }
    }
}
