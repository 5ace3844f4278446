use polyport_core::{Json, Limits, Permissions};
use world::{Plan, World};

use super::*;

mod closing;
mod heartbeat;
mod pushed;
mod world;

/// What a client's text is answered with, by a backend that knows `echo`, `undef`, `err`, `act` and the like.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    client.says(text);
    assert_eq!(client.hears(), expected, "{text}");
}

#[test]
fn answers() {
    check(r#"[6,"echo",[9]]"#, &["[6,true,9]"]);
    check(
        r#"[6,"echo",["é😀",{"a" : 1e0},null]]"#,
        &[r#"[6,true,["é😀",{"a" : 1e0},null]]"#],
    );
    check(r#"[8,"undef",null]"#, &["[8,true,null]"]);
    check(
        r#"[4,"err",["Cannot \"clap\""]]"#,
        &[r#"[4,false,"Cannot \"clap\""]"#],
    );
    check(r#"[4,"err",[""]]"#, &[r#"[4,false,""]"#]);
}

#[test]
fn the_id_comes_back_as_it_came() {
    check(r#"["7","echo",[9]]"#, &[r#"["7",true,9]"#]);
    check(r#"[" 0x7","echo",[9]]"#, &[r#"[" 0x7",true,9]"#]);
    check(r#"[1.50,"echo",[9]]"#, &["[1.50,true,9]"]);
    check(
        r#"[9007199254740993,"nosuch"]"#,
        &[r#"[9007199254740993,false,"Unknown api 'nosuch'"]"#],
    );
}

#[test]
fn names_that_nobody_knows() {
    check(
        r#"[7,"nosuch",[1]]"#,
        &[r#"[7,false,"Unknown api 'nosuch'"]"#],
    );
    check(
        r#"[7,"a\"\n",[1]]"#,
        &[r#"[7,false,"Unknown api 'a\"\n'"]"#],
    );
    check("[1]", &[r#"[1,false,"Unknown api 'undefined'"]"#]);
    check("[1,null]", &[r#"[1,false,"Unknown api 'null'"]"#]);
    check("[1,5,5]", &[r#"[1,false,"Unknown api '5'"]"#]);
    check(
        "[1,{},[]]",
        &[r#"[1,false,"Unknown api '[object Object]'"]"#],
    );
    check(
        r#"[1,["echo"],[9]]"#,
        &[r#"[1,false,"Unknown api 'echo'"]"#],
    );
}

#[test]
fn a_name_that_is_no_string_reaches_no_backend() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    client.says(r#"[1,["echo"],[9]]"#);
    client.says("[1,null,[9]]");
    assert_eq!(world.calls(), Vec::<String>::new());
}

#[test]
fn arguments() {
    check(r#"[1,"echo"]"#, &["[1,true,null]"]);
    check(r#"[1,"echo",{}]"#, &["[1,true,null]"]);
    check(r#"[1,"echo",[1],"extra"]"#, &["[1,true,1]"]);
    for wrong in ["5", "\"ab\"", "true", "false"] {
        check(
            &format!(r#"[1,"echo",{wrong}]"#),
            &[r#"[1,false,"CreateListFromArrayLike called on non-object"]"#],
        );
    }
}

#[test]
fn calls_that_want_no_answer_run_and_get_none() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    for text in [
        r#"[0,"echo",["ff"]]"#,
        r#"[-0,"undef",[]]"#,
        r#"[0.0,"err",["x"]]"#,
        r#"[0,"nosuch",[]]"#,
        r#"[0,"echo",5]"#,
        r#"[0]"#,
    ] {
        client.says(text);
    }
    client.expects(&[]);
    assert_eq!(
        world.calls(),
        ["echo(\"ff\")", "undef(null)", "err(\"x\")", "nosuch(null)"]
    );
    client.says(r#"[0,"act",["ff"]]"#);
    client.expects(&[r#"[0,"ff"]"#, r#"[-1,"acted",null]"#]);
}

#[test]
fn what_is_no_call_is_counted_and_met_with_silence() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    let bad = [
        "not json",
        "",
        "{\"a\":1}",
        "\"str\"",
        "5",
        "null",
        "true",
        "[]",
        r#"["abc","echo",[4]]"#,
        r#"[null,"echo",[]]"#,
        r#"[-1,"echo",[4]]"#,
        r#"["0","echo",["x"]]"#,
        r#"[true,"echo",[4]]"#,
        r#"[[3],"echo",[4]]"#,
    ];
    for text in bad {
        client.says(text);
    }
    client.session().on_binary(b"\xff\xfe");
    client.expects(&[]);
    assert_eq!(world.invalid(), bad.len() as u64 + 1);
    assert_eq!(world.calls(), Vec::<String>::new());
    client.says(r#"[9,"echo",[2]]"#);
    client.expects(&["[9,true,2]"]);
}

#[test]
fn a_call_in_a_binary_message_is_answered_with_a_text() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    client.session().on_binary(br#"[1,"echo",[9]]"#);
    client.expects(&["[1,true,9]"]);
}

#[test]
fn what_a_call_sends_precedes_its_answer() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    // In one turn, as messages of one read are.
    world.hub.turn(|| {
        client.says(r#"[14,"act",[{"type":"ACT","payload":21}]]"#);
        client.says(r#"[15,"echo",[1]]"#);
        client.expects(&[]);
    });
    client.expects(&[
        r#"[0,{"type":"ACT","payload":21}]"#,
        r#"[-1,"acted",null]"#,
        "[14,true,null]",
        "[15,true,1]",
    ]);
}

#[tokio::test]
async fn answers_come_when_they_are_ready() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    let [slow, slower] = [world.answer(), world.answer()];
    client.says(r#"[15,"later",[]]"#);
    client.says(r#"[16,"later",[]]"#);
    client.says(r#"[16,"told",[]]"#);
    client.says(r#"[17,"echo",[4]]"#);
    client.expects(&["[17,true,4]"]);
    assert_eq!(client.session().session.calls_in_flight(), 3);
    slower
        .send(Err(CallError::Rejected("b".to_owned())))
        .unwrap();
    tokio::task::yield_now().await;
    client.expects(&[r#"[16,false,"b"]"#]);
    let respond = world.desk.told.lock().remove(0);
    respond(Ok(Reply::Nothing));
    client.expects(&["[16,true,null]"]);
    slow.send(Ok(Reply::Value(Json::parse("1").unwrap())))
        .unwrap();
    tokio::task::yield_now().await;
    client.expects(&["[15,true,1]"]);
    assert_eq!(client.session().session.calls_in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_takes_too_long_is_given_up() {
    let limits = Limits {
        call: Duration::from_millis(2500),
        ..Limits::default()
    };
    let world = World::new(Plan {
        limits,
        ..Plan::default()
    });
    let mut client = world.connect();
    let late = world.answer();
    client.says(r#"[1,"later",[]]"#);
    tokio::time::sleep(Duration::from_millis(2499)).await;
    client.expects(&[]);
    tokio::time::sleep(Duration::from_millis(2)).await;
    client.expects(&[r#"[1,false,"the action did not answer in time"]"#]);
    assert!(
        late.send(Ok(Reply::Nothing)).is_err(),
        "nobody waits any more"
    );
}

#[test]
fn calls_in_flight_are_bounded() {
    let limits = Limits {
        calls_in_flight: 2,
        ..Limits::default()
    };
    let world = World::new(Plan {
        limits,
        ..Plan::default()
    });
    let mut client = world.connect();
    for text in [
        r#"[1,"told",[]]"#,
        r#"[0,"told",[]]"#,
        r#"[3,"echo",[1]]"#,
        r#"[0,"echo",[1]]"#,
    ] {
        client.says(text);
    }
    client.expects(&[r#"[3,false,"you have too many pending requests"]"#]);
    assert_eq!(world.calls(), ["told(null)", "told(null)"]);
    let [first, second] = <[_; 2]>::try_from(std::mem::take(&mut *world.desk.told.lock()))
        .unwrap_or_else(|_| panic!("two wait"));
    second(Ok(Reply::Nothing));
    client.expects(&[]);
    client.says(r#"[4,"echo",[1]]"#);
    client.expects(&["[4,true,1]"]);
    first(Ok(Reply::Nothing));
    client.expects(&["[1,true,null]"]);
}

#[test]
fn what_a_listener_does_not_let_its_sessions_call() {
    let permissions = Permissions::default();
    let permissions = permissions.with_calls(&["echo".to_owned()]).unwrap();
    let world = World::new(Plan {
        permissions,
        ..Plan::default()
    });
    let mut client = world.connect();
    client.says(r#"[1,"echo",[1]]"#);
    client.says(r#"[2,"undef",[]]"#);
    client.says(r#"[0,"undef",[]]"#);
    client.expects(&[
        "[1,true,1]",
        r#"[2,false,"not authorized to call this action"]"#,
    ]);
    assert_eq!(world.calls(), ["echo(1)"]);
}

#[test]
fn a_listener_that_drains_takes_no_new_calls_and_sends_the_answers_of_the_others() {
    let world = World::new(Plan::default());
    let mut client = world.connect();
    client.says(r#"[1,"told",[]]"#);
    world.listener.drain();
    client.says(r#"[2,"echo",[1]]"#);
    client.expects(&[r#"[2,false,"the server is shutting down"]"#]);
    let respond = world.desk.told.lock().remove(0);
    respond(Ok(Reply::Nothing));
    client.expects(&["[1,true,null]"]);
    assert!(client.session().session.is_settled());
}
