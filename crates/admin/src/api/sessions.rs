//! Who is connected.

use std::collections::HashSet;

use polyport_core::{
    Known, Millis, NameError, RealmName, RoomName, SessionId, SessionInfo, SessionRef, Whereabouts,
    user_room,
};
use serde::Serialize;

use crate::api::{
    Api,
    answer::Answer,
    error::{ApiError, Code},
    keys::ApiKey,
    query::{Cursor, Page, Query},
};

const PARAMETERS: &[&str] = &[
    "listener", "protocol", "room", "user", "realm", "search", "limit", "cursor",
];

#[derive(Debug, Serialize)]
struct Sessions {
    sessions: Vec<SessionBody>,
    next: Cursor,
    /// Whether other nodes' sessions are all there, if there may be other nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
}

/// One session. Claims and params are nobody else's business.
#[derive(Debug, Serialize)]
struct SessionBody {
    id: SessionId,
    realm: RealmName,
    listener: String,
    protocol: String,
    peer: String,
    /// Milliseconds since the Unix epoch.
    opened_at: u64,
    user: Option<String>,
    site: Option<String>,
    rooms: Vec<RoomName>,
    /// Known of this node's own alone.
    calls_in_flight: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

/// Which sessions are wanted.
struct Filter<'a> {
    listener: Option<&'a str>,
    protocol: Option<&'a str>,
    realm: Option<&'a RealmName>,
    /// A part of the id, the user or the address of the other end.
    search: Option<&'a str>,
    /// They are in all of these.
    rooms: &'a [RoomName],
}

impl Filter<'_> {
    fn means(&self, session: &SessionInfo) -> bool {
        self.listener.is_none_or(|name| session.listener == name)
            && self.protocol.is_none_or(|name| session.protocol == name)
            && self.realm.is_none_or(|name| session.realm == *name)
            && self.search.is_none_or(|part| {
                is_found(part, session.id, &session.peer, session.user.as_deref())
            })
    }

    fn means_here(&self, session: &SessionRef) -> bool {
        let listener = session.listener();
        self.listener.is_none_or(|name| listener.name() == name)
            && self.protocol.is_none_or(|name| listener.protocol() == name)
            && self.realm.is_none_or(|name| session.realm().name() == name)
            && self.rooms.iter().all(|room| session.is_in(room))
            && self.search.is_none_or(|part| {
                let identity = session.identity();
                let user = identity.as_ref().and_then(|who| who.user.as_deref());
                is_found(part, session.id(), &session.peer().to_string(), user)
            })
    }
}

impl Api {
    /// The sessions that every filter picks. A key with rooms has to name one of them, or a user of its own.
    pub(crate) async fn sessions(
        &self,
        key: &ApiKey,
        query: Option<&str>,
    ) -> Result<Answer, ApiError> {
        let query = Query::parse(query, PARAMETERS)?;
        let page = query.page()?;
        let realm = query.read("realm", RealmName::new)?;
        let mut rooms = Vec::new();
        rooms.extend(query.read("room", RoomName::new)?);
        rooms.extend(query.read("user", |user| match user {
            "" => Err(NameError::Empty),
            user => user_room(user),
        })?);
        if rooms.is_empty() {
            key.check_unbounded()?;
        }
        rooms.iter().try_for_each(|room| key.check_room(room))?;
        let is_in_default = realm.is_none() && !rooms.is_empty();
        let filter = Filter {
            listener: query.get("listener"),
            protocol: query.get("protocol"),
            realm: realm
                .as_ref()
                .or_else(|| is_in_default.then(|| self.realm())),
            search: query.get("search"),
            rooms: &rooms,
        };
        let found = self.sessions_of_all(&filter, &page).await;
        let has_found = !found.value.is_empty();
        filter
            .realm
            .map_or(Ok(()), |realm| self.check_realm(realm, has_found))?;
        let (sessions, next) = page.cut(
            found.value,
            |session| session.id(),
            |session| session.id().to_string(),
            |text| text.parse().ok(),
        )?;
        let sessions = sessions.into_iter().map(|found| self.body(found, key));
        Ok(Answer::ok(&Sessions {
            sessions: sessions.collect(),
            next,
            complete: self.node().map(|_| found.is_complete),
        }))
    }

