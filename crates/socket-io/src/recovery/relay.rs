//! The way of a session's frames while its client may come back: to its connection as long as there is one, and what the
//! client may have missed is kept.

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use polyport_core::{
    CloseReason, Frame, FrameQueue, History, LimitKind, Listener, Place, SessionRef, Transport,
    Wire, Wrote,
};

use super::{
    Offset,
    ring::{Bounds, Ring},
};

/// Most events that are kept of a session with a connection: what was on its way when that is lost.
const ON_THE_WAY: usize = 1024;

/// Whoever keeps sessions while they are parked. Must not wait, and may be called anywhere.
pub(crate) trait Keeper: Send + Sync {
    /// The parked session of that pid is to end.
    fn end_soon(self: Arc<Self>, pid: &str);

    /// There is no session of that pid any more.
    fn forget(&self, pid: &str);
}

/// Where a session begins in the history that nodes share.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Since {
    /// It opens, and the history is there so far.
    Opening(Option<Place>),
    /// It goes on, and its client has missed what is behind this.
    Missing(Place),
}

/// The transport of one session, which has a [`Wire`] of its own.
pub(crate) struct Relay {
    /// The client's secret by which it comes back: never logged.
    pid: Box<str>,
    namespace: Box<str>,
    listener: Arc<Listener>,
    keeper: Weak<dyn Keeper>,
    /// What stands in the history behind this may be for the session, if nodes share a history.
    since: Option<Place>,
    /// Set right after both are made.
    own: OnceLock<Weak<Wire>>,
    state: Mutex<State>,
}

struct State {
    way: Way,
    ring: Ring,
    /// What stands in the history up to here the client has got, or it was not meant.
    has_had: Option<Place>,
}

enum Way {
    /// To this connection.
    To(Arc<Wire>),
    /// To nobody yet: what the client has missed on another node precedes it.
    Held,
    /// The connection is lost.
    Parked,
    /// The session is ending.
    Over,
}

impl Relay {
    /// A relay to `base`, and the wire for a session of `namespace` that it carries.
    pub(crate) fn new(
        base: &Arc<Wire>,
        namespace: &str,
        pid: &str,
        keeper: Weak<dyn Keeper>,
        since: Since,
    ) -> (Arc<Self>, Arc<Wire>) {
        let (way, since) = match since {
            Since::Opening(place) => (Way::To(Arc::clone(base)), place),
            Since::Missing(place) => (Way::Held, Some(place)),
        };
        let relay = Arc::new(Self {
            pid: pid.into(),
            namespace: namespace.into(),
            listener: Arc::clone(base.listener()),
            keeper,
            since,
            own: OnceLock::new(),
            state: Mutex::new(State {
                way,
                ring: Ring::default(),
                has_had: None,
            }),
        });
        let own = Wire::above(base, Arc::clone(&relay) as Arc<dyn Transport>);
        let _ = relay.own.set(Arc::downgrade(&own));
        (relay, own)
    }

    pub(crate) fn pid(&self) -> &str {
        &self.pid
    }

    /// Up to here nothing in the history is for the session.
    pub(crate) fn since(&self) -> Option<Place> {
        self.since
    }

