//! What arrives without having been called for.

use polyport_core::{Args, Json};

use super::{
    super::*,
    world::{Plan, World, event},
};

fn json(text: &str) -> Arg {
    Arg::Json(Json::parse(text).unwrap())
}

#[test]
fn the_start_of_a_session_precedes_everything() {
    let world = World::new(Plan::default());
    let mut client = world.connect_unread();
    client.says(r#"[1,"echo",[1]]"#);
    client.expects(&[
        r#"[-1,"hi","A new session has started"]"#,
        "[0,{}]",
        "[1,true,1]",
    ]);
}

/// Events of the room, whoever published them.
#[track_caller]
fn check(name: &str, args: &[Arg], expected: &str) {
    let world = World::new(Plan::default());
    let client = world.connect();
    world.publish(name, Args::from(args));
    assert_eq!(client.hears(), [expected], "{name}");
}

#[test]
fn events_of_a_room() {
    check("message", &[json("\"hi\"")], r#"[-1,"message","hi"]"#);
    check(
        "action",
        &[json(r#"{"type":"WAVE"}"#)],
        r#"[0,{"type":"WAVE"}]"#,
    );
    check("bare", &[], r#"[-1,"bare",null]"#);
    check("action", &[], "[0,null]");
    check("é\"", &[json("1e0")], r#"[-1,"é\"",1e0]"#);
    check("two", &[json("1"), json("{ }")], r#"[-1,"two",[1,{ }]]"#);
    check("action", &[json("1"), json("2")], "[0,[1,2]]");
    let binary = Arg::Binary(b"\x00\xff".as_slice().into());
    check(
        "blob",
        std::slice::from_ref(&binary),
        r#"[-1,"blob",{"base64":true,"data":"AP8="}]"#,
    );
    check(
        "blob",
        &[json("1"), binary],
        r#"[-1,"blob",[1,{"base64":true,"data":"AP8="}]]"#,
    );
}

#[test]
fn nothing_is_pushed_to_a_session_that_is_closing() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    let session = client.session().session.clone();
    session.close(CloseReason::Disconnected);
    assert!(!session.tell(&event("late", Json::NULL)));
    client.expects(&[]);
}

#[test]
fn all_listeners_share_one_dialect() {
    assert!(Arc::ptr_eq(
        &crate::dialect::dialect(),
        &crate::dialect::dialect()
    ));
}
