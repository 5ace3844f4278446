//! The verbs.

use polyport_core::{
    Arg, Args, CloseReason, EventName, Except, JoinError, Json, Millis, PublishError, RoomName,
    SessionId, SessionRef,
};
use smallvec::smallvec;

use crate::{
    Fingerprint, Profile, RoomErrors, VerbErrorKey,
    codec::{self, LineWriter, Verb},
    dialect::MESSAGE,
    session::{Envelope, TOO_MANY_PARAMS, VerbsSession},
};

/// What a missing argument is called: the originals concatenate JavaScript's `undefined` into their texts.
const MISSING: &str = "undefined";

/// What a verb came to.
pub(crate) enum Outcome {
    /// OK with a value.
    Value(Json),
    /// OK and nothing to say.
    Done,
    /// OK, and not even the profile's `null`.
    Bare,
    /// Failed with a text.
    Failed(String),
    /// A room verb failed: older versions add `"data":false`.
    FailedWithFalse(String),
}

impl VerbsSession {
    pub(crate) fn run_verb(&mut self, verb: Verb, rest: Option<&str>, envelope: &Envelope) {
        let argument = rest.map(codec::first_word);
        let outcome = match verb {
            Verb::Quit => {
                self.session.close(CloseReason::ClientLeft);
                return;
            }
            Verb::Say if self.shared.asks_about_rooms() => {
                self.ask_say(rest.unwrap_or_default(), envelope);
                return;
            }
            Verb::Say => {
                self.say(rest.unwrap_or_default(), envelope);
                return;
            }
            Verb::Documentation => Outcome::Value(self.shared.backend().documentation()),
            Verb::ParamAdd => self.param_add(rest.unwrap_or_default()),
            Verb::ParamView => self.param_view(argument.unwrap_or(MISSING)),
            Verb::ParamDelete => {
                self.session
                    .with_params(|params| params.remove(argument.unwrap_or(MISSING)));
                Outcome::Done
            }
            Verb::ParamsView => {
                Outcome::Value(self.session.with_params(|params| Json::encode(params)))
            }
            Verb::ParamsDelete => {
                self.session.with_params(|params| params.clear());
                Outcome::Done
            }
            Verb::RoomAdd if self.shared.asks_about_rooms() => {
                self.ask_room_add(argument.unwrap_or(MISSING), envelope);
                return;
            }
            Verb::RoomAdd => self.room_add(argument.unwrap_or(MISSING)),
            Verb::RoomLeave => self.room_leave(argument.unwrap_or(MISSING)),
            Verb::RoomView => match self.room_to_view(argument.unwrap_or(MISSING)) {
                Ok(room) if self.session.listener().hub().cluster().is_some() => {
                    self.ask_room_view(room, envelope);
                    return;
                }
                Ok(room) => {
                    let members = self.session.realm().members(&room);
                    let joined = members.iter().map(|it| (it.id, it.joined_at));
                    room_view(&room, joined.collect())
                }
                Err(outcome) => outcome,
            },
            Verb::DetailsView => Outcome::Value(self.details()),
        };
        self.reply(outcome, envelope);
    }

    pub(crate) fn reply(&self, outcome: Outcome, envelope: &Envelope) {
        let line = reply_line(self.profile(), outcome);
        self.session.send(envelope.seal(line));
    }

    // --- params -----------------------------------------------------------------------------------------------------

    fn param_add(&self, rest: &str) -> Outcome {
        let (key, value) = codec::key_and_value(rest);
        if !self.shared.allows(key) {
            return Outcome::Done;
        }
        let Some(value) = value else {
            // The original stores JavaScript's `undefined`, which shows as a param that is not set.
            self.session.with_params(|params| params.remove(key));
            return Outcome::Done;
        };
        match self.session.set_param(key, Json::string(value)) {
            Ok(()) => Outcome::Done,
            Err(_) => Outcome::Failed(TOO_MANY_PARAMS.to_owned()),
        }
    }

    fn param_view(&self, key: &str) -> Outcome {
        match self.session.with_params(|params| params.get(key).cloned()) {
            Some(value) => Outcome::Value(value),
            None => Outcome::Bare,
        }
    }

    // --- rooms ------------------------------------------------------------------------------------------------------

    fn room_add(&mut self, name: &str) -> Outcome {
        let Ok(room) = RoomName::new(name) else {
            return Outcome::FailedWithFalse("room does not exist".to_owned());
        };
        if self.auto_joined && room == self.shared.options.default_room {
            self.auto_joined = false;
            return Outcome::Value(Json::encode(&true));
        }
        if !self.session.is_in(&room) && !self.session.realm().exists(name) {
            return Outcome::FailedWithFalse("room does not exist".to_owned());
        }
        joined(self.profile(), &room, self.session.join(&room))
    }

