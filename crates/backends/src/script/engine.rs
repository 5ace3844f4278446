//! One JavaScript engine with a script in it, and the limits of what runs there.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use polyport_core::{ActionInfo, Args, InputInfo, Json};
use rquickjs::{
    ArrayBuffer, Context, Ctx, Error, Function, Module, Object, Persistent, Runtime, Value,
    context::EvalOptions, module::Declared, promise::PromiseState,
};
use serde::Deserialize;

use super::{
    ScriptError, ScriptOptions,
    fetch::FetchResponse,
    host::{Host, place},
    marks::ListText,
    modules::{Imports, is_module},
    questions::NoAnswer,
    queue::What,
};

/// Stack of the JavaScript that runs; the thread has more.
pub(crate) const STACK: usize = 1 << 20;

/// A session's key as JavaScript has it. The engine's `Map` hashes a whole number by the upper half of its bits as a double,
/// so that a thousand small ones share a bucket; above 2^52 they differ in the lower half.
const FIRST_KEY: f64 = 4_503_599_627_370_496.0;

fn js_key(key: u32) -> f64 {
    FIRST_KEY + f64::from(key)
}

/// The key that a number of JavaScript's stands for; 0, which is nobody's, if none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is no key is turned into some other number, or nobody's"
)]
pub(crate) fn key_of(key: f64) -> u32 {
    (key - FIRST_KEY) as u32
}

/// A limit that JavaScript ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Time,
    /// It goes on without end although it pauses: the engine cannot be used any more.
    Stuck,
    Memory,
}

/// What a script turned out to have when it was loaded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    /// It makes sessions.
    pub(crate) sessions: bool,
    pub(crate) join: bool,
    pub(crate) publish: bool,
    pub(crate) actions: Vec<ActionInfo>,
}

#[derive(Deserialize)]
struct LoadedText {
    sessions: bool,
    join: bool,
    publish: bool,
    actions: Vec<ActionText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionText {
    name: String,
    version: u32,
    description: String,
    output_example: Json,
    inputs: Vec<InputText>,
}

#[derive(Deserialize)]
struct InputText {
    name: String,
    required: bool,
    default: Option<Json>,
    has_formatter: bool,
    has_validator: bool,
}

type Entry = Persistent<Function<'static>>;

/// The functions of `js/runtime.js`.
struct Entries {
    open: Entry,
    call: Entry,
    act: Entry,
    close: Entry,
    may: Entry,
    fire: Entry,
    fetched: Entry,
    answered: Entry,
}

/// An engine. Stays on its thread.
pub(crate) struct Engine {
    // Before the context and the runtime, which must outlive it.
    entries: Entries,
    context: Context,
    runtime: Runtime,
    clock: Rc<Clock>,
    pub(crate) host: Rc<Host>,
    time: Duration,
    memory: usize,
    pub(crate) loaded: Loaded,
}

/// Until when JavaScript may run.
#[derive(Default)]
struct Clock {
    until: Cell<Option<Instant>>,
    has_interrupted: Cell<bool>,
}

impl Engine {
    /// Makes an engine and runs the script in it.
    pub(crate) fn load(
        options: &ScriptOptions,
        host: Rc<Host>,
        file: &str,
    ) -> Result<Self, ScriptError> {
        let failed = |error: Error| ScriptError::Engine(error.to_string());
        let runtime = Runtime::new().map_err(failed)?;
        runtime.set_memory_limit(options.memory);
        runtime.set_max_stack_size(STACK);
        let clock = Rc::new(Clock::default());
        let watched = Rc::clone(&clock);
        runtime.set_interrupt_handler(Some(Box::new(move || {
            let is_over = watched.until.get().is_some_and(|at| Instant::now() >= at);
            if is_over {
                watched.has_interrupted.set(true);
            }
            is_over
        })));
        let imports = || Imports(Rc::clone(&host));
        runtime.set_loader(imports(), imports());
        let context = Context::full(&runtime).map_err(failed)?;
        // Starting may take longer than a call: modules are read, tables are made.
        clock.until.set(Some(
            Instant::now() + options.time.max(Duration::from_secs(5)),
        ));
        let (entries, loaded) = context.with(|ctx| load(&ctx, &runtime, &host, file))?;
        clock.until.set(None);
        Ok(Self {
            entries,
            context,
            runtime,
            clock,
            host,
            time: options.time,
            memory: options.memory,
            loaded,
        })
    }

