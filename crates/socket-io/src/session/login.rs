//! Logging in by an event, as npm socketio-jwt has it: `authenticate` is answered by `authenticated` or `unauthorized`.

use std::{mem, sync::Arc};

use polyport_core::{
    Arg, Args, Authentication, CloseReason, Event, EventName, Identity, Json, OpenRequest,
    Reception, SessionRef, TokenError, TokenSource, Unanswered, Verified, token_in,
};
use polyport_net::Moment;
use serde::Serialize;
use smallvec::SmallVec;

use super::{Stage, Unauthorized};
use crate::{
    codec::{Kind, Packet, Revision},
    engine::{Engine, State},
    options::{AfterRefusal, LoginOptions},
};

/// The events of socketio-jwt.
pub(super) const AUTHENTICATE: &str = "authenticate";
pub(super) const AUTHENTICATED: &str = "authenticated";
const UNAUTHORIZED: &str = "unauthorized";

/// Most events that wait while a token is being judged, and most bytes of them.
const HELD: usize = 64;
const HELD_BYTES: usize = 256 << 10;

/// The message and the code that a client hears that has given no token.
pub(super) type Missing = (&'static str, &'static str);

/// What a client has still to do.
pub(super) struct Login {
    /// Its time is over then.
    by: Moment,
    /// How it asked for the namespace, if it has no session yet.
    opening: Option<OpenRequest>,
    /// A token of it is being judged.
    is_judged: bool,
    /// What it has sent behind that token.
    held: Vec<Held>,
    held_bytes: usize,
    /// The ack that confirms that the client has heard that it is not let in.
    confirmed_by: Option<u64>,
    next_ack: u64,
}

/// An event that waits.
pub(super) struct Held {
    pub(super) name: EventName,
    pub(super) args: Args,
    pub(super) id: Option<u64>,
}

impl Login {
    /// What waits, in order.
    pub(super) fn take_held(&mut self) -> Vec<Held> {
        self.held_bytes = 0;
        mem::take(&mut self.held)
    }

    /// Keeps an event for later; whether there was room.
    fn hold(&mut self, packet: Packet<'_>) -> bool {
        let Some(name) = packet.name.filter(|_| self.is_judged) else {
            return false;
        };
        self.held_bytes += packet.args.iter().map(Arg::bytes).sum::<usize>();
        if self.held.len() >= HELD || self.held_bytes > HELD_BYTES {
            return false;
        }
        self.held.push(Held {
            name,
            args: packet.args,
            id: packet.id,
        });
        true
    }
}

/// Tokens count where the listener says so.
pub(crate) fn by_ways(reception: Reception, ways: &LoginOptions) -> Reception {
    let Some(authentication) = reception.authentication() else {
        return reception;
    };
    let mut sources = Vec::new();
    if ways.payload {
        sources.push(TokenSource::Payload);
    }
    if ways.handshake {
        sources.extend(authentication.sources.iter().cloned());
    }
    reception.with_sources(sources)
}

impl Engine {
    pub(super) fn authentication(&self) -> Option<&Authentication> {
        self.shared.reception.authentication()
    }

    /// Whether a client has still to give its token, by an event.
    pub(super) fn has_to_log_in(&self, request: &OpenRequest) -> bool {
        let authentication = self.authentication().filter(|asked| asked.required);
        self.shared.options.login.event
            && authentication.is_some_and(|asked| request.token(&asked.sources).is_none())
    }

    /// What a client has to do from now on.
    pub(super) fn new_login(&self, opening: Option<OpenRequest>) -> Box<Login> {
        Box::new(Login {
            by: self.shared.deadlines.after(self.shared.options.login.time),
            opening,
            is_judged: false,
            held: Vec::new(),
            held_bytes: 0,
            confirmed_by: None,
            next_ack: 0,
        })
    }

    /// What is wrong with an opening without a token.
    pub(super) fn missing(&self) -> Missing {
        let header = |request: &OpenRequest| request.header("authorization").map(str::to_owned);
        let header = self.request.as_ref().and_then(header);
        let sources = self.authentication().map(|asked| &*asked.sources);
        match header {
            // A good one would have been found.
            Some(_) if sources.is_some_and(|it| it.contains(&TokenSource::Bearer)) => (
                "Format is Authorization: Bearer [token]",
                "credentials_bad_format",
            ),
            None if sources == Some(&[TokenSource::Bearer]) => (
                "Server requires Authorization Header",
                "missing_authorization_header",
            ),
            _ => ("no token provided", "credentials_required"),
        }
    }

