//! What this node adds to a stream, until it has come back.
//!
//! Nobody can say whether an entry was added whose answer was lost with a connection; but whoever reads the stream to its end
//! sees it. So what has not come back by then is added again, and nothing else. Without a link, events are queued here without
//! waiting, and not a second time when they come back.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use polyport_core::Place;
use tokio::sync::Notify;

use super::{
    entry::{Entry, Found},
    here::Here,
};
use crate::codec::MAX_MESSAGE;

pub(super) struct Journal {
    state: Mutex<State>,
    /// There is something to add.
    more: Notify,
    /// Something has to be queued here now.
    due: Arc<Notify>,
    /// Nothing is left.
    empty: Notify,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    /// The number of the next item.
    next: u64,
    /// All items before this number have been sent.
    unsent: u64,
    bytes: usize,
    /// Whether what is added comes back.
    is_live: bool,
}

struct Item {
    number: u64,
    /// Nothing if it does not go into the stream.
    entry: Option<Arc<Entry>>,
    /// Nothing if nobody here is to get it, or has got it.
    here: Option<Here>,
    /// Where it stands, once Redis has said so.
    place: Option<Place>,
    bytes: usize,
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It will be added.
    Whole,
    /// It is for this node alone, since too much waits.
    Here,
    /// Not even that.
    Not,
}

impl Journal {
    /// Up to so many bytes may wait. `due` is told when something has to be queued here at once.
    pub(super) fn new(max_bytes: usize, due: Arc<Notify>) -> Self {
        Self {
            state: Mutex::default(),
            more: Notify::new(),
            due,
            empty: Notify::new(),
            max_bytes,
        }
    }

    /// Appends the entries of one message; it is for this node when the last one has come back.
    pub(super) fn push(&self, entries: Vec<Entry>, here: Option<Here>) -> Kept {
        let bytes = entries.iter().map(Entry::bytes).sum::<usize>();
        let mut state = self.state.lock();
        let is_large = entries.iter().any(|entry| entry.data.len() > MAX_MESSAGE);
        let kept = if !is_large && (state.bytes == 0 || state.bytes + bytes <= self.max_bytes) {
            Kept::Whole
        } else if state.bytes <= 2 * self.max_bytes {
            Kept::Here
        } else {
            Kept::Not
        };
        match kept {
            Kept::Whole => state.append(entries, here),
            Kept::Here => state.append_item(None, here, bytes),
            Kept::Not => {}
        }
        let is_live = state.is_live;
        drop(state);
        if kept == Kept::Whole && is_live {
            self.more.notify_one();
        } else {
            self.due.notify_one();
        }
        kept
    }

    /// Waits for entries and takes up to `count` of them, and no more than `bytes` unless one alone is larger.
    pub(super) async fn take(&self, count: usize, bytes: usize) -> Vec<(u64, Arc<Entry>)> {
        loop {
            let taken = self.state.lock().take(count, bytes);
            if !taken.is_empty() {
                return taken;
            }
            self.more.notified().await;
        }
    }

    /// Redis has added an entry.
    pub(super) fn added(&self, number: u64, place: Place) {
        if let Some(item) = self.state.lock().find(number) {
            item.place = Some(place);
        }
    }

    /// Redis has refused an entry: it is for this node alone.
    pub(super) fn refused(&self, number: u64) {
        let mut state = self.state.lock();
        if let Some(item) = state.find(number) {
            item.entry = None;
            drop(state);
            self.due.notify_one();
        }
    }

    /// An entry of this node was read. Returns what is to be queued here, in order: whatever was added before it and has not
    /// come back, has been lost by the stream.
    pub(super) fn came_back(&self, place: Place, found: &Found) -> Vec<(Here, Option<Place>)> {
        let mut state = self.state.lock();
        let sent = state.unsent;
        let mut items = state.items.iter().take_while(|item| item.number < sent);
        let Some(at) = items.position(|item| item.is(place, found)) else {
            return Vec::new();
        };
        let back: Vec<Item> = state.items.drain(..=at).collect();
        state.bytes -= back.iter().map(|item| item.bytes).sum::<usize>();
        let is_empty = state.items.is_empty();
        drop(state);
        if is_empty {
            self.empty.notify_one();
        }
        let last = back.len() - 1;
        let here = back.into_iter().enumerate().filter_map(|(index, item)| {
            let place = if index == last {
                Some(place)
            } else {
                item.place
            };
            item.here.map(|here| (here, place))
        });
        here.collect()
    }

