//! Events for rooms.

use polyport_core::{Args, EventName, Json, RoomName};
use polyport_msgpack::{Dialect, Form, Values, Writer, parts};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    BroadcastChannel, LIMITS, ReadError, Rooms, Selection, channel::slashed, check_size,
    selection::room, value::Value,
};

/// The uid of everybody who is no server.
pub const EMITTER: &str = "emitter";

/// An event for rooms, as servers and emitters publish it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Who sent it: a server ignores what it has sent itself.
    pub uid: String,
    /// The event.
    pub packet: Packet,
    /// Whom it is for.
    pub selection: Selection,
    /// What else was said about it.
    pub flags: Flags,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// With its slash.
    pub namespace: String,
    /// What happened.
    pub name: EventName,
    /// Its arguments.
    pub args: Args,
}

/// What else is said about an event. Receivers know no other flags, and no original minds one that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// Clients that are not ready for it need not get it.
    pub volatile: bool,
    /// Whether it should be compressed, if anything is said about that.
    pub compress: Option<bool>,
    /// Only for clients of the sender, which nevertheless published it, as adapter 1.x does: nobody is to get it.
    pub local: bool,
    /// How long the sender waits for acks, in milliseconds.
    pub timeout: Option<u64>,
    /// What gateways say to each other.
    pub polyport: Option<Json>,
}

/// How binary is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wire {
    /// For servers of 3.x and 4.x.
    #[default]
    Modern,
    /// For servers of 2.x.
    Legacy,
}

/// A broadcast as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// What was published.
    pub broadcast: Broadcast,
    /// Set when its sender publishes it once for each of several rooms.
    pub per_room: Option<PerRoom>,
    /// How many values of it had a type of extension that no known sender has; they were taken for binary.
    pub unknown_extensions: usize,
}

/// One of several publications of the same event. It is for those members of the room who are not in any room before:
/// then each member of any of the rooms gets the event once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerRoom {
    /// The channel's.
    pub room: RoomName,
    /// Those that are listed before it.
    pub before: Vec<RoomName>,
}

/// A packet that is an event, and one that has binary for old servers.
const EVENT: u64 = 2;
const BINARY_EVENT: u64 = 5;

/// How many arrays and maps are around an argument, and around what stands in the flags.
pub(super) const AROUND: usize = 3;

/// Reads a message from a channel of events.
///
/// # Errors
/// [`ReadError`] when it is to be dropped.
pub fn read_broadcast(
    channel: &BroadcastChannel<'_>,
    payload: &[u8],
) -> Result<Arrived, ReadError> {
    check_size(payload)?;
    let is_json = matches!(payload.first(), Some(b'{' | b'['));
    let mut arrived = match channel {
        BroadcastChannel::Emitter if is_json => read_ancient(EMITTER, Value::json(payload)?),
        // Who publishes there without an emitter has any library.
        BroadcastChannel::Emitter => in_dialects(
            [Dialect::Legacy, Dialect::Standard, Dialect::NumberKeys],
            |dialect| read_ancient(EMITTER, Value::msgpack(payload, dialect)?),
        ),
        BroadcastChannel::Server { uid } => {
            read_two_elements(uid, Value::msgpack(payload, Dialect::Legacy)?)
        }
        BroadcastChannel::Namespace { .. } => in_dialects(
            [Dialect::Standard, Dialect::Legacy, Dialect::NumberKeys],
            |dialect| read_three_elements(Value::msgpack(payload, dialect)?),
        ),
    }?;
    if let BroadcastChannel::Namespace { namespace, room } = channel {
        let broadcast = &arrived.broadcast;
        if broadcast.packet.namespace != *namespace {
            return Err(ReadError::OtherNamespace);
        }
        arrived.per_room = room.and_then(|room| per_room(room, &broadcast.selection.rooms));
    }
    Ok(arrived)
}

/// In the first of these dialects in which the message makes sense. If it does in none, the error is that of the first in
/// which it could at least be read.
fn in_dialects<const N: usize>(
    dialects: [Dialect; N],
    read: impl Fn(Dialect) -> Result<Arrived, ReadError>,
) -> Result<Arrived, ReadError> {
    let mut best = ReadError::Malformed("no message");
    for dialect in dialects {
        match read(dialect) {
            Ok(arrived) => return Ok(arrived),
            Err(error) if matches!(best, ReadError::Malformed(_)) => best = error,
            Err(_) => {}
        }
    }
    Err(best)
}

fn per_room(room: &str, rooms: &Rooms) -> Option<PerRoom> {
    let Rooms::AnyOf(rooms) = rooms else {
        return None;
    };
    let at = rooms.iter().position(|listed| listed.as_str() == room)?;
    let (before, from) = rooms.split_at_checked(at)?;
    (rooms.len() > 1).then_some(PerRoom {
        room: from.first()?.clone(),
        before: before.to_vec(),
    })
}

