//! Addresses to listen on.

use std::{
    fmt, io,
    net::SocketAddr,
    os::unix::{fs::FileTypeExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
};

use polyport_core::Peer;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::stream::PlainStream;

/// Connections that wait to be accepted, at most; the kernel may allow fewer.
const BACKLOG: i32 = 4096;

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
#[error("cannot listen on {bind}: {source}")]
pub struct BindError {
    bind: Bind,
    source: io::Error,
}

/// A bound socket.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Removes the socket's file when the listener goes.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

impl Bound {
    pub(crate) fn new(bind: &Bind) -> Result<Self, BindError> {
        let bound = match bind {
            Bind::Tcp(address) => bind_tcp(*address).map(Self::Tcp),
            Bind::Unix(path) => bind_unix(path),
        };
        bound.map_err(|source| BindError {
            bind: bind.clone(),
            source,
        })
    }

    /// The address in use, with the port that was found for port 0.
    pub(crate) fn local(&self) -> Bind {
        match self {
            Self::Tcp(listener) => Bind::Tcp(
                listener
                    .local_addr()
                    .expect("a bound socket has an address"),
            ),
            Self::Unix(_, file) => Bind::Unix(file.0.clone()),
        }
    }

    pub(crate) async fn accept(&self, keepalive: bool) -> io::Result<(PlainStream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // The frames of a turn leave in one write; nothing is gained by holding it back.
                stream.set_nodelay(true)?;
                if keepalive {
                    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new())?;
                }
                Ok((PlainStream::Tcp(stream), Peer::Ip(address)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((PlainStream::Unix(stream), Peer::Unix))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<Bound> {
    // A socket file that nobody listens on was left behind by a process that died.
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket
        && StdUnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    Ok(Bound::Unix(listener, SocketFile(path.to_owned())))
}
