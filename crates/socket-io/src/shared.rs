//! What the sessions of a listener share: its settings, and which namespaces there are.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use polyport_core::{Branch, Connections, Listener, RealmName, Reception};
use polyport_net::{Deadlines, Tasks, Unwanted};
use tokio::runtime::Handle;

use crate::{
    clients::Clients,
    codec::Revision,
    dialect::{Form, SocketIoDialect},
    options::{SocketIoOptions, matches},
    recovery::Offsets,
    session::login,
};

/// Namespaces by name, one for each form.
type Branches = HashMap<(Box<str>, Form), Weak<Branch>>;

/// What the sessions of a listener share that were opened under the same settings.
pub(crate) struct Shared {
    pub(crate) options: SocketIoOptions,
    pub(crate) listener: Arc<Listener>,
    pub(crate) reception: Reception,
    pub(crate) tasks: Tasks,
    pub(crate) runtime: Handle,
    pub(crate) deadlines: Deadlines,
    pub(crate) clients: Arc<Clients>,
    pub(crate) unwanted: Unwanted,
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
        clients: Arc<Clients>,
    ) -> Self {
        let reception = login::by_ways(reception, &options.login);
        let root = |form: Form| {
            let realm = Arc::clone(listener.realm());
            let join = listener.join().to_vec();
            let offsets = || Offsets::new(listener.hub(), realm.name());
            let dialect = Arc::new(SocketIoDialect {
                namespace: "/".into(),
                form,
                offsets: is_recoverable(&options, form.revision).then(offsets),
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
            clients,
            unwanted: Unwanted::default(),
            branches: Mutex::default(),
        }
    }

    /// Whether clients of that revision may come back when they are lost.
    pub(crate) fn is_recoverable(&self, revision: Revision) -> bool {
        is_recoverable(&self.options, revision)
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
        let offsets = || Offsets::new(self.listener.hub(), &realm);
        let dialect = Arc::new(SocketIoDialect {
            namespace: namespace.into(),
            form,
            offsets: self.is_recoverable(form.revision).then(offsets),
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

fn is_recoverable(options: &SocketIoOptions, revision: Revision) -> bool {
    !options.recovery.is_zero() && revision == Revision::V4
}

impl Connections for Shared {
    fn wake(&self) {
        for engine in self.clients.of(self) {
            engine.wire.wake();
        }
    }

    fn are_open(&self) -> bool {
        let engines = self.clients.of(self);
        engines.iter().any(|engine| !engine.has_said_goodbye())
    }
}