fn read_three_elements(message: Value<'_>) -> Result<Arrived, ReadError> {
    let [uid, packet, options] = message.exactly()?;
    let uid = uid
        .text()
        .ok_or(ReadError::Shape("a uid that is no text"))?;
    read_parts(&uid, packet, options)
}

fn read_two_elements(uid: &str, message: Value<'_>) -> Result<Arrived, ReadError> {
    let [packet, options] = message.exactly()?;
    read_parts(uid, packet, options)
}

fn read_ancient(uid: &str, message: Value<'_>) -> Result<Arrived, ReadError> {
    if message.is_map() {
        read_without_emitter(uid, message)
    } else {
        read_two_elements(uid, message)
    }
}

fn read_parts(uid: &str, packet: Value<'_>, options: Value<'_>) -> Result<Arrived, ReadError> {
    let mut values = Values::new(LIMITS);
    let packet = Packet::read(packet, &mut values)?;
    let [rooms, except, flags] = options.members(["rooms", "except", "flags"])?;
    let broadcast = Broadcast {
        uid: uid.to_owned(),
        packet,
        selection: Selection::read(rooms, except)?,
        flags: Flags::read(flags, &mut values)?,
    };
    Ok(Arrived {
        broadcast,
        per_room: None,
        unknown_extensions: values.unknown(),
    })
}

/// A map of `data`, `room` or `rooms`, and `nsp`: what the emitter's first documentation tells those who have none.
fn read_without_emitter(uid: &str, message: Value<'_>) -> Result<Arrived, ReadError> {
    let [data, one_room, rooms, namespace] = message.members(["data", "room", "rooms", "nsp"])?;
    let data = data.ok_or(ReadError::Shape("a message without data"))?;
    let mut values = Values::new(LIMITS);
    let packet = Packet {
        namespace: namespace_of(namespace)?,
        ..read_data(data, &mut values)?
    };
    let broadcast = Broadcast {
        uid: uid.to_owned(),
        packet,
        selection: Selection {
            rooms: both(read_room(one_room)?, Rooms::read(rooms)?),
            except: Vec::new(),
        },
        flags: Flags::default(),
    };
    Ok(Arrived {
        broadcast,
        per_room: None,
        unknown_extensions: values.unknown(),
    })
}

/// A list that starts with a name is an event; anything else is the argument of `message`.
fn read_data(data: Value<'_>, values: &mut Values) -> Result<Packet, ReadError> {
    let is_event = data.is_list()
        && matches!(data.elements()?.next(), Some(Ok(name)) if name.text().is_some());
    if is_event {
        return Packet::read_event("/", data, values);
    }
    let arg = data.arg(1, values)?;
    Ok(Packet {
        namespace: "/".to_owned(),
        name: event_name("message")?,
        args: Args::from_iter([arg]),
    })
}

/// A room by name, or a list of them.
fn read_room(value: Option<Value<'_>>) -> Result<Rooms, ReadError> {
    match value.filter(|value| !value.is_nothing()) {
        None => Ok(Rooms::All),
        Some(list) if list.is_list() => Rooms::read(Some(list)),
        Some(name) => Ok(Rooms::AnyOf(room(name)?.into_iter().collect())),
    }
}

fn both(one: Rooms, other: Rooms) -> Rooms {
    match (one, other) {
        (Rooms::AnyOf(mut rooms), Rooms::AnyOf(more)) => {
            rooms.extend(more);
            Rooms::AnyOf(rooms)
        }
        (Rooms::All, rooms) | (rooms, Rooms::All) => rooms,
    }
}

fn namespace_of(value: Option<Value<'_>>) -> Result<String, ReadError> {
    let Some(value) = value.filter(|value| !value.is_nothing()) else {
        return Ok("/".to_owned());
    };
    let namespace = value
        .text()
        .ok_or(ReadError::Shape("a namespace that is no text"))?;
    Ok(slashed(&namespace).into_owned())
}

fn event_name(name: &str) -> Result<EventName, ReadError> {
    EventName::new(name).map_err(|_| ReadError::Shape("an event's name is empty or too long"))
}

impl Packet {
    /// A map of `type`, `data` and `nsp`.
    pub(super) fn read(packet: Value<'_>, values: &mut Values) -> Result<Self, ReadError> {
        let [kind, data, namespace, attachments] =
            packet.members(["type", "data", "nsp", "attachments"])?;
        match kind.and_then(Value::count) {
            Some(EVENT) => {}
            // The count is in packets that were made for clients: the binary has been taken out.
            Some(BINARY_EVENT) if attachments.is_none_or(Value::is_nothing) => {}
            Some(BINARY_EVENT) => return Err(ReadError::Placeholders),
            _ => return Err(ReadError::Shape("a packet that is no event")),
        }
        let data = data.ok_or(ReadError::Shape("an event without data"))?;
        Self::read_event(&namespace_of(namespace)?, data, values)
    }

