//! Questions and orders to all servers of a namespace, in two numberings that share their channels.

use polyport_core::{Arg, Args, EventName, Json, RoomName};
use polyport_msgpack::{Form, Values, Writer};
use serde::Serialize;

use super::{
    Flags, LIMITS, Packet, ReadError, Rooms, Selection, Wire,
    broadcast::AROUND,
    response::Identified,
    selection::{room, room_list},
    value::Value,
};

/// Which adapters speak so. They give the same numbers to different things, and know each other by the key of the id alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// 6.0 and later: `requestId`.
    New,
    /// 2.x to 5.x: `requestid`.
    Old,
}

/// A question or an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks; adapters before 7.0 do not say, and some emitters neither.
    pub uid: Option<String>,
    /// What the answer must repeat; none if no answer is wanted.
    pub id: Option<String>,
    /// In which form it came and is to be answered.
    pub numbering: Numbering,
    /// What is asked.
    pub question: Question,
}

/// What is asked or ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The ids of all sockets in any of the rooms.
    Sockets {
        /// Of these rooms.
        rooms: Rooms,
    },
    /// The rooms of one socket; only who has it answers. Old numbering only.
    RoomsOf {
        /// The socket.
        sid: String,
    },
    /// All rooms of each server, those of single sockets included.
    AllRooms,
    /// Sockets are to join rooms.
    Join {
        /// Which.
        whom: Whom,
        /// These rooms.
        rooms: Vec<RoomName>,
    },
    /// Sockets are to leave rooms.
    Leave {
        /// Which.
        whom: Whom,
        /// These rooms.
        rooms: Vec<RoomName>,
    },
    /// Sockets are to be disconnected.
    Disconnect {
        /// Which.
        whom: Whom,
        /// With their connection, and not only from the namespace.
        close: bool,
    },
    /// The [`super::Details`] of sockets. New numbering only.
    Fetch(Selection),
    /// An event for the servers themselves, which wants an answer if the request has an id. New numbering only.
    ServerSide {
        /// What happened.
        name: EventName,
        /// Its arguments.
        args: Args,
    },
    /// An event for clients, whose acks are wanted. New numbering only.
    Ask {
        /// The event.
        packet: Packet,
        /// Whom it is for.
        selection: Selection,
        /// Among them how long is waited.
        flags: Flags,
    },
    /// Whatever the applications have agreed on. Old numbering only.
    Custom(Json),
}

/// Which sockets an order is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// All that match, wherever they are; nobody confirms.
    Matching(Selection),
    /// One; who has it confirms.
    One {
        /// Its id.
        sid: String,
    },
}

/// Reads a message from a channel of requests.
///
/// # Errors
/// [`ReadError`] when it is to be dropped.
pub fn read_request(payload: &[u8]) -> Result<Request, ReadError> {
    let fields = Fields::read(Value::of_message(payload)?)?;
    let text = |value: Option<Value<'_>>| value.and_then(Value::text).map(String::from);
    let (new, old) = (text(fields.new_id), text(fields.old_id));
    let number = fields.kind.and_then(Value::count);
    let number = number.ok_or(ReadError::Shape("a request without a type"))?;
    let (numbering, question) = match (&new, &old) {
        (None, Some(_)) => (Numbering::Old, fields.in_old_numbering(number)?),
        _ => (Numbering::New, fields.in_new_numbering(number)?),
    };
    let id = match numbering {
        Numbering::New => new,
        Numbering::Old => old,
    };
    if id.is_none() && question.wants_answer() {
        return Err(ReadError::Shape("a question without an id"));
    }
    Ok(Request {
        uid: text(fields.uid),
        id,
        numbering,
        question,
    })
}

impl Question {
    /// Whether it makes no sense without an answer.
    fn wants_answer(&self) -> bool {
        match self {
            Self::Join { whom, .. } | Self::Leave { whom, .. } | Self::Disconnect { whom, .. } => {
                matches!(whom, Whom::One { .. })
            }
            Self::ServerSide { .. } => false,
            Self::Sockets { .. }
            | Self::RoomsOf { .. }
            | Self::AllRooms
            | Self::Fetch(_)
            | Self::Ask { .. }
            | Self::Custom(_) => true,
        }
    }
}

/// What stands in a request's map.
struct Fields<'a> {
    uid: Option<Value<'a>>,
    new_id: Option<Value<'a>>,
    old_id: Option<Value<'a>>,
    kind: Option<Value<'a>>,
    options: Option<Value<'a>>,
    sid: Option<Value<'a>>,
    rooms: Option<Value<'a>>,
    room: Option<Value<'a>>,
    data: Option<Value<'a>>,
    close: Option<Value<'a>>,
    packet: Option<Value<'a>>,
}

