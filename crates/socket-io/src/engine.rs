//! One Engine.IO session: its heartbeat, its end, and the way of its messages. What Socket.IO makes of a message is in
//! `session`.

use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use polyport_core::{CloseReason, Frame, OpenRequest, SessionId, Transport, Wire};
use polyport_net::{Deadline, InOrder, Moment, Watched, ws};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::{
    carrier::Carrier,
    codec::{
        Assembler, EnginePacket, OpenPacket, ReadLimits, Revision, Style, read_engine,
        read_engine_binary,
    },
    dialect::Form,
    options::Parser,
    session::{Joined, handshake},
    shared::Shared,
};

/// Most attachments of a packet, as in socket.io-parser 4.2.
const ATTACHMENTS: usize = 10;

/// How long a polling session that was closed waits for one last poll.
const LAST_POLL: std::time::Duration = std::time::Duration::from_secs(30);

/// One client's session, whatever carries it.
pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    /// The bearer's secret: never logged.
    sid: Box<str>,
    pub(crate) revision: Revision,
    /// Empty until the client's first message shows it.
    parser: OnceLock<Parser>,
    pub(crate) wire: Arc<Wire>,
    /// Of a session that began with polling.
    pub(crate) carrier: Option<Arc<Carrier>>,
    /// It gets no binary bodies, or no binary frames if it began with a WebSocket.
    pub(crate) base64_only: bool,
    /// How it was opened, if somebody may want to know.
    pub(crate) request: Option<OpenRequest>,
    /// What others may know of how it was opened, if they may ask and it is not kept whole.
    pub(crate) handshake: Option<Box<str>>,
    /// The site of its page, where nobody is asked for a token.
    pub(crate) site: Option<Box<str>>,
    deadline: Deadline,
    watch_key: AtomicUsize,
    pub(crate) state: Mutex<State>,
}

/// What changes while a session is open.
pub(crate) struct State {
    pub(crate) assembler: Assembler,
    pub(crate) joined: SmallVec<[Joined; 1]>,
    /// How many namespaces it has wanted so far.
    joined_so_far: u64,
    pub(crate) style: Style,
    /// Events that wait for a backend's leave to be published.
    pub(crate) in_order: InOrder,
    /// Packets of generation 3 that could not be read.
    pub(crate) strikes: u8,
    /// A POST is being read.
    pub(crate) is_posting: bool,
    /// A WebSocket that may take over.
    pub(crate) probe: Option<Weak<Wire>>,
    /// The probe was answered: polls do not wait any more.
    pub(crate) is_probed: bool,
    /// Dropped when it is decided about `/`, for which the answer to a handshake waits.
    deciding: Option<oneshot::Sender<()>>,
    /// Goodbye has been said; one last poll gets it.
    has_said_goodbye: bool,
    is_over: bool,
    ping_at: Moment,
    /// Until when a sign of life must come.
    alive_by: Moment,
    /// Until when a namespace must be open.
    pub(crate) connect_by: Moment,
    /// When the first of those who must log in by an event is out of time, or a refused client is cut.
    pub(crate) login_by: Moment,
    /// When a client is cut whose token was refused.
    pub(crate) cut_at: Moment,
    upgrade_by: Moment,
    gone_by: Moment,
}

impl State {
    /// A number for another namespace.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.joined_so_far += 1;
        self.joined_so_far
    }
}

/// What a session begins with.
pub(crate) struct Beginning {
    pub(crate) revision: Revision,
    pub(crate) wire: Arc<Wire>,
    pub(crate) carrier: Option<Arc<Carrier>>,
    pub(crate) base64_only: bool,
    pub(crate) request: OpenRequest,
}

