//! Requests to other services over HTTP: pooled connections, TLS, unix sockets, and bounds for time and size.
//!
//! Start reading at [`HttpClient::send`]. What an error says about the request decides whether it may be sent again:
//! [`ClientError::may_have_been_processed`].

mod connect;
mod error;
mod exchange;
mod socket;
mod stream;
mod streamed;
mod url;

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use rustls_pki_types::CertificateDer;
use tokio::time::timeout;

pub use self::error::ClientError;
pub use self::socket::{WsClient, WsClientError};
pub use self::streamed::StreamedResponse;
use self::{
    connect::Connector,
    exchange::{Sending, Sent},
    url::Target,
};

/// Longest head of an answer over HTTP/1.1, in bytes; what came with the same read may go beyond it.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// The same for HTTP/2, as its header list counts it.
const MAX_HEADER_LIST_BYTES: u32 = 64 << 10;
/// How often a request is sent anew when a pooled connection turns out to be gone before anything of it was written.
const FRESH_STARTS: usize = 2;
/// Over HTTP/2 all requests share a connection: a dead one is found out by pings of this interval, while it is used.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How a client connects, and how long it keeps connections.
#[derive(Debug, Clone)]
pub struct HttpClientOptions {
    /// Longest time for connecting: name, TCP and TLS together. Part of the time that a whole request has.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. Less than what servers wait (Node: five seconds), so that no request goes to
    /// a server that is about to close.
    pub idle_timeout: Duration,
    /// How many unused connections are kept to one server.
    pub idle_per_host: usize,
    /// Certificates of authorities that are trusted beside the system's own.
    pub roots: Vec<CertificateDer<'static>>,
}

impl Default for HttpClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(4),
            idle_per_host: 64,
            roots: Vec::new(),
        }
    }
}

/// A request and the bounds within which it is to be answered.
#[derive(Clone)]
pub struct ClientRequest {
    /// The method.
    pub method: Method,
    /// `http://…`, `https://…`, or `unix:/path/to.sock:/request/path`.
    pub url: String,
    /// The headers. `Host`, `Content-Length` and `User-Agent` are added where they are missing.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// Longest time for all of it, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Longest body of the answer, in bytes.
    pub max_body: usize,
}

/// Shows neither headers, body nor query, where secrets may stand.
impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, _) = self.url.split_once('?').unwrap_or((&self.url, ""));
        f.debug_struct("ClientRequest")
            .field("method", &self.method)
            .field("url", &url)
            .finish_non_exhaustive()
    }
}

/// An answer, whatever its status: redirects are not followed.
#[derive(Debug, Clone)]
pub struct ClientResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Sends requests over pooled connections. Cloning shares the pools; dropping the last clone closes them.
#[derive(Clone)]
pub struct HttpClient {
    pools: Arc<Pools>,
    is_http2: bool,
}

struct Pools {
    http1: Pool,
    http2: Pool,
}

