//! What a backend's answer and the server API may have done to sessions: one vocabulary in JSON.
//!
//! A target is one of `{"session":ID}`, `{"room":NAME}`, `{"rooms":[NAME…],"except":[NAME…]}`, `{"user":ID}`,
//! `{"site":HOST}`, `{"everyone":true}`, with a `realm` beside it if need be. Read commands from JSON *text*: arguments are
//! taken over as they stand, but for white space.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use crate::{
    Arg, Args, CloseReason, Delivered, Event, EventName, Except, Hub, JoinError, Json, LeaveError,
    Millis, NameError, Order, Promise, Realm, RealmName, RoomName, Sender, SessionId, SessionRef,
    Target, argument_with_binary, is_identity_room, site_room, user_room,
};

/// A join, leave or disconnect that would touch more sessions than this is refused.
const MAX_SESSIONS: usize = 10_000;

/// Rooms that one target may name, and as many that it excepts.
const MAX_ROOMS: usize = 100;

/// Something to be done to sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Push an event.
    Publish(Publish),
    /// Put sessions into a room.
    Join(Join),
    /// Take sessions out of a room.
    Leave(Leave),
    /// End sessions.
    Disconnect(Disconnect),
}

/// Pushes an event to a target.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "PublishText")]
pub struct Publish {
    /// Who gets it.
    pub to: TargetSpec,
    /// What they get.
    pub said: Said,
}

/// An event's name and arguments: `{"event":NAME,"args":[…]}`, `{"event":NAME,"data":X}` or `{"action":X}`.
#[derive(Debug, Clone)]
pub struct Said {
    /// What happened.
    pub event: EventName,
    /// Its arguments.
    pub args: Args,
    /// Whether only those get it who can take it at once.
    pub is_volatile: bool,
}

/// Puts sessions into a room.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// Which sessions.
    pub to: TargetSpec,
    /// Which room.
    pub room: RoomName,
}

/// Takes sessions out of a room.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leave {
    /// Which sessions.
    pub to: TargetSpec,
    /// Which room.
    pub room: RoomName,
}

/// Ends sessions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disconnect {
    /// Which sessions.
    pub to: TargetSpec,
}

/// Which sessions are meant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TargetText")]
pub struct TargetSpec {
    /// Where, if that was said.
    pub realm: Option<RealmName>,
    /// Who.
    pub to: Recipients,
}

/// Which sessions of a realm are meant. Users and sites are the rooms of their sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// One session. Its id is unique over all realms.
    Session(SessionId),
    /// The members of a room.
    Room(RoomName),
    /// The members of several rooms.
    Rooms {
        /// Members of any of these,
        any_of: Vec<RoomName>,
        /// unless they are in one of these.
        except: Vec<RoomName>,
    },
    /// All sessions of the realm.
    Everyone,
}

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Publish: sessions to which the event was queued. Join and leave: sessions that are, or are no longer, in the room
    /// because of it. Disconnect: sessions that are ending.
    pub sessions: usize,
    /// What is to be expected for sessions of other nodes.
    pub beyond: Promise,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No listener has that realm, nor can one of another node.
    #[error("there is no realm `{0}`")]
    UnknownRealm(RealmName),
    /// The session has ended or never was, or it is in another realm than the one named.
    #[error("there is no session `{0}`")]
    UnknownSession(SessionId),
    /// `user(…)` and `site(…)` are entered by being somebody.
    #[error("`{0}` is the room of an identity: nobody is put into it by a command")]
    IdentityRoom(RoomName),
    /// The target is too large for a command that touches each session.
    #[error("the target has {0} sessions; join, leave and disconnect take at most {MAX_SESSIONS}")]
    TooManySessions(usize),
    /// The one session addressed is in as many rooms as it may be.
    #[error("the session is in as many rooms as it may be")]
    TooManyRooms,
}

impl CommandError {
    /// A word that programs can compare.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownRealm(_) => "unknown_realm",
            Self::UnknownSession(_) => "unknown_session",
            Self::IdentityRoom(_) => "identity_room",
            Self::TooManySessions(_) => "too_many_sessions",
            Self::TooManyRooms => "too_many_rooms",
        }
    }
}

impl Said {
    /// The event of it, sent by the server now, to that room if it goes to one.
    #[must_use]
    pub fn into_event(self, room: Option<RoomName>) -> Event {
        Event {
            name: self.event,
            args: self.args,
            room,
            from: Sender::Server,
            sent_at: Millis::now(),
            is_volatile: self.is_volatile,
            place: None,
        }
    }
}

impl TargetSpec {
    /// The sessions of a user.
    ///
    /// # Errors
    /// [`NameError::TooLong`].
    pub fn user(id: &str) -> Result<Self, NameError> {
        Ok(user_room(id)?.into())
    }