impl<'a> Fields<'a> {
    fn read(message: Value<'a>) -> Result<Self, ReadError> {
        let keys = [
            "uid",
            "requestId",
            "requestid",
            "type",
            "opts",
            "sid",
            "rooms",
            "room",
            "data",
            "close",
            "packet",
        ];
        let [
            uid,
            new_id,
            old_id,
            kind,
            options,
            sid,
            rooms,
            room,
            data,
            close,
            packet,
        ] = message.members(keys)?;
        Ok(Self {
            uid,
            new_id,
            old_id,
            kind,
            options: options.filter(|options| !options.is_nothing()),
            sid,
            rooms,
            room,
            data,
            close,
            packet,
        })
    }

    fn in_new_numbering(&self, number: u64) -> Result<Question, ReadError> {
        Ok(match number {
            0 => self.sockets()?,
            1 => Question::AllRooms,
            2 => self.join()?,
            3 => self.leave()?,
            4 => self.disconnect()?,
            5 => Question::Fetch(self.selection()?.unwrap_or_default()),
            6 => self.server_side()?,
            7 => self.ask()?,
            _ => return Err(UNKNOWN),
        })
    }

    fn in_old_numbering(&self, number: u64) -> Result<Question, ReadError> {
        Ok(match number {
            0 => self.sockets()?,
            1 => Question::RoomsOf { sid: self.sid()? },
            2 => Question::AllRooms,
            3 => self.join()?,
            4 => self.leave()?,
            5 => Question::Custom(plain(self.data)?),
            6 => self.disconnect()?,
            _ => return Err(UNKNOWN),
        })
    }

    fn sockets(&self) -> Result<Question, ReadError> {
        let rooms = Rooms::read(self.rooms)?;
        Ok(Question::Sockets { rooms })
    }

    fn join(&self) -> Result<Question, ReadError> {
        let (whom, rooms) = (self.whom()?, self.rooms()?);
        Ok(Question::Join { whom, rooms })
    }

    fn leave(&self) -> Result<Question, ReadError> {
        let (whom, rooms) = (self.whom()?, self.rooms()?);
        Ok(Question::Leave { whom, rooms })
    }

    fn disconnect(&self) -> Result<Question, ReadError> {
        Ok(Question::Disconnect {
            whom: self.whom()?,
            close: self.close.is_some_and(Value::is_truthy),
        })
    }

    /// Without either it would be everybody.
    fn whom(&self) -> Result<Whom, ReadError> {
        match self.selection()? {
            Some(selection) => Ok(Whom::Matching(selection)),
            None => Ok(Whom::One { sid: self.sid()? }),
        }
    }

    fn sid(&self) -> Result<String, ReadError> {
        let sid = self.sid.and_then(Value::text).map(String::from);
        sid.ok_or(ReadError::Shape("an order for nobody"))
    }

    /// A list, or of old adapters one.
    fn rooms(&self) -> Result<Vec<RoomName>, ReadError> {
        match self.room.filter(|room| !room.is_nothing()) {
            Some(name) => Ok(room(name)?.into_iter().collect()),
            None => room_list(self.rooms),
        }
    }

    fn selection(&self) -> Result<Option<Selection>, ReadError> {
        let Some(options) = self.options else {
            return Ok(None);
        };
        let [rooms, except] = options.members(["rooms", "except"])?;
        Selection::read(rooms, except).map(Some)
    }

    fn server_side(&self) -> Result<Question, ReadError> {
        const NO_EVENT: ReadError = ReadError::Shape("an event without a name");
        let mut elements = self.data.ok_or(NO_EVENT)?.elements()?;
        let name = elements.next().transpose()?.and_then(Value::text);
        let name = EventName::new(&name.ok_or(NO_EVENT)?).map_err(|_| NO_EVENT)?;
        let args = Value::args(elements, 2, &mut Values::new(LIMITS))?;
        Ok(Question::ServerSide { name, args })
    }

    fn ask(&self) -> Result<Question, ReadError> {
        let mut values = Values::new(LIMITS);
        let packet = self
            .packet
            .ok_or(ReadError::Shape("no packet to ask with"))?;
        let flags = match self.options {
            Some(options) => options.members(["flags"])?,
            None => [None],
        };
        Ok(Question::Ask {
            packet: Packet::read(packet, &mut values)?,
            selection: self.selection()?.unwrap_or_default(),
            flags: Flags::read(flags[0], &mut values)?,
        })
    }
}

