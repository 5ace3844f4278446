//! What an answer has done to sessions.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use polyport_core::{
    CloseReason, Command, Expiry, Hub, Identity, Json, Millis, OnExpiry, RealmName, RoomName,
    SessionId, SessionRef, is_identity_room,
};

use super::wire::{AnswerText, IdentityAnswer, Then};

/// An answer that is understood from its first to its last word.
#[derive(Debug)]
pub(super) struct Answered {
    /// The value, or the application's own error.
    pub(super) result: Result<Option<Json>, ApplicationError>,
    pub(super) effects: Effects,
    pub(super) public: Option<Json>,
    pub(super) ping: Option<Duration>,
}

/// What the service says has gone wrong, for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApplicationError(pub(super) String);

/// No result, and nothing to be done.
impl Default for Answered {
    fn default() -> Self {
        Self {
            result: Ok(None),
            effects: Effects::default(),
            public: None,
            ping: None,
        }
    }
}

/// What is to be done to sessions, in this order.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// What the gateway keeps; the inner `None` forgets it.
    pub(super) data: Option<Option<Json>>,
    /// Who the session is; the inner `None` is nobody.
    pub(super) identity: Option<Option<Arc<Identity>>>,
    pub(super) leave: Vec<RoomName>,
    pub(super) join: Vec<RoomName>,
    pub(super) commands: Vec<Command>,
    pub(super) disconnect: bool,
}

impl Answered {
    /// Reads the body of an answer to a request of session `id`.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub(super) fn read(body: &[u8], id: SessionId, max_data: usize) -> Result<Self, String> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
        // The line breaks of a text made for people would end a frame of a protocol of lines.
        let json = Json::parse(text)
            .map_err(|error| error.to_string())?
            .compact();
        if !json.as_str().starts_with('{') {
            return Err("it is no object".to_owned());
        }
        let answer: AnswerText = json.decode().map_err(|error| error.to_string())?;
        if answer.error.is_some() && answer.result.is_some() {
            return Err("it has both `result` and `error`".to_owned());
        }
        if let Some(data) = &answer.data
            && data.len() > max_data
        {
            return Err(format!("`data` is larger than {max_data} bytes"));
        }
        let commands = answer.push.unwrap_or_default();
        let commands = commands.iter().map(|command| read_command(command, id));
        Ok(Self {
            result: match answer.error {
                Some(error) => Err(ApplicationError(error)),
                None => Ok(answer.result),
            },
            effects: Effects {
                data: answer.data.map(|data| (data != Json::NULL).then_some(data)),
                identity: answer.identity.map(read_identity).transpose()?,
                leave: read_rooms("leave", answer.leave)?,
                join: read_rooms("join", answer.join)?,
                commands: commands.collect::<Result<_, _>>()?,
                disconnect: answer.disconnect,
            },
            public: answer.public,
            ping: answer.ping.map(Duration::from_millis),
        })
    }
}

impl Effects {
    /// Does it all but ending the session; call it in a turn of the hub. `data` is the caller's business.
    pub(super) fn apply(self, hub: &Hub, session: &SessionRef) {
        if let Some(identity) = self.identity {
            session.identify(identity);
        }
        for room in &self.leave {
            // It may not be in it; then all is as the service wants it.
            let _ = session.take_out(room);
        }
        for room in &self.join {
            if let Err(error) = session.put_into(room) {
                tracing::debug!(session = %session.id(), %room, %error, "not put into a room");
            }
        }
        execute(hub, session.realm().name(), &self.commands);
    }

    /// Does what is not about the session, as there is none.
    pub(super) fn apply_without_session(self, hub: &Hub, realm: &RealmName) {
        execute(hub, realm, &self.commands);
    }
}

fn execute(hub: &Hub, realm: &RealmName, commands: &[Command]) {
    for command in commands {
        if let Err(error) = hub.execute(realm, command) {
            tracing::debug!(%realm, %error, "a command of a service did nothing");
        }
    }
}

/// Ends a session because a service says so.
pub(super) fn disconnect(session: &SessionRef) {
    session.close(CloseReason::Disconnected);
}

fn read_rooms(key: &str, names: Option<Vec<String>>) -> Result<Vec<RoomName>, String> {
    let room = |name: String| {
        if is_identity_room(&name) {
            return Err(format!(
                "`{key}`: `{name}` is the room of an identity; say `identity`"
            ));
        }
        RoomName::new(&name).map_err(|error| format!("`{key}`: {error}"))
    };
    names.unwrap_or_default().into_iter().map(room).collect()
}

fn read_identity(answer: Option<IdentityAnswer>) -> Result<Option<Arc<Identity>>, String> {
    let Some(answer) = answer else {
        return Ok(None);
    };
    let claims = answer.claims.unwrap_or(Json::EMPTY_OBJECT);
    if !claims.as_str().starts_with('{') {
        return Err("`identity`: `claims` is no object".to_owned());
    }
    let then = answer.on_expiry.unwrap_or(Then::Close);
    Ok(Some(Arc::new(Identity {
        user: answer.user.map(|user| user.to_string().into()),
        site: answer.site.map(|site| site.to_ascii_lowercase().into()),
        claims,
        expiry: answer.expires.map(|at| Expiry {
            at: Millis(at),
            then: OnExpiry::from(then),
        }),
    })))
}

