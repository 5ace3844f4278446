//! What a packet means: the namespaces of one client, their events, acks and logins.

use std::{sync::Arc, time::Duration};

use polyport_core::{
    Arg, Asks, Branch, CloseReason, Frame, Guest, Json, OpenRequest, OpeningOn, Received, Refused,
    Session, SessionEnd, SessionId, SessionRef, TokenError, Visit,
};
use serde::Serialize;
use tokio::time::timeout;

mod acks;
mod events;
pub(crate) mod handshake;
pub(crate) mod login;
mod loss;
pub(crate) mod returning;

use acks::Acks;
use login::Login;
use returning::{Returning, Wanted};

use crate::{
    codec::{Kind, Packet, PacketError, Revision, read_msgpack, read_msgpack_text},
    engine::{Engine, State},
    options::Parser,
    recovery::{Relay, Since},
};

/// Most namespaces of one client.
const NAMESPACES: usize = 16;

/// Unreadable packets of a client of generation 3 before it is closed.
const STRIKES: u8 = 3;

/// A namespace that a client has connected to, or wants to.
pub(crate) struct Joined {
    /// Its number among those of the client: in generation 3 a namespace that is left and joined again has the same id.
    number: u64,
    id: SessionId,
    /// The secret by which the client comes back, where it may.
    pid: Option<Box<str>>,
    /// What others may know of what the client said in CONNECT.
    payload: Option<Box<str>>,
    /// What another server has attached to its session.
    data: Option<Box<Arg>>,
    /// Its session was kept elsewhere, and is to be opened as it was.
    returning: Option<Box<Returning>>,
    branch: Arc<Branch>,
    stage: Stage,
}

enum Stage {
    /// Tokens and backends are being asked.
    Asking {
        /// It is asked for as nobody, and has to log in once it is open.
        owes_login: bool,
    },
    /// The client has to log in by an event, and has no session until then.
    Waiting(Box<Login>),
    /// Open.
    Open {
        session: Session,
        visit: Option<Box<Visit>>,
        acks: Arc<Acks>,
        /// It is nobody's, and has to log in by an event.
        login: Option<Box<Login>>,
        /// Between it and the connection, where the client may come back.
        relay: Option<Arc<Relay>>,
    },
}

impl Joined {
    pub(crate) fn namespace(&self) -> &str {
        self.branch.namespace()
    }

    /// Whether its client has heard that it is connected.
    pub(crate) fn is_connected(&self) -> bool {
        !matches!(self.stage, Stage::Asking { .. })
    }

    /// What its client has still to do to be let in.
    fn login(&mut self) -> Option<&mut Login> {
        match &mut self.stage {
            Stage::Waiting(login) => Some(login),
            Stage::Open { login, .. } => login.as_deref_mut(),
            Stage::Asking { .. } => None,
        }
    }

    fn session(&self) -> Option<&Session> {
        match &self.stage {
            Stage::Asking { .. } | Stage::Waiting(_) => None,
            Stage::Open { session, .. } => Some(session),
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.session().is_none_or(|session| session.is_settled())
    }

    pub(crate) fn is_calling(&self) -> bool {
        self.session()
            .is_some_and(|session| session.calls_in_flight() > 0)
    }

    pub(crate) fn leave(&self) {
        if let Some(session) = self.session() {
            session.leave_all();
        }
        self.pass_on();
    }

    /// The namespace is over, by the client's will or the server's, and the connection goes on.
    fn left(mut self) {
        if let Stage::Open {
            visit: Some(visit), ..
        } = &mut self.stage
        {
            visit.ends(SessionEnd::CLOSED);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Self::Open { acks, .. } = self {
            acks.end();
        }
    }
}

/// The error object of socketio-jwt.
#[derive(Serialize)]
struct Unauthorized<'a> {
    message: &'a str,
    code: &'a str,
    r#type: &'a str,
}

/// What a client hears that is refused: a text, and perhaps data.
fn worded(refused: &Refused, missing: login::Missing) -> (String, Option<Json>) {
    match refused {
        Refused::Token(error) => {
            let (message, code) = if error.code == TokenError::MISSING {
                missing
            } else {
                (error.message.as_str(), "invalid_token")
            };
            let data = Json::encode(&Unauthorized {
                message,
                code,
                r#type: "UnauthorizedError",
            });
            (message.to_owned(), Some(data))
        }
        Refused::Nobody => ("not authorized".to_owned(), None),
        Refused::Failed { text, data } => (text.clone(), data.clone()),
        Refused::Unavailable(text) => (text.clone(), None),
    }
}

impl Engine {
    /// A message that holds a packet, or its beginning.
    pub(crate) fn on_message(self: &Arc<Self>, state: &mut State, message: &str) {
        let limits = self.read_limits();
        let read = match (self.shown_parser(Parser::Json), self.revision) {
            (Parser::Json, _) => state.assembler.text(message, &limits),
            (Parser::Msgpack, Revision::V3) => read_msgpack_text(message).map(Some),
            (Parser::Msgpack, Revision::V4) => Err(PacketError::Broken("text beside msgpack")),
        };
        match read {
            Ok(None) => {}
            Ok(Some(packet)) => self.on_packet(state, packet),
            Err(error) => self.on_error(state, error),
        }
    }

