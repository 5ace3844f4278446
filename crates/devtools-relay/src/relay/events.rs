//! The events that the relay takes, and what it says itself.

use std::sync::{Arc, Weak};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use polyport_core::{
    Arg, Args, Event, Except, Json, LimitKind, RealmName, RoomName, Sender, SessionRef, Target,
    WeakSession, single_argument,
};
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::{
    Head, LOG, Peer, REPORT, RESPOND, Relay, Role, event_name, report_events::GET_REPORT, room,
};
use crate::{
    access::Right,
    client::{Client, State},
    codec::{Codec, Generation, Packet, string, write_event},
    dialect::{MESSAGE, frame},
    session::Waiting,
    shared::{Relaying, Shared},
    wording::{self, Verb},
};

/// To one client, by the id of its connection.
const TO_ONE: &str = "sc-";

/// By which nodes hand over what is for one client of another.
pub(crate) const HAND_OVER: &str = "#handOver";

/// What a client wants of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish<'a> {
    Login,
    Log,
    LogWithoutId,
    Respond,
    ToOne(&'a str),
    GetReport,
}

impl<'a> Wish<'a> {
    fn of(name: &'a str) -> Option<Self> {
        Some(match name {
            "login" => Self::Login,
            LOG => Self::Log,
            "log-noid" => Self::LogWithoutId,
            RESPOND => Self::Respond,
            GET_REPORT => Self::GetReport,
            other => Self::ToOne(other.strip_prefix(TO_ONE)?),
        })
    }

    /// What a client must be allowed for it.
    fn right(self) -> Option<Right> {
        match self {
            Self::Login => None,
            Self::Log | Self::LogWithoutId => Some(Right::App),
            Self::Respond | Self::ToOne(_) => Some(Right::Monitor),
            Self::GetReport => Some(Right::Report),
        }
    }
}

/// A client among those who have logged in.
#[derive(Clone)]
pub(crate) struct Seated {
    client: Weak<Client>,
    session: WeakSession,
}

impl Seated {
    fn upgrade(&self) -> Option<(Arc<Client>, SessionRef)> {
        Some((self.client.upgrade()?, self.session.upgrade()?))
    }
}

impl Peer for Seated {
    fn is_there(&self) -> bool {
        self.session.upgrade().is_some()
    }

    fn is_watching(&self) -> bool {
        let session = self.session.upgrade();
        session.is_some_and(|session| session.is_in(&room(LOG)))
    }
}

impl Client {
    /// Takes an event if it is the relay's; whether it was.
    pub(crate) fn on_relayed(
        self: &Arc<Self>,
        state: &mut State,
        session: &SessionRef,
        name: &str,
        packet: &Packet<'_>,
    ) -> bool {
        let Some(relaying) = &self.shared.relaying else {
            return false;
        };
        let Some(wish) = Wish::of(name) else {
            return false;
        };
        let waiting = self.waiting_for(packet);
        if wish.right().is_some_and(|right| !self.may(session, right)) {
            if matches!(wish, Wish::GetReport) {
                self.refuse_report(session, packet.data, &waiting);
            } else {
                waiting.failed(session, &wording::silent(self.generation(), Verb::Call));
            }
            return true;
        }
        match wish {
            Wish::Login => self.log_in(relaying, session, packet.data, &waiting),
            Wish::GetReport => self.get_report(relaying, session, packet.data, waiting),
            Wish::Log => {
                self.log(relaying, session, packet.data);
                waiting.done(session, None);
            }
            Wish::LogWithoutId => {
                self.log_without_id(relaying, session, packet.data);
                waiting.done(session, None);
            }
            Wish::Respond => {
                publish(session, &room(RESPOND), packet.data.map(Json::from));
                waiting.done(session, None);
            }
            Wish::ToOne(to) => {
                self.send_to_one(relaying, state, session, to, packet.data);
                waiting.done(session, None);
            }
        }
        true
    }

    /// A packet whose name is an object: npm remotedev says so that something went wrong. Whether the relay takes it.
    pub(crate) fn on_nameless(&self, session: &SessionRef, packet: &Packet<'_>) -> bool {
        let (Some(relaying), Some(event)) = (&self.shared.relaying, packet.event) else {
            return false;
        };
        let is_message = self.may(session, Right::App) && Head::read(event).kind.is_some();
        if is_message {
            self.log(relaying, session, Some(event));
        }
        is_message
    }

