//! Starting a listener that speaks Pocketsocket.

use std::{net::SocketAddr, sync::Arc};

use http::StatusCode;
use polyport_core::{Guest, Hub, Listener, Opening, Reception, Refused, RoomName, SessionId};
use polyport_net::{
    Bind, BindError, Decision, HttpAnswer, HttpRequest, Place, Process, Server, Tasks, WsFrontEnd,
    http_answer, receive, serve_websockets,
};

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
    reception: Reception,
) -> Result<Server, BindError> {
    let bind = place.bind.clone();
    let settings = place.server.clone();
    let (listener, front_end) = prepare(
        place,
        &process.hub,
        &process.transportation.tasks,
        options,
        reception,
    );
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
    tasks: &Tasks,
    options: ChannelsOptions,
    reception: Reception,
) -> (Arc<Listener>, PocketFrontEnd) {
    let room = hub_room();
    place.join.push(room.clone());
    let listener = place.listener(hub, PROTOCOL, dialect());
    listener.set_own_room(room);
    let hub = Arc::new(PocketHub {
        options,
        backend: Arc::clone(reception.backend()),
        tasks: tasks.clone(),
    });
    (listener, PocketFrontEnd { hub, reception })
}

/// The room that holds a hub's clients. The random part keeps it the hub's own: clients of other protocols in the realm
/// cannot name it, and so neither join it nor publish to it.
fn hub_room() -> RoomName {
    let name = format!("pocketsocket:{}", SessionId::random());
    RoomName::new(&name).expect("short and not empty")
}

/// Opens a session for every client that the reception lets in.
#[derive(Debug)]
pub(crate) struct PocketFrontEnd {
    hub: Arc<PocketHub>,
    reception: Reception,
}

impl PocketFrontEnd {
    pub(crate) fn open_session(&self, opening: Opening, guest: Guest) -> PocketSession {
        PocketSession::open(Arc::clone(&self.hub), opening, guest)
    }
}

impl WsFrontEnd for PocketFrontEnd {
    type Handler = PocketSession;
    type Grant = Guest;

    /// Path and origin are nobody's business: the library is used from file pages and from other sites.
    fn decide(&self, request: HttpRequest, listener: &Arc<Listener>) -> Decision<Guest> {
        receive(&self.reception, &request, listener, refusal)
    }

    fn open(&self, opening: Opening, guest: Guest) -> PocketSession {
        self.open_session(opening, guest)
    }
}

/// The original refuses nobody, so there are no words of its own for it.
fn refusal(refused: &Refused) -> HttpAnswer {
    match refused {
        Refused::Token(_) | Refused::Nobody => http_answer(
            StatusCode::UNAUTHORIZED,
            "You may not open a session here.\n",
        ),
        Refused::Failed { .. } => http_answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The session could not be opened.\n",
        ),
        Refused::Unavailable(_) => http_answer(
            StatusCode::SERVICE_UNAVAILABLE,
            "Sessions cannot be opened now.\n",
        ),
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
