//! What the sessions of a listener share: who there is, and which namespaces.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use polyport_core::{Branch, Connections, Listener, RealmName, Reception};
use polyport_net::{Deadlines, Tasks};
use tokio::runtime::Handle;

use crate::{
    codec::Revision,
    dialect::{Form, SocketIoDialect},
    engine::Engine,
    options::{SocketIoOptions, matches},
    recovery::{Offsets, Recovery},
    session::login,
    unwanted::Unwanted,
};

/// Namespaces by name, one for each form.
type Branches = HashMap<(Box<str>, Form), Weak<Branch>>;

/// What the sessions of a listener share.
pub(crate) struct Shared {
    pub(crate) options: SocketIoOptions,
    pub(crate) listener: Arc<Listener>,
    pub(crate) reception: Reception,
    pub(crate) tasks: Tasks,
    pub(crate) runtime: Handle,
    pub(crate) deadlines: Deadlines,
    /// Where lost clients may come back.
    pub(crate) recovery: Option<Recovery>,
    pub(crate) unwanted: Unwanted,
    engines: Mutex<HashMap<Box<str>, Arc<Engine>>>,
    /// `/` in each form.
    roots: HashMap<Form, Arc<Branch>>,
    /// The other namespaces that have sessions.
    branches: Mutex<Branches>,
}

impl Shared {
    pub(crate) fn new(
        options: SocketIoOptions,
        listener: Arc<Listener>,
        reception: Reception,
        tasks: Tasks,
        deadlines: Deadlines,
    ) -> Self {
        let reception = login::by_ways(reception, &options.login);
        let period = options.recovery;
        let recovery = (!period.is_zero()).then(|| Recovery::new(period));
        let root = |form: Form| {
            let realm = Arc::clone(listener.realm());
            let join = listener.join().to_vec();
            let is_recoverable = recovery.is_some() && form.revision == Revision::V4;
            let dialect = Arc::new(SocketIoDialect {
                namespace: "/".into(),
                form,
                offsets: is_recoverable.then(Offsets::new),
            });
            let branch = Branch::new("/", realm, dialect, join, Vec::new());
            (form, Arc::new(branch))
        };
        Self {
            roots: Form::ALL.map(root).into(),
            options,
            listener,
            reception,
            tasks,
            runtime: Handle::current(),
            deadlines,
            recovery,
            unwanted: Unwanted::default(),
            engines: Mutex::default(),
            branches: Mutex::default(),
        }
    }

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

    /// All sessions. Their own locks are not to be taken under that of the list: a client that comes back ends another
    /// session under its own.
    fn all(&self) -> Vec<Arc<Engine>> {
        self.engines.lock().values().cloned().collect()
    }

    /// The namespace of that name, if there is one.
    pub(crate) fn branch(&self, namespace: &str, form: Form) -> Option<Arc<Branch>> {
        if namespace == "/" {
            return self.roots.get(&form).cloned();
        }
        let known = &self.options.namespaces;
        if !known.iter().any(|pattern| matches(pattern, namespace)) {
            return None;
        }
        let mut branches = self.branches.lock();
        let key = (Box::from(namespace), form);
        if let Some(branch) = branches.get(&key).and_then(Weak::upgrade) {
            return Some(branch);
        }
        self.forget_unused(&mut branches);
        let realm = self.realm_name(namespace)?;
        let is_recoverable = self.recovery.is_some() && form.revision == Revision::V4;
        let dialect = Arc::new(SocketIoDialect {
            namespace: namespace.into(),
            form,
            offsets: is_recoverable.then(Offsets::new),
        });
        let realm = self.listener.hub().realm(&realm);
        let branch = Branch::new(namespace, realm, dialect, Vec::new(), Vec::new());
        let branch = Arc::new(branch);
        branches.insert(key, Arc::downgrade(&branch));
        Some(branch)
    }

    /// Lets go of namespaces that nobody is in any more, and of their realms: clients choose their names.
    fn forget_unused(&self, branches: &mut Branches) {
        let hub = self.listener.hub();
        let gone = branches.extract_if(|_, branch| branch.strong_count() == 0);
        for ((namespace, _), _) in gone {
            if let Some(realm) = self.realm_name(&namespace) {
                hub.forget_realm(&realm);
            }
        }
    }

    fn realm_name(&self, namespace: &str) -> Option<RealmName> {
        let name = format!("{}{namespace}", self.listener.realm().name());
        RealmName::new(&name).ok()
    }
}

impl Connections for Shared {
    fn wake(&self) {
        for engine in self.all() {
            engine.wire.wake();
        }
    }

    fn are_open(&self) -> bool {
        self.all().iter().any(|engine| !engine.has_said_goodbye())
    }
}
