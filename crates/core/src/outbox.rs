//! A session's bounded queue of frames, and who writes it when.
//!
//! Any thread may push. The push that finds the outbox idle makes its caller responsible for a flush; all later pushes
//! only append, so frames that pile up meanwhile leave in one system call. Whoever flushes writes straight to the
//! [`Transport`]; only when the peer takes no more does the connection's own task have to wake and finish the work.

use std::{collections::VecDeque, io::IoSlice, mem};

use parking_lot::Mutex;

use crate::{CloseReason, Frame};

/// Frames per `writev`. More gain nothing measurable; the slices live on the stack.
const MAX_SLICES: usize = 64;

/// A drained queue keeps its memory up to this many frames: one event at a time allocates nothing, and an idle session
/// holds 32 bytes for it.
const KEPT_CAPACITY: usize = 1;

/// A writer hands over after so many rounds in which new frames kept arriving, so that no thread is captured.
const MAX_ROUNDS: usize = 16;

/// What one queued frame costs beyond its bytes.
const FRAME_OVERHEAD: usize = size_of::<Frame>();

/// What one queued source counts for: its state and a path, not what it will say.
const SOURCE_COST: usize = 256;

/// How an outbox's frames reach the peer.
pub trait Transport: Send + Sync {
    /// Writes as much as the peer takes now, without waiting. Called by one thread at a time.
    fn write(&self, frames: &mut FrameQueue) -> Wrote;

    /// Whether there is a way to the peer now. What is written meanwhile waits.
    fn is_ready(&self) -> bool {
        true
    }

    /// Tells the connection's own task that its outbox is blocked, has been closed, or has been drained while closing.
    fn wake(&self);
}

/// Frames that are made when their turn to be written comes, so that a file of any size costs the memory of one piece.
/// Everything queued behind it waits until it has ended.
pub trait FrameSource: Send {
    /// The next piece; `None` is the end. Called by the connection's task; it may do a short blocking read.
    fn next(&mut self) -> Option<Frame>;
}

/// What [`Transport::write`] achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// Every frame was taken.
    All,
    /// The peer takes no more now; what is left stays in the queue.
    Blocked,
    /// The connection is gone.
    Gone,
}

/// What a flush came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// The outbox is empty.
    Drained,
    /// Frames wait until the peer takes more, or another thread is writing them.
    Pending,
    /// The connection is gone; what was queued is dropped.
    Gone,
}

/// What became of a pushed frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Queued; somebody else is responsible for writing it.
    Queued,
    /// Queued; the caller must see to a flush.
    MustFlush,
    /// The outbox was full: it is closed now and the caller must wake the transport.
    Overflowed,
    /// The outbox is closed.
    Refused,
}

/// Frames on their way out; the first may be partly written already.
#[derive(Debug, Default)]
pub struct FrameQueue {
    frames: VecDeque<Piece>,
    cost: usize,
    head_is_partial: bool,
}

enum Piece {
    Frame(Frame),
    Source(Box<dyn FrameSource>),
}

impl Piece {
    fn cost(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.len() + FRAME_OVERHEAD,
            Self::Source(_) => SOURCE_COST,
        }
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame(frame) => f.debug_tuple("Frame").field(&frame.len()).finish(),
            Self::Source(_) => f.write_str("Source"),
        }
    }
}

impl FrameQueue {
    /// Whether a source is next: only the connection's task may go on, after [`FrameQueue::draw`].
    #[must_use]
    pub fn is_source_next(&self) -> bool {
        matches!(self.frames.front(), Some(Piece::Source(_)))
    }

    /// Takes the next piece of a source that stands at the front; a source that has ended goes.
    pub fn draw(&mut self) {
        while let Some(Piece::Source(source)) = self.frames.front_mut() {
            match source.next() {
                Some(frame) if frame.is_empty() => {}
                Some(frame) => self.push_front(frame),
                None => {
                    self.cost -= SOURCE_COST;
                    self.frames.pop_front();
                }
            }
        }
    }