    /// Whether its client has still to hear what it has missed.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.state.lock().way, Way::Held)
    }

    /// A ping goes out after this: everything before it has reached the client when its answer is there.
    pub(crate) fn pinging(&self) {
        self.state.lock().ring.mark();
    }

    /// The answer to the ping is there.
    pub(crate) fn ponged(&self) {
        self.state.lock().ring.has_seen_mark();
    }

    /// The connection is lost: what comes now is kept.
    pub(crate) fn park(&self) {
        let mut state = self.state.lock();
        state.ring.mark();
        state.way = Way::Parked;
    }

    /// The session is ending: nothing is passed on or kept any more.
    pub(crate) fn end(&self) {
        *self.state.lock() = State {
            way: Way::Over,
            ring: Ring::default(),
            has_had: None,
        };
    }

    /// The client is back on `base`, and its last event was that of `offset`. It hears `greeting`, then what it has missed,
    /// then what comes. Whether that was possible; if not, nothing has changed.
    pub(crate) fn come_back(
        &self,
        base: &Arc<Wire>,
        greeting: Frame,
        offset: Option<Offset>,
    ) -> bool {
        self.listener.hub().turn(|| {
            // Released before the turn ends, when what is queued here is written.
            let mut state = self.state.lock();
            let Some(missed) = state.ring.missed(offset) else {
                return false;
            };
            base.send(greeting);
            for frame in missed {
                base.send(frame.clone());
            }
            state.way = Way::To(Arc::clone(base));
            true
        })
    }

    /// The client hears `greeting`, then what it has missed on another node, then what has been held since, then what comes.
    /// Whether that was possible.
    pub(crate) fn catch_up(
        &self,
        base: &Arc<Wire>,
        session: &SessionRef,
        greeting: Frame,
        history: &History,
    ) -> bool {
        self.listener.hub().turn(|| {
            let dialect = session.branch().dialect();
            let events = history.events.iter().filter(|it| dialect.carries(it));
            let missed: Vec<Frame> = events.map(|event| dialect.encode(event)).collect();
            let mut state = self.state.lock();
            if !matches!(state.way, Way::Held) || session.outbox().closing().is_some() {
                return false;
            }
            let held = std::mem::take(&mut state.ring);
            state.way = Way::To(Arc::clone(base));
            state.has_had = Some(history.until);
            let bounds = self.bounds(&state);
            base.send(greeting);
            for frame in missed {
                if let Some(offset) = Offset::of(&frame, &self.namespace) {
                    state.ring.push(offset, frame.clone(), bounds);
                }
                base.send(frame);
            }
            for (offset, frame) in held.into_kept() {
                if !state.is_old(offset) {
                    state.ring.push(offset, frame.clone(), bounds);
                    base.send(frame);
                }
            }
            true
        })
    }

    /// Half of what may wait for a client is kept: it has to fit into the outbox of the connection that comes next, beside
    /// what comes meanwhile.
    fn bounds(&self, state: &State) -> Bounds {
        let events = match state.way {
            Way::To(_) => ON_THE_WAY,
            Way::Held | Way::Parked | Way::Over => usize::MAX,
        };
        let cost = self.listener.limits().outbox / 2;
        Bounds { events, cost }
    }
}

impl State {
    /// Whether the client has had what stands at an offset before it came: it was in the history.
    fn is_old(&mut self, offset: Offset) -> bool {
        match (offset, self.has_had) {
            (Offset::In(place), Some(had)) if place <= had => true,
            (Offset::In(_), Some(_)) => {
                self.has_had = None;
                false
            }
            _ => false,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.upgrade() {
            keeper.forget(&self.pid);
        }
    }
}

impl Transport for Relay {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        let is_hopeless = self.listener.hub().turn(|| {
            let mut state = self.state.lock();
            let bounds = self.bounds(&state);
            while let Some(frame) = frames.pop() {
                if let Some(offset) = Offset::of(&frame, &self.namespace) {
                    if state.is_old(offset) {
                        continue;
                    }
                    state.ring.push(offset, frame.clone(), bounds);
                }
                if let Way::To(base) = &state.way {
                    base.send(frame);
                }
            }
            matches!(state.way, Way::Held | Way::Parked) && state.ring.is_beyond_mark()
        });
        if is_hopeless && let Some(own) = self.own.get().and_then(Weak::upgrade) {
            own.limit_hit(LimitKind::Outbox);
            own.close(CloseReason::OutboxFull);
        }
        Wrote::All
    }

    fn is_ready(&self) -> bool {
        let base = match &self.state.lock().way {
            Way::To(base) => Some(Arc::clone(base)),
            Way::Held | Way::Parked | Way::Over => None,
        };
        base.is_some_and(|base| base.is_ready())
    }

    fn wake(&self) {
        let Some(own) = self.own.get().and_then(Weak::upgrade) else {
            return;
        };
        let outbox = own.outbox();
        // It was closed while frames waited, or they came faster than one thread passes on.
        while outbox.needs_resume() {
            outbox.resume(&mut |frames| self.write(frames));
        }
        if outbox.waiting() > 0 {
            // Another thread passes them on, and wakes again.
            return;
        }
        let base = match &self.state.lock().way {
            Way::To(base) => Some(Arc::clone(base)),
            Way::Held | Way::Parked => None,
            Way::Over => return,
        };
        match (base, outbox.closing()) {
            (Some(base), Some(reason)) => base.close(reason),
            (Some(base), None) => base.wake(),
            (None, closing) if closing.is_some() || self.listener.is_draining() => {
                if let Some(keeper) = self.keeper.upgrade() {
                    keeper.end_soon(&self.pid);
                }
            }
            (None, _) => {}
        }
    }
}

#[cfg(test)]
mod tests;
