//! What is pushed to sessions.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{EventName, Json, RoomName, SessionId};

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The time now.
    #[must_use]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// One argument of an event or a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// A JSON value, kept as text.
    Json(Json),
    /// Binary, for protocols that carry it.
    Binary(Bytes),
}

/// Arguments in order; nearly always one.
pub type Args = SmallVec<[Arg; 1]>;

/// Who published an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client.
    Session(SessionId),
    /// The gateway itself or a backend.
    Server,
}

/// Something pushed to sessions. Each [`crate::Dialect`] writes it in its protocol's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub name: EventName,
    /// Its arguments.
    pub args: Args,
    /// The room it was published to, if to a room.
    pub room: Option<RoomName>,
    /// Who published it.
    pub from: Sender,
    /// When it was published.
    pub sent_at: Millis,
}

/// Arguments as the one JSON value that protocols with a single argument carry: none is `null`, one is itself, several
/// are the list of them; binary is `{"base64":true,"data":"…"}`.
#[must_use]
pub fn single_argument(args: &[Arg]) -> Json {
    match args {
        [] => Json::NULL,
        [Arg::Json(only)] => only.clone(),
        [Arg::Binary(bytes)] => binary_as_json(bytes),
        several => {
            let list: Vec<Json> = several
                .iter()
                .map(|arg| single_argument(std::slice::from_ref(arg)))
                .collect();
            Json::encode(&list)
        }
    }
}

fn binary_as_json(bytes: &[u8]) -> Json {
    #[derive(serde::Serialize)]
    struct Binary {
        base64: bool,
        data: String,
    }
    Json::encode(&Binary {
        base64: true,
        data: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes),
    })
}

impl Event {
    /// An event of one JSON argument, sent by the server now and not yet addressed to a room.
    #[must_use]
    pub fn new(name: EventName, data: Json) -> Self {
        Self {
            name,
            args: SmallVec::from_buf([Arg::Json(data)]),
            room: None,
            from: Sender::Server,
            sent_at: Millis::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_arguments_become_a_list_and_binary_an_object() {
        let json = |text| Arg::Json(Json::parse(text).unwrap());
        let binary = Arg::Binary(Bytes::from_static(b"\x00\xff"));
        assert_eq!(single_argument(&[]).as_str(), "null");
        assert_eq!(single_argument(&[json("1e3")]).as_str(), "1e3");
        assert_eq!(
            single_argument(&[json("{}"), binary]).as_str(),
            r#"[{},{"base64":true,"data":"AP8="}]"#
        );
    }
}
