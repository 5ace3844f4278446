//! The other end: a client on a blocking stream, plain or under TLS, reading lines or WebSocket frames.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, SockRef, Socket, Type};

use crate::gateway::{Gateway, PATIENCE};

pub(crate) struct Client<S> {
    stream: S,
    /// Read, but not asked for yet.
    received: Vec<u8>,
}

impl Client<TcpStream> {
    /// Connects to a gateway that speaks lines, and reads its greeting.
    pub(crate) fn greeted(gateway: &Gateway) -> Self {
        let mut client = Self::connect(gateway);
        assert_eq!(client.line(), "hello");
        client
    }

    pub(crate) fn connect(gateway: &Gateway) -> Self {
        Self::to(gateway.address())
    }

    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    /// Connects from a chosen loopback address.
    pub(crate) fn from(source: [u8; 4], gateway: &Gateway) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&gateway.address().into()).unwrap();
        Self::new(socket.into())
    }

    /// A client that gives the kernel little room for what it does not read.
    pub(crate) fn with_small_buffer(gateway: &Gateway) -> Self {
        Self::with_buffer(64 << 10, gateway)
    }

    pub(crate) fn with_buffer(bytes: usize, gateway: &Gateway) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect(&gateway.address().into()).unwrap();
        Self::new(socket.into())
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::on(stream)
    }

    /// Ends the client's side; it goes on reading.
    pub(crate) fn end_writing(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the client's side unless the connection has ended altogether.
    pub(crate) fn end_writing_if_open(&self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Vanishes with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// Asserts that nothing arrives for `time`.
    #[track_caller]
    pub(crate) fn hears_nothing_for(&mut self, time: Duration) {
        assert_eq!(self.received, b"");
        self.stream.set_read_timeout(Some(time)).unwrap();
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            heard => panic!("heard {heard:?} {byte:?}"),
        }
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Nothing arrives for a moment, unless a greeting is due: then that arrives and nothing else.
    #[track_caller]
    pub(crate) fn hears_nothing_or_greeting(&mut self, greeting: bool) {
        if greeting {
            assert_eq!(self.line(), "hello");
            self.received = b"hello\n".to_vec();
        } else {
            self.hears_nothing_for(Duration::from_millis(20));
        }
    }

    pub(crate) fn stream(self) -> TcpStream {
        self.stream
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn on(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends as much as goes; the peer may be gone already.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next line without its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let end = loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                break end;
            }
            assert!(
                self.read_some().unwrap() > 0,
                "ended after {:?}",
                self.received_text()
            );
        };
        let line: Vec<u8> = self.received.drain(..=end).collect();
        String::from_utf8(line[..end].to_vec()).unwrap()
    }

    /// Sends a line and reads one.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n"));
        self.line()
    }

    /// Exactly `length` bytes.
    #[track_caller]
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            assert!(
                self.read_some().unwrap() > 0,
                "ended after {} bytes",
                self.received.len()
            );
        }
        self.received.drain(..length).collect()
    }

    /// Everything up to the end of the stream, which must be a clean one.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        while self.read_some().unwrap() > 0 {}
        let text = self.received_text();
        self.received.clear();
        text
    }

    /// Waits for the end of the connection, however it comes.
    pub(crate) fn wait_for_end(&mut self) {
        loop {
            match self.read_some() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    let timed_out =
                        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    assert!(!timed_out, "the connection does not end");
                    break;
                }
            }
        }
    }

    fn received_text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    fn read_some(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 << 10];
        let count = self.stream.read(&mut buffer)?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

/// A request that opens a WebSocket at `/chat`.
pub(crate) const OPENING: &str = "GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Opcodes of RFC 6455, section 11.8.
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

impl<S: Read + Write> Client<S> {
    /// Opens a WebSocket and reads its greeting.
    #[track_caller]
    pub(crate) fn opened(mut self) -> Self {
        self.send(OPENING);
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(self.text_frame(), "hello /chat");
        self
    }

    /// An HTTP head, with the empty line at its end.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        let end = loop {
            if let Some(end) = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                break end + 4;
            }
            assert!(
                self.read_some().unwrap() > 0,
                "ended after {:?}",
                self.received_text()
            );
        };
        String::from_utf8(self.received.drain(..end).collect()).unwrap()
    }

    #[track_caller]
    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(client_frame(0x80 | TEXT, text.as_bytes()));
    }

    /// The next frame: opcode and payload. Server frames are whole and unmasked.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.bytes(2);
        assert_eq!(head[0] & 0xf0, 0x80, "final, no reserved bits");
        assert_eq!(head[1] & 0x80, 0, "not masked");
        let length = match head[1] {
            126 => {
                let length: [u8; 2] = self.bytes(2).try_into().unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let length: [u8; 8] = self.bytes(8).try_into().unwrap();
                usize::try_from(u64::from_be_bytes(length)).unwrap()
            }
            length => usize::from(length),
        };
        (head[0] & 0x0f, self.bytes(length))
    }

    #[track_caller]
    pub(crate) fn text_frame(&mut self) -> String {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, TEXT, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// Expects a close frame with `code`, then the end of the stream; returns the text.
    #[track_caller]
    pub(crate) fn closed_with(&mut self, code: u16) -> String {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, CLOSE, "{payload:?}");
        assert_eq!(payload[..2], code.to_be_bytes(), "{payload:?}");
        assert_eq!(self.rest(), "", "nothing follows a close frame");
        String::from_utf8(payload[2..].to_vec()).unwrap()
    }
}

/// A client's frame as it stands on the wire.
pub(crate) fn client_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
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
    let mask = [0xa1, 0x02, 0xff, 0x7e];
    bytes.extend_from_slice(&mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}