    /// Whether the relay lets the client subscribe to a channel: apps are told what to do in one, monitors see states in
    /// another.
    pub(crate) fn may_watch(&self, session: &SessionRef, channel: &RoomName) -> bool {
        if self.shared.relaying.is_none() {
            return true;
        }
        match channel.as_str() {
            LOG => self.may(session, Right::Monitor),
            REPORT => self.may(session, Right::Report),
            name if name == RESPOND || name.starts_with(TO_ONE) => {
                self.may(session, Right::App) || self.may(session, Right::Monitor)
            }
            _ => true,
        }
    }

    // --- who is who -----------------------------------------------------------------------------------------------------

    /// Exactly `master` is an app, everything else a monitor. The answer is the channel of its kind.
    fn log_in(
        self: &Arc<Self>,
        relaying: &Relaying,
        session: &SessionRef,
        data: Option<&RawValue>,
        waiting: &Waiting,
    ) {
        if !waiting.is_waiting() && self.pinned() == Some(Generation::V2) {
            return self.invalid();
        }
        let is_app = data.and_then(string).as_deref() == Some("master");
        let options = &relaying.options;
        let (role, right, most, channel) = if is_app {
            (Role::App, Right::App, options.max_apps, RESPOND)
        } else {
            (Role::Monitor, Right::Monitor, options.max_monitors, LOG)
        };
        if !self.may(session, right) {
            let error = wording::silent(self.generation(), Verb::Call);
            return waiting.failed(session, &error);
        }
        let peer = Seated {
            client: Arc::downgrade(self),
            session: session.downgrade(),
        };
        let (realm, name) = (session.realm().name(), self.name());
        let mut registry = relaying.relay.registry.lock();
        let full = registry.login(realm, &name, peer, role, most);
        drop(registry);
        if full.is_err() {
            session.limit_hit(LimitKind::Clients);
            let kind = if is_app { "apps" } else { "monitors" };
            let message = format!("there are {most} {kind} already");
            return waiting.failed(session, &wording::named("LimitError", &message));
        }
        self.place.lock().role = Some(role);
        waiting.done(session, Some(Json::string(channel).as_str()));
    }

    /// The client is somebody else now: what it may not any more ends.
    pub(crate) fn lose_rights(&self, session: &SessionRef) {
        if !self.shared.takes_tokens() || self.shared.relaying.is_none() {
            return;
        }
        for room in session.rooms() {
            if !self.may_watch(session, &room) && session.leave(&room).is_ok() {
                self.kick_out(session, &room, None);
            }
        }
        let role = self.place.lock().role;
        let right = role.map(|role| match role {
            Role::App => Right::App,
            Role::Monitor => Right::Monitor,
        });
        if right.is_some_and(|right| !self.may(session, right)) {
            self.leave_relay(session);
        }
    }

    /// The client has gone, or is neither app nor monitor any more: who has to hear of it does, now or when it has not come back.
    pub(crate) fn leave_relay(&self, session: &SessionRef) {
        let Some(relaying) = &self.shared.relaying else {
            return;
        };
        if self.place.lock().role.take().is_none() {
            return;
        }
        let (realm, name) = (session.realm().name(), self.name());
        let keeps = !relaying.options.strict;
        let farewells = {
            let mut registry = relaying.relay.registry.lock();
            let farewells = registry.leave(realm, &name, keeps);
            registry.tidy(realm);
            farewells
        };
        if let Some(recorder) = &relaying.recorder {
            recorder.end(&name);
        }
        say_gone(&self.shared, realm, LOG, &farewells.apps);
        let is_recorded = keeps && relaying.recorder.is_some();
        if farewells.is_held {
            wait_for_return(&self.shared, relaying, realm, name);
        } else if farewells.is_last_monitor && !is_recorded {
            // Otherwise the recorder goes on watching.
            monitor_gone(&self.shared, realm, name, keeps);
        }
    }

    // --- what passes through ----------------------------------------------------------------------------------------------

    fn log(&self, relaying: &Relaying, session: &SessionRef, data: Option<&RawValue>) {
        let message = data.map(Json::from);
        if let (Some(raw), Some(message)) = (data, &message) {
            self.know(relaying, session, raw, message);
        }
        publish(session, &room(LOG), message);
    }

