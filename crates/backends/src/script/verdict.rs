//! What a script's answers mean, and who hears them.

use polyport_core::{
    Accepted, Args, BackendMetrics, BackendOutcome, BackendRequest, CallError, Denial, Json,
    Refused, Reply,
};
use serde::Deserialize;

use super::{
    engine::Limit,
    marks::{Mark, MarkError},
    queue::To,
    worker::Pending,
};

/// What is answered.
pub(super) enum Verdict<'a> {
    Value(&'a str),
    Args(Args),
    Unreadable(MarkError),
    Void,
    Nothing,
    Nobody,
    Rejected(&'a str),
    Thrown(Thrown),
    /// The session may not, and there is no reason.
    Silent(&'a str),
    Refused(Refusal),
    Failed(&'a str),
    Limit(Limit),
    Over(BackendOutcome, String),
    Accepted(Accepted),
    Error(CallError),
}

/// An error with data, of a session that is not let in.
#[derive(Deserialize)]
pub(super) struct Refusal {
    text: String,
    data: Json,
}

/// An error that is more than a text.
#[derive(Deserialize)]
pub(super) struct Thrown {
    text: String,
    error: Json,
}

/// What a text of the script's half says: its first letter tells which kind of answer it is.
pub(super) fn verdict<'a>(mark: &Mark, text: &'a str) -> Verdict<'a> {
    let (letter, rest) = text.split_at(usize::from(!text.is_empty()));
    match letter {
        "+" => Verdict::Value(rest),
        "*" => match mark.read(rest) {
            Ok(args) => Verdict::Args(args),
            Err(error) => Verdict::Unreadable(error),
        },
        "-" => Verdict::Rejected(rest),
        "E" => match serde_json::from_str(rest) {
            Ok(thrown) => Verdict::Thrown(thrown),
            Err(_) => Verdict::Error(CallError::Internal),
        },
        "S" => Verdict::Silent(rest),
        "V" => Verdict::Void,
        "D" => match serde_json::from_str(rest) {
            Ok(refusal) => Verdict::Refused(refusal),
            Err(_) => Verdict::Error(CallError::Internal),
        },
        "F" => Verdict::Failed(rest),
        "M" => Verdict::Limit(Limit::Memory),
        "P" => Verdict::Error(CallError::MissingParam(rest.to_owned())),
        "N" => Verdict::Nothing,
        "0" => Verdict::Nobody,
        _ => Verdict::Error(CallError::UnknownAction),
    }
}

/// Answers whoever waits, and counts it.
pub(super) fn answer(metrics: &BackendMetrics, pending: Pending, verdict: Verdict<'_>) {
    let mut outcome = match &verdict {
        Verdict::Value(_)
        | Verdict::Args(_)
        | Verdict::Void
        | Verdict::Nothing
        | Verdict::Nobody
        | Verdict::Accepted(_) => BackendOutcome::Ok,
        Verdict::Rejected(_) | Verdict::Thrown(_) | Verdict::Silent(_) | Verdict::Refused(_) => {
            BackendOutcome::Rejected
        }
        Verdict::Failed(_) | Verdict::Unreadable(_) => BackendOutcome::Failed,
        Verdict::Over(outcome, _) => *outcome,
        Verdict::Limit(_) => BackendOutcome::Failed,
        Verdict::Error(CallError::Deadline) => BackendOutcome::Timeout,
        Verdict::Error(CallError::MissingParam(_) | CallError::UnknownAction) => {
            BackendOutcome::Rejected
        }
        Verdict::Error(_) => BackendOutcome::Failed,
    };
    let result = match verdict {
        Verdict::Value(text) => match Json::parse(text) {
            Ok(json) => Ok(Reply::Value(json)),
            Err(error) => {
                outcome = BackendOutcome::Failed;
                Err(CallError::Rejected(error.to_string()))
            }
        },
        Verdict::Args(ref args) => Ok(Reply::Args(args.clone())),
        Verdict::Void => Ok(Reply::Void),
        Verdict::Thrown(Thrown {
            ref text,
            ref error,
        }) => Err(CallError::Thrown {
            text: text.clone(),
            error: error.clone(),
        }),
        Verdict::Nothing | Verdict::Nobody | Verdict::Accepted(_) => Ok(Reply::Nothing),
        Verdict::Rejected(text) | Verdict::Silent(text) | Verdict::Failed(text) => {
            Err(CallError::Rejected(text.to_owned()))
        }
        Verdict::Refused(ref refusal) => Err(CallError::Rejected(refusal.text.clone())),
        Verdict::Unreadable(error) => Err(CallError::Rejected(error.to_string())),
        Verdict::Over(_, ref text) => Err(CallError::OverLimit(text.clone())),
        Verdict::Limit(_) => Err(CallError::Internal),
        Verdict::Error(ref error) => Err(error.clone()),
    };
    let took = pending.asked_at.elapsed();
    if let Some(mut step) = pending.step {
        step.set("polyport.outcome", || outcome.label());
        if !matches!(outcome, BackendOutcome::Ok | BackendOutcome::Rejected) {
            step.fail(outcome.label());
        }
    }
    match pending.to {
        To::Call(respond) => {
            metrics.asked(BackendRequest::Call, outcome, took);
            respond(result);
        }
        // Who asked may have gone away meanwhile.
        To::Open(_, respond) => {
            metrics.asked(BackendRequest::Open, outcome, took);
            let _ = respond.send(match (verdict, result) {
                (Verdict::Accepted(accepted), _) => Ok(accepted),
                (Verdict::Nobody, _) => Err(Refused::Nobody),
                (Verdict::Refused(Refusal { text, data }), _) => Err(refused(text, Some(data))),
                (_, Err(error)) => Err(refused(error.to_string(), None)),
                (_, Ok(_)) => Err(refused(String::new(), None)),
            });
        }
        To::Resume(_) => metrics.asked(BackendRequest::Open, outcome, took),
        To::May(request, respond) => {
            metrics.asked(request, outcome, took);
            let _ = respond.send(match verdict {
                Verdict::Silent(text) => Err(Denial::silent(text)),
                _ => result.map(drop).map_err(Denial::from),
            });
        }
    }
}

fn refused(text: String, data: Option<Json>) -> Refused {
    let text = if text.is_empty() {
        "Internal Server Error".to_owned()
    } else {
        text
    };
    Refused::Failed { text, data }
}
