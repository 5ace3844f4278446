//! HTTP/1.1 in front of WebSocket: the opening handshake, and answers to whatever else arrives.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts,
};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response, body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use polyport_core::{
    Admission, Guest, Later, Listener, OpenRequest, Opening, Peer, Received, Reception,
    RefuseReason, Refused, SessionId,
    trace::{ParentTrust, TraceContext},
};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    Bind, BindError, Connection, LinkOptions, Server, ServerSettings, Transportation, WsHandler,
    WsMessages,
    connection::Io,
    parent::{heed_parent, trace_of},
    server::{Accepted, within},
    stream::{PlainStream, Rewound},
};

/// Longest request head, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// How long a body that nobody wants is read on, and how much of it.
const UNWANTED_TIME: Duration = Duration::from_secs(2);
const UNWANTED_BYTES: usize = 64 << 20;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;

/// An answer that is no upgrade.
pub type HttpAnswer = Response<Full<Bytes>>;

/// A request that arrived at a listener, before anything is granted.
#[derive(Debug)]
pub struct HttpRequest {
    /// Method, target, version and headers.
    pub head: Parts,
    /// The other end.
    pub peer: Peer,
    /// Whether the link is encrypted.
    pub is_tls: bool,
    /// The id that a session of this connection will have.
    pub id: SessionId,
    /// What comes behind the head; nothing if it asks for a WebSocket.
    pub body: Option<Incoming>,
    /// How its connection stands.
    standing: Arc<Mutex<Standing>>,
}

impl HttpRequest {
    /// A place for a session that this request opens.
    ///
    /// # Errors
    /// [`RefuseReason`]; it is counted.
    pub fn admit(&self, listener: &Arc<Listener>) -> Result<Admission, RefuseReason> {
        let mut admission = admit(listener, self.peer)?;
        if let Some(trace) = self.trace(listener) {
            admission.follow(trace);
        }
        Ok(admission)
    }

    /// The trace that this request belongs to, where traces are of interest.
    fn trace(&self, listener: &Listener) -> Option<TraceContext> {
        if !listener.hub().tracer().is_on() {
            return None;
        }
        trace_of(&self.head.headers)
    }

    /// This request belongs to an open session, which has a place already: until it is answered its connection needs none.
    pub fn is_of_session(&self) {
        let mut standing = self.standing.lock();
        standing.place = None;
        standing.has_served = true;
    }

    /// The request as tokens and backends see it. Header values that are no text are left out.
    #[must_use]
    pub fn opening(&self, listener: &Arc<Listener>) -> OpenRequest {
        let headers = self.head.headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        });
        OpenRequest {
            id: self.id,
            listener: Arc::clone(listener),
            peer: self.peer,
            is_tls: self.is_tls,
            target: self
                .head
                .uri
                .path_and_query()
                .map(|target| target.as_str().to_owned())
                .unwrap_or_default(),
            headers: headers.collect(),
            identity: None,
            branch: None,
            payload: None,
        }
    }
}

