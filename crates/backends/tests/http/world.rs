//! A hub with sessions whose clients are records, and a backend in front of a service.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use polyport_backends::{DocumentationShape, HttpBackend, HttpOptions, Provider, Registry};
use polyport_core::{
    Answer, Arg, Backend, Call, CallArgs, CallError, Dialect, Event, Frame, FrameQueue, Guest, Hub,
    Json, Limits, Listener, ListenerConfig, OpenRequest, Opening, Peer, Permissions, RealmName,
    Received, Reception, Refused, Reply, Respond, RoomName, Session, SessionId, SessionRef,
    Transport, Visit, Wrote, single_argument,
};
use polyport_net::{HttpClient, HttpClientOptions, Tasks};
use tokio::sync::oneshot;

use crate::service::{PATIENCE, Service};

pub(crate) struct World {
    pub(crate) hub: Arc<Hub>,
    pub(crate) backend: Arc<HttpBackend>,
    pub(crate) registry: Arc<Registry>,
    tasks: Tasks,
    listener: Arc<Listener>,
}

/// A session and what its client has got.
pub(crate) struct Client {
    pub(crate) session: Session,
    wire: Arc<Wire>,
    visit: Option<Box<Visit>>,
}

#[derive(Default)]
struct Wire(Mutex<String>);

impl Transport for Wire {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        while !frames.is_empty() {
            let written = frames.write_with(usize::MAX, |slices| {
                let mut text = self.0.lock();
                for slice in slices {
                    text.push_str(std::str::from_utf8(slice).unwrap());
                }
                Ok::<_, ()>(slices.iter().map(|slice| slice.len()).sum())
            });
            written.unwrap();
        }
        Wrote::All
    }

    fn wake(&self) {}
}

/// `event: argument` on a line.
struct Lines;

impl Dialect for Lines {
    fn protocol(&self) -> &'static str {
        "lines"
    }

    fn encode(&self, event: &Event) -> Frame {
        let argument = single_argument(&event.args);
        Frame::from(format!("{}: {}\n", event.name, argument.as_str()))
    }
}

pub(crate) fn options(service: &Service) -> HttpOptions {
    HttpOptions {
        url: service.url(),
        timeout: PATIENCE,
        ..HttpOptions::default()
    }
}

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

impl World {
    pub(crate) fn new(service: &Service) -> Self {
        Self::with(options(service))
    }

    pub(crate) fn with(options: HttpOptions) -> Self {
        let hub = Hub::new(0, None);
        let tasks = Tasks::new();
        let client = HttpClient::new(HttpClientOptions::default());
        let backend =
            HttpBackend::new("app", options, Arc::clone(&hub), tasks.clone(), client).unwrap();
        let provider = Arc::clone(&backend) as Arc<dyn Provider>;
        let listener = hub.listener(ListenerConfig {
            name: "rpc".to_owned(),
            protocol: "lines",
            realm: RealmName::new("default").unwrap(),
            dialect: Arc::new(Lines),
            join: vec![room("lobby")],
            rooms: Vec::new(),
            limits: Limits::default(),
            permissions: Permissions::default(),
        });
        Self {
            registry: Arc::new(Registry::new(vec![provider], DocumentationShape::Keys)),
            hub,
            backend,
            tasks,
            listener,
        }
    }

    /// Asks for a session as a front end does.
    pub(crate) async fn ask_for_session(
        &self,
        target: &str,
    ) -> (SessionId, Result<Guest, Refused>) {
        let (id, received) = self.begin_to_ask(target);
        let result = match received {
            Received::Now(result) => result,
            Received::Later(later) => later.await,
        };
        (id, result)
    }

    pub(crate) fn begin_to_ask(&self, target: &str) -> (SessionId, Received) {
        let id = SessionId::random();
        let backend = Arc::clone(&self.registry) as Arc<dyn Backend>;
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let received = Reception::new(backend, None).receive(OpenRequest {
            id,
            listener: Arc::clone(&self.listener),
            peer: Peer::Ip(([192, 0, 2, 7], 4711).into()),
            is_tls: true,
            target: target.to_owned(),
            headers: vec![
                header("host", "gateway.example"),
                header("cookie", "a=1"),
                header("cookie", "b=2"),
                header("x-twice", "one"),
                header("x-twice", "two"),
            ],
            identity: None,
            branch: None,
            payload: None,
        });
        (id, received)
    }

