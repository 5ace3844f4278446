//! What servers with the streams adapter keep of a lost session: MessagePack, with one member more by gateways.

use polyport_core::{Arg, Json, RoomName, SessionId};
use polyport_msgpack::{Dialect, Form, Values, Writer};
use serde::{Deserialize, Serialize};

use super::{LIMITS, ReadError, check_size, request::plain, selection::room_list, value::Value};

/// A session whose client is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostSession {
    /// What its client calls itself.
    pub sid: String,
    /// The secret by which its client comes back.
    pub pid: String,
    /// The rooms it was in, that of its name among them.
    pub rooms: Vec<RoomName>,
    /// What the application keeps for it.
    pub data: Arg,
    /// What a gateway has added.
    pub polyport: Option<OfGateway>,
}

/// What other servers do not look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfGateway {
    /// The node that had the session.
    pub node: String,
    /// The session there.
    pub session: SessionId,
    /// What is known of it.
    pub own: Json,
}

/// Reads what a server has kept.
///
/// # Errors
/// [`ReadError`] when it is none.
pub fn read_lost_session(payload: &[u8]) -> Result<LostSession, ReadError> {
    check_size(payload)?;
    let keys = ["sid", "pid", "rooms", "data", "polyport"];
    let lost = Value::msgpack(payload, Dialect::Standard)?;
    let [sid, pid, rooms, data, polyport] = lost.members(keys)?;
    let text = |value: Option<Value<'_>>| value.and_then(Value::text).map(String::from);
    let nameless = ReadError::Shape("a lost session without a name");
    let polyport = polyport.map(|value| {
        let json = plain(Some(value))?;
        let read = json.decode::<OfGateway>();
        read.map_err(|_| ReadError::Shape("something else where a gateway's part belongs"))
    });
    Ok(LostSession {
        sid: text(sid).ok_or(nameless)?,
        pid: text(pid).ok_or(nameless)?,
        rooms: room_list(rooms)?,
        data: match data {
            Some(data) => data.arg(1, &mut Values::new(LIMITS))?,
            None => Arg::Json(Json::EMPTY_OBJECT),
        },
        polyport: polyport.transpose()?,
    })
}

/// Writes what other servers read.
#[must_use]
pub fn write_lost_session(lost: &LostSession) -> Vec<u8> {
    let mut out = Writer::new(Form::Common);
    out.map(4 + usize::from(lost.polyport.is_some()));
    out.text("sid");
    out.text(&lost.sid);
    out.text("pid");
    out.text(&lost.pid);
    out.text("rooms");
    out.array(lost.rooms.len());
    for room in &lost.rooms {
        out.text(room.as_str());
    }
    out.text("data");
    out.arg(&lost.data);
    if let Some(polyport) = &lost.polyport {
        out.text("polyport");
        out.json(Json::encode(polyport).as_str(), &[]);
    }
    out.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde_json::Value;

    use super::*;

    const RECORDING: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/traces/socket-io-redis/adapter-redis-streams-adapter_0.3.1.jsonl"
    );

    #[test]
    fn a_recorded_session_is_read_and_written_with_the_same_bytes() {
        let text = fs::read_to_string(RECORDING).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let set = lines.filter(|line: &Value| line["cmd"] == "SET");
        let mut count = 0;
        for line in set {
            count += 1;
            let payload = STANDARD.decode(line["args"][1].as_str().unwrap()).unwrap();
            let lost = read_lost_session(&payload).unwrap();
            assert_eq!(
                line["args"][0],
                format!("sio:session:{}", lost.pid).as_str()
            );
            assert!(lost.rooms.iter().any(|room| room.as_str() == lost.sid));
            assert_eq!(write_lost_session(&lost), payload);
        }
        assert!(count > 0);
    }

    #[test]
    fn what_a_gateway_adds_is_read_again() {
        let rooms = ["a", "b"].map(|name| RoomName::new(name).unwrap());
        let lost = LostSession {
            sid: "yKKAZ0qYd9WGzcR-AAAB".to_owned(),
            pid: "p".to_owned(),
            rooms: rooms.to_vec(),
            data: Arg::Json(Json::parse(r#"{"u":1}"#).unwrap()),
            polyport: Some(OfGateway {
                node: "n".to_owned(),
                session: SessionId::random_short(),
                own: Json::parse(r#"{"x":"a text of more than thirty-one bytes"}"#).unwrap(),
            }),
        };
        assert_eq!(read_lost_session(&write_lost_session(&lost)), Ok(lost));
    }

    #[test]
    fn what_is_no_session_is_an_error() {
        for payload in [&b""[..], b"\x80", b"\xc0", b"\x81\xa3sid\xa1a", b"{}"] {
            assert!(read_lost_session(payload).is_err(), "{payload:?}");
        }
    }
}
