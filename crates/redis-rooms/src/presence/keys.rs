//! The names of the records.
//!
//! Each node writes records of its own and no others, so that nobody undoes what another does. All of a cluster's keys share
//! one hash tag, so that they are in one slot of a Redis Cluster.

use polyport_core::{RealmName, RoomName};

/// What precedes the keys of a cluster.
pub(crate) struct Keys(String);

/// The keys of one node's records.
pub(crate) struct NodeKeys(String);

impl Keys {
    /// For the cluster of that name.
    pub(crate) fn new(cluster: &str) -> Self {
        // A brace would end the hash tag.
        Self(format!("polyport:{{{}}}", cluster.replace('}', "%7D")))
    }

    /// The set of all nodes, alive or not.
    pub(crate) fn nodes(&self) -> String {
        format!("{}:nodes", self.0)
    }

    pub(crate) fn of(&self, node: &str) -> NodeKeys {
        NodeKeys(format!("{}:node:{node}", self.0))
    }
}

impl NodeKeys {
    /// Exists as long as the node is alive, and says whether all of its records are written.
    pub(crate) fn beat(&self) -> String {
        self.0.clone()
    }

    /// Hash: session → what is known of it.
    pub(crate) fn sessions(&self) -> String {
        format!("{}:sessions", self.0)
    }

    /// Sorted set of the sessions' ids, all with the same score: in the order of their texts.
    pub(crate) fn ids(&self) -> String {
        format!("{}:ids", self.0)
    }

    /// Sorted set of the names of a realm's rooms in which somebody is, likewise.
    pub(crate) fn rooms(&self, realm: &RealmName) -> String {
        format!("{}:rooms:{realm}", self.0)
    }

    /// Hash: session → how it is in the room.
    pub(crate) fn room(&self, realm: &RealmName, room: &RoomName) -> String {
        // Both names may have any characters in them.
        let length = realm.as_str().len();
        format!("{}:room:{length}:{realm}:{room}", self.0)
    }

    /// What takes the place of another key when it is whole.
    pub(crate) fn draft(&self) -> String {
        format!("{}:draft", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_records_share_a_key() {
        let keys = Keys::new("socket.io").of("n");
        let key = |realm, room| {
            let realm = RealmName::new(realm).unwrap();
            keys.room(&realm, &RoomName::new(room).unwrap())
        };
        assert_eq!(
            key("default", "a:b"),
            "polyport:{socket.io}:node:n:room:7:default:a:b"
        );
        assert_ne!(key("a:b", "c"), key("a", "b:c"));
    }

    #[test]
    fn the_hash_tag_is_not_cut_short() {
        assert_eq!(Keys::new("}a{b}").nodes(), "polyport:{%7Da{b%7D}:nodes");
    }
}
