//! Addresses to listen on.

use std::{
    fmt, io,
    net::SocketAddr,
    os::unix::{fs::FileTypeExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use polyport_core::Peer;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    Sockets,
    sockets::Listening,
    stream::{PlainStream, watched},
};

/// Connections that wait to be accepted, at most; the kernel may allow fewer.
const BACKLOG: i32 = 4096;

/// Unsent bytes that the kernel may hold for a connection before it stops taking more.
const UNSENT_IN_KERNEL: u32 = 128 << 10;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bind {
    /// A TCP address; port 0 is any free port.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => fmt::Display::fmt(address, f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {bind}")]
pub struct BindError {
    bind: Bind,
    source: io::Error,
}

/// A bound socket on which a listener accepts.
#[derive(Debug)]
pub(crate) struct Bound {
    socket: AsyncFd<Socket>,
    listening: Arc<Listening>,
}

impl Bound {
    /// The socket of the listener of that name: one that is there already, or a new one.
    pub(crate) fn new(name: &str, bind: &Bind, sockets: &Sockets) -> Result<Self, BindError> {
        let bound = || {
            let listening = sockets.listener(name, bind)?;
            Ok(Self {
                socket: watched(listening.socket()?)?,
                listening,
            })
        };
        bound().map_err(|source| BindError {
            bind: bind.clone(),
            source,
        })
    }

    /// The address in use, with the port that was found for port 0.
    pub(crate) fn local(&self) -> Bind {
        self.listening.local.clone()
    }

    pub(crate) async fn accept(&self, keepalive: bool) -> io::Result<(PlainStream, Peer)> {
        let (socket, address) = self
            .socket
            .async_io(Interest::READABLE, |socket| socket.accept())
            .await?;
        let Some(address) = address.as_socket() else {
            return Ok((PlainStream::new(socket, false)?, Peer::Unix));
        };
        // The frames of a turn leave in one write; nothing is gained by holding it back.
        socket.set_tcp_nodelay(true)?;
        // Left to itself the kernel reports room only when a third of its buffer, over a megabyte, has drained: a peer on
        // a slow line would seem to take nothing. It also bounds what a stuck peer holds in the kernel.
        socket.set_tcp_notsent_lowat(UNSENT_IN_KERNEL)?;
        if keepalive {
            socket.set_tcp_keepalive(&TcpKeepalive::new())?;
        }
        Ok((PlainStream::new(socket, true)?, Peer::Ip(address)))
    }
}

pub(crate) fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

pub(crate) fn bind_unix(path: &Path) -> io::Result<Socket> {
    // A socket file that nobody listens on was left behind by a process that died.
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket
        && StdUnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    if let Err(error) = socket.listen(BACKLOG) {
        drop(std::fs::remove_file(path));
        return Err(error);
    }
    Ok(socket)
}
