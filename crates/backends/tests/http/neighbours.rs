//! One route that hangs holds up nobody else.

use std::time::{Duration, Instant};

use polyport_backends::{HttpOptions, HttpRoute};
use polyport_core::{CallArgs, Reply};

use crate::{
    service::{Reaction, Service},
    world::{Client, World, options, value, wait_until},
};

const CALLS: usize = 500;

/// Median and 99th percentile of calls one after the other.
async fn times(world: &World, client: &Client) -> (Duration, Duration) {
    let mut all = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let started = Instant::now();
        assert_eq!(world.call(client, "quick").await, value("1"));
        all.push(started.elapsed());
    }
    client.got();
    all.sort_unstable();
    (all[CALLS / 2], all[CALLS * 99 / 100])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_other_routes_are_as_quick_as_ever() {
    let service = Service::start(|asked, _| match asked.what().as_str() {
        "call report.hangs" => Reaction::Hang("{}".to_owned()),
        _ => Reaction::ok(r#"{"result":1}"#),
    });
    let world = World::with(HttpOptions {
        routes: vec![HttpRoute {
            pattern: "report.*".to_owned(),
            timeout: None,
            idempotent: false,
        }],
        concurrency: 8,
        queue: 100,
        ..options(&service)
    });
    let client = world.client().await;
    times(&world, &client).await;
    let (median, late) = times(&world, &client).await;

    let other = world.client().await;
    let hanging: Vec<_> = (0..80)
        .map(|_| world.begin_call(&other.session, "report.hangs", CallArgs::List(&[])))
        .collect();
    let full = || world.gauge("polyport_backend_waiting") == 72.0;
    wait_until("the route is full", full).await;
    let (median_meanwhile, late_meanwhile) = times(&world, &client).await;
    service.release();
    for call in hanging {
        assert_eq!(call.await.unwrap(), Ok(Reply::Void));
    }
    // The machine may be busy with something else: the margin is for that.
    let margin = Duration::from_millis(20);
    assert!(
        late_meanwhile <= late * 2 + margin && median_meanwhile <= median * 2 + margin / 10,
        "median {median:?}, meanwhile {median_meanwhile:?}; 99th percentile {late:?}, meanwhile {late_meanwhile:?}"
    );
    eprintln!("median {median:?} -> {median_meanwhile:?}; p99 {late:?} -> {late_meanwhile:?}");
}
