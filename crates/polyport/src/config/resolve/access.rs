//! Resolving tokens, what listeners ask of them, and keys of the server API.

use std::collections::HashMap;

use polyport_core::{self as core, TapLimits, TokenSource};
use polyport_identity::{SiteRules, SiteSource, base_domain};

use super::Resolver;
use crate::config::{
    API_KEY_VARIABLE,
    places::TokenPlace,
    report::suggestion,
    resolved::{
        ApiConfig, ApiKeyConfig, AuthConfig, JwksConfig, JwksPlace, KeyMaterial, TokenKeyConfig,
        TokensConfig,
    },
    settings::{
        self, ApiSettings, AuthSettings, JwksSettings, OnExpiry, Settings, SiteSettings,
        TapSettings, TokenKeySettings, TokenSettings,
    },
};

/// Shorter keys have no 128 bits and can be guessed.
const MIN_API_KEY: usize = 22;

/// Half of the places of the admin listener.
const MAX_TAPS: usize = 32;

/// Records per second of a tap.
const MAX_TAP_RATE: u32 = 100_000;

impl Resolver<'_> {
    pub(super) fn tokens(&mut self, name: &str, settings: &TokenSettings) -> TokensConfig {
        let at = |key: &'static str| ["tokens", name, key];
        self.name(&["tokens", name]);
        if settings.keys.is_empty() && settings.jwks.is_none() {
            self.fault(
                &at("keys"),
                r#"missing: without a key or a `jwks` no token is good; write keys = [{ algorithm = "HS256", secret = "env:NAME" }]"#,
            );
        }
        let mut keys = Vec::new();
        for (index, key) in settings.keys.iter().enumerate() {
            keys.extend(self.token_key(name, index, key));
        }
        let jwks = settings.jwks.as_ref();
        TokensConfig {
            name: name.to_owned(),
            keys,
            jwks: jwks.and_then(|jwks| self.jwks(name, jwks)),
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: settings.leeway.0,
            require_expiry: settings.require_expiry,
            user_claim: settings.user_claim.clone(),
            site_claim: settings.site_claim.clone(),
        }
    }

    fn token_key(
        &mut self,
        name: &str,
        index: usize,
        settings: &TokenKeySettings,
    ) -> Option<TokenKeyConfig> {
        let index = index.to_string();
        let at = |key: &'static str| ["tokens", name, "keys", index.as_str(), key];
        let material = match (&settings.secret, &settings.public_key) {
            (Some(secret), None) if settings.algorithm.is_shared() => {
                KeyMaterial::Secret(self.secret(secret, &at("secret"))?)
            }
            (None, Some(path)) if !settings.algorithm.is_shared() => {
                KeyMaterial::PublicKey(self.file(&at("public_key"), path))
            }
            _ => {
                let (wanted, other, example) = if settings.algorithm.is_shared() {
                    ("secret", "public_key", "env:NAME")
                } else {
                    ("public_key", "secret", "issuer.pem")
                };
                let message = format!(
                    "{:?} takes `{wanted}` and no `{other}`; write {wanted} = \"{example}\"",
                    settings.algorithm
                );
                self.fault(&at("algorithm"), message);
                return None;
            }
        };
        Some(TokenKeyConfig {
            algorithm: settings.algorithm,
            kid: settings.kid.clone(),
            material,
        })
    }

    fn jwks(&mut self, name: &str, settings: &JwksSettings) -> Option<JwksConfig> {
        let at = |key: &'static str| ["tokens", name, "jwks", key];
        let from = match (&settings.url, &settings.file) {
            (Some(url), None) if url.starts_with("http://") || url.starts_with("https://") => {
                JwksPlace::Url(url.clone())
            }
            (Some(_), None) => {
                self.fault(
                    &at("url"),
                    r#"expected an address that begins with http:// or https://; write one such as "https://issuer.example.com/jwks.json""#,
                );
                return None;
            }
            (None, Some(path)) => JwksPlace::File(self.file(&at("file"), path)),
            (Some(_), Some(_)) => {
                self.fault(
                    &at("file"),
                    "there is a `url` already; remove one of the two",
                );
                return None;
            }
            (None, None) => {
                let message = "there is neither `url` nor `file`; write one of them";
                self.fault(&["tokens", name, "jwks"], message);
                return None;
            }
        };
        if settings.algorithms.is_empty() {
            self.fault(
                &at("algorithms"),
                r#"no algorithm is allowed; write one at least, such as ["RS256"]"#,
            );
        }
        if let Some(index) = settings.algorithms.iter().position(|one| one.is_shared()) {
            let index = index.to_string();
            let setting = ["tokens", name, "jwks", "algorithms", &index];
            self.fault(
                &setting,
                "a key set holds public keys, and this takes a secret; write the algorithm of the keys, such as \"RS256\"",
            );
        }
        if settings.refresh.0.is_zero() {
            self.fault(
                &at("refresh"),
                "expected more than 0; write a time such as \"10m\"",
            );
        }
        Some(JwksConfig {
            from,
            algorithms: settings.algorithms.clone(),
            refresh: settings.refresh.0,
            stale: settings.stale.0,
        })
    }

    pub(super) fn auth(
        &mut self,
        listener: &str,
        settings: &AuthSettings,
        all: &Settings,
    ) -> Option<AuthConfig> {
        if !all.tokens.contains_key(&settings.tokens) {
            let valid: Vec<&str> = all.tokens.keys().map(String::as_str).collect();
            let message = if valid.is_empty() {
                format!(
                    "there is no [tokens.{0}]; write [tokens.{0}], and its `keys` or `jwks` below",
                    settings.tokens
                )
            } else {
                format!(
                    "there is no [tokens.{}]{}",
                    settings.tokens,
                    suggestion(&settings.tokens, &valid)
                )
            };
            self.fault(&["listeners", listener, "auth", "tokens"], message);
            return None;
        }
        Some(AuthConfig {
            tokens: settings.tokens.clone(),
            required: settings.required,
            sources: settings.from.iter().map(source).collect(),
            on_expiry: match settings.on_expiry {
                OnExpiry::Close => Some(core::OnExpiry::Close),
                OnExpiry::Downgrade => Some(core::OnExpiry::Downgrade),
                OnExpiry::Keep => None,
            },
        })
    }

    pub(super) fn site(&mut self, listener: &str, settings: &SiteSettings) -> Option<SiteRules> {
        let at = |key: &'static str| ["listeners", listener, "site", key];
        let mut map = HashMap::new();
        for (host, site) in &settings.map {
            for name in [host, site] {
                if base_domain(name).is_none() {
                    self.fault(
                        &at("map"),
                        format!("`{name}` is no host name; write one such as \"app.example.com\""),
                    );
                    return None;
                }
            }
            map.insert(host.to_ascii_lowercase(), site.to_ascii_lowercase());
        }
        let strange = |site: &&String| base_domain(site).as_ref() != Some(*site);
        if let Some(site) = settings.allow.iter().find(strange) {
            let message = format!(
                "`{site}` is no site; write a base domain in lower case, such as \"example.com\""
            );
            self.fault(&at("allow"), message);
            return None;
        }
        let sources = settings.sources.iter().map(|source| match source {
            settings::SiteSource::Origin => SiteSource::Origin,
            settings::SiteSource::Referer => SiteSource::Referer,
            settings::SiteSource::Host => SiteSource::Host,
        });
        Some(SiteRules {
            sources: sources.collect(),
            map,
            allow: settings.allow.clone(),
        })
    }

    pub(super) fn api(&mut self, settings: &ApiSettings, has_admin: bool) -> ApiConfig {
        if !has_admin {
            self.fault(
                &["api"],
                "the server API is on the admin listener, and there is none; add [admin]",
            );
        }
        let master_key = self.variable(API_KEY_VARIABLE).map(str::to_owned);
        if master_key
            .as_ref()
            .is_some_and(|key| key.len() < MIN_API_KEY)
        {
            let message = format!(
                "{API_KEY_VARIABLE} is shorter than {MIN_API_KEY} characters; make one with `polyport api-key`"
            );
            self.fault(&["api"], message);
        }
        let mut keys = Vec::new();
        for (name, key) in &settings.keys {
            self.name(&["api", "keys", name]);
            self.patterns(&key.rooms, &["api", "keys", name, "rooms"]);
            let Some(hash) = &key.hash else {
                let message =
                    "missing; write the hash that `polyport api-key` makes together with a key";
                self.fault(&["api", "keys", name, "hash"], message);
                continue;
            };
            keys.push(ApiKeyConfig {
                name: name.clone(),
                hash: hash.0.clone(),
                verbs: key.verbs.clone(),
                rooms: key.rooms.clone(),
                rate: key.rate,
            });
        }
        ApiConfig {
            keys,
            master_key,
            tap: self.tap(&settings.tap),
        }
    }

    fn tap(&mut self, settings: &TapSettings) -> TapLimits {
        if settings.taps > MAX_TAPS {
            let message = format!("at most {MAX_TAPS}: other requests need places too");
            self.fault(&["api", "tap", "taps"], message);
        }
        if !(1..=MAX_TAP_RATE).contains(&settings.rate) {
            let message = format!("expected a number from 1 to {MAX_TAP_RATE}");
            self.fault(&["api", "tap", "rate"], message);
        }
        let has_letters = |name: &String| name.contains(char::is_alphanumeric);
        if !settings.redact.iter().all(has_letters) {
            let message = "a name has letters or digits: nothing else of it counts";
            self.fault(&["api", "tap", "redact"], message);
        }
        TapLimits {
            taps: settings.taps,
            rate: settings.rate,
            redact: settings.redact.clone(),
        }
    }
}

fn source(place: &TokenPlace) -> TokenSource {
    match place {
        TokenPlace::Bearer => TokenSource::Bearer,
        TokenPlace::Header(name) => TokenSource::Header(name.clone()),
        TokenPlace::Query(name) => TokenSource::Query(name.clone()),
        TokenPlace::Cookie(name) => TokenSource::Cookie(name.clone()),
    }
}
