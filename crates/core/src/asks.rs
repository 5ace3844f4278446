//! Clients that answer what they are told.

use crate::{Args, Event, Handshake, Json, RoomName, SessionRef};

/// Asks the clients of a protocol in which clients answer what they are told.
pub trait Asks: Send + Sync {
    /// Tells `event` to the session alone. `respond` gets the arguments of the answer, or why there will be none.
    fn ask(&self, session: &SessionRef, event: &Event, respond: Answered);

    /// The session is to end and its connection to go on.
    fn disconnect(&self, session: &SessionRef);

    /// What its client calls itself, where servers of the protocol know each other's clients by such names. Nothing while the
    /// client is lost.
    fn client_name(&self, session: &SessionRef) -> Option<String> {
        let _ = session;
        None
    }

    /// How its client came, as far as that is still known: it is kept only where other nodes may ask.
    fn handshake(&self, session: &SessionRef) -> Handshake {
        let _ = session;
        Handshake::default()
    }

    /// Something that the server tells this session alone and that is meant for the protocol, not for its client: whether it
    /// was, and is done.
    fn order(&self, session: &SessionRef, event: &Event) -> bool {
        let _ = (session, event);
        false
    }

    /// The server has taken the session out of a room.
    fn taken_out(&self, session: &SessionRef, room: &RoomName) {
        let _ = (session, room);
    }

    /// The session is somebody else now, or nobody.
    fn identified(&self, session: &SessionRef) {
        let _ = session;
    }

    /// The session's identity has ended and it goes on as nobody's.
    fn identity_expired(&self, session: &SessionRef) {
        let _ = session;
    }
}

/// Gets a client's answer: its arguments, or why there will be none.
pub type Answered = Box<dyn FnOnce(Result<Args, Unanswered>) + Send>;

/// Why a client has not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// The session has ended, or so many answers were asked for since that no more may be outstanding.
    Ended,
    /// Its answer is this error, or its protocol has such a one for who keeps silent: a string, or an object with `message`.
    Error(Json),
}

/// Clients of this protocol do not answer what they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("clients of this protocol do not answer events")]
pub struct NoAcks;
