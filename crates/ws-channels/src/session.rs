//! What a message means to a hub, and what its clients hear of each other.

use std::{mem, str, sync::Arc};

use polyport_core::{
    Arg, Args, Ask, Backend, CloseReason, EventName, Except, Frame, Guest, Json, LimitKind,
    Opening, RoomName, Session, SessionRef, Visit, Wire,
};
use polyport_net::{Heartbeat, InOrder, Tasks, WsClose, WsHandler, ask, ws};

use crate::{
    ChannelsOptions, Relay,
    clock::LocalTime,
    codec::{self, Message, Presence, Receipt},
    events,
};

/// What all sessions of a listener share.
pub(crate) struct PocketHub {
    pub(crate) options: ChannelsOptions,
    /// Is asked before a client publishes, where it wants to be.
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) tasks: Tasks,
}

impl std::fmt::Debug for PocketHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PocketHub").finish_non_exhaustive()
    }
}

/// One client of a hub.
#[derive(Debug)]
pub(crate) struct PocketSession {
    hub: Arc<PocketHub>,
    session: Session,
    visit: Option<Box<Visit>>,
    /// Whether its departure has been announced.
    departed: bool,
    /// Events about which backends are asked.
    in_order: InOrder,
}

impl PocketSession {
    pub(crate) fn open(hub: Arc<PocketHub>, opening: Opening, guest: Guest) -> Self {
        let session = Session::open(opening);
        let opened = Self {
            visit: guest.enter(&session),
            hub,
            session,
            departed: false,
            in_order: InOrder::default(),
        };
        if opened.hub.options.verbose {
            events::connected(&opened.session);
        }
        opened.announce(Presence::Connected);
        opened
    }

    /// Tells the others, once. A stopping listener ends all its sessions: nobody is left to be told.
    fn depart(&mut self) {
        if mem::replace(&mut self.departed, true) {
            return;
        }
        if self.hub.options.verbose {
            events::disconnected(&self.session);
        }
        if !self.session.listener().is_draining() {
            self.announce(Presence::Disconnected);
        }
    }

    fn announce(&self, presence: Presence) {
        if self.hub.options.relay == Relay::Plain {
            return;
        }
        let peer = self.session.peer();
        let frame = ws::written_text(|text| {
            codec::write_presence(text, presence, peer.port(), &peer.address());
        });
        self.tell_others(&frame);
    }

    /// A text, or binary that is text: the original does not tell them apart.
    fn take(&mut self, text: &str) {
        let Some(message) = codec::read(text) else {
            self.answer(Receipt::Other(text.len()));
            self.relay(&ws::text(text), text.as_bytes());
            return;
        };
        if self.hub.options.refuse_forgeries && message.is_forgery() {
            events::forgery_refused(&self.session);
            self.answer(Receipt::Refused(message.id()));
            return;
        }
        self.answer(Receipt::Object(message.id()));
        self.relay(&ws::text(text), text.as_bytes());
        self.publish(&message);
    }

    fn answer(&self, receipt: Receipt<'_>) {
        let verbose = self.hub.options.verbose;
        let frame = ws::written_text(|text| {
            codec::write_receipt(text, LocalTime::now(), receipt);
            if verbose {
                events::sent(&self.session, text.as_bytes());
            }
        });
        self.session.send(frame);
    }

    fn relay(&self, frame: &Frame, payload: &[u8]) {
        if self.hub.options.verbose {
            events::sent(&self.session, payload);
        }
        // An echo takes the same way as the relay, so that the sender sees the hub's one common order too.
        let except = Except {
            session: (!self.hub.options.echo).then_some(&*self.session),
            listener: None,
        };
        self.session.relay(except, frame);
    }

    /// Tells the others what the hub itself says.
    fn tell_others(&self, frame: &Frame) {
        let listener = self.session.listener();
        let except = Except {
            session: Some(&self.session),
            listener: None,
        };
        listener.hub().relay(listener, except, frame);
    }

