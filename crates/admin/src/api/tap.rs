//! `GET /api/tap`: what happens in a room, to a session or on a listener, a line of JSON for each thing, until the reader goes.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Response,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue},
};
use polyport_core::{
    Millis, RealmName, RoomName, Scope, SessionId, Tap, TapOptions, TooManyTaps, Whereabouts,
};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        Api, ApiKeys,
        error::{ApiError, Code},
        keys::ApiKey,
        query::Query,
        verb::Right,
    },
    streamed::AnswerBody,
};

const PARAMETERS: &[&str] = &["room", "session", "listener", "realm", "forms"];

/// Lines are put together up to about so many bytes.
const CHUNK: usize = 8 << 10;

/// How often it is looked whether something is to be told that comes with nothing else.
const TICK: Duration = Duration::from_secs(1);

/// After so many ticks without a line there is one that says no more than that the gateway is there.
const QUIET: u32 = 10;

/// Seconds after which another tap may have ended.
const RETRY: u64 = 5;

/// What is watched, line by line.
pub(crate) struct TapBody {
    tap: Tap,
    /// Says why it ends, when it does.
    end: Pin<Box<dyn Future<Output = &'static str> + Send>>,
    tick: Interval,
    quiet: u32,
    /// Hears whenever there is something to write: who reads it may take as long as there is.
    wrote: Option<Arc<watch::Sender<Instant>>>,
    has_ended: bool,
}

/// A line that is about the tap itself.
#[derive(Debug, Serialize)]
struct Note {
    at: Millis,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl fmt::Debug for TapBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TapBody").field(&self.tap).finish()
    }
}

