//! The thread of an engine: takes what waits, asks the engine, and answers.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use polyport_core::{
    Accepted, BackendOutcome, BackendRequest, CallError, Identity, Json, RealmName, Refused, Reply,
    RestartCause,
};
use serde::Deserialize;

use super::{
    Shared,
    engine::{Engine, Limit, Loaded},
    links::Link,
    queue::{Asking, Job, Queue, To, What},
};

/// Jobs, and timers, of one turn of the hub.
const PER_TURN: usize = 64;

/// What the thread works with.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    engine: Engine,
    pending: HashMap<u32, Pending, FixedState>,
    by_deadline: BTreeMap<(Instant, u32), ()>,
    next_id: u32,
}

struct Pending {
    to: To,
    asked_at: Instant,
    deadline: Instant,
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
        Self {
            shared,
            queue,
            engine,
            pending: HashMap::default(),
            by_deadline: BTreeMap::new(),
            next_id: 1,
        }
    }

    pub(crate) fn loaded(&self) -> &Loaded {
        &self.engine.loaded
    }

    /// Works until it is stopped.
    pub(crate) fn run(mut self) {
        let hub = Arc::clone(&self.shared.hub);
        let mut jobs = Vec::with_capacity(PER_TURN);
        loop {
            let deadline = self.by_deadline.keys().next().map(|(at, _)| *at);
            let until = self.engine.next_timer().into_iter().chain(deadline).min();
            self.queue.take(PER_TURN, until, &mut jobs);
            let is_going_on = hub.turn(|| {
                let is_going_on = jobs.drain(..).all(|job| self.job(job));
                self.timers();
                self.deadlines();
                is_going_on
            });
            if !is_going_on {
                break;
            }
        }
        let metrics = &self.shared.metrics;
        hub.turn(|| {
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
                let result = self.engine.close(key, code, &text);
                self.engine.host.links.borrow_mut().remove(&key);
                self.after(0, result.map(|()| None));
            }
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
            asked_at: asking.asked_at,
            deadline: asking.deadline,
        };
        self.by_deadline.insert((pending.deadline, id), ());
        self.pending.insert(id, pending);
        if Instant::now() >= asking.deadline {
            return self.complete(id, Verdict::Error(CallError::Deadline));
        }
        if let What::Open { link, .. } = &asking.what {
            let mut links = self.engine.host.links.borrow_mut();
            links.insert(link.key, Arc::clone(link));
        }
        self.engine.host.realm.replace(asking.realm);
        let result = self.engine.ask(id, &asking.what);
        self.after(id, result);
    }

    /// Gives the answers that a run of the engine has brought, then closes what it closed.
    fn after(&mut self, id: u32, result: Result<Option<String>, Limit>) {
        let blamed = self.engine.host.blamed.get();
        let mut is_out_of_memory = false;
        let mut is_stuck = false;
        match result {
            Ok(Some(text)) => {
                is_out_of_memory |= text == "M";
                self.answer_text(id, &text);
            }
            Ok(None) => {}
            Err(limit) => {
                is_out_of_memory = limit == Limit::Memory;
                is_stuck = limit == Limit::Stuck;
                self.complete(blamed, Verdict::Limit(limit));
            }
        }
        let settled = std::mem::take(&mut *self.engine.host.settled.borrow_mut());
        for (id, text) in settled {
            is_out_of_memory |= text == "M";
            self.answer_text(id, &text);
        }
        let closing = std::mem::take(&mut *self.engine.host.closing.borrow_mut());
        for link in closing {
            link.close();
        }
        if is_stuck {
            self.replace(RestartCause::Stuck);
        } else if is_out_of_memory && self.engine.is_full() {
            self.replace(RestartCause::Memory);
        }
    }

    fn timers(&mut self) {
        for _ in 0..PER_TURN {
            let now = Instant::now();
            if self.engine.next_timer().is_none_or(|due| due > now) {
                break;
            }
            self.engine.host.realm.replace(default_realm());
            let result = self.engine.fire();
            self.after(0, result.map(|()| None));
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

    fn answer_text(&mut self, id: u32, text: &str) {
        let (letter, rest) = text.split_at(usize::from(!text.is_empty()));
        let verdict = match letter {
            "+" => Verdict::Value(rest),
            "-" => Verdict::Rejected(rest),
            "F" => Verdict::Failed(rest),
            "M" => Verdict::Limit(Limit::Memory),
            "P" => Verdict::Error(CallError::MissingParam(rest.to_owned())),
            "N" => Verdict::Nothing,
            "0" => Verdict::Nobody,
            _ => Verdict::Error(CallError::UnknownAction),
        };
        self.complete(id, verdict);
    }

    fn complete(&mut self, id: u32, verdict: Verdict<'_>) {
        let Some(pending) = self.pending.remove(&id) else {
            return;
        };
        self.by_deadline.remove(&(pending.deadline, id));
        let shared = Arc::clone(&self.shared);
        shared.metrics.in_flight.dec();
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
                To::Open(link, _) => self.opened(link, text),
                _ => Verdict::Value(text),
            },
            verdict => verdict,
        };
        answer(&shared.metrics, pending, verdict);
    }

    /// What a session that is let in brings along. From here on its api's names are known.
    fn opened<'a>(&self, link: &Arc<Link>, text: &str) -> Verdict<'a> {
        let opened: Opened = match serde_json::from_str(text) {
            Ok(opened) => opened,
            Err(error) => return Verdict::Error(CallError::Rejected(error.to_string())),
        };
        let names = self.engine.host.shapes.borrow().get(opened.shape).cloned();
        let id = link.request.id;
        if let Some(visitor) = self.shared.visitors.lock().get_mut(&id) {
            visitor.names = names;
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

    /// Goes on with a fresh engine. What was asked of the old one is answered with an error; the sessions are made anew.
    fn replace(&mut self, cause: RestartCause) {
        let waiting: Vec<u32> = self.pending.keys().copied().collect();
        for id in waiting {
            self.complete(id, Verdict::Error(CallError::Internal));
        }
        let shared = Arc::clone(&self.shared);
        let engine = match shared.load() {
            Ok(engine) => engine,
            Err(error) => {
                self.engine.host.log("error", &error.to_string());
                return;
            }
        };
        shared.metrics.restarted(cause);
        let links: Vec<Arc<Link>> = self.engine.host.links.borrow().values().cloned().collect();
        let old = std::mem::replace(&mut self.engine, engine);
        drop(old);
        // Their clients reconnect, and are asked about again.
        for link in links {
            link.close();
        }
    }
}

enum Verdict<'a> {
    Value(&'a str),
    Nothing,
    Nobody,
    Rejected(&'a str),
    Failed(&'a str),
    Limit(Limit),
    Over(BackendOutcome, String),
    Accepted(Accepted),
    Error(CallError),
}

/// Answers whoever waits, and counts it.
fn answer(metrics: &polyport_core::BackendMetrics, pending: Pending, verdict: Verdict<'_>) {
    let mut outcome = match &verdict {
        Verdict::Value(_) | Verdict::Nothing | Verdict::Nobody | Verdict::Accepted(_) => {
            BackendOutcome::Ok
        }
        Verdict::Rejected(_) => BackendOutcome::Rejected,
        Verdict::Failed(_) => BackendOutcome::Failed,
        Verdict::Over(outcome, _) => *outcome,
        Verdict::Limit(_) => BackendOutcome::Failed,
        Verdict::Error(CallError::Deadline) => BackendOutcome::Timeout,
        Verdict::Error(CallError::MissingParam(_) | CallError::UnknownAction) => {
            BackendOutcome::Rejected
        }
        Verdict::Error(_) => BackendOutcome::Failed,
    };
    let result = match verdict {
        Verdict::Value(text) => match Json::parse(text) {
            Ok(json) => Ok(Reply::Value(json)),
            Err(error) => {
                outcome = BackendOutcome::Failed;
                Err(CallError::Rejected(error.to_string()))
            }
        },
        Verdict::Nothing | Verdict::Nobody | Verdict::Accepted(_) => Ok(Reply::Nothing),
        Verdict::Rejected(text) | Verdict::Failed(text) => {
            Err(CallError::Rejected(text.to_owned()))
        }
        Verdict::Over(_, ref text) => Err(CallError::OverLimit(text.clone())),
        Verdict::Limit(_) => Err(CallError::Internal),
        Verdict::Error(ref error) => Err(error.clone()),
    };
    let took = pending.asked_at.elapsed();
    match pending.to {
        To::Call(respond) => {
            metrics.asked(BackendRequest::Call, outcome, took);
            respond(result);
        }
        // Who asked may have gone away meanwhile.
        To::Open(_, respond) => {
            metrics.asked(BackendRequest::Open, outcome, took);
            let _ = respond.send(match (verdict, result) {
                (Verdict::Accepted(accepted), _) => Ok(accepted),
                (Verdict::Nobody, _) => Err(Refused::Nobody),
                (_, Err(error)) => {
                    let text = error.to_string();
                    let is_empty = text.is_empty();
                    Err(Refused::Failed(if is_empty {
                        "Internal Server Error".to_owned()
                    } else {
                        text
                    }))
                }
                (_, Ok(_)) => Err(Refused::Failed("Internal Server Error".to_owned())),
            });
        }
        To::May(request, respond) => {
            metrics.asked(request, outcome, took);
            let _ = respond.send(result.map(drop).map_err(|error| error.to_string()));
        }
    }
}

/// The engine's own host, for a script that is loaded.
pub(crate) fn engine_host(shared: &Shared) -> Rc<super::host::Host> {
    Rc::new(super::host::Host {
        name: Arc::clone(&shared.name),
        hub: Arc::clone(&shared.hub),
        node: Arc::clone(&shared.node),
        folder: shared.folder.clone(),
        started: Instant::now(),
        links: Default::default(),
        settled: Default::default(),
        closing: Default::default(),
        shapes: Default::default(),
        next_timer: std::cell::Cell::new(f64::INFINITY),
        blamed: Default::default(),
        realm: std::cell::RefCell::new(default_realm()),
        counters: Default::default(),
        lines: Default::default(),
    })
}

/// The realm that goes without saying.
fn default_realm() -> RealmName {
    RealmName::new("default").expect("it is short and not empty")
}
