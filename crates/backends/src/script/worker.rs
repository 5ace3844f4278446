//! The thread of an engine: takes what waits, asks the engine, and answers.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use polyport_core::{
    Accepted, BackendOutcome, CallError, Identity, Json, RealmName, RestartCause, trace::Span,
};
use serde::Deserialize;

use super::{
    Shared,
    engine::{Engine, Limit, Loaded},
    links::{Ending, Link},
    queue::{Asking, Job, Queue, To, What},
    verdict::{Verdict, answer, verdict},
};

/// Jobs, and timers, of one turn of the hub.
const PER_TURN: usize = 64;

/// How often the script's files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the thread works with.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    /// The last one is asked; those before it only finish what they were asked.
    engines: Vec<(u32, Engine)>,
    next_look: Option<Instant>,
    /// Sessions are being made anew: what fails then fails them, and no further engine is made for it at once.
    is_resuming: bool,
    pending: HashMap<u32, Pending, FixedState>,
    by_deadline: BTreeMap<(Instant, u32), ()>,
    next_id: u32,
}

pub(super) struct Pending {
    pub(super) to: To,
    /// The number of the engine that was asked.
    engine: u32,
    pub(super) asked_at: Instant,
    deadline: Instant,
    pub(super) step: Option<Span>,
}

