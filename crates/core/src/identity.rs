//! Who a session is.

use std::{fmt, pin::Pin, sync::Arc};

use crate::{Json, Millis, NameError, OpenRequest, RoomName};

/// Who a session is: given by a token or by a backend. A session with an identity is in the rooms `user(ID)` and
/// `site(HOST)`, whatever its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub user: Option<Box<str>>,
    /// The base domain of the site that the user is on.
    pub site: Option<Box<str>>,
    /// What else is known, a JSON object.
    pub claims: Json,
    /// When it ends, if it does.
    pub expiry: Option<Expiry>,
}

/// When an identity ends, and what becomes of its session then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// The moment.
    pub at: Millis,
    /// What becomes of the session.
    pub then: OnExpiry,
}

/// What becomes of a session whose identity has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExpiry {
    /// It ends, with [`crate::CloseReason::IdentityExpired`].
    Close,
    /// It goes on as nobody's.
    Downgrade,
}

impl Identity {
    /// An identity of a user and nothing else.
    #[must_use]
    pub fn of_user(id: &str) -> Self {
        Self {
            user: Some(id.into()),
            site: None,
            claims: Json::EMPTY_OBJECT,
            expiry: None,
        }
    }

    /// The rooms that a session of this identity is in. A part that makes no room name, being too long, gives none.
    pub fn rooms(&self) -> impl Iterator<Item = RoomName> {
        let user = self.user.as_deref().map(user_room);
        let site = self.site.as_deref().map(site_room);
        user.into_iter().chain(site).flatten()
    }
}

/// The room of all sessions of a user: `user(ID)`.
///
/// # Errors
/// [`NameError::TooLong`].
pub fn user_room(id: &str) -> Result<RoomName, NameError> {
    RoomName::new(&format!("user({id})"))
}

/// The room of all sessions on a site: `site(HOST)`.
///
/// # Errors
/// [`NameError::TooLong`].
pub fn site_room(host: &str) -> Result<RoomName, NameError> {
    RoomName::new(&format!("site({host})"))
}

/// Whether a room is one that sessions are in because of who they are. Nobody joins such a room by himself.
#[must_use]
pub fn is_identity_room(name: &str) -> bool {
    name.ends_with(')') && (name.starts_with("user(") || name.starts_with("site("))
}

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN: usize = 16 << 10;

/// Why a token gives no identity. The text is for the client and holds nothing of the token or a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenError {
    /// A word that programs can compare: one of the constants of this type.
    pub code: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

impl TokenError {
    /// The code of a token that was needed and not given.
    pub const MISSING: &'static str = "missing";

    /// The code of a token that is no good and never was, or not yet.
    pub const INVALID: &'static str = "invalid_token";

    /// The code of a token that was good once.
    pub const EXPIRED: &'static str = "expired";

    /// The code of a token that cannot be judged now.
    pub const UNAVAILABLE: &'static str = "unavailable";

    /// The metric label.
    pub(crate) fn outcome(&self) -> &'static str {
        match self.code {
            Self::MISSING => "missing",
            Self::EXPIRED => "expired",
            Self::UNAVAILABLE => "unavailable",
            _ => "invalid",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TokenError {}

/// What a verifier says of a token: at once, or after it has fetched a key.
pub enum Verified {
    /// At once.
    Now(Result<Arc<Identity>, TokenError>),
    /// Later.
    Later(Pin<Box<dyn Future<Output = Result<Arc<Identity>, TokenError>> + Send>>),
}

/// Makes identities of tokens.
pub trait TokenVerifier: Send + Sync {
    /// Checks a token that came with `request`, whose origin may tell the site.
    fn verify(&self, token: &str, request: &OpenRequest) -> Verified;

    /// The site of the page that `request` comes from, for a client that brings its token later.
    fn site(&self, request: &OpenRequest) -> Option<String> {
        let _ = request;
        None
    }
}

/// Where a token may stand in an opening request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer …`.
    Bearer,
    /// The whole value of a header, by its name in lower case.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// The member `token` of what an opening carries beside target and headers, bare or behind `Bearer`.
    Payload,
}
