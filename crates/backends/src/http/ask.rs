//! One request to a service: its turn in a lane, at most two attempts, and what became of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, StatusCode};
use polyport_core::{
    BackendMetrics, BackendOutcome, BackendRequest, CallError, Millis, SessionId,
    trace::{self, Span, SpanKind, TraceContext},
};
use polyport_net::{ClientError, ClientRequest, ClientResponse};
use tokio::time::timeout;

use super::{
    Inner,
    breaker::Change,
    effects::{Answered, ApplicationError},
    lane::Lane,
    options::Settings,
    signature::Attempt,
};

/// Before a request is sent again; at random between these.
const RETRY_AFTER: std::ops::Range<u64> = 10..60;
/// A failing service is reported so often; the other reports are at level `debug`.
const WARN_EVERY: u64 = 10_000;

/// A request that is put together.
pub(super) struct Question {
    pub(super) request: BackendRequest,
    pub(super) session: SessionId,
    pub(super) settings: Arc<Settings>,
    pub(super) lane: Arc<Lane>,
    pub(super) id: String,
    pub(super) started: Instant,
    pub(super) limit: Duration,
    pub(super) deadline: Millis,
    pub(super) body: Bytes,
    /// What it is a part of: what the answer does is, too.
    pub(super) trace: Option<TraceContext>,
    /// Its own part of that, while it is asked.
    pub(super) step: Option<Span>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("it has failed so often that it is left alone for a while")]
    CircuitOpen,
    #[error("too many requests wait for it")]
    QueueFull,
    /// `sent` as in [`ClientError::Timeout`].
    #[error("it did not answer in time")]
    Deadline { sent: bool },
    #[error("{0}")]
    Client(ClientError),
    /// 401 or 403: the session may not.
    #[error("it answered with status {0}")]
    Forbidden(StatusCode),
    /// 429, 502, 503 or 504: it, or what stands before it, has no room or nobody to ask.
    #[error("it answered with status {0}")]
    Busy(StatusCode),
    /// Another status of 500 and above.
    #[error("it answered with status {0}")]
    Failed(StatusCode),
    #[error("its answer cannot be used: {0}")]
    BadAnswer(String),
}

impl Failure {
    /// Whether the service may have acted on the request without our having understood its answer.
    pub(super) fn is_unclear(&self) -> bool {
        match self {
            Self::Deadline { sent } => *sent,
            Self::Client(error) => error.may_have_been_processed(),
            Self::BadAnswer(_) | Self::Failed(_) => true,
            Self::CircuitOpen | Self::QueueFull | Self::Forbidden(_) | Self::Busy(_) => false,
        }
    }

    /// Whether the service gave a sign of life. What is answered badly is answered: the breaker is for what is not.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Deadline { .. } => false,
            Self::Client(error) => matches!(error, ClientError::TooLarge { .. }),
            Self::Busy(status) => *status == StatusCode::TOO_MANY_REQUESTS,
            _ => true,
        }
    }

    /// Whether another attempt may do better.
    fn may_be_passing(&self) -> bool {
        match self {
            Self::Client(error) => matches!(
                error,
                ClientError::Connect(_) | ClientError::LinkBroken { .. }
            ),
            Self::Busy(status) => *status != StatusCode::TOO_MANY_REQUESTS,
            _ => false,
        }
    }

    fn may_have_been_processed(&self) -> bool {
        match self {
            Self::Client(error) => error.may_have_been_processed(),
            _ => true,
        }
    }

    fn outcome(&self) -> BackendOutcome {
        match self {
            Self::CircuitOpen => BackendOutcome::CircuitOpen,
            Self::QueueFull => BackendOutcome::Overloaded,
            Self::Deadline { .. } => BackendOutcome::Timeout,
            Self::Client(error) => match error {
                ClientError::TooLarge { .. } | ClientError::NotHttp(_) => BackendOutcome::BadAnswer,
                ClientError::Timeout { .. } => BackendOutcome::Timeout,
                ClientError::BadUrl(_)
                | ClientError::Connect(_)
                | ClientError::LinkBroken { .. } => BackendOutcome::Unreachable,
            },
            Self::Forbidden(_) => BackendOutcome::Rejected,
            Self::Busy(StatusCode::TOO_MANY_REQUESTS) => BackendOutcome::Overloaded,
            Self::Busy(_) => BackendOutcome::Unreachable,
            Self::Failed(_) => BackendOutcome::Failed,
            Self::BadAnswer(_) => BackendOutcome::BadAnswer,
        }
    }

    /// What the client is told.
    pub(super) fn call_error(&self) -> CallError {
        match self.outcome() {
            BackendOutcome::Unreachable | BackendOutcome::CircuitOpen => CallError::Unavailable,
            BackendOutcome::Overloaded => CallError::Overloaded,
            BackendOutcome::Timeout => CallError::Deadline,
            BackendOutcome::BadAnswer => CallError::BadAnswer,
            BackendOutcome::Rejected => CallError::Forbidden,
            _ => CallError::Internal,
        }
    }
}

