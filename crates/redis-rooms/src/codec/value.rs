//! One way to look into a message, whether it is JSON or msgpack.

use std::{borrow::Cow, fmt, str, vec};

use polyport_core::{Arg, Json};
use polyport_msgpack::{Dialect, Reader, Token, Values, printed, unescaped};
use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{DEPTH, MAX_ITEMS, ReadError, check_size};

const NO_JSON: ReadError = ReadError::Malformed("text that is no JSON");
const NO_LIST: ReadError = ReadError::Shape("something else where a list belongs");
const NO_MAP: ReadError = ReadError::Shape("something else where a map belongs");

/// A value that has not been read yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Json(&'a RawValue),
    /// It begins where the reader stands.
    Msgpack(Reader<'a>),
}

impl<'a> Value<'a> {
    /// The whole of a message: JSON if it begins with `{`, else msgpack as everybody knows it.
    pub(super) fn of_message(payload: &'a [u8]) -> Result<Self, ReadError> {
        match payload.first() {
            Some(b'{') => Self::json(payload),
            _ => Self::msgpack(payload, Dialect::Standard),
        }
    }

    /// The whole of a message in msgpack.
    pub(super) fn msgpack(payload: &'a [u8], dialect: Dialect) -> Result<Self, ReadError> {
        check_size(payload)?;
        let start = Reader::new(payload, dialect);
        let mut reader = start;
        reader.skip()?;
        if !reader.is_empty() {
            return Err(ReadError::Malformed("bytes behind the message"));
        }
        Ok(Self::Msgpack(start))
    }

