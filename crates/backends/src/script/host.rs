//! The functions that the JavaScript half of an engine calls.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use polyport_core::{
    Arg, Args, Command, Event, EventName, Hub, Json, Known, Millis, RealmName, RoomName, SessionId,
    trace::{self, TraceContext},
};
use prometheus::IntCounter;
use rquickjs::{
    ArrayBuffer, Ctx, Exception, Function, Object, Result, context::EvalOptions, prelude::Opt,
};
use serde::{Deserialize, Serialize};

use super::{
    engine::key_of,
    fetch::{self, Fetch, FetchRequest, RequestText},
    links::{Ending, Link, Message},
    marks::{Mark, MarkError},
    modules::{Folder, Stamp, is_module},
    questions::Question,
    queue::{Job, Queue},
    steps,
};
use crate::Node;

/// Lines that a script may log in a second.
const LINES_PER_SECOND: u32 = 100;

/// Counters that a script may have.
const MAX_COUNTERS: usize = 100;

/// Sessions or rooms in one listing.
const MAX_LISTED: usize = 10_000;

/// How long other servers have for their answers.
const SERVERS_ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What stands before a module's text in its first line.
const WRAPPER: &str = "(function(exports,require,module,__filename,__dirname){";

/// What an engine and its host functions share.
pub(crate) struct Host {
    pub(crate) name: Arc<str>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) node: Arc<Node>,
    pub(crate) folder: Folder,
    pub(crate) mark: Arc<Mark>,
    /// The engine's number among those of its thread.
    pub(crate) number: u32,
    pub(crate) queue: Arc<Queue>,
    pub(crate) fetch: Option<Arc<dyn Fetch>>,
    pub(crate) allowed: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) started: Instant,
    pub(crate) links: RefCell<HashMap<u32, Arc<Link>, FixedState>>,
    /// Sessions whose clients have heard already what is sent to them now.
    pub(crate) muted: RefCell<HashSet<u32, FixedState>>,
    /// The files that were read, and when they had been changed.
    pub(crate) files: RefCell<Vec<(String, Option<Stamp>)>>,
    /// Answers that came later, in order.
    pub(crate) settled: RefCell<Vec<(u32, String)>>,
    /// What is to end once what has been answered is out.
    pub(crate) ending: RefCell<Vec<(Arc<Link>, Ending)>>,
    /// The names that the sessions' apis have, by the number of their shape.
    pub(crate) shapes: RefCell<Vec<Arc<Names>>>,
    /// When the next timer is due, in milliseconds since the start.
    pub(crate) next_timer: Cell<f64>,
    /// The call that is to blame for what runs now; 0 is none.
    pub(crate) blamed: Cell<u32>,
    pub(crate) realm: RefCell<RealmName>,
    /// Where the calls that are kept in traces stand, as long as they are not answered.
    pub(crate) traces: RefCell<HashMap<u32, TraceContext, FixedState>>,
    pub(crate) counters: RefCell<HashMap<String, IntCounter>>,
    pub(crate) lines: LogBound,
}

/// The names of an api.
pub(crate) type Names = HashSet<Box<str>, FixedState>;

/// How many lines a script has logged in this second.
#[derive(Default)]
pub(crate) struct LogBound {
    second: Cell<u64>,
    lines: AtomicU32,
}

impl LogBound {
    /// Whether one more line may be written; the last one says that others are left out.
    fn admits(&self, second: u64) -> bool {
        if self.second.replace(second) != second {
            let before = self.lines.swap(0, Ordering::Relaxed);
            if before > LINES_PER_SECOND {
                let left_out = before - LINES_PER_SECOND;
                tracing::warn!(target: "polyport_backends::script", left_out, "the script logs too much");
            }
        }
        self.lines.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND
    }
}

#[derive(Deserialize)]
struct Filter {
    room: Option<String>,
    user: Option<String>,
    protocol: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    id: SessionId,
    protocol: &'static str,
    listener: String,
    user: Option<String>,
    rooms: Vec<RoomName>,
    peer: String,
}

