//! What a token with a good signature must say, and who it is then.

use std::{sync::Arc, time::Duration};

use polyport_core::{Expiry, Millis, OnExpiry, Sites, TokenVerifier, Verified};
use polyport_identity::{Algorithm, SiteRules, SiteSource, TokenRules, Verifier, sign};
use serde_json::{Value, json};

use crate::{
    keys::{HMAC, SECRET},
    rig::{NOW, NOW_MS, at_once, check_bad, check_good, lenient, request, verifier},
};

fn token(claims: &Value) -> String {
    HMAC.token(Algorithm::Hs256, None, claims)
}

fn hmac(change: impl FnOnce(&mut TokenRules)) -> Verifier {
    let mut rules = lenient(vec![HMAC.rule(Algorithm::Hs256, None)]);
    rules.leeway = Duration::ZERO;
    change(&mut rules);
    verifier(rules)
}

#[test]
fn times_to_the_second() {
    let exact = hmac(|_| {});
    let lax = hmac(|rules| rules.leeway = Duration::from_secs(30));
    for (verifier, leeway) in [(&exact, 0), (&lax, 30)] {
        let exp = |exp: u64| token(&json!({"sub": 7, "exp": exp}));
        check_good(verifier, &exp(NOW - leeway + 1));
        check_bad(verifier, &exp(NOW - leeway), "jwt expired");
        check_bad(verifier, &exp(NOW - leeway - 1), "jwt expired");
        let nbf = |nbf: u64| token(&json!({"sub": 7, "nbf": nbf}));
        check_good(verifier, &nbf(NOW + leeway));
        check_good(verifier, &nbf(NOW + leeway - 1));
        check_bad(verifier, &nbf(NOW + leeway + 1), "jwt not active");
    }
    check_good(&exact, &token(&json!({"sub": 7, "exp": NOW as f64 + 0.5})));
    check_bad(
        &exact,
        &token(&json!({"sub": 7, "exp": NOW as f64 - 0.5})),
        "jwt expired",
    );
    check_bad(&exact, &token(&json!({"sub": 7, "exp": -1})), "jwt expired");
    check_bad(&exact, &token(&json!({"sub": 7, "exp": 0})), "jwt expired");
    check_good(&exact, &token(&json!({"sub": 7, "exp": 1e300})));
    check_good(&exact, &token(&json!({"sub": 7, "nbf": -1e300})));
    check_bad(
        &exact,
        &token(&json!({"sub": 7, "nbf": 1e300})),
        "jwt not active",
    );
    // Both wrong: the original asks for `nbf` first.
    let both = json!({"sub": 7, "nbf": NOW + 1, "exp": NOW - 1});
    check_bad(&exact, &token(&both), "jwt not active");
}

#[test]
fn times_that_are_none() {
    let verifier = hmac(|_| {});
    for value in [json!("1800000000"), json!([NOW]), json!({}), json!(true)] {
        check_bad(
            &verifier,
            &token(&json!({"sub": 7, "exp": value})),
            "invalid exp value",
        );
        check_bad(
            &verifier,
            &token(&json!({"sub": 7, "nbf": value})),
            "invalid nbf value",
        );
    }
    check_good(
        &verifier,
        &token(&json!({"sub": 7, "exp": null, "nbf": null})),
    );
}

#[test]
fn an_expiry_may_be_demanded() {
    let strict = hmac(|rules| rules.require_expiry = true);
    check_bad(
        &strict,
        &token(&json!({"sub": 7})),
        "jwt must have an expiry",
    );
    check_bad(
        &strict,
        &token(&json!({"sub": 7, "exp": null})),
        "jwt must have an expiry",
    );
    check_good(&strict, &token(&json!({"sub": 7, "exp": NOW + 1})));
}

#[test]
fn audience() {
    let verifier = hmac(|rules| rules.audience = vec!["A".to_owned(), "B".to_owned()]);
    for aud in [json!("A"), json!("B"), json!(["x", "B"])] {
        check_good(&verifier, &token(&json!({"sub": 7, "aud": aud})));
    }
    let expected = "jwt audience invalid. expected: A or B";
    for aud in [
        json!("C"),
        json!("a"),
        json!([]),
        json!(["x"]),
        json!([1]),
        json!({}),
        json!(null),
    ] {
        check_bad(&verifier, &token(&json!({"sub": 7, "aud": aud})), expected);
    }
    check_bad(&verifier, &token(&json!({"sub": 7})), expected);
    check_good(&hmac(|_| {}), &token(&json!({"sub": 7, "aud": "anybody"})));
}