    fn log_without_id(&self, relaying: &Relaying, session: &SessionRef, data: Option<&RawValue>) {
        let message = data.map(Json::from);
        if let (Some(raw), Some(message)) = (data, &message) {
            self.know(relaying, session, raw, message);
        }
        publish(session, &room(LOG), Some(with_id(&self.name(), message)));
    }

    /// Looks which instance an app speaks for, and keeps its state.
    fn know(&self, relaying: &Relaying, session: &SessionRef, raw: &RawValue, message: &Json) {
        let head = Head::read(raw);
        let realm = session.realm().name();
        if let Some(instance) = head.instance()
            && self.place.lock().is_new(instance)
        {
            let mut registry = relaying.relay.registry.lock();
            let forgotten = registry.announce(realm, &self.name(), instance);
            drop(registry);
            say_gone(&self.shared, realm, LOG, &forgotten);
        }
        if let Some(recorder) = &relaying.recorder {
            recorder.note(realm, &self.name(), &head, message);
            // As every monitor does, the recorder wants to see it: apps are silent until somebody does.
            if head.kind.as_deref() == Some("START") {
                let start = wording::object(&[("type", Json::string("START"))]);
                self.deliver(session, Some(start));
            }
        }
        let most = relaying.options.history;
        if most > 0 {
            let mut history = relaying.relay.history.lock();
            history.note(realm, &self.name(), &head, message, most);
        }
    }

    /// To whoever is in the channel of that name, and to the connection that has that id.
    fn send_to_one(
        &self,
        relaying: &Relaying,
        state: &mut State,
        session: &SessionRef,
        to: &str,
        data: Option<&RawValue>,
    ) {
        let Ok(channel) = RoomName::new(&format!("{TO_ONE}{to}")) else {
            return self.invalid();
        };
        let data = data.map(Json::from);
        publish(session, &channel, data.clone());
        let found = relaying
            .relay
            .registry
            .lock()
            .find(session.realm().name(), to)
            .and_then(|seated| seated.upgrade());
        match found {
            Some((client, told)) if !told.is_in(&channel) => client.deliver(&told, data),
            Some(_) => {}
            None => self.send_beyond(state, session, to, data),
        }
    }

    /// The connection of that id may be one of another node: the members of the relay's rooms are known there.
    fn send_beyond(&self, state: &mut State, session: &SessionRef, to: &str, data: Option<Json>) {
        if session.listener().hub().cluster().is_none() {
            return;
        }
        let Ok(short) = URL_SAFE_NO_PAD.decode(to) else {
            return;
        };
        let hub = Arc::clone(session.listener().hub());
        let realm = session.realm().name().clone();
        let sending = async move {
            for channel in [RESPOND, LOG] {
                let there = hub.presence(&realm, &room(channel)).await;
                let mut members = there.value.iter().filter(|it| it.node.is_some());
                if let Some(member) = members.find(|it| it.session.short()[..] == short[..]) {
                    let args: Args = data.into_iter().map(Arg::Json).collect();
                    let event = Event {
                        args,
                        ..Event::new(event_name(HAND_OVER), Json::NULL)
                    };
                    hub.publish(Target::Session(member.session), &event);
                    return;
                }
            }
        };
        let _inside = self.shared.runtime.enter();
        if state.in_order.run(&self.shared.tasks, sending).is_err() {
            session.limit_hit(LimitKind::CallsInFlight);
        }
    }

    /// Another node hands over what is for this client alone.
    pub(crate) fn on_handed_over(&self, session: &SessionRef, event: &Event) {
        let data = (!event.args.is_empty()).then(|| single_argument(&event.args));
        self.deliver(session, data);
    }

    /// Hands a message to this client alone: in generation 1 as an event of its channel's name, else as published there. A
    /// client that has logged in and not subscribed yet would drop that, so it waits until then.
    fn deliver(&self, session: &SessionRef, data: Option<Json>) {
        let mut place = self.place.lock();
        let Some(channel) = channel_of(place.role) else {
            return;
        };
        let (generation, codec) = (self.generation(), self.shared.options.codec);
        let is_early = generation == Generation::V2 && !session.is_in(&room(channel));
        let data = if is_early {
            match place.early.keep(data) {
                Ok(()) => return,
                Err(data) => data,
            }
        } else {
            data
        };
        tell(session, generation, codec, channel, data);
    }

