//! Messages of the sharded and the streams adapter: events, questions and answers have one form, with a type by number.

use bytes::Bytes;
use polyport_core::{Arg, EventName, Json};
use polyport_msgpack::{Form, Values, Writer, parts, with_gaps};
use serde::Serialize;

use super::{
    Answer, Details, Flags, LIMITS, Packet, Question, ReadError, Selection, Whom,
    broadcast::AROUND, check_size, request::plain, response::read_sockets, selection::room_list,
    value::Value,
};

/// What one server says to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMessage {
    /// Who says it.
    pub uid: String,
    /// About which namespace, with its slash.
    pub namespace: String,
    /// What.
    pub content: Content,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An event for clients.
    Event {
        /// The event.
        packet: Packet,
        /// Whom it is for.
        selection: Selection,
        /// What else is said about it.
        flags: Flags,
    },
    /// A question or an order.
    Question {
        /// What the answer must repeat; none if no answer is wanted.
        id: Option<String>,
        /// What is asked.
        question: Question,
    },
    /// An answer.
    Answer {
        /// The question's.
        id: String,
        /// What is answered.
        answer: Answer,
    },
    /// That a server is there, or that it goes.
    Presence,
}

const FIRST_HEARTBEAT: u64 = 1;
const HEARTBEAT: u64 = 2;
const BROADCAST: u64 = 3;
const JOIN: u64 = 4;
const LEAVE: u64 = 5;
const DISCONNECT: u64 = 6;
const FETCH: u64 = 7;
const FETCHED: u64 = 8;
const SERVER_SIDE: u64 = 9;
const SERVER_SIDE_ANSWER: u64 = 10;
const CLIENT_COUNT: u64 = 11;
const ACK: u64 = 12;
const CLOSED: u64 = 13;

const UNKNOWN: ReadError = ReadError::Shape("an unknown type of message");
const NO_ID: ReadError = ReadError::Shape("a question or an answer without an id");

/// Reads a message of the sharded adapter, or what the streams adapter says beside its stream.
///
/// # Errors
/// [`ReadError`] when it is to be dropped.
pub fn read_server_message(payload: &[u8]) -> Result<ServerMessage, ReadError> {
    check_size(payload)?;
    let keys = ["type", "data", "uid", "nsp"];
    let [kind, data, uid, namespace] = Value::of_message(payload)?.members(keys)?;
    let text = |value: Option<Value<'_>>| value.and_then(Value::text).map(String::from);
    let kind = kind.and_then(Value::count).ok_or(UNKNOWN)?;
    let namespace = text(namespace).ok_or(ReadError::Shape("a message about no namespace"))?;
    Ok(ServerMessage {
        uid: text(uid).ok_or(ReadError::Shape("a message of nobody"))?,
        content: Content::read(kind, data, &namespace)?,
        namespace,
    })
}

/// Reads what stands in the entry of a stream, whose type and `data` are by themselves.
///
/// # Errors
/// [`ReadError`] when it is to be dropped.
pub fn read_content(kind: u64, data: &[u8], namespace: &str) -> Result<Content, ReadError> {
    check_size(data)?;
    let data = (!data.is_empty()).then(|| Value::of_message(data));
    Content::read(kind, data.transpose()?, namespace)
}

struct Data<'a> {
    packet: Option<Value<'a>>,
    options: Option<Value<'a>>,
    id: Option<String>,
    rooms: Option<Value<'a>>,
    close: Option<Value<'a>>,
    sockets: Option<Value<'a>>,
    count: Option<Value<'a>>,
}

impl<'a> Data<'a> {
    fn read(data: Option<Value<'a>>) -> Result<Self, ReadError> {
        let keys = [
            "packet",
            "opts",
            "requestId",
            "rooms",
            "close",
            "sockets",
            "clientCount",
        ];
        let data = data.ok_or(ReadError::Shape("a message without data"))?;
        let [packet, options, id, rooms, close, sockets, count] = data.members(keys)?;
        Ok(Self {
            packet,
            options,
            id: id.and_then(Value::text).map(String::from),
            rooms,
            close,
            sockets,
            count,
        })
    }

    fn selection(&self) -> Result<Selection, ReadError> {
        match self.options {
            Some(options) => {
                let [rooms, except] = options.members(["rooms", "except"])?;
                Selection::read(rooms, except)
            }
            None => Err(ReadError::Shape("an order for nobody")),
        }
    }

    fn whom(&self) -> Result<Whom, ReadError> {
        self.selection().map(Whom::Matching)
    }

    /// The packet itself does not say where it belongs.
    fn broadcast(&self, namespace: &str) -> Result<(Packet, Selection, Flags), ReadError> {
        let mut values = Values::new(LIMITS);
        let packet = self.packet.ok_or(ReadError::Shape("no event to tell"))?;
        let flags = match self.options {
            Some(options) => options.members(["flags"])?,
            None => [None],
        };
        Ok((
            Packet {
                namespace: namespace.to_owned(),
                ..Packet::read(packet, &mut values)?
            },
            self.selection()?,
            Flags::read(flags[0], &mut values)?,
        ))
    }

