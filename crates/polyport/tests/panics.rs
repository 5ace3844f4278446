//! What is written when something panics: run in a process of its own, that logs as the gateway does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env,
    panic::panic_any,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use polyport::{
    config::{LogConfig, LogFormat},
    logging::{self, Repeats},
};
use polyport_core::trace::{self, TraceContext};
use serde_json::{Map, Value, json};

/// The variable that makes a run of this program one that panics, and says in which way.
const WAY: &str = "PANICS_IN_THIS_WAY";

/// So many of the same are written.
const MOST: u32 = 3;

type Record = Map<String, Value>;

fn panic_in(way: &str) {
    let log = logging::init(&LogConfig {
        filter: logging::parse_filter("error").unwrap(),
        format: LogFormat::Json,
        repeats: Repeats {
            most: MOST,
            period: Duration::from_secs(60),
        },
    });
    let log = log.unwrap();
    let on_thread = |work: fn()| {
        let thread = thread::Builder::new().name("at work".to_owned());
        thread.spawn(work).unwrap().join().unwrap_err();
    };
    match way {
        "text" => on_thread(|| panic!("two\nlines of \"text\" \u{1b}[31m{}", 7)),
        "no text" => on_thread(|| panic_any(7)),
        "overflow" => on_thread(|| {
            let none: [u8; 0] = [];
            let index = env::args().count();
            let _ = none[index];
        }),
        "task" => {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            let context = TraceContext::read(parent, None).unwrap();
            let task =
                runtime.spawn(async move { trace::within(Some(&context), || panic!("in a task")) });
            assert!(runtime.block_on(task).unwrap_err().is_panic());
        }
        "again and again" => {
            for _ in 0..10 {
                on_thread(|| panic!("once more"));
            }
            log.tell_rest();
        }
        _ => unreachable!("{way}"),
    }
}

/// What a process that panics in this way has written to standard error: records, and nothing else.
fn written(way: &str, backtrace: &str) -> Vec<Record> {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_panic_is_a_record", "--nocapture"])
        .env(WAY, way)
        .env("RUST_BACKTRACE", backtrace)
        .env_remove("RUST_LIB_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{way}: {text}");
    let lines = text.lines();
    let records = lines.map(|line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{way}: {error}: {line}"))
    });
    records.collect()
}

/// One record of level error, without what is another each time.
fn only(way: &str, backtrace: &str) -> Record {
    let mut records = written(way, backtrace);
    assert_eq!(records.len(), 1, "{records:?}");
    let mut record = records.remove(0);
    assert!(
        record.values().all(|value| !value.is_object()),
        "it is flat"
    );
    let timestamp = record.remove("timestamp").unwrap();
    let timestamp: jiff::Timestamp = timestamp.as_str().unwrap().parse().unwrap();
    assert!(timestamp.duration_until(jiff::Timestamp::now()).as_secs() < 60);
    let location = record.remove("location").unwrap();
    let location = location.as_str().unwrap();
    assert!(
        location.contains("crates/polyport/tests/panics.rs:"),
        "{location}"
    );
    record
}

fn expected(message: &str) -> Value {
    json!({
        "level": "ERROR",
        "message": message,
        "target": "polyport::panics",
        "thread": "at work",
    })
}

#[test]
fn a_panic_is_a_record() {
    if let Ok(way) = env::var(WAY) {
        panic_in(&way);
        return;
    }
    let check = |way: &str, message: &str| {
        assert_eq!(Value::Object(only(way, "0")), expected(message));
    };
    check("text", "panicked: two\nlines of \"text\" \u{1b}[31m7");
    check("no text", "panicked: no text");
    check(
        "overflow",
        "panicked: index out of bounds: the len is 0 but the index is 4",
    );
    in_a_task_with_its_trace();
    with_the_way_to_it();
    not_each_time();
}

fn in_a_task_with_its_trace() {
    let mut record = only("task", "0");
    let thread = record.remove("thread").unwrap();
    assert!(thread.as_str().unwrap().starts_with("tokio"), "{thread}");
    let expected = json!({
        "level": "ERROR",
        "message": "panicked: in a task",
        "target": "polyport::panics",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
    });
    assert_eq!(Value::Object(record), expected);
}

fn with_the_way_to_it() {
    let mut record = only("text", "1");
    let backtrace = record.remove("backtrace").unwrap();
    let backtrace = backtrace.as_str().unwrap();
    assert!(backtrace.contains("panics::panic_in"), "{backtrace}");
}

fn not_each_time() {
    let records = written("again and again", "0");
    let (last, panics) = records.split_last().unwrap();
    assert_eq!(panics.len(), MOST as usize);
    for panic in panics {
        assert_eq!(panic["message"], "panicked: once more");
    }
    assert_eq!(
        [&last["left_out"], &last["of"], &last["module"]],
        [
            &json!(7),
            &json!("panicked: once more"),
            &json!("polyport::panics")
        ]
    );
}
