//! A service of the user's own as a backend: one POST for each call or hook.
//!
//! Start reading at [`HttpBackend`]; `ask` has the life of one request, `wire` what is sent and answered, `effects` what an
//! answer does to sessions. What users need to know stands in `docs/http-backend.md`.

mod ask;
mod breaker;
mod effects;
mod lane;
mod options;
mod signature;
mod visits;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use polyport_core::{
    Accepted, ActionInfo, Answer, Arg, Args, Ask, BackendMetrics, BackendRequest, Call, CallError,
    Denial, Hooks, Hub, Json, Later, Millis, OpenRequest, RealmName, Refused, Reply, SessionEnd,
    SessionId, SessionRef, Told, WeakSession, argument_with_binary,
    trace::{self, SpanKind, TraceContext},
};
use polyport_net::{HttpClient, Tasks};
use tokio::sync::oneshot;

use self::{
    ask::{Failure, Question, Warned},
    effects::{Answered, ApplicationError, disconnect},
    options::Settings,
    visits::{Visit, Visits},
    wire::{
        ArgsText, CallText, CloseText, IdentityText, JoinText, OpenText, PublishText, RequestText,
        SessionText, SubjectText, peer_text,
    },
};
pub use self::{
    options::{BreakerOptions, HttpOptions, HttpOptionsError, HttpRoute, Secret},
    wire::http_backend_schema,
};
use crate::Provider;

/// A service that is asked over HTTP. Calls of one session may run at the same time; nothing orders them.
pub struct HttpBackend(Arc<Inner>);

struct Inner {
    name: String,
    hooks: Hooks,
    hub: Arc<Hub>,
    tasks: Tasks,
    client: HttpClient,
    metrics: BackendMetrics,
    settings: ArcSwap<Settings>,
    visits: Visits,
    warned: Warned,
}

impl HttpBackend {
    /// A backend of that name; nothing is sent yet. Requests live in `tasks`, which waits for them at the end: they are
    /// bounded by their deadlines.
    ///
    /// # Errors
    /// [`HttpOptionsError`] names the option.
    pub fn new(
        name: &str,
        options: HttpOptions,
        hub: Arc<Hub>,
        tasks: Tasks,
        client: HttpClient,
    ) -> Result<Arc<Self>, HttpOptionsError> {
        let hooks = options.hooks;
        let settings = Settings::new(options, &client)?;
        Ok(Arc::new(Self(Arc::new(Inner {
            name: name.to_owned(),
            hooks,
            metrics: hub.metrics().backend(name),
            hub,
            tasks,
            client,
            settings: ArcSwap::from_pointee(settings),
            visits: Visits::default(),
            warned: Warned::default(),
        }))))
    }

    /// Goes on with other options. Requests under way end as they began; with different options breakers start closed.
    ///
    /// # Errors
    /// [`HttpOptionsError`]; the old options stay in force. Hooks cannot change.
    pub fn reconfigure(&self, options: HttpOptions) -> Result<(), HttpOptionsError> {
        if options.hooks != self.0.hooks {
            return Err(HttpOptionsError::HooksChanged);
        }
        if options != self.0.settings.load().options {
            let settings = Settings::new(options, &self.0.client)?;
            self.0.settings.store(Arc::new(settings));
            self.0.show_availability();
        }
        Ok(())
    }
}

impl Provider for HttpBackend {
    /// A service does not say beforehand what it answers.
    fn actions(&self) -> Vec<ActionInfo> {
        Vec::new()
    }

    fn answers(&self, _: &SessionRef, name: &str) -> bool {
        self.0.settings.load().answers(name)
    }

