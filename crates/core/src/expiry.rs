//! When the identities of open sessions end.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::{CloseReason, Expiry, Hub, Identity, Millis, OnExpiry, SessionId};

/// The sessions whose identity ends, the next one first. Each is in it once, and leaves it when it ends.
#[derive(Debug, Default)]
pub(crate) struct Expiries(Mutex<BTreeSet<(Millis, SessionId)>>);

impl Expiries {
    /// A session was one and is another now. Called under the session's lock, so that what is here is true of it.
    pub(crate) fn replace(&self, id: SessionId, before: Option<&Identity>, now: Option<&Identity>) {
        let end = |identity: Option<&Identity>| Some(identity?.expiry?.at);
        let (before, now) = (end(before), end(now));
        if before == now {
            return;
        }
        let mut ends = self.0.lock();
        if let Some(at) = before {
            ends.remove(&(at, id));
        }
        if let Some(at) = now {
            ends.insert((at, id));
        }
    }

    fn take_due(&self, now: Millis) -> Vec<SessionId> {
        let mut ends = self.0.lock();
        let mut due = Vec::new();
        while let Some(&(at, id)) = ends.first() {
            if at > now {
                break;
            }
            ends.pop_first();
            due.push(id);
        }
        due
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Hub {
    /// Ends the identities whose time has come, each in the way that it says itself. To be called about once a second; how
    /// many there were.
    pub fn expire_identities(&self, now: Millis) -> usize {
        let due = self.expiries().take_due(now);
        due.into_iter()
            .filter_map(|id| self.session(id))
            // It may have become somebody else meanwhile.
            .filter(|session| {
                let expiry = session.identity().and_then(|identity| identity.expiry);
                match expiry {
                    Some(Expiry { at, then }) if at <= now => {
                        match then {
                            OnExpiry::Close => session.close(CloseReason::IdentityExpired),
                            OnExpiry::Downgrade => session.identity_expired(),
                        }
                        true
                    }
                    _ => false,
                }
            })
            .count()
    }

    /// How many open sessions have an identity that ends.
    #[must_use]
    pub fn ending_identities(&self) -> usize {
        self.expiries().len()
    }
}