    /// The one room that is addressed, if it is one: events carry its name.
    #[must_use]
    pub fn room(&self) -> Option<&RoomName> {
        match &self.to {
            Recipients::Room(room) => Some(room),
            Recipients::Rooms { any_of, .. } => match &**any_of {
                [only] => Some(only),
                _ => None,
            },
            Recipients::Session(_) | Recipients::Everyone => None,
        }
    }
}

/// The members of a room, in the realm that goes without saying.
impl From<RoomName> for TargetSpec {
    fn from(room: RoomName) -> Self {
        Self {
            realm: None,
            to: Recipients::Room(room),
        }
    }
}

impl Hub {
    /// Does what a command says. `default_realm` is meant where a target names no realm; a session is found in any realm
    /// then.
    ///
    /// # Errors
    /// [`CommandError`]; nothing was done.
    pub fn execute(
        &self,
        default_realm: &RealmName,
        command: &Command,
    ) -> Result<Done, CommandError> {
        let (target, order) = match command {
            Command::Publish(publish) => {
                let targets = std::slice::from_ref(&publish.to);
                return self.say(default_realm, targets, publish.said.clone());
            }
            Command::Join(join) if is_identity_room(join.room.as_str()) => {
                return Err(CommandError::IdentityRoom(join.room.clone()));
            }
            Command::Join(join) => (&join.to, Order::Join(&join.room)),
            Command::Leave(leave) => (&leave.to, Order::Leave(&leave.room)),
            Command::Disconnect(disconnect) => (&disconnect.to, Order::Disconnect { whole: true }),
        };
        let realm = self.check(default_realm, target)?;
        let reached = target.in_realm(realm.as_deref());
        let sessions = self.reached(reached);
        if sessions.len() > MAX_SESSIONS {
            return Err(CommandError::TooManySessions(sessions.len()));
        }
        let mut done = 0;
        for session in &sessions {
            match session.obey(order) {
                Ok(()) => done += 1,
                Err(JoinError::TooManyRooms) if matches!(target.to, Recipients::Session(_)) => {
                    return Err(CommandError::TooManyRooms);
                }
                Err(_) => {}
            }
        }
        let beyond = self.beyond(reached, |backplane| backplane.order(reached, order));
        Ok(Done {
            sessions: done,
            beyond,
        })
    }

    /// Does what another node has ordered to the sessions of this one that the target reaches; returns how many obeyed.
    pub fn obey(&self, target: Target<'_>, order: Order<'_>) -> usize {
        let sessions = self.reached(target);
        let obeyed = sessions
            .iter()
            .filter(|session| session.obey(order).is_ok());
        obeyed.count()
    }

    /// Pushes one event to every session that one of the targets reaches, once.
    ///
    /// # Errors
    /// [`CommandError`]; nobody got it.
    pub fn say(
        &self,
        default_realm: &RealmName,
        targets: &[TargetSpec],
        said: Said,
    ) -> Result<Done, CommandError> {
        let room = match targets {
            [only] => only.room().cloned(),
            _ => None,
        };
        let realms = targets
            .iter()
            .map(|target| self.check(default_realm, target))
            .collect::<Result<Vec<_>, _>>()?;
        let reached: Vec<Target<'_>> = targets
            .iter()
            .zip(&realms)
            .map(|(target, realm)| target.in_realm(realm.as_deref()))
            .collect();
        let target = match &*reached {
            [only] => *only,
            several => Target::Any(several),
        };
        let Delivered { sessions, beyond } = self.publish(target, &said.into_event(room));
        Ok(Done { sessions, beyond })
    }

    /// The session of that id, if it is in the realm, where one was named.
    ///
    /// # Errors
    /// [`CommandError::UnknownSession`].
    pub fn session_in(
        &self,
        realm: Option<&RealmName>,
        id: SessionId,
    ) -> Result<SessionRef, CommandError> {
        self.session(id)
            .filter(|session| realm.is_none_or(|realm| session.realm().name() == realm))
            .ok_or(CommandError::UnknownSession(id))
    }

    /// Finds the realm of a target, or sees that its session exists: with other nodes, either may be theirs.
    fn check(
        &self,
        default_realm: &RealmName,
        target: &TargetSpec,
    ) -> Result<Option<Arc<Realm>>, CommandError> {
        if let Recipients::Session(id) = target.to {
            return match self.session_in(target.realm.as_ref(), id) {
                Err(_) if self.backplane().is_some() && self.session(id).is_none() => Ok(None),
                found => found.map(|_| None),
            };
        }
        let name = target.realm.as_ref().unwrap_or(default_realm);
        let elsewhere = || {
            let is_theirs = self.backplane().is_some_and(|it| it.reaches(name));
            is_theirs.then(|| Arc::new(Realm::elsewhere(name.clone())))
        };
        let realm = self.find_realm(name.as_str()).or_else(elsewhere);
        let realm = realm.ok_or_else(|| CommandError::UnknownRealm(name.clone()))?;
        Ok(Some(realm))
    }

