//! One connection: which generation its client is of, its heartbeat and its end. What its packets mean is in `session`.

use std::{
    mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use polyport_core::{
    CloseReason, Frame, Guest, Json, OpenRequest, Opening, Session, SessionEnd, SessionId,
    SessionRef, Visit, Wire,
};
use polyport_net::{Deadline, InOrder, Moment, Watched, WsClose, ws};

use crate::{
    access::{Access, Right},
    codec::{self, Cids, Codec, Generation, Message, write_disconnect},
    dialect::{frame, ping},
    options::Version,
    relay::Place,
    session::{Batch, Held, Owed},
    shared::Shared,
};

/// How long a client has to answer the ping that asks whether it is of generation 1, before it is asked the other one.
const DETECTION: std::time::Duration = std::time::Duration::from_secs(1);

/// A text that is no packet, in place of a message that cannot be read.
const NO_PACKET: &str = "?";

/// One client.
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: SessionId,
    pub(crate) wire: Arc<Wire>,
    /// How it was opened, if tokens or backends may want to know.
    pub(crate) request: Option<Box<OpenRequest>>,
    known: AtomicU8,
    deadline: Deadline,
    watch_key: AtomicUsize,
    pub(crate) state: Mutex<State>,
    /// What others may want of it while its packets are handled.
    pub(crate) said: Mutex<Said>,
    /// What it may do on the relay as far as that was known at the upgrade,
    pub(crate) entrance: Access,
    /// and since it is known who it is.
    pub(crate) settled: OnceLock<Access>,
    /// What it is to the relay.
    pub(crate) place: Mutex<Place>,
}

/// An opening that is let in: its id, and the request if somebody may want to know it.
pub(crate) struct Grant {
    pub(crate) id: SessionId,
    pub(crate) request: Option<Box<OpenRequest>>,
    pub(crate) access: Access,
    /// What backends have said, if they were asked already.
    pub(crate) guest: Option<Guest>,
}

/// What its packets change.
pub(crate) struct State {
    pub(crate) stage: Stage,
    /// What backends have said at the upgrade, if they were asked then.
    pub(crate) guest: Option<Guest>,
    /// What waits for a backend's leave.
    pub(crate) in_order: InOrder,
    /// Where answers to the message that is handled gather.
    pub(crate) batch: Option<Arc<Batch>>,
    ping_at: Moment,
    /// Until when a sign of life must come.
    alive_by: Moment,
    pub(crate) handshake_by: Moment,
    /// When a client that has not answered the first question is asked the other one.
    detect_by: Moment,
}

/// How far a client has come.
pub(crate) enum Stage {
    /// It has still to shake hands.
    Stranger,
    /// Tokens and backends are being asked; what it has sent meanwhile.
    Asking(Held),
    /// Its session is open.
    Open {
        session: Session,
        visit: Option<Box<Visit>>,
    },
    /// It is refused, or gone.
    Over,
}

impl Stage {
    pub(crate) fn session(&self) -> Option<&SessionRef> {
        match self {
            Self::Open { session, .. } => Some(session),
            _ => None,
        }
    }
}

/// What is said to a client apart from answers.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) owed: Owed,
    farewell: Option<Farewell>,
}

/// The server's last words.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) code: u16,
    pub(crate) reason: Box<str>,
    /// Generation 1 hears it by a packet too.
    pub(crate) has_packet: bool,
}

impl Farewell {
    /// A code of the protocol's own.
    pub(crate) fn of(code: u16) -> Self {
        Self {
            code,
            reason: Box::default(),
            has_packet: true,
        }
    }

    /// One that is not said by a packet.
    pub(crate) fn bare(code: u16) -> Self {
        Self {
            has_packet: false,
            ..Self::of(code)
        }
    }
}

/// What is known of a client's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Known {
    Nothing,
    /// It was asked for both and has answered none.
    AssumedV2,
    V1,
    V2,
}

