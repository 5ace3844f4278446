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

use crate::Tasks;

/// Time between two looks, if nobody needs it finer.
const TICK: Duration = Duration::from_millis(250);

/// A moment in milliseconds on the ticker's clock, which moves four times a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// No deadline.
    pub const NEVER: Self = Self(u64::MAX);
}

/// Something's earliest deadline, shared with the ticker.
#[derive(Debug)]
pub struct Deadline(AtomicU64);

/// Something that the ticker watches.
pub trait Watched: Send + Sync {
    /// Its earliest deadline.
    fn deadline(&self) -> &Deadline;

    /// The deadline has passed. Called on every tick until it is set to a later one; must not wait.
    fn overdue(&self);
}

impl Deadline {
    /// No deadline yet.
    #[must_use]
    pub fn never() -> Self {
        Self(AtomicU64::new(Moment::NEVER.0))
    }

    /// Sets it.
    pub fn set(&self, moment: Moment) {
        self.0.store(moment.0, Ordering::Relaxed);
    }

    fn has_passed(&self, now: Moment) -> bool {
        self.0.load(Ordering::Relaxed) <= now.0
    }
}

/// The ticker and all connections it watches. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Deadlines(Arc<Shared>);

struct Shared {
    started: Instant,
    now: AtomicU64,
    watched: Mutex<Slab<Arc<dyn Watched>>>,
    tick: Duration,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deadlines")
            .field("tick", &self.tick)
            .finish_non_exhaustive()
    }
}

impl Deadlines {
    /// Starts the ticker on the current runtime; it ends when `tasks` are told to stop and no connection is left.
    #[must_use]
    pub fn start(tasks: &Tasks) -> Self {
        Self::start_ticking(tasks, TICK)
    }

    /// The same with another time between two looks, for deadlines that are much shorter than usual.
    #[must_use]
    pub fn start_ticking(tasks: &Tasks, tick: Duration) -> Self {
        let deadlines = Self(Arc::new(Shared {
            started: Instant::now(),
            now: AtomicU64::new(0),
            watched: Mutex::default(),
            tick,
        }));
        let ticking = deadlines.clone();
        let stopping = tasks.stopping();
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(tick);
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

    /// The moment `later` from now; zero means never. Never early, and late by up to two ticks: the time is that of the last
    /// one.
    #[must_use]
    pub fn after(&self, later: Duration) -> Moment {
        if later.is_zero() {
            return Moment::NEVER;
        }
        let later = later.saturating_add(self.0.tick);
        let millis = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
        Moment(self.now().0.saturating_add(millis))
    }

    /// Looks after something until it is forgotten by the key that this gives.
    pub fn watch(&self, watched: Arc<dyn Watched>) -> usize {
        self.0.watched.lock().insert(watched)
    }

    /// Looks after it no longer.
    pub fn forget(&self, key: usize) {
        let mut watched = self.0.watched.lock();
        let removed = watched.try_remove(key);
        if watched.is_empty() {
            *watched = Slab::new();
        }
        drop(watched);
        // Outside of the lock: it may be the last handle.
        drop(removed);
    }

    fn tick(&self) {
        let now = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.now.store(now, Ordering::Relaxed);
        let passed: Vec<Arc<dyn Watched>> = {
            let watched = self.0.watched.lock();
            watched
                .iter()
                .filter(|(_, it)| it.deadline().has_passed(Moment(now)))
                .map(|(_, it)| Arc::clone(it))
                .collect()
        };
        for it in passed {
            it.overdue();
        }
    }
}
