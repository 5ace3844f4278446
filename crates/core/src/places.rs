//! Places that are taken and given back: so many in all, and so many for each address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

/// Places of one kind.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Places {
    /// Takes a place unless `max` are taken; 0 is no bound.
    pub(crate) fn take(&self, max: usize) -> bool {
        take_place(&self.taken, max)
    }

    /// Takes a place for an address unless it has `max`; 0 is no bound.
    pub(crate) fn take_for(&self, address: IpAddr, max: usize) -> bool {
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_default();
        if max != 0 && *count >= max {
            return false;
        }
        *count += 1;
        true
    }

    /// Gives a place back, and that of its address.
    pub(crate) fn give_back(&self, address: Option<IpAddr>) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = address else {
            return;
        };
        let mut by_address = self.by_address.lock();
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
        // A flood from many addresses must not leave its map behind.
        if by_address.len() * 4 < by_address.capacity() {
            let few = by_address.len() * 2;
            by_address.shrink_to(few);
        }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many an address has taken.
    pub(crate) fn taken_by(&self, address: IpAddr) -> usize {
        let by_address = self.by_address.lock();
        by_address.get(&address).copied().unwrap_or_default()
    }
}

/// Counts one more unless there are `max`; 0 is no bound.
pub(crate) fn take_place(taken: &AtomicUsize, max: usize) -> bool {
    taken
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            (max == 0 || now < max).then_some(now + 1)
        })
        .is_ok()
}
