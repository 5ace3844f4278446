//! Answers to requests.

use polyport_core::{Arg, Json, RoomName};
use polyport_msgpack::{Form, Values, Writer};
use serde::Serialize;

use super::{
    Details, LIMITS, MAX_ENTRIES, Numbering, ReadError, request::plain, selection::room,
    value::Value,
};

/// One server's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// In which form the request came.
    pub numbering: Numbering,
    /// The request's.
    pub id: String,
    /// What is answered.
    pub answer: Answer,
}

/// What is answered. Most of it does not say to what: who asked knows what the same form means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The ids of sockets.
    Sockets(Vec<String>),
    /// What is known of sockets; none of them reads as an empty list of ids.
    Details(Vec<Details>),
    /// All rooms of a server or of one socket.
    Rooms(Vec<RoomName>),
    /// The one socket was here, and the order is carried out.
    Done,
    /// To an event for servers.
    ServerSide(Json),
    /// How many clients got an event that asks for acks.
    ClientCount(u64),
    /// The first argument of one client's ack.
    Ack(Arg),
    /// To a custom request. If it was answered with nothing at all, that reads as [`Answer::Done`].
    Custom(Json),
}

/// Reads a message from a channel of responses.
///
/// # Errors
/// [`ReadError`] when it is to be dropped, also because it does not say to which request it belongs: so answers a server that
/// did not understand it.
pub fn read_response(payload: &[u8]) -> Result<Response, ReadError> {
    let keys = [
        "type",
        "requestId",
        "requestid",
        "sockets",
        "clients",
        "rooms",
        "data",
        "clientCount",
        "packet",
    ];
    let [kind, new, old, sockets, clients, rooms, data, count, packet] =
        Value::of_message(payload)?.members(keys)?;
    let text = |value: Option<Value<'_>>| value.and_then(Value::text).map(String::from);
    let (numbering, id) = match (text(new), text(old)) {
        (Some(id), _) => (Numbering::New, id),
        (None, Some(id)) => (Numbering::Old, id),
        (None, None) => return Err(ReadError::Shape("an answer to nothing")),
    };
    let answer = match (kind.and_then(Value::count), numbering) {
        (Some(6), Numbering::New) => Answer::ServerSide(plain(data)?),
        (Some(8), Numbering::New) => {
            let count = count.and_then(Value::count);
            Answer::ClientCount(count.ok_or(ReadError::Shape("no number of clients"))?)
        }
        (Some(9), Numbering::New) => Answer::Ack(match packet {
            Some(packet) => packet.arg(1, &mut Values::new(LIMITS))?,
            None => Arg::Json(Json::NULL),
        }),
        _ => match (sockets, clients, rooms, data) {
            (Some(sockets), ..) => read_sockets(sockets)?,
            (_, Some(clients), ..) => Answer::Sockets(read_ids(clients)?),
            (_, _, Some(rooms), _) => Answer::Rooms(read_rooms(rooms)?),
            (.., Some(data)) => Answer::Custom(plain(Some(data))?),
            (None, None, None, None) => Answer::Done,
        },
    };
    Ok(Response {
        numbering,
        id,
        answer,
    })
}

/// Ids, or what is known of sockets.
pub(super) fn read_sockets(sockets: Value<'_>) -> Result<Answer, ReadError> {
    let mut details = Vec::new();
    for socket in sockets.elements()? {
        let socket = socket?;
        if details.is_empty() && !socket.is_map() {
            return read_ids(sockets).map(Answer::Sockets);
        }
        if details.len() == MAX_ENTRIES {
            return Err(ReadError::TooMany);
        }
        details.push(Details::read(socket)?);
    }
    Ok(if details.is_empty() {
        Answer::Sockets(Vec::new())
    } else {
        Answer::Details(details)
    })
}

/// A list of texts.
pub(super) fn read_ids(list: Value<'_>) -> Result<Vec<String>, ReadError> {
    let mut ids = Vec::new();
    for id in list.elements()? {
        let id = id?
            .text()
            .ok_or(ReadError::Shape("an id that is no text"))?;
        if ids.len() == MAX_ENTRIES {
            return Err(ReadError::TooMany);
        }
        ids.push(id.into_owned());
    }
    Ok(ids)
}

/// A list of rooms, however many.
pub(super) fn read_rooms(list: Value<'_>) -> Result<Vec<RoomName>, ReadError> {
    let mut rooms = Vec::new();
    for name in list.elements()? {
        if rooms.len() == MAX_ENTRIES {
            return Err(ReadError::TooMany);
        }
        rooms.extend(room(name?)?);
    }
    Ok(rooms)
}

// --- writing ----------------------------------------------------------------------------------------------------------

/// The id of a request, under the key of its numbering.
#[derive(Default, Serialize)]
pub(super) struct Identified<'a> {
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    new: Option<&'a str>,
    #[serde(rename = "requestid", skip_serializing_if = "Option::is_none")]
    old: Option<&'a str>,
}

impl<'a> Identified<'a> {
    pub(super) fn new(numbering: Numbering, id: Option<&'a str>) -> Self {
        match numbering {
            Numbering::New => Self { new: id, old: None },
            Numbering::Old => Self { new: None, old: id },
        }
    }
}

/// An answer in JSON. None has all members; they stand in the order of the originals.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<u8>,
    #[serde(flatten)]
    id: Identified<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<WrittenSockets<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a [RoomName]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_count: Option<u64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenSockets<'a> {
    Ids(&'a [String]),
    Details(&'a [Details]),
}

/// Writes a message for the channel on which the asker awaits it.
#[must_use]
pub fn write_response(response: &Response) -> Vec<u8> {
    let mut written = Written {
        id: Identified::new(response.numbering, Some(&response.id)),
        ..Written::default()
    };
    match &response.answer {
        Answer::Sockets(ids) if response.numbering == Numbering::Old => {
            written.clients = Some(ids);
        }
        Answer::Sockets(ids) => written.sockets = Some(WrittenSockets::Ids(ids)),
        Answer::Details(details) => written.sockets = Some(WrittenSockets::Details(details)),
        Answer::Rooms(rooms) => written.rooms = Some(rooms),
        Answer::Done => {}
        Answer::ServerSide(data) => {
            written.kind = Some(6);
            written.data = Some(data);
        }
        Answer::ClientCount(count) => {
            written.kind = Some(8);
            written.client_count = Some(*count);
        }
        Answer::Custom(data) => written.data = Some(data),
        Answer::Ack(arg) => return write_ack(&response.id, arg),
    }
    Json::encode(&written).as_str().as_bytes().to_vec()
}

/// The one answer that may have binary, and is always in msgpack.
fn write_ack(id: &str, arg: &Arg) -> Vec<u8> {
    let mut out = Writer::new(Form::Common);
    out.map(3);
    out.text("type");
    out.unsigned(9);
    out.text("requestId");
    out.text(id);
    out.text("packet");
    out.arg(arg);
    out.finish()
}

#[cfg(test)]
mod tests;
