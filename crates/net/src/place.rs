//! What every listener is given, whatever its protocol.

use std::sync::Arc;

use polyport_core::{
    Dialect, Hub, Limits, Listener, ListenerConfig, Permissions, RealmName, RoomName,
};

use crate::{Bind, ServerSettings, Transportation};

/// A listener's part of the configuration that is the same for every protocol.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name in the configuration.
    pub name: String,
    /// Where it listens.
    pub bind: Bind,
    /// The realm of its sessions.
    pub realm: RealmName,
    /// Rooms that every session is put into.
    pub join: Vec<RoomName>,
    /// Its bounds.
    pub limits: Limits,
    /// Further rooms that exist as long as the listener does.
    pub rooms: Vec<RoomName>,
    /// What its sessions may do.
    pub permissions: Permissions,
    /// PROXY header, TLS, keepalive.
    pub server: ServerSettings,
}

/// What every listener of the process shares.
#[derive(Debug, Clone)]
pub struct Process {
    /// The hub.
    pub hub: Arc<Hub>,
    /// Tasks and deadlines.
    pub transportation: Transportation,
}

impl Place {
    /// The core's listener for this place.
    #[must_use]
    pub fn listener(
        &self,
        hub: &Arc<Hub>,
        protocol: &'static str,
        dialect: Arc<dyn Dialect>,
    ) -> Arc<Listener> {
        hub.listener(ListenerConfig {
            name: self.name.clone(),
            protocol,
            realm: self.realm.clone(),
            dialect,
            join: self.join.clone(),
            rooms: self.rooms.clone(),
            limits: self.limits.clone(),
            permissions: self.permissions.clone(),
        })
    }
}
