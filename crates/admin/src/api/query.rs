//! The parameters behind the question mark, and pages of a list.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use polyport_core::Part;
use serde::Serialize;

use crate::api::error::{ApiError, Code};

/// Entries of a page, if the client does not say, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// Parameters that were given, each of them known and at most once.
#[derive(Debug)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Which part of a list is wanted: so many entries behind the last one that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) limit: usize,
    pub(crate) after: Option<String>,
}

/// Where the next page begins, as clients hand it back.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Cursor(Option<String>);

impl<'a> Query<'a> {
    /// Takes a query apart. Parameters that are not in `known` are refused: a filter with a slip in its name must not
    /// select everything.
    pub(crate) fn parse(query: Option<&'a str>, known: &[&str]) -> Result<Self, ApiError> {
        let mut found: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if !known.contains(&&*name) {
                let what = if known.is_empty() {
                    "there are none here".to_owned()
                } else {
                    format!("there are {}", known.join(", "))
                };
                return Err(malformed(format!("unknown parameter `{name}`: {what}")));
            }
            if found.iter().any(|(other, _)| *other == name) {
                return Err(malformed(format!("parameter `{name}` stands there twice")));
            }
            found.push((name, value));
        }
        Ok(Self(found))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter();
        found
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    }

    /// A parameter with a text in it, read by `read`.
    pub(crate) fn read<T, E: std::fmt::Display>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let value =
            read(text).map_err(|error| malformed(format!("parameter `{name}`: {error}")))?;
        Ok(Some(value))
    }

    /// `limit` and `cursor`.
    pub(crate) fn page(&self) -> Result<Page, ApiError> {
        let limit = self.read("limit", |text| {
            let limit = text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit));
            limit.ok_or_else(|| format!("expected a number from 1 to {MAX_LIMIT}"))
        })?;
        let after = self.read("cursor", |text| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or("expected the `next` of another page")
        })?;
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        Ok(Page { limit, after })
    }
}

impl Page {
    /// What of a list that other nodes have can be on this page: one more than fits tells that there is another.
    pub(crate) fn part<'a, T>(&'a self, wanted: &'a (dyn Fn(&T) -> bool + Sync)) -> Part<'a, T> {
        Part {
            after: self.after.as_deref(),
            count: self.limit + 1,
            wanted,
        }
    }

    /// The entries of this page, from all that there are: those behind the cursor, in the order of `key`.
    pub(crate) fn cut<T, K: Ord>(
        &self,
        mut all: Vec<T>,
        key: impl Fn(&T) -> K,
        text: impl Fn(&T) -> String,
        read: impl Fn(&str) -> Option<K>,
    ) -> Result<(Vec<T>, Cursor), ApiError> {
        if let Some(after) = &self.after {
            let after = read(after).ok_or_else(|| {
                malformed("parameter `cursor`: expected the `next` of another page")
            })?;
            all.retain(|entry| key(entry) > after);
        }
        let is_more = all.len() > self.limit;
        if is_more {
            all.select_nth_unstable_by_key(self.limit, &key);
            all.truncate(self.limit);
        }
        all.sort_unstable_by_key(&key);
        let last = all.last().filter(|_| is_more);
        let next = last.map(|last| URL_SAFE_NO_PAD.encode(text(last)));
        Ok((all, Cursor(next)))
    }
}

fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::MalformedRequest, message)
}

/// Resolves `%41` and `+`, as forms write them.
fn decode(text: &str) -> Result<Cow<'_, str>, ApiError> {
    if !text.contains(['%', '+']) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(), digit());
                let byte = high
                    .zip(low)
                    .and_then(|(high, low)| u8::try_from(16 * high + low).ok());
                byte.ok_or_else(|| malformed("the query has a % without two digits behind it"))?
            }
            other => other,
        });
    }
    let text = String::from_utf8(bytes);
    text.map(Cow::Owned)
        .map_err(|_| malformed("the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_known_and_single() {
        let query = Query::parse(Some("a=1&b=%C3%A9+x&&c"), &["a", "b", "c"]).unwrap();
        assert_eq!(
            (query.get("a"), query.get("b"), query.get("c")),
            (Some("1"), Some("é x"), Some(""))
        );
        assert!(Query::parse(None, &[]).is_ok());
        for bad in ["d=1", "a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%ff", "a=%+1"] {
            assert!(Query::parse(Some(bad), &["a"]).is_err(), "{bad}");
        }
    }

    #[test]
    fn pages_follow_each_other_without_gaps() {
        let all: Vec<u32> = (0..25).map(|n| n * 7 % 25).collect();
        let mut seen = Vec::new();
        let mut query = "limit=10".to_owned();
        for _ in 0..3 {
            let page = Query::parse(Some(&query), &["limit", "cursor"])
                .unwrap()
                .page()
                .unwrap();
            let (entries, Cursor(next)) = page
                .cut(
                    all.clone(),
                    |n| *n,
                    ToString::to_string,
                    |text| text.parse().ok(),
                )
                .unwrap();
            seen.extend(entries);
            query = format!("limit=10&cursor={}", next.unwrap_or_default());
        }
        assert!(query.ends_with('='), "the last page names no next");
        assert_eq!(seen, (0..25).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for bad in [
            "limit=0",
            "limit=1001",
            "limit=x",
            "limit=",
            "limit=-1",
            "cursor=%25",
            "cursor=_w",
        ] {
            let query = Query::parse(Some(bad), &["limit", "cursor"]).unwrap();
            assert!(query.page().is_err(), "{bad}");
        }
        let page = Page {
            limit: 1,
            after: Some("x".to_owned()),
        };
        let cut = page.cut(
            vec![1],
            |n| *n,
            ToString::to_string,
            |text| text.parse().ok(),
        );
        assert!(cut.is_err());
    }
}
