//! The originals' errors, as values. Both generations have names for the same things and other texts.

use polyport_core::{CallError, Denial, Json, error_value};

use crate::codec::Generation;

/// What a client wanted that it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Call,
    Subscribe,
    Publish,
    Unsubscribe,
    Handshake,
}

impl Verb {
    fn in_v1(self) -> &'static str {
        match self {
            Self::Call => "emit",
            Self::Subscribe | Self::Unsubscribe => "subscribe",
            Self::Publish => "publishIn",
            Self::Handshake => "handshakeSC",
        }
    }

    fn in_v2(self) -> &'static str {
        match self {
            Self::Call => "invoke",
            other => other.in_v1(),
        }
    }
}

/// An object of these members, in this order.
pub(crate) fn object(members: &[(&str, Json)]) -> Json {
    let mut text = String::from("{");
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        crate::codec::push_string(&mut text, key);
        text.push(':');
        text.push_str(value.as_str());
    }
    text.push('}');
    Json::parse(&text).expect("it is put together of JSON")
}

/// An error of that name.
pub(crate) fn named(name: &str, message: &str) -> Json {
    object(&[
        ("message", Json::string(message)),
        ("name", Json::string(name)),
    ])
}

/// It was not allowed, and there is no more to say.
pub(crate) fn silent(generation: Generation, verb: Verb) -> Json {
    let (message, kind) = match generation {
        Generation::V1 => (
            format!("Action was silently blocked by {} middleware", verb.in_v1()),
            verb.in_v1(),
        ),
        Generation::V2 => {
            let kind = if verb == Verb::Handshake {
                "handshake"
            } else {
                "inbound"
            };
            (
                format!(
                    "The {} AGAction was blocked by {kind} middleware",
                    verb.in_v2()
                ),
                kind,
            )
        }
    };
    object(&[
        ("message", Json::string(&message)),
        ("name", Json::string("SilentMiddlewareBlockedError")),
        ("type", Json::string(kind)),
    ])
}

/// A backend does not let a client do something.
pub(crate) fn denied(generation: Generation, verb: Verb, denial: &Denial) -> Json {
    let reason = denial.error.clone();
    reason.unwrap_or_else(|| silent(generation, verb))
}

/// A call has failed.
pub(crate) fn call_error(generation: Generation, error: &CallError) -> Json {
    let name = match error {
        CallError::Forbidden => return silent(generation, Verb::Call),
        CallError::Thrown { error, .. } => return error.clone(),
        CallError::Deadline => "TimeoutError",
        CallError::TooManyPending | CallError::Overloaded | CallError::OverLimit(_) => "LimitError",
        CallError::ShuttingDown | CallError::Unavailable => "UnavailableError",
        CallError::MissingParam(_) => "InvalidArgumentsError",
        _ => return error_value(&error.to_string()),
    };
    named(name, &error.to_string())
}

/// The name of a channel is none. `shown` is what stands in its place, as JavaScript prints it.
pub(crate) fn malformed_channel(
    generation: Generation,
    verb: Verb,
    socket: &str,
    shown: &str,
) -> Json {
    if generation == Generation::V2 {
        let what = match verb {
            Verb::Publish => "Publish",
            Verb::Unsubscribe => "Unsubscribe",
            _ => "Subscribe",
        };
        let message = format!("{what} channel name was malformatted");
        return named("InvalidActionError", &message);
    }
    let message = match verb {
        Verb::Publish => format!("Socket {socket} tried to publish to an invalid {shown} channel"),
        Verb::Unsubscribe => format!(
            "Failed to unsubscribe socket from the {shown} channel - Socket {socket} tried to unsubscribe from an invalid channel name"
        ),
        _ => format!(
            "Failed to subscribe socket to the {shown} channel - Socket {socket} provided an invalid channel name"
        ),
    };
    named("BrokerError", &message)
}

/// A client leaves a channel that it is not in.
pub(crate) fn not_subscribed(generation: Generation, socket: &str, channel: &str) -> Json {
    let message = format!(
        "Failed to unsubscribe socket from the {channel} channel - {}Socket {socket} tried to unsubscribe from a channel which it is not subscribed to",
        inner(generation)
    );
    named("BrokerError", &message)
}

/// A client is in as many channels as it may be.
pub(crate) fn too_many_channels(
    generation: Generation,
    socket: &str,
    channel: &str,
    limit: usize,
) -> Json {
    let message = format!(
        "Failed to subscribe socket to the {channel} channel - {}Socket {socket} tried to exceed the channel subscription limit of {limit}",
        inner(generation)
    );
    named("BrokerError", &message)
}

fn inner(generation: Generation) -> &'static str {
    match generation {
        Generation::V1 => "",
        Generation::V2 => "InvalidActionError: ",
    }
}

/// A client has not answered in time.
pub(crate) fn no_answer(generation: Generation, event: &str) -> Json {
    let message = match generation {
        Generation::V1 => format!("Event response for '{event}' timed out"),
        Generation::V2 => format!("Event response for {event} event timed out"),
    };
    named("TimeoutError", &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_has_its_texts() {
        use Generation::{V1, V2};
        let check = |error: Json, expected: &str| assert_eq!(error.as_str(), expected);
        check(
            silent(V1, Verb::Call),
            r#"{"message":"Action was silently blocked by emit middleware","name":"SilentMiddlewareBlockedError","type":"emit"}"#,
        );
        check(
            silent(V2, Verb::Call),
            r#"{"message":"The invoke AGAction was blocked by inbound middleware","name":"SilentMiddlewareBlockedError","type":"inbound"}"#,
        );
        check(
            not_subscribed(V2, "ID", "never"),
            r#"{"message":"Failed to unsubscribe socket from the never channel - InvalidActionError: Socket ID tried to unsubscribe from a channel which it is not subscribed to","name":"BrokerError"}"#,
        );
        check(
            malformed_channel(V1, Verb::Subscribe, "ID", "undefined"),
            r#"{"message":"Failed to subscribe socket to the undefined channel - Socket ID provided an invalid channel name","name":"BrokerError"}"#,
        );
        check(
            no_answer(V1, "x"),
            r#"{"message":"Event response for 'x' timed out","name":"TimeoutError"}"#,
        );
    }

    #[test]
    fn an_applications_error_passes_whole() {
        let error = Json::parse(r#"{"message":"no","name":"X","why":{"x":1}}"#).unwrap();
        let thrown = CallError::Thrown {
            text: "no".to_owned(),
            error: error.clone(),
        };
        assert_eq!(call_error(Generation::V2, &thrown), error);
        let plain = call_error(Generation::V2, &CallError::Rejected("no".to_owned()));
        assert_eq!(plain.as_str(), r#"{"message":"no","name":"Error"}"#);
    }
}
