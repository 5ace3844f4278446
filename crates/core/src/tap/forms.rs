//! How protocols write an event, for whoever watches.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::record::cut;
use crate::{Dialect, Event, Hub, RealmName, room::same};

/// What each protocol writes, by the protocol's name; further dialects of it have a number behind.
#[derive(Debug, Default)]
pub(super) struct Forms(Vec<(String, String)>);

impl Forms {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has every dialect write the event that it could concern: those of the room's members, of the listeners of its realm,
    /// and of the sessions that are meant by themselves.
    pub(super) fn of(
        hub: &Hub,
        event: &Event,
        realm: Option<&RealmName>,
        own: impl Iterator<Item = Arc<dyn Dialect>>,
    ) -> Self {
        let mut dialects: Vec<Arc<dyn Dialect>> = Vec::new();
        let mut add = |dialect: Arc<dyn Dialect>| {
            if !dialects.iter().any(|known| same(known, &dialect)) {
                dialects.push(dialect);
            }
        };
        own.for_each(&mut add);
        if let Some(realm) = realm.and_then(|name| hub.find_realm(name.as_str())) {
            let room = event
                .room
                .as_ref()
                .and_then(|name| realm.find(name.as_str()));
            let members = room.map(|room| room.dialects()).unwrap_or_default();
            members.into_iter().for_each(&mut add);
            for listener in hub.listeners() {
                if Arc::ptr_eq(listener.realm(), &realm) {
                    add(Arc::clone(listener.dialect()));
                }
            }
        }
        let mut forms = Self::default();
        for dialect in dialects {
            if dialect.carries(event) {
                forms.add(dialect.protocol(), dialect.show(&dialect.sample(event)));
            }
        }
        forms
    }

    fn add(&mut self, protocol: &str, text: String) {
        let text = cut(text);
        let is_of_it = |name: &str| name.split('#').next() == Some(protocol);
        if self
            .0
            .iter()
            .any(|(name, known)| is_of_it(name) && *known == text)
        {
            return;
        }
        let others = self.0.iter().filter(|(name, _)| is_of_it(name)).count();
        let name = match others {
            0 => protocol.to_owned(),
            _ => format!("{protocol}#{}", others + 1),
        };
        self.0.push((name, text));
    }
}

impl Serialize for Forms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, text)| (name, text)))
    }
}