    fn call(&self, session: &SessionRef, call: Call<'_>, _: &Json) -> Answer {
        let inner = Arc::clone(&self.0);
        let mut question = inner.question_of(
            session,
            BackendRequest::Call,
            call.action,
            SubjectText::Call(CallText::of(&call)),
        );
        let session = session.downgrade();
        // With the answer in hand here, what the service pushes and the answer leave in one turn, and the end comes after
        // them.
        Answer::Told(Box::new(move |respond| {
            let tasks = inner.tasks.clone();
            tasks.spawn(async move {
                let answer = inner.ask(&mut question).await;
                let hub = Arc::clone(&inner.hub);
                hub.turn(|| {
                    let trace = question.trace.as_ref();
                    let (result, ends) = inner.follow(&session, answer, trace);
                    respond(answer_to_call(result));
                    if let Some(session) = ends {
                        disconnect(&session);
                    }
                });
            });
        }))
    }

    fn call_of_server(&self, realm: &RealmName, call: Call<'_>) -> Option<Told> {
        let inner = Arc::clone(&self.0);
        if !inner.settings.load().answers_servers(call.action) {
            return None;
        }
        let (nobody, kind, realm) = (SessionId::random(), BackendRequest::Call, realm.clone());
        let text = |id: &str, deadline| {
            let call = CallText::of(&call);
            RequestText::of_server(id, deadline, realm.as_str(), call).encode()
        };
        let mut question = inner.question(nobody, kind, call.action, Duration::ZERO, None, text);
        Some(Box::new(move |respond| {
            let tasks = inner.tasks.clone();
            tasks.spawn(async move {
                let answer = inner.ask(&mut question).await;
                inner.hub.turn(|| {
                    let result = answer.map(|answered| {
                        let effects = answered.effects;
                        trace::within(question.trace.as_ref(), || {
                            effects.apply_without_session(&inner.hub, &realm);
                        });
                        answered.result
                    });
                    respond(answer_to_call(result));
                });
            });
        }))
    }

    fn hooks(&self) -> Hooks {
        self.0.hooks
    }

    fn open(&self, request: &Arc<OpenRequest>) -> Later<Result<Accepted, Refused>> {
        let inner = Arc::clone(&self.0);
        let request = Arc::clone(request);
        let (tell, told) = oneshot::channel();
        inner.visits.asks(request.id, &request);
        // In a task: a client that goes meanwhile takes its opening with it, but the service is to hear of its end if it has
        // let it in.
        let tasks = inner.tasks.clone();
        tasks.spawn(async move {
            let result = inner.opening(&request).await;
            drop(tell.send(result));
        });
        Box::pin(async move {
            told.await
                .unwrap_or_else(|_| Err(Refused::Unavailable(CallError::ShuttingDown.to_string())))
        })
    }

    fn opened(&self, session: &SessionRef) {
        let inner = &self.0;
        let tells_end = inner.hooks.close && !inner.hooks.open;
        if let Some(effects) = inner.visits.opened(session, tells_end) {
            let ends = effects.disconnect;
            effects.apply(&inner.hub, session);
            if ends {
                disconnect(session);
            }
        }
    }

    fn close(&self, session: SessionId, end: &SessionEnd) {
        if let Some(visit) = self.0.visits.closed(session, end) {
            self.0.tell_end(session, &visit, end);
        }
    }

    fn may(&self, session: &SessionRef, ask: &Ask) -> Later<Result<(), Denial>> {
        let inner = Arc::clone(&self.0);
        let (request, subject, refusal) = match ask {
            Ask::Join(room) => (
                BackendRequest::Join,
                SubjectText::Join(JoinText {
                    room: room.as_str(),
                }),
                "not authorized to join room",
            ),
            Ask::Publish { room, event, args } => (
                BackendRequest::Publish,
                SubjectText::Publish(PublishText {
                    room: room.as_str(),
                    event: event.as_str(),
                    args: ArgsText(args),
                }),
                "not authorized to publish to room",
            ),
        };
        let mut question = inner.question_of(session, request, "", subject);
        let session = session.downgrade();
        let (tell, told) = oneshot::channel();
        let tasks = inner.tasks.clone();
        tasks.spawn(async move {
            let answer = inner.ask(&mut question).await;
            let hub = Arc::clone(&inner.hub);
            let result = hub.turn(|| {
                let trace = question.trace.as_ref();
                let (result, ends) = inner.follow(&session, answer, trace);
                if let Some(session) = ends {
                    disconnect(&session);
                }
                result
            });
            drop(tell.send(match result {
                Ok(Ok(value)) if is_no(value.as_ref()) => Err(Denial::silent(refusal)),
                Ok(Ok(_)) => Ok(()),
                Ok(Err(ApplicationError(text))) => Err(Denial::because(text)),
                Err(Failure::Forbidden(_)) => Err(Denial::silent(refusal)),
                Err(failure) => Err(failure.call_error().into()),
            }));
        });
        Box::pin(async move {
            told.await
                .unwrap_or_else(|_| Err(CallError::ShuttingDown.into()))
        })
    }
}

