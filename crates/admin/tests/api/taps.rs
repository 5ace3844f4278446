//! `GET /api/tap`: lines without end, for whom, until when, and that nobody waits for who reads them.

use std::time::Duration;

use polyport_admin::{ApiKeys, KeyOptions};
use polyport_core::{CloseReason, TapLimits};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::rig::{Acks, ROOT, World, authorization, key, world, world_with};

/// A tap that is being read.
struct Reader {
    stream: BufReader<TcpStream>,
    head: String,
}

impl Reader {
    async fn open(world: &World, parameters: &str) -> Self {
        Self::open_as(world, ROOT, parameters).await
    }

    async fn open_as(world: &World, key: &str, parameters: &str) -> Self {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let head = authorization(key);
        let request = format!("GET /api/tap?{parameters} HTTP/1.1\r\nhost: test\r\n{head}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        Self {
            stream,
            head: head.to_lowercase(),
        }
    }

    /// The records of the next chunk; none at the end.
    async fn next(&mut self) -> Vec<Value> {
        let mut length = String::new();
        self.stream.read_line(&mut length).await.unwrap();
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        self.stream.read_exact(&mut chunk).await.unwrap();
        let text = String::from_utf8(chunk).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The next record of that kind.
    async fn kind(&mut self, kind: &str) -> Value {
        loop {
            let records = self.next().await;
            assert!(!records.is_empty(), "it ends before `{kind}`");
            if let Some(found) = records.into_iter().find(|record| record["kind"] == kind) {
                return found;
            }
        }
    }

    async fn has_ended(&mut self) -> bool {
        self.next().await.is_empty() && self.stream.read(&mut [0]).await.unwrap() == 0
    }
}

#[tokio::test]
async fn what_happens_comes_line_by_line() {
    let world = world().await;
    let mut reader = Reader::open(&world, "room=lobby").await;
    assert!(
        reader
            .head
            .contains("content-type: application/x-ndjson\r\n"),
        "{}",
        reader.head
    );
    assert!(reader.head.contains("transfer-encoding: chunked\r\n"));
    let (member, _) = world.member(&["lobby"]);
    let join = reader.kind("join").await;
    assert_eq!(join["session"], member.id().to_string());
    let body = r#"{"to":{"room":"lobby"},"event":"news","args":[{"n":1,"password":"p"}]}"#;
    assert_eq!(world.reached("/api/publish", body).await, 1);
    let mut publish = reader.kind("publish").await;
    let at = publish["at"].take();
    assert!(at.as_u64().is_some());
    assert_eq!(
        publish,
        json!({
            "at": null, "kind": "publish", "realm": "default", "room": "lobby", "event": "news",
            "args": [{ "n": 1, "password": "[redacted]" }],
            "forms": { "lines": "lobby news {\"n\":1,\"password\":\"[redacted]\"}" },
        })
    );
    let mut without = Reader::open(&world, "room=lobby&forms=false").await;
    world.reached("/api/publish", body).await;
    assert!(without.kind("publish").await.get("forms").is_none());
}

#[tokio::test]
async fn sessions_and_listeners() {
    let world = world().await;
    let (member, _) = world.member(&["lobby"]);
    let mut session = Reader::open(&world, &format!("session={}", member.id())).await;
    let mut listener = Reader::open(&world, "listener=one").await;
    let (other, _) = world.member(&[]);
    assert_eq!(
        listener.kind("open").await["session"],
        other.id().to_string()
    );
    member.close(CloseReason::Disconnected);
    drop(member);
    assert_eq!(session.kind("close").await["reason"], "disconnected");
    assert!(session.has_ended().await, "with its session");
    assert_eq!(listener.kind("close").await["protocol"], "lines");

    let asked = world.answering(Acks::Echo);
    let mut session = Reader::open(&world, &format!("session={}", asked.id())).await;
    let id = asked.id();
    let body = format!(r#"{{"to":{{"session":"{id}"}},"event":"sure?"}}"#);
    assert_eq!(world.post("/api/call", &body).await.status, 200);
    assert_eq!(session.kind("deliver").await["event"], "sure?");
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    let world = world_with(vec![
        KeyOptions {
            rooms: vec!["news*".to_owned()],
            ..key("bounded", "bounded-key-0123456789")
        },
        KeyOptions {
            verbs: vec!["publish".to_owned(), "sessions".to_owned()],
            ..key("other", "other-key-012345678901")
        },
    ])
    .await;
    let get = async |path: &str| world.get(path).await;
    let both = "exactly one of the parameters";
    for query in ["", "?room=a&listener=one", "?realm=default"] {
        let message = get(&format!("/api/tap{query}"))
            .await
            .refused(400, "malformed_request");
        assert!(message.contains(both), "{message}");
    }
    for query in [
        "room=",
        "session=x",
        "room=a&forms=1",
        "rooms=a",
        "listener=one&realm=other",
    ] {
        get(&format!("/api/tap?{query}"))
            .await
            .refused(400, "malformed_request");
    }
    get("/api/tap?room=a&realm=none")
        .await
        .refused(404, "unknown_realm");
    get("/api/tap?listener=none")
        .await
        .refused(404, "unknown_listener");
    let nobody = "/api/tap?session=0e8400e2-9b41-4d16-a716-446655440000";
    get(nobody).await.refused(404, "unknown_session");
    let post = world.post("/api/tap?room=a", "{}").await;
    post.refused(405, "method_not_allowed");
    world
        .ask("GET", "/api/tap?room=a", "", b"")
        .await
        .refused(401, "unauthorized");

    let bounded = authorization("bounded-key-0123456789");
    for query in [
        "room=lobby",
        "listener=one",
        "session=0e8400e2-9b41-4d16-a716-446655440000",
    ] {
        let answer = world
            .ask("GET", &format!("/api/tap?{query}"), &bounded, b"")
            .await;
        answer.refused(403, "forbidden");
    }
    Reader::open_as(&world, "bounded-key-0123456789", "room=news-1").await;
    let other = authorization("other-key-012345678901");
    let message = world
        .ask("GET", "/api/tap?room=a", &other, b"")
        .await
        .refused(403, "forbidden");
    assert!(
        message.contains("does not have the verb `tap`"),
        "{message}"
    );
}

/// A figure of the gateway.
fn figure(world: &World, family: &str, outcome: Option<&str>) -> f64 {
    let families = world.hub.metrics().registry().gather();
    let family = families
        .iter()
        .find(|known| known.name() == family)
        .unwrap();
    let series = family.get_metric().iter();
    let wanted = series.filter(|it| {
        outcome.is_none_or(|wanted| it.get_label().iter().any(|label| label.value() == wanted))
    });
    wanted
        .map(|it| it.get_counter().get_value() + it.get_gauge().get_value())
        .sum()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let reached = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), reached).await.expect(what);
}

