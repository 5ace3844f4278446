//! Who may do what, and how often.

use std::time::Duration;

use polyport_admin::{ApiKeys, KeyOptions};
use tokio::time::Instant;

use crate::rig::{ROOT, World, authorization, key, world, world_with};

const TEXT: &str = "another-key-of-these-tests-0123456789";

const PUBLISH: &str = r#"{"to":{"room":"news.1"},"event":"n"}"#;

fn limited(change: impl FnOnce(&mut KeyOptions)) -> Vec<KeyOptions> {
    let mut options = key("limited", TEXT);
    change(&mut options);
    vec![options]
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn without_a_key_nothing_is_told() {
    let world = world().await;
    let wrong_case = authorization(&ROOT.to_uppercase());
    let hash = authorization(&ApiKeys::hash(ROOT).unwrap());
    for headers in [
        "",
        "authorization: \r\n",
        "authorization: Bearer\r\n",
        "authorization: Bearer \r\n",
        "authorization: Basic cm9vdDpyb290\r\n",
        "authorization: Bearer \u{e9}\r\n",
        "x-api-key: \r\n",
        &format!("authorization: {ROOT}\r\n"),
        &format!("authorization: Bearer wrong\r\nx-api-key: {ROOT}\r\n"),
        &format!("cookie: key={ROOT}\r\n"),
        &wrong_case,
        &hash,
    ] {
        for (method, path) in [
            ("GET", "/api/info"),
            ("POST", "/api/publish"),
            ("GET", "/api/sessions/x?y"),
        ] {
            let answer = world.ask(method, path, headers, b"").await;
            answer.refused(401, "unauthorized");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("bearer realm=\"polyport\"")
            );
            assert!(!answer.body.contains("wrong"));
        }
    }
    let answer = world
        .ask(
            "GET",
            "/api/info",
            &format!("authorization: bearer  {ROOT}\r\n"),
            b"",
        )
        .await;
    assert_eq!(answer.status, 200);
    let answer = world
        .ask("GET", "/api/info", &format!("x-api-key: {ROOT}\r\n"), b"")
        .await;
    assert_eq!(answer.status, 200);
    let answer = world
        .ask("GET", &format!("/api/info?key={ROOT}"), "", b"")
        .await;
    answer.refused(401, "unauthorized");
}

#[tokio::test]
async fn a_key_has_its_verbs_alone() {
    let world = world_with(limited(|key| key.verbs = list(&["publish", "info"]))).await;
    let may = async |method: &str, path: &str, body: &str| {
        let headers = authorization(TEXT) + crate::rig::JSON;
        world.ask(method, path, &headers, body.as_bytes()).await
    };
    assert_eq!(may("POST", "/api/publish", PUBLISH).await.status, 200);
    let broadcast = r#"{"to":[{"room":"a"}],"event":"n"}"#;
    assert_eq!(may("POST", "/api/broadcast", broadcast).await.status, 200);
    assert_eq!(may("GET", "/api/info", "").await.status, 200);
    for (method, path) in [
        ("POST", "/api/call"),
        ("POST", "/api/join"),
        ("POST", "/api/leave"),
        ("POST", "/api/disconnect"),
        ("POST", "/api/drain"),
        ("GET", "/api/log"),
        ("POST", "/api/log"),
        ("POST", "/api/reload"),
        ("POST", "/api/upgrade"),
        ("POST", "/api/serverSideEmit"),
        ("GET", "/api/sessions"),
        ("GET", "/api/sessions/x"),
        ("GET", "/api/rooms"),
        ("GET", "/api/presence?room=a"),
    ] {
        let message = may(method, path, "{}").await.refused(403, "forbidden");
        assert!(
            message.starts_with("key `limited` does not have the verb `"),
            "{message}"
        );
    }
    let batch = format!(
        r#"{{"commands":[{{"publish":{PUBLISH}}},{{"disconnect":{{"to":{{"everyone":true}}}}}}]}}"#
    );
    let results = may("POST", "/api/batch", &batch).await.json();
    assert_eq!(results["results"][0]["sessions"], 0);
    assert_eq!(results["results"][1]["error"]["code"], "forbidden");
}