    /// When the next client runs out of time.
    pub(super) fn reckon_logins(&self, state: &mut State) {
        let logins = state.joined.iter_mut().filter_map(|joined| joined.login());
        let first = logins.map(|login| login.by).min();
        state.login_by = first.unwrap_or(Moment::NEVER).min(state.cut_at);
    }

    /// A client has run out of time, or is cut. That ends the connection. But a `/` of generation 3, which every client opens
    /// unasked, ends alone as long as the client's other namespaces may stay.
    pub(crate) fn out_of_time(&self, state: &mut State, now: Moment) {
        state.login_by = Moment::NEVER;
        let mut late = SmallVec::<[usize; 1]>::new();
        for (at, joined) in state.joined.iter_mut().enumerate() {
            if joined.login().is_some_and(|login| login.by <= now) {
                late.push(at);
            }
        }
        let may_others_stay = late.len() < state.joined.len() && state.cut_at > now;
        let root = match late[..] {
            [at] if self.revision == Revision::V3 && may_others_stay => Some(at),
            _ => None,
        };
        let root = root.filter(|at| state.joined[*at].namespace() == "/");
        if !root.is_some_and(|at| self.disconnect_at(state, at)) {
            self.wire.close(CloseReason::Disconnected);
        }
    }

    /// A packet of a client that has to log in first. Its events are dropped, but for that one and those right behind it.
    pub(super) fn on_stranger(self: &Arc<Self>, state: &mut State, at: usize, packet: Packet<'_>) {
        let joined = &mut state.joined[at];
        if let (Kind::Ack, Stage::Open { acks, .. }, Some(id)) =
            (packet.kind, &joined.stage, packet.id)
        {
            acks.answered(id, packet.args);
            return;
        }
        let Some(login) = joined.login() else {
            return;
        };
        if packet.kind == Kind::Ack && packet.id.is_some() && packet.id == login.confirmed_by {
            self.wire.close(CloseReason::Disconnected);
            return;
        }
        let name = packet.name.as_ref().map(EventName::as_str);
        if name == Some(AUTHENTICATE) && !login.is_judged {
            self.log_in(state, at, &packet.args);
        } else if !login.hold(packet) {
            self.wire.listener().metrics().invalid_messages.inc();
        }
    }

    /// A client gives a token: it becomes whom that says, or stays who it is.
    pub(super) fn log_in(self: &Arc<Self>, state: &mut State, at: usize, args: &Args) {
        let joined = &mut state.joined[at];
        let (number, id, branch) = (joined.number, joined.id, Arc::clone(&joined.branch));
        let token = match token_of(args) {
            Ok(token) => token,
            Err(error) => return self.stays_out(state, at, &error),
        };
        let opening = match joined.login() {
            Some(login) => {
                login.is_judged = true;
                login.opening.clone()
            }
            None => None,
        };
        if let Some(opening) = opening {
            let received = self.shared.reception.receive_bearer(opening, &token);
            return self.await_decision(state, number, received);
        }
        let (Some(authentication), Some(request)) = (self.authentication(), &self.request) else {
            return;
        };
        let request = OpenRequest {
            id,
            branch: Some(branch),
            ..request.clone()
        };
        match authentication.verifier.verify(&token, &request) {
            Verified::Now(result) => self.judged(state, number, result),
            Verified::Later(later) => {
                let engine = Arc::clone(self);
                let _inside = self.shared.runtime.enter();
                self.shared.tasks.spawn(async move {
                    let result = later.await;
                    let hub = Arc::clone(engine.shared.listener.hub());
                    hub.turn(|| engine.judged(&mut engine.state.lock(), number, result));
                });
            }
        }
    }