impl Inner {
    /// Asks the service, counts what becomes of it, and logs what the operator should know.
    pub(super) async fn ask(&self, question: &mut Question) -> Result<Answered, Failure> {
        let step = question.step.take();
        // Without traces of our own each request is one by itself.
        let trace = match &step {
            Some(step) => step.context().clone(),
            None => TraceContext::root(|_| true),
        };
        let result = self.in_turn(question, &trace).await;
        let outcome = match &result {
            Ok(answered) if answered.result.is_err() => BackendOutcome::Rejected,
            Ok(_) => BackendOutcome::Ok,
            Err(failure) => failure.outcome(),
        };
        self.metrics
            .asked(question.request, outcome, question.started.elapsed());
        if let Err(failure) = &result {
            trace::within(Some(&trace), || self.report(question, failure));
        }
        if let Some(mut step) = step {
            step.set("polyport.outcome", || outcome.label());
            if let Err(failure) = &result {
                step.fail(failure.to_string());
            }
        }
        result
    }

    async fn in_turn(
        &self,
        question: &Question,
        trace: &TraceContext,
    ) -> Result<Answered, Failure> {
        let lane = &question.lane;
        if lane.breaker.refuses(Instant::now()) {
            return Err(Failure::CircuitOpen);
        }
        let slot = timeout(question.left(), lane.enter(&self.metrics)).await;
        let slot = slot
            .map_err(|_| Failure::Deadline { sent: false })?
            .map_err(|_| Failure::QueueFull)?;
        // It may have opened while this one waited.
        let Some(pass) = lane.breaker.admit(Instant::now()) else {
            return Err(Failure::CircuitOpen);
        };
        let result = {
            let _in_flight = InFlight::begin(&self.metrics);
            self.attempts(question, trace).await
        };
        drop(slot);
        let was_answered = result.as_ref().err().is_none_or(Failure::is_answer);
        let change = lane.breaker.settle(pass, was_answered, Instant::now());
        self.note(&question.settings, change);
        result
    }

    /// Sends the request; once more where that is safe and may help.
    async fn attempts(
        &self,
        question: &Question,
        trace: &TraceContext,
    ) -> Result<Answered, Failure> {
        let failure = match self.attempt(question, trace, 1).await {
            Ok(answered) => return Ok(answered),
            Err(failure) => failure,
        };
        let is_safe = question.lane.idempotent || !failure.may_have_been_processed();
        let pause = Duration::from_millis(rand::random_range(RETRY_AFTER));
        if !(failure.may_be_passing() && is_safe && pause < question.left()) {
            return Err(failure);
        }
        tracing::debug!(backend = self.name, request = question.id, %failure, "a request is sent again");
        tokio::time::sleep(pause).await;
        self.attempt(question, trace, 2).await
    }

