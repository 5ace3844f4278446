//! Who may be what, where the relay asks: names and secrets that unmodified clients can carry.
//!
//! Node takes them in the host's name (`app:SECRET@localhost`), which arrives as `Authorization: Basic`; programs that write
//! the address themselves put them into its query; pages have a cookie. Beside names there are tokens, whose claim says what
//! their user may, and names of hosts, which choose a team and give no right.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};
use polyport_core::{Identity, Json, OpenRequest, TokenSource};
use serde_json::value::RawValue;

use crate::codec::{member, string};

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
    /// How the hosts of teams end, in lower case and with the first dot: `.devtools.example.com`.
    pub team_hosts: Option<String>,
    /// The claim of tokens, or of what backends say of a client, that has its rights.
    pub rights_claim: Option<String>,
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
    /// It has shown a name, which no token changes.
    is_named: bool,
    /// The team of its host, of which no user is known: one of that name must show a token.
    awaited: Option<Box<str>>,
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
        is_named: false,
        awaited: None,
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
    team_hosts: Option<Box<str>>,
    /// Users by their names in lower case, as hosts have them; nothing where two names are the same then.
    by_host: HashMap<String, Option<Arc<str>>>,
    rights_claim: Option<Box<str>>,
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
        let users: HashMap<String, User> = users.collect();
        let mut by_host = HashMap::new();
        for user in users.values() {
            by_host
                .entry(user.name.to_ascii_lowercase())
                .and_modify(|same| *same = None)
                .or_insert_with(|| Some(Arc::clone(&user.name)));
        }
        Self {
            users,
            by_host,
            anybody: Arc::from(&*options.anybody),
            teams: options.teams,
            team_hosts: options.team_hosts.as_deref().map(Box::from),
            rights_claim: options.rights_claim.as_deref().map(Box::from),
        }
    }

    /// Whether everybody comes in unasked.
    pub(crate) fn is_open(&self) -> bool {
        self.users.is_empty() && !self.takes_tokens()
    }

    /// Whether tokens give rights.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.rights_claim.is_some()
    }

    /// The users that have realms of their own.
    pub(crate) fn teams(&self) -> impl Iterator<Item = &Arc<str>> {
        let users = self.users.values().filter(|_| self.teams);
        users.map(|user| &user.name)
    }

    /// What a request may that is no token's, and in which team.
    ///
    /// # Errors
    /// [`NobodyKnown`].
    pub(crate) fn check(&self, request: &OpenRequest) -> Result<Access, NobodyKnown> {
        if self.is_open() {
            return Ok(Access::ALL);
        }
        let suffix = self.team_hosts.as_deref();
        let host = suffix.and_then(|suffix| team_label(request.header("host")?, suffix));
        let Some(shown) = credentials(request) else {
            return self.unnamed(host);
        };
        let (name, secret) = shown.split_once(':').ok_or(NobodyKnown)?;
        let user = self.users.get(name).ok_or(NobodyKnown)?;
        let given = hidden(secret.as_bytes());
        verify_slices_are_equal(user.secret.as_ref(), given.as_ref()).map_err(|_| NobodyKnown)?;
        // Whoever is of one team is nobody at the host of another.
        if host.is_some_and(|host| !user.name.eq_ignore_ascii_case(&host)) {
            return Err(NobodyKnown);
        }
        Ok(Access {
            team: self.teams.then(|| Arc::clone(&user.name)),
            rights: Rights::These(Arc::clone(&user.rights)),
            is_named: true,
            awaited: None,
        })
    }

    /// Who shows no name may what anybody may, in the team of the host if there is one of that name.
    fn unnamed(&self, host: Option<String>) -> Result<Access, NobodyKnown> {
        let known = host.as_ref().and_then(|host| self.by_host.get(host));
        let team = known.cloned().flatten();
        let awaited = host.filter(|_| team.is_none()).map(String::into_boxed_str);
        let may_nothing = self.anybody.is_empty() || awaited.is_some();
        if may_nothing && !self.takes_tokens() {
            return Err(NobodyKnown);
        }
        let rights = if awaited.is_some() {
            Arc::default()
        } else {
            Arc::clone(&self.anybody)
        };
        Ok(Access {
            team,
            rights: Rights::These(rights),
            is_named: false,
            awaited,
        })
    }

    /// The same for a client of whom a token or a backend says who it is: with teams, that user's is its team, unless a name
    /// or a host has chosen one.
    ///
    /// # Errors
    /// [`NobodyKnown`] if it is another's host.
    pub(crate) fn settle(
        &self,
        access: &Access,
        identity: Option<&Identity>,
    ) -> Result<Access, NobodyKnown> {
        let user = identity.and_then(|it| it.user.as_deref());
        let is_theirs = match (&access.awaited, user) {
            (Some(host), Some(user)) => user.eq_ignore_ascii_case(host),
            (Some(_), None) => false,
            (None, _) => true,
        };
        if !is_theirs {
            return Err(NobodyKnown);
        }
        let chooses = self.takes_tokens() && self.teams && !access.is_named;
        let team = access.team.clone();
        let own = user.filter(|_| chooses).map(Arc::from);
        Ok(Access {
            team: team.or(own),
            awaited: None,
            ..access.clone()
        })
    }

    /// Whether who somebody is gives a right: those of one team have none in another, nor where
    /// there is no team.
    pub(crate) fn gives(&self, access: &Access, identity: &Identity, right: Right) -> bool {
        let Some(claim) = &self.rights_claim else {
            return false;
        };
        let user = identity.user.as_deref();
        let is_theirs = !self.teams || user.is_some() && user == access.team.as_deref();
        is_theirs && rights_in(&identity.claims, claim).contains(&right)
    }
}

