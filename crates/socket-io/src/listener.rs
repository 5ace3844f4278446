//! Starting a listener that speaks Socket.IO: which requests are answered how, and who may poll or open a WebSocket.

use std::{future::ready, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::Full;
use polyport_core::{Later, Listener, OpenRequest, Opening, Reception, RefuseReason, Wire};
use polyport_net::{
    BindError, Deadlines, Decision, HttpAnswer, HttpRequest, Place, Process, Server,
    Transportation, WsFrontEnd, serve_websockets,
};

use crate::{
    answering::Answering,
    carrier::Carrier,
    client_files,
    clients::Clients,
    codec::Revision,
    dialect::{Form, PROTOCOL, SocketIoDialect},
    engine::{Beginning, Engine},
    options::{AfterRefusal, Parser, SocketIoOptions, matches},
    poll,
    shared::Shared,
    socket::Socket,
};

/// Heartbeats and ends may be late by this part of the shortest of their times.
const PRECISION: u32 = 20;

/// Adds the listener to the hub and accepts its clients. `clients` are those of the name, whom the listener has from its
/// earlier bindings.
///
/// # Errors
/// [`BindError`] when the address cannot be bound.
pub fn start(
    place: Place,
    process: &Process,
    options: SocketIoOptions,
    reception: Reception,
    clients: &Arc<Clients>,
) -> Result<Server, BindError> {
    let dialect = Arc::new(SocketIoDialect {
        namespace: "/".into(),
        form: Form::new(Revision::V4, Parser::Json),
        offsets: None,
    });
    let listener = place.listener(&process.hub, PROTOCOL, dialect);
    let tasks = process.transportation.tasks.clone();
    let shortest = shortest_time(&options, reception.authentication().is_some()) / PRECISION;
    let deadlines = if shortest >= Duration::from_millis(250) {
        process.transportation.deadlines.clone()
    } else {
        Deadlines::start_ticking(&tasks, shortest.max(Duration::from_millis(5)))
    };
    let transportation = Transportation {
        tasks: tasks.clone(),
        deadlines: deadlines.clone(),
        sockets: process.transportation.sockets.clone(),
    };
    let shared = Arc::new(Shared::new(
        options,
        Arc::clone(&listener),
        reception,
        tasks,
        deadlines,
        Arc::clone(clients),
    ));
    listener.set_connections(Arc::downgrade(&shared) as _);
    let front_end = FrontEnd(Arc::clone(&shared));
    let server = serve_websockets(
        &place.bind,
        listener,
        place.server,
        &transportation,
        front_end,
    )?;
    let clients = Arc::clone(clients);
    Ok(server.on_begin(move || clients.are_served_by(&shared)))
}

fn shortest_time(options: &SocketIoOptions, has_logins: bool) -> Duration {
    let login = &options.login;
    let after = match login.refused {
        AfterRefusal::After(time) => time,
        AfterRefusal::Confirmed | AfterRefusal::AtOnce => login.time,
    };
    let mut times = vec![options.ping_interval, options.ping_timeout];
    if has_logins {
        times.extend([login.time, after]);
    }
    times.extend(Some(options.recovery).filter(|time| !time.is_zero()));
    times.into_iter().min().unwrap_or_default()
}

struct FrontEnd(Arc<Shared>);

/// A WebSocket that is let in.
enum Grant {
    /// For a session of its own.
    New {
        revision: Revision,
        base64_only: bool,
        request: Box<OpenRequest>,
    },
    /// For one that polls.
    Upgrade(Arc<Engine>),
}

/// Why a request is refused: code, text and status of `Server.errors` in engine.io 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownTransport,
    UnknownSid,
    BadMethod,
    BadRequest,
    Forbidden,
    UnsupportedVersion,
}

impl Refusal {
    fn parts(self) -> (u8, &'static str, StatusCode) {
        let bad = StatusCode::BAD_REQUEST;
        match self {
            Self::UnknownTransport => (0, "Transport unknown", bad),
            Self::UnknownSid => (1, "Session ID unknown", bad),
            Self::BadMethod => (2, "Bad handshake method", bad),
            Self::BadRequest => (3, "Bad request", bad),
            Self::Forbidden => (4, "Forbidden", StatusCode::FORBIDDEN),
            Self::UnsupportedVersion => (5, "Unsupported protocol version", bad),
        }
    }
}

