//! The one task that owns a connection.
//!
//! The task sleeps until the peer sends something, the outbox needs it, or a deadline passes. It reads into a buffer
//! that belongs to the thread, not to the connection, and keeps only the unfinished rest, so an idle connection holds
//! no buffer. It writes rarely: whoever queues a frame usually writes it too (see `polyport_core::Outbox`); the task
//! takes over when the peer is slow, when TLS is in between, and when the connection ends.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use polyport_core::{CloseReason, Flushed, FrameQueue, Listener, Transport, Wire, Wrote};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::{Deadline, Deadlines, Moment, Watched, stream::PlainStream};

/// One read takes at most so much; the buffer is the thread's.
const READ_BYTES: usize = 64 << 10;

/// Reads per wake-up before other connections get their turn.
const READS_PER_TURN: usize = 8;

/// Writes per wake-up, likewise.
const WRITES_PER_TURN: usize = 8;

/// A client that takes no more and has so many bytes of answers waiting is not read from until it does.
const PAUSE_READING_AT: usize = 128 << 10;

/// After our last words we read on for so long, so that the peer gets them instead of a reset.
const LINGER: Duration = Duration::from_secs(2);

/// And so many bytes, which a message that is too large may still have: who goes on sending more does not listen.
const LINGER_BYTES: usize = 64 << 20;

/// A peer that takes nothing more of our last words for so long is cut.
const LAST_WORDS: Duration = Duration::from_secs(5);

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// What a protocol makes of the bytes of one connection. Called by the connection's task, inside a turn of the hub; it
/// must not wait. Everything it says goes through its session.
pub trait Handler: Send + Unpin + 'static {
    /// Its connection as the core knows it.
    fn wire(&self) -> &Arc<Wire>;

    /// Its sessions leave their rooms: the connection is closing.
    fn leave(&mut self);

    /// Whether a call is in flight, so that what the client sent is acknowledged before its answer is there.
    fn is_calling(&self) -> bool;

    /// Handles the complete messages at the beginning of `input` and returns how many bytes they take. The rest comes
    /// again with more behind it; also when it stopped because of [`Wire::is_turn_over`]. The bytes may be changed in place (WebSocket masks).
    fn on_bytes(&mut self, input: &mut [u8]) -> usize;

    /// The session is closing for `reason`: the last chance to say something, by [`Wire::send_last`].
    fn on_close(&mut self, reason: CloseReason);

    /// Whether the connection may be ended now that its listener drains: no call is in flight and every answer is queued.
    fn may_end(&self) -> bool;

    /// Called when the moment that it returned the last time has passed, and once at the start; returns the next.
    fn on_timer(&mut self, now: Moment, deadlines: &Deadlines) -> Moment {
        let _ = (now, deadlines);
        Moment::NEVER
    }
}

/// What a protocol wants of its connections.
#[derive(Debug, Clone, Copy)]
pub struct LinkOptions {
    /// No second frame is added to a write beyond so many bytes.
    pub max_write: usize,
    /// Acknowledge at once what is not answered at once.
    pub quick_ack: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            max_write: usize::MAX,
            quick_ack: false,
        }
    }
}

/// The part of a connection that others may touch: the socket for writing, and the task's waker.
#[derive(Debug)]
pub struct Link {
    /// `None` under TLS: only the task can write then.
    plain: Option<PlainStream>,
    options: LinkOptions,
    listener: Arc<Listener>,
    task: AtomicWaker,
    deadline: Deadline,
}

impl Watched for Link {
    fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    fn overdue(&self) {
        self.task.wake();
    }
}

impl Transport for Link {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        let Some(stream) = &self.plain else {
            return Wrote::Blocked;
        };
        while !frames.is_empty() {
            if frames.is_source_next() {
                return Wrote::Blocked;
            }
            let wrote = frames.write_with(self.options.max_write, |slices| {
                stream.try_write_vectored(slices)
            });
            match wrote {
                Ok(bytes) => self.listener.metrics().sent_bytes.inc_by(bytes as u64),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Wrote::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Wrote::Gone,
            }
        }
        Wrote::All
    }

    fn wake(&self) {
        self.task.wake();
    }
}

/// An accepted stream, ready to carry a protocol.
#[derive(Debug)]
pub(crate) enum Io {
    Plain(PlainStream),
    Tls(Box<TlsStream<PlainStream>>),
}

impl Io {
    /// Says something to a client that gets no session, and ends our side.
    pub(crate) async fn say_and_end(&mut self, words: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => {
                stream.write_all(words).await?;
                stream.shutdown().await
            }
            Self::Tls(stream) => {
                stream.write_all(words).await?;
                stream.shutdown().await
            }
        }
    }
}

