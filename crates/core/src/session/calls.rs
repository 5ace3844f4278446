//! What a session's calls need: its params, and how many are in flight.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{SessionRef, WeakSession};
use crate::{
    Answer, Backend, Call, CallError, CloseReason, LimitKind, Listener, Millis, Params, ParamsFull,
    Reply, events,
    tap::WatchedCall,
    trace::{self, Following, Span, SpanKind},
};

/// Added to what a session waits for when it has been ended because it waited for nothing: no call begins any more.
const ENDING: usize = 1 << (usize::BITS - 1);

impl SessionRef {
    /// Looks at, or changes, the session's params. For changes that can grow them use [`SessionRef::set_param`].
    pub fn with_params<R>(&self, work: impl FnOnce(&mut Params) -> R) -> R {
        work(&mut self.0.state.lock().params)
    }

    /// Sets one param within the listener's bounds.
    ///
    /// # Errors
    /// [`ParamsFull`]; it is counted and nothing changed.
    pub fn set_param(&self, name: &str, value: crate::Json) -> Result<(), ParamsFull> {
        let limits = self.listener().limits();
        let result = self.with_params(|params| {
            params.set_within(name, value, limits.params_per_session, limits.params_bytes)
        });
        if result.is_err() {
            events::limit_hit(self, LimitKind::Params);
        }
        result
    }

    /// Replaces all params within the listener's bounds.
    ///
    /// # Errors
    /// [`ParamsFull`]; it is counted and nothing changed.
    pub fn replace_params(&self, new: Params) -> Result<(), ParamsFull> {
        let limits = self.listener().limits();
        if new.len() > limits.params_per_session || new.bytes() > limits.params_bytes {
            events::limit_hit(self, LimitKind::Params);
            return Err(ParamsFull);
        }
        self.with_params(|params| *params = new);
        Ok(())
    }

    /// The same as [`SessionRef::begin_call`], if the listener's permissions let this session call the action.
    ///
    /// # Errors
    /// [`CallError::Forbidden`], or what [`SessionRef::begin_call`] says; counted. Have it shown by
    /// [`SessionRef::call_refused`].
    pub fn begin_permitted_call(&self, action: &str) -> Result<CallTicket, CallError> {
        if self.may_call(action) {
            return self.begin_call(action);
        }
        let error = CallError::Forbidden;
        self.listener().metrics().call(Some(&error)).inc();
        Err(error)
    }

    /// Shows whoever watches a call that was refused before any backend was asked, and the error that answers it.
    pub fn call_refused(&self, call: &Call<'_>, error: &CallError) {
        let taps = self.listener().hub().taps();
        if taps.is_on() {
            taps.refused(self, call, error);
        }
    }

    /// Begins a call of that action, unless the listener drains or too many are in flight. Have the backend asked by
    /// [`CallTicket::ask`], and give the answer to [`CallTicket::answer`].
    ///
    /// # Errors
    /// [`CallError::ShuttingDown`] or [`CallError::TooManyPending`]; counted.
    pub fn begin_call(&self, action: &str) -> Result<CallTicket, CallError> {
        let in_flight = self.0.calls_in_flight.fetch_add(1, Ordering::Relaxed);
        let unsettled = self.0.unsettled.fetch_add(1, Ordering::Relaxed);
        let ticket = CallTicket {
            session: self.downgrade(),
            listener: Arc::clone(self.listener()),
            started: Instant::now(),
            watched: None,
            is_finished: false,
            span: self.call_span(action),
        };
        let error = if self.listener().is_draining() || unsettled >= ENDING {
            CallError::ShuttingDown
        } else if in_flight >= self.listener().limits().calls_in_flight {
            events::limit_hit(self, LimitKind::CallsInFlight);
            CallError::TooManyPending
        } else {
            return Ok(ticket);
        };
        drop(ticket.finish(Some(&error)));
        Err(error)
    }

    fn call_span(&self, action: &str) -> Option<Span> {
        let tracer = self.listener().hub().tracer();
        let mut span = tracer.begin("call", SpanKind::Server, self.trace())?;
        span.set("polyport.action", || action.to_owned());
        span.set("polyport.listener", || self.listener().name().to_owned());
        span.set("polyport.protocol", || self.listener().protocol());
        Some(span)
    }

    /// Says that this session waits for something that is no call: until what comes back is dropped, a draining session
    /// does not end.
    #[must_use]
    pub fn unsettle(&self) -> Unsettled {
        self.0.unsettled.fetch_add(1, Ordering::Relaxed);
        Unsettled(self.downgrade())
    }

