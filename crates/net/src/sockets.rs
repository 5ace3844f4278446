//! The listening sockets of the process: those that were handed over to it (`LISTEN_FDS`), by a service manager or by the
//! process before it, and those that it has bound itself.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use listenfd::ListenFd;
use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};

use crate::{Bind, bind, takeover::Predecessor};

/// Names of sockets that a process hands over to the next one; those of a service manager have names of its own.
const LISTENER: &str = "polyport-listener.";
const ADMIN: &str = "polyport-admin";
pub(crate) const UPGRADE: &str = "polyport-upgrade";

/// Who has given a name to each socket.
pub(crate) const NAMES: &str = "LISTEN_FDNAMES";

/// The listening sockets of the process.
///
/// A listener with the address of a socket that was handed over takes it instead of binding its own. Those of a service
/// manager stay open for as long as the process runs, so that a listener that a reload takes away and brings back finds its
/// socket again. Those of the process before this one are as if this one had bound them.
#[derive(Clone, Default)]
pub struct Sockets(Arc<Inner>);

#[derive(Default)]
struct Inner {
    handed: Mutex<Vec<Handed>>,
    in_use: Mutex<Vec<Weak<Listening>>>,
    /// In use until the process ends.
    for_good: Mutex<Vec<Arc<Listening>>>,
    /// Whether the files of unix sockets belong to another process, before or behind this one.
    are_files_others: Arc<AtomicBool>,
}

/// A socket that was handed over.
struct Handed {
    name: String,
    local: Bind,
    socket: Socket,
    /// Whether it comes from the process before this one.
    is_ours: bool,
}

/// A socket that listens. It is closed when nobody accepts on it any more.
#[derive(Debug)]
pub(crate) struct Listening {
    name: String,
    /// The address as it was asked for.
    asked: Bind,
    pub(crate) local: Bind,
    socket: Socket,
    /// Whether a service manager keeps it.
    is_kept: bool,
    _file: Option<SocketFile>,
}

/// Removes the socket's file when the socket is closed, if it is this process's to remove.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    is_others: Arc<AtomicBool>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_others.load(Ordering::Acquire) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

impl Listening {
    /// Another handle of the same socket, set not to block.
    pub(crate) fn socket(&self) -> io::Result<Socket> {
        let socket = self.socket.try_clone()?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    /// Whether it is what was asked for: sockets on any free port are told apart by their names.
    fn is_for(&self, name: &str, bind: &Bind) -> bool {
        self.asked == *bind && (!is_on_any_port(bind) || self.name == name)
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.handed()).finish()
    }
}

impl Sockets {
    /// Takes what the environment says was handed over, and the process that did it, if it is the one before this. Call
    /// before there are threads.
    ///
    /// # Errors
    /// When something was handed over that is no listening stream socket with an address.
    pub fn take() -> io::Result<(Self, Option<Predecessor>)> {
        let mut descriptors = ListenFd::from_env();
        let names = std::env::var(NAMES).unwrap_or_default();
        let mut names = names.split(':');
        let mut handed = Vec::with_capacity(descriptors.len());
        let mut predecessor = None;
        for index in 0..descriptors.len() {
            let name = names.next().unwrap_or_default();
            if name == UPGRADE {
                let (domain, kind) = (Domain::UNIX.into(), Type::STREAM.into());
                let stream: Option<UnixStream> =
                    descriptors.take_custom(index, domain, kind, "unix stream")?;
                predecessor = stream.map(Predecessor::new);
                continue;
            }
            let socket = match descriptors.take_unix_listener(index) {
                Ok(unix) => unix.map(Socket::from),
                Err(_) => descriptors.take_tcp_listener(index)?.map(Socket::from),
            };
            if let Some(socket) = socket {
                handed.push(Handed {
                    name: name.to_owned(),
                    local: address(&socket)?,
                    socket,
                    is_ours: name == ADMIN || name.starts_with(LISTENER),
                });
            }
        }
        let sockets = Self(Arc::new(Inner {
            handed: Mutex::new(handed),
            // Until this process has taken over, it may still fail, and then the other goes on.
            are_files_others: Arc::new(AtomicBool::new(predecessor.is_some())),
            ..Inner::default()
        }));
        Ok((sockets, predecessor))
    }