    /// `roomAdd default Room`, as the manual prints it: when all words together name a room and the first alone does not,
    /// that room is joined, and a bare line that is not counted answers. Returns whether that was the case.
    pub(crate) fn bare_room_add(&mut self, rest: &str) -> bool {
        let has_words = rest.contains(' ') && rest.split(' ').all(|word| !word.is_empty());
        if !self.profile().bare_room_add || !has_words {
            return false;
        }
        let realm = self.session.realm();
        let exists = |name: &str| realm.exists(name);
        let joined = rest.replace(' ', "");
        if exists(codec::first_word(rest)) || !exists(&joined) {
            return false;
        }
        let Ok(room) = RoomName::new(&joined) else {
            return false;
        };
        match self.session.join(&room) {
            Ok(()) | Err(JoinError::AlreadyIn) => {
                self.auto_joined &= room != self.shared.options.default_room;
                self.session
                    .send(LineWriter::new(20).raw("status", "\"OK\"").finish());
            }
            Err(error) => {
                let envelope = self.begin();
                self.reply(Outcome::FailedWithFalse(error.to_string()), &envelope);
            }
        }
        true
    }

    fn room_leave(&mut self, name: &str) -> Outcome {
        let left = RoomName::new(name).is_ok_and(|room| self.session.leave(&room).is_ok());
        if left {
            if name == self.shared.options.default_room.as_str() {
                self.auto_joined = false;
            }
            return Outcome::Value(Json::encode(&true));
        }
        Outcome::FailedWithFalse(self.about_room("connection not in this room", name))
    }

    fn room_to_view(&self, name: &str) -> Result<RoomName, Outcome> {
        let room = RoomName::new(name)
            .ok()
            .filter(|room| self.session.is_in(room));
        room.ok_or_else(|| {
            Outcome::Failed(match self.profile().room_errors {
                RoomErrors::Plain => format!("not member of room {name}"),
                RoomErrors::Named => self.about_room("connection not in this room", name),
            })
        })
    }

    fn say(&self, rest: &str, envelope: &Envelope) {
        let profile = self.profile();
        let said = Said::parse(rest);
        match said.and_then(|said| {
            said.allowed(profile, &self.session)
                .map(|room| (room, said))
        }) {
            Ok((room, said)) => said.publish(profile, &self.session, &room, envelope),
            Err(outcome) => self.reply(outcome, envelope),
        }
    }

    fn about_room(&self, text: &str, name: &str) -> String {
        about_room(self.profile(), text, name)
    }

    // --- what there is to see ---------------------------------------------------------------------------------------

    fn details(&self) -> Json {
        let profile = self.profile();
        let session = &self.session;
        let id = session.id().to_string();
        let rooms: Vec<String> = session
            .rooms()
            .iter()
            .map(|room| room.as_str().to_owned())
            .collect();
        let rooms = Json::encode(&rooms);
        let params = session.with_params(|params| Json::encode(params));
        let fingerprint = match profile.fingerprint {
            Fingerprint::Null => Json::NULL,
            Fingerprint::Id => Json::string(&id),
        };
        let peer = session.peer();
        let mut details = ObjectText::new().string("id", &id);
        if !profile.details_room {
            details = details.raw("fingerprint", fingerprint.as_str());
        }
        details = details
            .string("remoteIP", &peer.address())
            .number("remotePort", u64::from(peer.port()))
            .raw("params", params.as_str())
            .number("connectedAt", session.opened_at().0);
        details = if profile.details_room {
            details.string("room", self.shared.options.default_room.as_str())
        } else {
            details.raw("rooms", rooms.as_str())
        };
        details = details
            .number("totalActions", self.total_actions)
            .number("pendingActions", session.calls_in_flight() as u64);
        if profile.details_room {
            details = details
                .raw("fingerprint", fingerprint.as_str())
                .raw("rooms", rooms.as_str());
        }
        details.finish()
    }
}

/// `ROOM TEXT` behind `say`.
#[derive(Clone, Copy)]
pub(crate) struct Said<'a> {
    room: &'a str,
    text: &'a str,
}

impl<'a> Said<'a> {
    pub(crate) fn parse(rest: &'a str) -> Result<Self, Outcome> {
        let (room, text) = rest.split_once(' ').unwrap_or((rest, ""));
        if room.is_empty() || text.is_empty() {
            let text = "both room and message are required".to_owned();
            return Err(Outcome::Failed(text));
        }
        Ok(Self { room, text })
    }

