//! The OpenTelemetry protocol: a batch of spans as an `ExportTraceServiceRequest`.
//!
//! Numbers of fields are those of `opentelemetry/proto/trace/v1/trace.proto` and its neighbours, which do not change any more.

use std::time::{Duration, UNIX_EPOCH};

use polyport_core::trace::{Attribute, FinishedSpan, SpanKind};

use super::protobuf::{Field, Message, read};

/// The form in which requests and answers are written.
pub(super) const CONTENT_TYPE: &str = "application/x-protobuf";

/// What makes the spans, as the collector sees it.
const SCOPE: &str = "polyport";

/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;

/// The attributes of the process.
pub(super) type Resource = Vec<(String, String)>;

/// The body of a request.
pub(super) fn request(resource: &Resource, spans: &[FinishedSpan]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |message| {
            for (key, value) in resource {
                message.message(1, |pair| {
                    pair.bytes(1, key.as_bytes());
                    pair.message(2, |any| any.chosen_text(1, value));
                });
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, SCOPE.as_bytes());
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for span in spans {
                scope_spans.message(2, |message| write_span(message, span));
            }
        });
    });
    request.into_bytes()
}

fn write_span(message: &mut Message, span: &FinishedSpan) {
    let context = &span.context;
    let started = span.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    message.bytes(1, &context.trace().to_be_bytes());
    message.bytes(2, &context.span().to_be_bytes());
    message.bytes(3, context.state().unwrap_or_default().as_bytes());
    if let Some(parent) = span.parent {
        message.bytes(4, &parent.to_be_bytes());
    }
    message.bytes(5, span.name.as_bytes());
    message.number(6, kind(span.kind));
    message.fixed64(7, nanoseconds(started));
    message.fixed64(8, nanoseconds(started + span.took));
    for (key, value) in &span.attributes {
        message.message(9, |pair| {
            pair.bytes(1, key.as_bytes());
            pair.message(2, |any| match value {
                Attribute::Text(text) => any.chosen_text(1, text),
                Attribute::Number(number) => any.chosen_number(3, number.cast_unsigned()),
            });
        });
    }
    if let Some(error) = &span.error {
        message.message(15, |status| {
            status.bytes(2, error.as_bytes());
            status.number(3, ERROR);
        });
    }
    message.fixed32(16, u32::from(context.is_sampled()));
}

fn kind(kind: SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether a successful answer with this type and body is one of a collector: an `ExportTraceServiceResponse`, or nothing at all.
pub(super) fn is_answer(content_type: Option<&str>, body: &[u8]) -> bool {
    let kind = content_type.unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    body.is_empty() || kind.eq_ignore_ascii_case(CONTENT_TYPE) && read(body).is_some()
}

/// How many spans a collector that has answered well has not taken after all, and what it says about that.
pub(super) fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let bytes_of = |fields: &[(u64, Field<'_>)], number| {
        let found = fields.iter().find(|(known, _)| *known == number);
        match found {
            Some((_, Field::Bytes(bytes))) => Some(bytes.to_vec()),
            _ => None,
        }
    };
    let partial = bytes_of(&read(answer)?, 1)?;
    let partial = read(&partial)?;
    let rejected = partial.iter().find_map(|field| match field {
        (1, Field::Number(rejected)) => Some(*rejected),
        _ => None,
    });
    let message = bytes_of(&partial, 2).unwrap_or_default();
    Some((rejected?, String::from_utf8_lossy(&message).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_a_collector_is_told_from_others() {
        let protobuf = Some("application/x-protobuf");
        let check = |kind: Option<&str>, body: &[u8], expected| {
            assert_eq!(is_answer(kind, body), expected, "{kind:?} {body:?}");
        };
        check(protobuf, b"", true);
        check(protobuf, b"\x0a\x00", true);
        check(Some("Application/X-Protobuf; v=1"), b"\x0a\x00", true);
        check(None, b"", true);
        check(protobuf, b"\x0a\x09cut", false);
        check(None, b"\x0a\x00", false);
        check(Some("text/html"), b"<p>", false);
        check(Some("application/json"), b"{}", false);
    }

    #[test]
    fn what_a_collector_rejects_is_understood() {
        let mut answer = Message::default();
        answer.message(1, |partial| {
            partial.number(1, 3);
            partial.bytes(2, b"too old");
        });
        let answer = answer.into_bytes();
        assert_eq!(rejected(&answer), Some((3, "too old".to_owned())));
        for nothing in [&b""[..], b"\x0a\x00", b"{}", &answer[..3]] {
            assert_eq!(rejected(nothing), None, "{nothing:?}");
        }
    }
}
