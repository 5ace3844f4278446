//! HTTP/1.1 in front of WebSocket: the opening handshake, and answers to whatever else arrives.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Version, header, request::Parts};
use http_body_util::Full;
use hyper::{
    Request, Response, body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use polyport_core::{Admission, Listener, Opening, Peer, RefuseReason};
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    Bind, BindError, Connection, LinkOptions, Server, ServerSettings, Transportation, WsHandler,
    WsMessages,
    connection::Io,
    server::{Accepted, within},
    stream::{PlainStream, Rewound},
};

/// Longest request head, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;

/// An answer that is no upgrade.
pub type HttpAnswer = Response<Full<Bytes>>;

/// A protocol that speaks WebSocket.
pub trait WsFrontEnd: Send + Sync + 'static {
    /// What serves one connection.
    type Handler: WsHandler;

    /// Answers a request that does not ask for a WebSocket, and so is none of this protocol's business. By default 426 to
    /// a plain `GET` and 400 to the rest.
    fn answer(&self, request: &Parts) -> HttpAnswer {
        if request.method == Method::GET {
            let mut answer = http_answer(
                StatusCode::UPGRADE_REQUIRED,
                "This address speaks WebSocket: open it with a WebSocket client.\n",
            );
            let upgrade = header::HeaderValue::from_static("websocket");
            answer.headers_mut().insert(header::UPGRADE, upgrade);
            return answer;
        }
        http_answer(
            StatusCode::BAD_REQUEST,
            "A WebSocket opening was expected.\n",
        )
    }

    /// Opens a session for a request whose upgrade has been granted.
    fn open(&self, opening: Opening, request: &Parts) -> Self::Handler;
}

/// A plain-text answer.
#[must_use]
pub fn http_answer(status: StatusCode, text: &'static str) -> HttpAnswer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
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
    Server::start(bind, listener, settings, common, move |accepted| {
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
    let admission = Arc::new(Mutex::new(Some(admission)));
    let for_service = Arc::clone(&listener);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = on_request(request, &admission, peer, &for_service, &front_end, &common);
        async move { Ok::<_, Infallible>(answer) }
    });
    let outcome = match io {
        Io::Plain(stream) => {
            let stream = TokioIo::new(Rewound::new(stream, first));
            let serving = http.serve_connection(stream, service).with_upgrades();
            within(handshake, serving).await
        }
        Io::Tls(stream) => {
            let serving = http
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            within(handshake, serving).await
        }
    };
    match outcome {
        Some(Ok(())) => {}
        Some(Err(error)) if error.is_timeout() => {
            listener.refused(peer.ip(), RefuseReason::HandshakeTimeout);
        }
        Some(Err(_)) => listener.refused(peer.ip(), RefuseReason::HttpRequest),
        None => listener.refused(peer.ip(), RefuseReason::HandshakeTimeout),
    }
}

fn on_request<F: WsFrontEnd>(
    mut request: Request<Incoming>,
    admission: &Arc<Mutex<Option<Admission>>>,
    peer: Peer,
    listener: &Arc<Listener>,
    front_end: &Arc<F>,
    common: &Transportation,
) -> HttpAnswer {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, _) = request.into_parts();
    let key = match opening_key(&head) {
        Asked::NoUpgrade => {
            listener.refused(peer.ip(), RefuseReason::HttpRequest);
            return closing(front_end.answer(&head));
        }
        Asked::Malformed(problem) => {
            listener.refused(peer.ip(), RefuseReason::HttpRequest);
            return closing(http_answer(StatusCode::BAD_REQUEST, problem));
        }
        Asked::Upgrade(key) => key,
    };
    let Some(admission) = admission.lock().take() else {
        return closing(http_answer(StatusCode::BAD_REQUEST, "Upgraded already.\n"));
    };
    let accept = derive_accept_key(key.as_bytes());
    let front_end = Arc::clone(front_end);
    let spawning = common.clone();
    common.tasks.spawn(async move {
        let Ok(upgraded) = upgrade.await else {
            return;
        };
        let Some((io, first)) = take_apart(upgraded) else {
            return;
        };
        let listener = Arc::clone(admission.listener());
        let connection = Connection::new(
            io,
            LinkOptions::default(),
            listener,
            spawning.deadlines.clone(),
            &first,
            |transport| {
                WsMessages::new(front_end.open(
                    Opening {
                        admission,
                        peer,
                        transport,
                    },
                    &head,
                ))
            },
        );
        spawning.tasks.spawn(connection);
    });
    switching(&accept)
}

fn switching(accept: &str) -> HttpAnswer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    let value = header::HeaderValue::from_static;
    headers.insert(header::UPGRADE, value("WebSocket"));
    headers.insert(header::CONNECTION, value("Upgrade"));
    let accept = header::HeaderValue::from_str(accept).expect("base64 is a header value");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

/// One request per connection is enough for what is not an opening.
fn closing(mut answer: HttpAnswer) -> HttpAnswer {
    let close = header::HeaderValue::from_static("close");
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
        .is_none_or(|v| v != "13")
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

fn has_token(headers: &HeaderMap, name: &header::HeaderName, wanted: &str) -> bool {
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
