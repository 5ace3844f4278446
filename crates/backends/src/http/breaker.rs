//! The circuit breaker: a service that does not answer is left alone for a while, then tried with one request.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::BreakerOptions;

/// Without a clock: every question is asked with the time.
pub(super) struct Breaker {
    options: BreakerOptions,
    state: Mutex<State>,
}

enum State {
    /// Everything goes through; so many failures in a row so far.
    Closed(u32),
    /// Nothing goes through until then.
    Open(Instant),
    /// One request is under way to find out.
    Probing,
}

/// Leave for one request. Give it back with [`Breaker::settle`].
#[must_use]
pub(super) struct Pass {
    is_probe: bool,
}

/// What the outcome of a request has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// The breaker opened, or opened again after a probe.
    Opened {
        /// Whether it was closed before.
        newly: bool,
    },
    Closed,
}

impl Breaker {
    pub(super) fn new(options: BreakerOptions) -> Self {
        Self {
            options,
            state: Mutex::new(State::Closed(0)),
        }
    }

    /// Whether a request would be refused now.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        match *self.state.lock() {
            State::Closed(_) => false,
            State::Open(until) => now < until,
            State::Probing => true,
        }
    }

    /// Lets a request through, or not.
    pub(super) fn admit(&self, now: Instant) -> Option<Pass> {
        let mut state = self.state.lock();
        match *state {
            State::Closed(_) => Some(Pass { is_probe: false }),
            State::Open(until) if until <= now => {
                *state = State::Probing;
                Some(Pass { is_probe: true })
            }
            State::Open(_) | State::Probing => None,
        }
    }

    /// Notes how a request went. Those that were under way when the breaker opened decide nothing any more.
    pub(super) fn settle(&self, pass: Pass, was_answered: bool, now: Instant) -> Change {
        let mut state = self.state.lock();
        match (&mut *state, pass.is_probe, was_answered) {
            (State::Closed(failures), _, true) => {
                *failures = 0;
                Change::None
            }
            (State::Closed(failures), _, false) => {
                *failures = failures.saturating_add(1);
                if self.options.failures == 0 || *failures < self.options.failures {
                    return Change::None;
                }
                *state = State::Open(now + self.pause());
                Change::Opened { newly: true }
            }
            (State::Probing, true, true) => {
                *state = State::Closed(0);
                Change::Closed
            }
            (State::Probing, true, false) => {
                *state = State::Open(now + self.pause());
                Change::Opened { newly: false }
            }
            (State::Open(_) | State::Probing, _, _) => Change::None,
        }
    }

    /// Up to a quarter longer than set, so that gateways do not come back all at once.
    fn pause(&self) -> Duration {
        self.options
            .pause
            .mul_f64(1.0 + rand::random_range(0.0..0.25))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(4);
    const LONGEST: Duration = Duration::from_secs(5);

    fn breaker(failures: u32) -> Breaker {
        Breaker::new(BreakerOptions {
            failures,
            pause: PAUSE,
        })
    }

    fn fail(breaker: &Breaker, now: Instant) -> Change {
        let pass = breaker.admit(now).unwrap();
        breaker.settle(pass, false, now)
    }

    #[test]
    fn so_many_failures_in_a_row_open_it() {
        let (breaker, now) = (breaker(3), Instant::now());
        assert_eq!(fail(&breaker, now), Change::None);
        assert_eq!(fail(&breaker, now), Change::None);
        let pass = breaker.admit(now).unwrap();
        assert_eq!(breaker.settle(pass, true, now), Change::None);
        assert_eq!(fail(&breaker, now), Change::None);
        assert_eq!(fail(&breaker, now), Change::None);
        assert_eq!(fail(&breaker, now), Change::Opened { newly: true });
        assert!(breaker.refuses(now));
        assert!(
            breaker
                .admit(now + PAUSE - Duration::from_millis(1))
                .is_none()
        );
    }

    #[test]
    fn one_probe_decides() {
        let (breaker, start) = (breaker(1), Instant::now());
        assert_eq!(fail(&breaker, start), Change::Opened { newly: true });
        let later = start + LONGEST;
        assert!(!breaker.refuses(later));
        let probe = breaker.admit(later).unwrap();
        assert!(breaker.admit(later).is_none(), "one at a time");
        assert!(breaker.refuses(later));
        let opened = breaker.settle(probe, false, later);
        assert_eq!(opened, Change::Opened { newly: false });
        assert!(breaker.refuses(later + PAUSE - Duration::from_millis(1)));
        let probe = breaker.admit(later + LONGEST).unwrap();
        assert_eq!(breaker.settle(probe, true, later + LONGEST), Change::Closed);
        assert!(!breaker.refuses(later + LONGEST));
    }

    #[test]
    fn what_was_under_way_before_decides_nothing() {
        let (breaker, start) = (breaker(1), Instant::now());
        let (early, earlier) = (breaker.admit(start).unwrap(), breaker.admit(start).unwrap());
        assert_eq!(fail(&breaker, start), Change::Opened { newly: true });
        assert_eq!(breaker.settle(early, true, start), Change::None);
        assert!(breaker.refuses(start));
        let probe = breaker.admit(start + LONGEST).unwrap();
        assert_eq!(breaker.settle(earlier, false, start), Change::None);
        assert_eq!(breaker.settle(probe, true, start), Change::Closed);
    }

    #[test]
    fn zero_failures_never_open_it() {
        let (breaker, now) = (breaker(0), Instant::now());
        for _ in 0..1000 {
            assert_eq!(fail(&breaker, now), Change::None);
        }
    }
}
