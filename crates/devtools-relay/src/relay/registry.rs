//! Who has logged in, and who comes back as whom.
//!
//! Monitors know an app by the id of its connection and its instances by a name that the app may keep when it connects again.
//! An app that is gone is held for a while; if another connection speaks for one of its instances meanwhile, it stands for the
//! old one from then on: nobody is told that the app has gone, and what is sent to the old id reaches the new connection.

use std::collections::{HashMap, HashSet};

use polyport_core::{Json, RealmName};

/// Instances by which one connection is known again.
const MOST_INSTANCES: usize = 64;

/// Old ids that one connection stands for.
const MOST_INHERITED: usize = 256;

/// On which side of the relay a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It says what happens in it.
    App,
    /// It watches.
    Monitor,
}

/// A client as the registry has it.
pub trait Peer: Clone {
    /// Whether its connection is there.
    fn is_there(&self) -> bool;

    /// Whether it hears what apps say.
    fn is_watching(&self) -> bool;
}

/// What a connection knows of its own place in the registry, so that it need not be asked for every message.
#[derive(Debug, Default)]
pub struct Place {
    /// As what it has logged in last.
    pub role: Option<Role>,
    /// Instances that it has spoken for.
    instances: HashSet<Box<str>>,
    /// What is for this client alone, and has come before it has subscribed to its channel.
    pub(crate) early: Early,
}

/// Most messages that wait for a client to subscribe, and most bytes of them.
const MOST_EARLY: usize = 64;
const EARLY_BYTES: usize = 1 << 20;

/// Messages that wait for a client to subscribe.
#[derive(Debug, Default)]
pub(crate) struct Early {
    messages: Vec<Option<Json>>,
    bytes: usize,
}

impl Early {
    /// Keeps a message, or gives it back if there is no room.
    pub(crate) fn keep(&mut self, message: Option<Json>) -> Result<(), Option<Json>> {
        let length = message.as_ref().map_or(0, Json::len);
        if self.messages.len() >= MOST_EARLY || self.bytes + length > EARLY_BYTES {
            return Err(message);
        }
        self.bytes += length;
        self.messages.push(message);
        Ok(())
    }

    /// Gives what has waited.
    pub(crate) fn take(&mut self) -> Vec<Option<Json>> {
        std::mem::take(self).messages
    }
}

impl Place {
    /// Whether it is an app that speaks for that instance for the first time.
    pub fn is_new(&mut self, instance: &str) -> bool {
        self.role == Some(Role::App)
            && !self.instances.contains(instance)
            && self.instances.len() < MOST_INSTANCES
            && self.instances.insert(instance.into())
    }
}

/// Everybody, by realm.
pub struct Registry<P>(HashMap<RealmName, Team<P>>);

impl<P> Default for Registry<P> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

struct Team<P> {
    seats: HashMap<Box<str>, Seat<P>>,
    /// Ids of connections that have gone, and of those that stand for them.
    aliases: HashMap<Box<str>, Box<str>>,
    /// The connection that has spoken for an instance last.
    instances: HashMap<Box<str>, Box<str>>,
    /// Apps that have gone and may come back, with the ids that they stood for.
    held: HashMap<Box<str>, Vec<Box<str>>>,
}

impl<P> Default for Team<P> {
    fn default() -> Self {
        Self {
            seats: HashMap::new(),
            aliases: HashMap::new(),
            instances: HashMap::new(),
            held: HashMap::new(),
        }
    }
}

struct Seat<P> {
    peer: P,
    role: Role,
    /// Whether it has ever been an app: monitors know it then.
    was_app: bool,
    /// Instances that it has spoken for.
    instances: HashSet<Box<str>>,
    /// Ids of connections that it stands for.
    inherited: Vec<Box<str>>,
}

/// As many of a kind are there as may be.
#[derive(Debug)]
pub struct Full;

/// What is to be said now that a client has gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Farewells {
    /// To monitors, that these apps have gone.
    pub apps: Vec<Box<str>>,
    /// To apps, that this monitor has gone; on this node it was the last one.
    pub is_last_monitor: bool,
    /// Nothing yet of this app: see whether it comes back.
    pub is_held: bool,
}

impl<P: Peer> Registry<P> {
    /// A client says what it is.
    ///
    /// # Errors
    /// [`Full`]: there are `most` others of that role.
    pub fn login(
        &mut self,
        realm: &RealmName,
        name: &str,
        peer: P,
        role: Role,
        most: usize,
    ) -> Result<(), Full> {
        let team = self.0.entry(realm.clone()).or_default();
        let others = team
            .seats
            .iter()
            .filter(|(other, seat)| seat.role == role && ***other != *name && seat.peer.is_there());
        if others.count() >= most {
            return Err(Full);
        }
        let seat = team.seats.entry(name.into()).or_insert_with(|| Seat {
            peer,
            role,
            was_app: false,
            instances: HashSet::new(),
            inherited: Vec::new(),
        });
        seat.role = role;
        seat.was_app |= role == Role::App;
        Ok(())
    }

