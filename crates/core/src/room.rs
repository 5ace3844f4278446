//! A room: a set of sessions, and the fan-out of events to them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use prometheus::IntCounter;
use slab::Slab;
use smallvec::SmallVec;

use crate::{
    Dialect, Except, Frame, Metrics, Millis, RoomName, SessionId, SessionRef, Wire, events,
    outbox::Pushed, turn,
};

/// A named set of sessions. Lives as long as it has members or is declared.
#[derive(Debug)]
pub(crate) struct Room {
    name: RoomName,
    /// Events that were given to its members.
    events: AtomicU64,
    members: Mutex<Members>,
}

/// One member, as presence shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// The session.
    pub id: SessionId,
    /// When it joined.
    pub joined_at: Millis,
    /// Where it stands in the order of joining; never given twice while the room exists.
    pub place: u64,
}

/// One room, as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its name.
    pub name: RoomName,
    /// How many sessions are in it.
    pub members: usize,
    /// Events that were given to its members on this node, as long as it exists.
    pub events: u64,
}

#[derive(Default)]
pub(crate) struct Members {
    /// Members by dialect: an event is encoded once per group. Nearly always one or two.
    groups: SmallVec<[Group; 1]>,
    count: usize,
    joins_so_far: u64,
    /// Exists whether or not somebody is in it.
    declared: bool,
    /// Listeners that want it to exist.
    holders: usize,
    /// Set when the last member has left and the room is about to leave its realm: nobody may join any more.
    retired: bool,
}

struct Group {
    dialect: Arc<dyn Dialect>,
    members: Slab<Member>,
    delivered: IntCounter,
    encodes: IntCounter,
}

impl Group {
    fn new(dialect: &Arc<dyn Dialect>, metrics: &Metrics) -> Self {
        Self {
            dialect: Arc::clone(dialect),
            members: Slab::new(),
            delivered: metrics.delivered(dialect.protocol()),
            encodes: metrics.encodes(dialect.protocol()),
        }
    }

    /// Whether it has a member that `wanted` picks.
    fn has(&self, wanted: impl Fn(&SessionRef) -> bool) -> bool {
        self.members
            .iter()
            .any(|(_, member)| wanted(&member.session))
    }
}

struct Member {
    session: SessionRef,
    joined_at: Millis,
    /// Orders members by joining, which the clock does not: it is coarse and may be set back.
    sequence: u64,
}

impl Member {
    fn info(&self) -> MemberInfo {
        MemberInfo {
            id: self.session.id(),
            joined_at: self.joined_at,
            place: self.sequence,
        }
    }
}

/// Where a member sits in its room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    key: usize,
}

/// The room was retired between look-up and join; look it up again.
#[derive(Debug)]
pub(crate) struct Retired;

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// What has been made of one event so far: per dialect a frame, or nothing for a dialect that does not get it.
#[derive(Default)]
pub(crate) struct Frames {
    made: SmallVec<[Made; 2]>,
}

type Made = (Arc<dyn Dialect>, Option<Frame>);

/// Dialects for which there is no frame yet, each with its counter of encodings.
pub(crate) type Missing = SmallVec<[(Arc<dyn Dialect>, IntCounter); 2]>;

/// How an event is written for a dialect; `None` for one that does not get it.
pub(crate) type Encode<'a> = &'a dyn Fn(&Arc<dyn Dialect>) -> Option<Frame>;

impl Frames {
    pub(crate) fn find(&self, dialect: &Arc<dyn Dialect>) -> Option<&Option<Frame>> {
        self.made
            .iter()
            .find(|(known, _)| same(known, dialect))
            .map(|(_, frame)| frame)
    }

    /// Writes the event for those dialects. No lock is held meanwhile.
    pub(crate) fn make(&mut self, missing: Missing, encode: Encode<'_>) {
        for (dialect, encodes) in missing {
            if self.find(&dialect).is_some() {
                continue;
            }
            let frame = encode(&dialect);
            if frame.is_some() {
                encodes.inc();
            }
            self.made.push((dialect, frame));
        }
    }
}

