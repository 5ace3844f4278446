//! What a browser sees that opens the relay's address.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;
use polyport_net::{HttpAnswer, http_answer};

/// What this is, and how to connect.
const PAGE: &str = include_str!("page.html");

/// The answer to a `GET`. A missing asset is missing; every other path is the page, as in the original.
pub(crate) fn page(path: &str) -> HttpAnswer {
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.contains('.') {
        return http_answer(StatusCode::NOT_FOUND, "There is no such file.\n");
    }
    let mut answer = HttpAnswer::new(Full::new(Bytes::from_static(PAGE.as_bytes())));
    let headers = answer.headers_mut();
    let value = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, value("text/html; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        value("default-src 'none'; style-src 'unsafe-inline'"),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, value("nosniff"));
    answer
}
