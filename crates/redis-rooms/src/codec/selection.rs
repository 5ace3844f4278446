//! Who is meant.

use polyport_core::RoomName;
use polyport_msgpack::Writer;
use serde::{Serialize, Serializer, ser::SerializeSeq};

use super::{MAX_ITEMS, ReadError, value::Value};

/// Whose members are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rooms {
    /// Everybody in the namespace, in rooms or not.
    #[default]
    All,
    /// The members of any of them. None at all when only rooms were named that no room can be called: then nobody is meant.
    AnyOf(Vec<RoomName>),
}

impl Rooms {
    /// Rooms by name; everybody if there are none.
    #[must_use]
    pub fn of(rooms: Vec<RoomName>) -> Self {
        if rooms.is_empty() {
            Self::All
        } else {
            Self::AnyOf(rooms)
        }
    }

    /// Their names as they are written: an empty list means everybody, and in a room without a name is nobody.
    fn written(&self) -> impl ExactSizeIterator<Item = &str> {
        let (rooms, nobody): (&[RoomName], _) = match self {
            Self::All => (&[], 0),
            Self::AnyOf(rooms) => (rooms, usize::from(rooms.is_empty())),
        };
        (0..rooms.len() + nobody).map(|index| rooms.get(index).map_or("", RoomName::as_str))
    }

    pub(super) fn read(value: Option<Value<'_>>) -> Result<Self, ReadError> {
        let Some(value) = value.filter(|value| !value.is_empty_list()) else {
            return Ok(Self::All);
        };
        Ok(match names(value)? {
            (_, 0) => Self::All,
            (rooms, _) => Self::AnyOf(rooms),
        })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let names = self.written();
        out.array(names.len());
        names.for_each(|name| out.text(name));
    }
}

/// As in JSON messages.
impl Serialize for Rooms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.written();
        let mut list = serializer.serialize_seq(Some(names.len()))?;
        for name in names {
            list.serialize_element(name)?;
        }
        list.end()
    }
}

/// Which sessions are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Members of these,
    pub rooms: Rooms,
    /// unless they are in one of these. Old servers name sockets here, each of which is in a room of its id.
    pub except: Vec<RoomName>,
}

impl Selection {
    /// Reads what stands under `rooms` and `except`.
    pub(super) fn read(
        rooms: Option<Value<'_>>,
        except: Option<Value<'_>>,
    ) -> Result<Self, ReadError> {
        Ok(Self {
            rooms: Rooms::read(rooms)?,
            except: room_list(except)?,
        })
    }

    pub(super) fn write(&self, out: &mut Writer) {
        out.text("rooms");
        self.rooms.write(out);
        out.text("except");
        out.array(self.except.len());
        for room in &self.except {
            out.text(room.as_str());
        }
    }
}

/// Rooms by name; those that no room can be called are left out, since they have no members.
pub(super) fn room_list(value: Option<Value<'_>>) -> Result<Vec<RoomName>, ReadError> {
    match value.filter(|value| !value.is_empty_list()) {
        Some(value) => Ok(names(value)?.0),
        None => Ok(Vec::new()),
    }
}

/// The rooms of a list, and how many names it has.
fn names(value: Value<'_>) -> Result<(Vec<RoomName>, usize), ReadError> {
    let mut rooms = Vec::new();
    let mut count = 0;
    for name in value.elements()? {
        count += 1;
        if count > MAX_ITEMS {
            return Err(ReadError::TooMany);
        }
        rooms.extend(room(name?)?);
    }
    Ok((rooms, count))
}

/// A room by name; JavaScript takes numbers for names.
pub(super) fn room(name: Value<'_>) -> Result<Option<RoomName>, ReadError> {
    let name = name
        .name()
        .ok_or(ReadError::Shape("a room whose name is no text"))?;
    Ok(RoomName::new(&name).ok())
}
