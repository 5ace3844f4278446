//! Services that fail: what the client is told, what is counted, and whether the request is sent again.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use polyport_backends::{BreakerOptions, HttpOptions, HttpRoute};
use polyport_core::{CallArgs, CallError, Reply};

use crate::{
    service::{Reaction, Service},
    world::{Client, World, options, value, wait_until},
};

/// Calls once and checks the answer, the one outcome that is counted, and how often the service was asked.
async fn check(
    world: &World,
    service: &Service,
    expected: CallError,
    outcome: &str,
    requests: usize,
) {
    let client = world.client().await;
    let before = world.counted("call", outcome);
    let answer = world.call(&client, "any").await;
    assert_eq!(answer, Err(expected));
    assert_eq!(world.counted("call", outcome) - before, 1.0, "{outcome}");
    assert_eq!(service.asked().len(), requests);
    assert_eq!(world.gauge("polyport_backend_in_flight"), 0.0);
    assert_eq!(world.gauge("polyport_backend_waiting"), 0.0);
}

async fn check_reaction(
    reaction: Reaction,
    change: impl FnOnce(&mut HttpOptions),
    expected: CallError,
    outcome: &str,
) {
    let service = Service::start(move |_, _| reaction.clone());
    let mut options = options(&service);
    change(&mut options);
    check(&World::with(options), &service, expected, outcome, 1).await;
}

/// A port at which nobody listens.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn it_refuses_connections() {
    let service = Service::answering("{}");
    let world = World::with(HttpOptions {
        url: format!("http://127.0.0.1:{}/", free_port()),
        ..options(&service)
    });
    check(&world, &service, CallError::Unavailable, "unreachable", 0).await;
}

#[tokio::test]
async fn it_resets_the_connection() {
    let (error, outcome) = (CallError::Unavailable, "unreachable");
    check_reaction(Reaction::Reset, |_| {}, error, outcome).await;
}

#[tokio::test]
async fn it_hangs() {
    let short = |options: &mut HttpOptions| options.timeout = Duration::from_millis(100);
    let hang = Reaction::Hang(String::new());
    check_reaction(hang, short, CallError::Deadline, "timeout").await;
}

