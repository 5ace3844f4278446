//! One connection as the core knows it: its place among those that are admitted, its outbox and the way to the peer.
//! Usually it has one session; protocols with namespaces put several on it.

use std::{fmt, sync::Arc};

use crate::{
    Admission, CloseReason, Flushed, Frame, FrameSource, LimitKind, Listener, Outbox, Peer,
    Transport, events, outbox::Pushed, trace::TraceContext, turn,
};

/// Answers to a connection's own requests end a turn when so many bytes of them wait.
const WAITING_PER_TURN: usize = 64 << 10;

/// A connection.
pub struct Wire {
    admission: Admission,
    peer: Peer,
    transport: Arc<dyn Transport>,
    outbox: Outbox,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wire").field(&self.peer).finish()
    }
}

impl Wire {
    /// A connection that was admitted, with an empty outbox. It keeps its place until it is dropped.
    #[must_use]
    pub fn new(admission: Admission, peer: Peer, transport: Arc<dyn Transport>) -> Arc<Self> {
        Arc::new(Self {
            admission,
            peer,
            transport,
            outbox: Outbox::new(),
        })
    }

    /// Another wire to the same peer, with an outbox of its own, whose `transport` passes on to `base` what is queued here.
    /// It takes no place of its own among those that are admitted.
    #[must_use]
    pub fn above(base: &Self, transport: Arc<dyn Transport>) -> Arc<Self> {
        Self::new(base.admission.shared(), base.peer, transport)
    }

    /// The trace that its opening belongs to.
    pub(crate) fn trace(&self) -> Option<&TraceContext> {
        self.admission.trace()
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The listener it came through.
    #[must_use]
    pub fn listener(&self) -> &Arc<Listener> {
        self.admission.listener()
    }

    /// The queue of frames, for the connection's task.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Queues a frame, to be written at the end of the turn. A frame to a connection that is closing is dropped; one that
    /// does not fit closes it. Whether it was queued.
    pub fn send(self: &Arc<Self>, frame: Frame) -> bool {
        self.sent(|| self.push(frame))
    }

    /// Queues a source of frames behind what waits already; what comes later waits until it has ended.
    pub fn send_source(self: &Arc<Self>, source: Box<dyn FrameSource>) {
        let limit = self.listener().outbox_limit();
        self.sent(|| self.outbox.push_source(source, limit));
    }

    fn sent(self: &Arc<Self>, push: impl FnOnce() -> Pushed) -> bool {
        self.listener().hub().turn(|| match push() {
            Pushed::Queued => true,
            Pushed::MustFlush => {
                turn::flush_later([Arc::clone(self)]);
                true
            }
            Pushed::Overflowed => {
                events::outbox_overflowed(self);
                self.wake();
                false
            }
            Pushed::Refused => false,
        })
    }

    pub(crate) fn push(&self, frame: Frame) -> Pushed {
        self.outbox.push(frame, self.listener().outbox_limit())
    }

    /// Whether it could take a frame at once: the peer has taken all that was written, and there is a way to it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.outbox.is_blocked() && self.transport.is_ready()
    }

    /// Queues the protocol's last words; past the bound, and also when the outbox is closing. For the connection's task.
    pub fn send_last(&self, frame: Frame) {
        self.outbox.push_last(frame);
    }

    /// Writes what waits, as far as the peer takes it now.
    pub fn flush(&self) -> Flushed {
        self.outbox.flush(&*self.transport)
    }

    /// Ends the connection: nothing more is queued, its task says goodbye and closes.
    pub fn close(&self, reason: CloseReason) {
        if self.outbox.close(reason) {
            self.wake();
        }
    }

    /// Counts a limit that a front end checks itself, such as the length of a message.
    pub fn limit_hit(&self, kind: LimitKind) {
        events::wire_limit_hit(self, kind);
    }

    /// Lets the connection's task look again: whether it is closing, or its listener drains.
    pub fn wake(&self) {
        self.transport.wake();
    }

    /// Whether a handler should leave its remaining input for another turn, so that what is queued leaves first: this turn
    /// has queued very many frames, or this connection has much waiting.
    #[must_use]
    pub fn is_turn_over(&self) -> bool {
        turn::is_exhausted() || self.outbox.waiting() >= WAITING_PER_TURN
    }
}
