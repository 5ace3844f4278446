//! What an operator can say of tokens.

use std::{fmt, path::PathBuf, time::Duration};

use polyport_core::OnExpiry;
use polyport_net::ClientError;

use crate::{Algorithm, KeyError};

/// How tokens are checked and what identities are made of them.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// Keys that are known beforehand. Several serve rotation.
    pub keys: Vec<KeyRule>,
    /// Keys that an issuer publishes, beside those.
    pub jwks: Option<JwksRules>,
    /// One of these must be the token's `iss`. Empty: not looked at.
    pub issuer: Vec<String>,
    /// One of these must be in the token's `aud`. Empty: not looked at.
    pub audience: Vec<String>,
    /// How far the issuer's clock may be off, either way. An identity ends so much after its `exp`.
    pub leeway: Duration,
    /// Whether a token without `exp` is refused.
    pub require_expiry: bool,
    /// Claims that may hold the user's id: the first that does counts. `a.b` is the member `b` of the claim `a`, unless
    /// there is a claim of that very name.
    pub user_claims: Vec<String>,
    /// The claim that holds the site. `None`, or a token without it: the site is the base domain of the page.
    pub site_claim: Option<String>,
    /// What becomes of a session whose token has expired.
    pub on_expiry: OnExpiry,
}

/// No key, no demands but an expiry, half a minute of leeway, the usual claims.
impl Default for TokenRules {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            jwks: None,
            issuer: Vec::new(),
            audience: Vec::new(),
            leeway: Duration::from_secs(30),
            require_expiry: true,
            user_claims: ["sub", "id", "user_id", "userId"]
                .map(str::to_owned)
                .to_vec(),
            site_claim: None,
            on_expiry: OnExpiry::Close,
        }
    }
}

/// A key, and the one algorithm that it is good for.
#[derive(Debug, Clone)]
pub struct KeyRule {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The name by which tokens refer to it. A key without one is tried for every token of its algorithm whose `kid` is
    /// no other key's.
    pub kid: Option<String>,
    /// The key itself.
    pub material: KeyMaterial,
}

/// What a key is made of.
#[derive(Clone)]
pub enum KeyMaterial {
    /// The bytes of a shared secret, for HS256, HS384 and HS512.
    Secret(Vec<u8>),
    /// A public key or a certificate in PEM, for all others.
    PublicKey(String),
}

/// Says nothing of a secret, not even how long it is.
impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret",
            Self::PublicKey(_) => "PublicKey",
        })
    }
}

/// Keys that an issuer publishes as a JSON Web Key Set (RFC 7517).
#[derive(Debug, Clone)]
pub struct JwksRules {
    /// Where the set is.
    pub source: JwksSource,
    /// Algorithms that its keys may be used with; none with a shared secret.
    pub algorithms: Vec<Algorithm>,
    /// Time between fetches.
    pub refresh: Duration,
    /// So long after it was fetched a set is still used when no newer one can be had.
    pub stale: Duration,
    /// How long one fetch may take, and how long a token waits for it.
    pub timeout: Duration,
    /// Time between fetches that are made because of a `kid` that nobody knows.
    pub retry: Duration,
}

impl Default for JwksRules {
    fn default() -> Self {
        Self {
            source: JwksSource::Url(String::new()),
            algorithms: vec![Algorithm::Rs256],
            refresh: Duration::from_mins(10),
            stale: Duration::from_hours(24),
            timeout: Duration::from_secs(5),
            retry: Duration::from_secs(30),
        }
    }
}

/// Where a key set is.
#[derive(Debug, Clone)]
pub enum JwksSource {
    /// `https://…`, or `http://…` within one's own network.
    Url(String),
    /// A file, read again as often as a URL is fetched.
    File(PathBuf),
}

/// Rules by which no token could be checked.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// There is neither a key nor a key set.
    #[error("there is no key to check tokens with: give `keys` or `jwks`")]
    NoKeys,
    /// A key cannot be used.
    #[error("keys[{index}]: {error}")]
    Key {
        /// Which one, from 0.
        index: usize,
        /// Why.
        error: KeyError,
    },
    /// Two keys have one name and one algorithm.
    #[error("keys[{index}]: there is another {algorithm} key with this kid")]
    SameKid {
        /// The later one, from 0.
        index: usize,
        /// Their algorithm.
        algorithm: Algorithm,
    },
    /// A published secret would be no secret.
    #[error(
        "jwks.algorithms: {0} needs a shared secret, which a key set that others can read does not hold"
    )]
    SharedSecret(Algorithm),
    /// A key set that may be used for nothing.
    #[error("jwks.algorithms: name at least one algorithm")]
    NoAlgorithms,
    /// The address of a key set is none.
    #[error("jwks.url: {0}")]
    Url(ClientError),
    /// The key set's file cannot be read or used.
    #[error("jwks.file {file}: {reason}", file = .file.display())]
    File {
        /// Which one.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody could have a user id.
    #[error("user_claim: name at least one claim")]
    NoUserClaim,
}
