//! Tokens and keys, known to be complete.

use std::{path::PathBuf, time::Duration};

use polyport_core::{OnExpiry, TapLimits, TokenSource};

use super::backends::SecretConfig;
use crate::config::{ApiVerb, TokenAlgorithm};

/// How tokens are checked, under its name.
#[derive(Debug, Clone, PartialEq)]
pub struct TokensConfig {
    /// The operator's name for it.
    pub name: String,
    /// Keys that tokens may be signed with.
    pub keys: Vec<TokenKeyConfig>,
    /// A key set to take further keys from.
    pub jwks: Option<JwksConfig>,
    /// The `iss` that tokens must have.
    pub issuer: Option<String>,
    /// The `aud` that tokens must have one of; empty: any.
    pub audience: Vec<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Refuses tokens that never expire.
    pub require_expiry: bool,
    /// The claim with the user's id, if it is a particular one.
    pub user_claim: Option<String>,
    /// The claim with the site, if there is one.
    pub site_claim: Option<String>,
}

/// A key and its one algorithm.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenKeyConfig {
    /// The algorithm.
    pub algorithm: TokenAlgorithm,
    /// The key's id.
    pub kid: Option<String>,
    /// The key.
    pub material: KeyMaterial,
}

/// A key of the kind that its algorithm takes.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyMaterial {
    /// A shared secret.
    Secret(SecretConfig),
    /// A PEM file with a public key.
    PublicKey(PathBuf),
}

/// A JSON Web Key Set.
#[derive(Debug, Clone, PartialEq)]
pub struct JwksConfig {
    /// Where it is.
    pub from: JwksPlace,
    /// The algorithms that its keys may be used with; not empty.
    pub algorithms: Vec<TokenAlgorithm>,
    /// How often it is fetched.
    pub refresh: Duration,
    /// For how long an old one is used.
    pub stale: Duration,
}

/// Where a key set is.
#[derive(Debug, Clone, PartialEq)]
pub enum JwksPlace {
    /// Behind a URL.
    Url(String),
    /// In a file, absolute.
    File(PathBuf),
}

/// What a listener asks of tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthConfig {
    /// The name of the [`TokensConfig`], which exists.
    pub tokens: String,
    /// Whether a token must be there.
    pub required: bool,
    /// Where it may be.
    pub sources: Vec<TokenSource>,
    /// What becomes of a session whose token expires; nothing if it stays who it is.
    pub on_expiry: Option<OnExpiry>,
}

/// The server API.
#[derive(Clone, PartialEq, Default)]
pub struct ApiConfig {
    /// The keys in the file.
    pub keys: Vec<ApiKeyConfig>,
    /// The key with all rights, from the environment.
    pub master_key: Option<String>,
    /// Bounds of what can be watched live.
    pub tap: TapLimits,
}

/// Keys are never shown.
impl std::fmt::Debug for ApiConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiConfig")
            .field("keys", &self.keys)
            .field("master_key", &self.master_key.as_ref().map(|_| "hidden"))
            .field("tap", &self.tap)
            .finish()
    }
}

/// A key of the server API.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKeyConfig {
    /// The operator's name for it.
    pub name: String,
    /// `sha256:` and the hash.
    pub hash: String,
    /// What it may be used for; empty: everything.
    pub verbs: Vec<ApiVerb>,
    /// Patterns of rooms, known to compile; empty: all.
    pub rooms: Vec<String>,
    /// Requests per second; 0 is no bound.
    pub rate: u32,
}

impl TokensConfig {
    /// Whether keys come from files, which can change while the configuration does not.
    #[must_use]
    pub fn names_files(&self) -> bool {
        self.keys.iter().any(|key| {
            matches!(
                key.material,
                KeyMaterial::PublicKey(_) | KeyMaterial::Secret(SecretConfig::File(_))
            )
        })
    }
}
