//! Bytes of both layers, without I/O: Engine.IO packets and polling bodies, Socket.IO packets in JSON and msgpack.

mod engine;
mod msgpack;
mod packet;
mod payload;

pub use engine::{
    EnginePacket, OpenPacket, read_engine, read_engine_base64, read_engine_binary,
    write_engine_base64,
};
pub(crate) use msgpack::msgpack_tail;
pub use msgpack::{
    read_msgpack, read_msgpack_text, write_msgpack_ack, write_msgpack_connect,
    write_msgpack_disconnect, write_msgpack_error, write_msgpack_event, write_msgpack_text,
};
pub use packet::{
    Assembler, Attachments, Kind, Packet, PacketError, ReadLimits, Whole, is_reserved, write_ack,
    write_connect, write_disconnect, write_error, write_event,
};
pub use payload::{
    PollPacket, Style, Written, read_jsonp, read_payload, write_jsonp, write_payload,
};

/// The revision of Engine.IO that a client speaks, which is the `EIO` of its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revision {
    /// 3, with Socket.IO protocol 4: clients of 1.x and 2.x.
    V3,
    /// 4, with Socket.IO protocol 5: clients of 3.x and 4.x.
    V4,
}

/// Why something cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
