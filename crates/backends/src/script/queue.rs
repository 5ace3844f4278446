//! What waits for an engine's thread.

use std::{collections::VecDeque, sync::Arc, thread, time::Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use polyport_core::{
    Accepted, Args, BackendRequest, Denial, RealmName, Refused, Respond, trace::Span,
};
use tokio::sync::oneshot;

use super::{fetch::FetchResponse, links::Link, marks::ListText, questions::NoAnswer};

/// Something for the engine to do.
pub(crate) enum Job {
    /// A call or a hook, which is answered.
    Ask(Box<Asking>),
    /// A session has ended.
    Close { key: u32, code: u16, text: String },
    /// A request of an engine's script is answered.
    Fetched {
        engine: u32,
        id: u32,
        result: Result<FetchResponse, String>,
    },
    /// A question of an engine's script to a client is settled.
    Answered {
        engine: u32,
        number: f64,
        realm: RealmName,
        outcome: Result<Args, NoAnswer>,
    },
    /// The script is to be loaded anew.
    Reload,
    /// The end.
    Stop,
}

/// A call or a hook, and who waits for its answer.
pub(crate) struct Asking {
    pub(crate) what: What,
    pub(crate) to: To,
    /// Where the session is, or the realm that goes without saying.
    pub(crate) realm: RealmName,
    pub(crate) asked_at: Instant,
    pub(crate) deadline: Instant,
    /// Its part of what asks.
    pub(crate) step: Option<Span>,
}

/// What is asked. `key` is 0 for a session that the script does not know.
pub(crate) enum What {
    Method {
        key: u32,
        name: String,
        args: ListText,
    },
    Action {
        key: u32,
        name: String,
        version: String,
        args: ListText,
        /// The session's id; empty for a call of another server.
        session: String,
    },
    Open {
        link: Arc<Link>,
        text: String,
    },
    May {
        key: u32,
        hook: &'static str,
        room: String,
        event: String,
        args: ListText,
    },
}

/// Who waits for the answer.
pub(crate) enum To {
    Call(Respond),
    Open(Arc<Link>, oneshot::Sender<Result<Accepted, Refused>>),
    /// Nobody: a session that is open already, in a fresh engine.
    Resume(Arc<Link>),
    May(BackendRequest, oneshot::Sender<Result<(), Denial>>),
}

/// Jobs in order. Only what is asked has a bound: an end is not lost, and there is one for each session and each question.
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    limit: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    asking: usize,
    is_waiting: bool,
    is_stopped: bool,
}

impl Queue {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            limit,
        }
    }

    /// Whether as many wait as may.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.asking >= self.limit || state.is_stopped
    }

    /// Adds a job, or gives it back after the end.
    pub(crate) fn push(&self, job: Job) -> Result<(), Job> {
        let mut state = self.state.lock();
        if state.is_stopped {
            return Err(job);
        }
        state.asking += usize::from(matches!(job, Job::Ask(_)));
        state.is_stopped = matches!(job, Job::Stop);
        state.jobs.push_back(job);
        if std::mem::take(&mut state.is_waiting) {
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Takes up to `count` jobs, waiting for the first of them until `until`.
    pub(crate) fn take(&self, count: usize, until: Option<Instant>, into: &mut Vec<Job>) {
        let mut state = self.state.lock();
        if state.jobs.is_empty() {
            // Whoever asks may share this core. A sleeper would take the core away from them with their first question; so
            // they come to ask all they have to.
            MutexGuard::unlocked(&mut state, thread::yield_now);
        }
        while state.jobs.is_empty() {
            state.is_waiting = true;
            match until {
                None => self.arrived.wait(&mut state),
                Some(until) => {
                    if self.arrived.wait_until(&mut state, until).timed_out() {
                        state.is_waiting = false;
                        return;
                    }
                }
            }
        }
        let count = count.min(state.jobs.len());
        into.extend(state.jobs.drain(..count));
        let asked = into.iter().filter(|job| matches!(job, Job::Ask(_))).count();
        state.asking -= asked;
    }
}
