//! A hub without sockets, a backend that does what its actions are called, and clients whose wire is memory.

use std::{collections::VecDeque, mem, net::SocketAddr};

use futures_util::FutureExt;
use parking_lot::Mutex;
use polyport_core::{
    Accepted, ActionInfo, Args, Backend, Event, EventName, Except, FrameQueue, Hooks, Hub, Json,
    Later, Limits, Listener, OpenRequest, Peer, Permissions, RealmName, Received, Reception,
    Refused, Respond, RoomName, SessionEnd, SessionId, SessionRef, Target, Transport, Wrote,
    single_argument,
};
use polyport_net::{Bind, Place, ServerSettings, Tasks};
use tokio::sync::oneshot;

use super::super::*;
use crate::{
    RpcOptions,
    dialect::{PROTOCOL, dialect},
};

/// A peer that takes everything.
#[derive(Debug, Default)]
pub(super) struct Wire(Mutex<Vec<u8>>);

impl Transport for Wire {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        while !frames.is_empty() {
            let mut taken = self.0.lock();
            let wrote = frames.write_with(usize::MAX, |slices| {
                let before = taken.len();
                slices
                    .iter()
                    .for_each(|slice| taken.extend_from_slice(slice));
                Ok::<_, ()>(taken.len() - before)
            });
            wrote.unwrap();
        }
        Wrote::All
    }

    fn wake(&self) {}
}

type Answered = Result<Reply, CallError>;

/// What answers the calls of these tests, and remembers what it was told.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) calls: Mutex<Vec<String>>,
    /// Answers of the next calls of `later`.
    pub(super) later: Mutex<VecDeque<oneshot::Receiver<Answered>>>,
    /// What is to be done with the answers of calls of `told`.
    pub(super) told: Arc<Mutex<Vec<Respond>>>,
    pub(super) ended: Mutex<Vec<SessionEnd>>,
    pub(super) ping: Option<Duration>,
}

impl Backend for Desk {
    fn call(&self, session: &SessionRef, call: Call<'_>) -> Answer {
        let CallArgs::List(args) = call.args else {
            panic!("socket.red knows no names of arguments");
        };
        let args = single_argument(args);
        let noted = format!("{}({})", call.action, args.as_str());
        self.calls.lock().push(noted);
        let answer = match call.action {
            "echo" => Ok(Reply::Value(args)),
            "undef" => Ok(Reply::Nothing),
            "err" => Err(CallError::Rejected(args.decode().unwrap())),
            "act" => {
                session.tell(&event("action", args));
                session.tell(&event("acted", Json::NULL));
                Ok(Reply::Nothing)
            }
            "later" => {
                let answer = self.later.lock().pop_front().expect("a call too many");
                return Answer::Later(Box::pin(async move { answer.await.unwrap() }));
            }
            "told" => {
                let told = Arc::clone(&self.told);
                return Answer::Told(Box::new(move |respond| told.lock().push(respond)));
            }
            _ => Err(CallError::UnknownAction),
        };
        Answer::Now(answer)
    }

    fn inputs(&self, _: &Call<'_>) -> Vec<(String, Json)> {
        Vec::new()
    }

    fn describe(&self) -> Arc<[ActionInfo]> {
        Arc::new([])
    }

    fn has_input(&self, _: &str) -> bool {
        false
    }

    fn documentation(&self) -> Json {
        Json::EMPTY_OBJECT
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            open: true,
            close: true,
            ..Hooks::default()
        }
    }

    fn open(&self, _: Arc<OpenRequest>) -> Later<Result<Accepted, Refused>> {
        let accepted = Accepted {
            ping: self.ping,
            ..Accepted::default()
        };
        Box::pin(std::future::ready(Ok(accepted)))
    }

    fn opened(&self, session: &SessionRef) {
        session.tell(&event("hi", Json::string("A new session has started")));
        session.tell(&event("action", Json::EMPTY_OBJECT));
    }

    fn close(&self, _: SessionId, end: &SessionEnd) {
        self.ended.lock().push(end.clone());
    }
}

pub(super) fn event(name: &str, data: Json) -> Event {
    Event::new(EventName::new(name).unwrap(), data)
}

/// A hub with one listener.
pub(super) struct World {
    pub(super) hub: Arc<Hub>,
    pub(super) listener: Arc<Listener>,
    pub(super) desk: Arc<Desk>,
    shared: Arc<Shared>,
}

pub(super) struct Client {
    pub(super) session: Option<RpcSession>,
    wire: Arc<Wire>,
}

