//! Starting a listener that speaks Pocketsocket.

use std::{net::SocketAddr, sync::Arc};

use http::request::Parts;
use polyport_core::{Hub, Listener, Opening, RoomName, SessionId};
use polyport_net::{Bind, BindError, Place, Process, Server, WsFrontEnd, serve_websockets};

use crate::{
    ChannelsOptions,
    dialect::{PROTOCOL, dialect},
    session::{PocketHub, PocketSession},
};

/// Adds the listener to the hub and accepts its clients. Sensible bounds of a message are up to
/// [`crate::DEFAULT_MESSAGE_LIMIT`].
///
/// # Errors
/// [`BindError`] when the address cannot be bound.
pub fn start(
    place: Place,
    process: &Process,
    options: ChannelsOptions,
) -> Result<Server, BindError> {
    let bind = place.bind.clone();
    let settings = place.server.clone();
    let (listener, front_end) = prepare(place, &process.hub, options);
    serve_websockets(
        &bind,
        listener,
        settings,
        &process.transportation,
        front_end,
    )
}

/// What the original prints when it is ready: `Ready 127.0.0.1 8001`. For a verbose listener's standard output.
#[must_use]
pub fn ready_line(local: &Bind) -> String {
    match local {
        Bind::Tcp(address) => ready_on(*address),
        Bind::Unix(_) => format!("Ready {local}"),
    }
}

fn ready_on(address: SocketAddr) -> String {
    format!("Ready {} {}", address.ip(), address.port())
}

/// The core's listener, and the front end that belongs to it.
pub(crate) fn prepare(
    mut place: Place,
    hub: &Arc<Hub>,
    options: ChannelsOptions,
) -> (Arc<Listener>, PocketFrontEnd) {
    let room = hub_room();
    place.join.push(room.clone());
    let listener = place.listener(hub, PROTOCOL, dialect());
    let hub = Arc::new(PocketHub { room, options });
    (listener, PocketFrontEnd { hub })
}

/// The room that holds a hub's clients. The random part keeps it the hub's own: clients of other protocols in the realm
/// cannot name it, and so neither join it nor publish to it.
fn hub_room() -> RoomName {
    let name = format!("pocketsocket:{}", SessionId::random());
    RoomName::new(&name).expect("short and not empty")
}

/// Opens a session for every client.
#[derive(Debug)]
pub(crate) struct PocketFrontEnd {
    hub: Arc<PocketHub>,
}

impl PocketFrontEnd {
    pub(crate) fn open_session(&self, opening: Opening) -> PocketSession {
        PocketSession::open(Arc::clone(&self.hub), opening)
    }
}

impl WsFrontEnd for PocketFrontEnd {
    type Handler = PocketSession;

    /// Path, query and origin are nobody's business: the library is used from file pages and from other sites.
    fn open(&self, opening: Opening, _: &Parts) -> PocketSession {
        self.open_session(opening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_lines() {
        let tcp = |text: &str| ready_line(&Bind::Tcp(text.parse().unwrap()));
        assert_eq!(tcp("127.0.0.1:8001"), "Ready 127.0.0.1 8001");
        assert_eq!(tcp("[::1]:8001"), "Ready ::1 8001");
        let unix = ready_line(&Bind::Unix("run/pocket.sock".into()));
        assert_eq!(unix, "Ready unix:run/pocket.sock");
    }
}
