//! What is believed of a client that says which trace it belongs to.

use super::{TraceContext, Tracer};

/// How much of a client's `traceparent` and `tracestate` counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ParentTrust {
    /// All: its trace, whether that is kept, and what other tracing systems say.
    Trust,
    /// Its trace, of which no more is kept than of those that begin here, and nothing that is not kept there.
    #[default]
    Ids,
    /// Nothing.
    Ignore,
}

impl Tracer {
    /// As much of what a client says as counts.
    #[must_use]
    pub fn adopt(&self, parent: TraceContext, trust: ParentTrust) -> Option<TraceContext> {
        match trust {
            ParentTrust::Trust => Some(parent),
            // The client has chosen the ids, so they must not decide.
            ParentTrust::Ids => Some(TraceContext {
                is_sampled: parent.is_sampled && self.draws(),
                state: None,
                ..parent
            }),
            ParentTrust::Ignore => None,
        }
    }
}
