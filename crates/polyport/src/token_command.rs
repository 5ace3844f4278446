//! `polyport token`: making a token that the configuration accepts, and saying what is in one and what the configuration
//! says of it. Nothing of a key is ever printed.

use std::{
    fmt::Write as _,
    io::{self, Read},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use polyport_core::{Identity, Json, MAX_TOKEN, Millis, TokenError, Verified};
use polyport_identity::{Algorithm, KeyMaterial as Material, KeyRule};
use polyport_net::{HttpClient, HttpClientOptions, Tasks};
use serde_json::{Map, Value};

use crate::{
    cli::MakeToken,
    config::{Inputs, KeyMaterial, SecretConfig, TokenKeyConfig, TokensConfig},
    secrets::Secrets,
    tokens,
};

/// The claim that holds the user's id where the configuration names none.
const USER_CLAIM: &str = "sub";

/// The claim that holds the site of a token that no configuration is read for.
const SITE_CLAIM: &str = "site";

/// A token as `wanted`.
///
/// # Errors
/// When there is no secret to sign it with, or the claims contradict each other; [`crate::config::Problems`] when the
/// configuration is wrong.
pub fn make(wanted: &MakeToken, inputs: &Inputs) -> anyhow::Result<String> {
    let now = Millis::now().0 / 1000;
    let (rule, claims) = match &wanted.secret_env {
        Some(name) => {
            let secret = inputs.variables.iter().find(|(known, _)| known == name);
            let (_, secret) =
                secret.with_context(|| format!("the environment variable {name} is not set"))?;
            let rule = KeyRule {
                algorithm: Algorithm::Hs256,
                kid: wanted.kid.clone(),
                material: Material::Secret(secret.as_bytes().to_vec()),
            };
            let claims = claims(wanted, USER_CLAIM, Some(SITE_CLAIM), now)?;
            (rule, claims)
        }
        None => {
            let config = inputs.load()?.config;
            let set = named(&config.tokens, wanted.tokens.as_deref())?;
            let place = || format!("[tokens.{}]", set.name);
            let rule = key_rule(set, wanted.kid.as_deref()).with_context(place)?;
            let user_claim = set.user_claim.as_deref().unwrap_or(USER_CLAIM);
            let mut claims =
                claims(wanted, user_claim, set.site_claim.as_deref(), now).with_context(place)?;
            let demanded = [("iss", set.issuer.as_ref()), ("aud", set.audience.first())];
            for (name, value) in demanded {
                if let (None, Some(value)) = (claims.get(name), value) {
                    claims.insert(name.to_owned(), value.as_str().into());
                }
            }
            (rule, claims)
        }
    };
    let token = rule.sign(&Json::encode(&claims))?;
    Ok(format!("{token}\n"))
}

/// The set of that name, or the one that can be meant.
fn named<'a>(all: &'a [TokensConfig], wanted: Option<&str>) -> anyhow::Result<&'a TokensConfig> {
    let names = || {
        let names: Vec<_> = all.iter().map(|set| set.name.as_str()).collect();
        names.join(", ")
    };
    match (wanted, all) {
        (_, []) => bail!("the configuration has no [tokens.NAME]; --secret-env NAME does without"),
        (Some(name), _) => all
            .iter()
            .find(|set| set.name == name)
            .with_context(|| format!("there is no [tokens.{name}] (valid: {})", names())),
        (None, [only]) => Ok(only),
        (None, _) => bail!("say which with --tokens NAME (valid: {})", names()),
    }
}

/// The key to sign with: that of the name, else the first with a secret.
fn key_rule(set: &TokensConfig, kid: Option<&str>) -> anyhow::Result<KeyRule> {
    let key = match kid {
        Some(kid) => set
            .keys
            .iter()
            .find(|key| key.kid.as_deref() == Some(kid))
            .with_context(|| format!("no key has the kid `{kid}`"))?,
        None => set
            .keys
            .iter()
            .find(|key| key.algorithm.is_shared())
            .context("there are only public keys, which check tokens and make none")?,
    };
    ensure!(
        !is_made_up(key),
        "the secret is made at each start of the gateway as POLYPORT_JWT_SECRET is not set; set it"
    );
    tokens::key_rule(key, &Secrets::new())
}

