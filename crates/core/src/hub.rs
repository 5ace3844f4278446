//! The hub: realms, sessions, and the way of an event to them.

use std::{
    cell::Cell,
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use crate::{
    Backplane, Call, CloseReason, Dialect, Event, FlushPool, Frame, Listener, ListenerConfig,
    Metrics, Promise, Realm, RealmName, RoomName, SessionId, SessionRef, Told,
    expiry::Expiries,
    recent::Recent,
    room::{Encode, same},
    several::Reach,
    tap::Taps,
    trace::{SpanKind, Tracer},
    turn,
};

const SHARDS: usize = 16;

type SessionMap = HashMap<SessionId, SessionRef, FixedState>;

/// Everything that is alive in this process.
pub struct Hub {
    realms: Mutex<HashMap<RealmName, Arc<Realm>>>,
    listeners: Mutex<Vec<Weak<Listener>>>,
    sessions: [Mutex<SessionMap>; SHARDS],
    metrics: Metrics,
    pool: Option<Arc<dyn FlushPool>>,
    admitted: AtomicUsize,
    max_sessions: AtomicUsize,
    /// Held while one event is queued to several rooms or a realm, so that all who get several such events get them in
    /// one order, and nobody else ever waits for a second room's lock with a first in hand.
    order: Mutex<()>,
    expiries: Expiries,
    backplane: OnceLock<Arc<dyn Backplane>>,
    is_cut_off: AtomicBool,
    recent: Recent,
    taps: Taps,
    tracer: Tracer,
}

/// Who gets an event.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// One session, if it is here.
    Session(SessionId),
    /// The members of a room.
    Room {
        /// Where the room is.
        realm: &'a Realm,
        /// Its name.
        room: &'a RoomName,
        /// Members that do not get it.
        except: Except<'a>,
    },
    /// The members of several rooms, each once however many of the rooms it is in.
    Rooms {
        /// Where the rooms are.
        realm: &'a Realm,
        /// Members of any of these get it,
        any_of: &'a [RoomName],
        /// unless they are in one of these.
        except: &'a [RoomName],
    },
    /// Every session of a realm, in rooms or not.
    Realm {
        /// Whose sessions.
        realm: &'a Realm,
        /// They do not get it if they are in one of these.
        except: &'a [RoomName],
    },
    /// Every session that one of these reaches, once.
    Any(&'a [Self]),
}

/// Members of a room that do not get an event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Except<'a> {
    /// This one.
    pub session: Option<&'a SessionRef>,
    /// All that came through this listener.
    pub listener: Option<&'a Listener>,
}

impl Except<'_> {
    pub(crate) fn covers(&self, session: &SessionRef) -> bool {
        self.session == Some(session)
            || self
                .listener
                .is_some_and(|listener| std::ptr::eq(listener, &raw const **session.listener()))
    }
}

/// What became of a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// Sessions of this node to which it was queued, or will be when it comes back.
    pub sessions: usize,
    /// What is to be expected for those of other nodes.
    pub beyond: Promise,
}