/// A value or the application's own error, or why there is neither.
type Outcome = Result<Result<Option<Json>, ApplicationError>, Failure>;

fn answer_to_call(outcome: Outcome) -> Result<Reply, CallError> {
    match outcome {
        Ok(Ok(value)) => Ok(value.map_or(Reply::Void, reply)),
        Ok(Err(ApplicationError(text))) => Err(CallError::Rejected(text)),
        Err(failure) => Err(failure.call_error()),
    }
}

/// The answer to a call, in whose value binary may stand as text.
fn reply(value: Json) -> Reply {
    match argument_with_binary(value) {
        Arg::Json(value) => Reply::Value(value),
        binary => Reply::Args(Args::from_iter([binary])),
    }
}

/// Whether a service answers a question with no.
fn is_no(value: Option<&Json>) -> bool {
    value.is_some_and(|value| value.as_str() == "false")
}

impl Inner {
    fn show_availability(&self) {
        let is_available = self.settings.load().is_available();
        self.metrics.available.set(i64::from(is_available));
    }

    /// Puts a request together; `text` is asked for it with the request's id and deadline. It belongs to what runs now, or to
    /// the trace of the client's `opening`.
    fn question(
        &self,
        session: SessionId,
        request: BackendRequest,
        action: &str,
        longest: Duration,
        opening: Option<&TraceContext>,
        text: impl FnOnce(&str, u64) -> Bytes,
    ) -> Question {
        let settings = self.settings.load_full();
        let lane = Arc::clone(settings.lane(request, action));
        let limit = if longest.is_zero() {
            lane.timeout
        } else {
            lane.timeout.min(longest)
        };
        let id = uuid::Builder::from_random_bytes(rand::random())
            .into_uuid()
            .to_string();
        let left = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let deadline = Millis(Millis::now().0.saturating_add(left));
        let body = text(&id, deadline.0);
        let tracer = self.hub.tracer();
        let mut step = tracer.begin("ask", SpanKind::Internal, opening);
        if let Some(step) = &mut step {
            step.set("polyport.backend", || self.name.clone());
            step.set("polyport.request", || request.label());
            step.rename_by("polyport.backend");
        }
        let own = step.as_ref().map(|step| step.context().clone());
        Question {
            request,
            session,
            settings,
            lane,
            id,
            started: Instant::now(),
            limit,
            deadline,
            body,
            trace: trace::current().or(own),
            step,
        }
    }

    /// A request about an open session.
    fn question_of(
        &self,
        session: &SessionRef,
        request: BackendRequest,
        action: &str,
        subject: SubjectText<'_>,
    ) -> Question {
        let identity = session.identity();
        let data = self.visits.data(session.id());
        let longest = session.listener().limits().call;
        let text = |id: &str, deadline| {
            let session = SessionText::of(session, identity.as_deref(), data.as_ref());
            RequestText::new(request, id, deadline, session, subject).encode()
        };
        let (id, opening) = (session.id(), session.trace());
        self.question(id, request, action, longest, opening, text)
    }

