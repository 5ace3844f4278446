//! The return of a client whose session was kept for all nodes: whichever node or server had it, it goes on here, and what
//! the client has missed is in the history of the realm.

use std::sync::Arc;

use polyport_core::{
    Arg, Branch, CloseReason, Expiry, History, Hub, Identity, Json, KeptSession, Millis, Missing,
    OnExpiry, OpenRequest, Params, Place, RealmName, Recovery, RoomName, SessionId, SessionRef,
    Taken, is_identity_room,
};
use serde::{Deserialize, Serialize};

use super::{
    Joined, Stage,
    loss::{Claim, is_loss},
    short,
};
use crate::{
    engine::{Engine, State},
    recovery::Offset,
    shared::Shared,
};

/// What a client has said in CONNECT that had a session before.
pub(super) struct Wanted {
    pub(super) claim: Claim,
    pub(super) query: Option<Box<str>>,
    pub(super) payload: Option<Json>,
}

/// What a session is to become that was kept.
pub(super) struct Returning {
    kept: KeptSession,
    params: Params,
    /// The client has missed what stands behind this.
    pub(super) after: Place,
    wanted: Wanted,
}

/// What gateways keep of a session beside what other servers do.
#[derive(Serialize, Deserialize)]
struct Own {
    listener: String,
    realm: RealmName,
    /// Up to here nothing in the history was for it.
    since: Option<String>,
    identity: Option<Who>,
    #[serde(default)]
    params: Vec<(String, Json)>,
}

#[derive(Serialize, Deserialize)]
struct Who {
    user: Option<Box<str>>,
    site: Option<Box<str>>,
    claims: Json,
    expiry: Option<Millis>,
    /// Whether its session ends with it.
    #[serde(default)]
    closes: bool,
}

impl Who {
    fn of(identity: &Identity) -> Self {
        let expiry = identity.expiry;
        Self {
            user: identity.user.clone(),
            site: identity.site.clone(),
            claims: identity.claims.clone(),
            expiry: expiry.map(|it| it.at),
            closes: expiry.is_some_and(|it| it.then == OnExpiry::Close),
        }
    }

    fn identity(self) -> Identity {
        let then = if self.closes {
            OnExpiry::Close
        } else {
            OnExpiry::Downgrade
        };
        Identity {
            user: self.user,
            site: self.site,
            claims: self.claims,
            expiry: self.expiry.map(|at| Expiry { at, then }),
        }
    }
}

/// Whether what happens in a realm can be found by all nodes.
fn is_shared(hub: &Hub, realm: &RealmName) -> bool {
    hub.keeping().is_some() && hub.place(realm).is_some()
}

/// Keeps a session for all nodes; whether that is done.
pub(crate) async fn keep(shared: &Shared, pid: &str, kept: &KeptSession) -> bool {
    match shared.listener.hub().keeping() {
        Some(keeping) => keeping.keep(pid, kept, shared.options.recovery).await,
        None => false,
    }
}

/// Whether a session that was kept has been taken: nobody else says so.
pub(crate) async fn is_taken(shared: &Shared, pid: &str) -> bool {
    match shared.listener.hub().keeping() {
        Some(keeping) => keeping.has(pid).await == Some(false),
        None => false,
    }
}

/// Keeps a session no longer, soon.
pub(crate) fn forget_soon(shared: &Arc<Shared>, pid: Box<str>) {
    let _inside = shared.runtime.enter();
    let hub = Arc::clone(shared.listener.hub());
    shared.tasks.spawn(async move {
        if let Some(keeping) = hub.keeping() {
            keeping.forget(&pid).await;
        }
    });
}

impl Joined {
    /// What other nodes need of it, if they can go on with it.
    pub(crate) fn kept(&self) -> Option<KeptSession> {
        let (session, relay) = self.relayed()?;
        let listener = session.listener();
        let realm = session.realm().name();
        if !is_shared(listener.hub(), realm) {
            return None;
        }
        let params = session.with_params(|params| {
            let all = params.iter();
            all.map(|(name, value)| (name.to_owned(), value.clone()))
                .collect()
        });
        let own = Own {
            listener: listener.name().to_owned(),
            realm: realm.clone(),
            since: relay.since().map(|place| place.to_string()),
            identity: session.identity().map(|identity| Who::of(&identity)),
            params,
        };
        let nothing = || Arg::Json(Json::EMPTY_OBJECT);
        Some(KeptSession {
            id: self.id,
            name: short(self.id),
            rooms: session.rooms(),
            data: self.data.as_deref().cloned().unwrap_or_else(nothing),
            own: Some(Json::encode(&own)),
        })
    }
}

