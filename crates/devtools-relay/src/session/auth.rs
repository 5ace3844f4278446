//! Tokens: shown at the handshake or later, given by the server, taken away, expired.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use polyport_core::{
    CloseReason, Expiry, Frame, Identity, Json, Later, Millis, OnExpiry, SessionRef, TokenError,
    Verified,
};
use serde_json::value::RawValue;

use super::Waiting;
use crate::{
    client::{Client, Farewell, State},
    codec::{Generation, Packet, string, write_error, write_event},
    wording::object,
};

/// What stands where a token is expected.
pub(super) enum Token {
    Missing,
    Text(String),
    /// Something that is no text.
    Malformed,
}

/// Reads what stands where a token is expected.
pub(super) fn token_of(value: Option<&RawValue>) -> Token {
    match value.map(|value| (value.get(), string(value))) {
        None | Some(("null" | "\"\"", _)) => Token::Missing,
        Some((_, Some(token))) => Token::Text(token.into_owned()),
        Some((_, None)) => Token::Malformed,
    }
}

/// Why a token is no good.
#[derive(Debug, Clone)]
pub(super) struct AuthError {
    name: &'static str,
    message: String,
    /// The moment that the token was good until, or is good from.
    moment: Option<(&'static str, String)>,
    code: &'static str,
    /// Whether the client is to throw it away.
    is_bad: bool,
}

impl AuthError {
    fn new(error: TokenError, token: &str) -> Self {
        let TokenError { code, message } = error;
        let is_early = message == "jwt not active";
        let (name, moment) = match code {
            TokenError::EXPIRED => ("AuthTokenExpiredError", Some(("expiry", "exp"))),
            TokenError::UNAVAILABLE => ("AuthTokenError", None),
            _ if is_early => ("AuthTokenNotBeforeError", Some(("date", "nbf"))),
            _ => ("AuthTokenInvalidError", None),
        };
        let moment = moment.and_then(|(key, claim)| Some((key, moment_in(token, claim)?)));
        Self {
            name,
            message,
            moment,
            code,
            is_bad: !is_early && code != TokenError::UNAVAILABLE,
        }
    }

    fn invalid(message: &str) -> Self {
        let error = TokenError {
            code: TokenError::INVALID,
            message: message.to_owned(),
        };
        Self::new(error, "")
    }

    /// There is something that is no text.
    pub(super) fn no_text() -> Self {
        Self {
            name: "AuthTokenError",
            ..Self::invalid("Invalid token format - Token must be a string")
        }
    }

    /// The same in the core's words.
    pub(super) fn cause(&self) -> TokenError {
        TokenError {
            code: self.code,
            message: self.message.clone(),
        }
    }

    /// Whether the client is to throw the token away.
    pub(super) fn is_bad_token(&self) -> bool {
        self.is_bad
    }

