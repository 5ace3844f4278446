//! Events that nobody wants: told in the log once per name, so that a client in a loop does not fill it.

use std::collections::HashSet;

use parking_lot::Mutex;
use polyport_core::{EventName, Listener};

/// Names that are remembered. Clients choose them, so that beyond these the log is silent.
const NAMES: usize = 1000;

/// The names that a listener's log has told of.
#[derive(Debug, Default)]
pub struct Unwanted(Mutex<HashSet<EventName>>);

impl Unwanted {
    /// Logs the name of an event, the first time.
    pub fn note(&self, listener: &Listener, name: &EventName) {
        if tracing::enabled!(tracing::Level::DEBUG) && self.is_new(name) {
            tracing::debug!(listener = listener.name(), event = %name, "nobody wants an event of this name");
        }
    }

    fn is_new(&self, name: &EventName) -> bool {
        let mut names = self.0.lock();
        names.len() < NAMES && names.insert(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_once_and_not_too_many() {
        let unwanted = Unwanted::default();
        let name = |number: usize| EventName::new(&number.to_string()).unwrap();
        for number in 0..NAMES {
            assert!(unwanted.is_new(&name(number)), "{number}");
            assert!(!unwanted.is_new(&name(number)), "{number}");
        }
        assert!(!unwanted.is_new(&name(NAMES)));
    }
}
