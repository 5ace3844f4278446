//! One event to several rooms, or to a whole realm: each session gets it once.

use std::{collections::HashSet, sync::Arc};

use foldhash::fast::FixedState;
use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::{
    Except, Hub, Realm, RoomName, SessionId, SessionRef, Target,
    room::{Aftermath, Encode, Frames, Members, Missing, Room},
};

type Ids = HashSet<SessionId, FixedState>;

/// Rooms that exist, and single sessions, to which one event goes.
#[derive(Default)]
pub(crate) struct Reach<'a> {
    /// Every room that is looked at, once, in the order in which they are locked.
    rooms: Vec<Arc<Room>>,
    groups: Vec<Group<'a>>,
    /// Sessions that get it in whatever rooms they are.
    loose: Vec<SessionRef>,
}

/// Members of any of some rooms, unless they are in one of some others; as positions in [`Reach::rooms`].
struct Group<'a> {
    any_of: SmallVec<[usize; 4]>,
    without: SmallVec<[usize; 2]>,
    /// Single sessions that do not get it either.
    spared: Vec<SessionId>,
    except: Except<'a>,
}

impl<'a> Reach<'a> {
    /// These sessions.
    pub(crate) fn of(sessions: Vec<SessionRef>) -> Self {
        Self {
            loose: sessions,
            ..Self::default()
        }
    }

    /// Adds what a target reaches.
    pub(crate) fn add(&mut self, hub: &Hub, target: Target<'a>) {
        match target {
            Target::Session(id) => self.loose.extend(hub.session(id)),
            Target::Room {
                realm,
                room,
                except,
            } => self.add_group(hub, realm, std::slice::from_ref(room), &[], except),
            Target::Rooms {
                realm,
                any_of,
                except,
            } => self.add_group(hub, realm, any_of, except, Except::default()),
            Target::Realm { realm, except } => {
                let spared: Vec<_> = except
                    .iter()
                    .filter_map(|room| hub.alone_in(realm, room.as_str()))
                    .collect();
                let wanted = |session: &SessionRef| {
                    !spared.contains(session) && !except.iter().any(|room| session.is_in(room))
                };
                let sessions = hub.sessions_of(realm).into_iter();
                self.loose.extend(sessions.filter(wanted));
            }
            Target::Any(targets) => {
                for target in targets {
                    self.add(hub, *target);
                }
            }
        }
    }

    fn add_group(
        &mut self,
        hub: &Hub,
        realm: &Realm,
        any_of: &[RoomName],
        without: &[RoomName],
        except: Except<'a>,
    ) {
        let alone = |room: &RoomName| hub.alone_in(realm, room.as_str());
        let spared: Vec<_> = without.iter().filter_map(alone).map(|s| s.id()).collect();
        self.loose
            .extend(any_of.iter().filter_map(alone).filter(|session| {
                let is_in = |room: &RoomName| session.is_in(room);
                !except.covers(session)
                    && !spared.contains(&session.id())
                    && !without.iter().any(is_in)
            }));
        let any_of = self.positions(realm, any_of).collect();
        let without = self.positions(realm, without).collect();
        self.groups.push(Group {
            any_of,
            without,
            spared,
            except,
        });
    }

    /// Where the rooms of these names stand, as far as they exist.
    fn positions(&mut self, realm: &Realm, names: &[RoomName]) -> impl Iterator<Item = usize> {
        names.iter().filter_map(|name| {
            let room = realm.find(name.as_str())?;
            let known = self.rooms.iter().position(|r| Arc::ptr_eq(r, &room));
            Some(known.unwrap_or_else(|| {
                self.rooms.push(room);
                self.rooms.len() - 1
            }))
        })
    }

