//! The end: accept no more, say goodbye, flush.

use std::{sync::Arc, time::Duration};

use polyport_core::{CloseReason, Listener, SessionRef};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Gateway;
use crate::goodbye;

/// How often the end of the last session is looked for while draining.
const DRAIN_CHECK: Duration = Duration::from_millis(20);

/// What sessions that are cut at the deadline have to take their goodbye.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Gateway {
    /// From now on sessions are told goodbye over this time when the gateway stops, whatever the configuration says.
    pub(crate) fn set_shutdown_window(&mut self, window: Duration) {
        self.config.shutdown_window = window;
    }

    /// The longest that [`Gateway::stop`] takes for sessions to end.
    pub(crate) fn longest_stop(&self) -> Duration {
        self.config.shutdown_window + self.config.shutdown_deadline + LAST_WORDS
    }

    /// Stops in order: accepts no more, gives connections that are being opened the time `grace`, says goodbye to sessions evenly over the window, if there is one and until `hurry` is
    /// cancelled, lets calls in flight finish until the deadline, says goodbye, flushes, closes.
    pub async fn stop(&self, grace: Duration, hurry: &CancellationToken) {
        self.end_sessions(grace, hurry).await;
        if let Some(rooms) = &self.backplane {
            rooms.leave().await;
        }
        self.traces.finish().await;
    }

    async fn end_sessions(&self, grace: Duration, hurry: &CancellationToken) {
        for running in &self.listeners {
            running.server.stop_accepting();
        }
        info!(sessions = self.process.hub.len(), "draining");
        if !grace.is_zero() {
            hurry.run_until_cancelled(sleep(grace)).await;
        }
        if !self.config.shutdown_window.is_zero() {
            let goodbyes = goodbye::over(self.config.shutdown_window, &self.process.hub);
            hurry.run_until_cancelled(goodbyes).await;
        }
        for listener in self.all_listeners() {
            listener.drain();
        }
        self.drain_sessions(|_| true);
        self.wait_for_sessions(self.config.shutdown_deadline).await;
        let late = self.process.hub.sessions(|_| true);
        if late.is_empty() {
            return;
        }
        warn!(
            sessions = late.len(),
            "the deadline has passed: ending sessions with calls in flight"
        );
        for session in late {
            session.close(CloseReason::Shutdown);
        }
        self.wait_for_sessions(LAST_WORDS).await;
    }

    async fn wait_for_sessions(&self, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        while self.has_clients() && Instant::now() < deadline {
            sleep(DRAIN_CHECK).await;
        }
    }

    fn has_clients(&self) -> bool {
        !self.process.hub.is_empty() || self.all_listeners().any(|it| it.has_connections())
    }

    fn all_listeners(&self) -> impl Iterator<Item = &Arc<Listener>> {
        let running = self.listeners.iter();
        running
            .map(|running| running.server.listener())
            .chain(&self.earlier)
    }

    /// Tells sessions that their listener drains: they end when they have no call in flight.
    pub(super) fn drain_sessions(&self, which: impl Fn(&SessionRef) -> bool) {
        for session in self.process.hub.sessions(which) {
            session.wake();
        }
    }
}
