//! A small gateway: a hub, one server, and a protocol of a few commands, spoken in lines or in WebSocket messages.

use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use polyport_core::{
    Arg, Args, CallTicket, CloseReason, Dialect, Event, EventName, Except, Frame, FrameSource,
    Guest, Hub, Json, Limits, Listener, ListenerConfig, Opening, Peer, Permissions, RealmName,
    RoomName, Session, SessionRef, Wire,
};
use polyport_net::{
    Bind, BindError, Deadlines, Decision, FlushTasks, Handler, Heartbeat, HttpRequest, LinkOptions,
    RawFrontEnd, Server, ServerSettings, Sockets, Tasks, Transportation, WsFrontEnd, WsHandler,
    lines::{Line, LineReader},
    serve_raw, serve_websockets, ws,
};
use tokio::runtime::Runtime;

/// Longer than anything here takes, shorter than patience.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a test wants of its gateway.
pub(crate) struct Plan {
    pub(crate) limits: Limits,
    pub(crate) settings: ServerSettings,
    pub(crate) bind: Bind,
    /// Sessions of the whole process; 0 is no bound.
    pub(crate) max_sessions: usize,
    /// Between WebSocket pings.
    pub(crate) ping: Duration,
    /// Threads that serve connections.
    pub(crate) threads: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            settings: ServerSettings::default(),
            bind: Bind::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            max_sessions: 0,
            ping: Duration::ZERO,
            threads: 2,
        }
    }
}

pub(crate) struct Gateway {
    pub(crate) hub: Arc<Hub>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) server: Server,
    common: Transportation,
    calls: Calls,
    /// Tasks that belong to the gateway itself.
    own_tasks: usize,
    runtime: Option<Runtime>,
}

/// Calls that wait until the test answers them.
pub(crate) type Calls = Arc<Mutex<Vec<CallTicket>>>;

impl Gateway {
    /// Speaks lines.
    pub(crate) fn lines(plan: Plan) -> Self {
        Self::start(plan, "lines", |plan, listener, common, calls| {
            serve_raw(
                &plan.bind,
                listener,
                plan.settings,
                common,
                LinesFrontEnd { calls },
            )
            .unwrap()
        })
    }

    /// Speaks WebSocket.
    pub(crate) fn websocket(plan: Plan) -> Self {
        Self::start(plan, "messages", |plan, listener, common, calls| {
            let front_end = MessagesFrontEnd {
                calls,
                ping: plan.ping,
            };
            serve_websockets(&plan.bind, listener, plan.settings, common, front_end).unwrap()
        })
    }

