//! Tokens as clients bring them: signatures of every family, claims, and keys that an issuer publishes over loopback.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod claims;
mod keys;
mod published;
mod rig;
mod rules;
mod signatures;
