//! One process takes over the listening sockets of another, on the same machine.
//!
//! The old process starts the new one with its sockets as `LISTEN_FDS`, among them a stream between the two. The new one says
//! on it that it is ready, or why it cannot be; the old one then says that it has let go. Only after that the new one accepts.

use std::{
    io::{self, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    process::{Child, Command},
};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    Sockets,
    sockets::{NAMES, UPGRADE},
};

const READY: &[u8] = b"ready\n";
const FAILED: &str = "failed: ";
const LET_GO: &[u8] = b"yours\n";

/// Bytes that a new process may say.
const LONGEST: usize = 16 << 10;

/// The first descriptor behind standard input, output and error.
const FIRST_DESCRIPTOR: i32 = 3;

/// The process that hands over its sockets to this one.
#[derive(Debug)]
pub struct Predecessor(StdUnixStream);

impl Predecessor {
    pub(crate) fn new(stream: StdUnixStream) -> Self {
        Self(stream)
    }

    /// Says that this process can take over, and waits until the other has let go of its sockets, or has ended. Call inside
    /// a runtime.
    ///
    /// # Errors
    /// When there is nobody to take over from.
    pub async fn relieve(&self) -> io::Result<()> {
        let stream = self.0.try_clone()?;
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream)?;
        stream.write_all(READY).await?;
        let mut said = [0; LET_GO.len()];
        match stream.read_exact(&mut said).await {
            Ok(_) => Ok(()),
            // The other would have ended this one first if it wanted to go on: it is gone, and the sockets are here only.
            Err(error) if is_gone(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says why this process cannot take over.
    pub fn fail(mut self, why: &str) {
        let why: String = why.chars().take(LONGEST / 8).collect();
        // Whoever does not listen any more need not know.
        drop(write!(self.0, "{FAILED}{why}"));
        drop(self.0.shutdown(Shutdown::Both));
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// A process that is to take over. It is ended when this is dropped before [`Successor::let_go`].
#[derive(Debug)]
pub struct Successor {
    /// Nothing once it has taken over.
    child: Option<Child>,
    id: u32,
    stream: UnixStream,
    sockets: Sockets,
}

impl Successor {
    /// Starts `command` with all sockets of this process. Call inside a runtime.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(sockets: &Sockets, command: &mut Command) -> io::Result<Self> {
        let (own, its) = StdUnixStream::pair()?;
        own.set_nonblocking(true)?;
        let handed = sockets.to_hand_over()?;
        let mut names = Vec::new();
        let mut descriptors = Vec::new();
        for (name, socket) in &handed {
            names.push(name.as_str());
            descriptors.push(socket.as_fd());
        }
        names.push(UPGRADE);
        descriptors.push(its.as_fd());
        let row = in_a_row(&descriptors)?;
        for descriptor in &row {
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        let first = row.first().map_or(FIRST_DESCRIPTOR, AsRawFd::as_raw_fd);
        // Without `LISTEN_PID`, which nobody knows before: the descriptors are meant for whoever is started.
        let child = command
            .env_remove("LISTEN_PID")
            .env("LISTEN_FDS", row.len().to_string())
            .env("LISTEN_FDS_FIRST_FD", first.to_string())
            .env(NAMES, names.join(":"))
            .spawn()?;
        Ok(Self {
            id: child.id(),
            child: Some(child),
            stream: UnixStream::from_std(own)?,
            sockets: sockets.clone(),
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Waits until it can take over.
    ///
    /// # Errors
    /// Why it cannot, in its own words.
    pub async fn ready(&mut self) -> Result<(), String> {
        let mut said = Vec::new();
        while !said.starts_with(READY) && said.len() < LONGEST {
            match self.stream.read_buf(&mut said).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if is_gone(&error) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        if said.starts_with(READY) {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        match said.strip_prefix(FAILED) {
            Some(why) => Err(why.trim_end().to_owned()),
            None => Err("it ended before it was ready, and did not say why".to_owned()),
        }
    }

    /// Lets go of the sockets: from now on they are the new process's, and this one is to accept no more.
    ///
    /// # Errors
    /// When the new process is gone: then nothing has changed.
    pub async fn let_go(mut self) -> io::Result<()> {
        // From the moment that it hears the word, the files of unix sockets are its own.
        self.sockets.are_handed_over();
        if let Err(error) = self.stream.write_all(LET_GO).await {
            self.sockets.are_taken_over();
            return Err(error);
        }
        self.child = None;
        Ok(())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Copies of descriptors with numbers that follow one another, as `LISTEN_FDS` wants them.
fn in_a_row(descriptors: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    let mut row: Vec<OwnedFd> = Vec::with_capacity(descriptors.len());
    let mut next = FIRST_DESCRIPTOR;
    while let Some(descriptor) = descriptors.get(row.len()) {
        let copy = fcntl_dupfd_cloexec(descriptor, next)?;
        let number = copy.as_raw_fd();
        if number == next || row.is_empty() {
            next = number + 1;
            row.push(copy);
        } else {
            // One in between is in use: the row begins behind it.
            row.clear();
            next = number;
        }
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn descriptors_in_a_row_skip_those_in_use() {
        let files: Vec<File> = (0..20).map(|_| File::open("/dev/null").unwrap()).collect();
        // Holes of one and two numbers.
        let kept: Vec<&File> = files.iter().step_by(3).collect();
        let numbers: Vec<i32> = kept.iter().map(|file| file.as_raw_fd()).collect();
        let descriptors: Vec<_> = kept.iter().map(|file| file.as_fd()).collect();
        let row = in_a_row(&descriptors).unwrap();
        assert_eq!(row.len(), kept.len());
        for (one, next) in row.iter().zip(&row[1..]) {
            assert_eq!(one.as_raw_fd() + 1, next.as_raw_fd());
        }
        assert!(row.iter().all(|it| !numbers.contains(&it.as_raw_fd())));
    }

    #[tokio::test]
    async fn a_process_that_ends_or_talks_nonsense_is_not_ready() {
        for (program, expected) in [("true", "did not say why"), ("sh", "did not say why")] {
            let mut command = Command::new(program);
            command.stdin(std::process::Stdio::null());
            let mut successor = Successor::start(&Sockets::default(), &mut command).unwrap();
            let why = successor.ready().await.unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
        let mut missing = Command::new("/nonexistent/polyport");
        assert!(Successor::start(&Sockets::default(), &mut missing).is_err());
    }

    #[tokio::test]
    async fn the_new_process_says_why_it_cannot() {
        let (own, its) = StdUnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        let mut successor = Successor {
            child: None,
            id: 0,
            stream: UnixStream::from_std(own).unwrap(),
            sockets: Sockets::default(),
        };
        Predecessor::new(its).fail("gateway.toml:1: no such key\n");
        let why = successor.ready().await.unwrap_err();
        assert_eq!(why, "gateway.toml:1: no such key");
    }

    #[tokio::test]
    async fn the_new_process_waits_until_the_old_one_has_let_go() {
        let (own, its) = StdUnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        let mut successor = Successor {
            child: None,
            id: 0,
            stream: UnixStream::from_std(own).unwrap(),
            sockets: Sockets::default(),
        };
        let predecessor = Predecessor::new(its);
        let relieved = predecessor.relieve();
        let hands_over = async {
            successor.ready().await.unwrap();
            successor.let_go().await.unwrap();
        };
        let (relieved, ()) = tokio::join!(relieved, hands_over);
        relieved.unwrap();
    }
}
