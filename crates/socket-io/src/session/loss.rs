//! A client whose connection is lost, and its return.

use std::sync::{Arc, Weak};

use polyport_core::{Branch, CloseReason, Json, Millis, Recovery, Session, Wire};
use polyport_net::Moment;
use serde::Deserialize;
use smallvec::SmallVec;

use super::{Acks, Joined, Stage, short};
use crate::{
    codec::Revision,
    engine::{Engine, State},
    recovery::{Keeper, Offset, Relay, Since, new_pid},
};

/// What a client says in CONNECT that had a session before.
#[derive(Deserialize)]
pub(super) struct Claim {
    pub(super) pid: String,
    #[serde(default)]
    pub(super) offset: Option<String>,
}

/// Whether a client may come back whose connection was closed for this reason. Not after words that tell it not to, nor when it
/// has broken the protocol, nor when nobody will be there.
pub(super) fn is_loss(reason: CloseReason) -> bool {
    match reason {
        CloseReason::ClientLeft
        | CloseReason::PeerGone
        | CloseReason::IoError
        | CloseReason::MessageTooBig
        | CloseReason::OutboxFull
        | CloseReason::WriteTimeout
        | CloseReason::IdleTimeout => true,
        CloseReason::ProtocolError
        | CloseReason::HandshakeTimeout
        | CloseReason::Disconnected
        | CloseReason::IdentityExpired
        | CloseReason::Shutdown => false,
    }
}

impl Joined {
    /// Its session and what that is relayed by, if its client may come back.
    pub(crate) fn relayed(&self) -> Option<(&Session, &Arc<Relay>)> {
        match &self.stage {
            Stage::Open { session, relay, .. } => Some((session, relay.as_ref()?)),
            Stage::Asking { .. } | Stage::Waiting(_) => None,
        }
    }

    /// Whether it may wait for its client. One that has still to hear what it has missed elsewhere does not: that is kept
    /// elsewhere again.
    fn may_wait(&self) -> bool {
        self.relayed().is_some_and(|(_, relay)| !relay.is_held())
    }

    /// What waits in front of its relay goes on to the connection, which is then known to have it.
    pub(crate) fn pass_on(&self) {
        if let Some((session, _)) = self.relayed() {
            session.flush();
        }
    }

    /// A ping is about to go out.
    pub(crate) fn pinging(&self) {
        if let Some((_, relay)) = self.relayed() {
            relay.pinging();
        }
    }

    /// The ping's answer is there.
    pub(crate) fn ponged(&self) {
        if let Some((_, relay)) = self.relayed() {
            relay.ponged();
        }
    }

    /// Its connection is lost: what its client was asked will not be answered.
    pub(crate) fn lost(&self) {
        if let Some(acks) = self.acks() {
            acks.end();
        }
    }

    /// Ends it for the reason for which its connection has ended.
    pub(crate) fn end(self, reason: CloseReason) {
        if let Some((session, relay)) = self.relayed() {
            relay.end();
            session.close(reason);
        }
    }

    fn acks(&self) -> Option<&Acks> {
        match &self.stage {
            Stage::Open { acks, .. } => Some(acks),
            Stage::Asking { .. } | Stage::Waiting(_) => None,
        }
    }
}

impl Engine {
    /// Whether its client may come back when its connection is lost.
    pub(super) fn is_recoverable(&self) -> bool {
        self.shared.is_recoverable(self.revision)
    }

    /// What a new session of it can be found by when it is lost.
    pub(super) fn new_pid(&self) -> Option<Box<str>> {
        self.is_recoverable().then(new_pid)
    }

    /// What is between a session and its connection, and the wire for the session.
    pub(super) fn relay(
        self: &Arc<Self>,
        namespace: &str,
        pid: &str,
        since: Since,
    ) -> (Arc<Relay>, Arc<Wire>) {
        let recovery = self.shared.clients.recovery();
        recovery.carries(self, pid);
        let keeper = Arc::downgrade(recovery) as Weak<dyn Keeper>;
        Relay::new(&self.wire, namespace, pid, keeper, since)
    }

