//! The one question that adapter 1.1 knows, on channels of its own: which sockets are in these rooms?

use polyport_core::Json;
use serde::Serialize;

use super::{ReadError, Rooms, response::read_ids, value::Value};

/// The question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncRequest {
    /// Names the channel on which the answer is awaited.
    pub transaction: String,
    /// Members of these.
    pub rooms: Rooms,
}

/// Reads a message from [`super::Channels::sync_request`].
///
/// # Errors
/// [`ReadError`] when it is to be dropped.
pub fn read_sync_request(payload: &[u8]) -> Result<SyncRequest, ReadError> {
    let [transaction, rooms] = Value::json(payload)?.members(["transaction", "rooms"])?;
    let transaction = transaction.and_then(Value::text);
    Ok(SyncRequest {
        transaction: transaction
            .ok_or(ReadError::Shape("a question without an id"))?
            .into_owned(),
        rooms: Rooms::read(rooms)?,
    })
}

/// Writes a message for [`super::Channels::sync_request`].
#[must_use]
pub fn write_sync_request(request: &SyncRequest) -> Vec<u8> {
    Json::encode(request).as_str().as_bytes().to_vec()
}

/// Reads a message from [`super::Channels::sync_response`]: the ids of sockets.
///
/// # Errors
/// [`ReadError`] when it is to be dropped.
pub fn read_sync_response(payload: &[u8]) -> Result<Vec<String>, ReadError> {
    let [clients] = Value::json(payload)?.members(["clients"])?;
    read_ids(clients.ok_or(ReadError::Shape("an answer without sockets"))?)
}

/// Writes a message for [`super::Channels::sync_response`].
#[must_use]
pub fn write_sync_response(clients: &[String]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        clients: &'a [String],
    }
    Json::encode(&Written { clients })
        .as_str()
        .as_bytes()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use polyport_core::RoomName;

    use super::*;

    #[test]
    fn questions_and_answers() {
        let text = br#"{"transaction":"MhwDqx","rooms":["user(1)"]}"#;
        let request = read_sync_request(text).unwrap();
        let rooms = Rooms::of(vec![RoomName::new("user(1)").unwrap()]);
        let transaction = "MhwDqx".to_owned();
        assert_eq!(request, SyncRequest { transaction, rooms });
        assert_eq!(write_sync_request(&request), text);
        let text = br#"{"clients":["xoQ9gnybvvmyvFfAAAAA"]}"#;
        let clients = read_sync_response(text).unwrap();
        assert_eq!(clients, ["xoQ9gnybvvmyvFfAAAAA"]);
        assert_eq!(write_sync_response(&clients), text);
    }

    #[test]
    fn what_is_neither() {
        for text in ["", "[]", "{}", r#"{"transaction":1}"#, r#"{"clients":[1]}"#] {
            assert!(read_sync_request(text.as_bytes()).is_err(), "{text}");
            assert!(read_sync_response(text.as_bytes()).is_err(), "{text}");
        }
    }
}
