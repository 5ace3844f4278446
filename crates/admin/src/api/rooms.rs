//! Which rooms there are, and who is in them.

use polyport_core::{MemberInfo, Millis, RealmName, RoomInfo, RoomName, SessionId};
use serde::Serialize;

use crate::api::{
    Api,
    answer::Answer,
    error::{ApiError, Code},
    keys::ApiKey,
    query::{Cursor, Query},
};

#[derive(Debug, Serialize)]
struct Rooms {
    realm: RealmName,
    rooms: Vec<Room>,
    next: Cursor,
}

#[derive(Debug, Serialize)]
struct Room {
    name: RoomName,
    members: usize,
}

#[derive(Debug, Serialize)]
struct Presence {
    realm: RealmName,
    room: RoomName,
    /// In all, on this page or not.
    count: usize,
    members: Vec<Member>,
    next: Cursor,
}

#[derive(Debug, Serialize)]
struct Member {
    session: SessionId,
    user: Option<String>,
    /// Milliseconds since the Unix epoch.
    since: u64,
}

impl Api {
    /// The rooms of a realm, by name; of a key with rooms, those that match.
    pub(crate) fn rooms(&self, key: &ApiKey, query: Option<&str>) -> Result<Answer, ApiError> {
        let query = Query::parse(query, &["realm", "prefix", "limit", "cursor"])?;
        let page = query.page()?;
        let realm = query.read("realm", RealmName::new)?;
        let realm = self.find_realm(realm.as_ref().unwrap_or_else(|| self.realm()))?;
        let prefix = query.get("prefix").unwrap_or_default();
        let found = realm.rooms(|name| name.as_str().starts_with(prefix) && key.means(name));
        let name = |room: &RoomInfo| room.name.as_str().to_owned();
        let (found, next) = page.cut(found, name, name, |text| Some(text.to_owned()))?;
        let rooms = found
            .into_iter()
            .map(|RoomInfo { name, members }| Room { name, members });
        Ok(Answer::ok(&Rooms {
            realm: realm.name().clone(),
            rooms: rooms.collect(),
            next,
        }))
    }

    /// The members of a room, in order of joining. A room that does not exist has none.
    pub(crate) fn presence(&self, key: &ApiKey, query: Option<&str>) -> Result<Answer, ApiError> {
        let query = Query::parse(query, &["room", "realm", "limit", "cursor"])?;
        let page = query.page()?;
        let realm = query.read("realm", RealmName::new)?;
        let room = query.read("room", RoomName::new)?;
        let room = room
            .ok_or_else(|| ApiError::new(Code::MalformedRequest, "parameter `room` is missing"))?;
        key.check_room(&room)?;
        let realm = self.find_realm(realm.as_ref().unwrap_or_else(|| self.realm()))?;
        let found = realm.members(&room);
        let count = found.len();
        let (found, next) = page.cut(
            found,
            |member| member.place,
            |member| member.place.to_string(),
            |text| text.parse().ok(),
        )?;
        let members = found
            .into_iter()
            .map(|member| self.member(member))
            .collect();
        Ok(Answer::ok(&Presence {
            realm: realm.name().clone(),
            room,
            count,
            members,
            next,
        }))
    }

    fn member(&self, member: MemberInfo) -> Member {
        let session = self.hub().session(member.id);
        let identity = session.and_then(|session| session.identity());
        let user = identity.and_then(|who| who.user.as_deref().map(str::to_owned));
        let Millis(since) = member.joined_at;
        Member {
            session: member.id,
            user,
            since,
        }
    }
}