impl Engine {
    /// Opens a session and says so to its client. In generation 3 `/` follows unasked.
    pub(crate) fn open(shared: &Arc<Shared>, beginning: Beginning) -> Arc<Self> {
        let options = &shared.options;
        let deadlines = &shared.deadlines;
        let sid = URL_SAFE_NO_PAD.encode(SessionId::random_short().short());
        let revision = beginning.revision;
        let patience = match revision {
            Revision::V3 => deadlines.after(options.ping_interval + options.ping_timeout),
            Revision::V4 => Moment::NEVER,
        };
        let ping_at = match revision {
            Revision::V3 => Moment::NEVER,
            Revision::V4 => deadlines.after(options.ping_interval),
        };
        let parser = match (options.parser, revision) {
            (None, Revision::V4) => OnceLock::new(),
            (parser, _) => OnceLock::from(parser.unwrap_or(Parser::Json)),
        };
        let is_open_door = shared.reception.is_open_door();
        let request = beginning.request;
        let engine = Arc::new(Self {
            shared: Arc::clone(shared),
            sid: sid.into(),
            revision,
            parser,
            wire: beginning.wire,
            carrier: beginning.carrier,
            base64_only: beginning.base64_only,
            site: shared.reception.site(&request),
            handshake: is_open_door
                .then(|| handshake::kept(shared, &request))
                .flatten(),
            request: (!is_open_door).then_some(request),
            deadline: Deadline::never(),
            watch_key: AtomicUsize::new(usize::MAX),
            state: Mutex::new(State {
                assembler: Assembler::default(),
                joined_so_far: 0,
                joined: SmallVec::new(),
                style: Style::default(),
                in_order: InOrder::default(),
                strikes: 0,
                is_posting: false,
                probe: None,
                is_probed: false,
                deciding: None,
                has_said_goodbye: false,
                is_over: false,
                ping_at,
                alive_by: patience,
                connect_by: deadlines.after(options.connect_timeout),
                login_by: Moment::NEVER,
                cut_at: Moment::NEVER,
                upgrade_by: Moment::NEVER,
                gone_by: Moment::NEVER,
            }),
        });
        if let Some(carrier) = &engine.carrier {
            let _ = carrier.engine.set(Arc::downgrade(&engine));
        }
        shared.clients.add(&engine);
        let key = deadlines.watch(Arc::clone(&engine) as Arc<dyn Watched>);
        engine.watch_key.store(key, Ordering::Relaxed);
        let can_upgrade = engine.carrier.is_some() && options.websocket;
        let upgrades: &[&str] = if can_upgrade { &["websocket"] } else { &[] };
        let open = OpenPacket {
            sid: &engine.sid,
            upgrades,
            ping_interval: options.ping_interval,
            ping_timeout: options.ping_timeout,
            max_payload: shared.listener.limits().message,
        };
        engine.wire.send(ws::text(&open.write()));
        if revision == Revision::V3 {
            let mut state = engine.state.lock();
            engine.connect(&mut state, "/", None, None);
        }
        engine.set_deadline(&engine.state.lock());
        engine
    }

    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    /// Whether polling carries it now.
    pub(crate) fn is_polling(&self) -> bool {
        self.carrier
            .as_ref()
            .is_some_and(|carrier| !carrier.is_upgraded())
    }

    /// Resolves when it is decided whether a client of generation 3 gets `/`; `None` if it is already.
    pub(crate) fn deciding(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.state.lock();
        if state.joined.iter().all(Joined::is_connected) {
            return None;
        }
        let (decided, deciding) = oneshot::channel();
        state.deciding = Some(decided);
        Some(deciding)
    }

    /// What was decided about a namespace is queued.
    pub(crate) fn decided(&self) {
        self.state.lock().deciding = None;
    }

    /// What the client's packets are written with, which this message shows if it is the first.
    pub(crate) fn shown_parser(&self, shown: Parser) -> Parser {
        *self.parser.get_or_init(|| shown)
    }

    /// How packets are written for the client; of generation 4, none is before its first message.
    pub(crate) fn form(&self) -> Form {
        let form = Form::new(self.revision, self.shown_parser(Parser::Json));
        // On polling frames are taken apart, and bytes come as the poll wants them.
        let is_base64 = self.base64_only && self.carrier.is_none();
        match self.revision {
            Revision::V3 if is_base64 => form.in_base64(),
            _ => form,
        }
    }

    pub(crate) fn read_limits(&self) -> ReadLimits {
        ReadLimits {
            revision: self.revision,
            attachments: ATTACHMENTS,
            attachment_bytes: self.shared.listener.limits().message.saturating_mul(2),
        }
    }

