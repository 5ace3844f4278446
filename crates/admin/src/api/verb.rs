//! The verbs of the server API: path, method, and what a key needs.

use hyper::Method;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Publish,
    Broadcast,
    Call,
    Join,
    Leave,
    Disconnect,
    Drain,
    Reload,
    Upgrade,
    ServerSideEmit,
    Batch,
    Sessions,
    Session,
    Rooms,
    Presence,
    Tap,
    Log,
    SetLog,
    Info,
    Overview,
    OpenApi,
}

/// What a key can be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Publish,
    Call,
    Join,
    Leave,
    Disconnect,
    Drain,
    Reload,
    Upgrade,
    ServerSideEmit,
    Sessions,
    Rooms,
    Presence,
    Tap,
    Log,
    Info,
}

impl Verb {
    pub(crate) const ALL: [Self; 21] = [
        Self::Publish,
        Self::Broadcast,
        Self::Call,
        Self::Join,
        Self::Leave,
        Self::Disconnect,
        Self::Drain,
        Self::Reload,
        Self::Upgrade,
        Self::ServerSideEmit,
        Self::Batch,
        Self::Sessions,
        Self::Session,
        Self::Rooms,
        Self::Presence,
        Self::Tap,
        Self::Log,
        Self::SetLog,
        Self::Info,
        Self::Overview,
        Self::OpenApi,
    ];

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Publish => "/api/publish",
            Self::Broadcast => "/api/broadcast",
            Self::Call => "/api/call",
            Self::Join => "/api/join",
            Self::Leave => "/api/leave",
            Self::Disconnect => "/api/disconnect",
            Self::Drain => "/api/drain",
            Self::Reload => "/api/reload",
            Self::Upgrade => "/api/upgrade",
            Self::ServerSideEmit => "/api/serverSideEmit",
            Self::Batch => "/api/batch",
            Self::Sessions => "/api/sessions",
            Self::Session => "/api/sessions/{id}",
            Self::Rooms => "/api/rooms",
            Self::Presence => "/api/presence",
            Self::Tap => "/api/tap",
            Self::Log | Self::SetLog => "/api/log",
            Self::Info => "/api/info",
            Self::Overview => "/api/overview",
            Self::OpenApi => "/api/openapi.json",
        }
    }

    /// The metric label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Broadcast => "broadcast",
            Self::Call => "call",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Disconnect => "disconnect",
            Self::Drain => "drain",
            Self::Reload => "reload",
            Self::Upgrade => "upgrade",
            Self::ServerSideEmit => "serverSideEmit",
            Self::Batch => "batch",
            Self::Sessions => "sessions",
            Self::Session => "session",
            Self::Rooms => "rooms",
            Self::Presence => "presence",
            Self::Tap => "tap",
            Self::Log => "log",
            Self::SetLog => "setLog",
            Self::Info => "info",
            Self::Overview => "overview",
            Self::OpenApi => "openapi",
        }
    }

    /// Whether it is asked with POST and a JSON body.
    pub(crate) fn takes_body(self) -> bool {
        matches!(
            self,
            Self::Publish
                | Self::Broadcast
                | Self::Call
                | Self::Join
                | Self::Leave
                | Self::Disconnect
                | Self::Drain
                | Self::Reload
                | Self::Upgrade
                | Self::ServerSideEmit
                | Self::SetLog
                | Self::Batch
        )
    }

    /// Whether a request with an `Idempotency-Key` is done once: not where the next one comes to another process.
    pub(crate) fn may_be_named(self) -> bool {
        self != Self::Upgrade
    }

    /// The methods it answers, as `Allow` lists them.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Log | Self::SetLog => "GET, HEAD, POST",
            _ if self.takes_body() => "POST",
            _ => "GET, HEAD",
        }
    }

    /// What is meant by that method, where one path has several.
    pub(crate) fn asked_by(self, method: &Method) -> Self {
        match self {
            Self::Log | Self::SetLog if *method == Method::POST => Self::SetLog,
            Self::Log | Self::SetLog => Self::Log,
            other => other,
        }
    }

    pub(crate) fn allows(self, method: &Method) -> bool {
        if self.takes_body() {
            *method == Method::POST
        } else {
            matches!(*method, Method::GET | Method::HEAD)
        }
    }

    /// The statuses that it may answer with, as `openapi.json` has them.
    pub(crate) fn statuses(self) -> &'static [u16] {
        match self {
            Self::Call => &[
                200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 503, 504,
            ],
            Self::ServerSideEmit => &[
                200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 503,
            ],
            Self::Publish | Self::Broadcast | Self::Join | Self::Leave | Self::Disconnect => {
                &[200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429]
            }
            Self::Drain | Self::SetLog => &[200, 400, 401, 403, 405, 408, 409, 413, 415, 422, 429],
            Self::Reload => &[200, 400, 401, 403, 405, 408, 409, 413, 415, 422, 429, 503],
            Self::Upgrade => &[200, 400, 401, 403, 405, 408, 413, 415, 422, 429, 503],
            Self::Batch => &[200, 400, 401, 405, 408, 409, 413, 415, 422, 429],
            Self::Session | Self::Tap => &[200, 400, 401, 403, 404, 405, 429, 503],
            Self::Sessions | Self::Rooms | Self::Presence => &[200, 400, 401, 403, 404, 405, 429],
            Self::Log | Self::Info | Self::Overview => &[200, 400, 401, 403, 405, 429],
            Self::OpenApi => &[200, 405],
        }
    }

    /// What a key needs for it; a batch needs what its commands need.
    pub(crate) fn right(self) -> Option<Right> {
        match self {
            Self::Publish | Self::Broadcast => Some(Right::Publish),
            Self::Call => Some(Right::Call),
            Self::Join => Some(Right::Join),
            Self::Leave => Some(Right::Leave),
            Self::Disconnect => Some(Right::Disconnect),
            Self::Drain => Some(Right::Drain),
            Self::Reload => Some(Right::Reload),
            Self::Upgrade => Some(Right::Upgrade),
            Self::ServerSideEmit => Some(Right::ServerSideEmit),
            Self::Sessions | Self::Session => Some(Right::Sessions),
            Self::Rooms => Some(Right::Rooms),
            Self::Presence => Some(Right::Presence),
            Self::Tap => Some(Right::Tap),
            Self::Log | Self::SetLog => Some(Right::Log),
            Self::Info | Self::Overview => Some(Right::Info),
            Self::Batch | Self::OpenApi => None,
        }
    }
}

impl Right {
    /// In the order of [`crate::ApiKeys::VERBS`].
    pub(crate) const ALL: [Self; 15] = [
        Self::Publish,
        Self::Call,
        Self::Join,
        Self::Leave,
        Self::Disconnect,
        Self::Drain,
        Self::Reload,
        Self::Upgrade,
        Self::ServerSideEmit,
        Self::Sessions,
        Self::Rooms,
        Self::Presence,
        Self::Tap,
        Self::Log,
        Self::Info,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|right| right.name() == name)
    }

    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Call => "call",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Disconnect => "disconnect",
            Self::Drain => "drain",
            Self::Reload => "reload",
            Self::Upgrade => "upgrade",
            Self::ServerSideEmit => "serverSideEmit",
            Self::Sessions => "sessions",
            Self::Rooms => "rooms",
            Self::Presence => "presence",
            Self::Tap => "tap",
            Self::Log => "log",
            Self::Info => "info",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_list_of_verbs_is_the_list_of_rights() {
        assert_eq!(Right::ALL.map(Right::name), crate::ApiKeys::VERBS);
    }
}
