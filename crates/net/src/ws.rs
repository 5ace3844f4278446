//! WebSocket frames (RFC 6455), without I/O: client frames are taken apart in place, server frames are built whole.

use std::{cell::RefCell, io::Cursor, str};

use polyport_core::{Frame, shown_binary};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// Control frames carry at most so much (RFC 6455, 5.5).
const MAX_CONTROL: u64 = 125;

/// A text being written keeps at most so much memory for the next one.
const KEPT_TEXT: usize = 4 << 10;

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Something complete that a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping and its payload, to be sent back.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A close frame with its code and text, if it had them.
    Close(Option<(u16, &'a str)>),
    /// Part of a message whose end has not come yet.
    Fragment,
}

/// How a client broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WsError {
    /// Against the framing rules.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text message is not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// A message is larger than the limit.
    #[error("message too big")]
    TooBig,
}

impl WsError {
    /// The close code that says so.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::NotUtf8 => 1007,
            Self::TooBig => 1009,
        }
    }
}

/// Takes client frames apart and puts fragments together.
#[derive(Debug, Default)]
pub struct WsReader {
    /// Payload of the fragments so far; no memory while there are none.
    fragments: Vec<u8>,
    /// Kind of the message they belong to.
    kind: Option<Data>,
}

impl WsReader {
    /// What stands complete at the beginning of `input`, and how many bytes it takes; `None` when more are needed. Payloads
    /// are unmasked in place. A message larger than `limit` is refused as soon as a header announces it.
    ///
    /// # Errors
    /// [`WsError`]; nothing after it can be read.
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut [u8],
        limit: usize,
    ) -> Result<Option<(usize, Item<'a>)>, WsError> {
        let mut cursor = Cursor::new(&*input);
        let parsed =
            FrameHeader::parse(&mut cursor).map_err(|_| WsError::Protocol("unknown opcode"))?;
        let Some((header, length)) = parsed else {
            return Ok(None);
        };
        let start = usize::try_from(cursor.position()).map_err(|_| WsError::TooBig)?;
        self.check(&header, length, limit)?;
        let length = usize::try_from(length).map_err(|_| WsError::TooBig)?;
        let end = start.checked_add(length).ok_or(WsError::TooBig)?;
        let Some(payload) = input.get_mut(start..end) else {
            return Ok(None);
        };
        if let Some(mask) = header.mask {
            unmask(payload, mask);
        }
        let item = match header.opcode {
            OpCode::Control(Control::Close) => Item::Close(close_reason(payload)?),
            OpCode::Control(Control::Ping) => Item::Ping(payload),
            OpCode::Control(_) => Item::Pong,
            OpCode::Data(data) => self.data(data, header.is_final, payload)?,
        };
        Ok(Some((end, item)))
    }

    fn check(&self, header: &FrameHeader, length: u64, limit: usize) -> Result<(), WsError> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(WsError::Protocol("reserved bits set"));
        }
        if header.mask.is_none() {
            return Err(WsError::Protocol("frame not masked"));
        }
        match header.opcode {
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => {
                Err(WsError::Protocol("unknown opcode"))
            }
            OpCode::Control(_) if !header.is_final => {
                Err(WsError::Protocol("control frame fragmented"))
            }
            OpCode::Control(_) if length > MAX_CONTROL => {
                Err(WsError::Protocol("control frame too long"))
            }
            OpCode::Control(_) => Ok(()),
            OpCode::Data(data) => {
                let continues = data == Data::Continue;
                if continues != self.kind.is_some() {
                    return Err(WsError::Protocol(if continues {
                        "nothing to continue"
                    } else {
                        "fragmented message not finished"
                    }));
                }
                let so_far = self.fragments.len() as u64;
                if length.saturating_add(so_far) > limit as u64 {
                    return Err(WsError::TooBig);
                }
                Ok(())
            }
        }
    }

    fn data<'a>(
        &'a mut self,
        data: Data,
        is_final: bool,
        payload: &'a [u8],
    ) -> Result<Item<'a>, WsError> {
        match (self.kind, is_final) {
            (None, true) => message(data, payload),
            (None, false) => {
                self.kind = Some(data);
                self.fragments = payload.to_vec();
                Ok(Item::Fragment)
            }
            (Some(_), false) => {
                self.fragments.extend_from_slice(payload);
                Ok(Item::Fragment)
            }
            (Some(kind), true) => {
                self.fragments.extend_from_slice(payload);
                self.kind = None;
                message(kind, &self.fragments)
            }
        }
    }

    /// Gives the memory of a fragmented message back once it has been handled.
    pub fn forget_message(&mut self) {
        if self.kind.is_none() {
            self.fragments = Vec::new();
        }
    }
}