impl Host {
    /// Milliseconds since the engine started.
    pub(crate) fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64() * 1000.0
    }

    pub(crate) fn log(&self, level: &str, text: &str) {
        if !self.lines.admits(self.started.elapsed().as_secs()) {
            return;
        }
        let text = unwrapped(text);
        let backend = &*self.name;
        let write = || match level {
            "error" => tracing::error!(target: "polyport_backends::script", backend, "{text}"),
            "warn" => tracing::warn!(target: "polyport_backends::script", backend, "{text}"),
            "info" => tracing::info!(target: "polyport_backends::script", backend, "{text}"),
            _ => tracing::debug!(target: "polyport_backends::script", backend, "{text}"),
        };
        trace::within(self.trace().as_ref(), write);
    }

    /// Reads a file of the script, and remembers it.
    pub(crate) fn read(&self, file: &str) -> std::result::Result<String, String> {
        let stamp = self.folder.stamp(file);
        self.files.borrow_mut().push((file.to_owned(), stamp));
        self.folder.read(file)
    }

    /// Whether a file has changed since this was asked last.
    pub(crate) fn has_changed(&self) -> bool {
        let mut has_changed = false;
        for (file, known) in &mut *self.files.borrow_mut() {
            let now = self.folder.stamp(file);
            has_changed |= std::mem::replace(known, now) != now;
        }
        has_changed
    }

    /// The session that hears what is sent to it now.
    fn listening(&self, key: u32) -> Option<Arc<Link>> {
        if self.muted.borrow().contains(&key) {
            return None;
        }
        self.links.borrow().get(&key).cloned()
    }

    fn emit(&self, ctx: &Ctx<'_>, key: u32, name: &str, data: &str) -> Result<()> {
        let Some(link) = self.listening(key) else {
            return Ok(());
        };
        let event = Event::new(event_name(ctx, name)?, json(ctx, data)?);
        send(ctx, &link, event, data.len(), None)
    }

    fn emit_list(&self, ctx: &Ctx<'_>, key: u32, name: &str, list: &str) -> Result<()> {
        let Some(link) = self.listening(key) else {
            return Ok(());
        };
        let event = self.event(ctx, name, list)?;
        send(ctx, &link, event, list.len(), None)
    }

    fn ask(&self, ctx: &Ctx<'_>, key: u32, number: f64, name: &str, list: &str) -> Result<()> {
        let Some(link) = self.listening(key) else {
            let text = "there is no client to ask: its session has ended, or the script is being loaded anew";
            return Err(Exception::throw_message(ctx, text));
        };
        let event = self.event(ctx, name, list)?;
        let realm = link.request.realm().name().clone();
        let question = Question::new(Arc::clone(&self.queue), self.number, number, realm);
        send(ctx, &link, event, list.len(), Some(question))
    }

    /// Tells something to the other servers of the realm; the question gets a list of what they answer, and whether that
    /// is all.
    fn ask_servers(&self, ctx: &Ctx<'_>, number: f64, name: &str, list: &str) -> Result<()> {
        let event = self.event(ctx, name, list)?;
        let realm = self.realm.borrow().clone();
        let queue = Arc::clone(&self.queue);
        let question = Question::new(queue, self.number, number, realm.clone());
        let done = Box::new(|answered: Option<Known<Vec<Json>>>| match answered {
            Some(Known { value, is_complete }) => {
                let parts = [Json::encode(&value), Json::encode(&is_complete)];
                question.settle(Ok(parts.map(Arg::Json).into_iter().collect()));
            }
            None => question.fail("the other servers are out of reach"),
        });
        let limit = SERVERS_ANSWER_WITHIN;
        self.hub
            .ask_servers(&realm, event.name, event.args, limit, done);
        Ok(())
    }

    fn event(&self, ctx: &Ctx<'_>, name: &str, list: &str) -> Result<Event> {
        let mut event = Event::new(event_name(ctx, name)?, Json::NULL);
        event.args = self
            .mark
            .read(list)
            .map_err(|error| wrong_mark(ctx, error))?;
        Ok(event)
    }

    fn end(&self, key: u32, ending: Ending) {
        let link = self.links.borrow().get(&key).cloned();
        let ending = link.map(|link| (link, ending));
        self.ending.borrow_mut().extend(ending);
    }

    fn command(&self, ctx: &Ctx<'_>, text: &str) -> Result<f64> {
        let mut command: Command = serde_json::from_str(text)
            .map_err(|error| Exception::throw_type(ctx, &error.to_string()))?;
        if let Command::Publish(publish) = &mut command
            && self.mark.is_in(text)
        {
            let marked = std::mem::take(&mut publish.said.args);
            publish.said.args = self.read_all(ctx, &marked)?;
        }
        let trace = self.trace();
        let execute = || self.hub.execute(&self.realm.borrow(), &command);
        let done = trace::within(trace.as_ref(), execute)
            .map_err(|error| Exception::throw_message(ctx, &error.to_string()))?;
        Ok(count(done.sessions))
    }

    fn read_all(&self, ctx: &Ctx<'_>, marked: &[Arg]) -> Result<Args> {
        let read = |arg: &Arg| match arg {
            Arg::Json(json) => self.mark.read_one(json.as_str()),
            other => Ok(other.clone()),
        };
        let args: std::result::Result<Args, MarkError> = marked.iter().map(read).collect();
        args.map_err(|error| wrong_mark(ctx, error))
    }

    fn sessions(&self, ctx: &Ctx<'_>, filter: &str) -> Result<String> {
        let filter: Filter = serde_json::from_str(filter)
            .map_err(|error| Exception::throw_type(ctx, &error.to_string()))?;
        let room = filter.room.as_deref().map(|room| room_name(ctx, room));
        let room = room.transpose()?;
        let realm = self.realm.borrow();
        let found = self.hub.sessions(|session| {
            let is_here = session.realm().name() == &*realm;
            let of_protocol = filter
                .protocol
                .as_deref()
                .is_none_or(|wanted| session.listener().protocol() == wanted);
            is_here && of_protocol
        });
        let listed: Vec<Listed> = found
            .iter()
            .filter(|session| room.as_ref().is_none_or(|room| session.is_in(room)))
            .map(|session| Listed {
                id: session.id(),
                protocol: session.listener().protocol(),
                listener: session.listener().name().to_owned(),
                user: session
                    .identity()
                    .and_then(|identity| identity.user.as_deref().map(str::to_owned)),
                rooms: session.rooms(),
                peer: session.peer().to_string(),
            })
            .filter(|listed| filter.user.is_none() || filter.user == listed.user)
            .take(MAX_LISTED)
            .collect();
        Ok(Json::encode(&listed).as_str().to_owned())
    }

    fn presence(&self, ctx: &Ctx<'_>, room: &str) -> Result<String> {
        let room = room_name(ctx, room)?;
        let members = self.hub.realm(&self.realm.borrow()).members(&room);
        let ids: Vec<SessionId> = members.iter().take(MAX_LISTED).map(|it| it.id).collect();
        Ok(Json::encode(&ids).as_str().to_owned())
    }

    fn rooms(&self) -> String {
        let mut rooms = self.hub.realm(&self.realm.borrow()).rooms(|_| true);
        rooms.truncate(MAX_LISTED);
        let mut names: Vec<RoomName> = rooms.into_iter().map(|room| room.name).collect();
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        Json::encode(&names).as_str().to_owned()
    }

    fn cache_save(&self, ctx: &Ctx<'_>, key: &str, value: &str, ttl: f64) -> Result<()> {
        let ttl = (ttl >= 0.0).then(|| Duration::try_from_secs_f64(ttl / 1000.0));
        let ttl = ttl
            .transpose()
            .map_err(|_| Exception::throw_range(ctx, "cache.set: the time to live is too long"))?;
        let value = json(ctx, value)?;
        self.node
            .cache
            .save(key, value, ttl, Millis::now())
            .map_err(|_| Exception::throw_range(ctx, "the cache is full"))
    }

    fn count(&self, ctx: &Ctx<'_>, name: &str, by: f64) -> Result<()> {
        if !(0.0..=1e15).contains(&by) || by.fract() != 0.0 {
            return Err(Exception::throw_range(
                ctx,
                "a counter grows by whole numbers",
            ));
        }
        let mut counters = self.counters.borrow_mut();
        if !counters.contains_key(name) {
            if counters.len() >= MAX_COUNTERS {
                let text = format!("a script has at most {MAX_COUNTERS} counters");
                return Err(Exception::throw_range(ctx, &text));
            }
            let made = self.hub.metrics().script_counter(&self.name, name);
            counters.insert(name.to_owned(), made);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked above"
        )]
        counters[name].inc_by(by as u64);
        Ok(())
    }

    fn fetch(&self, ctx: &Ctx<'_>, id: u32, text: &str) -> Result<()> {
        let refuse = |text: &str| Exception::throw_type(ctx, text);
        let request: RequestText =
            serde_json::from_str(text).map_err(|error| refuse(&format!("fetch: {error}")))?;
        fetch::check(&request.url, &self.allowed).map_err(|error| refuse(&error))?;
        if request.body.len() > fetch::MAX_BODY {
            return Err(refuse("fetch: the body is larger than 1 MiB"));
        }
        let Some(fetch) = &self.fetch else {
            return Err(refuse("fetch: there is nothing here that sends requests"));
        };
        let queue = Arc::clone(&self.queue);
        let engine = self.number;
        let mut headers = request.headers;
        let step = self.fetch_step(&mut headers);
        let request = FetchRequest {
            method: request.method,
            url: request.url,
            headers,
            body: request.body.into_bytes(),
            timeout: self.timeout,
            max_body: fetch::MAX_BODY,
        };
        let done = move |result| {
            steps::note_fetched(step, &result);
            // After the end nobody waits for it.
            let _ = queue.push(Job::Fetched { engine, id, result });
        };
        fetch.start(request, Box::new(done));
        Ok(())
    }

    /// Makes the function of a CommonJS module. Its lines and columns are those of the file, but for the first line.
    fn compile<'js>(ctx: &Ctx<'js>, source: &str, file: &str) -> Result<Function<'js>> {
        if is_module(file, source) {
            let text = format!("{file} is a module with import and export: import it");
            return Err(Exception::throw_message(ctx, &text));
        }
        let shebang = if source.starts_with("#!") { "//" } else { "" };
        let mut options = EvalOptions::default();
        options.strict = false;
        options.filename = Some(file.to_owned());
        ctx.eval_with_options(format!("{WRAPPER}{shebang}{source}\n}})"), options)
    }

    /// The object with all functions.
    pub(crate) fn object<'js>(self: &Rc<Self>, ctx: &Ctx<'js>) -> Result<Object<'js>> {
        let object = Object::new(ctx.clone())?;
        object.set("mark", self.mark.as_str())?;
        macro_rules! function {
            ($name:literal, |$host:ident, $ctx:ident $(, $arg:ident: $kind:ty)*| -> $result:ty $body:block) => {{
                let $host = Rc::clone(self);
                let function = move |$ctx: Ctx<'js> $(, $arg: $kind)*| -> Result<$result> { let _ = &$ctx; $body };
                object.set($name, Function::new(ctx.clone(), function)?)?;
            }};
        }
        function!("settle", |host, ctx, id: u32, text: Opt<String>| -> () {
            host.settled
                .borrow_mut()
                .push((id, text.0.unwrap_or_else(|| "+null".to_owned())));
            Ok(())
        });
        function!("emit", |host,
                           ctx,
                           key: f64,
                           name: String,
                           data: String|
         -> () {
            host.emit(&ctx, key_of(key), &name, &data)
        });
        function!("emitList", |host,
                               ctx,
                               key: f64,
                               name: String,
                               list: String|
         -> () {
            host.emit_list(&ctx, key_of(key), &name, &list)
        });
        function!("ask", |host,
                          ctx,
                          key: f64,
                          number: f64,
                          name: String,
                          list: String|
         -> () {
            host.ask(&ctx, key_of(key), number, &name, &list)
        });
        function!("askServers", |host,
                                 ctx,
                                 number: f64,
                                 name: String,
                                 list: String|
         -> () {
            host.ask_servers(&ctx, number, &name, &list)
        });
        function!("close", |host, ctx, key: f64| -> () {
            host.end(key_of(key), Ending::Connection);
            Ok(())
        });
        function!("leave", |host, ctx, key: f64| -> () {
            host.end(key_of(key), Ending::Session);
            Ok(())
        });
        function!("log", |host, ctx, level: String, text: String| -> () {
            host.log(&level, &text);
            Ok(())
        });
        function!("now", |host, ctx| -> f64 { Ok(host.now()) });
        function!("timer", |host, ctx, due: f64| -> () {
            host.next_timer.set(host.next_timer.get().min(due));
            Ok(())
        });
        function!("blame", |host, ctx, id: u32| -> () {
            host.blamed.set(id);
            Ok(())
        });
        function!("shape", |host, ctx, number: f64, names: String| -> () {
            let names: Vec<Box<str>> = serde_json::from_str(&names)
                .map_err(|error| Exception::throw_message(&ctx, &error.to_string()))?;
            let _ = number;
            host.shapes
                .borrow_mut()
                .push(Arc::new(names.into_iter().collect()));
            Ok(())
        });
        function!("place", |host, ctx, stack: String| -> String {
            let _ = &host;
            Ok(place(&stack).unwrap_or_else(|| "the script".to_owned()))
        });
        function!("resolve", |host,
                              ctx,
                              from: String,
                              name: String|
         -> String {
            host.folder
                .resolve(&from, &name)
                .map_err(|error| Exception::throw_message(&ctx, &error))
        });
        function!("read", |host, ctx, file: String| -> String {
            host.read(&file)
                .map_err(|error| Exception::throw_message(&ctx, &error))
        });
        function!("compile", |host,
                              ctx,
                              source: String,
                              file: String|
         -> Function<'js> {
            let _ = &host;
            Self::compile(&ctx, &source, &file)
        });
        function!("fetch", |host, ctx, id: u32, text: String| -> () {
            host.fetch(&ctx, id, &text)
        });
        function!("encode", |host, ctx, text: String| -> ArrayBuffer<'js> {
            let _ = &host;
            ArrayBuffer::new(ctx.clone(), text.into_bytes())
        });
        function!("command", |host, ctx, text: String| -> f64 {
            host.command(&ctx, &text)
        });
        function!("sessions", |host, ctx, filter: String| -> String {
            host.sessions(&ctx, &filter)
        });
        function!("presence", |host, ctx, room: String| -> String {
            host.presence(&ctx, &room)
        });
        function!("rooms", |host, ctx| -> String { Ok(host.rooms()) });
        function!("count", |host, ctx, name: String, by: f64| -> () {
            host.count(&ctx, &name, by)
        });
        function!("cacheLoad", |host, ctx, key: String| -> Option<String> {
            let found = host.node.cache.load(&key, Millis::now());
            Ok(found.map(|found| found.value.as_str().to_owned()))
        });
        function!("cacheSave", |host,
                                ctx,
                                key: String,
                                value: String,
                                ttl: f64|
         -> () {
            host.cache_save(&ctx, &key, &value, ttl)
        });
        function!("cacheRemove", |host, ctx, key: String| -> bool {
            Ok(host.node.cache.remove(&key, Millis::now()))
        });
        Ok(object)
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are never 2^53 sessions")]
fn count(sessions: usize) -> f64 {
    sessions as f64
}

