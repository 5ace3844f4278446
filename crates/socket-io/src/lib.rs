//! Front end: Engine.IO (revisions 3 and 4) with Socket.IO (revisions 4 and 5) on top.
//!
//! A client is an [`engine::Engine`] whatever carries it: a WebSocket (`socket`) or polls (`poll`, whose answers go through
//! `carrier` and are written by `answering`). Events are written as WebSocket frames once (`dialect`); polling takes the
//! frames apart. `session` is what Socket.IO's packets mean: namespaces there, `events`, `acks` and `login` below it.
//! `recovery` is what waits for a client that was lost, `shared` what all clients of a listener have in common, `clients`
//! who they are when it is bound anew, `listener` which requests are answered how. `codec` has the bytes of both layers, without I/O.

mod answering;
mod carrier;
mod client_files;
mod clients;
pub mod codec;
mod compression;
mod dialect;
mod engine;
mod listener;
mod options;
mod poll;
mod recovery;
mod session;
mod shared;
mod socket;

pub use client_files::{ClientFiles, ClientFilesError};
pub use clients::Clients;
pub use listener::start;
pub use options::{AfterRefusal, LoginOptions, Parser, PublishRule, SocketIoOptions};
