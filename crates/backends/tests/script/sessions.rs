//! Sessions of socket.red: openings, calls, what is pushed, closing.

use std::sync::Arc;

use parking_lot::Mutex;
use polyport_backends::{Provider, ScriptOptions};
use polyport_core::{CloseReason, Refused};

use crate::world::{World, example, wait_for};

fn tour() -> World {
    World::start(ScriptOptions {
        file: example("tour.js"),
        ..ScriptOptions::default()
    })
    .unwrap()
}

#[test]
fn the_tour() {
    let world = tour();
    let client = world.open("/token-abc?x=1");
    assert_eq!(
        client.lines(2),
        [
            "hi \"A new session has started\"",
            "action {\"type\":\"ACTION_TYPE\",\"payload\":\"Your action data\"}",
        ]
    );
    for (name, args, expected) in [
        ("clap", "[1]", "\"Clap Clap Clap with 1\""),
        (
            "clap",
            "[6]",
            "\"its difficult to clap with so many hands\"",
        ),
        ("clap", "[0]", "error: Cannot clap without any hands"),
        ("clap", "[21]", "error: What kind of a monster are you?"),
        ("sum", "[4,5]", "9"),
        ("slow", "[5,\"v\"]", "\"v\""),
        ("err", "[\"why\"]", "error: why"),
        ("err", "[\"\"]", "error: "),
        ("undef", "[]", "null"),
        ("obj", "[]", r#"{"a":1,"list":[1,"two",null,true,3.5]}"#),
    ] {
        client.check(name, args, expected);
    }
}

#[test]
fn openings_are_refused() {
    let world = tour();
    assert_eq!(world.refusal("/unauthorized"), Refused::Nobody);
    let down = Refused::failed("Session store is down");
    assert_eq!(world.refusal("/boom"), down);
    let started = std::time::Instant::now();
    world.open("/slow-auth").check("sum", "[1,2]", "3");
    assert!(started.elapsed().as_millis() >= 300);
}

#[test]
fn what_a_call_sends_precedes_its_answer() {
    let world = tour();
    let (first, second) = (world.open("/"), world.open("/"));
    first.lines(2);
    second.lines(2);
    first.ask("act", "[21]");
    assert_eq!(
        first.lines(2),
        [r#"action {"type":"ACT","payload":21}"#, "answer null"]
    );
    first.ask("notify", r#"["bare"]"#);
    assert_eq!(first.lines(2), ["bare null", "answer null"]);
    first.ask("createRecord", r#"["s",{"n":1}]"#);
    let action = r#"action {"type":"schema.insert","schema":"s","payload":{"id":7,"n":1}}"#;
    assert_eq!(first.lines(2), [action, "answer 7"]);
    assert_eq!(second.lines(1), [action]);
}

#[test]
fn a_session_is_closed_after_the_answer() {
    let world = tour();
    let client = world.open("/");
    client.lines(2);
    client.ask("closeSelf", "[]");
    assert_eq!(client.lines(1), ["answer true"]);
    wait_for(|| client.session.outbox().closing() == Some(CloseReason::Disconnected));
}

#[test]
fn only_the_names_of_the_api_are_answered() {
    let world = tour();
    let client = world.open("/");
    for name in [
        "toString",
        "constructor",
        "__proto__",
        "session",
        "hasOwnProperty",
        "nosuch",
    ] {
        assert!(!world.script.answers(&client.session, name), "{name}");
        client.check(name, "[]", "error: unknown action or invalid apiVersion");
    }
    assert!(world.script.answers(&client.session, "sum"));
}

#[test]
fn the_example_of_the_document_runs() {
    let world = World::start(ScriptOptions {
        file: example("socket-red.js"),
        ..ScriptOptions::default()
    })
    .unwrap();
    let client = world.open("/7");
    assert_eq!(client.lines(2)[0], "hi \"A new session has started\"");
    client.check("clap", "[1]", "\"Clap Clap Clap with 1\"");
    let identity = client.session.identity().unwrap();
    assert_eq!(identity.user.as_deref(), Some("7"));
    assert_eq!(world.refusal("/"), Refused::failed("Who are you?"));
}

#[test]
fn the_example_of_the_document_as_it_stands_is_refused_in_the_originals_words() {
    let world = World::of(include_str!("files/unrepaired.js"));
    let expected = "Cannot access 'session' before initialization".to_owned();
    let log = logged();
    assert_eq!(world.refusal("/7"), Refused::failed(expected));
    let log = String::from_utf8(log.lock().clone()).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains("`session` is used while"));
    let line = line.expect("the log says what is wrong");
    // The file, and the line of `api: new ServerApi(session)` in it.
    assert!(line.contains("main.js:57:"), "{line}");
    assert!(
        line.contains("session.api = new ServerApi(session)"),
        "{line}"
    );
}

/// What is logged from now on, by all tests of this process.
fn logged() -> Arc<Mutex<Vec<u8>>> {
    struct Writer(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log: Arc<Mutex<Vec<u8>>> = Arc::default();
    let written = Arc::clone(&log);
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || Writer(Arc::clone(&written)))
        .init();
    log
}

#[test]
fn the_api_may_come_from_on_start_and_the_close_hook_hears_the_code_once() {
    let world = World::of(
        "const ended = [];
         require('socket.red')(0, (url) => ({
           onStart() { return Promise.resolve({ ended: () => ended, url: () => url }); },
           onClose: (code, reason) => { ended.push([code, reason]); },
         }));",
    );
    let first = world.open("/a");
    first.check("url", "[]", "\"/a\"");
    first.end(4000, "hi");
    let second = world.open("/b");
    second.check("ended", "[]", "[[4000,\"hi\"]]");
}

#[test]
fn a_session_that_is_none_or_does_not_start_is_refused_with_a_text() {
    let world = World::of(
        "require('socket.red')(0, (url) => {
           if (url === '/nothing') return undefined;
           if (url === '/empty') throw new Error('');
           if (url === '/reject') return Promise.reject(new Error('later'));
           return { api: {}, onStart() { throw new Error('no start'); } };
         });",
    );
    let failed = |text: &str| Refused::failed(text);
    let none = "createSession gave no session: return an object, or null to refuse";
    assert_eq!(world.refusal("/nothing"), failed(none));
    assert_eq!(world.refusal("/empty"), failed("Internal Server Error"));
    assert_eq!(world.refusal("/reject"), failed("later"));
    assert_eq!(world.refusal("/start"), failed("no start"));
}

#[test]
fn several_engines_share_the_sessions() {
    let world = World::with(
        &[(
            "main.js",
            "let n = 0; require('socket.red')(0, () => ({ api: { count: () => ++n } }));",
        )],
        |options| options.instances = 2,
    )
    .unwrap();
    let clients = [world.open("/"), world.open("/")];
    for client in &clients {
        client.check("count", "[]", "1");
    }
    clients[0].check("count", "[]", "2");
}
