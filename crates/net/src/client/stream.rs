//! A connection to a server, which looks before it writes.

use std::{
    fmt,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

/// The server had closed the connection before anything of the request was written to it.
#[derive(Debug)]
pub(super) struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server had closed the connection")
    }
}

impl std::error::Error for Stale {}

pub(super) enum Link {
    /// Boxed because TLS is large.
    Web(Box<MaybeHttpsStream<TokioIo<TcpStream>>>),
    Unix(TokioIo<UnixStream>),
}

/// A stream that asks the kernel, before the first byte of a request, whether the server has gone: the news may have come
/// between two looks of the runtime, and a request that was not written is the only one that is safe to send again.
pub(super) struct Stream {
    link: Link,
    /// Whether it looks. Over HTTP/2 several requests are under way at a time and a write belongs to none in particular.
    looks: bool,
    /// No request is under way, as far as can be told: nothing was written since the last read.
    is_quiet: bool,
    /// The last write did not take all it was given, so what is read meanwhile is no whole answer.
    is_mid_write: bool,
}

impl Stream {
    pub(super) fn new(link: Link, looks: bool) -> Self {
        Self {
            link,
            looks,
            is_quiet: true,
            is_mid_write: false,
        }
    }

    fn is_gone(&self) -> bool {
        let socket = match &self.link {
            Link::Unix(unix) => SockRef::from(unix.inner()),
            Link::Web(link) => match &**link {
                MaybeHttpsStream::Http(tcp) => SockRef::from(tcp.inner()),
                // Behind TLS the end comes with a record of its own, which only TLS can read.
                MaybeHttpsStream::Https(_) => return false,
            },
        };
        match socket.peek(&mut [MaybeUninit::uninit()]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    fn look(&self) -> io::Result<()> {
        if self.looks && self.is_quiet && self.is_gone() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, Stale));
        }
        Ok(())
    }

    fn wrote(&mut self, outcome: &Poll<io::Result<usize>>, offered: usize) {
        match outcome {
            Poll::Ready(Ok(count)) => {
                self.is_quiet = false;
                self.is_mid_write = *count < offered;
            }
            Poll::Ready(Err(_)) => self.is_quiet = false,
            Poll::Pending => {}
        }
    }
}

/// Does the same with whichever stream there is.
macro_rules! with_link {
    ($this:ident, $link:ident => $work:expr) => {
        match &mut $this.link {
            Link::Web($link) => $work,
            Link::Unix($link) => $work,
        }
    };
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = with_link!(this, link => Pin::new(link).poll_read(cx, buffer));
        if outcome.is_ready() && !this.is_mid_write {
            this.is_quiet = true;
        }
        outcome
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.look()?;
        let outcome = with_link!(this, link => Pin::new(link).poll_write(cx, bytes));
        this.wrote(&outcome, bytes.len());
        outcome
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.look()?;
        let outcome = with_link!(this, link => Pin::new(link).poll_write_vectored(cx, slices));
        let offered = slices.iter().map(|slice| slice.len()).sum();
        this.wrote(&outcome, offered);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        match &self.link {
            Link::Web(link) => link.is_write_vectored(),
            Link::Unix(link) => link.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        with_link!(this, link => Pin::new(link).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        with_link!(this, link => Pin::new(link).poll_shutdown(cx))
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match &self.link {
            Link::Web(link) => link.connected(),
            Link::Unix(_) => Connected::new(),
        }
    }
}