    fn server_side(&self) -> Result<Question, ReadError> {
        const NO_EVENT: ReadError = ReadError::Shape("an event without a name");
        let mut elements = self.packet.ok_or(NO_EVENT)?.elements()?;
        let name = elements.next().transpose()?.and_then(Value::text);
        let name = EventName::new(&name.ok_or(NO_EVENT)?).map_err(|_| NO_EVENT)?;
        let args = Value::args(elements, AROUND, &mut Values::new(LIMITS))?;
        Ok(Question::ServerSide { name, args })
    }
}

impl Content {
    fn read(kind: u64, data: Option<Value<'_>>, namespace: &str) -> Result<Self, ReadError> {
        if matches!(kind, FIRST_HEARTBEAT | HEARTBEAT | CLOSED) {
            return Ok(Self::Presence);
        }
        let data = Data::read(data)?;
        let order = |question| Self::Question { id: None, question };
        Ok(match kind {
            BROADCAST => {
                let (packet, selection, flags) = data.broadcast(namespace)?;
                match data.id {
                    None => Self::Event {
                        packet,
                        selection,
                        flags,
                    },
                    id => Self::Question {
                        id,
                        question: Question::Ask {
                            packet,
                            selection,
                            flags,
                        },
                    },
                }
            }
            JOIN => order(Question::Join {
                whom: data.whom()?,
                rooms: room_list(data.rooms)?,
            }),
            LEAVE => order(Question::Leave {
                whom: data.whom()?,
                rooms: room_list(data.rooms)?,
            }),
            DISCONNECT => order(Question::Disconnect {
                whom: data.whom()?,
                close: data.close.is_some_and(Value::is_truthy),
            }),
            FETCH => {
                let question = Question::Fetch(data.selection()?);
                let id = Some(data.id.ok_or(NO_ID)?);
                Self::Question { id, question }
            }
            SERVER_SIDE => Self::Question {
                question: data.server_side()?,
                id: data.id,
            },
            FETCHED | SERVER_SIDE_ANSWER | CLIENT_COUNT | ACK => Self::answer(kind, data)?,
            _ => return Err(UNKNOWN),
        })
    }

    fn answer(kind: u64, data: Data<'_>) -> Result<Self, ReadError> {
        let answer = match kind {
            FETCHED => match data.sockets {
                Some(sockets) => match read_sockets(sockets)? {
                    Answer::Sockets(ids) if ids.is_empty() => Answer::Details(Vec::new()),
                    answer => answer,
                },
                None => return Err(ReadError::Shape("an answer without sockets")),
            },
            SERVER_SIDE_ANSWER => Answer::ServerSide(plain(data.packet)?),
            CLIENT_COUNT => {
                let count = data.count.and_then(Value::count);
                Answer::ClientCount(count.ok_or(ReadError::Shape("no number of clients"))?)
            }
            _ => Answer::Ack(match data.packet {
                Some(packet) => packet.arg(AROUND, &mut Values::new(LIMITS))?,
                None => Arg::Json(Json::NULL),
            }),
        };
        let id = data.id.ok_or(NO_ID)?;
        Ok(Self::Answer { id, answer })
    }

    /// Its number; none for what only other adapters can say.
    #[must_use]
    pub fn kind(&self) -> Option<u64> {
        Some(match self {
            Self::Event { .. } => BROADCAST,
            Self::Presence => HEARTBEAT,
            Self::Question { question, .. } => match question {
                Question::Ask { .. } => BROADCAST,
                Question::Join { .. } => JOIN,
                Question::Leave { .. } => LEAVE,
                Question::Disconnect { .. } => DISCONNECT,
                Question::Fetch(_) => FETCH,
                Question::ServerSide { .. } => SERVER_SIDE,
                Question::Sockets { .. }
                | Question::RoomsOf { .. }
                | Question::AllRooms
                | Question::Custom(_) => return None,
            },
            Self::Answer { answer, .. } => match answer {
                Answer::Details(_) => FETCHED,
                Answer::ServerSide(_) => SERVER_SIDE_ANSWER,
                Answer::ClientCount(_) => CLIENT_COUNT,
                Answer::Ack(_) => ACK,
                Answer::Sockets(_) | Answer::Rooms(_) | Answer::Done | Answer::Custom(_) => {
                    return None;
                }
            },
        })
    }
}

// --- writing ----------------------------------------------------------------------------------------------------------

/// A JSON text with gaps where binary belongs: with binary it is written as msgpack, without as it is.
#[derive(Default)]
struct Text {
    text: String,
    parts: Vec<Bytes>,
}

impl Text {
    fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn value<T: Serialize>(&mut self, value: &T) {
        self.text.push_str(Json::encode(value).as_str());
    }

    fn arg(&mut self, arg: &Arg) {
        self.text.push_str(&with_gaps(arg));
        self.parts.extend_from_slice(parts(arg));
    }

    fn event(&mut self, name: &EventName, args: &[Arg]) {
        self.raw("[");
        self.value(&name);
        for arg in args {
            self.raw(",");
            self.arg(arg);
        }
        self.raw("]");
    }