pub(crate) fn written(dialect: &Arc<dyn Dialect>, event: &Event) -> Option<Frame> {
    dialect.carries(event).then(|| dialect.encode(event))
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("sessions", &self.len())
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// An empty hub. `max_sessions` bounds all listeners together, 0 is no bound; `pool` writes to the members of large
    /// rooms, and without one the publisher does.
    #[must_use]
    pub fn new(max_sessions: usize, pool: Option<Arc<dyn FlushPool>>) -> Arc<Self> {
        let metrics = Metrics::new();
        Arc::new(Self {
            taps: Taps::new(&metrics),
            realms: Mutex::default(),
            listeners: Mutex::default(),
            sessions: std::array::from_fn(|_| Mutex::default()),
            metrics,
            pool,
            admitted: AtomicUsize::new(0),
            max_sessions: AtomicUsize::new(max_sessions),
            expiries: Expiries::default(),
            order: Mutex::default(),
            backplane: OnceLock::new(),
            is_cut_off: AtomicBool::new(false),
            recent: Recent::default(),
            tracer: Tracer::default(),
        })
    }

    /// Connects this node with others, for as long as the hub lives. Returns whether it was not connected before.
    pub fn connect(&self, backplane: Arc<dyn Backplane>) -> bool {
        self.backplane.set(backplane).is_ok()
    }

    /// Says whether new sessions are turned away because other nodes are out of reach.
    pub fn set_cut_off(&self, is_cut_off: bool) {
        self.is_cut_off.store(is_cut_off, Ordering::Relaxed);
    }

    /// Whether this node is connected with others.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.backplane.get().is_some()
    }

    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Relaxed)
    }

    pub(crate) fn backplane(&self) -> Option<&dyn Backplane> {
        self.backplane.get().map(|backplane| &**backplane)
    }

    /// Adds a listener.
    #[must_use]
    pub fn listener(self: &Arc<Self>, config: ListenerConfig) -> Arc<Listener> {
        let listener = Arc::new(Listener::new(Arc::clone(self), config));
        let mut listeners = self.listeners.lock();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&listener));
        drop(listeners);
        listener
    }

    /// The listeners there are, in the order in which they came; those that have been removed too, while they have
    /// sessions.
    #[must_use]
    pub fn listeners(&self) -> Vec<Arc<Listener>> {
        // Outside of the lock: the last handle of a listener may be dropped here, and that takes other locks.
        let listeners = self.listeners.lock().clone();
        listeners.iter().filter_map(Weak::upgrade).collect()
    }

    /// Has a call that another server of the cluster makes in `realm` answered by the first backend of the listeners of the
    /// realm `home` that can. Nothing if there is none.
    #[must_use]
    pub fn call_of_server(&self, home: &str, realm: &RealmName, call: Call<'_>) -> Option<Told> {
        let listeners = self.listeners().into_iter();
        let mut listeners = listeners.filter(|it| it.realm().name().as_str() == home);
        listeners.find_map(|listener| listener.backend()?.call_of_server(realm, call))
    }

    /// The realm of that name, made at first use.
    #[must_use]
    pub fn realm(&self, name: &RealmName) -> Arc<Realm> {
        let mut realms = self.realms.lock();
        if let Some(realm) = realms.get(name) {
            return Arc::clone(realm);
        }
        let realm = Arc::new(Realm::new(name.clone(), self.metrics.rooms(name.as_str())));
        realms.insert(name.clone(), Arc::clone(&realm));
        drop(realms);
        self.realm_changed(name);
        realm
    }

    /// The realm of that name, if a listener has it. Never makes one.
    #[must_use]
    pub fn find_realm(&self, name: &str) -> Option<Arc<Realm>> {
        self.realms.lock().get(name).cloned()
    }

    /// Lets a realm go that nobody holds and that has no rooms: clients choose the names of some.
    pub fn forget_realm(&self, name: &RealmName) {
        let mut realms = self.realms.lock();
        let is_unused = |realm: &Arc<Realm>| Arc::strong_count(realm) == 1 && realm.is_empty();
        if realms.get(name).is_some_and(is_unused) {
            realms.remove(name);
            self.metrics.forget_rooms(name.as_str());
            drop(realms);
            self.realm_changed(name);
        }
    }

    fn realm_changed(&self, name: &RealmName) {
        if let Some(backplane) = self.backplane() {
            backplane.realm_changed(name);
        }
    }

    /// All realms, by name.
    #[must_use]
    pub fn realms(&self) -> Vec<Arc<Realm>> {
        let mut realms: Vec<_> = self.realms.lock().values().cloned().collect();
        realms.sort_unstable_by(|a, b| a.name().as_str().cmp(b.name().as_str()));
        realms
    }

    /// What makes the spans of everything here.
    #[must_use]
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// The metrics of everything here.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What has happened lately.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Changes the bound of all listeners together; 0 is no bound.
    pub fn set_max_sessions(&self, max_sessions: usize) {
        self.max_sessions.store(max_sessions, Ordering::Relaxed);
    }

    /// How many sessions are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether no session is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The session of that id.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<SessionRef> {
        self.shard(id).lock().get(&id).cloned()
    }

    /// The session that is in a room alone because the room's name is its client's own, as with Socket.IO's ids. Such a
    /// session is no member, and the room takes no memory.
    #[must_use]
    pub fn alone_in(&self, realm: &Realm, room: &str) -> Option<SessionRef> {
        let is_here = |session: &SessionRef| std::ptr::eq(&raw const **session.realm(), realm);
        SessionId::named(room)
            .filter_map(|id| self.session(id))
            .find(is_here)
    }

    /// The sessions open now that `wanted` picks.
    pub fn sessions(&self, wanted: impl Fn(&SessionRef) -> bool) -> Vec<SessionRef> {
        self.sessions
            .iter()
            .flat_map(|shard| {
                let shard = shard.lock();
                shard
                    .values()
                    .filter(|s| wanted(s))
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// How many of the sessions open now `wanted` picks.
    pub fn count(&self, wanted: impl Fn(&SessionRef) -> bool) -> usize {
        let count = |shard: &Mutex<SessionMap>| shard.lock().values().filter(|s| wanted(s)).count();
        self.sessions.iter().map(count).sum()
    }

    /// The sessions for which most bytes wait, the slowest first and `most` of them at most. Looks at every session.
    #[must_use]
    pub fn slowest(&self, most: usize) -> Vec<(SessionRef, usize)> {
        let mut slowest: Vec<(SessionRef, usize)> = Vec::with_capacity(most + 1);
        for shard in &self.sessions {
            for session in shard.lock().values() {
                let waiting = session.outbox().waiting();
                let is_known =
                    |(other, _): &(SessionRef, usize)| Arc::ptr_eq(other.wire(), session.wire());
                // Several sessions of one connection wait together.
                if waiting == 0 || slowest.iter().any(is_known) {
                    continue;
                }
                let place = slowest.partition_point(|(_, other)| *other >= waiting);
                if place < most {
                    slowest.insert(place, (session.clone(), waiting));
                    slowest.truncate(most);
                }
            }
        }
        slowest
    }

    /// Every session of a realm.
    pub(crate) fn sessions_of(&self, realm: &Realm) -> Vec<SessionRef> {
        self.sessions(|session| std::ptr::eq(&raw const **session.realm(), realm))
    }

    /// Ends every session of a listener.
    pub fn close_sessions_of(&self, listener: &Arc<Listener>, reason: CloseReason) {
        for session in self.sessions(|session| Arc::ptr_eq(session.listener(), listener)) {
            session.close(reason);
        }
    }

    /// Runs one turn of work: everything it queues, to whichever session, leaves when it is over, several frames for one
    /// session in one write. `work` must not wait.
    pub fn turn<R>(&self, work: impl FnOnce() -> R) -> R {
        turn::turn(self.pool.as_deref(), turn::INLINE_FLUSHES, work)
    }

    /// A turn of a thread that has other work than writing to sockets: the pool, if there is one, writes whatever it queues.
    pub fn engine_turn<R>(&self, work: impl FnOnce() -> R) -> R {
        turn::turn(self.pool.as_deref(), 0, work)
    }

    /// Has the backplane do something for a target, unless the target is here for sure or nobody else is there.
    pub(crate) fn beyond(
        &self,
        target: Target<'_>,
        work: impl FnOnce(&dyn Backplane) -> Promise,
    ) -> Promise {
        let is_here = matches!(target, Target::Session(id) if self.session(id).is_some());
        match self.backplane() {
            Some(backplane) if !is_here => work(backplane),
            _ => Promise::Alone,
        }
    }

    /// Queues an event to the sessions of this node alone: what other nodes have published goes no further. Returns how many
    /// they are. If what runs now is traced, this is a step of it.
    pub fn deliver(&self, target: Target<'_>, event: &Event) -> usize {
        if self.taps.is_on() {
            self.taps.event(self, true, target, event);
        }
        self.bring(target, event)
    }

    /// The same for an event that this node has published itself and that was away meanwhile.
    pub fn bring(&self, target: Target<'_>, event: &Event) -> usize {
        let encodes = Cell::new(0);
        let encode = |dialect: &Arc<dyn Dialect>| {
            let frame = written(dialect, event);
            encodes.set(encodes.get() + usize::from(frame.is_some()));
            frame
        };
        let Some(mut span) = self.tracer.go_on("deliver", SpanKind::Consumer) else {
            return self.queue(target, event, &encode);
        };
        let sessions = self.queue(target, event, &encode);
        // A session that is addressed by itself has its own written for it.
        let alone = usize::from(encodes.get() == 0 && sessions > 0);
        span.set("polyport.sessions", || sessions);
        span.set("polyport.dialects", || encodes.get() + alone);
        sessions
    }

    fn queue(&self, target: Target<'_>, event: &Event, encode: Encode<'_>) -> usize {
        self.turn(|| match target {
            Target::Session(id) => {
                let told = self.session(id).is_some_and(|session| session.tell(event));
                usize::from(told)
            }
            Target::Room {
                realm,
                room,
                except,
            } => {
                let found = realm.find(room.as_str());
                let members =
                    found.map_or(0, |room| room.fan_out(except, event.is_volatile, encode));
                let alone = self.alone_in(realm, room.as_str());
                let alone = alone.filter(|session| !except.covers(session) && !session.is_in(room));
                members + usize::from(alone.is_some_and(|session| session.tell(event)))
            }
            Target::Any([only]) => self.queue(*only, event, encode),
            Target::Rooms { .. } | Target::Realm { .. } | Target::Any(_) => {
                let mut reach = Reach::default();
                reach.add(self, target);
                reach.fan_out(self, event.is_volatile, encode)
            }
        })
    }

    /// Queues a finished frame to the members of the listener's own room that speak its dialect, on this node alone; returns how
    /// many got it. If what runs now is traced, this is a step of it.
    pub fn deliver_frame(&self, listener: &Listener, except: Except<'_>, frame: &Frame) -> usize {
        let dialect = listener.dialect();
        let own = |room: &RoomName| listener.realm().find(room.as_str());
        let Some(room) = listener.own_room().and_then(own) else {
            return 0;
        };
        let span = self.tracer.go_on("deliver", SpanKind::Consumer);
        let sessions = self.turn(|| {
            room.fan_out(except, false, &|other| {
                same(other, dialect).then(|| frame.clone())
            })
        });
        if let Some(mut span) = span {
            span.set("polyport.sessions", || sessions);
        }
        sessions
    }

    pub(crate) fn register(&self, session: &SessionRef) {
        self.shard(session.id())
            .lock()
            .insert(session.id(), session.clone());
    }

    pub(crate) fn forget(&self, session: &SessionRef) {
        let mut shard = self.shard(session.id()).lock();
        // Ids that hide a client's own name come again when it does.
        if shard.get(&session.id()) == Some(session) {
            shard.remove(&session.id());
        }
        if shard.len() * 4 < shard.capacity() {
            let few = shard.len() * 2;
            shard.shrink_to(few);
        }
    }

    pub(crate) fn taps(&self) -> &Taps {
        &self.taps
    }

    pub(crate) fn order(&self) -> &Mutex<()> {
        &self.order
    }

    pub(crate) fn expiries(&self) -> &Expiries {
        &self.expiries
    }

    pub(crate) fn admitted(&self) -> &AtomicUsize {
        &self.admitted
    }

    pub(crate) fn max_sessions(&self) -> usize {
        self.max_sessions.load(Ordering::Relaxed)
    }

    fn shard(&self, id: SessionId) -> &Mutex<SessionMap> {
        &self.sessions[id.shard(SHARDS)]
    }
}
