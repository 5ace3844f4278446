//! A room: a set of sessions, and the fan-out of events to them.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::IntCounter;
use slab::Slab;
use smallvec::SmallVec;

use crate::{
    Dialect, Except, Frame, Metrics, Millis, RoomName, SessionId, SessionRef, events,
    outbox::Pushed, turn,
};

/// A named set of sessions. Lives as long as it has members or is declared.
#[derive(Debug)]
pub(crate) struct Room {
    name: RoomName,
    members: Mutex<Members>,
}

/// One member, as presence shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// The session.
    pub id: SessionId,
    /// When it joined.
    pub joined_at: Millis,
}

#[derive(Default)]
struct Members {
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

    /// Whether somebody in it gets what is published to all but `except`.
    fn is_addressed(&self, except: Except<'_>) -> bool {
        self.members
            .iter()
            .any(|(_, member)| !except.covers(&member.session))
    }
}

struct Member {
    session: SessionRef,
    joined_at: Millis,
    /// Orders members by joining, which the clock does not: it is coarse and may be set back.
    sequence: u64,
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
struct Frames {
    made: SmallVec<[Made; 2]>,
}

type Made = (Arc<dyn Dialect>, Option<Frame>);

impl Frames {
    fn find(&self, dialect: &Arc<dyn Dialect>) -> Option<&Option<Frame>> {
        self.made
            .iter()
            .find(|(known, _)| same(known, dialect))
            .map(|(_, frame)| frame)
    }
}

fn same(a: &Arc<dyn Dialect>, b: &Arc<dyn Dialect>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

impl Room {
    pub(crate) fn new(name: RoomName) -> Self {
        Self {
            name,
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
        let info = |member: &&Member| MemberInfo {
            id: member.session.id(),
            joined_at: member.joined_at,
        };
        list.iter().map(info).collect()
    }

    /// Queues one frame per dialect to every member but those of `except`; returns how many got it. `encode` answers
    /// `None` for dialects that do not get it at all. All members see all fan-outs of the room in one common order,
    /// because queueing happens under the room's lock; encoding and writing do not.
    pub(crate) fn fan_out(
        &self,
        except: Except<'_>,
        encode: &dyn Fn(&Arc<dyn Dialect>) -> Option<Frame>,
    ) -> usize {
        let mut frames = Frames::default();
        let mut ready: Vec<SessionRef> = Vec::new();
        let mut overflowed: Vec<SessionRef> = Vec::new();
        let delivered = loop {
            let members = self.members.lock();
            let missing: SmallVec<[(Arc<dyn Dialect>, IntCounter); 2]> = members
                .groups
                .iter()
                .filter(|group| frames.find(&group.dialect).is_none())
                .filter(|group| group.is_addressed(except))
                .map(|group| (Arc::clone(&group.dialect), group.encodes.clone()))
                .collect();
            if missing.is_empty() {
                break members.queue_to_all(&frames, except, &mut ready, &mut overflowed);
            }
            drop(members);
            for (dialect, encodes) in missing {
                let frame = encode(&dialect);
                if frame.is_some() {
                    encodes.inc();
                }
                frames.made.push((dialect, frame));
            }
        };
        turn::count_queued(delivered);
        turn::flush_later(ready);
        for session in overflowed {
            events::outbox_overflowed(&session);
            session.wake();
        }
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

    fn queue_to_all(
        &self,
        frames: &Frames,
        except: Except<'_>,
        ready: &mut Vec<SessionRef>,
        overflowed: &mut Vec<SessionRef>,
    ) -> usize {
        let mut all = 0;
        for group in &self.groups {
            let Some(Some(frame)) = frames.find(&group.dialect) else {
                continue;
            };
            let mut delivered = 0;
            for (_, member) in &group.members {
                let session = &member.session;
                if except.covers(session) {
                    continue;
                }
                match session.push_frame(frame.clone()) {
                    Pushed::Queued => delivered += 1,
                    Pushed::MustFlush => {
                        delivered += 1;
                        ready.push(session.clone());
                    }
                    Pushed::Overflowed => overflowed.push(session.clone()),
                    Pushed::Refused => {}
                }
            }
            group.delivered.inc_by(delivered as u64);
            all += delivered;
        }
        all
    }
}
