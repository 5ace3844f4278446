//! What clients ask for by name, and who answers.

use std::sync::Arc;

use crate::{
    Accepted, Arg, Args, Json, Later, OpenRequest, Params, RealmName, Refused, RoomName,
    SessionEnd, SessionId, SessionRef,
};

/// Something a client asks for by name. Borrowed: a backend that answers later copies what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The action's name.
    pub action: &'a str,
    /// The version asked for, as the client wrote it; `None` is the newest.
    pub version: Option<&'a Json>,
    /// The arguments.
    pub args: CallArgs<'a>,
}

/// Arguments in the form in which the client's protocol carries them.
#[derive(Debug, Clone, Copy)]
pub enum CallArgs<'a> {
    /// In order (socket.red, Socket.IO).
    List(&'a [Arg]),
    /// By name (Actionhero, SocketCluster objects).
    Named(&'a Params),
}

/// A successful answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A value; for protocols that answer with fields, a JSON object.
    Value(Json),
    /// Arguments, with binary in them or several: for protocols whose answers carry them. Others take the first one.
    Args(Args),
    /// The action has answered, with no value: `null` where a protocol has no word for that.
    Void,
    /// The action chose not to answer.
    Nothing,
}

/// An unsuccessful answer. Front ends word it in their protocol's own way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No backend of the listener knows the action, or not in this version.
    #[error("unknown action or invalid apiVersion")]
    UnknownAction,
    /// A required input is missing.
    #[error("{0} is a required parameter for this action")]
    MissingParam(String),
    /// An input was refused, or the action failed, with this text for the client.
    #[error("{0}")]
    Rejected(String),
    /// The action failed with an error that is more than a text.
    #[error("{text}")]
    Thrown {
        /// What clients hear whose protocol has texts for errors.
        text: String,
        /// What the others hear: a string, or an object with `message` and `name`.
        error: Json,
    },
    /// The session has as many calls in flight as it may.
    #[error("you have too many pending requests")]
    TooManyPending,
    /// The server is shutting down and takes no new calls.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The backend did not answer before the deadline.
    #[error("the action did not answer in time")]
    Deadline,
    /// The listener's permissions do not let the session call it.
    #[error("not authorized to call this action")]
    Forbidden,
    /// The backend cannot be reached, or has failed so often that it is left alone for a while.
    #[error("the backend cannot be reached")]
    Unavailable,
    /// As many calls wait for the backend as may.
    #[error("the backend has too much to do")]
    Overloaded,
    /// The backend answered with something that is no answer.
    #[error("the backend's answer cannot be used")]
    BadAnswer,
    /// The call used more of something, such as time or memory, than it may: this text says of what.
    #[error("{0}")]
    OverLimit(String),
    /// The backend failed; the cause is in the log, not on the wire.
    #[error("The server experienced an internal error")]
    Internal,
}

impl CallError {
    /// Whether no backend has said that it knows the action: the client may have made its name up.
    #[must_use]
    pub fn is_of_no_backend(&self) -> bool {
        matches!(
            self,
            Self::UnknownAction | Self::TooManyPending | Self::ShuttingDown
        )
    }

    /// Whether a backend or the gateway is to blame, rather than who has called.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Deadline
                | Self::Unavailable
                | Self::Overloaded
                | Self::BadAnswer
                | Self::OverLimit(_)
                | Self::Internal
        )
    }

    /// The metric label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::UnknownAction => "unknown_action",
            Self::MissingParam(_) => "missing_param",
            Self::Rejected(_) | Self::Thrown { .. } => "rejected",
            Self::TooManyPending => "too_many_pending",
            Self::ShuttingDown => "shutting_down",
            Self::Deadline => "deadline",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::BadAnswer => "bad_answer",
            Self::OverLimit(_) => "over_limit",
            Self::Internal => "internal",
        }
    }
}

/// When an answer comes.
pub enum Answer {
    /// At once; costs no allocation and no task.
    Now(Result<Reply, CallError>),
    /// Later. The future is run to its end even if the client leaves; the listener's call deadline bounds it.
    Later(Later<Result<Reply, CallError>>),
    /// Later, from a thread of the backend's own, which keeps to the listener's call deadline by itself: give it what is to
    /// be done with the answer. It calls that once, in a turn of the hub, after everything that the call has sent.
    Told(Told),
}

/// A call that somebody works on: it is given what is to be done with the answer.
pub type Told = Box<dyn FnOnce(Respond) + Send>;

/// What precedes the names of actions that other servers of a cluster call. No client can.
pub const SERVER_SIDE: &str = "serverSide:";

