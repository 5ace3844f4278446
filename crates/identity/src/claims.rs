//! What a token says, and whether it may be believed now.

use std::collections::HashMap;

use polyport_core::{Expiry, Identity, Json, Millis, TokenError};
use serde_json::value::RawValue;

use crate::{
    TokenRules,
    token::{expired, invalid},
};

/// A longer user id counts as none: it would make no room name.
const MAX_USER: usize = 128;

/// The longest host name there is.
const MAX_SITE: usize = 253;

/// The claims of a token whose signature is good.
pub(crate) struct Claims<'a> {
    by_name: HashMap<String, &'a RawValue>,
}

impl<'a> Claims<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, TokenError> {
        let by_name = serde_json::from_str(text).map_err(|_| invalid("invalid token"))?;
        Ok(Self { by_name })
    }

    /// Judges times, audience and issuer, in the order of npm jsonwebtoken. Gives the moment at which the token ends.
    pub(crate) fn judge(
        &self,
        rules: &TokenRules,
        now: Millis,
    ) -> Result<Option<Millis>, TokenError> {
        if let Some(begin) = self.seconds("nbf")?
            && moment(begin - leeway(rules)) > now
        {
            return Err(invalid("jwt not active"));
        }
        let end = match self.seconds("exp")? {
            Some(end) => Some(moment(end + leeway(rules))),
            None if rules.require_expiry => return Err(invalid("jwt must have an expiry")),
            None => None,
        };
        if end.is_some_and(|end| end <= now) {
            return Err(expired());
        }
        check_names(&rules.audience, &self.texts("aud"), "audience")?;
        check_names(&rules.issuer, &self.texts("iss"), "issuer")?;
        Ok(end)
    }

    /// Who the token says it is. `site` is that of the page, for a token that names none.
    pub(crate) fn identity(
        &self,
        rules: &TokenRules,
        text: &str,
        expiry: Option<Expiry>,
        site: Option<String>,
    ) -> Result<Identity, TokenError> {
        let user = rules
            .user_claims
            .iter()
            .find_map(|name| id_text(self.find(name)?))
            .map(Box::from);
        let claimed_site = rules.site_claim.as_deref().and_then(|name| {
            let site = self.find(name)?;
            let site: String = serde_json::from_str(site.get()).ok()?;
            (1..=MAX_SITE).contains(&site.len()).then_some(site)
        });
        Ok(Identity {
            user,
            site: claimed_site.or(site).map(Box::from),
            claims: Json::parse(text).map_err(|_| invalid("invalid token"))?,
            expiry,
        })
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.by_name
            .get(name)
            .copied()
            .filter(|value| value.get() != "null")
    }

    /// The claim of that name, or, where there is none, the member that the dotted path leads to.
    fn find(&self, path: &str) -> Option<&'a RawValue> {
        if let Some(claim) = self.get(path) {
            return Some(claim);
        }
        let (first, rest) = path.split_once('.')?;
        let mut value = self.get(first)?;
        for name in rest.split('.') {
            let members: HashMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
            value = members.get(name).copied()?;
        }
        Some(value)
    }

    /// A time in seconds since the epoch, perhaps with a fraction.
    fn seconds(&self, name: &str) -> Result<Option<f64>, TokenError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match serde_json::from_str::<f64>(value.get()) {
            Ok(seconds) if seconds.is_finite() => Ok(Some(seconds)),
            _ => Err(invalid(format!("invalid {name} value"))),
        }
    }

    /// A claim that is a text or a list of texts.
    fn texts(&self, name: &str) -> Vec<String> {
        let Some(value) = self.get(name).map(RawValue::get) else {
            return Vec::new();
        };
        serde_json::from_str(value)
            .map(|text| vec![text])
            .or_else(|_| serde_json::from_str(value))
            .unwrap_or_default()
    }
}

fn leeway(rules: &TokenRules) -> f64 {
    rules.leeway.as_secs_f64()
}

/// So many seconds after the epoch; what lies before the epoch is the epoch.
fn moment(seconds: f64) -> Millis {
    // A cast from a float ends at the type's bounds.
    Millis((seconds * 1000.0) as u64)
}

