//! A listener as the core knows it: realm, dialect, limits, permissions, and the counts that admission needs.

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;

use crate::{
    Backend, Dialect, Hub, Limits, ListenerMetrics, Permissions, Realm, RealmName, RefuseReason,
    RoomName, events,
    places::{Places, take_place},
    trace::TraceContext,
};

/// Connections without a session that there may be beside two for each session, so that small bounds leave room too.
const SPARE_CONNECTIONS: usize = 64;

/// What a listener is made of.
pub struct ListenerConfig {
    /// The name in the configuration.
    pub name: String,
    /// The protocol's name in the configuration.
    pub protocol: &'static str,
    /// The realm its sessions live in.
    pub realm: RealmName,
    /// How its sessions want events written.
    pub dialect: Arc<dyn Dialect>,
    /// Rooms that every session is put into when it opens. They exist as long as the listener does.
    pub join: Vec<RoomName>,
    /// Further rooms that exist as long as the listener does.
    pub rooms: Vec<RoomName>,
    /// Its bounds.
    pub limits: Limits,
    /// What its sessions may do.
    pub permissions: Permissions,
}

/// A realm, a dialect, and the rooms that go with them: what sessions of a listener share that are of one kind. A listener
/// has one; protocols with namespaces or several wire forms make more.
pub struct Branch {
    namespace: Box<str>,
    realm: Arc<Realm>,
    dialect: Arc<dyn Dialect>,
    join: Vec<RoomName>,
    /// Rooms that exist as long as this does, beside those in `join`.
    rooms: Vec<RoomName>,
}

impl Branch {
    /// `namespace` is its name in the protocol. Sessions of it are put into the rooms of `join`, which exist as long as it does, as those of `rooms` do.
    #[must_use]
    pub fn new(
        namespace: &str,
        realm: Arc<Realm>,
        dialect: Arc<dyn Dialect>,
        mut join: Vec<RoomName>,
        rooms: Vec<RoomName>,
    ) -> Self {
        let mut seen = HashSet::new();
        join.retain(|room| seen.insert(room.clone()));
        for room in join.iter().chain(&rooms) {
            realm.hold(room);
        }
        Self {
            namespace: namespace.into(),
            realm,
            dialect,
            join,
            rooms,
        }
    }

    /// Its name, in protocols that have namespaces; empty for a listener's own.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where its sessions live.
    #[must_use]
    pub fn realm(&self) -> &Arc<Realm> {
        &self.realm
    }

    /// How its sessions want events written.
    #[must_use]
    pub fn dialect(&self) -> &Arc<dyn Dialect> {
        &self.dialect
    }

    /// Rooms that its sessions are put into when they open.
    #[must_use]
    pub fn join(&self) -> &[RoomName] {
        &self.join
    }
}

impl std::fmt::Debug for Branch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Branch").field(self.realm.name()).finish()
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        for room in self.join.iter().chain(&self.rooms) {
            self.realm.release(room);
        }
    }
}

/// The connections of a front end that may be open without a session in the hub, which therefore cannot tell them that
/// their listener drains.
pub trait Connections: Send + Sync {
    /// Lets each of them look again, as [`Wire::wake`](crate::Wire::wake) does. Must not wait.
    fn wake(&self);

    /// Whether one of them has not said goodbye yet.
    fn are_open(&self) -> bool;
}

