//! The verbs.

use polyport_core::{
    Arg, CloseReason, EventName, Except, JoinError, Json, PublishError, RoomName, SessionRef,
};
use smallvec::smallvec;

use crate::{
    Fingerprint, RoomErrors, VerbErrorKey,
    codec::{self, LineWriter, Verb},
    dialect::MESSAGE,
    session::{Envelope, TOO_MANY_PARAMS, VerbsSession},
};

/// What a missing argument is called: the originals concatenate JavaScript's `undefined` into their texts.
const MISSING: &str = "undefined";

/// What a verb came to.
enum Outcome {
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
            Verb::RoomAdd => self.room_add(argument.unwrap_or(MISSING)),
            Verb::RoomLeave => self.room_leave(argument.unwrap_or(MISSING)),
            Verb::RoomView => self.room_view(argument.unwrap_or(MISSING)),
            Verb::DetailsView => Outcome::Value(self.details()),
        };
        self.reply(outcome, envelope);
    }

    fn reply(&self, outcome: Outcome, envelope: &Envelope) {
        let ok = || {
            LineWriter::new(96)
                .raw("status", "\"OK\"")
                .raw("context", "\"response\"")
        };
        let failed = |text: &str| {
            let key = match self.profile().verb_error_key {
                VerbErrorKey::Status => "status",
                VerbErrorKey::Error => "error",
            };
            LineWriter::new(128)
                .string(key, text)
                .raw("context", "\"response\"")
        };
        let line = match outcome {
            Outcome::Value(value) => ok().raw("data", value.as_str()),
            Outcome::Done if self.profile().null_data => ok().raw("data", "null"),
            Outcome::Done | Outcome::Bare => ok(),
            Outcome::Failed(text) => failed(&text),
            Outcome::FailedWithFalse(text) => match self.profile().verb_error_key {
                VerbErrorKey::Status => failed(&text).raw("data", "false"),
                VerbErrorKey::Error => failed(&text),
            },
        };
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
        if !self.session.is_in(&room) && !self.session.listener().realm().exists(name) {
            return Outcome::FailedWithFalse("room does not exist".to_owned());
        }
        match self.session.join(&room) {
            Ok(()) => Outcome::Value(Json::encode(&true)),
            Err(JoinError::AlreadyIn) => {
                Outcome::FailedWithFalse(self.about_room("connection already in this room", name))
            }
            Err(error) => Outcome::FailedWithFalse(error.to_string()),
        }
    }

    /// `roomAdd default Room`, as the manual prints it: when all words together name a room and the first alone does not,
    /// that room is joined, and a bare line that is not counted answers. Returns whether that was the case.
    pub(crate) fn bare_room_add(&mut self, rest: &str) -> bool {
        let has_words = rest.contains(' ') && rest.split(' ').all(|word| !word.is_empty());
        if !self.profile().bare_room_add || !has_words {
            return false;
        }
        let realm = self.session.listener().realm();
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

    fn room_view(&self, name: &str) -> Outcome {
        let room = RoomName::new(name)
            .ok()
            .filter(|room| self.session.is_in(room));
        let Some(room) = room else {
            return Outcome::Failed(match self.profile().room_errors {
                RoomErrors::Plain => format!("not member of room {name}"),
                RoomErrors::Named => self.about_room("connection not in this room", name),
            });
        };
        let members = self.session.listener().realm().members(&room);
        let count = members.len() as u64;
        let list = Json::encode(&Presence(&members));
        let view = ObjectText::new()
            .string("room", name)
            .raw("members", list.as_str())
            .number("membersCount", count);
        Outcome::Value(view.finish())
    }

    fn say(&self, rest: &str, envelope: &Envelope) {
        let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
        if name.is_empty() || text.is_empty() {
            let text = "both room and message are required".to_owned();
            return self.reply(Outcome::Failed(text), envelope);
        }
        let allowed = RoomName::new(name)
            .map_err(|_| PublishError::NotMember)
            .and_then(|room| self.session.may_publish(&room).map(|()| room));
        let room = match allowed {
            Ok(room) => room,
            Err(error) => {
                let text = match error {
                    PublishError::NotMember => self.about_room("connection not in this room", name),
                    PublishError::Forbidden => error.to_string(),
                };
                return self.reply(Outcome::Failed(text), envelope);
            }
        };
        // The OK first, then what was said: also to the one who said it.
        let ok = if self.profile().null_data_in_say {
            Outcome::Done
        } else {
            Outcome::Bare
        };
        self.reply(ok, envelope);
        let own: &SessionRef = &self.session;
        let except = Except {
            session: (!self.profile().echo_own_say).then_some(own),
            listener: None,
        };
        let event = EventName::new(MESSAGE).expect("a constant name");
        let args = smallvec![Arg::Json(Json::string(text))];
        self.session.publish_allowed(&room, event, args, except);
    }

    fn about_room(&self, text: &str, name: &str) -> String {
        match self.profile().room_errors {
            RoomErrors::Plain => text.to_owned(),
            RoomErrors::Named => format!("{text} ({name})"),
        }
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

/// Members as `roomView` shows them.
struct Presence<'a>(&'a [polyport_core::MemberInfo]);

impl serde::Serialize for Presence<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Member {
            id: String,
            joined_at: u64,
        }
        serializer.collect_map(self.0.iter().map(|member| {
            let id = member.id.to_string();
            let joined_at = member.joined_at.0;
            (id.clone(), Member { id, joined_at })
        }))
    }
}

#[cfg(test)]
mod tests;
