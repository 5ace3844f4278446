//! Tags of what is served over HTTP, by which clients ask whether it has changed.

use std::{
    fmt::Write as _,
    hash::{DefaultHasher, Hash, Hasher},
};

use http::{HeaderMap, HeaderValue, header};

/// The value of `ETag`: the same for the same bytes, on every node of the same build.
#[must_use]
pub fn entity_tag(body: &[u8]) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let mut tag = String::new();
    let _ = write!(tag, "\"{:x}-{:016x}\"", body.len(), hasher.finish());
    HeaderValue::from_str(&tag).expect("digits and quotes are a header value")
}

/// Whether a client has what the tag names.
#[must_use]
pub fn knows_entity(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim())
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Whether a client takes an answer that is compressed with gzip.
#[must_use]
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
            name.trim().eq_ignore_ascii_case("gzip") && weight != Some(Ok(0.0))
        })
}
