//! A listener without sockets, requests to it, and checks of what a verifier says.

use std::sync::Arc;

use polyport_core::{
    Dialect, Event, Frame, Hub, Identity, Limits, Listener, ListenerConfig, Millis, OpenRequest,
    Peer, Permissions, RealmName, SessionId, TokenError, Verified,
};
use polyport_identity::{Algorithm, KeyRule, TokenRules, Verifier};
use polyport_net::{HttpClient, HttpClientOptions, Tasks};

use crate::keys::Signer;

/// Seconds since the epoch at which these tests happen.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) const NOW_MS: Millis = Millis(NOW * 1000);

struct Silent;

impl Dialect for Silent {
    fn protocol(&self) -> &'static str {
        "silent"
    }

    fn encode(&self, _: &Event) -> Frame {
        Frame::new()
    }
}

fn listener() -> Arc<Listener> {
    Hub::new(0, None).listener(ListenerConfig {
        name: "one".to_owned(),
        protocol: "silent",
        realm: RealmName::new("default").unwrap(),
        dialect: Arc::new(Silent),
        join: Vec::new(),
        rooms: Vec::new(),
        limits: Limits::default(),
        permissions: Permissions::default(),
    })
}

pub(crate) fn request(headers: &[(&str, &str)]) -> OpenRequest {
    OpenRequest {
        id: SessionId::random(),
        listener: listener(),
        peer: Peer::Unix,
        is_tls: false,
        target: "/".to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        identity: None,
        branch: None,
        payload: None,
    }
}

pub(crate) fn verifier(rules: TokenRules) -> Verifier {
    let client = HttpClient::new(HttpClientOptions::default());
    Verifier::start(rules, &Tasks::new(), &client).unwrap()
}

/// Rules with these keys and nothing demanded.
pub(crate) fn lenient(keys: Vec<KeyRule>) -> TokenRules {
    TokenRules {
        keys,
        require_expiry: false,
        ..TokenRules::default()
    }
}

pub(crate) fn with_key(algorithm: Algorithm) -> Verifier {
    verifier(lenient(vec![Signer::of(algorithm).rule(algorithm, None)]))
}

/// What a verifier says at once.
#[track_caller]
pub(crate) fn at_once(verifier: &Verifier, token: &str) -> Result<Arc<Identity>, TokenError> {
    match verifier.verify_at(token, &request(&[]), NOW_MS) {
        Verified::Now(result) => result,
        Verified::Later(_) => panic!("nothing need be fetched"),
    }
}

#[track_caller]
pub(crate) fn check_good(verifier: &Verifier, token: &str) {
    let identity = at_once(verifier, token).unwrap();
    assert_eq!(identity.user.as_deref(), Some("7"));
}

#[track_caller]
pub(crate) fn check_bad(verifier: &Verifier, token: &str, message: &str) {
    let error = at_once(verifier, token).unwrap_err();
    assert_eq!(error.message, message);
    let code = if message == "jwt expired" {
        TokenError::EXPIRED
    } else {
        TokenError::INVALID
    };
    assert_eq!(error.code, code);
}