    // --- what the client sends ----------------------------------------------------------------------------------------

    /// A text of Engine.IO.
    pub(crate) fn on_text(self: &Arc<Self>, text: &str) {
        let mut state = self.state.lock();
        if state.is_over || self.wire.outbox().closing().is_some() {
            return;
        }
        self.heard(&mut state);
        match read_engine(text) {
            Ok(EnginePacket::Message(message)) => self.on_message(&mut state, message),
            Ok(EnginePacket::Ping(data)) if self.revision == Revision::V3 => {
                self.wire.send(ws::written_text(|text| {
                    text.push('3');
                    text.push_str(data);
                }));
            }
            Ok(EnginePacket::Pong(_)) if self.revision == Revision::V4 => {
                let options = &self.shared.options;
                state.alive_by = Moment::NEVER;
                state.joined.iter().for_each(Joined::ponged);
                state.ping_at = self.shared.deadlines.after(options.ping_interval);
            }
            Ok(EnginePacket::Close) => self.wire.close(CloseReason::ClientLeft),
            Ok(
                EnginePacket::Pong(_)
                | EnginePacket::Open
                | EnginePacket::Upgrade
                | EnginePacket::Noop,
            ) => {}
            Ok(EnginePacket::Ping(_)) | Err(_) => self.broken(),
        }
        state.joined.iter().for_each(Joined::pass_on);
        self.set_deadline(&state);
    }

    /// A binary message, as the WebSocket brings it.
    pub(crate) fn on_frame(self: &Arc<Self>, data: &[u8]) {
        match read_engine_binary(self.revision, data) {
            Ok(data) => self.on_binary(data),
            Err(_) => self.broken(),
        }
    }

    /// A binary message.
    pub(crate) fn on_binary(self: &Arc<Self>, data: &[u8]) {
        let mut state = self.state.lock();
        if state.is_over || self.wire.outbox().closing().is_some() {
            return;
        }
        self.heard(&mut state);
        self.on_binary_message(&mut state, data);
        state.joined.iter().for_each(Joined::pass_on);
        self.set_deadline(&state);
    }

    fn heard(&self, state: &mut State) {
        if self.revision == Revision::V3 {
            let options = &self.shared.options;
            let patience = options.ping_interval + options.ping_timeout;
            state.alive_by = self.shared.deadlines.after(patience);
        }
    }

    /// The client broke the protocol.
    pub(crate) fn broken(&self) {
        self.wire.listener().metrics().invalid_messages.inc();
        self.wire.close(CloseReason::ProtocolError);
    }

    // --- upgrade ------------------------------------------------------------------------------------------------------

    /// A WebSocket may take over within a time. Only one at a time.
    pub(crate) fn begin_probe(&self, probe: &Arc<Wire>) {
        let mut state = self.state.lock();
        state.probe = Some(Arc::downgrade(probe));
        let longest = self.shared.options.upgrade_timeout;
        state.upgrade_by = self.shared.deadlines.after(longest);
        self.set_deadline(&state);
    }

    /// Whether one is about to take over.
    pub(crate) fn is_probing(&self) -> bool {
        let state = self.state.lock();
        state.probe.as_ref().is_some_and(|it| it.strong_count() > 0)
    }

    /// The probe was good: the poll that waits is sent home.
    pub(crate) fn probed(&self) {
        self.state.lock().is_probed = true;
        if let Some(carrier) = &self.carrier {
            carrier.answer(&ws::text("6"));
        }
    }

    /// Whether polls are sent home because a WebSocket is about to take over.
    pub(crate) fn sends_polls_home(&self) -> bool {
        self.state.lock().is_probed
    }

    /// The WebSocket takes over: what waits goes out there first.
    pub(crate) fn upgrade(&self, socket: Arc<dyn Transport>) {
        self.end_probe();
        if let Some(carrier) = &self.carrier {
            carrier.upgrade(socket);
            carrier.answer(&ws::text("6"));
            let outbox = self.wire.outbox();
            outbox.resume(&mut |frames| carrier.write(frames));
        }
    }

