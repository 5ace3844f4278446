//! Which rooms there are, and who is in them.

use std::collections::BTreeMap;

use polyport_core::{Known, Member, Millis, RealmName, RoomInfo, RoomName, SessionId};
use serde::Serialize;

use crate::api::{
    Api,
    answer::Answer,
    error::{ApiError, Code},
    keys::ApiKey,
    query::{Cursor, Page, Query},
};

#[derive(Debug, Serialize)]
struct Rooms {
    realm: RealmName,
    rooms: Vec<Room>,
    next: Cursor,
    /// Whether other nodes' rooms are all there, if there may be other nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Room {
    name: RoomName,
    members: usize,
    /// Events that this node has given to its members.
    events: u64,
}

#[derive(Debug, Serialize)]
struct Presence {
    realm: RealmName,
    room: RoomName,
    /// In all, on this page or not.
    count: usize,
    members: Vec<MemberBody>,
    next: Cursor,
    /// Whether other nodes' members are all there, if there may be other nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
}

#[derive(Debug, Serialize)]
struct MemberBody {
    session: SessionId,
    user: Option<String>,
    /// Milliseconds since the Unix epoch.
    since: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

impl Api {
    /// The rooms of a realm, by name; of a key with rooms, those that match.
    pub(crate) async fn rooms(
        &self,
        key: &ApiKey,
        query: Option<&str>,
    ) -> Result<Answer, ApiError> {
        let query = Query::parse(query, &["realm", "prefix", "limit", "cursor"])?;
        let page = query.page()?;
        let realm = query.read("realm", RealmName::new)?;
        let realm = realm.as_ref().unwrap_or_else(|| self.realm());
        let prefix = query.get("prefix").unwrap_or_default();
        let found = self.rooms_of_all(realm, prefix, key, &page).await;
        self.check_realm(realm, !found.value.is_empty())?;
        let name = |room: &RoomInfo| room.name.as_str().to_owned();
        let (rooms, next) = page.cut(found.value, name, name, |text| Some(text.to_owned()))?;
        let rooms = rooms.into_iter().map(|room| Room {
            name: room.name,
            members: room.members,
            events: room.events,
        });
        Ok(Answer::ok(&Rooms {
            realm: realm.clone(),
            rooms: rooms.collect(),
            next,
            complete: self.node().map(|_| found.is_complete),
        }))
    }

    /// All rooms of this node, and those of other nodes that can be on the page.
    async fn rooms_of_all(
        &self,
        realm: &RealmName,
        prefix: &str,
        key: &ApiKey,
        page: &Page,
    ) -> Known<Vec<RoomInfo>> {
        let is_wanted = |name: &RoomName| name.as_str().starts_with(prefix) && key.means(name);
        let here = self.hub().find_realm(realm.as_str());
        let here = here.map(|here| here.rooms(is_wanted)).unwrap_or_default();
        let Some(cluster) = self.hub().cluster() else {
            return Known {
                value: here,
                is_complete: true,
            };
        };
        let others = cluster.rooms(realm, prefix, page.part(&is_wanted)).await;
        let mut rooms: BTreeMap<String, RoomInfo> = BTreeMap::new();
        for room in here.into_iter().chain(others.value) {
            let known = rooms.entry(room.name.as_str().to_owned());
            known
                .and_modify(|known| known.members += room.members)
                .or_insert(room);
        }
        Known {
            value: rooms.into_values().collect(),
            is_complete: others.is_complete,
        }
    }

    /// The members of a room, in order of joining. A room that does not exist has none.
    pub(crate) async fn presence(
        &self,
        key: &ApiKey,
        query: Option<&str>,
    ) -> Result<Answer, ApiError> {
        let query = Query::parse(query, &["room", "realm", "limit", "cursor"])?;
        let page = query.page()?;
        let realm = query.read("realm", RealmName::new)?;
        let room = query.read("room", RoomName::new)?;
        let room = room
            .ok_or_else(|| ApiError::new(Code::MalformedRequest, "parameter `room` is missing"))?;
        key.check_room(&room)?;
        let realm = realm.as_ref().unwrap_or_else(|| self.realm());
        let found = self.hub().presence(realm, &room).await;
        let count = found.value.len();
        self.check_realm(realm, count > 0)?;
        let node = self.node();
        // Where this node alone counts, its own order does, which the clock does not disturb.
        let place = |member: &Member| Place {
            joined_at: node.as_ref().map_or(0, |_| member.joined_at.0),
            place: member.place,
            session: member.session,
        };
        let (members, next) = page.cut(
            found.value,
            place,
            |member| place(member).written(),
            Place::read,
        )?;
        let members = members.into_iter().map(|member| {
            let Millis(since) = member.joined_at;
            let node = member.node.as_ref().or(node.as_ref());
            MemberBody {
                session: member.session,
                user: member.user,
                since,
                node: node.map(ToString::to_string),
            }
        });
        Ok(Answer::ok(&Presence {
            realm: realm.clone(),
            room,
            count,
            members: members.collect(),
            next,
            complete: node.as_ref().map(|_| found.is_complete),
        }))
    }
}

/// Where a member stands in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    joined_at: u64,
    place: u64,
    session: SessionId,
}

impl Place {
    fn written(self) -> String {
        format!("{} {} {}", self.joined_at, self.place, self.session)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let place = Self {
            joined_at: parts.next()?.parse().ok()?,
            place: parts.next()?.parse().ok()?,
            session: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(place)
    }
}
