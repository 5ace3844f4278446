//! What a service is sent and what it answers, in JSON. `docs/schemas/http-backend.json` is made of these types.

use std::collections::BTreeMap;

use bytes::Bytes;
use polyport_core::{
    Arg, BackendRequest, CallArgs, Identity, Json, OnExpiry, OpenRequest, Peer, SessionRef,
    single_argument,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The version of the form of requests and answers.
const VERSION: u8 = 1;

/// A call of a session, or something that it does or wants to do; or a call of another server of the cluster, which has no
/// session. Beside `session` or `realm` there is one more member, named like `request`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Request")]
pub(super) struct RequestText<'a> {
    /// The version of this form: 1.
    polyport: u8,
    /// What is asked.
    request: Kind,
    /// Names the request; the same when it is sent a second time.
    id: &'a str,
    /// When an answer is of no use any more, in milliseconds since the Unix epoch.
    deadline: u64,
    /// Whose request it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionText<'a>>,
    /// Where another server calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<&'a str>,
    #[serde(flatten)]
    subject: SubjectText<'a>,
}

/// What a service is asked.
#[derive(Serialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Call,
    Open,
    Close,
    Join,
    Publish,
}

/// A session, as far as it is known.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub(super) struct SessionText<'a> {
    /// Its id; commands can name it.
    pub(super) id: String,
    /// The listener's name in the configuration.
    pub(super) listener: &'a str,
    /// The protocol that its client speaks.
    pub(super) protocol: &'a str,
    /// The realm in which rooms have their names.
    pub(super) realm: &'a str,
    /// The client's address with its port; `unix` for a unix socket.
    pub(super) peer: String,
    /// Who it is, if that is known.
    pub(super) identity: Option<IdentityText<'a>>,
    /// The rooms it is in; none before it is open and after its end.
    pub(super) rooms: Vec<String>,
    /// What the service has said last as this session's `data`.
    #[schemars(with = "Option<Value>")]
    pub(super) data: Option<&'a Json>,
}

/// Who a session is.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Identity")]
pub(super) struct IdentityText<'a> {
    /// The user's id.
    user: Option<&'a str>,
    /// The base domain of the site that the user is on.
    site: Option<&'a str>,
    /// What else a token or the service has said of the user.
    #[schemars(with = "BTreeMap<String, Value>")]
    claims: &'a Json,
    /// When this ends, in milliseconds since the Unix epoch.
    expires: Option<u64>,
}

/// What the request is about.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Subject")]
pub(super) enum SubjectText<'a> {
    /// A client calls an action.
    Call(CallText<'a>),
    /// A client wants a session. It waits for the answer.
    Open(OpenText<'a>),
    /// A session has ended, or never opened although the service let it in.
    Close(CloseText<'a>),
    /// A session wants to join a room.
    Join(JoinText<'a>),
    /// A session wants to publish to a room.
    Publish(PublishText<'a>),
}

/// A call. It has `args` or `params`, whichever the client's protocol carries.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Call")]
pub(super) struct CallText<'a> {
    /// The action's name.
    pub(super) action: &'a str,
    /// The version asked for, as the client wrote it; `null` is the newest.
    #[schemars(with = "Option<Value>")]
    pub(super) version: Option<&'a Json>,
    /// Arguments in order. Binary is `{"base64":true,"data":"…"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<Value>>")]
    args: Option<ArgsText<'a>>,
    /// Arguments by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    params: Option<&'a polyport_core::Params>,
}

/// An opening.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Open")]
pub(super) struct OpenText<'a> {
    /// The request target with its query; empty where the protocol has none.
    target: &'a str,
    /// Headers by their names in lower case; of several with one name the values are joined.
    headers: BTreeMap<&'a str, String>,
    /// Whether the client's link is encrypted.
    tls: bool,
}

/// The end of a session.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Close")]
pub(super) struct CloseText<'a> {
    /// The WebSocket close code: 1005 for none, 1006 for a lost link.
    pub(super) code: u16,
    /// The text that came with it.
    pub(super) text: &'a str,
}

/// A wish to join.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Join")]
pub(super) struct JoinText<'a> {
    /// The room.
    pub(super) room: &'a str,
}

