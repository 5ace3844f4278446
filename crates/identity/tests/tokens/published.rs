//! Keys that an issuer publishes, over loopback: there, rotated, late, broken, gone.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use polyport_core::{Identity, TokenError, Verified};
use polyport_identity::{Algorithm, JwksRules, JwksSource, TokenRules, Verifier};
use polyport_net::{HttpClient, HttpClientOptions, Tasks};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    keys::{ED, HMAC, OTHER_RSA, P256, RSA, Signer},
    rig::{NOW_MS, request},
};

const HOUR: Duration = Duration::from_hours(1);

/// What the issuer does with a request.
#[derive(Clone)]
enum Behaviour {
    Answers(String),
    Fails,
    Hangs,
}

struct Issuer {
    behaviour: Mutex<Behaviour>,
    requests: AtomicUsize,
    url: String,
    tasks: Tasks,
}

fn set(keys: &[Value]) -> Behaviour {
    Behaviour::Answers(json!({ "keys": keys }).to_string())
}

impl Issuer {
    async fn start(behaviour: Behaviour) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tasks = Tasks::new();
        let issuer = Arc::new(Self {
            behaviour: Mutex::new(behaviour),
            requests: AtomicUsize::new(0),
            url: format!("http://{}/jwks.json", listener.local_addr().unwrap()),
            tasks: tasks.clone(),
        });
        let serving = Arc::clone(&issuer);
        tasks.spawn(async move {
            let stopping = serving.tasks.stopping();
            loop {
                let mut stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = stopping.cancelled() => return,
                };
                let mut head = [0; 2048];
                let _ = stream.read(&mut head).await;
                serving.requests.fetch_add(1, Ordering::SeqCst);
                let behaviour = serving.behaviour.lock().clone();
                let (status, body) = match behaviour {
                    Behaviour::Answers(body) => ("200 OK", body),
                    Behaviour::Fails => ("500 Oh", "{}".to_owned()),
                    Behaviour::Hangs => {
                        let stopping = stopping.clone();
                        serving.tasks.spawn(async move {
                            stopping.cancelled().await;
                            drop(stream);
                        });
                        continue;
                    }
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        issuer
    }

    fn does(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn rules(&self) -> JwksRules {
        JwksRules {
            source: JwksSource::Url(self.url.clone()),
            algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
            refresh: HOUR,
            stale: HOUR,
            timeout: Duration::from_secs(5),
            retry: Duration::ZERO,
        }
    }
}

struct World {
    verifier: Verifier,
    tasks: Tasks,
}

impl World {
    fn new(jwks: JwksRules) -> Self {
        let tasks = Tasks::new();
        let client = HttpClient::new(HttpClientOptions::default());
        let rules = TokenRules {
            jwks: Some(jwks),
            require_expiry: false,
            ..TokenRules::default()
        };
        let verifier = Verifier::start(rules, &tasks, &client).unwrap();
        Self { verifier, tasks }
    }

    async fn verify(&self, token: &str) -> Result<Arc<Identity>, TokenError> {
        match self.verifier.verify_at(token, &request(&[]), NOW_MS) {
            Verified::Now(result) => result,
            Verified::Later(later) => later.await,
        }
    }

    /// Whether it is judged without waiting.
    fn is_judged_at_once(&self, token: &str) -> bool {
        let verified = self.verifier.verify_at(token, &request(&[]), NOW_MS);
        matches!(verified, Verified::Now(_))
    }

    async fn check_good(&self, token: &str) {
        let identity = self.verify(token).await.unwrap();
        assert_eq!(identity.user.as_deref(), Some("7"));
    }

    async fn check_bad(&self, token: &str, code: &str, message: &str) {
        let error = self.verify(token).await.unwrap_err();
        assert!(error.message.contains(message), "{}", error.message);
        assert_eq!(error.code, code);
    }

    async fn stop(self, issuer: &Issuer) {
        drop(self.verifier);
        self.tasks.finish().await;
        issuer.tasks.finish().await;
    }
}

fn token(signer: &Signer, algorithm: Algorithm, kid: Option<&str>) -> String {
    signer.token(algorithm, kid, &json!({"sub": "7"}))
}

fn rs(signer: &Signer, kid: &str) -> String {
    token(signer, Algorithm::Rs256, Some(kid))
}

const INVALID: &str = TokenError::INVALID;
const UNAVAILABLE: &str = TokenError::UNAVAILABLE;

#[tokio::test]
async fn keys_of_every_kind_are_fetched_once() {
    let issuer = Issuer::start(set(&[
        RSA.published("rs"),
        P256.published("ec"),
        ED.published("ed"),
        HMAC.published("hs"),
        json!({"kty": "RSA", "kid": "enc", "use": "enc", "n": "AQAB", "e": "AQAB"}),
        json!("no key at all"),
    ]))
    .await;
    let world = World::new(issuer.rules());
    assert!(
        !world.is_judged_at_once(&rs(&RSA, "rs")),
        "they are on their way"
    );
    world.check_good(&rs(&RSA, "rs")).await;
    let ec = token(&P256, Algorithm::Es256, Some("ec"));
    let ed = token(&ED, Algorithm::EdDsa, Some("ed"));
    for good in [&rs(&RSA, "rs"), &ec, &ed] {
        assert!(world.is_judged_at_once(good));
        world.check_good(good).await;
    }
    // The only key of its algorithm need not be named.
    world.check_good(&token(&RSA, Algorithm::Rs256, None)).await;
    world
        .check_bad(&rs(&OTHER_RSA, "rs"), INVALID, "invalid signature")
        .await;
    assert_eq!(issuer.requests(), 1);
    // What is published is no secret, and never taken for one.
    let hs = token(&HMAC, Algorithm::Hs256, Some("hs"));
    world.check_bad(&hs, INVALID, "invalid algorithm").await;
    // An algorithm that the set may not be used for.
    let ps = token(&RSA, Algorithm::Ps256, Some("rs"));
    world.check_bad(&ps, INVALID, "invalid algorithm").await;
    assert_eq!(issuer.requests(), 1);
    world.stop(&issuer).await;
}

#[tokio::test]
async fn an_unknown_name_has_the_keys_fetched_anew() {
    let issuer = Issuer::start(set(&[RSA.published("old")])).await;
    let world = World::new(issuer.rules());
    world.check_good(&rs(&RSA, "old")).await;
    issuer.does(set(&[RSA.published("old"), OTHER_RSA.published("new")]));
    world.check_good(&rs(&OTHER_RSA, "new")).await;
    world.check_good(&rs(&RSA, "old")).await;
    issuer.does(set(&[OTHER_RSA.published("new")]));
    assert_eq!(issuer.requests(), 2);
    world
        .check_bad(&rs(&RSA, "nobody"), INVALID, "unknown key")
        .await;
    // The old one is gone with that.
    world
        .check_bad(&rs(&RSA, "old"), INVALID, "unknown key")
        .await;
    let unnamed = token(&OTHER_RSA, Algorithm::Rs256, None);
    world.check_good(&unnamed).await;
    world.stop(&issuer).await;
}

#[tokio::test]
async fn unknown_names_cause_one_fetch_and_then_none_for_a_while() {
    let issuer = Issuer::start(set(&[RSA.published("a")])).await;
    let world = World::new(JwksRules {
        retry: HOUR,
        ..issuer.rules()
    });
    world.check_good(&rs(&RSA, "a")).await;
    let tokens: Vec<String> = (0..50).map(|n| rs(&RSA, &format!("x{n}"))).collect();
    let waiting: Vec<_> = tokens
        .iter()
        .map(|token| world.verifier.verify_at(token, &request(&[]), NOW_MS))
        .collect();
    for verified in waiting {
        let Verified::Later(later) = verified else {
            panic!("it is being fetched");
        };
        assert!(later.await.is_err());
    }
    assert_eq!(issuer.requests(), 2);
    for token in &tokens {
        assert!(world.is_judged_at_once(token));
    }
    assert_eq!(issuer.requests(), 2);
    world.stop(&issuer).await;
}

#[tokio::test]
async fn without_keys_nobody_is_judged() {
    for behaviour in [
        Behaviour::Fails,
        Behaviour::Answers("<html>no</html>".to_owned()),
        Behaviour::Answers(r#"{"keys":[]}"#.to_owned()),
        Behaviour::Answers(format!("{{\"keys\":[]}}{}", " ".repeat(2 << 20))),
    ] {
        let issuer = Issuer::start(behaviour).await;
        let world = World::new(issuer.rules());
        world
            .check_bad(&rs(&RSA, "a"), UNAVAILABLE, "cannot be had")
            .await;
        // A token that no key could save is judged all the same.
        world.check_bad("garbage", INVALID, "jwt malformed").await;
        let hs = token(&HMAC, Algorithm::Hs256, None);
        assert!(world.is_judged_at_once(&hs));
        // Once they are there, all is well.
        issuer.does(set(&[RSA.published("a")]));
        world.check_good(&rs(&RSA, "a")).await;
        world.stop(&issuer).await;
    }
}

#[tokio::test]
async fn a_server_that_is_down_or_silent_is_not_waited_for_without_end() {
    let issuer = Issuer::start(Behaviour::Hangs).await;
    let short = Duration::from_millis(50);
    let world = World::new(JwksRules {
        timeout: short,
        ..issuer.rules()
    });
    world
        .check_bad(&rs(&RSA, "a"), UNAVAILABLE, "cannot be had")
        .await;
    world.stop(&issuer).await;

    let source = JwksSource::Url("http://127.0.0.1:1/jwks.json".to_owned());
    let world = World::new(JwksRules {
        source,
        ..issuer.rules()
    });
    world
        .check_bad(&rs(&RSA, "a"), UNAVAILABLE, "cannot be had")
        .await;
    world.stop(&issuer).await;
}

#[tokio::test]
async fn old_keys_serve_while_no_newer_ones_can_be_had() {
    let issuer = Issuer::start(set(&[RSA.published("a")])).await;
    let refresh = Duration::from_millis(10);
    let world = World::new(JwksRules {
        refresh,
        ..issuer.rules()
    });
    world.check_good(&rs(&RSA, "a")).await;
    issuer.does(Behaviour::Fails);
    let before = issuer.requests();
    while issuer.requests() < before + 3 {
        tokio::task::yield_now().await;
    }
    assert!(world.is_judged_at_once(&rs(&RSA, "a")));
    world.check_good(&rs(&RSA, "a")).await;
    // They are fetched ahead of need when the issuer is back.
    issuer.does(set(&[RSA.published("b")]));
    while world.verify(&rs(&RSA, "b")).await.is_err() {}
    world.stop(&issuer).await;
}

#[tokio::test]
async fn keys_that_are_too_old_serve_nobody() {
    let issuer = Issuer::start(set(&[RSA.published("a")])).await;
    let stale = Duration::from_millis(50);
    let world = World::new(JwksRules {
        stale,
        ..issuer.rules()
    });
    world.check_good(&rs(&RSA, "a")).await;
    issuer.does(Behaviour::Fails);
    while world.verify(&rs(&RSA, "a")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    world
        .check_bad(&rs(&RSA, "a"), UNAVAILABLE, "cannot be had")
        .await;
    world.stop(&issuer).await;
}

#[tokio::test]
async fn a_file_is_there_at_once_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let write = |key: Value| fs::write(&file, json!({"keys": [key]}).to_string()).unwrap();
    write(RSA.published("a"));
    let issuer = Issuer::start(Behaviour::Fails).await;
    let source = JwksSource::File(file.clone());
    let world = World::new(JwksRules {
        source,
        ..issuer.rules()
    });
    assert!(world.is_judged_at_once(&rs(&RSA, "a")));
    world.check_good(&rs(&RSA, "a")).await;
    write(OTHER_RSA.published("b"));
    world.check_good(&rs(&OTHER_RSA, "b")).await;
    world.stop(&issuer).await;
}

/// The task that keeps the keys ends with the verifier, as when a configuration is read anew.
#[tokio::test]
async fn nothing_is_fetched_for_nobody() {
    let issuer = Issuer::start(set(&[RSA.published("a")])).await;
    let world = World::new(issuer.rules());
    world.check_good(&rs(&RSA, "a")).await;
    let World { verifier, tasks } = world;
    let other = verifier.clone();
    drop(verifier);
    tokio::task::yield_now().await;
    assert_eq!(tasks.len(), 1);
    drop(other);
    while !tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    issuer.tasks.finish().await;
}
