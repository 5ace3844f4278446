//! Traces: what belongs together, from a client's call to the frames that it causes, on whichever node.
//!
//! A [`TraceContext`] is where something stands in a trace, in the words of W3C's Trace Context. What runs now has one for its
//! thread ([`current`], [`within`]), and a future takes its own along ([`Following`]). The [`Tracer`] of the hub makes [`Span`]s and
//! hands those that have ended to a [`SpanSink`]. While it is off, which costs one look at a flag, there is none of all this.

mod context;
mod parent;
mod span;
mod tracer;

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
};

pub use context::{TRACEPARENT, TRACESTATE, TraceContext};
pub use parent::ParentTrust;
pub use span::{Attribute, FinishedSpan, Span, SpanKind};
pub use tracer::{SpanSink, Tracer};

thread_local! {
    static CURRENT: RefCell<Option<TraceContext>> = const { RefCell::new(None) };
}

/// What runs on this thread now belongs to this.
#[must_use]
pub fn current() -> Option<TraceContext> {
    CURRENT.with_borrow(Clone::clone)
}

/// Does `work` as a part of `context`, if there is one; else as a part of what runs already.
pub fn within<R>(context: Option<&TraceContext>, work: impl FnOnce() -> R) -> R {
    struct Back(Option<TraceContext>);
    impl Drop for Back {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    match context {
        None => work(),
        Some(context) => {
            let _back = Back(CURRENT.replace(Some(context.clone())));
            work()
        }
    }
}

/// A future that runs as a part of a trace, whichever thread works on it.
#[derive(Debug)]
pub struct Following<F> {
    context: TraceContext,
    future: F,
}

impl<F> Following<F> {
    /// `future` as a part of `context`.
    pub fn new(context: TraceContext, future: F) -> Self {
        Self { context, future }
    }
}

impl<F: Future + Unpin> Future for Following<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<F::Output> {
        let Self { context, future } = &mut *self;
        within(Some(context), || Pin::new(future).poll(waker))
    }
}

#[cfg(test)]
mod tests;
