//! When messages are meant to be sent.
//!
//! The schedule is fixed before the first message leaves and never waits for an answer (*open loop*). Latency is
//! counted from the intended time, so a server that stalls is charged for every message that should have been sent
//! meanwhile: no coordinated omission.

use std::time::Duration;

use crate::clock::{Nanos, nanos};

/// Bursts at a fixed period.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start: Nanos,
    period: f64,
    burst: u32,
    warmup: u32,
    bursts: u32,
}

impl Schedule {
    /// `rate` messages a second in bursts of `burst`, for `warmup` and then for `duration`, both rounded up to whole bursts.
    pub(crate) fn new(
        start: Nanos,
        rate: f64,
        burst: u32,
        warmup: Duration,
        duration: Duration,
    ) -> Self {
        let burst = burst.max(1);
        let period = f64::from(burst) / rate * 1e9;
        let bursts = |time: Duration| (time.as_secs_f64() * 1e9 / period).ceil() as u32;
        let warmup = bursts(warmup);
        Self {
            start,
            period,
            burst,
            warmup,
            bursts: warmup + bursts(duration).max(1),
        }
    }

    /// All bursts, warm-up included, with their intended times.
    pub(crate) fn bursts(self) -> impl Iterator<Item = (u32, Nanos)> {
        (0..self.bursts).map(move |burst| (burst, self.intended(burst)))
    }

    /// The intended time of burst number `burst`.
    pub(crate) fn intended(self, burst: u32) -> Nanos {
        self.start + (f64::from(burst) * self.period) as u64
    }

    /// Messages in one burst.
    pub(crate) fn burst(self) -> u32 {
        self.burst
    }

    /// The number of the first message that counts.
    pub(crate) fn first_measured(self) -> u32 {
        self.warmup * self.burst
    }

    /// How many messages count.
    pub(crate) fn measured(self) -> u32 {
        (self.bursts - self.warmup) * self.burst
    }

    /// The steady window, from half a period before its first burst to half a period after its last one's time: the
    /// quietest moments there are, so that no burst is cut by a reading of the counters.
    pub(crate) fn window(self) -> (Nanos, Nanos) {
        let half = nanos(Duration::from_nanos((self.period / 2.0) as u64));
        (
            self.intended(self.warmup).saturating_sub(half),
            self.intended(self.bursts).saturating_sub(half),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_evenly_spaced() {
        let schedule = Schedule::new(
            1_000,
            100.0,
            1,
            Duration::from_millis(20),
            Duration::from_millis(30),
        );
        let times: Vec<_> = schedule.bursts().collect();
        assert_eq!(
            times,
            [
                (0, 1_000),
                (1, 10_001_000),
                (2, 20_001_000),
                (3, 30_001_000),
                (4, 40_001_000)
            ]
        );
        assert_eq!((schedule.first_measured(), schedule.measured()), (2, 3));
        assert_eq!(schedule.window(), (15_001_000, 45_001_000));
    }

    #[test]
    fn bursts_keep_the_rate() {
        let schedule = Schedule::new(
            0,
            100.0,
            10,
            Duration::from_millis(100),
            Duration::from_secs(1),
        );
        assert_eq!(schedule.bursts().count(), 11);
        assert_eq!(schedule.intended(1), 100_000_000);
        assert_eq!((schedule.first_measured(), schedule.measured()), (10, 100));
    }

    #[test]
    fn there_is_always_something_to_measure() {
        let schedule = Schedule::new(0, 1.0, 1, Duration::ZERO, Duration::ZERO);
        assert_eq!((schedule.first_measured(), schedule.measured()), (0, 1));
    }
}
