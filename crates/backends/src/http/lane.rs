//! A lane: requests that share a bound, a queue and a circuit breaker, so that what hangs in one holds up no other.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use polyport_core::BackendMetrics;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{HttpOptions, breaker::Breaker};

pub(super) struct Lane {
    pub(super) timeout: Duration,
    pub(super) idempotent: bool,
    pub(super) breaker: Breaker,
    slots: Semaphore,
    waiting: AtomicUsize,
    queue: usize,
}

/// As many requests wait as may.
pub(super) struct QueueFull;

impl Lane {
    pub(super) fn new(options: &HttpOptions, timeout: Duration, idempotent: bool) -> Self {
        Self {
            timeout,
            idempotent,
            breaker: Breaker::new(options.breaker),
            slots: Semaphore::new(options.concurrency.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            queue: options.queue,
        }
    }

    /// Waits for a turn, first come first served.
    pub(super) async fn enter(
        &self,
        metrics: &BackendMetrics,
    ) -> Result<SemaphorePermit<'_>, QueueFull> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let waiting = Waiting::begin(self, metrics)?;
        let slot = self.slots.acquire().await;
        drop(waiting);
        Ok(slot.expect("the semaphore is never closed"))
    }
}

/// A place in the queue; also given up by who waits no longer.
struct Waiting<'a> {
    lane: &'a Lane,
    metrics: &'a BackendMetrics,
}

impl<'a> Waiting<'a> {
    fn begin(lane: &'a Lane, metrics: &'a BackendMetrics) -> Result<Self, QueueFull> {
        metrics.waiting.inc();
        let place = Self { lane, metrics };
        if lane.waiting.fetch_add(1, Ordering::Relaxed) >= lane.queue {
            return Err(QueueFull);
        }
        Ok(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.lane.waiting.fetch_sub(1, Ordering::Relaxed);
        self.metrics.waiting.dec();
    }
}
