//! What a text means: one connection's state.

use std::{str, sync::Arc, time::Duration};

use polyport_core::{
    Answer, Arg, Call, CallArgs, CallError, CloseReason, Frame, Guest, Opening, Reply, Session,
    Visit, Wire, first_argument,
};
use polyport_net::{Heartbeat, WsClose, WsHandler, respond, ws};

use crate::{
    codec::{self, Request},
    listener::Shared,
};

/// The text of the original's own error for arguments that are no list.
const NO_LIST: &str = "CreateListFromArrayLike called on non-object";

/// One client.
pub(crate) struct RpcSession {
    shared: Arc<Shared>,
    session: Session,
    visit: Option<Box<Visit>>,
    /// Time between pings, if a backend wants another than the listener's.
    ping: Option<Duration>,
}

impl RpcSession {
    pub(crate) fn open(shared: Arc<Shared>, opening: Opening, guest: Guest) -> Self {
        let ping = guest.ping();
        let session = Session::open(opening);
        let visit = guest.enter(&session);
        Self {
            shared,
            session,
            visit,
            ping,
        }
    }

    fn take(&mut self, text: &str) {
        match codec::read(text) {
            Some(request) => self.run(&request),
            None => self.session.listener().metrics().invalid_messages.inc(),
        }
    }

    fn run(&self, request: &Request<'_>) {
        // A call of nothing fails for that, whatever its arguments are.
        let nothing: &[Arg] = &[];
        let spared = (!request.is_named).then_some(nothing);
        let Some(args) = request.args.as_deref().or(spared) else {
            self.fail(request, NO_LIST);
            return;
        };
        let call = Call {
            action: &request.name,
            version: None,
            args: CallArgs::List(args),
        };
        let begun = if request.is_named {
            self.session.begin_permitted_call(&request.name)
        } else {
            self.session.begin_call(&request.name)
        };
        let mut ticket = match begun {
            Ok(ticket) => ticket,
            Err(error) => {
                self.session.call_refused(&call, &error);
                self.fail(request, &error.to_string());
                return;
            }
        };
        let answer = if request.is_named {
            ticket.ask(&self.session, &**self.shared.reception.backend(), call)
        } else {
            ticket.show(&self.session, &call);
            Answer::Now(Err(CallError::UnknownAction))
        };
        if let Answer::Now(answer) = answer {
            let unsent = ticket.answer(&answer);
            if let Some(id) = request.id {
                self.session.send(answer_frame(id, &request.name, &answer));
            }
            drop(unsent);
            return;
        }
        let id = request.id.map(str::to_owned);
        let name = request.name.clone().into_owned();
        let deadline = self.session.listener().limits().call;
        // It holds no handle of the session: a client that leaves is let go, its answer is dropped.
        respond(answer, &self.shared.tasks, deadline, move |answer| {
            let unsent = ticket.answer(&answer);
            if let (Some(id), Some(session)) = (id, unsent.session()) {
                session.send(answer_frame(&id, &name, &answer));
            }
        });
    }

    fn fail(&self, request: &Request<'_>, message: &str) {
        if let Some(id) = request.id {
            let frame = ws::written_text(|text| codec::write_failure(text, id, message));
            self.session.send(frame);
        }
    }
}

fn answer_frame(id: &str, name: &str, answer: &Result<Reply, CallError>) -> Frame {
    ws::written_text(|text| match answer {
        Ok(Reply::Value(value)) => codec::write_result(text, id, value.as_str()),
        Ok(Reply::Args(args)) => codec::write_result(text, id, first_argument(args).as_str()),
        Ok(Reply::Void | Reply::Nothing) => codec::write_result(text, id, "null"),
        Err(CallError::UnknownAction) => codec::write_unknown(text, id, name),
        Err(error) => codec::write_failure(text, id, &error.to_string()),
    })
}

impl WsHandler for RpcSession {
    fn wire(&self) -> &Arc<Wire> {
        self.session.wire()
    }

    fn leave(&mut self) {
        self.session.leave_all();
    }

    fn is_calling(&self) -> bool {
        self.session.calls_in_flight() > 0
    }

    fn may_end(&self) -> bool {
        self.session.is_settled()
    }

    fn on_text(&mut self, text: &str) {
        self.take(text);
    }

    /// The original does not tell a text in a binary frame from any other.
    fn on_binary(&mut self, data: &[u8]) {
        match str::from_utf8(data) {
            Ok(text) => self.take(text),
            Err(_) => self.session.listener().metrics().invalid_messages.inc(),
        }
    }

    /// A client's close frame comes back as it was; the server's own is empty.
    fn on_close(&mut self, close: WsClose) -> Frame {
        if let (Some(visit), Some(end)) = (&mut self.visit, close.session_end()) {
            visit.ends(end);
        }
        match &close {
            WsClose::ByClient(reason) => {
                ws::close(reason.as_ref().map(|(code, text)| (*code, &**text)))
            }
            WsClose::ByServer(CloseReason::OutboxFull) | WsClose::ByError(_) => {
                ws::close(Some((close.code(), close.text())))
            }
            WsClose::ByServer(_) => ws::close(None),
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            interval: self.ping.unwrap_or(self.shared.options.heartbeat),
            at_once: false,
            only_pongs: true,
            cuts: true,
        }
    }
}

#[cfg(test)]
mod tests;
