//! Settings of who may come in: tokens, what a listener asks of them, and the keys of the server API.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{
    places::{ApiKeyHash, Secret, TokenPlace},
    strict::{optional_table, table, tables, word, words},
    units::Period,
};

/// How JSON Web Tokens are checked, and who they say somebody is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSettings {
    /// Keys that tokens may be signed with.
    pub keys: Vec<TokenKeySettings>,
    /// A JSON Web Key Set to take further keys from.
    #[serde(
        deserialize_with = "optional_table",
        skip_serializing_if = "Option::is_none"
    )]
    pub jwks: Option<JwksSettings>,
    /// The `iss` that tokens must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The `aud` that tokens must have one of; empty: any.
    pub audience: Vec<String>,
    /// How far clocks may differ where times are compared.
    pub leeway: Period,
    /// Refuses tokens that never expire.
    pub require_expiry: bool,
    /// The claim with the user's id. Default: the first that is there of `sub`, `id`, `user_id`, `userId`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_claim: Option<String>,
    /// The claim with the site. Default: the base domain of the page that the client is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_claim: Option<String>,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            jwks: None,
            issuer: None,
            audience: Vec::new(),
            leeway: Period::secs(30),
            require_expiry: true,
            user_claim: None,
            site_claim: None,
        }
    }
}

/// A key that tokens may be signed with: `secret` for HS…, `public_key` for the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenKeySettings {
    /// The one algorithm that this key is for.
    #[serde(deserialize_with = "word")]
    pub algorithm: TokenAlgorithm,
    /// The key's id; a token that names another is not checked with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The shared secret, as `"env:NAME"` or `"file:PATH"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// PEM file with the public key, relative to the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PathBuf>,
}

/// The algorithms of RFC 7518 and RFC 8037 that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSA PKCS #1 with SHA-256.
    RS256,
    /// RSA PKCS #1 with SHA-384.
    RS384,
    /// RSA PKCS #1 with SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// RSA-PSS with SHA-384.
    PS384,
    /// RSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl TokenAlgorithm {
    /// Whether its key is a shared secret.
    #[must_use]
    pub fn is_shared(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// A JSON Web Key Set: `url` or `file`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JwksSettings {
    /// Where it is fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The file that holds it, relative to the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// The algorithms that its keys may be used with.
    #[serde(deserialize_with = "words")]
    pub algorithms: Vec<TokenAlgorithm>,
    /// How often it is fetched.
    pub refresh: Period,
    /// For how long the last one goes on being used while no new one can be had.
    pub stale: Period,
}

impl Default for JwksSettings {
    fn default() -> Self {
        Self {
            url: None,
            file: None,
            algorithms: vec![TokenAlgorithm::RS256],
            refresh: Period::secs(600),
            stale: Period::secs(86_400),
        }
    }
}

/// What a listener asks of tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// The `[tokens.NAME]` that tokens are checked by.
    pub tokens: String,
    /// Refuses clients that bring no token. A token that is no good is refused in any case.
    pub required: bool,
    /// Where an opening may carry its token, the first that is there: `"bearer"`, `"header:NAME"`, `"query:NAME"`, `"cookie:NAME"`.
    pub from: Vec<TokenPlace>,
    /// What becomes of a session whose token expires.
    #[serde(deserialize_with = "word")]
    pub on_expiry: OnExpiry,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            tokens: "main".to_owned(),
            required: false,
            from: vec![
                TokenPlace::Bearer,
                TokenPlace::Query("jwt".to_owned()),
                TokenPlace::Cookie("jwt".to_owned()),
            ],
            on_expiry: OnExpiry::Close,
        }
    }
}

/// What becomes of a session whose token expires.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnExpiry {
    /// It ends.
    #[default]
    Close,
    /// It goes on as nobody's.
    Downgrade,
    /// Nothing: it stays who it is.
    Keep,
}

/// How the site of a client's page is found, which names the room `site(HOST)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SiteSettings {
    /// Where to look for the page's host, the first that names one. Empty: there are no sites but those in tokens.
    pub sources: Vec<SiteSource>,
    /// Sites of hosts for which the base domain is not what is meant: `{ "shop.example.de" = "example.com" }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, String>,
    /// The only sites there are; a page of another one is on none. Empty: any.
    pub allow: Vec<String>,
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            sources: vec![SiteSource::Origin, SiteSource::Referer, SiteSource::Host],
            map: BTreeMap::new(),
            allow: Vec::new(),
        }
    }
}

/// What may say where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SiteSource {
    /// The header `Origin`.
    Origin,
    /// The header `Referer`.
    Referer,
    /// The header `Host`.
    Host,
}

/// The server API, on the admin listener under `/api/`. Without this table there is none. `POLYPORT_API_KEY` in the environment is a
/// key with all rights; if there is no key at all, one is made for this run and printed at the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiSettings {
    /// The keys, each under a name that logs show.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "tables")]
    pub keys: BTreeMap<String, ApiKeySettings>,
    /// Taps: what happens, watched live.
    #[schemars(extend("x-takes-effect" = "live"))]
    #[serde(deserialize_with = "table")]
    pub tap: TapSettings,
}

/// Bounds of what can be watched live, and what nobody sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TapSettings {
    /// Taps at once, 32 at most: each takes one of the 64 places that the admin listener has for connections. 0: none.
    pub taps: usize,
    /// Records per second of one tap, from 1 to 100000. What is more is dropped, and how much is told.
    pub rate: u32,
    /// Names of fields, events and actions whose values are not shown, beside those that tell of a secret by themselves: `password`, `token`, `cookie` and others.
    pub redact: Vec<String>,
}

impl Default for TapSettings {
    fn default() -> Self {
        Self {
            taps: 8,
            rate: 500,
            redact: Vec::new(),
        }
    }
}

/// A key of the server API and what it may do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeySettings {
    /// `sha256:` and the key's hash, as `polyport api-key` prints it. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<ApiKeyHash>,
    /// What it may be used for; empty: everything.
    #[serde(deserialize_with = "words")]
    pub verbs: Vec<ApiVerb>,
    /// Patterns of the rooms it may be used on; empty: all.
    pub rooms: Vec<String>,
    /// Requests per second; 0 is no bound.
    pub rate: u32,
}

/// What a key of the server API may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApiVerb {
    /// Publishing, also to many targets at once.
    Publish,
    /// Asking a session's client.
    Call,
    /// Putting sessions into rooms.
    Join,
    /// Taking sessions out of rooms.
    Leave,
    /// Ending sessions.
    Disconnect,
    /// Stopping the process in order.
    Drain,
    /// Reading the configuration or the certificates again.
    Reload,
    /// Handing over to a new process of the binary.
    Upgrade,
    /// Asking the other servers of a realm.
    #[serde(rename = "serverSideEmit")]
    ServerSideEmit,
    /// Looking at sessions.
    Sessions,
    /// Looking at rooms.
    Rooms,
    /// Looking at who is in a room.
    Presence,
    /// Watching live what happens.
    Tap,
    /// Looking at what is logged, and changing it for now.
    Log,
    /// Looking at the node.
    Info,
}

impl ApiVerb {
    /// The word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
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
