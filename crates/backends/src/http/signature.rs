//! How a service knows that a request comes from the gateway, and to which trace it belongs.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use polyport_core::{
    Millis,
    trace::{self, TraceContext},
};

use super::Secret;

/// When the service's answer is of no use any more: milliseconds since the Unix epoch.
pub(super) const DEADLINE: HeaderName = HeaderName::from_static("polyport-deadline");
/// The same, in milliseconds from now, for services whose clocks differ.
pub(super) const TIMEOUT: HeaderName = HeaderName::from_static("polyport-timeout");
/// The request's id, the same in every attempt.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("polyport-request-id");
/// 1, or 2 when the request is sent again.
pub(super) const ATTEMPT: HeaderName = HeaderName::from_static("polyport-attempt");
/// `t=<unix seconds>,v1=<hex>[,v1=<hex>…]`.
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("polyport-signature");
const TRACEPARENT: HeaderName = HeaderName::from_static(trace::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(trace::TRACESTATE);

/// Signs requests with every key in use, so that services accept them before, while and after a key is replaced.
pub(super) struct Signer(Vec<hmac::Key>);

impl Signer {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
        Self(secrets.iter().map(key).collect())
    }

    /// The header's value for a body that is sent at `now`; nothing without keys.
    pub(super) fn sign(&self, now: Millis, body: &[u8]) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let seconds = now.0 / 1000;
        let mut value = format!("t={seconds}");
        for key in &self.0 {
            let mut context = hmac::Context::with_key(key);
            context.update(seconds.to_string().as_bytes());
            context.update(b".");
            context.update(body);
            value.push_str(",v1=");
            push_hex(&mut value, context.sign().as_ref());
        }
        Some(value)
    }
}

/// What an attempt's headers say.
pub(super) struct Attempt<'a> {
    pub(super) id: &'a str,
    pub(super) number: u32,
    pub(super) trace: &'a TraceContext,
    pub(super) now: Millis,
    pub(super) deadline: Millis,
    pub(super) body: &'a [u8],
}

impl Attempt<'_> {
    pub(super) fn headers(&self, signer: &Signer) -> HeaderMap {
        let text = |value: String| {
            HeaderValue::from_maybe_shared(bytes::Bytes::from(value))
                .expect("what is plain ASCII is valid in headers")
        };
        let json = HeaderValue::from_static("application/json");
        let left = self.deadline.0.saturating_sub(self.now.0);
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CONTENT_TYPE, json.clone());
        headers.insert(header::ACCEPT, json);
        headers.insert(REQUEST_ID, text(self.id.to_owned()));
        headers.insert(ATTEMPT, self.number.into());
        headers.insert(DEADLINE, self.deadline.0.into());
        headers.insert(TIMEOUT, left.into());
        headers.insert(TRACEPARENT, text(self.trace.parent()));
        if let Some(state) = self.trace.state() {
            headers.insert(TRACESTATE, text(state.to_owned()));
        }
        if let Some(signature) = signer.sign(self.now, self.body) {
            headers.insert(SIGNATURE, text(signature));
        }
        headers
    }
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to memory does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1700000000.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn every_key_signs_time_and_body() {
        let signer = |keys: &[&str]| {
            let secrets: Vec<_> = keys.iter().map(|key| Secret::new(*key)).collect();
            Signer::new(&secrets).sign(Millis(1_700_000_000_999), b"{}")
        };
        assert_eq!(signer(&[]), None);
        let one =
            "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
        assert_eq!(signer(&["secret"]).as_deref(), Some(one));
        let both =
            format!("{one},v1=c6476987e659639c112c6200be08d9540007354badac82e98ad84591a0f04063");
        assert_eq!(signer(&["secret", "older"]), Some(both));
    }
}
