//! Who is there, whichever of a listener's bindings the clients came through.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use crate::{engine::Engine, recovery::Recovery, shared::Shared};

/// The clients of a listener, who stay when its address is bound anew: requests and returns come to the new binding, and
/// find here what the old one has opened. Each session goes on with the settings that it was opened with.
#[derive(Default)]
pub struct Clients {
    engines: Mutex<HashMap<Box<str>, Arc<Engine>>>,
    recovery: Arc<Recovery>,
    /// The latest binding.
    serving: Mutex<Weak<Shared>>,
}

impl Clients {
    pub(crate) fn add(&self, engine: &Arc<Engine>) {
        let mut engines = self.engines.lock();
        engines.insert(engine.sid().into(), Arc::clone(engine));
    }

    pub(crate) fn remove(&self, sid: &str) -> Option<Arc<Engine>> {
        self.engines.lock().remove(sid)
    }

    /// The session of that id.
    pub(crate) fn find(&self, sid: &str) -> Option<Arc<Engine>> {
        self.engines.lock().get(sid).cloned()
    }

    /// All sessions that one binding has opened. Their own locks are not to be taken under that of the list: a client that
    /// comes back ends another session under its own.
    pub(crate) fn of(&self, shared: &Shared) -> Vec<Arc<Engine>> {
        let engines = self.engines.lock();
        let is_its = |engine: &&Arc<Engine>| std::ptr::eq(&*engine.shared, shared);
        engines.values().filter(is_its).cloned().collect()
    }

    /// Those that are lost, or may be.
    pub(crate) fn recovery(&self) -> &Arc<Recovery> {
        &self.recovery
    }

    /// New connections go to this binding from now on.
    pub(crate) fn are_served_by(&self, shared: &Arc<Shared>) {
        *self.serving.lock() = Arc::downgrade(shared);
    }

    /// Whether that is the binding to which new connections go.
    pub(crate) fn is_serving(&self, shared: &Arc<Shared>) -> bool {
        self.serving.lock().as_ptr() == Arc::as_ptr(shared)
    }
}
