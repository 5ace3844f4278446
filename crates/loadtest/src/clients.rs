//! Thousands of client connections in one thread.
//!
//! One epoll set, one read buffer, no task and no timer per connection: a received message costs one `read` and the
//! search for its border, so that the load generator stays far cheaper than any server it judges. Waiting ends at the
//! nanosecond that the caller names, which a runtime's millisecond timers would not allow.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use socket2::{Domain, Socket, Type};

use crate::protocol::{Incoming, Protocol};
use crate::stream::{Stream, Tls};

/// Messages of a whole run that arrive in one turn: larger means fewer system calls, smaller a prompter next send.
const EVENTS_PER_TURN: usize = 512;
const READ_BUFFER: usize = 256 * 1024;
/// Connections that may be opening at once: below every server's listen backlog.
const OPENING_AT_ONCE: usize = 64;
/// One loopback address gives some 28,000 ports.
const CONNECTIONS_PER_SOURCE: usize = 20_000;

/// All connections of a run, numbered in the order of their making.
pub(crate) struct Clients {
    protocol: Protocol,
    tls: Option<Tls>,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Box<[u8]>,
    connections: Vec<Connection>,
    opened: usize,
    lost: usize,
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    opened: bool,
    closed: bool,
    /// The beginning of a message whose end has not arrived.
    partial: Vec<u8>,
    /// What the socket would not take yet.
    unsent: Vec<u8>,
}

impl Clients {
    pub(crate) fn new(protocol: Protocol, tls: Option<Tls>) -> anyhow::Result<Self> {
        let epoll =
            epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot make an epoll set")?;
        Ok(Self {
            protocol,
            tls,
            epoll,
            events: Vec::with_capacity(EVENTS_PER_TURN),
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            connections: Vec::new(),
            opened: 0,
            lost: 0,
        })
    }

