//! The hub of Polyport: sessions, rooms, events and calls, and the rules that hold for all of them.
//!
//! Start reading at [`Hub`], then [`Session`] (one client connection), `room` (fan-out) and [`Outbox`] (how frames leave).
//! A front end opens a session on a [`Listener`], joins it to rooms, publishes [`Event`]s and hands [`Call`]s to a
//! [`Backend`]; the core writes each event once per [`Dialect`] and queues the same bytes to every receiver.
//!
//! **This crate must not know** sockets, a runtime, or any protocol: bytes reach it as finished [`Frame`]s, and what it
//! cannot do itself it asks through the traits it defines: [`Dialect`] (event → frame), [`Transport`] (frames → peer),
//! [`Backend`] (call → answer), [`TokenVerifier`] (token → identity), [`FlushPool`] (many peers to write to at once).

mod asking;
mod asks;
mod backplane;
mod call;
mod close;
mod cluster;
mod command;
mod dialect;
mod event;
mod events;
mod expiry;
mod handshake;
mod hub;
mod identity;
mod json;
mod keeping;
mod limits;
mod listener;
mod metrics;
mod name;
mod opening;
mod outbox;
mod params;
mod pattern;
mod peer;
mod permissions;
mod places;
mod publishing;
mod realm;
mod recent;
mod room;
mod session;
mod several;
mod tap;
pub mod trace;
mod turn;
mod wire;

pub use asks::{Answered, Asks, NoAcks, Unanswered};
pub use backplane::{Backplane, Order, Promise, ServersAnswered};
pub use call::{
    ActionInfo, Answer, Ask, Backend, Call, CallArgs, CallError, Denial, Hooks, InputInfo, Reply,
    Respond, SERVER_SIDE, Told, error_value,
};
pub use close::{CloseReason, RefuseReason};
pub use cluster::{Asked, Cluster, Known, Member, Part, SessionInfo, Soon, Whereabouts};
pub use command::{
    Command, CommandError, Disconnect, Done, Join, Leave, Publish, Recipients, Said, TargetSpec,
};
pub use dialect::{Dialect, Frame, shown_binary};
pub use event::{
    Arg, Args, Event, Millis, Mixed, NoPlace, NotMixed, Place, Sender, argument_with_binary,
    first_argument, single_argument,
};
pub use handshake::Handshake;
pub use hub::{Delivered, Except, Hub, Target};
pub use identity::{
    Expiry, Identity, MAX_TOKEN, OnExpiry, TokenError, TokenSource, TokenVerifier, Verified,
    is_identity_room, site_room, user_room,
};
pub use json::{Json, JsonError};
pub use keeping::{History, Keeping, KeptSession, Missing, Taken};
pub use limits::{LimitKind, Limits};
pub use listener::{Admission, Branch, Connections, Listener, ListenerConfig};
pub use metrics::{
    ApiMetrics, Arrival, BackendFigures, BackendMetrics, BackendOutcome, BackendRequest,
    BackplaneFigures, BackplaneMetrics, Counts, Durations, ListenerFigures, ListenerMetrics,
    Metrics, ProtocolFigures, Recovery, RestartCause, TraceMetrics,
};
pub use name::{EventName, Name, NameError, RealmName, RoomName, SessionId, SessionIdError};
pub use opening::{
    Accepted, Authentication, Guest, Later, OpenRequest, Received, Reception, Refused, SessionEnd,
    Sites, Visit, token_in,
};
pub use outbox::{Flushed, FrameQueue, FrameSource, Outbox, Transport, Wrote};
pub use params::{Params, ParamsFull};
pub use peer::Peer;
pub use permissions::{Permissions, PermissionsError};
pub use realm::Realm;
pub use recent::{Latest, Recent, Refusal, TooSlow};
pub use room::{MemberInfo, RoomInfo};
pub use session::{
    CallTicket, JoinError, LeaveError, Opening, OpeningOn, PublishError, Session, SessionRef,
    Unsent, WeakSession,
};
pub use tap::{Record, RecordKind, Scope, Tap, TapLimits, TapOptions, TooManyTaps};
pub use turn::FlushPool;
pub use wire::Wire;
