//! Sockets that a service manager has bound before the process began, and hands over (`LISTEN_FDS`).

use std::{fmt, io, sync::Arc};

use listenfd::ListenFd;
use socket2::Socket;

use crate::Bind;

/// The sockets that the process was given. A listener with the address of one of them takes it instead of binding its own.
///
/// They stay open for as long as the process runs, so a listener that a reload takes away and brings back finds its socket again.
#[derive(Clone, Default)]
pub struct Inherited(Arc<Vec<(Bind, Socket)>>);

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.binds()).finish()
    }
}

impl Inherited {
    /// Takes what the environment says was handed over, and removes that from the environment. Call before there are threads.
    ///
    /// # Errors
    /// When something was handed over that is no listening stream socket with an address.
    pub fn take() -> io::Result<Self> {
        let mut handed = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(handed.len());
        for index in 0..handed.len() {
            let socket = match handed.take_unix_listener(index) {
                Ok(unix) => unix.map(Socket::from),
                Err(_) => handed.take_tcp_listener(index)?.map(Socket::from),
            };
            if let Some(socket) = socket {
                sockets.push((address(&socket)?, socket));
            }
        }
        Ok(Self(Arc::new(sockets)))
    }

    /// Their addresses.
    pub fn binds(&self) -> impl Iterator<Item = &Bind> {
        self.0.iter().map(|(bind, _)| bind)
    }

    /// The socket with exactly this address, if there is one, set not to block.
    ///
    /// # Errors
    /// When the process has no more file descriptors.
    pub fn find(&self, bind: &Bind) -> io::Result<Option<Socket>> {
        let Some((_, socket)) = self.0.iter().find(|(own, _)| own == bind) else {
            return Ok(None);
        };
        let socket = socket.try_clone()?;
        socket.set_nonblocking(true)?;
        Ok(Some(socket))
    }
}

fn address(socket: &Socket) -> io::Result<Bind> {
    let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if !socket.is_listener()? {
        return wrong("a socket was handed over that does not listen");
    }
    let address = socket.local_addr()?;
    if let Some(address) = address.as_socket() {
        return Ok(Bind::Tcp(address));
    }
    match address.as_pathname() {
        Some(path) => Ok(Bind::Unix(path.to_owned())),
        None => wrong("a unix socket was handed over that has no path"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_is_found_by_its_address_as_often_as_it_is_asked_for() {
        let socket = Socket::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let bind = address(&socket).unwrap();
        let inherited = Inherited(Arc::new(vec![(bind.clone(), socket)]));
        for _ in 0..2 {
            let found = inherited.find(&bind).unwrap().unwrap();
            assert_eq!(address(&found).unwrap(), bind);
        }
        let other = Bind::Tcp(([127, 0, 0, 1], 1).into());
        assert!(inherited.find(&other).unwrap().is_none());
    }

    #[test]
    fn a_socket_that_does_not_listen_is_refused() {
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        assert!(address(&socket).is_err());
    }
}
