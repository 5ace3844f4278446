//! A gateway's hub and admin listener without protocols: sessions write to memory, clients are sockets.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use polyport_admin::{
    AdminState, ApiKeys, ApiOptions, Control, Drain, KeyOptions, Order, Readiness, Until, serve,
};
use polyport_core::{
    Answered, Arg, Asks, CloseReason, Dialect, Event, Frame, FrameQueue, Hub, Identity, Json,
    Limits, Listener, ListenerConfig, OpeningOn, Peer, Permissions, RealmName, RoomName, Session,
    SessionId, SessionRef, Transport, Unanswered, Wrote,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A key without bounds.
pub(crate) const ROOT: &str = "root-key-of-these-tests-0123456789";

/// What a client does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acks {
    /// Its protocol knows no answers.
    None,
    /// Answers with what it was asked, and binary.
    Echo,
    /// Ends.
    Ends,
    /// Never answers.
    Silent,
}

/// A peer that remembers what is written to it.
pub(crate) struct Wire {
    written: Mutex<Vec<u8>>,
    acks: Acks,
    /// Who waits for ever.
    asked: Mutex<Vec<Answered>>,
}

impl Wire {
    pub(crate) fn lines(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        String::from_utf8_lossy(&written)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Transport for Wire {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        while !frames.is_empty() {
            let wrote: Result<usize, ()> = frames.write_with(usize::MAX, |slices| {
                let mut written = self.written.lock().unwrap();
                slices
                    .iter()
                    .for_each(|slice| written.extend_from_slice(slice));
                Ok(slices.iter().map(|slice| slice.len()).sum())
            });
            wrote.unwrap();
        }
        Wrote::All
    }

    fn wake(&self) {}
}

impl Asks for Wire {
    fn disconnect(&self, session: &SessionRef) {
        session.close(CloseReason::Disconnected);
    }

    fn ask(&self, _: &SessionRef, event: &Event, respond: Answered) {
        let mut args = event.args.clone();
        args.push(Arg::Binary(b"\x01\x02".as_slice().into()));
        match self.acks {
            Acks::None => unreachable!("it has no way to be asked"),
            Acks::Echo => respond(Ok(args)),
            Acks::Ends => respond(Err(Unanswered::Ended)),
            Acks::Silent => self.asked.lock().unwrap().push(respond),
        }
    }
}

struct Lines;

impl Dialect for Lines {
    fn protocol(&self) -> &'static str {
        "lines"
    }

    fn encode(&self, event: &Event) -> Frame {
        let room = event.room.as_ref().map_or("-", RoomName::as_str);
        let mut line = format!("{room} {}", event.name);
        for arg in &event.args {
            let Arg::Json(json) = arg else { continue };
            write!(line, " {}", json.as_str()).unwrap();
        }
        Frame::from(line + "\n")
    }
}

pub(crate) struct World {
    pub(crate) hub: Arc<Hub>,
    pub(crate) state: AdminState,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) drain: Arc<Drain>,
    /// What whoever runs the process is asked for.
    pub(crate) orders: sync::Mutex<sync::mpsc::Receiver<Order>>,
    pub(crate) address: SocketAddr,
    listener: Arc<Listener>,
    elsewhere: Arc<Listener>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A world whose API has the key [`ROOT`].
pub(crate) async fn world() -> World {
    world_with(Vec::new()).await
}

/// The same, with further keys.
pub(crate) async fn world_with(mut keys: Vec<KeyOptions>) -> World {
    keys.push(key("root", ROOT));
    let hub = Hub::new(0, None);
    let listener = |name: &str, realm: &str| {
        hub.listener(ListenerConfig {
            name: name.to_owned(),
            protocol: "lines",
            realm: RealmName::new(realm).unwrap(),
            dialect: Arc::new(Lines),
            join: Vec::new(),
            rooms: vec![RoomName::new("lobby").unwrap()],
            limits: Limits {
                sessions: 0,
                sessions_per_address: 0,
                rooms_per_session: 5,
                ..Limits::default()
            },
            permissions: Permissions::default(),
        })
    };
    let (one, elsewhere) = (listener("one", "default"), listener("two", "other"));
    let readiness = Arc::new(Readiness::default());
    let (control, orders) = Control::new();
    let options = ApiOptions {
        keys: ApiKeys::new(&keys).unwrap(),
        log: Arc::new(crate::logs::Log::default()),
        control,
        ..ApiOptions::default()
    };
    let drain = Arc::clone(&options.drain);
    let state = AdminState::new(Arc::clone(&hub), Arc::clone(&readiness), "1.2.3");
    let state = state.with_api(options);
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let stop = CancellationToken::new();
    let until = Until {
        shutdown: stop.clone(),
        ..Until::default()
    };
    TaskTracker::new().spawn(serve(socket, state.clone(), until));
    World {
        hub,
        state,
        readiness,
        drain,
        orders: sync::Mutex::new(orders),
        address,
        listener: one,
        elsewhere,
        stop,
    }
}