    /// Does what an answer says but ending the session, which is given back for that. A session that has ended meanwhile can
    /// still push to others.
    fn follow(
        &self,
        session: &WeakSession,
        answer: Result<Answered, Failure>,
        trace: Option<&TraceContext>,
    ) -> (Outcome, Option<SessionRef>) {
        let answered = match answer {
            Ok(answered) => answered,
            Err(failure) => return (Err(failure), None),
        };
        let Some(session) = session.upgrade() else {
            return (Ok(answered.result), None);
        };
        self.visits.keep(&session, &answered.effects);
        let ends = answered.effects.disconnect;
        trace::within(trace, || answered.effects.apply(&self.hub, &session));
        (Ok(answered.result), ends.then_some(session))
    }

    async fn opening(self: &Arc<Self>, request: &OpenRequest) -> Result<Accepted, Refused> {
        let listener = &request.listener;
        let longest = listener.limits().handshake;
        let opening = TraceContext::of_headers(|name| request.header(name));
        let mut question = self.question(
            request.id,
            BackendRequest::Open,
            "",
            longest,
            opening.as_ref(),
            |id, deadline| {
                let session = SessionText {
                    id: request.id.to_string(),
                    listener: listener.name(),
                    protocol: listener.protocol(),
                    realm: request.realm().name().as_str(),
                    peer: peer_text(request.peer),
                    identity: request.identity.as_deref().map(IdentityText::of),
                    rooms: Vec::new(),
                    data: None,
                };
                let subject = SubjectText::Open(OpenText::of(request));
                let kind = BackendRequest::Open;
                RequestText::new(kind, id, deadline, session, subject).encode()
            },
        );
        let answer = self.ask(&mut question).await;
        match answer {
            Ok(answered) => self.let_in(request.id, answered),
            Err(failure) => {
                let left = self.visits.not_let_in(request.id);
                if let Some((visit, end)) = left.filter(|_| failure.is_unclear()) {
                    self.tell_end(request.id, &visit, &end);
                }
                Err(refusal(&failure))
            }
        }
    }

    fn let_in(self: &Arc<Self>, id: SessionId, answered: Answered) -> Result<Accepted, Refused> {
        let refused = match answered.result {
            Ok(value) if is_no(value.as_ref()) => Some(Refused::Nobody),
            Ok(_) => None,
            Err(ApplicationError(text)) => Some(Refused::failed(text)),
        };
        if let Some(refused) = refused {
            drop(self.visits.not_let_in(id));
            return Err(refused);
        }
        let mut effects = answered.effects;
        let accepted = Accepted {
            identity: effects.identity.clone().flatten(),
            join: std::mem::take(&mut effects.join),
            public: answered.public,
            ping: answered.ping,
        };
        if let Some((visit, end)) = self.visits.let_in(id, effects) {
            self.tell_end(id, &visit, &end);
        }
        Ok(accepted)
    }

    /// Tells the service that a session has ended; nobody waits for it.
    fn tell_end(self: &Arc<Self>, id: SessionId, visit: &Visit, end: &SessionEnd) {
        if !self.hooks.close {
            return;
        }
        let kind = BackendRequest::Close;
        let text = |name: &str, deadline| {
            let subject = SubjectText::Close(CloseText {
                code: end.code,
                text: &end.text,
            });
            let session = visit.text(id);
            RequestText::new(kind, name, deadline, session, subject).encode()
        };
        let mut question = self.question(id, kind, "", Duration::ZERO, None, text);
        let inner = Arc::clone(self);
        // What becomes of it is counted and logged; there is nobody else to tell.
        self.tasks
            .spawn(async move { drop(inner.ask(&mut question).await) });
    }
}

fn refusal(failure: &Failure) -> Refused {
    let text = failure.call_error().to_string();
    match failure {
        Failure::Forbidden(_) => Refused::Nobody,
        _ if failure.is_answer() && failure.is_unclear() => Refused::failed(text),
        _ => Refused::Unavailable(text),
    }
}
