//! What goes wrong in a script fails the one call that it happens to.

use std::time::Duration;

use polyport_core::{CallError, Refused};

use crate::world::World;

const FAULTS: &str = "
  require('socket.red')(0, () => ({ api: {
    ok: () => 'ok',
    never: () => new Promise(() => {}),
    loop: () => { for (;;); },
    loopLater: async () => { await null; for (;;); },
    loopInTimer: () => new Promise(() => setTimeout(() => { for (;;); }, 1)),
    microtasks: () => new Promise(() => { const f = () => Promise.resolve().then(f); f(); }),
    allocate: () => { const all = []; for (;;) all.push(new Array(1000).fill(1)); },
    keep: () => { globalThis.kept = []; for (;;) kept.push(new Array(1000).fill(1)); },
    recurse: function recurse() { return recurse() + 1; },
    throwNull: () => { throw null; },
    throwText: () => { throw 'a text'; },
    reject: () => Promise.reject(new Error('rejected')),
    cycle: () => { const a = {}; a.a = a; return a; },
    big: () => 1n,
    odd: () => [NaN, undefined, new Date(0)],
  } }));";

fn world() -> World {
    World::with(&[("main.js", FAULTS)], |options| {
        options.time = Duration::from_millis(100);
        options.timeout = Duration::from_millis(400);
        options.memory = 16 << 20;
    })
    .unwrap()
}

#[track_caller]
fn check(name: &str, expected: &str) {
    let world = world();
    let client = world.open("/");
    assert_eq!(client.ask(name, "[]"), expected, "{name}");
    client.check("ok", "[]", "\"ok\"");
}

#[test]
fn what_is_thrown_is_answered() {
    check(
        "throwNull",
        "error: the script threw null, or ran out of memory",
    );
    check("throwText", "error: a text");
    check("reject", "error: rejected");
    check("recurse", "error: Maximum call stack size exceeded");
}

#[test]
fn results_that_are_no_json() {
    check(
        "cycle",
        "error: the result cannot be written as JSON: circular reference",
    );
    check("odd", r#"[null,null,"1970-01-01T00:00:00.000Z"]"#);
    let world = world();
    let text = world.open("/").ask("big", "[]");
    assert!(
        text.starts_with("error: the result cannot be written as JSON: "),
        "{text}"
    );
}

#[test]
fn a_call_that_is_never_answered_has_a_deadline() {
    let world = world();
    assert_eq!(
        world.open("/").call("never", "[]"),
        Err(CallError::Deadline)
    );
}

#[test]
fn a_loop_is_interrupted() {
    for name in ["loop", "loopLater", "loopInTimer"] {
        check(name, "error: the script ran longer than 100 ms");
    }
}

#[test]
fn promises_without_end_cost_the_engine() {
    let world = world();
    let client = world.open("/");
    client.check(
        "microtasks",
        "[]",
        "error: the script ran longer than 100 ms",
    );
    world.open("/").check("ok", "[]", "\"ok\"");
}

#[test]
fn memory_has_a_bound() {
    check(
        "allocate",
        "error: the script used more than 16 MiB of memory",
    );
}

#[test]
fn an_engine_that_keeps_its_memory_is_replaced() {
    let world = world();
    let client = world.open("/");
    client.check(
        "keep",
        "[]",
        "error: the script used more than 16 MiB of memory",
    );
    world.open("/").check("ok", "[]", "\"ok\"");
}

#[test]
fn what_does_not_fit_into_the_queue_is_refused() {
    let world = World::with(&[("main.js", FAULTS)], |options| options.queue = 0).unwrap();
    let text = CallError::Overloaded.to_string();
    assert_eq!(world.refusal("/"), Refused::Unavailable(text));
}