    /// The sessions of this node that a target reaches, each once.
    #[must_use]
    pub fn reached(&self, target: Target<'_>) -> Vec<SessionRef> {
        let members = |realm: &Realm, name: &RoomName| {
            let room = realm.find(name.as_str());
            let mut members = room.map(|room| room.sessions()).unwrap_or_default();
            members.extend(self.alone_in(realm, name.as_str()));
            members
        };
        let spared = |session: &SessionRef, realm: &Realm, except: &[RoomName]| {
            except.iter().any(|room| {
                let alone = self.alone_in(realm, room.as_str());
                session.is_in(room) || alone.as_ref() == Some(session)
            })
        };
        let mut sessions: Vec<_> = match target {
            Target::Session(id) => return self.session(id).into_iter().collect(),
            Target::Room {
                realm,
                room,
                except,
            } => {
                let mut sessions = members(realm, room);
                sessions.retain(|session| !except.covers(session));
                sessions
            }
            Target::Rooms {
                realm,
                any_of,
                except,
            } => {
                let sessions = any_of.iter().flat_map(|room| members(realm, room));
                sessions
                    .filter(|session| !spared(session, realm, except))
                    .collect()
            }
            Target::Realm { realm, except } => {
                let mut sessions = self.sessions_of(realm);
                sessions.retain(|session| !spared(session, realm, except));
                sessions
            }
            Target::Any(targets) => targets.iter().flat_map(|it| self.reached(*it)).collect(),
        };
        sessions.sort_unstable_by_key(SessionRef::id);
        sessions.dedup();
        sessions
    }
}

impl SessionRef {
    fn obey(&self, order: Order<'_>) -> Result<(), JoinError> {
        match order {
            Order::Join(room) => self.put_into(room),
            // Who is not in the room has nothing to leave.
            Order::Leave(room) => self.take_out(room).map_err(|LeaveError| JoinError::Ended),
            Order::Disconnect { whole: true } => {
                self.close(CloseReason::Disconnected);
                Ok(())
            }
            Order::Disconnect { whole: false } => {
                self.disconnect();
                Ok(())
            }
        }
    }
}

impl TargetSpec {
    /// `realm` is where it is, unless a session is meant.
    fn in_realm<'a>(&'a self, realm: Option<&'a Realm>) -> Target<'a> {
        match (&self.to, realm) {
            (Recipients::Session(id), _) => Target::Session(*id),
            (_, None) => Target::Any(&[]),
            (Recipients::Room(room), Some(realm)) => Target::Room {
                realm,
                room,
                except: Except::default(),
            },
            (Recipients::Rooms { any_of, except }, Some(realm)) => Target::Rooms {
                realm,
                any_of,
                except,
            },
            (Recipients::Everyone, Some(realm)) => Target::Realm { realm, except: &[] },
        }
    }
}

// --- as they are written --------------------------------------------------------------------------------------------

/// A target as it is written.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a target, such as {\"room\":\"lobby\"}"
)]
struct TargetText {
    #[serde(default, deserialize_with = "present")]
    realm: Option<RealmName>,
    #[serde(default, deserialize_with = "present")]
    session: Option<SessionId>,
    #[serde(default, deserialize_with = "present")]
    room: Option<RoomName>,
    #[serde(default, deserialize_with = "present")]
    rooms: Option<Vec<RoomName>>,
    #[serde(default, deserialize_with = "present")]
    except: Option<Vec<RoomName>>,
    #[serde(default, deserialize_with = "present")]
    user: Option<IdText>,
    #[serde(default, deserialize_with = "present")]
    site: Option<String>,
    #[serde(default, deserialize_with = "present")]
    everyone: Option<bool>,
}

/// Reads a value that stands there: `null` is a value, not an absence.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A user's id: a text, or an integer, which is taken as its digits.
struct IdText(String);

