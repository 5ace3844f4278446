//! The front end for Pocketsocket clients: a hub that sends each text of a client on to all others, a receipt back to
//! the sender, and tells the others who comes and goes.
//!
//! Start reading at `session` (what a message means), then `codec` (the texts themselves), `dialect` (how events of other
//! protocols look here) and `listener` (how it is started). For users the protocol is described in `docs/pocketsocket.md`.
//!
//! One hub is one listener: a room of its own, under a name that nobody can guess, holds the listener's sessions.
//!
//! **This crate must not know** other protocols: it meets them only as events in rooms of the core.

mod clock;
pub mod codec;
mod dialect;
mod events;
mod listener;
mod options;
mod session;

pub use listener::{ready_line, start};
pub use options::{ChannelsOptions, DEFAULT_MESSAGE_LIMIT, Relay};
