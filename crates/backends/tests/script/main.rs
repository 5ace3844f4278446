//! Scripts: what they answer, what they send, and what becomes of their faults.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod actions;
mod clients;
mod faults;
mod modules;
mod reload;
mod sessions;
mod world;
