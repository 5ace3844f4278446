//! Modules, timers, and what `require('polyport')` does.

use crate::world::World;

#[track_caller]
fn error(files: &[(&str, &str)]) -> String {
    match World::with(files, |_| {}) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn files_beside_the_script_are_required() {
    let world = World::with(
        &[
            (
                "main.js",
                "const { twice } = require('./lib/math'); const data = require('./data.json');
                 require('socket.red')(0, () => ({ api: { twice, data: () => data } }));",
            ),
            (
                "lib/math.js",
                "exports.twice = (n) => n * require('./two');",
            ),
            ("lib/two.js", "module.exports = 2;"),
            ("data.json", "{\"a\":1}"),
        ],
        |_| {},
    )
    .unwrap();
    let client = world.open("/");
    client.check("twice", "[4]", "8");
    client.check("data", "[]", "{\"a\":1}");
}

#[test]
fn modules_are_imported() {
    let world = World::with(
        &[
            (
                "main.mjs",
                "import startServer from 'socket.red'; import { twice } from './lib.mjs'; import old from './old.js';
                 startServer(0, () => ({ api: { twice, old } }));",
            ),
            ("lib.mjs", "export const twice = (n) => 2 * n;"),
            ("old.js", "module.exports = () => 'old';"),
        ],
        |_| {},
    )
    .unwrap();
    let client = world.open("/");
    client.check("twice", "[4]", "8");
    client.check("old", "[]", "\"old\"");
}

#[test]
fn nothing_outside_of_the_folder_is_reached() {
    let outside = error(&[("in/main.js", "require('../other.js')"), ("other.js", "")]);
    assert_eq!(
        outside,
        "main.js:1:1: Cannot load module '../other.js': it is outside of the script's folder"
    );
    let package = error(&[("main.js", "require('fs')")]);
    assert!(
        package.starts_with("main.js:1:1: Cannot find module 'fs': "),
        "{package}"
    );
}

#[test]
fn what_fails_while_loading_says_where() {
    let found = error(&[("main.js", "let a = 1;\nlet b = ;\n")]);
    assert!(found.starts_with("main.js:2:"), "{found}");
    let found = error(&[("main.js", "\n\nthrow new Error('no')")]);
    assert!(
        found.starts_with("main.js:3:") && found.ends_with(": no"),
        "{found}"
    );
}

#[test]
fn timers_run_in_order_and_can_be_cleared() {
    let world = World::of(
        "require('socket.red')(0, () => ({ api: { run: () => new Promise((done) => {
           const seen = [];
           const never = setTimeout(() => seen.push('never'), 1);
           clearTimeout(never);
           setTimeout(() => seen.push('b'), 4);
           setTimeout((x) => seen.push(x), 1, 'a');
           let n = 0;
           const tick = setInterval(() => { if (++n === 2) { clearInterval(tick); done([...seen, n]); } }, 10);
         }) } }));",
    );
    world.open("/").check("run", "[]", "[\"a\",\"b\",2]");
}

#[test]
fn the_polyport_module_pushes_and_keeps() {
    let world = World::of(
        "const p = require('polyport');
         require('socket.red')(0, () => { const session = {}; session.api = {
           join: (room) => p.join({ session: session.id }, room),
           publish: (room, ...args) => p.publish({ room }, 'news', ...args),
           presence: (room) => p.presence(room).length,
           sessions: () => p.sessions({ room: 'r' }).map((s) => s.protocol),
           rooms: () => p.rooms(),
           keep: () => { p.cache.set('k', { a: 1 }, 60000); return p.cache.get('k'); },
           count: (name) => { p.counter(name).inc(2); },
           many: () => { for (let i = 0; i < 200; i++) p.counter('c' + i).inc(); },
           wrong: () => p.publish({}, 'x'),
         }; return session; });",
    );
    let client = world.open("/");
    client.check("join", "[\"r\"]", "1");
    client.lines(1);
    client.check("publish", "[\"r\",1,2]", "1");
    assert_eq!(client.lines(2), ["news [1,2]", "answer 1"]);
    client.check("presence", "[\"r\"]", "1");
    client.check("sessions", "[]", "[\"lines\"]");
    client.check("rooms", "[]", "[\"r\"]");
    client.check("keep", "[]", "{\"a\":1}");
    client.check("count", "[\"seen\"]", "null");
    client.check("many", "[]", "error: a script has at most 100 counters");
    let wrong = client.ask("wrong", "[]");
    assert!(
        wrong.starts_with("error: a target needs exactly one of"),
        "{wrong}"
    );
}

#[test]
fn permission_hooks_are_asked() {
    use polyport_backends::Provider;
    use polyport_core::{Ask, Denial, Json, RoomName};
    let world = World::of(
        "exports.onJoin = (session, room) => room === 'hidden' ? false : room !== 'secret' || 'not there';",
    );
    assert!(world.script.hooks().join && !world.script.hooks().open);
    let client = world.open("/");
    let may = |room| {
        let ask = Ask::Join(RoomName::new(room).unwrap());
        crate::world::block_on(world.script.may(&client.session, &ask))
    };
    assert_eq!(may("open"), Ok(()));
    let denial = |text: &str, error: Option<&str>| Denial {
        text: text.to_owned(),
        error: error.map(Json::string),
    };
    assert_eq!(may("secret"), Err(denial("not there", Some("not there"))));
    assert_eq!(may("hidden"), Err(denial("not authorized", None)));
}

#[test]
fn fetch_reaches_the_hosts_that_are_allowed() {
    let world = World::with(
        &[(
            "main.js",
            "require('socket.red')(0, () => ({ api: {
               async get(url, body) {
                 const answer = await fetch(url, { method: 'post', body });
                 return [answer.status, answer.ok, answer.headers.get('X-Method'), await answer.json()];
               },
               text: () => new TextDecoder().decode(new TextEncoder().encode('h\u{e9}')),
             } }));",
        )],
        |options| options.fetch = vec!["api.example".to_owned()],
    )
    .unwrap();
    let client = world.open("/");
    client.check(
        "get",
        r#"["https://api.example/x","{\"a\":1}"]"#,
        r#"[201,true,"POST",{"a":1}]"#,
    );
    client.check(
        "get",
        r#"["https://api.example/broken","1"]"#,
        "error: fetch: the link broke",
    );
    client.check(
        "get",
        r#"["https://other.example/","1"]"#,
        "error: fetch: the host `other.example` is not in this backend's setting `fetch`",
    );
    client.check("text", "[]", "\"h\u{e9}\"");
}