    /// The addresses of those that a service manager has handed over.
    #[must_use]
    pub fn handed(&self) -> Vec<Bind> {
        let handed = self.0.handed.lock();
        let kept = handed.iter().filter(|it| !it.is_ours);
        kept.map(|it| it.local.clone()).collect()
    }

    /// The socket of the admin listener, which stays until the process ends.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn admin(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let listening = self.open(ADMIN, &Bind::Tcp(address))?;
        let socket = listening.socket()?;
        self.0.for_good.lock().push(listening);
        Ok(socket.into())
    }

    /// The socket of the listener of that name.
    pub(crate) fn listener(&self, name: &str, bind: &Bind) -> io::Result<Arc<Listening>> {
        self.open(&format!("{LISTENER}{name}"), bind)
    }

    /// One that is in use already, one that was handed over, or a new one.
    fn open(&self, name: &str, bind: &Bind) -> io::Result<Arc<Listening>> {
        let mut in_use = self.0.in_use.lock();
        in_use.retain(|it| it.strong_count() > 0);
        let mut open = in_use.iter().filter_map(Weak::upgrade);
        if let Some(found) = open.find(|it| it.is_for(name, bind)) {
            return Ok(found);
        }
        let listening = match self.find_handed(name, bind)? {
            Some(handed) => handed,
            None => self.bind(name, bind)?,
        };
        let listening = Arc::new(listening);
        in_use.push(Arc::downgrade(&listening));
        Ok(listening)
    }

    fn find_handed(&self, name: &str, bind: &Bind) -> io::Result<Option<Listening>> {
        let mut handed = self.0.handed.lock();
        let Some(index) = handed.iter().position(|it| it.is_for(name, bind)) else {
            return Ok(None);
        };
        let Handed {
            local,
            socket,
            is_ours,
            ..
        } = if handed[index].is_ours {
            handed.swap_remove(index)
        } else {
            handed[index].try_clone()?
        };
        Ok(Some(Listening {
            name: name.to_owned(),
            asked: bind.clone(),
            // The file of a unix socket belongs to whom it was made by.
            _file: if is_ours { self.file(&local) } else { None },
            local,
            socket,
            is_kept: !is_ours,
        }))
    }

    fn bind(&self, name: &str, bind: &Bind) -> io::Result<Listening> {
        let socket = match bind {
            Bind::Tcp(address) => bind::bind_tcp(*address),
            Bind::Unix(path) => bind::bind_unix(path),
        }?;
        let local = match bind {
            Bind::Tcp(_) => address(&socket)?,
            Bind::Unix(_) => bind.clone(),
        };
        Ok(Listening {
            name: name.to_owned(),
            asked: bind.clone(),
            _file: self.file(&local),
            local,
            socket,
            is_kept: false,
        })
    }

    fn file(&self, local: &Bind) -> Option<SocketFile> {
        let Bind::Unix(path) = local else {
            return None;
        };
        Some(SocketFile {
            path: path.clone(),
            is_others: Arc::clone(&self.0.are_files_others),
        })
    }

    /// All that the next process is to have, with their names.
    pub(crate) fn to_hand_over(&self) -> io::Result<Vec<(String, Socket)>> {
        let mut all = Vec::new();
        for kept in self.0.handed.lock().iter().filter(|it| !it.is_ours) {
            all.push((kept.name.clone(), kept.socket.try_clone()?));
        }
        for open in self.0.in_use.lock().iter().filter_map(Weak::upgrade) {
            if !open.is_kept {
                all.push((open.name.clone(), open.socket.try_clone()?));
            }
        }
        Ok(all)
    }

    /// The sockets are the next process's from now on: their files stay.
    pub(crate) fn are_handed_over(&self) {
        self.0.are_files_others.store(true, Ordering::Release);
    }

    /// The process before this one has let go of its sockets. Those that no listener here has the address of are closed.
    pub fn are_taken_over(&self) {
        self.0.are_files_others.store(false, Ordering::Release);
        let mut handed = self.0.handed.lock();
        for unused in handed.extract_if(.., |it| it.is_ours) {
            drop(self.file(&unused.local));
        }
    }
}

