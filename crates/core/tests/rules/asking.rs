//! Events whose receivers are to answer.

use std::sync::Arc;

use parking_lot::Mutex;
use polyport_core::{
    Answered, Args, Asks, Event, Except, Frame, Handshake, Json, OpenRequest, OpeningOn, Peer,
    RoomName, Session, SessionId, SessionRef, Target, TokenSource, Unanswered, Wire,
};

use crate::rig::{MemoryPeer, address, hub_and_listener, member, name, room};

/// A client that answers at once what it is asked, unless it is lost.
struct Client {
    name: Mutex<Option<String>>,
}

impl Asks for Client {
    fn ask(&self, session: &SessionRef, event: &Event, respond: Answered) {
        session.send(Frame::from(format!("asked {}\n", event.name)));
        respond(Ok(event.args.clone()));
    }

    fn disconnect(&self, _: &SessionRef) {}

    fn order(&self, session: &SessionRef, event: &Event) -> bool {
        let is_order = event.name.as_str().starts_with('#');
        if is_order {
            session.send(Frame::from(format!("obeys {}\n", event.name)));
        }
        is_order
    }

    fn taken_out(&self, session: &SessionRef, room: &RoomName) {
        session.send(Frame::from(format!("taken out of {room}\n")));
    }

    fn client_name(&self, _: &SessionRef) -> Option<String> {
        self.name.lock().clone()
    }
}

#[test]
fn who_is_known_is_asked_and_all_others_hear_it() {
    let (hub, listener) = hub_and_listener();
    let lobby = room("lobby");
    let client = Arc::new(Client {
        name: Mutex::new(Some("known".to_owned())),
    });
    let peer = MemoryPeer::new();
    let wire = Wire::new(
        listener.admit(None).unwrap(),
        Peer::Ip(address(1)),
        Arc::clone(&peer) as _,
    );
    let known = Session::open_on(OpeningOn {
        id: SessionId::random(),
        wire: &wire,
        branch: Arc::clone(listener.branch()),
        asks: Some(Arc::clone(&client) as _),
        greeting: None,
    });
    known.put_into(&lobby).unwrap();
    let (plain, plain_peer) = member(&listener, "lobby");
    assert_eq!(known.client_name().as_deref(), Some("known"));
    assert_eq!(plain.client_name(), None);
    assert_eq!(plain.handshake(), Handshake::default());

    let answers: Arc<Mutex<Vec<Result<Args, Unanswered>>>> = Arc::default();
    let target = Target::Room {
        realm: listener.realm(),
        room: &lobby,
        except: Except::default(),
    };
    let news = Event::new(name("news"), Json::NULL);
    let ask = || {
        hub.ask(target, &news, || {
            let answers = Arc::clone(&answers);
            Box::new(move |args| answers.lock().push(args))
        })
    };
    assert_eq!(ask(), 1);
    assert_eq!(peer.lines(), ["asked news"]);
    assert_eq!(*answers.lock(), [Ok(news.args.clone())]);
    assert_eq!(plain_peer.lines().len(), 1);

    // A client that is lost cannot be asked.
    *client.name.lock() = None;
    assert_eq!(ask(), 0);
    assert_eq!(answers.lock().len(), 1);
    assert_eq!(peer.lines().len(), 2, "it hears it as everybody does");
}

#[test]
fn a_protocol_gets_its_orders_and_hears_who_is_taken_out() {
    let (hub, listener) = hub_and_listener();
    let lobby = room("lobby");
    let peer = MemoryPeer::new();
    let wire = Wire::new(
        listener.admit(None).unwrap(),
        Peer::Ip(address(1)),
        Arc::clone(&peer) as _,
    );
    let session = Session::open_on(OpeningOn {
        id: SessionId::random(),
        wire: &wire,
        branch: Arc::clone(listener.branch()),
        asks: Some(Arc::new(Client {
            name: Mutex::default(),
        })),
        greeting: None,
    });
    let order = Event::new(name("#kick"), Json::NULL);
    assert!(session.tell(&order));
    assert_eq!(
        hub.publish(Target::Session(session.id()), &order).sessions,
        1
    );
    assert_eq!(peer.lines(), ["obeys #kick", "obeys #kick"]);

    session.put_into(&lobby).unwrap();
    session.leave(&lobby).unwrap();
    assert_eq!(peer.lines().len(), 2, "it has left by itself");
    session.put_into(&lobby).unwrap();
    session.take_out(&lobby).unwrap();
    assert!(session.take_out(&lobby).is_err());
    assert_eq!(peer.lines()[2..], ["taken out of lobby"]);
}

#[test]
fn an_opening_is_told_without_credentials() {
    let (_hub, listener) = hub_and_listener();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let request = OpenRequest {
        id: SessionId::random(),
        listener,
        peer: Peer::Ip(address(1)),
        is_tls: true,
        target: "/?jwt=secret&a=1".to_owned(),
        headers: vec![
            header("host", "a.example"),
            header("cookie", "io=secret"),
            header("authorization", "Bearer secret"),
            header("proxy-authorization", "Basic secret"),
            header("x-token", "secret"),
        ],
        identity: None,
        branch: None,
        payload: Some(Json::parse(r#"{"token":"secret","a":1}"#).unwrap()),
    };
    let sources = [
        TokenSource::Header("x-token".to_owned()),
        TokenSource::Query("jwt".to_owned()),
    ];
    let expected = Handshake {
        is_tls: true,
        target: "/?a=1".to_owned(),
        headers: vec![header("host", "a.example")],
        payload: Some(Json::parse(r#"{"a":1}"#).unwrap()),
    };
    assert_eq!(Handshake::without_credentials(&request, &sources), expected);
    assert_eq!(Json::encode(&expected).decode(), Ok(expected));
}
