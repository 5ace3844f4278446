//! Occurrences: what is logged, counted and shown to taps together, so that these never drift apart.
//!
//! A peer's misbehaviour is never above `debug`; it is a metric.

use std::net::IpAddr;

use tracing::debug;

use crate::{
    CloseReason, LimitKind, Listener, Millis, RefuseReason, SessionRef, Wire,
    recent::{Refusal, TooSlow},
};

pub(crate) fn session_opened(session: &SessionRef) {
    let metrics = session.listener().metrics();
    metrics.sessions.inc();
    metrics.opened.inc();
    let taps = session.listener().hub().taps();
    if taps.is_on() {
        taps.opened(session);
    }
    debug!(session = %session.id(), listener = session.listener().name(), peer = %session.peer(), "session opened");
}

pub(crate) fn session_closed(session: &SessionRef, reason: CloseReason) {
    let metrics = session.listener().metrics();
    metrics.sessions.dec();
    metrics.closed(reason).inc();
    if reason == CloseReason::OutboxFull {
        let listener = session.listener();
        listener.hub().recent().too_slow.push(TooSlow {
            at: Millis::now(),
            session: session.id(),
            listener: listener.shared_name(),
            peer: session.peer(),
        });
    }
    let taps = session.listener().hub().taps();
    if taps.is_on() {
        taps.closed(session, reason);
    }
    debug!(session = %session.id(), listener = session.listener().name(), reason = reason.label(), "session closed");
}

/// Its connection is lost, and its client may come back.
pub(crate) fn session_parked(session: &SessionRef) {
    let metrics = session.listener().metrics();
    metrics.sessions.dec();
    metrics.parked.inc();
    debug!(session = %session.id(), listener = session.listener().name(), "session parked");
}

/// Its client is back, or its time is over and it closes next.
pub(crate) fn session_unparked(session: &SessionRef) {
    let metrics = session.listener().metrics();
    metrics.parked.dec();
    metrics.sessions.inc();
    debug!(session = %session.id(), listener = session.listener().name(), "session no longer parked");
}

pub(crate) fn connection_refused(listener: &Listener, peer: Option<IpAddr>, reason: RefuseReason) {
    listener.metrics().refused(reason).inc();
    listener.hub().recent().refusals.push(Refusal {
        at: Millis::now(),
        listener: listener.shared_name(),
        peer,
        reason,
    });
    debug!(
        listener = listener.name(),
        ?peer,
        reason = reason.label(),
        "connection refused"
    );
}

pub(crate) fn limit_hit(session: &SessionRef, kind: LimitKind) {
    session.listener().metrics().limit_hit(kind).inc();
    debug!(session = %session.id(), listener = session.listener().name(), limit = kind.label(), "limit reached");
}

pub(crate) fn outbox_overflowed(wire: &Wire) {
    wire_limit_hit(wire, LimitKind::Outbox);
}

pub(crate) fn wire_limit_hit(wire: &Wire, kind: LimitKind) {
    let listener = wire.listener();
    listener.metrics().limit_hit(kind).inc();
    debug!(peer = %wire.peer(), listener = listener.name(), limit = kind.label(), "limit reached");
}
