//! Time-outs of all connections, by one ticker instead of a timer each.
//!
//! A connection keeps one number, its earliest deadline. Four times a second the ticker looks at all of them and wakes
//! the tasks whose deadline has passed: ten thousand idle connections cost ten thousand loads per tick and no memory
//! beyond the number.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use slab::Slab;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{Tasks, connection::Link};

const TICK: Duration = Duration::from_millis(250);

/// A moment in milliseconds on the ticker's clock, which moves four times a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// No deadline.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `later` after this one; zero means never. Never early, and late by up to two ticks: this moment may be
    /// that of the last tick.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        if later.is_zero() {
            return Self::NEVER;
        }
        let later = later.saturating_add(TICK);
        let millis = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// A connection's earliest deadline, shared with the ticker.
#[derive(Debug)]
pub(crate) struct Deadline(AtomicU64);

impl Deadline {
    pub(crate) fn never() -> Self {
        Self(AtomicU64::new(Moment::NEVER.0))
    }

    pub(crate) fn set(&self, moment: Moment) {
        self.0.store(moment.0, Ordering::Relaxed);
    }

    fn has_passed(&self, now: Moment) -> bool {
        self.0.load(Ordering::Relaxed) <= now.0
    }
}

/// The ticker and all connections it watches. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Deadlines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    now: AtomicU64,
    watched: Mutex<Slab<Arc<Link>>>,
}

impl Deadlines {
    /// Starts the ticker on the current runtime; it ends when `tasks` are told to stop and no connection is left.
    #[must_use]
    pub fn start(tasks: &Tasks) -> Self {
        let deadlines = Self(Arc::new(Shared {
            started: Instant::now(),
            now: AtomicU64::new(0),
            watched: Mutex::default(),
        }));
        let ticking = deadlines.clone();
        let stopping = tasks.stopping();
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // Connections that end need their deadlines until the last of them has ended.
            while !(stopping.is_cancelled() && ticking.0.watched.lock().is_empty()) {
                ticks.tick().await;
                ticking.tick();
            }
        });
        deadlines
    }

    /// The time of the last tick.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment(self.0.now.load(Ordering::Relaxed))
    }

    pub(crate) fn watch(&self, link: Arc<Link>) -> usize {
        self.0.watched.lock().insert(link)
    }

    pub(crate) fn forget(&self, key: usize) {
        let mut watched = self.0.watched.lock();
        watched.remove(key);
        if watched.is_empty() {
            *watched = Slab::new();
        }
    }

    fn tick(&self) {
        let now = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.now.store(now, Ordering::Relaxed);
        let passed: Vec<Arc<Link>> = {
            let watched = self.0.watched.lock();
            watched
                .iter()
                .filter(|(_, link)| link.deadline().has_passed(Moment(now)))
                .map(|(_, link)| Arc::clone(link))
                .collect()
        };
        for link in passed {
            link.wake_task();
        }
    }
}
