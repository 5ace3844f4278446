//! A realm: the namespace in which room names mean the same thing.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use prometheus::IntGauge;

use crate::{
    MemberInfo, RealmName, RoomInfo, RoomName, SessionRef,
    room::{Retired, Room, Seat},
};

/// Room names are chosen by clients, so the maps keep std's collision-resistant hash; shards keep the locks short.
const SHARDS: usize = 16;

/// Listeners of one realm share rooms; realms never touch.
#[derive(Debug)]
pub struct Realm {
    name: RealmName,
    shards: [Mutex<HashMap<RoomName, Arc<Room>>>; SHARDS],
    rooms_gauge: IntGauge,
}

impl Realm {
    pub(crate) fn new(name: RealmName, rooms_gauge: IntGauge) -> Self {
        Self {
            name,
            shards: Default::default(),
            rooms_gauge,
        }
    }

    /// A realm that only other nodes have: no room of it is here, so none is counted.
    pub(crate) fn elsewhere(name: RealmName) -> Self {
        let gauge = IntGauge::new("rooms", "Rooms that exist.");
        Self::new(name, gauge.expect("the gauge's name and text are valid"))
    }

    /// The realm's name.
    #[must_use]
    pub fn name(&self) -> &RealmName {
        &self.name
    }

    /// Makes a room exist whether or not somebody is in it; returns whether it was neither declared nor held by a listener
    /// before.
    pub fn declare(&self, name: &RoomName) -> bool {
        self.with_room(name, Room::declare)
    }

    /// Makes a room exist as long as it is held; each hold is given back by [`Realm::release`].
    pub(crate) fn hold(&self, name: &RoomName) {
        self.with_room(name, Room::hold);
    }

    pub(crate) fn release(&self, name: &RoomName) {
        if let Some(room) = self.find(name.as_str())
            && room.release()
        {
            self.drop_retired(&room);
        }
    }

    /// Whether a room exists: declared, held by a listener, or somebody is in it.
    #[must_use]
    pub fn exists(&self, name: impl AsRef<str>) -> bool {
        self.find(name.as_ref())
            .is_some_and(|room| !room.is_retired())
    }

    /// Whether somebody is in a room.
    #[must_use]
    pub fn has_members(&self, name: &RoomName) -> bool {
        self.find(name.as_str()).is_some_and(|room| room.len() > 0)
    }

    /// Who is in a room, in order of joining. Empty for a room that does not exist.
    #[must_use]
    pub fn members(&self, name: &RoomName) -> Vec<MemberInfo> {
        self.find(name.as_str())
            .map(|room| room.list())
            .unwrap_or_default()
    }

    /// The rooms whose names `wanted` picks, in no order.
    pub fn rooms(&self, wanted: impl Fn(&RoomName) -> bool) -> Vec<RoomInfo> {
        let mut rooms = Vec::new();
        for shard in &self.shards {
            let picked: Vec<Arc<Room>> = {
                let shard = shard.lock();
                let picked = shard.iter().filter(|(name, _)| wanted(name));
                picked.map(|(_, room)| Arc::clone(room)).collect()
            };
            // A room's own lock may be held by a large fan-out: nobody should wait for it at the shard.
            rooms.extend(picked.iter().map(|room| room.info()));
        }
        rooms
    }

    /// How many rooms exist.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether no room exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Room>> {
        self.shard(name).lock().get(name).cloned()
    }

    /// Finds or makes a room and works on it; a room that was retired meanwhile is replaced.
    fn with_room<R>(&self, name: &RoomName, work: impl Fn(&Room) -> Result<R, Retired>) -> R {
        let mut shard = self.shard(name.as_str()).lock();
        loop {
            let room = self.get_or_insert(&mut shard, name);
            match work(&room) {
                Ok(done) => return done,
                Err(Retired) => {
                    let fresh = Arc::new(Room::new(name.clone()));
                    shard.insert(name.clone(), fresh);
                }
            }
        }
    }

    pub(crate) fn add(&self, name: &RoomName, session: &SessionRef) -> (Arc<Room>, Seat) {
        loop {
            let room = {
                let mut shard = self.shard(name.as_str()).lock();
                self.get_or_insert(&mut shard, name)
            };
            if let Ok(seat) = room.add(session) {
                return (room, seat);
            }
            self.drop_retired(&room);
        }
    }

    pub(crate) fn remove(&self, room: &Arc<Room>, session: &SessionRef, seat: Seat) {
        if room.remove(session, seat) {
            self.drop_retired(room);
        }
    }

    fn drop_retired(&self, room: &Arc<Room>) {
        let mut shard = self.shard(room.name().as_str()).lock();
        if shard
            .get(room.name())
            .is_some_and(|known| Arc::ptr_eq(known, room))
        {
            shard.remove(room.name());
            self.rooms_gauge.dec();
            // A client that goes through many room names must not leave their table behind.
            if shard.len() * 4 < shard.capacity() {
                let few = shard.len() * 2;
                shard.shrink_to(few);
            }
        }
    }

    fn get_or_insert(
        &self,
        shard: &mut HashMap<RoomName, Arc<Room>>,
        name: &RoomName,
    ) -> Arc<Room> {
        if let Some(room) = shard.get(name) {
            return Arc::clone(room);
        }
        let room = Arc::new(Room::new(name.clone()));
        shard.insert(name.clone(), Arc::clone(&room));
        self.rooms_gauge.inc();
        room
    }

    fn shard(&self, name: &str) -> &Mutex<HashMap<RoomName, Arc<Room>>> {
        // Any spread will do: a client that aims all its rooms at one shard only makes that lock a little busier.
        let sum = name.bytes().fold(0_usize, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        &self.shards[sum % SHARDS]
    }
}
