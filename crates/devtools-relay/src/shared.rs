//! What the clients of a listener share, and those of them that have no session yet.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use polyport_core::{Connections, Listener, Reception, SessionId, Wire};
use polyport_net::{Deadlines, Tasks, Unwanted};
use tokio::runtime::Handle;

use crate::{options::DevtoolsOptions, origins::Origins};

/// What the clients of a listener share that were let in under the same settings.
pub(crate) struct Shared {
    pub(crate) options: DevtoolsOptions,
    pub(crate) origins: Origins,
    pub(crate) listener: Arc<Listener>,
    pub(crate) reception: Reception,
    pub(crate) tasks: Tasks,
    pub(crate) runtime: Handle,
    pub(crate) deadlines: Deadlines,
    pub(crate) unwanted: Unwanted,
    /// Connections that have not shaken hands yet: the hub does not know them.
    strangers: Mutex<HashMap<SessionId, Weak<Wire>>>,
}

impl Shared {
    pub(crate) fn new(
        options: DevtoolsOptions,
        origins: Origins,
        listener: Arc<Listener>,
        reception: Reception,
        tasks: Tasks,
        deadlines: Deadlines,
    ) -> Self {
        Self {
            options,
            origins,
            listener,
            reception,
            tasks,
            runtime: Handle::current(),
            deadlines,
            unwanted: Unwanted::default(),
            strangers: Mutex::default(),
        }
    }

    /// A connection has come.
    pub(crate) fn meets(&self, id: SessionId, wire: &Arc<Wire>) {
        self.strangers.lock().insert(id, Arc::downgrade(wire));
    }

    /// It has a session now, or is gone.
    pub(crate) fn knows(&self, id: SessionId) {
        let mut strangers = self.strangers.lock();
        strangers.remove(&id);
        if strangers.is_empty() {
            *strangers = HashMap::new();
        }
    }
}

impl Connections for Shared {
    fn wake(&self) {
        let strangers: Vec<_> = self.strangers.lock().values().cloned().collect();
        for wire in strangers.iter().filter_map(Weak::upgrade) {
            wire.wake();
        }
    }

    fn are_open(&self) -> bool {
        !self.strangers.lock().is_empty()
    }
}
