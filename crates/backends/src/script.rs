//! A backend that is a script in JavaScript, inside this process.
//!
//! [`ScriptBackend::start`] makes a thread per instance, each with an engine of its own (`engine`), which takes what waits
//! (`queue`) and answers it (`worker`). The JavaScript half is in `js/`; what it calls is `host`.

mod engine;
mod fetch;
mod host;
mod links;
mod marks;
mod modules;
mod options;
mod questions;
mod queue;
mod steps;
mod verdict;
mod worker;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use polyport_core::{
    Accepted, ActionInfo, Answer, Ask, BackendMetrics, BackendOutcome, BackendRequest, Call,
    CallArgs, CallError, Denial, Hooks, Hub, Json, Later, OpenRequest, RealmName, Refused,
    SessionEnd, SessionId, SessionRef, Told, trace::TraceContext,
};
use serde::Serialize;
use tokio::sync::oneshot;

pub use fetch::{Fetch, FetchDone, FetchRequest, FetchResponse};
pub use options::{ScriptError, ScriptOptions};

use self::{
    engine::{Engine, Loaded},
    host::Names,
    links::Link,
    marks::{ListText, Mark},
    modules::Folder,
    queue::{Asking, Job, Queue, To, What},
    worker::{Worker, engine_host},
};
use crate::{Node, Provider};

/// A script, running.
pub struct ScriptBackend {
    shared: Arc<Shared>,
    /// What it wants to be asked about: as it was at the start.
    hooks: Hooks,
    instances: Vec<Instance>,
    /// Which engine is next to get an action of a session that no engine knows.
    next: AtomicUsize,
    next_key: AtomicU32,
}

struct Instance {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the backend and its threads share.
struct Shared {
    name: Arc<str>,
    options: ScriptOptions,
    hub: Arc<Hub>,
    node: Arc<Node>,
    fetch: Option<Arc<dyn Fetch>>,
    folder: Folder,
    file: String,
    mark: Arc<Mark>,
    metrics: BackendMetrics,
    loaded: ArcSwap<Loaded>,
    /// Grows whenever `loaded` changes.
    generation: AtomicU64,
    visitors: Mutex<HashMap<SessionId, Visitor, FixedState>>,
}

/// A session that an engine was asked about.
struct Visitor {
    link: Arc<Link>,
    /// What its api answers, once it is let in.
    names: Option<Arc<Names>>,
}

/// The argument of `createSession` that holds everything.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestText<'a> {
    id: SessionId,
    url: &'a str,
    headers: serde_json::Map<String, serde_json::Value>,
    origin: Option<&'a str>,
    is_tls: bool,
    protocol: &'static str,
    listener: &'a str,
    peer: String,
    user: Option<&'a str>,
    site: Option<&'a str>,
    claims: Option<&'a Json>,
    /// In protocols that have namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    /// What the opening carries beside target and headers, in protocols where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'a Json>,
    resumed: bool,
}

impl Shared {
    fn load(&self, number: u32, queue: &Arc<Queue>) -> Result<Engine, ScriptError> {
        Engine::load(&self.options, engine_host(self, number, queue), &self.file)
    }
}

