//! Who a session is: its rooms follow, and its end is kept.

use std::sync::Arc;

use polyport_core::{
    Answer, Authentication, Call, CloseReason, Expiry, Hub, Identity, Listener, Millis, OnExpiry,
    OpenRequest, Peer, Received, Reception, Refused, Reply, Session, SessionId, SessionRef,
    TokenError, TokenSource, TokenVerifier, Verified,
};

use crate::rig::{
    Answering, ListenerPlan, MemoryPeer, check_metric, hub_and_listener, member, open_on,
};

fn who(user: &str, ends: Option<(u64, OnExpiry)>) -> Option<Arc<Identity>> {
    Some(Arc::new(Identity {
        site: Some("a.example".into()),
        expiry: ends.map(|(at, then)| Expiry {
            at: Millis(at),
            then,
        }),
        ..Identity::of_user(user)
    }))
}

fn rooms(session: &Session) -> Vec<String> {
    let rooms = session.rooms();
    rooms.iter().map(|room| room.as_str().to_owned()).collect()
}

#[test]
fn rooms_follow_the_identity() {
    let (_hub, listener) = hub_and_listener();
    let (session, _) = member(&listener, "lobby");
    session.identify(who("7", None));
    assert_eq!(rooms(&session), ["lobby", "user(7)", "site(a.example)"]);
    session.identify(who("8", None));
    assert_eq!(rooms(&session), ["lobby", "site(a.example)", "user(8)"]);
    assert!(!listener.realm().exists("user(7)"));
    session.identify(who("8", None));
    assert_eq!(rooms(&session), ["lobby", "site(a.example)", "user(8)"]);
    session.identify(None);
    assert_eq!(rooms(&session), ["lobby"]);
    assert_eq!(session.identity(), None);
}

#[test]
fn a_part_that_makes_no_name_gives_no_room() {
    let (_hub, listener) = hub_and_listener();
    let (session, _) = member(&listener, "lobby");
    session.identify(who(&"x".repeat(5_000), None));
    assert_eq!(rooms(&session), ["lobby", "site(a.example)"]);
}

#[test]
fn the_bound_on_rooms_holds_for_those_of_an_identity() {
    let hub = Hub::new(0, None);
    let mut plan = ListenerPlan::new("one");
    plan.limits.rooms_per_session = 2;
    let listener = plan.on(&hub);
    let (session, _) = member(&listener, "lobby");
    session.identify(who("7", None));
    assert_eq!(rooms(&session), ["lobby", "user(7)"]);
    assert_eq!(session.identity(), who("7", None));
}

#[test]
fn an_ended_session_stays_who_it_was() {
    let (hub, listener) = hub_and_listener();
    let (session, _) = member(&listener, "lobby");
    session.identify(who("7", Some((10, OnExpiry::Close))));
    let handle = (*session).clone();
    drop(session);
    assert_eq!(hub.ending_identities(), 0);
    handle.identify(who("8", Some((10, OnExpiry::Close))));
    assert_eq!(handle.identity(), who("7", Some((10, OnExpiry::Close))));
    assert_eq!(hub.ending_identities(), 0);
    assert!(!listener.realm().exists("user(8)"));
    assert_eq!(hub.expire_identities(Millis(100)), 0);
}

#[test]
fn an_identity_ends_at_its_time() {
    let (hub, listener) = hub_and_listener();
    let (closing, _) = member(&listener, "lobby");
    closing.identify(who("7", Some((1_000, OnExpiry::Close))));
    let (downgraded, _) = member(&listener, "lobby");
    downgraded.identify(who("8", Some((2_000, OnExpiry::Downgrade))));
    let (endless, _) = member(&listener, "lobby");
    endless.identify(who("9", None));
    assert_eq!(hub.ending_identities(), 2);

    assert_eq!(hub.expire_identities(Millis(999)), 0);
    assert_eq!(closing.outbox().closing(), None);
    assert_eq!(hub.expire_identities(Millis(1_000)), 1);
    assert_eq!(
        closing.outbox().closing(),
        Some(CloseReason::IdentityExpired)
    );
    assert_eq!(rooms(&downgraded), ["lobby", "user(8)", "site(a.example)"]);
    assert_eq!(hub.expire_identities(Millis(2_000)), 1);
    assert_eq!(downgraded.outbox().closing(), None);
    assert_eq!(downgraded.identity(), None);
    assert_eq!(rooms(&downgraded), ["lobby"]);
    assert_eq!(hub.expire_identities(Millis(u64::MAX)), 0);
    assert_eq!(endless.identity(), who("9", None));
}