/// Sessions that somebody has to see to when all of an event is queued.
#[derive(Default)]
pub(crate) struct Aftermath {
    ready: Vec<Arc<Wire>>,
    overflowed: Vec<Arc<Wire>>,
}

impl Aftermath {
    /// Queues one frame; whether it was.
    pub(crate) fn push(&mut self, session: &SessionRef, frame: &Frame) -> bool {
        let wire = session.wire();
        match wire.push(frame.clone()) {
            Pushed::Queued => true,
            Pushed::MustFlush => {
                self.ready.push(Arc::clone(wire));
                true
            }
            Pushed::Overflowed => {
                self.overflowed.push(Arc::clone(wire));
                false
            }
            Pushed::Refused => false,
        }
    }

    /// Has what was queued flushed at the end of the turn. No lock is held any more.
    pub(crate) fn settle(self, delivered: usize) {
        turn::count_queued(delivered);
        turn::flush_later(self.ready);
        for wire in self.overflowed {
            events::outbox_overflowed(&wire);
            wire.wake();
        }
    }
}

pub(crate) fn same(a: &Arc<dyn Dialect>, b: &Arc<dyn Dialect>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

impl Room {
    pub(crate) fn new(name: RoomName) -> Self {
        Self {
            name,
            events: AtomicU64::new(0),
            members: Mutex::new(Members::default()),
        }
    }

    pub(crate) fn name(&self) -> &RoomName {
        &self.name
    }

    pub(crate) fn add(&self, session: &SessionRef) -> Result<Seat, Retired> {
        let mut members = self.members.lock();
        if members.retired {
            return Err(Retired);
        }
        let dialect = session.dialect();
        let member = Member {
            session: session.clone(),
            joined_at: Millis::now(),
            sequence: members.joins_so_far,
        };
        members.joins_so_far += 1;
        members.count += 1;
        let group = match members
            .groups
            .iter()
            .position(|g| same(&g.dialect, dialect))
        {
            Some(index) => &mut members.groups[index],
            None => {
                let metrics = session.listener().hub().metrics();
                members.groups.push(Group::new(dialect, metrics));
                members.groups.last_mut().expect("just pushed")
            }
        };
        let key = group.members.insert(member);
        Ok(Seat { key })
    }

    /// Makes the room stay when it is empty; returns whether it was neither declared nor held before.
    pub(crate) fn declare(&self) -> Result<bool, Retired> {
        let mut members = self.members.lock();
        if members.retired {
            return Err(Retired);
        }
        let is_new = !members.stays();
        members.declared = true;
        Ok(is_new)
    }

    /// Makes the room stay when it is empty until it is released as often as it was held.
    pub(crate) fn hold(&self) -> Result<(), Retired> {
        let mut members = self.members.lock();
        if members.retired {
            return Err(Retired);
        }
        members.holders += 1;
        Ok(())
    }

    /// Gives a hold back; returns whether the room is retired now.
    pub(crate) fn release(&self) -> bool {
        let mut members = self.members.lock();
        members.holders -= 1;
        members.retire_if_unwanted()
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.members.lock().retired
    }

    /// Takes a member out; returns whether the room is empty and retired now.
    pub(crate) fn remove(&self, session: &SessionRef, seat: Seat) -> bool {
        let mut members = self.members.lock();
        let dialect = session.dialect();
        let Some(index) = members
            .groups
            .iter()
            .position(|g| same(&g.dialect, dialect))
        else {
            return false;
        };
        let group = &mut members.groups[index];
        group.members.remove(seat.key);
        if group.members.is_empty() {
            members.groups.remove(index);
        }
        members.count -= 1;
        members.retire_if_unwanted()
    }

    pub(crate) fn list(&self) -> Vec<MemberInfo> {
        let members = self.members.lock();
        let mut list: Vec<&Member> = members
            .groups
            .iter()
            .flat_map(|group| group.members.iter())
            .map(|(_, member)| member)
            .collect();
        list.sort_by_key(|member| member.sequence);
        list.into_iter().map(Member::info).collect()
    }

    /// One of those who are in it.
    pub(crate) fn member(&self, session: &SessionRef, seat: Seat) -> Option<MemberInfo> {
        let members = self.members.lock();
        let mut groups = members.groups.iter();
        let group = groups.find(|group| same(&group.dialect, session.dialect()))?;
        group.members.get(seat.key).map(Member::info)
    }

    /// How it stands.
    pub(crate) fn info(&self) -> RoomInfo {
        RoomInfo {
            name: self.name.clone(),
            members: self.len(),
            events: self.events.load(Ordering::Relaxed),
        }
    }

    /// Counts an event that is given to its members.
    pub(crate) fn count_event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are in it.
    pub(crate) fn len(&self) -> usize {
        self.members.lock().count
    }

    /// The sessions in it.
    pub(crate) fn sessions(&self) -> Vec<SessionRef> {
        self.members.lock().iter().cloned().collect()
    }

    /// The dialects that its members speak.
    pub(crate) fn dialects(&self) -> Vec<Arc<dyn Dialect>> {
        let members = self.members.lock();
        let groups = members.groups.iter();
        groups.map(|group| Arc::clone(&group.dialect)).collect()
    }

    /// Nobody joins, leaves or is queued to meanwhile.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock()
    }

    /// Queues one frame per dialect to every member but those of `except`, and those that could not take it at once if
    /// `is_volatile`; returns how many got it. All members see all
    /// fan-outs of the room in one common order, because queueing happens under the room's lock; encoding and writing do
    /// not.
    pub(crate) fn fan_out(
        &self,
        except: Except<'_>,
        is_volatile: bool,
        encode: Encode<'_>,
    ) -> usize {
        let wanted =
            |session: &SessionRef| !except.covers(session) && (!is_volatile || session.is_ready());
        let mut frames = Frames::default();
        let mut aftermath = Aftermath::default();
        let delivered = loop {
            let members = self.members.lock();
            let missing = members.missing(&frames, |session| !except.covers(session));
            if missing.is_empty() {
                self.count_event();
                break members.queue(&frames, &mut aftermath, wanted);
            }
            drop(members);
            frames.make(missing, encode);
        };
        aftermath.settle(delivered);
        delivered
    }
}

