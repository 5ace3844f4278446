//! What the headers of a request say about the trace that it belongs to, and how much of that counts.

use http::{HeaderMap, HeaderName, HeaderValue};
use polyport_core::{
    Listener,
    trace::{ParentTrust, TRACEPARENT, TRACESTATE, TraceContext},
};

/// The trace that a request with such headers belongs to. Whoever says so twice is not understood.
pub(crate) fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    TraceContext::of_headers(|name| {
        let mut values = headers.get_all(name).iter();
        let only = values.next().filter(|_| values.next().is_none());
        only?.to_str().ok()
    })
}

/// Leaves of what a client says about its trace as much as counts, for whoever looks at its headers. Where there are no traces
/// they stay as they are.
pub(crate) fn heed_parent(headers: &mut HeaderMap, listener: &Listener, trust: ParentTrust) {
    let tracer = listener.hub().tracer();
    let says_something = headers.contains_key(TRACEPARENT) || headers.contains_key(TRACESTATE);
    if trust == ParentTrust::Trust || !says_something || !tracer.is_on() {
        return;
    }
    let kept = trace_of(headers).and_then(|parent| tracer.adopt(parent, trust));
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
    let parent = kept.and_then(|kept| HeaderValue::try_from(kept.parent()).ok());
    headers.extend(parent.map(|parent| (HeaderName::from_static(TRACEPARENT), parent)));
}
