//! Everything between the operating system and a protocol: bound addresses, TLS, the PROXY protocol, HTTP upgrades,
//! WebSocket frames, lines, deadlines, and the one task that owns each connection.
//!
//! Start reading at [`Connection`] (the task's loop), then [`Server`] (accepting), then [`ws`] and [`lines`] (framing).
//! A front end implements [`Handler`] for raw bytes or [`WsHandler`] for WebSocket messages, and is handed each
//! accepted connection; what it says goes through its core session's outbox, never through a socket.
//! The other way round, [`HttpClient`] asks services over HTTP.
//!
//! **This crate must not know** any protocol above lines and WebSocket messages, nor rooms, events or calls.

mod answer;
mod bind;
mod client;
mod connection;
mod deadlines;
mod entity;
mod flush;
mod http;
mod in_order;
pub mod lines;
mod open_files;
mod parent;
mod place;
mod proxy;
mod server;
mod sockets;
mod stream;
mod takeover;
mod tasks;
mod tls;
mod unwanted;
mod validity;
pub mod ws;
mod ws_handler;

pub use answer::{ask, respond};
pub use bind::{Bind, BindError};
pub use client::{
    ClientError, ClientRequest, ClientResponse, HttpClient, HttpClientOptions, StreamedResponse,
    WsClient, WsClientError,
};
pub use connection::{Connection, Handler, Link, LinkOptions};
pub use deadlines::{Deadline, Deadlines, Moment, Watched};
pub use entity::{entity_tag, knows_entity, takes_gzip};
pub use flush::FlushTasks;
pub use http::{
    Decision, HttpAnswer, HttpRequest, WsFrontEnd, http_answer, receive, serve_websockets,
    throw_away,
};
pub use in_order::{InOrder, TooManyJobs};
pub use open_files::raise_open_file_limit;
pub use place::{Place, Process};
pub use server::{Accepted, RawFrontEnd, Server, ServerSettings, Transportation, serve_raw};
pub use sockets::Sockets;
pub use takeover::{Predecessor, Successor};
pub use tasks::Tasks;
pub use tls::{CertificateFiles, FreshCertificates, TlsAcceptance, TlsError};
pub use unwanted::Unwanted;
pub use validity::{Validity, days_since_1970};
pub use ws_handler::{Heartbeat, WsClose, WsHandler, WsMessages};