#[tokio::test]
async fn a_key_with_rooms_addresses_rooms_that_match() {
    let world = world_with(limited(|key| key.rooms = list(&["news*", "user(7)"]))).await;
    let (session, _) = world.user("7", &["news.1", "other"]);
    let (_eight, _) = world.user("8", &["other"]);
    let id = session.id();
    let status = async |path: &str, body: &str| world.post_as(TEXT, path, body).await.status;
    let to = |target: &str| format!(r#"{{"to":{target},"event":"n"}}"#);
    let emit = r#"{"event":"n"}"#;
    assert_eq!(status("/api/serverSideEmit", emit).await, 403);
    for target in [
        r#"{"room":"news"}"#,
        r#"{"room":"news.1","realm":"other"}"#,
        r#"{"rooms":["news.1","news.2"],"except":["other"]}"#,
        r#"{"user":7}"#,
        r#"{"room":"user(7)"}"#,
    ] {
        assert_eq!(status("/api/publish", &to(target)).await, 200, "{target}");
    }
    for target in [
        r#"{"room":"other"}"#.to_owned(),
        r#"{"room":"user(8)"}"#.to_owned(),
        r#"{"rooms":["news","other"]}"#.to_owned(),
        r#"{"user":8}"#.to_owned(),
        r#"{"site":"news"}"#.to_owned(),
        r#"{"everyone":true}"#.to_owned(),
        format!(r#"{{"session":"{id}"}}"#),
    ] {
        for (path, body) in [
            ("/api/publish", to(&target)),
            (
                "/api/broadcast",
                format!(r#"{{"to":[{{"room":"news"}},{target}],"event":"n"}}"#),
            ),
            ("/api/join", format!(r#"{{"to":{target},"room":"news"}}"#)),
            ("/api/leave", format!(r#"{{"to":{target},"room":"news"}}"#)),
            ("/api/disconnect", format!(r#"{{"to":{target}}}"#)),
        ] {
            world
                .post_as(TEXT, path, &body)
                .await
                .refused(403, "forbidden");
        }
    }
    assert_eq!(
        status("/api/call", &to(&format!(r#"{{"session":"{id}"}}"#))).await,
        403
    );
    assert_eq!(
        status("/api/join", r#"{"to":{"user":7},"room":"news.2"}"#).await,
        200
    );
    for path in ["/api/join", "/api/leave"] {
        assert_eq!(
            status(path, r#"{"to":{"user":7},"room":"other"}"#).await,
            403
        );
    }
}

#[tokio::test]
async fn a_key_with_rooms_sees_what_it_may_address() {
    let world = world_with(limited(|key| key.rooms = list(&["news*", "user(7)"]))).await;
    let (session, _) = world.user("7", &["news.1", "other"]);
    let get = async |path: &str| world.ask("GET", path, &authorization(TEXT), b"").await;
    let rooms = get("/api/rooms").await.json();
    let names: Vec<_> = rooms["rooms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|room| room["name"].clone())
        .collect();
    assert_eq!(names, ["news.1", "user(7)"]);
    assert_eq!(get("/api/presence?room=news.1").await.json()["count"], 1);
    get("/api/presence?room=other")
        .await
        .refused(403, "forbidden");
    for query in [
        "",
        "?room=other",
        "?user=8",
        "?user=7&room=other",
        "?listener=one",
        "?realm=default",
    ] {
        get(&format!("/api/sessions{query}"))
            .await
            .refused(403, "forbidden");
    }
    for query in ["?room=news.1", "?user=7", "?user=7&room=news.1"] {
        let answer = get(&format!("/api/sessions{query}")).await.json();
        assert_eq!(
            answer["sessions"][0]["rooms"],
            serde_json::json!(["news.1", "user(7)"]),
            "{query}"
        );
    }
    get(&format!("/api/sessions/{}", session.id()))
        .await
        .refused(403, "forbidden");
}

#[tokio::test]
async fn stars_do_not_reach_into_rooms_of_identities() {
    let world = world_with(limited(|key| key.rooms = list(&["*"]))).await;
    let status = async |target: &str| {
        let body = format!(r#"{{"to":{target},"event":"n"}}"#);
        world.post_as(TEXT, "/api/publish", &body).await.status
    };
    assert_eq!(status(r#"{"room":"anything"}"#).await, 200);
    assert_eq!(status(r#"{"user":7}"#).await, 403);
    assert_eq!(status(r#"{"everyone":true}"#).await, 403);
}

async fn limited_status(world: &World) -> (u16, Option<String>) {
    let answer = world.post_as(TEXT, "/api/publish", PUBLISH).await;
    (
        answer.status,
        answer.header("retry-after").map(str::to_owned),
    )
}

#[tokio::test(start_paused = true)]
async fn a_key_has_its_rate() {
    let world = world_with(limited(|key| key.rate = 2)).await;
    assert_eq!(limited_status(&world).await, (200, None));
    assert_eq!(limited_status(&world).await, (200, None));
    let answer = world.post_as(TEXT, "/api/publish", PUBLISH).await;
    let message = answer.refused(429, "rate_limited");
    assert_eq!(message, "key `limited` may make 2 requests per second");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(
        world.post("/api/publish", PUBLISH).await.status,
        200,
        "others are not held up"
    );
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(limited_status(&world).await, (200, None));

    // A batch counts as its commands.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let commands = vec![format!(r#"{{"publish":{PUBLISH}}}"#); 20].join(",");
    let batch = format!(r#"{{"commands":[{commands}]}}"#);
    assert_eq!(world.post_as(TEXT, "/api/batch", &batch).await.status, 200);
    let started = Instant::now();
    assert_eq!(limited_status(&world).await, (429, Some("10".to_owned())));
    tokio::time::sleep_until(started + Duration::from_secs(10)).await;
    assert_eq!(limited_status(&world).await, (200, None));
}

#[tokio::test]
async fn keys_can_be_replaced_while_connections_stay() {
    let world = world().await;
    let mut client = world.connect().await;
    client
        .send("GET", "/api/info", &authorization(ROOT), b"")
        .await;
    assert_eq!(client.answer().await.status, 200);
    world
        .state
        .set_api_keys(ApiKeys::new(&[key("new", TEXT)]).unwrap());
    client
        .send("GET", "/api/info", &authorization(ROOT), b"")
        .await;
    assert_eq!(client.answer().await.status, 401);
    client
        .send("GET", "/api/info", &authorization(TEXT), b"")
        .await;
    assert_eq!(client.answer().await.status, 200);
}