    /// No WebSocket is about to take over any more.
    pub(crate) fn end_probe(&self) {
        let mut state = self.state.lock();
        state.probe = None;
        state.is_probed = false;
        state.upgrade_by = Moment::NEVER;
    }

    // --- polls --------------------------------------------------------------------------------------------------------

    /// Hands what waits to the poll that waits.
    pub(crate) fn resume(&self) {
        if let Some(carrier) = &self.carrier
            && carrier.is_waiting()
            && !carrier.is_upgraded()
        {
            let outbox = self.wire.outbox();
            let had_words = outbox.waiting() > 0;
            outbox.resume(&mut |frames| carrier.write(frames));
            // The close packet comes with a poll of its own: clients of 4.x that find it behind a DISCONNECT in one body hear
            // of the closed transport first and of the DISCONNECT afterwards.
            if !had_words && self.has_said_goodbye() {
                self.end();
            }
        }
    }

    /// Looks after itself in a task, wherever this is called.
    pub(crate) fn tend_soon(self: &Arc<Self>) {
        let carrier = self.carrier.as_ref();
        let is_wanted = carrier.is_some_and(|carrier| carrier.is_waiting())
            || self.wire.outbox().closing().is_some()
            || self.shared.listener.is_draining();
        if is_wanted {
            let engine = Arc::clone(self);
            let _inside = self.shared.runtime.enter();
            self.shared.tasks.spawn(async move { engine.tend() });
        }
    }

    fn tend(&self) {
        let hub = Arc::clone(self.shared.listener.hub());
        hub.turn(|| {
            if self.is_polling() {
                if self.shared.listener.is_draining() && self.may_end() {
                    self.wire.close(CloseReason::Shutdown);
                }
                if let Some(reason) = self.wire.outbox().closing() {
                    self.say_goodbye(reason);
                }
            }
            self.keep_time();
        });
        self.resume();
    }

    fn keep_time(&self) {
        let deadlines = &self.shared.deadlines;
        let now = deadlines.now();
        let mut state = self.state.lock();
        if state.gone_by <= now {
            drop(state);
            self.end();
            return;
        }
        if state.alive_by <= now {
            state.alive_by = Moment::NEVER;
            self.wire.close(CloseReason::IdleTimeout);
        } else if state.ping_at <= now {
            state.ping_at = Moment::NEVER;
            state.alive_by = deadlines.after(self.shared.options.ping_timeout);
            state.joined.iter().for_each(Joined::pinging);
            self.wire.send(ws::text("2"));
        }
        if state.connect_by <= now {
            state.connect_by = Moment::NEVER;
            if !state.joined.iter().any(Joined::is_connected) {
                self.wire.close(CloseReason::HandshakeTimeout);
            }
        }
        if state.login_by <= now {
            self.out_of_time(&mut state, now);
        }
        if state.upgrade_by <= now {
            state.upgrade_by = Moment::NEVER;
            if let Some(probe) = state.probe.take().and_then(|probe| probe.upgrade()) {
                probe.close(CloseReason::HandshakeTimeout);
            }
        }
        self.set_deadline(&state);
    }

    pub(crate) fn set_deadline(&self, state: &State) {
        let times = [
            state.ping_at,
            state.alive_by,
            state.connect_by,
            state.login_by,
            state.upgrade_by,
            state.gone_by,
        ];
        let first = times.into_iter().min().unwrap_or(Moment::NEVER);
        self.deadline.set(first);
    }

    // --- the end ------------------------------------------------------------------------------------------------------

    /// Whether it may be ended now that its listener drains.
    pub(crate) fn may_end(&self) -> bool {
        let state = self.state.lock();
        state.joined.iter().all(Joined::is_settled)
    }

    /// Whether a call is in flight.
    pub(crate) fn is_calling(&self) -> bool {
        let state = self.state.lock();
        state.joined.iter().any(Joined::is_calling)
    }

    /// Its sessions leave their rooms, but for those to which its client may come back.
    pub(crate) fn leave(&self) {
        self.park();
        for joined in &self.state.lock().joined {
            joined.leave();
        }
    }