/// A text frame.
#[must_use]
pub fn text(payload: &str) -> Frame {
    frame(OpCode::Data(Data::Text), payload.as_bytes())
}

/// A text frame of what `write` writes, in one allocation: the text is put together in memory of the thread. `write` must
/// not make such a frame itself.
#[must_use]
pub fn written_text(write: impl FnOnce(&mut String)) -> Frame {
    TEXT.with_borrow_mut(|written| {
        written.clear();
        write(written);
        let frame = text(written);
        written.clear();
        written.shrink_to(KEPT_TEXT);
        frame
    })
}

/// A binary frame.
#[must_use]
pub fn binary(payload: &[u8]) -> Frame {
    frame(OpCode::Data(Data::Binary), payload)
}

/// A ping without payload.
#[must_use]
pub fn ping() -> Frame {
    frame(OpCode::Control(Control::Ping), &[])
}

/// A pong with the ping's payload.
#[must_use]
pub fn pong(payload: &[u8]) -> Frame {
    frame(OpCode::Control(Control::Pong), payload)
}

/// A close frame; `None` is one without payload. The text is cut to what a control frame can carry.
#[must_use]
pub fn close(code: Option<(u16, &str)>) -> Frame {
    let mut payload = Vec::new();
    if let Some((code, text)) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        let end = text.floor_char_boundary(MAX_CONTROL as usize - 2);
        payload.extend_from_slice(&text.as_bytes()[..end]);
    }
    frame(OpCode::Control(Control::Close), &payload)
}

/// The messages in frames that a server has written, or in the beginning of some, for people: a line for each.
#[must_use]
pub fn shown(frames: &[u8]) -> String {
    let mut shown = String::new();
    let mut rest = frames;
    while !rest.is_empty() {
        let mut cursor = Cursor::new(rest);
        let Ok(Some((header, length))) = FrameHeader::parse(&mut cursor) else {
            break;
        };
        let start = usize::try_from(cursor.position()).unwrap_or(rest.len());
        let length = usize::try_from(length).unwrap_or(rest.len());
        let end = start.saturating_add(length).min(rest.len());
        let (frame, behind) = rest.split_at(end);
        let payload = &frame[start.min(end)..];
        if !shown.is_empty() {
            shown.push('\n');
        }
        match header.opcode {
            // A frame that is cut off may end within a character.
            OpCode::Data(Data::Text) => shown.push_str(&String::from_utf8_lossy(payload)),
            _ => shown.push_str(&shown_binary(payload)),
        }
        rest = behind;
    }
    shown
}

fn frame(opcode: OpCode, payload: &[u8]) -> Frame {
    let header = FrameHeader {
        is_final: true,
        rsv1: false,
        rsv2: false,
        rsv3: false,
        opcode,
        mask: None,
    };
    let length = payload.len() as u64;
    let mut bytes = Vec::with_capacity(header.len(length) + payload.len());
    header
        .format(length, &mut bytes)
        .expect("writing to memory does not fail");
    bytes.extend_from_slice(payload);
    Frame::from(bytes)
}

fn message(kind: Data, payload: &[u8]) -> Result<Item<'_>, WsError> {
    match kind {
        Data::Text => str::from_utf8(payload)
            .map(Item::Text)
            .map_err(|_| WsError::NotUtf8),
        _ => Ok(Item::Binary(payload)),
    }
}

