//! Asking a session's client, and waiting for what it answers.

use std::time::Duration;

use polyport_core::{
    Arg, Asked, Event, EventName, Json, NoAcks, Recipients, Said, SessionRef, TargetSpec,
    Unanswered, Whereabouts, single_argument,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::timeout};

use crate::api::{
    Api,
    answer::Answer,
    body,
    commands::present,
    error::{ApiError, Code},
    keys::ApiKey,
};

/// How long a client has for its answer, in milliseconds, if the caller does not say, and at most.
const DEFAULT_TIMEOUT: f64 = 5_000.0;
const MAX_TIMEOUT: f64 = 20_000.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    to: TargetSpec,
    event: Option<EventName>,
    args: Option<Vec<Json>>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Json>,
    #[serde(default, deserialize_with = "present")]
    action: Option<Json>,
    /// Milliseconds; `5e3` is a whole number too.
    timeout: Option<f64>,
}

/// What the client answered. Binary is an object, as in every protocol of JSON.
#[derive(Debug, Serialize)]
struct Answered {
    args: Vec<Json>,
}

impl Api {
    pub(crate) async fn call(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let call: Call = body::decode(body)?;
        let invalid = |message: String| ApiError::new(Code::InvalidRequest, message);
        let limit = read_timeout(call.timeout)?;
        let said = Said::new(call.event, call.args, call.data, call.action).map_err(invalid)?;
        key.check_target(&call.to)?;
        let Recipients::Session(id) = call.to.to else {
            return Err(invalid(
                "a call goes to one session: {\"session\":ID}".to_owned(),
            ));
        };
        let found = self.hub().find_session(call.to.realm.as_ref(), id).await?;
        let event = said.into_event(None);
        let asked = match found {
            Whereabouts::Here(session) => ask(session, &event, limit).await,
            Whereabouts::There(info) => match self.hub().cluster() {
                Some(cluster) => cluster.ask(&info, &event, limit).await,
                None => Asked::OutOfReach,
            },
            Whereabouts::Unknown => Asked::OutOfReach,
        };
        match asked {
            Asked::Answered(args) => {
                let one = |arg: &Arg| single_argument(std::slice::from_ref(arg));
                let args = args.iter().map(one).collect();
                Ok(Answer::ok(&Answered { args }))
            }
            Asked::Failed(error) => Err(ApiError::new(Code::ClientError, error.as_str())),
            Asked::Ended => Err(ApiError::new(
                Code::SessionEnded,
                "the session ended without an answer",
            )),
            Asked::NoAcks => Err(ApiError::new(Code::NoAcks, NoAcks.to_string())),
            Asked::NoAnswer => Err(ApiError::new(
                Code::NoAnswer,
                format!("the client did not answer within {} ms", limit.as_millis()),
            )),
            Asked::OutOfReach => Err(ApiError::out_of_reach()),
        }
    }
}

/// How long is waited for answers.
pub(crate) fn read_timeout(timeout: Option<f64>) -> Result<Duration, ApiError> {
    let limit = timeout.unwrap_or(DEFAULT_TIMEOUT);
    if limit.fract() != 0.0 || !(1.0..=MAX_TIMEOUT).contains(&limit) {
        let message = format!("`timeout` takes 1 to {MAX_TIMEOUT} whole milliseconds");
        return Err(ApiError::new(Code::InvalidRequest, message));
    }
    Ok(Duration::from_secs_f64(limit / 1000.0))
}

/// Asks the client of a session of this node, which may end meanwhile: nothing here keeps it.
async fn ask(session: SessionRef, event: &Event, limit: Duration) -> Asked {
    let (respond, answer) = oneshot::channel();
    let respond = Box::new(move |args| {
        // Who asked may have given up meanwhile.
        let _ = respond.send(args);
    });
    if session.ask(event, respond).is_err() {
        return Asked::NoAcks;
    }
    drop(session);
    match timeout(limit, answer).await {
        Ok(Ok(Ok(args))) => Asked::Answered(args),
        Ok(Ok(Err(Unanswered::Error(error)))) => Asked::Failed(error),
        Ok(Ok(Err(Unanswered::Ended)) | Err(_)) => Asked::Ended,
        Err(_) => Asked::NoAnswer,
    }
}
