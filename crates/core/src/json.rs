//! JSON that travels as text: checked once, decoded only by who looks inside.

use std::{fmt, str};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// The text of exactly one JSON value, without white space around it. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Json(Bytes);

/// The text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not JSON: {0}")]
pub struct JsonError(String);

impl Json {
    /// JavaScript's `null`.
    pub const NULL: Self = Self(Bytes::from_static(b"null"));

    /// `{}`.
    pub const EMPTY_OBJECT: Self = Self(Bytes::from_static(b"{}"));

    /// Checks `text` and copies the value in it. Nesting depth costs no stack.
    ///
    /// # Errors
    /// [`JsonError`] when the text is not one JSON value, possibly with white space around it.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|error| JsonError(error.to_string()))?;
        Ok(Self::from(raw))
    }

    /// The same value without white space between its parts, as `JSON.stringify` prints it; numbers and escapes keep their
    /// text.
    #[must_use]
    pub fn compact(&self) -> Self {
        let text = &self.0;
        if !text.iter().any(u8::is_ascii_whitespace) {
            return self.clone();
        }
        let mut compact = Vec::with_capacity(text.len());
        let mut in_string = false;
        let mut escaped = false;
        for &byte in text {
            if in_string {
                in_string = escaped || byte != b'"';
                escaped = byte == b'\\' && !escaped;
            } else if byte.is_ascii_whitespace() {
                continue;
            } else {
                in_string = byte == b'"';
            }
            compact.push(byte);
        }
        Self(Bytes::from(compact))
    }

    /// A JSON string that holds `text`, escaped as JavaScript's `JSON.stringify` does.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::encode(&text)
    }

    /// The value as serde writes it, compact.
    ///
    /// # Panics
    /// When `value` has map keys that are not strings or its `Serialize` fails; values of our own types do neither.
    #[must_use]
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Self {
        let text = serde_json::to_vec(value).expect("our own types always serialize");
        Self(Bytes::from(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("JSON text is UTF-8: every constructor takes text")
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// [`JsonError`] when the value has another shape, or nests deeper than 128.
    pub fn decode<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, JsonError> {
        serde_json::from_slice(&self.0).map_err(|error| JsonError(error.to_string()))
    }

    /// Whether the value is a string.
    #[must_use]
    pub fn is_string(&self) -> bool {
        self.0.first() == Some(&b'"')
    }

    /// The length of the text in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the text is empty; never true, a JSON value has at least one character.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Self {
        Self(Bytes::copy_from_slice(raw.get().as_bytes()))
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// Takes the text as it stands. Only from JSON text: serde's buffers, such as those of flattened and untagged types, have
/// none any more.
impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self::from(raw))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_passes_through_unchanged() {
        for text in ["1e2", "\"h\\u00e9\"", "{ \"b\":1, \"a\": [] }", "-0.0"] {
            assert_eq!(Json::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(Json::parse(" 5 ").unwrap().as_str(), "5");
    }

    #[test]
    fn compact_leaves_strings_alone() {
        let json = Json::parse("{ \"a b\\\" \" : [ 1 ,\n\" \\\\\" ] }").unwrap();
        assert_eq!(json.compact().as_str(), "{\"a b\\\" \":[1,\" \\\\\"]}");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "NaN", "[1,]", "{\"id\":}", "1 2"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        let json = Json::parse(&deep).unwrap();
        assert_eq!(json.as_str().len(), deep.len());
        assert!(json.decode::<serde_json::Value>().is_err());
    }
}
