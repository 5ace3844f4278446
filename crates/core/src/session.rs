//! One client connection as the core knows it.

mod calls;
mod rooms;

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use smallvec::SmallVec;

pub use self::{
    calls::{CallTicket, Unsent},
    rooms::{JoinError, LeaveError},
};
use crate::{
    Admission, Answered, Args, Asks, Branch, CloseReason, Delivered, Dialect, Event, EventName,
    Except, Flushed, Frame, Handshake, Identity, LimitKind, Listener, Millis, NoAcks, Outbox,
    Params, Peer, Realm, RoomName, Sender, SessionId, Target, Transport, Wire, events,
    room::{Room, Seat},
    site_room,
    trace::{self, TraceContext},
};

/// What a session is opened with.
pub struct Opening {
    /// The id it will have, which backends may know already.
    pub id: SessionId,
    /// The connection's place, from [`Listener::admit`]; held as long as the session lives.
    pub admission: Admission,
    /// The other end.
    pub peer: Peer,
    /// How frames reach it.
    pub transport: Arc<dyn Transport>,
}

/// What one of several sessions on a connection is opened with.
pub struct OpeningOn<'a> {
    /// The id it will have, which backends may know already.
    pub id: SessionId,
    /// Its connection, which it does not end when it ends.
    pub wire: &'a Arc<Wire>,
    /// Its part of the listener.
    pub branch: Arc<Branch>,
    /// How its client is asked, in a protocol in which clients answer.
    pub asks: Option<Arc<dyn Asks>>,
    /// A frame that precedes everything else the client hears.
    pub greeting: Option<Frame>,
}

/// The owner's handle of an open session: the connection holds it. Dropping it closes the session and leaves its rooms.
#[derive(Debug)]
pub struct Session(SessionRef);

/// A shared handle of a session, which may have ended meanwhile.
#[derive(Clone)]
pub struct SessionRef(Arc<Inner>);

struct Inner {
    id: SessionId,
    opened_at: Millis,
    wire: Arc<Wire>,
    /// The connection goes on when this session ends.
    is_guest_of_wire: bool,
    branch: Arc<Branch>,
    asks: Option<Arc<dyn Asks>>,
    calls_in_flight: AtomicUsize,
    /// Calls in flight, and answers that are not queued yet.
    unsettled: AtomicUsize,
    is_parked: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    params: Params,
    identity: Option<Arc<Identity>>,
    /// The site of the page that it was opened from, on listeners that take tokens.
    site: Option<Box<str>>,
    /// It is in that site's room whoever it is.
    is_on_site: bool,
    /// In order of joining.
    rooms: SmallVec<[Membership; 1]>,
    /// Set when the session ends: from then on it joins nothing.
    ended: bool,
}

struct Membership {
    room: Arc<Room>,
    seat: Seat,
}

/// Why an event was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The session is not in the room, and may not publish from outside.
    #[error("not in this room")]
    NotMember,
    /// The listener's permissions do not let it publish there.
    #[error("not authorized to publish to room")]
    Forbidden,
}

impl Session {
    /// Opens a session: registers it and puts it into its listener's rooms.
    #[must_use]
    pub fn open(opening: Opening) -> Self {
        Self::open_greeting(opening, None)
    }

    /// The same, with a frame that precedes everything else the client hears.
    #[must_use]
    pub fn open_greeting(opening: Opening, greeting: Option<Frame>) -> Self {
        let wire = Wire::new(opening.admission, opening.peer, opening.transport);
        let branch = Arc::clone(wire.listener().branch());
        Self::start(
            OpeningOn {
                id: opening.id,
                wire: &wire,
                branch,
                asks: None,
                greeting,
            },
            false,
        )
    }

    /// Opens one of several sessions on a connection.
    #[must_use]
    pub fn open_on(opening: OpeningOn<'_>) -> Self {
        Self::start(opening, true)
    }