/// A command, in which the session itself is meant where no other target stands.
fn read_command(text: &Json, id: SessionId) -> Result<Command, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("`push`: {error}");
    let addressed = with_target(text, id);
    let command = addressed.as_ref().unwrap_or(text);
    command.decode().map_err(|error| wrong(&error))
}

/// `{"join":{"room":"x"}}` → `{"join":{"room":"x","to":{"session":ID}}}`. `None` where nothing is to be filled in, or the
/// text is no command at all.
fn with_target(text: &Json, id: SessionId) -> Option<Json> {
    type Members = BTreeMap<String, Json>;
    let mut command: BTreeMap<String, Members> = text.decode().ok()?;
    let body = command.values_mut().next()?;
    let own = Json::string(&id.to_string());
    match body.get("to") {
        None => {
            let target = BTreeMap::from([("session", &own)]);
            body.insert("to".to_owned(), Json::encode(&target));
        }
        Some(target) => {
            let mut target: Members = target.decode().ok()?;
            let session = target.get_mut("session")?;
            if session.as_str() != "\"self\"" {
                return None;
            }
            *session = own;
            body.insert("to".to_owned(), Json::encode(&target));
        }
    }
    Some(Json::encode(&command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Answered, String> {
        Answered::read(text.as_bytes(), SessionId::random(), 20)
    }

    #[test]
    fn numbers_and_order_of_a_result_stay_and_line_breaks_go() {
        let answer = read("{ \"result\": { \"b\": 1e2,\n \"a\": 12345678901234567890 } }").unwrap();
        let result = answer.result.unwrap().unwrap();
        assert_eq!(result.as_str(), r#"{"b":1e2,"a":12345678901234567890}"#);
        let null = read(r#"{"result":null}"#).unwrap();
        assert_eq!(null.result, Ok(Some(Json::NULL)));
        assert_eq!(read("{}").unwrap().result, Ok(None));
        assert_eq!(read("").unwrap().result, Ok(None));
    }

    #[test]
    fn absent_and_null_are_not_the_same() {
        let nothing = read("{}").unwrap().effects;
        assert!(nothing.data.is_none() && nothing.identity.is_none());
        let forget = read(r#"{"data":null,"identity":null}"#).unwrap().effects;
        assert_eq!((forget.data, forget.identity), (Some(None), Some(None)));
    }

    #[test]
    fn an_identity_has_a_user_of_either_form() {
        for (text, user) in [("7", "7"), ("\"seven\"", "seven")] {
            let text = format!(
                r#"{{"identity":{{"user":{text},"site":"Example.COM","expires":5,"on_expiry":"downgrade"}}}}"#
            );
            let identity = read(&text).unwrap().effects.identity.unwrap().unwrap();
            assert_eq!(identity.user.as_deref(), Some(user));
            assert_eq!(identity.site.as_deref(), Some("example.com"));
            let expiry = identity.expiry.unwrap();
            assert_eq!((expiry.at, expiry.then), (Millis(5), OnExpiry::Downgrade));
        }
    }

    #[test]
    fn commands_without_a_target_are_about_the_session() {
        let id = SessionId::random();
        let check = |command: &str, expected: &str| {
            let filled = with_target(&Json::parse(command).unwrap(), id);
            let filled = filled.map(|json| json.as_str().replace(&id.to_string(), "ID"));
            assert_eq!(filled.as_deref().unwrap_or("as it is"), expected);
        };
        check(
            r#"{"join":{"room":"x"}}"#,
            r#"{"join":{"room":"x","to":{"session":"ID"}}}"#,
        );
        check(
            r#"{"leave":{"to":{"session":"self","realm":"r"},"room":"x"}}"#,
            r#"{"leave":{"room":"x","to":{"realm":"r","session":"ID"}}}"#,
        );
        check(
            r#"{"publish":{"event":"e","data":1e2}}"#,
            r#"{"publish":{"data":1e2,"event":"e","to":{"session":"ID"}}}"#,
        );
        check(r#"{"disconnect":{"to":{"user":7}}}"#, "as it is");
        check("5", "as it is");
    }

    #[test]
    fn what_is_no_answer_is_refused_with_the_reason() {
        let check = |text: &str, reason: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        };
        check("<html>", "not JSON");
        check("[]", "no object");
        check(r#"{"reslut":1}"#, "unknown field `reslut`");
        check(r#"{"result":1,"error":"x"}"#, "both");
        check(r#"{"error":5}"#, "string");
        check(r#"{"push":[{"shout":{}}]}"#, "unknown variant `shout`");
        check(r#"{"push":[{"publish":{}}]}"#, "`event`");
        check(r#"{"push":{}}"#, "sequence");
        check(r#"{"join":[""]}"#, "may not be empty");
        check(r#"{"join":["user(7)"]}"#, "identity");
        check(r#"{"identity":{"claims":[]}}"#, "no object");
        check(r#"{"data":"more than twenty bytes"}"#, "20 bytes");
    }
}