/// The task of one connection: a future that ends with it.
pub struct Connection<H> {
    link: Arc<Link>,
    tls: Option<Box<TlsStream<PlainStream>>>,
    /// Gone while lingering: the session has ended then.
    handler: Option<H>,
    deadlines: Deadlines,
    watch_key: usize,
    /// Bytes of an unfinished message; no memory when there are none.
    unfinished: Vec<u8>,
    /// The last turn ended before it had handled all messages of `unfinished`.
    has_complete_input: bool,
    /// rustls holds bytes that the socket has not taken yet.
    tls_unflushed: bool,
    /// The peer has ended its side while answers were waiting.
    is_half_closed: bool,
    /// Bytes thrown away while lingering.
    lingered: usize,
    stage: Stage,
    timer: Moment,
    idle_until: Moment,
    /// While the peer takes nothing.
    write_until: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Last words are queued.
    Closing,
    /// Everything is written and our side is shut down; reading on until the peer has seen it.
    Lingering,
    Done,
}

/// What reading came to.
enum Read {
    Again,
    Wait,
    HalfClosed,
    End(CloseReason),
}

impl<H: Handler> Connection<H> {
    /// Makes the task of an accepted stream. `open` opens the session on the given transport. `first` are bytes that were
    /// read already.
    pub(crate) fn new(
        io: Io,
        options: LinkOptions,
        listener: Arc<Listener>,
        deadlines: Deadlines,
        first: &[u8],
        open: impl FnOnce(Arc<dyn Transport>) -> H,
    ) -> Self {
        let (plain, tls) = match io {
            Io::Plain(stream) => (Some(stream), None),
            Io::Tls(stream) => (None, Some(stream)),
        };
        let hub = Arc::clone(listener.hub());
        let link = Arc::new(Link {
            plain,
            options,
            listener,
            task: AtomicWaker::new(),
            deadline: Deadline::never(),
        });
        let transport = Arc::clone(&link) as Arc<dyn Transport>;
        let handler = hub.turn(|| open(transport));
        let watch_key = deadlines.watch(Arc::clone(&link) as Arc<dyn Watched>);
        let mut connection = Self {
            link,
            tls,
            handler: Some(handler),
            deadlines,
            watch_key,
            unfinished: Vec::new(),
            has_complete_input: false,
            tls_unflushed: false,
            is_half_closed: false,
            lingered: 0,
            stage: Stage::Open,
            timer: Moment::NEVER,
            idle_until: Moment::NEVER,
            write_until: Moment::NEVER,
        };
        connection.run_timer(connection.deadlines.now());
        connection.was_heard();
        if !first.is_empty() {
            connection.take_in(&mut first.to_vec());
        }
        connection
    }

    fn was_heard(&mut self) {
        let idle = self.link.listener.limits().idle;
        self.idle_until = self.deadlines.after(idle);
    }

    /// Hands bytes to the handler, keeping what is unfinished.
    fn take_in(&mut self, fresh: &mut [u8]) {
        let listener = Arc::clone(&self.link.listener);
        listener.metrics().received_bytes.inc_by(fresh.len() as u64);
        let Some(handler) = &mut self.handler else {
            return;
        };
        let unfinished = &mut self.unfinished;
        self.has_complete_input = listener.hub().turn(|| {
            if unfinished.is_empty() {
                let used = handler.on_bytes(fresh).min(fresh.len());
                unfinished.extend_from_slice(&fresh[used..]);
            } else {
                unfinished.extend_from_slice(fresh);
                let used = handler.on_bytes(unfinished).min(unfinished.len());
                unfinished.drain(..used);
                if unfinished.is_empty() {
                    *unfinished = Vec::new();
                }
            }
            handler.wire().is_turn_over() && !unfinished.is_empty()
        });
        self.was_heard();
    }