    fn start(opening: OpeningOn<'_>, is_guest_of_wire: bool) -> Self {
        let session = SessionRef(Arc::new(Inner {
            id: opening.id,
            opened_at: Millis::now(),
            wire: Arc::clone(opening.wire),
            is_guest_of_wire,
            branch: opening.branch,
            asks: opening.asks,
            calls_in_flight: AtomicUsize::new(0),
            unsettled: AtomicUsize::new(0),
            is_parked: AtomicBool::new(false),
            state: Mutex::default(),
        }));
        session.listener().hub().register(&session);
        events::session_opened(&session);
        session.changed();
        if let Some(greeting) = opening.greeting {
            session.send(greeting);
        }
        for room in session.0.branch.join() {
            session
                .put_into(room)
                .expect("a new session is in no room and under every bound");
        }
        Self(session)
    }
}

impl std::ops::Deref for Session {
    type Target = SessionRef;

    fn deref(&self) -> &SessionRef {
        &self.0
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.0.0.is_guest_of_wire {
            self.0.close(CloseReason::PeerGone);
        }
        self.0.leave_all();
        let hub = self.0.listener().hub();
        hub.expiries()
            .replace(self.0.id(), self.0.identity().as_deref(), None);
        hub.forget(&self.0);
        self.0.changed();
        let reason = self.0.outbox().closing();
        let reason = reason.unwrap_or(CloseReason::ClientLeft);
        events::session_closed(&self.0, reason);
    }
}

