//! What scripts and clients of protocols with several arguments, binary and answers say to each other.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use polyport_core::{Arg, CallArgs, CloseReason, Json, Mixed, Refused};

use crate::world::{Answering, Client, World, shown, wait_for};

/// A script whose sessions have this api.
fn api(text: &str) -> World {
    World::of(&format!(
        "const polyport = require('polyport');
         const bytes = (...values) => new Uint8Array(values);
         require('socket.red')(0, () => {{
           const session = {{}};
           session.api = {{ {text} }};
           return session;
         }});"
    ))
}

fn binary(bytes: &'static [u8]) -> Arg {
    Arg::Binary(Bytes::from_static(bytes))
}

fn json(text: &str) -> Arg {
    Arg::Json(Json::parse(text).unwrap())
}

/// `{"in":[<00>]}`.
fn mixed() -> Arg {
    let texts = ["{\"in\":[", "]}"].map(Box::from).to_vec();
    Arg::Mixed(Arc::new(
        Mixed::new(texts, vec![Bytes::from_static(b"\0")]).unwrap(),
    ))
}

#[track_caller]
fn check_with(client: &Client, name: &str, args: &[Arg], expected: &str) {
    let told = client.start_with(name, CallArgs::List(args));
    let answer = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(shown(&answer), expected, "{name}");
}