    fn read_once(&mut self, cx: &mut Context<'_>) -> Read {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let outcome = match &mut self.tls {
                None => {
                    let Some(stream) = &self.link.plain else {
                        return Read::End(CloseReason::IoError);
                    };
                    match stream.poll_read(cx, buffer) {
                        Poll::Pending => return Read::Wait,
                        Poll::Ready(outcome) => outcome,
                    }
                }
                Some(stream) => {
                    let mut target = ReadBuf::new(buffer);
                    match Pin::new(stream).poll_read(cx, &mut target) {
                        Poll::Pending => return Read::Wait,
                        Poll::Ready(outcome) => outcome.map(|()| target.filled().len()),
                    }
                }
            };
            match outcome {
                Ok(0) => Read::HalfClosed,
                Ok(count) => {
                    match self.stage {
                        Stage::Open => self.take_in(&mut buffer[..count]),
                        _ => self.lingered += count,
                    }
                    if self.lingered > LINGER_BYTES {
                        return Read::End(CloseReason::PeerGone);
                    }
                    Read::Again
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
                    ) =>
                {
                    Read::End(CloseReason::PeerGone)
                }
                Err(_) => Read::End(CloseReason::IoError),
            }
        })
    }

    /// Writes what only the task can write now. Whenever something stays unwritten, the task will be woken.
    fn write_on(&mut self, cx: &mut Context<'_>) -> Flushed {
        let Some(handler) = &self.handler else {
            return Flushed::Drained;
        };
        let outbox = handler.wire().outbox();
        let mut progressed = false;
        let mut rounds = 0;
        let flushed = loop {
            if self.tls_unflushed
                && let Some(stream) = &mut self.tls
            {
                match Pin::new(stream).poll_flush(cx) {
                    Poll::Pending => break Flushed::Pending,
                    Poll::Ready(Err(_)) => return Flushed::Gone,
                    Poll::Ready(Ok(())) => {
                        self.tls_unflushed = false;
                        progressed = true;
                    }
                }
            }
            if !outbox.needs_resume() {
                break Flushed::Drained;
            }
            rounds += 1;
            if rounds > WRITES_PER_TURN {
                cx.waker().wake_by_ref();
                break Flushed::Pending;
            }
            let link = &self.link;
            let mut is_blocked = false;
            let flushed = match (&mut self.tls, &link.plain) {
                (Some(stream), _) => {
                    let unflushed = &mut self.tls_unflushed;
                    outbox.resume(&mut |frames| {
                        let before = frames.cost();
                        let wrote = write_tls(stream, frames, link, unflushed, cx);
                        is_blocked = wrote == Wrote::Blocked;
                        progressed |= frames.cost() != before;
                        wrote
                    })
                }
                (None, Some(stream)) => match stream.poll_write_ready(cx) {
                    Poll::Pending => break Flushed::Pending,
                    Poll::Ready(Err(_)) => return Flushed::Gone,
                    // Should it block after all, readiness is asked for again, which leaves our waker with the socket.
                    Poll::Ready(Ok(())) => outbox.resume(&mut |frames| {
                        let before = frames.cost();
                        let wrote = write_with_sources(link, frames);
                        progressed |= frames.cost() != before;
                        wrote
                    }),
                },
                (None, None) => return Flushed::Gone,
            };
            if flushed == Flushed::Gone || is_blocked {
                break flushed;
            }
        };
        let is_closing = self.stage == Stage::Closing;
        match flushed {
            Flushed::Pending if progressed || self.write_until == Moment::NEVER => {
                let patience = if is_closing {
                    LAST_WORDS
                } else {
                    self.link.listener.limits().write
                };
                self.write_until = self.deadlines.after(patience);
            }
            // While closing, another thread may still be writing, or TLS be saying goodbye.
            Flushed::Drained if !is_closing => self.write_until = Moment::NEVER,
            Flushed::Drained | Flushed::Pending | Flushed::Gone => {}
        }
        flushed
    }

    fn close(&self, reason: CloseReason) {
        if let Some(handler) = &self.handler {
            handler.wire().close(reason);
        }
    }

    /// Bytes that wait to be written.
    fn waiting(&self) -> usize {
        self.handler
            .as_ref()
            .map_or(0, |handler| handler.wire().outbox().waiting())
    }

    /// Only while the socket takes no more, so that its writability wakes the task.
    fn is_reading_paused(&self) -> bool {
        self.handler.as_ref().is_some_and(|handler| {
            let outbox = handler.wire().outbox();
            outbox.needs_resume() && outbox.waiting() > PAUSE_READING_AT
        })
    }

    fn run_timer(&mut self, now: Moment) {
        let hub = Arc::clone(self.link.listener.hub());
        if let Some(handler) = &mut self.handler {
            self.timer = hub.turn(|| handler.on_timer(now, &self.deadlines));
        }
    }

    fn run_timers(&mut self) {
        let now = self.deadlines.now();
        if self.write_until <= now {
            self.close(CloseReason::WriteTimeout);
            self.stage = Stage::Done;
        } else if self.idle_until <= now {
            self.idle_until = Moment::NEVER;
            if self.stage == Stage::Lingering {
                self.stage = Stage::Done;
            } else {
                self.close(CloseReason::IdleTimeout);
            }
        }
        if self.timer <= now && self.stage == Stage::Open {
            self.run_timer(now);
        }
    }

    /// Goes on to the closing stage if the session is closing; returns whether the peer is gone, so that nothing can be
    /// said any more.
    fn say_last_words(&mut self) -> bool {
        let Some(handler) = &mut self.handler else {
            return false;
        };
        if self.stage == Stage::Open && self.link.listener.is_draining() && handler.may_end() {
            handler.wire().close(CloseReason::Shutdown);
        }
        let Some(reason) = handler.wire().outbox().closing() else {
            return false;
        };
        if matches!(reason, CloseReason::PeerGone | CloseReason::IoError) {
            return !self.is_half_closed;
        }
        if self.stage == Stage::Open {
            handler.leave();
            handler.on_close(reason);
            self.stage = Stage::Closing;
            self.unfinished = Vec::new();
            self.timer = Moment::NEVER;
            self.idle_until = Moment::NEVER;
            self.write_until = self.deadlines.after(LAST_WORDS);
        }
        false
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.run_timers();
        let mut reads = 0;
        loop {
            if self.stage == Stage::Done || self.say_last_words() {
                return Poll::Ready(());
            }
            match self.write_on(cx) {
                Flushed::Gone => {
                    self.close(CloseReason::PeerGone);
                    return Poll::Ready(());
                }
                Flushed::Drained if self.stage == Stage::Closing && self.waiting() == 0 => {
                    if self.is_half_closed {
                        return Poll::Ready(());
                    }
                    ready!(self.shut_down(cx));
                    self.handler = None;
                    self.stage = Stage::Lingering;
                    self.write_until = Moment::NEVER;
                    self.idle_until = self.deadlines.after(LINGER);
                }
                Flushed::Drained | Flushed::Pending => {}
            }
            if self.stage == Stage::Closing || self.is_reading_paused() {
                return Poll::Pending;
            }
            if self.has_complete_input && self.stage == Stage::Open {
                self.take_in(&mut []);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            if reads > READS_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.read_once(cx) {
                Read::Again => {}
                Read::Wait => {
                    self.acknowledge();
                    return Poll::Pending;
                }
                Read::HalfClosed if self.waiting() > 0 && self.stage == Stage::Open => {
                    // It may still be reading: answers that are there already are not lost.
                    self.close(CloseReason::PeerGone);
                    self.is_half_closed = true;
                    self.stage = Stage::Closing;
                    self.write_until = self.deadlines.after(LAST_WORDS);
                }
                Read::HalfClosed => {
                    self.close(CloseReason::PeerGone);
                    return Poll::Ready(());
                }
                Read::End(reason) => {
                    self.close(reason);
                    return Poll::Ready(());
                }
            }
        }
    }

    fn acknowledge(&self) {
        if self.link.options.quick_ack
            && let (Some(handler), Some(stream)) = (&self.handler, &self.link.plain)
            && handler.is_calling()
        {
            stream.acknowledge_now();
        }
    }

    fn shut_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match (&mut self.tls, &self.link.plain) {
            (Some(stream), _) => drop(ready!(Pin::new(stream).poll_shutdown(cx))),
            (None, Some(stream)) => stream.shut_down_write(),
            (None, None) => {}
        }
        Poll::Ready(())
    }

    fn earliest_deadline(&self) -> Moment {
        self.timer.min(self.idle_until).min(self.write_until)
    }
}

