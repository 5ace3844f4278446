//! What decides whether a step is kept, and to whom it goes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwapOption;

use super::{FinishedSpan, Span, SpanKind, TraceContext, current};

/// What gets the steps that have ended. It must neither block nor wait.
pub trait SpanSink: Send + Sync {
    /// Takes one; one that it has no room for is lost.
    fn take(&self, span: FinishedSpan);
}

/// Makes the spans of a process. It is off until somebody is there to take them.
#[derive(Default)]
pub struct Tracer {
    is_on: AtomicBool,
    target: ArcSwapOption<Target>,
}

struct Target {
    sink: Arc<dyn SpanSink>,
    /// Traces that begin here are kept if 63 bits of their number are below this.
    below: u64,
}

impl Tracer {
    /// From now on spans go to `sink`, and of traces that begin here this share is kept, from 0 to 1. Traces that have begun
    /// elsewhere are kept if they are kept there.
    pub fn turn_on(&self, sink: Arc<dyn SpanSink>, ratio: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and 2^63"
        )]
        let below = (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        self.target.store(Some(Arc::new(Target { sink, below })));
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// From now on there are no spans. Those that go on still go to whom they were made for.
    pub fn turn_off(&self) {
        self.is_on.store(false, Ordering::Relaxed);
        self.target.store(None);
    }

    /// Whether there are spans at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Whether a trace is among those that are kept, by chance.
    pub(super) fn draws(&self) -> bool {
        let target = self.target.load();
        target.as_ref().is_some_and(|it| it.keeps(rand::random()))
    }

    /// A step of what runs now; else of `parent`; else the first of a trace. Nothing while it is off.
    #[must_use]
    pub fn begin(
        &self,
        name: &'static str,
        kind: SpanKind,
        parent: Option<&TraceContext>,
    ) -> Option<Span> {
        if !self.is_on() {
            return None;
        }
        let now = current();
        self.begin_in(name, kind, now.as_ref().or(parent))
    }

    /// A step of `parent` and of nothing else, or the first of a trace. Nothing while it is off.
    #[must_use]
    pub fn begin_in(
        &self,
        name: &'static str,
        kind: SpanKind,
        parent: Option<&TraceContext>,
    ) -> Option<Span> {
        if !self.is_on() {
            return None;
        }
        let target = self.target.load();
        let target = target.as_ref()?;
        let context = match parent {
            Some(parent) => parent.child(),
            None => TraceContext::root(|trace| target.keeps(trace)),
        };
        let parent = parent.map(TraceContext::span);
        Some(Span::new(context, parent, name, kind, &target.sink))
    }

    /// A step of what runs now, if that is kept: for what is no trace by itself.
    #[must_use]
    pub fn go_on(&self, name: &'static str, kind: SpanKind) -> Option<Span> {
        if !self.is_on() {
            return None;
        }
        let now = current().filter(TraceContext::is_sampled)?;
        self.begin_in(name, kind, Some(&now))
    }
}

impl Target {
    /// As OpenTelemetry's own sampler by ratio decides, so that all who use one agree.
    fn keeps(&self, trace: u128) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let low = trace as u64;
        low >> 1 < self.below
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer")
            .field("is_on", &self.is_on())
            .finish_non_exhaustive()
    }
}
