//! What is kept of sessions: what a service said of each, and whether it is to hear of its end.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::FixedState;
use parking_lot::Mutex;
use polyport_core::{
    Identity, Json, Listener, OpenRequest, Peer, RealmName, SessionEnd, SessionId, SessionRef,
    WeakSession,
};

use super::{
    effects::Effects,
    wire::{IdentityText, SessionText, peer_text},
};

/// Sessions that have ended without anybody saying so are looked for when there are so many.
const FIRST_SWEEP: usize = 1024;

#[derive(Default)]
pub(super) struct Visits(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    by_id: HashMap<SessionId, Visit, FixedState>,
    sweep_at: usize,
}

/// A session as a service knows it.
pub(super) struct Visit {
    listener: Arc<Listener>,
    realm: RealmName,
    peer: Peer,
    identity: Option<Arc<Identity>>,
    data: Option<Json>,
    /// Known once it is open.
    session: Option<WeakSession>,
    phase: Phase,
}

enum Phase {
    /// The service is being asked.
    Asking,
    /// It has ended before the service answered.
    Left(SessionEnd),
    /// The service let it in; this is to be done when it is open.
    LetIn(Box<Effects>),
    /// It is open.
    Open,
}

impl Visits {
    /// The service is asked whether a session may open.
    pub(super) fn asks(&self, id: SessionId, request: &OpenRequest) {
        let visit = Visit {
            listener: Arc::clone(&request.listener),
            realm: request.realm().name().clone(),
            peer: request.peer,
            identity: request.identity.clone(),
            data: None,
            session: None,
            phase: Phase::Asking,
        };
        self.0.lock().insert(id, visit);
    }

    /// The service lets a session in. Gives it back with its end if that has come already.
    pub(super) fn let_in(
        &self,
        id: SessionId,
        mut effects: Effects,
    ) -> Option<(Visit, SessionEnd)> {
        let mut inner = self.0.lock();
        let visit = inner.by_id.get_mut(&id)?;
        visit.data = effects.data.take().flatten();
        if let Some(identity) = &effects.identity {
            visit.identity.clone_from(identity);
        }
        let before = std::mem::replace(&mut visit.phase, Phase::LetIn(Box::new(effects)));
        let Phase::Left(end) = before else {
            return None;
        };
        inner.by_id.remove(&id).map(|visit| (visit, end))
    }

    /// The service has not let a session in. Gives it back with its end, for who is not sure.
    pub(super) fn not_let_in(&self, id: SessionId) -> Option<(Visit, SessionEnd)> {
        let visit = self.0.lock().by_id.remove(&id)?;
        let end = match &visit.phase {
            Phase::Left(end) => end.clone(),
            _ => SessionEnd::LOST,
        };
        Some((visit, end))
    }

    /// A session is open; what is to be done now. One that nobody asked about is kept only if `tells_end`.
    pub(super) fn opened(&self, session: &SessionRef, tells_end: bool) -> Option<Box<Effects>> {
        let mut inner = self.0.lock();
        if let Some(visit) = inner.by_id.get_mut(&session.id()) {
            visit.session = Some(session.downgrade());
            return match std::mem::replace(&mut visit.phase, Phase::Open) {
                Phase::LetIn(effects) => Some(effects),
                _ => None,
            };
        }
        if tells_end {
            inner.insert(session.id(), Visit::of(session));
        }
        None
    }

    /// A session has ended. Gives it back if the service knows it by now.
    pub(super) fn closed(&self, id: SessionId, end: &SessionEnd) -> Option<Visit> {
        let mut inner = self.0.lock();
        let visit = inner.by_id.get_mut(&id)?;
        if matches!(visit.phase, Phase::Asking | Phase::Left(_)) {
            visit.phase = Phase::Left(end.clone());
            return None;
        }
        let mut visit = inner.by_id.remove(&id)?;
        // It may have become somebody by a token of its own meanwhile.
        if let Some(session) = visit.session.as_ref().and_then(WeakSession::upgrade) {
            visit.identity = session.identity();
        }
        Some(visit)
    }

    /// What the service has said last as this session's data.
    pub(super) fn data(&self, id: SessionId) -> Option<Json> {
        self.0.lock().by_id.get(&id)?.data.clone()
    }

    /// Keeps what an answer says of an open session.
    pub(super) fn keep(&self, session: &SessionRef, effects: &Effects) {
        if effects.data.is_none() && effects.identity.is_none() {
            return;
        }
        let mut inner = self.0.lock();
        if !inner.by_id.contains_key(&session.id()) {
            if !matches!(effects.data, Some(Some(_))) {
                return;
            }
            inner.insert(session.id(), Visit::of(session));
        }
        if let Some(visit) = inner.by_id.get_mut(&session.id()) {
            if let Some(data) = &effects.data {
                visit.data.clone_from(data);
            }
            if let Some(identity) = &effects.identity {
                visit.identity.clone_from(identity);
            }
        }
    }
}

impl Inner {
    /// Where no hook tells of ends, what is kept of those that are gone would stay for ever: it is swept out whenever the
    /// number has doubled.
    fn insert(&mut self, id: SessionId, visit: Visit) {
        if self.by_id.len() >= self.sweep_at.max(FIRST_SWEEP) {
            self.by_id.retain(|_, visit| match &visit.session {
                Some(session) => session.upgrade().is_some(),
                None => true,
            });
            self.sweep_at = self.by_id.len() * 2;
        }
        self.by_id.insert(id, visit);
    }
}

impl Visit {
    fn of(session: &SessionRef) -> Self {
        Self {
            listener: Arc::clone(session.listener()),
            realm: session.realm().name().clone(),
            peer: session.peer(),
            identity: session.identity(),
            data: None,
            session: Some(session.downgrade()),
            phase: Phase::Open,
        }
    }

    /// The session as its end is told.
    pub(super) fn text(&self, id: SessionId) -> SessionText<'_> {
        SessionText {
            id: id.to_string(),
            listener: self.listener.name(),
            protocol: self.listener.protocol(),
            realm: self.realm.as_str(),
            peer: peer_text(self.peer),
            identity: self.identity.as_deref().map(IdentityText::of),
            rooms: Vec::new(),
            data: self.data.as_ref(),
        }
    }
}
