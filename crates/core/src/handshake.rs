//! How a session's client came, as far as other servers may know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Json, OpenRequest, TokenSource, opening::percent_decoded};

/// What a client said when it came, without cookies, authorizations and tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// Whether the link is encrypted.
    pub is_tls: bool,
    /// Path and query; empty where the protocol has none.
    pub target: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// What it said beside target and headers; nothing, or an object.
    pub payload: Option<Json>,
}

/// Headers that nobody else needs to know.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// What a token is usually called.
const TOKEN: &str = "token";

/// In a payload, also what lets a lost client come back.
const SECRETS: [&str; 2] = [TOKEN, "pid"];

impl Handshake {
    /// What `request` says, without what is secret everywhere and without the tokens that are looked for in `sources`.
    #[must_use]
    pub fn without_credentials(request: &OpenRequest, sources: &[TokenSource]) -> Self {
        let is_secret = |name: &str| {
            let is_source = |source: &TokenSource| matches!(source, TokenSource::Header(known) if known == name);
            CREDENTIALS.contains(&name) || sources.iter().any(is_source)
        };
        let headers = request.headers.iter();
        let headers = headers.filter(|(name, _)| !is_secret(name)).cloned();
        Self {
            is_tls: request.is_tls,
            target: without_tokens(&request.target, sources),
            headers: headers.collect(),
            payload: request.payload.as_ref().and_then(Self::payload),
        }
    }

    /// What of a payload others may know; nothing of one that is no object.
    #[must_use]
    pub fn payload(payload: &Json) -> Option<Json> {
        let mut members: BTreeMap<String, Json> = payload.decode().ok()?;
        for secret in SECRETS {
            members.remove(secret);
        }
        Some(Json::encode(&members))
    }

    /// The first header of that name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The parameters of its query, decoded; of those that come twice, the last.
    #[must_use]
    pub fn query(&self) -> BTreeMap<String, String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(name), percent_decoded(value))
        });
        decoded.collect()
    }
}

/// The target without the parameters that are tokens.
fn without_tokens(target: &str, sources: &[TokenSource]) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let is_secret = |parameter: &&str| {
        let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = percent_decoded(name);
        let is_source =
            |source: &TokenSource| matches!(source, TokenSource::Query(known) if *known == name);
        name == TOKEN || sources.iter().any(is_source)
    };
    let kept: Vec<&str> = query.split('&').filter(|it| !is_secret(it)).collect();
    format!("{path}?{}", kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_leave_a_target_and_nothing_else_does() {
        let sources = [TokenSource::Query("jwt".to_owned())];
        let target = "/socket.io/?EIO=4&token=secret&jwt=secret&%74ok%65n=secret&tokens=1";
        assert_eq!(
            without_tokens(target, &sources),
            "/socket.io/?EIO=4&tokens=1"
        );
        assert_eq!(without_tokens("/?token", &[]), "/?");
        for target in [
            "",
            "/",
            "/?",
            "/?a",
            "/?a=1&&b",
            "/?%",
            "/?%e",
            "/?%74",
            "/?toké=1",
        ] {
            assert_eq!(without_tokens(target, &sources), target);
        }
    }

    #[test]
    fn a_payload_is_told_without_its_secrets() {
        let told = |text| Handshake::payload(&Json::parse(text).unwrap());
        let object = |text| Some(Json::parse(text).unwrap());
        assert_eq!(
            told(r#"{"token":"secret","user":1.50,"pid":"secret"}"#),
            object(r#"{"user":1.50}"#)
        );
        assert_eq!(told("{}"), object("{}"));
        assert_eq!(told(r#""secret""#), None);
        assert_eq!(told("null"), None);
    }

    #[test]
    fn a_query_is_decoded() {
        let handshake = Handshake {
            target: "/x?EIO=4&a%20b=c+d&&EIO=3&e".to_owned(),
            ..Handshake::default()
        };
        let expected = [("EIO", "3"), ("a b", "c d"), ("e", "")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(handshake.query(), BTreeMap::from(expected));
        assert!(Handshake::default().query().is_empty());
    }
}