impl Handed {
    /// Whether it is what is asked for. The process before this one had found a port where none was named.
    fn is_for(&self, name: &str, bind: &Bind) -> bool {
        let has_found_port = || match (&self.local, bind) {
            (Bind::Tcp(local), Bind::Tcp(asked)) => {
                self.is_ours && self.name == name && asked.port() == 0 && asked.ip() == local.ip()
            }
            _ => false,
        };
        self.local == *bind || has_found_port()
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            local: self.local.clone(),
            socket: self.socket.try_clone()?,
            is_ours: self.is_ours,
        })
    }
}

fn is_on_any_port(bind: &Bind) -> bool {
    matches!(bind, Bind::Tcp(address) if address.port() == 0)
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
    use super::*;

    const ANY: &str = "127.0.0.1:0";

    fn any() -> Bind {
        Bind::Tcp(ANY.parse().unwrap())
    }

    fn handed(name: &str, is_ours: bool) -> (Sockets, Bind) {
        let socket = Socket::from(TcpListener::bind(ANY).unwrap());
        let local = address(&socket).unwrap();
        let sockets = Sockets::default();
        sockets.0.handed.lock().push(Handed {
            name: name.to_owned(),
            local: local.clone(),
            socket,
            is_ours,
        });
        (sockets, local)
    }

    #[test]
    fn one_of_a_service_manager_is_found_by_its_address_again_and_again() {
        let (sockets, bind) = handed("polyport.socket", false);
        assert_eq!(sockets.handed(), std::slice::from_ref(&bind));
        for name in ["one", "other"] {
            assert_eq!(sockets.listener(name, &bind).unwrap().local, bind);
        }
        assert_ne!(sockets.listener("any", &any()).unwrap().local, bind);
        assert_eq!(sockets.to_hand_over().unwrap().len(), 1);
    }

    #[test]
    fn one_of_the_process_before_is_found_by_its_name_where_the_port_was_any() {
        let (sockets, bind) = handed("polyport-listener.tcp", true);
        assert_ne!(sockets.listener("other", &any()).unwrap().local, bind);
        let found = sockets.listener("tcp", &any()).unwrap();
        assert_eq!(found.local, bind);
        drop(found);
        let fresh = sockets.listener("tcp", &any()).unwrap();
        assert_ne!(fresh.local, bind, "it was closed with its listener");
    }

    #[test]
    fn what_nobody_wants_of_the_process_before_is_closed() {
        let (sockets, Bind::Tcp(address)) = handed("polyport-listener.gone", true) else {
            panic!("no TCP address");
        };
        sockets.are_taken_over();
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_listener_that_is_bound_anew_shares_the_socket() {
        let sockets = Sockets::default();
        let first = sockets.listener("tcp", &any()).unwrap();
        let second = sockets.listener("tcp", &any()).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let other = sockets.listener("other", &any()).unwrap();
        assert_ne!(other.local, first.local);
        assert_eq!(sockets.to_hand_over().unwrap().len(), 2);
        drop((first, second));
        assert_eq!(sockets.to_hand_over().unwrap().len(), 1);
    }

    #[test]
    fn the_file_of_a_socket_goes_with_it_unless_another_process_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let bind = Bind::Unix(path.clone());
        let sockets = Sockets::default();
        drop(sockets.listener("unix", &bind).unwrap());
        assert!(!path.exists());
        let listening = sockets.listener("unix", &bind).unwrap();
        sockets.are_handed_over();
        drop(listening);
        assert!(path.exists());
    }

    #[test]
    fn the_file_of_a_socket_that_a_service_manager_keeps_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let sockets = Sockets::default();
        sockets.0.handed.lock().push(Handed {
            name: "polyport.socket".to_owned(),
            local: Bind::Unix(path.clone()),
            socket: bind::bind_unix(&path).unwrap(),
            is_ours: false,
        });
        drop(sockets.listener("unix", &Bind::Unix(path.clone())).unwrap());
        assert!(path.exists());
    }

    #[test]
    fn a_socket_that_does_not_listen_is_refused() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert!(address(&socket).is_err());
    }
}
