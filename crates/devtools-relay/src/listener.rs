//! Starting a listener that speaks SocketCluster: which requests are answered how, and who may open a connection.

use std::{future::ready, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::Full;
use polyport_core::{
    Guest, Later, Listener, OpenRequest, Opening, Received, Reception, RefuseReason, Refused,
    SessionId,
};
use polyport_net::{
    Bind, BindError, Deadlines, Decision, HttpAnswer, HttpRequest, Place, Process, Server,
    WsFrontEnd, http_answer, serve_websockets,
};

use crate::{
    client::{Client, Connection, Grant},
    dialect::{PROTOCOL, dialect},
    options::{AskBackends, DevtoolsOptions},
    origins::Origins,
    page::{Page, PageError},
    relay::{RecorderError, Relay, RelayOptions},
    reports::{ReportsDoor, ReportsError, forget_old},
    shared::{Relaying, Shared},
};

/// Heartbeats and ends may be late by this part of the shortest of their times.
const PRECISION: u32 = 20;

/// Adds the listener to the hub and accepts its clients. Sensible bounds of a message are up to
/// [`crate::DEFAULT_MESSAGE_LIMIT`].
///
/// `relay` is who is there and what is kept, which stays when the listener is bound anew.
///
/// # Errors
/// [`StartError`] when the address cannot be bound, or the store of reports not opened.
pub fn start(
    place: Place,
    process: &Process,
    options: DevtoolsOptions,
    reception: Reception,
    relay: &Arc<Relay>,
) -> Result<Server, StartError> {
    let relaying = options
        .relay
        .as_ref()
        .map(|it| relaying(relay, it, &options.path));
    let relaying = relaying.transpose()?;
    let listener = place.listener(&process.hub, PROTOCOL, dialect(options.codec));
    let common = &process.transportation;
    let origins = Origins::new(
        &options.origins,
        &place.bind,
        options.access.team_hosts.as_deref(),
    );
    let shared = Arc::new(Shared::new(
        options.clone(),
        origins,
        Arc::clone(&listener),
        reception,
        common.tasks.clone(),
        deadlines(&options, process),
        relaying,
    ));
    if shared.relaying.is_some() {
        let stopping = common.tasks.stopping();
        let housekeeping = forget_old(Arc::downgrade(&shared));
        let housekeeping = async move { stopping.run_until_cancelled(housekeeping).await };
        common.tasks.spawn(housekeeping);
        common.tasks.spawn(prepare_page(Arc::clone(&shared)));
    }
    warn_of_strangers(&place, &options, &shared);
    listener.set_connections(Arc::downgrade(&shared) as _);
    Ok(serve_websockets(
        &place.bind,
        listener,
        place.server,
        common,
        FrontEnd(shared),
    )?)
}

/// Why a listener was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store of reports cannot be opened.
    #[error(transparent)]
    Reports(#[from] ReportsError),
    /// What apps say cannot be recorded.
    #[error("devtools.recordings")]
    Recordings(#[from] RecorderError),
    /// The folder with the page is none.
    #[error("devtools.page")]
    Page(#[from] PageError),
}

fn relaying(
    relay: &Arc<Relay>,
    options: &RelayOptions,
    path: &str,
) -> Result<Relaying, StartError> {
    Ok(Relaying {
        page: match &options.page {
            Some(folder) => Page::load(folder)?,
            None => Page::own(path),
        },
        reports: relay.open_reports(&options.reports)?,
        recorder: relay.open_recorder(options.recordings.as_ref())?,
        relay: Arc::clone(relay),
        options: options.clone(),
        http: ReportsDoor::default(),
    })
}

/// Packs what the page consists of before somebody waits for it.
async fn prepare_page(shared: Arc<Shared>) {
    if let Some(relaying) = &shared.relaying {
        let stopping = shared.tasks.stopping();
        stopping.run_until_cancelled(relaying.page.prepare()).await;
    }
}

/// Monitors have apps run code, and see what is inside of them: whoever can connect to a relay without a name may do so.
fn warn_of_strangers(place: &Place, options: &DevtoolsOptions, shared: &Shared) {
    let is_far = match &place.bind {
        Bind::Tcp(address) => !IpAddr::is_loopback(&address.ip()),
        Bind::Unix(_) => false,
    };
    let is_asking = shared
        .reception
        .authentication()
        .is_some_and(|it| it.required);
    let is_open = options.access.users.is_empty() && options.access.rights_claim.is_none();
    if is_far && options.relay.is_some() && is_open && !is_asking {
        tracing::warn!(
            listener = place.name,
            address = %place.bind,
            "everybody who reaches this address can read the state of apps and have them run code: set `devtools.users`, or bind a loopback address"
        );
    }
}

/// The common ticker, unless its steps are long for the times that are wanted.
fn deadlines(options: &DevtoolsOptions, process: &Process) -> Deadlines {
    let times = [
        options.ping_interval,
        options.ping_timeout,
        options.ack_timeout,
        options.handshake_timeout,
    ];
    let shortest = times.into_iter().min().unwrap_or_default() / PRECISION;
    let common = &process.transportation;
    if shortest >= Duration::from_millis(250) {
        common.deadlines.clone()
    } else {
        Deadlines::start_ticking(&common.tasks, shortest.max(Duration::from_millis(5)))
    }
}

struct FrontEnd(Arc<Shared>);

impl FrontEnd {
    /// Answers a plain request.
    fn page(&self, uri: &Uri) -> HttpAnswer {
        if uri.path() != self.0.options.path {
            return http_answer(StatusCode::NOT_FOUND, "Not Found");
        }
        let text = "This address speaks WebSocket: open it with a SocketCluster client.\n";
        let mut answer = http_answer(StatusCode::UPGRADE_REQUIRED, text);
        let upgrade = HeaderValue::from_static("websocket");
        answer.headers_mut().insert(header::UPGRADE, upgrade);
        answer
    }

    /// Whether an opening may go on; if not, the original's words.
    fn check(&self, request: &HttpRequest) -> Result<(), Box<HttpAnswer>> {
        if request.head.uri.path() != self.0.options.path {
            self.count(request, RefuseReason::HttpRequest);
            let answer = http_answer(StatusCode::BAD_REQUEST, "Bad Request");
            return Err(Box::new(answer));
        }
        self.0
            .origins
            .check(&request.head.headers)
            .map_err(|origin| {
                self.count(request, RefuseReason::Nobody);
                Box::new(forbidden(&origin))
            })
    }

    /// Asks tokens of the address and headers, and backends, before the WebSocket is there.
    fn ask_backends(&self, grant: Grant) -> Decision<Grant> {
        let Some(opening) = grant.request.clone() else {
            return Decision::Now(Ok(grant));
        };
        let (reception, listener) = (&self.0.reception, Arc::clone(&self.0.listener));
        let peer = opening.peer.ip();
        let sources = reception.authentication().map(|it| &it.sources);
        // Who shows no token yet may do so in the handshake.
        let received = match sources.and_then(|sources| opening.token(sources)) {
            Some(token) => reception.receive_bearer(*opening, &token),
            None => reception.receive_nobody(*opening),
        };
        let granted = move |received: Result<Guest, Refused>| match received {
            Ok(guest) => Ok(Grant {
                guest: Some(guest),
                ..grant
            }),
            Err(no) => {
                listener.refused(peer, no.reason());
                Err(Box::new(refused(&no)))
            }
        };
        match received {
            Received::Now(received) => Decision::Now(granted(received)),
            Received::Later(deciding) => {
                Decision::Later(Box::pin(async move { granted(deciding.await) }))
            }
        }
    }

    fn count(&self, request: &HttpRequest, reason: RefuseReason) {
        self.0.listener.refused(request.peer.ip(), reason);
    }
}

fn forbidden(origin: &str) -> HttpAnswer {
    let text = format!("Failed to authorize socket handshake - Invalid origin: {origin}");
    let mut answer = HttpAnswer::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = StatusCode::FORBIDDEN;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// What a backend's no is over HTTP; the texts are those of the errors.
fn refused(refused: &Refused) -> HttpAnswer {
    let (status, text) = match refused {
        Refused::Nobody => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Refused::Token(error) => (StatusCode::UNAUTHORIZED, error.message.as_str()),
        // The original has no other status for what its middleware refuses.
        Refused::Failed { text, .. } => (StatusCode::UNAUTHORIZED, text.as_str()),
        Refused::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text.as_str()),
    };
    let mut answer = http_answer(status, "");
    *answer.body_mut() = Full::new(Bytes::copy_from_slice(text.as_bytes()));
    answer
}

impl WsFrontEnd for FrontEnd {
    type Handler = Connection;
    type Grant = Grant;

    fn answer(&self, request: HttpRequest, listener: &Arc<Listener>) -> Later<HttpAnswer> {
        if self.0.relaying.is_none() {
            listener.refused(request.peer.ip(), RefuseReason::HttpRequest);
            return Box::pin(ready(self.page(&request.head.uri)));
        }
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            match &shared.relaying {
                Some(relaying) if matches!(request.head.method, Method::GET | Method::HEAD) => {
                    relaying.page.show(&shared, &request).await
                }
                Some(relaying) => relaying.http.answer(&shared, request).await,
                None => http_answer(StatusCode::NOT_FOUND, "Not Found\n"),
            }
        })
    }

    /// Who somebody is shows at the handshake, where backends are asked too unless it is to be here.
    fn decide(&self, request: HttpRequest, listener: &Arc<Listener>) -> Decision<Grant> {
        if let Err(answer) = self.check(&request) {
            return Decision::Now(Err(answer));
        }
        let access = match self.0.entrance(&request) {
            Ok(access) => access,
            Err(answer) => return Decision::Now(Err(answer)),
        };
        let branch = self.0.team(&access).cloned();
        // No room is called as a client calls itself: it may subscribe to a channel of that name.
        let id = SessionId::random_unnamed();
        let is_kept = !self.0.reception.is_open_door();
        let opening = is_kept.then(|| {
            Box::new(OpenRequest {
                id,
                branch,
                ..request.opening(listener)
            })
        });
        let grant = Grant {
            id,
            request: opening,
            access,
            guest: None,
        };
        match self.0.options.ask_backends {
            AskBackends::Handshake => Decision::Now(Ok(grant)),
            AskBackends::Upgrade => self.ask_backends(grant),
        }
    }

    /// The original takes the first that is offered.
    fn subprotocol(&self, offered: &HeaderMap) -> Option<HeaderValue> {
        let offered = offered.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
        let first = offered.split(',').next()?.trim();
        HeaderValue::from_str(first)
            .ok()
            .filter(|first| !first.is_empty())
    }

    fn open(&self, opening: Opening, grant: Grant) -> Connection {
        Connection(Client::open(&self.0, opening, grant))
    }
}
