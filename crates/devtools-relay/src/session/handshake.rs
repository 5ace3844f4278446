//! The first packet: who the client is, whether it may come in, and what it hears.

use std::{sync::Arc, time::Duration};

use polyport_core::{
    Branch, CloseReason, Guest, Identity, Json, OpeningOn, Received, Refused, Session, SessionRef,
    TokenError,
};
use polyport_net::Moment;
use tokio::time::timeout;

use super::{
    Waiting,
    asks::Asking,
    auth::{AuthError, Judged, Token, token_of},
};
use crate::{
    access::NobodyKnown,
    client::{Client, Farewell, Stage, State},
    codec::{Generation, Packet, member, members, write_answer, write_error},
    wording::{self, Verb},
};

/// Most packets that wait while a client is being let in, and most bytes of them.
const HELD: usize = 100;
const HELD_BYTES: usize = 1 << 20;

/// The code by which a handshake is refused, if nobody says another.
const REFUSED: u16 = 4008;

/// Packets that wait, in order.
#[derive(Default)]
pub(crate) struct Held {
    packets: Vec<Box<str>>,
    bytes: usize,
}

impl Held {
    /// Keeps a packet for later; whether there was room.
    pub(super) fn keep(&mut self, packet: &str) -> bool {
        self.bytes += packet.len();
        let has_room = self.packets.len() < HELD && self.bytes <= HELD_BYTES;
        if has_room {
            self.packets.push(packet.into());
        }
        has_room
    }
}

/// What was decided about a client.
struct Decided {
    received: Result<Guest, Refused>,
    token: Shown,
}

/// What came of the token that a client has shown.
#[derive(Clone, Default)]
struct Shown {
    is_good: bool,
    /// What is wrong with it.
    error: Option<AuthError>,
}

/// What asking the backends has come to.
enum Asked {
    Now(Decided),
    Later(Received, Shown),
}

impl Client {
    /// The first packet: a handshake, or the end.
    pub(crate) fn on_first_packet(self: &Arc<Self>, state: &mut State, packet: Packet<'_>) {
        if packet.name().as_deref() != Some("#handshake") {
            return self.spoke_too_early(state);
        }
        let waiting = self.waiting_for(&packet);
        if !waiting.is_waiting() && self.pinned() != Some(Generation::V1) {
            self.invalid();
            state.stage = Stage::Over;
            return self.close(Farewell::bare(REFUSED), CloseReason::ProtocolError);
        }
        state.handshake_by = Moment::NEVER;
        let guest = state.guest.take();
        match self.judge_opening(&packet, guest.is_some()) {
            Judged::Now(judged) => match self.ask_backends(judged, guest) {
                Asked::Now(decided) => self.decide(state, &waiting, decided),
                Asked::Later(received, token) => {
                    self.wait(state, waiting, settle(received, token));
                }
            },
            Judged::Later(judging) => {
                let client = Arc::clone(self);
                let deciding = async move {
                    match client.ask_backends(judging.await, guest) {
                        Asked::Now(decided) => decided,
                        Asked::Later(received, token) => settle(received, token).await,
                    }
                };
                self.wait(state, waiting, deciding);
            }
        }
    }

    /// The token of a handshake, or that of the address and headers unless it was judged at the upgrade.
    fn judge_opening(&self, packet: &Packet<'_>, was_asked: bool) -> Judged {
        let token = token_of(packet.data.and_then(|data| member(data, "authToken")));
        match token {
            Token::Text(token) => self.judge(&token),
            Token::Malformed => Judged::Now(Err(AuthError::no_text())),
            Token::Missing if was_asked => Judged::Now(Ok(None)),
            Token::Missing => {
                let sources = self.shared.reception.authentication().map(|it| &it.sources);
                let request = self.request.as_ref().zip(sources);
                match request.and_then(|(request, sources)| request.token(sources)) {
                    Some(token) => self.judge(&token),
                    None => Judged::Now(Ok(None)),
                }
            }
        }
    }