/// What a world differs in.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) limits: Limits,
    pub(super) permissions: Permissions,
    pub(super) options: RpcOptions,
    pub(super) desk: Desk,
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let hub = Hub::new(0, None);
        let place = Place {
            name: "rpc".to_owned(),
            bind: Bind::Unix("unused".into()),
            realm: RealmName::new("default").unwrap(),
            join: vec![RoomName::new("lobby").unwrap()],
            rooms: Vec::new(),
            limits: plan.limits,
            permissions: plan.permissions,
            server: ServerSettings::default(),
        };
        let listener = place.listener(&hub, PROTOCOL, dialect());
        let desk = Arc::new(plan.desk);
        let shared = Arc::new(Shared {
            options: plan.options,
            reception: Reception::new(desk.clone(), None),
            tasks: Tasks::new(),
        });
        Self {
            hub,
            listener,
            desk,
            shared,
        }
    }

    /// A client that has read what the start of a session sends.
    pub(super) fn connect(&self) -> Client {
        let client = self.connect_unread();
        client.hears();
        client
    }

    pub(super) fn connect_unread(&self) -> Client {
        let peer = Peer::Ip(SocketAddr::from(([127, 0, 0, 1], 1)));
        let id = SessionId::random();
        let request = OpenRequest {
            id,
            listener: Arc::clone(&self.listener),
            peer,
            is_tls: false,
            target: "/".to_owned(),
            headers: Vec::new(),
            identity: None,
            branch: None,
            payload: None,
        };
        let Received::Later(deciding) = self.shared.reception.receive(request) else {
            panic!("the desk wants to be asked");
        };
        let guest = deciding.now_or_never().expect("it knows at once").unwrap();
        let wire = Arc::new(Wire::default());
        let opening = Opening {
            id,
            admission: self.listener.admit(None).unwrap(),
            peer,
            transport: wire.clone(),
        };
        Client {
            session: Some(RpcSession::open(Arc::clone(&self.shared), opening, guest)),
            wire,
        }
    }

    /// Makes the next call of `later` wait for what is sent here.
    pub(super) fn answer(&self) -> oneshot::Sender<Answered> {
        let (sender, receiver) = oneshot::channel();
        self.desk.later.lock().push_back(receiver);
        sender
    }

    pub(super) fn calls(&self) -> Vec<String> {
        mem::take(&mut *self.desk.calls.lock())
    }

    /// How sessions ended, as the backend was told.
    pub(super) fn ended(&self) -> Vec<(u16, String)> {
        let ended = mem::take(&mut *self.desk.ended.lock());
        ended.into_iter().map(|end| (end.code, end.text)).collect()
    }

    /// Texts that nobody understood.
    pub(super) fn invalid(&self) -> u64 {
        self.listener.metrics().invalid_messages.get()
    }

    pub(super) fn publish(&self, name: &str, args: Args) {
        let room = RoomName::new("lobby").unwrap();
        let mut event = event(name, Json::NULL);
        event.args = args;
        event.room = Some(room.clone());
        let target = Target::Room {
            realm: self.listener.realm(),
            room: &room,
            except: Except::default(),
        };
        assert!(self.hub.publish(target, &event).sessions > 0);
    }
}

impl Client {
    pub(super) fn session(&mut self) -> &mut RpcSession {
        self.session.as_mut().expect("still there")
    }

    pub(super) fn says(&mut self, text: &str) {
        self.session().on_text(text);
    }

    pub(super) fn is_gone(&mut self) {
        self.session = None;
    }

    /// All bytes since the last time.
    pub(super) fn bytes(&self) -> Vec<u8> {
        mem::take(&mut *self.wire.0.lock())
    }

    /// The texts that came since the last time.
    pub(super) fn hears(&self) -> Vec<String> {
        let bytes = self.bytes();
        let mut rest = &bytes[..];
        let mut heard = Vec::new();
        while let [0x81, length, behind @ ..] = rest {
            let (length, behind) = match *length {
                126 => (
                    usize::from(u16::from_be_bytes([behind[0], behind[1]])),
                    &behind[2..],
                ),
                short => (usize::from(short), behind),
            };
            let (payload, behind) = behind.split_at(length);
            heard.push(String::from_utf8(payload.to_vec()).unwrap());
            rest = behind;
        }
        assert_eq!(rest, b"", "texts only");
        heard
    }

    #[track_caller]
    pub(super) fn expects(&self, expected: &[&str]) {
        assert_eq!(self.hears(), expected);
    }
}