async fn taps(world: &World, count: f64) {
    until("other taps", || {
        (figure(world, "polyport_taps", None) - count).abs() < 0.5
    })
    .await;
}

fn dropped(world: &World) -> f64 {
    figure(world, "polyport_tap_records_total", Some("dropped"))
}

#[tokio::test]
async fn the_head_alone_watches_nothing() {
    let world = world().await;
    let mut client = world.connect().await;
    client
        .send("HEAD", "/api/tap?room=a", &authorization(ROOT), b"")
        .await;
    let mut head = String::new();
    client.0.read_to_string(&mut head).await.unwrap();
    let head = head.to_lowercase();
    assert!(
        head.starts_with("http/1.1 200 ") && head.contains("application/x-ndjson"),
        "{head}"
    );
    taps(&world, 0.0).await;
}

#[tokio::test]
async fn there_are_only_so_many_and_whoever_goes_makes_place() {
    let world = world().await;
    world.hub.set_tap_limits(&TapLimits {
        taps: 2,
        ..TapLimits::default()
    });
    let first = Reader::open(&world, "room=a").await;
    let _second = Reader::open(&world, "room=a").await;
    let refused = world.get("/api/tap?room=a").await;
    let message = refused.refused(429, "too_many_taps");
    assert!(message.contains("2 taps"), "{message}");
    assert_eq!(refused.header("retry-after"), Some("5"));
    drop(first);
    taps(&world, 1.0).await;
    Reader::open(&world, "room=a").await;
}