    /// Asks the backends, unless they have let it in already.
    fn ask_backends(
        &self,
        judged: Result<Option<Arc<Identity>>, AuthError>,
        guest: Option<Guest>,
    ) -> Asked {
        let (identity, error) = match judged {
            Ok(identity) => (identity, None),
            Err(error) => (None, Some(error)),
        };
        let is_known = guest.as_ref().is_some_and(|it| it.identity().is_some());
        let token = Shown {
            is_good: identity.is_some() || is_known,
            error,
        };
        let reception = &self.shared.reception;
        let is_required = reception.authentication().is_some_and(|it| it.required);
        if is_required && !token.is_good {
            let missing = || TokenError {
                code: TokenError::MISSING,
                message: "a token is required".to_owned(),
            };
            let error = token.error.as_ref().map_or_else(missing, AuthError::cause);
            return Asked::Now(Decided {
                received: Err(Refused::Token(error)),
                token,
            });
        }
        if let Some(guest) = guest {
            return Asked::Now(Decided {
                received: Ok(guest.or_identity(identity)),
                token,
            });
        }
        let Some(request) = &self.request else {
            return Asked::Now(Decided {
                received: Ok(Guest::default()),
                token,
            });
        };
        let mut request = (**request).clone();
        if let Ok((_, branch)) = self.shared.settle(&self.entrance, identity.as_deref()) {
            request.branch = Some(branch);
        }
        match reception.receive_as(request, identity) {
            Received::Now(received) => Asked::Now(Decided { received, token }),
            later => Asked::Later(later, token),
        }
    }

    /// Goes on when it is decided. What the client sends meanwhile is kept.
    fn wait(
        self: &Arc<Self>,
        state: &mut State,
        waiting: Waiting,
        deciding: impl Future<Output = Decided> + Send + 'static,
    ) {
        state.stage = Stage::Asking(Held::default());
        let longest = self.shared.listener.limits().call;
        let longest = if longest.is_zero() {
            Duration::MAX
        } else {
            longest
        };
        let client = Arc::clone(self);
        let _inside = self.shared.runtime.enter();
        self.shared.tasks.spawn(async move {
            let decided = timeout(longest, deciding).await;
            let decided = decided.unwrap_or_else(|_| Decided {
                received: Err(Refused::Unavailable("no decision came in time".to_owned())),
                token: Shown::default(),
            });
            let hub = Arc::clone(client.shared.listener.hub());
            hub.turn(|| {
                let mut state = client.state.lock();
                let held = match &mut state.stage {
                    Stage::Asking(held) => std::mem::take(&mut held.packets),
                    // It has gone.
                    _ => return,
                };
                client.decide(&mut state, &waiting, decided);
                for packet in held {
                    client.take(&mut state, &packet);
                }
            });
        });
    }

    fn decide(self: &Arc<Self>, state: &mut State, waiting: &Waiting, decided: Decided) {
        self.shared.knows(self.id);
        let Decided { received, token } = decided;
        match received {
            Ok(guest) => match self
                .shared
                .settle(&self.entrance, guest.identity().map(|it| &**it))
            {
                Ok((access, branch)) => {
                    self.settled.get_or_init(|| access);
                    self.let_in(state, waiting, guest, &token, branch);
                }
                Err(NobodyKnown) => {
                    self.refuse(state, waiting, &Refused::Nobody, token.error.as_ref());
                }
            },
            Err(refused) => self.refuse(state, waiting, &refused, token.error.as_ref()),
        }
        self.set_deadline(state);
    }

    fn let_in(
        self: &Arc<Self>,
        state: &mut State,
        waiting: &Waiting,
        guest: Guest,
        token: &Shown,
        branch: Arc<Branch>,
    ) {
        let generation = self.generation();
        let error = token.error.as_ref();
        let loses_token = error.is_some_and(AuthError::is_bad_token);
        if loses_token && generation == Generation::V1 {
            self.wire.send(self.token_removal());
        }
        let rid = waiting.rid.as_deref();
        let greeting = rid.map(|rid| {
            let data = self.greeting(error, token.is_good);
            self.frame(|text| write_answer(text, rid, Some(data.as_str())))
        });
        let session = Session::open_on(OpeningOn {
            id: self.id,
            wire: &self.wire,
            branch,
            asks: Some(Arc::new(Asking(Arc::clone(self)))),
            greeting,
        });
        if loses_token && generation == Generation::V2 {
            session.send(self.token_removal());
        }
        self.ask_generation(state);
        let visit = guest.enter(&session);
        state.stage = Stage::Open { session, visit };
    }

    /// What a client hears that is let in.
    fn greeting(&self, auth_error: Option<&AuthError>, is_authenticated: bool) -> Json {
        let timeout = self.shared.options.ping_timeout.as_millis();
        let mut members = vec![
            ("id", Json::string(&self.name())),
            ("pingTimeout", Json::encode(&timeout)),
        ];
        if let Some(error) = auth_error {
            members.push(("authError", error.value(self.generation())));
        }
        members.push(("isAuthenticated", Json::encode(&is_authenticated)));
        wording::object(&members)
    }

