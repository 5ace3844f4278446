//! Corking: what one turn of work pushes to many sessions leaves when the turn is over.
//!
//! A connection's task handles all messages of one read in one turn. Ten messages to a room of a thousand are then ten
//! pushes and *one* write per member. Outside a turn every publish is a turn of its own.

use std::{
    cell::{Cell, RefCell},
    mem,
    sync::Arc,
};

use crate::Wire;

/// Up to so many peers are written to by the thread that published; more are handed to the pool, so that the publisher's
/// own connection is not held up by a large room.
pub(crate) const INLINE_FLUSHES: usize = 64;

/// A turn that has queued so many frames should end: until then they are memory. A room of a thousand still gets sixteen
/// events of one read in one write per member.
const FRAMES_PER_TURN: usize = 16_384;

/// Threads (or tasks) that write to many peers on behalf of publishers.
pub trait FlushPool: Send + Sync {
    /// Calls [`Wire::flush`] on each of `wires` soon. Must not wait for any of them.
    fn flush(&self, wires: Vec<Arc<Wire>>);
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static QUEUED: Cell<usize> = const { Cell::new(0) };
    static READY: RefCell<Vec<Arc<Wire>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work`; when the outermost turn of this thread ends, also by a panic, what it queued is flushed: to up to `inline`
/// peers by this thread, to more of them by the pool.
pub(crate) fn turn<R>(pool: Option<&dyn FlushPool>, inline: usize, work: impl FnOnce() -> R) -> R {
    struct EndOfTurn<'a>(Option<&'a dyn FlushPool>, usize);
    impl Drop for EndOfTurn<'_> {
        fn drop(&mut self) {
            let depth = DEPTH.get() - 1;
            DEPTH.set(depth);
            if depth == 0 {
                QUEUED.set(0);
                flush_ready(self.0, self.1);
            }
        }
    }
    DEPTH.set(DEPTH.get() + 1);
    let _end = EndOfTurn(pool, inline);
    work()
}

/// Remembers connections that must be flushed at the end of this turn. Only inside [`turn`].
pub(crate) fn flush_later(wires: impl IntoIterator<Item = Arc<Wire>>) {
    debug_assert!(DEPTH.get() > 0, "outside a turn nobody would flush");
    READY.with_borrow_mut(|ready| ready.extend(wires));
}

/// Counts frames that this turn has queued. Only inside [`turn`].
pub(crate) fn count_queued(frames: usize) {
    QUEUED.set(QUEUED.get() + frames);
}

/// Whether this turn has queued so much that it should end.
pub(crate) fn is_exhausted() -> bool {
    QUEUED.get() >= FRAMES_PER_TURN
}

fn flush_ready(pool: Option<&dyn FlushPool>, inline: usize) {
    let mut ready = READY.with_borrow_mut(mem::take);
    match pool {
        Some(pool) if ready.len() > inline => pool.flush(ready),
        _ => {
            for wire in ready.drain(..) {
                wire.flush();
            }
            // Flushing publishes nothing, so the list is still empty: keep its memory for the next turn.
            READY.with_borrow_mut(|kept| *kept = ready);
        }
    }
}
