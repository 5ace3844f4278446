//! How the answers to polls and POSTs are written for the one who asks: JSONP, compression, and a header that only one
//! browser wants.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::Full;
use polyport_net::HttpAnswer;

use crate::{
    codec::{Written, write_jsonp},
    compression::Coding,
};

const XSS_PROTECTION: HeaderName = HeaderName::from_static("x-xss-protection");

/// What the one who asks can read.
#[derive(Debug)]
pub(crate) struct Answering {
    /// The number of the function that a page wants called with the body.
    jsonp: Option<Box<str>>,
    /// The coding it takes for bodies of at least that length.
    coding: Option<(Coding, usize)>,
    is_internet_explorer: bool,
}

impl Answering {
    /// By the headers of a request. `jsonp` is the number of its function; bodies of at least `compress_from` bytes may be
    /// compressed, and 0 is never.
    pub(crate) fn new(headers: &HeaderMap, jsonp: Option<&str>, compress_from: usize) -> Self {
        let coding = (compress_from > 0)
            .then(|| Coding::of(headers))
            .flatten()
            .map(|coding| (coding, compress_from));
        let browser = headers.get(header::USER_AGENT);
        let browser = browser.and_then(|browser| browser.to_str().ok());
        Self {
            jsonp: jsonp.map(Box::from),
            coding,
            is_internet_explorer: browser
                .is_some_and(|it| it.contains(";MSIE") || it.contains("Trident/")),
        }
    }

    /// Whether bodies are scripts and forms: they cannot hold bytes then.
    pub(crate) fn is_jsonp(&self) -> bool {
        self.jsonp.is_some()
    }

    /// What answers a poll.
    pub(crate) async fn payload(&self, written: Written) -> HttpAnswer {
        let Written { body, is_octets } = written;
        let (body, kind) = match &self.jsonp {
            Some(number) => {
                let call = write_jsonp(number, &String::from_utf8_lossy(&body));
                (Bytes::from(call), "text/javascript; charset=UTF-8")
            }
            None if is_octets => (body, "application/octet-stream"),
            None => (body, "text/plain; charset=UTF-8"),
        };
        let coding = self.coding.filter(|(_, least)| body.len() >= *least);
        let encoded = match coding {
            Some((coding, _)) => coding.encode(&body).await.ok().map(|body| (coding, body)),
            None => None,
        };
        let (coding, body) = encoded.map_or((None, body), |(coding, body)| (Some(coding), body));
        let mut answer = self.answer(kind, body);
        let headers = answer.headers_mut();
        if let Some(coding) = coding {
            let name = HeaderValue::from_static(coding.name());
            headers.insert(header::CONTENT_ENCODING, name);
        }
        if self.is_jsonp() {
            let sure = HeaderValue::from_static("nosniff");
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, sure);
        }
        answer
    }

    /// What answers a POST.
    pub(crate) fn taken(&self) -> HttpAnswer {
        self.answer("text/html", Bytes::from_static(b"ok"))
    }

    fn answer(&self, kind: &'static str, body: Bytes) -> HttpAnswer {
        let mut answer = HttpAnswer::new(Full::new(body));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.is_internet_explorer {
            headers.insert(XSS_PROTECTION, HeaderValue::from_static("0"));
        }
        answer
    }
}
