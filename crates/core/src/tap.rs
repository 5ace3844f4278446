//! Taps: what happens in a room, to a session or on a listener, as somebody watches it live.
//!
//! Nobody watching costs one relaxed load where something happens. Whoever is watched never waits: what has happened is
//! put into a bounded [`Queue`] as it is, and only the reader takes secrets out of it, cuts it and has the protocols write
//! it. A [`Tap`] ends when it is dropped.

mod forms;
mod queue;
mod record;
mod redact;
mod seen;

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

pub use self::record::{Record, RecordKind};
use self::{
    queue::{Next, Queue},
    redact::Redaction,
    seen::{Seen, Values, What, Who},
};
use crate::{
    Call, CallError, CloseReason, Event, Except, Frame, Hub, Metrics, Millis, RealmName, Reply,
    RoomName, Sender, SessionId, SessionRef, Target, metrics::TapMetrics,
};

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// A room, whether it exists yet or not.
    Room {
        /// The realm that it is in.
        realm: RealmName,
        /// Its name.
        room: RoomName,
    },
    /// A session. The tap ends with it.
    Session(SessionId),
    /// All sessions of the listener of that name.
    Listener(String),
}

/// How a tap shows what happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TapOptions {
    /// Whether it also shows how each protocol writes an event.
    pub forms: bool,
}

/// The bounds of taps, and what they do not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapLimits {
    /// Taps at once.
    pub taps: usize,
    /// Records per second and tap.
    pub rate: u32,
    /// Names of fields, events and calls whose values are not shown, beside those that usually tell of a secret.
    pub redact: Vec<String>,
}

/// Eight taps of 500 records per second.
impl Default for TapLimits {
    fn default() -> Self {
        Self {
            taps: 8,
            rate: 500,
            redact: Vec::new(),
        }
    }
}

/// There are as many taps as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {0} taps, as many as there may be")]
pub struct TooManyTaps(pub usize);

/// All taps of a hub.
pub(crate) struct Taps {
    /// Whether there are any, for whom it costs the least to know.
    is_on: AtomicBool,
    open: ArcSwap<Vec<Arc<Watch>>>,
    /// Held while one is added or taken away.
    changing: Mutex<()>,
    max: AtomicUsize,
    rate: AtomicU32,
    redaction: ArcSwap<Redaction>,
    metrics: TapMetrics,
}

/// One tap, as those see it who are watched.
struct Watch {
    scope: Scope,
    queue: Queue,
}

/// Watches until it is dropped.
pub struct Tap {
    hub: Arc<Hub>,
    watch: Arc<Watch>,
    options: TapOptions,
}

/// A call that is watched, until it is answered.
pub(crate) struct WatchedCall {
    name: Box<str>,
    /// When it came and with what, if that was not shown yet.
    untold: Option<(Millis, Values)>,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tap").field(&self.watch.scope).finish()
    }
}

impl fmt::Debug for WatchedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WatchedCall").field(&self.name).finish()
    }
}

impl Hub {
    /// Watches from now on.
    ///
    /// # Errors
    /// [`TooManyTaps`].
    pub fn tap(self: &Arc<Self>, scope: Scope, options: TapOptions) -> Result<Tap, TooManyTaps> {
        let watch = Arc::new(Watch {
            scope,
            queue: Queue::new(Instant::now()),
        });
        self.taps().add(&watch)?;
        // A session that ended before it could be watched leaves nobody who would tell.
        if let Scope::Session(id) = watch.scope
            && self.session(id).is_none()
        {
            watch.queue.end();
        }
        Ok(Tap {
            hub: Arc::clone(self),
            watch,
            options,
        })
    }

    /// Whether somebody watches anything.
    #[must_use]
    pub fn is_tapped(&self) -> bool {
        self.taps().is_on()
    }

    /// Puts other bounds in force, for open taps too; more than there may be now stay.
    pub fn set_tap_limits(&self, limits: &TapLimits) {
        let taps = self.taps();
        taps.max.store(limits.taps, Ordering::Relaxed);
        taps.rate.store(limits.rate, Ordering::Relaxed);
        let redaction = Redaction::new(&limits.redact);
        taps.redaction.store(Arc::new(redaction));
    }
}

