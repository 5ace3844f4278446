//! What nodes keep for each other of sessions whose clients are lost, and the history in which those find what they missed.

use std::time::Duration;

use crate::{Arg, Event, Hub, Json, Place, RealmName, RoomName, SessionId, Soon};

/// Keeps what is needed to go on with a session on whichever node its client comes back to.
pub trait Keeping: Send + Sync {
    /// Keeps a session by a secret of its client's for so long; whether that is done.
    fn keep<'a>(&'a self, key: &'a str, kept: &'a KeptSession, time: Duration) -> Soon<'a, bool>;

    /// Takes the session of that secret: nobody else gets it then, and the node that had it ends it.
    fn take<'a>(&'a self, key: &'a str) -> Soon<'a, Taken>;

    /// Whether the session of that secret can still be taken; nothing if that cannot be told now.
    fn has<'a>(&'a self, key: &'a str) -> Soon<'a, Option<bool>>;

    /// Keeps the session of that secret no longer.
    fn forget<'a>(&'a self, key: &'a str) -> Soon<'a, ()>;

    /// What a session has missed behind a place. Nothing if that cannot be told any more, or is more than is wanted.
    fn history<'a>(
        &'a self,
        realm: &'a RealmName,
        after: Place,
        missing: Missing<'a>,
    ) -> Soon<'a, Option<History>>;
}

/// What is kept of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSession {
    /// Its id.
    pub id: SessionId,
    /// What its client calls itself, which is also a room that it is in.
    pub name: String,
    /// The rooms it was in.
    pub rooms: Vec<RoomName>,
    /// What servers of its protocol have attached to it.
    pub data: Arg,
    /// What gateways alone know of it; nothing of a session that another server had.
    pub own: Option<Json>,
}

/// What has become of a wish to take a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Here it is.
    Session(Box<KeptSession>),
    /// There is none: it was never kept, has been taken, or its time is over.
    Nothing,
    /// Whether there is one cannot be told now.
    OutOfReach,
}

/// Who has missed something.
#[derive(Debug, Clone, Copy)]
pub struct Missing<'a> {
    /// The rooms it is in, and what its client calls itself.
    pub rooms: &'a [RoomName],
    /// The listener it came through.
    pub listener: &'a str,
    /// Most bytes of arguments that are wanted.
    pub bytes: usize,
}

/// Events of a realm in their order, each with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Those that were asked for.
    pub events: Vec<Event>,
    /// Everything up to here was looked at.
    pub until: Place,
}

impl Hub {
    /// Who keeps sessions for other nodes, if somebody does.
    #[must_use]
    pub fn keeping(&self) -> Option<&dyn Keeping> {
        self.backplane()?.keeping()
    }

    /// The place in the history of a realm up to which everything has been queued here, if all nodes share a history of it.
    #[must_use]
    pub fn place(&self, realm: &RealmName) -> Option<Place> {
        self.backplane()?.place(realm)
    }
}
