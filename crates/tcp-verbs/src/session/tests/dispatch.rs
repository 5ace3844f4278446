//! Which part of the server a line is for (section 5 of the protocol page).

use super::world::{Setup, Version, World};

const UNKNOWN: &str =
    r#"{"error":"<Error>unknown action or invalid apiVersion","context":"response",<n>}"#;
const RANDOM: &str = r#"{<rnd>,"context":"response",<n>}"#;
const OK: &str = r#"{"status":"OK","context":"response"<null>,<n>}"#;

/// Says one line to a fresh connection of every version.
#[track_caller]
fn check(line: &str, reply: &str) {
    for version in Version::ALL {
        World::new(version).connect().check(line, reply);
    }
}

/// Says lines to a fresh connection of one version, which replies the last one with `reply`.
#[track_caller]
fn check_last(version: Version, lines: &[&str], reply: &str) {
    let mut client = World::new(version).connect();
    let (last, before) = lines.split_last().unwrap();
    before
        .iter()
        .for_each(|line| client.sends(format!("{line}\n")));
    client.hears();
    client.sends(format!("{last}\n"));
    let count = lines.len() as u64;
    client.expects(&[&version.expand(reply, count)]);
}

#[test]
fn a_plain_word_is_an_action() {
    check("randomNumber", RANDOM);
    check("randomNumber ", RANDOM);
    check("randomNumber and more", RANDOM);
    check("hello", UNKNOWN);
    check("RandomNumber", UNKNOWN);
    check("null", UNKNOWN);
}

#[test]
fn words_are_parted_by_spaces_alone_and_nothing_is_trimmed() {
    check(" ", UNKNOWN);
    check(" randomNumber", UNKNOWN);
    check(" paramsDelete", UNKNOWN);
    check("randomNumber\t", UNKNOWN);
    check("paramsDelete\tx", UNKNOWN);
    check("paramsDelete x", OK);
}

#[test]
fn verbs_are_case_sensitive_and_no_actions() {
    check("PARAMSDELETE", UNKNOWN);
    check("paramsdelete", UNKNOWN);
    check(r#"{"action":"detailsView"}"#, UNKNOWN);
    check(r#"{"action":"quit"}"#, UNKNOWN);
    check("listenToRoom defaultRoom", UNKNOWN);
}

#[test]
fn the_names_that_the_manual_has_in_passing_are_aliases_in_classic_alone() {
    for version in Version::ALL {
        let mut client = World::new(version).connect();
        let aliases = match version {
            Version::Classic => [
                ("addParam key=v", OK),
                (
                    "viewParam key",
                    r#"{"status":"OK","context":"response","data":"v",<n>}"#,
                ),
                ("deleteParam key", OK),
            ],
            _ => [
                ("addParam key=v", UNKNOWN),
                ("viewParam key", UNKNOWN),
                ("deleteParam key", UNKNOWN),
            ],
        };
        client.talk(&aliases);
    }
}

#[test]
fn json_names_its_action() {
    check(r#"{"action":"randomNumber"}"#, RANDOM);
    check(r#"  {"action" : "randomNumber"}  "#, RANDOM);
    check(r#"{"action":"randomNumber","params":{}}"#, RANDOM);
    check(r#"{"action":"randomNumber","params":null}"#, RANDOM);
    check(r#"{"action":"randomNumber","params":"str"}"#, RANDOM);
    check(r#"{"action":"randomNumber","params":[1,2]}"#, RANDOM);
    check(r#"{"params":{"action":"randomNumber"}}"#, RANDOM);
    check(
        r#"{"action":"nope","params":{"action":"randomNumber"}}"#,
        UNKNOWN,
    );
    check(
        r#"{"action":"","params":{"action":"randomNumber"}}"#,
        RANDOM,
    );
    check(r#"{"action":0,"params":{"action":"randomNumber"}}"#, RANDOM);
    check(r#"{"action":5}"#, UNKNOWN);
    check(r#"{"action":{"a":1}}"#, UNKNOWN);
    check(r#"{"action":"rando\u006dNumber","other":[1]}"#, RANDOM);
    check(r#"{"action":"randomNumber"} x"#, UNKNOWN);
    check("{bad json", UNKNOWN);
    check(r#"{"action":"#, UNKNOWN);
}

#[test]
fn versions_are_compared_as_text() {
    let with = |version: &str| {
        format!(r#"{{"action":"randomNumber","params":{{"apiVersion":{version}}}}}"#)
    };
    check(&with("1"), RANDOM);
    check(&with(r#""1""#), RANDOM);
    check(&with("2"), UNKNOWN);
    check(&with(r#""x""#), UNKNOWN);
}

#[test]
fn json_that_names_no_action_does_not_run_the_last_one_again() {
    for version in Version::ALL {
        for line in [
            "{}",
            "[]",
            "123",
            "true",
            r#""randomNumber""#,
            r#"{"action":null}"#,
            r#"{"action":""}"#,
            r#"{"messageId":"x"}"#,
            r#"["randomNumber"]"#,
        ] {
            check_last(version, &["randomNumber", line], UNKNOWN);
        }
        let replaced = r#"{"params":{"key":"a"}}"#;
        check_last(version, &["randomNumber", replaced], UNKNOWN);
    }
}

#[test]
fn every_action_line_counts_as_an_action_and_no_verb_does() {
    let mut client = World::new(Version::Classic).connect();
    client.sends(
        "randomNumber\nhello\n{}\n123\n{\"action\":\"cacheTest\"}\n \nparamsDelete\nsay\nfile x\n",
    );
    client.hears();
    client.sends("detailsView\n");
    let details = client.hears().remove(0);
    assert!(
        details.contains(r#""totalActions":6,"pendingActions":0"#),
        "{details}"
    );
}

#[test]
fn the_action_asked_for_is_a_sticky_param() {
    for (line, kept) in [
        ("hello there", r#"{"action":"hello"}"#),
        (" ", r#"{"action":""}"#),
        (r#"{"action":"hello"}"#, r#"{"action":"hello"}"#),
        (r#"{"action":5}"#, r#"{"action":5}"#),
        (r#"{"action":"#, r#"{"action":"{\"action\":"}"#),
        ("{}", "{}"),
        ("123", "{}"),
        ("paramsDelete", "{}"),
    ] {
        let reply = format!(r#"{{"status":"OK","context":"response","data":{kept},<n>}}"#);
        check_last(Version::Classic, &[line, "paramsView"], &reply);
    }
}

#[test]
fn an_action_whose_name_finds_no_room_among_the_params_is_not_mistaken_for_the_last_one() {
    let long = "x".repeat(70_000);
    for line in [format!(r#"{{"action":"{long}"}}"#), long] {
        let unknown = UNKNOWN.replace("<Error>", "");
        check_last(Version::Classic, &["randomNumber", &line], &unknown);
    }
}

#[test]
fn an_action_runs_when_the_params_fill_every_place() {
    let mut setup = Setup::new(Version::Classic);
    setup.limits.params_per_session = 2;
    let mut client = setup.world().connect();
    client.check(r#"{"params":{"key":"k","value":"v"}}"#, UNKNOWN);
    client.check("randomNumber", RANDOM);
    client.check(r#"{"action":"randomNumber"}"#, RANDOM);
    client.check(
        r#"{"action":"randomNumber","params":{"key":"k","value":"v"}}"#,
        RANDOM,
    );
}
