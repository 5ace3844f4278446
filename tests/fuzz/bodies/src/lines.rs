//! Lines, however they arrive.

use polyport_net::lines::{Line, LineReader};

use crate::{Input, input::Pieces};

/// A line, or the notice that one was too long.
type Heard = Option<Vec<u8>>;

/// Cuts the payload into pieces, reads lines from them, and compares with the naive way on the whole.
///
/// # Panics
/// When a line is lost, altered, or depends on how it arrived, or when more is kept than the limit.
pub fn lines(data: &[u8]) {
    let mut input = Input::new(data);
    let delimiter = [b'\n', b'|', 0][usize::from(input.byte()) % 3];
    let limit = input.number();
    let pieces = Pieces::chosen_by(&mut input);
    let payload = input.payload();
    let expected = naively(payload, delimiter, limit);
    assert_eq!(read(payload, pieces, delimiter, limit), expected);
    assert_eq!(read(payload, Pieces::WHOLE, delimiter, limit), expected);
}

fn read(payload: &[u8], pieces: Pieces, delimiter: u8, limit: usize) -> Vec<Heard> {
    let mut reader = LineReader::new(delimiter);
    let mut kept = Vec::new();
    let mut heard = Vec::new();
    for piece in pieces.of(payload) {
        kept.extend_from_slice(piece);
        loop {
            let consumed = match reader.next(&kept, limit) {
                Line::Complete { length } => {
                    heard.push(Some(kept[..length].to_vec()));
                    length + 1
                }
                Line::TooLong { consumed, length } => {
                    assert!(length > limit && length <= consumed);
                    heard.push(None);
                    consumed
                }
                Line::Skipped { consumed } => consumed,
                Line::Incomplete => break,
            };
            assert!(consumed > 0, "every answer makes progress");
            kept.drain(..consumed);
        }
        assert!(kept.len() <= limit, "no more than the limit is kept");
    }
    heard
}

fn naively(payload: &[u8], delimiter: u8, limit: usize) -> Vec<Heard> {
    let ends = |byte: &u8| *byte == delimiter || delimiter == b'\n' && *byte == b'\r';
    let mut segments: Vec<&[u8]> = payload.split(ends).collect();
    let unfinished = segments.pop().unwrap_or_default();
    let mut heard: Vec<Heard> = segments
        .into_iter()
        .map(|line| (line.len() <= limit).then(|| line.to_vec()))
        .collect();
    if unfinished.len() > limit {
        heard.push(None);
    }
    heard
}
