//! The protocol on real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "what panics here fails its test, which is what it is for"
)]

mod frames;
mod refusals;
mod support;
mod validators;