/// What is to be done with an answer.
pub type Respond = Box<dyn FnOnce(Result<Reply, CallError>) + Send>;

/// Which of a session's doings a backend wants to be asked about or told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Whether a session may open.
    pub open: bool,
    /// That it has closed.
    pub close: bool,
    /// Whether it may join a room.
    pub join: bool,
    /// Whether it may publish to a room.
    pub publish: bool,
}

/// Something that a session wants to do, for [`Backend::may`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Join a room.
    Join(RoomName),
    /// Publish an event of this name and these arguments to a room.
    Publish {
        /// The room.
        room: RoomName,
        /// The event's name.
        event: crate::EventName,
        /// Its arguments.
        args: Args,
    },
}

/// Why a session may not do something. The text is for clients whose protocol has texts for errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Denial {
    /// Why, or that there is no more to say.
    pub text: String,
    /// The reason as a value, if one was given: a string, or an object with `message`.
    pub error: Option<Json>,
}

impl Denial {
    /// One for which no reason was given; `text` says what may not be done.
    #[must_use]
    pub fn silent(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            error: None,
        }
    }

    /// One for this reason.
    #[must_use]
    pub fn because(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            error: Some(error_value(&text)),
            text,
        }
    }
}

/// An error as a value that is no more than its text.
#[must_use]
pub fn error_value(message: &str) -> Json {
    #[derive(serde::Serialize)]
    struct Plain<'a> {
        message: &'a str,
        name: &'static str,
    }
    Json::encode(&Plain {
        message,
        name: "Error",
    })
}

/// A backend that fails lets nobody through.
impl From<CallError> for Denial {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match error {
            CallError::Thrown { error, .. } => Self {
                text,
                error: Some(error),
            },
            CallError::Forbidden => Self::silent(text),
            _ => Self::because(text),
        }
    }
}

/// What answers calls and session hooks.
pub trait Backend: Send + Sync {
    /// Answers a call of `session`. Must not block the thread.
    fn call(&self, session: &SessionRef, call: Call<'_>) -> Answer;

    /// Answers a call that another server of the cluster makes in a realm; [`SERVER_SIDE`] precedes its name. Nothing if
    /// there is no such action. Must not block the thread.
    fn call_of_server(&self, realm: &RealmName, call: Call<'_>) -> Option<Told> {
        let _ = (realm, call);
        None
    }

    /// What the action that `call` names would see of its declared inputs: given or by default, converted. Nothing for an
    /// unknown action. For protocols that keep what an action made of its inputs.
    fn inputs(&self, call: &Call<'_>) -> Vec<(String, Json)>;

    /// The actions this backend answers, as far as they are known beforehand. Changes when a script is loaded anew.
    fn describe(&self) -> Arc<[ActionInfo]>;

    /// Whether an action declares an input of that name.
    fn has_input(&self, name: &str) -> bool;

    /// The same as an object for documentation verbs: name → version → description.
    fn documentation(&self) -> Json;

    /// What it wants to be asked about. Changes when its configuration does.
    fn hooks(&self) -> Hooks {
        Hooks::default()
    }

    /// Whether a session may open. The request is answered only afterwards.
    fn open(&self, request: Arc<OpenRequest>) -> Later<Result<Accepted, Refused>> {
        let _ = request;
        Box::pin(std::future::ready(Ok(Accepted::default())))
    }

    /// A session that was let in is open: what was sent to it before goes out now. Called in a turn of the hub, before the
    /// client's first message is looked at.
    fn opened(&self, session: &SessionRef) {
        let _ = session;
    }

    /// A session for which [`Backend::open`] was called has ended, or never opened after all. Called once; must not block.
    fn close(&self, session: SessionId, end: &SessionEnd) {
        let _ = (session, end);
    }

    /// Whether a session may do something.
    fn may(&self, session: &SessionRef, ask: Ask) -> Later<Result<(), Denial>> {
        let _ = (session, ask);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What is known of an action before it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionInfo {
    /// Its name.
    pub name: String,
    /// Its version; several may exist beside each other.
    pub version: u32,
    /// What it does, for people.
    pub description: String,
    /// Its inputs in declared order.
    pub inputs: Vec<InputInfo>,
    /// An answer to show in documentation, a JSON object.
    pub output_example: Json,
}

/// One declared input of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct InputInfo {
    /// Its name.
    pub name: String,
    /// Whether a call without it is refused.
    pub required: bool,
    /// What a call without it gets.
    pub default: Option<Json>,
    /// Whether its value is rewritten before the action sees it.
    pub has_formatter: bool,
    /// Whether its value is checked before the action sees it.
    pub has_validator: bool,
}
