//! What a session's calls need: its params, and how many are in flight.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{SessionRef, WeakSession};
use crate::{CallError, CloseReason, LimitKind, Listener, Params, ParamsFull, events};

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

    /// Begins a call, unless the listener drains or too many are in flight. Give the answer to [`CallTicket::finish`].
    ///
    /// # Errors
    /// [`CallError::ShuttingDown`] or [`CallError::TooManyPending`]; counted.
    pub fn begin_call(&self) -> Result<CallTicket, CallError> {
        let in_flight = self.0.calls_in_flight.fetch_add(1, Ordering::Relaxed);
        let unsettled = self.0.unsettled.fetch_add(1, Ordering::Relaxed);
        let ticket = CallTicket {
            session: self.downgrade(),
            listener: Arc::clone(self.listener()),
            started: Instant::now(),
            is_finished: false,
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

/// A call in flight. A call that is dropped unfinished no longer counts as pending.
#[derive(Debug)]
pub struct CallTicket {
    session: WeakSession,
    listener: Arc<Listener>,
    started: Instant,
    is_finished: bool,
}

/// An answer that is computed and not queued yet. Drop it when the answer is queued: until then a draining session waits.
#[derive(Debug)]
#[must_use = "dropping it says that the answer is queued"]
pub struct Unsent(CallTicket);

impl CallTicket {
    /// Counts the answer, by its error if it is one, and its time. From now on the call is not in flight: a client that
    /// keeps as many as it may can send the next one as soon as it reads this answer.
    pub fn finish(mut self, error: Option<&CallError>) -> Unsent {
        self.end();
        let metrics = self.listener.metrics();
        metrics.call(error).inc();
        metrics
            .call_duration
            .observe(self.started.elapsed().as_secs_f64());
        Unsent(self)
    }

    /// Where the answer goes.
    #[must_use]
    pub fn session(&self) -> &WeakSession {
        &self.session
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.is_finished, true)
            && let Some(session) = self.session.upgrade()
        {
            session.0.calls_in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Unsent {
    /// Where the answer goes.
    #[must_use]
    pub fn session(&self) -> Option<SessionRef> {
        self.0.session.upgrade()
    }
}

impl Drop for CallTicket {
    fn drop(&mut self) {
        self.end();
        settle(&self.session);
    }
}

/// Something that a session waits for. It does not keep the session.
#[derive(Debug)]
pub struct Unsettled(WeakSession);

impl Drop for Unsettled {
    fn drop(&mut self) {
        settle(&self.0);
    }
}

fn settle(session: &WeakSession) {
    let Some(session) = session.upgrade() else {
        return;
    };
    session.0.unsettled.fetch_sub(1, Ordering::Release);
    // A draining connection may have waited for this.
    if session.listener().is_draining() {
        session.wake();
    }
}