    /// The room, if the session may speak there.
    pub(crate) fn allowed(
        self,
        profile: &Profile,
        session: &SessionRef,
    ) -> Result<RoomName, Outcome> {
        RoomName::new(self.room)
            .map_err(|_| PublishError::NotMember)
            .and_then(|room| session.may_publish(&room).map(|()| room))
            .map_err(|error| {
                Outcome::Failed(match error {
                    PublishError::NotMember => {
                        about_room(profile, "connection not in this room", self.room)
                    }
                    PublishError::Forbidden => error.to_string(),
                })
            })
    }

    /// The OK first, then what was said: also to the one who said it.
    pub(crate) fn publish(
        self,
        profile: &Profile,
        session: &SessionRef,
        room: &RoomName,
        envelope: &Envelope,
    ) {
        let ok = if profile.null_data_in_say {
            Outcome::Done
        } else {
            Outcome::Bare
        };
        session.send(envelope.seal(reply_line(profile, ok)));
        let except = Except {
            session: (!profile.echo_own_say).then_some(session),
            listener: None,
        };
        session.publish_allowed(room, message(), self.args(), except);
    }

    pub(crate) fn args(self) -> Args {
        smallvec![Arg::Json(Json::string(self.text))]
    }
}

pub(crate) fn message() -> EventName {
    EventName::new(MESSAGE).expect("a constant name")
}

/// How joining a room went.
pub(crate) fn joined(profile: &Profile, room: &RoomName, result: Result<(), JoinError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Value(Json::encode(&true)),
        Err(JoinError::AlreadyIn) => {
            let text = "connection already in this room";
            Outcome::FailedWithFalse(about_room(profile, text, room.as_str()))
        }
        Err(error) => Outcome::FailedWithFalse(error.to_string()),
    }
}

fn about_room(profile: &Profile, text: &str, name: &str) -> String {
    match profile.room_errors {
        RoomErrors::Plain => text.to_owned(),
        RoomErrors::Named => format!("{text} ({name})"),
    }
}

pub(crate) fn reply_line(profile: &Profile, outcome: Outcome) -> LineWriter {
    let ok = || {
        LineWriter::new(96)
            .raw("status", "\"OK\"")
            .raw("context", "\"response\"")
    };
    let failed = |text: &str| {
        let key = match profile.verb_error_key {
            VerbErrorKey::Status => "status",
            VerbErrorKey::Error => "error",
        };
        LineWriter::new(128)
            .string(key, text)
            .raw("context", "\"response\"")
    };
    match outcome {
        Outcome::Value(value) => ok().raw("data", value.as_str()),
        Outcome::Done if profile.null_data => ok().raw("data", "null"),
        Outcome::Done | Outcome::Bare => ok(),
        Outcome::Failed(text) => failed(&text),
        Outcome::FailedWithFalse(text) => match profile.verb_error_key {
            VerbErrorKey::Status => failed(&text).raw("data", "false"),
            VerbErrorKey::Error => failed(&text),
        },
    }
}

/// A JSON object written member by member.
struct ObjectText(LineWriter);

impl ObjectText {
    fn new() -> Self {
        Self(LineWriter::new(256))
    }

    fn raw(self, key: &str, value: &str) -> Self {
        Self(self.0.raw(key, value))
    }

    fn string(self, key: &str, value: &str) -> Self {
        Self(self.0.string(key, value))
    }

    fn number(self, key: &str, value: u64) -> Self {
        Self(self.0.number(key, value))
    }

    fn finish(self) -> Json {
        let line = self.0.finish();
        let text = std::str::from_utf8(&line).unwrap_or("null");
        Json::parse(text).expect("the members were JSON")
    }
}

/// What `roomView` answers; the members in order of joining.
pub(crate) fn room_view(room: &RoomName, members: Vec<(SessionId, Millis)>) -> Outcome {
    let count = members.len() as u64;
    let list = Json::encode(&Presence(members));
    let view = ObjectText::new()
        .string("room", room.as_str())
        .raw("members", list.as_str())
        .number("membersCount", count);
    Outcome::Value(view.finish())
}

/// Members as `roomView` shows them.
struct Presence(Vec<(SessionId, Millis)>);

impl serde::Serialize for Presence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Member {
            id: String,
            joined_at: u64,
        }
        serializer.collect_map(self.0.iter().map(|(id, Millis(joined_at))| {
            let (id, joined_at) = (id.to_string(), *joined_at);
            (id.clone(), Member { id, joined_at })
        }))
    }
}

#[cfg(test)]
mod tests;
