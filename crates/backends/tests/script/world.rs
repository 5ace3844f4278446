//! A script in a folder of its own, and sessions whose wire is a list of lines.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::Mutex;
use polyport_backends::{
    DocumentationShape, Fetch, FetchDone, FetchRequest, FetchResponse, Node, Provider, Registry,
    ScriptBackend, ScriptError, ScriptOptions,
};
use polyport_core::{
    Answer, Answered, Arg, Asks, Backend, Call, CallArgs, CallError, Dialect, Event, Frame,
    FrameQueue, Guest, Hub, Json, Limits, Listener, ListenerConfig, OpenRequest, Opening,
    OpeningOn, Params, Peer, Permissions, RealmName, Received, Reception, Refused, Reply, Session,
    SessionEnd, SessionId, SessionRef, Transport, Unanswered, Visit, Wrote, single_argument,
};

pub(crate) struct World {
    pub(crate) script: Arc<ScriptBackend>,
    pub(crate) hub: Arc<Hub>,
    registry: Arc<Registry>,
    listener: Arc<Listener>,
    folder: Option<tempfile::TempDir>,
}

/// Everything that a session was sent, and `answer …` for its answers, in order.
#[derive(Default)]
pub(crate) struct Wire(Mutex<Vec<String>>);

/// Answers every request with what it was.
struct Echo;

impl Fetch for Echo {
    fn start(&self, request: FetchRequest, done: FetchDone) {
        done(if request.url.ends_with("/broken") {
            Err("the link broke".to_owned())
        } else {
            Ok(FetchResponse {
                status: 201,
                headers: vec![("x-method".to_owned(), request.method)],
                body: request.body,
            })
        });
    }
}

struct Lines;

impl Dialect for Lines {
    fn protocol(&self) -> &'static str {
        "lines"
    }

    fn encode(&self, event: &Event) -> Frame {
        let line = format!("{} {}\n", event.name, single_argument(&event.args).as_str());
        Frame::from(line.into_bytes())
    }
}

impl Transport for Wire {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        while !frames.is_empty() {
            let wrote = frames.write_with(usize::MAX, |slices| {
                let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                let text = std::str::from_utf8(&bytes).expect("lines are text");
                self.0.lock().extend(text.lines().map(str::to_owned));
                Ok::<_, ()>(bytes.len())
            });
            wrote.unwrap();
        }
        Wrote::All
    }

    fn wake(&self) {}
}

/// Answers every event with its arguments, but keeps the questions named `hold`.
#[derive(Default)]
pub(crate) struct Answering(Mutex<Vec<Answered>>);

impl Answering {
    /// The client goes: there will be no answers.
    pub(crate) fn go(&self) {
        for respond in std::mem::take(&mut *self.0.lock()) {
            respond(Err(Unanswered::Ended));
        }
    }
}

impl Asks for Answering {
    fn ask(&self, session: &SessionRef, event: &Event, respond: Answered) {
        session.tell(event);
        match event.name.as_str() {
            "hold" => self.0.lock().push(respond),
            _ => respond(Ok(event.args.clone())),
        }
    }

    fn disconnect(&self, session: &SessionRef) {
        session.send(Frame::from_static(b"left\n"));
    }
}

/// A client's session.
pub(crate) struct Client {
    pub(crate) session: Session,
    wire: Arc<Wire>,
    visit: Option<Box<Visit>>,
    registry: Arc<Registry>,
}

pub(crate) fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/examples")
        .join(name)
}

impl World {
    /// A world of a script with this text.
    pub(crate) fn of(text: &str) -> Self {
        Self::with(&[("main.js", text)], |_| {}).unwrap()
    }

