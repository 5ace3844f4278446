//! What a service's answers do.

use polyport_core::{Arg, Args, CallError, CloseReason, Json, Reply};

use crate::{
    service::{Reaction, Service},
    world::{World, room, value},
};

/// Calls once; the answer.
async fn answered(status: u16, body: &'static str) -> Result<Reply, CallError> {
    let service = Service::start(move |_, _| Reaction::Answer(status, body.to_owned()));
    let world = World::new(&service);
    let client = world.client().await;
    world.call(&client, "any").await
}

#[tokio::test]
async fn a_result_is_given_to_the_client_as_it_is() {
    let text = r#"{"n":1e3,"s":"h\u00e9"}"#;
    let body = r#"{ "result" : {"n":1e3,"s":"h\u00e9"} }"#;
    assert_eq!(answered(200, body).await, value(text));
    assert_eq!(answered(200, "{}").await, Ok(Reply::Void));
    assert_eq!(answered(200, "").await, Ok(Reply::Void));
    assert_eq!(answered(204, "").await, Ok(Reply::Void));
    assert_eq!(answered(200, r#"{"result":null}"#).await, value("null"));
}

#[tokio::test]
async fn binary_in_a_result_is_binary_for_clients_that_can_have_it() {
    let body = r#"{ "result": { "base64": true, "data": "AP8=" } }"#;
    let binary = Arg::Binary(bytes::Bytes::from_static(b"\x00\xff"));
    let expected = Reply::Args(Args::from_iter([binary]));
    assert_eq!(answered(200, body).await, Ok(expected));
}

#[tokio::test]
async fn the_applications_error_reaches_the_client_word_for_word() {
    let rejected = |text: &str| Err(CallError::Rejected(text.to_owned()));
    let body = r#"{"error":"no such record"}"#;
    assert_eq!(answered(200, body).await, rejected("no such record"));
    assert_eq!(answered(404, body).await, rejected("no such record"));
    assert_eq!(answered(403, body).await, rejected("no such record"));
    assert_eq!(answered(403, "").await, Err(CallError::Forbidden));
    assert_eq!(answered(404, "Not Found").await, Err(CallError::BadAnswer));
}

#[tokio::test]
async fn what_is_pushed_arrives_before_the_answer() {
    let service = Service::answering(
        r#"{"push":[
            {"publish":{"event":"own","data":{"n":1e2}}},
            {"publish":{"to":{"room":"lobby"},"event":"all","args":[1,"two"]}},
            {"publish":{"to":{"session":"self"},"action":{"type":"T"}}}
        ],"result":"done"}"#,
    );
    let world = World::new(&service);
    let (caller, other) = (world.client().await, world.client().await);
    world.call(&caller, "any").await.unwrap();
    assert_eq!(
        caller.got(),
        "own: {\"n\":1e2}\nall: [1,\"two\"]\naction: {\"type\":\"T\"}\nanswer \"done\"\n"
    );
    assert_eq!(other.got(), "all: [1,\"two\"]\n");
}

#[tokio::test]
async fn an_error_does_not_undo_what_is_pushed() {
    let service = Service::answering(
        r#"{"push":[{"publish":{"event":"tried"}}],"error":"and failed","join":["tries"]}"#,
    );
    let world = World::new(&service);
    let client = world.client().await;
    world.call(&client, "any").await.unwrap_err();
    assert_eq!(client.got(), "tried: null\nfailed and failed\n");
    assert!(client.session.is_in(&room("tries")));
    assert_eq!(world.counted("call", "rejected") as u64, 1);
}