    /// Opens a session for a guest.
    pub(crate) fn enter(&self, id: SessionId, guest: Guest) -> Client {
        let wire = Arc::new(Wire::default());
        let transport = Arc::clone(&wire) as Arc<dyn Transport>;
        let session = Session::open(Opening {
            id,
            admission: self.listener.admit(None).unwrap(),
            peer: Peer::Ip(([192, 0, 2, 7], 4711).into()),
            transport,
        });
        let visit = self.hub.turn(|| guest.enter(&session));
        Client {
            session,
            wire,
            visit,
        }
    }

    /// A client that is let in.
    pub(crate) async fn client(&self) -> Client {
        let (id, guest) = self.ask_for_session("/").await;
        self.enter(id, guest.unwrap())
    }

    /// Calls an action with a list of arguments.
    pub(crate) async fn call(&self, client: &Client, action: &str) -> Result<Reply, CallError> {
        self.call_with(client, action, &[]).await
    }

    pub(crate) async fn call_with(
        &self,
        client: &Client,
        action: &str,
        args: &[Arg],
    ) -> Result<Reply, CallError> {
        self.begin_call(&client.session, action, CallArgs::List(args))
            .await
            .unwrap()
    }

    /// Sends a call and gives the way to its answer, which is also written to the client.
    pub(crate) fn begin_call(
        &self,
        session: &SessionRef,
        action: &str,
        args: CallArgs<'_>,
    ) -> oneshot::Receiver<Result<Reply, CallError>> {
        let (tell, told) = oneshot::channel();
        let call = Call {
            action,
            version: None,
            args,
        };
        let caller = session.clone();
        let respond: Respond = Box::new(move |answer| {
            let text = match &answer {
                Ok(Reply::Value(value)) => format!("answer {}\n", value.as_str()),
                Ok(Reply::Args(args)) => format!("answer {}\n", single_argument(args).as_str()),
                Ok(Reply::Void) => "answer null\n".to_owned(),
                Ok(Reply::Nothing) => String::new(),
                Err(error) => format!("failed {error}\n"),
            };
            caller.send(Bytes::from(text));
            drop(tell.send(answer));
        });
        match self.registry.call(session, call) {
            Answer::Told(tell) => tell(respond),
            Answer::Now(answer) => respond(answer),
            Answer::Later(_) => panic!("the backend tells its answers"),
        }
        told
    }

    /// How often a request has ended so.
    pub(crate) fn counted(&self, request: &str, outcome: &str) -> f64 {
        self.metric(
            "polyport_backend_requests_total",
            &[("request", request), ("outcome", outcome)],
        )
    }

    pub(crate) fn gauge(&self, name: &str) -> f64 {
        self.metric(name, &[])
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.hub.metrics().registry().gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .unwrap();
        let is_wanted = |metric: &&prometheus::proto::Metric| {
            let has = |name: &str, value: &str| {
                let mut pairs = metric.get_label().iter();
                pairs.any(|pair| pair.name() == name && pair.value() == value)
            };
            has("backend", "app") && labels.iter().all(|(name, value)| has(name, value))
        };
        let metric = family.get_metric().iter().find(is_wanted).unwrap();
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }

    /// Waits until everything that was sent has ended.
    pub(crate) async fn settle(&self) {
        tokio::time::timeout(PATIENCE, self.tasks.finish())
            .await
            .unwrap();
    }
}

impl Client {
    /// All that it got since it was last asked.
    pub(crate) fn got(&self) -> String {
        std::mem::take(&mut *self.wire.0.lock())
    }

    pub(crate) fn leave(self) {
        drop(self.session);
        drop(self.visit);
    }

    /// With the end that its front end has seen.
    pub(crate) fn leave_saying(mut self, code: u16, text: &str) {
        if let Some(visit) = &mut self.visit {
            visit.ends(polyport_core::SessionEnd {
                code,
                text: text.to_owned(),
            });
        }
        self.leave();
    }
}

pub(crate) fn value(text: &str) -> Result<Reply, CallError> {
    Ok(Reply::Value(Json::parse(text).unwrap()))
}

pub(crate) async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::task::yield_now().await;
    }
}