    /// What is to be queued here without waiting any longer, in order.
    pub(super) fn overdue(&self) -> Vec<Here> {
        let mut state = self.state.lock();
        let is_alone = |item: &Item| item.entry.is_none();
        let count = if state.is_live {
            let last = state.items.iter().rposition(is_alone);
            last.map_or(0, |last| last + 1)
        } else {
            state.items.len()
        };
        let items = state.items.iter_mut().take(count);
        let due = items.filter_map(|item| item.here.take()).collect();
        let alone = state.items.iter().filter(|item| is_alone(item));
        state.bytes -= alone.map(|item| item.bytes).sum::<usize>();
        state.items.retain(|item| !is_alone(item));
        let is_empty = state.items.is_empty();
        drop(state);
        if is_empty {
            self.empty.notify_one();
        }
        due
    }

    /// Nothing comes back from now on.
    pub(super) fn end(&self) {
        self.state.lock().is_live = false;
        self.due.notify_one();
    }

    /// The stream has been read to its end: what has not come back will be added, and will come back. Returns how many entries
    /// that have been sent before are sent again.
    pub(super) fn begin(&self) -> usize {
        let mut state = self.state.lock();
        state.is_live = true;
        let sent = std::mem::replace(&mut state.unsent, 0);
        let mut again = 0;
        for item in &mut state.items {
            item.place = None;
            again += usize::from(item.number < sent && item.entry.is_some());
        }
        drop(state);
        self.more.notify_one();
        again
    }

    /// Waits until nothing is left.
    pub(super) async fn settled(&self) {
        while !self.state.lock().items.is_empty() {
            self.empty.notified().await;
        }
    }

    /// How many entries are not known to be added.
    pub(super) fn waiting(&self) -> usize {
        let state = self.state.lock();
        let waits = |item: &&Item| item.entry.is_some() && item.place.is_none();
        state.items.iter().filter(waits).count()
    }
}

impl State {
    fn append(&mut self, entries: Vec<Entry>, mut here: Option<Here>) {
        let last = entries.len();
        for (index, entry) in entries.into_iter().enumerate() {
            let here = here.take_if(|_| index + 1 == last);
            let bytes = entry.bytes();
            self.append_item(Some(Arc::new(entry)), here, bytes);
        }
    }

    fn append_item(&mut self, entry: Option<Arc<Entry>>, here: Option<Here>, bytes: usize) {
        self.bytes += bytes;
        self.items.push_back(Item {
            number: self.next,
            entry,
            here,
            place: None,
            bytes,
        });
        self.next += 1;
    }

    fn find(&mut self, number: u64) -> Option<&mut Item> {
        let at = self.items.binary_search_by_key(&number, |item| item.number);
        self.items.get_mut(at.ok()?)
    }

    fn take(&mut self, count: usize, bytes: usize) -> Vec<(u64, Arc<Entry>)> {
        let first = self.items.partition_point(|item| item.number < self.unsent);
        let mut taken = Vec::new();
        let mut sum = 0;
        for item in self.items.iter().skip(first) {
            if taken.len() == count || (sum + item.bytes > bytes && !taken.is_empty()) {
                break;
            }
            self.unsent = item.number + 1;
            if let Some(entry) = &item.entry {
                sum += item.bytes;
                taken.push((item.number, Arc::clone(entry)));
            }
        }
        taken
    }
}

impl Item {
    /// Whether what was read is this one.
    fn is(&self, place: Place, found: &Found) -> bool {
        self.entry.as_ref().is_some_and(|entry| {
            self.place.map_or_else(
                || entry.namespace == found.namespace && entry.data == found.data,
                |known| known == place,
            )
        })
    }
}

#[cfg(test)]
mod tests;