impl Api {
    /// Begins to watch. A key with rooms may watch those alone.
    pub(super) async fn tap(
        &self,
        key: &Arc<ApiKey>,
        method: &Method,
        query: Option<&str>,
    ) -> Result<Response<AnswerBody>, ApiError> {
        let query = Query::parse(query, PARAMETERS)?;
        let scope = self.scope(key, &query).await?;
        let forms = query.read("forms", |text| {
            let expected = "expected `true` or `false`";
            text.parse::<bool>().map_err(|_| expected)
        })?;
        let options = TapOptions {
            forms: forms.unwrap_or(true),
        };
        // Who asks for the head alone reads nothing.
        let body = if *method == Method::HEAD {
            Full::default().into()
        } else {
            let tap = self.hub.tap(scope, options).map_err(too_many)?;
            let withdrawn = withdrawn(self.keys.subscribe(), Arc::clone(key), tap.scope().clone());
            AnswerBody::Tap(Box::new(TapBody::new(tap, withdrawn)))
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        let lines = HeaderValue::from_static("application/x-ndjson");
        headers.insert(CONTENT_TYPE, lines);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Ok(response)
    }

    /// What is to be watched: sessions and listeners have to be there, a room may come later.
    async fn scope(&self, key: &ApiKey, query: &Query<'_>) -> Result<Scope, ApiError> {
        let realm = query.read("realm", RealmName::new)?;
        let room = query.read("room", RoomName::new)?;
        let session = query.read("session", str::parse::<SessionId>)?;
        let listener = query.get("listener");
        let malformed = |message: &str| Err(ApiError::new(Code::MalformedRequest, message));
        if session.is_some() || listener.is_some() {
            key.check_unbounded()?;
        }
        match (room, session, listener) {
            (Some(room), None, None) => {
                key.check_room(&room)?;
                let realm = realm.unwrap_or_else(|| self.realm.clone());
                self.find_realm(&realm)?;
                Ok(Scope::Room { realm, room })
            }
            (None, Some(id), None) => match self.hub.find_session(realm.as_ref(), id).await? {
                Whereabouts::Here(_) => Ok(Scope::Session(id)),
                Whereabouts::There(info) => {
                    let node = info.node.as_deref().unwrap_or("another");
                    let message = format!("the session is on the node `{node}`: watch it there");
                    Err(ApiError::new(Code::UnknownSession, message))
                }
                Whereabouts::Unknown => Err(ApiError::out_of_reach()),
            },
            (None, None, Some(_)) if realm.is_some() => {
                malformed("`realm` goes with `room` or `session`: a listener has its own")
            }
            (None, None, Some(name)) => {
                let mut listeners = self.hub.listeners().into_iter();
                if !listeners.any(|listener| listener.name() == name) {
                    let message = format!("there is no listener `{name}`");
                    return Err(ApiError::new(Code::UnknownListener, message));
                }
                Ok(Scope::Listener(name.to_owned()))
            }
            _ => malformed("exactly one of the parameters room, session, listener is needed"),
        }
    }
}

/// Whether a key may watch that.
fn check(key: &ApiKey, scope: &Scope) -> Result<(), ApiError> {
    match scope {
        Scope::Room { room, .. } => key.check_room(room),
        Scope::Session(_) | Scope::Listener(_) => key.check_unbounded(),
    }
}

fn too_many(error: TooManyTaps) -> ApiError {
    ApiError::retry_after(Code::TooManyTaps, error.to_string(), RETRY)
}

/// Waits until a key is there no longer or may no longer watch.
async fn withdrawn(mut keys: watch::Receiver<Arc<ApiKeys>>, key: Arc<ApiKey>, scope: Scope) {
    let may = |keys: &ApiKeys| {
        keys.same(&key)
            .is_some_and(|key| key.check_right(Right::Tap).is_ok() && check(key, &scope).is_ok())
    };
    // Nobody changes them any more when the process ends.
    if keys.wait_for(|keys| !may(keys)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl TapBody {
    fn new(tap: Tap, withdrawn: impl Future<Output = ()> + Send + 'static) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            tap,
            end: Box::pin(async move {
                withdrawn.await;
                "the key may no longer do this"
            }),
            tick,
            quiet: 0,
            wrote: None,
            has_ended: false,
        }
    }

    /// Lets a connection know whenever there is something to write, and ends it when the listener ends.
    pub(crate) fn attach(&mut self, wrote: Arc<watch::Sender<Instant>>, stop: CancellationToken) {
        self.wrote = Some(wrote);
        let withdrawn = std::mem::replace(&mut self.end, Box::pin(std::future::pending()));
        self.end = Box::pin(async move {
            tokio::select! {
                reason = withdrawn => reason,
                () = stop.cancelled_owned() => "the gateway stops",
            }
        });
    }

    /// The next lines, or nothing if there will be none.
    pub(crate) fn poll_lines(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let mut lines = Vec::new();
        while lines.len() < CHUNK {
            match self.tap.poll_next(cx) {
                Poll::Ready(Some(record)) => write_line(&mut lines, &record),
                Poll::Ready(None) => {
                    self.has_ended = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        if !self.has_ended
            && let Poll::Ready(reason) = self.end.as_mut().poll(cx)
        {
            self.has_ended = true;
            write_line(&mut lines, &Note::new("end", Some(reason)));
        }
        while self.tick.poll_tick(cx).is_ready() {
            self.quiet += 1;
            if let Some(record) = self.tap.dropped() {
                write_line(&mut lines, &record);
            }
            if self.quiet > QUIET && lines.is_empty() {
                write_line(&mut lines, &Note::new("alive", None));
            }
        }
        if lines.is_empty() {
            return if self.has_ended {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        self.quiet = 0;
        if let Some(wrote) = &self.wrote {
            wrote.send_replace(Instant::now());
        }
        Poll::Ready(Some(lines.into()))
    }
}

impl Note {
    fn new(kind: &'static str, reason: Option<&'static str>) -> Self {
        Self {
            at: Millis::now(),
            kind,
            reason,
        }
    }
}

fn write_line(lines: &mut Vec<u8>, record: &impl Serialize) {
    serde_json::to_writer(&mut *lines, record).expect("our own types always serialize");
    lines.push(b'\n');
}
