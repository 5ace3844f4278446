//! Who has logged in, and who comes back as whom.
//!
//! Monitors know an app by the id of its connection and its instances by a name that the app may keep when it connects again.
//! An app that is gone is held for a while; if another connection speaks for one of its instances meanwhile, it stands for the
//! old one from then on: nobody is told that the app has gone, and what is sent to the old id reaches the new connection.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
};

use polyport_core::{Json, RealmName, RoomName, SessionRef, WeakSession};

use crate::client::Client;

/// Instances by which one connection is known again.
const MOST_INSTANCES: usize = 64;

/// Old ids that one connection stands for.
const MOST_INHERITED: usize = 256;

/// On which side of the relay a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    App,
    Monitor,
}

/// What a connection knows of its own place in the registry, so that it need not be asked for every message.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) role: Option<Role>,
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
    pub(crate) fn is_new(&mut self, instance: &str) -> bool {
        self.role == Some(Role::App)
            && !self.instances.contains(instance)
            && self.instances.len() < MOST_INSTANCES
            && self.instances.insert(instance.into())
    }
}

/// Everybody, by realm.
#[derive(Default)]
pub(crate) struct Registry(HashMap<RealmName, Team>);

#[derive(Default)]
struct Team {
    seats: HashMap<Box<str>, Seat>,
    /// Ids of connections that have gone, and of those that stand for them.
    aliases: HashMap<Box<str>, Box<str>>,
    /// The connection that has spoken for an instance last.
    instances: HashMap<Box<str>, Box<str>>,
    /// Apps that have gone and may come back, with the ids that they stood for.
    held: HashMap<Box<str>, Vec<Box<str>>>,
}

struct Seat {
    client: Weak<Client>,
    session: WeakSession,
    role: Role,
    /// Instances that it has spoken for.
    instances: HashSet<Box<str>>,
    /// Ids of connections that it stands for.
    inherited: Vec<Box<str>>,
}

/// As many of a kind are there as may be.
#[derive(Debug)]
pub(crate) struct Full;

/// What is to be said now that a client has gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Farewells {
    /// Nothing.
    None,
    /// To monitors, that these apps have gone.
    Apps(Vec<Box<str>>),
    /// To apps, that this monitor has gone; on this node it was the last one.
    Monitor,
    /// Nothing yet: see whether the app has come back.
    Later,
}

impl Registry {
    /// A client says what it is.
    pub(crate) fn login(
        &mut self,
        client: &Arc<Client>,
        session: &SessionRef,
        role: Role,
        most: usize,
    ) -> Result<(), Full> {
        let team = self.0.entry(session.realm().name().clone()).or_default();
        let name = client.name();
        let others = team.seats.iter().filter(|(other, seat)| {
            seat.role == role && ***other != *name && seat.session.upgrade().is_some()
        });
        if others.count() >= most {
            return Err(Full);
        }
        let seat = team.seats.entry(name.into()).or_insert_with(|| Seat {
            client: Arc::downgrade(client),
            session: session.downgrade(),
            role,
            instances: HashSet::new(),
            inherited: Vec::new(),
        });
        seat.role = role;
        Ok(())
    }

    /// The connection of that id, or the one that stands for it.
    pub(crate) fn find(&self, realm: &RealmName, name: &str) -> Option<(Arc<Client>, SessionRef)> {
        let team = self.0.get(realm)?;
        let name = team.aliases.get(name).map_or(name, |newer| newer);
        let seat = team.seats.get(name)?;
        Some((seat.client.upgrade()?, seat.session.upgrade()?))
    }

    /// An app speaks for an instance. Gives ids that are to be forgotten, because it stands for too many.
    pub(crate) fn announce(
        &mut self,
        realm: &RealmName,
        name: &str,
        instance: &str,
    ) -> Vec<Box<str>> {
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

    /// A client has gone. Others are there if they are in `log`, where monitors are.
    pub(crate) fn leave(
        &mut self,
        realm: &RealmName,
        name: &str,
        log: &RoomName,
        keeps: bool,
    ) -> Farewells {
        let Some(team) = self.0.get_mut(realm) else {
            return Farewells::None;
        };
        let Some(seat) = team.seats.remove(name) else {
            return Farewells::None;
        };
        if seat.role == Role::Monitor {
            return if keeps && team.has_monitor(log) {
                Farewells::None
            } else {
                Farewells::Monitor
            };
        }
        let mut gone = seat.inherited;
        if keeps {
            if let Some(heir) = team.heir(name, &seat.instances) {
                gone.push(name.into());
                return match team.inherit(&heir, gone) {
                    forgotten if forgotten.is_empty() => Farewells::None,
                    forgotten => Farewells::Apps(forgotten),
                };
            }
            if !seat.instances.is_empty() {
                team.held.insert(name.into(), gone);
                return Farewells::Later;
            }
        }
        team.forget(name, &gone);
        gone.push(name.into());
        Farewells::Apps(gone)
    }

    /// The time of an app that has gone is over: the ids of which monitors are to hear, unless it has come back.
    pub(crate) fn expire(&mut self, realm: &RealmName, name: &str) -> Vec<Box<str>> {
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
    pub(crate) fn tidy(&mut self, realm: &RealmName) {
        let is_empty = |team: &Team| team.seats.is_empty() && team.held.is_empty();
        if self.0.get(realm).is_some_and(is_empty) {
            self.0.remove(realm);
        }
    }
}

impl Team {
    fn has_monitor(&self, log: &RoomName) -> bool {
        self.seats.values().any(|seat| {
            seat.role == Role::Monitor && seat.session.upgrade().is_some_and(|it| it.is_in(log))
        })
    }

    /// Another connection that has spoken later for one of these instances.
    fn heir(&self, name: &str, instances: &HashSet<Box<str>>) -> Option<Box<str>> {
        let newest = instances.iter().filter_map(|it| self.instances.get(it));
        let mut others = newest.filter(|newest| ***newest != *name);
        others
            .find(|other| self.seats.contains_key(*other))
            .cloned()
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
        self.instances.retain(|_, newest| **newest != *name);
    }
}