    /// The error as a value.
    pub(super) fn value(&self, generation: Generation) -> Json {
        let mut members = vec![
            ("message", Json::string(&self.message)),
            ("name", Json::string(self.name)),
        ];
        if let Some((key, moment)) = &self.moment {
            members.push((*key, Json::string(moment)));
        }
        if generation == Generation::V2 {
            members.push(("isBadToken", Json::encode(&self.is_bad)));
        }
        object(&members)
    }
}

/// A moment that a token names, as JavaScript prints it. Only of tokens whose signature is good.
fn moment_in(token: &str, claim: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: std::collections::HashMap<String, serde_json::Value> =
        serde_json::from_slice(&payload).ok()?;
    let seconds = claims.get(claim)?.as_f64()?;
    let moment = Timestamp::from_millisecond((seconds * 1000.0) as i64).ok()?;
    Some(written(moment))
}

fn written(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// What a token says, at once or later: who the client is.
pub(super) enum Judged {
    Now(Result<Option<Arc<Identity>>, AuthError>),
    Later(Later<Result<Option<Arc<Identity>>, AuthError>>),
}

impl Client {
    /// Looks at a token. Where nobody is asked for tokens, none is good: the keys of the server that has signed it are gone.
    pub(super) fn judge(&self, token: &str) -> Judged {
        let authentication = self.shared.reception.authentication();
        let (Some(authentication), Some(request)) = (authentication, &self.request) else {
            let has_form = token.split('.').count() == 3;
            let message = if has_form {
                "invalid signature"
            } else {
                "jwt malformed"
            };
            return Judged::Now(Err(AuthError::invalid(message)));
        };
        let listener = Arc::clone(&self.shared.listener);
        let token = token.to_owned();
        match authentication.verifier.verify(&token, request) {
            Verified::Now(result) => {
                listener.metrics().token(result.as_ref().err());
                Judged::Now(
                    result
                        .map(Some)
                        .map_err(|error| AuthError::new(error, &token)),
                )
            }
            Verified::Later(later) => Judged::Later(Box::pin(async move {
                let result = later.await;
                listener.metrics().token(result.as_ref().err());
                result
                    .map(Some)
                    .map_err(|error| AuthError::new(error, &token))
            })),
        }
    }

    pub(super) fn on_authenticate(
        self: &Arc<Self>,
        state: &mut State,
        session: &SessionRef,
        packet: &Packet<'_>,
    ) {
        let waiting = self.waiting_for(packet);
        if !waiting.is_waiting() && self.generation() == Generation::V2 {
            self.invalid();
            state.stage = crate::client::Stage::Over;
            return self.close(Farewell::bare(4008), CloseReason::ProtocolError);
        }
        let judged = match token_of(packet.data) {
            Token::Text(token) => self.judge(&token),
            Token::Missing => Judged::Now(Err(AuthError::invalid("jwt must be provided"))),
            Token::Malformed => Judged::Now(Err(AuthError::no_text())),
        };
        match judged {
            Judged::Now(result) => self.authenticated(session, &waiting, result),
            Judged::Later(later) => {
                let client = Arc::clone(self);
                let session = session.downgrade();
                let _inside = self.shared.runtime.enter();
                self.shared.tasks.spawn(async move {
                    let result = later.await;
                    if let Some(session) = session.upgrade() {
                        let hub = session.listener().hub();
                        hub.turn(|| client.authenticated(&session, &waiting, result));
                    }
                });
            }
        }
    }

    fn authenticated(
        &self,
        session: &SessionRef,
        waiting: &Waiting,
        result: Result<Option<Arc<Identity>>, AuthError>,
    ) {
        let error = match result {
            Ok(identity) => {
                identify(session, identity);
                let data = r#"{"isAuthenticated":true,"authError":null}"#;
                return waiting.done(session, Some(data));
            }
            Err(error) => error,
        };
        session.identify(None);
        let generation = self.generation();
        let value = error.value(generation);
        let data = object(&[
            ("isAuthenticated", Json::encode(&false)),
            ("authError", value.clone()),
        ]);
        match (error.is_bad_token(), generation) {
            (false, _) => waiting.done(session, Some(data.as_str())),
            (true, Generation::V1) => {
                session.send(self.token_removal());
                waiting.answer(session, |text, rid| {
                    write_error(text, rid, value.as_str(), Some(data.as_str()));
                });
            }
            (true, Generation::V2) => {
                waiting.failed(session, &value);
                session.send(self.token_removal());
            }
        }
    }

    /// The client is nobody any more by its own will.
    pub(super) fn on_log_out(&self, session: &SessionRef, packet: &Packet<'_>) {
        session.identify(None);
        self.waiting_for(packet).done(session, None);
    }

    /// What tells a client to throw its token away.
    pub(super) fn token_removal(&self) -> Frame {
        let data = (self.generation() == Generation::V1).then_some("null");
        self.frame(|text| write_event(text, "#removeAuthToken", data))
    }

    /// Looks whether the client's token has expired: it is nobody then, or out, and this is the error.
    pub(crate) fn drop_expired(&self, session: &SessionRef) -> Option<Json> {
        let identity = session.identity()?;
        let Expiry { at, then } = identity.expiry.filter(|it| it.at <= Millis::now())?;
        match then {
            OnExpiry::Close => session.close(CloseReason::IdentityExpired),
            OnExpiry::Downgrade => {
                session.identify(None);
                session.send(self.token_removal());
            }
        }
        let moment = i64::try_from(at.0).ok().map(Timestamp::from_millisecond);
        let error = AuthError {
            name: "AuthTokenExpiredError",
            message: "jwt expired".to_owned(),
            moment: moment
                .and_then(Result::ok)
                .map(|moment| ("expiry", written(moment))),
            code: TokenError::EXPIRED,
            is_bad: true,
        };
        Some(error.value(self.generation()))
    }
}

/// Makes a session who its token says it is; a token that names no site means that of the page.
pub(super) fn identify(session: &SessionRef, identity: Option<Arc<Identity>>) {
    let mut identity = identity;
    if let Some(who) = &mut identity
        && who.site.is_none()
        && let Some(site) = session.site()
    {
        Arc::make_mut(who).site = Some(site);
    }
    session.identify(identity);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_name_and_moment() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"exp":1795180462,"nbf":2000000000}"#);
        let token = format!("x.{payload}.x");
        let check = |code, message: &str, generation, expected: &str| {
            let error = TokenError {
                code,
                message: message.to_owned(),
            };
            assert_eq!(
                AuthError::new(error, &token).value(generation).as_str(),
                expected
            );
        };
        check(
            TokenError::EXPIRED,
            "jwt expired",
            Generation::V2,
            r#"{"message":"jwt expired","name":"AuthTokenExpiredError","expiry":"2026-11-20T13:14:22.000Z","isBadToken":true}"#,
        );
        check(
            TokenError::INVALID,
            "jwt not active",
            Generation::V1,
            r#"{"message":"jwt not active","name":"AuthTokenNotBeforeError","date":"2033-05-18T03:33:20.000Z"}"#,
        );
        check(
            TokenError::INVALID,
            "jwt malformed",
            Generation::V2,
            r#"{"message":"jwt malformed","name":"AuthTokenInvalidError","isBadToken":true}"#,
        );
    }
}