/// What a script says of a session that it lets in.
#[derive(Deserialize)]
struct Opened {
    shape: usize,
    user: Option<String>,
    site: Option<String>,
    public: Option<Json>,
    ping: Option<f64>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, queue: Arc<Queue>, engine: Engine) -> Self {
        let next_look = shared.options.watch.then(|| Instant::now() + LOOK_EVERY);
        Self {
            shared,
            queue,
            engines: vec![(0, engine)],
            next_look,
            is_resuming: false,
            pending: HashMap::default(),
            by_deadline: BTreeMap::new(),
            next_id: 1,
        }
    }

    pub(crate) fn loaded(&self) -> &Loaded {
        &self.engine().loaded
    }

    fn engine(&self) -> &Engine {
        &self.engines.last().expect("one is always there").1
    }

    fn number(&self) -> u32 {
        self.engines.last().expect("one is always there").0
    }

    /// Works until it is stopped.
    pub(crate) fn run(mut self) {
        let hub = Arc::clone(&self.shared.hub);
        let mut jobs = Vec::with_capacity(PER_TURN);
        loop {
            let deadline = self.by_deadline.keys().next().map(|(at, _)| *at);
            let timers = self.engines.iter().filter_map(|(_, it)| it.next_timer());
            let until = timers.chain(deadline).chain(self.next_look).min();
            self.queue.take(PER_TURN, until, &mut jobs);
            let is_going_on = hub.engine_turn(|| {
                let is_going_on = jobs.drain(..).all(|job| self.job(job));
                self.timers();
                self.deadlines();
                self.look();
                self.retire();
                is_going_on
            });
            if !is_going_on {
                break;
            }
        }
        let metrics = &self.shared.metrics;
        hub.engine_turn(|| {
            for (_, pending) in self.pending.drain() {
                metrics.in_flight.dec();
                answer(metrics, pending, Verdict::Error(CallError::ShuttingDown));
            }
        });
    }

    fn job(&mut self, job: Job) -> bool {
        match job {
            Job::Ask(asking) => self.ask(*asking),
            Job::Close { key, code, text } => {
                let result = self.engine().close(key, code, &text);
                self.engine().host.links.borrow_mut().remove(&key);
                self.after(self.number(), 0, result.map(|()| None));
            }
            Job::Fetched { engine, id, result } => {
                if let Some(found) = self.find(engine) {
                    let result = found.fetched(id, result);
                    self.after(engine, 0, result.map(|()| None));
                }
            }
            Job::Answered {
                engine,
                number,
                realm,
                outcome,
            } => {
                if let Some(found) = self.find(engine) {
                    found.host.realm.replace(realm);
                    let result = found.answered(number, outcome);
                    self.after(engine, 0, result.map(|()| None));
                }
            }
            Job::Reload => self.reload(),
            Job::Stop => return false,
        }
        true
    }

    fn ask(&mut self, asking: Asking) {
        self.shared.metrics.waiting.dec();
        self.shared.metrics.in_flight.inc();
        let id = self.next_id;
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        let pending = Pending {
            to: asking.to,
            engine: self.number(),
            asked_at: asking.asked_at,
            deadline: asking.deadline,
            step: asking.step,
        };
        if Instant::now() >= asking.deadline {
            return self.give(id, pending, Verdict::Error(CallError::Deadline));
        }
        let host = &self.engine().host;
        if let What::Open { link, .. } = &asking.what {
            host.links.borrow_mut().insert(link.key, Arc::clone(link));
        }
        host.realm.replace(asking.realm);
        if let Some(step) = &pending.step {
            host.traces.borrow_mut().insert(id, step.context().clone());
        }
        let result = self.engine().ask(id, &asking.what);
        let is_answered = matches!(&result, Ok(Some(text)) if text != "M");
        if is_answered {
            // Most are: nobody needs to find it by its number or its deadline.
            let text = result.ok().flatten().unwrap_or_default();
            self.give(id, pending, verdict(&self.shared.mark, &text));
            return self.after(self.number(), id, Ok(None));
        }
        self.by_deadline.insert((pending.deadline, id), ());
        self.pending.insert(id, pending);
        self.after(self.number(), id, result);
    }

    /// Gives the answers that a run of an engine has brought, then ends what it ended.
    fn after(&mut self, number: u32, id: u32, result: Result<Option<String>, Limit>) {
        let Some(host) = self.find(number).map(|engine| Rc::clone(&engine.host)) else {
            return;
        };
        let mut is_out_of_memory = false;
        let mut is_stuck = false;
        match result {
            Ok(Some(text)) => {
                is_out_of_memory |= text == "M";
                self.complete(id, verdict(&host.mark, &text));
            }
            Ok(None) => {}
            Err(limit) => {
                is_out_of_memory = limit == Limit::Memory;
                is_stuck = limit == Limit::Stuck;
                self.complete(host.blamed.get(), Verdict::Limit(limit));
            }
        }
        let settled = std::mem::take(&mut *host.settled.borrow_mut());
        for (id, text) in settled {
            is_out_of_memory |= text == "M";
            self.complete(id, verdict(&host.mark, &text));
        }
        let ended = std::mem::take(&mut *host.ending.borrow_mut());
        for (link, ending) in ended {
            link.end(ending);
        }
        if self.is_resuming {
            return;
        }
        if is_stuck {
            self.replace(number, RestartCause::Stuck);
        } else if is_out_of_memory && self.find(number).is_some_and(Engine::is_full) {
            self.replace(number, RestartCause::Memory);
        }
    }

    /// A fresh engine, to be the next one.
    fn load(&self) -> Result<Engine, super::ScriptError> {
        self.shared.load(self.number().wrapping_add(1), &self.queue)
    }

    fn find(&self, number: u32) -> Option<&Engine> {
        let found = self.engines.iter().find(|(known, _)| *known == number);
        found.map(|(_, engine)| engine)
    }

    fn timers(&mut self) {
        let numbers: Vec<u32> = self.engines.iter().map(|(number, _)| *number).collect();
        for number in numbers {
            for _ in 0..PER_TURN {
                let now = Instant::now();
                let Some(engine) = self.find(number) else {
                    break;
                };
                if engine.next_timer().is_none_or(|due| due > now) {
                    break;
                }
                engine.host.realm.replace(default_realm());
                let result = engine.fire();
                self.after(number, 0, result.map(|()| None));
            }
        }
    }

    /// Loads the script anew if one of its files has changed.
    fn look(&mut self) {
        let now = Instant::now();
        if self.next_look.is_none_or(|at| at > now) {
            return;
        }
        self.next_look = Some(now + LOOK_EVERY);
        if self.engine().host.has_changed() {
            self.reload();
        }
    }

    /// Goes on with the script as it is now, if it can be loaded. What is in flight is finished by the engine before.
    fn reload(&mut self) {
        match self.load() {
            Ok(engine) => {
                tracing::info!(backend = &*self.shared.name, "script loaded anew");
                self.go_on_with(engine, RestartCause::Reload);
            }
            Err(error) => {
                tracing::error!(backend = &*self.shared.name, %error, "script not loaded anew, the one before goes on");
            }
        }
    }

    /// Makes an engine the one that is asked, with the sessions of the one before.
    fn go_on_with(&mut self, engine: Engine, cause: RestartCause) {
        let shared = Arc::clone(&self.shared);
        shared.metrics.restarted(cause);
        let links: Vec<Arc<Link>> = self
            .engine()
            .host
            .links
            .borrow()
            .values()
            .cloned()
            .collect();
        let loaded = Arc::new(engine.loaded.clone());
        let number = self.number().wrapping_add(1);
        self.engines.push((number, engine));
        shared.loaded.store(loaded);
        shared.generation.fetch_add(1, Ordering::Release);
        let now = Instant::now();
        self.is_resuming = true;
        for link in links {
            self.engine().host.muted.borrow_mut().insert(link.key);
            shared.metrics.waiting.inc();
            self.ask(Asking {
                what: What::Open {
                    text: super::request_text(&link.request, true),
                    link: Arc::clone(&link),
                },
                realm: link.request.realm().name().clone(),
                to: To::Resume(link),
                asked_at: now,
                deadline: now + shared.options.timeout,
                step: None,
            });
        }
        self.is_resuming = false;
    }

    /// Lets go of engines that have answered all they were asked.
    fn retire(&mut self) {
        if self.engines.len() > 1 {
            let current = self.number();
            let pending = &self.pending;
            self.engines.retain(|(number, _)| {
                *number == current || pending.values().any(|it| it.engine == *number)
            });
        }
    }

    fn deadlines(&mut self) {
        let now = Instant::now();
        while let Some((&(at, id), ())) = self.by_deadline.first_key_value() {
            if at > now {
                break;
            }
            self.complete(id, Verdict::Error(CallError::Deadline));
        }
    }

    fn complete(&mut self, id: u32, verdict: Verdict<'_>) {
        let Some(pending) = self.pending.remove(&id) else {
            return;
        };
        self.by_deadline.remove(&(pending.deadline, id));
        self.give(id, pending, verdict);
    }

    fn give(&self, id: u32, pending: Pending, verdict: Verdict<'_>) {
        let shared = Arc::clone(&self.shared);
        shared.metrics.in_flight.dec();
        if pending.step.is_some()
            && let Some(engine) = self.find(pending.engine)
        {
            engine.host.traces.borrow_mut().remove(&id);
        }
        let verdict = match verdict {
            Verdict::Limit(Limit::Time | Limit::Stuck) => {
                let time = shared.options.time.as_millis();
                Verdict::Over(
                    BackendOutcome::TimeLimit,
                    format!("the script ran longer than {time} ms"),
                )
            }
            Verdict::Limit(Limit::Memory) => {
                let mib = shared.options.memory >> 20;
                Verdict::Over(
                    BackendOutcome::MemoryLimit,
                    format!("the script used more than {mib} MiB of memory"),
                )
            }
            Verdict::Value(text) => match &pending.to {
                To::Open(link, _) | To::Resume(link) => self.opened(link, pending.engine, text),
                _ => Verdict::Value(text),
            },
            verdict => verdict,
        };
        if let To::Resume(link) = &pending.to {
            let host = &self.engine().host;
            host.muted.borrow_mut().remove(&link.key);
            if !matches!(verdict, Verdict::Accepted(_)) {
                // Its client connects again, and hears why.
                host.links.borrow_mut().remove(&link.key);
                link.end(Ending::Connection);
            }
        }
        answer(&shared.metrics, pending, verdict);
    }

    /// What a session that is let in brings along. From here on its api's names are known.
    fn opened<'a>(&self, link: &Arc<Link>, engine: u32, text: &str) -> Verdict<'a> {
        let opened: Opened = match serde_json::from_str(text) {
            Ok(opened) => opened,
            Err(error) => return Verdict::Error(CallError::Rejected(error.to_string())),
        };
        // The engine before is still asked whether it may open, but no longer what it can do.
        if engine == self.number() {
            let names = self
                .engine()
                .host
                .shapes
                .borrow()
                .get(opened.shape)
                .cloned();
            let mut visitors = self.shared.visitors.lock();
            if let Some(visitor) = visitors.get_mut(&link.request.id) {
                visitor.names = names;
            }
        }
        let is_somebody = opened.user.is_some() || opened.site.is_some();
        let identity = (is_somebody && link.request.identity.is_none()).then(|| {
            Arc::new(Identity {
                user: opened.user.map(Into::into),
                site: opened.site.map(Into::into),
                claims: Json::EMPTY_OBJECT,
                expiry: None,
            })
        });
        Verdict::Accepted(Accepted {
            identity,
            join: Vec::new(),
            public: opened.public,
            ping: opened
                .ping
                .and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok()),
        })
    }

    /// Does without an engine. What was asked of it is answered with an error; its sessions go on in a fresh one.
    fn replace(&mut self, number: u32, cause: RestartCause) {
        let waiting = self.pending.iter().filter(|(_, it)| it.engine == number);
        let waiting: Vec<u32> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            self.complete(id, Verdict::Error(CallError::Internal));
        }
        if number == self.number() {
            match self.load() {
                Ok(engine) => self.go_on_with(engine, cause),
                Err(error) => {
                    tracing::error!(backend = &*self.shared.name, %error, "script not loaded anew");
                    return;
                }
            }
        }
        self.engines.retain(|(known, _)| *known != number);
    }
}

/// The engine's own host, for a script that is loaded.
pub(crate) fn engine_host(
    shared: &Shared,
    number: u32,
    queue: &Arc<Queue>,
) -> Rc<super::host::Host> {
    Rc::new(super::host::Host {
        name: Arc::clone(&shared.name),
        hub: Arc::clone(&shared.hub),
        node: Arc::clone(&shared.node),
        folder: shared.folder.clone(),
        mark: Arc::clone(&shared.mark),
        number,
        queue: Arc::clone(queue),
        fetch: shared.fetch.clone(),
        allowed: shared.options.fetch.clone(),
        timeout: shared.options.timeout,
        started: Instant::now(),
        links: Default::default(),
        muted: Default::default(),
        files: Default::default(),
        settled: Default::default(),
        ending: Default::default(),
        shapes: Default::default(),
        next_timer: std::cell::Cell::new(f64::INFINITY),
        blamed: Default::default(),
        realm: std::cell::RefCell::new(default_realm()),
        traces: Default::default(),
        counters: Default::default(),
        lines: Default::default(),
    })
}

/// The realm that goes without saying.
fn default_realm() -> RealmName {
    RealmName::new("default").expect("it is short and not empty")
}
