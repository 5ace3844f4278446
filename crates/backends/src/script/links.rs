//! A session as a script's engine and the connection share it.

use std::sync::Arc;

use parking_lot::Mutex;
use polyport_core::{CloseReason, Event, OpenRequest, SessionRef};

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
    early: Vec<Event>,
    early_bytes: usize,
    /// The script has closed it, perhaps before it was open.
    is_closed: bool,
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

    /// Sends an event to the session, or keeps it until it is open.
    pub(crate) fn tell(&self, event: Event, bytes: usize) -> Result<(), TooMuchEarly> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Ok(());
        }
        let Some(session) = state.session.clone() else {
            if state.early.len() >= EARLY_EVENTS || state.early_bytes + bytes > EARLY_BYTES {
                return Err(TooMuchEarly);
            }
            state.early_bytes += bytes;
            state.early.push(event);
            return Ok(());
        };
        drop(state);
        session.tell(&event);
        Ok(())
    }

    /// The session is open: what was kept goes out, in order.
    pub(crate) fn opened(&self, session: &SessionRef) {
        loop {
            let early = {
                let mut state = self.state.lock();
                if state.early.is_empty() {
                    state.session = Some(session.clone());
                    if state.is_closed {
                        session.close(CloseReason::Disconnected);
                    }
                    return;
                }
                std::mem::take(&mut state.early)
            };
            for event in early {
                session.tell(&event);
            }
        }
    }

    /// Ends the session, as soon as it is open if it is not yet.
    pub(crate) fn close(&self) {
        let session = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.session.clone()
        };
        if let Some(session) = session {
            session.close(CloseReason::Disconnected);
        }
    }
}
