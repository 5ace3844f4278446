//! Accepting connections: limits, PROXY header, TLS, and then the protocol.

use std::{fmt, future::Future, io, net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use parking_lot::Mutex;
use polyport_core::{
    Admission, Frame, Guest, Listener, OpenRequest, Opening, Peer, Received, Reception,
    RefuseReason, Refused, SessionId, trace::ParentTrust,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    Bind, BindError, Connection, Deadlines, Handler, LinkOptions, Sockets, Tasks, TlsAcceptance,
    bind::Bound, connection::Io, proxy, stream::PlainStream,
};

/// A pause after an `accept` that failed for want of resources, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time for a client that gets no session to take the words that say so.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// How often certificate files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// What lies between the socket and the protocol, replaceable while the listener runs.
#[derive(Debug, Clone, Default)]
pub struct ServerSettings {
    /// Networks whose connections begin with a PROXY header.
    pub proxy_from: Vec<IpNet>,
    /// Certificates; `None` is plain text.
    pub tls: Option<TlsAcceptance>,
    /// TCP keepalive with the kernel's times.
    pub keepalive: bool,
    /// What is believed of clients that say which trace they belong to, in protocols with headers.
    pub traceparent: ParentTrust,
}

/// What all servers of a process share.
#[derive(Debug, Clone)]
pub struct Transportation {
    /// Owns every connection's task.
    pub tasks: Tasks,
    /// Watches every connection's deadline.
    pub deadlines: Deadlines,
    /// The listening sockets.
    pub sockets: Sockets,
}

/// A bound address that accepts connections for a core listener.
#[derive(Debug)]
pub struct Server {
    listener: Arc<Listener>,
    settings: Arc<ArcSwap<ServerSettings>>,
    local: Bind,
    /// Cancelled when it is to accept.
    begin: CancellationToken,
    begun: OnBegin,
    stop: CancellationToken,
}

/// What is done before the first connection is accepted.
#[derive(Default)]
struct OnBegin(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl fmt::Debug for OnBegin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnBegin")
    }
}

/// An accepted connection that has passed limits, PROXY header and TLS.
#[derive(Debug)]
pub struct Accepted {
    pub(crate) io: Io,
    pub(crate) peer: Peer,
    /// The place of its session, or its own where sessions take theirs later.
    pub(crate) admission: Admission,
    /// Bytes read behind a PROXY header.
    pub(crate) first: Vec<u8>,
    /// When it was accepted: all of its opening shares one deadline.
    pub(crate) accepted_at: Instant,
    /// What is believed of what its client says about its trace.
    pub(crate) traceparent: ParentTrust,
}

/// Takes a place for a connection that is accepted: that of its session, or one of those for connections.
pub(crate) type Admit = fn(&Arc<Listener>, Option<IpAddr>) -> Result<Admission, RefuseReason>;

/// A protocol that speaks on raw bytes from the first one on.
pub trait RawFrontEnd: Send + Sync + 'static {
    /// What serves one connection.
    type Handler: Handler;

    /// What it wants of its connections.
    fn options(&self) -> LinkOptions;

    /// Who decides which clients get a session; without one, all do.
    fn reception(&self) -> Option<&Reception> {
        None
    }

    /// What a client hears that gets no session.
    fn refusal(&self, refused: &Refused) -> Frame {
        let _ = refused;
        Frame::new()
    }

    /// Opens a session.
    fn open(&self, opening: Opening, guest: Guest) -> Self::Handler;
}

/// Serves a protocol on raw bytes.
///
/// # Errors
/// [`BindError`] when the address cannot be bound.
pub fn serve_raw<F: RawFrontEnd>(
    bind: &Bind,
    listener: Arc<Listener>,
    settings: ServerSettings,
    common: &Transportation,
    front_end: F,
) -> Result<Server, BindError> {
    let front_end = Arc::new(front_end);
    let deadlines = common.deadlines.clone();
    let tasks = common.tasks.clone();
    let admit = Listener::admit;
    Server::start(bind, listener, settings, common, admit, move |accepted| {
        let deadlines = deadlines.clone();
        let is_open_door = |reception: &Reception| reception.is_open_door();
        if front_end.reception().is_none_or(is_open_door) {
            let id = SessionId::random();
            tasks.spawn(connect(
                accepted,
                &*front_end,
                deadlines,
                id,
                Guest::default(),
            ));
            return;
        }
        let front_end = Arc::clone(&front_end);
        let connections = tasks.clone();
        tasks.spawn(async move {
            if let Some(connection) = receive(accepted, &*front_end, deadlines).await {
                connections.spawn(connection);
            }
        });
    })
}

