//! Which realm is which namespace under which key.

use std::borrow::Cow;

use polyport_core::RealmName;

use crate::codec::Channels;

/// A realm without the namespaces of Socket.IO that stand behind its name, and the channels of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    realm: String,
    pub(crate) channels: Channels,
    /// Whether a setting names its key: only then are there others than gateways.
    pub(crate) is_shared: bool,
}

/// What precedes the name of a realm that no setting gives a key: nobody but gateways uses it.
const PRIVATE_KEY: &str = "polyport:";

impl Base {
    pub(crate) fn shared(realm: &str, key: &str) -> Self {
        Self {
            realm: realm.to_owned(),
            channels: Channels::new(key),
            is_shared: true,
        }
    }

    pub(crate) fn private(realm: &str) -> Self {
        Self {
            realm: realm.to_owned(),
            channels: Channels::new(&format!("{PRIVATE_KEY}{realm}")),
            is_shared: false,
        }
    }

    pub(crate) fn realm_name(&self) -> &str {
        &self.realm
    }

    /// The realm of one of its namespaces; none if its name would be too long.
    pub(crate) fn realm(&self, namespace: &str) -> Option<RealmName> {
        let name = if namespace == "/" {
            Cow::Borrowed(&*self.realm)
        } else {
            Cow::Owned(format!("{}{namespace}", self.realm))
        };
        RealmName::new(&name).ok()
    }
}

/// The base of a realm, and the namespace that it is: what stands behind the first slash is Socket.IO's.
pub(crate) fn split(realm: &str) -> (&str, &str) {
    realm
        .find('/')
        .map_or((realm, "/"), |slash| realm.split_at(slash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_and_namespaces_are_the_same_in_both_directions() {
        let base = Base::shared("default", "socket.io");
        for (realm, namespace) in [
            ("default", "/"),
            ("default/admin", "/admin"),
            ("default//", "//"),
        ] {
            assert_eq!(split(realm), ("default", namespace));
            assert_eq!(base.realm(namespace), Some(RealmName::new(realm).unwrap()));
        }
        assert_eq!(base.realm(&"x".repeat(1024)), None);
        assert_eq!(
            Base::private("shop").channels.namespace("/"),
            "polyport:shop#/#"
        );
    }
}
