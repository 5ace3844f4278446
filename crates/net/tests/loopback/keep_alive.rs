//! Connections that serve several requests: places are taken by sessions, and those that serve none are bounded too.

use std::{net::TcpStream, sync::Arc, time::Duration};

use http::StatusCode;
use parking_lot::Mutex;
use polyport_core::{Admission, Later, Listener, Opening, RefuseReason};
use polyport_net::{Decision, HttpAnswer, HttpRequest, WsFrontEnd, http_answer, serve_websockets};

use crate::{
    gateway::{Gateway, MessagesFrontEnd, MessagesHandler, Plan, wait_until},
    peer::{Client, OPENING},
};

/// `/open` opens a session, `/session` belongs to one, and `/wait` to one whose answer never comes.
struct Requests {
    messages: MessagesFrontEnd,
    sessions: Arc<Mutex<Vec<Admission>>>,
    waiting: Arc<Mutex<usize>>,
}

impl WsFrontEnd for Requests {
    type Handler = MessagesHandler;
    type Grant = String;

    fn answer(&self, request: HttpRequest, listener: &Arc<Listener>) -> Later<HttpAnswer> {
        let ok = http_answer(StatusCode::OK, "ok");
        let answer = match request.head.uri.path() {
            "/open" => match request.admit(listener) {
                Ok(place) => {
                    self.sessions.lock().push(place);
                    ok
                }
                Err(_) => http_answer(StatusCode::FORBIDDEN, "full"),
            },
            "/session" => {
                request.is_of_session();
                ok
            }
            _ => {
                request.is_of_session();
                *self.waiting.lock() += 1;
                return Box::pin(std::future::pending());
            }
        };
        Box::pin(std::future::ready(answer))
    }

    fn decide(&self, request: HttpRequest, listener: &Arc<Listener>) -> Decision<String> {
        self.messages.decide(request, listener)
    }

    fn keeps_alive(&self) -> bool {
        true
    }

    fn is_of_session(&self, path: &String) -> bool {
        path == "/session"
    }

    fn open(&self, opening: Opening, path: String) -> MessagesHandler {
        self.messages.open(opening, path)
    }
}

struct Rig {
    gateway: Gateway,
    sessions: Arc<Mutex<Vec<Admission>>>,
    waiting: Arc<Mutex<usize>>,
}

impl Rig {
    fn new(plan: Plan) -> Self {
        let sessions = Arc::default();
        let waiting = Arc::default();
        let (opened, begun) = (Arc::clone(&sessions), Arc::clone(&waiting));
        let gateway = Gateway::start(plan, "messages", |plan, listener, common, calls| {
            let ping = plan.ping;
            let front_end = Requests {
                messages: MessagesFrontEnd { calls, ping },
                sessions: opened,
                waiting: begun,
            };
            serve_websockets(&plan.bind, listener, plan.settings, common, front_end).unwrap()
        });
        Self {
            gateway,
            sessions,
            waiting,
        }
    }

    fn connect(&self) -> Client<TcpStream> {
        Client::connect(&self.gateway)
    }

    fn finish<C>(self, clients: C) {
        self.sessions.lock().clear();
        self.gateway.finish(clients);
    }
}

/// Room for one session, and so for 66 connections without one.
fn one_session() -> Plan {
    let mut plan = Plan::default();
    plan.limits.sessions = 1;
    plan
}

/// The head of the answer to a `GET`, in small letters. The body is taken too if another answer may follow it.
fn get(client: &mut Client<TcpStream>, path: &str) -> String {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let head = client.head().to_ascii_lowercase();
    if head.starts_with("http/1.1 200 ") {
        client.bytes(2);
    }
    head
}

#[track_caller]
fn is_kept(head: &str) -> bool {
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    !head.contains("connection: close")
}

