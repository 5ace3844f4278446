//! The server API over loopback, with requests written by hand and sessions that live in memory.

#![expect(
    clippy::unwrap_used,
    reason = "what panics here fails its test, which is what it is for"
)]

mod bodies;
mod calls;
mod commands;
mod connections;
mod control;
mod drains;
mod idempotency;
mod keys;
mod logs;
mod overview;
mod queries;
mod rig;
mod servers;
mod taps;