#[test]
fn issuer() {
    let verifier = hmac(|rules| rules.issuer = vec!["https://issuer/".to_owned()]);
    check_good(
        &verifier,
        &token(&json!({"sub": 7, "iss": "https://issuer/"})),
    );
    let expected = "jwt issuer invalid. expected: https://issuer/";
    for iss in [json!("https://issuer"), json!(""), json!(7), json!(null)] {
        check_bad(&verifier, &token(&json!({"sub": 7, "iss": iss})), expected);
    }
}

#[test]
fn who_it_is() {
    let verifier = hmac(|rules| rules.leeway = Duration::from_secs(30));
    let claims = json!({"exp": NOW + 60, "role": "admin", "sub": 7});
    let page = request(&[
        ("origin", "https://www.example.com"),
        ("host", "gateway.internal"),
    ]);
    let Verified::Now(Ok(identity)) = verifier.verify_at(&token(&claims), &page, NOW_MS) else {
        panic!("a good token");
    };
    assert_eq!(identity.user.as_deref(), Some("7"));
    assert_eq!(identity.site.as_deref(), Some("example.com"));
    assert_eq!(identity.claims.as_str(), claims.to_string());
    let at = Millis((NOW + 90) * 1000);
    assert_eq!(
        identity.expiry,
        Some(Expiry {
            at,
            then: OnExpiry::Close
        })
    );

    let sites = Arc::default();
    let lasting = verifier.with_policy(None, &sites);
    assert_eq!(at_once(&lasting, &token(&claims)).unwrap().expiry, None);
    let lenient = verifier.with_policy(Some(OnExpiry::Downgrade), &sites);
    let identity = at_once(&lenient, &token(&claims)).unwrap();
    assert_eq!(
        identity.expiry,
        Some(Expiry {
            at,
            then: OnExpiry::Downgrade
        })
    );
    assert_eq!(identity.site, None);
}

#[test]
fn a_token_without_a_user_is_good_all_the_same() {
    let identity = at_once(&hmac(|_| {}), &token(&json!({"role": "guest"}))).unwrap();
    assert_eq!(identity.user, None);
    assert_eq!(identity.expiry, None);
}

#[test]
fn where_the_page_is() {
    let verifier = hmac(|_| {});
    let site = |headers: &[(&str, &str)]| {
        let verified = verifier.verify_at(&token(&json!({"sub": 7})), &request(headers), NOW_MS);
        let Verified::Now(Ok(identity)) = verified else {
            panic!("a good token");
        };
        identity.site.as_deref().map(str::to_owned)
    };
    let origin = ("origin", "https://a.example.com");
    let referer = ("referer", "https://b.example.org/page");
    let host = ("host", "c.example.net:8080");
    assert_eq!(
        site(&[host, referer, origin]).as_deref(),
        Some("example.com")
    );
    assert_eq!(site(&[host, referer]).as_deref(), Some("example.org"));
    assert_eq!(site(&[host]).as_deref(), Some("example.net"));
    assert_eq!(
        site(&[host, ("origin", "null")]).as_deref(),
        Some("example.net")
    );
    assert_eq!(
        site(&[("origin", "file://"), referer]).as_deref(),
        Some("example.org")
    );
    assert_eq!(site(&[]), None);
}

#[test]
fn which_sites_there_are() {
    let rules = SiteRules {
        sources: vec![SiteSource::Referer, SiteSource::Origin],
        map: [("shop.example.de", "example.com")]
            .map(|(host, site)| (host.to_owned(), site.to_owned()))
            .into(),
        allow: vec!["example.com".to_owned(), "example.org".to_owned()],
    };
    let site = |headers: &[(&str, &str)]| rules.site(&request(headers));
    let origin = ("origin", "https://Shop.Example.de:8443");
    assert_eq!(site(&[origin]).as_deref(), Some("example.com"));
    let referer = ("referer", "https://www.example.org/page");
    assert_eq!(site(&[origin, referer]).as_deref(), Some("example.org"));
    assert_eq!(site(&[("origin", "https://www.example.de")]), None);
    assert_eq!(site(&[("host", "www.example.com")]), None);
}

#[test]
fn what_we_sign_we_believe() {
    let claims = polyport_core::Json::parse(r#"{"sub":7,"exp":99999999999}"#).unwrap();
    let token = sign(SECRET, &claims);
    let Verified::Now(identity) = hmac(|_| {}).verify(&token, &request(&[])) else {
        panic!("nothing need be fetched");
    };
    assert_eq!(identity.unwrap().user.as_deref(), Some("7"));
    check_bad(
        &hmac(|_| {}),
        &sign(b"another", &claims),
        "invalid signature",
    );
}
