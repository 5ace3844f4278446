//! Every way in which the server API says no.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use polyport_core::CommandError;
use serde::Serialize;

use crate::api::answer::Answer;

/// A message is cut here: it may quote what the client wrote.
const MAX_MESSAGE: usize = 400;

/// Problems of a configuration, and bytes of each.
const MAX_PROBLEMS: usize = 100;
const MAX_PROBLEM: usize = 2000;

/// What is wrong, as a word that programs can compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    MalformedRequest,
    MalformedJson,
    Unauthorized,
    Forbidden,
    NotFound,
    UnknownRealm,
    UnknownSession,
    UnknownListener,
    MethodNotAllowed,
    BodyTimeout,
    NoAcks,
    ClientError,
    SessionEnded,
    IdempotencyInFlight,
    IdempotencyMismatch,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    IdentityRoom,
    TooManySessions,
    TooManyRooms,
    ConfigurationRefused,
    UpgradeFailed,
    RateLimited,
    TooManyTaps,
    NoAnswer,
    OutOfReach,
    Stopping,
}

impl Code {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 28] = [
        Self::MalformedRequest,
        Self::MalformedJson,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::UnknownRealm,
        Self::UnknownSession,
        Self::UnknownListener,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::NoAcks,
        Self::ClientError,
        Self::SessionEnded,
        Self::IdempotencyInFlight,
        Self::IdempotencyMismatch,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidRequest,
        Self::IdentityRoom,
        Self::TooManySessions,
        Self::TooManyRooms,
        Self::ConfigurationRefused,
        Self::UpgradeFailed,
        Self::RateLimited,
        Self::TooManyTaps,
        Self::NoAnswer,
        Self::OutOfReach,
        Self::Stopping,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed_request",
            Self::MalformedJson => "malformed_json",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::UnknownRealm => "unknown_realm",
            Self::UnknownSession => "unknown_session",
            Self::UnknownListener => "unknown_listener",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTimeout => "body_timeout",
            Self::NoAcks => "no_acks",
            Self::ClientError => "client_error",
            Self::SessionEnded => "session_ended",
            Self::IdempotencyInFlight => "idempotency_in_flight",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::InvalidRequest => "invalid_request",
            Self::IdentityRoom => "identity_room",
            Self::TooManySessions => "too_many_sessions",
            Self::TooManyRooms => "too_many_rooms",
            Self::ConfigurationRefused => "configuration_refused",
            Self::UpgradeFailed => "upgrade_failed",
            Self::RateLimited => "rate_limited",
            Self::TooManyTaps => "too_many_taps",
            Self::NoAnswer => "no_answer",
            Self::OutOfReach => "out_of_reach",
            Self::Stopping => "stopping",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest | Self::MalformedJson => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownRealm | Self::UnknownSession | Self::UnknownListener => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoAcks
            | Self::ClientError
            | Self::SessionEnded
            | Self::IdempotencyInFlight
            | Self::IdempotencyMismatch => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidRequest
            | Self::IdentityRoom
            | Self::TooManySessions
            | Self::TooManyRooms
            | Self::ConfigurationRefused
            | Self::UpgradeFailed => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited | Self::TooManyTaps => StatusCode::TOO_MANY_REQUESTS,
            Self::NoAnswer => StatusCode::GATEWAY_TIMEOUT,
            Self::OutOfReach | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The metric label of every status that the API answers with.
pub(crate) const OUTCOMES: [(StatusCode, &str); 14] = [
    (StatusCode::OK, "ok"),
    (StatusCode::BAD_REQUEST, "malformed"),
    (StatusCode::UNAUTHORIZED, "unauthorized"),
    (StatusCode::FORBIDDEN, "forbidden"),
    (StatusCode::NOT_FOUND, "not_found"),
    (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
    (StatusCode::REQUEST_TIMEOUT, "body_timeout"),
    (StatusCode::CONFLICT, "conflict"),
    (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
    (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
    (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
    (StatusCode::SERVICE_UNAVAILABLE, "out_of_reach"),
    (StatusCode::GATEWAY_TIMEOUT, "no_answer"),
];

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    code: Code,
    message: Box<str>,
    problems: Box<[String]>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// How it is written.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody {
    error: ErrorText,
}

#[derive(Debug, Serialize)]
struct ErrorText {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: cut(message.into(), MAX_MESSAGE).into(),
            problems: Box::default(),
            header: None,
        }
    }

    /// With everything that is wrong, a line each.
    pub(crate) fn with_problems(code: Code, message: &str, problems: &[String]) -> Self {
        let problems = problems.iter().take(MAX_PROBLEMS);
        Self {
            problems: problems.map(|it| cut(it.clone(), MAX_PROBLEM)).collect(),
            ..Self::new(code, message)
        }
    }

    /// No key, or one that is not known. Both are answered alike.
    pub(crate) fn unauthorized() -> Self {
        let header = HeaderValue::from_static("Bearer realm=\"polyport\"");
        Self {
            header: Some((WWW_AUTHENTICATE, header)),
            ..Self::new(
                Code::Unauthorized,
                "an API key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY",
            )
        }
    }

    pub(crate) fn method_not_allowed(allowed: &'static str) -> Self {
        Self {
            header: Some((ALLOW, HeaderValue::from_static(allowed))),
            ..Self::new(Code::MethodNotAllowed, format!("use {allowed}"))
        }
    }

    /// To be asked again after so many seconds.
    pub(crate) fn retry_after(code: Code, message: impl Into<String>, seconds: u64) -> Self {
        Self {
            header: Some((RETRY_AFTER, HeaderValue::from(seconds))),
            ..Self::new(code, message)
        }
    }

    /// The session is not here, and nobody knows whether another node has it.
    pub(crate) fn out_of_reach() -> Self {
        let message = "the session is not on this node, and other nodes are out of reach";
        Self::new(Code::OutOfReach, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// How it is written, alone or inside a list of outcomes.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorText {
                code: self.code.label(),
                message: self.message.to_string(),
                problems: self.problems.to_vec(),
            },
        }
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer::new(self.code.status(), &self.body())
    }

    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        let mut response = self.answer().response();
        let headers = response.headers_mut();
        if let Some((name, value)) = &self.header {
            headers.insert(name, value.clone());
        }
        // What is left of the body is not read, so nothing can follow it.
        if matches!(self.code, Code::BodyTooLarge | Code::BodyTimeout) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest));
        text.push('…');
    }
    text
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        let code = match error {
            CommandError::UnknownRealm(_) => Code::UnknownRealm,
            CommandError::UnknownSession(_) => Code::UnknownSession,
            CommandError::IdentityRoom(_) => Code::IdentityRoom,
            CommandError::TooManySessions(_) => Code::TooManySessions,
            CommandError::TooManyRooms => Code::TooManyRooms,
        };
        Self::new(code, error.to_string())
    }
}
