use std::collections::VecDeque;

use parking_lot::Mutex;
use polyport_core::{
    ActionInfo, Answer, Call, CallError, Denial, Hooks, Later, Permissions, Reception,
};
use polyport_net::{WsClose, ws};
use tokio::sync::oneshot;
use world::{Client, Log, World, forget, opening, place, sent, without_time};

use super::*;
use crate::listener;

mod world;

const HELLO: &str = r#"{"id":"0.x","message":"lobby.hello","data":{ "n" :1}}"#;

#[test]
fn presence_is_told_to_the_others_and_departure_once() {
    let world = World::new(ChannelsOptions::default());
    let a = world.connect(1001);
    let b = world.connect(1002);
    let mut c = world.connect(1003);
    let arrival =
        |port| format!(r#"T {{"socket": "connected", "port": {port}, "address": "127.0.0.1"}}"#);
    a.expects(&[&arrival(1002), &arrival(1003)]);
    b.expects(&[&arrival(1003)]);
    c.expects(&[]);
    let departure = r#"T {"socket": "disconnected", "port": 1003, "address": "127.0.0.1"}"#;
    assert_eq!(
        &c.closes(WsClose::ByClient(Some((1000, "bye".into()))))[..],
        b"\x88\x00"
    );
    a.expects(&[departure]);
    c.is_gone();
    a.expects(&[]);
    b.expects(&[departure]);
    c.expects(&[]);
}

#[test]
fn a_connection_that_is_cut_departs_too() {
    let world = World::new(ChannelsOptions::default());
    let a = world.connect(1001);
    let mut b = world.connect(1002);
    a.hears();
    b.is_gone();
    a.expects(&[r#"T {"socket": "disconnected", "port": 1002, "address": "127.0.0.1"}"#]);
}

#[test]
fn a_stopping_listener_announces_nobody() {
    let world = World::new(ChannelsOptions::default());
    let a = world.connect(1001);
    let mut b = world.connect(1002);
    a.hears();
    world.pocket.drain();
    let close = b.closes(WsClose::ByServer(CloseReason::Shutdown));
    assert_eq!(close, ws::close(Some((1001, "going away"))));
    b.is_gone();
    a.expects(&[]);
}

#[test]
fn close_frames() {
    let world = World::new(ChannelsOptions::default());
    let mut a = world.connect(1001);
    for (close, expected) in [
        (WsClose::ByClient(None), None),
        (
            WsClose::ByServer(CloseReason::Disconnected),
            Some((1001, "")),
        ),
        (
            WsClose::ByServer(CloseReason::OutboxFull),
            Some((1008, "reading too slowly")),
        ),
        (
            WsClose::ByServer(CloseReason::IdentityExpired),
            Some((1008, "token expired")),
        ),
        (
            WsClose::ByError(ws::WsError::TooBig),
            Some((1009, "message too big")),
        ),
        (
            WsClose::ByError(ws::WsError::NotUtf8),
            Some((1007, "text is not UTF-8")),
        ),
    ] {
        let shown = format!("{close:?}");
        assert_eq!(a.closes(close), ws::close(expected), "{shown}");
    }
}

#[test]
fn receipt_to_the_sender_and_the_same_bytes_to_the_others() {
    let world = World::new(ChannelsOptions::default());
    let [mut a, mut b, c] = [1, 2, 3].map(|port| world.connect(port));
    forget([&a, &b, &c]);
    let odd = "{ \"id\" : \"sp\" ,\n \"message\":\"é😀\" }";
    a.says(odd);
    a.says("Flerburry (42)!");
    b.says("");
    let text = r#"T {"messageId": 15, "socket": "sent", "attr": "string"}"#;
    let odd = format!("T {odd}");
    a.expects(&[&sent(r#""sp""#), text, "T "]);
    b.expects(&[
        &odd,
        "T Flerburry (42)!",
        r#"T {"messageId": 0, "socket": "sent", "attr": "string"}"#,
    ]);
    c.expects(&[&odd, "T Flerburry (42)!", "T "]);
}

#[test]
fn binary_is_text_if_it_can_be() {
    let world = World::new(ChannelsOptions::default());
    let [mut a, b] = [1, 2].map(|port| world.connect(port));
    forget([&a, &b]);
    a.sends(br#"{"id":"bin"}"#);
    a.sends(b"\xff\xfe");
    a.expects(&[
        &sent(r#""bin""#),
        r#"T {"messageId": 2, "socket": "sent", "attr": "string"}"#,
    ]);
    b.expects(&[r#"T {"id":"bin"}"#, "B \u{fffd}\u{fffd}"]);
}

#[test]
fn echo_comes_behind_the_receipt() {
    let world = World::new(ChannelsOptions {
        echo: true,
        ..ChannelsOptions::default()
    });
    let [mut a, b] = [1, 2].map(|port| world.connect(port));
    forget([&a, &b]);
    a.says(HELLO);
    let hello = format!("T {HELLO}");
    a.expects(&[&sent(r#""0.x""#), &hello]);
    b.expects(&[&hello]);
}

#[test]
fn plain_relay_keeps_the_kind_and_says_nothing_itself() {
    let world = World::new(ChannelsOptions {
        relay: Relay::Plain,
        refuse_forgeries: true,
        ..ChannelsOptions::default()
    });
    let [mut a, mut b] = [1, 2].map(|port| world.connect(port));
    let (_stranger, wire) = world.stranger("lobby");
    a.says(HELLO);
    a.says(r#"{"socket":"connected"}"#);
    a.sends(b"bin");
    a.is_gone();
    b.expects(&[
        &format!("T {HELLO}"),
        r#"T {"socket":"connected"}"#,
        "B bin",
    ]);
    b.says("x");
    a.expects(&[]);
    assert_eq!(wire.text(), "");
}

#[test]
fn forgeries_are_relayed_unless_refused() {
    let forged = r#"{"id":"f","socket":"connected","port":1}"#;
    let world = World::new(ChannelsOptions::default());
    let [mut a, b] = [1, 2].map(|port| world.connect(port));
    forget([&a, &b]);
    a.says(forged);
    b.expects(&[&format!("T {forged}")]);

    let world = World::new(ChannelsOptions {
        refuse_forgeries: true,
        ..ChannelsOptions::default()
    });
    let [mut a, b] = [1, 2].map(|port| world.connect(port));
    forget([&a, &b]);
    a.says(forged);
    a.expects(&[r#"T {"messageId": "f", "socket": "refused", "attr": "forgery"}"#]);
    b.expects(&[]);
    assert_eq!(world.pocket.metrics().invalid_messages.get(), 1);
}

#[test]
fn other_protocols_get_channel_events_of_rooms_and_nobody_gets_them_twice() {
    let world = World::new(ChannelsOptions::default());
    let [mut a, b] = [1, 2].map(|port| world.connect(port));
    let (_stranger, wire) = world.stranger("lobby");
    forget([&a, &b]);
    a.says(HELLO);
    a.says(r#"{"message":"lobby.bye.x"}"#);
    a.says(r#"{"message":"lobby."}"#);
    a.says(r#"{"message":"lobby"}"#);
    a.says(r#"{"message":"elsewhere.hello"}"#);
    assert_eq!(a.hears().len(), 5);
    assert_eq!(b.hears().len(), 5);
    let heard = wire.text();
    assert_eq!(heard, "lobby hello { \"n\" :1}\nlobby bye null\n");
    assert!(
        !world
            .pocket
            .realm()
            .exists(RoomName::new("elsewhere").unwrap())
    );
}

#[test]
fn another_pocketsocket_listener_gets_the_event_in_its_own_form() {
    let world = World::new(ChannelsOptions::default());
    let mut a = world.connect(1);
    let second = place("second", &["lobby"]);
    let (second, front_end) = listener::prepare(
        second,
        &world.hub,
        &Tasks::new(),
        ChannelsOptions::default(),
        Reception::default(),
    );
    let (opening, wire) = opening(&second, 2);
    let b = Client {
        session: Some(front_end.open_session(opening, Guest::default())),
        wire,
    };
    a.expects(&[]);
    a.says(HELLO);
    b.expects(&[r#"T {"id":null,"message":"lobby.hello","data":{ "n" :1}}"#]);
}

#[test]
fn who_may_not_publish_is_relayed_and_nothing_else() {
    let no_publishing = Permissions::new(&[], &[], &[]).unwrap();
    for (join, permissions) in [
        (&["lobby"][..], no_publishing),
        (&[][..], Permissions::default()),
    ] {
        let world = World::with(ChannelsOptions::default(), join, permissions);
        let [mut a, b] = [1, 2].map(|port| world.connect(port));
        let (_stranger, wire) = world.stranger("lobby");
        forget([&a, &b]);
        a.says(HELLO);
        a.expects(&[&sent(r#""0.x""#)]);
        b.expects(&[&format!("T {HELLO}")]);
        assert_eq!(wire.text(), "");
    }
}

#[test]
fn events_of_other_protocols_arrive_as_channel_messages() {
    let world = World::new(ChannelsOptions::default());
    let a = world.connect(1);
    let (stranger, _) = world.stranger("lobby");
    let room = RoomName::new("lobby").unwrap();
    let name = EventName::new("message").unwrap();
    let args = Args::from_buf([Arg::Json(Json::string("hi"))]);
    stranger
        .publish(&room, name, args, Except::default())
        .unwrap();
    a.expects(&[r#"T {"id":null,"message":"lobby.message","data":"hi"}"#]);
}

#[test]
fn others_see_one_common_order() {
    let world = World::new(ChannelsOptions {
        echo: true,
        ..ChannelsOptions::default()
    });
    let mut clients = [1, 2, 3, 4].map(|port| world.connect(port));
    forget(clients.each_ref());
    std::thread::scope(|scope| {
        for (name, client) in ["a", "b"].iter().zip(&mut clients) {
            scope.spawn(move || {
                for n in 0..20 {
                    client.says(&format!("{name}{n:02}"));
                }
            });
        }
    });
    let [a, b, c, d] = clients.each_ref().map(|client| {
        let heard = client.hears();
        heard
            .into_iter()
            .filter(|text| !text.contains("messageId"))
            .collect::<Vec<_>>()
    });
    assert_eq!(c.len(), 40);
    assert_eq!(a, c);
    assert_eq!(b, c);
    assert_eq!(d, c);
    for name in ["T a", "T b"] {
        let own: Vec<&String> = c.iter().filter(|text| text.starts_with(name)).collect();
        assert!(own.is_sorted(), "{own:?}");
    }
}

#[test]
fn a_verbose_hub_logs_what_the_original_prints_and_a_quiet_one_nothing() {
    let talk = |verbose| {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let world = World::new(ChannelsOptions {
                verbose,
                ..ChannelsOptions::default()
            });
            let mut a = world.connect(1001);
            a.says(r#"{"id":1}"#);
            a.sends(b"\xff");
            a.is_gone();
        });
        let text = log.text();
        let lines = text.lines().map(|line| {
            let line = line.trim_start().strip_prefix("INFO ").unwrap();
            let line = line.strip_suffix(r#" listener="pocket""#).unwrap();
            match line.strip_prefix("Send: ") {
                Some(sent) => format!("Send: {}", without_time(sent)),
                None => line.to_owned(),
            }
        });
        lines.collect::<Vec<_>>()
    };
    let expected = [
        "connected (127.0.0.1:1001)",
        r#"Receive: {"id":1}"#,
        r#"Send: {"messageId": 1, "socket": "sent", "attr": "json"}"#,
        r#"Send: {"id":1}"#,
        "Receive: \u{fffd}",
        r#"Send: {"messageId": 1, "socket": "sent", "attr": "string"}"#,
        "Send: \u{fffd}",
        "disconnected (127.0.0.1:1001)",
    ];
    assert_eq!(talk(true), expected);
    assert_eq!(talk(false), Vec::<String>::new());
}

#[test]
fn nothing_is_left_when_all_have_gone() {
    let world = World::new(ChannelsOptions::default());
    let rooms = world.pocket.realm().len();
    for port in 0..100 {
        let mut client = world.connect(port);
        client.says(HELLO);
        client.is_gone();
    }
    assert!(world.hub.is_empty());
    assert_eq!(world.pocket.realm().len(), rooms);
}

/// Is asked before something is published, and answers when the test says so.
#[derive(Default)]
struct Censor(Mutex<VecDeque<oneshot::Receiver<Result<(), Denial>>>>);

impl Backend for Censor {
    fn call(&self, _: &SessionRef, _: Call<'_>) -> Answer {
        Answer::Now(Err(CallError::UnknownAction))
    }

    fn inputs(&self, _: &Call<'_>) -> Vec<(String, Json)> {
        Vec::new()
    }

    fn describe(&self) -> Arc<[ActionInfo]> {
        Arc::new([])
    }

    fn has_input(&self, _: &str) -> bool {
        false
    }

    fn documentation(&self) -> Json {
        Json::EMPTY_OBJECT
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            publish: true,
            ..Hooks::default()
        }
    }

    fn may(&self, _: &SessionRef, _: Ask) -> Later<Result<(), Denial>> {
        let verdict = self.0.lock().pop_front().expect("a question too many");
        Box::pin(async move { verdict.await.unwrap() })
    }
}

#[tokio::test]
async fn a_backend_decides_what_others_see_and_the_order_stays() {
    let censor = Arc::new(Censor::default());
    let tasks = Tasks::new();
    let reception = Reception::new(censor.clone(), None);
    let world = World::received(&["lobby"], &tasks, reception);
    let [mut page, neighbour] = [1, 2].map(|port| world.connect(port));
    forget([&page, &neighbour]);
    let (_stranger, wire) = world.stranger("lobby");
    let verdicts = [(); 3].map(|()| {
        let (sender, receiver) = oneshot::channel();
        censor.0.lock().push_back(receiver);
        sender
    });
    let says = |n: u32| format!(r#"{{"id":"{n}","message":"lobby.count","data":{n}}}"#);
    for n in 1..=3 {
        page.says(&says(n));
    }
    // Pages of the hub see it at once: the hub's own conversation is nobody else's.
    let seen: Vec<String> = (1..=3).map(|n| format!("T {}", says(n))).collect();
    neighbour.expects(&seen.iter().map(String::as_str).collect::<Vec<_>>());
    let [first, second, third] = verdicts;
    third.send(Ok(())).unwrap();
    second.send(Err(Denial::because("not that"))).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(wire.text(), "");
    first.send(Ok(())).unwrap();
    tasks.finish().await;
    assert_eq!(wire.text(), "lobby count 1\nlobby count 3\n");
}