/// The rights that a claim has: a list of words, or words in a text. Other words are somebody else's.
fn rights_in(claims: &Json, claim: &str) -> Vec<Right> {
    let claims: Option<&RawValue> = claims.decode().ok();
    let Some(value) = claims.and_then(|claims| member(claims, claim)) else {
        return Vec::new();
    };
    let words: Vec<String> = match string(value) {
        Some(text) => text.split_whitespace().map(str::to_owned).collect(),
        None => serde_json::from_str(value.get()).unwrap_or_default(),
    };
    let right = |word: &String| match word.as_str() {
        "app" => Some(Right::App),
        "monitor" => Some(Right::Monitor),
        "report" => Some(Right::Report),
        _ => None,
    };
    words.iter().filter_map(right).collect()
}

/// The first label of a host in lower case, if the rest of it, but for a port, is how the hosts of teams end.
pub(crate) fn team_label(host: &str, suffix: &str) -> Option<String> {
    let name = host.to_ascii_lowercase();
    let name = name.rsplit_once(':').map_or(&*name, |(name, _)| name);
    let label = name.strip_suffix(suffix)?;
    (!label.is_empty() && !label.contains('.')).then(|| label.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn door(users: &[&str], anybody: &[Right]) -> Door {
        let users = users.iter().map(|name| UserOptions {
            name: (*name).to_owned(),
            secret: b"sesame".to_vec(),
            rights: vec![Right::Monitor],
        });
        Door::new(&AccessOptions {
            users: users.collect(),
            anybody: anybody.to_vec(),
            teams: true,
            team_hosts: Some(".dev.example".to_owned()),
            rights_claim: Some("devtools".to_owned()),
        })
    }

    fn identity(user: Option<&str>, claims: &str) -> Identity {
        Identity {
            user: user.map(Box::from),
            site: None,
            claims: Json::parse(claims).unwrap(),
            expiry: None,
        }
    }

    #[test]
    fn the_team_of_a_host() {
        let check = |host: &str, expected: Option<&str>| {
            let found = team_label(host, ".dev.example");
            assert_eq!(found.as_deref(), expected, "{host}");
        };
        check("anna.dev.example", Some("anna"));
        check("Anna.DEV.example:8000", Some("anna"));
        check("dev.example", None);
        check(".dev.example", None);
        check("x.anna.dev.example", None);
        check("anna.dev.example.evil.example", None);
        check("anna-dev.example", None);
        check("127.0.0.1:8000", None);
        check("[::1]:8000", None);
    }

    #[test]
    fn the_rights_of_a_claim() {
        let check = |claims: &str, expected: &[Right]| {
            let claims = Json::parse(claims).unwrap();
            assert_eq!(rights_in(&claims, "devtools"), expected, "{claims:?}");
        };
        check(
            r#"{"devtools":["app","monitor","admin"]}"#,
            &[Right::App, Right::Monitor],
        );
        check(r#"{"devtools":"openid report"}"#, &[Right::Report]);
        for none in [
            r#"{"devtools":"monitors"}"#,
            r#"{"devtools":{"monitor":true}}"#,
            r#"{"devtools":[["monitor"]]}"#,
            r#"{"devtools":null}"#,
            r#"{"other":["monitor"]}"#,
            "{}",
        ] {
            check(none, &[]);
        }
    }

    #[test]
    fn a_token_gives_rights_in_its_own_team_alone() {
        let door = door(&["anna"], &[Right::App]);
        let all = r#"{"devtools":["app","monitor","report"]}"#;
        let bob = identity(Some("bob"), all);
        let check =
            |host: Option<&str>, who: Option<&Identity>, expected: Option<(Option<&str>, bool)>| {
                let access = door.unnamed(host.map(str::to_owned)).unwrap();
                let settled = door.settle(&access, who).ok();
                let found = settled.as_ref().map(|it| {
                    let watches = who.is_some_and(|who| door.gives(it, who, Right::Monitor));
                    (it.team.as_deref(), watches)
                });
                assert_eq!(found, expected, "{host:?} {who:?}");
            };
        check(None, Some(&bob), Some((Some("bob"), true)));
        check(None, None, Some((None, false)));
        check(Some("anna"), Some(&bob), Some((Some("anna"), false)));
        check(Some("bob"), Some(&bob), Some((Some("bob"), true)));
        check(Some("carl"), Some(&bob), None);
        check(Some("carl"), None, None);
        let nobody = identity(None, all);
        check(None, Some(&nobody), Some((None, false)));
        check(Some("anna"), Some(&nobody), Some((Some("anna"), false)));
        assert!(
            !door
                .unnamed(Some("carl".to_owned()))
                .unwrap()
                .has(Right::App)
        );
    }

    #[test]
    fn names_that_hosts_cannot_tell_apart_are_nobodys() {
        let door = door(&["Anna", "anna", "Bob"], &[Right::App]);
        let team = |host: &str| door.unnamed(Some(host.to_owned())).unwrap().team;
        assert_eq!(team("anna"), None);
        assert_eq!(team("bob").as_deref(), Some("Bob"));
    }
}
