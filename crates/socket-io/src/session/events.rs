//! Events of a client: calls, publishes, or nothing that anybody wants.

use std::sync::Arc;

use polyport_core::{
    Answer, Arg, Args, Ask, Call, CallArgs, CallError, EventName, Except, Json, LimitKind, Reply,
    Session, SessionRef,
};
use polyport_net::{InOrder, respond};
use serde::Serialize;

use crate::{engine::Engine, options::PublishRule};

/// What an ack of a call carries: its value or values; nothing; or an object with the error.
fn answer_args(answer: &Result<Reply, CallError>) -> Args {
    #[derive(Serialize)]
    struct Failure {
        error: String,
    }
    match answer {
        Ok(Reply::Value(value)) => Args::from_iter([Arg::Json(value.clone())]),
        Ok(Reply::Args(args)) => args.clone(),
        Ok(Reply::Void) => Args::from_iter([Arg::Json(Json::NULL)]),
        Ok(Reply::Nothing) => Args::new(),
        Err(error) => {
            let error = error.to_string();
            Args::from_iter([Arg::Json(Json::encode(&Failure { error }))])
        }
    }
}

fn call_of<'a>(name: &'a EventName, args: &'a [Arg]) -> Call<'a> {
    Call {
        action: name.as_str(),
        version: None,
        args: CallArgs::List(args),
    }
}

impl Engine {
    /// A call if a backend knows it, else published if a rule says so, else dropped. What waits for a backend's leave to be
    /// published keeps its order in `in_order`.
    pub(super) fn on_event(
        &self,
        session: &Session,
        in_order: &mut InOrder,
        name: &EventName,
        args: Args,
        id: Option<u64>,
    ) {
        let form = self.form();
        let branch = Arc::clone(session.branch());
        let acknowledge = move |session: &SessionRef, args: &[Arg]| {
            if let Some(id) = id {
                session.send(form.ack(branch.namespace(), id, args));
            }
        };
        let call = call_of(name, &args);
        let mut ticket = match session.begin_permitted_call(name.as_str()) {
            Ok(ticket) => ticket,
            Err(error) => {
                session.call_refused(&call, &error);
                return acknowledge(session, &answer_args(&Err(error)));
            }
        };
        let backend = self.shared.reception.backend();
        match ticket.ask(session, &**backend, call) {
            Answer::Now(Err(CallError::UnknownAction)) => {
                let rules = &self.shared.options.publish;
                let Some(rule) = rules.iter().find(|rule| rule.event == *name) else {
                    drop(ticket.answer(&Err(CallError::UnknownAction)));
                    self.shared.unwanted.note(session.listener(), name);
                    return;
                };
                drop(ticket);
                if self.shared.reception.backend().hooks().publish {
                    return self.publish_if_let(session, in_order, rule, args, acknowledge);
                }
                for room in &rule.rooms {
                    let name = rule.name.clone();
                    session.publish_allowed(room, name, args.clone(), Except::default());
                }
                acknowledge(session, &[]);
            }
            Answer::Now(answer) => {
                let unsent = ticket.answer(&answer);
                acknowledge(session, &answer_args(&answer));
                drop(unsent);
            }
            answer => {
                let deadline = session.listener().limits().call;
                // It holds no handle of the session: a client that leaves is let go, its answer is dropped.
                respond(answer, &self.shared.tasks, deadline, move |answer| {
                    let unsent = ticket.answer(&answer);
                    if let Some(session) = unsent.session() {
                        acknowledge(session, &answer_args(&answer));
                    }
                });
            }
        }
    }

    /// Asks the backends first, for each room. The ack tells of the first refusal.
    fn publish_if_let(
        &self,
        session: &Session,
        in_order: &mut InOrder,
        rule: &PublishRule,
        args: Args,
        acknowledge: impl FnOnce(&SessionRef, &[Arg]) + Send + 'static,
    ) {
        if in_order.is_full() {
            let error = CallError::TooManyPending;
            session.limit_hit(LimitKind::CallsInFlight);
            session.call_refused(&call_of(&rule.event, &args), &error);
            acknowledge(session, &answer_args(&Err(error)));
            return;
        }
        let asker = session.downgrade();
        let backend = Arc::clone(self.shared.reception.backend());
        let rule = rule.clone();
        let job = async move {
            let mut refused = None;
            for room in &rule.rooms {
                let question = Ask::Publish {
                    room: room.clone(),
                    event: rule.name.clone(),
                    args: args.clone(),
                };
                let answer = polyport_net::ask(&*backend, &asker, question).await;
                let (Some(answer), Some(session)) = (answer, asker.upgrade()) else {
                    return;
                };
                match answer {
                    Ok(()) => {
                        let name = rule.name.clone();
                        session.publish_allowed(room, name, args.clone(), Except::default());
                    }
                    Err(denial) => refused = refused.or(Some(denial.text)),
                }
            }
            if let Some(session) = asker.upgrade() {
                let answer = match refused {
                    None => Ok(Reply::Nothing),
                    Some(text) => Err(CallError::Rejected(text)),
                };
                acknowledge(&session, &answer_args(&answer));
            }
        };
        let run = in_order.run(&self.shared.tasks, job);
        debug_assert!(run.is_ok(), "it was not full, and nobody else adds to it");
    }
}
