//! Conversions between values as JavaScript does them, where clients of the original servers can see the difference.

use std::{borrow::Cow, fmt};

use polyport_core::Json;
use serde::{Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

/// What JavaScript makes of any object when it wants text.
const OBJECT: &str = "[object Object]";

/// A number that prints as in JavaScript: the shortest text that reads back as the same number, no `.0`, an exponent
/// only below 1e-6 and from 1e21. As JSON, what is not finite is `null`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(pub f64);

/// ECMAScript's `Number::toString` in base 10.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if value.is_nan() {
            return f.write_str("NaN");
        }
        if value == 0.0 {
            return f.write_str("0");
        }
        if value < 0.0 {
            f.write_str("-")?;
        }
        if value.is_infinite() {
            return f.write_str("Infinity");
        }
        let (digits, point) = shortest_digits(value.abs());
        match usize::try_from(point) {
            Ok(point @ 1..=21) => match digits.split_at_checked(point) {
                Some((integer, "")) => f.write_str(integer),
                Some((integer, fraction)) => write!(f, "{integer}.{fraction}"),
                None => write!(f, "{digits:0<point$}"),
            },
            _ if (-5..=0).contains(&point) => {
                let zeros = point.unsigned_abs() as usize;
                write!(f, "0.{:0<zeros$}{digits}", "")
            }
            _ => {
                let (first, rest) = digits.split_at(1);
                let dot = if rest.is_empty() { "" } else { "." };
                write!(f, "{first}{dot}{rest}e{:+}", point - 1)
            }
        }
    }
}

/// The digits `d` and the place of the decimal point `n` of the shortest `0.d * 10^n` that reads back as `value`, which is
/// finite and above 0. Of two equally short ones the even, as in V8; the standard library's formatting takes the other.
fn shortest_digits(value: f64) -> (String, i32) {
    let text = serde_json::to_string(&value).expect("a finite number is JSON");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{integer}{fraction}");
    let significant = digits.trim_start_matches('0');
    let exponent: i32 = exponent.parse().expect("an exponent is a whole number");
    let leading_zeros = digits.len() - significant.len();
    let place = integer.len() as i32 - leading_zeros as i32 + exponent;
    (significant.trim_end_matches('0').to_owned(), place)
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(value) = *self;
        if !value.is_finite() {
            return serializer.serialize_unit();
        }
        // In this range, where a random number nearly always is, serde_json prints what JavaScript prints.
        if value.fract() != 0.0 && (1e-4..1e15).contains(&value.abs()) {
            return serializer.serialize_f64(value);
        }
        RawValue::from_string(self.to_string())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

/// `String(value)`.
#[must_use]
pub fn text(json: &Json) -> Cow<'_, str> {
    let raw = json.as_str();
    match raw.as_bytes().first() {
        Some(b'"') => string_text(raw),
        Some(b'[') => Cow::Owned(array_text(raw)),
        Some(b'{') => Cow::Borrowed(OBJECT),
        Some(b'-' | b'0'..=b'9') => number_text(raw),
        _ => Cow::Borrowed(raw),
    }
}

/// Whether `if (value)` would not be entered.
#[must_use]
pub fn is_falsy(json: &Json) -> bool {
    match json.as_str() {
        "null" | "false" | r#""""# | "0" => true,
        number if number.starts_with(['-', '0']) => number.parse() == Ok(0.0),
        _ => false,
    }
}

/// `parseInt(text)`: the whole number at the beginning, not a number if there is none.
#[must_use]
pub fn parse_int(text: &str) -> f64 {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (radix, text) = hexadecimal.map_or((10, text), |rest| (16, rest));
    let end = text
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(text.len());
    let digits = &text[..end];
    let value = if radix == 10 {
        digits.parse().unwrap_or(f64::NAN)
    } else if digits.is_empty() {
        f64::NAN
    } else {
        let digits = digits.chars().filter_map(|c| c.to_digit(radix));
        digits.fold(0.0, |value, digit| value * 16.0 + f64::from(digit))
    };
    sign * value
}

/// `text.length`: JavaScript counts UTF-16 units.
#[must_use]
pub fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn number_text(raw: &str) -> Cow<'_, str> {
    // A whole number of so few digits is exact and prints as it was written.
    if raw.len() <= 15 && raw.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(raw);
    }
    let value = raw.parse().expect("Rust reads every JSON number");
    Cow::Owned(Number(value).to_string())
}

/// The text in a JSON string. JSON may escape half of a surrogate pair, which no Rust text can hold; it becomes U+FFFD.
fn string_text(raw: &str) -> Cow<'_, str> {
    struct Bytes;
    impl de::Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(bytes.to_vec())
        }
    }
    if !raw.contains('\\') {
        return Cow::Borrowed(raw.trim_matches('"'));
    }
    let bytes = serde_json::Deserializer::from_str(raw)
        .deserialize_bytes(Bytes)
        .unwrap_or_default();
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Cow::Owned(text)
}

