//! What is published, in every form since 2014. Servers and emitters wrote it with four libraries of msgpack, three
//! generations of messages and two numberings of requests; all of them are read, and one is written that all of them read.

mod broadcast;
mod channel;
mod details;
mod kept;
mod message;
mod request;
mod response;
#[cfg(test)]
mod script;
mod selection;
mod sync;
mod value;

pub use broadcast::{
    Arrived, Broadcast, EMITTER, Flags, Packet, PerRoom, Wire, read_broadcast, write_ancient,
    write_broadcast,
};
pub use channel::{BroadcastChannel, Channel, Channels};
pub use details::{Details, Handshake};
pub use kept::{LostSession, OfGateway, read_lost_session, write_lost_session};
pub use message::{
    Content, ServerMessage, read_content, read_server_message, write_content, write_packed_message,
    write_server_message,
};
pub use request::{Numbering, Question, Request, Whom, read_request, write_request};
pub use response::{Answer, Response, read_response, write_response};
pub use selection::{Rooms, Selection};
pub use sync::{
    SyncRequest, read_sync_request, read_sync_response, write_sync_request, write_sync_response,
};

use polyport_msgpack::Limits;

/// The largest message that is read, in bytes.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// How deep a message may nest; its own arrays and maps count.
const DEPTH: usize = 128;

/// Most arguments, rooms, or binaries of a message. Each costs many times the memory that it takes in the message.
const MAX_ITEMS: usize = 65_536;

/// The same for values in msgpack.
const LIMITS: Limits = Limits {
    depth: DEPTH,
    binaries: MAX_ITEMS,
    binary_bytes: MAX_MESSAGE,
};

/// Most entries of an answer's list.
const MAX_ENTRIES: usize = 1_000_000;

/// Why a message is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// More than [`MAX_MESSAGE`] bytes.
    #[error("a message of more than {MAX_MESSAGE} bytes")]
    TooLarge,
    /// Nested deeper than 128.
    #[error("a message that nests too deep")]
    TooDeep,
    /// More arguments, rooms, binaries or entries than are taken.
    #[error("a message with too many parts")]
    TooMany,
    /// Neither JSON nor any msgpack.
    #[error("{0}")]
    Malformed(&'static str),
    /// Readable, but not what the channel carries.
    #[error("{0}")]
    Shape(&'static str),
    /// An event whose binary was not published: adapters before 1.0 leave placeholders only.
    #[error("placeholders for binary that was not published")]
    Placeholders,
    /// A broadcast whose namespace is not that of its channel.
    #[error("a namespace that is not the channel's")]
    OtherNamespace,
}

impl From<polyport_msgpack::Error> for ReadError {
    fn from(error: polyport_msgpack::Error) -> Self {
        match error {
            polyport_msgpack::Error::Malformed(reason) => Self::Malformed(reason),
            polyport_msgpack::Error::TooDeep => Self::TooDeep,
            polyport_msgpack::Error::TooMany => Self::TooMany,
            polyport_msgpack::Error::TooLarge => Self::TooLarge,
        }
    }
}

/// Refuses what is too large to be looked at.
fn check_size(payload: &[u8]) -> Result<(), ReadError> {
    if payload.len() > MAX_MESSAGE {
        return Err(ReadError::TooLarge);
    }
    Ok(())
}
