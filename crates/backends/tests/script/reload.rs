//! A script that is loaded anew while sessions go on.

use polyport_backends::Provider;

use crate::world::{World, wait_for};

fn text(version: u32) -> String {
    format!(
        "exports.a{version} = {{ name: 'a{version}', run: async () => ({{}}) }};
         require('socket.red')(0, (url, headers, origin, isTls, request) => {{
           const session = {{ onStart() {{ session.emit('hi', {version}); }} }};
           session.api = {{
             version: () => {version},
             url: () => [url, request.resumed],
             slow: () => new Promise((done) => setTimeout(done, 200, {version})),
             say: () => session.emit('said', {version}),
             only{version}: () => true,
           }};
           return session;
         }});"
    )
}

#[test]
fn sessions_stay_and_calls_in_flight_are_finished_by_the_code_that_began_them() {
    let world = World::with(&[("main.js", &text(1))], |options| options.watch = false).unwrap();
    let client = world.open("/a");
    assert_eq!(client.lines(1), ["hi 1"]);
    let slow = client.start("slow", "[]");
    client.check("version", "[]", "1");
    world.write("main.js", &text(2));
    let before = world.script.generation();
    world.script.reload();
    wait_for(|| world.script.generation() > before);
    client.check("version", "[]", "2");
    client.check("url", "[]", "[\"/a\",true]");
    let answer = slow
        .recv_timeout(std::time::Duration::from_secs(20))
        .unwrap();
    assert_eq!(crate::world::shown(&answer), "1");
    client.ask("say", "[]");
    let lines = client.lines(6);
    assert_eq!(lines.last().unwrap(), "answer null");
    assert!(
        lines.contains(&"said 2".to_owned()) && !lines.contains(&"hi 2".to_owned()),
        "{lines:?}"
    );
    assert!(world.script.answers(&client.session, "only2"));
    assert!(!world.script.answers(&client.session, "only1"));
    assert_eq!(world.script.actions()[0].name, "a2");
}

#[test]
fn a_script_that_cannot_be_loaded_changes_nothing() {
    let world = World::with(&[("main.js", &text(1))], |options| options.watch = false).unwrap();
    let client = world.open("/");
    world.write("main.js", "syntax error");
    world.script.reload();
    client.check("version", "[]", "1");
    assert_eq!(world.script.generation(), 0);
}

#[test]
fn a_changed_file_is_noticed() {
    let world = World::with(
        &[
            (
                "main.js",
                "const n = require('./n.js'); require('socket.red')(0, () => ({ api: { n: () => n } }));",
            ),
            ("n.js", "module.exports = 1;"),
        ],
        |_| {},
    )
    .unwrap();
    let client = world.open("/");
    client.check("n", "[]", "1");
    world.write("n.js", "module.exports = 2;");
    wait_for(|| world.script.generation() > 0);
    client.check("n", "[]", "2");
}

#[test]
fn a_file_that_changes_twice_within_a_tick_of_the_clock_is_noticed() {
    let text = |n: u32| format!("require('socket.red')(0, () => ({{ api: {{ n: () => {n} }} }}));");
    let world = World::with(&[("main.js", &text(1))], |_| {}).unwrap();
    let client = world.open("/");
    client.check("n", "[]", "1");
    world.replace_unnoticed("main.js", &text(20));
    wait_for(|| world.script.generation() > 0);
    client.check("n", "[]", "20");
}