/// The elements, nested arrays flattened, between commas. Reads the text from left to right without recursion, so that
/// nesting costs no stack.
fn array_text(raw: &str) -> String {
    let mut out = String::new();
    let mut rest = raw;
    while let Some(first) = rest.bytes().next() {
        let (value, after) = rest.split_at(match first {
            b'"' => string_length(rest),
            b'{' => object_length(rest),
            b'n' | b't' => 4,
            b'f' => 5,
            b'-' | b'0'..=b'9' => number_length(rest),
            _ => 1,
        });
        match first {
            b'"' => out.push_str(&string_text(value)),
            b'{' => out.push_str(OBJECT),
            b'-' | b'0'..=b'9' => out.push_str(&number_text(value)),
            b't' | b'f' | b',' => out.push_str(value),
            // `null` joins as nothing; brackets and white space are no elements.
            _ => {}
        }
        rest = after;
    }
    out
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

fn object_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => at += string_length(&text[at..]),
            b'{' => {
                depth += 1;
                at += 1;
            }
            b'}' if depth == 1 => return at + 1,
            b'}' => {
                depth -= 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    text.len()
}

fn number_length(text: &str) -> usize {
    let number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    text.find(|c| !number(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_in_javascript() {
        #[track_caller]
        fn check(value: f64, expected: &str) {
            assert_eq!(Number(value).to_string(), expected);
            let json = if value.is_finite() { expected } else { "null" };
            assert_eq!(Json::encode(&Number(value)).as_str(), json);
        }
        check(0.0, "0");
        check(-0.0, "0");
        check(1.0, "1");
        check(-5.0, "-5");
        check(1000.0, "1000");
        check(0.1, "0.1");
        check(0.764_058_668_105_533_7, "0.7640586681055337");
        check(123.456, "123.456");
        check(-123.456, "-123.456");
        check(0.001, "0.001");
        check(0.000_15, "0.00015");
        check(0.000_015, "0.000015");
        check(0.000_001_5, "0.0000015");
        check(0.000_001, "0.000001");
        check(1.5e-7, "1.5e-7");
        check(1e-7, "1e-7");
        check(5e-324, "5e-324");
        check(24_219_832_627_817.0 / 32.0, "756869769619.2812");
        check(1e15, "1000000000000000");
        check(1.5e15, "1500000000000000");
        check(123_456_789_012_345.7, "123456789012345.7");
        check(1_234_567_890_123_456.8, "1234567890123456.8");
        check(9_007_199_254_740_993.0, "9007199254740992");
        check(1e20, "100000000000000000000");
        check(1e21, "1e+21");
        check(1.25e21, "1.25e+21");
        check(f64::MAX, "1.7976931348623157e+308");
        check(f64::NAN, "NaN");
        check(f64::INFINITY, "Infinity");
        check(f64::NEG_INFINITY, "-Infinity");
    }

    /// The short cut for common numbers must not print anything else than the long way.
    #[test]
    fn both_ways_to_print_a_number_agree() {
        for exponent in -9..22 {
            for _ in 0..2000 {
                let number = Number(rand::random::<f64>() * 10_f64.powi(exponent));
                assert_eq!(Json::encode(&number).as_str(), number.to_string());
            }
        }
    }

    #[test]
    fn everything_has_a_text() {
        #[track_caller]
        fn check(json: &str, expected: &str) {
            assert_eq!(text(&Json::parse(json).unwrap()), expected);
        }
        check(r#""""#, "");
        check(r#""plain""#, "plain");
        check(r#""a\"b\\c\n\u00e9\ud83d\ude00""#, "a\"b\\c\né😀");
        check(r#""\\""#, "\\");
        check(
            r#""half \ud83d pair""#,
            "half \u{fffd}\u{fffd}\u{fffd} pair",
        );
        check("null", "null");
        check("true", "true");
        check("false", "false");
        check("123456", "123456");
        check("-0", "0");
        check("1e2", "100");
        check("1.50", "1.5");
        check("12345678901234567890", "12345678901234567000");
        check("1e999", "Infinity");
        check(r#"{"a":1}"#, "[object Object]");
        check("[]", "");
        check("[1]", "1");
        check(
            r#"[1, "two", null, true, [3, [4]], {"b":"}]\""}, ""]"#,
            "1,two,,true,3,4,[object Object],",
        );
        check(r#"[{"a":{"b":[{}]}},false]"#, "[object Object],false");
        check(r#"["a\"]b", -1.0e1]"#, "a\"]b,-10");
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1_000_000) + "7" + &"]".repeat(1_000_000);
        assert_eq!(text(&Json::parse(&deep).unwrap()), "7");
        let deep = format!("[{}1{}]", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        assert_eq!(text(&Json::parse(&deep).unwrap()), OBJECT);
    }

    #[test]
    fn whole_numbers_are_read_from_the_left() {
        #[track_caller]
        fn check(text: &str, expected: f64) {
            let found = parse_int(text);
            assert!(
                found == expected || (found.is_nan() && expected.is_nan()),
                "{text:?} gave {found}"
            );
        }
        check("75", 75.0);
        check("75abc", 75.0);
        check(" \u{feff}\t-5.9", -5.0);
        check("+7", 7.0);
        check("007", 7.0);
        check("1e3", 1.0);
        check("0x1F", 31.0);
        check("-0X10", -16.0);
        check("12345678901234567890", 12_345_678_901_234_567_000.0);
        for no_number in ["", "abc", "-", "--1", ".5", "0x", "NaN", "null"] {
            check(no_number, f64::NAN);
        }
    }

    #[test]
    fn falsy_is_what_if_does_not_enter() {
        for falsy in ["null", "false", "0", "-0", "0.0", "0e5", r#""""#] {
            assert!(is_falsy(&Json::parse(falsy).unwrap()), "{falsy}");
        }
        for truthy in ["true", "1", "0.1", "-1", r#""0""#, "[]", "{}", r#"" ""#] {
            assert!(!is_falsy(&Json::parse(truthy).unwrap()), "{truthy}");
        }
    }

    #[test]
    fn length_counts_utf16_units() {
        assert_eq!(length("añ😀"), 4);
    }
}