    /// It hears why, in its generation's form or, while that is not known, in one that both understand.
    fn refuse(
        &self,
        state: &mut State,
        waiting: &Waiting,
        refused: &Refused,
        auth_error: Option<&AuthError>,
    ) {
        let listener = &self.shared.listener;
        listener.refused(self.wire.peer().ip(), refused.reason());
        let (mut error, code) = self.refusal(refused, auth_error);
        let pinned = self.pinned();
        if pinned != Some(Generation::V1) {
            error.push(("statusCode".to_owned(), Json::encode(&code)));
        }
        let error: Vec<(&str, Json)> = error
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect();
        let error = wording::object(&error);
        let data = wording::object(&[("code", Json::encode(&code))]);
        let data = (pinned != Some(Generation::V2)).then_some(&data);
        if let Some(rid) = &waiting.rid {
            self.wire.send(self.frame(|text| {
                write_error(text, rid, error.as_str(), data.map(Json::as_str));
            }));
        }
        state.stage = Stage::Over;
        self.close(Farewell::of(code), CloseReason::Disconnected);
    }

    /// The members of the error, and the code. A backend's error has both if its data has.
    fn refusal(
        &self,
        refused: &Refused,
        auth_error: Option<&AuthError>,
    ) -> (Vec<(String, Json)>, u16) {
        let generation = self.generation();
        let error = match refused {
            Refused::Token(error) => match auth_error {
                Some(error) => error.value(generation),
                None => wording::named("AuthTokenError", &error.message),
            },
            Refused::Nobody => wording::silent(generation, Verb::Handshake),
            Refused::Failed { text, data } => return refusal_with(text, data.as_ref()),
            Refused::Unavailable(text) => wording::named("UnavailableError", text),
        };
        (owned_members(&error), REFUSED)
    }

    /// A client that has shaken hands does so again.
    pub(super) fn on_second_handshake(&self, session: &SessionRef, packet: &Packet<'_>) {
        if self.generation() == Generation::V1 {
            return self.invalid();
        }
        let waiting = self.waiting_for(packet);
        let data = self.greeting(None, session.identity().is_some());
        waiting.done(session, Some(data.as_str()));
    }

    /// A client of generation 1 leaves.
    pub(super) fn on_goodbye(&self, state: &mut State, packet: &Packet<'_>) {
        self.shows(Generation::V1);
        let code = packet.data.and_then(|data| member(data, "code"));
        let code = code.and_then(|code| code.get().parse().ok());
        let code = code.filter(|code| is_sendable(*code)).unwrap_or(1000);
        if let Stage::Open {
            visit: Some(visit), ..
        } = &mut state.stage
        {
            visit.ends(polyport_core::SessionEnd {
                code,
                text: String::new(),
            });
        }
        self.close(Farewell::bare(code), CloseReason::ClientLeft);
    }
}

async fn settle(received: Received, token: Shown) -> Decided {
    let received = match received {
        Received::Now(received) => received,
        Received::Later(deciding) => deciding.await,
    };
    Decided { received, token }
}

/// Whether a server may close with that code.
pub(super) fn is_sendable(code: u16) -> bool {
    matches!(code, 1000 | 3000..=4999)
}

fn owned_members(object: &Json) -> Vec<(String, Json)> {
    let raw: Result<&serde_json::value::RawValue, _> = serde_json::from_str(object.as_str());
    let members = raw.ok().and_then(|raw| members(raw, 100));
    let members = members.unwrap_or_default().into_iter();
    members
        .map(|(key, value)| (key.into_owned(), Json::from(value)))
        .collect()
}

/// The error of a backend: its text, and what else its data says.
fn refusal_with(text: &str, data: Option<&Json>) -> (Vec<(String, Json)>, u16) {
    let mut error = vec![
        ("message".to_owned(), Json::string(text)),
        ("name".to_owned(), Json::string("Error")),
    ];
    let mut code = REFUSED;
    for (key, value) in data.map(owned_members).unwrap_or_default() {
        match key.as_str() {
            "message" => {}
            "name" => error[1].1 = value,
            "statusCode" => {
                let wanted = value.as_str().parse().ok();
                code = wanted.filter(|code| is_sendable(*code)).unwrap_or(REFUSED);
            }
            _ => error.push((key, value)),
        }
    }
    (error, code)
}
