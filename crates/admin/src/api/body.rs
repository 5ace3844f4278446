//! Reading a request's body, within bounds of bytes and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body, Incoming},
    header::{CONTENT_TYPE, EXPECT},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::api::error::{ApiError, Code};

/// Time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// So many bytes of a body that is too large are read and thrown away, so that a client that is still writing reads why it
/// is refused and not that its connection is reset.
const THROWN_AWAY: usize = 8 << 20;

/// Refuses what is not said to be JSON.
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::UnsupportedMediaType,
        "the body must be JSON: Content-Type: application/json",
    ))
}

/// Reads a whole body of at most `limit` bytes.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    limit: usize,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("a body may have {limit} bytes at most");
        ApiError::new(Code::BodyTooLarge, message)
    };
    let announced = body.size_hint().lower();
    // Who waits to be told to send is not asked to.
    if announced > limit as u64 && headers.contains_key(EXPECT) {
        return Err(too_large());
    }
    let whole = async {
        let mut bytes = BytesMut::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                let message = "the body broke off or is not framed as HTTP wants it";
                return Err(ApiError::new(Code::MalformedRequest, message));
            };
            let Ok(data) = frame.into_data() else {
                continue;
            };
            length += data.len();
            if length <= limit {
                bytes.extend_from_slice(&data);
            } else if length > THROWN_AWAY.max(limit) {
                break;
            }
        }
        if length > limit {
            Err(too_large())
        } else {
            Ok(bytes.freeze())
        }
    };
    timeout(BODY_TIME, whole).await.unwrap_or_else(|_| {
        let message = format!(
            "the body did not arrive within {} seconds",
            BODY_TIME.as_secs()
        );
        Err(ApiError::new(Code::BodyTimeout, message))
    })
}

/// Reads JSON as what a verb takes.
pub(crate) fn decode<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(text).map_err(|error| {
        // serde_json also calls malformed what is JSON of another kind than it looked for, or too deep to look into.
        let is_json = error.is_data() || serde_json::from_slice::<&RawValue>(text).is_ok();
        let code = if is_json {
            Code::InvalidRequest
        } else {
            Code::MalformedJson
        };
        ApiError::new(code, error.to_string())
    })
}