    /// A binary message: a packet of msgpack, or an attachment.
    pub(crate) fn on_binary_message(self: &Arc<Self>, state: &mut State, data: &[u8]) {
        let limits = self.read_limits();
        if self.shown_parser(Parser::Msgpack) == Parser::Msgpack {
            return match read_msgpack(data, &limits) {
                Ok(packet) => self.on_packet(state, packet),
                Err(error) => self.on_error(state, error),
            };
        }
        match state.assembler.binary(data, &limits) {
            Ok(None) => {}
            Ok(Some(whole)) => match whole.packet(&limits) {
                Ok(packet) => self.on_packet(state, packet),
                Err(error) => self.on_error(state, error),
            },
            Err(error) => self.on_error(state, error),
        }
    }

    /// Generation 4 closes for everything; generation 3 lets some things pass, as its own servers do.
    fn on_error(&self, state: &mut State, error: PacketError) {
        let is_old = self.revision == Revision::V3;
        match error {
            PacketError::Reserved if is_old => {
                self.wire.listener().metrics().invalid_messages.inc();
            }
            PacketError::Unreadable(_) if is_old && state.strikes + 1 < STRIKES => {
                state.strikes += 1;
                self.wire.listener().metrics().invalid_messages.inc();
            }
            _ => self.broken(),
        }
    }

    /// Something that does not fit to where the client is.
    fn out_of_place(&self) {
        match self.revision {
            Revision::V4 => self.broken(),
            Revision::V3 => self.wire.listener().metrics().invalid_messages.inc(),
        }
    }

    fn on_packet(self: &Arc<Self>, state: &mut State, packet: Packet<'_>) {
        if packet.kind == Kind::Connect {
            return self.connect(state, packet.namespace, packet.query, packet.data);
        }
        let joined = state.joined.iter();
        let at = joined.position_of(packet.namespace);
        let Some(at) = at.filter(|at| state.joined[*at].is_connected()) else {
            return self.out_of_place();
        };
        if state.joined[at].login().is_some() && packet.kind != Kind::Disconnect {
            return self.on_stranger(state, at, packet);
        }
        match packet.kind {
            Kind::Disconnect => {
                state.joined.remove(at).left();
                self.reckon_logins(state);
            }
            Kind::Ack => {
                if let (Stage::Open { acks, .. }, Some(id)) = (&state.joined[at].stage, packet.id) {
                    let acks = Arc::clone(acks);
                    acks.answered(id, packet.args);
                }
            }
            Kind::Event => {
                let Some(name) = packet.name else { return };
                if name.as_str() == login::AUTHENTICATE && self.authentication().is_some() {
                    self.log_in(state, at, &packet.args);
                } else if let Some(session) = state.joined[at].session() {
                    let in_order = &mut state.in_order;
                    self.on_event(session, in_order, &name, packet.args, packet.id);
                }
            }
            Kind::Connect | Kind::ConnectError => self.out_of_place(),
        }
    }

    // --- namespaces ---------------------------------------------------------------------------------------------------

    /// The client wants a namespace.
    pub(crate) fn connect(
        self: &Arc<Self>,
        state: &mut State,
        namespace: &str,
        query: Option<&str>,
        payload: Option<Json>,
    ) {
        if state.joined.iter().position_of(namespace).is_some() {
            return self.out_of_place();
        }
        let branch = self.shared.branch(namespace, self.form());
        let Some(branch) = branch.filter(|_| state.joined.len() < NAMESPACES) else {
            self.refuse(namespace, "Invalid namespace", None);
            return;
        };
        if let Some(claim) = self.claim(payload.as_ref()) {
            if self.may_be_elsewhere(&branch) {
                let query = query.map(Box::from);
                let wanted = Wanted {
                    claim,
                    query,
                    payload,
                };
                return self.look_elsewhere(state, branch, wanted);
            }
            if self.comes_back(state, &branch, &claim) {
                return;
            }
        }
        self.connect_as_new(state, branch, query, payload);
    }

