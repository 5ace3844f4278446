//! Sessions whose connection is lost, until their clients come back or their time is over.
//!
//! With recovery each session has a wire of its own, and on it a [`Relay`] that keeps what the client may have missed. When the
//! connection is lost the session is parked here by its `pid`: it stays in its rooms and gets their events. The client that
//! brings the `pid` gets the session, which goes on where the client's last [`Offset`] says.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use polyport_core::{CloseReason, KeptSession, Listener, SessionId, SessionRef};
use polyport_net::{Deadline, Moment, Watched};

mod offset;
mod relay;
mod ring;

pub(crate) use offset::{Offset, Offsets};
pub(crate) use relay::{Keeper, Relay, Since};

use crate::{
    engine::Engine,
    session::{Joined, returning},
    shared::Shared,
};

/// How often a node looks whether another server has taken a session that is parked here.
const LOOK: Duration = Duration::from_secs(10);

/// A secret by which a client comes back: 20 characters.
pub(crate) fn new_pid() -> Box<str> {
    URL_SAFE_NO_PAD
        .encode(SessionId::random_short().short())
        .into()
}

/// The sessions of a listener that are parked, and those that may be.
#[derive(Default)]
pub(crate) struct Recovery {
    lot: Mutex<Lot>,
    /// By the pids of their sessions, clients that began with polling.
    polling: Mutex<HashMap<Box<str>, Weak<Engine>>>,
}

#[derive(Default)]
struct Lot {
    parked: HashMap<Box<str>, Arc<Parked>>,
    /// Places that are taken, those of sessions included that are just being parked.
    taken: usize,
    taken_by_address: HashMap<IpAddr, usize>,
}

impl Lot {
    /// There may be as many parked sessions as open ones, and as many of one address. They have a count of their own: when
    /// all clients are lost at once, all must be able to come back.
    fn take_place(&mut self, listener: &Listener, address: Option<IpAddr>) -> bool {
        let limits = listener.limits();
        let is_below = |taken: usize, most: usize| most == 0 || taken < most;
        if !is_below(self.taken, limits.sessions) {
            return false;
        }
        if let Some(address) = address {
            let taken = self.taken_by_address.entry(address).or_default();
            if !is_below(*taken, limits.sessions_per_address) {
                return false;
            }
            *taken += 1;
        }
        self.taken += 1;
        true
    }

    fn give_back(&mut self, address: Option<IpAddr>) {
        self.taken -= 1;
        if let Some(address) = address
            && let Some(taken) = self.taken_by_address.get_mut(&address)
        {
            *taken -= 1;
            if *taken == 0 {
                self.taken_by_address.remove(&address);
            }
        }
        if self.taken == 0 {
            *self = Self::default();
        }
    }
}

/// A parked session.
struct Parked {
    /// That of the connection that is lost. The listener may have been bound anew meanwhile, and nobody else hold this.
    shared: Arc<Shared>,
    pid: Box<str>,
    joined: Mutex<Option<Joined>>,
    address: Option<IpAddr>,
    /// Why the connection was lost.
    reason: CloseReason,
    deadline: Deadline,
    /// When its time is over; until then it is looked after now and again.
    until: Moment,
    watch_key: AtomicUsize,
    /// Other nodes can have it, too.
    is_kept: AtomicBool,
}

impl Watched for Parked {
    fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    fn overdue(&self) {
        let recovery = self.shared.clients.recovery();
        if self.until <= self.shared.deadlines.now() {
            self.deadline.set(Moment::NEVER);
            recovery.end_parked(&self.pid);
        } else {
            self.look_again();
            recovery.look_after(&self.pid);
        }
    }
}

impl Recovery {
    /// Parks a session whose connection, one of `shared`, was lost for `reason`, or gives it back if its client cannot come
    /// back to it.
    pub(crate) fn park(
        &self,
        shared: &Arc<Shared>,
        joined: Joined,
        reason: CloseReason,
    ) -> Result<(), Box<Joined>> {
        let Some((session, relay)) = joined.relayed() else {
            return Err(Box::new(joined));
        };
        let listener = &shared.listener;
        let address = session.peer().ip();
        let is_over = session.outbox().closing().is_some() || listener.is_draining();
        if is_over || !self.lot.lock().take_place(listener, address) {
            return Err(Box::new(joined));
        }
        relay.park();
        let kept = joined.kept();
        joined.lost();
        let session = SessionRef::clone(session);
        let pid = Box::from(relay.pid());
        let parked = Arc::new(Parked {
            shared: Arc::clone(shared),
            pid: Box::clone(&pid),
            joined: Mutex::new(Some(joined)),
            address,
            reason,
            deadline: Deadline::never(),
            until: shared.deadlines.after(shared.options.recovery),
            watch_key: AtomicUsize::new(usize::MAX),
            is_kept: AtomicBool::new(false),
        });
        let deadlines = &shared.deadlines;
        parked.look_again();
        let watched = Arc::clone(&parked) as Arc<dyn Watched>;
        let key = deadlines.watch(watched);
        parked.watch_key.store(key, Ordering::Relaxed);
        self.lot.lock().parked.insert(pid, Arc::clone(&parked));
        if let Some(kept) = kept {
            keep_soon(Arc::clone(&parked), kept);
        }
        // When this is seen in the metrics, its client can have it.
        session.park();
        // Who closed it, or drained the listener, while it was being parked has not found it here.
        if session.outbox().closing().is_some() || listener.is_draining() {
            self.end_parked(&parked.pid);
        }
        Ok(())
    }

