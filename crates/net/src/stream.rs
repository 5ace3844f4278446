//! TCP and unix streams as one type, readable and writable through a shared reference.

use std::{
    cell::RefCell,
    io::{self, IoSlice, Read},
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
};

use socket2::Socket;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// Writes up to so many bytes are gathered into one piece.
const GATHER_BYTES: usize = 8 << 10;

thread_local! {
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(GATHER_BYTES));
}

/// An accepted stream without TLS.
#[derive(Debug)]
pub(crate) struct PlainStream {
    socket: AsyncFd<Socket>,
    is_tcp: bool,
}

impl PlainStream {
    /// Takes an accepted socket. Call inside a runtime.
    pub(crate) fn new(socket: Socket, is_tcp: bool) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = watched(socket)?;
        Ok(Self { socket, is_tcp })
    }

    /// Reads what is there. A read that does not fill the buffer has taken all there was: the next call then waits for
    /// the peer without asking the kernel again.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            match ready.try_io(|socket| socket.get_ref().read(buffer)) {
                Ok(Ok(count)) => {
                    if 0 < count && count < buffer.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_not_ready) => {}
            }
        }
    }

    /// Waits until the peer seems to take more.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The guard is dropped without clearing: readiness stays until a write finds that it is over.
        self.socket.poll_write_ready(cx).map_ok(drop)
    }

    /// Writes slices in order, as much as the peer takes now. Small ones are gathered first: copying a kilobyte costs
    /// less than `writev` does over `send` (figures in `docs/performance.md`).
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [only] = slices {
            return self.try_write(only);
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total > GATHER_BYTES {
            return self
                .socket
                .try_io(Interest::WRITABLE, |socket| socket.send_vectored(slices));
        }
        GATHERED.with_borrow_mut(|gathered| {
            gathered.clear();
            for slice in slices {
                gathered.extend_from_slice(slice);
            }
            self.try_write(gathered)
        })
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket
            .try_io(Interest::WRITABLE, |socket| socket.send(bytes))
    }

    fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_write_ready(cx))?;
            match self.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Ends our side; the peer reads an end of stream behind what was written.
    pub(crate) fn shut_down_write(&self) {
        // It fails only when the peer is gone already, which is what we are about.
        drop(self.socket.get_ref().shutdown(Shutdown::Write));
    }

    /// Acknowledges received bytes at once: a client with Nagle's algorithm on holds its next request back until then.
    pub(crate) fn acknowledge_now(&self) {
        if self.is_tcp {
            drop(self.socket.get_ref().set_tcp_quickack(true));
        }
    }
}

/// Lets the runtime watch a socket. Call inside a runtime.
#[expect(
    deprecated,
    reason = "it warns of types whose descriptor can change while it is watched; a socket owns its one for life"
)]
pub(crate) fn watched(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    AsyncFd::new(socket)
}

impl AsyncRead for PlainStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = ready!(Self::poll_read(&self, cx, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_vectored(&self, cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_vectored(&self, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down_write();
        Poll::Ready(Ok(()))
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
