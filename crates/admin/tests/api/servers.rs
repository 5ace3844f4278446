//! Speaking to other servers, of which a node without a backplane has none.

use crate::rig::world;

const PATH: &str = "/api/serverSideEmit";

#[tokio::test]
async fn without_others_nobody_answers() {
    let world = world().await;
    let (_session, hears) = world.member(&["a"]);
    for body in [
        r#"{"event":"stock"}"#,
        r#"{"event":"stock","args":[7,null],"timeout":20000}"#,
        r#"{"event":"stock","data":7,"realm":"default"}"#,
    ] {
        let answer = world.post(PATH, body).await;
        assert_eq!(
            (answer.status, &*answer.body),
            (200, r#"{"answers":[],"complete":true}"#)
        );
    }
    assert_eq!(hears.lines().len(), 0, "no session is told");
}

#[tokio::test]
async fn what_is_no_event_for_servers() {
    let world = world().await;
    for body in [
        r#"{"args":[]}"#,
        r#"{"event":""}"#,
        r#"{"event":"e","args":[],"data":1}"#,
        r#"{"event":"e","action":1}"#,
        r#"{"event":"e","to":{"room":"a"}}"#,
        r#"{"event":"e","timeout":0}"#,
        r#"{"event":"e","timeout":20001}"#,
    ] {
        world.post(PATH, body).await.refused(422, "invalid_request");
    }
    let elsewhere = r#"{"event":"e","realm":"nowhere"}"#;
    world
        .post(PATH, elsewhere)
        .await
        .refused(404, "unknown_realm");
}
