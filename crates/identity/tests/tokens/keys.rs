//! Keys of every family, made for one run, and tokens signed with them by the cryptography itself.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use polyport_identity::{Algorithm, KeyMaterial, KeyRule};
use serde_json::{Value, json};

/// A shared secret.
pub(crate) const SECRET: &[u8] = b"a secret of more than thirty-two bytes, for tests";

/// What signs.
pub(crate) enum Signer {
    Secret(&'static [u8]),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

pub(crate) static RSA: LazyLock<Signer> = LazyLock::new(rsa_signer);
pub(crate) static OTHER_RSA: LazyLock<Signer> = LazyLock::new(rsa_signer);
pub(crate) static P256: LazyLock<Signer> = LazyLock::new(|| {
    let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    Signer::P256(EcdsaKeyPair::generate(algorithm).unwrap())
});
pub(crate) static P384: LazyLock<Signer> = LazyLock::new(|| {
    let algorithm = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
    Signer::P384(EcdsaKeyPair::generate(algorithm).unwrap())
});
pub(crate) static ED: LazyLock<Signer> =
    LazyLock::new(|| Signer::Ed(Ed25519KeyPair::generate().unwrap()));
pub(crate) static HMAC: Signer = Signer::Secret(SECRET);

fn rsa_signer() -> Signer {
    Signer::Rsa(RsaKeyPair::generate(rsa::KeySize::Rsa2048).unwrap())
}

impl Signer {
    /// Who signs with `algorithm` in these tests.
    pub(crate) fn of(algorithm: Algorithm) -> &'static Self {
        match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => &HMAC,
            Algorithm::Es256 => &P256,
            Algorithm::Es384 => &P384,
            Algorithm::EdDsa => &ED,
            _ => &RSA,
        }
    }

    /// The public key in PEM.
    pub(crate) fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Secret(_) => unreachable!("a secret is not public"),
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Self::P256(pair) | Self::P384(pair) => pair.public_key().as_der().unwrap(),
            Self::Ed(pair) => pair.public_key().as_der().unwrap(),
        };
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The key as an operator configures it.
    pub(crate) fn rule(&self, algorithm: Algorithm, kid: Option<&str>) -> KeyRule {
        KeyRule {
            algorithm,
            kid: kid.map(str::to_owned),
            material: match self {
                Self::Secret(secret) => KeyMaterial::Secret(secret.to_vec()),
                _ => KeyMaterial::PublicKey(self.pem()),
            },
        }
    }

    /// The key as an issuer publishes it.
    pub(crate) fn published(&self, kid: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Secret(secret) => json!({"kty": "oct", "kid": kid, "k": text(secret)}),
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let n = text(public.modulus().big_endian_without_leading_zero());
                let e = text(public.exponent().big_endian_without_leading_zero());
                json!({"kty": "RSA", "kid": kid, "use": "sig", "n": n, "e": e})
            }
            Self::P256(pair) | Self::P384(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "kid": kid, "crv": curve, "x": text(x), "y": text(y)})
            }
            Self::Ed(pair) => {
                let x = text(pair.public_key().as_ref());
                json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": x})
            }
        }
    }

    /// A signature under `message` by whatever `algorithm` names.
    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Secret(secret) => {
                let hash = match &algorithm[2..] {
                    "384" => hmac::HMAC_SHA384,
                    "512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                let key = hmac::Key::new(hash, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let padding: &'static dyn RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signed).unwrap();
                signed
            }
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with this header, of which only `alg` need be right, and these claims.
    pub(crate) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let algorithm = header["alg"].as_str().unwrap();
        let signature = self.sign(algorithm, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(crate) fn token(&self, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({"alg": algorithm.name(), "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        self.token_with(&header, claims)
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