    /// Its connection has ended: if it is lost, its sessions wait for the client, as far as they may.
    pub(crate) fn park(&self) {
        let reason = self.wire.outbox().closing();
        let reason = reason.unwrap_or(CloseReason::PeerGone);
        if !self.is_recoverable() {
            return;
        }
        let is_draining = self.shared.listener.is_draining();
        if reason == CloseReason::Shutdown || (is_draining && is_loss(reason)) {
            return self.leave_to_others();
        }
        if !is_loss(reason) {
            return;
        }
        let lost: SmallVec<[Joined; 1]> = {
            let mut state = self.state.lock();
            let all = std::mem::take(&mut state.joined).into_iter();
            let (lost, others) = all.partition(Joined::may_wait);
            state.joined = others;
            lost
        };
        for joined in lost {
            let recovery = self.shared.clients.recovery();
            if let Err(joined) = recovery.park(&self.shared, joined, reason) {
                joined.end(reason);
            }
        }
    }

    /// What a client says that had a session before.
    pub(super) fn claim(&self, payload: Option<&Json>) -> Option<Claim> {
        let payload = payload.filter(|_| self.may_claim())?;
        payload.decode().ok()
    }

    /// Gives a client that comes back the session that waits for it. Whether it has one; if not, it gets a new one as
    /// everybody does.
    pub(super) fn comes_back(
        self: &Arc<Self>,
        state: &mut State,
        branch: &Arc<Branch>,
        claim: &Claim,
    ) -> bool {
        let recovered = match self.unparked(&claim.pid) {
            Some(joined) => self.recover(state, joined, branch, claim.offset.as_deref()),
            None => Recovery::Unknown,
        };
        self.wire.listener().metrics().recovery(recovered);
        recovered == Recovery::Recovered
    }

    /// The session of that pid, which waits no longer.
    pub(super) fn unparked(&self, pid: &str) -> Option<Joined> {
        let recovery = self.shared.clients.recovery();
        recovery.unpark(pid).or_else(|| {
            // Nobody has noticed yet that a polling client is gone if no request of it was cut off.
            let is_lost = recovery.end_between_polls(pid);
            is_lost.then(|| recovery.unpark(pid))?
        })
    }

    /// Whether its client's claim to a session is looked at: also where it cannot have that, which then ends instead of waiting
    /// in vain.
    fn may_claim(&self) -> bool {
        let recovery = self.shared.clients.recovery();
        self.is_recoverable() || (self.revision == Revision::V4 && !recovery.is_empty())
    }

    pub(super) fn recover(
        self: &Arc<Self>,
        state: &mut State,
        mut joined: Joined,
        branch: &Arc<Branch>,
        offset: Option<&str>,
    ) -> Recovery {
        joined.number = state.next_number();
        let recovered = self.welcome_back(&joined, branch, offset);
        if recovered == Recovery::Recovered {
            if let Stage::Open { login, .. } = &mut joined.stage {
                // It would be refused where nobody may be nobody: the listener has ceased to ask for tokens.
                *login = None;
            }
            state.joined.push(joined);
            state.connect_by = Moment::NEVER;
        } else {
            joined.end(CloseReason::PeerGone);
        }
        recovered
    }

    fn welcome_back(
        self: &Arc<Self>,
        joined: &Joined,
        branch: &Arc<Branch>,
        offset: Option<&str>,
    ) -> Recovery {
        let (Some((session, relay)), Some(acks)) = (joined.relayed(), joined.acks()) else {
            return Recovery::Unknown;
        };
        // Another one if the listener was bound anew meanwhile: then the session keeps the one that it has.
        let own = session.branch();
        let is_same = own.namespace() == branch.namespace()
            && Arc::ptr_eq(own.realm(), branch.realm())
            && acks.form() == self.form();
        if !is_same || !self.is_recoverable() {
            return Recovery::Unknown;
        }
        let expiry = session.identity().and_then(|identity| identity.expiry);
        let is_expired = expiry.is_some_and(|expiry| expiry.at <= Millis::now());
        let must_be_somebody = self.authentication().is_some_and(|asked| asked.required);
        let is_nobody = must_be_somebody && session.identity().is_none();
        if is_expired || is_nobody || session.outbox().closing().is_some() {
            return Recovery::Ended;
        }
        let sid = short(joined.id);
        let pid = Some(relay.pid());
        let greeting = self.form().connect(joined.namespace(), &sid, pid);
        // What is no offset of ours is the last word of something else: where the client stands cannot be told.
        let offset = offset.map(Offset::read);
        if offset == Some(None) {
            return Recovery::Missed;
        }
        if !relay.come_back(&self.wire, greeting, offset.flatten()) {
            return Recovery::Missed;
        }
        self.shared.clients.recovery().carries(self, relay.pid());
        acks.resume(self);
        // Who has closed it in the meantime has found no connection to close.
        session.wake();
        Recovery::Recovered
    }
}
