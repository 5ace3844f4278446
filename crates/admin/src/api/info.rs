//! What this node is and how it stands.

use std::sync::Arc;

use polyport_core::{Realm, RealmName};
use serde::Serialize;

use crate::{
    AdminState,
    api::{Api, answer::Answer, error::ApiError, query::Query},
    configuration::ConfigurationInfo,
};

#[derive(Debug, Serialize)]
struct Info {
    version: String,
    uptime_seconds: u64,
    ready: bool,
    /// Why it is not.
    reasons: Vec<String>,
    sessions: usize,
    listeners: Vec<ListenerInfo>,
    realms: Vec<RealmInfo>,
    configuration: ConfigurationInfo,
}

#[derive(Debug, Serialize)]
struct ListenerInfo {
    name: String,
    protocol: &'static str,
    realm: RealmName,
    sessions: usize,
    /// It was removed, and its last sessions are about to end.
    draining: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct RealmInfo {
    name: RealmName,
    rooms: usize,
}

impl RealmInfo {
    pub(crate) fn of(realm: &Arc<Realm>) -> Self {
        Self {
            name: realm.name().clone(),
            rooms: realm.len(),
        }
    }
}

impl Api {
    pub(crate) fn info(&self, state: &AdminState, query: Option<&str>) -> Result<Answer, ApiError> {
        Query::parse(query, &[])?;
        let listeners = self.hub().listeners();
        let listeners = listeners.iter().map(|listener| ListenerInfo {
            name: listener.name().to_owned(),
            protocol: listener.protocol(),
            realm: listener.realm().name().clone(),
            sessions: self
                .hub()
                .count(|session| Arc::ptr_eq(session.listener(), listener)),
            draining: listener.is_draining(),
        });
        let realms = self.hub().realms();
        let reasons = state.readiness().reasons();
        Ok(Answer::ok(&Info {
            version: self.version().to_owned(),
            uptime_seconds: self.uptime().as_secs(),
            ready: reasons.is_empty(),
            reasons: reasons.into_iter().map(ToString::to_string).collect(),
            sessions: self.hub().len(),
            listeners: listeners.collect(),
            realms: realms.iter().map(RealmInfo::of).collect(),
            configuration: state.configuration().info(),
        }))
    }
}