    /// Asks the script; the answer, or nothing if it comes later.
    pub(crate) fn ask(&self, id: u32, what: &What) -> Result<Option<String>, Limit> {
        self.enter(id, |ctx, entries| match what {
            What::Method { key, name, args } => {
                let entry = entries.call.clone().restore(ctx)?;
                let (list, has_binary) = (args.text.as_str(), args.has_binary);
                entry.call((id, js_key(*key), name.as_str(), list, has_binary))
            }
            What::Action {
                key,
                name,
                version,
                args,
                session,
            } => {
                let entry = entries.act.clone().restore(ctx)?;
                let (version, list) = (version.as_str(), args.text.as_str());
                let (name, session) = (name.as_str(), session.as_str());
                let key = js_key(*key);
                entry.call((id, key, name, version, list, args.has_binary, session))
            }
            What::Open { link, text } => {
                let entry = entries.open.clone().restore(ctx)?;
                entry.call((id, js_key(link.key), text.as_str()))
            }
            What::May {
                key,
                hook,
                room,
                event,
                args,
            } => {
                let entry = entries.may.clone().restore(ctx)?;
                let (room, event, list) = (room.as_str(), event.as_str(), args.text.as_str());
                let key = js_key(*key);
                entry.call((id, key, *hook, room, event, list, args.has_binary))
            }
        })
    }

    /// Tells the script that a session has ended.
    pub(crate) fn close(&self, key: u32, code: u16, text: &str) -> Result<(), Limit> {
        self.enter(0, |ctx, entries| {
            let entry = entries.close.clone().restore(ctx)?;
            entry.call::<_, ()>((js_key(key), code, text))?;
            Ok(None)
        })
        .map(drop)
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let due = self.host.next_timer.get();
        due.is_finite()
            .then(|| self.host.started + Duration::from_secs_f64(due.max(0.0) / 1000.0))
    }

    /// Runs one timer, if one is due.
    pub(crate) fn fire(&self) -> Result<(), Limit> {
        let now = self.host.now();
        if self.host.next_timer.get() > now {
            return Ok(());
        }
        self.host.next_timer.set(f64::INFINITY);
        self.enter(0, |ctx, entries| {
            let entry = entries.fire.clone().restore(ctx)?;
            entry.call::<_, ()>((now,))?;
            Ok(None)
        })
        .map(drop)
    }

    /// Tells the script what came of a request.
    pub(crate) fn fetched(
        &self,
        id: u32,
        result: Result<FetchResponse, String>,
    ) -> Result<(), Limit> {
        self.enter(0, |ctx, entries| {
            let entry = entries.fetched.clone().restore(ctx)?;
            match result {
                Ok(response) => {
                    let headers = Json::encode(&response.headers);
                    let text = String::from_utf8_lossy(&response.body).into_owned();
                    let body = ArrayBuffer::new(ctx.clone(), response.body)?;
                    let (status, headers) = (response.status, headers.as_str());
                    entry.call::<_, ()>((id, "", status, headers, body, text))?;
                }
                Err(error) => entry.call::<_, ()>((id, error))?,
            }
            Ok(None)
        })
        .map(drop)
    }

    /// Tells the script what came of a question to a client.
    pub(crate) fn answered(
        &self,
        number: f64,
        outcome: Result<Args, NoAnswer>,
    ) -> Result<(), Limit> {
        // An error that is a value has a mark in front.
        let (error, list) = match outcome {
            Ok(args) => (String::new(), self.host.mark.write(&args)),
            Err(NoAnswer::Text(text)) => (text.to_owned(), ListText::default()),
            Err(NoAnswer::Error(error)) => (format!("!{}", error.as_str()), ListText::default()),
        };
        self.enter(0, |ctx, entries| {
            let entry = entries.answered.clone().restore(ctx)?;
            entry.call::<_, ()>((number, error, list.text, list.has_binary))?;
            Ok(None)
        })
        .map(drop)
    }

    /// Whether most of the memory is in use even after collecting what nobody holds.
    pub(crate) fn is_full(&self) -> bool {
        self.runtime.run_gc();
        let used = u64::try_from(self.runtime.memory_usage().malloc_size).unwrap_or(0);
        used > self.memory as u64 / 2
    }