    /// A world of these files, of which the first is the script.
    pub(crate) fn with(
        files: &[(&str, &str)],
        set: impl FnOnce(&mut ScriptOptions),
    ) -> Result<Self, ScriptError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut options = ScriptOptions {
            file: folder.path().join(files[0].0),
            ..ScriptOptions::default()
        };
        set(&mut options);
        let mut world = Self::start(options)?;
        world.folder = Some(folder);
        Ok(world)
    }

    pub(crate) fn start(options: ScriptOptions) -> Result<Self, ScriptError> {
        let hub = Hub::new(0, None);
        let node = Arc::new(Node::new("node-1".to_owned()));
        let script = ScriptBackend::start(
            "test",
            options,
            Arc::clone(&hub),
            node,
            Some(Arc::new(Echo)),
        )?;
        let provider: Arc<dyn Provider> = script.clone();
        let registry = Arc::new(Registry::new(vec![provider], DocumentationShape::Keys));
        let listener = hub.listener(ListenerConfig {
            name: "test".to_owned(),
            protocol: "lines",
            realm: RealmName::new("default").unwrap(),
            dialect: Arc::new(Lines),
            join: Vec::new(),
            rooms: Vec::new(),
            limits: Limits::default(),
            permissions: Permissions::default(),
        });
        Ok(Self {
            script,
            hub,
            registry,
            listener,
            folder: None,
        })
    }

    /// Writes another text into a file of the script.
    /// Another text at once, with the time of the one before.
    pub(crate) fn replace_unnoticed(&self, name: &str, text: &str) {
        let folder = self.folder.as_ref().unwrap();
        let (path, fresh) = (folder.path().join(name), folder.path().join("fresh"));
        std::fs::write(&fresh, text).unwrap();
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        let file = std::fs::File::options().write(true).open(&fresh).unwrap();
        file.set_modified(time).unwrap();
        std::fs::rename(fresh, path).unwrap();
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let folder = self.folder.as_ref().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
    }

    /// Whether a client that asks for `target` gets a session.
    pub(crate) fn receive(&self, target: &str) -> Result<(SessionId, Guest), Refused> {
        let backend: Arc<dyn Backend> = self.registry.clone();
        let id = SessionId::random();
        let received = Reception::new(backend, None).receive(OpenRequest {
            id,
            listener: Arc::clone(&self.listener),
            peer: Peer::Unix,
            is_tls: false,
            target: target.to_owned(),
            headers: vec![("origin".to_owned(), "http://a.example".to_owned())],
            identity: None,
            branch: None,
            payload: None,
        });
        let guest = match received {
            Received::Now(result) => result?,
            Received::Later(later) => block_on(later)?,
        };
        Ok((id, guest))
    }

    pub(crate) fn open(&self, target: &str) -> Client {
        let (id, guest) = self.receive(target).unwrap();
        self.enter(id, guest)
    }

    pub(crate) fn enter(&self, id: SessionId, guest: Guest) -> Client {
        let wire = Arc::new(Wire::default());
        let session = Session::open(Opening {
            id,
            admission: self.listener.admit(None).unwrap(),
            peer: Peer::Unix,
            transport: wire.clone(),
        });
        self.entered(session, wire, guest)
    }

    /// A session whose client answers events, on a connection that may have others.
    pub(crate) fn open_answering(&self, target: &str, asks: &Arc<Answering>) -> Client {
        let (id, guest) = self.receive(target).unwrap();
        let wire = Arc::new(Wire::default());
        let admission = self.listener.admit(None).unwrap();
        let session = Session::open_on(OpeningOn {
            id,
            wire: &polyport_core::Wire::new(admission, Peer::Unix, wire.clone()),
            branch: Arc::clone(self.listener.branch()),
            asks: Some(asks.clone()),
            greeting: None,
        });
        self.entered(session, wire, guest)
    }

    fn entered(&self, session: Session, wire: Arc<Wire>, guest: Guest) -> Client {
        let visit = self.hub.turn(|| guest.enter(&session));
        Client {
            session,
            wire,
            visit,
            registry: Arc::clone(&self.registry),
        }
    }

    /// The refusal that an opening meets.
    pub(crate) fn refusal(&self, target: &str) -> Refused {
        self.receive(target).map(|(id, _)| id).unwrap_err()
    }
}

pub(crate) type Told = mpsc::Receiver<Result<Reply, CallError>>;

impl Client {
    /// Starts a call with a JSON array of arguments, or an object of named ones.
    pub(crate) fn start(&self, name: &str, args: &str) -> Told {
        let value: serde_json::Value = serde_json::from_str(args).unwrap();
        let (list, params) = match &value {
            serde_json::Value::Array(list) => {
                let list = list.iter().map(|value| Arg::Json(Json::encode(value)));
                (list.collect::<Vec<_>>(), None)
            }
            value => {
                let mut params = Params::default();
                for (name, value) in value.as_object().unwrap() {
                    params.set(name, Json::encode(value));
                }
                (Vec::new(), Some(params))
            }
        };
        let args = match &params {
            Some(params) => CallArgs::Named(params),
            None => CallArgs::List(&list),
        };
        self.start_with(name, args)
    }

    /// The same with arguments as they are.
    pub(crate) fn start_with(&self, name: &str, args: CallArgs<'_>) -> Told {
        let (tell, told) = mpsc::channel();
        let call = Call {
            action: name,
            version: None,
            args,
        };
        let wire = Arc::clone(&self.wire);
        let session = (*self.session).clone();
        let then = move |result: Result<Reply, CallError>| {
            let line = format!("answer {}\n", shown(&result));
            session.send(Frame::from(line.into_bytes()));
            drop(wire);
            let _ = tell.send(result);
        };
        match self.registry.call(&self.session, call) {
            Answer::Now(result) => then(result),
            Answer::Told(told) => told(Box::new(then)),
            Answer::Later(_) => panic!("a script has a thread of its own"),
        }
        told
    }

    pub(crate) fn call(&self, name: &str, args: &str) -> Result<Reply, CallError> {
        let told = self.start(name, args);
        told.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// The answer as text.
    pub(crate) fn ask(&self, name: &str, args: &str) -> String {
        shown(&self.call(name, args))
    }

    #[track_caller]
    pub(crate) fn check(&self, name: &str, args: &str, expected: &str) {
        assert_eq!(self.ask(name, args), expected, "{name} {args}");
    }

    /// What has come, once `count` lines have.
    #[track_caller]
    pub(crate) fn lines(&self, count: usize) -> Vec<String> {
        wait_for(|| self.wire.0.lock().len() >= count);
        std::mem::take(&mut *self.wire.0.lock())
    }

    pub(crate) fn end(mut self, code: u16, text: &str) {
        if let Some(visit) = &mut self.visit {
            let text = text.to_owned();
            visit.ends(SessionEnd { code, text });
        }
    }
}

pub(crate) fn shown(result: &Result<Reply, CallError>) -> String {
    match result {
        Ok(Reply::Value(json)) => json.as_str().to_owned(),
        Ok(Reply::Args(args)) => format!("args {}", single_argument(args).as_str()),
        Ok(Reply::Void) => "null".to_owned(),
        Ok(Reply::Nothing) => "nothing".to_owned(),
        Err(error) => format!("error: {error}"),
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_for(holds: impl Fn() -> bool) {
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < until, "it never held");
        std::thread::yield_now();
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}
