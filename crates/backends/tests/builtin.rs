//! The builtin actions, each with the outputs of every version's clients. The expectations are the original servers' own
//! answers, recorded on a TCP connection, without the envelope.

#[path = "support/authenticate.rs"]
mod authenticate;
mod support;

use polyport_backends::builtin::BuiltinOptions;
use polyport_core::{Answer, Backend, Permissions, RoomName};
use support::World;

fn classic() -> World {
    World::new(&BuiltinOptions::classic())
}

fn v9() -> World {
    World::new(&BuiltinOptions::v9())
}

fn v12() -> World {
    World::new(&BuiltinOptions::v12())
}

fn v18() -> World {
    World::new(&BuiltinOptions::v18())
}

fn v20() -> World {
    World::new(&BuiltinOptions::v20())
}

fn v29() -> World {
    World::new(&BuiltinOptions::v29())
}

const UNKNOWN: &str = "error: unknown action or invalid apiVersion";

#[test]
fn random_number() {
    for world in [classic(), v9(), v12()] {
        world.check("randomNumber", "{}", r#"{"randomNumber":<n>}"#);
    }
    let sentence = r#"{"randomNumber":<n>,"stringRandomNumber":"Your random number is <n>"}"#;
    for world in [v18(), v20(), v29()] {
        world.check("randomNumber", "{}", sentence);
        world.check("randomNumber", r#"{"apiVersion":1}"#, sentence);
        world.check("randomNumber", r#"{"apiVersion":"1"}"#, sentence);
        world.check("randomNumber", r#"{"apiVersion":2}"#, UNKNOWN);
    }
}

#[tokio::test]
async fn the_sentence_has_the_same_number() {
    let answer = v18().ask("randomNumber", "{}").await;
    let (number, sentence) = answer.split_once(',').unwrap();
    let number = number.strip_prefix(r#"{"randomNumber":"#).unwrap();
    assert!(sentence.ends_with(&format!(" {number}\"}}")), "{answer}");
}

#[test]
fn names_are_case_sensitive() {
    for name in [
        "nosuchAction",
        "RandomNumber",
        "",
        "randomNumber ",
        "\0\0\0\0",
    ] {
        classic().check(name, "{}", UNKNOWN);
    }
}

#[test]
fn cache_test_needs_key_and_value() {
    for world in [classic(), v9(), v12(), v18(), v20(), v29()] {
        let missing_key = "error: key is a required parameter for this action";
        let missing_value = "error: value is a required parameter for this action";
        world.check("cacheTest", "{}", missing_key);
        world.check("cacheTest", r#"{"value":"abc"}"#, missing_key);
        world.check("cacheTest", r#"{"key":"","value":"abc"}"#, missing_key);
        world.check("cacheTest", r#"{"key":"k1"}"#, missing_value);
        world.check("cacheTest", r#"{"key":"key1","value":""}"#, missing_value);
    }
}

#[test]
fn cache_test_tells_what_it_loaded() {
    #[track_caller]
    fn check(world: &World, loaded: &str) {
        let expected = format!(
            r#"{{"cacheTestResults":{{"saveResp":true,"sizeResp":1,"loadResp":{loaded},"deleteResp":true}}}}"#
        );
        world.check(
            "cacheTest",
            r#"{"key":"myKey","value":"myValue"}"#,
            &expected,
        );
    }
    let read_at = r#"{"key":"cacheTest_myKey","value":"myValue","expireTimestamp":<n>,"createdAt":<t>,"readAt":null}"#;
    let last_read_at = r#"{"key":"cacheTest_myKey","value":"myValue","expireTimestamp":<n>,"createdAt":<t>,"lastReadAt":null}"#;
    check(
        &classic(),
        r#"{"key":"cacheTest_myKey","value":"myValue","expireTimestamp":<n>,"createdAt":<t>,"readAt":<t>}"#,
    );
    check(&v9(), read_at);
    check(&v12(), read_at);
    check(&v18(), last_read_at);
    check(&v20(), last_read_at);
    check(
        &v29(),
        r#"{"key":"cacheTest_myKey","value":"myValue","createdAt":<t>}"#,
    );
}

#[tokio::test]
async fn cache_test_expires_after_exactly_five_seconds() {
    let answer = v12()
        .ask("cacheTest", r#"{"key":"key","value":"value"}"#)
        .await;
    let after = |name: &str| -> u64 {
        let (_, rest) = answer.split_once(name).unwrap();
        rest.split(',').next().unwrap().parse().unwrap()
    };
    assert_eq!(
        after(r#""expireTimestamp":"#) - after(r#""createdAt":"#),
        5000
    );
}

#[test]
fn cache_test_makes_text_of_its_inputs() {
    #[track_caller]
    fn check(world: &World, key: &str, value: &str, loaded: &str) {
        let params = format!(r#"{{"key":{key},"value":{value}}}"#);
        let expected = format!(
            r#"{{"cacheTestResults":{{"saveResp":true,"sizeResp":1,"loadResp":{{{loaded},"createdAt":<t>}},"deleteResp":true}}}}"#
        );
        world.check("cacheTest", &params, &expected);
    }
    check(
        &v29(),
        r#""key1""#,
        "123456",
        r#""key":"cacheTest_key1","value":"123456""#,
    );
    check(
        &v29(),
        r#""key1""#,
        r#"{"a":1}"#,
        r#""key":"cacheTest_key1","value":"[object Object]""#,
    );
    check(
        &v29(),
        "null",
        r#""abc""#,
        r#""key":"cacheTest_null","value":"abc""#,
    );
    check(
        &v29(),
        "[1,[2]]",
        "1.50e3",
        r#""key":"cacheTest_1,2","value":"1500""#,
    );
    check(
        &v29(),
        r#""ünï\n☃""#,
        r#""\"\\\"""#,
        r#""key":"cacheTest_ünï\n☃","value":"\"\\\"""#,
    );
}

#[test]
fn cache_test_of_version_9_keeps_values_as_they_are() {
    let expected = r#"{"cacheTestResults":{"saveResp":true,"sizeResp":1,"loadResp":{"key":"cacheTest_5","value":{"a":1},"expireTimestamp":<n>,"createdAt":<t>,"readAt":null},"deleteResp":true}}"#;
    v9().check("cacheTest", r#"{"key":5,"value":{"a":1}}"#, expected);
}

#[test]
fn null_is_missing_where_it_is_not_made_text() {
    let missing = "error: key is a required parameter for this action";
    for world in [classic(), v9()] {
        world.check("cacheTest", r#"{"key":null,"value":"abc"}"#, missing);
    }
}

#[test]
fn cache_test_demands_three_letters() {
    const VALUE: &str = "error: `value` should be at least 3 letters long";
    const INPUTS: &str = "error: inputs should be at least 3 letters long";
    const FINE: &str =
        r#"{"cacheTestResults":{"saveResp":true,"sizeResp":1,"loadResp":{"key":"cacheTest_"#;
    #[track_caller]
    fn check(world: &World, params: &str, expected: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let found = runtime.block_on(world.ask("cacheTest", params));
        assert!(found.starts_with(expected), "{params}: {found}");
    }
    let short_value = r#"{"key":"key1","value":"ab"}"#;
    let short_key = r#"{"key":"k","value":"abc"}"#;
    let emoji = r#"{"key":"key","value":"a😀"}"#;
    check(&classic(), short_value, FINE);
    check(&v9(), short_value, FINE);
    check(&v12(), short_value, VALUE);
    check(&v12(), short_key, FINE);
    check(&v12(), emoji, FINE);
    check(&v18(), short_value, INPUTS);
    check(&v18(), short_key, INPUTS);
    check(&v29(), short_value, INPUTS);
    check(&v18(), emoji, FINE);
}

#[test]
fn sleep_test() {
    #[track_caller]
    fn check(world: &World, params: &str, duration: &str) {
        let expected = format!(
            r#"{{"sleepStarted":<t>,"sleepEnded":<t>,"sleepDelta":<n>,"sleepDuration":{duration}}}"#
        );
        world.check("sleepTest", params, &expected);
    }
    for world in [classic(), v12(), v18(), v29()] {
        check(&world, r#"{"sleepDuration":5}"#, "5");
        check(&world, r#"{"sleepDuration":"7"}"#, "7");
        check(&world, r#"{"sleepDuration":"7abc"}"#, "7");
        check(&world, r#"{"sleepDuration":"abc"}"#, "null");
        check(&world, r#"{"sleepDuration":""}"#, "null");
        check(&world, r#"{"sleepDuration":-5}"#, "-5");
        check(&world, r#"{"sleepDuration":2.9}"#, "2");
    }
    check(&v12(), r#"{"sleepDuration":null}"#, "null");
    check(&v9(), r#"{"sleepDuration":"7"}"#, "7");
    check(&v9(), r#"{"sleepDuration":-5}"#, "-5");
    classic().check(
        "sleepTest",
        r#"{"sleepDuration":null}"#,
        "error: sleepDuration is a required parameter for this action",
    );
}

/// In virtual time, so that seconds and weeks take none.
#[tokio::test(start_paused = true)]
async fn sleep_test_takes_its_time() {
    async fn check(world: World, params: &str, expected_ms: u128) {
        let started = tokio::time::Instant::now();
        world.ask("sleepTest", params).await;
        assert_eq!(started.elapsed().as_millis(), expected_ms, "{params}");
    }
    check(classic(), "{}", 1000).await;
    check(v9(), "{}", 1000).await;
    check(v9(), r#"{"sleepDuration":"abc"}"#, 1000).await;
    check(v9(), r#"{"sleepDuration":null}"#, 1000).await;
    check(classic(), r#"{"sleepDuration":0}"#, 1).await;
    check(classic(), r#"{"sleepDuration":"abc"}"#, 1).await;
    check(classic(), r#"{"sleepDuration":250}"#, 250).await;
    check(
        classic(),
        r#"{"sleepDuration":"9999999999999"}"#,
        2_147_483_647,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn huge_sleeps_print_as_in_javascript() {
    let huge = format!(r#"{{"sleepDuration":"{}"}}"#, "9".repeat(400));
    for (params, duration) in [
        (r#"{"sleepDuration":"1000000000000000000000"}"#, "1e+21"),
        (r#"{"sleepDuration":1e21}"#, "1"),
        (&huge, "null"),
    ] {
        let answer = classic().ask("sleepTest", params).await;
        assert!(
            answer.ends_with(&format!(r#""sleepDuration":{duration}}}"#)),
            "{answer}"
        );
    }
}

#[test]
fn only_sleep_test_answers_later() {
    let world = v18();
    let described = world.registry().describe();
    let later: Vec<&str> = described
        .iter()
        .map(|info| info.name.as_str())
        .filter(|name| matches!(world.start(name, "{}"), Answer::Later(_)))
        .collect();
    assert_eq!(later, ["sleepTest"]);
}

#[test]
fn status() {
    let version = env!("CARGO_PKG_VERSION");
    let short = r#"{"id":"node-1","actionheroVersion":"12.5.0","uptime":<n>}"#;
    classic().check("status", "{}", short);
    v12().check("status", "{}", short);
    v9().check(
        "status",
        "{}",
        r#"{"id":"node-1","uptime":<n>,"stats":{},"queues":{}}"#,
    );
    for (world, actionhero) in [(v18(), "18.1.4"), (v20(), "20.0.0")] {
        let expected = format!(
            r#"{{"nodeStatus":"Node Healthy","problems":[],"id":"node-1","actionheroVersion":"{actionhero}","uptime":<n>,"name":"polyport","description":"{DESCRIPTION}","version":"{version}","consumedMemoryMB":<n>,"eventLoopDelay":0,"resqueTotalQueueLength":0}}"#
        );
        world.check("status", "{}", &expected);
    }
    let expected = format!(
        r#"{{"id":"node-1","actionheroVersion":"29.3.5","name":"polyport","description":"{DESCRIPTION}","version":"{version}","uptime":<n>,"consumedMemoryMB":<n>,"resqueTotalQueueLength":0,"nodeStatus":"Node Healthy","problems":[]}}"#
    );
    v29().check("status", "{}", &expected);
}

const DESCRIPTION: &str = "real-time gateway";

#[test]
fn create_chat_room() {
    let created = [
        (v9(), UNKNOWN, UNKNOWN),
        (v12(), UNKNOWN, UNKNOWN),
        (classic(), r#"{"didCreate":1}"#, "error: room exists"),
        (v18(), r#"{"didCreate":1}"#, "error: room exists"),
        (v20(), r#"{"didCreate":1}"#, "error: room exists"),
        (
            v29(),
            r#"{"name":"fresh","didCreate":true}"#,
            r#"{"name":"fresh","didCreate":false}"#,
        ),
    ];
    for (world, first, second) in created {
        world.check("createChatRoom", r#"{"name":"fresh"}"#, first);
        world.check("createChatRoom", r#"{"name":"fresh"}"#, second);
        let exists = world
            .session()
            .listener()
            .realm()
            .exists(RoomName::new("fresh").unwrap());
        assert_eq!(exists, first != UNKNOWN);
    }
    classic().check(
        "createChatRoom",
        "{}",
        "error: name is a required parameter for this action",
    );
}

#[test]
fn a_room_that_only_its_members_keep_exists_already() {
    let world = classic();
    let room = RoomName::new("occupied").unwrap();
    world.session().put_into(&room).unwrap();
    world.check(
        "createChatRoom",
        r#"{"name":"occupied"}"#,
        "error: room exists",
    );
    world.session().leave(&room).unwrap();
    assert!(world.session().listener().realm().exists(&room));
}

#[test]
fn rooms_have_bounds() {
    let world = World::new(&BuiltinOptions {
        max_rooms: 2,
        ..BuiltinOptions::classic()
    });
    world.check("createChatRoom", r#"{"name":"a"}"#, r#"{"didCreate":1}"#);
    world.check("createChatRoom", r#"{"name":5}"#, r#"{"didCreate":1}"#);
    world.check("createChatRoom", r#"{"name":"c"}"#, "error: too many rooms");
    world.check("createChatRoom", r#"{"name":"5"}"#, "error: room exists");
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(1025));
    world.check(
        "createChatRoom",
        &long,
        "error: a name may not be longer than 1024 bytes",
    );
}

#[test]
fn who_may_not_join_a_room_may_not_create_it() {
    let any = ["chat-*".to_owned()];
    let permissions = Permissions::new(&any, &any, &[]).unwrap();
    let world = World::with_permissions(&BuiltinOptions::classic(), permissions);
    world.check(
        "createChatRoom",
        r#"{"name":"chat-1"}"#,
        r#"{"didCreate":1}"#,
    );
    world.check(
        "createChatRoom",
        r#"{"name":"staff"}"#,
        "error: not authorized to create room",
    );
}

#[test]
fn validation_test() {
    for world in [classic(), v9(), v12()] {
        world.check("validationTest", r#"{"string":"hello"}"#, UNKNOWN);
    }
    for world in [v18(), v20(), v29()] {
        let failed = r#"error: Input for parameter "string" failed validation!"#;
        let missing = "error: string is a required parameter for this action";
        world.check(
            "validationTest",
            r#"{"string":"hello"}"#,
            r#"{"string":"hello"}"#,
        );
        world.check("validationTest", r#"{"string":5}"#, failed);
        world.check("validationTest", r#"{"string":["a"]}"#, failed);
        world.check("validationTest", "{}", missing);
        world.check("validationTest", r#"{"string":null}"#, missing);
        world.check("validationTest", r#"{"string":""}"#, missing);
    }
}

/// Versions 17 to 20 list an input's functions only once its action has run; the recording is completed to that state.
#[test]
fn documentation() {
    #[track_caller]
    fn check(world: &World, recorded: &str) {
        world.check("showDocumentation", "{}", recorded.trim_end());
        let whole = format!(
            r#"{{"documentation":{}}}"#,
            world.registry().documentation().as_str()
        );
        assert_eq!(whole, recorded.trim_end());
    }
    check(&v9(), include_str!("documentation/v9.json"));
    check(&v12(), include_str!("documentation/v12.json"));
    check(&v18(), include_str!("documentation/v20.json"));
    check(&v20(), include_str!("documentation/v20.json"));
    v29().check("showDocumentation", "{}", UNKNOWN);
}

#[test]
fn classic_documents_the_rooms_action_too() {
    let world = classic();
    let names: Vec<String> = world
        .registry()
        .documentation()
        .decode::<serde_json::Map<String, serde_json::Value>>()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        names,
        [
            "cacheTest",
            "createChatRoom",
            "randomNumber",
            "showDocumentation",
            "sleepTest",
            "status"
        ]
    );
}
