//! A listener as the core knows it: realm, dialect, limits, permissions, and the counts that admission needs.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{
    Dialect, Hub, Limits, ListenerMetrics, Permissions, Realm, RealmName, RefuseReason, RoomName,
    events,
};

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
    name: String,
    protocol: &'static str,
    hub: Arc<Hub>,
    branch: Arc<Branch>,
    limits: ArcSwap<Limits>,
    /// The one limit that is asked for on every delivery.
    outbox_limit: AtomicUsize,
    permissions: ArcSwap<Permissions>,
    metrics: ListenerMetrics,
    admitted: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    draining: AtomicBool,
    connections: OnceLock<Weak<dyn Connections>>,
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
            name: config.name,
            protocol: config.protocol,
            hub,
            branch: Arc::new(branch),
            limits: ArcSwap::from_pointee(config.limits),
            permissions: ArcSwap::from_pointee(config.permissions),
            metrics,
            admitted: AtomicUsize::new(0),
            by_address: Mutex::default(),
            draining: AtomicBool::new(false),
            connections: OnceLock::new(),
        }
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The protocol's name in the configuration.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        self.protocol
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

    /// Counts a new connection, or refuses it. The place is given back when the [`Admission`] is dropped.
    ///
    /// # Errors
    /// Which bound refused it; it is counted and logged.
    pub fn admit(self: &Arc<Self>) -> Result<Admission, RefuseReason> {
        let refuse = |reason| {
            events::connection_refused(self, None, reason);
            reason
        };
        if !take_place(self.hub.admitted(), self.hub.max_sessions()) {
            return Err(refuse(RefuseReason::Sessions));
        }
        if !take_place(&self.admitted, self.limits.load().sessions) {
            self.hub.admitted().fetch_sub(1, Ordering::Relaxed);
            return Err(refuse(RefuseReason::ListenerSessions));
        }
        Ok(Admission {
            listener: Arc::clone(self),
            address: None,
            takes_place: true,
        })
    }

    /// Counts and logs a connection that never became a session.
    pub fn refused(&self, peer: Option<IpAddr>, reason: RefuseReason) {
        events::connection_refused(self, peer, reason);
    }

    pub(crate) fn outbox_limit(&self) -> usize {
        self.outbox_limit.load(Ordering::Relaxed)
    }
}

/// A connection's place among those that are allowed; dropped when it ends.
#[derive(Debug)]
pub struct Admission {
    listener: Arc<Listener>,
    address: Option<IpAddr>,
    takes_place: bool,
}

impl Admission {
    /// Counts the connection for its address, once that is known.
    ///
    /// # Errors
    /// [`RefuseReason::AddressSessions`]; it is counted and logged.
    pub fn count_address(&mut self, address: IpAddr) -> Result<(), RefuseReason> {
        let address = address.to_canonical();
        let limit = self.listener.limits.load().sessions_per_address;
        let mut by_address = self.listener.by_address.lock();
        let count = by_address.entry(address).or_default();
        if limit != 0 && *count >= limit {
            drop(by_address);
            let reason = RefuseReason::AddressSessions;
            events::connection_refused(&self.listener, Some(address), reason);
            return Err(reason);
        }
        *count += 1;
        self.address = Some(address);
        Ok(())
    }

    /// The listener that admitted it.
    #[must_use]
    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// For what shares the place of a connection that is counted already.
    pub(crate) fn shared(&self) -> Self {
        Self {
            listener: Arc::clone(&self.listener),
            address: None,
            takes_place: false,
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if !self.takes_place {
            return;
        }
        self.listener.hub.admitted().fetch_sub(1, Ordering::Relaxed);
        self.listener.admitted.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut by_address = self.listener.by_address.lock();
            if let Some(count) = by_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&address);
                }
            }
            // A flood from many addresses must not leave its map behind.
            if by_address.len() * 4 < by_address.capacity() {
                let few = by_address.len() * 2;
                by_address.shrink_to(few);
            }
        }
    }
}

fn take_place(taken: &AtomicUsize, max: usize) -> bool {
    taken
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            (max == 0 || now < max).then_some(now + 1)
        })
        .is_ok()
}