    /// All sessions of this node, and those of other nodes that can be on the page.
    async fn sessions_of_all(&self, filter: &Filter<'_>, page: &Page) -> Known<Vec<Found>> {
        let mut found: Vec<Found> = self
            .sessions_here(filter)
            .into_iter()
            .map(Found::Here)
            .collect();
        let Some(cluster) = self.hub().cluster() else {
            return Known {
                value: found,
                is_complete: true,
            };
        };
        let mut is_complete = true;
        // Of a second room only who is in it is of interest.
        let mut also: Option<HashSet<SessionId>> = None;
        if let (Some(realm), [_, room]) = (filter.realm, filter.rooms) {
            let members = cluster.members(realm, room).await;
            is_complete &= members.is_complete;
            also = Some(members.value.iter().map(|member| member.session).collect());
        }
        let here: HashSet<SessionId> = found.iter().map(Found::id).collect();
        let is_wanted = |session: &SessionInfo| {
            filter.means(session)
                && !here.contains(&session.id)
                && also.as_ref().is_none_or(|also| also.contains(&session.id))
        };
        let room = filter.realm.zip(filter.rooms.first());
        let others = cluster.sessions(room, page.part(&is_wanted)).await;
        is_complete &= others.is_complete;
        found.extend(others.value.into_iter().map(Found::There));
        Known {
            value: found,
            is_complete,
        }
    }

    fn sessions_here(&self, filter: &Filter<'_>) -> Vec<SessionRef> {
        let (Some(realm), Some(room)) = (filter.realm, filter.rooms.first()) else {
            return self.hub().sessions(|session| filter.means_here(session));
        };
        let realm = self.hub().find_realm(realm.as_str());
        let members = realm.map(|realm| realm.members(room)).unwrap_or_default();
        let members = members.into_iter();
        members
            .filter_map(|member| self.hub().session(member.id))
            .filter(|session| filter.means_here(session))
            .collect()
    }

    pub(crate) async fn session(
        &self,
        key: &ApiKey,
        id: &str,
        query: Option<&str>,
    ) -> Result<Answer, ApiError> {
        Query::parse(query, &[])?;
        key.check_unbounded()?;
        let unknown = || {
            let message = format!("there is no session `{id}`");
            ApiError::new(Code::UnknownSession, message)
        };
        let id: SessionId = id.parse().map_err(|_| unknown())?;
        let found = match self.hub().find_session(None, id).await? {
            Whereabouts::Here(session) => Found::Here(session),
            Whereabouts::There(info) => Found::There(*info),
            Whereabouts::Unknown => return Err(ApiError::out_of_reach()),
        };
        Ok(Answer::ok(&self.body(found, key)))
    }

    fn body(&self, found: Found, key: &ApiKey) -> SessionBody {
        let calls_in_flight = match &found {
            Found::Here(session) => Some(session.calls_in_flight()),
            Found::There(_) => None,
        };
        let mut info = match found {
            Found::Here(session) => SessionInfo::of(&session),
            Found::There(info) => info,
        };
        info.rooms.retain(|room| key.means(room));
        let Millis(opened_at) = info.opened_at;
        let node = info.node.or_else(|| self.node());
        SessionBody {
            id: info.id,
            realm: info.realm,
            listener: info.listener,
            protocol: info.protocol,
            peer: info.peer,
            opened_at,
            user: info.user,
            site: info.site,
            rooms: info.rooms,
            calls_in_flight,
            node: node.map(|node| node.to_string()),
        }
    }
}

/// Whether one of the things that a session is known by has `part` in it.
fn is_found(part: &str, id: SessionId, peer: &str, user: Option<&str>) -> bool {
    id.to_string().contains(part)
        || peer.contains(part)
        || user.is_some_and(|user| user.contains(part))
}

/// A session that is to be shown.
enum Found {
    Here(SessionRef),
    There(SessionInfo),
}

impl Found {
    fn id(&self) -> SessionId {
        match self {
            Self::Here(session) => session.id(),
            Self::There(info) => info.id,
        }
    }
}