impl<H: Handler> Future for Connection<H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.link.task.register(cx.waker());
        let outcome = this.step(cx);
        this.link.deadline.set(this.earliest_deadline());
        outcome
    }
}

impl<H> Drop for Connection<H> {
    fn drop(&mut self) {
        self.deadlines.forget(self.watch_key);
    }
}

/// Writes frames and, since it is the connection's task that does, also draws from sources.
fn write_with_sources(link: &Link, frames: &mut FrameQueue) -> Wrote {
    loop {
        frames.draw();
        let wrote = link.write(frames);
        if !(wrote == Wrote::Blocked && frames.is_source_next()) {
            return wrote;
        }
    }
}

fn write_tls(
    stream: &mut TlsStream<PlainStream>,
    frames: &mut FrameQueue,
    link: &Link,
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> Wrote {
    let mut stream = Pin::new(stream);
    loop {
        frames.draw();
        if frames.is_empty() {
            break;
        }
        let wrote = frames.write_with(link.options.max_write, |slices| {
            match stream.as_mut().poll_write_vectored(cx, slices) {
                Poll::Pending => Err(Wrote::Blocked),
                Poll::Ready(Ok(bytes)) => Ok(bytes),
                Poll::Ready(Err(_)) => Err(Wrote::Gone),
            }
        });
        match wrote {
            Ok(bytes) => link.listener.metrics().sent_bytes.inc_by(bytes as u64),
            Err(outcome) => return outcome,
        }
    }
    match stream.poll_flush(cx) {
        Poll::Ready(Ok(())) => Wrote::All,
        Poll::Pending => {
            *unflushed = true;
            Wrote::All
        }
        Poll::Ready(Err(_)) => Wrote::Gone,
    }
}
