//! A session as a script's engine and the connection share it.

use std::sync::Arc;

use parking_lot::Mutex;
use polyport_core::{CloseReason, Event, OpenRequest, SessionRef};

use super::questions::Question;

/// Events, and bytes of their arguments, that a session may be sent before it is open.
const EARLY_EVENTS: usize = 1000;
const EARLY_BYTES: usize = 1 << 20;

/// A session that a script knows.
pub(crate) struct Link {
    /// What the script calls it.
    pub(crate) key: u32,
    /// What it asked to be opened with; also for asking a fresh engine.
    pub(crate) request: Arc<OpenRequest>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<SessionRef>,
    early: Vec<Message>,
    early_bytes: usize,
    /// The script has ended it, perhaps before it was open.
    ended: Option<Ending>,
}

/// An event for a session's client, and who waits for its answer.
pub(crate) struct Message {
    pub(crate) event: Event,
    pub(crate) question: Option<Question>,
}

/// What a script ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// The session; a connection that can have others goes on.
    Session,
    /// Its connection, with all sessions that are on it.
    Connection,
}

impl Message {
    fn send(self, session: &SessionRef) {
        let Self { event, question } = self;
        let Some(question) = question else {
            session.tell(&event);
            return;
        };
        if !session.answers_events() {
            return question.fail("clients of this protocol do not answer events");
        }
        // It can be asked; and what becomes of the question its engine hears in any case.
        let _ = session.ask(&event, Box::new(|args| question.settle(args)));
    }
}

impl Ending {
    fn apply(self, session: &SessionRef) {
        match self {
            Self::Session => session.disconnect(),
            Self::Connection => session.close(CloseReason::Disconnected),
        }
    }
}

/// More was sent to a session before it was open than is kept.
#[derive(Debug)]
pub(crate) struct TooMuchEarly;

impl Link {
    pub(crate) fn new(key: u32, request: Arc<OpenRequest>) -> Self {
        Self {
            key,
            request,
            state: Mutex::default(),
        }
    }

    /// Sends an event with so many bytes of arguments to the session, or keeps it until it is open.
    pub(crate) fn tell(&self, message: Message, bytes: usize) -> Result<(), TooMuchEarly> {
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return Ok(());
        }
        let Some(session) = state.session.clone() else {
            if state.early.len() >= EARLY_EVENTS || state.early_bytes + bytes > EARLY_BYTES {
                return Err(TooMuchEarly);
            }
            state.early_bytes += bytes;
            state.early.push(message);
            return Ok(());
        };
        drop(state);
        message.send(&session);
        Ok(())
    }

    /// The session is open: what was kept goes out, in order.
    pub(crate) fn opened(&self, session: &SessionRef) {
        loop {
            let early = {
                let mut state = self.state.lock();
                if state.early.is_empty() {
                    state.session = Some(session.clone());
                    if let Some(ending) = state.ended {
                        ending.apply(session);
                    }
                    return;
                }
                std::mem::take(&mut state.early)
            };
            for message in early {
                message.send(session);
            }
        }
    }

    /// Ends the session or its connection, as soon as it is open if it is not yet.
    pub(crate) fn end(&self, ending: Ending) {
        let session = {
            let mut state = self.state.lock();
            state.ended = Some(ending);
            state.session.clone()
        };
        if let Some(session) = session {
            ending.apply(&session);
        }
    }
}
