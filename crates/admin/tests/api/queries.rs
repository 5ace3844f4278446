//! Sessions, rooms, presence, info and the document.

use std::{collections::BTreeSet, sync::Arc};

use polyport_core::{Identity, RoomName};
use serde_json::{Value, json};

use crate::rig::world;

/// The ids in a list.
fn ids(answer: &Value, list: &str, key: &str) -> BTreeSet<String> {
    let list = answer[list].as_array().unwrap();
    list.iter()
        .map(|entry| entry[key].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn sessions_by_every_filter() {
    let world = world().await;
    let (one, _) = world.user("7", &["a", "b"]);
    let (two, _) = world.member(&["a"]);
    let (three, _) = world.stranger(&["a"]);
    let [one, two, three] = [&one, &two, &three].map(|session| session.id().to_string());
    for (query, expected) in [
        ("", vec![&one, &two, &three]),
        ("?realm=default", vec![&one, &two]),
        ("?realm=other", vec![&three]),
        ("?listener=two", vec![&three]),
        ("?listener=none", vec![]),
        ("?protocol=lines", vec![&one, &two, &three]),
        ("?protocol=none", vec![]),
        ("?room=a", vec![&one, &two]),
        ("?room=a&realm=other", vec![&three]),
        ("?room=a&listener=two", vec![]),
        ("?user=7", vec![&one]),
        ("?user=7&room=b", vec![&one]),
        ("?user=7&room=c", vec![]),
        ("?user=8", vec![]),
    ] {
        let answer = world.get(&format!("/api/sessions{query}")).await.json();
        let expected = expected.into_iter().cloned().collect();
        assert_eq!(ids(&answer, "sessions", "id"), expected, "{query}");
        assert_eq!(answer["next"], Value::Null);
    }
}

#[tokio::test]
async fn a_session_as_it_is_shown() {
    let world = world().await;
    let (session, _) = world.member(&["b", "a"]);
    let mut identity = Identity::of_user("7");
    identity.site = Some("example.com".into());
    identity.claims = polyport_core::Json::parse(r#"{"secret":"s3cret"}"#).unwrap();
    session.identify(Some(Arc::new(identity)));
    let ticket = session.begin_call("any").unwrap();
    let answer = world.get(&format!("/api/sessions/{}", session.id())).await;
    let expected = json!({
        "id": session.id().to_string(),
        "realm": "default",
        "listener": "one",
        "protocol": "lines",
        "peer": "192.0.2.1:40000",
        "opened_at": session.opened_at().0,
        "user": "7",
        "site": "example.com",
        "rooms": ["b", "a", "user(7)", "site(example.com)"],
        "calls_in_flight": 1,
    });
    assert_eq!(answer.json(), expected);
    let listed = world.get("/api/sessions").await.json();
    assert_eq!(listed["sessions"], json!([expected]));
    assert!(
        !answer.body.contains("s3cret"),
        "claims are nobody else's business"
    );
    drop(ticket);
    let id = session.id();
    drop(session);
    world
        .get(&format!("/api/sessions/{id}"))
        .await
        .refused(404, "unknown_session");
    world
        .get("/api/sessions/7")
        .await
        .refused(404, "unknown_session");
}

#[tokio::test]
async fn pages_show_everything_once() {
    let world = world().await;
    let names: Vec<String> = (0..7).map(|i| format!("room {i}")).collect();
    let members: Vec<_> = names
        .iter()
        .map(|name| world.member(&["a", name]))
        .collect();
    let joined: Vec<String> = members
        .iter()
        .map(|(session, _)| session.id().to_string())
        .collect();
    let mut sorted = joined.clone();
    sorted.sort();
    for (path, list, key, expected) in [
        ("/api/sessions?limit=3", "sessions", "id", sorted),
        ("/api/rooms?prefix=room+&limit=3", "rooms", "name", names),
        ("/api/presence?room=a&limit=3", "members", "session", joined),
    ] {
        let mut seen: Vec<String> = Vec::new();
        let mut sizes = Vec::new();
        let mut next = String::new();
        loop {
            let answer = world.get(&format!("{path}{next}")).await.json();
            let page = answer[list].as_array().unwrap();
            sizes.push(page.len());
            seen.extend(
                page.iter()
                    .map(|entry| entry[key].as_str().unwrap().to_owned()),
            );
            let Some(cursor) = answer["next"].as_str() else {
                break;
            };
            next = format!("&cursor={cursor}");
        }
        assert_eq!((seen, sizes), (expected, vec![3, 3, 1]), "{path}");
    }
}

#[tokio::test]
async fn rooms_and_their_members() {
    let world = world().await;
    let (one, _) = world.user("7", &["a"]);
    let (two, _) = world.member(&["a"]);
    let answer = world.get("/api/rooms").await.json();
    assert_eq!(
        answer,
        json!({"realm": "default", "next": null, "rooms": [
            {"name": "a", "members": 2, "events": 0}, {"name": "lobby", "members": 0, "events": 0},
            {"name": "user(7)", "members": 1, "events": 0},
        ]})
    );
    let answer = world.get("/api/rooms?realm=other&prefix=l").await.json();
    assert_eq!(
        answer["rooms"],
        json!([{"name": "lobby", "members": 0, "events": 0}])
    );
    let answer = world.get("/api/presence?room=a").await.json();
    let room = RoomName::new("a").unwrap();
    let joined = one.listener().realm().members(&room);
    assert_eq!(
        answer,
        json!({"realm": "default", "room": "a", "count": 2, "next": null, "members": [
            {"session": one.id().to_string(), "user": "7", "since": joined[0].joined_at.0},
            {"session": two.id().to_string(), "user": null, "since": joined[1].joined_at.0},
        ]})
    );
    let answer = world.get("/api/presence?room=nobody's").await.json();
    assert_eq!(
        (&answer["count"], &answer["members"]),
        (&json!(0), &json!([]))
    );
}

#[tokio::test]
async fn how_the_node_stands() {
    let world = world().await;
    let _member = world.member(&["a"]);
    let answer = world.get("/api/info").await.json();
    assert_eq!(
        (&answer["version"], &answer["ready"]),
        (&json!("1.2.3"), &json!(false))
    );
    assert_eq!(answer["reasons"], json!(["not all listeners are bound"]));
    assert!(answer["uptime_seconds"].is_u64());
    assert_eq!(answer["sessions"], 1);
    assert_eq!(
        answer["listeners"],
        json!([
            {"name": "one", "protocol": "lines", "realm": "default", "sessions": 1, "draining": false},
            {"name": "two", "protocol": "lines", "realm": "other", "sessions": 0, "draining": false},
        ])
    );
    assert_eq!(
        answer["realms"],
        json!([{"name": "default", "rooms": 2}, {"name": "other", "rooms": 1}])
    );
    world.readiness.set_ready(true);
    assert_eq!(world.get("/api/info").await.json()["ready"], true);
}

#[tokio::test]
async fn which_configuration_is_in_force() {
    let world = world().await;
    let told = async || {
        let mut told = world.get("/api/info").await.json()["configuration"].take();
        let loaded_at = told["loaded_at"].take().as_u64().unwrap();
        let fields = told.as_object_mut().unwrap();
        fields.remove("loaded_at");
        let last = fields.remove("last_reload_at");
        (told, loaded_at, last.and_then(|last| last.as_u64()))
    };
    let (first, loaded_at, never) = told().await;
    assert_eq!(never, None);
    assert_eq!(
        first,
        json!({"generation": 1, "reloads": {"ok": 0, "failed": 0}})
    );
    let gauge = |name: &str| {
        let families = world.hub.metrics().registry().gather();
        let family = families.iter().find(|it| it.name() == name).unwrap();
        family.get_metric()[0].get_gauge().get_value().to_string()
    };
    let gauges = || {
        [
            "polyport_config_generation",
            "polyport_config_last_reload_successful",
        ]
        .map(gauge)
    };
    assert_eq!(gauges(), ["1", "1"]);
    let configuration = world.state.configuration();
    assert_eq!(configuration.not_reloaded("no such key".to_owned()), 1);
    let (failed, same, failed_at) = told().await;
    assert_eq!(
        failed,
        json!({"generation": 1, "reloads": {"ok": 0, "failed": 1}, "last_error": "no such key"})
    );
    assert_eq!(same, loaded_at);
    assert!(failed_at.unwrap() >= loaded_at);
    assert_eq!(gauges(), ["1", "0"]);
    assert_eq!(configuration.reloaded(), 2);
    let (again, later, last) = told().await;
    assert_eq!(
        again,
        json!({"generation": 2, "reloads": {"ok": 1, "failed": 1}})
    );
    assert!(later >= failed_at.unwrap());
    assert_eq!(last, Some(later));
    assert_eq!(gauges(), ["2", "1"]);
}

#[tokio::test]
async fn queries_that_mean_nothing() {
    let world = world().await;
    for path in [
        "/api/sessions?rom=a",
        "/api/sessions?room=a&room=b",
        "/api/sessions?limit=0",
        "/api/sessions?limit=1001",
        "/api/sessions?cursor=%21",
        "/api/sessions?cursor=eA",
        "/api/sessions?room=",
        "/api/sessions?user=",
        "/api/sessions?room=%ff",
        "/api/sessions?room=%4",
        "/api/rooms?realm=",
        "/api/presence",
        "/api/presence?room=",
        "/api/presence?room=a&cursor=eA",
        "/api/info?x=1",
        &format!("/api/presence?room={}", "r".repeat(1025)),
    ] {
        world.get(path).await.refused(400, "malformed_request");
    }
    for path in [
        "/api/rooms?realm=none",
        "/api/presence?room=a&realm=none",
        "/api/sessions?realm=none",
    ] {
        world.get(path).await.refused(404, "unknown_realm");
    }
    let body = r#"{"to":{"room":"a"},"event":"n"}"#;
    world
        .post("/api/publish?realm=other", body)
        .await
        .refused(400, "malformed_request");
}

#[tokio::test]
async fn the_document_needs_no_key() {
    let world = world().await;
    let answer = world.ask("GET", "/api/openapi.json", "", b"").await;
    assert_eq!(
        (answer.status, &answer.json()["openapi"]),
        (200, &json!("3.1.0"))
    );
}
