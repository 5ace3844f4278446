//! Which signatures are believed: by a key of exactly the algorithm that the token names, and none else.

use polyport_identity::Algorithm;
use serde_json::{Value, json};

use crate::{
    keys::{ED, HMAC, OTHER_RSA, P256, RSA, SECRET, Signer},
    rig::{at_once, check_bad, check_good, lenient, verifier, with_key},
};

fn claims() -> Value {
    json!({"sub": "7"})
}

#[test]
fn every_algorithm_with_its_own_key() {
    for algorithm in Algorithm::ALL {
        let token = Signer::of(algorithm).token(algorithm, None, &claims());
        check_good(&with_key(algorithm), &token);
    }
}

/// Every pair of different algorithms, also where the key would fit both.
#[test]
fn no_algorithm_with_the_key_of_another() {
    for configured in Algorithm::ALL {
        let verifier = with_key(configured);
        for used in Algorithm::ALL {
            if used != configured {
                let token = Signer::of(used).token(used, None, &claims());
                check_bad(&verifier, &token, "invalid algorithm");
            }
        }
    }
}

#[test]
fn a_signature_by_another_key_or_under_another_text() {
    let token = OTHER_RSA.token(Algorithm::Rs256, None, &claims());
    check_bad(&with_key(Algorithm::Rs256), &token, "invalid signature");
    for algorithm in Algorithm::ALL {
        let verifier = with_key(algorithm);
        let signer = Signer::of(algorithm);
        let good = signer.token(algorithm, None, &claims());
        let other = signer.token(algorithm, None, &json!({"sub": "8"}));
        let (message, signature) = good.rsplit_once('.').unwrap();
        let (other_message, _) = other.rsplit_once('.').unwrap();
        let invalid = "invalid signature";
        check_bad(&verifier, &format!("{other_message}.{signature}"), invalid);
        check_bad(
            &verifier,
            &format!("{message}.{}", &signature[..8]),
            invalid,
        );
        check_bad(&verifier, &format!("{message}.{signature}AAAA"), invalid);
        check_bad(&verifier, &format!("{message}.*"), invalid);
        // Signed by the right key in the right way, and named otherwise.
        let named = json!({"alg": "RS512"});
        if algorithm == Algorithm::Rs256 {
            check_bad(
                &verifier,
                &signer.token_with(&named, &claims()),
                "invalid algorithm",
            );
        }
    }
}

/// The public key is no secret: as an HMAC secret it must sign nothing.
#[test]
fn a_public_key_as_secret() {
    let rsa = RSA.pem();
    let confused = Signer::Secret(rsa.leak().as_bytes());
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let token = confused.token(algorithm, None, &claims());
        check_bad(&with_key(Algorithm::Rs256), &token, "invalid algorithm");
        // Nor where there is a secret too.
        let both = verifier(lenient(vec![
            RSA.rule(Algorithm::Rs256, Some("rs")),
            HMAC.rule(algorithm, Some("hs")),
        ]));
        check_bad(&both, &token, "invalid signature");
        let named = confused.token(algorithm, Some("rs"), &claims());
        check_bad(&both, &named, "invalid algorithm");
    }
}

#[test]
fn none_is_no_algorithm() {
    for algorithm in Algorithm::ALL {
        let verifier = with_key(algorithm);
        for none in ["none", "None", "NONE"] {
            let token = HMAC.token_with(&json!({"alg": none}), &claims());
            check_bad(&verifier, &token, "jwt signature is required");
            let (message, _) = token.rsplit_once('.').unwrap();
            check_bad(
                &verifier,
                &format!("{message}."),
                "jwt signature is required",
            );
        }
        for strange in ["", "HS", "hs256", "HS256 ", "ES512", "RSA-OAEP", "dir"] {
            let token = HMAC.token_with(&json!({"alg": format!("{strange:2}")}), &claims());
            check_bad(&verifier, &token, "invalid algorithm");
        }
        let token = Signer::of(algorithm).token(algorithm, None, &claims());
        let (message, _) = token.rsplit_once('.').unwrap();
        check_bad(
            &verifier,
            &format!("{message}."),
            "jwt signature is required",
        );
    }
}