/// A bound address with a protocol, limits and a realm. Shared by its sessions.
pub struct Listener {
    name: Arc<str>,
    protocol: &'static str,
    hub: Arc<Hub>,
    branch: Arc<Branch>,
    limits: ArcSwap<Limits>,
    /// The one limit that is asked for on every delivery.
    outbox_limit: AtomicUsize,
    permissions: ArcSwap<Permissions>,
    metrics: ListenerMetrics,
    sessions: Places,
    /// Connections that serve no session, where these are counted by themselves.
    sessionless: Places,
    draining: AtomicBool,
    connections: OnceLock<Weak<dyn Connections>>,
    own_room: OnceLock<RoomName>,
    /// What answers servers.
    backend: OnceLock<Arc<dyn Backend>>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Listener {
    pub(crate) fn new(hub: Arc<Hub>, config: ListenerConfig) -> Self {
        let metrics = hub.metrics().listener(&config.name, config.protocol);
        let realm = hub.realm(&config.realm);
        let branch = Branch::new("", realm, config.dialect, config.join, config.rooms);
        Self {
            outbox_limit: AtomicUsize::new(config.limits.outbox),
            name: config.name.into(),
            protocol: config.protocol,
            hub,
            branch: Arc::new(branch),
            limits: ArcSwap::from_pointee(config.limits),
            permissions: ArcSwap::from_pointee(config.permissions),
            metrics,
            sessions: Places::default(),
            sessionless: Places::default(),
            draining: AtomicBool::new(false),
            connections: OnceLock::new(),
            own_room: OnceLock::new(),
            backend: OnceLock::new(),
        }
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same for those who remember it longer than the listener lives.
    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// The protocol's name in the configuration.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// Has `backend` answer the calls of other servers in its realm.
    pub fn answer_servers(&self, backend: Arc<dyn Backend>) {
        // It has one for good, which knows by itself when something has changed.
        let _ = self.backend.set(backend);
    }

    /// What answers the calls of other servers, unless the listener is about to end.
    pub(crate) fn backend(&self) -> Option<&dyn Backend> {
        let backend = self.backend.get()?;
        (!self.is_draining()).then_some(&**backend)
    }

    /// Names the room of all its sessions and no others. Another node may call its own otherwise: what is relayed there goes
    /// to the room of the listener of the same name.
    pub fn set_own_room(&self, room: RoomName) {
        // It has one for good.
        let _ = self.own_room.set(room);
    }

    /// That room, if it has one.
    #[must_use]
    pub fn own_room(&self) -> Option<&RoomName> {
        self.own_room.get()
    }

    /// The hub it belongs to.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The realm its sessions live in.
    #[must_use]
    pub fn realm(&self) -> &Arc<Realm> {
        self.branch.realm()
    }

    /// How its sessions want events written.
    #[must_use]
    pub fn dialect(&self) -> &Arc<dyn Dialect> {
        self.branch.dialect()
    }

    /// Rooms that every session is put into when it opens.
    #[must_use]
    pub fn join(&self) -> &[RoomName] {
        self.branch.join()
    }

    /// Realm, dialect and rooms together.
    #[must_use]
    pub fn branch(&self) -> &Arc<Branch> {
        &self.branch
    }

    /// The bounds in force now.
    #[must_use]
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// What its sessions may do.
    #[must_use]
    pub fn permissions(&self) -> Arc<Permissions> {
        self.permissions.load_full()
    }

    /// Its counters.
    #[must_use]
    pub fn metrics(&self) -> &ListenerMetrics {
        &self.metrics
    }

    /// Puts new bounds and permissions in force, for open sessions too; a session that is over a lowered bound stays.
    pub fn reconfigure(&self, limits: Limits, permissions: Permissions) {
        self.outbox_limit.store(limits.outbox, Ordering::Relaxed);
        self.limits.store(Arc::new(limits));
        self.permissions.store(Arc::new(permissions));
    }

    /// From now on new calls are refused: the listener is being removed or the process stops. Sessions have to be woken to
    /// notice it; connections without one are.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        if let Some(connections) = self.connections() {
            connections.wake();
        }
    }

    /// Says who else is to notice that it drains. Only the first word counts.
    pub fn set_connections(&self, connections: Weak<dyn Connections>) {
        let _ = self.connections.set(connections);
    }

    /// Whether there are connections beside its sessions that have not said goodbye yet.
    #[must_use]
    pub fn has_connections(&self) -> bool {
        self.connections().is_some_and(|it| it.are_open())
    }

    fn connections(&self) -> Option<Arc<dyn Connections>> {
        self.connections.get()?.upgrade()
    }

    /// Whether [`Listener::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes a place for a session of a client at `from`, as far as that is known, or refuses it. The place is given back
    /// when the [`Admission`] is dropped.
    ///
    /// # Errors
    /// Which bound refused it; it is counted and logged.
    pub fn admit(self: &Arc<Self>, from: Option<IpAddr>) -> Result<Admission, RefuseReason> {
        let refuse = |reason| {
            events::connection_refused(self, from, reason);
            reason
        };
        if self.hub.is_cut_off() {
            return Err(refuse(RefuseReason::CutOff));
        }
        if !take_place(self.hub.admitted(), self.hub.max_sessions()) {
            return Err(refuse(RefuseReason::Sessions));
        }
        if !self.sessions.take(self.limits.load().sessions) {
            self.hub.admitted().fetch_sub(1, Ordering::Relaxed);
            return Err(refuse(RefuseReason::ListenerSessions));
        }
        Ok(Admission::new(self, Seat::Session))
    }

    /// Takes a place for a connection that may serve sessions but has none yet, or refuses it. There are twice as many as
    /// for sessions and a few more, in all and for each address.
    ///
    /// # Errors
    /// [`RefuseReason::ListenerConnections`]; it is counted and logged.
    pub fn admit_connection(
        self: &Arc<Self>,
        from: Option<IpAddr>,
    ) -> Result<Admission, RefuseReason> {
        if !self.sessionless.take(self.max_connections()) {
            let reason = RefuseReason::ListenerConnections;
            events::connection_refused(self, from, reason);
            return Err(reason);
        }
        Ok(Admission::new(self, Seat::Connection))
    }