/// A key that may do everything.
pub(crate) fn key(name: &str, text: &str) -> KeyOptions {
    KeyOptions {
        name: name.to_owned(),
        hash: ApiKeys::hash(text).unwrap(),
        ..KeyOptions::default()
    }
}

impl World {
    /// A session in these rooms.
    pub(crate) fn member(&self, rooms: &[&str]) -> (Session, Arc<Wire>) {
        open(&self.listener, rooms, Acks::None)
    }

    /// A session in another realm.
    pub(crate) fn stranger(&self, rooms: &[&str]) -> (Session, Arc<Wire>) {
        open(&self.elsewhere, rooms, Acks::None)
    }

    /// A session of a user.
    pub(crate) fn user(&self, id: &str, rooms: &[&str]) -> (Session, Arc<Wire>) {
        let (session, wire) = self.member(rooms);
        session.identify(Some(Arc::new(Identity::of_user(id))));
        (session, wire)
    }

    /// A session whose client answers.
    pub(crate) fn answering(&self, acks: Acks) -> Session {
        open(&self.listener, &[], acks).0
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut client = self.connect().await;
        client.send(method, path, headers, body).await;
        client.answer().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &authorization(ROOT), b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.post_as(ROOT, path, body).await
    }

    pub(crate) async fn post_as(&self, key: &str, path: &str, body: &str) -> Answer {
        let headers = authorization(key) + JSON;
        self.ask("POST", path, &headers, body.as_bytes()).await
    }

    /// A post that must succeed; how many sessions it reached.
    pub(crate) async fn reached(&self, path: &str, body: &str) -> u64 {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        answer.json()["sessions"].as_u64().unwrap()
    }
}

pub(crate) const JSON: &str = "content-type: application/json\r\n";

pub(crate) fn authorization(key: &str) -> String {
    format!("authorization: Bearer {key}\r\n")
}

fn open(listener: &Arc<Listener>, rooms: &[&str], acks: Acks) -> (Session, Arc<Wire>) {
    let wire = Arc::new(Wire {
        written: Mutex::default(),
        acks,
        asked: Mutex::default(),
    });
    let connection = polyport_core::Wire::new(
        listener.admit(None).unwrap(),
        Peer::Ip(SocketAddr::from(([192, 0, 2, 1], 40_000))),
        Arc::clone(&wire) as Arc<dyn Transport>,
    );
    let asks = (acks != Acks::None).then(|| Arc::clone(&wire) as Arc<dyn Asks>);
    let session = Session::open_on(OpeningOn {
        id: SessionId::random(),
        wire: &connection,
        branch: Arc::clone(listener.branch()),
        asks,
        greeting: None,
    });
    for room in rooms {
        session.put_into(&RoomName::new(room).unwrap()).unwrap();
    }
    (session, wire)
}

/// A connection that is kept as long as the server likes.
pub(crate) struct Client(pub(crate) TcpStream);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case, with line ends.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Checks that it is an error, in the one form that errors have; returns the message.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        let json = self.json();
        assert_eq!(
            (self.status, &json["error"]["code"]),
            (status, &code.into()),
            "{}",
            self.body
        );
        assert_eq!(self.header("content-type"), Some("application/json"));
        let message = json["error"]["message"].as_str().unwrap();
        assert_eq!(
            json,
            serde_json::json!({"error": {"code": code, "message": message}})
        );
        assert!(!message.is_empty());
        message.to_owned()
    }
}

impl Client {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}");
        let head = match method {
            "GET" | "HEAD" => head + "\r\n",
            _ => format!("{head}content-length: {length}\r\n\r\n"),
        };
        self.write(&[head.as_bytes(), body].concat()).await;
    }

    /// The next answer, by its length.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let mut answer = Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: String::new(),
        };
        let length = answer.header("content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Whether the server has closed the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        !matches!(self.0.read(&mut [0]).await, Ok(1))
    }
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    Json::string(text).as_str().to_owned()
}
