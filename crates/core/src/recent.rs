//! What has happened lately, for whoever looks at the node: the last occurrences of a kind, and no more of them.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use crate::{Millis, Peer, RefuseReason, SessionId};

/// Refusals that are remembered.
const REFUSALS: usize = 100;

/// Sessions that are remembered because they read too slowly.
const TOO_SLOW: usize = 20;

/// A connection that never became a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// When it was turned away.
    pub at: Millis,
    /// The listener's name.
    pub listener: Arc<str>,
    /// Where it came from, as far as that was known.
    pub peer: Option<IpAddr>,
    /// Why.
    pub reason: RefuseReason,
}

/// A session that was ended because its outbox was full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooSlow {
    /// When it ended.
    pub at: Millis,
    /// Its id.
    pub session: SessionId,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The other end.
    pub peer: Peer,
}

/// What has happened lately on this node.
#[derive(Debug)]
pub struct Recent {
    /// Connections that were turned away.
    pub refusals: Latest<Refusal>,
    /// Sessions that read too slowly.
    pub too_slow: Latest<TooSlow>,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            refusals: Latest::new(REFUSALS),
            too_slow: Latest::new(TOO_SLOW),
        }
    }
}

/// The last occurrences of a kind. The place for all of them is taken at once, so that keeping one costs no allocation.
#[derive(Debug)]
pub struct Latest<T> {
    most: usize,
    kept: Mutex<VecDeque<T>>,
}

impl<T> Latest<T> {
    fn new(most: usize) -> Self {
        Self {
            most,
            kept: Mutex::new(VecDeque::with_capacity(most)),
        }
    }

    pub(crate) fn push(&self, occurrence: T) {
        let mut kept = self.kept.lock();
        if kept.len() == self.most {
            kept.pop_front();
        }
        kept.push_back(occurrence);
    }
}

impl<T: Clone> Latest<T> {
    /// All that are remembered, the last one first.
    #[must_use]
    pub fn list(&self) -> Vec<T> {
        self.kept.lock().iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_ones_are_remembered_and_the_last_comes_first() {
        let latest = Latest::new(3);
        for n in 0..5 {
            latest.push(n);
        }
        assert_eq!(latest.list(), [4, 3, 2]);
    }
}
