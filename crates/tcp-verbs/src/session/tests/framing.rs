//! Bytes and lines (sections 2 and 13 of the protocol page).

use super::world::{Client, Setup, Version, World};

const OK: &str = r#"{"status":"OK","context":"response"<null>,<n>}"#;

fn classic(change: impl FnOnce(&mut Setup)) -> World {
    let mut setup = Setup::new(Version::Classic);
    change(&mut setup);
    setup.world()
}

fn limited(limit: usize) -> World {
    classic(|setup| setup.options.max_data_length = limit)
}

fn key_is(client: &mut Client) -> String {
    client.sends("paramView key\n");
    client.hears().pop().unwrap()
}

#[test]
fn all_ends_of_lines_are_the_same() {
    let expected = [
        r#"{"status":"OK","context":"response","data":null,"messageCount":1}"#,
        r#"{"status":"OK","context":"response","data":"one","messageCount":2}"#,
        r#"{"randomNumber":<any>,"context":"response","messageCount":3}"#,
    ];
    for write in [
        "paramAdd key=one\nparamView key\nrandomNumber\n",
        "paramAdd key=one\rparamView key\rrandomNumber\r",
        "paramAdd key=one\r\nparamView key\r\nrandomNumber\r\n",
        "paramAdd key=one\rparamView key\nrandomNumber\r\n\r\n\n",
        "\n\r\n\rparamAdd key=one\n\n\nparamView key\n\r\nrandomNumber\n",
    ] {
        let mut client = World::new(Version::Classic).connect();
        client.check_write(write, &expected);
        assert_eq!(client.kept(), 0);
    }
}