#[test]
fn sessions_take_the_places_and_their_requests_always_get_through() {
    let rig = Rig::new(one_session());
    let mut first = rig.connect();
    assert!(is_kept(&get(&mut first, "/open")));
    let mut second = rig.connect();
    let head = get(&mut second, "/open");
    assert!(head.starts_with("http/1.1 403 "), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    second.wait_for_end();
    let mut socket = rig.connect();
    socket.send(OPENING);
    assert!(socket.head().starts_with("HTTP/1.1 503 "));
    socket.wait_for_end();
    assert_eq!(rig.gateway.refused(RefuseReason::ListenerSessions), 2);
    let mut third = rig.connect();
    assert!(is_kept(&get(&mut third, "/session")));
    assert!(is_kept(&get(&mut third, "/session")));
    let mut upgrade = rig.connect();
    upgrade.send(OPENING.replace("/chat", "/session"));
    assert!(upgrade.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(upgrade.text_frame(), "hello /session");
    rig.sessions.lock().clear();
    let mut fourth = rig.connect().opened();
    fourth.send_text("echo placed");
    assert_eq!(fourth.text_frame(), "placed");
    let head = get(&mut first, "/open");
    assert!(head.starts_with("http/1.1 403 "), "{head}");
    drop(fourth);
    wait_until("the place is free", || {
        rig.gateway.listener.admit(None).is_ok()
    });
    assert!(is_kept(&get(&mut rig.connect(), "/open")));
    rig.finish((third, upgrade));
}

#[test]
fn a_websocket_on_a_connection_that_opened_a_session_takes_a_place_of_its_own() {
    let rig = Rig::new(one_session());
    let mut client = rig.connect();
    assert!(is_kept(&get(&mut client, "/open")));
    client.send(OPENING);
    assert!(client.head().starts_with("HTTP/1.1 503 "));
    client.wait_for_end();
    rig.finish(());
}

#[track_caller]
fn check_silent_ones_are_bounded(plan: Plan, reason: RefuseReason) {
    let rig = Rig::new(plan);
    let mut silent: Vec<_> = (0..66).map(|_| rig.connect()).collect();
    rig.connect().wait_for_end();
    rig.gateway.wait_for_refusal(reason);
    // A WebSocket gives its connection's place back.
    let mut opened = silent.pop().unwrap().opened();
    silent.push(rig.connect());
    opened.send_text("echo unharmed");
    assert_eq!(opened.text_frame(), "unharmed");
    // While so many are there nobody is kept without a reason.
    let mut last = silent.pop().unwrap();
    assert!(!is_kept(&get(&mut last, "/session")));
    last.wait_for_end();
    silent.truncate(32);
    let address = Some(rig.gateway.address().ip());
    wait_until("half of the places are free", || {
        rig.gateway.listener.readmit_connection(address).may_idle()
    });
    assert!(is_kept(&get(&mut rig.connect(), "/session")));
    rig.finish((silent, opened));
}

#[test]
fn connections_without_a_session_are_bounded() {
    check_silent_ones_are_bounded(one_session(), RefuseReason::ListenerConnections);
}

#[test]
fn those_of_an_address_too() {
    let mut plan = Plan::default();
    plan.limits.sessions_per_address = 1;
    check_silent_ones_are_bounded(plan, RefuseReason::AddressConnections);
}

#[test]
fn a_connection_that_waits_for_its_session_takes_no_place() {
    let rig = Rig::new(one_session());
    let mut waiting = Vec::new();
    for count in 1..=100 {
        let mut client = rig.connect();
        client.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
        wait_until("it waits", || *rig.waiting.lock() == count);
        waiting.push(client);
    }
    assert!(is_kept(&get(&mut rig.connect(), "/session")));
    rig.finish(waiting);
}

#[test]
fn a_connection_that_idles_after_a_request_is_closed_but_not_refused() {
    let mut plan = one_session();
    plan.limits.handshake = Duration::from_millis(300);
    let rig = Rig::new(plan);
    let mut clients: Vec<_> = (0..3).map(|_| rig.connect()).collect();
    for client in &mut clients {
        assert!(is_kept(&get(client, "/session")));
    }
    // One of them has begun with another request.
    clients[0].send("GET /ses");
    for client in &mut clients {
        client.wait_for_end();
    }
    let mut broken = rig.connect();
    assert!(is_kept(&get(&mut broken, "/session")));
    broken.send("nonsense\r\n\r\n");
    broken.wait_for_end();
    rig.gateway.wait_for_refusal(RefuseReason::HttpRequest);
    rig.gateway.wait_until_empty();
    assert_eq!(rig.gateway.refused(RefuseReason::HandshakeTimeout), 0);
    rig.finish(());
}
