//! W3C's Trace Context: the headers `traceparent` and `tracestate`.

use std::{fmt, sync::Arc};

/// The header that says where its sender stands in a trace.
pub const TRACEPARENT: &str = "traceparent";

/// The header in which tracing systems keep what is their own.
pub const TRACESTATE: &str = "tracestate";

/// Longest `tracestate` that is passed on; the standard asks for this much at least.
const MAX_STATE: usize = 512;

/// Characters of a `traceparent` of version 0.
const LENGTH: usize = 55;

/// The flag that says that the sender keeps what it knows of this trace.
const SAMPLED: u8 = 1;

/// Where something stands in a trace: the trace, the span, whether it is kept, and what other tracing systems want to have passed on.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) is_sampled: bool,
    pub(super) state: Option<Arc<str>>,
}

impl TraceContext {
    /// The beginning of a trace of its own.
    #[must_use]
    pub fn root(is_sampled: impl FnOnce(u128) -> bool) -> Self {
        // All zeroes would be invalid.
        let trace = rand::random::<u128>().max(1);
        Self {
            trace,
            span: new_span(),
            is_sampled: is_sampled(trace),
            state: None,
        }
    }

    /// A part of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span: new_span(),
            ..self.clone()
        }
    }

    /// What the two headers say; nothing of a `traceparent` that is malformed, nor a `tracestate` that is.
    #[must_use]
    pub fn read(parent: &str, state: Option<&str>) -> Option<Self> {
        let text = parent.get(..LENGTH)?;
        let mut parts = text.split('-');
        let mut part = |digits: usize| parts.next().filter(|part| is_hex(part, digits));
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may say more, behind another dash.
        let rest = &parent[LENGTH..];
        let is_known = match version {
            "ff" => false,
            "00" => rest.is_empty(),
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let trace = u128::from_str_radix(trace, 16).ok();
        let span = u64::from_str_radix(span, 16).ok();
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let is_state = |state: &&str| {
            let is_plain = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
            !state.is_empty() && state.len() <= MAX_STATE && state.bytes().all(is_plain)
        };
        is_known.then_some(Self {
            trace: trace.filter(|trace| *trace != 0)?,
            span: span.filter(|span| *span != 0)?,
            is_sampled: flags & SAMPLED != 0,
            state: state.filter(is_state).map(Arc::from),
        })
    }

    /// The same, of headers that are looked up by their name in lower case.
    #[must_use]
    pub fn of_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        Self::read(header(TRACEPARENT)?, header(TRACESTATE))
    }

    /// The value of `traceparent`.
    #[must_use]
    pub fn parent(&self) -> String {
        let flags = u8::from(self.is_sampled);
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace, self.span)
    }

    /// The value of `tracestate`, if there is anything to pass on.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The trace, in hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span, in hexadecimal digits.
    #[must_use]
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// The number of the trace.
    #[must_use]
    pub fn trace(&self) -> u128 {
        self.trace
    }

    /// The number of the span.
    #[must_use]
    pub fn span(&self) -> u64 {
        self.span
    }

    /// Whether what belongs to it is kept.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceContext").field(&self.parent()).finish()
    }
}

fn new_span() -> u64 {
    rand::random::<u64>().max(1)
}

/// Upper case is not allowed.
fn is_hex(part: &str, digits: usize) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    part.len() == digits && part.bytes().all(is_digit)
}
