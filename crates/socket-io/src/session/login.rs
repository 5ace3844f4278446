//! Logging in by an event, as npm socketio-jwt has it: `authenticate` is answered by `authenticated` or `unauthorized`.

use std::sync::Arc;

use polyport_core::{
    Arg, Args, Authentication, CloseReason, Event, EventName, Identity, Json, OpenRequest,
    SessionRef, TokenError, Verified,
};
use serde::Serialize;

use super::{Joined, Stage, Unauthorized};
use crate::{
    codec::{Kind, Packet},
    dialect::event_frame,
    engine::{Engine, State},
};

/// The events of socketio-jwt.
pub(super) const AUTHENTICATE: &str = "authenticate";
pub(super) const AUTHENTICATED: &str = "authenticated";
pub(super) const UNAUTHORIZED: &str = "unauthorized";

impl Engine {
    pub(super) fn authentication(&self) -> Option<&Authentication> {
        self.shared.reception.authentication()
    }

    /// Whether a client without a token may bring it by an event.
    pub(super) fn waits_for_login(&self, error: &TokenError) -> bool {
        let is_asked = self.authentication().is_some_and(|it| it.required);
        is_asked && error.code == TokenError::MISSING
    }

    /// A packet of a client that has to log in first. Its events are dropped, but for that one.
    pub(super) fn on_stranger(self: &Arc<Self>, state: &mut State, at: usize, packet: Packet<'_>) {
        let Joined { id, branch, stage } = &mut state.joined[at];
        let Stage::Waiting(waiting) = stage else {
            return;
        };
        let is_login = packet
            .name
            .as_ref()
            .is_some_and(|it| it.as_str() == AUTHENTICATE);
        if packet.kind == Kind::Ack && packet.id.is_some() && packet.id == waiting.confirmed_by {
            self.wire.close(CloseReason::Disconnected);
            return;
        }
        if !is_login || waiting.is_judged {
            self.wire.listener().metrics().invalid_messages.inc();
            return;
        }
        waiting.is_judged = true;
        let (id, branch) = (*id, Arc::clone(branch));
        match token_in(&packet.args) {
            Ok(token) => self.ask(state, id, branch, None, Some(token)),
            Err(error) => self.stays_out(&mut state.joined[at], &error),
        }
    }

    /// The token was no good. The client may try again until its time has run out, or confirm that it goes.
    pub(super) fn stays_out(&self, joined: &mut Joined, error: &TokenError) {
        let Stage::Waiting(waiting) = &mut joined.stage else {
            return;
        };
        waiting.is_judged = false;
        let ack = waiting.next_ack;
        waiting.next_ack += 1;
        waiting.confirmed_by = Some(ack);
        let unauthorized = event(UNAUTHORIZED, Some(unauthorized(error)));
        let namespace = joined.branch.namespace();
        let frame = event_frame(self.revision, namespace, Some(ack), &unauthorized);
        self.wire.send(frame);
    }

    /// A client that is somebody brings another token: it becomes whom that says, or stays who it is.
    pub(super) fn log_in_again(self: &Arc<Self>, session: &SessionRef, args: &Args) {
        let (Some(authentication), Some(request)) = (self.authentication(), &self.request) else {
            return;
        };
        let verified = match token_in(args) {
            Ok(payload) => {
                let request = OpenRequest {
                    id: session.id(),
                    branch: Some(Arc::clone(session.branch())),
                    payload: Some(payload),
                    ..request.clone()
                };
                let token = request.token(&[]).unwrap_or_default();
                authentication.verifier.verify(&token, &request)
            }
            Err(error) => Verified::Now(Err(error)),
        };
        match verified {
            Verified::Now(result) => become_it(session, result),
            Verified::Later(later) => {
                let session = session.downgrade();
                let _inside = self.shared.runtime.enter();
                self.shared.tasks.spawn(async move {
                    let result = later.await;
                    if let Some(session) = session.upgrade() {
                        become_it(&session, result);
                    }
                });
            }
        }
    }
}

/// An event of the gateway's own.
pub(super) fn event(name: &str, data: Option<Json>) -> Event {
    let name = EventName::new(name).expect("it is short and not empty");
    let mut event = Event::new(name, Json::NULL);
    event.args = data.into_iter().map(Arg::Json).collect();
    event
}

/// The payload with the token in the arguments of `authenticate`.
fn token_in(args: &Args) -> Result<Json, TokenError> {
    #[derive(serde::Deserialize)]
    struct Payload {
        #[serde(rename = "token")]
        _token: String,
    }
    match args.first() {
        Some(Arg::Json(json)) if json.decode::<Payload>().is_ok() => Ok(json.clone()),
        _ => Err(TokenError {
            code: TokenError::INVALID,
            message: "invalid token datatype".to_owned(),
        }),
    }
}

fn become_it(session: &SessionRef, result: Result<Arc<Identity>, TokenError>) {
    session.listener().metrics().token(result.as_ref().err());
    match result {
        Ok(mut identity) => {
            if identity.site.is_none()
                && let Some(site) = session.site()
            {
                Arc::make_mut(&mut identity).site = Some(site);
            }
            session.identify(Some(identity));
            session.tell(&event(AUTHENTICATED, None));
        }
        Err(error) => {
            let unauthorized = event(UNAUTHORIZED, Some(unauthorized(&error)));
            // Whether the client confirms it changes nothing.
            let _ = session.ask(&unauthorized, Box::new(drop));
        }
    }
}

/// The error object of the event `unauthorized` of socketio-jwt 4.2 and later.
pub(super) fn unauthorized(error: &TokenError) -> Json {
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
