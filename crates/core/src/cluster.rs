//! What is known of the sessions of other nodes, and what is known of all of them together.

use std::{collections::HashSet, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Args, CommandError, Event, Hub, Millis, RealmName, RoomInfo, RoomName, SessionId, SessionRef,
};

/// Comes later, and borrows what it needs until then.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the other nodes have put on record about their sessions. Nobody is asked and waited for, but by
/// [`Cluster::ask`]. A node that has died is forgotten when its time to live is over.
pub trait Cluster: Send + Sync {
    /// By what the other nodes know this one.
    fn node(&self) -> &Arc<str>;

    /// The members of a room that are sessions of other nodes, in no order.
    fn members<'a>(
        &'a self,
        realm: &'a RealmName,
        room: &'a RoomName,
    ) -> Soon<'a, Known<Vec<Member>>>;

    /// The rooms of a realm in which sessions of other nodes are, whose names begin with `prefix`. A room is there once for
    /// each of the nodes.
    fn rooms<'a>(
        &'a self,
        realm: &'a RealmName,
        prefix: &'a str,
        part: Part<'a, RoomName>,
    ) -> Soon<'a, Known<Vec<RoomInfo>>>;

    /// The sessions of other nodes, those in a room if one is named.
    fn sessions<'a>(
        &'a self,
        room: Option<(&'a RealmName, &'a RoomName)>,
        part: Part<'a, SessionInfo>,
    ) -> Soon<'a, Known<Vec<SessionInfo>>>;

    /// The session of that id, if another node has it.
    fn session(&self, id: SessionId) -> Soon<'_, Known<Option<SessionInfo>>>;

    /// Tells an event to a session of another node alone, and waits for its client's answer, but no longer than `limit`.
    fn ask<'a>(
        &'a self,
        session: &'a SessionInfo,
        event: &'a Event,
        limit: Duration,
    ) -> Soon<'a, Asked>;
}

/// What is known of other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known<T> {
    /// As far as it is known.
    pub value: T,
    /// Whether that is all. Of records: they are in reach, and no node is still writing its own.
    pub is_complete: bool,
}

impl<T> Known<Vec<T>> {
    /// There is nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            value: Vec::new(),
            is_complete: true,
        }
    }
}

/// Which part of a long list is wanted: of each node, the first ones behind a name that are to somebody's liking.
#[derive(Clone, Copy)]
pub struct Part<'a, T> {
    /// Behind this name or id; from the beginning without one.
    pub after: Option<&'a str>,
    /// So many.
    pub count: usize,
    /// Which ones.
    pub wanted: &'a (dyn Fn(&T) -> bool + Sync),
}

/// One member of a room, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The node that has it; nothing if that is this one.
    pub node: Option<Arc<str>>,
    /// The session.
    pub session: SessionId,
    /// Whose it is, if that is known.
    pub user: Option<String>,
    /// When it joined.
    pub joined_at: Millis,
    /// Where it stands in the order of joining on its node.
    pub place: u64,
}

/// One session, wherever it is. Claims and params are nobody else's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The node that has it; nothing if that is this one.
    #[serde(skip)]
    pub node: Option<Arc<str>>,
    /// The session.
    pub id: SessionId,
    /// The realm it lives in.
    pub realm: RealmName,
    /// The listener it came through.
    pub listener: String,
    /// Its protocol.
    pub protocol: String,
    /// The other end of its connection.
    pub peer: String,
    /// When it opened.
    pub opened_at: Millis,
    /// Whose it is, if that is known.
    pub user: Option<String>,
    /// The site of its identity, if that is known.
    pub site: Option<String>,
    /// The rooms it is in, in order of joining; of a session of another node perhaps not all.
    pub rooms: Vec<RoomName>,
}