    /// What is said to each namespace when the server has disconnected the client: it must not come back by itself.
    pub(crate) fn farewells(&self, reason: CloseReason) -> Vec<Frame> {
        if reason != CloseReason::Disconnected && reason != CloseReason::IdentityExpired {
            return Vec::new();
        }
        let state = self.state.lock();
        let open = state.joined.iter().filter(|joined| joined.is_connected());
        open.map(|joined| self.form().disconnect(joined.namespace()))
            .collect()
    }

    /// Whether it only waits for the poll that takes its goodbye.
    pub(crate) fn has_said_goodbye(&self) -> bool {
        self.state.lock().has_said_goodbye
    }

    /// Says goodbye on polling, and waits for the poll that takes it.
    fn say_goodbye(&self, reason: CloseReason) {
        if self.has_said_goodbye() {
            return;
        }
        let carrier = self.carrier.as_ref();
        match reason {
            // Who broke the protocol or is gone finds out by the next request.
            CloseReason::PeerGone
            | CloseReason::IoError
            | CloseReason::ProtocolError
            | CloseReason::IdleTimeout => return self.end(),
            CloseReason::ClientLeft => {
                if let Some(carrier) = carrier {
                    carrier.answer(&ws::text("6"));
                }
                return self.end();
            }
            _ => {}
        }
        self.leave();
        for farewell in self.farewells(reason) {
            self.wire.send_last(farewell);
        }
        let mut state = self.state.lock();
        state.has_said_goodbye = true;
        let left = std::mem::take(&mut state.joined);
        state.ping_at = Moment::NEVER;
        state.alive_by = Moment::NEVER;
        state.connect_by = Moment::NEVER;
        state.login_by = Moment::NEVER;
        state.gone_by = self.shared.deadlines.after(LAST_POLL);
        self.set_deadline(&state);
        drop(state);
        left.into_iter().for_each(|joined| joined.end(reason));
    }

    /// Two polls, or two POSTs, at once: somebody else may have the session's id. The one that waits hears the end.
    pub(crate) fn overlap(&self) {
        if let Some(carrier) = &self.carrier {
            carrier.answer(&ws::text("1"));
        }
        self.wire.listener().metrics().invalid_messages.inc();
        self.wire.close(CloseReason::ProtocolError);
        self.end();
    }

    /// It is over: its sessions end, nobody finds it any more.
    pub(crate) fn end(&self) {
        if !std::mem::replace(&mut self.state.lock().is_over, true) {
            self.finish();
        }
    }

    /// Ends a polling session of which no request is here just now: its client may have been lost between two of them.
    /// Waits for nothing; whether it has ended it.
    pub(crate) fn end_between_polls(&self) -> bool {
        let Some(mut state) = self.state.try_lock() else {
            return false;
        };
        let is_waiting = self.carrier.as_ref().is_some_and(|it| it.is_waiting());
        let is_probing = state.probe.as_ref().is_some_and(|it| it.strong_count() > 0);
        let is_busy = is_waiting || is_probing || state.is_posting;
        if is_busy || state.is_over || !self.is_polling() {
            return false;
        }
        state.is_over = true;
        drop(state);
        self.finish();
        true
    }

    fn finish(&self) {
        self.wire.close(CloseReason::PeerGone);
        self.deadline.set(Moment::NEVER);
        let removed = self.shared.clients.remove(&self.sid);
        self.shared
            .deadlines
            .forget(self.watch_key.load(Ordering::Relaxed));
        if let Some(carrier) = &self.carrier {
            carrier.answer(&ws::text("1"));
        }
        let probe = self.state.lock().probe.take();
        if let Some(probe) = probe.and_then(|probe| probe.upgrade()) {
            probe.close(CloseReason::PeerGone);
        }
        self.park();
        let left = std::mem::take(&mut self.state.lock().joined);
        // Outside of every lock: rooms and backends hear of it.
        let reason = self
            .wire
            .outbox()
            .closing()
            .unwrap_or(CloseReason::PeerGone);
        left.into_iter().for_each(|joined| joined.end(reason));
        drop(removed);
    }
}

impl Watched for Engine {
    fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    fn overdue(&self) {
        self.tend();
    }
}