    /// The connection of that id, or the one that stands for it.
    #[must_use]
    pub fn find(&self, realm: &RealmName, name: &str) -> Option<P> {
        let team = self.0.get(realm)?;
        let name = team.aliases.get(name).map_or(name, |newer| newer);
        Some(team.seats.get(name)?.peer.clone())
    }

    /// What is remembered of a realm: connections, ids of others, instances.
    #[must_use]
    pub fn remembered(&self, realm: &RealmName) -> usize {
        self.0.get(realm).map_or(0, |team| {
            let held: usize = team.held.values().map(|ids| 1 + ids.len()).sum();
            team.seats.len() + team.aliases.len() + team.instances.len() + held
        })
    }

    /// An app speaks for an instance. Gives ids that are to be forgotten, because it stands for too many.
    pub fn announce(&mut self, realm: &RealmName, name: &str, instance: &str) -> Vec<Box<str>> {
        let Some(team) = self.0.get_mut(realm) else {
            return Vec::new();
        };
        let Some(seat) = team.seats.get_mut(name) else {
            return Vec::new();
        };
        seat.instances.insert(instance.into());
        let before = team.instances.insert(instance.into(), name.into());
        let Some(before) = before.filter(|before| **before != *name) else {
            return Vec::new();
        };
        match team.held.remove(&before) {
            Some(mut inherited) => {
                inherited.push(before);
                team.inherit(name, inherited)
            }
            None => Vec::new(),
        }
    }

    /// A client has gone. Unless the relay `keeps` the rest together, everybody hears so at once.
    pub fn leave(&mut self, realm: &RealmName, name: &str, keeps: bool) -> Farewells {
        let mut farewells = Farewells::default();
        let Some(team) = self.0.get_mut(realm) else {
            return farewells;
        };
        let Some(seat) = team.seats.remove(name) else {
            return farewells;
        };
        if seat.role == Role::Monitor {
            farewells.is_last_monitor = !(keeps && team.has_monitor());
            if !(keeps && seat.was_app) {
                team.forget(name, &seat.inherited);
                return farewells;
            }
        }
        let mut gone = seat.inherited;
        if keeps {
            if let Some(heir) = team.heir(name, &seat.instances) {
                gone.push(name.into());
                team.disown(name);
                farewells.apps = team.inherit(&heir, gone);
                return farewells;
            }
            if seat.role == Role::App && !seat.instances.is_empty() {
                team.held.insert(name.into(), gone);
                farewells.is_held = true;
                return farewells;
            }
        }
        team.forget(name, &gone);
        gone.push(name.into());
        farewells.apps = gone;
        farewells
    }

    /// The time of an app that has gone is over: the ids of which monitors are to hear, unless it has come back.
    pub fn expire(&mut self, realm: &RealmName, name: &str) -> Vec<Box<str>> {
        let Some(team) = self.0.get_mut(realm) else {
            return Vec::new();
        };
        let Some(mut gone) = team.held.remove(name) else {
            return Vec::new();
        };
        team.forget(name, &gone);
        gone.push(name.into());
        gone
    }

    /// Lets go of a realm in which nobody is.
    pub fn tidy(&mut self, realm: &RealmName) {
        let is_empty = |team: &Team<P>| team.seats.is_empty() && team.held.is_empty();
        if self.0.get(realm).is_some_and(is_empty) {
            self.0.remove(realm);
        }
    }
}

impl<P: Peer> Team<P> {
    fn has_monitor(&self) -> bool {
        let mut seats = self.seats.values();
        seats.any(|seat| seat.role == Role::Monitor && seat.peer.is_watching())
    }

    /// Another connection that has spoken later for one of these instances.
    fn heir(&self, name: &str, instances: &HashSet<Box<str>>) -> Option<Box<str>> {
        let newest = instances.iter().filter_map(|it| self.instances.get(it));
        let mut others = newest.filter(|newest| ***newest != *name);
        let is_app = |other: &str| {
            let seat = self.seats.get(other);
            seat.is_some_and(|seat| seat.role == Role::App)
        };
        others.find(|other| is_app(other)).cloned()
    }

    /// Has a connection stand for ids that have gone; gives those that are too many.
    fn inherit(&mut self, heir: &str, ids: Vec<Box<str>>) -> Vec<Box<str>> {
        let Some(seat) = self.seats.get_mut(heir) else {
            return ids;
        };
        seat.inherited.extend(ids);
        let surplus = seat.inherited.len().saturating_sub(MOST_INHERITED);
        let forgotten: Vec<_> = seat.inherited.drain(..surplus).collect();
        for id in &seat.inherited {
            self.aliases.insert(id.clone(), heir.into());
        }
        for id in &forgotten {
            self.aliases.remove(id);
        }
        forgotten
    }

    fn forget(&mut self, name: &str, inherited: &[Box<str>]) {
        for id in inherited {
            self.aliases.remove(id);
        }
        self.disown(name);
    }

    /// The connection has spoken for nothing.
    fn disown(&mut self, name: &str) {
        self.instances.retain(|_, newest| **newest != *name);
    }
}