#[test]
fn a_session_is_judged_by_its_present_identity() {
    let (hub, listener) = hub_and_listener();
    let (session, _) = member(&listener, "lobby");
    for at in (1..100).rev().chain(1..100) {
        session.identify(who("7", Some((at, OnExpiry::Close))));
        assert_eq!(hub.ending_identities(), 1);
    }
    session.identify(who("7", Some((5_000, OnExpiry::Close))));
    assert_eq!(hub.expire_identities(Millis(4_999)), 0);
    assert_eq!(session.outbox().closing(), None);
    session.identify(None);
    assert_eq!(hub.ending_identities(), 0);
    assert_eq!(hub.expire_identities(Millis(5_000)), 0);
}

#[test]
fn sessions_that_come_and_go_leave_nothing_behind() {
    let (hub, listener) = hub_and_listener();
    for _ in 0..1_000 {
        let session = open_on(&listener, &MemoryPeer::new());
        session.identify(who("7", Some((1_000, OnExpiry::Close))));
    }
    assert_eq!(hub.ending_identities(), 0);
}

/// Believes tokens that are a user's name, except those that are an error's code.
struct Believer;

impl TokenVerifier for Believer {
    fn verify(&self, token: &str, _: &OpenRequest) -> Verified {
        let codes = [
            TokenError::INVALID,
            TokenError::EXPIRED,
            TokenError::UNAVAILABLE,
        ];
        Verified::Now(match codes.into_iter().find(|code| *code == token) {
            Some(code) => Err(TokenError {
                code,
                message: String::new(),
            }),
            None => Ok(Arc::new(Identity::of_user(token))),
        })
    }

    fn site(&self, _: &OpenRequest) -> Option<String> {
        Some("a.example".to_owned())
    }
}

fn receive(listener: &Arc<Listener>, token: Option<&str>, required: bool) -> Received {
    let authentication = Authentication {
        verifier: Arc::new(Believer),
        sources: vec![TokenSource::Header("x-token".to_owned())],
        required,
    };
    let nothing = Answering(|_: &SessionRef, _: Call<'_>| Answer::Now(Ok(Reply::Nothing)));
    Reception::new(Arc::new(nothing), Some(authentication)).receive(OpenRequest {
        id: SessionId::random(),
        listener: Arc::clone(listener),
        peer: Peer::Unix,
        is_tls: false,
        target: String::new(),
        headers: token
            .iter()
            .map(|token| ("x-token".to_owned(), (*token).to_owned()))
            .collect(),
        identity: None,
        branch: None,
        payload: None,
    })
}

#[test]
fn what_becomes_of_tokens_is_counted() {
    let (hub, listener) = hub_and_listener();
    for (token, required, outcome) in [
        (Some("7"), true, "ok"),
        (None, true, "missing"),
        (Some(TokenError::INVALID), false, "invalid"),
        (Some(TokenError::EXPIRED), true, "expired"),
        (Some(TokenError::UNAVAILABLE), true, "unavailable"),
    ] {
        let Received::Now(received) = receive(&listener, token, required) else {
            panic!("nothing need be awaited");
        };
        assert_eq!(received.is_ok(), outcome == "ok");
        assert!(matches!(received, Ok(_) | Err(Refused::Token(_))));
        check_metric(&hub, "polyport_tokens_total", &[("outcome", outcome)], 1.0);
    }
    assert!(matches!(
        receive(&listener, None, false),
        Received::Now(Ok(_))
    ));
    check_metric(&hub, "polyport_tokens_total", &[], 5.0);
}

#[test]
fn a_session_remembers_its_page_for_a_later_login() {
    let (_hub, listener) = hub_and_listener();
    let Received::Now(Ok(guest)) = receive(&listener, None, false) else {
        panic!("everybody may come in");
    };
    let session = open_on(&listener, &MemoryPeer::new());
    assert_eq!(session.site(), None);
    assert!(guest.enter(&session).is_none());
    assert_eq!(session.site().as_deref(), Some("a.example"));
    assert_eq!(session.identity(), None);
}
