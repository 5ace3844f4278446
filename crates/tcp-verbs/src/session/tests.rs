//! The life of a connection, without sockets.

use world::{Setup, Version, World};

use super::*;

mod actions;
mod asked;
mod dispatch;
mod files;
mod framing;
mod numbering;
mod params;
mod properties;
pub(crate) mod world;

const GOODBYE: &str = r#"{"status":"Bye!","context":"api"}"#;

#[test]
fn the_printed_session() {
    let world = World::new(Version::Classic);
    let mut client = world.dial();
    client.expects(&[
        r#"{"welcome":"Hello! Welcome to the actionhero api","room":"defaultRoom","context":"api"}"#,
    ]);
    client.talk(&[
        (
            "detailsView",
            r#"{"status":"OK","context":"response","data":{"id":"<me>","remoteIP":"127.0.0.1","remotePort":4321,"params":{},"connectedAt":<ms>,"room":"defaultRoom","totalActions":0,"pendingActions":0,"fingerprint":null,"rooms":[]},"messageCount":1}"#,
        ),
        (
            "randomNumber",
            r#"{"randomNumber":<any>,"context":"response","messageCount":2}"#,
        ),
        (
            "cacheTest",
            r#"{"error":"Error: key is a required parameter for this action","context":"response","messageCount":3}"#,
        ),
        (
            "paramAdd key=myKey",
            r#"{"status":"OK","context":"response","data":null,"messageCount":4}"#,
        ),
        (
            "paramAdd value=myValue",
            r#"{"status":"OK","context":"response","data":null,"messageCount":5}"#,
        ),
        (
            "paramsView",
            r#"{"status":"OK","context":"response","data":{"action":"cacheTest","key":"myKey","value":"myValue"},"messageCount":6}"#,
        ),
        (
            "cacheTest",
            r#"{"cacheTestResults":{"saveResp":true,"sizeResp":1,"loadResp":{"key":"cacheTest_myKey","value":"myValue","expireTimestamp":<ms>,"createdAt":<ms>,"readAt":<ms>},"deleteResp":true},"context":"response","messageCount":7}"#,
        ),
    ]);
    client.check_write("roomAdd default Room\n", &[r#"{"status":"OK"}"#]);
    client.check(
        "say defaultRoom hooray!",
        "{\"status\":\"OK\",\"context\":\"response\",\"data\":null,\"messageCount\":8}\n\
         {\"message\":\"hooray!\",\"room\":\"defaultRoom\",\"from\":\"<me>\",\"context\":\"user\",\"sentAt\":<ms>}",
    );
}

#[test]
fn welcome_and_goodbye_of_each_version() {
    for version in Version::ALL {
        let world = World::new(version);
        let mut client = world.dial();
        let shown = match version {
            Version::Classic => r#""room":"defaultRoom","#,
            _ => "",
        };
        client.expects(&[&format!(
            r#"{{"welcome":"Hello! Welcome to the actionhero api",{shown}"context":"api"}}"#
        )]);
        let bye = match version {
            Version::V29 => "Bye",
            _ => "Bye!",
        };
        client.sends("quit\n");
        client.expects(&[&format!(r#"{{"status":"{bye}","context":"api"}}"#)]);
    }
}

#[test]
fn nothing_behind_a_goodbye_is_answered() {
    for last in ["quit", "exit", "quit now"] {
        let world = World::new(Version::Classic);
        let mut client = world.connect();
        client.sends(format!(
            "paramsDelete\r\n{last}\r\nrandomNumber\r\nroomAdd defaultRoom\r\n"
        ));
        client.expects(&[
            r#"{"status":"OK","context":"response","data":null,"messageCount":1}"#,
            GOODBYE,
        ]);
        assert!(client.has_closed, "{last}");
        assert_eq!(client.kept(), 0, "{last}");
        client.sends("randomNumber\r\n");
        client.expects(&[]);
    }
}

#[test]
fn who_quits_leaves_its_rooms_at_once() {
    let world = World::new(Version::Classic);
    let mut stays = world.connect();
    let mut goes = world.connect();
    for client in [&mut stays, &mut goes] {
        client.sends("roomAdd defaultRoom\n");
    }
    stays.hears();
    goes.sends("quit\n");
    stays.sends("roomView defaultRoom\n");
    stays.expects(&[
        r#"{"status":"OK","context":"response","data":{"room":"defaultRoom","members":{"<me>":{"id":"<me>","joinedAt":<ms>}},"membersCount":1},"messageCount":2}"#,
    ]);
}

#[test]
fn break_characters_are_a_goodbye_when_there_is_nothing_else() {
    const CTRL_C: &[u8] = &[0xff, 0xf4, 0xff, 0xfd, 0x06];
    const CTRL_D: &[u8] = &[0x04];
    #[track_caller]
    fn check(reads: &[&[u8]], expected: &[&str]) {
        let mut client = World::new(Version::Classic).connect();
        reads.iter().for_each(|read| client.sends(read));
        client.expects(expected);
    }
    let unknown =
        r#"{"error":"unknown action or invalid apiVersion","context":"response","messageCount":1}"#;
    check(&[CTRL_C], &[GOODBYE]);
    check(&[CTRL_D], &[GOODBYE]);
    check(
        &[b"paramAdd key", CTRL_D, b"\n"],
        &[r#"{"status":"OK","context":"response","data":null,"messageCount":1}"#],
    );
    check(&[CTRL_C, b"\r\n"], &[GOODBYE]);
    check(&[&[CTRL_C, b"\r\n"].concat()], &[unknown]);
    check(&[&[CTRL_D, b"\n"].concat()], &[unknown]);
    check(&[b"\x03"], &[]);
    check(&[b"\x03\n"], &[unknown]);
    check(&[b"\0\0\0\0\n"], &[unknown]);
}

#[test]
fn last_words_for_each_reason() {
    for reason in CloseReason::ALL {
        let world = World::new(Version::Classic);
        let mut client = world.connect();
        client.handler.session.close(reason);
        let expected = match reason {
            CloseReason::OutboxFull => r#"{"error":"connection reads too slowly","context":"api"}"#,
            CloseReason::IdentityExpired => r#"{"error":"token expired","context":"api"}"#,
            _ => GOODBYE,
        };
        client.expects(&[expected]);
    }
}

#[test]
fn who_reads_too_slowly_is_told_so() {
    let mut setup = Setup::new(Version::Classic);
    setup.limits.outbox = 2000;
    let world = setup.world();
    let mut client = world.connect();
    client.wire.block(true);
    for _ in 0..100 {
        client.sends("paramsView\r\n");
    }
    assert!(client.has_closed);
    world.check_limit_hits("outbox", 1);
    client.wire.block(false);
    client.expects(&[r#"{"error":"connection reads too slowly","context":"api"}"#]);
}

#[test]
fn a_goodbye_does_not_overtake_replies() {
    let world = World::new(Version::Classic);
    let mut client = world.connect();
    client.wire.block(true);
    client.sends("paramsDelete\r\nquit\r\n");
    client.expects(&[]);
    client.wire.block(false);
    client.expects(&[
        r#"{"status":"OK","context":"response","data":null,"messageCount":1}"#,
        GOODBYE,
    ]);
}