    /// Shows `channel.event` to the sessions of other listeners in the room `channel`, if there is one and this session may
    /// publish there. Those of this listener have the text itself.
    fn publish(&mut self, message: &Message<'_>) {
        let Some(name) = message.name() else { return };
        let Some((channel, event)) = codec::channel_and_event(&name) else {
            return;
        };
        let (Ok(room), Ok(event)) = (RoomName::new(channel), EventName::new(event)) else {
            return;
        };
        let listener = self.session.listener();
        // Most channels are the pages' own and no room; then nothing is copied.
        if !listener.realm().exists(&room) {
            return;
        }
        let data = message.data.map_or(Json::NULL, Json::from);
        let args = Args::from_buf([Arg::Json(data)]);
        if self.hub.backend.hooks().publish {
            self.publish_if_let(room, event, args);
        } else {
            publish(&self.session, &room, event, args);
        }
    }

    /// Asks the backends first. What a session publishes keeps its order, however long they take.
    fn publish_if_let(&mut self, room: RoomName, event: EventName, args: Args) {
        let hub = Arc::clone(&self.hub);
        let session = self.session.downgrade();
        let job = async move {
            if session
                .upgrade()
                .is_none_or(|session| session.may_publish(&room).is_err())
            {
                return;
            }
            let question = Ask::Publish {
                room: room.clone(),
                event: event.clone(),
                args: args.clone(),
            };
            let answer = ask(&*hub.backend, &session, question).await;
            if let (Some(answer), Some(session)) = (answer, session.upgrade()) {
                match answer {
                    Ok(()) => publish(&session, &room, event, args),
                    Err(denial) => events::not_let_publish(&session, &denial.text),
                }
            }
        };
        if self.in_order.run(&self.hub.tasks, job).is_err() {
            self.session.limit_hit(LimitKind::CallsInFlight);
        }
    }
}

/// Shows an event to the members of `room` that came through other listeners, if the session may publish there.
fn publish(session: &SessionRef, room: &RoomName, event: EventName, args: Args) {
    let except = Except {
        session: None,
        listener: Some(session.listener()),
    };
    if let Err(error) = session.publish(room, event, args, except) {
        events::not_published(session, error);
    }
}

impl WsHandler for PocketSession {
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
        if self.hub.options.verbose {
            events::received(&self.session, text.as_bytes());
        }
        match self.hub.options.relay {
            Relay::Hub => self.take(text),
            Relay::Plain => self.relay(&ws::text(text), text.as_bytes()),
        }
    }

    fn on_binary(&mut self, data: &[u8]) {
        if self.hub.options.verbose {
            events::received(&self.session, data);
        }
        match (self.hub.options.relay, str::from_utf8(data)) {
            (Relay::Plain, _) => self.relay(&ws::binary(data), data),
            (Relay::Hub, Ok(text)) => self.take(text),
            (Relay::Hub, Err(_)) => {
                self.answer(Receipt::Other(data.len()));
                // As a text frame it would cut off every browser that gets it.
                self.relay(&ws::binary(data), data);
            }
        }
    }

    /// A client's close frame is answered with an empty one, whatever its code: `88 00`, as the original does.
    fn on_close(&mut self, close: WsClose) -> Frame {
        // The connection may linger for a while; the others hear of it now.
        self.depart();
        if let (Some(visit), Some(end)) = (&mut self.visit, close.session_end()) {
            visit.ends(end);
        }
        match close {
            WsClose::ByClient(_) => ws::close(None),
            WsClose::ByServer(CloseReason::Disconnected) => ws::close(Some((1001, ""))),
            WsClose::ByServer(_) | WsClose::ByError(_) => {
                ws::close(Some((close.code(), close.text())))
            }
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat::every(self.hub.options.ping)
    }
}

/// Also when the connection was cut without a word.
impl Drop for PocketSession {
    fn drop(&mut self) {
        self.depart();
    }
}

#[cfg(test)]
mod tests;
