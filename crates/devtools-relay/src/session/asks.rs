//! What the server wants of a client: calls that it answers, and orders to the protocol.

use std::sync::Arc;

use polyport_core::{
    Answered, Arg, Args, Asks, CloseReason, Event, Json, RoomName, SessionRef, Unanswered,
    single_argument,
};
use polyport_net::Moment;
use serde::Deserialize;

use super::{
    auth::{Judged, identify},
    handshake::is_sendable,
};
use crate::{
    client::{Client, Farewell},
    codec::{Generation, Packet, write_call, write_event, write_kick_out},
    relay::HAND_OVER,
    wording,
};

/// Most answers that a client owes; the oldest goes for a new one.
const MOST_OWED: usize = 1024;

/// Orders of the server, by the names that their packets have.
const GIVE_TOKEN: &str = "#setAuthToken";
const TAKE_TOKEN: &str = "#removeAuthToken";
const KICK_OUT: &str = "#kickOut";
const DISCONNECT: &str = "#disconnect";
const PUBLISH: &str = "#publish";

/// Answers that a client owes.
#[derive(Default)]
pub(crate) struct Owed {
    last: u64,
    /// The oldest first.
    calls: Vec<Call>,
    is_over: bool,
}

/// A call of the server that waits for its answer.
pub(crate) struct Call {
    cid: u64,
    event: Box<str>,
    by: Moment,
    respond: Answered,
}

impl Call {
    /// The client has kept silent.
    pub(crate) fn times_out(self, generation: Generation) {
        let error = wording::no_answer(generation, &self.event);
        (self.respond)(Err(Unanswered::Error(error)));
    }

    /// There will be no answer.
    pub(crate) fn ends(self) {
        (self.respond)(Err(Unanswered::Ended));
    }
}

impl Owed {
    /// When the first answer is due.
    pub(crate) fn first(&self) -> Moment {
        self.calls.first().map_or(Moment::NEVER, |call| call.by)
    }

    /// Takes out what is overdue.
    pub(crate) fn late(&mut self, now: Moment) -> Vec<Call> {
        let count = self.calls.iter().take_while(|call| call.by <= now).count();
        self.calls.drain(..count).collect()
    }

    /// Takes out everything, for good.
    pub(crate) fn end(&mut self) -> Vec<Call> {
        self.is_over = true;
        std::mem::take(&mut self.calls)
    }

    fn take(&mut self, cid: u64) -> Option<Call> {
        let at = self.calls.iter().position(|call| call.cid == cid)?;
        let call = self.calls.remove(at);
        if self.calls.is_empty() {
            self.calls = Vec::new();
        }
        Some(call)
    }
}

/// The data of an order.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Order {
    token: Option<String>,
    channel: Option<RoomName>,
    message: Option<String>,
    code: Option<u16>,
    /// Why it is disconnected.
    #[serde(alias = "data")]
    reason: Option<String>,
}

impl Order {
    fn read(event: &Event) -> Self {
        let data = single_argument(&event.args);
        data.decode().unwrap_or_default()
    }
}

impl Client {
    /// The answer to a call of the server, if it is one. One that nobody waits for is ignored.
    pub(super) fn on_answer(&self, packet: &Packet<'_>) {
        let Some(cid) = packet.answered() else {
            return self.invalid();
        };
        let call = self.said.lock().owed.take(cid);
        let Some(call) = call else { return };
        let error = packet
            .error
            .filter(|error| !matches!(error.get(), "null" | "\"\""));
        (call.respond)(match error {
            Some(error) => Err(Unanswered::Error(Json::from(error))),
            None => {
                let data = packet.data.map(|data| Arg::Json(Json::from(data)));
                Ok(data.into_iter().collect())
            }
        });
    }

    /// Sends a call, or has `respond` hear that there will be no answer.
    fn call(&self, session: &SessionRef, name: &str, data: Option<&Json>, respond: Answered) {
        let mut said = self.said.lock();
        let owed = &mut said.owed;
        if owed.is_over {
            drop(said);
            return respond(Err(Unanswered::Ended));
        }
        let oldest = (owed.calls.len() >= MOST_OWED).then(|| owed.calls.remove(0));
        owed.last += 1;
        let cid = owed.last;
        let timeout = self.shared.options.ack_timeout;
        owed.calls.push(Call {
            cid,
            event: name.into(),
            by: self.shared.deadlines.after(timeout),
            respond,
        });
        self.look_soon(&said);
        drop(said);
        if let Some(oldest) = oldest {
            oldest.ends();
        }
        let generation = self.generation();
        session.send(self.frame(|text| {
            write_call(text, generation, name, data.map(Json::as_str), cid);
        }));
    }