    /// A list of a name and arguments.
    fn read_event(
        namespace: &str,
        data: Value<'_>,
        values: &mut Values,
    ) -> Result<Self, ReadError> {
        let mut elements = data.elements()?;
        let name = elements.next().transpose()?.and_then(Value::text);
        let name = name.ok_or(ReadError::Shape("an event without a name"))?;
        Ok(Self {
            namespace: namespace.to_owned(),
            name: event_name(&name)?,
            args: Value::args(elements, AROUND, values)?,
        })
    }

    fn has_binary(&self) -> bool {
        self.args.iter().any(|arg| !parts(arg).is_empty())
    }

    pub(super) fn write(&self, wire: Wire, out: &mut Writer) {
        let kind = match wire {
            Wire::Legacy if self.has_binary() => BINARY_EVENT,
            Wire::Legacy | Wire::Modern => EVENT,
        };
        out.map(3);
        out.text("type");
        out.unsigned(kind);
        out.text("data");
        out.array(1 + self.args.len());
        out.text(self.name.as_str());
        for arg in &self.args {
            out.arg(arg);
        }
        out.text("nsp");
        out.text(&self.namespace);
    }
}

/// As in JSON messages.
impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let bools = [
            ("volatile", self.volatile.then_some(true)),
            ("compress", self.compress),
            ("local", self.local.then_some(true)),
        ];
        for (key, value) in bools {
            if let Some(value) = value {
                map.serialize_entry(key, &value)?;
            }
        }
        if let Some(timeout) = self.timeout {
            map.serialize_entry("timeout", &timeout)?;
        }
        if let Some(polyport) = &self.polyport {
            map.serialize_entry("polyport", polyport)?;
        }
        map.end()
    }
}

impl Flags {
    /// What is no map has no flags: PHP has an empty list there.
    pub(super) fn read(flags: Option<Value<'_>>, values: &mut Values) -> Result<Self, ReadError> {
        let Some(flags) = flags.filter(|flags| flags.is_map()) else {
            return Ok(Self::default());
        };
        let [volatile, compress, local, timeout, polyport] =
            flags.members(["volatile", "compress", "local", "timeout", "polyport"])?;
        let polyport = polyport.filter(|value| !value.is_nothing());
        Ok(Self {
            volatile: volatile.is_some_and(Value::is_truthy),
            compress: compress
                .filter(|value| !value.is_nothing())
                .map(Value::is_truthy),
            local: local.is_some_and(Value::is_truthy),
            timeout: timeout.and_then(Value::count),
            polyport: polyport
                .map(|value| value.plain(AROUND, values))
                .transpose()?,
        })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let bools = [
            ("volatile", self.volatile.then_some(true)),
            ("compress", self.compress),
            ("local", self.local.then_some(true)),
        ];
        let bools = bools
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let others = usize::from(self.timeout.is_some()) + usize::from(self.polyport.is_some());
        out.map(bools.clone().count() + others);
        for (key, value) in bools {
            out.text(key);
            out.bool(value);
        }
        if let Some(timeout) = self.timeout {
            out.text("timeout");
            out.unsigned(timeout);
        }
        if let Some(polyport) = &self.polyport {
            out.text("polyport");
            out.json(polyport.as_str(), &[]);
        }
    }
}

/// Writes a message for [`super::Channels::of`]. What nests deeper than [`read_broadcast`] allows is written all the same, for
/// others may take it.
#[must_use]
pub fn write_broadcast(broadcast: &Broadcast, wire: Wire) -> Vec<u8> {
    let mut out = Writer::new(Form::Common);
    out.array(3);
    out.text(&broadcast.uid);
    write_parts(broadcast, wire, &mut out);
    out.finish()
}

/// Writes a message for [`super::Channels::ancient_server`]: nothing if there is binary in it, for which there is no form there.
#[must_use]
pub fn write_ancient(broadcast: &Broadcast) -> Option<Vec<u8>> {
    if broadcast.packet.has_binary() {
        return None;
    }
    let mut out = Writer::new(Form::Common);
    out.array(2);
    write_parts(broadcast, Wire::Modern, &mut out);
    Some(out.finish())
}

fn write_parts(broadcast: &Broadcast, wire: Wire, out: &mut Writer) {
    broadcast.packet.write(wire, out);
    out.map(3);
    broadcast.selection.write(out);
    out.text("flags");
    broadcast.flags.write(out);
}

#[cfg(test)]
mod tests;
