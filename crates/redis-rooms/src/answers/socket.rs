//! A session as other servers see it.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use polyport_core::{Json, Millis, RoomName, SessionRef};

use crate::{
    codec::{Details, Handshake},
    options::Expose,
};

/// A session that counts as a socket.
pub(super) struct Socket {
    session: SessionRef,
    id: String,
    /// The room that it is alone in, which not every session has.
    own_room: Option<RoomName>,
}

impl Socket {
    /// Nothing for a session that does not count, or whose client is lost.
    pub(super) fn new(session: SessionRef, expose: Expose) -> Option<Self> {
        if let Some(id) = session.client_name() {
            let own_room = RoomName::new(&id).ok();
            return Some(Self {
                session,
                id,
                own_room,
            });
        }
        let is_exposed = expose == Expose::All && !session.answers_events();
        is_exposed.then(|| Self {
            id: session.id().to_string(),
            session,
            own_room: None,
        })
    }

    pub(super) fn session(&self) -> &SessionRef {
        &self.session
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn into_id(self) -> String {
        self.id
    }

    /// Where it is, the room of its id first.
    pub(super) fn rooms(&self) -> Vec<RoomName> {
        let mut rooms = self.session.rooms();
        if let Some(own) = &self.own_room {
            rooms.retain(|room| room != own);
            rooms.insert(0, own.clone());
        }
        rooms
    }

    pub(super) fn is_in(&self, room: &RoomName) -> bool {
        self.own_room.as_ref() == Some(room) || self.session.is_in(room)
    }

    /// What other servers may know of it.
    pub(super) fn details(&self) -> Details {
        Details {
            id: self.id.clone(),
            handshake: Json::encode(&self.handshake()),
            rooms: self.rooms(),
            data: Json::EMPTY_OBJECT,
        }
    }

    fn handshake(&self) -> Handshake {
        let came = self.session.handshake();
        let Millis(opened_at) = self.session.opened_at();
        Handshake {
            time: printed(opened_at),
            address: self.session.peer().address(),
            // As the originals have it: browsers name an origin.
            xdomain: came.header("origin").is_some(),
            secure: came.is_tls,
            issued: opened_at,
            query: came.query(),
            headers: joined(came.headers),
            url: came.target,
            auth: came.payload.unwrap_or(Json::EMPTY_OBJECT),
        }
    }
}

/// Headers that come several times as one, as HTTP reads them.
fn joined(headers: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        joined
            .entry(name)
            .and_modify(|before| {
                before.push_str(", ");
                before.push_str(&value);
            })
            .or_insert(value);
    }
    joined
}

/// A time as JavaScript prints it where the clock shows UTC. `millis` is since 1970.
fn printed(millis: u64) -> String {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    let form = "%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)";
    time.to_zoned(TimeZone::UTC).strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_javascript_does() {
        assert_eq!(
            printed(1_795_181_633_050),
            "Fri Nov 20 2026 13:33:53 GMT+0000 (Coordinated Universal Time)"
        );
        assert!(printed(0).starts_with("Thu Jan 01 1970 00:00:00 GMT"));
        assert!(printed(u64::MAX).contains("9999"));
    }

    #[test]
    fn headers_that_come_twice_are_one() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![header("a", "1"), header("b", "2"), header("a", "3")];
        let expected = [header("a", "1, 3"), header("b", "2")];
        assert_eq!(joined(headers), BTreeMap::from(expected));
    }
}