#[test]
fn a_token_names_its_key() {
    let rotating = verifier(lenient(vec![
        RSA.rule(Algorithm::Rs256, Some("old")),
        OTHER_RSA.rule(Algorithm::Rs256, Some("new")),
        ED.rule(Algorithm::EdDsa, Some("new")),
    ]));
    check_good(
        &rotating,
        &RSA.token(Algorithm::Rs256, Some("old"), &claims()),
    );
    check_good(
        &rotating,
        &OTHER_RSA.token(Algorithm::Rs256, Some("new"), &claims()),
    );
    check_good(
        &rotating,
        &ED.token(Algorithm::EdDsa, Some("new"), &claims()),
    );
    let swapped = RSA.token(Algorithm::Rs256, Some("new"), &claims());
    check_bad(&rotating, &swapped, "invalid signature");
    let unknown = RSA.token(Algorithm::Rs256, Some("gone"), &claims());
    check_bad(&rotating, &unknown, "jwt signed by an unknown key");
    let other = P256.token(Algorithm::Es256, Some("old"), &claims());
    check_bad(&rotating, &other, "invalid algorithm");
    // Without a name all keys of the algorithm are tried.
    check_good(&rotating, &RSA.token(Algorithm::Rs256, None, &claims()));
    check_good(
        &rotating,
        &OTHER_RSA.token(Algorithm::Rs256, None, &claims()),
    );
}

#[test]
fn a_key_without_a_name_serves_every_name_but_those_of_others() {
    let mixed = verifier(lenient(vec![
        RSA.rule(Algorithm::Rs256, None),
        OTHER_RSA.rule(Algorithm::Rs256, Some("other")),
    ]));
    check_good(
        &mixed,
        &RSA.token(Algorithm::Rs256, Some("whatever"), &claims()),
    );
    let token = RSA.token(Algorithm::Rs256, Some("other"), &claims());
    check_bad(&mixed, &token, "invalid signature");
    let token = OTHER_RSA.token(Algorithm::Rs256, Some("whatever"), &claims());
    check_bad(&mixed, &token, "invalid signature");
}

#[test]
fn what_is_no_token() {
    let verifier = with_key(Algorithm::Hs256);
    for text in ["", "a", "a.b", "a.b.c.d", "....", "Bearer"] {
        check_bad(&verifier, text, "jwt malformed");
    }
    let good = HMAC.token(Algorithm::Hs256, None, &claims());
    let (_, rest) = good.split_once('.').unwrap();
    // `{`, `[]`, `"x"`, `{"typ":"JWT"}`, `{"alg":1}`, bytes that are no UTF-8, and no base64.
    for header in [
        "ew",
        "W10",
        "Ingi",
        "eyJ0eXAiOiJKV1QifQ",
        "eyJhbGciOjF9",
        "_w",
        "*",
        "e=",
        "",
    ] {
        check_bad(&verifier, &format!("{header}.{rest}"), "invalid token");
    }
    for claims in [json!([]), json!("x"), json!(null), json!(7)] {
        check_bad(
            &verifier,
            &HMAC.token(Algorithm::Hs256, None, &claims),
            "invalid token",
        );
    }
    let critical = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let token = HMAC.token_with(&critical, &claims());
    check_bad(
        &verifier,
        &token,
        "jwt asks for an extension that is not known",
    );
}

#[test]
fn a_long_token_is_not_looked_at() {
    let verifier = with_key(Algorithm::Hs256);
    let padded = |length| json!({"sub": "7", "pad": "x".repeat(length)});
    check_good(
        &verifier,
        &HMAC.token(Algorithm::Hs256, None, &padded(12_000)),
    );
    let token = HMAC.token(Algorithm::Hs256, None, &padded(13_000));
    check_bad(&verifier, &token, "jwt too long");
}

/// A certificate's key, as the original took it.
#[test]
fn a_certificate() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["issuer.example".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let rule = polyport_identity::KeyRule {
        algorithm: Algorithm::Es256,
        kid: None,
        material: polyport_identity::KeyMaterial::PublicKey(certificate.pem()),
    };
    let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        key.serialized_der(),
    );
    let token = Signer::P256(pair.unwrap()).token(Algorithm::Es256, None, &claims());
    check_good(&verifier(lenient(vec![rule])), &token);
}

#[test]
fn no_text_tells_of_a_token_or_a_key() {
    let keys = Algorithm::ALL.map(|algorithm| Signer::of(algorithm).rule(algorithm, None));
    let rules = lenient(keys.to_vec());
    let secret = std::str::from_utf8(SECRET).unwrap();
    let verifier = verifier(rules.clone());
    let shown = format!("{rules:?} {verifier:?}");
    assert!(
        !shown.contains(secret) && !shown.contains("BEGIN"),
        "{shown}"
    );
    for algorithm in Algorithm::ALL {
        let token = OTHER_RSA.token_with(
            &json!({"alg": algorithm.name(), "kid": "my-kid"}),
            &json!({"sub": "my-user"}),
        );
        let error = format!("{:?}", at_once(&verifier, &token).unwrap_err());
        for part in token.split('.').chain(["my-kid", "my-user", secret]) {
            assert!(!error.contains(part), "{error}");
        }
    }
}