/// Reads the rest of a body that nobody wants, within bounds: a client that is still sending when its connection closes gets a
/// reset in place of the answer.
pub async fn throw_away(mut body: Incoming) {
    let rest = async {
        let mut left = UNWANTED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Who takes longer is cut.
    let _ = timeout(UNWANTED_TIME, rest).await;
}

/// How a connection stands among those that are allowed.
#[derive(Debug)]
struct Standing {
    /// The place of its session; where it may serve many, its own while it serves none.
    place: Option<Admission>,
    /// A request was answered well, or belongs to a session: its end is no refusal.
    has_served: bool,
}

fn admit(listener: &Arc<Listener>, peer: Peer) -> Result<Admission, RefuseReason> {
    let mut admission = listener.admit(peer.ip())?;
    if let Some(address) = peer.ip() {
        admission.count_address(address)?;
    }
    Ok(admission)
}

/// What becomes of an opening, at once or later.
pub enum Decision<T> {
    /// At once.
    Now(Result<T, Box<HttpAnswer>>),
    /// Later; the client waits for its answer until then, but no longer than the listener's handshake and call limits.
    Later(Later<Result<T, Box<HttpAnswer>>>),
}

impl<T> Decision<T> {
    /// What is decided within the listener's time of a call. `None`, and counted as a refusal of `peer`, when it takes
    /// longer.
    pub async fn in_time(
        self,
        listener: &Listener,
        peer: Peer,
    ) -> Option<Result<T, Box<HttpAnswer>>> {
        let decided = match self {
            Self::Now(decided) => Some(decided),
            Self::Later(deciding) => within(listener.limits().call, deciding).await,
        };
        if decided.is_none() {
            listener.refused(peer.ip(), RefuseReason::BackendUnavailable);
        }
        decided
    }
}

/// A protocol that speaks WebSocket.
pub trait WsFrontEnd: Send + Sync + 'static {
    /// What serves one connection.
    type Handler: WsHandler;

    /// What an opening that is granted carries into its session.
    type Grant: Send + 'static;

    /// Answers a request that does not ask for a WebSocket, and so is none of this protocol's business, and counts what it
    /// refuses. By default 426 to a plain `GET` and 400 to the rest.
    fn answer(&self, request: HttpRequest, listener: &Arc<Listener>) -> Later<HttpAnswer> {
        listener.refused(request.peer.ip(), RefuseReason::HttpRequest);
        let answer = if request.head.method == Method::GET {
            let mut answer = http_answer(
                StatusCode::UPGRADE_REQUIRED,
                "This address speaks WebSocket: open it with a WebSocket client.\n",
            );
            let upgrade = HeaderValue::from_static("websocket");
            answer.headers_mut().insert(header::UPGRADE, upgrade);
            answer
        } else {
            http_answer(
                StatusCode::BAD_REQUEST,
                "A WebSocket opening was expected.\n",
            )
        };
        Box::pin(std::future::ready(answer))
    }

    /// Words an opening that is refused: it is malformed, or no decision came in time.
    fn refuse(&self, status: StatusCode, text: &'static str) -> HttpAnswer {
        http_answer(status, text)
    }

    /// Whether the client may have a session. The request is answered only when this is decided.
    fn decide(&self, request: HttpRequest, listener: &Arc<Listener>) -> Decision<Self::Grant>;

    /// Whether connections go on after requests that were answered well, or with 413, without a bound on their time. Such requests must
    /// belong to sessions ([`HttpRequest::admit`], [`HttpRequest::is_of_session`]). Places are then taken by sessions when
    /// they open, not by connections; those that serve none are bounded by themselves ([`Listener::admit_connection`]).
    fn keeps_alive(&self) -> bool {
        false
    }

    /// Whether what is granted belongs to a session that is open and has a place. Asked only where connections go on.
    fn is_of_session(&self, grant: &Self::Grant) -> bool {
        let _ = grant;
        false
    }

    /// The value of `Sec-WebSocket-Protocol` to answer with; it must be one that the client offers.
    fn subprotocol(&self, offered: &HeaderMap) -> Option<HeaderValue> {
        let _ = offered;
        None
    }

    /// Opens a session for a request whose upgrade has been granted.
    fn open(&self, opening: Opening, grant: Self::Grant) -> Self::Handler;
}

/// Lets tokens and backends decide an opening. A refusal is counted and worded by `word`.
#[must_use]
pub fn receive(
    reception: &Reception,
    request: &HttpRequest,
    listener: &Arc<Listener>,
    word: fn(&Refused) -> HttpAnswer,
) -> Decision<Guest> {
    if reception.is_open_door() {
        return Decision::Now(Ok(Guest::default()));
    }
    let counted = Arc::clone(listener);
    let peer = request.peer.ip();
    let refuse = move |refused: Refused| {
        counted.refused(peer, refused.reason());
        Box::new(word(&refused))
    };
    match reception.receive(request.opening(listener)) {
        Received::Now(received) => Decision::Now(received.map_err(refuse)),
        Received::Later(deciding) => {
            Decision::Later(Box::pin(async move { deciding.await.map_err(refuse) }))
        }
    }
}

