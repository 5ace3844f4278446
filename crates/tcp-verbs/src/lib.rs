//! Actionhero's socket protocol: lines of verbs and actions in, lines of JSON out.
//!
//! Start reading at `session` (what a line means), then `codec` (bytes ⇄ requests and replies). [`Profile`] holds every
//! point in which the versions of the original differ; [`start`] binds a listener.
//!
//! Wire facts come from the socket servers of actionhero 6.4.4 to 29.3.5 and the clients actionhero-client 4.0.1 and
//! 6.0.0 and actionhero-node-client 8.0.1.
//!
//! **This crate must not know** other protocols or how actions are answered: it hands calls to a `Backend`.

mod asked;
pub mod codec;
mod dialect;
mod files;
mod listener;
mod profile;
mod session;
mod verbs;

pub use files::PublicFolders;
pub use listener::{VerbsOptions, start};
pub use profile::{
    ErrorPrefix, FileError, Fingerprint, MessageCount, MessageId, Profile, RoomErrors, Scrub,
    VerbErrorKey,
};