#[test]
fn a_line_without_an_end_waits() {
    let mut client = World::new(Version::Classic).connect();
    client.check_write(
        "paramsDelete\nrandomN",
        &[r#"{"status":"OK","context":"response","data":null,"messageCount":1}"#],
    );
    assert_eq!(client.kept(), "randomN".len());
}

#[test]
fn characters_survive_being_cut() {
    let line = "paramAdd key=☃😀é\r\n".as_bytes();
    for cut in 1..line.len() {
        let mut client = World::new(Version::Classic).connect();
        client.sends(&line[..cut]);
        client.sends(&line[cut..]);
        assert_eq!(
            key_is(&mut client),
            r#"{"status":"OK","context":"response","data":"☃😀é","messageCount":2}"#,
            "cut at {cut}"
        );
    }
}

#[test]
fn bytes_that_are_no_text_become_replacement_characters() {
    let mut client = World::new(Version::Classic).connect();
    client.sends(b"paramAdd key=a\xff\xe2\x98b\xc3\r\n");
    assert_eq!(
        key_is(&mut client),
        "{\"status\":\"OK\",\"context\":\"response\",\"data\":\"a\u{fffd}\u{fffd}b\u{fffd}\",\"messageCount\":2}"
    );
    let all: Vec<u8> = (0x80..=0xff).chain(*b"\r\n").collect();
    client.sends(all);
    client.expects(&[
        r#"{"error":"unknown action or invalid apiVersion","context":"response","messageCount":3}"#,
    ]);
    client.sends(b"say defaultRoom \xff\r\nroomAdd \xff\r\n");
    client.expects(&[
        r#"{"status":"connection not in this room","context":"response","messageCount":4}"#,
        r#"{"status":"room does not exist","context":"response","data":false,"messageCount":5}"#,
    ]);
}

#[test]
fn what_other_protocols_say_are_unknown_actions() {
    let unknown = |n| {
        format!(
            r#"{{"error":"unknown action or invalid apiVersion","context":"response","messageCount":{n}}}"#
        )
    };
    let mut client = World::new(Version::Classic).connect();
    client.sends("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
    client.expects(&[&unknown(1), &unknown(2), &unknown(3)]);
    client.sends(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\n");
    client.expects(&[&unknown(4)]);
}

#[test]
fn a_line_may_be_as_long_as_the_limit() {
    let world = limited(64);
    let mut client = world.connect();
    let too_long = |length: usize| {
        format!(
            r#"{{"status":"error","error":"data length is too big (64 received/{length} max)","context":"response",<n>}}"#
        )
    };
    let line = |length: usize| format!("paramAdd key={}", "x".repeat(length - 13));
    client.check(&line(64), OK);
    client.check(&line(65), &too_long(65));
    client.check(&line(116), &too_long(116));
    // Bytes count, not characters.
    let snow = format!("paramAdd key={}", "☃".repeat(18));
    client.check(&snow, &too_long(67));
    client.check("paramsDelete", OK);
    world.check_limit_hits("message", 3);
    let invalid = world.metric("polyport_invalid_messages_total", "tcp");
    assert_eq!(invalid, 3);
}

#[test]
fn an_endless_line_is_answered_once_and_forgotten() {
    let world = limited(64);
    let mut client = world.connect();
    for _ in 0..1000 {
        client.sends([b'x'; 10_000]);
        assert_eq!(client.kept(), 0);
    }
    client.expects(&[
        r#"{"status":"error","error":"data length is too big (64 received/10000 max)","context":"response","messageCount":1}"#,
    ]);
    client.check_write(
        "rest\nparamsDelete\n",
        &[r#"{"status":"OK","context":"response","data":null,"messageCount":2}"#],
    );
    world.check_limit_hits("message", 1);
}

#[test]
fn the_rest_of_an_over_long_line_is_no_line() {
    let mut client = limited(64).connect();
    client.sends("x".repeat(70));
    client.sends("quit\x04");
    client.sends("\nparamsDelete\n");
    let heard = client.hears();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(
        heard[1],
        r#"{"status":"OK","context":"response","data":null,"messageCount":2}"#
    );
}

#[test]
fn the_limit_of_messages_holds_when_there_is_no_other_or_it_is_smaller() {
    for (message, max_data_length) in [(100, 0), (100, 200), (1000, 100)] {
        let world = classic(|setup| {
            setup.limits.message = message;
            setup.options.max_data_length = max_data_length;
        });
        let mut client = world.connect();
        let line = "x".repeat(101);
        let error = r#"{"status":"error","error":"data length is too big (100 received/101 max)","context":"response",<n>}"#;
        client.check(&line, error);
        let unknown =
            r#"{"error":"unknown action or invalid apiVersion","context":"response",<n>}"#;
        client.check(&line[1..], unknown);
    }
}

#[test]
fn with_another_delimiter_line_breaks_are_characters() {
    let world = classic(|setup| setup.options.delimiter = b'|');
    let mut client = world.connect();
    let unknown =
        r#"{"error":"unknown action or invalid apiVersion","context":"response","messageCount":"#;
    client.check_write(
        "paramAdd key=a|paramView key||\n\n\nrandomNumber|randomNumber|",
        &[
            r#"{"status":"OK","context":"response","data":null,"messageCount":1}"#,
            r#"{"status":"OK","context":"response","data":"a","messageCount":2}"#,
            &format!("{unknown}3}}"),
            r#"{"randomNumber":<any>,"context":"response","messageCount":4}"#,
        ],
    );
    client.check_write(
        "paramAdd key=a\r\nb|paramView key|",
        &[
            r#"{"status":"OK","context":"response","data":null,"messageCount":5}"#,
            r#"{"status":"OK","context":"response","data":"a\n\nb","messageCount":6}"#,
        ],
    );
    client.check_write(
        "\r\n{\"action\":\r\n\"randomNumber\"}|quit\n",
        &[r#"{"randomNumber":<any>,"context":"response","messageCount":7}"#],
    );
    client.check_write("|quit|", &[&format!("{unknown}8}}"), super::GOODBYE]);
}

#[test]
fn depth_costs_no_stack() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let mut client = World::new(Version::Classic).connect();
    let random = r#"{"randomNumber":<any>,"context":"response",<n>}"#;
    let unknown = r#"{"error":"unknown action or invalid apiVersion","context":"response",<n>}"#;
    let full = r#"{"error":"too many params","context":"response",<n>}"#;
    client.check(&deep(400_000), unknown);
    client.check(&format!(r#"{{"other":{}}}"#, objects(100_000)), unknown);
    for value in [deep(30_000), objects(10_000)] {
        let with =
            |name: &str| format!(r#"{{"action":"randomNumber","params":{{"{name}":{value}}}}}"#);
        client.check(&with("key"), random);
        let view = format!(
            r#"{{"status":"OK","context":"response","data":{{"key":{value},"action":"randomNumber"}},<n>}}"#
        );
        client.check("paramsView", &view);
        client.check(&with("apiVersion"), unknown);
        client.check(&format!(r#"{{"action":{value},"params":{{}}}}"#), unknown);
        client.sends(format!(
            "{{\"action\":\"cacheTest\",\"params\":{{\"key\":{value},\"value\":{value}}}}}\n"
        ));
        let written = client.wire.take();
        assert!(written.ends_with(b"}\r\n"));
        client.sends("paramsDelete\n");
        client.hears();
        client = World::new(Version::Classic).connect();
    }
    client.check(
        &format!(r#"{{"params":{{"key":{}}}}}"#, deep(400_000)),
        full,
    );
}

#[test]
fn long_lines_are_read_in_linear_time() {
    let mut client = World::new(Version::Classic).connect();
    let line = format!("paramAdd key={}\n", "x".repeat(60_000));
    for piece in line.as_bytes().chunks(7) {
        client.sends(piece);
    }
    client.expects(&[r#"{"status":"OK","context":"response","data":null,"messageCount":1}"#]);
}