fn json(ctx: &Ctx<'_>, text: &str) -> Result<Json> {
    Json::parse(text).map_err(|error| Exception::throw_type(ctx, &error.to_string()))
}

fn event_name(ctx: &Ctx<'_>, name: &str) -> Result<EventName> {
    EventName::new(name)
        .map_err(|error| Exception::throw_type(ctx, &format!("the name of an event: {error}")))
}

fn send(
    ctx: &Ctx<'_>,
    link: &Link,
    event: Event,
    bytes: usize,
    question: Option<Question>,
) -> Result<()> {
    link.tell(Message { event, question }, bytes).map_err(|_| {
        Exception::throw_range(ctx, "too much is sent to a session that is not open yet")
    })
}

fn wrong_mark(ctx: &Ctx<'_>, error: MarkError) -> rquickjs::Error {
    Exception::throw_type(ctx, &error.to_string())
}

fn room_name(ctx: &Ctx<'_>, room: &str) -> Result<RoomName> {
    RoomName::new(room)
        .map_err(|error| Exception::throw_type(ctx, &format!("the name of a room: {error}")))
}

/// The first `file:line:column` of a stack.
pub(crate) fn place(stack: &str) -> Option<String> {
    let first = stack
        .lines()
        .map(|line| line.trim().trim_start_matches("at "))
        .find(|line| !line.contains("polyport:") && !line.contains("(native)"))?;
    let place = match first.rsplit_once('(') {
        Some((_, place)) => place.trim_end_matches(')'),
        None => first,
    };
    place
        .contains(':')
        .then(|| unwrapped(&format!("{place}\n")).trim_end().to_owned())
}

/// A text with places of files, in whose first lines the wrapper's columns are taken away.
fn unwrapped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(":1:") {
        let (before, behind) = rest.split_at(at + 3);
        result.push_str(before);
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        let (column, behind) = behind.split_at(digits);
        let is_script = [".js:1:", ".cjs:1:"]
            .iter()
            .any(|end| before.ends_with(end));
        match column.parse::<usize>() {
            Ok(column) if is_script && column >= WRAPPER.len() => {
                result.push_str(&(column - WRAPPER.len()).max(1).to_string());
            }
            _ => result.push_str(column),
        }
        rest = behind;
    }
    result.push_str(rest);
    result
}
