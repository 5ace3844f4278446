//! Ending sessions evenly over a time, so that their clients do not all come to other nodes at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use polyport_core::{CloseReason, Hub, SessionRef, Wire};
use rand::seq::SliceRandom;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often it is looked whose turn it is.
const TICK: Duration = Duration::from_millis(20);

/// Says goodbye to one connection after the other, in no order, so that those of every listener leave evenly. Whoever waits for an answer
/// at its turn is told once it has it. Ends with the window, or when nobody is left; those who came or waited meanwhile are still there
/// then.
pub(crate) async fn over(window: Duration, hub: &Hub) {
    let mut waiting = by_connection(hub.sessions(|_| true));
    waiting.shuffle(&mut rand::rng());
    let total = waiting.len();
    let mut busy: Vec<Vec<SessionRef>> = Vec::new();
    let begin = Instant::now();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begin.elapsed() < window && !hub.is_empty() {
        ticks.tick().await;
        let left = still_waiting(total, begin.elapsed(), window);
        busy.extend(waiting.drain(left.min(waiting.len())..));
        busy.retain(|sessions| !end(sessions));
    }
}

/// Sessions that share a connection leave together: one that ends takes it away from the others.
fn by_connection(sessions: Vec<SessionRef>) -> Vec<Vec<SessionRef>> {
    let mut all: HashMap<*const Wire, Vec<SessionRef>> = HashMap::new();
    for session in sessions {
        let wire = Arc::as_ptr(session.wire());
        all.entry(wire).or_default().push(session);
    }
    all.into_values().collect()
}

/// Says goodbye on a connection, unless somebody there waits for an answer.
fn end(sessions: &[SessionRef]) -> bool {
    let is_settled = sessions.iter().all(SessionRef::is_settled);
    is_settled
        && sessions
            .iter()
            .all(|session| session.close_if_settled(CloseReason::Shutdown))
}

/// How many of all have not had their turn when so much of the window is over.
fn still_waiting(total: usize, elapsed: Duration, window: Duration) -> usize {
    let left = window.saturating_sub(elapsed).as_micros();
    let share = left * total as u128 / window.as_micros().max(1);
    usize::try_from(share).unwrap_or(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_over_the_window() {
        let check = |total, elapsed, expected| {
            let elapsed = Duration::from_millis(elapsed);
            let window = Duration::from_secs(4);
            assert_eq!(
                still_waiting(total, elapsed, window),
                expected,
                "{elapsed:?}"
            );
        };
        check(200, 0, 200);
        check(200, 1_000, 150);
        check(200, 3_999, 0);
        check(200, 5_000, 0);
        check(1, 10, 0);
        check(0, 10, 0);
    }
}