impl Client {
    /// A connection is open.
    pub(crate) fn open(shared: &Arc<Shared>, opening: Opening, grant: Grant) -> Arc<Self> {
        let Grant {
            id,
            request,
            access,
            guest,
        } = grant;
        let options = &shared.options;
        let deadlines = &shared.deadlines;
        let wire = Wire::new(opening.admission, opening.peer, opening.transport);
        let known = match options.version {
            Version::Auto => Known::Nothing,
            Version::V1 => Known::V1,
            Version::V2 => Known::V2,
        };
        let client = Arc::new(Self {
            shared: Arc::clone(shared),
            id,
            wire,
            request,
            known: AtomicU8::new(known as u8),
            deadline: Deadline::never(),
            watch_key: AtomicUsize::new(usize::MAX),
            state: Mutex::new(State {
                stage: Stage::Stranger,
                guest,
                in_order: InOrder::default(),
                batch: None,
                ping_at: deadlines.after(options.ping_interval),
                alive_by: deadlines.after(options.ping_timeout),
                handshake_by: deadlines.after(options.handshake_timeout),
                detect_by: Moment::NEVER,
            }),
            said: Mutex::default(),
            entrance: access,
            settled: OnceLock::new(),
            place: Mutex::default(),
        });
        shared.meets(id, &client.wire);
        client.set_deadline(&client.state.lock());
        let key = deadlines.watch(Arc::clone(&client) as Arc<dyn Watched>);
        client.watch_key.store(key, Ordering::Relaxed);
        client
    }

