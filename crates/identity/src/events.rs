//! What is logged. Never a token, a key, or the part of an address that may hold a secret.

use std::fmt;

use tracing::{debug, info, warn};

use crate::JwksSource;

/// The first set, or the first after a failure, is news; the others are not.
pub(crate) fn keys_fetched(source: &JwksSource, keys: usize, is_news: bool) {
    let source = Shown(source);
    if is_news {
        info!(%source, keys, "key set fetched");
    } else {
        debug!(%source, keys, "key set fetched");
    }
}

/// An operator soon: tokens are checked with the keys at hand until those are too old.
pub(crate) fn keys_not_fetched(source: &JwksSource, error: &str, is_news: bool) {
    let source = Shown(source);
    if is_news {
        warn!(%source, error, "key set not fetched");
    } else {
        debug!(%source, error, "key set not fetched");
    }
}

/// A key set's place without user, password and query.
struct Shown<'a>(&'a JwksSource);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            JwksSource::File(path) => path.display().fmt(f),
            JwksSource::Url(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
                let end = rest.find(['?', '#']).unwrap_or(rest.len());
                let rest = &rest[..end];
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let host = authority.rsplit('@').next().unwrap_or_default();
                write!(f, "{scheme}://{host}{path}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let shown = |url: &str| Shown(&JwksSource::Url(url.to_owned())).to_string();
        assert_eq!(
            shown("https://me:secret@issuer.example:8443/jwks.json?key=secret"),
            "https://issuer.example:8443/jwks.json"
        );
        assert_eq!(shown("http://issuer?key=se/cr@et"), "http://issuer");
    }
}
