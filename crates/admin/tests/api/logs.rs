//! What is logged, and changing it.

use std::{sync::Mutex, time::Duration};

use polyport_admin::{LogControl, LogState};
use serde_json::json;

use crate::rig::{key, world, world_with};

const TEXT: &str = "another-key-of-these-tests-0123456789";

/// Knows one level that is none.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Option<(String, Option<Duration>)>>);

impl LogControl for Log {
    fn state(&self) -> LogState {
        let now = self.0.lock().unwrap();
        let (level, remaining) = now.clone().unwrap_or_else(|| ("info".to_owned(), None));
        LogState {
            level,
            configured: "info".to_owned(),
            remaining,
        }
    }

    fn set(&self, level: &str, lasts: Option<&str>) -> Result<(), String> {
        if level == "loud" {
            return Err("`level`: no such level".to_owned());
        }
        let lasts = lasts.map(|_| Duration::from_millis(600_000));
        *self.0.lock().unwrap() = Some((level.to_owned(), lasts));
        Ok(())
    }
}

#[tokio::test]
async fn it_is_told_and_changed() {
    let world = world().await;
    let told = || async { world.get("/api/log").await.json() };
    assert_eq!(told().await, json!({"level": "info", "configured": "info"}));
    let body = r#"{"level":"debug"}"#;
    let answer = world.post("/api/log", body).await.json();
    assert_eq!(answer, json!({"level": "debug", "configured": "info"}));
    let body = r#"{"level":"trace","for":"10m"}"#;
    let expected = json!({"level": "trace", "configured": "info", "remaining": 600_000});
    assert_eq!(world.post("/api/log", body).await.json(), expected);
    assert_eq!(told().await, expected);
    let message = world.post("/api/log", r#"{"level":"loud"}"#).await;
    let message = message.refused(422, "invalid_request");
    assert_eq!(message, "`level`: no such level");
    for bad in ["{}", r#"{"level":1}"#, r#"{"level":"info","fro":"1m"}"#] {
        let answer = world.post("/api/log", bad).await;
        answer.refused(422, "invalid_request");
    }
    let answer = world.get("/api/log?x=1").await;
    answer.refused(400, "malformed_request");
    assert_eq!(told().await, expected);
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let world = world().await;
    let headers = crate::rig::authorization(crate::rig::ROOT);
    let answer = world.ask("DELETE", "/api/log", &headers, b"").await;
    assert_eq!(answer.header("allow"), Some("get, head, post"));
    answer.refused(405, "method_not_allowed");
}

#[tokio::test]
async fn a_key_for_some_rooms_may_look() {
    let mut news = key("news", TEXT);
    news.rooms = vec!["*".to_owned()];
    let world = world_with(vec![news]).await;
    let headers = crate::rig::authorization(TEXT);
    let answer = world.ask("GET", "/api/log", &headers, b"").await;
    assert_eq!(answer.status, 200);
    let answer = world.post_as(TEXT, "/api/log", r#"{"level":"off"}"#).await;
    answer.refused(403, "forbidden");
}
