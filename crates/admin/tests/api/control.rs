//! Another configuration, other certificates, another binary: what whoever runs the process is asked for, and what it answers.

use std::time::Duration;

use polyport_admin::{ChangedSetting, Order, Reloaded, ReplacedCertificates, Upgraded};
use serde_json::json;

use crate::rig::{World, key, world, world_with};

const TEXT: &str = "another-key-of-these-tests-0123456789";

async fn next(world: &World) -> Order {
    world.orders.lock().await.recv().await.unwrap()
}

#[tokio::test]
async fn a_reload_is_answered_when_it_is_done() {
    let world = world().await;
    let done = async {
        let Order::Reload(outcome) = next(&world).await else {
            panic!("no reload");
        };
        let changes = vec![ChangedSetting {
            setting: "log.level".to_owned(),
            takes_effect: "live",
            before: None,
            after: Some("\"debug\"".to_owned()),
        }];
        outcome
            .send(Ok(Reloaded {
                generation: 2,
                changes,
            }))
            .unwrap();
    };
    let (answer, ()) = tokio::join!(world.post("/api/reload", "{}"), done);
    assert_eq!(
        answer.json(),
        json!({"generation": 2, "changes": [{"setting": "log.level", "takes_effect": "live", "after": "\"debug\""}]})
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_a_line_each() {
    let world = world().await;
    let problems = || vec!["a.toml:1:2: x".to_owned(), "y".to_owned()];
    let refused = async {
        let Order::Reload(outcome) = next(&world).await else {
            panic!("no reload");
        };
        outcome.send(Err(problems())).unwrap();
        let Order::Upgrade { window, outcome } = next(&world).await else {
            panic!("no upgrade");
        };
        assert_eq!(window, Some(Duration::from_secs(2)));
        outcome.send(Err(problems())).unwrap();
    };
    let asked = async {
        let reload = world.post("/api/reload", "{}").await;
        let upgrade = world.post("/api/upgrade", r#"{"window":2000}"#).await;
        (reload, upgrade)
    };
    let ((reload, upgrade), ()) = tokio::join!(asked, refused);
    for (answer, code) in [
        (reload, "configuration_refused"),
        (upgrade, "upgrade_failed"),
    ] {
        assert_eq!(answer.status, 422);
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code);
        assert_eq!(error["problems"], json!(problems()));
    }
}

#[tokio::test]
async fn certificates_alone_and_an_upgrade() {
    let world = world().await;
    let done = async {
        let Order::ReloadCertificates(outcome) = next(&world).await else {
            panic!("no certificates");
        };
        let certificates = vec!["tls".to_owned()];
        outcome
            .send(Ok(ReplacedCertificates { certificates }))
            .unwrap();
        let Order::Upgrade { window, outcome } = next(&world).await else {
            panic!("no upgrade");
        };
        assert_eq!(window, None);
        let upgraded = Upgraded {
            old_pid: 1,
            new_pid: 2,
            sessions: 3,
        };
        outcome.send(Ok(upgraded)).unwrap();
    };
    let asked = async {
        let certificates = world.post("/api/reload", r#"{"certificates":true}"#).await;
        let upgrade = world.post("/api/upgrade", "{}").await;
        (certificates.json(), upgrade.json())
    };
    let ((certificates, upgrade), ()) = tokio::join!(asked, done);
    assert_eq!(certificates, json!({"certificates": ["tls"]}));
    assert_eq!(upgrade, json!({"old_pid": 1, "new_pid": 2, "sessions": 3}));
}

#[tokio::test]
async fn a_process_that_stops_takes_no_orders() {
    let world = world().await;
    world.orders.lock().await.close();
    for path in ["/api/reload", "/api/upgrade"] {
        world.post(path, "{}").await.refused(503, "stopping");
    }
}

#[tokio::test]
async fn who_may_not_and_what_is_no_order() {
    let mut news = key("news", TEXT);
    news.rooms = vec!["*".to_owned()];
    let world = world_with(vec![news]).await;
    for path in ["/api/reload", "/api/upgrade"] {
        let answer = world.post_as(TEXT, path, "{}").await;
        answer.refused(403, "forbidden");
    }
    for (path, bad) in [
        ("/api/reload", r#"{"certificates":1}"#),
        ("/api/reload", r#"{"certificate":true}"#),
        ("/api/upgrade", r#"{"window":-1}"#),
        ("/api/upgrade", r#"{"window":0.5}"#),
        ("/api/upgrade", r#"{"now":true}"#),
    ] {
        world.post(path, bad).await.refused(422, "invalid_request");
    }
    assert!(world.orders.lock().await.try_recv().is_err());
}
