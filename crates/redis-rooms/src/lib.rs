//! Rooms over Redis: how servers and emitters of Socket.IO reach each other's clients, so that Polyport takes part in their
//! cluster.
//!
//! `codec` has the bytes, without I/O: start reading at [`codec::Channels`] (where something is said), then
//! [`codec::Broadcast`] (an event for rooms), [`codec::Request`] and [`codec::Response`] (questions to all servers).
//!
//! **This crate must not know** any protocol that clients speak: what arrives becomes the core's arguments and room names.

pub mod codec;