    fn enter(
        &self,
        id: u32,
        work: impl FnOnce(&Ctx<'_>, &Entries) -> rquickjs::Result<Option<String>>,
    ) -> Result<Option<String>, Limit> {
        self.host.blamed.set(id);
        self.clock.has_interrupted.set(false);
        let until = Instant::now() + self.time;
        self.clock.until.set(Some(until));
        let mut result = self
            .context
            .with(|ctx| work(&ctx, &self.entries).map_err(|error| self.caught(&ctx, &error)));
        // What the promises have to do, to its end.
        while self.runtime.is_job_pending() {
            if self.clock.has_interrupted.get() {
                result = Err(Some(Limit::Time));
                self.clock.has_interrupted.set(false);
                self.clock.until.set(Some(Instant::now() + self.time));
            }
            if self
                .clock
                .until
                .get()
                .is_some_and(|at| Instant::now() >= at)
            {
                return Err(Limit::Stuck);
            }
            if let Err(exception) = self.runtime.execute_pending_job() {
                let caught = exception.0.with(|ctx| self.caught(&ctx, &Error::Exception));
                result = Err(caught);
            }
        }
        self.clock.until.set(None);
        if self.clock.has_interrupted.get() {
            return Err(Limit::Time);
        }
        match result {
            Ok(answer) => Ok(answer),
            Err(Some(limit)) => Err(limit),
            Err(None) => Ok(None),
        }
    }

    /// Which limit an exception speaks of. One of the script's own, in a timer, is logged.
    fn caught(&self, ctx: &Ctx<'_>, error: &Error) -> Option<Limit> {
        let text = describe(ctx, error);
        if self.clock.has_interrupted.get() {
            return Some(Limit::Time);
        }
        if text.contains("out of memory") {
            return Some(Limit::Memory);
        }
        self.host.log("error", &text);
        None
    }
}

fn load(
    ctx: &Ctx<'_>,
    runtime: &Runtime,
    host: &Rc<Host>,
    file: &str,
) -> Result<(Entries, Loaded), ScriptError> {
    let failed = |error: Error| ScriptError::Load(describe(ctx, &error));
    let runtime_js = || -> rquickjs::Result<Object<'_>> {
        let object = host.object(ctx)?;
        let parts = Object::new(ctx.clone())?;
        parts.set(
            "actions",
            internal(ctx, "actions", include_str!("js/actions.js"))?,
        )?;
        parts.set(
            "polyport",
            internal(ctx, "polyport", include_str!("js/polyport.js"))?,
        )?;
        object.set("parts", parts)?;
        internal(ctx, "runtime", include_str!("js/runtime.js"))?.call((object,))
    };
    let functions = runtime_js().map_err(failed)?;
    let source = host.read(file).map_err(ScriptError::File)?;
    let text: String = if is_module(file, &source) {
        let run = || -> rquickjs::Result<_> {
            let module: Module<'_, Declared> = Module::declare(ctx.clone(), file, source)?;
            module.eval()
        };
        let (module, promise) = run().map_err(failed)?;
        while promise.state() == PromiseState::Pending && runtime.is_job_pending() {
            ctx.execute_pending_job();
        }
        match promise.result::<Value<'_>>() {
            Some(result) => result.map(drop).map_err(failed)?,
            None => {
                return Err(ScriptError::Load(format!(
                    "{file}: waits for something while it is loaded"
                )));
            }
        }
        let namespace = module.namespace().map_err(failed)?;
        let loaded: Function<'_> = functions.get("loaded").map_err(failed)?;
        loaded.call((namespace,)).map_err(failed)?
    } else {
        let main: Function<'_> = functions.get("main").map_err(failed)?;
        main.call((file,)).map_err(failed)?
    };
    let found: LoadedText = serde_json::from_str(&text)
        .map_err(|error| ScriptError::Load(format!("{file}: what it exports: {error}")))?;
    let entry = |name: &str| -> Result<Entry, ScriptError> {
        let function: Function<'_> = functions.get(name).map_err(failed)?;
        Ok(Persistent::save(ctx, function))
    };
    let entries = Entries {
        open: entry("open")?,
        call: entry("call")?,
        act: entry("act")?,
        close: entry("close")?,
        may: entry("may")?,
        fire: entry("fire")?,
        fetched: entry("fetched")?,
        answered: entry("answered")?,
    };
    Ok((entries, found.into()))
}

impl From<LoadedText> for Loaded {
    fn from(text: LoadedText) -> Self {
        let input = |input: InputText| InputInfo {
            name: input.name,
            required: input.required,
            default: input.default,
            has_formatter: input.has_formatter,
            has_validator: input.has_validator,
        };
        let action = |action: ActionText| ActionInfo {
            name: action.name,
            version: action.version,
            description: action.description,
            inputs: action.inputs.into_iter().map(input).collect(),
            output_example: action.output_example,
        };
        Self {
            sessions: text.sessions,
            join: text.join,
            publish: text.publish,
            actions: text.actions.into_iter().map(action).collect(),
        }
    }
}

fn internal<'js>(ctx: &Ctx<'js>, name: &str, source: &str) -> rquickjs::Result<Function<'js>> {
    let mut options = EvalOptions::default();
    options.filename = Some(format!("polyport:{name}"));
    ctx.eval_with_options(source, options)
}

/// What is known of an error: `file:line:column: message`.
fn describe(ctx: &Ctx<'_>, error: &Error) -> String {
    if !matches!(error, Error::Exception) {
        return error.to_string();
    }
    let thrown = ctx.catch();
    let Some(exception) = thrown.as_exception() else {
        return match thrown.as_string().and_then(|text| text.to_string().ok()) {
            Some(text) => text,
            None => format!("the script threw {}", thrown.type_name()),
        };
    };
    let message = exception.message().unwrap_or_default();
    match exception.stack().as_deref().and_then(place) {
        Some(place) => format!("{place}: {message}"),
        None => message,
    }
}
