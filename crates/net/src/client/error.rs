//! What can become of a request that is not answered.

use std::{error::Error, io};

use hyper_util::client::legacy;

use super::stream::Stale;

/// Why a request has no answer. The texts hold nothing of the request's headers, query or body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be asked.
    #[error("the URL cannot be used: {0}")]
    BadUrl(String),
    /// No connection was made, in time or at all: name, TCP or TLS.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The whole request took longer than it may.
    #[error("no answer in time")]
    Timeout {
        /// Whether a connection had taken the request by then.
        sent: bool,
    },
    /// The link broke before the answer was complete.
    #[error("the link broke: {cause}")]
    LinkBroken {
        /// Whether anything of the request may have been written.
        sent: bool,
        /// What broke it.
        cause: String,
    },
    /// The answer's body is longer than it may be.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// What came is no HTTP answer of the version that was asked for.
    #[error("the answer is not HTTP: {0}")]
    NotHttp(String),
}

impl ClientError {
    /// Whether the server may have acted on the request. If not, it can be sent again, whatever it asks for.
    #[must_use]
    pub fn may_have_been_processed(&self) -> bool {
        match self {
            Self::BadUrl(_) | Self::Connect(_) => false,
            Self::Timeout { sent } | Self::LinkBroken { sent, .. } => *sent,
            Self::TooLarge { .. } | Self::NotHttp(_) => true,
        }
    }

    /// Whether the connection was found gone before anything of the request was written to it.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::LinkBroken { sent: false, .. })
    }

    /// An error before the answer's head; `taken` says whether a connection had begun with the request.
    pub(super) fn of_request(error: &legacy::Error, taken: bool) -> Self {
        if error.is_connect() {
            return Self::Connect(root_cause(error));
        }
        let Some(cause) = find::<hyper::Error>(error) else {
            return Self::LinkBroken {
                sent: taken,
                cause: root_cause(error),
            };
        };
        if is_not_http(cause) {
            return Self::NotHttp(root_cause(cause));
        }
        let is_unsent = cause.is_canceled() || is_stale(cause) || was_refused(cause);
        Self::LinkBroken {
            sent: taken && !is_unsent,
            cause: root_cause(cause),
        }
    }

    /// An error within the answer's body.
    pub(super) fn of_body(error: &hyper::Error) -> Self {
        // A malformed chunk is an I/O error of these kinds to hyper; sockets have none of them.
        let is_malformed = find::<io::Error>(error).is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            )
        });
        if error.is_parse() || is_malformed {
            return Self::NotHttp(root_cause(error));
        }
        Self::LinkBroken {
            sent: true,
            cause: root_cause(error),
        }
    }
}

/// HTTP/1.1: what came does not parse. HTTP/2: what came are no frames, so the server was told of an error of its own.
fn is_not_http(error: &hyper::Error) -> bool {
    let Some(http2) = find::<h2::Error>(error) else {
        return error.is_parse();
    };
    http2.is_library()
        && matches!(
            http2.reason(),
            Some(h2::Reason::PROTOCOL_ERROR | h2::Reason::FRAME_SIZE_ERROR)
        )
}

fn is_stale(error: &hyper::Error) -> bool {
    find::<io::Error>(error)
        .and_then(|error| error.get_ref())
        .is_some_and(|inner| inner.is::<Stale>())
}

/// HTTP/2's own word for a request that the server has not looked at.
fn was_refused(error: &hyper::Error) -> bool {
    find::<h2::Error>(error).and_then(h2::Error::reason) == Some(h2::Reason::REFUSED_STREAM)
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The innermost of an error's causes says what happened; the outer ones say what for.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
