use std::sync::Arc;

use parking_lot::Mutex;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Default)]
struct Kept(Mutex<Vec<FinishedSpan>>);

impl SpanSink for Kept {
    fn take(&self, span: FinishedSpan) {
        self.0.lock().push(span);
    }
}

fn tracer(ratio: f64) -> (Tracer, Arc<Kept>) {
    let (tracer, kept) = (Tracer::default(), Arc::new(Kept::default()));
    tracer.turn_on(Arc::clone(&kept) as Arc<dyn SpanSink>, ratio);
    (tracer, kept)
}

#[test]
fn headers_are_read_and_written() {
    let read = TraceContext::read(PARENT, Some("vendor=1,other=2")).unwrap();
    assert_eq!(read.parent(), PARENT);
    assert_eq!(read.state(), Some("vendor=1,other=2"));
    assert!(read.is_sampled());
    let later = format!("01{}-more", &PARENT[2..]);
    let later = TraceContext::read(&later, None).unwrap();
    assert_eq!(later.parent(), PARENT, "what is known of a later version");
    let unkept = PARENT.replace("-01", "-02");
    let unkept = TraceContext::read(&unkept, Some("")).unwrap();
    assert!(!unkept.is_sampled() && unkept.state().is_none());
}

#[test]
fn what_is_malformed_is_ignored() {
    for parent in [
        "",
        "00",
        &PARENT[..54],
        &format!("{PARENT}-more"),
        &format!("{PARENT} "),
        &PARENT.replacen("00", "ff", 1),
        &PARENT.replace("4bf9", "4BF9"),
        &PARENT.replace('-', "_"),
        &PARENT.replace("00f067aa0ba902b7", "0000000000000000"),
        &PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        &PARENT.replace("01", "0+"),
        &"é".repeat(40),
    ] {
        assert_eq!(TraceContext::read(parent, None), None, "{parent}");
    }
    for state in ["a=\u{e9}", "a=\n", &"a".repeat(513)] {
        let read = TraceContext::read(PARENT, Some(state)).unwrap();
        assert_eq!(read.state(), None, "{state}");
    }
}

#[test]
fn what_runs_has_a_context_and_the_one_before_comes_back() {
    let [outer, inner] = ["01", "00"].map(|flags| {
        let text = PARENT.replace("-01", &format!("-{flags}"));
        TraceContext::read(&text, None).unwrap()
    });
    assert_eq!(current(), None);
    within(Some(&outer), || {
        within(None, || assert_eq!(current(), Some(outer.clone())));
        let panicked = std::panic::catch_unwind(|| within(Some(&inner), || panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(current(), Some(outer.clone()));
    });
    assert_eq!(current(), None);
}

#[test]
fn a_tracer_that_is_off_makes_nothing() {
    let (tracer, kept) = tracer(1.0);
    tracer.turn_off();
    let parent = TraceContext::read(PARENT, None);
    assert!(
        tracer
            .begin("x", SpanKind::Internal, parent.as_ref())
            .is_none()
    );
    assert!(tracer.begin_in("x", SpanKind::Internal, None).is_none());
    within(parent.as_ref(), || {
        assert!(tracer.go_on("x", SpanKind::Internal).is_none())
    });
    assert!(kept.0.lock().is_empty());
}

#[test]
fn parents_are_what_runs_then_what_is_given_then_nothing() {
    let (tracer, kept) = tracer(1.0);
    let given = TraceContext::read(PARENT, Some("a=b")).unwrap();
    let first = tracer
        .begin("first", SpanKind::Server, Some(&given))
        .unwrap();
    let mut second = within(Some(first.context()), || {
        tracer
            .begin("second", SpanKind::Client, Some(&given))
            .unwrap()
    });
    second.set("number", || 7_usize);
    second.set("text", || "é".repeat(200));
    second.fail("why");
    drop((second, first));
    drop(tracer.begin("third", SpanKind::Internal, None));
    let kept = kept.0.lock();
    let [second, first, third] = &**kept else {
        panic!("three spans")
    };
    assert_eq!(first.parent, Some(given.span()));
    assert_eq!(second.parent, Some(first.context.span()));
    assert_eq!(third.parent, None);
    assert_eq!(
        (second.context.trace(), second.context.state()),
        (given.trace(), Some("a=b"))
    );
    assert_ne!(third.context.trace(), given.trace());
    let texts = vec![
        ("number", Attribute::Number(7)),
        ("text", Attribute::from("é".repeat(128))),
    ];
    assert_eq!(second.attributes, texts, "a long text is cut");
    assert_eq!(second.error.as_deref(), Some("why"));
}

#[test]
fn a_share_is_kept_and_the_parent_decides() {
    let (tracer, kept) = tracer(0.25);
    for _ in 0..4000 {
        drop(tracer.begin("root", SpanKind::Internal, None));
    }
    let count = kept.0.lock().len();
    assert!((700..1300).contains(&count), "{count} of 4000");
    let parent = TraceContext::read(PARENT, None);
    for _ in 0..100 {
        drop(tracer.begin("child", SpanKind::Internal, parent.as_ref()));
    }
    assert_eq!(kept.0.lock().len(), count + 100);
    let unkept = TraceContext::read(&PARENT.replace("-01", "-00"), None);
    let span = tracer
        .begin("child", SpanKind::Internal, unkept.as_ref())
        .unwrap();
    assert!(
        span.context().parent().ends_with("-00"),
        "and says so to others"
    );
    drop(span);
    within(unkept.as_ref(), || {
        assert!(tracer.go_on("x", SpanKind::Internal).is_none())
    });
    assert_eq!(kept.0.lock().len(), count + 100);
}

#[test]
fn what_is_believed_of_a_client() {
    let (tracer, _kept) = tracer(0.25);
    let parent = || TraceContext::read(PARENT, Some("a=b")).unwrap();
    let adopt = |trust| tracer.adopt(parent(), trust);
    assert_eq!(adopt(ParentTrust::Trust), Some(parent()));
    assert_eq!(adopt(ParentTrust::Ignore), None);
    let mut kept = 0;
    for _ in 0..4000 {
        let ids = adopt(ParentTrust::Ids).unwrap();
        let known = (ids.trace(), ids.span(), ids.state());
        assert_eq!(known, (parent().trace(), parent().span(), None));
        kept += usize::from(ids.is_sampled());
    }
    assert!(
        (700..1300).contains(&kept),
        "{kept} of 4000 of the same ids"
    );
    let unkept = TraceContext::read(&PARENT.replace("-01", "-00"), None).unwrap();
    for _ in 0..100 {
        let ids = tracer.adopt(unkept.clone(), ParentTrust::Ids).unwrap();
        assert!(!ids.is_sampled(), "nor what its client does not keep");
    }
}