impl ScriptBackend {
    /// Loads a script, once for each instance. `fetch` sends its requests; without it there are none.
    ///
    /// # Errors
    /// [`ScriptError`] when it cannot be read or fails while it is loaded.
    pub fn start(
        name: &str,
        options: ScriptOptions,
        hub: Arc<Hub>,
        node: Arc<Node>,
        fetch: Option<Arc<dyn Fetch>>,
    ) -> Result<Arc<Self>, ScriptError> {
        let (folder, file) = Folder::of(&options.file).map_err(ScriptError::File)?;
        let metrics = hub.metrics().backend(name);
        let shared = Arc::new(Shared {
            name: name.into(),
            options,
            hub,
            node,
            fetch,
            folder,
            file,
            mark: Arc::new(Mark::random()),
            metrics,
            loaded: ArcSwap::default(),
            generation: AtomicU64::new(0),
            visitors: Mutex::default(),
        });
        let mut instances = Vec::new();
        let mut loaded = Loaded::default();
        for number in 0..shared.options.instances.max(1) {
            let (instance, found) = Instance::start(&shared, number)?;
            instances.push(instance);
            loaded = found;
        }
        let hooks = Hooks {
            open: loaded.sessions,
            close: loaded.sessions,
            join: loaded.join,
            publish: loaded.publish,
        };
        shared.loaded.store(Arc::new(loaded));
        Ok(Arc::new(Self {
            shared,
            hooks,
            instances,
            next: AtomicUsize::new(0),
            next_key: AtomicU32::new(1),
        }))
    }

    /// Ends the threads; what is not answered yet is answered with an error. Waits for what runs, at most for its limit.
    pub fn stop(&self) {
        for instance in &self.instances {
            let _ = instance.queue.push(Job::Stop);
        }
        for instance in &self.instances {
            if let Some(thread) = instance.thread.lock().take()
                && thread.join().is_err()
            {
                tracing::error!(
                    backend = &*self.shared.name,
                    "a script's thread has panicked"
                );
            }
        }
    }

    /// Has the script loaded anew, soon. Sessions stay; if it cannot be loaded the one before goes on and the log says why.
    pub fn reload(&self) {
        for instance in &self.instances {
            // After the end there is nothing to load.
            let _ = instance.queue.push(Job::Reload);
        }
    }

    fn queue(&self, key: u32) -> &Arc<Queue> {
        let number = if key == 0 {
            self.next.fetch_add(1, Ordering::Relaxed)
        } else {
            key as usize
        };
        &self.instances[number % self.instances.len()].queue
    }

    fn key(&self, session: &SessionRef) -> u32 {
        let visitors = self.shared.visitors.lock();
        visitors.get(&session.id()).map_or(0, |it| it.link.key)
    }

    /// When a call of a listener, or a hook for one of its sessions, must be answered.
    fn deadline(&self, listener: Duration) -> Instant {
        let own = self.shared.options.timeout;
        let bound = if listener.is_zero() {
            own
        } else {
            own.min(listener)
        };
        Instant::now() + bound
    }

    fn told(&self, queue: Arc<Queue>, what: What, realm: RealmName, deadline: Instant) -> Told {
        let asked_at = Instant::now();
        let step = self.shared.step(BackendRequest::Call, None);
        let shared = Arc::clone(&self.shared);
        Box::new(move |respond| {
            let asking = Asking {
                what,
                to: To::Call(respond),
                realm,
                asked_at,
                deadline,
                step,
            };
            hand_over(&shared, &queue, asking);
        })
    }

    /// Whether the queue takes one more; if not, that is counted.
    fn has_room(&self, queue: &Queue, request: BackendRequest) -> bool {
        let is_full = queue.is_full();
        if is_full {
            let metrics = &self.shared.metrics;
            metrics.asked(request, BackendOutcome::Overloaded, Duration::ZERO);
        }
        !is_full
    }
}

