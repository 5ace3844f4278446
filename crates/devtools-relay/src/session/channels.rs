//! Channels, which are rooms: subscribing, leaving, publishing.

use std::sync::{Arc, LazyLock};

use polyport_core::{
    Arg, Args, Ask, CallError, EventName, Except, JoinError, Json, LimitKind, RoomName, SessionRef,
};
use serde_json::value::RawValue;

use super::Waiting;
use crate::{
    client::{Client, State},
    codec::{Channel, Generation, Packet, string},
    dialect::MESSAGE,
    relay::{REPORT, list_reports},
    wording::{self, Verb},
};

/// What a client wants of a channel.
enum Wish {
    Subscribe,
    Unsubscribe,
    Publish(Args),
}

impl Wish {
    fn verb(&self) -> Verb {
        match self {
            Self::Subscribe => Verb::Subscribe,
            Self::Unsubscribe => Verb::Unsubscribe,
            Self::Publish(_) => Verb::Publish,
        }
    }

    /// What a backend is asked about it.
    fn question(&self, room: &RoomName) -> Option<Ask> {
        match self {
            Self::Subscribe => Some(Ask::Join(room.clone())),
            Self::Unsubscribe => None,
            Self::Publish(args) => Some(Ask::Publish {
                room: room.clone(),
                event: message(),
                args: args.clone(),
            }),
        }
    }
}

fn message() -> EventName {
    static NAME: LazyLock<EventName> =
        LazyLock::new(|| EventName::new(MESSAGE).expect("it is short and not empty"));
    NAME.clone()
}

impl Client {
    pub(super) fn on_subscribe(
        self: &Arc<Self>,
        state: &mut State,
        session: &SessionRef,
        packet: &Packet<'_>,
        expired: Option<&Json>,
    ) {
        let generation = self.generation();
        let channel = match self.pinned() {
            // Generation 2 takes no bare name.
            Some(Generation::V2) if packet.data.is_some_and(|it| string(it).is_some()) => {
                Channel::default()
            }
            _ => Channel::read(packet.data),
        };
        let is_batched = channel.is_batched && self.pinned() != Some(Generation::V2);
        let waiting = Waiting {
            batch: is_batched.then(|| self.batch(state)),
            ..self.waiting_for(packet)
        };
        if !waiting.is_waiting() && generation == Generation::V2 {
            return;
        }
        if let Some(error) =
            expired.filter(|_| channel.waits_for_auth && generation == Generation::V1)
        {
            return waiting.failed(session, error);
        }
        self.fulfil(state, session, waiting, channel.channel, Wish::Subscribe);
    }

    pub(super) fn on_unsubscribe(
        self: &Arc<Self>,
        state: &mut State,
        session: &SessionRef,
        packet: &Packet<'_>,
    ) {
        let waiting = self.waiting_for(packet);
        self.fulfil(state, session, waiting, packet.data, Wish::Unsubscribe);
    }

    pub(super) fn on_publish(
        self: &Arc<Self>,
        state: &mut State,
        session: &SessionRef,
        packet: &Packet<'_>,
    ) {
        let waiting = self.waiting_for(packet);
        if !self.shared.options.allow_publish {
            let error = wording::named("InvalidActionError", "Client publish feature is disabled");
            return waiting.failed(session, &error);
        }
        let channel = packet.data.filter(|data| data.get().starts_with('{'));
        let channel = Channel::read(channel);
        let args = channel.data.map(|data| Arg::Json(Json::from(data)));
        let wish = Wish::Publish(args.into_iter().collect());
        self.fulfil(state, session, waiting, channel.channel, wish);
    }

    /// Does at once what is wanted or, if backends have a say in such things, when those before it are done.
    fn fulfil(
        self: &Arc<Self>,
        state: &mut State,
        session: &SessionRef,
        waiting: Waiting,
        channel: Option<&RawValue>,
        wish: Wish,
    ) {
        let name = channel.and_then(string);
        let Some(room) = name.and_then(|name| RoomName::new(&name).ok()) else {
            let error = wording::malformed_channel(
                self.generation(),
                wish.verb(),
                &self.name(),
                &as_javascript(channel),
            );
            return waiting.failed(session, &error);
        };
        let hooks = self.shared.reception.backend().hooks();
        if !hooks.join && !hooks.publish {
            let done = self.check(session, &room, &wish);
            return self.carry_out(session, &room, wish, done, &waiting);
        }
        if state.in_order.is_full() {
            session.limit_hit(LimitKind::CallsInFlight);
            let error = wording::call_error(self.generation(), &CallError::TooManyPending);
            return waiting.failed(session, &error);
        }
        let job = self.job(session, room, wish, waiting);
        let _inside = self.shared.runtime.enter();
        let run = state.in_order.run(&self.shared.tasks, job);
        debug_assert!(run.is_ok(), "it was not full, and nobody else adds to it");
    }