impl SessionRef {
    /// Who it is.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.0.wire.peer()
    }

    /// When it opened.
    #[must_use]
    pub fn opened_at(&self) -> Millis {
        self.0.opened_at
    }

    /// The listener it came through.
    #[must_use]
    pub fn listener(&self) -> &Arc<Listener> {
        self.0.wire.listener()
    }

    /// Its connection.
    #[must_use]
    pub fn wire(&self) -> &Arc<Wire> {
        &self.0.wire
    }

    /// Its part of the listener.
    #[must_use]
    pub fn branch(&self) -> &Arc<Branch> {
        &self.0.branch
    }

    /// The realm it lives in.
    #[must_use]
    pub fn realm(&self) -> &Arc<Realm> {
        self.0.branch.realm()
    }

    pub(crate) fn dialect(&self) -> &Arc<dyn Dialect> {
        self.0.branch.dialect()
    }

    // --- what it sends and gets -------------------------------------------------------------------------------------

    /// Queues a frame to this session, to be written at the end of the turn. A frame to a session that is closing is
    /// dropped; one that does not fit closes the session.
    pub fn send(&self, frame: Frame) {
        self.try_send(frame);
    }

    /// The same; whether it was queued.
    pub(crate) fn try_send(&self, frame: Frame) -> bool {
        self.0.wire.send(frame)
    }

    /// Queues a source of frames behind what waits already; what comes later waits until it has ended.
    pub fn send_source(&self, source: Box<dyn crate::FrameSource>) {
        self.0.wire.send_source(source);
    }

    /// Whether its connection could take a frame at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.wire.is_ready()
    }

    /// Writes an event in this session's dialect and queues it to this session alone; whether it was queued.
    pub fn tell(&self, event: &Event) -> bool {
        let taps = self.listener().hub().taps();
        if taps.is_on() {
            taps.told(self, event);
        }
        let asks = self.0.asks.as_ref();
        if asks.is_some_and(|asks| asks.order(self, event)) {
            return true;
        }
        if !self.dialect().carries(event) || (event.is_volatile && !self.is_ready()) {
            return false;
        }
        let metrics = self.listener().metrics();
        metrics.encodes.inc();
        let queued = self.try_send(self.dialect().encode(event));
        metrics.delivered.inc_by(u64::from(queued));
        queued
    }

    /// Tells an event to this session alone and has `respond` hear of its client's answer.
    ///
    /// # Errors
    /// [`NoAcks`] when clients of its protocol answer nothing; nothing was told.
    pub fn ask(&self, event: &Event, respond: Answered) -> Result<(), NoAcks> {
        let taps = self.listener().hub().taps();
        if taps.is_on() && self.answers_events() {
            taps.told(self, event);
        }
        self.ask_unseen(event, respond)
    }

    /// The same where taps have seen the event already.
    pub(crate) fn ask_unseen(&self, event: &Event, respond: Answered) -> Result<(), NoAcks> {
        let asks = self.0.asks.as_ref().ok_or(NoAcks)?;
        asks.ask(self, event, respond);
        Ok(())
    }

    /// Whether its client answers events, so that it can be asked.
    #[must_use]
    pub fn answers_events(&self) -> bool {
        self.0.asks.is_some()
    }

    /// What its client calls itself among servers of its protocol, if those know each other's clients. It is also the name of
    /// the room that it is alone in. Nothing while the client is lost.
    #[must_use]
    pub fn client_name(&self) -> Option<String> {
        self.0.asks.as_ref()?.client_name(self)
    }

    /// How its client came, as far as that is known.
    #[must_use]
    pub fn handshake(&self) -> Handshake {
        let asks = self.0.asks.as_ref();
        asks.map(|asks| asks.handshake(self)).unwrap_or_default()
    }

    /// Whether this session may publish to a room now.
    ///
    /// # Errors
    /// [`PublishError`] says why not.
    pub fn may_publish(&self, room: &RoomName) -> Result<(), PublishError> {
        let is_member = self.is_in(room);
        let identity = self.identity();
        let permissions = self.listener().permissions();
        if permissions.may_publish(room, is_member, identity.as_deref()) {
            return Ok(());
        }
        Err(if is_member {
            PublishError::Forbidden
        } else {
            PublishError::NotMember
        })
    }

    /// Whether this session may call an action.
    #[must_use]
    pub fn may_call(&self, action: &str) -> bool {
        let permissions = self.listener().permissions();
        permissions.calls_are_open() || permissions.may_call(action, self.identity().as_deref())
    }

    /// Publishes an event to a room, if the listener's permissions let this session.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was published.
    pub fn publish(
        &self,
        room: &RoomName,
        name: EventName,
        args: Args,
        except: Except<'_>,
    ) -> Result<Delivered, PublishError> {
        self.may_publish(room)?;
        Ok(self.publish_allowed(room, name, args, except))
    }

    /// Publishes an event to a room after [`SessionRef::may_publish`] has said yes: for front ends that answer in between.
    pub fn publish_allowed(
        &self,
        room: &RoomName,
        name: EventName,
        args: Args,
        except: Except<'_>,
    ) -> Delivered {
        let event = Event {
            name,
            args,
            room: Some(room.clone()),
            from: Sender::Session(self.id()),
            sent_at: Millis::now(),
            is_volatile: false,
            place: None,
        };
        self.listener().metrics().published.inc();
        let realm = self.realm();
        let target = Target::Room {
            realm,
            room,
            except,
        };
        self.traced(|| self.listener().hub().publish(target, &event))
    }

    /// Says something to the sessions of its listener's own room that speak its dialect, as a finished frame. No permission is
    /// asked: this is the protocol's own traffic.
    pub fn relay(&self, except: Except<'_>, frame: &Frame) -> Delivered {
        let listener = self.listener();
        listener.metrics().published.inc();
        let taps = listener.hub().taps();
        if taps.is_on() {
            taps.relayed(self, frame);
        }
        self.traced(|| listener.hub().relay(listener, except, frame))
    }

    /// The trace that its client's opening belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<&TraceContext> {
        self.0.wire.trace()
    }

    /// Does `work` as a part of what runs now, or else of the trace that its client's opening belongs to.
    fn traced<R>(&self, work: impl FnOnce() -> R) -> R {
        let own = self.trace().filter(|_| trace::current().is_none());
        trace::within(own, work)
    }

    /// Writes what waits, as far as the peer takes it now.
    pub fn flush(&self) -> Flushed {
        self.0.wire.flush()
    }

    /// The queue of frames, for the connection's task.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        self.0.wire.outbox()
    }

    /// Queues the protocol's last words; past the bound, and also when the outbox is closing. For the connection's task.
    pub fn send_last(&self, frame: Frame) {
        self.0.wire.send_last(frame);
    }

    /// Ends the session: nothing more is queued, the connection's task says goodbye and closes.
    pub fn close(&self, reason: CloseReason) {
        self.0.wire.close(reason);
    }

    /// Ends this session alone at the server's wish, soon. Where it is the only one that its connection can have, that ends
    /// too.
    pub fn disconnect(&self) {
        match &self.0.asks {
            Some(asks) => asks.disconnect(self),
            None => self.close(CloseReason::Disconnected),
        }
    }

    /// Lets the connection's task look at its session again: whether it is closing, or its listener drains.
    pub fn wake(&self) {
        self.0.wire.wake();
    }

    pub(crate) fn identity_expired(&self) {
        self.identify(None);
        if let Some(asks) = &self.0.asks {
            asks.identity_expired(self);
        }
    }

    /// Says that its connection is lost while its client may still come back: it stays open, but counts as parked until
    /// [`SessionRef::unpark`], which also precedes its end.
    pub fn park(&self) {
        self.0.is_parked.store(true, Ordering::Release);
        events::session_parked(self);
    }

    /// Says that it is parked no longer.
    pub fn unpark(&self) {
        self.0.is_parked.store(false, Ordering::Release);
        events::session_unparked(self);
    }

    /// Whether its connection is lost and its client may still come back.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        self.0.is_parked.load(Ordering::Acquire)
    }

    /// Ends it without a word, because its client has come back to another node.
    pub fn moved_away(&self) {
        if self.is_parked() {
            self.close(CloseReason::PeerGone);
        }
    }

    // --- who it is --------------------------------------------------------------------------------------------------

    /// Who it is, if that is known.
    #[must_use]
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.0.state.lock().identity.clone()
    }

    /// The site of the page that it was opened from, if that is known: whoever it is, or nobody yet.
    #[must_use]
    pub fn site(&self) -> Option<Box<str>> {
        self.0.state.lock().site.clone()
    }

    /// Remembers the site of its page, and puts it into that site's room for good if `is_on_site`.
    pub(crate) fn opened_from(&self, site: Box<str>, is_on_site: bool) {
        let room = site_room(&site).ok().filter(|_| is_on_site);
        {
            let mut state = self.0.state.lock();
            state.site = Some(site);
            state.is_on_site = is_on_site;
        }
        if let Some(room) = room {
            let joined = self.put_into(&room);
            tracing::trace!(session = %self.id(), %room, ?joined, "put into the room of its site");
        }
    }

    /// Makes it somebody, or nobody: it leaves the rooms of who it was and is put into those of who it is now, as far as
    /// the bound on rooms lets it. A session that has ended stays who it was.
    pub fn identify(&self, identity: Option<Arc<Identity>>) {
        let (before, kept) = {
            let mut state = self.0.state.lock();
            if state.ended {
                return;
            }
            let before = std::mem::replace(&mut state.identity, identity.clone());
            let expiries = self.listener().hub().expiries();
            expiries.replace(self.id(), before.as_deref(), identity.as_deref());
            let kept = state.site.as_deref().filter(|_| state.is_on_site);
            (before, kept.and_then(|site| site_room(site).ok()))
        };
        let rooms = |identity: &Option<Arc<Identity>>| -> Vec<RoomName> {
            identity.iter().flat_map(|who| who.rooms()).collect()
        };
        let now = rooms(&identity);
        for room in rooms(&before) {
            if !now.contains(&room) && kept.as_ref() != Some(&room) {
                // It may have been taken out by the server meanwhile.
                let _ = self.leave(&room);
            }
        }
        for room in now {
            let joined = self.put_into(&room);
            tracing::trace!(session = %self.id(), %room, ?joined, "put into a room of its identity");
        }
        if let Some(asks) = &self.0.asks {
            asks.identified(self);
        }
        self.changed();
    }

    fn changed(&self) {
        if let Some(backplane) = self.listener().hub().backplane() {
            backplane.session_changed(self.realm().name(), self.id());
        }
    }

    /// A handle that does not keep the session alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakSession {
        WeakSession(Arc::downgrade(&self.0))
    }

    /// Counts a limit that a front end checks itself, such as the length of a message.
    pub fn limit_hit(&self, kind: LimitKind) {
        events::limit_hit(self, kind);
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl PartialEq for SessionRef {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for SessionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.0.id).finish()
    }
}

/// A handle of a session that does not keep it, and with it the connection's socket, alive.
#[derive(Debug, Clone)]
pub struct WeakSession(Weak<Inner>);

impl WeakSession {
    /// The session, unless it has ended.
    #[must_use]
    pub fn upgrade(&self) -> Option<SessionRef> {
        self.0.upgrade().map(SessionRef)
    }
}
