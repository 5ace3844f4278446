//! What clients ask for by name, and who answers.

use std::{future::Future, pin::Pin};

use crate::{Arg, Json, Params, SessionRef};

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
    /// The session has as many calls in flight as it may.
    #[error("you have too many pending requests")]
    TooManyPending,
    /// The server is shutting down and takes no new calls.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The backend did not answer before the deadline.
    #[error("the action did not answer in time")]
    Deadline,
    /// The backend failed; the cause is in the log, not on the wire.
    #[error("The server experienced an internal error")]
    Internal,
}

impl CallError {
    /// The metric label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::UnknownAction => "unknown_action",
            Self::MissingParam(_) => "missing_param",
            Self::Rejected(_) => "rejected",
            Self::TooManyPending => "too_many_pending",
            Self::ShuttingDown => "shutting_down",
            Self::Deadline => "deadline",
            Self::Internal => "internal",
        }
    }
}

/// When an answer comes.
pub enum Answer {
    /// At once; costs no allocation and no task.
    Now(Result<Reply, CallError>),
    /// Later. The future is run to its end even if the client leaves; the listener's call deadline bounds it.
    Later(Pin<Box<dyn Future<Output = Result<Reply, CallError>> + Send>>),
}

/// What answers calls.
pub trait Backend: Send + Sync {
    /// Answers a call of `session`. Must not block the thread.
    fn call(&self, session: &SessionRef, call: Call<'_>) -> Answer;

    /// What the action that `call` names would see of its declared inputs: given or by default, converted. Nothing for an
    /// unknown action. For protocols that keep what an action made of its inputs.
    fn inputs(&self, call: &Call<'_>) -> Vec<(String, Json)>;

    /// The actions this backend answers, for documentation verbs and for knowing which params are inputs.
    fn describe(&self) -> &[ActionInfo];

    /// The same as an object for documentation verbs: name → version → description.
    fn documentation(&self) -> Json;
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
}
