//! WebSocket frames, however they arrive.

use polyport_net::ws::{Item, WsError, WsReader};

use crate::{Input, input::Pieces};

/// What a client said, kept beyond the reader's buffers.
#[derive(Debug, PartialEq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Fragment,
    Wrong(WsError),
}

/// Reads the payload as what a client sends, in pieces and as a whole; then frames the payload properly, in fragments, and
/// reads it back.
///
/// # Panics
/// When what is heard depends on how it arrived, a bound is broken, or a proper message is not read as it was meant.
pub fn ws_frames(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = input.number();
    let pieces = Pieces::chosen_by(&mut input);
    let mask = [input.byte(), input.byte(), input.byte(), input.byte()];
    let fragments = Pieces::chosen_by(&mut input);
    let payload = input.payload();
    let at_once = read(payload, Pieces::WHOLE, limit);
    assert_eq!(read(payload, pieces, limit), at_once);

    let framed = frame(payload, fragments, mask);
    let heard = read(&framed, pieces, payload.len());
    assert_eq!(heard.last(), Some(&Said::Binary(payload.to_vec())));
    let ping = |said: &&Said| matches!(said, Said::Ping(body) if body == b"between");
    assert_eq!(heard.iter().filter(ping).count(), heard.len() / 2);
}

fn read(bytes: &[u8], pieces: Pieces, limit: usize) -> Vec<Said> {
    let mut reader = WsReader::default();
    let mut kept: Vec<u8> = Vec::new();
    let mut heard = Vec::new();
    for piece in pieces.of(bytes) {
        kept.extend_from_slice(piece);
        loop {
            let (used, said) = match reader.next(&mut kept, limit) {
                Ok(None) => break,
                Ok(Some((used, item))) => (used, keep(item, limit)),
                Err(error) => {
                    heard.push(Said::Wrong(error));
                    return heard;
                }
            };
            assert!(used > 0, "every answer makes progress");
            if !matches!(said, Said::Fragment | Said::Pong) {
                reader.forget_message();
            }
            heard.push(said);
            kept.drain(..used);
        }
        // A header, a payload up to the limit or a control frame's: more is never waited for.
        assert!(kept.len() < 14 + limit.max(125));
    }
    heard
}

fn keep(item: Item<'_>, limit: usize) -> Said {
    match item {
        Item::Text(text) => {
            assert!(text.len() <= limit);
            Said::Text(text.to_owned())
        }
        Item::Binary(bytes) => {
            assert!(bytes.len() <= limit);
            Said::Binary(bytes.to_vec())
        }
        Item::Ping(payload) => {
            assert!(payload.len() <= 125);
            Said::Ping(payload.to_vec())
        }
        Item::Pong => Said::Pong,
        Item::Close(reason) => Said::Close(reason.map(|(code, _)| code)),
        Item::Fragment => Said::Fragment,
    }
}

/// The payload as one binary message in fragments, with a ping behind each but the last.
fn frame(payload: &[u8], fragments: Pieces, mask: [u8; 4]) -> Vec<u8> {
    const CONTINUE: u8 = 0;
    const BINARY: u8 = 2;
    const PING: u8 = 9;
    const FINAL: u8 = 0x80;
    // Few fragments are as good as many, and much faster.
    let longest = payload.len() / 8 + 1;
    let mut parts: Vec<&[u8]> = fragments
        .of(payload)
        .flat_map(|part| part.chunks(longest))
        .collect();
    if parts.len() > 32 || parts.is_empty() {
        parts = vec![payload];
    }
    let mut bytes = Vec::new();
    let last = parts.len() - 1;
    for (index, part) in parts.into_iter().enumerate() {
        let kind = if index == 0 { BINARY } else { CONTINUE };
        let end = if index == last { FINAL } else { 0 };
        append(&mut bytes, end | kind, part, mask);
        if index < last {
            append(&mut bytes, FINAL | PING, b"between", mask);
        }
    }
    bytes
}

fn append(bytes: &mut Vec<u8>, first: u8, payload: &[u8], mask: [u8; 4]) {
    const MASKED: u8 = 0x80;
    bytes.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => bytes.push(MASKED | length),
        (_, Ok(length)) => {
            bytes.push(MASKED | 126);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            bytes.push(MASKED | 127);
            bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}