/// What came of asking the client of another node's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It answered.
    Answered(Args),
    /// It answered with this error.
    Failed(crate::Json),
    /// The session ended without an answer.
    Ended,
    /// Clients of its protocol answer nothing.
    NoAcks,
    /// Nothing was heard in time.
    NoAnswer,
    /// Other nodes are out of reach.
    OutOfReach,
}

/// Where a session is.
#[derive(Debug, Clone)]
pub enum Whereabouts {
    /// Here.
    Here(SessionRef),
    /// On another node.
    There(Box<SessionInfo>),
    /// Not here, and other nodes may have it: their records are out of reach or not complete, or there are none.
    Unknown,
}

impl SessionInfo {
    /// A session of this node, as it is now.
    #[must_use]
    pub fn of(session: &SessionRef) -> Self {
        let identity = session.identity();
        let text = |text: Option<&str>| text.map(str::to_owned);
        let listener = session.listener();
        Self {
            node: None,
            id: session.id(),
            realm: session.realm().name().clone(),
            listener: listener.name().to_owned(),
            protocol: listener.protocol().to_owned(),
            peer: session.peer().to_string(),
            opened_at: session.opened_at(),
            user: text(identity.as_ref().and_then(|who| who.user.as_deref())),
            site: text(identity.as_ref().and_then(|who| who.site.as_deref())),
            rooms: session.rooms(),
        }
    }
}

impl Hub {
    /// What other nodes have put on record, if they do.
    #[must_use]
    pub fn cluster(&self) -> Option<&dyn Cluster> {
        self.backplane()?.cluster()
    }

    /// Who is in a room on all nodes, in no order. Empty for a room that does not exist.
    pub async fn presence(&self, realm: &RealmName, room: &RoomName) -> Known<Vec<Member>> {
        let others = match self.cluster() {
            Some(cluster) => cluster.members(realm, room).await,
            None => Known {
                value: Vec::new(),
                is_complete: true,
            },
        };
        let mut members = self.members_here(realm, room);
        let here: HashSet<_> = members.iter().map(|it| it.session).collect();
        let is_elsewhere = |member: &Member| !here.contains(&member.session);
        members.extend(others.value.into_iter().filter(is_elsewhere));
        Known {
            value: members,
            is_complete: others.is_complete,
        }
    }

    fn members_here(&self, realm: &RealmName, room: &RoomName) -> Vec<Member> {
        let realm = self.find_realm(realm.as_str());
        let members = realm.map(|realm| realm.members(room)).unwrap_or_default();
        let members = members.into_iter().map(|member| {
            let session = self.session(member.id);
            let identity = session.and_then(|session| session.identity());
            Member {
                node: None,
                session: member.id,
                user: identity.and_then(|who| who.user.as_deref().map(str::to_owned)),
                joined_at: member.joined_at,
                place: member.place,
            }
        });
        members.collect()
    }

    /// Where the session of that id is, if it is in the realm, where one was named.
    ///
    /// # Errors
    /// [`CommandError::UnknownSession`]: it is for sure that no node has it there.
    pub async fn find_session(
        &self,
        realm: Option<&RealmName>,
        id: SessionId,
    ) -> Result<Whereabouts, CommandError> {
        let unknown = Err(CommandError::UnknownSession(id));
        let is_there = |name: &RealmName| realm.is_none_or(|realm| realm == name);
        if let Some(session) = self.session(id) {
            let is_there = is_there(session.realm().name());
            return is_there
                .then(|| Whereabouts::Here(session))
                .map_or(unknown, Ok);
        }
        if self.backplane().is_none() {
            return unknown;
        }
        let Some(cluster) = self.cluster() else {
            return Ok(Whereabouts::Unknown);
        };
        match cluster.session(id).await {
            Known {
                value: Some(found), ..
            } if is_there(&found.realm) => Ok(Whereabouts::There(Box::new(found))),
            Known {
                value: None,
                is_complete: false,
            } => Ok(Whereabouts::Unknown),
            _ => unknown,
        }
    }
}
