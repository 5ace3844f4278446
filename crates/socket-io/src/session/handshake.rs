//! What is kept of how a client came. Other servers may ask for it, so that it is kept only where there are others.

use polyport_core::{Handshake, Json, OpenRequest, SessionId, TokenSource};

use crate::{engine::Engine, shared::Shared};

/// Most bytes that are kept of an opening, and as many of what a client says in CONNECT.
const KEPT: usize = 4096;

/// What others may know of an opening, as text, which takes less memory. Of a long one the headers are left out.
pub(crate) fn kept(shared: &Shared, request: &OpenRequest) -> Option<Box<str>> {
    if !shared.listener.hub().is_connected() {
        return None;
    }
    let mut handshake = Handshake::without_credentials(request, sources(shared));
    within_bound(&handshake).or_else(|| {
        handshake.headers.clear();
        within_bound(&handshake)
    })
}

fn within_bound(handshake: &Handshake) -> Option<Box<str>> {
    let text = Json::encode(handshake);
    (text.len() <= KEPT).then(|| text.as_str().into())
}

fn sources(shared: &Shared) -> &[TokenSource] {
    let authentication = shared.reception.authentication();
    authentication.map_or(&[], |asked| &asked.sources)
}

impl Engine {
    /// What others may know of what a client says in CONNECT.
    pub(super) fn kept_payload(&self, payload: Option<&Json>) -> Option<Box<str>> {
        let payload = payload.filter(|_| self.shared.listener.hub().is_connected())?;
        let told = Handshake::payload(payload)?;
        (told.len() <= KEPT).then(|| told.as_str().into())
    }

    /// How the client of one of its sessions came.
    pub(super) fn handshake(&self, id: SessionId) -> Handshake {
        let opening = match (&self.request, &self.handshake) {
            (Some(request), _) => Handshake::without_credentials(request, sources(&self.shared)),
            (None, Some(kept)) => decoded(kept).unwrap_or_default(),
            (None, None) => Handshake::default(),
        };
        let state = self.state.lock();
        let joined = state.joined.iter().find(|joined| joined.id == id);
        let payload = joined.and_then(|joined| joined.payload.as_deref());
        Handshake {
            payload: payload.and_then(|text| Json::parse(text).ok()),
            ..opening
        }
    }
}

fn decoded(text: &str) -> Option<Handshake> {
    Json::parse(text).ok()?.decode().ok()
}
