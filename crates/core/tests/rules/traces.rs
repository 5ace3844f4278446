//! Traces cost nothing while they are off, and hang together while they are on.

use std::sync::Arc;

use parking_lot::Mutex;
use polyport_core::{
    Answer, Call, CallArgs, CallError, Hub, Json, Reply, SessionRef,
    trace::{Attribute, FinishedSpan, SpanSink, TraceContext, current, within},
};

use crate::rig::{Answering, LineDialect, ListenerPlan, announce, member};

#[derive(Default)]
struct Kept(Mutex<Vec<FinishedSpan>>);

impl SpanSink for Kept {
    fn take(&self, span: FinishedSpan) {
        self.0.lock().push(span);
    }
}

impl Kept {
    fn on(hub: &Hub) -> Arc<Self> {
        let kept = Arc::new(Self::default());
        hub.tracer()
            .turn_on(Arc::clone(&kept) as Arc<dyn SpanSink>, 1.0);
        kept
    }

    /// The spans since this was last asked, in the order of their ends.
    fn take(&self) -> Vec<FinishedSpan> {
        std::mem::take(&mut *self.0.lock())
    }
}

fn number(span: &FinishedSpan, name: &str) -> i64 {
    let found = span.attributes.iter().find(|(known, _)| *known == name);
    match found {
        Some((_, Attribute::Number(number))) => *number,
        other => panic!("{name} of {}: {other:?}", span.name),
    }
}

#[test]
fn a_publish_has_a_delivery_that_says_how_many_and_in_how_many_forms() {
    let hub = Hub::new(0, None);
    let listeners = ["one", "two"].map(|name| {
        let mut plan = ListenerPlan::new(name);
        plan.dialect = LineDialect::new(name);
        plan.on(&hub)
    });
    let _members: Vec<_> = (0..10)
        .map(|i| member(&listeners[i % 2], "lobby"))
        .collect();
    announce(&listeners[0], "lobby", Json::NULL);
    let kept = Kept::on(&hub);
    announce(&listeners[0], "lobby", Json::NULL);
    let spans = kept.take();
    let [deliver, publish] = &*spans else {
        panic!("two spans: {spans:?}")
    };
    assert_eq!((&*publish.name, &*deliver.name), ("publish", "deliver"));
    assert_eq!(deliver.parent, Some(publish.context.span()));
    assert_eq!(number(deliver, "polyport.sessions"), 10);
    assert_eq!(number(deliver, "polyport.dialects"), 2);
    assert_eq!(number(publish, "polyport.sessions"), 10);
    hub.tracer().turn_off();
    announce(&listeners[0], "lobby", Json::NULL);
    assert!(kept.take().is_empty());
}

#[test]
fn a_delivery_without_a_trace_is_none() {
    let hub = Hub::new(0, None);
    let listener = ListenerPlan::new("tcp").on(&hub);
    let (session, _) = member(&listener, "lobby");
    let kept = Kept::on(&hub);
    let event = polyport_core::Event::new(crate::rig::name("news"), Json::NULL);
    let target = polyport_core::Target::Session(session.id());
    hub.deliver(target, &event);
    assert!(kept.take().is_empty());
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let context = TraceContext::read(parent, None);
    within(context.as_ref(), || hub.deliver(target, &event));
    let spans = kept.take();
    assert_eq!(spans.len(), 1);
    assert_eq!(number(&spans[0], "polyport.dialects"), 1);
    assert_eq!(spans[0].parent, context.map(|context| context.span()));
}

#[test]
fn a_call_has_a_span_that_its_backend_belongs_to() {
    let hub = Hub::new(0, None);
    let listener = ListenerPlan::new("tcp").on(&hub);
    let (session, _) = member(&listener, "lobby");
    let seen = Mutex::new(None);
    let backend = Answering(|_: &SessionRef, _: Call<'_>| {
        *seen.lock() = current();
        Answer::Now(Ok(Reply::Void))
    });
    let call = Call {
        action: "action",
        version: None,
        args: CallArgs::List(&[]),
    };
    let mut off = session.begin_call("action").unwrap();
    let answer = off.ask(&session, &backend, call);
    assert!(matches!(answer, Answer::Now(Ok(Reply::Void))));
    assert_eq!(*seen.lock(), None);
    drop(off.finish(None));
    let kept = Kept::on(&hub);
    let mut ticket = session.begin_call("action").unwrap();
    drop(ticket.ask(&session, &backend, call));
    drop(ticket.finish(None));
    let failed = session.begin_call("action").unwrap();
    drop(failed.finish(Some(&CallError::Deadline)));
    let unknown = session.begin_call("made up").unwrap();
    drop(unknown.finish(Some(&CallError::UnknownAction)));
    drop(session.begin_call("none after all").unwrap());
    let spans = kept.take();
    assert_eq!(seen.lock().as_ref(), Some(&spans[0].context));
    let told: Vec<_> = spans
        .iter()
        .map(|span| (&*span.name, span.error.as_deref()))
        .collect();
    let expected = [
        ("call action", None),
        ("call action", Some("deadline")),
        ("call", None),
    ];
    assert_eq!(told, expected);
}
