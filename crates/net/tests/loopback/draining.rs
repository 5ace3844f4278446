//! Rule 10: stop in order.

use std::net::TcpStream;

use polyport_core::CloseReason;

use crate::{
    gateway::{Gateway, Plan, wait_until},
    peer::Client,
};

#[test]
fn idle_sessions_end_at_once_and_busy_ones_after_their_answer() {
    let gateway = Gateway::lines(Plan::default());
    let mut idle = Client::greeted(&gateway);
    let mut busy = Client::greeted(&gateway);
    busy.send("call\ncall\n");
    gateway.wait_for_calls(2);
    gateway.drain();
    assert_eq!(idle.rest(), "closed shutdown\n");
    assert_eq!(busy.ask("echo heard"), "heard", "a busy session goes on");
    assert_eq!(busy.ask("call"), "the server is shutting down");
    wait_until("the idle one is gone", || gateway.hub.len() == 1);
    assert_eq!(gateway.answer_calls(), 2);
    assert_eq!(busy.rest(), "answered\nanswered\nclosed shutdown\n");
    wait_until("both are counted", || {
        gateway.closed(CloseReason::Shutdown) == 2
    });
    gateway.finish((idle, busy));
}

#[test]
fn an_answer_under_way_to_a_slow_client_is_not_lost() {
    let mut plan = Plan::default();
    plan.limits.outbox = 64 << 20;
    let gateway = Gateway::lines(plan);
    let mut client = Client::with_small_buffer(&gateway);
    assert_eq!(client.line(), "hello");
    client.send("big 5000000\n");
    wait_until("the answer waits", || {
        gateway
            .hub
            .sessions(|session| session.outbox().waiting() > 0)
            .len()
            == 1
    });
    gateway.drain();
    assert_eq!(client.line().len(), 5_000_000);
    assert_eq!(client.rest(), "closed shutdown\n");
    gateway.finish(client);
}

#[test]
fn a_server_that_stops_accepting_keeps_its_connections() {
    let gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    gateway.close_server();
    assert!(
        TcpStream::connect(gateway.address()).is_err(),
        "its address is free at once"
    );
    let again = gateway
        .bind_another(gateway.server.local().clone())
        .unwrap();
    drop(again);
    assert_eq!(client.ask("echo still here"), "still here");
    gateway.drain();
    assert_eq!(client.rest(), "closed shutdown\n");
    gateway.finish(client);
}

#[test]
fn a_connection_that_comes_during_the_drain_is_told_so() {
    let gateway = Gateway::lines(Plan::default());
    gateway.drain();
    let mut client = Client::connect(&gateway);
    assert_eq!(client.rest(), "hello\nclosed shutdown\n");
    gateway.finish(client);
}

#[test]
fn a_client_that_leaves_during_its_call_holds_nothing_up() {
    let gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    client.send("call\n");
    gateway.wait_for_calls(1);
    gateway.drain();
    drop(client);
    gateway.wait_until_empty();
    assert_eq!(gateway.answer_calls(), 1);
    gateway.finish(());
}

/// The process is told to stop while a peer keeps its side open for ever.
#[test]
fn a_peer_that_does_not_hang_up_does_not_hold_the_stop_up() {
    let mut gateway = Gateway::lines(Plan::default());
    let mut client = Client::greeted(&gateway);
    gateway.server.stop_accepting();
    gateway.drain();
    assert_eq!(client.line(), "closed shutdown");
    gateway.stop();
    drop(client);
}
