//! Which rooms the sessions of a listener may join and publish to, and what they may call.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::{Identity, RoomName, is_identity_room, pattern::PersonalPattern};

/// Patterns of a listener: `*` any text, `?` one character, `[ab]`, `{a,b}`; `{user}` and `{site}` stand for the session's
/// own, and match nothing for a session that has none.
///
/// The rooms `user(…)` and `site(…)`, in which sessions are because of who they are, are meant only by patterns that begin
/// with `user(` or `site(`: no `*` lets a client into somebody's room, or speak there.
#[derive(Debug, Clone)]
pub struct Permissions {
    join: Patterns,
    publish: Patterns,
    publish_unjoined: Patterns,
    /// `None` lets everybody call everything.
    call: Option<Patterns>,
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
            join: Patterns::new(join)?,
            publish: Patterns::new(publish)?,
            publish_unjoined: Patterns::new(publish_unjoined)?,
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
            Some(Patterns::new(call)?)
        };
        Ok(self)
    }

    /// Whether a session of that identity may join `room` by itself.
    #[must_use]
    pub fn may_join(&self, room: &RoomName, identity: Option<&Identity>) -> bool {
        self.join.mean_room(room, identity)
    }

    /// Whether a session of that identity may publish to `room`, being a member of it or not.
    #[must_use]
    pub fn may_publish(
        &self,
        room: &RoomName,
        is_member: bool,
        identity: Option<&Identity>,
    ) -> bool {
        (is_member && self.publish.mean_room(room, identity))
            || self.publish_unjoined.mean_room(room, identity)
    }

    /// Whether a session of that identity may call `action`.
    #[must_use]
    pub fn may_call(&self, action: &str, identity: Option<&Identity>) -> bool {
        let Some(call) = &self.call else { return true };
        call.mean(action, identity)
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

/// Patterns of which one must match.
#[derive(Debug, Clone)]
struct Patterns {
    /// Those without placeholders.
    plain: GlobSet,
    /// Those of them that begin with `user(` or `site(`.
    plain_of_identities: GlobSet,
    personal: Vec<Personal>,
}

#[derive(Debug, Clone)]
struct Personal {
    pattern: PersonalPattern,
    /// It begins with `user(` or `site(`.
    is_of_identities: bool,
}

impl Patterns {
    fn new(patterns: &[String]) -> Result<Self, PermissionsError> {
        let (mut plain, mut plain_of_identities) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let mut personal = Vec::new();
        for pattern in patterns {
            let malformed = |reason: String| PermissionsError {
                pattern: pattern.clone(),
                reason,
            };
            // To globset a placeholder is a text like any other, so it judges all patterns.
            let glob = Glob::new(pattern).map_err(|error| malformed(error.kind().to_string()))?;
            let is_of_identities = pattern.starts_with("user(") || pattern.starts_with("site(");
            if let Some(pattern) = PersonalPattern::parse(pattern).map_err(malformed)? {
                personal.push(Personal {
                    pattern,
                    is_of_identities,
                });
                continue;
            }
            if is_of_identities {
                plain_of_identities.add(glob.clone());
            }
            plain.add(glob);
        }
        let built = |set: &GlobSetBuilder| {
            set.build().map_err(|error| PermissionsError {
                pattern: patterns.join(", "),
                reason: error.kind().to_string(),
            })
        };
        Ok(Self {
            plain: built(&plain)?,
            plain_of_identities: built(&plain_of_identities)?,
            personal,
        })
    }

    fn mean_room(&self, room: &RoomName, identity: Option<&Identity>) -> bool {
        let name = room.as_str();
        if !is_identity_room(name) {
            return self.mean(name, identity);
        }
        let mut personal = self.personal.iter().filter(|one| one.is_of_identities);
        self.plain_of_identities.is_match(name)
            || personal.any(|one| one.pattern.matches(name, identity))
    }

    fn mean(&self, name: &str, identity: Option<&Identity>) -> bool {
        self.plain.is_match(name)
            || (self.personal.iter()).any(|one| one.pattern.matches(name, identity))
    }
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