    /// The same, asking the backends.
    fn job(
        self: &Arc<Self>,
        session: &SessionRef,
        room: RoomName,
        wish: Wish,
        waiting: Waiting,
    ) -> impl Future<Output = ()> + Send + use<> {
        let client = Arc::clone(self);
        let session = session.downgrade();
        async move {
            let checked = match session.upgrade() {
                Some(session) => client.check(&session, &room, &wish),
                None => return,
            };
            let checked = match checked {
                Ok(true) => client.ask_leave(&session, &room, &wish).await,
                checked => checked,
            };
            if let Some(session) = session.upgrade() {
                let hub = session.listener().hub();
                hub.turn(|| client.carry_out(&session, &room, wish, checked, &waiting));
            }
        }
    }

    /// Whether the listener's permissions let the client, and whether there is anything to do; else the error.
    fn check(&self, session: &SessionRef, room: &RoomName, wish: &Wish) -> Result<bool, Json> {
        let silent = || wording::silent(self.generation(), wish.verb());
        if matches!(wish, Wish::Subscribe) && !self.may_watch(session, room) {
            return Err(silent());
        }
        match wish {
            Wish::Subscribe => match session.may_join(room) {
                Ok(()) => Ok(true),
                // Subscribing again succeeds again.
                Err(JoinError::AlreadyIn) => Ok(false),
                Err(_) => Err(silent()),
            },
            Wish::Unsubscribe => Ok(true),
            Wish::Publish(_) => session
                .may_publish(room)
                .map(|()| true)
                .map_err(|_| silent()),
        }
    }

    /// What the backends that want to be asked say.
    async fn ask_leave(
        &self,
        session: &polyport_core::WeakSession,
        room: &RoomName,
        wish: &Wish,
    ) -> Result<bool, Json> {
        let Some(question) = wish.question(room) else {
            return Ok(true);
        };
        let backend = self.shared.reception.backend();
        match polyport_net::ask(&**backend, session, question).await {
            None | Some(Ok(())) => Ok(true),
            Some(Err(denial)) => Err(wording::denied(self.generation(), wish.verb(), &denial)),
        }
    }

    fn carry_out(
        &self,
        session: &SessionRef,
        room: &RoomName,
        wish: Wish,
        checked: Result<bool, Json>,
        waiting: &Waiting,
    ) {
        let is_subscribing = matches!(wish, Wish::Subscribe);
        let outcome = match (checked, wish) {
            (Err(error), _) => Err(error),
            (Ok(false), _) => Ok(()),
            (Ok(true), Wish::Subscribe) => self.subscribe(session, room),
            (Ok(true), Wish::Unsubscribe) => session.leave(room).map_err(|_| {
                wording::not_subscribed(self.generation(), &self.name(), room.as_str())
            }),
            (Ok(true), Wish::Publish(args)) => {
                return self.publish(session, room, args, waiting);
            }
        };
        match outcome {
            Ok(()) => {
                waiting.done(session, None);
                if is_subscribing {
                    self.deliver_early(session);
                    if room.as_str() == REPORT {
                        list_reports(self, session);
                    }
                }
            }
            Err(error) => waiting.failed(session, &error),
        }
    }

    fn subscribe(&self, session: &SessionRef, room: &RoomName) -> Result<(), Json> {
        match session.put_into(room) {
            Err(JoinError::TooManyRooms) => Err(wording::too_many_channels(
                self.generation(),
                &self.name(),
                room.as_str(),
                session.listener().limits().rooms_per_session,
            )),
            // It may have lost the right while it was being put there.
            Ok(()) if !self.may_watch(session, room) => {
                let _ = session.leave(room);
                Err(wording::silent(self.generation(), Verb::Subscribe))
            }
            // Who has ended hears nothing any more.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Generation 1 hears itself before its answer, generation 2 afterwards.
    fn publish(&self, session: &SessionRef, room: &RoomName, args: Args, waiting: &Waiting) {
        let is_old = self.generation() == Generation::V1;
        if !is_old {
            waiting.done(session, None);
        }
        session.publish_allowed(room, message(), args, Except::default());
        if is_old {
            waiting.done(session, None);
        }
    }
}

/// A value as JavaScript puts it into a text.
fn as_javascript(value: Option<&RawValue>) -> String {
    match value.map(|value| (value.get(), string(value))) {
        None => "undefined".to_owned(),
        Some((_, Some(text))) => text.into_owned(),
        Some((text, None)) if text.starts_with('{') => "[object Object]".to_owned(),
        Some((text, None)) => text.chars().take(200).collect(),
    }
}
