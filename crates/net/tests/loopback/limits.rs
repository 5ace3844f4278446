//! Connections that come when there is no place: ended at once, counted, and the place given to the next in time.

use polyport_core::{Limits, RefuseReason};

use crate::{
    gateway::{Gateway, Plan, wait_until},
    peer::Client,
};

fn plan(change: impl FnOnce(&mut Limits)) -> Plan {
    let mut plan = Plan::default();
    change(&mut plan.limits);
    plan
}

#[track_caller]
fn check_third_is_refused(gateway: Gateway, reason: RefuseReason) {
    let first = Client::greeted(&gateway);
    let mut second = Client::greeted(&gateway);
    for _ in 0..3 {
        Client::connect(&gateway).wait_for_end();
    }
    wait_until("the refusals are counted", || gateway.refused(reason) == 3);
    assert_eq!(second.ask("echo unharmed"), "unharmed");
    drop(first);
    wait_until("the place is free", || gateway.hub.len() == 1);
    Client::greeted(&gateway);
    gateway.finish(second);
}

#[test]
fn in_all() {
    let plan = Plan {
        max_sessions: 2,
        ..Plan::default()
    };
    check_third_is_refused(Gateway::lines(plan), RefuseReason::Sessions);
}

#[test]
fn per_listener() {
    let gateway = Gateway::lines(plan(|limits| limits.sessions = 2));
    check_third_is_refused(gateway, RefuseReason::ListenerSessions);
}

#[test]
fn per_address() {
    let gateway = Gateway::lines(plan(|limits| limits.sessions_per_address = 2));
    check_third_is_refused(gateway, RefuseReason::AddressSessions);
}

#[test]
fn one_address_at_its_bound_does_not_hinder_another() {
    let gateway = Gateway::lines(plan(|limits| limits.sessions_per_address = 1));
    let _first = Client::greeted(&gateway);
    Client::connect(&gateway).wait_for_end();
    let mut other = Client::from([127, 0, 0, 2], &gateway);
    assert_eq!(other.line(), "hello");
    assert!(other.ask("whoami").starts_with("127.0.0.2:"));
    gateway.finish((other, _first));
}

#[test]
fn a_handshake_takes_a_place_too() {
    let gateway = Gateway::websocket(plan(|limits| limits.sessions = 1));
    let mut silent = Client::connect(&gateway);
    wait_until("the first is taken in", || {
        gateway.listener.admit(None).is_err()
    });
    let before = gateway.refused(RefuseReason::ListenerSessions);
    Client::connect(&gateway).wait_for_end();
    wait_until("the second is refused", || {
        gateway.refused(RefuseReason::ListenerSessions) == before + 1
    });
    silent.send("nonsense\r\n\r\n");
    silent.wait_for_end();
    wait_until("the place is free", || gateway.listener.admit(None).is_ok());
    Client::connect(&gateway).opened();
    gateway.finish(silent);
}
