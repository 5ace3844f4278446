//! Which rooms the sessions of a listener may join and publish to.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::{Identity, RoomName, is_identity_room};

/// Room patterns (`*` any text, `?` one character, `[ab]`, `{a,b}`) of a listener.
#[derive(Debug, Clone)]
pub struct Permissions {
    join: GlobSet,
    publish: GlobSet,
    publish_unjoined: GlobSet,
    /// `None` lets everybody call everything.
    call: Option<GlobSet>,
}

/// A room pattern is malformed.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is no room pattern: {reason}")]
pub struct PermissionsError {
    pattern: String,
    reason: String,
}

impl Permissions {
    /// `join`: rooms a session may join by itself; `publish`: rooms it may publish to as a member;
    /// `publish_unjoined`: rooms it may publish to without being one.
    ///
    /// # Errors
    /// [`PermissionsError`] names the first malformed pattern.
    pub fn new(
        join: &[String],
        publish: &[String],
        publish_unjoined: &[String],
    ) -> Result<Self, PermissionsError> {
        Ok(Self {
            join: compile(join)?,
            publish: compile(publish)?,
            publish_unjoined: compile(publish_unjoined)?,
            call: None,
        })
    }

    /// The same, with the actions that a session may call.
    ///
    /// # Errors
    /// [`PermissionsError`] names the first malformed pattern.
    pub fn with_calls(mut self, call: &[String]) -> Result<Self, PermissionsError> {
        let everything = call.iter().any(|pattern| pattern == "*");
        self.call = if everything {
            None
        } else {
            Some(compile(call)?)
        };
        Ok(self)
    }

    /// Whether a session of that identity may join `room` by itself.
    #[must_use]
    pub fn may_join(&self, room: &RoomName, identity: Option<&Identity>) -> bool {
        let _ = identity;
        !is_identity_room(room.as_str()) && self.join.is_match(room.as_str())
    }

    /// Whether a session of that identity may publish to `room`, being a member of it or not.
    #[must_use]
    pub fn may_publish(
        &self,
        room: &RoomName,
        is_member: bool,
        identity: Option<&Identity>,
    ) -> bool {
        let _ = identity;
        (is_member && self.publish.is_match(room.as_str()))
            || self.publish_unjoined.is_match(room.as_str())
    }

    /// Whether a session of that identity may call `action`.
    #[must_use]
    pub fn may_call(&self, action: &str, identity: Option<&Identity>) -> bool {
        let _ = identity;
        self.call.as_ref().is_none_or(|set| set.is_match(action))
    }

    /// Whether everybody may call everything, so that nobody need be looked at.
    #[must_use]
    pub fn calls_are_open(&self) -> bool {
        self.call.is_none()
    }
}

/// Members may publish, everybody may join; nobody publishes from outside.
impl Default for Permissions {
    fn default() -> Self {
        let any = ["*".to_owned()];
        Self::new(&any, &any, &[]).expect("`*` is a pattern")
    }
}

fn compile(patterns: &[String]) -> Result<GlobSet, PermissionsError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern).map_err(|error| PermissionsError {
            pattern: pattern.clone(),
            reason: error.kind().to_string(),
        })?;
        set.add(glob);
    }
    set.build().map_err(|error| PermissionsError {
        pattern: patterns.join(", "),
        reason: error.kind().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_decide() {
        let list = |items: &[&str]| {
            items
                .iter()
                .map(|item| (*item).to_owned())
                .collect::<Vec<_>>()
        };
        let rules = Permissions::new(&list(&["chat-*"]), &list(&["*"]), &list(&["news"])).unwrap();
        let room = |name| RoomName::new(name).unwrap();
        assert!(rules.may_join(&room("chat-1"), None));
        assert!(!rules.may_join(&room("news"), None));
        assert!(rules.may_publish(&room("any"), true, None));
        assert!(!rules.may_publish(&room("any"), false, None));
        assert!(rules.may_publish(&room("news"), false, None));
    }

    #[test]
    fn a_malformed_pattern_is_named() {
        let error = Permissions::new(&["[a".to_owned()], &[], &[]).unwrap_err();
        assert!(error.to_string().contains("`[a`"), "{error}");
    }
}
