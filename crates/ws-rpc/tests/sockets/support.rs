//! A gateway with a socket.red listener on loopback, whose backend decides by the path, and bytes to and from it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use polyport_core::{
    Accepted, ActionInfo, Answer, Backend, Call, CallArgs, CallError, Hooks, Hub, Json, Later,
    Limits, OpenRequest, Permissions, RealmName, Reception, Refused, Reply, SessionEnd, SessionId,
    SessionRef, single_argument,
};
use polyport_net::{
    Bind, Deadlines, Place, Process, Server, ServerSettings, Sockets, Tasks, Transportation,
};
use polyport_ws_rpc::{RpcOptions, start};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The opening of RFC 6455, section 1.3.
pub(crate) const OPENING: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Lets in whom the path does not name, and knows `echo` and `close`.
#[derive(Default)]
pub(crate) struct Doorman {
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) ended: Mutex<Vec<(u16, String)>>,
}

impl Backend for Doorman {
    fn call(&self, _: &SessionRef, call: Call<'_>) -> Answer {
        let CallArgs::List(args) = call.args else {
            panic!("socket.red knows no names of arguments");
        };
        Answer::Now(match call.action {
            "echo" => Ok(Reply::Value(single_argument(args))),
            _ => Err(CallError::UnknownAction),
        })
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

    fn open(&self, request: Arc<OpenRequest>) -> Later<Result<Accepted, Refused>> {
        self.asked.lock().push(request.target.clone());
        if request.target == "/never" {
            return Box::pin(std::future::pending());
        }
        let decided = match request.target.as_str() {
            "/unauthorized" => Err(Refused::Nobody),
            "/boom" => Err(Refused::failed("Session store is down")),
            "/boom-utf8" => Err(Refused::failed("läuft nicht 😀")),
            "/boom-empty" => Err(Refused::failed(String::new())),
            "/unavailable" => Err(Refused::Unavailable("the backend is down".to_owned())),
            "/public" => Ok(Accepted {
                public: Some(Json::parse(r#"{"id":7}"#).unwrap()),
                ..Accepted::default()
            }),
            _ => Ok(Accepted::default()),
        };
        Box::pin(std::future::ready(decided))
    }

    fn close(&self, _: SessionId, end: &SessionEnd) {
        self.ended.lock().push((end.code, end.text.clone()));
    }
}

/// A hub, one listener, and its backend.
pub(crate) struct Gateway {
    pub(crate) doorman: Arc<Doorman>,
    server: Server,
}

impl Gateway {
    pub(crate) fn new(options: RpcOptions) -> Self {
        Self::with(options, Limits::default())
    }

    pub(crate) fn with(options: RpcOptions, limits: Limits) -> Self {
        let tasks = Tasks::new();
        let deadlines = Deadlines::start(&tasks);
        let process = Process {
            hub: Hub::new(0, None),
            transportation: Transportation {
                tasks,
                deadlines,
                sockets: Sockets::default(),
            },
        };
        let place = Place {
            name: "rpc".to_owned(),
            bind: Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            realm: RealmName::new("default").unwrap(),
            join: Vec::new(),
            rooms: Vec::new(),
            limits,
            permissions: Permissions::default(),
            server: ServerSettings::default(),
        };
        let doorman = Arc::new(Doorman::default());
        let reception = Reception::new(doorman.clone(), None);
        let server = start(place, &process, options, reception).unwrap();
        server.begin();
        Self { doorman, server }
    }

    /// What comes back for `bytes` until the gateway closes.
    pub(crate) async fn converse(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let Bind::Tcp(address) = self.server.local() else {
            panic!("the listener is on TCP");
        };
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        timeout(PATIENCE, reading).await.unwrap().unwrap();
        answer
    }

    /// The same for what is text on both sides.
    pub(crate) async fn ask(&self, request: &str) -> String {
        String::from_utf8(self.converse(request).await).unwrap()
    }

    /// Opens a session, sends raw bytes, and returns what comes behind the answer to the opening.
    pub(crate) async fn after_opening(&self, bytes: &[u8]) -> Vec<u8> {
        let answer = self.converse([OPENING.as_bytes(), bytes].concat()).await;
        let head = answer
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        answer[head + 4..].to_vec()
    }

    /// How `count` sessions ended, once they have.
    pub(crate) async fn ended(&self, count: usize) -> Vec<(u16, String)> {
        let waiting = async {
            while self.doorman.ended.lock().len() < count {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waiting)
            .await
            .expect("sessions end in time");
        std::mem::take(&mut *self.doorman.ended.lock())
    }

    pub(crate) fn refused(&self, reason: polyport_core::RefuseReason) -> u64 {
        let metrics = self.server.listener().hub().metrics();
        let families = metrics.registry().gather();
        let samples = families
            .iter()
            .filter(|family| family.name() == "polyport_connections_refused_total")
            .flat_map(|family| family.get_metric());
        samples
            .filter(|sample| {
                let labels = sample.get_label();
                labels.iter().any(|label| label.value() == reason.label())
            })
            .map(|sample| sample.get_counter().get_value() as u64)
            .sum()
    }
}

/// The opening of another target.
pub(crate) fn opening_of(target: &str) -> String {
    OPENING.replace("GET / ", &format!("GET {target} "))
}