    fn options(&mut self, selection: &Selection, flags: &Flags) {
        self.raw(r#"{"rooms":"#);
        self.value(&selection.rooms);
        self.raw(r#","except":"#);
        self.value(&selection.except);
        self.raw(r#","flags":"#);
        self.value(flags);
        self.raw("}");
    }

    fn id(&mut self, id: Option<&str>) {
        if let Some(id) = id {
            self.raw(r#""requestId":"#);
            self.value(&id);
            self.raw(",");
        }
    }

    fn broadcast(
        &mut self,
        id: Option<&str>,
        packet: &Packet,
        selection: &Selection,
        flags: &Flags,
    ) {
        self.raw(r#"{"packet":{"type":2,"data":"#);
        self.event(&packet.name, &packet.args);
        self.raw("},");
        self.id(id);
        self.raw(r#""opts":"#);
        self.options(selection, flags);
        self.raw("}");
    }

    fn order(&mut self, whom: &Whom, key: &str, value: &impl Serialize) {
        let Whom::Matching(selection) = whom else {
            return;
        };
        self.raw(r#"{"opts":"#);
        self.options(selection, &Flags::default());
        self.raw(",\"");
        self.raw(key);
        self.raw("\":");
        self.value(value);
        self.raw("}");
    }

    fn question(&mut self, id: Option<&str>, question: &Question) {
        match question {
            Question::Ask {
                packet,
                selection,
                flags,
            } => self.broadcast(id, packet, selection, flags),
            Question::Join { whom, rooms } | Question::Leave { whom, rooms } => {
                self.order(whom, "rooms", rooms);
            }
            Question::Disconnect { whom, close } => self.order(whom, "close", close),
            Question::Fetch(selection) => {
                self.raw(r#"{"opts":"#);
                self.options(selection, &Flags::default());
                self.raw(r#","requestId":"#);
                self.value(&id.unwrap_or_default());
                self.raw("}");
            }
            Question::ServerSide { name, args } => {
                self.raw("{");
                self.id(id);
                self.raw(r#""packet":"#);
                self.event(name, args);
                self.raw("}");
            }
            Question::Sockets { .. }
            | Question::RoomsOf { .. }
            | Question::AllRooms
            | Question::Custom(_) => {}
        }
    }

    fn answer(&mut self, id: &str, answer: &Answer) {
        self.raw("{");
        self.id(Some(id));
        match answer {
            Answer::Details(sockets) => {
                let sockets: &[Details] = sockets;
                self.raw(r#""sockets":"#);
                self.value(&sockets);
            }
            Answer::ServerSide(value) => {
                self.raw(r#""packet":"#);
                self.value(value);
            }
            Answer::ClientCount(count) => {
                self.raw(r#""clientCount":"#);
                self.value(count);
            }
            Answer::Ack(arg) => {
                self.raw(r#""packet":"#);
                self.arg(arg);
            }
            Answer::Sockets(_) | Answer::Rooms(_) | Answer::Done | Answer::Custom(_) => {}
        }
        self.raw("}");
    }

    /// Nothing for what these adapters cannot say.
    fn message(message: &ServerMessage) -> Option<Self> {
        let kind = message.content.kind()?;
        let mut text = Self::default();
        text.raw(r#"{"type":"#);
        text.value(&kind);
        text.raw(r#","data":"#);
        text.content(&message.content);
        text.raw(r#","uid":"#);
        text.value(&message.uid);
        text.raw(r#","nsp":"#);
        text.value(&message.namespace);
        text.raw("}");
        Some(text)
    }

    fn content(&mut self, content: &Content) {
        match content {
            Content::Event {
                packet,
                selection,
                flags,
            } => self.broadcast(None, packet, selection, flags),
            Content::Question { id, question } => self.question(id.as_deref(), question),
            Content::Answer { id, answer } => self.answer(id, answer),
            Content::Presence => self.raw("{}"),
        }
    }

    fn finish(self) -> Vec<u8> {
        if self.parts.is_empty() {
            return self.text.into_bytes();
        }
        self.pack()
    }

    fn pack(self) -> Vec<u8> {
        let mut out = Writer::new(Form::Common);
        out.json(&self.text, &self.parts);
        out.finish()
    }
}

/// Writes a message of the sharded adapter; nothing for what it cannot say.
#[must_use]
pub fn write_server_message(message: &ServerMessage) -> Option<Vec<u8>> {
    Text::message(message).map(Text::finish)
}

/// Writes what the streams adapter says beside its stream, which is never JSON; nothing for what it cannot say.
#[must_use]
pub fn write_packed_message(message: &ServerMessage) -> Option<Vec<u8>> {
    Text::message(message).map(Text::pack)
}

/// Writes what stands in the entry of a stream: its type and `data`; nothing for what that adapter cannot say.
#[must_use]
pub fn write_content(content: &Content) -> Option<(u64, Vec<u8>)> {
    let kind = content.kind()?;
    let mut text = Text::default();
    text.content(content);
    Some((kind, text.finish()))
}

#[cfg(test)]
mod tests;