/// A plain-text answer.
#[must_use]
pub fn http_answer(status: StatusCode, text: &'static str) -> HttpAnswer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

/// Serves a protocol on WebSocket.
///
/// # Errors
/// [`BindError`] when the address cannot be bound.
pub fn serve_websockets<F: WsFrontEnd>(
    bind: &Bind,
    listener: Arc<Listener>,
    settings: ServerSettings,
    common: &Transportation,
    front_end: F,
) -> Result<Server, BindError> {
    let front_end = Arc::new(front_end);
    let shared = common.clone();
    let admit = if front_end.keeps_alive() {
        Listener::admit_connection
    } else {
        Listener::admit
    };
    Server::start(bind, listener, settings, common, admit, move |accepted| {
        let serving = serve(accepted, Arc::clone(&front_end), shared.clone());
        shared.tasks.spawn(serving);
    })
}

/// Answers requests until one is an opening, whose connection then goes on in a task of its own.
async fn serve<F: WsFrontEnd>(accepted: Accepted, front_end: Arc<F>, common: Transportation) {
    let Accepted {
        io,
        peer,
        admission,
        first,
        accepted_at,
        traceparent,
    } = accepted;
    let listener = Arc::clone(admission.listener());
    let handshake = listener.limits().handshake;
    let is_bounded = !handshake.is_zero();
    let handshake = handshake.saturating_sub(accepted_at.elapsed());
    if is_bounded && handshake.is_zero() {
        listener.refused(peer.ip(), RefuseReason::HandshakeTimeout);
        return;
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .auto_date_header(false)
        .title_case_headers(true);
    if is_bounded {
        http.header_read_timeout(handshake);
    }
    // Who goes on is bounded from one head to the next.
    let longest = if front_end.keeps_alive() {
        Duration::ZERO
    } else {
        handshake
    };
    let stopping = common.tasks.stopping();
    let standing = Arc::new(Mutex::new(Standing {
        place: Some(admission),
        has_served: false,
    }));
    let door = Arc::new(Door {
        standing: Arc::clone(&standing),
        peer,
        is_tls: matches!(io, Io::Tls(_)),
        listener: Arc::clone(&listener),
        traceparent,
        front_end,
        common,
    });
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = on_request(request, Arc::clone(&door));
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let outcome = match io {
        Io::Plain(stream) => {
            let stream = TokioIo::new(Rewound::new(stream, first));
            let mut serving = pin!(http.serve_connection(stream, service).with_upgrades());
            let serving = async {
                tokio::select! {
                    served = serving.as_mut() => return served,
                    () = stopping.cancelled() => serving.as_mut().graceful_shutdown(),
                }
                serving.await
            };
            within(longest, serving).await
        }
        Io::Tls(stream) => {
            let mut serving = pin!(
                http.serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
            );
            let serving = async {
                tokio::select! {
                    served = serving.as_mut() => return served,
                    () = stopping.cancelled() => serving.as_mut().graceful_shutdown(),
                }
                serving.await
            };
            within(longest, serving).await
        }
    };
    let has_served = standing.lock().has_served;
    match outcome {
        Some(Ok(())) => {}
        // It was idle, or its client has gone.
        Some(Err(error)) if has_served && !error.is_parse() => {}
        Some(Err(error)) if error.is_timeout() => {
            listener.refused(peer.ip(), RefuseReason::HandshakeTimeout);
        }
        Some(Err(_)) => listener.refused(peer.ip(), RefuseReason::HttpRequest),
        None => listener.refused(peer.ip(), RefuseReason::HandshakeTimeout),
    }
}

/// What all requests of one connection share.
struct Door<F> {
    standing: Arc<Mutex<Standing>>,
    peer: Peer,
    is_tls: bool,
    listener: Arc<Listener>,
    traceparent: ParentTrust,
    front_end: Arc<F>,
    common: Transportation,
}

impl<F: WsFrontEnd> Door<F> {
    /// Whether the connection goes on behind an answer of that status. It is counted from here on, whatever it served.
    fn keeps(&self, status: StatusCode) -> bool {
        let mut standing = self.standing.lock();
        let address = self.peer.ip();
        let place = standing
            .place
            .get_or_insert_with(|| self.listener.readmit_connection(address));
        // A session goes on behind a request that was too large.
        let is_well = status.is_success() || status == StatusCode::PAYLOAD_TOO_LARGE;
        let goes_on = self.front_end.keeps_alive() && is_well && place.may_idle();
        standing.has_served |= goes_on;
        goes_on
    }

    /// The place that a WebSocket takes along: one for its session, or that of the connection.
    fn admit(&self, grant: &F::Grant) -> Result<Admission, RefuseReason> {
        let front_end = &self.front_end;
        let needs_place = front_end.keeps_alive() && !front_end.is_of_session(grant);
        let own = needs_place.then(|| admit(&self.listener, self.peer));
        let own = own.transpose()?;
        let held = self.standing.lock().place.take();
        let place = own.or(held);
        place.map_or_else(|| admit(&self.listener, self.peer), Ok)
    }
}

async fn on_request<F: WsFrontEnd>(
    mut request: Request<Incoming>,
    door: Arc<Door<F>>,
) -> HttpAnswer {
    let upgrade = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    heed_parent(&mut head.headers, &door.listener, door.traceparent);
    let mut request = HttpRequest {
        head,
        peer: door.peer,
        is_tls: door.is_tls,
        id: SessionId::random(),
        body: None,
        standing: Arc::clone(&door.standing),
    };
    let Door {
        listener,
        front_end,
        ..
    } = &*door;
    let key = match opening_key(&request.head) {
        Asked::NoUpgrade => {
            request.body = Some(body);
            let answer = front_end.answer(request, listener).await;
            let goes_on = door.keeps(answer.status());
            return if goes_on { answer } else { closing(answer) };
        }
        Asked::Malformed(problem) => {
            listener.refused(door.peer.ip(), RefuseReason::HttpRequest);
            return closing(front_end.refuse(StatusCode::BAD_REQUEST, problem));
        }
        Asked::Upgrade(key) => key,
    };
    let accept = derive_accept_key(key.as_bytes());
    let subprotocol = front_end.subprotocol(&request.head.headers);
    let (id, trace) = (request.id, request.trace(listener));
    let decision = front_end.decide(request, listener);
    let grant = match decision.in_time(listener, door.peer).await {
        Some(Ok(grant)) => grant,
        Some(Err(answer)) => return closing(*answer),
        None => {
            let text = "No decision came in time";
            return closing(front_end.refuse(StatusCode::SERVICE_UNAVAILABLE, text));
        }
    };
    let Ok(mut admission) = door.admit(&grant) else {
        let text = "Too many connections";
        return closing(front_end.refuse(StatusCode::SERVICE_UNAVAILABLE, text));
    };
    if let Some(trace) = trace {
        admission.follow(trace);
    }
    let connecting = Arc::clone(&door);
    door.common.tasks.spawn(async move {
        let Ok(upgraded) = upgrade.await else {
            return;
        };
        let Some((io, first)) = take_apart(upgraded) else {
            return;
        };
        let Door {
            peer,
            listener,
            front_end,
            common,
            ..
        } = &*connecting;
        let connection = Connection::new(
            io,
            LinkOptions::default(),
            Arc::clone(listener),
            common.deadlines.clone(),
            &first,
            |transport| {
                let opening = Opening {
                    id,
                    admission,
                    peer: *peer,
                    transport,
                };
                WsMessages::new(front_end.open(opening, grant))
            },
        );
        common.tasks.spawn(connection);
    });
    switching(&accept, subprotocol)
}

fn switching(accept: &str, subprotocol: Option<HeaderValue>) -> HttpAnswer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    let value = HeaderValue::from_static;
    headers.insert(header::UPGRADE, value("WebSocket"));
    headers.insert(header::CONNECTION, value("Upgrade"));
    let accept = HeaderValue::from_str(accept).expect("base64 is a header value");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    answer
}

/// One request per connection is enough for what is not an opening.
fn closing(mut answer: HttpAnswer) -> HttpAnswer {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

enum Asked<'a> {
    NoUpgrade,
    Malformed(&'static str),
    Upgrade(&'a str),
}

/// Checks an opening by RFC 6455, 4.2.1.
fn opening_key(head: &Parts) -> Asked<'_> {
    let headers = &head.headers;
    if !has_token(headers, &header::UPGRADE, "websocket") {
        return Asked::NoUpgrade;
    }
    if head.method != Method::GET || head.version < Version::HTTP_11 {
        return Asked::Malformed("A WebSocket opening is a GET of HTTP/1.1.\n");
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Asked::Malformed("The header `Connection: Upgrade` is missing.\n");
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|v| v != "13" && v != "8")
    {
        return Asked::Malformed("Only WebSocket version 13 is spoken here.\n");
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .and_then(|key| key.to_str().ok());
    match key {
        Some(key) if is_key(key) => Asked::Upgrade(key),
        _ => Asked::Malformed("The header `Sec-WebSocket-Key` is missing or malformed.\n"),
    }
}

/// 16 bytes in base64.
fn is_key(key: &str) -> bool {
    let digits = key.as_bytes();
    digits.len() == 24
        && digits.ends_with(b"==")
        && digits[..22]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case(wanted))
}

/// The stream below an upgraded connection, and what the client sent right behind its opening.
fn take_apart(upgraded: Upgraded) -> Option<(Io, Bytes)> {
    let upgraded = match upgraded.downcast::<TokioIo<Rewound>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner().into_inner();
            return Some((Io::Plain(stream), parts.read_buf));
        }
        Err(upgraded) => upgraded,
    };
    let parts = upgraded
        .downcast::<TokioIo<Box<TlsStream<PlainStream>>>>()
        .ok()?;
    Some((Io::Tls(parts.io.into_inner()), parts.read_buf))
}