/// Lets tokens and backends decide whether a client gets a session.
async fn receive<F: RawFrontEnd>(
    mut accepted: Accepted,
    front_end: &F,
    deadlines: Deadlines,
) -> Option<Connection<F::Handler>> {
    let id = SessionId::random();
    let listener = Arc::clone(accepted.admission.listener());
    let request = OpenRequest {
        id,
        listener: Arc::clone(&listener),
        peer: accepted.peer,
        is_tls: matches!(accepted.io, Io::Tls(_)),
        target: String::new(),
        headers: Vec::new(),
        identity: None,
        branch: None,
        payload: None,
    };
    let received = match front_end.reception()?.receive(request) {
        Received::Now(received) => received,
        Received::Later(deciding) => within(listener.limits().call, deciding)
            .await
            .unwrap_or_else(|| {
                let text = "no decision came in time".to_owned();
                Err(Refused::Unavailable(text))
            }),
    };
    let guest = match received {
        Ok(guest) => guest,
        Err(refused) => {
            listener.refused(accepted.peer.ip(), refused.reason());
            let words = front_end.refusal(&refused);
            // The client may be gone already.
            let _ = timeout(REFUSAL_TIME, accepted.io.say_and_end(&words)).await;
            return None;
        }
    };
    Some(connect(accepted, front_end, deadlines, id, guest))
}

fn connect<F: RawFrontEnd>(
    accepted: Accepted,
    front_end: &F,
    deadlines: Deadlines,
    id: SessionId,
    guest: Guest,
) -> Connection<F::Handler> {
    let Accepted {
        io,
        peer,
        admission,
        first,
        accepted_at: _,
        traceparent: _,
    } = accepted;
    let listener = Arc::clone(admission.listener());
    let options = front_end.options();
    Connection::new(io, options, listener, deadlines, &first, |transport| {
        let opening = Opening {
            id,
            admission,
            peer,
            transport,
        };
        front_end.open(opening, guest)
    })
}

impl Server {
    /// Binds the address, or shares the socket of a listener that has it already. Accepts from [`Server::begin`] until
    /// [`Server::stop_accepting`] whom `admit` lets in. `connected` gets each connection when it has passed limits, PROXY
    /// header and TLS; it must not block.
    pub(crate) fn start(
        bind: &Bind,
        listener: Arc<Listener>,
        settings: ServerSettings,
        common: &Transportation,
        admit: Admit,
        connected: impl Fn(Accepted) + Send + Sync + 'static,
    ) -> Result<Self, BindError> {
        let bound = Bound::new(listener.name(), bind, &common.sockets)?;
        let local = bound.local();
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let stop = common.tasks.stopping().child_token();
        let accept = accept_all(
            bound,
            Arc::clone(&listener),
            Arc::clone(&settings),
            common.tasks.clone(),
            admit,
            Arc::new(connected),
        );
        let begin = CancellationToken::new();
        let (from, until) = (begin.clone(), stop.clone());
        common.tasks.spawn(async move {
            let accept = async {
                from.cancelled().await;
                accept.await;
            };
            until.run_until_cancelled(accept).await;
        });
        let watch = watch_certificates(Arc::clone(&listener), Arc::clone(&settings));
        let until = stop.clone();
        common.tasks.spawn(async move {
            until.run_until_cancelled(watch).await;
        });
        Ok(Self {
            listener,
            settings,
            local,
            begin,
            begun: OnBegin::default(),
            stop,
        })
    }

    /// The core listener it serves.
    #[must_use]
    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// The address in use, with the port that was found for port 0.
    #[must_use]
    pub fn local(&self) -> &Bind {
        &self.local
    }

    /// Puts new settings in force for connections accepted from now on.
    pub fn reconfigure(&self, settings: ServerSettings) {
        self.settings.store(Arc::new(settings));
        self.note_certificates();
    }

    /// Says in the metrics when the certificate that is served ends, after it was replaced from outside.
    pub fn note_certificates(&self) {
        tell_certificate(&self.listener, self.settings.load().tls.as_ref());
    }

    /// Certificates, PROXY networks and keepalive in force.
    #[must_use]
    pub fn settings(&self) -> Arc<ServerSettings> {
        self.settings.load_full()
    }

    /// Has `work` done when it begins.
    #[must_use]
    pub fn on_begin(self, work: impl FnOnce() + Send + 'static) -> Self {
        *self.begun.0.lock() = Some(Box::new(work));
        self
    }

    /// Begins to accept. Until then connections wait in the kernel, and dropping it leaves everything as it was.
    pub fn begin(&self) {
        if let Some(work) = self.begun.0.lock().take() {
            work();
        }
        self.note_certificates();
        self.begin.cancel();
    }