    async fn attempt(
        &self,
        question: &Question,
        trace: &TraceContext,
        number: u32,
    ) -> Result<Answered, Failure> {
        let settings = &question.settings;
        let tracer = self.hub.tracer();
        let mut span = tracer.begin_in("POST", SpanKind::Client, Some(trace));
        let context = match &span {
            Some(span) => span.context().clone(),
            None => trace.child(),
        };
        let attempt = Attempt {
            id: &question.id,
            number,
            trace: &context,
            now: Millis::now(),
            deadline: question.deadline,
            body: &question.body,
        };
        let request = ClientRequest {
            method: Method::POST,
            url: settings.options.url.clone(),
            headers: attempt.headers(&settings.signer),
            body: question.body.clone(),
            timeout: question.left(),
            max_body: settings.options.max_answer,
        };
        let sent = settings.client.send(request).await;
        if let Some(span) = &mut span {
            span.set("http.request.method", || "POST");
            span.set("polyport.attempt", || number as usize);
            if let Ok(response) = &sent {
                let status = response.status.as_u16();
                span.set("http.response.status_code", || usize::from(status));
            }
        }
        let result = match sent {
            Ok(response) => read(question, &response),
            Err(ClientError::Timeout { sent }) => Err(Failure::Deadline { sent }),
            Err(error) => Err(Failure::Client(error)),
        };
        if let (Some(span), Err(failure)) = (&mut span, &result) {
            span.fail(failure.to_string());
        }
        result
    }

    /// Follows a change of a lane's breaker.
    fn note(&self, settings: &Settings, change: Change) {
        match change {
            Change::None => return,
            Change::Opened { newly: false } => {
                tracing::debug!(backend = self.name, "the service still does not answer");
                return;
            }
            Change::Opened { newly: true } => {
                settings.open_breakers.fetch_add(1, Ordering::Relaxed);
                let pause = settings.options.breaker.pause;
                tracing::warn!(
                    backend = self.name,
                    ?pause,
                    "the service does not answer: it is left alone for a while"
                );
            }
            Change::Closed => {
                settings.open_breakers.fetch_sub(1, Ordering::Relaxed);
                tracing::info!(backend = self.name, "the service answers again");
            }
        }
        self.show_availability();
    }

    fn report(&self, question: &Question, failure: &Failure) {
        let trace_id = trace::current().map(|trace| trace.trace_id());
        if self.warned.is_due(Millis::now()) {
            tracing::warn!(
                backend = self.name,
                asked = question.request.label(),
                request = question.id,
                trace_id,
                %failure,
                "the service has failed"
            );
        } else {
            tracing::debug!(
                backend = self.name,
                asked = question.request.label(),
                session = %question.session,
                request = question.id,
                trace_id,
                %failure,
                "the service has failed"
            );
        }
    }
}

impl Question {
    /// The time that is left for it.
    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.started.elapsed())
    }
}

/// What an answer's status and body say.
fn read(question: &Question, response: &ClientResponse) -> Result<Answered, Failure> {
    let status = response.status;
    let answered = || {
        let max_data = question.settings.options.max_data;
        Answered::read(&response.body, question.session, max_data)
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Busy(status)),
        StatusCode::NO_CONTENT => Ok(Answered::default()),
        StatusCode::OK => answered().map_err(Failure::BadAnswer),
        _ if status.is_server_error() => Err(Failure::Failed(status)),
        _ if status.is_client_error() => match answered() {
            // Many frameworks say an application's error with such a status.
            Ok(Answered {
                result: Err(ApplicationError(text)),
                ..
            }) if !is_nobody(question, status) => Ok(Answered {
                result: Err(ApplicationError(text)),
                ..Answered::default()
            }),
            _ if is_forbidden(status) => Err(Failure::Forbidden(status)),
            _ => Err(Failure::BadAnswer(format!("status {status}"))),
        },
        _ => Err(Failure::BadAnswer(format!("status {status}"))),
    }
}

fn is_forbidden(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// To an opening these two mean that the client is nobody, whatever text comes along.
fn is_nobody(question: &Question, status: StatusCode) -> bool {
    question.request == BackendRequest::Open && is_forbidden(status)
}

struct InFlight<'a>(&'a BackendMetrics);

impl<'a> InFlight<'a> {
    fn begin(metrics: &'a BackendMetrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// Lets one report through in so many milliseconds.
#[derive(Debug, Default)]
pub(super) struct Warned(AtomicU64);

impl Warned {
    fn is_due(&self, now: Millis) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        now.0 >= last.saturating_add(WARN_EVERY)
            && self
                .0
                .compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
