//! The server API: JSON over HTTP under `/api/`, for whoever has a key.
//!
//! [`Api::answer`] is the way of a request: method, key, rate, body, idempotency, verb. What the verbs are stands in `verb`,
//! what each does in a file of its own, how all of them say no in `error`, and how they look from outside in
//! `openapi.json`.

mod answer;
mod body;
mod call;
mod commands;
mod control;
mod drain;
mod error;
mod idempotency;
mod info;
mod keys;
mod log;
mod openapi;
mod overview;
mod query;
mod rooms;
mod servers;
mod sessions;
mod tap;
mod verb;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Incoming,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use polyport_core::{
    ApiMetrics, CommandError, Hub, Realm, RealmName,
    trace::{Following, Span, SpanKind, TraceContext},
};
use tokio::{sync::watch, time::Instant};

pub use control::{
    ChangedSetting, Control, Order, Outcome, Reloaded, ReplacedCertificates, Upgraded,
};
pub use drain::Drain;
pub use keys::{ApiKeys, KeyError, KeyOptions, NewKey};
pub use log::{LogControl, LogState};
pub(crate) use tap::TapBody;
pub(crate) use verb::Verb;

use crate::{AdminState, standing::Standing, streamed::AnswerBody};
use answer::Answer;
use error::{ApiError, Code};
use idempotency::{Answers, Begun, Name};
use keys::ApiKey;
use log::NoLog;
use overview::Samples;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What the server API is started with.
#[derive(Debug)]
pub struct ApiOptions {
    /// Who may use it.
    pub keys: ApiKeys,
    /// The realm that is meant where a request names none.
    pub realm: RealmName,
    /// Bytes of a body.
    pub max_body: usize,
    /// Who hears that the process is to stop.
    pub drain: Arc<Drain>,
    /// Who writes the log.
    pub log: Arc<dyn LogControl>,
    /// Who changes what the process runs on.
    pub control: Control,
}

/// Without keys nobody gets in; the realm `default`; 1 MiB; no log.
impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            keys: ApiKeys::default(),
            realm: RealmName::new("default").expect("it is short and not empty"),
            max_body: 1 << 20,
            drain: Arc::default(),
            log: Arc::new(NoLog),
            control: Control::default(),
        }
    }
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Api {
    hub: Arc<Hub>,
    keys: watch::Sender<Arc<ApiKeys>>,
    realm: RealmName,
    max_body: usize,
    drain: Arc<Drain>,
    log: Arc<dyn LogControl>,
    control: Control,
    answers: Arc<Answers>,
    standing: ArcSwap<Standing>,
    samples: Samples,
    metrics: [ApiMetrics; Verb::ALL.len()],
    version: String,
    started: Instant,
}

impl Api {
    pub(crate) fn new(hub: Arc<Hub>, options: ApiOptions, version: &str) -> Self {
        let outcomes = error::OUTCOMES.map(|(_, label)| label);
        let metrics = Verb::ALL.map(|verb| hub.metrics().api(verb.label(), &outcomes));
        Self {
            keys: watch::Sender::new(Arc::new(options.keys)),
            realm: options.realm,
            max_body: options.max_body,
            drain: options.drain,
            log: options.log,
            control: options.control,
            answers: Arc::default(),
            standing: ArcSwap::default(),
            samples: Samples::default(),
            metrics,
            version: version.to_owned(),
            started: Instant::now(),
            hub,
        }
    }

    /// Puts other keys in force, for the next request of every connection and for taps that are open.
    pub(crate) fn set_keys(&self, keys: ApiKeys) {
        self.keys.send_replace(Arc::new(keys));
    }

    /// Says how the configuration in force stands.
    pub(crate) fn set_standing(&self, standing: Standing) {
        self.standing.store(Arc::new(standing));
    }

    /// Answers a request for `verb`; `id` is the part of the path that stands for a session.
    pub(crate) async fn answer(
        &self,
        verb: Verb,
        id: &str,
        state: &AdminState,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let started = Instant::now();
        let verb = verb.asked_by(request.method());
        let span = self.span(verb, &request);
        let serving = self.serve(verb, id, state, request);
        let answered = match &span {
            None => serving.await,
            Some(span) => Following::new(span.context().clone(), Box::pin(serving)).await,
        };
        let response = answered.unwrap_or_else(|error| error.response().map(Into::into));
        if let Some(mut span) = span {
            let status = response.status();
            span.set("http.response.status_code", || usize::from(status.as_u16()));
            if status.is_server_error() {
                span.fail(status.to_string());
            }
        }
        debug_assert!(
            verb.statuses().contains(&response.status().as_u16()),
            "{verb:?} answers with a status that is not documented"
        );
        let mut outcomes = error::OUTCOMES.iter();
        let (_, outcome) = outcomes
            .find(|(status, _)| *status == response.status())
            .expect("every status of an error, and OK, has an outcome");
        self.metrics[verb as usize].answered(outcome, started.elapsed());
        response
    }

    /// The answer to a path that is none of the API's.
    pub(crate) fn not_found() -> Response<Full<Bytes>> {
        let message = "there is no such path; /api/openapi.json lists them";
        ApiError::new(Code::NotFound, message).response()
    }

    /// A request, as a step of its caller's trace; what only looks is none.
    fn span(&self, verb: Verb, request: &Request<Incoming>) -> Option<Span> {
        let tracer = self.hub.tracer();
        if !tracer.is_on() || request.method() != Method::POST {
            return None;
        }
        let headers = request.headers();
        let caller = TraceContext::of_headers(|name| {
            let mut values = headers.get_all(name).iter();
            let only = values.next().filter(|_| values.next().is_none());
            only?.to_str().ok()
        });
        let mut span = tracer.begin_in("POST", SpanKind::Server, caller.as_ref())?;
        span.set("http.route", || verb.path());
        span.set("http.request.method", || "POST");
        span.rename_by("http.route");
        Some(span)
    }

