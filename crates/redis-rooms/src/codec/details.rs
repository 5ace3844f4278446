//! What servers tell each other about a socket.

use std::collections::BTreeMap;

use polyport_core::{Json, RoomName};
use serde::{Serialize, Serializer};

use super::{ReadError, request::plain, response::read_rooms, value::Value};

/// A socket as its server describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Its id.
    pub id: String,
    /// How it came: [`Handshake::without_credentials`], or what another server says.
    pub handshake: Json,
    /// Where it is, the room of its id included.
    pub rooms: Vec<RoomName>,
    /// What the application keeps for it.
    #[serde(serialize_with = "object")]
    pub data: Json,
}

/// Applications and the Admin UI look into it, so that something else becomes an empty object.
fn object<S: Serializer>(data: &Json, serializer: S) -> Result<S::Ok, S::Error> {
    if data.as_str().starts_with('{') {
        data.serialize(serializer)
    } else {
        Json::EMPTY_OBJECT.serialize(serializer)
    }
}

impl Details {
    pub(super) fn read(socket: Value<'_>) -> Result<Self, ReadError> {
        let [id, handshake, rooms, data] = socket.members(["id", "handshake", "rooms", "data"])?;
        let id = id.and_then(Value::text);
        Ok(Self {
            id: id
                .ok_or(ReadError::Shape("a socket without an id"))?
                .into_owned(),
            handshake: plain(handshake)?,
            rooms: rooms.map_or(Ok(Vec::new()), read_rooms)?,
            data: plain(data)?,
        })
    }
}

/// How a client came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Names in small letters, and values.
    pub headers: Vec<(String, String)>,
    /// When, as JavaScript prints a date.
    pub time: String,
    /// From which address.
    pub address: String,
    /// From another origin.
    pub xdomain: bool,
    /// With TLS.
    pub secure: bool,
    /// When, in milliseconds since 1970.
    pub issued: u64,
    /// Path and query.
    pub url: String,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// What came with the CONNECT of the namespace, an object.
    pub auth: Json,
}

/// Headers that no other server needs to know.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// The name of a token in queries and in `auth`.
const TOKEN: &str = "token";

impl Handshake {
    /// For [`Details`]: without cookies, authorization and tokens, which the originals spread over Redis.
    #[must_use]
    pub fn without_credentials(&self) -> Json {
        #[derive(Serialize)]
        struct Written<'a> {
            #[serde(serialize_with = "map")]
            headers: Vec<&'a (String, String)>,
            time: &'a str,
            address: &'a str,
            xdomain: bool,
            secure: bool,
            issued: u64,
            url: String,
            #[serde(serialize_with = "map")]
            query: Vec<&'a (String, String)>,
            auth: BTreeMap<String, Json>,
        }
        let is_secret = |header: &str| {
            let mut secrets = CREDENTIALS.iter();
            secrets.any(|secret| header.eq_ignore_ascii_case(secret))
        };
        let headers = self.headers.iter();
        let query = self.query.iter();
        let mut auth: BTreeMap<String, Json> = self.auth.decode().unwrap_or_default();
        auth.remove(TOKEN);
        Json::encode(&Written {
            headers: headers.filter(|(name, _)| !is_secret(name)).collect(),
            time: &self.time,
            address: &self.address,
            xdomain: self.xdomain,
            secure: self.secure,
            issued: self.issued,
            url: without_token(&self.url),
            query: query.filter(|(name, _)| name != TOKEN).collect(),
            auth,
        })
    }
}

fn map<S: Serializer>(pairs: &[&(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

/// The URL without the parameter that is a token.
fn without_token(url: &str) -> String {
    let Some((path, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let parameters: Vec<&str> = query
        .split('&')
        .filter(|parameter| {
            let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
            !is_encoded(name, TOKEN)
        })
        .collect();
    format!("{path}?{}", parameters.join("&"))
}

/// Whether the name, once decoded, is that of ASCII.
fn is_encoded(name: &str, plain: &str) -> bool {
    let mut rest = name;
    for expected in plain.bytes() {
        let encoded = rest
            .strip_prefix('%')
            .and_then(|rest| rest.split_at_checked(2));
        let (byte, behind) = match encoded {
            Some((hex, behind)) => (u8::from_str_radix(hex, 16).ok(), behind),
            None => (rest.bytes().next(), rest.get(1..).unwrap_or_default()),
        };
        if byte != Some(expected) {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn a_handshake_is_told_without_credentials() {
        let handshake = Handshake {
            headers: pairs(&[
                ("host", "a.example"),
                ("Cookie", "io=secret"),
                ("authorization", "Bearer secret"),
                ("proxy-authorization", "Basic secret"),
            ]),
            time: "Fri Nov 20 2026 13:33:53 GMT+0000 (Coordinated Universal Time)".to_owned(),
            address: "127.0.0.1".to_owned(),
            xdomain: false,
            secure: true,
            issued: 1_795_181_633_050,
            url: "/socket.io/?EIO=4&token=secret&transport=polling&%74ok%65n=secret&tokens=1"
                .to_owned(),
            query: pairs(&[("EIO", "4"), ("token", "secret"), ("transport", "polling")]),
            auth: Json::parse(r#"{"token":"secret","user":1.50}"#).unwrap(),
        };
        assert_eq!(
            handshake.without_credentials().as_str(),
            concat!(
                r#"{"headers":{"host":"a.example"},"#,
                r#""time":"Fri Nov 20 2026 13:33:53 GMT+0000 (Coordinated Universal Time)","#,
                r#""address":"127.0.0.1","xdomain":false,"secure":true,"issued":1795181633050,"#,
                r#""url":"/socket.io/?EIO=4&transport=polling&tokens=1","#,
                r#""query":{"EIO":"4","transport":"polling"},"auth":{"user":1.50}}"#
            )
        );
    }

    #[test]
    fn members_that_others_look_into_are_objects() {
        let handshake = Handshake {
            headers: Vec::new(),
            time: String::new(),
            address: String::new(),
            xdomain: false,
            secure: false,
            issued: 0,
            url: "/x".to_owned(),
            query: Vec::new(),
            auth: Json::NULL,
        };
        let details = Details {
            id: "a".to_owned(),
            handshake: handshake.without_credentials(),
            rooms: vec![RoomName::new("r").unwrap()],
            data: Json::NULL,
        };
        assert_eq!(
            Json::encode(&details).as_str(),
            concat!(
                r#"{"id":"a","handshake":{"headers":{},"time":"","address":"","xdomain":false,"#,
                r#""secure":false,"issued":0,"url":"/x","query":{},"auth":{}},"rooms":["r"],"data":{}}"#
            )
        );
    }

    #[test]
    fn odd_parameters_stay() {
        for url in [
            "/",
            "/?",
            "/?a",
            "/?a=1&&b",
            "/?%",
            "/?%e",
            "/?%74",
            "/?toké=1",
            "/?%é",
        ] {
            assert_eq!(without_token(url), url);
        }
        assert_eq!(without_token("/?token"), "/?");
    }
}
