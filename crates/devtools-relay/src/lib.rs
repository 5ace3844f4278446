//! The front end for SocketCluster clients of both live generations: calls both ways, channels, tokens.
//!
//! Start reading at `client` (one connection: which generation, its heartbeat, its end) and `session` (what a packet means:
//! `handshake`, `calls`, `channels`, `auth`, and in `asks` what the server wants of the client). `codec` has the packets,
//! `wording` the originals' errors, `dialect` how events look here, `listener` and `origins` who may connect. For users the
//! protocol is described in `docs/devtools.md`.
//!
//! A channel is a room of the listener's realm: who is in the room is subscribed. Nothing tells the generations apart but the
//! answer to a ping, so that a connection is asked once it has shaken hands.
//!
//! **This crate must not know** other protocols, nor what answers the calls: it asks the core's `Backend`.

mod client;
pub mod codec;
mod dialect;
mod listener;
mod options;
mod origins;
mod session;
mod shared;
mod wording;

pub use listener::start;
pub use options::{DEFAULT_MESSAGE_LIMIT, DevtoolsOptions, Version};
