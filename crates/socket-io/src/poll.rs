//! Polls and POSTs of a session.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use polyport_core::{CloseReason, LimitKind};
use polyport_net::{HttpAnswer, HttpRequest, throw_away, ws};
use tokio::time::{sleep, timeout};

use crate::{
    answering::Answering,
    carrier::NoPoll,
    codec::{Malformed, PollPacket, Revision, Style, read_jsonp, read_payload, write_payload},
    engine::Engine,
    listener::{Refusal, empty, refusal},
};

/// While a WebSocket is about to take over a poll waits only so long, as in the original.
const POLL_WHILE_PROBING: Duration = Duration::from_millis(100);

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// How long the answer to a handshake of generation 3 waits for what is decided about `/`, so that it can say both: a
/// client that hears nothing of `/` there needs another round trip.
const DECISION_TIME: Duration = Duration::from_millis(100);

/// The session's client has gone away with its poll.
struct Aborted<'a>(Option<&'a Arc<Engine>>);

impl Drop for Aborted<'_> {
    fn drop(&mut self) {
        if let Some(engine) = self.0
            && !engine.is_probing()
        {
            engine.end();
        }
    }
}

/// The first answer, which opens the session.
pub(crate) async fn handshake(engine: &Arc<Engine>, answering: &Answering) -> HttpAnswer {
    if let Some(deciding) = engine.deciding() {
        let mut aborted = Aborted(Some(engine));
        // Whatever becomes of it, the answer is not kept any longer.
        let _ = timeout(DECISION_TIME, deciding).await;
        aborted.0 = None;
    }
    poll(engine, answering).await
}

/// Waits until there is something to say.
pub(crate) async fn poll(engine: &Arc<Engine>, answering: &Answering) -> HttpAnswer {
    let Some(carrier) = &engine.carrier else {
        return refusal(Refusal::BadRequest);
    };
    let mut told = match carrier.wait() {
        Ok(told) => told,
        Err(NoPoll::Upgraded) => return refusal(Refusal::BadRequest),
        Err(NoPoll::Overlap) => {
            engine.overlap();
            return empty(StatusCode::BAD_REQUEST);
        }
    };
    engine.resume();
    let mut aborted = Aborted(Some(engine));
    let frames = if engine.sends_polls_home() {
        tokio::select! {
            biased;
            frames = &mut told => frames.unwrap_or_else(|_| ws::text("1").into()),
            () = sleep(POLL_WHILE_PROBING) => {
                carrier.stop_waiting();
                // What was on its way to this poll comes now; all else waits for the WebSocket.
                told.await.unwrap_or_else(|_| ws::text("6").into())
            }
        }
    } else {
        told.await.unwrap_or_else(|_| ws::text("1").into())
    };
    let style: Style = engine.state.lock().style;
    let packets = packets(engine.revision, &frames);
    let base64_only = engine.base64_only || answering.is_jsonp();
    let written = write_payload(engine.revision, base64_only, style, &packets);
    let answer = answering.payload(written).await;
    aborted.0 = None;
    answer
}

/// The messages in frames that were written for a WebSocket.
fn packets(revision: Revision, mut frames: &[u8]) -> Vec<PollPacket<'_>> {
    let mut packets = Vec::new();
    while frames.remaining() >= 2 {
        let is_text = frames.get_u8() & 0x0f == 1;
        let length = match frames.get_u8() {
            126 if frames.remaining() >= 2 => usize::from(frames.get_u16()),
            127 if frames.remaining() >= 8 => {
                usize::try_from(frames.get_u64()).unwrap_or(usize::MAX)
            }
            short => usize::from(short),
        };
        let length = length.min(frames.len());
        let (payload, rest) = frames.split_at(length);
        frames = rest;
        packets.push(match (is_text, revision) {
            (true, _) => PollPacket::Text(String::from_utf8_lossy(payload)),
            (false, Revision::V4) => PollPacket::Binary(Bytes::copy_from_slice(payload)),
            (false, Revision::V3) => {
                PollPacket::Binary(Bytes::copy_from_slice(payload.get(1..).unwrap_or_default()))
            }
        });
    }
    packets
}

/// Takes what the client delivers.
pub(crate) async fn post(
    engine: &Arc<Engine>,
    request: HttpRequest,
    answering: &Answering,
) -> HttpAnswer {
    let limit = engine.shared.listener.limits().message;
    let too_large = |body: Option<_>| {
        engine.wire.limit_hit(LimitKind::Message);
        if let Some(body) = body {
            engine.shared.tasks.spawn(throw_away(body));
        }
        empty(StatusCode::PAYLOAD_TOO_LARGE)
    };
    let headers = &request.head.headers;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return too_large(request.body);
    }
    let is_octets = is_octets(headers);
    if std::mem::replace(&mut engine.state.lock().is_posting, true) {
        engine.overlap();
        return empty(StatusCode::BAD_REQUEST);
    }
    let mut body = request.body;
    let collected = match &mut body {
        None => Some(Ok(Bytes::new())),
        Some(body) => {
            let collecting = Limited::new(body, limit).collect();
            let collected = timeout(BODY_TIME, collecting).await.ok();
            collected.map(|collected| collected.map(http_body_util::Collected::to_bytes))
        }
    };
    engine.state.lock().is_posting = false;
    let body = match collected {
        Some(Ok(read)) => read,
        Some(Err(error)) if error.is::<LengthLimitError>() => return too_large(body),
        Some(Err(_)) | None => {
            engine.end();
            return empty(StatusCode::BAD_REQUEST);
        }
    };
    let metrics = engine.shared.listener.metrics();
    metrics.received_bytes.inc_by(body.len() as u64);
    let hub = Arc::clone(engine.shared.listener.hub());
    let taken = hub.turn(|| {
        if answering.is_jsonp() {
            take(engine, false, &read_jsonp(&body)?)
        } else {
            take(engine, is_octets, &body)
        }
    });
    if taken.is_err() {
        engine.broken();
    }
    // Whoever breaks the protocol hears it here, and finds no session any more.
    let closing = engine.wire.outbox().closing();
    if taken.is_err() || closing == Some(CloseReason::ProtocolError) {
        engine.end();
        return empty(StatusCode::BAD_REQUEST);
    }
    answering.taken()
}

/// Takes the packets of a body, as far as they can be read.
fn take(engine: &Arc<Engine>, is_octets: bool, body: &[u8]) -> Result<(), Malformed> {
    let received = &engine.shared.listener.metrics().received_messages;
    let mut style = engine.state.lock().style;
    let taken = read_payload(engine.revision, is_octets, &mut style, body, |packet| {
        received.inc();
        match packet {
            PollPacket::Text(text) => engine.on_text(&text),
            PollPacket::Binary(data) => engine.on_binary(&data),
        }
    });
    engine.state.lock().style = style;
    taken
}

fn is_octets(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes() == b"application/octet-stream")
}
