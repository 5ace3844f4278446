//! TCP and unix streams as one type.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// An accepted stream without TLS.
#[derive(Debug)]
pub(crate) enum PlainStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls the same method of whichever stream it is.
macro_rules! on_either {
    ($stream:expr, $io:ident => $call:expr) => {
        match $stream {
            PlainStream::Tcp($io) => $call,
            PlainStream::Unix($io) => $call,
        }
    };
}

impl PlainStream {
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, io => io.poll_read_ready(cx))
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, io => io.poll_write_ready(cx))
    }

    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        on_either!(self, io => io.try_read(buffer))
    }

    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [only] = slices {
            // `send` is measurably cheaper than `writev` of one slice.
            return on_either!(self, io => io.try_write(only));
        }
        on_either!(self, io => io.try_write_vectored(slices))
    }

    /// Ends our side; the peer reads an end of stream behind what was written.
    pub(crate) fn shut_down_write(&self) {
        let outcome = match self {
            Self::Tcp(io) => socket2::SockRef::from(io).shutdown(std::net::Shutdown::Write),
            Self::Unix(io) => socket2::SockRef::from(io).shutdown(std::net::Shutdown::Write),
        };
        // It fails only when the peer is gone already, which is what we are about.
        drop(outcome);
    }

    /// Acknowledges received bytes at once: a client with Nagle's algorithm on holds its next request back until then.
    pub(crate) fn acknowledge_now(&self) {
        if let Self::Tcp(io) = self {
            drop(socket2::SockRef::from(io).set_tcp_quickack(true));
        }
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_read(cx, buffer))
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }
}

/// A stream of which something was read already (behind a PROXY header).
#[derive(Debug)]
pub(crate) struct Rewound {
    first: Vec<u8>,
    stream: PlainStream,
}

impl Rewound {
    pub(crate) fn new(stream: PlainStream, first: Vec<u8>) -> Self {
        Self { first, stream }
    }

    pub(crate) fn into_inner(self) -> PlainStream {
        self.stream
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let count = this.first.len().min(buffer.remaining());
        buffer.put_slice(&this.first[..count]);
        this.first.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