#[tokio::test]
async fn a_key_that_is_withdrawn_watches_no_longer() {
    let other = "other-key-012345678901";
    let keys = vec![key("other", other)];
    let world = world_with(keys).await;
    let mut stays = Reader::open(&world, "room=news").await;
    let mut goes = Reader::open_as(&world, other, "room=news").await;
    let mut loses = Reader::open_as(&world, other, "listener=one").await;
    let bounded = KeyOptions {
        rooms: vec!["news".to_owned()],
        ..key("renamed", other)
    };
    let set = |keys: &[KeyOptions]| world.state.set_api_keys(ApiKeys::new(keys).unwrap());
    set(&[key("root", ROOT), bounded]);
    let end = loses.kind("end").await;
    assert_eq!(end["reason"], "the key may no longer do this");
    assert!(loses.has_ended().await);
    set(&[key("root", ROOT)]);
    goes.kind("end").await;
    assert!(goes.has_ended().await);
    let body = r#"{"to":{"room":"news"},"event":"news","data":1}"#;
    world.reached("/api/publish", body).await;
    stays.kind("publish").await;
}

#[tokio::test]
async fn it_ends_with_the_gateway() {
    let world = world().await;
    let mut reader = Reader::open(&world, "room=a").await;
    drop(world);
    assert_eq!(reader.kind("end").await["reason"], "the gateway stops");
    assert!(reader.has_ended().await);
}

#[tokio::test]
async fn silence_is_not_the_end() {
    let world = world().await;
    let mut reader = Reader::open(&world, "room=a").await;
    tokio::time::pause();
    let started = Instant::now();
    for _ in 0..12 {
        // Time goes on by itself while everybody waits.
        reader.kind("alive").await;
    }
    assert!(
        started.elapsed() > Duration::from_secs(110),
        "{:?}",
        started.elapsed()
    );
    tokio::time::resume();
    world.member(&["a"]);
    reader.kind("join").await;
}

/// Publishes until a reader that does not read has lost records for good: what is between it and us is full.
async fn flood(world: &World, so_many: f64) -> usize {
    let data = "x".repeat(4000);
    let body = format!(r#"{{"to":{{"room":"lobby"}},"event":"e","data":"{data}"}}"#);
    let mut sent = 0;
    while dropped(world) < so_many {
        world.reached("/api/publish", &body).await;
        sent += 1;
        assert!(sent < 20_000, "nothing is dropped");
    }
    sent
}

#[tokio::test]
async fn who_does_not_read_loses_records_and_nobody_else_does() {
    let world = world().await;
    world.hub.set_tap_limits(&TapLimits {
        rate: 1_000_000,
        ..TapLimits::default()
    });
    let (_member, wire) = world.member(&["lobby"]);
    let mut reader = Reader::open(&world, "room=lobby&forms=false").await;
    let sent = flood(&world, 10.0).await;
    assert_eq!(wire.lines().len(), sent);
    let told = reader.kind("dropped").await;
    assert!(told["count"].as_u64().unwrap() > 0, "{told}");
}

#[tokio::test]
async fn who_never_reads_loses_the_tap() {
    let world = world().await;
    world.hub.set_tap_limits(&TapLimits {
        rate: 1_000_000,
        ..TapLimits::default()
    });
    let _reader = Reader::open(&world, "room=lobby&forms=false").await;
    flood(&world, 10.0).await;
    tokio::time::pause();
    let started = Instant::now();
    while figure(&world, "polyport_taps", None) > 0.5 {
        sleep(Duration::from_secs(1)).await;
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "it is still there"
        );
    }
}
