//! Actions in all forms, and their inputs.

use polyport_backends::ScriptOptions;

use crate::world::{World, example};

#[test]
fn the_examples() {
    let world = World::start(ScriptOptions {
        file: example("actions.js"),
        ..ScriptOptions::default()
    })
    .unwrap();
    let client = world.open("/");
    client.check("reverse", r#"{"text":"abc"}"#, r#"{"reversed":"cba"}"#);
    client.check("reverse", r#"["abc"]"#, r#"{"reversed":"cba"}"#);
    client.check(
        "reverse",
        "{}",
        "error: text is a required parameter for this action",
    );
    client.check("addition", r#"{"a":"2"}"#, r#"{"sum":3}"#);
    client.check("addition", r#"{"a":"x"}"#, "error: a is no number");
    client.check("none", "{}", "error: unknown action or invalid apiVersion");
}

#[test]
fn classes_versions_and_failures() {
    let world = World::of(
        "const { Action } = require('actionhero');
         exports.Shout = class Shout extends Action {
           constructor() { super(); this.name = 'shout'; this.inputs = { text: { required: true } }; }
           async run({ params }) { return { text: params.text.toUpperCase() }; }
         };
         exports.one = { name: 'v', version: 1, run: async () => ({ v: 1 }) };
         exports.two = { name: 'v', version: 2, run: async () => ({ v: 2 }) };
         exports.fails = { name: 'fails', run(api, data, next) { setTimeout(() => next(new Error('why')), 1); } };
         exports.silent = { name: 'silent', run(api, data, next) { next(null, false); } };",
    );
    let client = world.open("/");
    client.check("shout", r#"{"text":"a"}"#, r#"{"text":"A"}"#);
    client.check("v", "{}", r#"{"v":2}"#);
    client.check("fails", "{}", "error: why");
    client.check("silent", "{}", "nothing");
}