fn is_made_up(key: &TokenKeyConfig) -> bool {
    key.material == KeyMaterial::Secret(SecretConfig::Random)
}

fn claims(
    wanted: &MakeToken,
    user_claim: &str,
    site_claim: Option<&str>,
    now: u64,
) -> anyhow::Result<Map<String, Value>> {
    let mut claims = Map::new();
    let mut add = |name: &str, value: Value| {
        let before = claims.insert(name.to_owned(), value);
        ensure!(before.is_none(), "the claim `{name}` is given twice");
        Ok(())
    };
    if let Some(user) = &wanted.user {
        add(user_claim, user.as_str().into())?;
    }
    if let Some(site) = &wanted.site {
        let name = site_claim.context("no `site_claim` is set, so tokens name no site")?;
        add(name, site.as_str().into())?;
    }
    for (name, value) in &wanted.claims {
        add(name, value.clone())?;
    }
    let has = |claims: &Map<String, Value>, name: &str| claims.contains_key(name);
    if !has(&claims, "iat") {
        claims.insert("iat".to_owned(), now.into());
    }
    if !has(&claims, "exp") && !wanted.expires.0.is_zero() {
        let end = now.saturating_add(wanted.expires.0.as_secs());
        claims.insert("exp".to_owned(), end.into());
    }
    Ok(claims)
}

/// What is in a token, and what the configuration says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The lines to print.
    pub text: String,
    /// Whether one set of rules at least accepts it.
    pub is_accepted: bool,
}

/// Looks at `token`, or at the one that standard input holds.
///
/// # Errors
/// When it is no token, or one of the sets of rules cannot be used; [`crate::config::Problems`] when the configuration
/// is wrong.
pub fn inspect(token: Option<&str>, inputs: &Inputs) -> anyhow::Result<Inspection> {
    let token = match token {
        Some(token) if token != "-" => token.to_owned(),
        _ => read_token()?,
    };
    let token = token.trim();
    let config = inputs.load()?.config;
    let now = Millis::now();
    let mut text = taken_apart(token, now)?;
    let mut is_accepted = false;
    if config.tokens.is_empty() {
        text.push_str("not checked: the configuration has no [tokens.NAME]\n");
    }
    for set in &config.tokens {
        let verdict = judge(set, token, now).with_context(|| format!("[tokens.{}]", set.name))?;
        is_accepted |= matches!(verdict, Verdict::Accepted { .. });
        let _ = writeln!(text, "[tokens.{}] {verdict}", set.name);
    }
    Ok(Inspection { text, is_accepted })
}

fn read_token() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin()
        .take(2 * MAX_TOKEN as u64)
        .read_to_string(&mut text)
        .context("standard input cannot be read")?;
    Ok(text)
}

/// Header, claims and times, as the token says them: nobody has checked them yet.
fn taken_apart(token: &str, now: Millis) -> anyhow::Result<String> {
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, _] = parts[..] else {
        bail!("no JSON Web Token: it has not three parts with dots between them");
    };
    let (header, claims) = (part(header, "header is")?, part(claims, "claims are")?);
    let mut text = format!("header {}\nclaims {}\n", shown(&header), shown(&claims));
    let times = [
        ("iat", "issued"),
        ("nbf", "good from"),
        ("exp", "good until"),
    ];
    for (name, meaning) in times {
        if let Some(value) = claims.get(name) {
            let _ = writeln!(text, "{meaning} {}", moment(value, now));
        }
    }
    Ok(text)
}

fn part(text: &str, what: &str) -> anyhow::Result<Value> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .with_context(|| format!("no JSON Web Token: its {what} not in base64url"))?;
    let value: Option<Value> = serde_json::from_slice(&bytes).ok();
    value
        .filter(Value::is_object)
        .with_context(|| format!("no JSON Web Token: its {what} no JSON object"))
}

