//! What there may be on record of this node, as it remembers.

use std::collections::{HashMap, HashSet};

use polyport_core::{RealmName, RoomName};

/// The rooms of which there may be a record of this node.
#[derive(Default)]
pub(super) struct Written(HashMap<RealmName, HashSet<RoomName>>);

impl Written {
    pub(super) fn add(&mut self, realm: &RealmName, room: &RoomName) {
        match self.0.get_mut(realm) {
            Some(rooms) => {
                rooms.insert(room.clone());
            }
            None => {
                self.0.insert(realm.clone(), HashSet::from([room.clone()]));
            }
        }
    }

    pub(super) fn remove(&mut self, realm: &RealmName, room: &RoomName) {
        if let Some(rooms) = self.0.get_mut(realm) {
            rooms.remove(room);
            if rooms.is_empty() {
                self.0.remove(realm);
            }
        }
    }

    pub(super) fn realms(&self) -> impl Iterator<Item = &RealmName> {
        self.0.keys()
    }

    pub(super) fn rooms(&self) -> Vec<(RealmName, RoomName)> {
        let realms = self.0.iter();
        let rooms = realms
            .flat_map(|(realm, rooms)| rooms.iter().map(|room| (realm.clone(), room.clone())));
        rooms.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_that_are_written_are_known() {
        let realm = RealmName::new("default").unwrap();
        let room = RoomName::new("a").unwrap();
        let mut written = Written::default();
        written.add(&realm, &room);
        written.add(&realm, &room);
        assert_eq!(written.rooms(), [(realm.clone(), room.clone())]);
        written.remove(&realm, &room);
        written.remove(&realm, &room);
        assert!(written.0.is_empty());
    }
}