    /// The whole of a message in JSON.
    pub(super) fn json(payload: &'a [u8]) -> Result<Self, ReadError> {
        check_size(payload)?;
        let text = str::from_utf8(payload).map_err(|_| NO_JSON)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| NO_JSON)?;
        if depth(text) > DEPTH {
            return Err(ReadError::TooDeep);
        }
        Ok(Self::Json(raw))
    }

    fn token(self) -> Option<Token<'a>> {
        match self {
            Self::Json(_) => None,
            Self::Msgpack(mut reader) => reader.token().ok(),
        }
    }

    /// Whether it is `null` or `undefined`.
    pub(super) fn is_nothing(self) -> bool {
        match self {
            Self::Json(raw) => raw.get() == "null",
            Self::Msgpack(reader) => reader.is_nothing(),
        }
    }

    /// Whether it is nothing or an empty text, which is what the Python emitter has for no rooms and no flags.
    pub(super) fn is_empty_list(self) -> bool {
        self.is_nothing() || self.text().is_some_and(|text| text.is_empty())
    }

    /// Whether JavaScript takes it for true.
    pub(super) fn is_truthy(self) -> bool {
        let is_false = match self {
            Self::Json(raw) => raw.get() == "false",
            Self::Msgpack(_) => matches!(self.token(), Some(Token::Bool(false))),
        };
        !is_false && !self.is_empty_list() && self.number().is_none_or(|number| number != 0.0)
    }

    /// Whether it has members.
    pub(super) fn is_map(self) -> bool {
        match self {
            Self::Json(raw) => raw.get().starts_with('{'),
            Self::Msgpack(_) => matches!(self.token(), Some(Token::Map(_))),
        }
    }

    /// Whether it has elements.
    pub(super) fn is_list(self) -> bool {
        match self {
            Self::Json(raw) => raw.get().starts_with('['),
            Self::Msgpack(_) => matches!(self.token(), Some(Token::Array(_))),
        }
    }

    /// What a string holds.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(raw) => raw.get().starts_with('"').then(|| unescaped(raw.get())),
            Self::Msgpack(_) => match self.token()? {
                Token::Text(text) => Some(text),
                _ => None,
            },
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Json(raw) => raw.get().parse().ok(),
            Self::Msgpack(_) => self.token()?.number(),
        }
    }

    /// A number that is whole, not negative and exact.
    pub(super) fn count(self) -> Option<u64> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let number = self.number()?;
        let is_count = number.fract() == 0.0 && (0.0..=EXACT).contains(&number);
        is_count.then_some(number as u64)
    }

    /// A string, or the text of a number, which JavaScript takes for one.
    pub(super) fn name(self) -> Option<Cow<'a, str>> {
        self.text()
            .or_else(|| self.number().map(|number| Cow::Owned(printed(number))))
    }

    /// The value itself, inside of so many arrays and maps.
    pub(super) fn arg(self, depth: usize, values: &mut Values) -> Result<Arg, ReadError> {
        match self {
            // The depth of all of the message is known to be good.
            Self::Json(raw) => Ok(Arg::Json(Json::from(raw))),
            Self::Msgpack(mut reader) => Ok(values.read(&mut reader, depth)?),
        }
    }

    /// The value itself, where binary has no place.
    pub(super) fn plain(self, depth: usize, values: &mut Values) -> Result<Json, ReadError> {
        match self.arg(depth, values)? {
            Arg::Json(json) => Ok(json),
            Arg::Binary(_) | Arg::Mixed(_) => Err(ReadError::Shape("binary where it has no place")),
        }
    }

    /// The elements of a list.
    pub(super) fn elements(self) -> Result<Elements<'a>, ReadError> {
        match self {
            Self::Json(raw) if self.is_list() => {
                let list: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| NO_JSON)?;
                Ok(Elements::Json(list.into_iter()))
            }
            Self::Json(_) => Err(NO_LIST),
            Self::Msgpack(mut reader) => match reader.token()? {
                Token::Array(missing) => Ok(Elements::Msgpack { reader, missing }),
                _ => Err(NO_LIST),
            },
        }
    }

    /// The elements of a list that has just so many.
    pub(super) fn exactly<const N: usize>(self) -> Result<[Self; N], ReadError> {
        let elements = self
            .elements()?
            .take(N + 1)
            .collect::<Result<Vec<_>, _>>()?;
        elements.try_into().map_err(|_| NO_LIST)
    }

    /// The elements of a list of arguments, inside of so many arrays and maps.
    pub(super) fn args(
        elements: Elements<'_>,
        depth: usize,
        values: &mut Values,
    ) -> Result<polyport_core::Args, ReadError> {
        let mut args = polyport_core::Args::new();
        for element in elements {
            if args.len() == MAX_ITEMS {
                return Err(ReadError::TooMany);
            }
            args.push(element?.arg(depth, values)?);
        }
        Ok(args)
    }

    /// The members of a map that have these keys; of a key that comes twice the last, as in JavaScript.
    pub(super) fn members<const N: usize>(
        self,
        keys: [&str; N],
    ) -> Result<[Option<Self>; N], ReadError> {
        let mut members = [None; N];
        let place = |key: &str| keys.iter().position(|wanted| *wanted == key);
        match self {
            Self::Json(raw) if self.is_map() => {
                let members = Members { keys, members };
                let mut json = serde_json::Deserializer::from_str(raw.get());
                json.deserialize_map(members).map_err(|_| NO_JSON)
            }
            Self::Json(_) => Err(NO_MAP),
            Self::Msgpack(mut reader) => {
                let Token::Map(count) = reader.token()? else {
                    return Err(NO_MAP);
                };
                for _ in 0..count {
                    let Token::Text(key) = reader.token()? else {
                        return Err(ReadError::Shape("a key that is no text"));
                    };
                    let value = reader;
                    reader.skip()?;
                    if let Some(member) = place(&key).and_then(|place| members.get_mut(place)) {
                        *member = Some(Self::Msgpack(value));
                    }
                }
                Ok(members)
            }
        }
    }
}

/// The elements of a list, one after the other.
#[derive(Debug)]
pub(super) enum Elements<'a> {
    Json(vec::IntoIter<&'a RawValue>),
    Msgpack { reader: Reader<'a>, missing: usize },
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Value<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Json(list) => list.next().map(|raw| Ok(Value::Json(raw))),
            Self::Msgpack { reader, missing } => {
                *missing = missing.checked_sub(1)?;
                let value = *reader;
                let skipped = reader.skip();
                Some(
                    skipped
                        .map(|()| Value::Msgpack(value))
                        .map_err(ReadError::from),
                )
            }
        }
    }
}

/// Picks members out of a JSON object.
struct Members<'k, 'a, const N: usize> {
    keys: [&'k str; N],
    members: [Option<Value<'a>>; N],
}

impl<'a, const N: usize> Visitor<'a> for Members<'_, 'a, N> {
    type Value = [Option<Value<'a>>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let place = self.keys.iter().position(|wanted| *wanted == key);
            match place.and_then(|place| self.members.get_mut(place)) {
                Some(member) => *member = Some(Value::Json(map.next_value()?)),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(self.members)
    }
}

/// How deep a JSON text nests.
fn depth(text: &str) -> usize {
    let (mut deepest, mut depth) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