    async fn serve(
        &self,
        verb: Verb,
        id: &str,
        state: &AdminState,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, ApiError> {
        let (head, body) = request.into_parts();
        if !verb.allows(&head.method) {
            return Err(ApiError::method_not_allowed(verb.allowed()));
        }
        if verb == Verb::OpenApi {
            return Ok(openapi::response().map(Into::into));
        }
        let key = self.key(&head.headers)?;
        verb.right()
            .map_or(Ok(()), |right| key.check_right(right))?;
        key.spend()?;
        if verb.takes_body() {
            query::Query::parse(head.uri.query(), &[])?;
            body::check_type(&head.headers)?;
            let name = head.headers.get(IDEMPOTENCY_KEY);
            let name = name.map(|name| Name::new(key.name(), name.as_bytes()));
            let name = name.transpose()?;
            if name.is_some() && !verb.may_be_named() {
                return Err(ApiError::new(
                    Code::MalformedRequest,
                    "Idempotency-Key is not for an upgrade: sent again it would reach the new process, which knows nothing of the first time",
                ));
            }
            let body = body::read(&head.headers, body, self.max_body).await?;
            let done = self.act_once(verb, &key, name, &body).await;
            return done.map(|response| response.map(Into::into));
        }
        let query = head.uri.query();
        let answer = match verb {
            Verb::Tap => return self.tap(&key, &head.method, query).await,
            Verb::Sessions => self.sessions(&key, query).await,
            Verb::Session => self.session(&key, id, query).await,
            Verb::Rooms => self.rooms(&key, query).await,
            Verb::Presence => self.presence(&key, query).await,
            Verb::Overview => self.overview(&key, state.readiness(), query).await,
            Verb::Log => self.log(query),
            _ => self.info(state, query),
        };
        Ok(answer?.response().map(Into::into))
    }

    /// Does what a body asks for, unless a request of that name was answered already.
    async fn act_once(
        &self,
        verb: Verb,
        key: &ApiKey,
        name: Option<Name>,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, ApiError> {
        let Some(name) = name else {
            return Ok(self.act(verb, key, body).await?.response());
        };
        let fingerprint = keys::sha256(&[verb.path().as_bytes(), b"\0", body].concat());
        let ticket = match self.answers.begin(name, fingerprint)? {
            Begun::New(ticket) => ticket,
            Begun::Again(answer) => {
                let mut response = answer.response();
                let headers = response.headers_mut();
                headers.insert(REPLAYED, HeaderValue::from_static("true"));
                return Ok(response);
            }
        };
        let answer = match self.act(verb, key, body).await {
            Ok(answer) => answer,
            Err(error) => error.answer(),
        };
        ticket.finish(&answer);
        Ok(answer.response())
    }

    async fn act(&self, verb: Verb, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        match verb {
            Verb::Publish => self.publish(key, body).await,
            Verb::Broadcast => self.broadcast(key, body).await,
            Verb::Call => self.call(key, body).await,
            Verb::Join => self.join(key, body).await,
            Verb::Leave => self.leave(key, body).await,
            Verb::Disconnect => self.disconnect(key, body).await,
            Verb::Drain => self.drain(key, body),
            Verb::SetLog => self.set_log(key, body),
            Verb::Reload => self.reload(key, body).await,
            Verb::Upgrade => self.upgrade(key, body).await,
            Verb::ServerSideEmit => self.server_side_emit(key, body).await,
            _ => self.batch(key, body).await,
        }
    }

    /// The key that a request shows.
    fn key(&self, headers: &HeaderMap) -> Result<Arc<ApiKey>, ApiError> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.as_bytes().split_at_checked("Bearer ".len())?;
            scheme
                .eq_ignore_ascii_case(b"Bearer ")
                .then(|| key.trim_ascii())
        });
        let shown = bearer.or_else(|| headers.get(API_KEY).map(HeaderValue::as_bytes));
        let found = shown.and_then(|shown| self.keys.borrow().find(shown));
        found.ok_or_else(ApiError::unauthorized)
    }

    fn find_realm(&self, name: &RealmName) -> Result<Arc<Realm>, ApiError> {
        let found = self.hub.find_realm(name.as_str());
        found.ok_or_else(|| CommandError::UnknownRealm(name.clone()).into())
    }

    /// What is to be said of a realm in which nothing was found: with other nodes, one that is not here may be theirs.
    fn check_realm(&self, name: &RealmName, has_found: bool) -> Result<(), ApiError> {
        let is_theirs = has_found && self.hub.cluster().is_some();
        if is_theirs {
            return Ok(());
        }
        self.find_realm(name).map(drop)
    }

    /// How other nodes call this one, if there may be others.
    fn node(&self) -> Option<Arc<str>> {
        let cluster = self.hub.cluster()?;
        Some(Arc::clone(cluster.node()))
    }

    fn drain_wish(&self) -> &Drain {
        &self.drain
    }

    fn control(&self) -> &Control {
        &self.control
    }

    fn log_control(&self) -> &dyn LogControl {
        &*self.log
    }

    fn standing(&self) -> Arc<Standing> {
        self.standing.load_full()
    }

    fn samples(&self) -> &Samples {
        &self.samples
    }

    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    fn realm(&self) -> &RealmName {
        &self.realm
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