    /// The parked session of that pid, which is parked no longer.
    pub(crate) fn unpark(&self, pid: &str) -> Option<Joined> {
        self.take_parked(pid)?.take()
    }

    /// Ends the parked session of that pid.
    fn end_parked(&self, pid: &str) {
        let Some(parked) = self.take_parked(pid) else {
            return;
        };
        parked.shared.listener.hub().turn(|| {
            if let Some(joined) = parked.take() {
                parked.forget_ended(&joined);
                joined.end(parked.reason);
            }
        });
    }

    /// Ends the parked session of that pid, soon, if a server has taken it that does not say so.
    fn look_after(&self, pid: &str) {
        let parked = self.lot.lock().parked.get(pid).cloned();
        let is_kept = |parked: &Arc<Parked>| parked.is_kept.load(Ordering::Acquire);
        let Some(parked) = parked.filter(is_kept) else {
            return;
        };
        let shared = Arc::clone(&parked.shared);
        let _inside = shared.runtime.enter();
        shared.tasks.spawn(async move {
            let recovery = parked.shared.clients.recovery();
            if returning::is_taken(&parked.shared, &parked.pid).await && recovery.has(&parked) {
                recovery.end_parked(&parked.pid);
            }
        });
    }

    /// Whether other nodes can have the parked session of that pid, too.
    pub(crate) fn is_kept(&self, pid: &str) -> bool {
        let lot = self.lot.lock();
        let parked = lot.parked.get(pid);
        parked.is_some_and(|parked| parked.is_kept.load(Ordering::Acquire))
    }

    fn has(&self, parked: &Arc<Parked>) -> bool {
        let lot = self.lot.lock();
        let found = lot.parked.get(&parked.pid);
        found.is_some_and(|found| Arc::ptr_eq(found, parked))
    }

    /// `engine` has the session of that pid from now on.
    pub(crate) fn carries(&self, engine: &Arc<Engine>, pid: &str) {
        if engine.carrier.is_some() {
            let engine = Arc::downgrade(engine);
            self.polling.lock().insert(pid.into(), engine);
        }
    }

    /// Ends the client that has the session of that pid if it polls and none of its requests is here. Whether it has.
    pub(crate) fn end_between_polls(&self, pid: &str) -> bool {
        let engine = self.polling.lock().get(pid).and_then(Weak::upgrade);
        engine.is_some_and(|engine| engine.end_between_polls())
    }

    /// Whether no client could find anything here by its pid.
    pub(crate) fn is_empty(&self) -> bool {
        self.lot.lock().parked.is_empty() && self.polling.lock().is_empty()
    }

    fn take_parked(&self, pid: &str) -> Option<Arc<Parked>> {
        let parked = {
            let mut lot = self.lot.lock();
            let parked = lot.parked.remove(pid)?;
            lot.give_back(parked.address);
            parked
        };
        let key = parked.watch_key.load(Ordering::Relaxed);
        parked.shared.deadlines.forget(key);
        Some(parked)
    }
}

/// Keeps a session for other nodes, unless it has come to an end by the time when that is done.
fn keep_soon(parked: Arc<Parked>, kept: KeptSession) {
    let shared = Arc::clone(&parked.shared);
    let _inside = shared.runtime.enter();
    shared.tasks.spawn(async move {
        let shared = &parked.shared;
        let is_kept = returning::keep(shared, &parked.pid, &kept).await;
        parked.is_kept.store(is_kept, Ordering::Release);
        if is_kept && !shared.listener.is_draining() && !shared.clients.recovery().has(&parked) {
            returning::forget_soon(shared, Box::clone(&parked.pid));
        }
    });
}

impl Parked {
    fn look_again(&self) {
        let soon = self.shared.deadlines.after(LOOK);
        self.deadline.set(soon.min(self.until));
    }

    /// Who was sent away comes back to no node. For others, what is kept is there until its time is over.
    fn forget_ended(&self, joined: &Joined) {
        let closing = joined.relayed().and_then(|(it, _)| it.outbox().closing());
        let is_sent_away = matches!(
            closing,
            Some(CloseReason::Disconnected | CloseReason::IdentityExpired)
        );
        if is_sent_away && self.is_kept.load(Ordering::Acquire) {
            returning::forget_soon(&self.shared, Box::clone(&self.pid));
        }
    }

    fn take(&self) -> Option<Joined> {
        let joined = self.joined.lock().take()?;
        if let Some((session, _)) = joined.relayed() {
            session.unpark();
        }
        Some(joined)
    }
}

impl Keeper for Recovery {
    /// In a task: what ends with a session takes locks that whoever calls this may hold.
    fn end_soon(self: Arc<Self>, pid: &str) {
        let parked = self.lot.lock().parked.get(pid).cloned();
        let Some(parked) = parked else {
            return;
        };
        let shared = Arc::clone(&parked.shared);
        let _inside = shared.runtime.enter();
        let ending = async move { self.end_parked(&parked.pid) };
        shared.tasks.spawn(ending);
    }

    fn forget(&self, pid: &str) {
        let mut polling = self.polling.lock();
        polling.remove(pid);
        if polling.len() * 4 < polling.capacity() {
            let few = polling.len() * 2;
            polling.shrink_to(few);
        }
    }
}