    /// The client can hear what has waited for it, if it has subscribed or turned out to be of generation 1.
    pub(crate) fn deliver_early(&self, session: &SessionRef) {
        let mut place = self.place.lock();
        let Some(channel) = channel_of(place.role) else {
            return;
        };
        let (generation, codec) = (self.generation(), self.shared.options.codec);
        if generation == Generation::V1 || session.is_in(&room(channel)) {
            for data in place.early.take() {
                tell(session, generation, codec, channel, data);
            }
        }
    }
}

/// What monitors get of a message whose sender does not know its own id.
#[must_use]
pub fn with_id(sender: &str, message: Option<Json>) -> Json {
    let mut members = vec![("id", Json::string(sender))];
    members.extend(message.map(|message| ("data", message)));
    wording::object(&members)
}

/// The channel of those of a kind.
fn channel_of(role: Option<Role>) -> Option<&'static str> {
    role.map(|role| match role {
        Role::App => RESPOND,
        Role::Monitor => LOG,
    })
}

/// Tells one client something of a channel.
pub(super) fn tell(
    session: &SessionRef,
    generation: Generation,
    codec: Codec,
    channel: &str,
    data: Option<Json>,
) {
    if generation == Generation::V1 {
        let data = data.as_ref().map(Json::as_str);
        let frame = frame(codec, |text| write_event(text, channel, data));
        session.send(frame);
        return;
    }
    session.tell(&event(channel, data, Sender::Server));
}

fn event(channel: &str, data: Option<Json>, from: Sender) -> Event {
    let args: Args = data.into_iter().map(Arg::Json).collect();
    Event {
        room: Some(room(channel)),
        args,
        from,
        ..Event::new(event_name(MESSAGE), Json::NULL)
    }
}

/// Passes on what a client says.
fn publish(session: &SessionRef, channel: &RoomName, data: Option<Json>) {
    let args: Args = data.into_iter().map(Arg::Json).collect();
    session.publish_allowed(channel, event_name(MESSAGE), args, Except::default());
}

/// Publishes something of the relay's own.
pub(crate) fn publish_on(shared: &Shared, realm: &RealmName, channel: &str, data: Json) {
    let hub = shared.listener.hub();
    let Some(realm) = hub.find_realm(realm.as_str()) else {
        return;
    };
    let target = Target::Room {
        realm: &realm,
        room: &room(channel),
        except: Except::default(),
    };
    hub.publish(target, &event(channel, Some(data), Sender::Server));
}

/// Says that connections have gone.
fn say_gone(shared: &Shared, realm: &RealmName, channel: &str, ids: &[Box<str>]) {
    for id in ids {
        let message = wording::object(&[
            ("id", Json::string(id)),
            ("type", Json::string("DISCONNECTED")),
        ]);
        publish_on(shared, realm, channel, message);
    }
}

/// The last monitor of this node has gone: apps hear of it unless another node has one.
fn monitor_gone(shared: &Arc<Shared>, realm: &RealmName, name: String, keeps: bool) {
    let gone = [name.into_boxed_str()];
    if !keeps || shared.listener.hub().cluster().is_none() {
        return say_gone(shared, realm, RESPOND, &gone);
    }
    let (shared, realm) = (Arc::clone(shared), realm.clone());
    let tasks = shared.tasks.clone();
    let _inside = shared.runtime.clone().enter();
    tasks.spawn(async move {
        let hub = Arc::clone(shared.listener.hub());
        let there = hub.presence(&realm, &room(LOG)).await;
        if there.is_complete && there.value.is_empty() {
            say_gone(&shared, &realm, RESPOND, &gone);
        }
    });
}

/// Waits whether an app comes back.
fn wait_for_return(shared: &Arc<Shared>, relaying: &Relaying, realm: &RealmName, name: String) {
    let grace = relaying.options.grace;
    let (shared, realm) = (Arc::clone(shared), realm.clone());
    let relay: Arc<Relay> = Arc::clone(&relaying.relay);
    let tasks = shared.tasks.clone();
    let stopping = tasks.stopping();
    let _inside = shared.runtime.clone().enter();
    tasks.spawn(async move {
        if stopping.run_until_cancelled(sleep(grace)).await.is_none() {
            return;
        }
        let gone = {
            let mut registry = relay.registry.lock();
            let gone = registry.expire(&realm, &name);
            registry.tidy(&realm);
            gone
        };
        say_gone(&shared, &realm, LOG, &gone);
    });
}
