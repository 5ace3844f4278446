//! Answers that a client owes, and what else its session asks of the connection.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use polyport_core::{
    Answered, Args, Asks, Branch, CloseReason, Event, Handshake, SessionRef, Unanswered,
};

use crate::{codec::is_reserved, dialect::Form, engine::Engine};

/// Most acks that a session owes. Who asks does not say when it has given up, so that the oldest goes for a new one.
const PENDING_ACKS: usize = 1024;

/// Answers that a client owes.
pub(super) struct Acks {
    /// Another one when the client has come back.
    engine: Mutex<Weak<Engine>>,
    form: Form,
    branch: Arc<Branch>,
    state: Mutex<Owed>,
}

#[derive(Default)]
struct Owed {
    next: u64,
    waiting: Vec<(u64, Answered)>,
    is_over: bool,
}

impl Owed {
    /// Takes the oldest out if there is no room for another one.
    fn make_room(&mut self) -> Option<Answered> {
        if self.waiting.len() < PENDING_ACKS {
            return None;
        }
        let owed = self.waiting.iter().enumerate();
        let (oldest, _) = owed.min_by_key(|(_, (id, _))| *id)?;
        Some(self.waiting.swap_remove(oldest).1)
    }
}

impl Acks {
    pub(super) fn new(engine: &Arc<Engine>, branch: Arc<Branch>) -> Arc<Self> {
        Arc::new(Self {
            engine: Mutex::new(Arc::downgrade(engine)),
            form: engine.form(),
            branch,
            state: Mutex::default(),
        })
    }

    /// How the session's packets are written.
    pub(super) fn form(&self) -> Form {
        self.form
    }

    fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.lock().upgrade()
    }

    /// An answer has come. One that nobody waits for is ignored.
    pub(super) fn answered(&self, id: u64, args: Args) {
        let mut state = self.state.lock();
        let found = state.waiting.iter().position(|(known, _)| *known == id);
        let respond = found.map(|at| state.waiting.swap_remove(at).1);
        if state.waiting.is_empty() {
            state.waiting = Vec::new();
        }
        drop(state);
        if let Some(respond) = respond {
            respond(Ok(args));
        }
    }

    /// There will be no answers any more.
    pub(super) fn end(&self) {
        let left = {
            let mut state = self.state.lock();
            state.is_over = true;
            std::mem::take(&mut state.waiting)
        };
        for (_, respond) in left {
            respond(Err(Unanswered::Ended));
        }
    }

    /// The client can be asked again, and `engine` has it.
    pub(super) fn resume(&self, engine: &Arc<Engine>) {
        *self.engine.lock() = Arc::downgrade(engine);
        self.state.lock().is_over = false;
    }
}

impl Asks for Acks {
    fn disconnect(&self, session: &SessionRef) {
        match self.engine() {
            Some(engine) => engine.disconnect_soon(session.clone()),
            // Its client is lost.
            None => session.close(CloseReason::Disconnected),
        }
    }

    fn identity_expired(&self, session: &SessionRef) {
        if let Some(engine) = self.engine() {
            engine.expired(session);
        }
    }

    fn client_name(&self, session: &SessionRef) -> Option<String> {
        if self.state.lock().is_over {
            return None;
        }
        let engine = self.engine()?;
        Some(engine.client_name(self.branch.namespace(), session.id()))
    }

    fn handshake(&self, session: &SessionRef) -> Handshake {
        let engine = self.engine();
        engine.map_or_else(Handshake::default, |engine| engine.handshake(session.id()))
    }

    fn ask(&self, session: &SessionRef, event: &Event, respond: Answered) {
        let (id, oldest) = {
            let mut state = self.state.lock();
            if state.is_over || is_reserved(event.name.as_str()) {
                drop(state);
                respond(Err(Unanswered::Ended));
                return;
            }
            let oldest = state.make_room();
            let id = state.next;
            state.next += 1;
            state.waiting.push((id, respond));
            (id, oldest)
        };
        if let Some(oldest) = oldest {
            oldest(Err(Unanswered::Ended));
        }
        let namespace = self.branch.namespace();
        session.send(self.form.event(namespace, Some(id), event, None));
    }
}