    fn push_front(&mut self, frame: Frame) {
        let piece = Piece::Frame(frame);
        self.cost += piece.cost();
        self.frames.push_front(piece);
    }

    /// Takes the next frame out, whole or what is left of it, for a transport that passes frames on instead of writing bytes.
    /// A source that stands at the front is drawn from.
    pub fn pop(&mut self) -> Option<Frame> {
        self.draw();
        let Some(Piece::Frame(frame)) = self.frames.pop_front() else {
            return None;
        };
        self.cost -= frame.len() + FRAME_OVERHEAD;
        self.head_is_partial = false;
        Some(frame)
    }

    /// Gives `write` the next frames as slices (at most 64, and no second frame beyond `max_bytes`), and drops what it
    /// says it wrote.
    ///
    /// # Errors
    /// That of `write`; the queue is unchanged.
    pub fn write_with<E>(
        &mut self,
        max_bytes: usize,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let written =
            if let (1, Some(Piece::Frame(only))) = (self.frames.len(), self.frames.front()) {
                write(&[IoSlice::new(only)])?
            } else {
                let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                let mut used = 0;
                let mut bytes = 0;
                for (slice, piece) in slices.iter_mut().zip(&self.frames) {
                    let Piece::Frame(frame) = piece else {
                        break;
                    };
                    bytes += frame.len();
                    if used > 0 && bytes > max_bytes {
                        break;
                    }
                    *slice = IoSlice::new(frame);
                    used += 1;
                }
                write(&slices[..used])?
            };
        self.consume(written);
        Ok(written)
    }

    /// Whether everything is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// What the frames cost against the outbox's bound: their bytes and the queue's overhead.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.cost
    }

    fn consume(&mut self, mut written: usize) {
        while let Some(Piece::Frame(head)) = self.frames.front_mut() {
            if written < head.len() {
                if written > 0 {
                    bytes::Buf::advance(head, written);
                    self.cost -= written;
                    self.head_is_partial = true;
                }
                return;
            }
            written -= head.len();
            self.cost -= head.len() + FRAME_OVERHEAD;
            self.head_is_partial = false;
            self.frames.pop_front();
        }
    }

    fn push(&mut self, piece: Piece) {
        self.cost += piece.cost();
        if self.frames.len() == self.frames.capacity() {
            // Room for 1, 2, 16, 128, …: an idle session keeps little, a burst is not made of many small steps.
            let more = match self.frames.len() {
                length @ 0..=1 => length.max(1),
                length => 7 * length,
            };
            self.frames.reserve_exact(more);
        }
        self.frames.push_back(piece);
    }

    /// Drops all frames but one that is partly written: the peer needs the rest of that to make sense of what follows.
    fn keep_partial_head(&mut self) {
        self.frames.truncate(usize::from(self.head_is_partial));
        self.frames.shrink_to_fit();
        self.cost = self.frames.iter().map(Piece::cost).sum();
    }

    /// Puts `later` behind what is left here.
    fn append(&mut self, later: &mut Self) {
        self.frames.append(&mut later.frames);
        self.cost += later.cost;
        later.cost = 0;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Empty; nobody is responsible for anything.
    Idle,
    /// Frames wait and somebody has promised to flush.
    Scheduled,
    /// A thread is writing, and looks again before it leaves.
    Writing,
    /// The peer takes no more; the connection's task will resume.
    Blocked,
}

