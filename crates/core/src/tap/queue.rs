//! What waits for the reader of a tap: bounded in number, bytes and rate, so that whoever is watched never waits.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::seen::Seen;

/// Occurrences that wait, and bytes of theirs.
const MAX_WAITING: usize = 4096;
const MAX_BYTES: usize = 4 << 20;

/// The rate is counted, and told what was dropped, once in this time.
const WINDOW: Duration = Duration::from_secs(1);

pub(super) struct Queue(Mutex<State>);

/// What a reader takes out.
pub(super) enum Next {
    Seen(Box<Seen>),
    /// So many were dropped since it was last told.
    Dropped(u64),
}

struct State {
    waiting: VecDeque<Next>,
    bytes: usize,
    reader: Option<Waker>,
    window: Instant,
    in_window: u32,
    /// Not told yet.
    dropped: u64,
    /// When it was last told.
    told: Instant,
    has_ended: bool,
}

impl Queue {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State {
            waiting: VecDeque::new(),
            bytes: 0,
            reader: None,
            window: now,
            in_window: 0,
            dropped: 0,
            told: now,
            has_ended: false,
        }))
    }

    /// Puts in what `see` makes, unless `rate` is used up or there is no place; whether it did.
    pub(super) fn push(&self, now: Instant, rate: u32, see: impl FnOnce() -> Seen) -> bool {
        let mut state = self.0.lock();
        let state = &mut *state;
        if now.duration_since(state.window) >= WINDOW {
            state.window = now;
            state.in_window = 0;
        }
        let is_full = state.waiting.len() >= MAX_WAITING || state.bytes >= MAX_BYTES;
        if is_full || state.in_window >= rate {
            state.dropped += 1;
            return false;
        }
        state.in_window += 1;
        if state.dropped > 0 && now.duration_since(state.told) >= WINDOW {
            let dropped = std::mem::take(&mut state.dropped);
            state.told = now;
            state.waiting.push_back(Next::Dropped(dropped));
        }
        let seen = see();
        state.bytes += seen.bytes();
        state.waiting.push_back(Next::Seen(Box::new(seen)));
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        true
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// The next one, or nothing if there will be none.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Next>> {
        let mut state = self.0.lock();
        if let Some(next) = state.waiting.pop_front() {
            if let Next::Seen(seen) = &next {
                state.bytes -= seen.bytes();
            }
            if state.waiting.is_empty() {
                // A storm must not leave its memory behind.
                state.waiting = VecDeque::new();
            }
            return Poll::Ready(Some(next));
        }
        if state.has_ended {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// How many were dropped, if that is still to be told and nothing waits before which it could be.
    pub(super) fn take_dropped(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        let is_due = state.waiting.is_empty() && now.duration_since(state.told) >= WINDOW;
        if state.dropped == 0 || !is_due {
            return None;
        }
        state.told = now;
        Some(std::mem::take(&mut state.dropped))
    }
}
