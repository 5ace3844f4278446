//! Who is connected.

use polyport_core::{Millis, NameError, RealmName, RoomName, SessionId, SessionRef, user_room};
use serde::Serialize;

use crate::api::{
    Api,
    answer::Answer,
    error::{ApiError, Code},
    keys::ApiKey,
    query::{Cursor, Query},
};

const PARAMETERS: &[&str] = &[
    "listener", "protocol", "room", "user", "realm", "limit", "cursor",
];

#[derive(Debug, Serialize)]
struct Sessions {
    sessions: Vec<SessionInfo>,
    next: Cursor,
}

/// One session. Claims and params are nobody else's business.
#[derive(Debug, Serialize)]
struct SessionInfo {
    id: SessionId,
    realm: RealmName,
    listener: String,
    protocol: &'static str,
    peer: String,
    /// Milliseconds since the Unix epoch.
    opened_at: u64,
    user: Option<String>,
    site: Option<String>,
    rooms: Vec<RoomName>,
    calls_in_flight: usize,
}

impl SessionInfo {
    fn of(session: &SessionRef, key: &ApiKey) -> Self {
        let identity = session.identity();
        let text = |text: Option<&str>| text.map(str::to_owned);
        let mut rooms = session.rooms();
        rooms.retain(|room| key.means(room));
        let Millis(opened_at) = session.opened_at();
        Self {
            id: session.id(),
            realm: session.realm().name().clone(),
            listener: session.listener().name().to_owned(),
            protocol: session.listener().protocol(),
            peer: session.peer().to_string(),
            opened_at,
            user: text(identity.as_ref().and_then(|who| who.user.as_deref())),
            site: text(identity.as_ref().and_then(|who| who.site.as_deref())),
            rooms,
            calls_in_flight: session.calls_in_flight(),
        }
    }
}

impl Api {
    /// The sessions that every filter picks. A key with rooms has to name one of them, or a user of its own.
    pub(crate) fn sessions(&self, key: &ApiKey, query: Option<&str>) -> Result<Answer, ApiError> {
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
        let realm = match (realm, rooms.is_empty()) {
            (Some(realm), _) => Some(self.find_realm(&realm)?),
            (None, true) => None,
            (None, false) => Some(self.find_realm(self.realm())?),
        };
        let (listener, protocol) = (query.get("listener"), query.get("protocol"));
        let is_wanted = |session: &SessionRef| {
            let of = session.listener();
            listener.is_none_or(|listener| of.name() == listener)
                && protocol.is_none_or(|protocol| of.protocol() == protocol)
                && realm
                    .as_ref()
                    .is_none_or(|realm| of.realm().name() == realm.name())
        };
        let found = match (&realm, rooms.split_first()) {
            (Some(realm), Some((room, others))) => {
                let members = realm.members(room).into_iter();
                members
                    .filter_map(|member| self.hub().session(member.id))
                    .filter(|session| others.iter().all(|room| session.is_in(room)))
                    .filter(is_wanted)
                    .collect()
            }
            _ => self.hub().sessions(is_wanted),
        };
        let (found, next) = page.cut(
            found,
            SessionRef::id,
            |session| session.id().to_string(),
            |text| text.parse().ok(),
        )?;
        let sessions = found
            .iter()
            .map(|session| SessionInfo::of(session, key))
            .collect();
        Ok(Answer::ok(&Sessions { sessions, next }))
    }

    pub(crate) fn session(
        &self,
        key: &ApiKey,
        id: &str,
        query: Option<&str>,
    ) -> Result<Answer, ApiError> {
        Query::parse(query, &[])?;
        key.check_unbounded()?;
        let session = id.parse().ok().and_then(|id| self.hub().session(id));
        let session = session.ok_or_else(|| {
            ApiError::new(Code::UnknownSession, format!("there is no session `{id}`"))
        })?;
        Ok(Answer::ok(&SessionInfo::of(&session, key)))
    }
}
