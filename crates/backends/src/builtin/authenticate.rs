//! `authenticate`: a client that is connected already logs in, by its protocol's own message.

use std::sync::Arc;

use polyport_core::{
    Answer, CallError, Identity, Json, Listener, MAX_TOKEN, OpenRequest, Reply, SessionRef,
    TokenError, TokenVerifier, Verified,
};
use serde::{Deserialize, Serialize};

use super::reply;
use crate::{Action, Input};

/// What a client hears of who it is now.
#[derive(Serialize)]
struct Fields<'a> {
    user: Option<&'a str>,
    site: Option<&'a str>,
    /// Milliseconds since the epoch.
    expires: Option<u64>,
}

/// Makes the calling session who the token in the input `token` says, by `verifier`. It leaves the rooms of who it was. A
/// token that is no good changes nothing; its error's text is the answer.
#[must_use]
pub fn authenticate(verifier: Arc<dyn TokenVerifier>) -> Action {
    Action {
        name: "authenticate".to_owned(),
        version: 1,
        description: "I will make this connection the user of a JSON Web Token".to_owned(),
        inputs: vec![Input {
            name: "token".to_owned(),
            required: true,
            ..Input::default()
        }],
        output_example: Json::encode(&Fields {
            user: Some("7"),
            site: Some("example.com"),
            expires: Some(1_800_000_000_000),
        }),
        run: Box::new(move |request| {
            run(
                &*verifier,
                request.session,
                request.inputs.required("token"),
            )
        }),
    }
}

fn run(verifier: &dyn TokenVerifier, session: &SessionRef, token: &Json) -> Answer {
    let listener = session.listener();
    let verified = match text(token) {
        Ok(token) => verifier.verify(&token, &request(session)),
        Err(message) => Verified::Now(Err(TokenError {
            code: TokenError::INVALID,
            message: message.to_owned(),
        })),
    };
    match verified {
        Verified::Now(result) => Answer::Now(become_it(listener, Some(session), result)),
        Verified::Later(later) => {
            let listener = Arc::clone(listener);
            let session = session.downgrade();
            Answer::Later(Box::pin(async move {
                let result = later.await;
                become_it(&listener, session.upgrade().as_ref(), result)
            }))
        }
    }
}

/// The token as it is, or in an object as its member `token`. One that is too long is not decoded.
fn text(token: &Json) -> Result<String, &'static str> {
    #[derive(Deserialize)]
    struct Wrapped {
        token: String,
    }
    if token.len() > MAX_TOKEN + 64 {
        return Err("jwt too long");
    }
    token
        .decode()
        .or_else(|_| token.decode().map(|Wrapped { token }| token))
        .map_err(|_| "invalid token datatype")
}

/// The session as an opening, which is long over: what it told of the page is remembered by the session.
fn request(session: &SessionRef) -> OpenRequest {
    OpenRequest {
        id: session.id(),
        listener: Arc::clone(session.listener()),
        peer: session.peer(),
        is_tls: false,
        target: String::new(),
        headers: Vec::new(),
        identity: session.identity(),
        branch: None,
        payload: None,
    }
}

fn become_it(
    listener: &Listener,
    session: Option<&SessionRef>,
    result: Result<Arc<Identity>, TokenError>,
) -> Result<Reply, CallError> {
    listener.metrics().token(result.as_ref().err());
    let mut identity = result.map_err(|error| CallError::Rejected(error.message))?;
    if let Some(session) = session {
        if identity.site.is_none()
            && let Some(site) = session.site()
        {
            Arc::make_mut(&mut identity).site = Some(site);
        }
        session.identify(Some(Arc::clone(&identity)));
    }
    Ok(reply(&Fields {
        user: identity.user.as_deref(),
        site: identity.site.as_deref(),
        expires: identity.expiry.map(|expiry| expiry.at.0),
    }))
}
