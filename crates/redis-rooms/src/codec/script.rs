//! msgpack as npm `msgpack-js` writes it, which no code but tests does any more.

use bytes::Bytes;
use polyport_core::{Arg, Json, Mixed};
use proptest::prelude::*;

use polyport_msgpack::{Dialect, Form, GAP, Reader, Values, Writer, parts, printed};

use super::LIMITS;

/// A value of JavaScript.
#[derive(Debug, Clone)]
pub(super) enum Script {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Binary(Vec<u8>),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Script {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        let owned = |(key, value): (&str, Self)| (key.to_owned(), value);
        Self::Object(members.into_iter().map(owned).collect())
    }

    pub(super) fn legacy(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.push_legacy(&mut out);
        out
    }

    fn push_legacy(&self, out: &mut Vec<u8>) {
        let mut sized = |small: Option<(u8, usize)>, two: u8, four: u8, length: usize| match small {
            Some((first, room)) if length < room => out.push(first | length as u8),
            _ if length < 0x1_0000 => {
                out.push(two);
                out.extend((length as u16).to_be_bytes());
            }
            _ => {
                out.push(four);
                out.extend((length as u32).to_be_bytes());
            }
        };
        match self {
            Self::Undefined => out.push(0xc4),
            Self::Null => out.push(0xc0),
            Self::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
            Self::Number(number) => push_number(out, *number),
            Self::Text(text) => {
                sized(Some((0xa0, 32)), 0xda, 0xdb, text.len());
                out.extend(text.as_bytes());
            }
            Self::Binary(bytes) => {
                sized(None, 0xd8, 0xd9, bytes.len());
                out.extend(bytes);
            }
            Self::Array(elements) => {
                sized(Some((0x90, 16)), 0xdc, 0xdd, elements.len());
                elements.iter().for_each(|element| element.push_legacy(out));
            }
            Self::Object(members) => {
                sized(Some((0x80, 16)), 0xde, 0xdf, members.len());
                for (key, value) in members {
                    Self::text(key).push_legacy(out);
                    value.push_legacy(out);
                }
            }
        }
    }

    /// What it is to us.
    pub(super) fn arg(&self) -> Arg {
        if let Self::Binary(bytes) = self {
            return Arg::Binary(Bytes::copy_from_slice(bytes));
        }
        let (mut text, mut parts) = (String::new(), Vec::new());
        self.push_json(&mut text, &mut parts);
        if parts.is_empty() {
            return Arg::Json(Json::parse(&text).unwrap());
        }
        let texts = text.split(GAP).map(Box::from).collect();
        Arg::Mixed(Mixed::new(texts, parts).unwrap().into())
    }

    fn push_json(&self, text: &mut String, parts: &mut Vec<Bytes>) {
        match self {
            Self::Undefined | Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(&value.to_string()),
            Self::Number(number) => text.push_str(&printed(*number)),
            Self::Text(value) => text.push_str(Json::string(value).as_str()),
            Self::Binary(bytes) => {
                text.push(GAP);
                parts.push(Bytes::copy_from_slice(bytes));
            }
            Self::Array(elements) => {
                text.push('[');
                for (index, element) in elements.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    element.push_json(text, parts);
                }
                text.push(']');
            }
            Self::Object(members) => {
                text.push('{');
                let members = members
                    .iter()
                    .filter(|(_, value)| !matches!(value, Self::Undefined));
                for (index, (key, value)) in members.enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    text.push_str(Json::string(key).as_str());
                    text.push(':');
                    value.push_json(text, parts);
                }
                text.push('}');
            }
        }
    }

    /// Any value. In the standard an undefined is binary, and what follows its length: with other than positive numbers
    /// behind it, it cannot pass for that in a message that is short enough. Long ones may, though hardly ever do.
    pub(super) fn any(has_undefined: bool) -> impl Strategy<Value = Self> {
        let (undefined, positive, longest) = if has_undefined {
            (2, 0, 20)
        } else {
            (0, 2, 600)
        };
        let leaf = prop_oneof![
            undefined => Just(Self::Undefined),
            1 => Just(Self::Null),
            1 => any::<bool>().prop_map(Self::Bool),
            positive => (any::<u32>(), 0..32_u32).prop_map(|(number, bits)| Self::Number((number >> bits).into())),
            1 => (i32::MIN..0).prop_map(|number| Self::Number(number.into())),
            1 => (-200..0_i32).prop_map(|number| Self::Number(number.into())),
            1 => prop::num::f64::NORMAL.prop_map(|number| Self::Number(-number.abs())),
            3 => "\\PC{0,40}".prop_map(Self::Text),
            4 => prop::collection::vec(any::<u8>(), 0..longest).prop_map(Self::Binary),
            1 => prop::collection::vec(any::<u8>(), 0..3).prop_map(Self::Binary),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Self::Array),
                prop::collection::vec(("[a-z]{0,3}", inner), 0..4).prop_map(Self::Object),
            ]
        })
    }
}

fn push_number(out: &mut Vec<u8>, number: f64) {
    let whole = number as i64;
    if whole as f64 != number || !(-0x8000_0000..=0xffff_ffff).contains(&whole) {
        out.push(0xcb);
        return out.extend(number.to_be_bytes());
    }
    match whole {
        -0x20..=0x7f => out.push(whole as u8),
        0x80..=0xff => out.extend([0xcc, whole as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend((whole as u16).to_be_bytes());
        }
        0x1_0000.. => {
            out.push(0xce);
            out.extend((whole as u32).to_be_bytes());
        }
        -0x80.. => out.extend([0xd0, whole as u8]),
        -0x8000.. => {
            out.push(0xd1);
            out.extend((whole as i16).to_be_bytes());
        }
        _ => {
            out.push(0xd2);
            out.extend((whole as i32).to_be_bytes());
        }
    }
}

/// The one value that these bytes are, and how many unknown extensions there were.
fn read(dialect: Dialect, data: &[u8]) -> (Arg, usize) {
    let mut reader = Reader::new(data, dialect);
    let mut values = Values::new(LIMITS);
    let arg = values.read(&mut reader, 0).unwrap();
    assert!(reader.is_empty(), "{data:x?}");
    (arg, values.unknown())
}

proptest! {
    #[test]
    fn legacy_values_are_read(value in Script::any(true)) {
        prop_assert_eq!(read(Dialect::Legacy, &value.legacy()), (value.arg(), 0));
    }

    #[test]
    fn what_is_written_is_read(value in Script::any(false)) {
        let mut out = Writer::new(Form::Common);
        out.arg(&value.arg());
        let written = out.finish();
        prop_assert_eq!(read(Dialect::Standard, &written), (value.arg(), 0));
        // Without binary there is one form for everybody.
        if parts(&value.arg()).is_empty() {
            prop_assert_eq!(read(Dialect::Legacy, &written), (value.arg(), 0));
        }
    }
}