/// A wish to publish.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Publish")]
pub(super) struct PublishText<'a> {
    /// The room.
    pub(super) room: &'a str,
    /// The event's name.
    pub(super) event: &'a str,
    /// The event's arguments.
    #[schemars(with = "Vec<Value>")]
    pub(super) args: ArgsText<'a>,
}

/// Arguments as a list of JSON values.
pub(super) struct ArgsText<'a>(pub(super) &'a [Arg]);

impl Serialize for ArgsText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let each = self.0.iter();
        serializer.collect_seq(each.map(|arg| single_argument(std::slice::from_ref(arg))))
    }
}

impl From<BackendRequest> for Kind {
    fn from(request: BackendRequest) -> Self {
        match request {
            BackendRequest::Call => Self::Call,
            BackendRequest::Open => Self::Open,
            BackendRequest::Close => Self::Close,
            BackendRequest::Join => Self::Join,
            BackendRequest::Publish => Self::Publish,
        }
    }
}

impl<'a> RequestText<'a> {
    pub(super) fn new(
        request: BackendRequest,
        id: &'a str,
        deadline: u64,
        session: SessionText<'a>,
        subject: SubjectText<'a>,
    ) -> Self {
        Self {
            polyport: VERSION,
            request: request.into(),
            id,
            deadline,
            session: Some(session),
            realm: None,
            subject,
        }
    }

    /// A call of another server.
    pub(super) fn of_server(
        id: &'a str,
        deadline: u64,
        realm: &'a str,
        call: CallText<'a>,
    ) -> Self {
        Self {
            polyport: VERSION,
            request: Kind::Call,
            id,
            deadline,
            session: None,
            realm: Some(realm),
            subject: SubjectText::Call(call),
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("our own types always serialize"))
    }
}

impl<'a> SessionText<'a> {
    pub(super) fn of(
        session: &'a SessionRef,
        identity: Option<&'a Identity>,
        data: Option<&'a Json>,
    ) -> Self {
        let listener = session.listener();
        Self {
            id: session.id().to_string(),
            listener: listener.name(),
            protocol: listener.protocol(),
            realm: session.realm().name().as_str(),
            peer: peer_text(session.peer()),
            identity: identity.map(IdentityText::of),
            rooms: session.rooms().iter().map(ToString::to_string).collect(),
            data,
        }
    }
}

pub(super) fn peer_text(peer: Peer) -> String {
    peer.to_string()
}

impl<'a> IdentityText<'a> {
    pub(super) fn of(identity: &'a Identity) -> Self {
        Self {
            user: identity.user.as_deref(),
            site: identity.site.as_deref(),
            claims: &identity.claims,
            expires: identity.expiry.map(|expiry| expiry.at.0),
        }
    }
}

impl<'a> CallText<'a> {
    pub(super) fn of(call: &polyport_core::Call<'a>) -> Self {
        let (args, params) = match call.args {
            CallArgs::List(args) => (Some(ArgsText(args)), None),
            CallArgs::Named(params) => (None, Some(params)),
        };
        Self {
            action: call.action,
            version: call.version,
            args,
            params,
        }
    }
}

impl<'a> OpenText<'a> {
    pub(super) fn of(request: &'a OpenRequest) -> Self {
        let mut headers: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in &request.headers {
            let separator = if name == "cookie" { "; " } else { ", " };
            headers
                .entry(name)
                .and_modify(|before| {
                    before.push_str(separator);
                    before.push_str(value);
                })
                .or_insert_with(|| value.clone());
        }
        Self {
            target: &request.target,
            headers,
            tls: request.is_tls,
        }
    }
}

// --- answers --------------------------------------------------------------------------------------------------------

