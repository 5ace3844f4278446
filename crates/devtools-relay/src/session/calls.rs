//! Calls and events of a client.

use polyport_core::{
    Answer, Arg, Args, Call, CallArgs, CallError, EventName, Json, Params, Reply, SessionRef,
    first_argument,
};
use polyport_net::respond;
use serde_json::value::RawValue;

use super::Waiting;
use crate::{
    client::Client,
    codec::{Generation, Packet, members},
    wording,
};

/// An object of more members is an argument by itself, not arguments by name.
const MOST_NAMED: usize = 100;

/// What a call carries.
enum Given {
    /// Nothing, or one thing.
    List(Args),
    /// An object.
    Named(Params),
}

impl Given {
    fn read(data: Option<&RawValue>) -> Self {
        let Some(data) = data else {
            return Self::List(Args::new());
        };
        let Some(members) = members(data, MOST_NAMED) else {
            return Self::List(Args::from_iter([Arg::Json(Json::from(data))]));
        };
        let mut params = Params::default();
        for (name, value) in members {
            params.set(&name, Json::from(value));
        }
        Self::Named(params)
    }

    fn args(&self) -> CallArgs<'_> {
        match self {
            Self::List(args) => CallArgs::List(args),
            Self::Named(params) => CallArgs::Named(params),
        }
    }
}

impl Client {
    /// A call if a backend knows it, whether or not an answer is wanted. What nobody knows is never answered.
    pub(super) fn on_call(&self, session: &SessionRef, name: &str, packet: &Packet<'_>) {
        let waiting = self.waiting_for(packet);
        let generation = self.generation();
        let given = Given::read(packet.data);
        let call = Call {
            action: name,
            version: None,
            args: given.args(),
        };
        let mut ticket = match session.begin_permitted_call(name) {
            Ok(ticket) => ticket,
            Err(error) => {
                session.call_refused(&call, &error);
                return answer(session, &waiting, generation, &Err(error));
            }
        };
        let backend = self.shared.reception.backend();
        match ticket.ask(session, &**backend, call) {
            Answer::Now(result) => {
                let unsent = ticket.answer(&result);
                if matches!(result, Err(CallError::UnknownAction)) {
                    self.note_unwanted(session, name);
                }
                answer(session, &waiting, generation, &result);
                drop(unsent);
            }
            later => {
                let deadline = session.listener().limits().call;
                let _inside = self.shared.runtime.enter();
                // It holds no handle of the session: a client that leaves is let go, its answer is dropped.
                respond(later, &self.shared.tasks, deadline, move |result| {
                    let unsent = ticket.answer(&result);
                    if let Some(session) = unsent.session() {
                        answer(session, &waiting, generation, &result);
                    }
                });
            }
        }
    }

    fn note_unwanted(&self, session: &SessionRef, name: &str) {
        if let Ok(name) = EventName::new(name) {
            self.shared.unwanted.note(session.listener(), &name);
        }
    }
}

fn answer(
    session: &SessionRef,
    waiting: &Waiting,
    generation: Generation,
    result: &Result<Reply, CallError>,
) {
    let value = match result {
        Ok(Reply::Value(value)) => Some(value.clone()),
        Ok(Reply::Args(args)) => (!args.is_empty()).then(|| first_argument(args)),
        Ok(Reply::Void | Reply::Nothing) => None,
        Err(CallError::UnknownAction) => return,
        Err(error) => {
            return waiting.failed(session, &wording::call_error(generation, error));
        }
    };
    waiting.done(session, value.as_ref().map(Json::as_str));
}