    /// Begins to close the bound socket, unless another server shares it; open connections go on.
    pub fn stop_accepting(&self) {
        self.stop.cancel();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}

async fn accept_all(
    bound: Bound,
    listener: Arc<Listener>,
    settings: Arc<ArcSwap<ServerSettings>>,
    tasks: Tasks,
    admit: Admit,
    connected: Arc<impl Fn(Accepted) + Send + Sync + 'static>,
) {
    loop {
        let keepalive = settings.load().keepalive;
        let (stream, peer) = match bound.accept(keepalive).await {
            Ok(accepted) => accepted,
            Err(error) => {
                if is_shortage(&error) {
                    warn!(listener = listener.name(), %error, "cannot accept connections; raise the limit of open files");
                    sleep(ACCEPT_PAUSE).await;
                } else {
                    debug!(listener = listener.name(), %error, "a connection was gone before it was accepted");
                }
                continue;
            }
        };
        let accepted_at = Instant::now();
        let Ok(mut admission) = admit(&listener, peer.ip()) else {
            continue;
        };
        let settings = settings.load_full();
        let by_proxy = peer
            .ip()
            .is_some_and(|ip| is_trusted(&settings.proxy_from, ip));
        if !by_proxy && count(&mut admission, peer).is_err() {
            continue;
        }
        if !by_proxy && settings.tls.is_none() {
            connected(Accepted {
                io: Io::Plain(stream),
                peer,
                admission,
                first: Vec::new(),
                accepted_at,
                traceparent: settings.traceparent,
            });
            continue;
        }
        let connected = Arc::clone(&connected);
        tasks.spawn(async move {
            let deadline = admission.listener().limits().handshake;
            let listener = Arc::clone(admission.listener());
            let opening = open(stream, peer, admission, accepted_at, by_proxy, &settings);
            match within(deadline, opening).await {
                Some(Ok(accepted)) => connected(accepted),
                Some(Err(Some(reason))) => listener.refused(peer.ip(), reason),
                Some(Err(None)) => {}
                None => listener.refused(peer.ip(), RefuseReason::HandshakeTimeout),
            }
        });
    }
}

/// PROXY header and TLS. The error is `None` when the refusal has been counted already.
async fn open(
    mut stream: PlainStream,
    mut peer: Peer,
    mut admission: Admission,
    accepted_at: Instant,
    by_proxy: bool,
    settings: &ServerSettings,
) -> Result<Accepted, Option<RefuseReason>> {
    let mut first = Vec::new();
    if by_proxy {
        let (client, rest) = proxy::read_header(&mut stream)
            .await
            .map_err(|_| RefuseReason::ProxyHeader)?;
        if let Some(client) = client {
            peer = Peer::Ip(client);
        }
        first = rest;
        count(&mut admission, peer).map_err(|_| None)?;
    }
    let io = match &settings.tls {
        None => Io::Plain(stream),
        Some(tls) => {
            let prefix = std::mem::take(&mut first);
            let accepted = tls
                .acceptor()
                .accept_with(stream, |connection| {
                    // What came behind the PROXY header is the beginning of the handshake.
                    let mut rest = &prefix[..];
                    while !rest.is_empty() {
                        if connection.read_tls(&mut rest).is_err() {
                            break;
                        }
                    }
                    // An error shows again in the handshake, which reports it.
                    drop(connection.process_new_packets());
                })
                .await
                .map_err(|_| RefuseReason::Tls)?;
            Io::Tls(Box::new(accepted))
        }
    };
    Ok(Accepted {
        io,
        peer,
        admission,
        first,
        accepted_at,
        traceparent: settings.traceparent,
    })
}

fn count(admission: &mut Admission, peer: Peer) -> Result<(), RefuseReason> {
    peer.ip().map_or(Ok(()), |ip| admission.count_address(ip))
}

fn is_trusted(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

pub(crate) async fn within<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    if limit.is_zero() {
        return Some(work.await);
    }
    timeout(limit, work).await.ok()
}

fn is_shortage(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Says in the metrics when the certificate that is served ends.
fn tell_certificate(listener: &Listener, tls: Option<&TlsAcceptance>) {
    listener
        .metrics()
        .certificate_ends(tls.and_then(TlsAcceptance::ends));
}

async fn watch_certificates(listener: Arc<Listener>, settings: Arc<ArcSwap<ServerSettings>>) {
    loop {
        sleep(CERTIFICATE_CHECK).await;
        let Some(tls) = settings.load().tls.clone() else {
            continue;
        };
        match tls.reload_if_new() {
            Ok(false) => {}
            Ok(true) => tracing::info!(listener = listener.name(), "certificates replaced"),
            Err(error) => {
                warn!(listener = listener.name(), %error, "the new certificate is not used; the old one stays");
            }
        }
        // Listeners with the same files share their certificates, and only one of them has read the new ones.
        tell_certificate(&listener, Some(&tls));
    }
}
