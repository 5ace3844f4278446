//! What other servers say to servers: a backend answers it, if one has the name.

use std::sync::Arc;

use polyport_core::{
    Arg, Args, Call, CallArgs, CallError, Json, Reply, SERVER_SIDE, first_argument,
};
use tracing::debug;

use crate::{
    answers::{Answerer, Way},
    codec::{Answer, Question},
    shared::Shared,
};

/// What adapters before 6.0 have for servers has no name of its own.
const CUSTOM: &str = "customRequest";

/// Who waits for an answer of a backend.
struct Asker {
    shared: Arc<Shared>,
    way: Way,
    id: Option<String>,
    is_custom: bool,
}

impl Answerer<'_> {
    /// Has a backend answer a question to servers; without one it is answered with `null`. Whether it was such a question.
    pub(super) fn serve(&self, way: &Way, id: Option<&str>, question: &Question) -> bool {
        let (name, args, is_custom) = match question {
            Question::ServerSide { name, args } => (name.as_str(), args.clone(), false),
            Question::Custom(data) => {
                let args = Args::from_iter([Arg::Json(data.clone())]);
                (CUSTOM, args, true)
            }
            _ => return false,
        };
        let asker = Asker {
            shared: Arc::clone(self.shared),
            way: way.clone(),
            id: id.map(str::to_owned),
            is_custom,
        };
        let action = format!("{SERVER_SIDE}{name}");
        let call = Call {
            action: &action,
            version: None,
            args: CallArgs::List(&args),
        };
        let realm = self.base.realm(self.namespace);
        let told = realm.and_then(|realm| {
            self.hub
                .call_of_server(self.base.realm_name(), &realm, call)
        });
        match told {
            Some(tell) => tell(Box::new(move |result| asker.answer(&action, result))),
            None if is_custom || self.shared.options.server_side_ack => asker.send(Json::NULL),
            None => {}
        }
        true
    }
}

impl Asker {
    /// The form of these answers has no place for errors.
    fn answer(self, action: &str, result: Result<Reply, CallError>) {
        let value = match result {
            Ok(Reply::Value(value)) => value,
            Ok(Reply::Args(args)) => first_argument(&args),
            Ok(Reply::Nothing | Reply::Void) => Json::NULL,
            Err(error) => {
                debug!(action, %error, "a call of another server has failed");
                Json::NULL
            }
        };
        self.send(value);
    }

    fn send(self, value: Json) {
        let Some(id) = &self.id else {
            return;
        };
        let answer = if self.is_custom {
            Answer::Custom(value)
        } else {
            Answer::ServerSide(value)
        };
        let message = self.way.message(id, answer);
        let is_sent = message.is_some_and(|payload| self.way.send(&self.shared, payload));
        if is_sent {
            self.shared.metrics.answered(false);
        }
    }
}