    /// Does what the server tells the protocol to do to a client. `respond` hears whether the client has done its part.
    fn obey(self: &Arc<Self>, session: &SessionRef, event: &Event, respond: Option<Answered>) {
        let order = Order::read(event);
        let done = |respond: Option<Answered>| {
            if let Some(respond) = respond {
                respond(Ok(Args::new()));
            }
        };
        match event.name.as_str() {
            GIVE_TOKEN => self.give_token(session, order.token, respond),
            TAKE_TOKEN => {
                session.identify(None);
                match respond {
                    None => session.send(self.token_removal()),
                    Some(respond) => {
                        let is_old = self.generation() == Generation::V1;
                        let data = is_old.then_some(Json::NULL);
                        self.call(session, TAKE_TOKEN, data.as_ref(), respond);
                    }
                }
            }
            KICK_OUT => {
                if let Some(channel) = &order.channel
                    && session.leave(channel).is_ok()
                {
                    self.kick_out(session, channel, order.message.as_deref());
                }
                done(respond);
            }
            DISCONNECT => {
                let code = order.code.filter(|code| is_sendable(*code));
                let farewell = Farewell {
                    reason: order.reason.unwrap_or_default().into(),
                    ..Farewell::of(code.unwrap_or(1000))
                };
                self.close(farewell, CloseReason::Disconnected);
                done(respond);
            }
            HAND_OVER => {
                self.on_handed_over(session, event);
                done(respond);
            }
            unknown => {
                tracing::debug!(session = %session.id(), event = unknown, "the protocol has no such order");
                if let Some(respond) = respond {
                    respond(Err(Unanswered::Ended));
                }
            }
        }
    }

    /// Makes the client who a token says it is, and hands it the token. One that is no good is not handed out; where nobody
    /// is asked for tokens it is the application's own business.
    fn give_token(
        self: &Arc<Self>,
        session: &SessionRef,
        token: Option<String>,
        respond: Option<Answered>,
    ) {
        let Some(token) = token else {
            if let Some(respond) = respond {
                respond(Err(Unanswered::Ended));
            }
            return;
        };
        if self.shared.reception.authentication().is_some() {
            match self.judge(&token) {
                Judged::Now(Ok(identity)) => identify(session, identity),
                Judged::Now(Err(error)) => {
                    let error = error.value(self.generation());
                    tracing::debug!(session = %session.id(), error = error.as_str(), "a token is not handed out");
                    if let Some(respond) = respond {
                        respond(Err(Unanswered::Error(error)));
                    }
                    return;
                }
                Judged::Later(later) => {
                    let session = session.downgrade();
                    let _inside = self.shared.runtime.enter();
                    self.shared.tasks.spawn(async move {
                        if let (Ok(identity), Some(session)) = (later.await, session.upgrade()) {
                            identify(&session, identity);
                        }
                    });
                }
            }
        }
        let data = wording::object(&[("token", Json::string(&token))]);
        match respond {
            Some(respond) => self.call(session, GIVE_TOKEN, Some(&data), respond),
            None => session.send(self.frame(|text| {
                write_event(text, GIVE_TOKEN, Some(data.as_str()));
            })),
        }
    }

    pub(crate) fn kick_out(&self, session: &SessionRef, channel: &RoomName, message: Option<&str>) {
        let generation = self.generation();
        session.send(self.frame(|text| {
            write_kick_out(text, generation, channel.as_str(), message);
        }));
    }
}

/// The handle by which the core asks a client.
pub(crate) struct Asking(pub(crate) Arc<Client>);

impl Asks for Asking {
    fn ask(&self, session: &SessionRef, event: &Event, respond: Answered) {
        let name = event.name.as_str();
        if name.starts_with('#') && name != PUBLISH {
            return self.0.obey(session, event, Some(respond));
        }
        let data = (!event.args.is_empty()).then(|| single_argument(&event.args));
        self.0.call(session, name, data.as_ref(), respond);
    }

    fn order(&self, session: &SessionRef, event: &Event) -> bool {
        let name = event.name.as_str();
        let is_order = event.room.is_none() && name.starts_with('#') && name != PUBLISH;
        if is_order {
            self.0.obey(session, event, None);
        }
        is_order
    }

    fn disconnect(&self, session: &SessionRef) {
        session.close(CloseReason::Disconnected);
    }

    fn taken_out(&self, session: &SessionRef, room: &RoomName) {
        self.0.kick_out(session, room, None);
    }

    fn identified(&self, session: &SessionRef) {
        self.0.lose_rights(session);
    }

    fn identity_expired(&self, session: &SessionRef) {
        session.send(self.0.token_removal());
    }
}