#[tokio::test]
async fn it_answers_slowly() {
    let service = Service::start(|asked, _| {
        // A piece at a time, the last one long after the deadline.
        let pause = if asked.json["call"]["action"] == "slow" {
            1
        } else {
            50
        };
        let mut body = String::from(r#"{"result":""#);
        for _ in 0..20 {
            std::thread::park_timeout(Duration::from_millis(pause));
            body.push('x');
        }
        Reaction::Answer(200, body + r#""}"#)
    });
    let world = World::with(HttpOptions {
        timeout: Duration::from_millis(500),
        ..options(&service)
    });
    let client = world.client().await;
    let slow = world.call(&client, "slow").await;
    assert_eq!(slow, value(&format!("\"{}\"", "x".repeat(20))));
    let answer = world.call(&client, "slower").await;
    assert_eq!(answer, Err(CallError::Deadline));
    assert_eq!(world.counted("call", "timeout"), 1.0);
}

#[tokio::test]
async fn it_answers_500() {
    let reaction = Reaction::Answer(500, "Traceback: password=1234".to_owned());
    check_reaction(reaction, |_| {}, CallError::Internal, "failed").await;
    // The text may say anything: no client sees it.
    let text = Reaction::Answer(500, r#"{"error":"password=1234"}"#.to_owned());
    check_reaction(text, |_| {}, CallError::Internal, "failed").await;
}

#[tokio::test]
async fn it_is_busy() {
    let busy = |status| Reaction::Answer(status, String::new());
    check_reaction(busy(429), |_| {}, CallError::Overloaded, "overloaded").await;
    for status in [502, 503, 504] {
        check_reaction(busy(status), |_| {}, CallError::Unavailable, "unreachable").await;
    }
}

#[tokio::test]
async fn its_answer_is_not_json() {
    for body in ["<html>oops</html>", "[1]", "\u{1}", r#"{"result":1"#] {
        let (error, outcome) = (CallError::BadAnswer, "bad_answer");
        check_reaction(Reaction::ok(body), |_| {}, error, outcome).await;
    }
    let redirect = Reaction::Answer(302, String::new());
    check_reaction(redirect, |_| {}, CallError::BadAnswer, "bad_answer").await;
}

#[tokio::test]
async fn its_answer_is_not_http() {
    let reaction = Reaction::Raw("+PONG\r\n".to_owned());
    check_reaction(reaction, |_| {}, CallError::BadAnswer, "bad_answer").await;
}

#[tokio::test]
async fn its_answer_is_too_large() {
    let large = Reaction::ok(&format!(r#"{{"result":"{}"}}"#, "x".repeat(2000)));
    let small = |options: &mut HttpOptions| options.max_answer = 1000;
    check_reaction(large, small, CallError::BadAnswer, "bad_answer").await;
    let data = Reaction::ok(&format!(r#"{{"data":"{}"}}"#, "x".repeat(2000)));
    let small = |options: &mut HttpOptions| options.max_data = 1000;
    check_reaction(data, small, CallError::BadAnswer, "bad_answer").await;
}

#[tokio::test]
async fn half_an_answer_comes() {
    for half in [
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"resu",
    ] {
        let (error, outcome) = (CallError::Unavailable, "unreachable");
        check_reaction(Reaction::Raw(half.to_owned()), |_| {}, error, outcome).await;
    }
}

#[tokio::test]
async fn a_request_that_never_left_is_sent_again() {
    let port = free_port();
    let unused = Service::answering("{}");
    let world = World::with(HttpOptions {
        url: format!("http://127.0.0.1:{port}/"),
        ..options(&unused)
    });
    let client = world.client().await;
    // The service comes between the two attempts, sooner or later within some calls.
    let mut service = None;
    for _ in 0..100 {
        let call = world.begin_call(&client.session, "any", CallArgs::List(&[]));
        tokio::task::yield_now().await;
        service.get_or_insert_with(|| {
            let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
            Service::on(listener, |_, _| Reaction::ok("{}"))
        });
        assert_eq!(call.await.unwrap(), Ok(Reply::Void));
    }
    let asked = service.unwrap().asked();
    assert_eq!(asked.len(), 100, "each once");
}

#[tokio::test]
async fn only_an_idempotent_call_is_sent_again_after_it_left() {
    let service = Service::start(|asked, _| match asked.header("polyport-attempt") {
        "1" => Reaction::Reset,
        _ => Reaction::ok(r#"{"result":"second"}"#),
    });
    let world = World::with(HttpOptions {
        routes: vec![HttpRoute {
            pattern: "report.*".to_owned(),
            timeout: None,
            idempotent: true,
        }],
        ..options(&service)
    });
    let client = world.client().await;
    let answer = world.call(&client, "order.place").await;
    assert_eq!(answer, Err(CallError::Unavailable));
    assert_eq!(service.asked().len(), 1);

    let answer = world.call(&client, "report.daily").await;
    assert_eq!(answer, value("\"second\""));
    let asked = service.asked();
    assert_eq!(asked.len(), 3);
    let (first, second) = (&asked[1], &asked[2]);
    assert_eq!(
        first.text, second.text,
        "the same request, with the same id"
    );
    assert_eq!(second.header("polyport-attempt"), "2");
    let [first, second] = [first, second].map(|asked| asked.header("traceparent").to_owned());
    assert_eq!(first[..36], second[..36], "one trace");
    assert_ne!(first, second, "a span for each attempt");
    assert_eq!(world.counted("call", "ok"), 1.0, "counted once");
}

#[tokio::test]
async fn an_idempotent_call_is_sent_twice_at_most() {
    let service = Service::start(|_, _| Reaction::Answer(503, String::new()));
    let world = World::with(HttpOptions {
        routes: vec![HttpRoute {
            pattern: "*".to_owned(),
            timeout: None,
            idempotent: true,
        }],
        ..options(&service)
    });
    check(&world, &service, CallError::Unavailable, "unreachable", 2).await;
}

#[tokio::test]
async fn of_several_routes_the_longest_pattern_counts() {
    let service = Service::start(|_, _| Reaction::Hang("{}".to_owned()));
    let route = |pattern: &str, millis| HttpRoute {
        pattern: pattern.to_owned(),
        timeout: Some(Duration::from_millis(millis)),
        idempotent: false,
    };
    let world = World::with(HttpOptions {
        routes: vec![route("*", 60_000), route("report.*", 50)],
        ..options(&service)
    });
    let client = world.client().await;
    let answer = world.call(&client, "report.daily").await;
    assert_eq!(answer, Err(CallError::Deadline));
    let left = service.asked()[0].header("polyport-timeout").to_owned();
    assert!(left.parse::<u64>().unwrap() <= 50, "{left}");
}

#[tokio::test]
async fn beyond_the_queue_calls_are_refused() {
    let service = Service::start(|_, _| Reaction::Hang("{}".to_owned()));
    let world = World::with(HttpOptions {
        concurrency: 2,
        queue: 3,
        ..options(&service)
    });
    let client = world.client().await;
    let begin = || world.begin_call(&client.session, "any", CallArgs::List(&[]));
    let calls: Vec<_> = (0..5).map(|_| begin()).collect();
    service.wait_for(2).await;
    let waiting = || world.gauge("polyport_backend_waiting") == 3.0;
    wait_until("three wait", waiting).await;
    assert_eq!(world.gauge("polyport_backend_in_flight"), 2.0);
    assert_eq!(begin().await.unwrap(), Err(CallError::Overloaded));
    assert_eq!(world.counted("call", "overloaded"), 1.0);
    service.release();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(Reply::Void));
    }
    assert_eq!(service.asked().len(), 5);
}

#[tokio::test]
async fn waiting_counts_as_time() {
    let service = Service::start(|_, _| Reaction::Hang("{}".to_owned()));
    let world = World::with(HttpOptions {
        concurrency: 1,
        timeout: Duration::from_millis(100),
        ..options(&service)
    });
    let client = world.client().await;
    let begin = || world.begin_call(&client.session, "any", CallArgs::List(&[]));
    let (first, second) = (begin(), begin());
    assert_eq!(first.await.unwrap(), Err(CallError::Deadline));
    assert_eq!(second.await.unwrap(), Err(CallError::Deadline));
    assert_eq!(world.counted("call", "timeout"), 2.0);
    assert!(service.asked().len() <= 2);
}

const PAUSE: Duration = Duration::from_millis(200);

/// A world in front of a service that refuses until it is started, after its breaker has opened.
async fn broken(failures: u32) -> (World, Client, u16) {
    let port = free_port();
    let world = World::with(HttpOptions {
        url: format!("http://127.0.0.1:{port}/"),
        breaker: BreakerOptions {
            failures,
            pause: PAUSE,
        },
        timeout: Duration::from_secs(10),
        ..HttpOptions::default()
    });
    let client = world.client().await;
    for _ in 0..failures {
        let answer = world.call(&client, "any").await;
        assert_eq!(answer, Err(CallError::Unavailable));
    }
    assert_eq!(world.counted("call", "unreachable"), f64::from(failures));
    (world, client, port)
}

#[tokio::test]
async fn after_failures_in_a_row_it_is_left_alone_then_tried_once() {
    let (world, client, port) = broken(3).await;
    let opened = Instant::now();
    assert_eq!(world.gauge("polyport_backend_available"), 0.0);
    let answer = world.call(&client, "any").await;
    assert_eq!(answer, Err(CallError::Unavailable));
    assert_eq!(world.counted("call", "circuit_open"), 1.0);

    // Still down: the probe fails, and it is left alone again.
    let probed = || world.counted("call", "unreachable") == 4.0;
    while !probed() {
        world.call(&client, "any").await.unwrap_err();
    }
    assert!(opened.elapsed() >= PAUSE / 2);
    assert_eq!(world.gauge("polyport_backend_available"), 0.0);

    // Back: one request finds out while others are refused, then all go through.
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let service = Service::on(listener, |_, _| Reaction::Hang("{}".to_owned()));
    let mut probe = None;
    while service.asked().is_empty() {
        let call = world.begin_call(&client.session, "any", CallArgs::List(&[]));
        let mut call = call;
        tokio::select! {
            answer = &mut call => assert_eq!(answer.unwrap(), Err(CallError::Unavailable)),
            () = tokio::time::sleep(Duration::from_millis(500)) => probe = Some(call),
        }
    }
    assert_eq!(
        world.call(&client, "any").await,
        Err(CallError::Unavailable),
        "one probe at a time"
    );
    assert_eq!(service.asked().len(), 1);
    service.release();
    assert_eq!(probe.unwrap().await.unwrap(), Ok(Reply::Void));
    assert_eq!(world.gauge("polyport_backend_available"), 1.0);
    for _ in 0..5 {
        assert_eq!(world.call(&client, "any").await, Ok(Reply::Void));
    }
}

#[tokio::test]
async fn a_service_that_answers_however_badly_is_not_left_alone() {
    let service = Service::start(|_, number| match number % 3 {
        0 => Reaction::Answer(500, String::new()),
        1 => Reaction::ok("<html>"),
        _ => Reaction::ok(r#"{"error":"no"}"#),
    });
    let world = World::with(HttpOptions {
        breaker: BreakerOptions {
            failures: 1,
            pause: PAUSE,
        },
        ..options(&service)
    });
    let client = world.client().await;
    for _ in 0..30 {
        world.call(&client, "any").await.unwrap_err();
    }
    assert_eq!(service.asked().len(), 30);
    assert_eq!(world.gauge("polyport_backend_available"), 1.0);
}

#[tokio::test]
async fn new_options_start_with_closed_breakers() {
    let (world, client, _) = broken(2).await;
    let service = Service::answering("{}");
    world.backend.reconfigure(options(&service)).unwrap();
    assert_eq!(world.gauge("polyport_backend_available"), 1.0);
    assert_eq!(world.call(&client, "any").await, Ok(Reply::Void));
}

#[tokio::test]
async fn hooks_and_calls_have_breakers_of_their_own() {
    let service = Service::start(|asked, _| match asked.what().as_str() {
        "call any" => Reaction::Reset,
        _ => Reaction::ok("{}"),
    });
    let world = World::with(HttpOptions {
        hooks: polyport_core::Hooks {
            open: true,
            ..polyport_core::Hooks::default()
        },
        breaker: BreakerOptions {
            failures: 1,
            pause: Duration::from_secs(60),
        },
        ..options(&service)
    });
    let client = world.client().await;
    world.call(&client, "any").await.unwrap_err();
    assert_eq!(world.gauge("polyport_backend_available"), 0.0);
    let (_, guest) = world.ask_for_session("/").await;
    guest.unwrap();
}
