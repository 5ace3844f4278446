//! Starting a listener that speaks socket.red: who gets a session, and what the others are told.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use polyport_core::{Guest, Later, Listener, Opening, Reception, RefuseReason, Refused};
use polyport_net::{
    BindError, Decision, HttpAnswer, HttpRequest, Place, Process, Server, Tasks, WsFrontEnd,
    receive, serve_websockets,
};

use crate::{
    dialect::{PROTOCOL, dialect},
    session::RpcSession,
};

/// What a listener of this protocol can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcOptions {
    /// Time between pings; a client that has not answered by the next one is cut. Zero is none.
    pub heartbeat: Duration,
    /// Answers a plain `GET` from the decision about a session, for clients that validate before they connect.
    pub validators: bool,
    /// Origins whose pages may read such answers; `*` is any.
    pub allow_origins: Vec<String>,
    /// Origins whose pages may connect. Empty: any, and clients without one.
    pub origins: Vec<String>,
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            validators: false,
            allow_origins: vec!["*".to_owned()],
            origins: Vec::new(),
        }
    }
}

/// What the sessions of a listener share.
pub(crate) struct Shared {
    pub(crate) options: RpcOptions,
    pub(crate) reception: Reception,
    pub(crate) tasks: Tasks,
}

/// Adds the listener to the hub and accepts its clients.
///
/// # Errors
/// [`BindError`] when the address cannot be bound.
pub fn start(
    place: Place,
    process: &Process,
    options: RpcOptions,
    reception: Reception,
) -> Result<Server, BindError> {
    let listener = place.listener(&process.hub, PROTOCOL, dialect());
    let front_end = FrontEnd(Arc::new(Shared {
        options,
        reception,
        tasks: process.transportation.tasks.clone(),
    }));
    serve_websockets(
        &place.bind,
        listener,
        place.server,
        &process.transportation,
        front_end,
    )
}

pub(crate) struct FrontEnd(pub(crate) Arc<Shared>);

impl WsFrontEnd for FrontEnd {
    type Handler = RpcSession;
    type Grant = Guest;

    fn answer(&self, request: HttpRequest, listener: &Arc<Listener>) -> Later<HttpAnswer> {
        if !self.0.options.validators {
            return Box::pin(std::future::ready(upgrade_required()));
        }
        let allowed = self.allowed_origin(&request.head.headers);
        let answer: Later<HttpAnswer> = match request.head.method {
            Method::GET => {
                let decision = self.decide(request, listener);
                Box::pin(async move {
                    let decided = match decision {
                        Decision::Now(decided) => decided,
                        Decision::Later(deciding) => deciding.await,
                    };
                    match decided {
                        Ok(guest) => json(guest.public().map_or("{}", |public| public.as_str())),
                        Err(refusal) => *refusal,
                    }
                })
            }
            Method::OPTIONS => Box::pin(std::future::ready(preflight(&request.head.headers))),
            _ => Box::pin(std::future::ready(upgrade_required())),
        };
        Box::pin(async move {
            let mut answer = answer.await;
            if let Some(origin) = allowed {
                let headers = answer.headers_mut();
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(header::VARY, HeaderValue::from_static("Origin"));
            }
            answer
        })
    }

    fn refuse(&self, status: StatusCode, _: &'static str) -> HttpAnswer {
        let text = status.canonical_reason().unwrap_or_default();
        refusal(status, text.to_owned())
    }

    fn decide(&self, request: HttpRequest, listener: &Arc<Listener>) -> Decision<Guest> {
        if !self.is_welcome(&request.head.headers) {
            listener.refused(request.peer.ip(), RefuseReason::Nobody);
            let answer = refusal(StatusCode::FORBIDDEN, "Forbidden".to_owned());
            return Decision::Now(Err(Box::new(answer)));
        }
        receive(&self.0.reception, &request, listener, worded)
    }

    /// The original echoes the first that is offered.
    fn subprotocol(&self, offered: &HeaderMap) -> Option<HeaderValue> {
        let offered = offered.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
        let first = offered.split(',').next()?.trim();
        HeaderValue::from_str(first)
            .ok()
            .filter(|first| !first.is_empty())
    }

    fn open(&self, opening: Opening, guest: Guest) -> RpcSession {
        RpcSession::open(Arc::clone(&self.0), opening, guest)
    }
}

impl FrontEnd {
    fn is_welcome(&self, headers: &HeaderMap) -> bool {
        let origins = &self.0.options.origins;
        let origin = headers
            .get(header::ORIGIN)
            .and_then(|origin| origin.to_str().ok());
        origins.is_empty() || origin.is_some_and(|origin| origins.iter().any(|one| one == origin))
    }

    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let allowed = &self.0.options.allow_origins;
        let is_allowed = allowed
            .iter()
            .any(|one| one == "*" || one.as_bytes() == origin.as_bytes());
        is_allowed.then(|| origin.clone())
    }
}

/// The original's words for those who get no session.
fn worded(refused: &Refused) -> HttpAnswer {
    match refused {
        Refused::Nobody | Refused::Token(_) => {
            refusal(StatusCode::UNAUTHORIZED, "Unauthorized access".to_owned())
        }
        Refused::Failed(text) if text.is_empty() => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal Server Error".to_owned(),
        ),
        Refused::Failed(text) => refusal(StatusCode::INTERNAL_SERVER_ERROR, text.clone()),
        Refused::Unavailable(text) => refusal(StatusCode::SERVICE_UNAVAILABLE, text.clone()),
    }
}

fn refusal(status: StatusCode, text: String) -> HttpAnswer {
    let mut answer = HttpAnswer::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let html = HeaderValue::from_static("text/html");
    answer.headers_mut().insert(header::CONTENT_TYPE, html);
    answer
}

/// Of `ws`, on which the original stands.
fn upgrade_required() -> HttpAnswer {
    let mut answer = HttpAnswer::new(Full::new(Bytes::from_static(b"Upgrade Required")));
    *answer.status_mut() = StatusCode::UPGRADE_REQUIRED;
    let plain = HeaderValue::from_static("text/plain");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

fn json(text: &str) -> HttpAnswer {
    let mut answer = HttpAnswer::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Browsers ask beforehand when a page sends headers of its own.
fn preflight(asked: &HeaderMap) -> HttpAnswer {
    let mut answer = HttpAnswer::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET"),
    );
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    answer
}