impl Returning {
    /// Makes the session what it was: who it is has been decided.
    pub(super) fn enter(&self, session: &SessionRef) {
        let rooms = self.kept.rooms.iter().filter(|it| self.is_room(it));
        for room in rooms {
            if let Err(error) = session.put_into(room) {
                tracing::debug!(session = %session.id(), %room, %error, "not put into a room again");
            }
        }
        if !self.params.is_empty() && session.replace_params(self.params.clone()).is_err() {
            tracing::debug!(session = %session.id(), "it may not have its params again");
        }
    }

    /// Whether a room is one that sessions are put into: not because of who they are, nor alone.
    fn is_room(&self, room: &RoomName) -> bool {
        room.as_str() != self.kept.name && !is_identity_room(room.as_str())
    }

    /// The rooms that the session was in and is in again, and its client's name.
    fn rooms(&self, session: &SessionRef) -> Vec<RoomName> {
        let before = self.kept.rooms.iter();
        let mut rooms: Vec<_> = before.filter(|it| session.is_in(it)).cloned().collect();
        rooms.extend(RoomName::new(&self.kept.name));
        rooms
    }
}

impl Engine {
    /// Keeps its sessions for other nodes, once: this one will not be there when its client comes back.
    pub(super) fn leave_to_others(&self) {
        for joined in &mut self.state.lock().joined {
            let (Some(pid), Some(kept)) = (joined.pid.take(), joined.kept()) else {
                continue;
            };
            let shared = Arc::clone(&self.shared);
            let _inside = self.shared.runtime.enter();
            self.shared.tasks.spawn(async move {
                keep(&shared, &pid, &kept).await;
            });
        }
    }

    /// Whether other nodes may have the session that its client comes back to.
    pub(super) fn may_be_elsewhere(&self, branch: &Branch) -> bool {
        self.is_recoverable() && is_shared(self.shared.listener.hub(), branch.realm().name())
    }

    /// Takes what is kept of a session, so that no other node can have it, and goes on with it.
    pub(super) fn look_elsewhere(
        self: &Arc<Self>,
        state: &mut State,
        branch: Arc<Branch>,
        wanted: Wanted,
    ) {
        let number = state.next_number();
        let id = self.id_in(branch.namespace());
        state.joined.push(Joined::asking(number, id, None, branch));
        let engine = Arc::clone(self);
        let _inside = self.shared.runtime.enter();
        self.shared.tasks.spawn(async move {
            let hub = Arc::clone(engine.shared.listener.hub());
            let pid = Box::<str>::from(&*wanted.claim.pid);
            let taken = match hub.keeping() {
                Some(keeping) => keeping.take(&pid).await,
                None => Taken::OutOfReach,
            };
            let left = hub.turn(|| {
                let mut state = engine.state.lock();
                let left = engine.taken(&mut state, number, wanted, taken);
                engine.set_deadline(&state);
                left
            });
            if let Some(kept) = left {
                keep(&engine.shared, &pid, &kept).await;
            }
        });
    }

    /// It is known what was kept. Gives that back if the client is lost again.
    fn taken(
        self: &Arc<Self>,
        state: &mut State,
        number: u64,
        wanted: Wanted,
        taken: Taken,
    ) -> Option<KeptSession> {
        let is_it = |joined: &Joined| joined.number == number;
        let Some(at) = state.joined.iter().position(is_it) else {
            return match taken {
                Taken::Session(kept) => Some(*kept),
                Taken::Nothing | Taken::OutOfReach => None,
            };
        };
        let branch = Arc::clone(&state.joined.remove(at).branch);
        let recovery = self.shared.clients.recovery();
        let pid = &*wanted.claim.pid;
        // What was kept and is not there any more, another node has taken.
        let is_elsewhere = taken == Taken::Nothing && recovery.is_kept(pid);
        let result = match (self.unparked(pid), taken) {
            (Some(joined), _) if is_elsewhere => {
                joined.end(CloseReason::PeerGone);
                Recovery::Unknown
            }
            (Some(joined), _) => {
                self.recover(state, joined, &branch, wanted.claim.offset.as_deref())
            }
            (None, Taken::Session(kept)) => {
                match self.returning(*kept, wanted, &branch) {
                    Ok((returning, identity)) => self.restore(state, branch, returning, identity),
                    Err((result, wanted)) => self.is_new(state, branch, wanted, result),
                }
                return None;
            }
            (None, _) => Recovery::Unknown,
        };
        if result == Recovery::Recovered {
            self.wire.listener().metrics().recovery(result);
        } else {
            self.is_new(state, branch, wanted, result);
        }
        None
    }

