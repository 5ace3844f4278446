//! Rules by which no token could be checked are refused before anything starts.

use std::{fs, path::PathBuf};

use polyport_identity::{Algorithm, JwksRules, JwksSource, KeyMaterial, KeyRule, TokenRules};
use serde_json::json;

use crate::{
    keys::{ED, HMAC, P256, P384, RSA, SECRET, pem},
    rig::lenient,
};

#[track_caller]
fn check(rules: &TokenRules, expected: &str) {
    let error = rules.check().unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(
        !error.contains("MII") && !error.contains("thirty-two"),
        "{error}"
    );
}

#[track_caller]
fn check_key(algorithm: Algorithm, material: KeyMaterial, expected: &str) {
    let kid = None;
    let good = HMAC.rule(Algorithm::Hs256, None);
    let rule = KeyRule {
        algorithm,
        kid,
        material,
    };
    check(&lenient(vec![good, rule]), &format!("keys[1]: {expected}"));
}

fn public(text: impl Into<String>) -> KeyMaterial {
    KeyMaterial::PublicKey(text.into())
}

#[test]
fn keys_that_do_not_fit_their_algorithm() {
    let secret = || KeyMaterial::Secret(SECRET.to_vec());
    check_key(
        Algorithm::Rs256,
        secret(),
        "RS256 needs a public key, not a secret",
    );
    check_key(
        Algorithm::EdDsa,
        secret(),
        "EdDSA needs a public key, not a secret",
    );
    check_key(
        Algorithm::Hs256,
        public(RSA.pem()),
        "HS256 needs a secret, not a public key",
    );
    check_key(
        Algorithm::Hs256,
        KeyMaterial::Secret(Vec::new()),
        "the secret is empty",
    );
    let as_secret = KeyMaterial::Secret(format!("\n{}", RSA.pem()).into_bytes());
    check_key(Algorithm::Hs512, as_secret, "the secret is a PEM key");
    for (algorithm, wrong) in [
        (Algorithm::Rs256, P256.pem()),
        (Algorithm::Ps256, ED.pem()),
        (Algorithm::Es256, RSA.pem()),
        (Algorithm::Es256, P384.pem()),
        (Algorithm::Es384, P256.pem()),
        (Algorithm::Es384, ED.pem()),
        (Algorithm::EdDsa, P256.pem()),
        (Algorithm::EdDsa, String::new()),
        (
            Algorithm::Rs256,
            "-----BEGIN PUBLIC KEY-----\nAAAA".to_owned(),
        ),
        (Algorithm::Rs256, pem("PUBLIC KEY", b"no DER")),
        (Algorithm::Rs256, pem("SOMETHING", b"no DER")),
    ] {
        check_key(
            algorithm,
            public(wrong),
            &format!("this is no public key in PEM for {algorithm}"),
        );
    }
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
        check_key(
            Algorithm::Es256,
            public(pem(label, b"x")),
            "this is a private key",
        );
    }
    let short = short_rsa();
    check_key(
        Algorithm::Rs256,
        public(short),
        "RSA keys of less than 2048 bits",
    );
}

/// A well-formed key of 1024 bits: the modulus is what counts.
fn short_rsa() -> String {
    // SEQUENCE { INTEGER n (128 bytes, behind a zero), INTEGER 65537 }
    let mut key = vec![0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
    key.extend([0xc5; 128]);
    key.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    pem("RSA PUBLIC KEY", &key)
}

#[test]
fn rules_that_lead_nowhere() {
    check(
        &TokenRules::default(),
        "there is no key to check tokens with",
    );
    let twice = || RSA.rule(Algorithm::Rs256, Some("a"));
    check(
        &lenient(vec![twice(), twice()]),
        "keys[1]: there is another RS256 key",
    );
    let good = lenient(vec![twice(), RSA.rule(Algorithm::Ps256, Some("a"))]);
    good.check().unwrap();
    let nobody = TokenRules {
        user_claims: Vec::new(),
        ..good
    };
    check(&nobody, "user_claim: name at least one claim");
}

#[test]
fn key_sets_that_cannot_be() {
    let rules = |source, algorithms: &[Algorithm]| TokenRules {
        jwks: Some(JwksRules {
            source,
            algorithms: algorithms.to_vec(),
            ..JwksRules::default()
        }),
        ..TokenRules::default()
    };
    let url = |url: &str| JwksSource::Url(url.to_owned());
    let rsa = [Algorithm::Rs256];
    rules(url("https://issuer.example/jwks.json"), &rsa)
        .check()
        .unwrap();
    check(
        &rules(url("https://issuer.example/"), &[]),
        "name at least one algorithm",
    );
    let secret = [Algorithm::Rs256, Algorithm::Hs256];
    check(
        &rules(url("https://issuer.example/"), &secret),
        "HS256 needs a shared secret",
    );
    check(
        &rules(url("issuer.example"), &rsa),
        "jwks.url: the URL cannot be used",
    );
    check(
        &rules(url("ftp://issuer.example/"), &rsa),
        "jwks.url: the URL cannot be used",
    );

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let file_rules = |path: PathBuf| rules(JwksSource::File(path), &rsa);
    let good = json!({"keys": [RSA.published("a")]}).to_string();
    file_rules(file("good.json", &good)).check().unwrap();
    check(
        &file_rules(folder.path().join("none.json")),
        "none.json: No such file",
    );
    check(
        &file_rules(file("garbage.json", "<html>")),
        "garbage.json: it is no key set",
    );
    check(
        &file_rules(file("empty.json", r#"{"keys":[]}"#)),
        "it has no key for RS256",
    );
    let curve = json!({"keys": [P256.published("a"), HMAC.published("b")]}).to_string();
    check(
        &file_rules(file("curve.json", &curve)),
        "it has no key for RS256",
    );
    let large = format!("{}{}", good, " ".repeat(1 << 20));
    check(&file_rules(file("large.json", &large)), "larger than 1 MiB");
}
