//! Messages that wait, in order and within a bound of bytes.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A queue with many writers and one reader.
pub(crate) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Notify,
    max_bytes: usize,
}

struct Waiting<T> {
    messages: VecDeque<(T, usize)>,
    bytes: usize,
    is_open: bool,
}

impl<T> Queue<T> {
    /// An open queue that holds so many bytes, and a message even if it alone is larger.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                messages: VecDeque::new(),
                bytes: 0,
                is_open: true,
            }),
            arrived: Notify::new(),
            max_bytes,
        }
    }

    /// Appends a message; whether it was.
    pub(crate) fn push(&self, message: T, bytes: usize) -> bool {
        let mut waiting = self.waiting.lock();
        let is_full = waiting.bytes > 0 && waiting.bytes + bytes > self.max_bytes;
        if !waiting.is_open || is_full {
            return false;
        }
        waiting.bytes += bytes;
        waiting.messages.push_back((message, bytes));
        let was_empty = waiting.messages.len() == 1;
        drop(waiting);
        if was_empty {
            self.arrived.notify_one();
        }
        true
    }

    /// Waits for messages and takes up to `count` of them, and no more than `bytes` unless one alone is larger.
    pub(crate) async fn take(&self, count: usize, bytes: usize) -> Vec<T> {
        loop {
            let taken = self.take_now(count, bytes);
            if !taken.is_empty() {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    fn take_now(&self, count: usize, bytes: usize) -> Vec<T> {
        let mut waiting = self.waiting.lock();
        let mut taken = Vec::new();
        let mut sum = 0;
        while let Some((_, size)) = waiting.messages.front() {
            let size = *size;
            if taken.len() == count || (sum + size > bytes && !taken.is_empty()) {
                break;
            }
            sum += size;
            let message = waiting.messages.pop_front();
            taken.extend(message.map(|(message, _)| message));
        }
        waiting.bytes -= sum;
        if waiting.messages.is_empty() && waiting.messages.capacity() > KEPT {
            waiting.messages = VecDeque::new();
        }
        taken
    }

    /// Takes messages from now on.
    pub(crate) fn open(&self) {
        self.waiting.lock().is_open = true;
    }

    /// Takes no more, and drops what waits; returns how many messages that were.
    pub(crate) fn close(&self) -> usize {
        let mut waiting = self.waiting.lock();
        waiting.is_open = false;
        waiting.bytes = 0;
        std::mem::take(&mut waiting.messages).len()
    }
}

/// Places that an empty queue may keep.
const KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_keep_their_order_within_the_bound() {
        let queue = Queue::new(10);
        assert!(queue.push(1, 4));
        assert!(queue.push(2, 6));
        assert!(!queue.push(3, 1), "full");
        assert_eq!(queue.take(1, 100).await, [1]);
        assert!(queue.push(4, 4));
        assert_eq!(queue.take(5, 6).await, [2], "the next does not fit");
        assert_eq!(queue.take(5, 1).await, [4], "one is always taken");
        assert!(queue.push(5, 100), "one always fits");
    }

    #[tokio::test]
    async fn a_closed_queue_takes_nothing_and_says_what_is_lost() {
        let queue = Queue::new(10);
        assert!(queue.push(1, 1));
        assert!(queue.push(2, 1));
        assert_eq!(queue.close(), 2);
        assert!(!queue.push(3, 1));
        queue.open();
        assert!(queue.push(4, 1));
        assert_eq!(queue.take(9, 9).await, [4]);
    }

    #[tokio::test]
    async fn the_reader_wakes() {
        let queue = Queue::new(10);
        let (taken, pushed) = tokio::join!(queue.take(9, 9), async {
            tokio::task::yield_now().await;
            queue.push(7, 1)
        });
        assert_eq!((taken, pushed), (vec![7], true));
    }
}
