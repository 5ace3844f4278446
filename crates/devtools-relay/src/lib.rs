//! The front end for SocketCluster clients of both live generations: calls both ways, channels, tokens; and the relay of the
//! Redux DevTools, which speaks this protocol.
//!
//! Start reading at `client` (one connection: which generation, its heartbeat, its end) and `session` (what a packet means:
//! `handshake`, `calls`, `channels`, `auth`, and in `asks` what the server wants of the client). `codec` has the packets,
//! `wording` the originals' errors, `dialect` how events look here, `listener` and `origins` who may connect. For users the
//! protocol is described in `docs/devtools.md`.
//!
//! The relay is in `relay` (who is there, and what passes through), `access` (who may what) and `reports` (histories that are
//! kept, over HTTP); `recording` is what is kept in files and said again; `page` is what a browser sees. A listener without it is a plain server of SocketCluster.
//!
//! A channel is a room of the listener's realm: who is in the room is subscribed. Nothing tells the generations apart but the
//! answer to a ping, so that a connection is asked once it has shaken hands.
//!
//! **This crate must not know** other protocols, nor what answers the calls: it asks the core's `Backend`.

mod access;
mod client;
pub mod codec;
mod dialect;
mod listener;
mod options;
mod origins;
mod page;
mod recording;
pub mod relay;
mod reports;
mod session;
mod shared;
mod wording;

pub use access::{AccessOptions, Right, UserOptions};
pub use listener::{StartError, start};
pub use options::{AskBackends, DEFAULT_MESSAGE_LIMIT, DevtoolsOptions, Version};
pub use page::PageError;
pub use recording::{Recorded, Recording, RecordingError};
pub use relay::{RecorderError, RecordingOptions, Relay, RelayOptions, ReportOptions};
pub use reports::{ReportsError, columns_of};