const UNKNOWN: ReadError = ReadError::Shape("an unknown type of request");

/// A value without binary; nothing is `null`.
pub(super) fn plain(value: Option<Value<'_>>) -> Result<Json, ReadError> {
    let json = value.map(|value| value.plain(AROUND, &mut Values::new(LIMITS)));
    json.unwrap_or(Ok(Json::NULL))
}

// --- writing ----------------------------------------------------------------------------------------------------------

/// A request in JSON. No request has all members; they stand in the order of the originals.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(flatten)]
    id: Identified<'a>,
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    opts: Option<&'a Selection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<WrittenRooms<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenRooms<'a> {
    Members(&'a Rooms),
    Names(&'a [RoomName]),
}

/// Writes a message for [`super::Channels::request`]. Questions that the numbering does not have are written with the type of
/// the other.
#[must_use]
pub fn write_request(request: &Request) -> Vec<u8> {
    let is_new = request.numbering == Numbering::New;
    let mut written = Written {
        uid: request.uid.as_deref(),
        id: Identified::new(request.numbering, request.id.as_deref()),
        ..Written::default()
    };
    match &request.question {
        Question::Sockets { rooms } => written.rooms = Some(WrittenRooms::Members(rooms)),
        Question::RoomsOf { sid } => {
            written.kind = 1;
            written.sid = Some(sid);
        }
        Question::AllRooms => written.kind = if is_new { 1 } else { 2 },
        Question::Join { whom, rooms } => {
            written.kind = if is_new { 2 } else { 3 };
            written.order(whom, rooms);
        }
        Question::Leave { whom, rooms } => {
            written.kind = if is_new { 3 } else { 4 };
            written.order(whom, rooms);
        }
        Question::Disconnect { whom, close } => {
            written.kind = if is_new { 4 } else { 6 };
            written.whom(whom);
            written.close = Some(*close);
        }
        Question::Fetch(selection) => {
            written.kind = 5;
            written.opts = Some(selection);
        }
        Question::Custom(data) => {
            written.kind = 5;
            written.data = Some(data.clone());
        }
        Question::ServerSide { name, args } => {
            written.kind = 6;
            written.data = Some(event_as_json(name, args));
        }
        Question::Ask {
            packet,
            selection,
            flags,
        } => return write_ask(request, packet, selection, flags),
    }
    Json::encode(&written).as_str().as_bytes().to_vec()
}

impl<'a> Written<'a> {
    fn whom(&mut self, whom: &'a Whom) {
        match whom {
            Whom::Matching(selection) => self.opts = Some(selection),
            Whom::One { sid } => self.sid = Some(sid),
        }
    }

    /// For one socket there is one room.
    fn order(&mut self, whom: &'a Whom, rooms: &'a [RoomName]) {
        self.whom(whom);
        match (whom, rooms) {
            (Whom::One { .. }, [room]) => self.room = Some(room.as_str()),
            _ => self.rooms = Some(WrittenRooms::Names(rooms)),
        }
    }
}

/// In JSON binary is what `JSON.stringify` makes of a `Buffer`.
fn event_as_json(name: &EventName, args: &[Arg]) -> Json {
    let mut text = String::from("[");
    text.push_str(Json::string(name.as_str()).as_str());
    let push_buffer = |text: &mut String, bytes: &[u8]| {
        text.push_str(r#"{"type":"Buffer","data":"#);
        text.push_str(Json::encode(bytes).as_str());
        text.push('}');
    };
    for arg in args {
        text.push(',');
        match arg {
            Arg::Json(json) => text.push_str(json.as_str()),
            Arg::Binary(bytes) => push_buffer(&mut text, bytes),
            Arg::Mixed(mixed) => mixed.write(&mut text, |text, bytes| push_buffer(text, bytes)),
        }
    }
    text.push(']');
    Json::parse(&text).expect("a list of JSON values is one")
}

/// The one request that may have binary, and is always in msgpack.
fn write_ask(request: &Request, packet: &Packet, selection: &Selection, flags: &Flags) -> Vec<u8> {
    let mut out = Writer::new(Form::Common);
    let ids = [("uid", &request.uid), ("requestId", &request.id)];
    let ids = ids
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_deref()?)));
    out.map(ids.clone().count() + 3);
    for (key, id) in ids {
        out.text(key);
        out.text(id);
    }
    out.text("type");
    out.unsigned(7);
    out.text("packet");
    packet.write(Wire::Modern, &mut out);
    out.text("opts");
    out.map(3);
    selection.write(&mut out);
    out.text("flags");
    flags.write(&mut out);
    out.finish()
}

#[cfg(test)]
mod tests;