impl Tap {
    /// What is watched.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.watch.scope
    }

    /// What has happened next; nothing when the session that is watched has ended. Secrets are taken out of it here, and
    /// protocols write it here, so that this costs the reader and nobody else.
    pub fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Record>> {
        self.watch.queue.poll_next(cx).map(|next| {
            next.map(|next| match next {
                Next::Seen(seen) => {
                    self.hub.taps().metrics.sent.inc();
                    self.record(*seen)
                }
                Next::Dropped(count) => Record::dropped(count),
            })
        })
    }

    /// The same for who can wait.
    pub async fn next(&mut self) -> Option<Record> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// How many records were dropped, if that is still to be told: to be asked every second or so, since it is told by
    /// itself only in front of another record.
    #[must_use]
    pub fn dropped(&self) -> Option<Record> {
        let dropped = self.watch.queue.take_dropped(Instant::now());
        dropped.map(Record::dropped)
    }

    fn record(&self, seen: Seen) -> Record {
        let redaction = self.hub.taps().redaction.load();
        let watched = match self.watch.scope {
            Scope::Session(id) => Some(id),
            Scope::Room { .. } | Scope::Listener(_) => None,
        };
        let forms = self.options.forms.then_some((&*self.hub, watched));
        Record::of(seen, &redaction, forms)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.hub.taps().remove(&self.watch);
    }
}