#[test]
fn any_number_of_arguments_is_sent() {
    let world = api("none() { session.emit('none'); },
        one() { session.emit('one', { a: 1 }); },
        nothing() { session.emit('nothing', undefined); },
        many() { session.emit('many', 1, 'two', undefined, [3]); }");
    let client = world.open("/");
    for (name, expected) in [
        ("none", "none null"),
        ("one", r#"one {"a":1}"#),
        ("nothing", "nothing null"),
        ("many", r#"many [1,"two",null,[3]]"#),
    ] {
        client.ask(name, "[]");
        assert_eq!(client.lines(2), [expected, "answer null"]);
    }
}

#[test]
fn binary_is_sent_alone_and_inside_of_values() {
    let world = api("alone() { session.emit('bin', bytes(0, 255)); },
        buffer() { session.emit('bin', bytes(1, 2).buffer); },
        part() { session.emit('bin', bytes(1, 2, 3, 4).subarray(1, 3)); },
        inside() { session.emit('bin', { a: [bytes()] }, 't', bytes(7)); },
        action() { session.dispatch({ type: 'B', payload: bytes(7) }); },
        room() { polyport.join({ session: session.id }, 'r'); polyport.publish('r', 'bin', 1, { x: bytes(7) }); }");
    let client = world.open("/");
    let piece = |data: &str| format!(r#"{{"base64":true,"data":"{data}"}}"#);
    for (name, expected) in [
        ("alone", format!("bin {}", piece("AP8="))),
        ("buffer", format!("bin {}", piece("AQI="))),
        ("part", format!("bin {}", piece("AgM="))),
        (
            "inside",
            format!(r#"bin [{{"a":[{}]}},"t",{}]"#, piece(""), piece("Bw==")),
        ),
        (
            "action",
            format!(r#"action {{"type":"B","payload":{}}}"#, piece("Bw==")),
        ),
        ("room", format!(r#"bin [1,{{"x":{}}}]"#, piece("Bw=="))),
    ] {
        client.ask(name, "[]");
        assert_eq!(client.lines(2), [&expected, "answer null"], "{name}");
    }
}

#[test]
fn binary_arrives_as_bytes_and_an_object_that_looks_like_it_does_not() {
    let world = api(
        "seen: (...args) => args.map((it) => it instanceof Uint8Array ? [...it] : it),
        inside: (value) => [value.in[0] instanceof Uint8Array, value.in[0].length]",
    );
    let client = world.open("/");
    let args = [
        binary(b"\x00\xff"),
        json(r#"{"base64":true,"data":"AP8="}"#),
        json("1e3"),
    ];
    let expected = r#"[[0,255],{"base64":true,"data":"AP8="},1000]"#;
    check_with(&client, "seen", &args, expected);
    check_with(&client, "inside", &[mixed()], "[true,1]");
}

#[test]
fn actions_get_bytes_too() {
    let world = World::of(
        "exports.length = { name: 'length', inputs: { data: { required: true } },
           run: async ({ params }) => ({ length: params.data.length, is: params.data instanceof Uint8Array }) };",
    );
    let client = world.open("/");
    let expected = r#"{"length":3,"is":true}"#;
    check_with(&client, "length", &[binary(b"abc")], expected);
}

#[test]
fn answers_have_binary_and_several_arguments() {
    let world = api("plain: () => ({ a: 1 }),
        alone: () => bytes(0, 255),
        later: async () => ({ x: [bytes(1)] }),
        several: () => polyport.args(1, undefined, bytes(7)),
        soon: async () => polyport.args('a', { b: 2 }),
        none: () => polyport.args(),
        cycle: () => { const a = []; a.push(a); return polyport.args(a); }");
    let client = world.open("/");
    client.check("plain", "[]", r#"{"a":1}"#);
    client.check("alone", "[]", r#"args {"base64":true,"data":"AP8="}"#);
    client.check(
        "later",
        "[]",
        r#"args {"x":[{"base64":true,"data":"AQ=="}]}"#,
    );
    client.check(
        "several",
        "[]",
        r#"args [1,null,{"base64":true,"data":"Bw=="}]"#,
    );
    client.check("soon", "[]", r#"args ["a",{"b":2}]"#);
    client.check("none", "[]", "args null");
    let error = client.ask("cycle", "[]");
    assert!(
        error.starts_with("error: the result cannot be written as JSON"),
        "{error}"
    );
}

#[test]
fn texts_that_a_script_makes_by_itself_are_what_they_were() {
    let world = api("own: () => JSON.stringify([bytes(1, 2), bytes(3).buffer], null, 1),
        copy: () => structuredClone({ a: bytes(5) }),
        cached() { polyport.cache.set('k', [bytes(5)]); return polyport.cache.get('k'); },
        inside: () => ({ b: bytes(1), toJSON() { return [JSON.stringify(this.b), this.b]; } }),
        nested() { session.emit('outer', { toJSON() { session.emit('inner', 1); return [bytes(1)]; } }); }");
    let client = world.open("/");
    let expected = r#""[\n {\n  \"0\": 1,\n  \"1\": 2\n },\n {}\n]""#;
    client.check("own", "[]", expected);
    client.check("copy", "[]", r#"{"a":{"0":5}}"#);
    client.check("cached", "[]", r#"[{"0":5}]"#);
    let expected = r#"args ["{\"0\":1}",{"base64":true,"data":"AQ=="}]"#;
    client.check("inside", "[]", expected);
    client.lines(4);
    client.ask("nested", "[]");
    assert_eq!(
        client.lines(3)[..2],
        ["inner 1", r#"outer [{"base64":true,"data":"AQ=="}]"#]
    );
}

#[test]
fn a_client_is_asked_and_answers() {
    let world = api("ask: async (...args) => {
          const answer = await session.ask('q', ...args);
          return [answer.length, answer.map((it) => it instanceof Uint8Array ? [...it] : it)];
        },
        hold: () => session.ask('hold').catch((error) => [error instanceof Error, error.message])");
    let asks = Arc::new(Answering::default());
    let client = world.open_answering("/", &asks);
    client.check("ask", "[]", "[0,[]]");
    client.check("ask", r#"["a",{"b":1}]"#, r#"[2,["a",{"b":1}]]"#);
    check_with(&client, "ask", &[binary(b"\x01"), json("2")], "[2,[[1],2]]");
    client.lines(6);
    let held = client.start("hold", "[]");
    assert_eq!(client.lines(1), ["hold null"]);
    asks.go();
    let answer = held.recv_timeout(Duration::from_secs(20)).unwrap();
    let gone = r#"[true,"the client went without an answer"]"#;
    assert_eq!(shown(&answer), gone);
}

#[test]
fn a_client_that_does_not_answer_events_is_not_asked() {
    let world = api("ask: () => session.ask('q').catch((error) => error.message)");
    let client = world.open("/");
    let expected = r#""clients of this protocol do not answer events""#;
    client.check("ask", "[]", expected);
    assert_eq!(client.lines(1), [format!("answer {expected}")]);
}

#[test]
fn what_is_asked_at_the_start_waits_until_the_session_is_open() {
    let world = World::of(
        "require('socket.red')(0, (url) => ({
           onStart() {
             this.answer = this.ask('who', url);
             this.emit('hello');
             this.answer.catch(() => {});
             this.api = { answer: () => this.answer.catch((error) => error.message) };
           },
         }));",
    );
    let client = world.open_answering("/a", &Arc::default());
    assert_eq!(client.lines(2), ["who \"/a\"", "hello null"]);
    client.check("answer", "[]", r#"["/a"]"#);
    let expected = r#""clients of this protocol do not answer events""#;
    world.open("/b").check("answer", "[]", expected);
}

#[test]
fn a_session_leaves_after_its_answer_and_hears_nothing_more() {
    let world = api("leave() { session.leave(); return true; }, say() { session.emit('said'); }");
    let client = world.open_answering("/", &Arc::default());
    client.ask("leave", "[]");
    assert_eq!(client.lines(2), ["answer true", "left"]);
    client.ask("say", "[]");
    assert_eq!(client.lines(1), ["answer null"]);
    assert_eq!(client.session.outbox().closing(), None);

    let alone = world.open("/");
    alone.ask("leave", "[]");
    assert_eq!(alone.lines(1), ["answer true"]);
    wait_for(|| alone.session.outbox().closing() == Some(CloseReason::Disconnected));
}

#[test]
fn a_script_keeps_its_own_ask_and_leave() {
    let world = World::of(
        "class Session {
           constructor() { this.api = { own: () => [this.ask(), this.leave()] }; }
           ask() { return 'mine'; }
           leave() { return 'mine too'; }
         }
         require('socket.red')(0, () => new Session());",
    );
    let expected = r#"["mine","mine too"]"#;
    world.open("/").check("own", "[]", expected);
}

#[test]
fn a_refusal_carries_the_data_of_its_error() {
    let world = World::of(
        "const refuse = (text, data) => { throw Object.assign(new Error(text), { data }); };
         require('socket.red')(0, (url) => {
           if (url === '/data') refuse('not authorized', { retry: [1, null] });
           if (url === '/null') refuse('', null);
           if (url === '/none') refuse('boom', undefined);
           if (url === '/cycle') { const data = {}; data.data = data; refuse('boom', data); }
           if (url === '/later') return Promise.resolve().then(() => refuse('later', 7));
           return { onStart: () => refuse('no start', 'why') };
         });",
    );
    let refused = |text: &str, data: Option<&str>| Refused::Failed {
        text: text.to_owned(),
        data: data.map(|data| Json::parse(data).unwrap()),
    };
    let data = Some(r#"{"retry":[1,null]}"#);
    assert_eq!(world.refusal("/data"), refused("not authorized", data));
    let without_text = refused("Internal Server Error", Some("null"));
    assert_eq!(world.refusal("/null"), without_text);
    assert_eq!(world.refusal("/none"), refused("boom", None));
    assert_eq!(world.refusal("/cycle"), refused("boom", None));
    assert_eq!(world.refusal("/later"), refused("later", Some("7")));
    let not_started = refused("no start", Some("\"why\""));
    assert_eq!(world.refusal("/start"), not_started);
}
