//! Actions that answer later, their limits, and draining (sections 8, 9 and 14 of the protocol page). Time is virtual.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::world::{Client, Setup, Version, World};

const OK: &str = r#"{"status":"OK","context":"response"<null>,<n>}"#;
const GOODBYE: &str = r#"{"status":"Bye!","context":"api"}"#;

fn sleep_line(duration: u64) -> String {
    format!("{{\"action\":\"sleepTest\",\"params\":{{\"sleepDuration\":{duration}}}}}\n")
}

fn slept(duration: &str, end: &str) -> String {
    format!(
        r#"{{"sleepStarted":<ms>,"sleepEnded":<ms>,"sleepDelta":<any>,"sleepDuration":{duration},"context":"response",{end}}}"#
    )
}

fn counted(duration: u64, count: u64) -> String {
    slept(&duration.to_string(), &format!(r#""messageCount":{count}"#))
}

fn refused(text: &str, count: u64) -> String {
    format!(r#"{{"error":"{text}","context":"response","messageCount":{count}}}"#)
}

/// Waits until the connection has heard `count` lines; returns them and how long it took.
async fn hears(client: &mut Client, count: usize) -> (Vec<String>, Duration) {
    let start = Instant::now();
    let mut heard = client.hears();
    while heard.len() < count {
        assert!(start.elapsed() < Duration::from_secs(60), "{heard:?}");
        sleep(Duration::from_millis(1)).await;
        heard.extend(client.hears());
    }
    (heard, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn answers_come_when_they_are_there() {
    let mut client = World::new(Version::Classic).connect();
    client.sends(sleep_line(500) + &sleep_line(10));
    client.expects(&[]);
    let (heard, after) = hears(&mut client, 1).await;
    assert_eq!(heard, [counted(10, 2)]);
    assert!(after < Duration::from_millis(20), "{after:?}");
    let (heard, after) = hears(&mut client, 1).await;
    assert_eq!(heard, [counted(500, 1)]);
    assert!(after > Duration::from_millis(480), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_action_works_on_the_params_of_its_line() {
    for version in Version::ALL {
        let mut client = World::new(version).connect();
        client.sends(
            "paramAdd sleepDuration=400\nsleepTest\nparamAdd sleepDuration=20\nsleepTest\nparamsDelete\n",
        );
        let verbs: Vec<String> = [1, 3, 5].map(|n| version.expand(OK, n)).to_vec();
        assert_eq!(client.hears(), verbs, "{version:?}");
        let (heard, _) = hears(&mut client, 2).await;
        let expected = [("20", 4), ("400", 2)]
            .map(|(duration, count)| version.expand(&slept(duration, "<n>"), count));
        assert_eq!(heard, expected, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_belongs_to_its_line_however_late_its_reply() {
    let mut client = World::new(Version::V29).connect();
    for (id, duration) in [("a", 300), ("b", 20)] {
        client.sends(format!(
            "{{\"action\":\"sleepTest\",\"params\":{{\"messageId\":\"{id}\",\"sleepDuration\":{duration}}}}}\n"
        ));
    }
    client.sends("paramsDelete\n");
    let (heard, _) = hears(&mut client, 3).await;
    assert_eq!(
        heard,
        [
            r#"{"status":"OK","context":"response","messageId":"b"}"#.to_owned(),
            slept("20", r#""messageId":"b""#),
            slept("300", r#""messageId":"a""#),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_sixth_pending_action_is_refused_at_once_and_verbs_never_are() {
    let world = World::new(Version::Classic);
    let mut client = world.connect();
    client.sends((0..8).map(|_| sleep_line(300)).collect::<String>());
    let refusals = [6, 7, 8].map(|n| refused("you have too many pending requests", n));
    assert_eq!(client.hears(), refusals);
    world.check_limit_hits("calls_in_flight", 3);

    client.sends("detailsView\nroomAdd defaultRoom\nfile nope\nrandomNumber\n");
    let heard = client.hears();
    assert!(
        heard[0].contains(r#""totalActions":8,"pendingActions":5"#),
        "{heard:?}"
    );
    assert_eq!(
        heard[1],
        r#"{"status":"OK","context":"response","data":true,"messageCount":10}"#
    );
    assert_eq!(heard[2], refused("Sorry, that file is not found :(", 11));
    assert_eq!(heard[3], refused("you have too many pending requests", 12));

    let (mut heard, _) = hears(&mut client, 5).await;
    heard.sort();
    let mut expected = [1, 2, 3, 4, 5].map(|n| counted(300, n));
    expected.sort();
    assert_eq!(heard, expected);
    client.sends("randomNumber\ndetailsView\n");
    let heard = client.hears();
    assert_eq!(
        heard[0],
        r#"{"randomNumber":<any>,"context":"response","messageCount":13}"#
    );
    assert!(
        heard[1].contains(r#""totalActions":10,"pendingActions":0"#),
        "{heard:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn too_many_pending_in_the_words_of_each_version() {
    for version in Version::ALL {
        let mut setup = Setup::new(version);
        setup.limits.calls_in_flight = 1;
        let mut client = setup.world().connect();
        client.sends(sleep_line(50) + "hello\n");
        let refusal =
            r#"{"error":"<Error>you have too many pending requests","context":"response",<n>}"#;
        client.expects(&[&version.expand(refusal, 2)]);
        let (heard, _) = hears(&mut client, 1).await;
        assert_eq!(heard, [version.expand(&slept("50", "<n>"), 1)]);
        let unknown =
            r#"{"error":"<Error>unknown action or invalid apiVersion","context":"response",<n>}"#;
        client.sends("hello\n");
        client.expects(&[&version.expand(unknown, 3)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_deadline() {
    for version in Version::ALL {
        let mut setup = Setup::new(version);
        setup.limits.call = Duration::from_millis(200);
        let mut client = setup.world().connect();
        client.sends(sleep_line(100_000));
        let (heard, after) = hears(&mut client, 1).await;
        let late =
            r#"{"error":"<Error>the action did not answer in time","context":"response",<n>}"#;
        assert_eq!(heard, [version.expand(late, 1)]);
        assert!(after < Duration::from_millis(250), "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_deadline_a_call_takes_its_time() {
    let mut setup = Setup::new(Version::Classic);
    setup.limits.call = Duration::ZERO;
    let mut client = setup.world().connect();
    client.sends(sleep_line(600_000));
    sleep(Duration::from_millis(599_990)).await;
    client.expects(&[]);
    let (heard, _) = hears(&mut client, 1).await;
    assert_eq!(heard, [counted(600_000, 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_slept_in_the_words_of_each_version() {
    for version in Version::ALL {
        for (param, duration) in [(r#""75""#, "75"), (r#""75abc""#, "75"), ("-5", "-5")] {
            let mut client = World::new(version).connect();
            client.sends(format!(
                "{{\"action\":\"sleepTest\",\"params\":{{\"sleepDuration\":{param}}}}}\n"
            ));
            let (heard, _) = hears(&mut client, 1).await;
            assert_eq!(heard, [version.expand(&slept(duration, "<n>"), 1)]);
        }
        let mut client = World::new(version).connect();
        client.sends("sleepTest\n");
        let (heard, after) = hears(&mut client, 1).await;
        assert_eq!(heard, [version.expand(&slept("1000", "<n>"), 1)]);
        assert!(after >= Duration::from_secs(1));
    }
}

/// As the recordings of v9.4.1 and v12.5.0 have it.
#[tokio::test(start_paused = true)]
async fn what_an_action_leaves_in_the_params() {
    #[track_caller]
    fn check(version: Version, lines: &str, params: &str) {
        let mut client = World::new(version).connect();
        client.sends(lines);
        client.hears();
        client.sends("paramsView\n");
        let view = client.hears().pop().unwrap();
        let expected = format!(r#""data":{params},"#);
        assert!(view.contains(&expected), "{version:?} {lines:?}: {view}");
    }
    let given = "paramAdd sleepDuration=20\nsleepTest\n";
    let unknown = "{\"action\":\"randomNumber\",\"params\":{\"unknown\":1,\"key\":2}}\n";
    let twice = "sleepTest\nsleepTest\nsleepTest\nsleepTest\nsleepTest\nparamsDelete\nsleepTest\n";
    check(
        Version::V12,
        given,
        r#"{"sleepDuration":20,"action":"sleepTest","apiVersion":1}"#,
    );
    check(
        Version::V12,
        "sleepTest\n",
        r#"{"action":"sleepTest","apiVersion":1,"sleepDuration":1000}"#,
    );
    check(
        Version::V12,
        unknown,
        r#"{"action":"randomNumber","apiVersion":1}"#,
    );
    check(
        Version::V9,
        given,
        r#"{"sleepDuration":"20","action":"sleepTest","apiVersion":1}"#,
    );
    check(
        Version::V9,
        unknown,
        r#"{"key":2,"action":"randomNumber","apiVersion":1}"#,
    );
    for version in [Version::V9, Version::V12] {
        // Also when there are too many pending.
        check(version, twice, r#"{"action":"sleepTest","apiVersion":1}"#);
    }
    for version in [Version::Classic, Version::V18, Version::V20, Version::V29] {
        check(
            version,
            given,
            r#"{"sleepDuration":"20","action":"sleepTest"}"#,
        );
        check(
            version,
            unknown,
            r#"{"unknown":1,"key":2,"action":"randomNumber"}"#,
        );
        check(version, twice, r#"{"action":"sleepTest"}"#);
    }
}

#[test]
fn cache_test_in_the_words_of_each_version() {
    for version in Version::ALL {
        let mut client = World::new(version).connect();
        let missing = r#"{"error":"<missing>key is a required parameter for this action","context":"response",<n>}"#;
        client.check("cacheTest", missing);
        let rest = match version {
            Version::Classic => r#","expireTimestamp":<ms>,"createdAt":<ms>,"readAt":<ms>"#,
            Version::V9 | Version::V12 => {
                r#","expireTimestamp":<ms>,"createdAt":<ms>,"readAt":null"#
            }
            Version::V18 | Version::V20 => {
                r#","expireTimestamp":<ms>,"createdAt":<ms>,"lastReadAt":null"#
            }
            Version::V29 => r#","createdAt":<ms>"#,
        };
        let reply = format!(
            r#"{{"cacheTestResults":{{"saveResp":true,"sizeResp":1,"loadResp":{{"key":"cacheTest_ключ☃","value":"a\"b\\"{rest}}},"deleteResp":true}},"context":"response",<n>}}"#
        );
        client.check(
            r#"{"action":"cacheTest","params":{"key":"ключ☃","value":"a\"b\\"}}"#,
            &reply,
        );
        let short = r#"{"action":"cacheTest","params":{"key":"long","value":"v"}}"#;
        let complaint = match version {
            Version::Classic | Version::V9 => continue,
            Version::V12 => "`value` should be at least 3 letters long",
            _ => "inputs should be at least 3 letters long",
        };
        let error = format!(r#"{{"error":"{complaint}","context":"response",<n>}}"#);
        client.check(short, &error);
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_listener_lets_the_idle_go_and_waits_for_the_busy() {
    let world = World::new(Version::Classic);
    let mut idle = world.connect();
    let mut busy = world.connect();
    busy.sends("roomAdd defaultRoom\n");
    busy.sends(sleep_line(1500));
    busy.hears();
    world.listener.drain();
    idle.expects(&[GOODBYE]);
    assert!(idle.has_closed);

    busy.sends("randomNumber\nsay defaultRoom still here\n{\"action\":\"hello\"}\n");
    busy.expects(&[
        &refused("the server is shutting down", 3),
        r#"{"status":"OK","context":"response","data":null,"messageCount":4}"#,
        r#"{"message":"still here","room":"defaultRoom","from":"<me>","context":"user","sentAt":<ms>}"#,
        &refused("the server is shutting down", 5),
    ]);
    assert!(!busy.has_closed);
    let (heard, _) = hears(&mut busy, 2).await;
    assert_eq!(heard, [counted(1500, 2), GOODBYE.to_owned()]);
    assert!(busy.has_closed);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_in_the_words_of_each_version() {
    for version in Version::ALL {
        let world = World::new(version);
        let mut client = world.connect();
        client.sends(sleep_line(1500));
        world.listener.drain();
        client.sends("randomNumber\n");
        let refusal = r#"{"error":"<Error>the server is shutting down","context":"response",<n>}"#;
        client.expects(&[&version.expand(refusal, 2)]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_still_busy_at_the_deadline_hears_the_goodbye_alone() {
    let world = World::new(Version::Classic);
    let mut client = world.connect();
    client.sends(sleep_line(9000));
    world.listener.drain();
    client.expects(&[]);
    world
        .hub
        .close_sessions_of(&world.listener, super::CloseReason::Shutdown);
    client.expects(&[GOODBYE]);
    sleep(Duration::from_secs(10)).await;
    client.expects(&[]);
    assert!(world.shared.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn replies_to_who_has_left_are_lost() {
    let world = World::new(Version::Classic);
    let mut client = world.connect();
    client.sends(sleep_line(10) + "quit\n");
    client.expects(&[GOODBYE]);
    sleep(Duration::from_secs(1)).await;
    client.expects(&[]);
    let gone = world.connect();
    drop(gone);
    assert_eq!(world.hub.len(), 1);
}