/// A refusal as JSON.
pub(crate) fn refusal(refusal: Refusal) -> HttpAnswer {
    let (code, message, status) = refusal.parts();
    let text = format!(r#"{{"code":{code},"message":"{message}"}}"#);
    answer(status, "application/json", Bytes::from(text))
}

/// The same to a client that wants a WebSocket: the bare text.
fn socket_refusal(refusal: Refusal) -> HttpAnswer {
    let (_, message, status) = refusal.parts();
    answer(status, "text/html", Bytes::from_static(message.as_bytes()))
}

/// A status alone.
pub(crate) fn empty(status: StatusCode) -> HttpAnswer {
    let mut answer = HttpAnswer::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> HttpAnswer {
    let mut answer = HttpAnswer::new(Full::new(body));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// What the query of a request says.
#[derive(Debug, Default)]
struct Query<'a> {
    transport: &'a str,
    revision: &'a str,
    sid: Option<&'a str>,
    is_base64: bool,
    /// The function that is to be called with the answer.
    jsonp: Option<&'a str>,
}

impl<'a> Query<'a> {
    fn of(uri: &'a Uri) -> Self {
        let mut query = Query::default();
        for pair in uri.query().unwrap_or_default().split('&') {
            match pair.split_once('=') {
                Some(("transport", value)) => query.transport = value,
                Some(("EIO", value)) => query.revision = value,
                Some(("sid", value)) => query.sid = Some(value),
                Some(("b64", value)) => query.is_base64 = !value.is_empty() && value != "0",
                Some(("j", value)) => query.jsonp = Some(value),
                _ => {}
            }
        }
        query
    }
}

impl FrontEnd {
    /// Who answers a request: for one of an open session the front end at which that was opened.
    fn for_request(&self, uri: &Uri) -> Self {
        let sid = Query::of(uri).sid;
        let engine = sid.and_then(|sid| self.0.clients.find(sid));
        let shared = engine.as_ref().map_or(&self.0, |engine| &engine.shared);
        Self(Arc::clone(shared))
    }

    fn is_ours(&self, path: &str) -> bool {
        let ours = &self.0.options.path;
        path.starts_with(ours.as_str()) || ours.strip_suffix('/') == Some(path)
    }

    fn revision(&self, query: &Query<'_>) -> Result<Revision, Refusal> {
        let revision = match query.revision {
            "3" => Revision::V3,
            "4" => Revision::V4,
            _ => return Err(Refusal::UnsupportedVersion),
        };
        let is_served = self.0.options.revisions.contains(&revision);
        is_served
            .then_some(revision)
            .ok_or(Refusal::UnsupportedVersion)
    }

    /// How a request of that generation is to be answered. Only generation 3 knows JSONP.
    fn answering(
        &self,
        headers: &HeaderMap,
        query: &Query<'_>,
        revision: Revision,
    ) -> Result<Answering, Refusal> {
        let options = &self.0.options;
        let jsonp = query.jsonp.filter(|_| revision == Revision::V3);
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if jsonp.is_some_and(|number| !options.jsonp || !is_number(number)) {
            return Err(Refusal::BadRequest);
        }
        Ok(Answering::new(headers, jsonp, options.compress_from))
    }

    /// The first checks, which are the same for every request.
    fn check(
        &self,
        query: &Query<'_>,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Engine>>, Refusal> {
        let options = &self.0.options;
        let is_known = match query.transport {
            "polling" => options.polling,
            "websocket" => options.websocket,
            _ => false,
        };
        if !is_known {
            return Err(Refusal::UnknownTransport);
        }
        let is_bad = |origin: &HeaderValue| origin.to_str().is_err();
        if headers.get(header::ORIGIN).is_some_and(is_bad) {
            return Err(Refusal::BadRequest);
        }
        match query.sid {
            None => Ok(None),
            Some(sid) => {
                let engine = self.0.clients.find(sid);
                engine.map(Some).ok_or(Refusal::UnknownSid)
            }
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().unwrap_or_default();
        let allowed = &self.0.options.origins;
        allowed.iter().any(|pattern| matches(pattern, origin))
    }

    /// Whether a page may open a WebSocket: browsers let every page try.
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
        let own = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"));
        self.allows(origin)
            || own.is_some_and(|(_, own)| host.map(without_port) == Some(without_port(own)))
    }

    fn readable(&self, origin: Option<&HeaderValue>, mut answer: HttpAnswer) -> HttpAnswer {
        if self.0.options.origins.is_empty() {
            return answer;
        }
        let headers = answer.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin.filter(|origin| self.allows(origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.0.options.credentials {
                let yes = HeaderValue::from_static("true");
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
        answer
    }

    async fn polling(self, request: HttpRequest) -> HttpAnswer {
        let query = Query::of(&request.head.uri);
        let engine = match self.check(&query, &request.head.headers) {
            Ok(engine) => engine,
            Err(refused) => return self.refused(&request, refused),
        };
        let Some(engine) = engine else {
            return match self.handshake(&request, &query).await {
                Ok(answer) => answer,
                Err(refused) => self.refused(&request, refused),
            };
        };
        if query.transport != "polling" || !engine.is_polling() {
            return self.refused(&request, Refusal::BadRequest);
        }
        let answering = match self.answering(&request.head.headers, &query, engine.revision) {
            Ok(answering) => answering,
            Err(refused) => return self.refused(&request, refused),
        };
        request.is_of_session();
        match request.head.method {
            Method::GET => poll::poll(&engine, &answering).await,
            Method::POST => poll::post(&engine, request, &answering).await,
            _ => empty(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn refused(&self, request: &HttpRequest, refused: Refusal) -> HttpAnswer {
        let listener = &self.0.listener;
        listener.refused(request.peer.ip(), RefuseReason::HttpRequest);
        refusal(refused)
    }

    /// A request without a session: one is opened, if it may be.
    async fn handshake(
        &self,
        request: &HttpRequest,
        query: &Query<'_>,
    ) -> Result<HttpAnswer, Refusal> {
        let shared = &self.0;
        let listener = &shared.listener;
        if request.head.method != Method::GET {
            return Err(Refusal::BadMethod);
        }
        if query.transport != "polling" {
            return Err(Refusal::BadRequest);
        }
        let revision = self.revision(query)?;
        let answering = self.answering(&request.head.headers, query, revision)?;
        if listener.is_draining() {
            return Err(Refusal::Forbidden);
        }
        let Ok(admission) = request.admit(listener) else {
            // It is counted already.
            return Ok(refusal(Refusal::Forbidden));
        };
        let engine = {
            let carrier = Arc::new(Carrier::default());
            let transport = Arc::clone(&carrier) as _;
            let wire = Wire::new(admission, request.peer, transport);
            let beginning = Beginning {
                revision,
                wire,
                carrier: Some(carrier),
                base64_only: query.is_base64 || answering.is_jsonp(),
                request: request.opening(listener),
            };
            let hub = listener.hub();
            hub.turn(|| Engine::open(shared, beginning))
        };
        let mut answer = poll::handshake(&engine, &answering).await;
        if !shared.options.cookie.is_empty() {
            let secure = if request.is_tls { "; Secure" } else { "" };
            let (name, sid) = (&shared.options.cookie, engine.sid());
            let cookie = format!("{name}={sid}; Path=/; HttpOnly; SameSite=Lax{secure}");
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                answer.headers_mut().insert(header::SET_COOKIE, cookie);
            }
        }
        Ok(answer)
    }

    /// The name of a client's file that this path asks for.
    fn file_name(&self, path: &str) -> Option<&'static str> {
        let rest = path.strip_prefix(self.0.options.path.as_str())?;
        client_files::file_name(rest)
    }

    fn preflight(&self, asked: &HeaderMap) -> HttpAnswer {
        let mut answer = empty(StatusCode::NO_CONTENT);
        let headers = answer.headers_mut();
        let methods = HeaderValue::from_static("GET,POST");
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            let vary = HeaderValue::from_static("Access-Control-Request-Headers");
            headers.append(header::VARY, vary);
        }
        answer
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

impl WsFrontEnd for FrontEnd {
    type Handler = Socket;
    type Grant = Grant;

    fn answer(&self, request: HttpRequest, listener: &Arc<Listener>) -> Later<HttpAnswer> {
        let front_end = self.for_request(&request.head.uri);
        if !front_end.is_ours(request.head.uri.path()) {
            listener.refused(request.peer.ip(), RefuseReason::HttpRequest);
            return Box::pin(ready(empty(StatusCode::NOT_FOUND)));
        }
        let origin = request.head.headers.get(header::ORIGIN).cloned();
        let options = &front_end.0.options;
        if request.head.method == Method::OPTIONS && !options.origins.is_empty() {
            let answer = front_end.preflight(&request.head.headers);
            return Box::pin(ready(front_end.readable(origin.as_ref(), answer)));
        }
        if let Some(name) = front_end.file_name(request.head.uri.path()) {
            let answer = client_files::answer(options.client_files.as_deref(), name, &request.head);
            if answer.status().is_client_error() {
                listener.refused(request.peer.ip(), RefuseReason::HttpRequest);
            }
            return Box::pin(ready(front_end.readable(origin.as_ref(), answer)));
        }
        let here = Arc::clone(&self.0);
        Box::pin(async move {
            let reading = Self(Arc::clone(&front_end.0));
            let answer = front_end.polling(request).await;
            let mut answer = reading.readable(origin.as_ref(), answer);
            if !here.clients.is_serving(&here) {
                // The listener was bound anew: the client's next request is to come there.
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(header::CONNECTION, close);
            }
            answer
        })
    }

    fn refuse(&self, status: StatusCode, text: &'static str) -> HttpAnswer {
        answer(status, "text/html", Bytes::from_static(text.as_bytes()))
    }

    fn decide(&self, request: HttpRequest, listener: &Arc<Listener>) -> Decision<Grant> {
        let refuse = |refused: Refusal| {
            listener.refused(request.peer.ip(), RefuseReason::HttpRequest);
            Decision::Now(Err(Box::new(socket_refusal(refused))))
        };
        let uri = &request.head.uri;
        let front_end = self.for_request(uri);
        if !front_end.is_ours(uri.path()) {
            listener.refused(request.peer.ip(), RefuseReason::HttpRequest);
            return Decision::Now(Err(Box::new(empty(StatusCode::NOT_FOUND))));
        }
        let query = Query::of(uri);
        let headers = &request.head.headers;
        let engine = match front_end.check(&query, headers) {
            Ok(engine) => engine,
            Err(refused) => return refuse(refused),
        };
        if query.transport != "websocket" {
            return refuse(Refusal::BadRequest);
        }
        if !front_end.lets_in(headers) || (engine.is_none() && listener.is_draining()) {
            return refuse(Refusal::Forbidden);
        }
        match engine {
            Some(engine) if engine.is_polling() && !engine.is_probing() => {
                Decision::Now(Ok(Grant::Upgrade(engine)))
            }
            Some(_) => refuse(Refusal::BadRequest),
            None => match front_end.revision(&query) {
                Ok(revision) => {
                    let base64_only = query.is_base64;
                    Decision::Now(Ok(Grant::New {
                        revision,
                        base64_only,
                        request: Box::new(request.opening(listener)),
                    }))
                }
                Err(refused) => refuse(refused),
            },
        }
    }

    fn open(&self, opening: Opening, grant: Grant) -> Socket {
        let transport = Arc::clone(&opening.transport);
        let wire = Wire::new(opening.admission, opening.peer, opening.transport);
        match grant {
            Grant::Upgrade(engine) => Socket::probing(engine, wire, transport),
            Grant::New {
                revision,
                base64_only,
                request,
            } => Socket::of(Engine::open(
                &self.0,
                Beginning {
                    revision,
                    wire,
                    carrier: None,
                    base64_only,
                    request: *request,
                },
            )),
        }
    }

    fn keeps_alive(&self) -> bool {
        true
    }

    fn is_of_session(&self, grant: &Grant) -> bool {
        matches!(grant, Grant::Upgrade(_))
    }
}