impl Taps {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let TapLimits { taps, rate, .. } = TapLimits::default();
        Self {
            is_on: AtomicBool::new(false),
            open: ArcSwap::default(),
            changing: Mutex::default(),
            max: AtomicUsize::new(taps),
            rate: AtomicU32::new(rate),
            redaction: ArcSwap::default(),
            metrics: metrics.taps(),
        }
    }

    /// Whether somebody watches anything. All else here is only called if so.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    fn add(&self, watch: &Arc<Watch>) -> Result<(), TooManyTaps> {
        let _changing = self.changing.lock();
        let mut open = Vec::clone(&self.open.load());
        let max = self.max.load(Ordering::Relaxed);
        if open.len() >= max {
            return Err(TooManyTaps(open.len()));
        }
        open.push(Arc::clone(watch));
        self.put(open);
        Ok(())
    }

    fn remove(&self, watch: &Arc<Watch>) {
        let _changing = self.changing.lock();
        let mut open = Vec::clone(&self.open.load());
        open.retain(|known| !Arc::ptr_eq(known, watch));
        self.put(open);
    }

    fn put(&self, open: Vec<Arc<Watch>>) {
        self.metrics
            .open
            .set(open.len().try_into().unwrap_or(i64::MAX));
        self.is_on.store(!open.is_empty(), Ordering::Relaxed);
        self.open.store(Arc::new(open));
    }

    fn push(&self, watch: &Watch, see: impl FnOnce() -> Seen) {
        let rate = self.rate.load(Ordering::Relaxed);
        if !watch.queue.push(Instant::now(), rate, see) {
            self.metrics.dropped.inc();
        }
    }

    /// An event is published here, or has come from another node (`is_delivery`). What goes to a single session is left to
    /// [`Taps::told`].
    #[cold]
    pub(crate) fn event(&self, hub: &Hub, is_delivery: bool, target: Target<'_>, event: &Event) {
        let mut target = target;
        while let Target::Any([only]) = target {
            target = *only;
        }
        if matches!(target, Target::Session(_)) {
            return;
        }
        let realm = realm_of(target);
        let sender = match event.from {
            Sender::Session(id) => Some(id),
            Sender::Server => None,
        };
        for watch in &**self.open.load() {
            let is_own = match &watch.scope {
                Scope::Room { .. } => !is_delivery,
                Scope::Session(id) => sender == Some(*id),
                Scope::Listener(name) => sender
                    .and_then(|id| hub.session(id))
                    .is_some_and(|session| session.listener().name() == name),
            };
            let is_reached = watch.scope.is_reached(hub, target);
            if !is_reached && (!is_own || matches!(watch.scope, Scope::Room { .. })) {
                continue;
            }
            self.push(watch, || {
                let who = sender.map(|id| match hub.session(id) {
                    Some(session) => Who::of(&session),
                    None => Who {
                        session: id,
                        came: None,
                    },
                });
                Seen::event(!is_own, realm, event, who, None)
            });
        }
    }

    /// An event is told to a session alone.
    #[cold]
    pub(crate) fn told(&self, session: &SessionRef, event: &Event) {
        for watch in &**self.open.load() {
            if watch.scope.means(session, None) {
                self.push(watch, || {
                    let who = match event.from {
                        Sender::Session(id) => match session.listener().hub().session(id) {
                            Some(sender) => Some(Who::of(&sender)),
                            None => Some(Who {
                                session: id,
                                came: None,
                            }),
                        },
                        Sender::Server => None,
                    };
                    let realm = Some(session.realm().name());
                    Seen::event(true, realm, event, who, Some(session.dialect()))
                });
            }
        }
    }

    /// A session says something to those of its protocol, as a finished frame.
    #[cold]
    pub(crate) fn relayed(&self, session: &SessionRef, frame: &Frame) {
        self.of_session(session, None, || What::relay(session, frame));
    }

    /// A session has entered a room or left it.
    #[cold]
    pub(crate) fn moved(&self, session: &SessionRef, room: &RoomName, is_in: bool) {
        self.of_session(session, Some(room), || {
            let what = if is_in { What::Join } else { What::Leave };
            what(room.clone())
        });
    }

    #[cold]
    pub(crate) fn opened(&self, session: &SessionRef) {
        self.of_session(session, None, || What::Open(session.peer()));
    }

    #[cold]
    pub(crate) fn closed(&self, session: &SessionRef, reason: CloseReason) {
        self.of_session(session, None, || What::Close(reason));
        for watch in &**self.open.load() {
            if watch.scope == Scope::Session(session.id()) {
                watch.queue.end();
            }
        }
    }

    /// A call has been given to a backend; nothing if nobody watches its session. `is_call` says whether it is one for
    /// sure: if no backend knows it, it may be something else in its protocol.
    #[cold]
    pub(crate) fn called(
        &self,
        session: &SessionRef,
        call: &Call<'_>,
        at: Millis,
        is_call: bool,
    ) -> Option<Box<WatchedCall>> {
        let open = self.open.load();
        open.iter().find(|it| it.scope.means(session, None))?;
        let name = Box::<str>::from(call.action);
        let values = Values::of_call(call);
        let untold = if is_call {
            self.say_called(session, at, &name, &values);
            None
        } else {
            Some((at, values))
        };
        Some(Box::new(WatchedCall { name, untold }))
    }

    /// A call is answered with an error before any backend is asked.
    #[cold]
    pub(crate) fn refused(&self, session: &SessionRef, call: &Call<'_>, error: &CallError) {
        let Some(watched) = self.called(session, call, Millis::now(), true) else {
            return;
        };
        self.of_session(session, None, || What::refusal(watched.name.clone(), error));
    }

    fn say_called(&self, session: &SessionRef, at: Millis, name: &str, values: &Values) {
        for watch in &**self.open.load() {
            if watch.scope.means(session, None) {
                self.push(watch, || Seen {
                    at,
                    who: Some(Who::of(session)),
                    what: What::Call {
                        name: name.into(),
                        values: values.clone(),
                    },
                });
            }
        }
    }

    /// It is answered.
    #[cold]
    pub(crate) fn answered(
        &self,
        session: &SessionRef,
        call: WatchedCall,
        answer: &Result<Reply, CallError>,
        took: std::time::Duration,
    ) {
        if let Some((at, values)) = &call.untold {
            self.say_called(session, *at, &call.name, values);
        }
        self.of_session(session, None, || {
            What::answer(call.name.clone(), answer, took)
        });
    }

    fn of_session(&self, session: &SessionRef, room: Option<&RoomName>, what: impl Fn() -> What) {
        for watch in &**self.open.load() {
            if watch.scope.means(session, room) {
                self.push(watch, || Seen::now(Some(Who::of(session)), what()));
            }
        }
    }
}