    /// The token of a client that has a session was good or not.
    fn judged(
        self: &Arc<Self>,
        state: &mut State,
        number: u64,
        result: Result<Arc<Identity>, TokenError>,
    ) {
        let listener = self.wire.listener();
        listener.metrics().token(result.as_ref().err());
        let Some(at) = state
            .joined
            .iter()
            .position(|joined| joined.number == number)
        else {
            return;
        };
        let mut identity = match result {
            Ok(identity) => identity,
            Err(error) => return self.stays_out(state, at, &error),
        };
        let Stage::Open { session, login, .. } = &mut state.joined[at].stage else {
            return;
        };
        if identity.site.is_none()
            && let Some(site) = session.site()
        {
            Arc::make_mut(&mut identity).site = Some(site);
        }
        session.identify(Some(identity));
        session.tell(&event(AUTHENTICATED, None));
        let held = login.take().map(|mut login| login.take_held());
        for held in held.unwrap_or_default() {
            let in_order = &mut state.in_order;
            self.on_event(session, in_order, &held.name, held.args, held.id);
        }
        self.reckon_logins(state);
        self.set_deadline(state);
    }

    /// A token was no good. Who has still to log in may try again until its time has run out; who is somebody stays so.
    pub(super) fn stays_out(&self, state: &mut State, at: usize, error: &TokenError) {
        let joined = &mut state.joined[at];
        let dropped = joined.login().map_or(0, |login| {
            login.is_judged = false;
            login.take_held().len()
        });
        let metrics = self.wire.listener().metrics();
        metrics.invalid_messages.inc_by(dropped as u64);
        let unauthorized = event(UNAUTHORIZED, Some(unauthorized(error)));
        match &mut joined.stage {
            Stage::Waiting(login) => {
                let ack = login.next_ack;
                login.next_ack += 1;
                login.confirmed_by = Some(ack);
                let namespace = joined.branch.namespace();
                let frame = self.form().event(namespace, Some(ack), &unauthorized, None);
                self.wire.send(frame);
            }
            Stage::Open { session, .. } => {
                let wire = Arc::clone(&self.wire);
                let confirmed = move |answer: Result<Args, Unanswered>| {
                    if answer.is_ok() {
                        wire.close(CloseReason::Disconnected);
                    }
                };
                // Clients of this protocol do answer.
                let _ = session.ask(&unauthorized, Box::new(confirmed));
            }
            Stage::Asking { .. } => return,
        }
        match self.shared.options.login.refused {
            AfterRefusal::Confirmed => {}
            AfterRefusal::AtOnce => self.wire.close(CloseReason::Disconnected),
            AfterRefusal::After(time) => {
                state.cut_at = state.cut_at.min(self.shared.deadlines.after(time));
                self.reckon_logins(state);
            }
        }
    }

    /// A token has expired and its session goes on as nobody's. Where nobody may be that, its client has a while to bring
    /// another.
    pub(super) fn expired(&self, session: &SessionRef) {
        let expired = TokenError {
            code: TokenError::EXPIRED,
            message: "jwt expired".to_owned(),
        };
        session.tell(&event(UNAUTHORIZED, Some(unauthorized(&expired))));
        if !self.authentication().is_some_and(|asked| asked.required) {
            return;
        }
        let new_login = self.new_login(None);
        let mut state = self.state.lock();
        let mut joined = state.joined.iter_mut();
        let found = joined.find(|joined| joined.id == session.id());
        if let Some(Stage::Open { login, .. }) = found.map(|joined| &mut joined.stage) {
            *login = Some(new_login);
        }
        self.reckon_logins(&mut state);
        self.set_deadline(&state);
    }
}

/// An event of the gateway's own.
pub(super) fn event(name: &str, data: Option<Json>) -> Event {
    let name = EventName::new(name).expect("it is short and not empty");
    let mut event = Event::new(name, Json::NULL);
    event.args = data.into_iter().map(Arg::Json).collect();
    event
}

/// The token in the arguments of `authenticate`.
fn token_of(args: &Args) -> Result<String, TokenError> {
    let token = match args.first() {
        Some(Arg::Json(json)) => token_in(json),
        _ => None,
    };
    token.ok_or_else(|| TokenError {
        code: TokenError::INVALID,
        message: "invalid token datatype".to_owned(),
    })
}

/// The error object of the event `unauthorized` of socketio-jwt 4.2 and later.
fn unauthorized(error: &TokenError) -> Json {
    #[derive(Serialize)]
    struct Inner<'a> {
        message: &'a str,
    }
    #[derive(Serialize)]
    struct Outer<'a> {
        message: &'a str,
        inner: Inner<'a>,
        data: Unauthorized<'a>,
    }
    let message = error.message.as_str();
    Json::encode(&Outer {
        message,
        inner: Inner { message },
        data: Unauthorized {
            message,
            code: "invalid_token",
            r#type: "UnauthorizedError",
        },
    })
}