/// A session's bounded queue of frames.
#[derive(Debug)]
pub struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: FrameQueue,
    /// Cost of the frames that a writing thread holds just now.
    in_flight: usize,
    phase: Phase,
    closing: Option<CloseReason>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                queue: FrameQueue::default(),
                in_flight: 0,
                phase: Phase::Idle,
                closing: None,
            }),
        }
    }

    /// Appends a frame unless the outbox would then hold more than `limit` bytes, its own overhead included. A frame
    /// larger than the limit passes when the outbox is empty: the limit bounds what waits, not what may be said.
    pub(crate) fn push(&self, frame: Frame, limit: usize) -> Pushed {
        self.push_piece(Piece::Frame(frame), limit)
    }

    /// Appends a source, under the same bound as frames.
    pub(crate) fn push_source(&self, source: Box<dyn FrameSource>, limit: usize) -> Pushed {
        self.push_piece(Piece::Source(source), limit)
    }

    fn push_piece(&self, piece: Piece, limit: usize) -> Pushed {
        let mut state = self.state.lock();
        if state.closing.is_some() {
            return Pushed::Refused;
        }
        let waiting = state.queue.cost + state.in_flight;
        if waiting > 0 && waiting + piece.cost() > limit {
            state.closing = Some(CloseReason::OutboxFull);
            state.queue.keep_partial_head();
            return Pushed::Overflowed;
        }
        state.queue.push(piece);
        if state.phase == Phase::Idle {
            state.phase = Phase::Scheduled;
            Pushed::MustFlush
        } else {
            Pushed::Queued
        }
    }

    /// Appends the protocol's last words to an outbox that is closing, past every bound. For the connection's task alone.
    pub(crate) fn push_last(&self, frame: Frame) {
        self.state.lock().queue.push(Piece::Frame(frame));
    }

    /// Refuses all further pushes; what is queued is still written. Returns whether this was the first reason given.
    pub(crate) fn close(&self, reason: CloseReason) -> bool {
        let mut state = self.state.lock();
        let first = state.closing.is_none();
        state.closing.get_or_insert(reason);
        first
    }

    /// Why the outbox is closing, if it is.
    #[must_use]
    pub fn closing(&self) -> Option<CloseReason> {
        self.state.lock().closing
    }

    /// Whether frames wait for the connection's task: the peer took no more the last time, or last words were queued.
    #[must_use]
    pub fn needs_resume(&self) -> bool {
        let state = self.state.lock();
        match state.phase {
            Phase::Blocked => true,
            Phase::Idle | Phase::Scheduled => state.closing.is_some() && !state.queue.is_empty(),
            Phase::Writing => false,
        }
    }

    /// Whether the peer took no more the last time.
    pub(crate) fn is_blocked(&self) -> bool {
        self.state.lock().phase == Phase::Blocked
    }

    /// Bytes that wait, the queue's overhead included.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.queue.cost + state.in_flight
    }

    /// Writes what waits, unless another thread does or the connection's task must.
    pub(crate) fn flush(&self, transport: &dyn Transport) -> Flushed {
        let (flushed, needs_task) = self.write_rounds(false, &mut |frames| transport.write(frames));
        if needs_task {
            transport.wake();
        }
        flushed
    }

    /// Writes what waits although the peer took no more the last time. For the connection's task alone, when it knows or
    /// hopes that the peer takes more now.
    pub fn resume(&self, write: &mut dyn FnMut(&mut FrameQueue) -> Wrote) -> Flushed {
        self.write_rounds(true, write).0
    }

    /// Says besides whether the connection's task has to act: wait for the peer, or end the connection.
    fn write_rounds(
        &self,
        even_if_blocked: bool,
        write: &mut dyn FnMut(&mut FrameQueue) -> Wrote,
    ) -> (Flushed, bool) {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Writing => return (Flushed::Pending, false),
            Phase::Blocked if !even_if_blocked => return (Flushed::Pending, true),
            Phase::Idle | Phase::Scheduled | Phase::Blocked => {}
        }
        for _ in 0..MAX_ROUNDS {
            if state.queue.is_empty() {
                state.phase = Phase::Idle;
                return (Flushed::Drained, state.closing.is_some());
            }
            state.phase = Phase::Writing;
            let was_closing = state.closing.is_some();
            let mut batch = mem::take(&mut state.queue);
            state.in_flight = batch.cost;
            drop(state);
            let wrote = write(&mut batch);
            state = self.state.lock();
            state.in_flight = 0;
            match wrote {
                Wrote::All => {
                    if state.queue.is_empty() && batch.frames.capacity() <= KEPT_CAPACITY {
                        state.queue = batch;
                    }
                }
                Wrote::Blocked => {
                    state.phase = Phase::Blocked;
                    // It overflowed meanwhile. What is queued after that are the last words, which stay.
                    if !was_closing && state.closing == Some(CloseReason::OutboxFull) {
                        batch.keep_partial_head();
                    }
                    batch.append(&mut state.queue);
                    state.queue = batch;
                    return (Flushed::Pending, true);
                }
                Wrote::Gone => {
                    state.closing.get_or_insert(CloseReason::PeerGone);
                    state.queue = FrameQueue::default();
                    state.phase = Phase::Idle;
                    return (Flushed::Gone, true);
                }
            }
        }
        // Frames keep coming: let the task go on, so that this thread gets to its other work.
        state.phase = Phase::Blocked;
        (Flushed::Pending, true)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;

    use super::*;

    /// Takes `room` bytes in all, then blocks.
    #[derive(Default)]
    struct Pipe {
        taken: Mutex<Vec<u8>>,
        room: AtomicUsize,
        writes: AtomicUsize,
        wakes: AtomicUsize,
    }

    impl Pipe {
        fn with_room(room: usize) -> Self {
            let pipe = Self::default();
            pipe.room.store(room, Ordering::Relaxed);
            pipe
        }

        fn text(&self) -> String {
            String::from_utf8(self.taken.lock().clone()).unwrap()
        }
    }

    impl Transport for Pipe {
        fn write(&self, frames: &mut FrameQueue) -> Wrote {
            while !frames.is_empty() {
                let room = self.room.load(Ordering::Relaxed);
                if room == 0 {
                    return Wrote::Blocked;
                }
                let wrote = frames.write_with(usize::MAX, |slices| {
                    self.writes.fetch_add(1, Ordering::Relaxed);
                    let all: Vec<u8> = slices.iter().flat_map(|s| s.to_vec()).collect();
                    let part = &all[..all.len().min(room)];
                    self.taken.lock().extend_from_slice(part);
                    Ok::<_, ()>(part.len())
                });
                self.room.fetch_sub(wrote.unwrap(), Ordering::Relaxed);
            }
            Wrote::All
        }

        fn wake(&self) {
            self.wakes.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn frame(text: &'static str) -> Frame {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn only_the_first_push_asks_for_a_flush_and_all_leave_in_one_write() {
        let outbox = Outbox::new();
        let pipe = Pipe::with_room(1000);
        assert_eq!(outbox.push(frame("a"), 1000), Pushed::MustFlush);
        assert_eq!(outbox.push(frame("b"), 1000), Pushed::Queued);
        assert_eq!(outbox.push(frame("c"), 1000), Pushed::Queued);
        assert_eq!(outbox.flush(&pipe), Flushed::Drained);
        assert_eq!(pipe.text(), "abc");
        assert_eq!(pipe.writes.load(Ordering::Relaxed), 1);
        assert_eq!(outbox.push(frame("d"), 1000), Pushed::MustFlush);
    }

    #[test]
    fn a_partial_write_keeps_its_place() {
        let outbox = Outbox::new();
        let pipe = Pipe::with_room(4);
        outbox.push(frame("abc"), 1000);
        outbox.push(frame("def"), 1000);
        assert_eq!(outbox.flush(&pipe), Flushed::Pending);
        assert_eq!(pipe.wakes.load(Ordering::Relaxed), 1);
        assert_eq!(outbox.push(frame("ghi"), 1000), Pushed::Queued);
        assert_eq!(
            outbox.flush(&pipe),
            Flushed::Pending,
            "the task resumes, nobody else"
        );
        pipe.room.store(100, Ordering::Relaxed);
        assert_eq!(
            outbox.resume(&mut |frames| pipe.write(frames)),
            Flushed::Drained
        );
        assert_eq!(pipe.text(), "abcdefghi");
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn a_full_outbox_keeps_only_what_the_peer_has_begun_to_read() {
        let outbox = Outbox::new();
        let pipe = Pipe::with_room(2);
        assert_eq!(outbox.push(frame("abcd"), 100), Pushed::MustFlush);
        outbox.flush(&pipe);
        assert_eq!(outbox.push(frame("efgh"), 100), Pushed::Queued);
        assert_eq!(outbox.push(frame("ijkl"), 100), Pushed::Overflowed);
        assert_eq!(outbox.push(frame("mnop"), 100), Pushed::Refused);
        assert_eq!(outbox.closing(), Some(CloseReason::OutboxFull));
        outbox.push_last(frame("!"));
        pipe.room.store(100, Ordering::Relaxed);
        outbox.resume(&mut |frames| pipe.write(frames));
        assert_eq!(pipe.text(), "abcd!");
    }

    #[test]
    fn the_bound_counts_bytes_and_overhead() {
        let outbox = Outbox::new();
        let limit = 64 << 10;
        let mut pushed = 0;
        while outbox.push(frame("x"), limit) != Pushed::Overflowed {
            pushed += 1;
            assert!(outbox.waiting() <= limit);
        }
        assert_eq!(pushed, limit / (1 + FRAME_OVERHEAD));
        assert!(outbox.waiting() <= limit);
    }

    #[test]
    fn memory_is_given_back_after_a_burst() {
        let outbox = Outbox::new();
        let pipe = Pipe::with_room(usize::MAX / 2);
        for _ in 0..10_000 {
            outbox.push(frame("burst"), usize::MAX);
        }
        outbox.flush(&pipe);
        assert!(outbox.state.lock().queue.frames.capacity() <= KEPT_CAPACITY);
    }

    struct Countdown(u8);

    impl FrameSource for Countdown {
        fn next(&mut self) -> Option<Frame> {
            self.0 = self.0.checked_sub(1)?;
            Some(Bytes::from(self.0.to_string()))
        }
    }

    #[test]
    fn frames_are_taken_out_in_order_and_of_a_written_one_the_rest() {
        let mut queue = FrameQueue::default();
        queue.push(Piece::Frame(frame("begun")));
        queue.push(Piece::Source(Box::new(Countdown(2))));
        queue.push(Piece::Frame(frame("b")));
        queue.write_with(usize::MAX, |_| Ok::<_, ()>(3)).unwrap();
        let taken: Vec<Frame> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(taken, ["un", "1", "0", "b"]);
        assert_eq!((queue.cost(), queue.head_is_partial), (0, false));
    }

    #[test]
    fn what_is_queued_behind_a_source_waits_for_its_end() {
        let mut queue = FrameQueue::default();
        queue.push(Piece::Frame(frame("a")));
        queue.push(Piece::Source(Box::new(Countdown(3))));
        queue.push(Piece::Frame(frame("b")));
        let mut written = Vec::new();
        while !queue.is_empty() {
            queue.draw();
            let wrote = queue.write_with(usize::MAX, |slices| {
                let all: Vec<u8> = slices.iter().flat_map(|s| s.to_vec()).collect();
                written.extend_from_slice(&all);
                Ok::<_, ()>(all.len())
            });
            wrote.unwrap();
        }
        assert_eq!(written, b"a210b");
        assert_eq!(queue.cost(), 0);
    }

    #[test]
    fn a_write_is_bounded_when_the_protocol_asks_for_it() {
        let mut queue = FrameQueue::default();
        for text in ["aaaa", "bbbb", "cccc"] {
            queue.push(Piece::Frame(frame(text)));
        }
        let wrote = queue.write_with(8, |slices| {
            Ok::<_, ()>(slices.iter().map(|s| s.len()).sum())
        });
        assert_eq!(wrote, Ok(8));
        assert_eq!(queue.frames.len(), 1);
    }
}
