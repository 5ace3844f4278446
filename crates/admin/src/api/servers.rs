//! Saying something to the other servers of a realm, and waiting for what they answer.

use polyport_core::{EventName, Json, Known, RealmName, Recipients, Said, TargetSpec};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::api::{
    Api,
    answer::Answer,
    body,
    call::read_timeout,
    commands::present,
    error::{ApiError, Code},
    keys::ApiKey,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerSideEmit {
    realm: Option<RealmName>,
    event: EventName,
    args: Option<Vec<Json>>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Json>,
    timeout: Option<f64>,
}

/// One answer of each server, in the order in which they came.
#[derive(Debug, Serialize)]
struct Answered {
    answers: Vec<Json>,
    complete: bool,
}

impl Api {
    /// Whoever may do this addresses everybody.
    pub(crate) async fn server_side_emit(
        &self,
        key: &ApiKey,
        body: &[u8],
    ) -> Result<Answer, ApiError> {
        let emit: ServerSideEmit = body::decode(body)?;
        let invalid = |message: String| ApiError::new(Code::InvalidRequest, message);
        let limit = read_timeout(emit.timeout)?;
        let said = Said::new(Some(emit.event), emit.args, emit.data, None).map_err(invalid)?;
        key.check_target(&TargetSpec {
            realm: emit.realm.clone(),
            to: Recipients::Everyone,
        })?;
        let realm = emit.realm.as_ref().unwrap_or_else(|| self.realm());
        self.find_realm(realm)?;
        let (done, answered) = oneshot::channel();
        let done = Box::new(move |known| {
            // Who asked may have given up meanwhile.
            let _ = done.send(known);
        });
        self.hub()
            .ask_servers(realm, said.event, said.args, limit, done);
        match answered.await {
            Ok(Some(Known { value, is_complete })) => Ok(Answer::ok(&Answered {
                answers: value,
                complete: is_complete,
            })),
            Ok(None) | Err(_) => Err(ApiError::out_of_reach()),
        }
    }
}