fn close_reason(payload: &[u8]) -> Result<Option<(u16, &str)>, WsError> {
    match payload {
        [] => Ok(None),
        [_] => Err(WsError::Protocol("close frame of one byte")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !CloseCode::from(code).is_allowed() {
                return Err(WsError::Protocol("close code not allowed"));
            }
            let text = str::from_utf8(reason).map_err(|_| WsError::NotUtf8)?;
            Ok(Some((code, text)))
        }
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let eight: [u8; 8] = (&*chunk).try_into().expect("chunks of eight");
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client frame as it stands on the wire.
    fn client_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first_byte];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..=0xffff => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        let mask = [0x11, 0x22, 0x33, 0x44];
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        bytes
    }

    #[track_caller]
    fn check(mut input: Vec<u8>, expected: Result<Option<(usize, Item<'_>)>, WsError>) {
        assert_eq!(WsReader::default().next(&mut input, 1000), expected);
    }

    #[test]
    fn memory_of_a_large_text_is_given_back() {
        let large = written_text(|text| text.push_str(&"x".repeat(1 << 20)));
        assert_eq!(large.len(), (1 << 20) + 10);
        TEXT.with_borrow(|text| assert!(text.capacity() <= KEPT_TEXT));
    }

    #[test]
    fn whole_messages() {
        check(client_frame(0x81, b"hi"), Ok(Some((8, Item::Text("hi")))));
        check(
            client_frame(0x82, b"\xff"),
            Ok(Some((7, Item::Binary(b"\xff")))),
        );
        check(client_frame(0x89, b"p"), Ok(Some((7, Item::Ping(b"p")))));
        check(client_frame(0x8a, b""), Ok(Some((6, Item::Pong))));
        check(client_frame(0x88, b""), Ok(Some((6, Item::Close(None)))));
        check(
            client_frame(0x88, b"\x03\xe8bye"),
            Ok(Some((11, Item::Close(Some((1000, "bye")))))),
        );
        check(Vec::new(), Ok(None));
        check(client_frame(0x81, b"hi")[..7].to_vec(), Ok(None));
    }

    #[test]
    fn violations() {
        let protocol = |text| Err(WsError::Protocol(text));
        check(client_frame(0xc1, b""), protocol("reserved bits set"));
        check(client_frame(0x83, b""), protocol("unknown opcode"));
        check(client_frame(0x8b, b""), protocol("unknown opcode"));
        check(vec![0x81, 0x01, b'x'], protocol("frame not masked"));
        check(client_frame(0x80, b""), protocol("nothing to continue"));
        check(
            client_frame(0x09, b""),
            protocol("control frame fragmented"),
        );
        check(
            client_frame(0x89, &[0; 126]),
            protocol("control frame too long"),
        );
        check(
            client_frame(0x88, b"\x03"),
            protocol("close frame of one byte"),
        );
        check(
            client_frame(0x88, b"\x03\xed"),
            protocol("close code not allowed"),
        );
        check(client_frame(0x81, b"\xff"), Err(WsError::NotUtf8));
        check(client_frame(0x81, &[0; 1001]), Err(WsError::TooBig));
    }

    #[test]
    fn a_message_too_big_is_refused_by_its_header() {
        check(
            client_frame(0x82, &vec![0; 70_000])[..14].to_vec(),
            Err(WsError::TooBig),
        );
    }

    #[test]
    fn fragments_with_a_ping_between() {
        let mut reader = WsReader::default();
        let mut first = client_frame(0x01, "hé".as_bytes());
        first.truncate(first.len() - 1);
        first[1] -= 1;
        assert_eq!(
            reader.next(&mut first, 10).unwrap().unwrap().1,
            Item::Fragment
        );
        let mut ping = client_frame(0x89, b"p");
        assert_eq!(
            reader.next(&mut ping, 10).unwrap().unwrap().1,
            Item::Ping(b"p")
        );
        reader.forget_message();
        let mut last = client_frame(0x80, &"é".as_bytes()[1..]);
        assert_eq!(
            reader.next(&mut last, 10).unwrap().unwrap().1,
            Item::Text("hé")
        );
        reader.forget_message();
        assert_eq!(reader.fragments.capacity(), 0);
        let mut start = client_frame(0x01, b"123456");
        reader.next(&mut start, 10).unwrap();
        let mut more = client_frame(0x00, b"123456");
        assert_eq!(reader.next(&mut more, 10), Err(WsError::TooBig));
    }

    #[test]
    fn frames_for_people() {
        let frames = [
            text("h\u{e9}"),
            binary(b"\x00\xff"),
            text(&"x".repeat(70_000)),
        ]
        .concat();
        let expected = format!("h\u{e9}\nbase64:AP8=\n{}", "x".repeat(70_000));
        assert_eq!(shown(&frames), expected);
        assert_eq!(shown(&frames[..21]), "h\u{e9}\nbase64:AP8=\nxx");
        assert_eq!(shown(&frames[..4]), "h\u{fffd}");
        for length in 0..20 {
            // Any beginning is fit to be shown.
            let _ = shown(&frames[..length]);
        }
    }

    #[test]
    fn server_frames() {
        assert_eq!(&text("hi")[..], b"\x81\x02hi");
        assert_eq!(&close(None)[..], b"\x88\x00");
        assert_eq!(&close(Some((1001, "off")))[..], b"\x88\x05\x03\xe9off");
        assert_eq!(&text(&"x".repeat(300))[..4], b"\x81\x7e\x01\x2c");
        assert_eq!(close(Some((1000, &"é".repeat(100)))).len(), 2 + 2 + 122);
    }

    proptest! {
        #[test]
        fn what_a_client_sends_is_what_is_read(payload in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let mut input = client_frame(0x82, &payload);
            let length = input.len();
            let mut reader = WsReader::default();
            let item = reader.next(&mut input, 100_000).unwrap();
            prop_assert_eq!(item, Some((length, Item::Binary(&payload))));
        }

        #[test]
        fn any_bytes_are_answered(mut input in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = WsReader::default();
            let mut rest = &mut input[..];
            while let Ok(Some((used, _))) = reader.next(rest, 1000) {
                rest = &mut rest[used..];
            }
        }
    }
}
