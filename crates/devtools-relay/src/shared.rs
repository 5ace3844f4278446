//! What the clients of a listener share, and those of them that have no session yet.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use polyport_core::{
    Branch, Connections, Identity, Listener, RealmName, Reception, RefuseReason, SessionId,
    Verified, Wire,
};
use polyport_net::{Deadlines, HttpAnswer, HttpRequest, Tasks, Unwanted, http_answer};
use tokio::runtime::Handle;

use crate::{
    access::{Access, Door, NobodyKnown, Right},
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
            .filter_map(|name| Some((Arc::clone(name), team(&listener, name, options.codec)?)));
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

    /// What a request may on the relay, as far as it has no token, which may come later.
    ///
    /// # Errors
    /// The answer to who does not show a name that is known; it is counted.
    pub(crate) fn entrance(&self, request: &HttpRequest) -> Result<Access, Box<HttpAnswer>> {
        if self.is_open() {
            return Ok(Access::ALL);
        }
        let access = self.door.check(&request.opening(&self.listener));
        access.map_err(|_| Box::new(self.ask_for_name(request)))
    }

    /// The same for a request of HTTP, which has its token with it.
    ///
    /// # Errors
    /// The answer to who shows neither a name that is known nor a good token; it is counted.
    pub(crate) async fn access(&self, request: &HttpRequest) -> Result<Allowed, Box<HttpAnswer>> {
        let access = self.entrance(request)?;
        let identity = self.identity(request).await;
        let settled = identity.and_then(|identity| {
            let (access, branch) = self.settle(&access, identity.as_deref())?;
            Ok(Allowed {
                access,
                branch,
                identity,
            })
        });
        settled.map_err(|_| Box::new(self.ask_for_name(request)))
    }

    /// Who the token of a request says it is, where tokens give rights.
    async fn identity(&self, request: &HttpRequest) -> Result<Option<Arc<Identity>>, NobodyKnown> {
        let authentication = self.reception.authentication();
        let Some(authentication) = authentication.filter(|_| self.door.takes_tokens()) else {
            return Ok(None);
        };
        let opening = request.opening(&self.listener);
        let Some(token) = opening.token(&authentication.sources) else {
            return Ok(None);
        };
        let result = match authentication.verifier.verify(&token, &opening) {
            Verified::Now(result) => result,
            Verified::Later(later) => later.await,
        };
        self.listener.metrics().token(result.as_ref().err());
        result.map(Some).map_err(|_| NobodyKnown)
    }

    /// What a client may and where, now that it is known who it is.
    ///
    /// # Errors
    /// [`NobodyKnown`] if it may not be where its host is, or its name is none of a realm.
    pub(crate) fn settle(
        &self,
        access: &Access,
        identity: Option<&Identity>,
    ) -> Result<(Access, Arc<Branch>), NobodyKnown> {
        let access = self.door.settle(access, identity)?;
        let branch = match &access.team {
            None => Arc::clone(self.listener.branch()),
            Some(name) => match self.teams.get(name) {
                Some(known) => Arc::clone(known),
                None => team(&self.listener, name, self.options.codec).ok_or(NobodyKnown)?,
            },
        };
        Ok((access, branch))
    }

    /// Whether tokens give rights.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.door.takes_tokens()
    }

    /// Whether a client may do something because of who it is.
    pub(crate) fn gives(&self, access: &Access, identity: &Identity, right: Right) -> bool {
        self.door.gives(access, identity, right)
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

    /// The part of the listener in which a client is before it is known who it is, if that is not the listener's own.
    pub(crate) fn team(&self, access: &Access) -> Option<&Arc<Branch>> {
        self.teams.get(access.team.as_ref()?)
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

/// The part of a listener that one user has for itself; nothing if its name is too long for that.
fn team(listener: &Arc<Listener>, name: &str, codec: Codec) -> Option<Arc<Branch>> {
    let own = listener.branch();
    let realm = RealmName::new(&format!("{}/{name}", own.realm().name())).ok()?;
    Some(Arc::new(Branch::new(
        name,
        listener.hub().realm(&realm),
        dialect(codec),
        own.join().to_vec(),
        Vec::new(),
    )))
}

/// What a request of HTTP may.
pub(crate) struct Allowed {
    access: Access,
    branch: Arc<Branch>,
    identity: Option<Arc<Identity>>,
}

impl Allowed {
    /// Whether it may do something on the relay of `shared`.
    pub(crate) fn has(&self, shared: &Shared, right: Right) -> bool {
        let identity = self.identity.as_ref();
        self.access.has(right) || identity.is_some_and(|it| shared.gives(&self.access, it, right))
    }

    /// Where it is.
    pub(crate) fn realm(&self) -> &RealmName {
        self.branch.realm().name()
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
