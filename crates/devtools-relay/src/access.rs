//! Who may be what, where the relay asks: names and secrets that unmodified clients can carry.
//!
//! Node takes them in the host's name (`app:SECRET@localhost`), which arrives as `Authorization: Basic`; programs that write
//! the address themselves put them into its query; pages have a cookie.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};
use polyport_core::{OpenRequest, TokenSource};

/// The name of the query parameter, with `NAME:SECRET`, and of the cookie, with the same in base64.
const PARAMETER: &str = "access";
const COOKIE: &str = "polyport_access";

/// What a client may do on the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Say what happens inside it, and send reports.
    App,
    /// See what apps say, and have them do something.
    Monitor,
    /// Read and remove reports.
    Report,
}

/// Whom the relay knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessOptions {
    /// Without any, everybody may everything.
    pub users: Vec<UserOptions>,
    /// What those may who show no name.
    pub anybody: Vec<Right>,
    /// Every user is among its own, in a realm of its own.
    pub teams: bool,
}

/// A name, its secret, and what it may.
#[derive(Clone, PartialEq, Eq)]
pub struct UserOptions {
    /// The name; without a colon.
    pub name: String,
    /// The secret.
    pub secret: Vec<u8>,
    /// What it may.
    pub rights: Vec<Right>,
}

impl std::fmt::Debug for UserOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("UserOptions").field(&self.name).finish()
    }
}

/// What a client may, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// The user whose realm it is in; nothing for the listener's own.
    pub(crate) team: Option<Arc<str>>,
    rights: Rights,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rights {
    All,
    These(Arc<[Right]>),
}

impl Access {
    /// Everything, where nobody is asked.
    pub(crate) const ALL: Self = Self {
        team: None,
        rights: Rights::All,
    };

    pub(crate) fn has(&self, right: Right) -> bool {
        match &self.rights {
            Rights::All => true,
            Rights::These(rights) => rights.contains(&right),
        }
    }
}

/// The name or the secret is wrong, or missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NobodyKnown;

/// Who is known, for looking up.
pub(crate) struct Door {
    users: HashMap<String, User>,
    anybody: Arc<[Right]>,
    teams: bool,
}

struct User {
    name: Arc<str>,
    secret: digest::Digest,
    rights: Arc<[Right]>,
}

fn hidden(secret: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, secret)
}

impl Door {
    pub(crate) fn new(options: &AccessOptions) -> Self {
        let users = options.users.iter().map(|user| {
            let known = User {
                name: Arc::from(&*user.name),
                secret: hidden(&user.secret),
                rights: Arc::from(&*user.rights),
            };
            (user.name.clone(), known)
        });
        Self {
            users: users.collect(),
            anybody: Arc::from(&*options.anybody),
            teams: options.teams,
        }
    }

    /// Whether everybody comes in unasked.
    pub(crate) fn is_open(&self) -> bool {
        self.users.is_empty()
    }

    /// The users that have realms of their own.
    pub(crate) fn teams(&self) -> impl Iterator<Item = &Arc<str>> {
        let users = self.users.values().filter(|_| self.teams);
        users.map(|user| &user.name)
    }

    /// What a request may.
    ///
    /// # Errors
    /// [`NobodyKnown`].
    pub(crate) fn check(&self, request: &OpenRequest) -> Result<Access, NobodyKnown> {
        if self.is_open() {
            return Ok(Access::ALL);
        }
        let Some(shown) = credentials(request) else {
            let access = Access {
                team: None,
                rights: Rights::These(Arc::clone(&self.anybody)),
            };
            return (!self.anybody.is_empty())
                .then_some(access)
                .ok_or(NobodyKnown);
        };
        let (name, secret) = shown.split_once(':').ok_or(NobodyKnown)?;
        let user = self.users.get(name).ok_or(NobodyKnown)?;
        let given = hidden(secret.as_bytes());
        verify_slices_are_equal(user.secret.as_ref(), given.as_ref()).map_err(|_| NobodyKnown)?;
        Ok(Access {
            team: self.teams.then(|| Arc::clone(&user.name)),
            rights: Rights::These(Arc::clone(&user.rights)),
        })
    }
}

/// The cookie that keeps what a browser has shown in `Authorization`: not every browser shows it again when a page opens a
/// WebSocket. Cookies know no ports, so this one goes to the path of the WebSocket alone.
pub(crate) fn cookie(headers: &HeaderMap, path: &str, is_tls: bool) -> Option<HeaderValue> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, value) = header.split_once(' ')?;
    let (value, secure) = (value.trim(), if is_tls { "; Secure" } else { "" });
    let is_plain = scheme.eq_ignore_ascii_case("basic") && !format!("{value}{path}").contains(';');
    let cookie = format!("{COOKIE}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}");
    is_plain.then(|| HeaderValue::from_str(&cookie).ok())?
}

/// `NAME:SECRET`, from wherever the request has it.
fn credentials(request: &OpenRequest) -> Option<String> {
    let decoded = |text: &str| String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok();
    let basic = request.header("authorization").and_then(|header| {
        let (scheme, value) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("basic").then(|| decoded(value))
    });
    // A malformed one is wrong, not missing.
    if let Some(basic) = basic {
        return Some(basic.unwrap_or_default());
    }
    let query = request.query(PARAMETER);
    query.or_else(|| {
        let cookie = request.token(&[TokenSource::Cookie(COOKIE.to_owned())])?;
        Some(decoded(&cookie).unwrap_or_default())
    })
}