    /// Takes a place for a connection that is open already and serves no session any more, beyond the bounds too.
    #[must_use]
    pub fn readmit_connection(self: &Arc<Self>, address: Option<IpAddr>) -> Admission {
        self.sessionless.take(0);
        let address = address.map(|address| address.to_canonical());
        if let Some(address) = address {
            self.sessionless.take_for(address, 0);
        }
        let mut admission = Admission::new(self, Seat::Connection);
        admission.address = address;
        admission
    }

    fn max_connections(&self) -> usize {
        let bounds = [self.limits.load().sessions, self.hub.max_sessions()];
        let sessions = bounds.into_iter().filter(|bound| *bound != 0).min();
        connections_for(sessions.unwrap_or_default())
    }

    fn max_connections_per_address(&self) -> usize {
        connections_for(self.limits.load().sessions_per_address)
    }

    /// Counts and logs a connection that never became a session.
    pub fn refused(&self, peer: Option<IpAddr>, reason: RefuseReason) {
        events::connection_refused(self, peer, reason);
    }

    pub(crate) fn outbox_limit(&self) -> usize {
        self.outbox_limit.load(Ordering::Relaxed)
    }
}

/// Connections without a session that there may be where there may be so many sessions; 0 is no bound.
fn connections_for(sessions: usize) -> usize {
    match sessions {
        0 => 0,
        _ => sessions.saturating_mul(2).saturating_add(SPARE_CONNECTIONS),
    }
}

/// What a place is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seat {
    Session,
    /// A connection without a session.
    Connection,
    /// Something that shares a place which is counted already.
    Shared,
}

/// The place of a session, or of a connection that has none, among those that are allowed; dropped when it ends.
#[derive(Debug)]
pub struct Admission {
    listener: Arc<Listener>,
    address: Option<IpAddr>,
    seat: Seat,
    trace: Option<Box<TraceContext>>,
}

impl Admission {
    fn new(listener: &Arc<Listener>, seat: Seat) -> Self {
        Self {
            listener: Arc::clone(listener),
            address: None,
            seat,
            trace: None,
        }
    }

    /// Says which trace its opening belongs to, and with it what its client does.
    pub fn follow(&mut self, trace: TraceContext) {
        self.trace = Some(Box::new(trace));
    }

    /// The trace that its opening belongs to.
    pub(crate) fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_deref()
    }

    /// Counts it for its address, once that is known.
    ///
    /// # Errors
    /// [`RefuseReason::AddressSessions`] or [`RefuseReason::AddressConnections`]; it is counted and logged.
    pub fn count_address(&mut self, address: IpAddr) -> Result<(), RefuseReason> {
        let address = address.to_canonical();
        let listener = &self.listener;
        let (is_free, reason) = match self.seat {
            Seat::Session => {
                let max = listener.limits.load().sessions_per_address;
                let is_free = listener.sessions.take_for(address, max);
                (is_free, RefuseReason::AddressSessions)
            }
            Seat::Connection => {
                let max = listener.max_connections_per_address();
                let is_free = listener.sessionless.take_for(address, max);
                (is_free, RefuseReason::AddressConnections)
            }
            Seat::Shared => return Ok(()),
        };
        if !is_free {
            events::connection_refused(listener, Some(address), reason);
            return Err(reason);
        }
        self.address = Some(address);
        Ok(())
    }

    /// Whether a connection without a session may stay although it has nothing to do: half of the places are kept free
    /// for those that come with a request.
    #[must_use]
    pub fn may_idle(&self) -> bool {
        let listener = &self.listener;
        let is_early = |taken: usize, max: usize| max == 0 || taken <= max / 2;
        let places = &listener.sessionless;
        is_early(places.taken(), listener.max_connections())
            && self.address.is_none_or(|address| {
                let max = listener.max_connections_per_address();
                is_early(places.taken_by(address), max)
            })
    }

    /// The listener that admitted it.
    #[must_use]
    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// For what shares the place of a connection that is counted already.
    pub(crate) fn shared(&self) -> Self {
        let mut shared = Self::new(&self.listener, Seat::Shared);
        shared.trace.clone_from(&self.trace);
        shared
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        match self.seat {
            Seat::Session => {
                self.listener.hub.admitted().fetch_sub(1, Ordering::Relaxed);
                self.listener.sessions.give_back(self.address);
            }
            Seat::Connection => self.listener.sessionless.give_back(self.address),
            Seat::Shared => {}
        }
    }
}
