//! What the clients of a listener share, and those of them that have no session yet.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use polyport_core::{
    Branch, Connections, Listener, RealmName, Reception, RefuseReason, SessionId, Wire,
};
use polyport_net::{Deadlines, HttpAnswer, HttpRequest, Tasks, Unwanted, http_answer};
use tokio::runtime::Handle;

use crate::{
    access::{Access, Door},
    codec::Codec,
    dialect::dialect,
    options::DevtoolsOptions,
    origins::Origins,
    page::Page,
    relay::{Recorder, Relay, RelayOptions},
    reports::{Reports, ReportsDoor},
};

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
    /// The relay, if the listener is one.
    pub(crate) relaying: Option<Relaying>,
    door: Door,
    /// Parts of the listener for users that are among their own.
    teams: HashMap<Arc<str>, Arc<Branch>>,
    /// Connections that have not shaken hands yet: the hub does not know them.
    strangers: Mutex<HashMap<SessionId, Weak<Wire>>>,
}

/// What a listener has that relays.
pub(crate) struct Relaying {
    pub(crate) options: RelayOptions,
    pub(crate) relay: Arc<Relay>,
    pub(crate) reports: Arc<Reports>,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) http: ReportsDoor,
    pub(crate) page: Page,
}

impl Shared {
    pub(crate) fn new(
        options: DevtoolsOptions,
        origins: Origins,
        listener: Arc<Listener>,
        reception: Reception,
        tasks: Tasks,
        deadlines: Deadlines,
        relaying: Option<Relaying>,
    ) -> Self {
        let door = Door::new(&options.access);
        let teams = door
            .teams()
            .map(|name| (Arc::clone(name), team(&listener, name, options.codec)));
        Self {
            teams: teams.collect(),
            door,
            relaying,
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

    /// Whether everybody comes in unasked.
    pub(crate) fn is_open(&self) -> bool {
        self.door.is_open()
    }

    /// What a request may on the relay.
    ///
    /// # Errors
    /// The answer to who does not show a name that is known; it is counted.
    pub(crate) fn access(&self, request: &HttpRequest) -> Result<Access, Box<HttpAnswer>> {
        if self.is_open() {
            return Ok(Access::ALL);
        }
        let access = self.door.check(&request.opening(&self.listener));
        access.map_err(|_| Box::new(self.ask_for_name(request)))
    }

    /// The answer to who may not do something without a name; it is counted.
    pub(crate) fn ask_for_name(&self, request: &HttpRequest) -> HttpAnswer {
        self.listener
            .refused(request.peer.ip(), RefuseReason::Nobody);
        let mut answer = http_answer(StatusCode::UNAUTHORIZED, "Who are you?\n");
        let basic = HeaderValue::from_static("Basic realm=\"Redux DevTools\", charset=\"UTF-8\"");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
        answer
    }

    /// The part of the listener in which a client is.
    pub(crate) fn branch(&self, access: &Access) -> &Arc<Branch> {
        let team = access.team.as_ref().and_then(|name| self.teams.get(name));
        team.unwrap_or_else(|| self.listener.branch())
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

/// The part of a listener that one user has for itself.
fn team(listener: &Arc<Listener>, name: &str, codec: Codec) -> Arc<Branch> {
    let own = listener.branch();
    let realm = RealmName::new(&format!("{}/{name}", own.realm().name()));
    // Too long a name was refused with the configuration.
    let realm = realm.map_or_else(
        |_| Arc::clone(own.realm()),
        |name| listener.hub().realm(&name),
    );
    Arc::new(Branch::new(
        name,
        realm,
        dialect(codec),
        own.join().to_vec(),
        Vec::new(),
    ))
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