    /// Makes `count` more connections and waits until the server has answered every opening.
    pub(crate) fn open(
        &mut self,
        address: SocketAddr,
        path: &str,
        count: usize,
        deadline: Duration,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + deadline;
        let opening = self.protocol.opening(&address.to_string(), path);
        let wanted = self.connections.len() + count;
        while self.opened + self.lost < wanted {
            while self.connections.len() < wanted
                && self.connections.len() < self.opened + OPENING_AT_ONCE
            {
                let index = self.connections.len();
                let socket = connect(address, index, deadline).with_context(|| {
                    format!("cannot make connection {} to {address}", index + 1)
                })?;
                self.add(Stream::new(socket, address.ip(), self.tls.as_ref())?)?;
                self.send(index, &opening)?;
            }
            self.turn(Duration::from_millis(100), |_, _| {})?;
            ensure!(
                self.lost == 0,
                "{address} closed {} of {} connections while they were opening",
                self.lost,
                self.connections.len()
            );
            ensure!(
                Instant::now() < until,
                "{address} answered {} of {wanted} openings within {deadline:?}",
                self.opened
            );
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Connections that the server has closed.
    pub(crate) fn lost(&self) -> usize {
        self.lost
    }

    /// Writes `bytes` to one connection; what the socket does not take follows when it can.
    pub(crate) fn send(&mut self, index: usize, bytes: &[u8]) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        connection.unsent.extend_from_slice(bytes);
        connection
            .flush()
            .with_context(|| format!("cannot write to connection {}", index + 1))
    }

    /// Waits at most `timeout` for messages and hands every message of this turn to `on_text` with the number of its
    /// connection.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        mut on_text: impl FnMut(usize, &[u8]),
    ) -> anyhow::Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for messages"),
        }
        let events = std::mem::take(&mut self.events);
        for &epoll::Event { flags, data } in &events {
            let index = data.u64() as usize;
            if flags.contains(epoll::EventFlags::OUT) {
                self.connections[index]
                    .flush()
                    .with_context(|| format!("cannot write to connection {}", index + 1))?;
            }
            self.receive(index, &mut on_text)?;
        }
        self.events = events;
        Ok(())
    }

    /// Takes turns until `counts` has said yes `wanted` times; fails after `deadline`, naming what was waited for.
    pub(crate) fn collect(
        &mut self,
        what: &str,
        wanted: usize,
        deadline: Duration,
        mut counts: impl FnMut(usize, &[u8]) -> bool,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + deadline;
        let mut seen = 0;
        while seen < wanted {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{seen} of {wanted} {what} within {deadline:?}");
            }
            self.turn(left.min(Duration::from_millis(100)), |index, text| {
                seen += usize::from(counts(index, text));
            })?;
        }
        Ok(())
    }

    /// Takes turns until nothing has come for `quiet`; gives up silently after `deadline`.
    pub(crate) fn drain(&mut self, quiet: Duration, deadline: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + deadline;
        let mut last = Instant::now();
        while last.elapsed() < quiet && Instant::now() < until {
            self.turn(quiet, |_, _| last = Instant::now())?;
        }
        Ok(())
    }

    fn add(&mut self, stream: Stream) -> anyhow::Result<()> {
        // Edge-triggered, and so registered once for everything.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let index = self.connections.len() as u64;
        epoll::add(
            &self.epoll,
            &stream,
            epoll::EventData::new_u64(index),
            flags,
        )
        .context("cannot watch a connection")?;
        self.connections.push(Connection {
            stream,
            opened: false,
            closed: false,
            partial: Vec::new(),
            unsent: Vec::new(),
        });
        Ok(())
    }

    fn receive(
        &mut self,
        index: usize,
        on_text: &mut impl FnMut(usize, &[u8]),
    ) -> anyhow::Result<()> {
        loop {
            let connection = &mut self.connections[index];
            if connection.closed {
                return Ok(());
            }
            let received = match connection.stream.read(&mut self.buffer) {
                Ok(0) => {
                    connection.closed = true;
                    self.lost += 1;
                    return Ok(());
                }
                Ok(received) => received,
                Err(error) => match error.kind() {
                    // What waited for the handshake can leave when it is done.
                    ErrorKind::WouldBlock if !connection.unsent.is_empty() => {
                        return connection.flush().context("cannot write");
                    }
                    ErrorKind::WouldBlock => return Ok(()),
                    ErrorKind::Interrupted => continue,
                    ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => {
                        connection.closed = true;
                        self.lost += 1;
                        return Ok(());
                    }
                    _ => {
                        return Err(error).context(format!("cannot read connection {}", index + 1));
                    }
                },
            };
            let buffer = std::mem::take(&mut self.buffer);
            let result = self.split(index, &buffer[..received], on_text);
            self.buffer = buffer;
            result?;
            // The next arrival will be a new edge.
            let connection = &self.connections[index];
            if received < self.buffer.len() && connection.stream.short_read_empties() {
                return Ok(());
            }
        }
    }

    /// Hands out the messages in `input`, which follows what was left of the last one.
    fn split(
        &mut self,
        index: usize,
        input: &[u8],
        on_text: &mut impl FnMut(usize, &[u8]),
    ) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let mut whole = std::mem::take(&mut connection.partial);
        let mut rest = if whole.is_empty() {
            input
        } else {
            whole.extend_from_slice(input);
            &whole
        };
        loop {
            let split = self.protocol.split(connection.opened, rest);
            let split = split.map_err(|unexpected| {
                anyhow::anyhow!("connection {}: {}", index + 1, unexpected.0)
            })?;
            let Some((incoming, used)) = split else {
                break;
            };
            match incoming {
                Incoming::Text(text) => on_text(index, text),
                Incoming::Opened => {
                    connection.opened = true;
                    self.opened += 1;
                }
                Incoming::Ping(payload) => {
                    self.protocol.write_pong(payload, &mut connection.unsent);
                    connection.flush().context("cannot answer a ping")?;
                }
                Incoming::Asks(text) => {
                    self.protocol.write_text(text, &mut connection.unsent);
                    connection.flush().context("cannot answer the server")?;
                }
                Incoming::Closing => {}
            }
            rest = &rest[used..];
        }
        connection.partial = rest.to_vec();
        Ok(())
    }
}

impl Connection {
    fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.unsent.len() {
            match self.stream.write(&self.unsent[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..written);
        match self.stream.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }
}

/// Connects from one of the loopback addresses, so that ports and limits per address last for any number.
fn connect(address: SocketAddr, index: usize, deadline: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    let source = index / CONNECTIONS_PER_SOURCE;
    if source > 0 && address.ip().is_loopback() && address.is_ipv4() {
        let host = u8::try_from(source + 1).map_err(io::Error::other)?;
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect_timeout(&address.into(), deadline)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
