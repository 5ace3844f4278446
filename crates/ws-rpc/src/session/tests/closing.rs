//! How a session ends, on the wire and for backends.

use polyport_net::ws::WsError;

use super::{
    super::*,
    world::{Plan, World},
};

/// What the last frame is, and what backends hear.
#[track_caller]
fn check(close: WsClose, frame: Option<(u16, &str)>, end: (u16, &str)) {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    let shown = format!("{close:?}");
    assert_eq!(
        client.session().on_close(close),
        ws::close(frame),
        "{shown}"
    );
    assert_eq!(world.ended(), [], "told when it is over");
    client.is_gone();
    assert_eq!(world.ended(), [(end.0, end.1.to_owned())], "{shown}");
}

#[test]
fn a_client_that_leaves_gets_its_own_close_frame_back() {
    check(WsClose::ByClient(None), None, (1005, ""));
    for (code, text) in [(1000, "bye"), (1001, ""), (4000, "hi"), (4999, "schön 😀")] {
        let close = WsClose::ByClient(Some((code, text.into())));
        check(close, Some((code, text)), (code, text));
    }
}

#[test]
fn the_close_frame_of_the_server_is_empty() {
    assert_eq!(&ws::close(None)[..], b"\x88\x00");
    for reason in [
        CloseReason::Disconnected,
        CloseReason::Shutdown,
        CloseReason::IdentityExpired,
    ] {
        check(WsClose::ByServer(reason), None, (1005, ""));
    }
    check(
        WsClose::ByServer(CloseReason::IdleTimeout),
        None,
        (1006, ""),
    );
}

#[test]
fn who_breaks_a_rule_is_told_which() {
    check(
        WsClose::ByServer(CloseReason::OutboxFull),
        Some((1008, "reading too slowly")),
        (1005, ""),
    );
    check(
        WsClose::ByError(WsError::TooBig),
        Some((1009, "message too big")),
        (1009, "message too big"),
    );
    check(
        WsClose::ByError(WsError::NotUtf8),
        Some((1007, "text is not UTF-8")),
        (1007, "text is not UTF-8"),
    );
    check(
        WsClose::ByError(WsError::Protocol("unknown opcode")),
        Some((1002, "unknown opcode")),
        (1002, "unknown opcode"),
    );
}

#[test]
fn a_lost_link_is_1006() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    client.is_gone();
    assert_eq!(world.ended(), [(1006, String::new())]);
}

#[test]
fn nothing_is_answered_once_the_session_is_closed() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    client.says(r#"[1,"told",[]]"#);
    client.session().session.close(CloseReason::Disconnected);
    client.says(r#"[2,"echo",[1]]"#);
    let respond = world.desk.told.lock().remove(0);
    respond(Ok(Reply::Nothing));
    client.expects(&[]);
}

#[test]
fn a_call_does_not_keep_the_session_of_a_client_that_has_gone() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    client.says(r#"[1,"told",[]]"#);
    client.is_gone();
    assert!(world.hub.is_empty());
    assert_eq!(world.ended().len(), 1, "while the call still runs");
    let respond = world.desk.told.lock().remove(0);
    respond(Ok(Reply::Nothing));
    client.expects(&[]);
}

#[test]
fn nothing_is_left_when_all_have_gone() {
    let world = World::new(Plan::default());
    let rooms = world.listener.realm().len();
    for _ in 0..100 {
        let mut client = world.connect();
        client.says(r#"[1,"echo",[1]]"#);
        client.is_gone();
    }
    assert!(world.hub.is_empty());
    assert!(world.listener.realm().len() <= rooms + 1);
    assert_eq!(world.ended().len(), 100);
}
