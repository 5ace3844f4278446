//! What stands behind one name in a listener's `backends`.

use std::sync::Arc;

use polyport_core::{
    Accepted, ActionInfo, Answer, Ask, Call, Denial, Hooks, Json, Later, OpenRequest, RealmName,
    Refused, SessionEnd, SessionId, SessionRef, Told,
};

/// One backend of a listener: the builtin actions, a script, or a service. A [`crate::Registry`] makes one of several.
pub trait Provider: Send + Sync {
    /// The actions that are known beforehand.
    fn actions(&self) -> Vec<ActionInfo>;

    /// Grows whenever [`Provider::actions`] or [`Provider::hooks`] have changed. Asked before every call, so it must be cheap.
    fn generation(&self) -> u64 {
        0
    }

    /// Whether it answers calls of `name` by this session although it is none of its actions.
    fn answers(&self, session: &SessionRef, name: &str) -> bool {
        let _ = (session, name);
        false
    }

    /// Answers a call that is one of its actions or that [`Provider::answers`]. `documentation` is that of the whole
    /// registry. Must not block.
    fn call(&self, session: &SessionRef, call: Call<'_>, documentation: &Json) -> Answer;

    /// Answers a call of another server of the cluster, as [`polyport_core::Backend::call_of_server`] does.
    fn call_of_server(&self, realm: &RealmName, call: Call<'_>) -> Option<Told> {
        let _ = (realm, call);
        None
    }

    /// What an action would see of its declared inputs.
    fn inputs(&self, call: &Call<'_>) -> Vec<(String, Json)> {
        let _ = call;
        Vec::new()
    }

    /// What it wants to be asked about or told of.
    fn hooks(&self) -> Hooks {
        Hooks::default()
    }

    /// Whether a session may open. Only with the hook `open`.
    fn open(&self, request: &Arc<OpenRequest>) -> Later<Result<Accepted, Refused>> {
        let _ = request;
        Box::pin(std::future::ready(Ok(Accepted::default())))
    }

    /// A session is open: what was sent to it before goes out now.
    fn opened(&self, session: &SessionRef) {
        let _ = session;
    }

    /// A session has ended, or never opened after it was let in or while it was asked about; perhaps one that this provider
    /// was never asked about. Must not block.
    fn close(&self, session: SessionId, end: &SessionEnd) {
        let _ = (session, end);
    }

    /// Whether a session may do something. Only with the hook for it.
    fn may(&self, session: &SessionRef, ask: &Ask) -> Later<Result<(), Denial>> {
        let _ = (session, ask);
        Box::pin(std::future::ready(Ok(())))
    }
}