impl Members {
    /// Whether the room exists even when it is empty.
    fn stays(&self) -> bool {
        self.declared || self.holders > 0
    }

    fn retire_if_unwanted(&mut self) -> bool {
        self.retired = self.count == 0 && !self.stays();
        self.retired
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SessionRef> {
        self.groups
            .iter()
            .flat_map(|group| group.members.iter())
            .map(|(_, member)| &member.session)
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The dialects of the members that `wanted` picks, as far as `frames` has nothing for them.
    pub(crate) fn missing(&self, frames: &Frames, wanted: impl Fn(&SessionRef) -> bool) -> Missing {
        self.groups
            .iter()
            .filter(|group| frames.find(&group.dialect).is_none())
            .filter(|group| group.has(&wanted))
            .map(|group| (Arc::clone(&group.dialect), group.encodes.clone()))
            .collect()
    }

    /// Queues the frames to the members that `wanted` picks; returns how many got one.
    pub(crate) fn queue(
        &self,
        frames: &Frames,
        aftermath: &mut Aftermath,
        mut wanted: impl FnMut(&SessionRef) -> bool,
    ) -> usize {
        let mut all = 0;
        for group in &self.groups {
            let Some(Some(frame)) = frames.find(&group.dialect) else {
                continue;
            };
            let mut delivered = 0;
            for (_, member) in &group.members {
                if wanted(&member.session) {
                    delivered += usize::from(aftermath.push(&member.session, frame));
                }
            }
            group.delivered.inc_by(delivered as u64);
            all += delivered;
        }
        all
    }
}