impl<'de> Deserialize<'de> for IdText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = IdText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a user's id, a string or an integer")
            }

            fn visit_str<E>(self, id: &str) -> Result<IdText, E> {
                Ok(IdText(id.to_owned()))
            }

            fn visit_u64<E>(self, id: u64) -> Result<IdText, E> {
                Ok(IdText(id.to_string()))
            }

            fn visit_i64<E>(self, id: i64) -> Result<IdText, E> {
                Ok(IdText(id.to_string()))
            }

            /// `7.0` is the integer 7, as JavaScript and JSON Schema see it.
            fn visit_f64<E: de::Error>(self, id: f64) -> Result<IdText, E> {
                let range = -9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0;
                if id.fract() != 0.0 || !range.contains(&id) {
                    return Err(E::invalid_type(de::Unexpected::Float(id), &self));
                }
                // There is no `-0`.
                Ok(IdText(format!("{:.0}", id + 0.0)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl TryFrom<TargetText> for TargetSpec {
    type Error = String;

    fn try_from(text: TargetText) -> Result<Self, String> {
        const KEYS: &str = "exactly one of session, room, rooms, user, site, everyone";
        if text.except.is_some() && text.rooms.is_none() {
            return Err("`except` goes with `rooms` only".to_owned());
        }
        let mut found = Vec::new();
        if let Some(id) = text.session {
            found.push(Recipients::Session(id));
        }
        if let Some(room) = text.room {
            found.push(Recipients::Room(room));
        }
        if let Some(any_of) = text.rooms {
            let except = text.except.unwrap_or_default();
            if any_of.is_empty() {
                return Err("`rooms` names no room".to_owned());
            }
            if any_of.len() > MAX_ROOMS || except.len() > MAX_ROOMS {
                return Err(format!("a target may name at most {MAX_ROOMS} rooms"));
            }
            found.push(Recipients::Rooms { any_of, except });
        }
        if let Some(IdText(id)) = text.user {
            let room = identity_room("user", &id, user_room)?;
            found.push(Recipients::Room(room));
        }
        if let Some(host) = text.site {
            let room = identity_room("site", &host, site_room)?;
            found.push(Recipients::Room(room));
        }
        match text.everyone {
            Some(true) => found.push(Recipients::Everyone),
            Some(false) => return Err("`everyone` can only be true".to_owned()),
            None => {}
        }
        match <[Recipients; 1]>::try_from(found) {
            Ok([to]) => Ok(Self {
                realm: text.realm,
                to,
            }),
            Err(found) if found.is_empty() => Err(format!("a target needs {KEYS}")),
            Err(_) => Err(format!("a target has {KEYS}, not several")),
        }
    }
}

fn identity_room(
    key: &str,
    text: &str,
    room: fn(&str) -> Result<RoomName, NameError>,
) -> Result<RoomName, String> {
    if text.is_empty() {
        return Err(format!("`{key}` may not be empty"));
    }
    room(text).map_err(|error| format!("`{key}` is too long: {error}"))
}

/// A publish as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishText {
    to: TargetSpec,
    #[serde(default, deserialize_with = "present")]
    event: Option<EventName>,
    #[serde(default, deserialize_with = "present")]
    args: Option<Vec<Json>>,
    #[serde(default, deserialize_with = "present")]
    data: Option<Json>,
    #[serde(default, deserialize_with = "present")]
    action: Option<Json>,
    #[serde(default)]
    volatile: bool,
}

impl TryFrom<PublishText> for Publish {
    type Error = String;

    fn try_from(text: PublishText) -> Result<Self, String> {
        let mut said = Said::new(text.event, text.args, text.data, text.action)?;
        said.is_volatile = text.volatile;
        Ok(Self { to: text.to, said })
    }
}

fn argument(json: &Json) -> Arg {
    argument_with_binary(json.compact())
}

impl Said {
    /// Puts together what stands in `event`, `args`, `data` and `action`. White space between the parts of a value goes:
    /// the line breaks of a text made for people would end a frame of a protocol of lines.
    ///
    /// # Errors
    /// Says which of them do not go together, for whoever wrote them.
    pub fn new(
        event: Option<EventName>,
        args: Option<Vec<Json>>,
        data: Option<Json>,
        action: Option<Json>,
    ) -> Result<Self, String> {
        let (event, args) = match (event, args, data, action) {
            (Some(event), None, None, None) => (event, Args::new()),
            (Some(event), Some(args), None, None) => (event, args.iter().map(argument).collect()),
            (Some(event), None, Some(data), None) => (event, Args::from_iter([argument(&data)])),
            (None, None, None, Some(action)) => {
                let name = EventName::new("action").expect("it is short and not empty");
                (name, Args::from_iter([argument(&action)]))
            }
            (_, _, _, Some(_)) => {
                return Err("`action` stands alone, without `event`, `args` and `data`".to_owned());
            }
            (Some(_), Some(_), Some(_), None) => {
                return Err("either `args` or `data`, not both".to_owned());
            }
            (None, _, _, None) => return Err("`event` (or `action`) is missing".to_owned()),
        };
        Ok(Self {
            event,
            args,
            is_volatile: false,
        })
    }
}
