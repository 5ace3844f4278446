//! RFC 6455 as a client: the opening request, masked frames out, unmasked frames in.

use memchr::memmem;

use super::{Incoming, Split, Unexpected};

pub(super) const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xA;

/// The sample key of RFC 6455 section 1.3 and its answer: the key guards against caches, of which there are none here,
/// and with a constant one the answer can be checked without SHA-1.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A mask hides bytes from proxies; a constant one costs the server the same work as a random one.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const LONGEST_HEAD: usize = 16 * 1024;

pub(super) fn opening(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// Reads the answer to [`opening`].
pub(super) fn split_opening(input: &[u8]) -> Split<'_> {
    let Some(end) = memmem::find(input, b"\r\n\r\n") else {
        if input.len() > LONGEST_HEAD {
            return Err(Unexpected("an endless HTTP head".to_owned()));
        }
        return Ok(None);
    };
    let head = &input[..end];
    if !head.starts_with(b"HTTP/1.1 101") {
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        return Err(Unexpected(format!(
            "the WebSocket opening was answered `{}`",
            String::from_utf8_lossy(line)
        )));
    }
    if memmem::find(head, ACCEPT).is_none() {
        return Err(Unexpected("a wrong Sec-WebSocket-Accept".to_owned()));
    }
    Ok(Some((Incoming::Opened, end + 4)))
}

/// Reads one frame. Fragments are not put together: no server under test sends any.
pub(super) fn split(input: &[u8]) -> Split<'_> {
    let &[first, second, ref rest @ ..] = input else {
        return Ok(None);
    };
    if first & 0x80 == 0 || first & 0x70 != 0 {
        return Err(Unexpected(format!(
            "a fragment or a reserved bit: {first:#04x}"
        )));
    }
    if second & 0x80 != 0 {
        return Err(Unexpected("a masked frame from the server".to_owned()));
    }
    let (length, extra) = match second {
        126 => match rest.first_chunk() {
            Some(&bytes) => (u64::from(u16::from_be_bytes(bytes)), 2),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(&bytes) => (u64::from_be_bytes(bytes), 8),
            None => return Ok(None),
        },
        short => (u64::from(short), 0),
    };
    let start = 2 + extra;
    let end = usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_add(start))
        .ok_or_else(|| Unexpected(format!("a frame of {length} bytes")))?;
    let Some(payload) = input.get(start..end) else {
        return Ok(None);
    };
    let incoming = match first & 0x0F {
        TEXT | BINARY | PONG => Incoming::Text(payload),
        CLOSE => Incoming::Closing,
        PING => Incoming::Ping(payload),
        opcode => return Err(Unexpected(format!("opcode {opcode}"))),
    };
    Ok(Some((incoming, end)))
}

/// Appends one masked frame.
pub(super) fn write_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server would have to send for `payload`.
    fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut masked = Vec::new();
        write_frame(opcode, payload, &mut masked);
        let header = masked.len() - payload.len() - MASK.len();
        masked[1] &= 0x7F;
        [&masked[..header], payload].concat()
    }

    #[test]
    fn frames_of_every_length_form_are_read_when_they_are_whole() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'a'; length];
            let frame = server_frame(TEXT, &payload);
            let read = split(&frame).unwrap().unwrap();
            assert_eq!(
                read,
                (Incoming::Text(&payload), frame.len()),
                "length {length}"
            );
            for cut in [0, 1, frame.len().min(3), frame.len() - 1] {
                if cut < frame.len() {
                    assert_eq!(split(&frame[..cut]), Ok(None), "{length} cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn control_frames_are_told_apart() {
        assert_eq!(split(&[0x89, 1, b'p']), Ok(Some((Incoming::Ping(b"p"), 3))));
        assert_eq!(split(&[0x8A, 1, b'p']), Ok(Some((Incoming::Text(b"p"), 3))));
        assert_eq!(split(&[0x88, 0, 0x81]), Ok(Some((Incoming::Closing, 2))));
    }

    #[test]
    fn frames_that_a_server_must_not_send_are_refused() {
        for frame in [[0x01, 0], [0xC1, 0], [0x83, 0], [0x81, 0x80]] {
            assert!(split(&frame).is_err(), "{frame:x?}");
        }
        assert!(split(&[0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }

    #[test]
    fn the_mask_is_applied() {
        let mut frame = Vec::new();
        write_frame(TEXT, b"Hello", &mut frame);
        // The example of RFC 6455 section 5.7, which uses the same mask.
        assert_eq!(
            frame,
            [
                0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58
            ]
        );
    }

    #[test]
    fn the_opening_is_checked() {
        let good = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81";
        assert_eq!(
            split_opening(good),
            Ok(Some((Incoming::Opened, good.len() - 1)))
        );
        assert_eq!(split_opening(&good[..40]), Ok(None));
        let refused = split_opening(b"HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\n");
        assert_eq!(
            refused,
            Err(Unexpected(
                "the WebSocket opening was answered `HTTP/1.1 503 Service Unavailable`".to_owned()
            ))
        );
        assert!(split_opening(b"HTTP/1.1 101 OK\r\n\r\n").is_err());
    }
}