    /// What clients call it: 20 characters.
    pub(crate) fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.id.short())
    }

    /// The frame of the packet that `write` writes in JSON.
    pub(crate) fn frame(&self, write: impl FnOnce(&mut String)) -> Frame {
        frame(self.shared.options.codec, write)
    }

    fn ping(&self, generation: Generation) {
        self.wire.send(ping(self.shared.options.codec, generation));
    }

    /// Whether it may do something on the relay, by a name, by a token, or because anybody may.
    pub(crate) fn may(&self, session: &SessionRef, right: Right) -> bool {
        let access = self.settled.get().unwrap_or(&self.entrance);
        access.has(right)
            || self.shared.takes_tokens()
                && session
                    .identity()
                    .is_some_and(|identity| self.shared.gives(access, &identity, right))
    }

    // --- which generation -----------------------------------------------------------------------------------------------

    fn known(&self) -> Known {
        match self.known.load(Ordering::Relaxed) {
            1 => Known::AssumedV2,
            2 => Known::V1,
            3 => Known::V2,
            _ => Known::Nothing,
        }
    }

    /// In whose form the client is spoken to: while nothing is known, in the newer one, which the others understand.
    pub(crate) fn generation(&self) -> Generation {
        match self.known() {
            Known::V1 => Generation::V1,
            Known::Nothing | Known::AssumedV2 | Known::V2 => Generation::V2,
        }
    }

    /// Whether every client of the listener is of one generation, as its operator says.
    pub(crate) fn pinned(&self) -> Option<Generation> {
        match self.shared.options.version {
            Version::Auto => None,
            Version::V1 => Some(Generation::V1),
            Version::V2 => Some(Generation::V2),
        }
    }

    /// What is a call's number to this client.
    pub(crate) fn cids(&self) -> Cids {
        match self.pinned() {
            Some(Generation::V1) => Cids::Truthy,
            Some(Generation::V2) => Cids::Numbers,
            None => Cids::All,
        }
    }

    /// The client has shown its generation. The last word counts: an answer may have been very late.
    pub(crate) fn shows(&self, generation: Generation) {
        if self.pinned().is_none() {
            let known = match generation {
                Generation::V1 => Known::V1,
                Generation::V2 => Known::V2,
            };
            self.known.store(known as u8, Ordering::Relaxed);
        }
    }

    /// Asks which generation it is, behind the answer to its handshake: only a client of generation 1 answers that ping.
    pub(crate) fn ask_generation(&self, state: &mut State) {
        if self.known() == Known::Nothing {
            self.ping(Generation::V1);
            state.detect_by = self.shared.deadlines.after(DETECTION);
        }
    }

    /// It has not answered: so it is asked by the other ping.
    fn assume_generation(&self, state: &mut State) {
        state.detect_by = Moment::NEVER;
        if self.known() == Known::Nothing {
            self.known.store(Known::AssumedV2 as u8, Ordering::Relaxed);
            self.ping(Generation::V2);
        }
    }

    // --- what the client sends ------------------------------------------------------------------------------------------

    fn on_text(self: &Arc<Self>, text: &str) {
        let mut state = self.state.lock();
        state.alive_by = self
            .shared
            .deadlines
            .after(self.shared.options.ping_timeout);
        self.take(&mut state, text);
    }

    /// Takes a message up, or keeps it while it is being decided whether the client may come in.
    pub(crate) fn take(self: &Arc<Self>, state: &mut State, text: &str) {
        let message = codec::read(text);
        if matches!(state.stage, Stage::Stranger) {
            return self.take_from_stranger(state, message);
        }
        match message {
            Message::Pong(generation) => {
                self.shows(generation);
                if let Some(session) = state.stage.session() {
                    self.drop_expired(session);
                    self.deliver_early(session);
                }
            }
            Message::Raw => self.invalid(),
            Message::Packets(packets) => {
                let taken = packets.each(|packet| {
                    self.on_packet(state, packet);
                    !matches!(state.stage, Stage::Over)
                });
                if taken.is_err() {
                    self.invalid();
                    self.close(Farewell::of(1008), CloseReason::ProtocolError);
                }
                state.batch = None;
            }
        }
    }

    /// Whatever is no handshake ends the connection.
    fn take_from_stranger(self: &Arc<Self>, state: &mut State, message: Message<'_>) {
        let packets = match message {
            Message::Packets(packets) => packets,
            Message::Pong(_) | Message::Raw => return self.spoke_too_early(state),
        };
        if packets.is_list() && self.pinned() == Some(Generation::V1) {
            return self.spoke_too_early(state);
        }
        let taken = packets.each(|packet| {
            match state.stage {
                Stage::Stranger => self.on_first_packet(state, packet),
                _ => self.on_packet(state, packet),
            }
            !matches!(state.stage, Stage::Over)
        });
        if taken.is_err() || matches!(state.stage, Stage::Stranger) {
            self.spoke_too_early(state);
        }
        state.batch = None;
    }

    /// The client has said something before the handshake.
    pub(crate) fn spoke_too_early(&self, state: &mut State) {
        self.invalid();
        state.stage = Stage::Over;
        self.close(Farewell::bare(4009), CloseReason::ProtocolError);
    }

    pub(crate) fn invalid(&self) {
        self.wire.listener().metrics().invalid_messages.inc();
    }

    // --- time -----------------------------------------------------------------------------------------------------------

    fn keep_time(&self) {
        let deadlines = &self.shared.deadlines;
        let now = deadlines.now();
        let late = self.said.lock().owed.late(now);
        let mut state = self.state.lock();
        if state.alive_by <= now {
            state.alive_by = Moment::NEVER;
            self.close(Farewell::bare(4001), CloseReason::IdleTimeout);
        }
        if state.handshake_by <= now {
            state.handshake_by = Moment::NEVER;
            self.close(Farewell::of(4005), CloseReason::HandshakeTimeout);
        }
        if state.detect_by <= now {
            self.assume_generation(&mut state);
        }
        if state.ping_at <= now {
            state.ping_at = deadlines.after(self.shared.options.ping_interval);
            if self.known() != Known::Nothing {
                self.ping(self.generation());
            }
        }
        self.set_deadline(&state);
        drop(state);
        for owed in late {
            owed.times_out(self.generation());
        }
    }

    /// Says when it has to be looked after next.
    pub(crate) fn set_deadline(&self, state: &State) {
        // Under the lock, so that a question that is asked meanwhile is not forgotten.
        let said = self.said.lock();
        let times = [
            state.ping_at,
            state.alive_by,
            state.handshake_by,
            state.detect_by,
            said.owed.first(),
        ];
        let first = times.into_iter().min().unwrap_or(Moment::NEVER);
        self.deadline.set(first);
    }

    /// Has it looked after soon, for a call that has just been noted under the lock.
    pub(crate) fn look_soon(&self, _: &Said) {
        self.deadline.set(self.shared.deadlines.now());
    }

    // --- the end --------------------------------------------------------------------------------------------------------

    /// Ends the connection with these words, unless it is ending already.
    pub(crate) fn close(&self, farewell: Farewell, reason: CloseReason) {
        self.said.lock().farewell.get_or_insert(farewell);
        self.wire.close(reason);
    }

    fn farewell(&self, reason: CloseReason) -> Option<Farewell> {
        let said = self.said.lock().farewell.take();
        said.or_else(|| match reason {
            // Without a code clients come back at once.
            CloseReason::Shutdown => None,
            CloseReason::IdleTimeout => Some(Farewell::bare(4001)),
            CloseReason::Disconnected => Some(Farewell::of(1000)),
            reason => Some(Farewell::of(WsClose::ByServer(reason).code())),
        })
    }

    /// The frame that ends the connection. What goes before it in generation 1 is queued.
    fn last_words(&self, close: &WsClose) -> (Frame, Option<SessionEnd>) {
        let reason = match close {
            WsClose::ByClient(reason) => {
                let reason = reason.as_ref().map(|(code, text)| (*code, &**text));
                return (ws::close(reason), close.session_end());
            }
            WsClose::ByError(error) => {
                return (ws::close(Some((error.code(), ""))), close.session_end());
            }
            WsClose::ByServer(reason) => *reason,
        };
        let Some(farewell) = self.farewell(reason) else {
            return (ws::close(None), close.session_end());
        };
        let end = SessionEnd {
            code: farewell.code,
            text: farewell.reason.to_string(),
        };
        let is_old = self.generation() == Generation::V1;
        if is_old && farewell.has_packet {
            let reason = (!farewell.reason.is_empty()).then(|| Json::string(&farewell.reason));
            let packet = self.frame(|text| {
                write_disconnect(text, farewell.code, reason.as_ref().map(Json::as_str));
            });
            self.wire.send_last(packet);
        }
        let text = if is_old { "" } else { &*farewell.reason };
        (ws::close(Some((farewell.code, text))), Some(end))
    }

    /// It is over: its session ends, nobody waits for it any more.
    fn end(&self) {
        self.wire.close(CloseReason::PeerGone);
        self.deadline.set(Moment::NEVER);
        self.shared.knows(self.id);
        let key = self.watch_key.load(Ordering::Relaxed);
        self.shared.deadlines.forget(key);
        let owed = self.said.lock().owed.end();
        let stage = mem::replace(&mut self.state.lock().stage, Stage::Over);
        // Outside of every lock: rooms, monitors and backends hear of it.
        if let Some(session) = stage.session() {
            session.leave_all();
            self.leave_relay(session);
        }
        drop(stage);
        for owed in owed {
            owed.ends();
        }
    }
}

