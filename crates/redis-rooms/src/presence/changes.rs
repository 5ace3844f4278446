//! What may have changed since it was put on record.

use std::collections::HashSet;

use parking_lot::Mutex;
use polyport_core::{RealmName, RoomName, SessionId};
use tokio::sync::Notify;

/// So many are remembered one by one; if there are more, everything may have changed.
const MOST: usize = 100_000;

/// Something that may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// A session: whether it is there, and which rooms it is in.
    Session(SessionId),
    /// The same, and who it is to the others in its rooms.
    Identity(SessionId),
    /// How a session is in a room.
    Member(RealmName, RoomName, SessionId),
}

/// What may have changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// These, and nothing else.
    Some(HashSet<Change>),
    /// Anything.
    Everything,
}

/// Collects changes until somebody looks at them.
#[derive(Default)]
pub(crate) struct Changes {
    /// Nothing while nobody will look: then everything is looked at later.
    found: Mutex<Option<Changed>>,
    more: Notify,
}

impl Changes {
    pub(crate) fn add(&self, changes: impl IntoIterator<Item = Change>) {
        let mut found = self.found.lock();
        let Some(Changed::Some(set)) = &mut *found else {
            return;
        };
        let was_empty = set.is_empty();
        set.extend(changes);
        if set.len() > MOST {
            *found = Some(Changed::Everything);
        }
        if was_empty {
            self.more.notify_one();
        }
    }

    /// Remembers from now on.
    pub(crate) fn begin(&self) {
        *self.found.lock() = Some(Changed::Some(HashSet::new()));
    }

    /// Remembers nothing from now on.
    pub(crate) fn end(&self) {
        *self.found.lock() = None;
    }

    /// Waits for changes, and takes them.
    pub(crate) async fn take(&self) -> Changed {
        loop {
            if let Some(changed) = self.take_now() {
                return changed;
            }
            self.more.notified().await;
        }
    }

    fn take_now(&self) -> Option<Changed> {
        let mut found = self.found.lock();
        let found = found.as_mut()?;
        let is_empty = matches!(found, Changed::Some(set) if set.is_empty());
        let nothing = Changed::Some(HashSet::new());
        (!is_empty).then(|| std::mem::replace(found, nothing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Change {
        Change::Session(SessionId::random())
    }

    #[tokio::test]
    async fn what_changes_twice_is_looked_at_once() {
        let changes = Changes::default();
        changes.add([session()]);
        assert_eq!(changes.take_now(), None, "nobody will look");
        changes.begin();
        let (one, two) = (session(), session());
        changes.add([one.clone(), two.clone()]);
        changes.add([one.clone()]);
        let expected = Changed::Some(HashSet::from([one, two]));
        assert_eq!(changes.take().await, expected);
        assert_eq!(changes.take_now(), None);
    }

    #[tokio::test]
    async fn of_too_many_changes_none_is_remembered() {
        let changes = Changes::default();
        changes.begin();
        changes.add(std::iter::repeat_with(session).take(MOST + 1));
        changes.add([session()]);
        assert_eq!(changes.take().await, Changed::Everything);
        let one = session();
        changes.add([one.clone()]);
        assert_eq!(
            changes.take().await,
            Changed::Some(HashSet::from([one])),
            "and from then on they are again"
        );
    }
}