impl Scope {
    /// Whether it is about what a session does, in a room if there is one.
    fn means(&self, session: &SessionRef, in_room: Option<&RoomName>) -> bool {
        match self {
            Self::Room { realm, room } => in_room == Some(room) && session.realm().name() == realm,
            Self::Session(id) => session.id() == *id,
            Self::Listener(name) => session.listener().name() == name,
        }
    }

    /// Whether what goes to a target comes to it.
    fn is_reached(&self, hub: &Hub, target: Target<'_>) -> bool {
        match self {
            Self::Room { realm, room } => addresses(target, realm, room),
            Self::Session(id) => match target {
                Target::Any(targets) => targets.iter().any(|it| self.is_reached(hub, *it)),
                target => hub.session(*id).is_some_and(|it| reaches(hub, target, &it)),
            },
            Self::Listener(name) => reaches_listener(hub, target, name),
        }
    }
}

/// Whether a target means a room, by name or with its whole realm.
fn addresses(target: Target<'_>, realm: &RealmName, room: &RoomName) -> bool {
    match target {
        Target::Session(_) => false,
        Target::Room {
            realm: there,
            room: name,
            ..
        } => there.name() == realm && name == room,
        Target::Rooms {
            realm: there,
            any_of,
            ..
        } => there.name() == realm && any_of.contains(room),
        Target::Realm { realm: there, .. } => there.name() == realm,
        Target::Any(targets) => targets.iter().any(|it| addresses(*it, realm, room)),
    }
}

/// Whether a session of this node is among those that a target reaches. No list of them is made.
fn reaches(hub: &Hub, target: Target<'_>, session: &SessionRef) -> bool {
    let is_there = |realm: &crate::Realm| std::ptr::eq(&raw const **session.realm(), realm);
    let is_in = |realm: &crate::Realm, room: &RoomName| {
        session.is_in(room) || hub.alone_in(realm, room.as_str()).as_ref() == Some(session)
    };
    match target {
        Target::Session(id) => session.id() == id,
        // Who is alone in it is told by itself.
        Target::Room {
            realm,
            room,
            except,
        } => is_there(realm) && session.is_in(room) && !except.covers(session),
        Target::Rooms {
            realm,
            any_of,
            except,
        } => {
            is_there(realm)
                && any_of.iter().any(|room| is_in(realm, room))
                && !except.iter().any(|room| is_in(realm, room))
        }
        Target::Realm { realm, except } => {
            is_there(realm) && !except.iter().any(|room| is_in(realm, room))
        }
        Target::Any(targets) => targets.iter().any(|it| reaches(hub, *it, session)),
    }
}

/// Whether a session of that listener is among them. Costs no more than a part of queueing the event to all of them.
fn reaches_listener(hub: &Hub, target: Target<'_>, name: &str) -> bool {
    let is_its = |session: &SessionRef| session.listener().name() == name;
    let is_in = |realm: &crate::Realm, room: &RoomName, except: Except<'_>| {
        let members = realm.find(room.as_str());
        members.is_some_and(|room| {
            room.lock()
                .iter()
                .any(|it| is_its(it) && !except.covers(it))
        })
    };
    match target {
        Target::Session(id) => hub.session(id).is_some_and(|it| is_its(&it)),
        Target::Room {
            realm,
            room,
            except,
        } => is_in(realm, room, except),
        Target::Rooms {
            realm,
            any_of,
            except: [],
        } => any_of
            .iter()
            .any(|room| is_in(realm, room, Except::default())),
        Target::Rooms { .. } | Target::Realm { .. } => hub.reached(target).iter().any(is_its),
        Target::Any(targets) => targets.iter().any(|it| reaches_listener(hub, *it, name)),
    }
}

fn realm_of(target: Target<'_>) -> Option<&RealmName> {
    match target {
        Target::Session(_) => None,
        Target::Room { realm, .. } | Target::Rooms { realm, .. } | Target::Realm { realm, .. } => {
            Some(realm.name())
        }
        Target::Any(targets) => targets.iter().find_map(|it| realm_of(*it)),
    }
}
