//! What servers tell each other about a socket.

use std::collections::BTreeMap;

use polyport_core::{Json, RoomName};
use serde::{Serialize, Serializer};

use super::{ReadError, request::plain, response::read_rooms, value::Value};

/// A socket as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Its id.
    pub id: String,
    /// How it came: a [`Handshake`], or what another server says.
    pub handshake: Json,
    /// Where it is, the room of its id included.
    pub rooms: Vec<RoomName>,
    /// What the application keeps for it.
    #[serde(serialize_with = "object")]
    pub data: Json,
}

/// Applications and the Admin UI look into it, so that something else becomes an empty object.
fn object<S: Serializer>(data: &Json, serializer: S) -> Result<S::Ok, S::Error> {
    if data.as_str().starts_with('{') {
        data.serialize(serializer)
    } else {
        Json::EMPTY_OBJECT.serialize(serializer)
    }
}

impl Details {
    pub(super) fn read(socket: Value<'_>) -> Result<Self, ReadError> {
        let [id, handshake, rooms, data] = socket.members(["id", "handshake", "rooms", "data"])?;
        let id = id.and_then(Value::text);
        Ok(Self {
            id: id
                .ok_or(ReadError::Shape("a socket without an id"))?
                .into_owned(),
            handshake: plain(handshake)?,
            rooms: rooms.map_or(Ok(Vec::new()), read_rooms)?,
            data: plain(data)?,
        })
    }
}

/// How a client came. Nothing in it may be a secret: the originals spread even cookies and tokens over Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Handshake {
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// When, as JavaScript prints a date.
    pub time: String,
    /// From which address.
    pub address: String,
    /// From another origin.
    pub xdomain: bool,
    /// With TLS.
    pub secure: bool,
    /// When, in milliseconds since 1970.
    pub issued: u64,
    /// Path and query.
    pub url: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// What came with the CONNECT of the namespace, an object.
    #[serde(serialize_with = "object")]
    pub auth: Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_others_look_into_are_objects() {
        let handshake = Handshake {
            headers: BTreeMap::from([("host".to_owned(), "a.example".to_owned())]),
            time: "Fri Nov 20 2026 13:33:53 GMT+0000 (Coordinated Universal Time)".to_owned(),
            address: "127.0.0.1".to_owned(),
            xdomain: false,
            secure: true,
            issued: 1_795_181_633_050,
            url: "/socket.io/?EIO=4".to_owned(),
            query: BTreeMap::from([("EIO".to_owned(), "4".to_owned())]),
            auth: Json::NULL,
        };
        let details = Details {
            id: "a".to_owned(),
            handshake: Json::encode(&handshake),
            rooms: vec![RoomName::new("r").unwrap()],
            data: Json::NULL,
        };
        assert_eq!(
            Json::encode(&details).as_str(),
            concat!(
                r#"{"id":"a","handshake":{"headers":{"host":"a.example"},"#,
                r#""time":"Fri Nov 20 2026 13:33:53 GMT+0000 (Coordinated Universal Time)","#,
                r#""address":"127.0.0.1","xdomain":false,"secure":true,"issued":1795181633050,"#,
                r#""url":"/socket.io/?EIO=4","query":{"EIO":"4"},"auth":{}},"rooms":["r"],"data":{}}"#
            )
        );
    }
}
