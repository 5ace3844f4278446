//! Sticky params (section 7 of the protocol page).

use super::world::{Setup, Version, World};

const OK: &str = r#"{"status":"OK","context":"response"<null>,<n>}"#;
const RANDOM: &str = r#"{<rnd>,"context":"response",<n>}"#;
const FULL: &str = r#"{"<failed>":"too many params","context":"response",<n>}"#;

/// Says lines to a fresh connection of every version, and then looks at its params.
#[track_caller]
fn check(lines: &[&str], params: &str) {
    for version in Version::ALL {
        check_in(version, lines, params);
    }
}

#[track_caller]
fn check_in(version: Version, lines: &[&str], params: &str) {
    let mut client = World::new(version).connect();
    lines
        .iter()
        .for_each(|line| client.sends(format!("{line}\n")));
    client.hears();
    client.sends("paramsView\n");
    let reply = format!(r#"{{"status":"OK","context":"response","data":{params},<n>}}"#);
    let count = lines.len() as u64 + 1;
    client.expects(&[&version.expand(&reply, count)]);
}

#[test]
fn keys_and_values_of_a_line() {
    check(&["paramAdd key=v"], r#"{"key":"v"}"#);
    check(&["paramAdd key v"], r#"{"key":"v"}"#);
    check(&["paramAdd key=a=b c"], r#"{"key":"a=b c"}"#);
    check(&["paramAdd key a b"], r#"{"key":"a b"}"#);
    check(&["paramAdd key="], r#"{"key":""}"#);
    check(&["paramAdd key=v", "paramAdd key"], "{}");
    check(&["paramAdd key=\"q\""], r#"{"key":"\"q\""}"#);
    check(&["paramAdd key=1"], r#"{"key":"1"}"#);
    check(&["paramAdd key=ünïcödé ☃ 😀"], r#"{"key":"ünïcödé ☃ 😀"}"#);
    check(
        &["paramAdd key=\t\u{1}\u{7f}"],
        "{\"key\":\"\\t\\u0001\u{7f}\"}",
    );
    check(&["paramAdd key:v"], "{}");
    check(&["paramAdd =v"], "{}");
    check(&["paramAdd  key=v"], "{}");
    check(&["paramAdd"], "{}");
    check(&["paramAdd "], "{}");
}

#[test]
fn only_declared_keys_and_a_few_others_are_kept() {
    check(&["paramAdd notAllowed=1", "paramAdd Key=1"], "{}");
    check(
        &[
            "paramAdd value=1",
            "paramAdd sleepDuration=2",
            "paramAdd apiVersion=3",
            "paramAdd callback=4",
            "paramAdd action=5",
            "paramAdd file=6",
        ],
        r#"{"value":"1","sleepDuration":"2","apiVersion":"3","callback":"4","action":"5","file":"6"}"#,
    );
    for version in Version::ALL {
        let has_rooms = !matches!(version, Version::V9 | Version::V12);
        let expected = if has_rooms { r#"{"name":"r"}"# } else { "{}" };
        check_in(version, &["paramAdd name=r"], expected);
    }
}

#[test]
fn order_is_that_of_first_setting() {
    check(
        &["paramAdd value=1", "paramAdd key=2", "paramAdd value=3"],
        r#"{"value":"3","key":"2"}"#,
    );
    check(
        &[
            "paramAdd value=1",
            "paramAdd key=2",
            "paramDelete value",
            "paramAdd value=3",
        ],
        r#"{"key":"2","value":"3"}"#,
    );
    check(
        &["paramAdd value=1", "paramsDelete", "paramAdd key=2"],
        r#"{"key":"2"}"#,
    );
}

#[test]
fn params_stay_until_they_are_changed() {
    let mut client = World::new(Version::Classic).connect();
    let cached = |key: &str, value: &str| {
        format!(
            r#"{{"cacheTestResults":{{"saveResp":true,"sizeResp":1,"loadResp":{{"key":"cacheTest_{key}","value":"{value}","expireTimestamp":<ms>,"createdAt":<ms>,"readAt":<ms>}},"deleteResp":true}},"context":"response",<n>}}"#
        )
    };
    client.talk(&[
        ("paramAdd key=abc", OK),
        ("paramAdd value=xyz", OK),
        ("cacheTest", &cached("abc", "xyz")),
        ("randomNumber", RANDOM),
        ("cacheTest", &cached("abc", "xyz")),
        (r#"{"action":"cacheTest"}"#, &cached("abc", "xyz")),
        ("paramAdd value=other", OK),
        ("cacheTest", &cached("abc", "other")),
        (
            r#"{"action":"cacheTest","params":{"key":"one"}}"#,
            r#"{"error":"Error: value is a required parameter for this action","context":"response",<n>}"#,
        ),
        (
            "paramsView",
            r#"{"status":"OK","context":"response","data":{"key":"one","action":"cacheTest"},<n>}"#,
        ),
        ("paramAdd value=two", OK),
        ("cacheTest", &cached("one", "two")),
    ]);
}

#[test]
fn json_params_replace_all_and_stick() {
    for version in [Version::Classic, Version::V18, Version::V20, Version::V29] {
        let before = "paramAdd key=old";
        for (line, params) in [
            (
                r#"{"action":"nope","params":{"a b":{"c": [1, 2]},"n":1e2}}"#,
                r#"{"a b":{"c":[1,2]},"n":1e2,"action":"nope"}"#,
            ),
            (
                r#"{"params":{"action":"randomNumber","x":null}}"#,
                r#"{"action":"randomNumber","x":null}"#,
            ),
            (
                r#"{"action":"randomNumber","params":{"action":"nope","x":1}}"#,
                r#"{"action":"randomNumber","x":1}"#,
            ),
            (
                r#"{"action":"randomNumber","params":"s☃"}"#,
                r#"{"0":"s","1":"☃","action":"randomNumber"}"#,
            ),
            (
                r#"{"action":"randomNumber","params":[1,{}]}"#,
                r#"{"0":1,"1":{},"action":"randomNumber"}"#,
            ),
            (r#"{"params":null}"#, "{}"),
            (r#"{"params":7}"#, "{}"),
            (r#"{"params":{"d":1,"d":2}}"#, r#"{"d":2}"#),
            (
                r#"{"params":{"__proto__":1,"constructor":2}}"#,
                r#"{"__proto__":1,"constructor":2}"#,
            ),
            (r#"{"action":"nope"}"#, r#"{"key":"old","action":"nope"}"#),
            (r#"{"other":1}"#, r#"{"key":"old"}"#),
        ] {
            check_in(version, &[before, line], params);
        }
    }
}

#[test]
fn half_of_a_surrogate_pair_costs_no_other_param() {
    check_in(
        Version::Classic,
        &[r#"{"action":"nope","params":{"key":"\ud800","other":1}}"#],
        r#"{"key":"\ud800","other":1,"action":"nope"}"#,
    );
    let mut client = World::new(Version::Classic).connect();
    client.sends("{\"action\":\"nope\",\"params\":{\"key\":1,\"\\ud800\":2}}\n");
    client.hears();
    client.check_write(
        "paramView key\n",
        &[r#"{"status":"OK","context":"response","data":1,"messageCount":2}"#],
    );
}

#[test]
fn running_an_action_edits_the_params_up_to_v17() {
    let lines = [
        "paramAdd key=k",
        "paramAdd callback=c",
        "randomNumber",
        "paramAdd value=v",
    ];
    let sticky = r#"{"key":"k","callback":"c","action":"randomNumber","value":"v"}"#;
    for version in Version::ALL {
        let expected = match version {
            Version::V9 => {
                r#"{"key":"k","callback":"c","action":"randomNumber","apiVersion":1,"value":"v"}"#
            }
            Version::V12 => {
                r#"{"callback":"c","action":"randomNumber","apiVersion":1,"value":"v"}"#
            }
            _ => sticky,
        };
        check_in(version, &lines, expected);
    }
    for version in [Version::V9, Version::V12] {
        let unknown = ["paramAdd key=k", "nope"];
        check_in(version, &unknown, r#"{"key":"k","action":"nope"}"#);
        let own = ["paramAdd apiVersion=1", "randomNumber"];
        check_in(
            version,
            &own,
            r#"{"apiVersion":"1","action":"randomNumber"}"#,
        );
    }
}

#[test]
fn values_have_a_bound_in_bytes() {
    let mut setup = Setup::new(Version::Classic);
    setup.limits.params_bytes = 100;
    let world = setup.world();
    let mut client = world.connect();
    let long = "x".repeat(100);
    client.check("paramAdd key=kept", OK);
    client.check(&format!("paramAdd key={long}"), FULL);
    world.check_limit_hits("params_per_session", 1);
    client.check(
        "paramView key",
        r#"{"status":"OK","context":"response","data":"kept",<n>}"#,
    );
    let json = format!(r#"{{"action":"randomNumber","params":{{"key":"{long}"}}}}"#);
    let full = FULL.replace("<failed>", "error");
    client.check(&json, &full);
    world.check_limit_hits("params_per_session", 2);
    client.check(
        "paramsView",
        r#"{"status":"OK","context":"response","data":{"key":"kept"},<n>}"#,
    );
    client.check("randomNumber", RANDOM);
}

#[test]
fn there_is_a_bound_to_how_many_params() {
    for version in Version::ALL {
        let mut setup = Setup::new(version);
        setup.limits.params_per_session = 3;
        let world = setup.world();
        let mut client = world.connect();
        client.talk(&[
            ("paramAdd key=1", OK),
            ("paramAdd value=2", OK),
            ("paramAdd file=3", OK),
            ("paramAdd callback=4", FULL),
            ("paramAdd key=5", OK),
        ]);
        world.check_limit_hits("params_per_session", 1);
        let full = r#"{"error":"<Error>too many params","context":"response",<n>}"#;
        client.talk(&[
            (r#"{"action":"randomNumber","params":[1,2,3,4]}"#, full),
            (r#"{"action":"randomNumber","params":"four"}"#, full),
            (r#"{"params":{"a":1,"b":2,"c":3,"d":4}}"#, full),
            (
                "paramsView",
                r#"{"status":"OK","context":"response","data":{"key":"5","value":"2","file":"3"},<n>}"#,
            ),
        ]);
        world.check_limit_hits("params_per_session", 4);
    }
}

#[test]
fn an_action_that_is_refused_for_its_params_counts_as_one() {
    let mut setup = Setup::new(Version::Classic);
    setup.limits.params_per_session = 1;
    let mut client = setup.world().connect();
    client.sends("{\"action\":\"randomNumber\",\"params\":[1,2]}\nrandomNumber\n");
    client.hears();
    client.sends("detailsView\n");
    let details = client.hears().remove(0);
    assert!(
        details.contains(r#""totalActions":2,"pendingActions":0"#),
        "{details}"
    );
}
