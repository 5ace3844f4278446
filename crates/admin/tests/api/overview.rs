//! All figures in one answer.

use polyport_admin::{BoundListener, KnownBackend, Standing};
use polyport_core::{
    BackendOutcome, BackendRequest, CallError, CloseReason, Frame, RefuseReason, RoomName,
};
use serde_json::{Value, json};
use std::time::Duration;

use crate::rig::{authorization, key, world, world_with};

fn listener<'a>(overview: &'a Value, name: &str) -> &'a Value {
    let mut all = overview["listeners"].as_array().unwrap().iter();
    all.find(|listener| listener["name"] == name).unwrap()
}

#[tokio::test]
async fn listeners_have_their_counters() {
    let world = world().await;
    world.state.set_standing(Standing {
        listeners: vec![BoundListener {
            name: "one".to_owned(),
            address: "127.0.0.1:5000".to_owned(),
            is_tls: true,
        }],
        backends: Vec::new(),
    });
    let (session, _) = world.user("7", &["a"]);
    let (other, _) = world.member(&[]);
    other.close(CloseReason::ProtocolError);
    drop(other);
    drop(session.begin_call("a").unwrap().finish(None));
    let failed = session.begin_call("a").unwrap();
    drop(failed.finish(Some(&CallError::UnknownAction)));
    session.listener().refused(None, RefuseReason::Token);
    session.listener().metrics().received_bytes.inc_by(11);
    let seen = world.get("/api/overview").await.json();
    let one = listener(&seen, "one");
    for (field, expected) in [
        ("protocol", json!("lines")),
        ("realm", json!("default")),
        ("address", json!("127.0.0.1:5000")),
        ("tls", json!(true)),
        ("draining", json!(false)),
        ("sessions", json!(1)),
        ("opened", json!(2)),
        ("closed", json!({"protocol_error": 1})),
        ("refused", json!({"token": 1})),
        ("limit_hits", json!({})),
        ("received_bytes", json!(11)),
    ] {
        assert_eq!(one[field], expected, "{field}");
    }
    assert_eq!(
        one["calls"]["outcomes"],
        json!({"ok": 1, "unknown_action": 1})
    );
    let durations = &one["calls"]["durations"];
    assert_eq!(durations["count"], 2);
    assert_eq!(
        durations["buckets"].as_array().unwrap().last().unwrap(),
        &json!([30.0, 2])
    );
    assert_eq!(listener(&seen, "two")["address"], Value::Null);
    assert_eq!(
        (&seen["sessions"], &seen["version"]),
        (&json!(1), &json!("1.2.3"))
    );
    assert_eq!(
        seen["realms"],
        json!([{"name": "default", "rooms": 3}, {"name": "other", "rooms": 1}])
    );
    session.listener().drain();
    let seen = world.get("/api/overview").await.json();
    assert_eq!(
        (
            &listener(&seen, "one")["draining"],
            &listener(&seen, "one")["address"]
        ),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn a_listener_that_was_removed_stays_until_its_last_session_has_ended() {
    let world = world().await;
    let (session, _) = world.stranger(&[]);
    session.listener().drain();
    let seen = world.get("/api/overview").await.json();
    assert_eq!(listener(&seen, "two")["draining"], true);
    drop(session);
    let seen = world.get("/api/overview").await.json();
    let names: Vec<_> = seen["listeners"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 1, "{seen}");
    assert_eq!(names[0]["name"], "one");
}

#[tokio::test]
async fn backends_and_deliveries_are_there() {
    let world = world().await;
    let metrics = world.hub.metrics().backend("mine");
    metrics.asked(
        BackendRequest::Call,
        BackendOutcome::Ok,
        Duration::from_millis(2),
    );
    metrics.asked(
        BackendRequest::Open,
        BackendOutcome::Ok,
        Duration::from_millis(2),
    );
    metrics.asked(
        BackendRequest::Call,
        BackendOutcome::Timeout,
        Duration::from_secs(9),
    );
    metrics.available.set(0);
    metrics.waiting.set(3);
    world.state.set_standing(Standing {
        listeners: Vec::new(),
        backends: vec![KnownBackend {
            name: "mine".to_owned(),
            kind: "http",
        }],
    });
    let (_session, _) = world.member(&["a"]);
    world
        .reached("/api/publish", r#"{"to":{"room":"a"},"event":"x"}"#)
        .await;
    let seen = world.get("/api/overview").await.json();
    let backend = &seen["backends"][0];
    assert_eq!(backend["outcomes"], json!({"ok": 2, "timeout": 1}));
    assert_eq!(
        (
            &backend["available"],
            &backend["waiting"],
            &backend["durations"]["count"]
        ),
        (&json!(false), &json!(3), &json!(3)),
        "looking changes nothing"
    );
    assert_eq!(
        seen["deliveries"],
        json!({"lines": {"delivered": 1, "encodes": 1}})
    );
    assert_eq!(seen["backplane"], Value::Null);
    let rooms = world.get("/api/rooms?prefix=a").await.json();
    assert_eq!(rooms["rooms"][0]["events"], 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_is_looked_at_now_and_then() {
    let world = world().await;
    let first = world.get("/api/overview").await.json();
    let process = &first["process"];
    assert!(
        process["resident_bytes"].as_u64().unwrap() > 1 << 20,
        "{process}"
    );
    assert!(process["open_files"].as_u64().unwrap() > 3, "{process}");
    assert!(process["threads"].as_u64().unwrap() >= 1, "{process}");
    let second = world.get("/api/overview").await.json();
    assert_eq!(
        first["sampled_at"], second["sampled_at"],
        "not for everybody anew"
    );
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    let third = world.get("/api/overview").await.json();
    assert!(third["sampled_at"].as_u64() >= first["sampled_at"].as_u64());
    assert!(third["process"]["cpu_seconds"].as_f64() >= process["cpu_seconds"].as_f64());
}

#[tokio::test]
async fn who_may_not_list_sessions_hears_of_none() {
    let mut looker = key("looker", "looker-key-of-these-tests-0123456789");
    looker.verbs = vec!["info".to_owned()];
    let mut bounded = key("bounded", "bounded-key-of-these-tests-0123456789");
    bounded.rooms = vec!["news".to_owned()];
    let mut none = key("none", "none-key-of-these-tests-0123456789");
    none.verbs = vec!["publish".to_owned()];
    let world = world_with(vec![looker, bounded, none]).await;
    let ask = async |name: &str| {
        let key = format!("{name}-key-of-these-tests-0123456789");
        world
            .ask("GET", "/api/overview", &authorization(&key), b"")
            .await
    };
    let seen = ask("looker").await.json();
    assert_eq!(
        (&seen["slow"], &seen["refusals"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        seen["key"],
        json!({"name": "looker", "verbs": ["info"], "bounded": false})
    );
    let seen = ask("bounded").await.json();
    assert_eq!(
        (&seen["slow"], &seen["refusals"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(seen["key"]["bounded"], true);
    ask("none").await.refused(403, "forbidden");
    let root = world.get("/api/overview").await.json();
    assert_eq!(root["slow"], json!({"waiting": [], "closed": []}));
    assert_eq!(root["refusals"], json!([]));
    assert_eq!(
        root["key"]["verbs"].as_array().unwrap().len(),
        polyport_admin::ApiKeys::VERBS.len()
    );
    world
        .get("/api/overview?x=1")
        .await
        .refused(400, "malformed_request");
}

#[tokio::test]
async fn refusals_and_the_slow_are_named() {
    let world = world().await;
    let (session, _) = world.member(&[]);
    let from = "192.0.2.7".parse().unwrap();
    session.listener().refused(Some(from), RefuseReason::Nobody);
    let limit = session.listener().limits().outbox;
    // Nobody flushes while the turn lasts, so that all of it waits.
    world.hub.turn(|| {
        session.send(Frame::from_static(b"x"));
        session.send(vec![b'x'; limit].into());
    });
    let id = session.id().to_string();
    drop(session);
    let seen = world.get("/api/overview").await.json();
    let refusal = &seen["refusals"][0];
    assert_eq!(
        (&refusal["listener"], &refusal["peer"], &refusal["reason"]),
        (&json!("one"), &json!("192.0.2.7"), &json!("nobody"))
    );
    let closed = &seen["slow"]["closed"][0];
    assert_eq!(
        (&closed["session"], &closed["listener"], &closed["peer"]),
        (&json!(id), &json!("one"), &json!("192.0.2.1:40000"))
    );
}

#[tokio::test]
async fn sessions_are_searched_for() {
    let world = world().await;
    let (one, _) = world.user("alice", &[]);
    let (two, _) = world.member(&[]);
    two.put_into(&RoomName::new("b").unwrap()).unwrap();
    let id = two.id().to_string();
    for (query, expected) in [
        ("search=lic", vec![&one]),
        (&format!("search={}", &id[3..20]), vec![&two]),
        ("search=nothing", vec![]),
        ("search=lic&room=b", vec![]),
    ] {
        let found = world.get(&format!("/api/sessions?{query}")).await.json();
        let found = found["sessions"].as_array().unwrap().iter();
        let found: Vec<_> = found
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect();
        let expected: Vec<_> = expected.iter().map(|it| it.id().to_string()).collect();
        assert_eq!(found, expected, "{query}");
    }
    let all = world
        .get("/api/sessions?search=192.0.2.1:40000")
        .await
        .json();
    assert_eq!(all["sessions"].as_array().unwrap().len(), 2);
}
