//! The last events of one session, for the case that its client has not got them.

use std::collections::VecDeque;

use polyport_core::Frame;

use super::Offset;

/// What a ring may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) events: usize,
    /// Bytes of the frames and what keeping them costs.
    pub(super) cost: usize,
}

/// The last events of one session, in the order in which its client gets them.
#[derive(Debug, Default)]
pub(super) struct Ring {
    kept: VecDeque<Kept>,
    cost: usize,
    /// The event before the first that is kept.
    before: Option<Offset>,
    /// How many there were before those that are kept.
    dropped: u64,
    /// How many there were at the mark.
    marked: u64,
}

#[derive(Debug)]
struct Kept {
    offset: Offset,
    frame: Frame,
}

impl Kept {
    fn cost(&self) -> usize {
        self.frame.len() + size_of::<Self>()
    }
}

impl Ring {
    /// Keeps one more, and drops the oldest that are beyond the bounds then.
    pub(super) fn push(&mut self, offset: Offset, frame: Frame, bounds: Bounds) {
        let kept = Kept { offset, frame };
        self.cost += kept.cost();
        self.kept.push_back(kept);
        while self.kept.len() > bounds.events || self.cost > bounds.cost {
            self.drop_oldest();
        }
    }

    /// Remembers where it stands now.
    pub(super) fn mark(&mut self) {
        self.marked = self.dropped + self.kept.len() as u64;
    }

    /// The client has got everything before the mark.
    pub(super) fn has_seen_mark(&mut self) {
        while self.dropped < self.marked {
            self.drop_oldest();
        }
    }

    /// Whether something behind the mark is kept no more.
    pub(super) fn is_beyond_mark(&self) -> bool {
        self.dropped > self.marked
    }

    /// What a client has missed whose last event was that of `offset`; nothing if that cannot be told any more. What it has
    /// got is dropped, and the mark is taken away.
    ///
    /// An offset that is unknown while nothing was ever dropped is of a session that the client had before.
    pub(super) fn missed(
        &mut self,
        offset: Option<Offset>,
    ) -> Option<impl Iterator<Item = &Frame>> {
        let is_of = |offset| self.kept.iter().position(|kept| kept.offset == offset);
        let seen = match offset.and_then(is_of) {
            Some(position) => position + 1,
            None if self.before.is_none() || self.before == offset => 0,
            None => return None,
        };
        for _ in 0..seen {
            self.drop_oldest();
        }
        self.marked = self.dropped;
        Some(self.kept.iter().map(|kept| &kept.frame))
    }

    /// All that is kept, in order.
    pub(super) fn into_kept(self) -> impl Iterator<Item = (Offset, Frame)> {
        let kept = self.kept.into_iter();
        kept.map(|kept| (kept.offset, kept.frame))
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.kept.pop_front() else {
            return;
        };
        self.cost -= oldest.cost();
        self.before = Some(oldest.offset);
        self.dropped += 1;
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An offset that no other call gives.
    fn new_offset() -> Offset {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1 << 40);
        Offset::Number(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    const BOUNDS: Bounds = Bounds {
        events: 4,
        cost: 1000,
    };

    struct Filled {
        ring: Ring,
        offsets: Vec<Offset>,
    }

    impl Filled {
        fn with(count: u8) -> Self {
            let mut filled = Self {
                ring: Ring::default(),
                offsets: Vec::new(),
            };
            for number in 0..count {
                let offset = new_offset();
                filled.offsets.push(offset);
                filled.ring.push(offset, vec![number].into(), BOUNDS);
            }
            filled
        }

        #[track_caller]
        fn check(mut self, last_seen: Option<usize>, expected: Option<&[u8]>) {
            let offset = last_seen.map(|at| self.offsets[at]);
            let missed = self.ring.missed(offset);
            let missed: Option<Vec<u8>> = missed.map(|missed| missed.map(|it| it[0]).collect());
            assert_eq!(missed.as_deref(), expected, "{last_seen:?}");
        }
    }

    #[test]
    fn what_comes_behind_an_offset() {
        Filled::with(0).check(None, Some(&[]));
        Filled::with(3).check(None, Some(&[0, 1, 2]));
        Filled::with(3).check(Some(0), Some(&[1, 2]));
        Filled::with(3).check(Some(2), Some(&[]));
    }

    #[test]
    fn beyond_the_bounds_the_oldest_go() {
        Filled::with(6).check(None, None);
        Filled::with(6).check(Some(0), None);
        Filled::with(6).check(Some(1), Some(&[2, 3, 4, 5]));
        Filled::with(6).check(Some(3), Some(&[4, 5]));
        let mut filled = Filled::with(3);
        let offset = new_offset();
        filled.ring.push(offset, vec![3; 950].into(), BOUNDS);
        filled.check(Some(1), None);
        let mut filled = Filled::with(3);
        filled.ring.push(offset, vec![3; 2000].into(), BOUNDS);
        filled
            .ring
            .push(Offset::read("1").unwrap(), vec![4].into(), BOUNDS);
        let missed = filled.ring.missed(Some(offset)).map(Iterator::count);
        assert_eq!(
            missed,
            Some(1),
            "one that fits nowhere is still known by its offset"
        );
    }

    #[test]
    fn an_offset_of_an_earlier_session() {
        let stale = Offset::read("1");
        let mut filled = Filled::with(3);
        assert_eq!(filled.ring.missed(stale).map(Iterator::count), Some(3));
        let mut filled = Filled::with(6);
        assert!(filled.ring.missed(stale).is_none());
    }

    #[test]
    fn what_is_known_to_be_seen_is_let_go() {
        let mut filled = Filled::with(3);
        filled.ring.mark();
        filled
            .ring
            .push(Offset::read("1").unwrap(), vec![3].into(), BOUNDS);
        filled.ring.has_seen_mark();
        filled.ring.has_seen_mark();
        assert_eq!((filled.ring.kept.len(), filled.ring.dropped), (1, 3));
        assert!(!filled.ring.is_beyond_mark());
        filled.check(Some(2), Some(&[3]));
    }

    #[test]
    fn whether_something_behind_the_mark_is_gone() {
        let mut filled = Filled::with(2);
        filled.ring.mark();
        for number in 2..8 {
            assert_eq!(filled.ring.is_beyond_mark(), number > 6, "{number}");
            let offset = Offset::read(&number.to_string()).unwrap();
            filled.ring.push(offset, vec![number].into(), BOUNDS);
        }
    }

    #[test]
    fn an_empty_ring_holds_no_memory() {
        let mut filled = Filled::with(3);
        filled.ring.mark();
        filled.ring.has_seen_mark();
        assert_eq!((filled.ring.kept.capacity(), filled.ring.cost), (0, 0));
    }
}