/// What a service answers with status 200. Everything may be left out; a member that is not listed here is refused.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Answer")]
pub(super) struct AnswerText {
    /// The answer to a call. `false` to `open`, `join` or `publish`: the session may not.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<Value>")]
    pub(super) result: Option<Json>,
    /// The call has failed, or the session may not, with this text for the client.
    #[serde(default)]
    pub(super) error: Option<String>,
    /// What is to be done before the client is answered: commands as the server API has them. A command without `to`, or with
    /// `{"session":"self"}`, is about the session itself. With `open` they wait until the session is open.
    #[serde(default)]
    #[schemars(with = "Option<Vec<CommandText>>")]
    pub(super) push: Option<Vec<Json>>,
    /// Rooms that the session is put into.
    #[serde(default)]
    pub(super) join: Option<Vec<String>>,
    /// Rooms that it is taken out of.
    #[serde(default)]
    pub(super) leave: Option<Vec<String>>,
    /// Who the session is from now on; `null`: nobody.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<IdentityAnswer>")]
    pub(super) identity: Option<Option<IdentityAnswer>>,
    /// What the gateway keeps for the session and sends along with each of its later requests.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<Value>")]
    pub(super) data: Option<Json>,
    /// With `open`: what the client itself may know of its session (validators of socket.red).
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<Value>")]
    pub(super) public: Option<Json>,
    /// With `open`: milliseconds between pings of this session, for protocols that ping.
    #[serde(default)]
    pub(super) ping: Option<u64>,
    /// End the session, after it has been answered.
    #[serde(default)]
    pub(super) disconnect: bool,
}

/// Who a session is, as a service says it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IdentityAnswer")]
pub(super) struct IdentityAnswer {
    /// The user's id: a string or an integer. The session is in the room `user(ID)`.
    #[serde(default)]
    pub(super) user: Option<UserId>,
    /// The base domain of the site that the user is on. The session is in the room `site(HOST)`.
    #[serde(default)]
    pub(super) site: Option<String>,
    /// What else is known of the user, an object.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub(super) claims: Option<Json>,
    /// When this ends, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub(super) expires: Option<u64>,
    /// What becomes of the session then; by default it is closed.
    #[serde(default)]
    pub(super) on_expiry: Option<Then>,
}

/// A user's id.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum UserId {
    Text(String),
    Number(i64),
}

/// What becomes of a session whose identity has ended.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(super) enum Then {
    /// It ends.
    Close,
    /// It goes on as nobody's.
    Downgrade,
}

impl std::fmt::Display for UserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl From<Then> for OnExpiry {
    fn from(then: Then) -> Self {
        match then {
            Then::Close => Self::Close,
            Then::Downgrade => Self::Downgrade,
        }
    }
}

/// Reads a value that stands there: `null` is a value, not an absence.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Something to be done to sessions; read by the core, described here for the schema.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Command")]
#[expect(dead_code, reason = "only its schema is used")]
enum CommandText {
    /// Push an event: `event` with `args` or `data`, or `action` alone.
    Publish {
        to: Option<TargetText>,
        event: Option<String>,
        args: Option<Vec<Value>>,
        data: Option<Value>,
        action: Option<Value>,
        #[serde(default)]
        volatile: bool,
    },
    /// Put sessions into a room.
    Join {
        to: Option<TargetText>,
        room: String,
    },
    /// Take sessions out of a room.
    Leave {
        to: Option<TargetText>,
        room: String,
    },
    /// End sessions.
    Disconnect { to: Option<TargetText> },
}

/// Which sessions: one of these members, and perhaps `realm`.
#[derive(JsonSchema)]
#[schemars(rename = "Target")]
#[expect(dead_code, reason = "only its schema is used")]
struct TargetText {
    /// By default the session's own realm.
    realm: Option<String>,
    /// A session by its id; `self` is the session of the request.
    session: Option<String>,
    /// The members of a room.
    room: Option<String>,
    /// The members of several rooms,
    rooms: Option<Vec<String>>,
    /// unless they are in one of these; goes with `rooms`.
    except: Option<Vec<String>>,
    /// The sessions of a user.
    user: Option<UserId>,
    /// The sessions on a site.
    site: Option<String>,
    /// Every session of the realm: `true`.
    everyone: Option<bool>,
}

/// The JSON Schema of requests and answers, as it stands in `docs/schemas/http-backend.json`.
#[must_use]
pub fn http_backend_schema() -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let request = generator.subschema_for::<RequestText<'_>>();
    let answer = generator.subschema_for::<AnswerText>();
    let mut definitions = Value::Object(generator.take_definitions(true));
    drop_null_defaults(&mut definitions);
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Requests of the gateway to a service, and the service's answers",
        "anyOf": [request, answer],
        "$defs": definitions,
    })
}

/// What is left out is not the same as `null` in an answer, whatever the types say of the default.
fn drop_null_defaults(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("default") == Some(&Value::Null) {
                members.remove("default");
            }
            members.values_mut().for_each(drop_null_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_null_defaults),
        _ => {}
    }
}