impl Drop for ScriptBackend {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Instance {
    /// Starts a thread and waits until its engine has loaded the script.
    fn start(shared: &Arc<Shared>, number: usize) -> Result<(Self, Loaded), ScriptError> {
        let queue = Arc::new(Queue::new(shared.options.queue));
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let (its_shared, its_queue) = (Arc::clone(shared), Arc::clone(&queue));
        let thread = thread::Builder::new()
            .name(format!("{}-{number}", shared.name))
            .stack_size(4 * engine::STACK)
            .spawn(move || match its_shared.load(0, &its_queue) {
                Ok(engine) => {
                    let worker = Worker::new(its_shared, its_queue, engine);
                    let _ = tell.send(Ok(worker.loaded().clone()));
                    worker.run();
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            })
            .map_err(|error| ScriptError::Engine(error.to_string()))?;
        let loaded = told
            .recv()
            .unwrap_or_else(|_| Err(ScriptError::Engine("its thread ended".to_owned())))?;
        let thread = Mutex::new(Some(thread));
        Ok((Self { queue, thread }, loaded))
    }
}

/// Hands a question to the engine; after its end it is answered at once.
fn hand_over(shared: &Shared, queue: &Queue, asking: Asking) {
    shared.metrics.waiting.inc();
    if let Err(Job::Ask(asking)) = queue.push(Job::Ask(Box::new(asking))) {
        shared.metrics.waiting.dec();
        match asking.to {
            To::Call(respond) => respond(Err(CallError::ShuttingDown)),
            // Dropping the sender says it.
            To::Open(..) | To::Resume(..) | To::May(..) => {}
        }
    }
}

/// A list of arguments; or, of arguments by name, an object.
fn args_text(mark: &Mark, args: CallArgs<'_>) -> ListText {
    match args {
        CallArgs::List(list) => mark.write(list),
        CallArgs::Named(params) => ListText {
            text: Json::encode(params).as_str().to_owned(),
            has_binary: false,
        },
    }
}

fn request_text(request: &OpenRequest, resumed: bool) -> String {
    let mut headers = serde_json::Map::new();
    for (name, value) in &request.headers {
        let text = match headers.get(name).and_then(serde_json::Value::as_str) {
            Some(before) => format!("{before}, {value}"),
            None => value.clone(),
        };
        headers.insert(name.clone(), text.into());
    }
    let identity = request.identity.as_deref();
    let text = RequestText {
        id: request.id,
        url: &request.target,
        headers,
        origin: request.header("origin"),
        is_tls: request.is_tls,
        protocol: request.listener.protocol(),
        listener: request.listener.name(),
        peer: request.peer.to_string(),
        user: identity.and_then(|it| it.user.as_deref()),
        site: identity.and_then(|it| it.site.as_deref()),
        claims: identity.map(|it| &it.claims),
        namespace: Some(request.branch().namespace()).filter(|name| !name.is_empty()),
        auth: request.payload.as_ref(),
        resumed,
    };
    Json::encode(&text).as_str().to_owned()
}

impl Provider for ScriptBackend {
    fn actions(&self) -> Vec<ActionInfo> {
        self.shared.loaded.load().actions.clone()
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    fn answers(&self, session: &SessionRef, name: &str) -> bool {
        let visitors = self.shared.visitors.lock();
        let names = visitors.get(&session.id()).and_then(|it| it.names.as_ref());
        names.is_some_and(|names| names.contains(name))
    }

    fn call(&self, session: &SessionRef, call: Call<'_>, _: &Json) -> Answer {
        let (key, is_method) = {
            let visitors = self.shared.visitors.lock();
            let visitor = visitors.get(&session.id());
            let names = visitor.and_then(|it| it.names.as_ref());
            let is_method = names.is_some_and(|names| names.contains(call.action));
            (visitor.map_or(0, |it| it.link.key), is_method)
        };
        let queue = Arc::clone(self.queue(key));
        if !self.has_room(&queue, BackendRequest::Call) {
            return Answer::Now(Err(CallError::Overloaded));
        }
        let name = call.action.to_owned();
        let args = args_text(&self.shared.mark, call.args);
        let what = if is_method {
            What::Method { key, name, args }
        } else {
            What::Action {
                key,
                name,
                version: call.version.map_or("", Json::as_str).to_owned(),
                args,
                session: session.id().to_string(),
            }
        };
        let realm = session.realm().name().clone();
        let deadline = self.deadline(session.listener().limits().call);
        Answer::Told(self.told(queue, what, realm, deadline))
    }

    fn call_of_server(&self, realm: &RealmName, call: Call<'_>) -> Option<Told> {
        let loaded = self.shared.loaded.load();
        let mut actions = loaded.actions.iter();
        actions.find(|action| action.name == call.action)?;
        let queue = Arc::clone(self.queue(0));
        if !self.has_room(&queue, BackendRequest::Call) {
            return Some(Box::new(|respond| respond(Err(CallError::Overloaded))));
        }
        let what = What::Action {
            key: 0,
            name: call.action.to_owned(),
            version: String::new(),
            args: args_text(&self.shared.mark, call.args),
            session: String::new(),
        };
        let deadline = self.deadline(Duration::ZERO);
        Some(self.told(queue, what, realm.clone(), deadline))
    }

    fn hooks(&self) -> Hooks {
        self.hooks
    }

    fn open(&self, request: &Arc<OpenRequest>) -> Later<Result<Accepted, Refused>> {
        let unavailable = |error: CallError| Err(Refused::Unavailable(error.to_string()));
        let key = self.next_key.fetch_add(1, Ordering::Relaxed).max(1);
        let queue = self.queue(key);
        if !self.has_room(queue, BackendRequest::Open) {
            return Box::pin(std::future::ready(unavailable(CallError::Overloaded)));
        }
        let link = Arc::new(Link::new(key, Arc::clone(request)));
        let visitor = Visitor {
            link: Arc::clone(&link),
            names: None,
        };
        self.shared.visitors.lock().insert(request.id, visitor);
        let (tell, told) = oneshot::channel();
        let opening = TraceContext::of_headers(|name| request.header(name));
        let asking = Asking {
            what: What::Open {
                link: Arc::clone(&link),
                text: request_text(request, false),
            },
            to: To::Open(link, tell),
            realm: request.realm().name().clone(),
            asked_at: Instant::now(),
            deadline: self.deadline(Duration::ZERO),
            step: self.shared.step(BackendRequest::Open, opening.as_ref()),
        };
        hand_over(&self.shared, queue, asking);
        Box::pin(async move {
            told.await
                .unwrap_or_else(|_| unavailable(CallError::ShuttingDown))
        })
    }

    fn opened(&self, session: &SessionRef) {
        let link = {
            let visitors = self.shared.visitors.lock();
            visitors.get(&session.id()).map(|it| Arc::clone(&it.link))
        };
        if let Some(link) = link {
            link.opened(session);
        }
    }

    fn close(&self, session: SessionId, end: &SessionEnd) {
        let Some(visitor) = self.shared.visitors.lock().remove(&session) else {
            return;
        };
        let key = visitor.link.key;
        // After the end there is nobody to tell.
        let _ = self.queue(key).push(Job::Close {
            key,
            code: end.code,
            text: end.text.clone(),
        });
    }

    fn may(&self, session: &SessionRef, ask: &Ask) -> Later<Result<(), Denial>> {
        let key = self.key(session);
        let queue = self.queue(key);
        let (request, hook, room, event, args) = match ask {
            Ask::Join(room) => (BackendRequest::Join, "join", room, "", ListText::default()),
            Ask::Publish { room, event, args } => (
                BackendRequest::Publish,
                "publish",
                room,
                event.as_str(),
                self.shared.mark.write(args),
            ),
        };
        if !self.has_room(queue, request) {
            return Box::pin(std::future::ready(Err(CallError::Overloaded.into())));
        }
        let (tell, told) = oneshot::channel();
        let asking = Asking {
            what: What::May {
                key,
                hook,
                room: room.as_str().to_owned(),
                event: event.to_owned(),
                args,
            },
            to: To::May(request, tell),
            realm: session.realm().name().clone(),
            asked_at: Instant::now(),
            deadline: self.deadline(Duration::ZERO),
            step: self.shared.step(request, session.trace()),
        };
        hand_over(&self.shared, queue, asking);
        Box::pin(async move {
            told.await
                .unwrap_or_else(|_| Err(CallError::ShuttingDown.into()))
        })
    }
}