    /// The client gets a session that it did not have before, if tokens and backends let it.
    fn connect_as_new(
        self: &Arc<Self>,
        state: &mut State,
        branch: Arc<Branch>,
        query: Option<&str>,
        payload: Option<Json>,
    ) {
        let id = self.id_in(branch.namespace());
        let number = state.next_number();
        let joined = Joined {
            payload: self.kept_payload(payload.as_ref()),
            ..Joined::asking(number, id, self.new_pid(), Arc::clone(&branch))
        };
        let Some(request) = self.opening(id, &branch, query, payload) else {
            state.joined.push(joined);
            return self.received(state, number, Ok(self.unasked()));
        };
        let owes_login = self.has_to_log_in(&request);
        if owes_login && !self.shared.options.login.delivers {
            let stage = Stage::Waiting(self.new_login(Some(request)));
            let joined = Joined { stage, ..joined };
            self.wire.send(self.greeting(&joined));
            state.joined.push(joined);
            state.connect_by = polyport_net::Moment::NEVER;
            return self.reckon_logins(state);
        }
        let stage = Stage::Asking { owes_login };
        state.joined.push(Joined { stage, ..joined });
        let reception = &self.shared.reception;
        let received = if owes_login {
            reception.receive_nobody(request)
        } else {
            reception.receive(request)
        };
        self.await_decision(state, number, received);
    }

    /// How it asks for a session in a namespace; nothing where everybody comes in unasked.
    fn opening(
        &self,
        id: SessionId,
        branch: &Arc<Branch>,
        query: Option<&str>,
        payload: Option<Json>,
    ) -> Option<OpenRequest> {
        let mut request = OpenRequest {
            id,
            branch: Some(Arc::clone(branch)),
            payload,
            ..self.request.clone()?
        };
        if let Some(query) = query {
            let (path, own) = request.target.split_once('?').unwrap_or_default();
            request.target = format!("{path}?{query}&{own}");
        }
        Some(request)
    }

    /// Who comes in unasked.
    fn unasked(&self) -> Guest {
        Guest::on_site(self.site.clone())
    }

    /// The id of its session in a namespace. In generation 3 it hides what the client itself takes for its id.
    fn id_in(&self, namespace: &str) -> SessionId {
        match self.revision {
            Revision::V4 => SessionId::random_short(),
            Revision::V3 => SessionId::hiding(&self.old_name(namespace)),
        }
    }

    /// What a client of generation 3 takes for its id in a namespace: `SID`, or `/admin#SID`.
    fn old_name(&self, namespace: &str) -> String {
        match namespace {
            "/" => self.sid().to_owned(),
            _ => format!("{namespace}#{}", self.sid()),
        }
    }

    /// What the client of one of its sessions calls itself. In generation 3 that is a secret, which is told to other servers
    /// alone: by it they know the client.
    fn client_name(&self, namespace: &str, id: SessionId) -> String {
        match self.revision {
            Revision::V4 => short(id),
            Revision::V3 => self.old_name(namespace),
        }
    }

    /// Goes on when tokens and backends have decided.
    fn await_decision(self: &Arc<Self>, state: &mut State, number: u64, received: Received) {
        let deciding = match received {
            Received::Now(received) => return self.received(state, number, received),
            Received::Later(deciding) => deciding,
        };
        let engine = Arc::clone(self);
        let longest = self.shared.listener.limits().call;
        let longest = if longest.is_zero() {
            Duration::MAX
        } else {
            longest
        };
        let _inside = self.shared.runtime.enter();
        self.shared.tasks.spawn(async move {
            let received = timeout(longest, deciding).await.unwrap_or_else(|_| {
                let text = "no decision came in time".to_owned();
                Err(Refused::Unavailable(text))
            });
            let hub = Arc::clone(engine.shared.listener.hub());
            hub.turn(|| engine.received(&mut engine.state.lock(), number, received));
            engine.decided();
        });
    }

    /// It is decided whether the client gets the namespace.
    fn received(
        self: &Arc<Self>,
        state: &mut State,
        number: u64,
        received: Result<Guest, Refused>,
    ) {
        let is_it = |joined: &Joined| joined.number == number && joined.session().is_none();
        let Some(at) = state.joined.iter().position(is_it) else {
            // It has left meanwhile.
            return;
        };
        match received {
            Ok(guest) => self.let_in(state, at, guest),
            Err(Refused::Token(error)) if state.joined[at].login().is_some() => {
                self.stays_out(state, at, &error);
            }
            Err(refused) => {
                let listener = &self.shared.listener;
                listener.refused(self.wire.peer().ip(), refused.reason());
                let refused_one = state.joined.remove(at);
                let (message, data) = worded(&refused, self.missing());
                self.refuse(refused_one.namespace(), &message, data.as_ref());
                self.reckon_logins(state);
            }
        }
        self.set_deadline(state);
    }

