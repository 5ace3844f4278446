//! Accepting and serving admin connections, everything bounded: one request each, and many for the server API; a tap may take
//! as long as it is read.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::{
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use matchit::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    AdminState,
    routes::{self, Route},
    streamed::AnswerBody,
};

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;

/// Bytes of a request's head, and how many headers it may have.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// Time for a request's head to arrive, and so for a connection to stay between two requests.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// Time for a request from its head to the last byte of its answer, and between two pieces of what a tap sees. A peer that does
/// not read must not keep its place for ever.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Requests of one connection.
const MAX_REQUESTS: usize = 10_000;

/// A connection is kept for another request only while so many others could come in: `/healthz` must not wait because
/// services keep connections for later.
const FREE_PLACES: usize = MAX_CONNECTIONS / 4;

/// Time for answers that are on their way when the listener is told to stop.
const STOP_TIME: Duration = Duration::from_secs(1);

/// Time before accepting again after a failure, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When an admin listener stops.
#[derive(Debug, Clone, Default)]
pub struct Until {
    /// It accepts no more, because another process does; requests that are there already are answered, whatever that takes.
    pub relieved: CancellationToken,
    /// It accepts no more, and the answers on their way out finish, for a second at most. Cancel it last when the process
    /// stops: while it drains, `/readyz` has to say so.
    pub shutdown: CancellationToken,
}

/// Serves until it is told to stop.
pub async fn serve(listener: TcpListener, state: AdminState, until: Until) {
    let shared = Arc::new((routes::router(), state));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    while let Some((stream, peer)) = accept(&listener, &places, &until).await {
        let place = Arc::clone(&places)
            .try_acquire_owned()
            .expect("accepting waits for a place and only this loop takes one");
        let shared = Arc::clone(&shared);
        let places = Arc::clone(&places);
        let until = until.clone();
        connections.spawn(async move {
            connection(stream, peer, shared, places, until).await;
            drop(place);
        });
    }
    // From here on others who have the socket get all that comes.
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, once there is a place for it; `None` when it is to accept no more.
async fn accept(
    listener: &TcpListener,
    places: &Semaphore,
    until: &Until,
) -> Option<(TcpStream, SocketAddr)> {
    let accepted = async {
        loop {
            let place = places.acquire().await.expect("it is never closed");
            drop(place);
            match listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "admin listener cannot accept; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    let accepted = until.relieved.run_until_cancelled(accepted);
    until.shutdown.run_until_cancelled(accepted).await.flatten()
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<(Router<Route>, AdminState)>,
    places: Arc<Semaphore>,
    until: Until,
) {
    let (began, mut begins) = watch::channel(Instant::now());
    let began = Arc::new(began);
    let stop = until.shutdown.clone();
    let requests = AtomicUsize::new(0);
    let service = service_fn(move |request| {
        began.send_replace(Instant::now());
        let is_last = requests.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_REQUESTS;
        let shared = Arc::clone(&shared);
        let places = Arc::clone(&places);
        let (began, stop) = (Arc::clone(&began), stop.clone());
        async move {
            let (router, state) = &*shared;
            let mut response = routes::answer(router, state, request).await;
            if let AnswerBody::Tap(tap) = response.body_mut() {
                tap.attach(began, stop);
            }
            if is_last || places.available_permits() < FREE_PLACES {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
    let (mut has_begun, mut is_relieved) = (false, false);
    let served = loop {
        let deadline = *begins.borrow_and_update() + REQUEST_TIME;
        tokio::select! {
            served = &mut serving => break served,
            _ = begins.changed() => {
                has_begun = true;
                if is_relieved {
                    serving.as_mut().graceful_shutdown();
                }
            }
            () = sleep_until(deadline) => {
                tracing::debug!(%peer, "admin connection took too long");
                return;
            }
            () = until.relieved.cancelled(), if !is_relieved => {
                is_relieved = true;
                // One that has just been accepted may have its request on the way.
                if has_begun {
                    serving.as_mut().graceful_shutdown();
                }
            }
            () = until.shutdown.cancelled() => {
                serving.as_mut().graceful_shutdown();
                break timeout(STOP_TIME, serving).await.unwrap_or(Ok(()));
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "admin connection failed");
    }
}