impl Watched for Client {
    fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    fn overdue(&self) {
        let hub = Arc::clone(self.shared.listener.hub());
        hub.turn(|| self.keep_time());
    }
}

/// The WebSocket of a client.
pub(crate) struct Connection(pub(crate) Arc<Client>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl polyport_net::WsHandler for Connection {
    fn wire(&self) -> &Arc<Wire> {
        &self.0.wire
    }

    fn leave(&mut self) {
        let session = self.0.state.lock().stage.session().cloned();
        if let Some(session) = session {
            session.leave_all();
            self.0.leave_relay(&session);
        }
    }

    fn is_calling(&self) -> bool {
        let state = self.0.state.lock();
        let session = state.stage.session();
        session.is_some_and(|session| session.calls_in_flight() > 0)
    }

    fn may_end(&self) -> bool {
        let state = self.0.state.lock();
        state.stage.session().is_none_or(SessionRef::is_settled)
    }

    /// With another codec than JSON only the answer to a ping of generation 2 is text.
    fn on_text(&mut self, text: &str) {
        let is_read = match self.0.shared.options.codec {
            Codec::Json => true,
            Codec::MinBin => text == Generation::V2.pong(),
        };
        self.0.on_text(if is_read { text } else { NO_PACKET });
    }

    /// A packet in a binary message is one all the same.
    fn on_binary(&mut self, data: &[u8]) {
        match self.0.shared.options.codec {
            Codec::Json => self.0.on_text(str::from_utf8(data).unwrap_or(NO_PACKET)),
            Codec::MinBin if data == codec::OLD_PONG => self.0.on_text(Generation::V1.pong()),
            Codec::MinBin => match codec::read_min_bin(data) {
                Ok(text) => self.0.on_text(&text),
                Err(_) => self.0.on_text(NO_PACKET),
            },
        }
    }

    fn on_close(&mut self, close: WsClose) -> Frame {
        let (frame, end) = self.0.last_words(&close);
        if let (
            Some(end),
            Stage::Open {
                visit: Some(visit), ..
            },
        ) = (end, &mut self.0.state.lock().stage)
        {
            visit.ends(end);
        }
        frame
    }
}