type Pool = Client<Connector, Sending>;

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("is_http2", &self.is_http2)
            .finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client that speaks HTTP/1.1. Nothing is opened or read before the first request.
    #[must_use]
    pub fn new(options: HttpClientOptions) -> Self {
        let connector = Connector::new(options.connect_timeout, options.roots);
        // The pool owns the tasks that hyper spawns for its connections: they end with the last clone of the client.
        let mut pool = Client::builder(TokioExecutor::new());
        pool.timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(options.idle_timeout)
            .pool_max_idle_per_host(options.idle_per_host)
            .http1_max_buf_size(MAX_HEAD_BYTES);
        let http1 = pool.build(connector.clone());
        pool.http2_only(true)
            .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_INTERVAL);
        let http2 = pool.build(connector.for_http2());
        Self {
            pools: Arc::new(Pools { http1, http2 }),
            is_http2: false,
        }
    }

    /// The same client speaking HTTP/2, over a pool of its own: agreed upon by TLS, or by prior knowledge without it.
    #[must_use]
    pub fn with_http2(&self) -> Self {
        Self {
            pools: Arc::clone(&self.pools),
            is_http2: true,
        }
    }

    /// Whether a URL can be asked at all; for checking a configuration.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`].
    pub fn check_url(url: &str) -> Result<(), ClientError> {
        Target::parse(url).map(drop)
    }

    /// Sends a request and reads the whole answer. A request that was to go over a pooled connection which the server had
    /// closed meanwhile is sent anew, because nothing of it was written.
    ///
    /// # Errors
    /// [`ClientError`]; an answer of any status is none.
    pub async fn send(&self, request: ClientRequest) -> Result<ClientResponse, ClientError> {
        let target = Target::parse(&request.url)?;
        let sent = Sent::default();
        let limit = request.timeout;
        // Boxed: what hyper needs for a request is some kilobytes, and would be part of every caller's future.
        let exchange = Box::pin(self.exchange(request, target, &sent));
        match timeout(limit, exchange).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Timeout {
                sent: sent.is_set(),
            }),
        }
    }

    /// Sends a request and reads the head of the answer, within the request's time; its body may take as long as it likes.
    ///
    /// # Errors
    /// [`ClientError`]; an answer of any status is none.
    pub async fn stream(&self, request: ClientRequest) -> Result<StreamedResponse, ClientError> {
        let target = Target::parse(&request.url)?;
        let sent = Sent::default();
        let begin = Box::pin(self.begin(&request, &target, &sent));
        match timeout(request.timeout, begin).await {
            Ok(response) => Ok(StreamedResponse::new(response?)),
            Err(_) => Err(ClientError::Timeout {
                sent: sent.is_set(),
            }),
        }
    }

    async fn exchange(
        &self,
        request: ClientRequest,
        target: Target,
        sent: &Sent,
    ) -> Result<ClientResponse, ClientError> {
        let (head, body) = self.begin(&request, &target, sent).await?.into_parts();
        Ok(ClientResponse {
            status: head.status,
            headers: head.headers,
            body: read(body, request.max_body).await?,
        })
    }

    /// Sends a request and reads the head of the answer.
    async fn begin(
        &self,
        request: &ClientRequest,
        target: &Target,
        sent: &Sent,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut attempts = 0;
        loop {
            sent.clear();
            let outgoing = self.outgoing(request, target, sent);
            match self.pool().request(outgoing).await {
                Ok(response) => return Ok(response),
                Err(error) => {
                    let error = ClientError::of_request(&error, sent.is_set());
                    attempts += 1;
                    if !error.is_stale() || attempts > FRESH_STARTS {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn pool(&self) -> &Pool {
        if self.is_http2 {
            &self.pools.http2
        } else {
            &self.pools.http1
        }
    }

    fn outgoing(&self, request: &ClientRequest, target: &Target, sent: &Sent) -> Request<Sending> {
        let mut outgoing = Request::new(Sending::new(request.body.clone(), sent.clone()));
        *outgoing.method_mut() = request.method.clone();
        *outgoing.uri_mut() = target.uri.clone();
        *outgoing.headers_mut() = request.headers.clone();
        let headers = outgoing.headers_mut();
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!(
                "polyport/",
                env!("CARGO_PKG_VERSION")
            )));
        if self.is_http2 {
            *outgoing.version_mut() = Version::HTTP_2;
        } else if target.is_unix {
            // The socket's path is no host name.
            headers
                .entry(header::HOST)
                .or_insert(HeaderValue::from_static("localhost"));
        }
        outgoing
    }
}

/// Reads a body of at most `max_body` bytes: refused by what it announces, or as soon as more has come.
async fn read(mut body: Incoming, max_body: usize) -> Result<Bytes, ClientError> {
    let too_large = || ClientError::TooLarge { limit: max_body };
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |length| length > max_body) {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ClientError::of_body(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > max_body - whole.len() - first.len() {
            return Err(too_large());
        }
        if whole.is_empty() && first.is_empty() {
            first = data;
        } else {
            whole.extend_from_slice(&std::mem::take(&mut first));
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}