    /// The client gets a new session after all.
    fn is_new(
        self: &Arc<Self>,
        state: &mut State,
        branch: Arc<Branch>,
        wanted: Wanted,
        result: Recovery,
    ) {
        self.wire.listener().metrics().recovery(result);
        self.connect_as_new(state, branch, wanted.query.as_deref(), wanted.payload);
    }

    /// What a session is to become, and who it was to a gateway; or why its client cannot have it.
    fn returning(
        &self,
        kept: KeptSession,
        wanted: Wanted,
        branch: &Branch,
    ) -> Result<(Returning, Option<Known>), (Recovery, Wanted)> {
        let Ok(own) = kept.own.as_ref().map(Json::decode::<Own>).transpose() else {
            return Err((Recovery::Unknown, wanted));
        };
        let listener = &self.shared.listener;
        let is_others = own.as_ref().is_some_and(|own| {
            own.listener != listener.name() || own.realm != *branch.realm().name()
        });
        if is_others || listener.hub().session(kept.id).is_some() {
            return Err((Recovery::Unknown, wanted));
        }
        let since = own.as_ref().and_then(|own| own.since.as_deref());
        let since = since.and_then(|place| place.parse().ok());
        let Some(after) = last_seen(wanted.claim.offset.as_deref(), since) else {
            return Err((Recovery::Missed, wanted));
        };
        let (known, params) = match own {
            Some(own) => (Some(own.identity.map(Who::identity)), own.params),
            None => (None, Vec::new()),
        };
        if known.as_ref().is_some_and(|who| !self.may_stay(who)) {
            return Err((Recovery::Ended, wanted));
        }
        let mut returning = Returning {
            kept,
            params: Params::default(),
            after,
            wanted,
        };
        for (name, value) in params {
            returning.params.set(&name, value);
        }
        Ok((
            returning,
            known.map(|identity| Known(identity.map(Arc::new))),
        ))
    }

    /// Whether a session may go on as who it was.
    fn may_stay(&self, identity: &Option<Identity>) -> bool {
        let must_be_somebody = self.authentication().is_some_and(|asked| asked.required);
        let Some(identity) = identity else {
            return !must_be_somebody;
        };
        identity.expiry.is_none_or(|it| it.at > Millis::now())
    }

    /// Opens the session again. Who it was to a gateway it is again; else its login decides.
    fn restore(
        self: &Arc<Self>,
        state: &mut State,
        branch: Arc<Branch>,
        returning: Returning,
        known: Option<Known>,
    ) {
        let wanted = &returning.wanted;
        let id = returning.kept.id;
        let request = self.opening(id, &branch, wanted.query.as_deref(), wanted.payload.clone());
        let owes_login = |request: &OpenRequest| known.is_none() && self.has_to_log_in(request);
        if request.as_ref().is_some_and(owes_login) {
            return self.is_new(state, branch, returning.wanted, Recovery::Unknown);
        }
        let number = state.next_number();
        let pid = Some(Box::from(&*wanted.claim.pid));
        state.joined.push(Joined {
            payload: self.kept_payload(wanted.payload.as_ref()),
            data: Some(Box::new(returning.kept.data.clone())),
            returning: Some(Box::new(returning)),
            ..Joined::asking(number, id, pid, branch)
        });
        let reception = &self.shared.reception;
        let received = match (request, known) {
            (None, _) => return self.received(state, number, Ok(self.unasked())),
            (Some(request), Some(Known(identity))) => reception.receive_as(request, identity),
            (Some(request), None) => reception.receive(request),
        };
        self.await_decision(state, number, received);
    }