/// A value for a terminal, which control characters could talk to.
fn shown(value: &Value) -> String {
    let mut text = String::new();
    for character in format!("{value:#}").chars() {
        if character.is_control() && character != '\n' {
            let _ = write!(text, "\\u{:04x}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

/// `2026-11-26T10:00:00Z, in 1h`.
fn moment(value: &Value, now: Millis) -> String {
    // A cast from a float ends at the type's bounds.
    let at = value.as_f64().map(|seconds| (seconds * 1000.0) as i64);
    let Some((millis, at)) = at.and_then(|at| Some((at, Timestamp::from_millisecond(at).ok()?)))
    else {
        return "?: no time in seconds since 1970".to_owned();
    };
    let now = i64::try_from(now.0).unwrap_or(i64::MAX);
    let distance = in_words(Duration::from_millis(millis.abs_diff(now)));
    if millis > now {
        format!("{at}, in {distance}")
    } else {
        format!("{at}, {distance} ago")
    }
}

/// The two largest units: `3d 4h`.
fn in_words(length: Duration) -> String {
    let mut seconds = length.as_secs();
    let mut words = Vec::new();
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        let count = seconds / size;
        seconds %= size;
        if count > 0 {
            words.push(format!("{count}{unit}"));
        }
    }
    words.truncate(2);
    if words.is_empty() {
        return "0s".to_owned();
    }
    words.join(" ")
}

/// What a set of rules says.
enum Verdict {
    Accepted {
        user: Option<String>,
        site: Option<String>,
    },
    Refused(TokenError),
    /// There is no key here that the gateway would have.
    Unchecked,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted { user, site } => {
                f.write_str("accepts it: ")?;
                match user {
                    Some(user) => write!(f, "user {}", Value::from(user.as_str()))?,
                    None => f.write_str("nobody's, as no claim has a user's id")?,
                }
                match site {
                    Some(site) => write!(f, ", site {}", Value::from(site.as_str())),
                    None => f.write_str(", site of the page"),
                }
            }
            Self::Refused(error) => write!(f, "refuses it: {}", error.message),
            Self::Unchecked => f.write_str(
                "cannot say: its secret is made at each start, as POLYPORT_JWT_SECRET is not set",
            ),
        }
    }
}

fn judge(set: &TokensConfig, token: &str, now: Millis) -> anyhow::Result<Verdict> {
    let mut set = set.clone();
    set.keys.retain(|key| !is_made_up(key));
    if set.keys.is_empty() && set.jwks.is_none() {
        return Ok(Verdict::Unchecked);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let client = HttpClient::new(HttpClientOptions::default());
        let verifier = tokens::start(&set, &Secrets::new(), &Tasks::new(), &client)?;
        anyhow::Ok(match verifier.verify_alone(token, now) {
            Verified::Now(result) => result,
            Verified::Later(later) => later.await,
        })
    })?;
    let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    Ok(match result.as_deref() {
        Ok(Identity { user, site, .. }) => Verdict::Accepted {
            user: text(user),
            site: text(site),
        },
        Err(error) => Verdict::Refused(error.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        let check = |seconds, expected: &str| {
            assert_eq!(in_words(Duration::from_secs(seconds)), expected);
        };
        check(0, "0s");
        check(59, "59s");
        check(3_600, "1h");
        check(3_661, "1h 1m");
        check(200_000, "2d 7h");
        let now = Millis(1_800_000_000_000);
        assert_eq!(
            moment(&Value::from(1_800_003_600), now),
            "2027-01-15T09:00:00Z, in 1h"
        );
        assert_eq!(
            moment(&Value::from(1_799_999_990.0), now),
            "2027-01-15T07:59:50Z, 10s ago"
        );
        for strange in [Value::from("soon"), Value::from(1e300), Value::Null] {
            assert_eq!(moment(&strange, now), "?: no time in seconds since 1970");
        }
    }

    #[test]
    fn nothing_in_a_token_talks_to_the_terminal() {
        let value = serde_json::json!({ "sub": "\u{1b}[2J\u{9b}2J" });
        assert_eq!(shown(&value), "{\n  \"sub\": \"\\u001b[2J\\u009b2J\"\n}");
    }
}