    /// Calls that wait for their answer.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.0.calls_in_flight.load(Ordering::Relaxed)
    }

    /// Whether no call is in flight and every answer is queued: a draining session may end.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.0.unsettled.load(Ordering::Acquire) == 0
    }

    /// Ends the session if it [is settled](SessionRef::is_settled), so that no call can begin in between whose answer would be
    /// lost. Whether it was.
    #[must_use]
    pub fn close_if_settled(&self, reason: CloseReason) -> bool {
        let unsettled = &self.0.unsettled;
        let is_settled = unsettled
            .compare_exchange(0, ENDING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if is_settled {
            self.close(reason);
        }
        is_settled
    }

    /// Whether a handler should leave its remaining input for another turn, so that what is queued leaves first: this turn
    /// has queued very many frames, or this session has much waiting.
    #[must_use]
    pub fn is_turn_over(&self) -> bool {
        self.0.wire.is_turn_over()
    }
}

/// A call in flight. A call that is dropped unfinished was none: it no longer counts as pending, and has no span.
#[derive(Debug)]
pub struct CallTicket {
    session: WeakSession,
    listener: Arc<Listener>,
    started: Instant,
    watched: Option<Box<WatchedCall>>,
    is_finished: bool,
    span: Option<Span>,
}

/// An answer that is computed and not queued yet. Drop it when the answer is queued: until then a draining session waits, and
/// is kept.
#[derive(Debug)]
#[must_use = "dropping it says that the answer is queued"]
pub struct Unsent(Option<SessionRef>);

impl CallTicket {
    /// Has `backend` answer the call, as a part of the call's trace.
    pub fn ask(&mut self, session: &SessionRef, backend: &dyn Backend, call: Call<'_>) -> Answer {
        let taps = self.listener.hub().taps();
        if !taps.is_on() {
            return self.traced(|| backend.call(session, call));
        }
        let at = Millis::now();
        let answer = self.traced(|| backend.call(session, call));
        let is_call = !matches!(answer, Answer::Now(Err(CallError::UnknownAction)));
        self.watched = taps.called(session, &call, at, is_call);
        answer
    }

    /// Has whoever watches see a call that no backend is asked for.
    pub fn show(&mut self, session: &SessionRef, call: &Call<'_>) {
        let taps = self.listener.hub().taps();
        if taps.is_on() {
            self.watched = taps.called(session, call, Millis::now(), true);
        }
    }

    /// Whether somebody watches, and is shown what [`CallTicket::answer`] is given.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    fn traced(&self, backend: impl FnOnce() -> Answer) -> Answer {
        let Some(span) = &self.span else {
            return backend();
        };
        match trace::within(Some(span.context()), backend) {
            Answer::Later(later) => {
                Answer::Later(Box::pin(Following::new(span.context().clone(), later)))
            }
            answer => answer,
        }
    }

    /// The same as [`CallTicket::finish`] with what the client is answered.
    pub fn answer(mut self, answer: &Result<Reply, CallError>) -> Unsent {
        if let Some(watched) = self.watched.take()
            && let Some(session) = self.session.upgrade()
        {
            let taps = self.listener.hub().taps();
            taps.answered(&session, *watched, answer, self.started.elapsed());
        }
        self.finish(answer.as_ref().err())
    }

    /// Counts the answer, by its error if it is one, and its time. From now on the call is not in flight: a client that
    /// keeps as many as it may can send the next one as soon as it reads this answer.
    pub fn finish(mut self, error: Option<&CallError>) -> Unsent {
        let session = self.end();
        let metrics = self.listener.metrics();
        metrics.call(error).inc();
        metrics
            .call_duration
            .observe(self.started.elapsed().as_secs_f64());
        if let Some(mut span) = self.span.take() {
            let outcome = error.map_or("ok", CallError::label);
            span.set("polyport.outcome", || outcome);
            if !error.is_some_and(CallError::is_of_no_backend) {
                span.rename_by("polyport.action");
            }
            if error.is_some_and(CallError::is_fault) {
                span.fail(outcome);
            }
        }
        Unsent(session)
    }

    /// Where the answer goes.
    #[must_use]
    pub fn session(&self) -> &WeakSession {
        &self.session
    }

    /// From now on the call is not in flight. The session, if it is there, has still to be settled.
    fn end(&mut self) -> Option<SessionRef> {
        self.is_finished = true;
        let session = self.session.upgrade()?;
        session.0.calls_in_flight.fetch_sub(1, Ordering::Relaxed);
        Some(session)
    }
}

impl Drop for CallTicket {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        if let Some(span) = self.span.take() {
            span.discard();
        }
        if let Some(session) = self.end() {
            settle(&session);
        }
    }
}

impl Unsent {
    /// Where the answer goes; `None` when the session has ended.
    #[must_use]
    pub fn session(&self) -> Option<&SessionRef> {
        self.0.as_ref()
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            settle(session);
        }
    }
}

/// Something that a session waits for. It does not keep the session.
#[derive(Debug)]
pub struct Unsettled(WeakSession);

impl Drop for Unsettled {
    fn drop(&mut self) {
        if let Some(session) = self.0.upgrade() {
            settle(&session);
        }
    }
}

fn settle(session: &SessionRef) {
    session.0.unsettled.fetch_sub(1, Ordering::Release);
    // A draining connection may have waited for this.
    if session.listener().is_draining() {
        session.wake();
    }
}