    pub(crate) fn start(
        plan: Plan,
        protocol: &'static str,
        serve: impl FnOnce(Plan, Arc<Listener>, &Transportation, Calls) -> Server,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(plan.threads)
            .enable_all()
            .build()
            .unwrap();
        let inside = runtime.enter();
        let tasks = Tasks::new();
        let deadlines = Deadlines::start(&tasks);
        let pool = FlushTasks::new(runtime.handle().clone(), tasks.clone());
        let hub = Hub::new(plan.max_sessions, Some(Arc::new(pool)));
        let listener = hub.listener(ListenerConfig {
            name: "under-test".to_owned(),
            protocol,
            realm: RealmName::new("default").unwrap(),
            dialect: Arc::new(Plain(protocol)),
            join: Vec::new(),
            rooms: Vec::new(),
            limits: plan.limits.clone(),
            permissions: Permissions::default(),
        });
        let common = Transportation {
            tasks: tasks.clone(),
            deadlines,
            sockets: Sockets::default(),
        };
        let calls = Calls::default();
        let server = serve(plan, Arc::clone(&listener), &common, Arc::clone(&calls));
        server.begin();
        drop(inside);
        Self {
            hub,
            listener,
            server,
            own_tasks: tasks.len(),
            common,
            calls,
            runtime: Some(runtime),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        match self.server.local() {
            Bind::Tcp(address) => *address,
            Bind::Unix(path) => panic!("{} is no TCP address", path.display()),
        }
    }

    /// Begins to end the sessions, as a process that stops does.
    pub(crate) fn drain(&self) {
        self.listener.drain();
        for session in self.hub.sessions(|_| true) {
            session.wake();
        }
    }

    /// Closes the bound socket and waits for that.
    pub(crate) fn close_server(&self) {
        self.server.stop_accepting();
        let Bind::Tcp(address) = *self.server.local() else {
            panic!("the listener is on TCP");
        };
        wait_until("nobody is let in", || TcpStream::connect(address).is_err());
    }

    /// Tries to serve at a further address, as another process would.
    pub(crate) fn bind_another(&self, bind: Bind) -> Result<Server, BindError> {
        let runtime = self.runtime.as_ref().unwrap();
        let _inside = runtime.enter();
        let front_end = LinesFrontEnd {
            calls: Calls::default(),
        };
        let listener = Arc::clone(&self.listener);
        let common = Transportation {
            sockets: Sockets::default(),
            ..self.common.clone()
        };
        let settings = ServerSettings::default();
        serve_raw(&bind, listener, settings, &common, front_end)
    }

    /// Answers the calls that wait; returns their number.
    pub(crate) fn answer_calls(&self) -> usize {
        let calls = std::mem::take(&mut *self.calls.lock());
        let answered = calls.len();
        for ticket in calls {
            let unsent = ticket.finish(None);
            if let Some(session) = unsent.session() {
                session.send(Frame::from_static(b"answered\n"));
            }
        }
        answered
    }

    /// Waits for `count` calls to have arrived.
    pub(crate) fn wait_for_calls(&self, count: usize) {
        wait_until("the calls have arrived", || {
            self.calls.lock().len() == count
        });
    }

    /// The sum of a family's series that carry `label`.
    pub(crate) fn metric(&self, family: &str, label: &str) -> u64 {
        let families = self.hub.metrics().registry().gather();
        let family = families.iter().find(|f| f.name() == family).unwrap();
        let sum: f64 = family
            .get_metric()
            .iter()
            .filter(|series| series.get_label().iter().any(|l| l.value() == label))
            .map(|series| series.get_counter().get_value() + series.get_gauge().get_value())
            .sum();
        sum as u64
    }

    pub(crate) fn closed(&self, reason: CloseReason) -> u64 {
        self.metric("polyport_sessions_closed_total", reason.label())
    }

    pub(crate) fn refused(&self, reason: polyport_core::RefuseReason) -> u64 {
        self.metric("polyport_connections_refused_total", reason.label())
    }

    pub(crate) fn received_bytes(&self) -> u64 {
        self.listener.metrics().received_bytes.get()
    }

    #[track_caller]
    pub(crate) fn wait_for_close(&self, reason: CloseReason) {
        wait_until(reason.label(), || self.closed(reason) == 1);
    }

    #[track_caller]
    pub(crate) fn wait_for_refusal(&self, reason: polyport_core::RefuseReason) {
        wait_until(reason.label(), || self.refused(reason) == 1);
    }

    /// Waits until no session and no connection is left.
    #[track_caller]
    pub(crate) fn wait_until_empty(&self) {
        wait_until("all sessions have ended", || self.hub.is_empty());
        wait_until("all connections have ended", || {
            self.common.tasks.len() == self.own_tasks
        });
    }

    /// Hangs the clients up and stops as a process does: nothing may be left, and nothing may hold it up.
    #[track_caller]
    pub(crate) fn finish<C>(mut self, clients: C) {
        self.server.stop_accepting();
        self.drain();
        drop(clients);
        wait_until("all connections have ended", || {
            self.common.tasks.len() <= self.own_tasks
        });
        self.stop();
    }

    /// Stops although connections may still be ending.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        let runtime = self.runtime.take().unwrap();
        let tasks = self.common.tasks.clone();
        let finished =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, tasks.finish()).await });
        assert!(finished.is_ok(), "{} tasks do not end", tasks.len());
        assert!(self.hub.is_empty());
        assert_eq!(self.metric("polyport_sessions", "under-test"), 0);
        runtime.shutdown_timeout(PATIENCE);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[track_caller]
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Writes events as `said ROOM DATA`.
struct Plain(&'static str);

impl Plain {
    fn frame(&self, text: &str) -> Frame {
        if self.0 == "lines" {
            line(text)
        } else {
            ws::text(text)
        }
    }
}

impl Dialect for Plain {
    fn protocol(&self) -> &'static str {
        self.0
    }

    fn encode(&self, event: &Event) -> Frame {
        let room = event.room.as_ref().map_or("-", RoomName::as_str);
        let Some(Arg::Json(data)) = event.args.first() else {
            return self.frame("said nothing");
        };
        self.frame(&format!("said {room} {}", data.decode::<String>().unwrap()))
    }
}

fn line(text: &str) -> Frame {
    Frame::from(format!("{text}\n"))
}

/// What both protocols do with a command.
struct Talk {
    session: Session,
    calls: Calls,
    frame: fn(&str) -> Frame,
}