    /// Queues one frame per dialect, and not to those that could not take it at once if `is_volatile`; returns how many
    /// sessions got it. All rooms are locked together while it is queued, so
    /// that in each of them it has one place among the room's events for all members. Nothing is encoded meanwhile.
    pub(crate) fn fan_out(&self, hub: &Hub, is_volatile: bool, encode: Encode<'_>) -> usize {
        if self.loose.is_empty()
            && let [only] = &*self.groups
            && let ([room], [], []) = (&*only.any_of, &*only.without, &*only.spared)
        {
            return self.rooms[*room].fan_out(only.except, is_volatile, encode);
        }
        let mut frames = Frames::default();
        frames.make(self.missing_for_loose(hub), encode);
        let mut aftermath = Aftermath::default();
        let delivered = loop {
            let order = hub.order().lock();
            let rooms: Vec<_> = self.rooms.iter().map(|room| room.lock()).collect();
            let hidden: Vec<Ids> = self.groups.iter().map(|g| g.hidden(&rooms)).collect();
            let mut missing = Missing::new();
            for (group, hidden) in self.groups.iter().zip(&hidden) {
                for &at in &group.any_of {
                    missing.extend(rooms[at].missing(&frames, |s| group.wants(s, hidden)));
                }
            }
            if missing.is_empty() {
                let can = |session: &SessionRef| !is_volatile || session.is_ready();
                break self.queue(hub, &rooms, &hidden, &can, &frames, &mut aftermath);
            }
            drop(rooms);
            drop(order);
            frames.make(missing, encode);
        };
        aftermath.settle(delivered);
        delivered
    }

    fn missing_for_loose(&self, hub: &Hub) -> Missing {
        let mut missing = Missing::new();
        for session in &self.loose {
            let dialect = session.dialect();
            if !missing
                .iter()
                .any(|(known, _)| crate::room::same(known, dialect))
            {
                let encodes = hub.metrics().encodes(dialect.protocol());
                missing.push((Arc::clone(dialect), encodes));
            }
        }
        missing
    }

    fn queue(
        &self,
        hub: &Hub,
        rooms: &[MutexGuard<'_, Members>],
        hidden: &[Ids],
        can: &dyn Fn(&SessionRef) -> bool,
        frames: &Frames,
        aftermath: &mut Aftermath,
    ) -> usize {
        let in_groups = self.groups.iter().flat_map(|group| &group.any_of);
        let most = self.loose.len() + in_groups.map(|&at| rooms[at].count()).sum::<usize>();
        let mut seen = Ids::with_capacity_and_hasher(most, FixedState::default());
        let mut delivered = 0;
        for (group, hidden) in self.groups.iter().zip(hidden) {
            for &at in &group.any_of {
                self.rooms[at].count_event();
                delivered += rooms[at].queue(frames, aftermath, |session| {
                    group.wants(session, hidden) && can(session) && seen.insert(session.id())
                });
            }
        }
        let mut by_protocol: SmallVec<[(&str, u64); 4]> = SmallVec::new();
        for session in &self.loose {
            let Some(Some(frame)) = frames.find(session.dialect()) else {
                continue;
            };
            if can(session) && seen.insert(session.id()) && aftermath.push(session, frame) {
                delivered += 1;
                let protocol = session.dialect().protocol();
                match by_protocol.iter_mut().find(|(known, _)| *known == protocol) {
                    Some((_, count)) => *count += 1,
                    None => by_protocol.push((protocol, 1)),
                }
            }
        }
        for (protocol, count) in by_protocol {
            hub.metrics().delivered(protocol).inc_by(count);
        }
        delivered
    }
}

impl Group<'_> {
    /// Members of the rooms whose members do not get it.
    fn hidden(&self, rooms: &[MutexGuard<'_, Members>]) -> Ids {
        let without = self.without.iter().flat_map(|&at| rooms[at].iter());
        let members = without.map(SessionRef::id);
        members.chain(self.spared.iter().copied()).collect()
    }

    fn wants(&self, session: &SessionRef, hidden: &Ids) -> bool {
        !self.except.covers(session) && !hidden.contains(&session.id())
    }
}
