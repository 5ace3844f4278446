//! One step of a trace: when it began and ended, and what is known of it.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{SpanSink, TraceContext};

/// Longest text of an attribute, in bytes; the rest is cut off.
const MAX_TEXT: usize = 256;

/// Whose side of what a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Inside.
    Internal,
    /// It answers somebody.
    Server,
    /// It waits for somebody's answer.
    Client,
    /// It sends what others get later.
    Producer,
    /// It gets what others have sent.
    Consumer,
}

/// What is known of a step under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Attribute {
    fn from(mut text: String) -> Self {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        Self::Text(text.into())
    }
}

impl From<usize> for Attribute {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A step that has ended.
#[derive(Debug, Clone)]
pub struct FinishedSpan {
    /// Where it stands.
    pub context: TraceContext,
    /// The number of the span that it is a part of.
    pub parent: Option<u64>,
    /// What it is.
    pub name: Cow<'static, str>,
    /// Whose side.
    pub kind: SpanKind,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it has failed, if it has.
    pub error: Option<Cow<'static, str>>,
}

/// A step of a trace that goes on. It ends when it is dropped. Of a trace that is not kept there is only its context.
pub struct Span(Box<Inner>);

struct Inner {
    context: TraceContext,
    kept: Option<Kept>,
}

struct Kept {
    parent: Option<u64>,
    name: Cow<'static, str>,
    kind: SpanKind,
    started: SystemTime,
    began: Instant,
    attributes: Vec<(&'static str, Attribute)>,
    error: Option<Cow<'static, str>>,
    sink: Arc<dyn SpanSink>,
}

impl Span {
    pub(super) fn new(
        context: TraceContext,
        parent: Option<u64>,
        name: &'static str,
        kind: SpanKind,
        sink: &Arc<dyn SpanSink>,
    ) -> Self {
        let kept = context.is_sampled.then(|| Kept {
            parent,
            name: name.into(),
            kind,
            started: SystemTime::now(),
            began: Instant::now(),
            attributes: Vec::new(),
            error: None,
            sink: Arc::clone(sink),
        });
        Self(Box::new(Inner { context, kept }))
    }

    /// Where it stands: what belongs to it follows this.
    #[must_use]
    pub fn context(&self) -> &TraceContext {
        &self.0.context
    }

    /// Adds to its name what an attribute says.
    pub fn rename_by(&mut self, attribute: &str) {
        let Some(kept) = &mut self.0.kept else {
            return;
        };
        let mut attributes = kept.attributes.iter();
        let found = attributes.find(|(name, _)| *name == attribute);
        if let Some((_, Attribute::Text(text))) = found {
            kept.name = format!("{} {text}", kept.name).into();
        }
    }

    /// Adds what is known of it; `value` is not asked where nobody keeps it.
    pub fn set<A: Into<Attribute>>(&mut self, name: &'static str, value: impl FnOnce() -> A) {
        if let Some(kept) = &mut self.0.kept {
            kept.attributes.push((name, value().into()));
        }
    }

    /// Ends it as if it had not been.
    pub fn discard(mut self) {
        self.0.kept = None;
    }

    /// Says that it has failed, and why.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(kept) = &mut self.0.kept {
            kept.error = Some(why.into());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(kept) = self.0.kept.take() else {
            return;
        };
        kept.sink.take(FinishedSpan {
            context: self.0.context.clone(),
            parent: kept.parent,
            name: kept.name,
            kind: kept.kind,
            started: kept.started,
            took: kept.began.elapsed(),
            attributes: kept.attributes,
            error: kept.error,
        });
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.0.context).finish()
    }
}