    /// The session of that number is open and in its rooms: from now on nothing is missed but what is in the history.
    pub(super) fn catch_up(
        self: &Arc<Self>,
        number: u64,
        session: &SessionRef,
        returning: Box<Returning>,
    ) {
        let engine = Arc::clone(self);
        let rooms = returning.rooms(session);
        let realm = session.realm().name().clone();
        let _inside = self.shared.runtime.enter();
        self.shared.tasks.spawn(async move {
            let listener = &engine.shared.listener;
            let hub = Arc::clone(listener.hub());
            let missing = Missing {
                rooms: &rooms,
                listener: listener.name(),
                bytes: listener.limits().outbox / 2,
            };
            let history = match hub.keeping() {
                Some(keeping) => keeping.history(&realm, returning.after, missing).await,
                None => None,
            };
            let pid = Box::<str>::from(&*returning.wanted.claim.pid);
            let left = hub.turn(|| {
                let mut state = engine.state.lock();
                let left = engine.caught_up(&mut state, number, history, *returning);
                engine.set_deadline(&state);
                left
            });
            if let Some(kept) = left {
                keep(&engine.shared, &pid, &kept).await;
            }
        });
    }

    /// It is known what the client has missed. Gives back what is to be kept if it is lost again.
    fn caught_up(
        self: &Arc<Self>,
        state: &mut State,
        number: u64,
        history: Option<History>,
        returning: Returning,
    ) -> Option<KeptSession> {
        let is_it = |joined: &Joined| joined.number == number;
        let Some(at) = state.joined.iter().position(is_it) else {
            let closing = self.wire.outbox().closing();
            return closing.is_some_and(is_loss).then_some(returning.kept);
        };
        let joined = &state.joined[at];
        let greeting = self.greeting(joined);
        let is_back = joined
            .relayed()
            .zip(history)
            .is_some_and(|((session, relay), history)| {
                relay.catch_up(&self.wire, session, greeting, &history)
            });
        if is_back {
            self.wire.listener().metrics().recovery(Recovery::Recovered);
            return None;
        }
        let joined = state.joined.remove(at);
        let branch = Arc::clone(&joined.branch);
        joined.end(CloseReason::PeerGone);
        self.is_new(state, branch, returning.wanted, Recovery::Missed);
        None
    }
}

/// Who a session was to a gateway: somebody or nobody.
struct Known(Option<Arc<Identity>>);

/// Behind what a client has missed everything, by what it names and where its session has begun. Nothing if it names what
/// stands in no history, or nothing and that is not known either.
fn last_seen(offset: Option<&str>, since: Option<Place>) -> Option<Place> {
    match offset {
        Some(offset) => Some(
            Offset::read(offset)?
                .place()?
                .max(since.unwrap_or_default()),
        ),
        None => since,
    }
}

impl Joined {
    /// One about which tokens and backends are to decide.
    pub(super) fn asking(
        number: u64,
        id: SessionId,
        pid: Option<Box<str>>,
        branch: Arc<Branch>,
    ) -> Self {
        Self {
            number,
            id,
            pid,
            payload: None,
            data: None,
            returning: None,
            branch,
            stage: Stage::Asking { owes_login: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_what_a_client_has_missed_something() {
        let place = |text: &str| text.parse::<Place>().unwrap();
        let since = Some(place("5-0"));
        for (offset, since, expected) in [
            (Some("7-1"), since, Some("7-1")),
            (Some("007-0001"), since, Some("7-1")),
            (Some("3-1"), since, Some("5-0")),
            (None, since, Some("5-0")),
            (Some("7-1"), None, Some("7-1")),
            (None, None, None),
            (Some("1z"), since, None),
            (Some("?"), since, None),
        ] {
            let expected = expected.map(place);
            assert_eq!(last_seen(offset, since), expected, "{offset:?} {since:?}");
        }
    }

    #[test]
    fn who_a_session_was_is_who_it_is() {
        let identity = Identity {
            user: Some("1".into()),
            site: Some("example.com".into()),
            claims: Json::parse(r#"{"id":1}"#).unwrap(),
            expiry: Some(Expiry {
                at: Millis(7),
                then: OnExpiry::Close,
            }),
        };
        let written = Json::encode(&Who::of(&identity));
        assert_eq!(written.decode::<Who>().unwrap().identity(), identity);
    }
}
