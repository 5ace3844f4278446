//! Rooms over Redis: several gateways act as one, and take part in clusters of Socket.IO servers and their emitters.
//!
//! Start reading at [`RedisRooms`] (what the hub tells it), then `shared` (what is said, and what is done with what arrives), `link` (the connections
//! and their loss), `subscriptions` (what this node listens to), `shards` (where on a Cluster that is), `outgoing` and `incoming` (between the core's targets and
//! messages), `answers` (what other servers ask), `servers` (what this node asks them), `streams` (where events come back in one order). `presence` is what gateways put on record about their sessions, and `asking`
//! how one reaches a client of another. `codec` has the bytes, without I/O: [`codec::Channels`] is where something is said,
//! [`codec::Broadcast`] an event for rooms, [`codec::Request`] and [`codec::Response`] are questions to all servers.
//!
//! **This crate must not know** any protocol that clients speak: what arrives becomes the core's arguments and room names.

mod answers;
mod asking;
mod backplane;
pub mod codec;
mod connection;
mod deployment;
mod incoming;
mod link;
mod options;
mod outgoing;
mod presence;
mod queue;
mod realms;
mod servers;
mod shards;
mod shared;
mod streams;
mod subscriptions;
mod typed;

pub use backplane::{Health, RedisRooms};
pub use deployment::{ConnectError, Deployment, Kind, Login, ServerInfo, Tls, UrlError};
pub use options::{Expose, RedisOptions, Sharding, StreamOptions};