    fn let_in(self: &Arc<Self>, state: &mut State, at: usize, guest: Guest) {
        let joined = &mut state.joined[at];
        let branch = Arc::clone(&joined.branch);
        let acks = Acks::new(self, Arc::clone(&branch));
        let waited = match &mut joined.stage {
            Stage::Waiting(login) => Some(login.take_held()),
            _ => None,
        };
        let returning = joined.returning.take();
        let since = match &returning {
            Some(returning) => Since::Missing(returning.after),
            None => Since::Opening(self.shared.listener.hub().place(branch.realm().name())),
        };
        // Who has missed something hears it when that is known, and nobody twice.
        let is_greeted = waited.is_none() && returning.is_none();
        let greeting = is_greeted.then(|| self.greeting(joined));
        let relayed = joined.pid.as_deref();
        let relayed = relayed.map(|pid| self.relay(joined.namespace(), pid, since));
        let (relay, wire) = relayed.unzip();
        let session = Session::open_on(OpeningOn {
            id: joined.id,
            wire: wire.as_ref().unwrap_or(&self.wire),
            branch,
            asks: Some(Arc::clone(&acks) as Arc<dyn Asks>),
            greeting,
        });
        let visit = guest.enter(&session);
        if let Some(returning) = returning {
            returning.enter(&session);
            self.catch_up(joined.number, &session, returning);
        }
        let login = match joined.stage {
            Stage::Asking { owes_login: true } => Some(self.new_login(None)),
            _ => None,
        };
        if waited.is_some() {
            session.tell(&login::event(login::AUTHENTICATED, None));
        }
        for held in waited.unwrap_or_default() {
            let in_order = &mut state.in_order;
            self.on_event(&session, in_order, &held.name, held.args, held.id);
        }
        joined.stage = Stage::Open {
            session,
            visit,
            acks,
            login,
            relay,
        };
        state.connect_by = polyport_net::Moment::NEVER;
        self.reckon_logins(state);
    }

    /// What says that the namespace is open.
    fn greeting(&self, joined: &Joined) -> Frame {
        self.form()
            .connect(joined.namespace(), &short(joined.id), joined.pid.as_deref())
    }

    /// Ends one namespace in a task: who wants it may hold the state's lock, or have an answer to send first.
    fn disconnect_soon(self: Arc<Self>, session: SessionRef) {
        let shared = Arc::clone(&self.shared);
        let _inside = shared.runtime.enter();
        shared.tasks.spawn(async move {
            let hub = Arc::clone(self.shared.listener.hub());
            hub.turn(|| {
                // Its connection is over, or being so: then it must not wait for its client.
                if !self.disconnect(session.id()) {
                    session.close(CloseReason::Disconnected);
                }
            });
        });
    }

    /// The last word to a namespace. Afterwards its client may connect to it again. Whether it could be said.
    fn disconnect(&self, id: SessionId) -> bool {
        let mut state = self.state.lock();
        let at = state.joined.iter().position(|joined| joined.id == id);
        at.is_some_and(|at| self.disconnect_at(&mut state, at))
    }

    fn disconnect_at(&self, state: &mut State, at: usize) -> bool {
        let joined = &state.joined[at];
        joined.leave();
        let farewell = self.form().disconnect(joined.namespace());
        // A connection that is closing has its own last words to each of its namespaces.
        let is_said = self.wire.send(farewell);
        if is_said {
            state.joined.remove(at).left();
            self.reckon_logins(state);
        }
        is_said
    }

    fn refuse(&self, namespace: &str, message: &str, data: Option<&Json>) {
        self.wire.send(self.form().error(namespace, message, data));
    }
}

/// The id as clients see it: 20 characters.
pub(crate) fn short(id: SessionId) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(id.short())
}

trait PositionOf {
    /// Where the namespace of that name stands.
    fn position_of(self, namespace: &str) -> Option<usize>;
}

impl<'a, I: Iterator<Item = &'a Joined>> PositionOf for I {
    fn position_of(mut self, namespace: &str) -> Option<usize> {
        self.position(|joined| joined.namespace() == namespace)
    }
}
