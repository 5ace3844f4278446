//! The front end for socket.red clients: calls with and without answers, redux actions and events over WebSocket.
//!
//! Start reading at `session` (what a text means), then `codec` (the texts themselves), `dialect` (how events look here) and
//! `listener` (who gets a session, and how the others are refused). For users the protocol is described in
//! `docs/socket-red.md`.
//!
//! **This crate must not know** other protocols, nor what answers the calls: it asks the core's `Backend`.

pub mod codec;
mod dialect;
mod listener;
mod session;

pub use listener::{RpcOptions, start};
