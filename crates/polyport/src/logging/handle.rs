//! Changing what is logged while the program runs: by a reload, or for a while.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use polyport_admin::{LogControl, LogState};
use tokio::time::{MissedTickBehavior, interval};
use tracing_subscriber::{Registry, reload};

use super::{Filter, parse_filter, repeats::Limiter};
use crate::config::{LogConfig, Period};

/// How often it is looked whether a filter's time is over, and whether something was left out.
const TICK: Duration = Duration::from_secs(1);

/// The longest time for which a filter can be set.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Changes what is logged while the program runs. Cloning shares it.
#[derive(Debug, Clone)]
pub struct LogHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    handle: reload::Handle<Filter, Registry>,
    limiter: Arc<Limiter>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    configured: Filter,
    for_now: Option<ForNow>,
}

/// A filter that is in force instead of the configuration's.
#[derive(Debug)]
struct ForNow {
    filter: Filter,
    until: Option<Instant>,
}

impl LogHandle {
    pub(super) fn new(
        handle: reload::Handle<Filter, Registry>,
        limiter: Arc<Limiter>,
        config: &LogConfig,
    ) -> Self {
        let state = Mutex::new(State {
            configured: config.filter.clone(),
            for_now: None,
        });
        Self(Arc::new(Shared {
            handle,
            limiter,
            state,
        }))
    }

    /// Puts another configuration in force, in place of what was set for now too. The format stays what it was at start.
    pub fn configure(&self, config: &LogConfig) {
        self.0.limiter.set(config.repeats);
        self.change(|state| {
            state.configured = config.filter.clone();
            state.for_now = None;
        });
    }

    /// Ends what was set for a time and tells what was left out, until it is dropped; `count` hears how many records were left
    /// out since it was last called.
    pub async fn attend(self, count: impl Fn(u64)) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.expire(Instant::now());
            self.0.limiter.tell(Instant::now());
            count(self.0.limiter.take_left_out());
        }
    }

    /// Tells what was left out and not told yet.
    pub fn tell_rest(&self) {
        self.0.limiter.tell_all();
    }

    fn expire(&self, now: Instant) {
        let is_over = |state: &State| {
            let for_now = state.for_now.as_ref();
            for_now.is_some_and(|it| it.until.is_some_and(|until| until <= now))
        };
        if is_over(&self.state()) {
            self.change(|state| state.for_now = None);
            tracing::info!("the log level is that of the configuration again");
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let filter = {
            let mut state = self.state();
            change(&mut state);
            let for_now = state.for_now.as_ref();
            for_now.map_or(&state.configured, |it| &it.filter).clone()
        };
        if let Err(error) = self.0.handle.reload(filter) {
            tracing::error!(%error, "the log level could not be changed");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogControl for LogHandle {
    fn state(&self) -> LogState {
        let state = self.state();
        let configured = state.configured.to_string();
        match &state.for_now {
            None => LogState {
                level: configured.clone(),
                configured,
                remaining: None,
            },
            Some(ForNow { filter, until }) => LogState {
                level: filter.to_string(),
                configured,
                remaining: until.map(|until| until.saturating_duration_since(Instant::now())),
            },
        }
    }

    fn set(&self, level: &str, lasts: Option<&str>) -> Result<(), String> {
        let filter = parse_filter(level).map_err(|error| format!("`level`: {error}"))?;
        let lasts = lasts.map(read_time).transpose()?;
        let until = lasts.map(|lasts| Instant::now() + lasts);
        // Said while both would let it through, if either does.
        tracing::info!(level, lasts = ?lasts, "log level changed for now");
        self.change(|state| state.for_now = Some(ForNow { filter, until }));
        Ok(())
    }
}

fn read_time(text: &str) -> Result<Duration, String> {
    let expected = || "`for`: expected a time such as \"10m\", at most \"1d\"".to_owned();
    let Period(time) = text.parse().map_err(|_| expected())?;
    let is_good = !time.is_zero() && time <= LONGEST;
    is_good.then_some(time).ok_or_else(expected)
}
