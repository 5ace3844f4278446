//! Starting a listener that speaks socket.red: who gets a session, and what the others are told.

use std::{future::ready, sync::Arc, time::Duration};

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
        let asked = &request.head;
        let is_validating = self.0.options.validators && !wants_upgrade(&asked.headers);
        let allowed = self.allowed_origin(&asked.headers);
        match asked.method {
            Method::GET if is_validating => {
                let validating = self.validate(request, listener);
                Box::pin(async move { readable_by(allowed, validating.await) })
            }
            Method::OPTIONS if is_validating => {
                let answer = preflight(&asked.headers);
                Box::pin(ready(readable_by(allowed, answer)))
            }
            _ => {
                listener.refused(request.peer.ip(), RefuseReason::HttpRequest);
                Box::pin(ready(if wants_upgrade(&asked.headers) {
                    worded_by_status(StatusCode::BAD_REQUEST)
                } else {
                    upgrade_required()
                }))
            }
        }
    }

    fn refuse(&self, status: StatusCode, _: &'static str) -> HttpAnswer {
        worded_by_status(status)
    }

    fn decide(&self, request: HttpRequest, listener: &Arc<Listener>) -> Decision<Guest> {
        let origins = &self.0.options.origins;
        if !origins.is_empty() && !is_among(origins, request.head.headers.get(header::ORIGIN)) {
            listener.refused(request.peer.ip(), RefuseReason::Nobody);
            let answer = worded_by_status(StatusCode::FORBIDDEN);
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
    /// The decision that an opening of the same target would get. Its session ends unopened, and backends hear of that.
    fn validate(
        &self,
        request: HttpRequest,
        listener: &Arc<Listener>,
    ) -> impl Future<Output = HttpAnswer> + Send + use<> {
        let peer = request.peer;
        let listener = Arc::clone(listener);
        // A page of the gateway's own site sends no origin with a plain request.
        let decision = if request.head.headers.contains_key(header::ORIGIN) {
            self.decide(request, &listener)
        } else {
            receive(&self.0.reception, &request, &listener, worded)
        };
        async move {
            match decision.in_time(&listener, peer).await {
                Some(Ok(guest)) => json(guest.public().map_or("{}", |public| public.as_str())),
                Some(Err(refusal)) => *refusal,
                None => worded_by_status(StatusCode::SERVICE_UNAVAILABLE),
            }
        }
    }

    /// The value of `Access-Control-Allow-Origin`.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let allowed = &self.0.options.allow_origins;
        let is_allowed = allowed.iter().any(|one| one == "*") || is_among(allowed, Some(origin));
        is_allowed.then(|| origin.clone())
    }
}

fn is_among(origins: &[String], origin: Option<&HeaderValue>) -> bool {
    origin.is_some_and(|origin| {
        origins
            .iter()
            .any(|one| one.as_bytes() == origin.as_bytes())
    })
}

/// Whether a request asks for another protocol at all; the original looks at this first.
fn wants_upgrade(headers: &HeaderMap) -> bool {
    let connection = headers.get(header::CONNECTION);
    let connection = connection.and_then(|value| value.to_str().ok());
    headers.contains_key(header::UPGRADE)
        && connection.is_some_and(|value| value.to_ascii_lowercase().contains("upgrade"))
}

fn readable_by(origin: Option<HeaderValue>, mut answer: HttpAnswer) -> HttpAnswer {
    let headers = answer.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    answer
}

/// The original's words for those who get no session.
fn worded(refused: &Refused) -> HttpAnswer {
    let (status, text) = match refused {
        Refused::Nobody | Refused::Token(_) => (StatusCode::UNAUTHORIZED, "Unauthorized access"),
        Refused::Failed { text, .. } => (StatusCode::INTERNAL_SERVER_ERROR, text.as_str()),
        Refused::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text.as_str()),
    };
    if text.is_empty() {
        worded_by_status(status)
    } else {
        refusal(status, text.to_owned())
    }
}

fn worded_by_status(status: StatusCode) -> HttpAnswer {
    let text = status.canonical_reason().unwrap_or_default();
    refusal(status, text.to_owned())
}

/// Headers in the original's order; the length comes last.
fn refusal(status: StatusCode, text: String) -> HttpAnswer {
    let mut answer = HttpAnswer::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
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
