//! How replies are numbered and named (section 4 of the protocol page).

use super::world::{Setup, Version, World};

const OK: &str = r#"{"status":"OK","context":"response"<null>,<n>}"#;

/// Says writes to a fresh connection and compares the end of each reply, from `"context":"response"` on.
#[track_caller]
fn check_ends(version: Version, writes: &[&str], expected: &[&str]) {
    let mut client = World::new(version).connect();
    writes.iter().for_each(|write| client.sends(write));
    let ends: Vec<String> = client
        .hears()
        .iter()
        .map(|line| {
            let (_, end) = line.split_once(r#""context":"response""#).unwrap();
            end.replace(r#","data":null"#, "")
        })
        .collect();
    assert_eq!(ends, expected, "{version:?}: {writes:?}");
}

/// The same lines one by one and in one write.
#[track_caller]
fn check_lines(version: Version, lines: &[(&str, &str)]) {
    let writes: Vec<String> = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    let writes: Vec<&str> = writes.iter().map(String::as_str).collect();
    let expected: Vec<&str> = lines.iter().map(|(_, end)| *end).collect();
    check_ends(version, &writes, &expected);
    check_ends(version, &[&writes.concat()], &expected);
}

#[test]
fn every_line_that_is_not_empty_is_numbered() {
    let numbered = [
        "paramsDelete",
        "hello",
        "{}",
        "{bad",
        "file x",
        " ",
        "say",
        "randomNumber",
    ];
    for version in [Version::Classic, Version::V9, Version::V12, Version::V18] {
        let write = numbered.join("\r\n\r\n\n\r") + "\r\n\r\n";
        let mut client = World::new(version).connect();
        client.sends(write);
        // The bare string of a failed file request has no number, but its line counts.
        let lines: Vec<String> = client
            .hears()
            .into_iter()
            .filter(|line| !line.starts_with('"'))
            .collect();
        let is_object = version == Version::Classic;
        let expected = (1..=8).filter(|n| is_object || *n != 5);
        for (line, number) in lines.iter().zip(expected) {
            assert!(
                line.ends_with(&format!(r#","messageCount":{number}}}"#)),
                "{version:?}: {line}"
            );
        }
        assert_eq!(lines.len(), if is_object { 8 } else { 7 }, "{version:?}");
    }
}

#[test]
fn a_line_in_pieces_is_numbered_once() {
    let mut client = World::new(Version::Classic).connect();
    for piece in ["deta", "ilsView", "\r", "\n", "\r\n", "paramsDel", "ete\n"] {
        client.sends(piece);
    }
    let heard = client.hears();
    assert_eq!(heard.len(), 2);
    assert!(heard[0].ends_with(r#""messageCount":1}"#));
    assert!(heard[1].ends_with(r#""messageCount":2}"#));
}

#[test]
fn a_message_id_is_echoed_from_the_next_line_on() {
    check_lines(
        Version::Classic,
        &[
            ("paramAdd messageId=abc", r#","messageCount":1}"#),
            ("randomNumber", r#","messageCount":2,"messageId":"abc"}"#),
            ("hello", r#","messageCount":3,"messageId":"abc"}"#),
            (
                "paramAdd messageId=xyz",
                r#","messageCount":4,"messageId":"abc"}"#,
            ),
            ("say", r#","messageCount":5,"messageId":"xyz"}"#),
            ("file nope", r#","messageCount":6,"messageId":"xyz"}"#),
            ("{}", r#","messageCount":7,"messageId":"xyz"}"#),
            ("paramsDelete", r#","messageCount":8,"messageId":"xyz"}"#),
            ("paramsDelete", r#","messageCount":9}"#),
        ],
    );
}

#[test]
fn a_message_id_inside_json_params_wins() {
    check_lines(
        Version::Classic,
        &[
            (
                r#"{"action":"randomNumber","params":{"messageId":7}}"#,
                r#","messageCount":1,"messageId":7}"#,
            ),
            (
                r#"{"action":"randomNumber","params":{"messageId":"b"}}"#,
                r#","messageCount":2,"messageId":"b"}"#,
            ),
            (
                r#"{"action":"randomNumber","messageId":"top"}"#,
                r#","messageCount":3,"messageId":"b"}"#,
            ),
            // New params without one: the old one goes on for this reply, and is gone.
            (
                r#"{"action":"randomNumber","params":{}}"#,
                r#","messageCount":4,"messageId":"b"}"#,
            ),
            ("randomNumber", r#","messageCount":5}"#),
            (
                r#"{"action":"nope","params":{"messageId":{"a":[1]}}}"#,
                r#","messageCount":6,"messageId":{"a":[1]}}"#,
            ),
            (
                r#"{"params":{"messageId":"c"}}"#,
                r#","messageCount":7,"messageId":"c"}"#,
            ),
            (
                "paramDelete messageId",
                r#","messageCount":8,"messageId":"c"}"#,
            ),
            ("paramsDelete", r#","messageCount":9}"#),
        ],
    );
}

#[test]
fn the_newest_client_finds_its_reply() {
    for version in [Version::V20, Version::V29] {
        check_lines(
            version,
            &[
                ("paramAdd messageId=1-a", r#","messageId":"<uuid>"}"#),
                ("say", r#","messageId":"1-a"}"#),
                ("paramAdd messageId=2-b", r#","messageId":"1-a"}"#),
                (
                    r#"{"action":"randomNumber","params":{"key":"x"}}"#,
                    r#","messageId":"2-b"}"#,
                ),
                ("hello", r#","messageId":"<uuid>"}"#),
                (
                    r#"{"action":"randomNumber","params":{"messageId":7}}"#,
                    r#","messageId":7}"#,
                ),
                ("paramsDelete", r#","messageId":7}"#),
                ("paramsDelete", r#","messageId":"<uuid>"}"#),
            ],
        );
    }
}

#[test]
fn invented_ids_are_new_for_each_line() {
    let mut client = World::new(Version::V20).connect();
    client.sends("say\n".repeat(20));
    let written = client.wire.take();
    let mut heard = super::world::lines(&written);
    assert_eq!(heard.len(), 20);
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 20);
}

#[test]
fn old_versions_know_no_message_id() {
    for version in [Version::V9, Version::V12, Version::V18] {
        check_lines(
            version,
            &[
                ("paramAdd messageId=abc", r#","messageCount":1}"#),
                ("say", r#","messageCount":2}"#),
                (
                    r#"{"action":"randomNumber","params":{"messageId":7}}"#,
                    r#","messageCount":3}"#,
                ),
            ],
        );
    }
}

#[test]
fn a_message_id_is_a_param_only_where_it_is_known() {
    for version in Version::ALL {
        let mut client = World::new(version).connect();
        client.sends("paramAdd messageId=abc\n");
        client.hears();
        client.sends("paramsView\n");
        let view = client.hears().remove(0);
        let is_known = !matches!(version, Version::V9 | Version::V12 | Version::V18);
        let expected = if is_known {
            r#"{"messageId":"abc"}"#
        } else {
            "{}"
        };
        assert!(
            view.contains(&format!(r#""data":{expected},"#)),
            "{version:?}: {view}"
        );
    }
}

#[test]
fn an_over_long_line_is_numbered_by_itself_and_named_after_the_line_before() {
    let long = "x".repeat(65);
    for version in Version::ALL {
        let mut setup = Setup::new(version);
        setup.options.max_data_length = 64;
        let world = setup.world();
        let mut client = world.connect();
        client.check("paramsDelete", OK);
        let text = match version {
            Version::V29 => "DATA_LENGTH_TOO_LONG",
            _ => "data length is too big (64 received/65 max)",
        };
        let error = format!(r#"{{"status":"error","error":"{text}","context":"response",<n>}}"#);
        client.check(&long, &error);
        client.check("paramsDelete", OK);
    }
    let mut setup = Setup::new(Version::V20);
    setup.options.max_data_length = 64;
    let mut client = setup.world().connect();
    client.sends(format!("say\n{long}\n{long}\nsay\n"));
    let written = client.wire.take();
    let ids: Vec<String> = super::world::lines(&written)
        .iter()
        .map(|line| line.split_once(r#""messageId":"#).unwrap().1.to_owned())
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
    assert_ne!(ids[0], ids[3]);
}

#[test]
fn pipelined_room_verbs_are_numbered_and_answered_in_turn() {
    let mut client = World::new(Version::Classic).connect();
    client.check_write(
        "roomAdd defaultRoom\r\nroomView defaultRoom\r\nsay defaultRoom pipelined\r\nroomLeave defaultRoom\r\nrandomNumber\r\n",
        &[
            r#"{"status":"OK","context":"response","data":true,"messageCount":1}"#,
            r#"{"status":"OK","context":"response","data":{"room":"defaultRoom","members":{"<me>":{"id":"<me>","joinedAt":<ms>}},"membersCount":1},"messageCount":2}"#,
            r#"{"status":"OK","context":"response","data":null,"messageCount":3}"#,
            r#"{"message":"pipelined","room":"defaultRoom","from":"<me>","context":"user","sentAt":<ms>}"#,
            r#"{"status":"OK","context":"response","data":true,"messageCount":4}"#,
            r#"{"randomNumber":<any>,"context":"response","messageCount":5}"#,
        ],
    );
}