fn check_names(wanted: &[String], given: &[String], what: &str) -> Result<(), TokenError> {
    if wanted.is_empty() || wanted.iter().any(|name| given.contains(name)) {
        return Ok(());
    }
    Err(invalid(format!(
        "jwt {what} invalid. expected: {}",
        wanted.join(" or ")
    )))
}

/// A user's id as text: a string as it is, a number in decimal. Whole numbers keep their digits, however many.
fn id_text(value: &RawValue) -> Option<String> {
    let raw = value.get();
    let text = match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok()?,
        b'-' | b'0'..=b'9' => number_text(raw)?,
        _ => return None,
    };
    (1..=MAX_USER).contains(&text.len()).then_some(text)
}

fn number_text(raw: &str) -> Option<String> {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let is_zero = digits == "0";
        return Some(if is_zero { digits } else { raw }.to_owned());
    }
    let number: f64 = raw.parse().ok()?;
    // As JavaScript prints it up to 1e21; beyond that and below 1e-6 without its exponent.
    number.is_finite().then(|| (number + 0.0).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_id(claim: &str, expected: Option<&str>) {
        let text = format!(r#"{{"sub":{claim}}}"#);
        let claims = Claims::parse(&text).unwrap();
        let identity = claims.identity(&TokenRules::default(), &text, None, None);
        assert_eq!(identity.unwrap().user.as_deref(), expected, "{claim}");
    }

    #[test]
    fn ids_are_texts() {
        check_id(r#""ann""#, Some("ann"));
        check_id(r#""\u00e4\"*""#, Some("ä\"*"));
        check_id("7", Some("7"));
        check_id("7.0", Some("7"));
        check_id("70e-1", Some("7"));
        check_id("1e3", Some("1000"));
        check_id("-1", Some("-1"));
        check_id("-0", Some("0"));
        check_id("-0.0", Some("0"));
        check_id("0.1", Some("0.1"));
        check_id("9007199254740993", Some("9007199254740993"));
        check_id(
            "123456789012345678901234567890",
            Some("123456789012345678901234567890"),
        );
        check_id("1e400", None);
        check_id("1e300", None);
        check_id(r#""""#, None);
        check_id("null", None);
        check_id("true", None);
        check_id("[1]", None);
        check_id("{}", None);
        check_id(&format!("\"{}\"", "x".repeat(128)), Some(&"x".repeat(128)));
        check_id(&format!("\"{}\"", "x".repeat(129)), None);
    }

    #[test]
    fn the_first_claim_that_holds_an_id_counts() {
        let rules = TokenRules {
            user_claims: ["a.b", "user.id", "id"].map(str::to_owned).to_vec(),
            ..TokenRules::default()
        };
        for (text, expected) in [
            (r#"{"id":1}"#, Some("1")),
            (r#"{"id":1,"user":{"id":2}}"#, Some("2")),
            (r#"{"id":1,"user":[2]}"#, Some("1")),
            (r#"{"id":1,"a":{"b":3},"a.b":4}"#, Some("4")),
            (r#"{"sub":5}"#, None),
        ] {
            let claims = Claims::parse(text).unwrap();
            let identity = claims.identity(&rules, text, None, None).unwrap();
            assert_eq!(identity.user.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_signed_site_counts_before_the_pages() {
        let rules = TokenRules {
            site_claim: Some("site".to_owned()),
            ..TokenRules::default()
        };
        for (text, expected) in [
            (r#"{"site":"shop.example"}"#, "shop.example"),
            (r#"{"site":7}"#, "page.example"),
            (r#"{"site":""}"#, "page.example"),
            ("{}", "page.example"),
        ] {
            let claims = Claims::parse(text).unwrap();
            let site = Some("page.example".to_owned());
            let identity = claims.identity(&rules, text, None, site).unwrap();
            assert_eq!(identity.site.as_deref(), Some(expected), "{text}");
            assert_eq!(identity.claims.as_str(), text);
        }
    }
}
