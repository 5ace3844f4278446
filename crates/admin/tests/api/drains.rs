//! Stopping the process from outside.

use std::time::Duration;

use tokio::time::timeout;

use crate::rig::{World, key, world, world_with};

const TEXT: &str = "another-key-of-these-tests-0123456789";

/// What was wished, if anything was.
async fn wished(world: &World) -> Option<Option<Duration>> {
    let waiting = timeout(Duration::from_millis(50), world.drain.wished());
    waiting.await.ok()
}

#[tokio::test]
async fn the_first_wish_counts() {
    let world = world().await;
    let (_one, _) = world.member(&["a"]);
    let (_two, _) = world.stranger(&["a"]);
    assert_eq!(wished(&world).await, None);
    assert_eq!(world.reached("/api/drain", r#"{"window":1500}"#).await, 2);
    assert_eq!(world.reached("/api/drain", "{}").await, 2);
    let window = Some(Duration::from_millis(1500));
    assert_eq!(wished(&world).await, Some(window));
}

#[tokio::test]
async fn without_a_window_the_configuration_says_it() {
    let world = world().await;
    world.reached("/api/drain", "{}").await;
    assert_eq!(wished(&world).await, Some(None));
}

#[tokio::test]
async fn who_may_not_and_what_is_no_window() {
    let mut news = key("news", TEXT);
    news.rooms = vec!["*".to_owned()];
    let world = world_with(vec![news]).await;
    let answer = world.post_as(TEXT, "/api/drain", "{}").await;
    answer.refused(403, "forbidden");
    for bad in [
        r#"{"window":-1}"#,
        r#"{"window":0.5}"#,
        r#"{"window":86400001}"#,
        r#"{"window":"1s"}"#,
        r#"{"windoe":1}"#,
        "[]",
    ] {
        world
            .post("/api/drain", bad)
            .await
            .refused(422, "invalid_request");
    }
    assert_eq!(wished(&world).await, None);
}