#[tokio::test]
async fn sessions_join_leave_and_become_somebody() {
    let service = Service::start(|_, number| {
        Reaction::ok(match number {
            0 => {
                r#"{"join":["news"],"leave":["lobby","unknown"],
                    "identity":{"user":7,"site":"example.com","claims":{"vip":true}},
                    "push":[{"publish":{"to":{"user":7},"event":"hello"}}]}"#
            }
            _ => r#"{"identity":null,"push":[{"join":{"room":"pushed"}}]}"#,
        })
    });
    let world = World::new(&service);
    let client = world.client().await;
    world.call(&client, "login").await.unwrap();
    assert_eq!(client.got(), "hello: null\nanswer null\n");
    let identity = client.session.identity().unwrap();
    assert_eq!(identity.user.as_deref(), Some("7"));
    assert_eq!(identity.claims, Json::parse(r#"{"vip":true}"#).unwrap());
    for name in ["news", "user(7)", "site(example.com)"] {
        assert!(client.session.is_in(&room(name)), "{name}");
    }
    assert!(!client.session.is_in(&room("lobby")));

    world.call(&client, "logout").await.unwrap();
    let session = &service.asked()[1].json["session"];
    assert_eq!(session["identity"]["user"], "7");
    assert_eq!(session["identity"]["claims"]["vip"], true);
    assert!(client.session.identity().is_none());
    assert_eq!(client.session.rooms(), [room("news"), room("pushed")]);
}

#[tokio::test]
async fn data_comes_back_with_every_later_request_of_the_session() {
    let service = Service::start(|_, number| {
        Reaction::ok(["{\"data\":{\"cart\":[1e1]}}", "{}", "{\"data\":null}", "{}"][number.min(3)])
    });
    let world = World::new(&service);
    let (client, other) = (world.client().await, world.client().await);
    for _ in 0..4 {
        world.call(&client, "any").await.unwrap();
    }
    world.call(&other, "any").await.unwrap();
    let asked = service.asked();
    let kept: Vec<_> = asked
        .iter()
        .map(|request| request.json["session"]["data"].to_string())
        .collect();
    assert_eq!(
        kept,
        [
            "null",
            r#"{"cart":[10.0]}"#,
            r#"{"cart":[10.0]}"#,
            "null",
            "null"
        ]
    );
    assert!(asked[1].text.contains(r#""data":{"cart":[1e1]}"#));
}

#[tokio::test]
async fn a_session_is_ended_after_its_answer() {
    let service = Service::answering(r#"{"result":"goodbye","disconnect":true}"#);
    let world = World::new(&service);
    let client = world.client().await;
    world.call(&client, "leave").await.unwrap();
    assert_eq!(client.got(), "answer \"goodbye\"\n");
    let reason = client.session.outbox().closing();
    assert_eq!(reason, Some(CloseReason::Disconnected));
}

#[tokio::test]
async fn an_answer_with_one_bad_command_does_nothing_at_all() {
    let service = Service::answering(
        r#"{"result":1,"join":["news"],"push":[{"publish":{"event":"a"}},{"publish":{}}]}"#,
    );
    let world = World::new(&service);
    let client = world.client().await;
    let answer = world.call(&client, "any").await;
    assert_eq!(answer, Err(CallError::BadAnswer));
    assert_eq!(client.got(), "failed the backend's answer cannot be used\n");
    assert!(!client.session.is_in(&room("news")));
}

#[tokio::test]
async fn calls_of_one_session_run_side_by_side() {
    let service = Service::start(|asked, _| match asked.what().as_str() {
        "call slow" => Reaction::Hang(r#"{"result":"slow"}"#.to_owned()),
        _ => Reaction::ok(r#"{"result":"fast"}"#),
    });
    let world = World::new(&service);
    let client = world.client().await;
    let none = polyport_core::CallArgs::List(&[]);
    let slow = world.begin_call(&client.session, "slow", none);
    assert_eq!(world.call(&client, "fast").await, value("\"fast\""));
    service.release();
    assert_eq!(slow.await.unwrap(), value("\"slow\""));
    assert_eq!(client.got(), "answer \"fast\"\nanswer \"slow\"\n");
}

#[tokio::test]
async fn an_answer_for_a_session_that_has_gone_is_no_trouble() {
    let service = Service::start(|_, _| {
        Reaction::Hang(r#"{"data":1,"push":[{"publish":{"event":"late"}}]}"#.to_owned())
    });
    let world = World::new(&service);
    let client = world.client().await;
    let none = polyport_core::CallArgs::List(&[]);
    drop(world.begin_call(&client.session, "any", none));
    service.wait_for(1).await;
    client.leave();
    service.release();
    world.settle().await;
    assert_eq!(world.counted("call", "ok") as u64, 1);
}
