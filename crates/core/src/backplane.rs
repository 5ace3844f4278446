//! How the nodes of a cluster reach each other.

use std::time::Duration;

use crate::{
    Args, Cluster, Event, EventName, Frame, Hub, Json, Keeping, Known, Listener, Place, RealmName,
    RoomName, SessionId, Target,
};

/// The way to the other nodes. The hub tells it what it does, after it has done it here, but for what comes back; every
/// method returns at once.
///
/// What changed is only named: whoever wants to know how it is now asks the hub, so that what is told late or twice does no
/// harm.
pub trait Backplane: Send + Sync {
    /// Sends an event on its way to the sessions of other nodes that the target reaches.
    fn publish(&self, target: Target<'_>, event: &Event) -> Promise;

    /// Whether events for this target come back to this node as they come to all others. Then the hub leaves it to the backplane
    /// to queue them here, with [`crate::Hub::deliver`], in the order on which all nodes agree, and also when the others are out
    /// of reach. Of several targets one that comes back is enough; all of them are in one realm when they are published.
    fn brings_back(&self, _: Target<'_>) -> bool {
        false
    }

    /// Whether other nodes may have sessions in a realm that this one does not have.
    fn reaches(&self, _: &RealmName) -> bool {
        false
    }

    /// Sends a finished frame on its way to the sessions of the listener of the same name on every other node.
    fn relay(&self, listener: &Listener, frame: &Frame) -> Promise;

    /// Sends an order on its way to the sessions of other nodes that the target reaches.
    fn order(&self, target: Target<'_>, order: Order<'_>) -> Promise;

    /// A realm has come or gone.
    fn realm_changed(&self, realm: &RealmName);

    /// A session has joined a room or left it.
    fn membership_changed(&self, realm: &RealmName, room: &RoomName, session: SessionId);

    /// A session has opened or ended, or is somebody else now.
    fn session_changed(&self, realm: &RealmName, session: SessionId);

    /// Tells something to the other servers of a realm, not to their sessions, and gives `done` what they have answered when
    /// all have or `limit` is over.
    fn ask_servers(
        &self,
        realm: &RealmName,
        event: EventName,
        args: Args,
        limit: Duration,
        done: ServersAnswered,
    ) {
        let _ = (realm, event, args, limit);
        done(Some(Known::nothing()));
    }

    /// What other nodes have put on record about their sessions, if they do.
    fn cluster(&self) -> Option<&dyn Cluster> {
        None
    }

    /// What keeps sessions whose clients are lost, if their nodes share a history in which those find what they missed.
    fn keeping(&self) -> Option<&dyn Keeping> {
        None
    }

    /// The place in the history of a realm up to which everything has been queued here, if all nodes share a history of it.
    fn place(&self, _: &RealmName) -> Option<Place> {
        None
    }
}

/// Gets what other servers have answered, one value of each; nothing if they are out of reach.
pub type ServersAnswered = Box<dyn FnOnce(Option<Known<Vec<Json>>>) + Send>;

impl Hub {
    /// Tells something to the other servers of a realm, as [`Backplane::ask_servers`] does. Without a backplane there are
    /// none.
    pub fn ask_servers(
        &self,
        realm: &RealmName,
        event: EventName,
        args: Args,
        limit: Duration,
        done: ServersAnswered,
    ) {
        match self.backplane() {
            Some(backplane) => backplane.ask_servers(realm, event, args, limit, done),
            None => done(Some(Known::nothing())),
        }
    }
}

/// What is to be done to sessions, wherever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order<'a> {
    /// They join a room.
    Join(&'a RoomName),
    /// They leave a room.
    Leave(&'a RoomName),
    /// They end.
    Disconnect {
        /// Whether their connections end too, where a connection can have several sessions.
        whole: bool,
    },
}

/// What a publisher can count on for the sessions of other nodes. Even what is sent arrives at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// There are no other nodes to whom it would matter.
    Alone,
    /// It is on its way.
    Sent,
    /// They do not get it: the backplane is out of reach, or has more to send than it may keep.
    NotSent,
}

impl Promise {
    /// What can be promised of two messages together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::NotSent, _) | (_, Self::NotSent) => Self::NotSent,
            (Self::Sent, _) | (_, Self::Sent) => Self::Sent,
            (Self::Alone, Self::Alone) => Self::Alone,
        }
    }
}
