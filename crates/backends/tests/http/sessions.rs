//! Hooks: whether sessions may open, join and publish, and that they have ended.

use polyport_backends::HttpOptions;
use polyport_core::{
    Arg, Ask, Backend, CallArgs, Denial, EventName, Hooks, Json, Received, Refused,
};
use serde_json::json;

use crate::{
    service::{Reaction, Service},
    world::{World, options, room},
};

const OPEN_AND_CLOSE: Hooks = Hooks {
    open: true,
    close: true,
    join: false,
    publish: false,
};

fn world(service: &Service, hooks: Hooks) -> World {
    World::with(HttpOptions {
        hooks,
        ..options(service)
    })
}

#[tokio::test]
async fn an_opening_is_asked_about_with_its_target_and_headers() {
    let service = Service::answering(r#"{"public":{"name":"Ann"},"ping":5000}"#);
    let world = world(&service, OPEN_AND_CLOSE);
    let (id, guest) = world.ask_for_session("/token-abc?x=1").await;
    let guest = guest.unwrap();
    assert_eq!(guest.public().unwrap().as_str(), r#"{"name":"Ann"}"#);
    assert_eq!(guest.ping(), Some(std::time::Duration::from_secs(5)));
    let asked = &service.asked()[0];
    assert_eq!(asked.what(), "open");
    assert_eq!(
        asked.json["open"],
        json!({
            "target": "/token-abc?x=1",
            "tls": true,
            "headers": { "host": "gateway.example", "cookie": "a=1; b=2", "x-twice": "one, two" },
        })
    );
    assert_eq!(asked.json["session"]["id"], id.to_string());
    assert_eq!(asked.json["session"]["rooms"], json!([]));
}

#[tokio::test]
async fn who_is_let_in_is_made_what_the_service_says_before_anything_else() {
    let service = Service::start(|_, _| {
        Reaction::ok(
            r#"{"identity":{"user":"7"},"join":["news"],"leave":["lobby"],"data":{"cart":1},
                "push":[{"publish":{"event":"welcome","data":1}},
                        {"publish":{"to":{"user":"7"},"event":"too"}}]}"#,
        )
    });
    let world = world(&service, OPEN_AND_CLOSE);
    let client = world.client().await;
    assert_eq!(client.got(), "welcome: 1\ntoo: null\n");
    assert_eq!(client.session.rooms(), [room("user(7)"), room("news")]);
    world.call(&client, "any").await.unwrap();
    let session = &service.asked()[1].json["session"];
    assert_eq!(session["data"], json!({ "cart": 1 }));
    assert_eq!(session["identity"]["user"], "7");
}

#[tokio::test]
async fn who_is_not_let_in_hears_why() {
    let check = async |status: u16, body: &'static str, expected: Refused| {
        let service = Service::start(move |_, _| Reaction::Answer(status, body.to_owned()));
        let world = world(&service, OPEN_AND_CLOSE);
        let (_, guest) = world.ask_for_session("/").await;
        assert_eq!(guest.unwrap_err(), expected, "{status} {body}");
    };
    let failed = |text: &str| Refused::failed(text);
    let unavailable = |text: &str| Refused::Unavailable(text.to_owned());
    check(401, "", Refused::Nobody).await;
    check(403, r#"{"error":"banned"}"#, Refused::Nobody).await;
    check(200, r#"{"result":false}"#, Refused::Nobody).await;
    check(200, r#"{"error":"closed today"}"#, failed("closed today")).await;
    check(400, r#"{"error":"no token"}"#, failed("no token")).await;
    check(
        500,
        "Traceback: password=1234",
        failed("The server experienced an internal error"),
    )
    .await;
    check(200, "<html>", failed("the backend's answer cannot be used")).await;
    check(503, "", unavailable("the backend cannot be reached")).await;
    check(429, "", unavailable("the backend has too much to do")).await;
}

#[tokio::test]
async fn the_end_is_told_once_with_code_and_data() {
    let service = Service::answering(r#"{"identity":{"user":"7"},"data":"kept"}"#);
    let world = world(&service, OPEN_AND_CLOSE);
    let client = world.client().await;
    let id = client.session.id().to_string();
    client.leave_saying(4001, "bye");
    let asked = &service.wait_for(2).await[1];
    assert_eq!(asked.what(), "close");
    assert_eq!(asked.json["close"], json!({ "code": 4001, "text": "bye" }));
    let session = &asked.json["session"];
    assert_eq!(session["id"], id);
    assert_eq!(session["data"], "kept");
    assert_eq!(session["identity"]["user"], "7");
    world.settle().await;
    assert_eq!(service.asked().len(), 2, "once");
    assert_eq!(world.counted("close", "ok") as u64, 1);
}

#[tokio::test]
async fn without_the_hook_open_the_end_is_told_all_the_same() {
    let service = Service::answering("{}");
    let close_only = Hooks {
        close: true,
        ..Hooks::default()
    };
    let world = world(&service, close_only);
    let client = world.client().await;
    assert!(service.asked().is_empty());
    client.leave();
    let asked = &service.wait_for(1).await[0];
    assert_eq!(asked.json["close"], json!({ "code": 1006, "text": "" }));
}

#[tokio::test]
async fn the_end_of_who_left_while_the_service_was_asked_comes_after_its_answer() {
    let service = Service::start(|asked, _| match asked.what().as_str() {
        "open" => Reaction::Hang(r#"{"data":1}"#.to_owned()),
        _ => Reaction::ok("{}"),
    });
    let world = world(&service, OPEN_AND_CLOSE);
    let (_, received) = world.begin_to_ask("/");
    let Received::Later(asking) = received else {
        panic!("the service is asked");
    };
    tokio::select! {
        _ = asking => panic!("the service hangs"),
        _ = service.wait_for(1) => {}
    }
    service.release();
    let asked = service.wait_for(2).await;
    assert_eq!([asked[0].what(), asked[1].what()], ["open", "close"]);
    assert_eq!(asked[1].json["session"]["data"], 1);
    world.settle().await;
    assert_eq!(service.asked().len(), 2);
}

#[tokio::test]
async fn who_is_refused_has_no_end() {
    let service = Service::start(|_, _| Reaction::Answer(401, String::new()));
    let world = world(&service, OPEN_AND_CLOSE);
    let (_, guest) = world.ask_for_session("/").await;
    guest.unwrap_err();
    world.settle().await;
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn a_service_whose_answer_was_lost_hears_that_the_session_never_opened() {
    let service = Service::start(|asked, _| match asked.what().as_str() {
        "open" => Reaction::Raw("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"da".to_owned()),
        _ => Reaction::ok("{}"),
    });
    let world = world(&service, OPEN_AND_CLOSE);
    let (_, guest) = world.ask_for_session("/").await;
    assert!(matches!(guest, Err(Refused::Unavailable(_))));
    let asked = service.wait_for(2).await;
    assert_eq!(asked[1].json["close"]["code"], 1006);
}

#[tokio::test]
async fn joining_and_publishing_are_asked_about() {
    let service = Service::start(|asked, _| {
        let room = ["join", "publish"]
            .into_iter()
            .find_map(|kind| asked.json[kind]["room"].as_str().map(str::to_owned));
        match room.unwrap().as_str() {
            "open" => Reaction::ok("{}"),
            "quiet" => Reaction::Answer(204, String::new()),
            "members" => Reaction::ok(r#"{"error":"members only"}"#),
            "no" => Reaction::ok(r#"{"result":false}"#),
            "forbidden" => Reaction::Answer(403, String::new()),
            _ => Reaction::Reset,
        }
    });
    let hooks = Hooks {
        join: true,
        publish: true,
        ..Hooks::default()
    };
    let world = world(&service, hooks);
    let client = world.client().await;
    let may = |ask: Ask| world.registry.may(&client.session, ask);
    let join = |name: &str| may(Ask::Join(room(name)));
    let silent = |text: &str| Err(Denial::silent(text));
    let text = |text: &str| Err(Denial::because(text));
    assert_eq!(join("open").await, Ok(()));
    assert_eq!(join("quiet").await, Ok(()));
    assert_eq!(join("members").await, text("members only"));
    assert_eq!(join("no").await, silent("not authorized to join room"));
    assert_eq!(
        join("forbidden").await,
        silent("not authorized to join room")
    );
    assert_eq!(join("down").await, text("the backend cannot be reached"));

    let publish = |name: &str| {
        may(Ask::Publish {
            room: room(name),
            event: EventName::new("say").unwrap(),
            args: [Arg::Json(Json::parse("1e2").unwrap())]
                .into_iter()
                .collect(),
        })
    };
    assert_eq!(publish("open").await, Ok(()));
    let asked = service.asked().pop().unwrap();
    assert!(
        asked
            .text
            .ends_with(r#""publish":{"room":"open","event":"say","args":[1e2]}}"#),
        "{}",
        asked.text
    );
    assert_eq!(
        publish("no").await,
        silent("not authorized to publish to room")
    );
}

#[tokio::test]
async fn ends_wait_for_no_call_and_calls_for_no_end() {
    let service = Service::start(|asked, _| match asked.what().as_str() {
        "call slow" => Reaction::Hang(String::new()),
        _ => Reaction::ok("{}"),
    });
    let world = world(&service, OPEN_AND_CLOSE);
    let client = world.client().await;
    drop(world.begin_call(&client.session, "slow", CallArgs::List(&[])));
    service.wait_for(2).await;
    client.leave();
    assert_eq!(service.wait_for(3).await[2].what(), "close");
    service.release();
    world.settle().await;
}