impl Talk {
    fn run(&self, command: &str) {
        let session: &SessionRef = &self.session;
        let mut words = command.splitn(3, ' ');
        let (verb, first) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let rest = words.next().unwrap_or_default();
        match verb {
            "echo" => session.send((self.frame)(&command["echo ".len()..])),
            // One frame of so many bytes.
            "big" => session.send((self.frame)(&"x".repeat(first.parse().unwrap()))),
            // So many bytes in pieces that are made when they are written.
            "source" => session.send_source(Box::new(Pieces(first.parse().unwrap()))),
            "join" => {
                session.join(&RoomName::new(first).unwrap()).unwrap();
                session.send((self.frame)("joined"));
            }
            "say" | "shout" => {
                let data = match verb {
                    "say" => rest.to_owned(),
                    _ => "x".repeat(rest.parse().unwrap()),
                };
                let room = RoomName::new(first).unwrap();
                let args = Args::from_iter([Arg::Json(Json::string(&data))]);
                let name = EventName::new("said").unwrap();
                session
                    .publish(&room, name, args, Except::default())
                    .unwrap();
            }
            "call" => match session.begin_call("any") {
                Ok(ticket) => self.calls.lock().push(ticket),
                Err(error) => session.send((self.frame)(&error.to_string())),
            },
            "whoami" => {
                let peer = match session.peer() {
                    Peer::Ip(address) => address.to_string(),
                    Peer::Unix => "unix".to_owned(),
                };
                session.send((self.frame)(&peer));
            }
            "bye" => session.close(CloseReason::ClientLeft),
            "kick" => session.close(CloseReason::Disconnected),
            _ => session.send((self.frame)(&format!("unknown: {command}"))),
        }
    }
}

/// So many bytes `x` in pieces of 10,000.
struct Pieces(usize);

impl FrameSource for Pieces {
    fn next(&mut self) -> Option<Frame> {
        let piece = self.0.min(10_000);
        self.0 -= piece;
        (piece > 0).then(|| Bytes::from(vec![b'x'; piece]))
    }
}

struct LinesFrontEnd {
    calls: Calls,
}

pub(crate) struct LinesHandler {
    talk: Talk,
    reader: LineReader,
}

impl RawFrontEnd for LinesFrontEnd {
    type Handler = LinesHandler;

    fn options(&self) -> LinkOptions {
        LinkOptions::default()
    }

    fn open(&self, opening: Opening, _: Guest) -> LinesHandler {
        let session = Session::open(opening);
        session.send(line("hello"));
        LinesHandler {
            talk: Talk {
                session,
                calls: Arc::clone(&self.calls),
                frame: line,
            },
            reader: LineReader::new(b'\n'),
        }
    }
}

impl Handler for LinesHandler {
    fn wire(&self) -> &Arc<Wire> {
        self.talk.session.wire()
    }

    fn leave(&mut self) {
        self.talk.session.leave_all();
    }

    fn is_calling(&self) -> bool {
        self.talk.session.calls_in_flight() > 0
    }

    fn may_end(&self) -> bool {
        self.talk.session.is_settled()
    }

    fn on_bytes(&mut self, input: &mut [u8]) -> usize {
        let limit = self.talk.session.listener().limits().message;
        let mut used = 0;
        loop {
            let rest = &input[used..];
            match self.reader.next(rest, limit) {
                Line::Complete { length } => {
                    self.talk.run(&String::from_utf8_lossy(&rest[..length]));
                    used += length + 1;
                }
                Line::TooLong { consumed, .. } => {
                    self.talk
                        .session
                        .limit_hit(polyport_core::LimitKind::Message);
                    self.talk.session.send(line("too long"));
                    used += consumed;
                }
                Line::Skipped { consumed } => used += consumed,
                Line::Incomplete => return used,
            }
        }
    }

    fn on_close(&mut self, reason: CloseReason) {
        self.talk
            .session
            .send_last(line(&format!("closed {}", reason.label())));
    }
}

pub(crate) struct MessagesFrontEnd {
    pub(crate) calls: Calls,
    pub(crate) ping: Duration,
}

pub(crate) struct MessagesHandler {
    talk: Talk,
    ping: Duration,
}

impl WsFrontEnd for MessagesFrontEnd {
    type Handler = MessagesHandler;
    type Grant = String;

    fn decide(&self, request: HttpRequest, _: &Arc<Listener>) -> Decision<String> {
        Decision::Now(Ok(request.head.uri.path().to_owned()))
    }

    fn open(&self, opening: Opening, path: String) -> MessagesHandler {
        let session = Session::open(opening);
        session.send(ws::text(&format!("hello {path}")));
        MessagesHandler {
            talk: Talk {
                session,
                calls: Arc::clone(&self.calls),
                frame: ws::text,
            },
            ping: self.ping,
        }
    }
}

impl WsHandler for MessagesHandler {
    fn wire(&self) -> &Arc<Wire> {
        self.talk.session.wire()
    }

    fn leave(&mut self) {
        self.talk.session.leave_all();
    }

    fn is_calling(&self) -> bool {
        self.talk.session.calls_in_flight() > 0
    }

    fn may_end(&self) -> bool {
        self.talk.session.is_settled()
    }

    fn on_text(&mut self, text: &str) {
        self.talk.run(text);
    }

    fn on_binary(&mut self, data: &[u8]) {
        self.talk.session.send(ws::binary(data));
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat::every(self.ping)
    }
}
