//! The action `authenticate`: a session that is open logs in.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use polyport_backends::{Actions, DocumentationShape, Registry, builtin};
use polyport_core::{
    Answer, Arg, Backend, Call, CallArgs, Expiry, Identity, Json, MAX_TOKEN, Millis, OnExpiry,
    OpenRequest, Params, Reply, TokenError, TokenVerifier, Verified,
};

use crate::support::World;

/// Believes tokens `good:USER` and, later, `late:USER`.
#[derive(Default)]
struct Believer {
    asked: Mutex<Vec<String>>,
}

impl TokenVerifier for Believer {
    fn verify(&self, token: &str, _: &OpenRequest) -> Verified {
        self.asked.lock().unwrap().push(token.to_owned());
        let identity = |user: &str| {
            Arc::new(Identity {
                expiry: Some(Expiry {
                    at: Millis(5),
                    then: OnExpiry::Close,
                }),
                ..Identity::of_user(user)
            })
        };
        match token.split_once(':') {
            Some(("good", user)) => Verified::Now(Ok(identity(user))),
            Some(("late", user)) => {
                let identity = identity(user);
                Verified::Later(Box::pin(async move { Ok(identity) }))
            }
            _ => Verified::Now(Err(TokenError {
                code: TokenError::EXPIRED,
                message: "jwt expired".to_owned(),
            })),
        }
    }
}

struct Door {
    world: World,
    believer: Arc<Believer>,
    registry: Registry,
}

impl Door {
    fn new() -> Self {
        let believer = Arc::new(Believer::default());
        let action = builtin::authenticate(believer.clone());
        let actions = Arc::new(Actions::new([action]));
        Self {
            world: World::new(&builtin::BuiltinOptions::classic()),
            believer,
            registry: Registry::new(vec![actions], DocumentationShape::Keys),
        }
    }

    async fn call(&self, args: CallArgs<'_>) -> String {
        let call = Call {
            action: "authenticate",
            version: None,
            args,
        };
        let result = match self.registry.call(self.world.session(), call) {
            Answer::Now(result) => result,
            Answer::Later(later) => later.await,
            Answer::Told(_) => panic!("it has no thread of its own"),
        };
        match result {
            Ok(Reply::Value(json)) => json.as_str().to_owned(),
            Ok(Reply::Args(_) | Reply::Void | Reply::Nothing) => String::new(),
            Err(error) => format!("error: {error}"),
        }
    }

    async fn with(&self, token: &str) -> String {
        let mut params = Params::default();
        params.set("token", Json::parse(token).unwrap());
        self.call(CallArgs::Named(&params)).await
    }

    fn rooms(&self) -> Vec<String> {
        let rooms = self.world.session().rooms();
        rooms.iter().map(|room| room.as_str().to_owned()).collect()
    }

    fn counted(&self, outcome: &str) -> f64 {
        let hub = self.world.session().listener().hub();
        let families = hub.metrics().registry().gather();
        let tokens = families
            .iter()
            .find(|one| one.name() == "polyport_tokens_total");
        let series = tokens.unwrap().get_metric().iter();
        series
            .filter(|one| one.get_label().iter().any(|label| label.value() == outcome))
            .map(|one| one.get_counter().get_value())
            .sum()
    }
}

#[tokio::test]
async fn a_good_token_makes_the_session_somebody() {
    let door = Door::new();
    let seven = r#"{"user":"7","site":null,"expires":5}"#;
    assert_eq!(door.with(r#""good:7""#).await, seven);
    assert_eq!(door.rooms(), ["user(7)"]);
    assert_eq!(door.with(r#""late:8""#).await, seven.replace('7', "8"));
    assert_eq!(door.rooms(), ["user(8)"]);
    assert!((door.counted("ok") - 2.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn it_may_stand_first_in_a_list_or_in_an_object() {
    let door = Door::new();
    for (number, text) in [r#""good:7""#, r#"{"token":"good:7"}"#].iter().enumerate() {
        let args = [Arg::Json(Json::parse(text).unwrap())];
        let answer = door.call(CallArgs::List(&args)).await;
        assert!(answer.contains(r#""user":"7""#), "{number}: {answer}");
    }
}

#[tokio::test]
async fn a_bad_token_changes_nothing() {
    let door = Door::new();
    door.with(r#""good:7""#).await;
    assert_eq!(door.with(r#""bad""#).await, "error: jwt expired");
    for strange in ["7", "[]", "{}", r#"{"token":7}"#, "true"] {
        let answer = door.with(strange).await;
        assert_eq!(answer, "error: invalid token datatype", "{strange}");
    }
    let missing = "error: token is a required parameter for this action";
    assert_eq!(door.call(CallArgs::List(&[])).await, missing);
    assert_eq!(door.with("null").await, missing);
    assert_eq!(door.rooms(), ["user(7)"]);
    assert!((door.counted("expired") - 1.0).abs() < f64::EPSILON);
    assert!((door.counted("invalid") - 5.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_long_token_is_not_read() {
    let door = Door::new();
    let long = format!("\"good:{}\"", "7".repeat(MAX_TOKEN + 64));
    assert_eq!(door.with(&long).await, "error: jwt too long");
    assert!(door.believer.asked.lock().unwrap().is_empty());
}
