//! Keys that signatures are checked with. Each is good for one algorithm, whatever a token says.

use jsonwebtoken::{DecodingKey, crypto};

use crate::{Algorithm, KeyMaterial, KeyRule, algorithm::Family};

/// RSA keys of less than 2048 bits are broken; the modulus alone takes so many bytes.
const MIN_RSA_BYTES: usize = 256;

/// A key that is ready for use.
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<Box<str>>,
    decoding: DecodingKey,
}

/// Why a key cannot be used. The text holds nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A secret without bytes.
    #[error("the secret is empty")]
    EmptySecret,
    /// A public key as a secret: whoever knows the public key could sign.
    #[error(
        "the secret is a PEM key: HS algorithms need a shared secret, a public key is no secret"
    )]
    PemAsSecret,
    /// A secret for an algorithm with public keys.
    #[error("{0} needs a public key, not a secret")]
    NeedsPublicKey(Algorithm),
    /// A public key for an algorithm with a shared secret.
    #[error("{0} needs a secret, not a public key")]
    NeedsSecret(Algorithm),
    /// A key that can sign where one that can check is enough.
    #[error("this is a private key: give the public one")]
    PrivateKey,
    /// Not PEM, or the key of another family or curve.
    #[error("this is no public key in PEM for {0}")]
    WrongKind(Algorithm),
    /// An RSA key of less than 2048 bits.
    #[error("RSA keys of less than 2048 bits are not safe")]
    ShortRsa,
    /// A public key where a token is to be made.
    #[error("a public key checks tokens and makes none")]
    SignsNothing,
}

impl Key {
    /// # Errors
    /// [`KeyError`].
    pub(crate) fn new(rule: &KeyRule) -> Result<Self, KeyError> {
        let algorithm = rule.algorithm;
        let decoding = match (&rule.material, algorithm.family()) {
            (KeyMaterial::Secret(secret), Family::Hmac) => {
                if secret.is_empty() {
                    return Err(KeyError::EmptySecret);
                }
                if secret.trim_ascii_start().starts_with(b"-----BEGIN ") {
                    return Err(KeyError::PemAsSecret);
                }
                DecodingKey::from_secret(secret)
            }
            (KeyMaterial::Secret(_), _) => return Err(KeyError::NeedsPublicKey(algorithm)),
            (KeyMaterial::PublicKey(_), Family::Hmac) => {
                return Err(KeyError::NeedsSecret(algorithm));
            }
            (KeyMaterial::PublicKey(pem), family) => public_key(pem, family, algorithm)?,
        };
        Ok(Self {
            algorithm,
            kid: rule.kid.as_deref().map(Box::from),
            decoding,
        })
    }

    /// A key of a published set, if it fits the algorithm.
    pub(crate) fn published(
        algorithm: Algorithm,
        kid: Option<&str>,
        decoding: DecodingKey,
    ) -> Result<Self, KeyError> {
        check_size(&decoding, algorithm)?;
        Ok(Self {
            algorithm,
            kid: kid.map(Box::from),
            decoding,
        })
    }

    /// Whether `signature`, in base64url, is this key's under `message`.
    pub(crate) fn has_signed(&self, message: &str, signature: &str) -> bool {
        let algorithm = self.algorithm.implementation();
        crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm).unwrap_or(false)
    }
}

fn public_key(pem: &str, family: Family, algorithm: Algorithm) -> Result<DecodingKey, KeyError> {
    if pem.contains("PRIVATE KEY-----") {
        return Err(KeyError::PrivateKey);
    }
    let decoding = match family {
        Family::Rsa => DecodingKey::from_rsa_pem(pem.as_bytes()),
        Family::Ec(_) => DecodingKey::from_ec_pem(pem.as_bytes()),
        Family::Ed => DecodingKey::from_ed_pem(pem.as_bytes()),
        Family::Hmac => return Err(KeyError::NeedsSecret(algorithm)),
    };
    let decoding = decoding.map_err(|_| KeyError::WrongKind(algorithm))?;
    check_size(&decoding, algorithm)?;
    Ok(decoding)
}

/// The library takes a key of any curve and length and then refuses every signature; better to say so at the start.
fn check_size(decoding: &DecodingKey, algorithm: Algorithm) -> Result<(), KeyError> {
    use jsonwebtoken::{AlgorithmFamily, DecodingKeyKind};
    let length = match decoding.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => {
            n.iter().skip_while(|byte| **byte == 0).count()
        }
    };
    match (algorithm.family(), decoding.family()) {
        (Family::Rsa, AlgorithmFamily::Rsa) if length < MIN_RSA_BYTES => Err(KeyError::ShortRsa),
        (Family::Rsa, AlgorithmFamily::Rsa) => Ok(()),
        (Family::Ec(expected), AlgorithmFamily::Ec) if length == expected => Ok(()),
        (Family::Ed, AlgorithmFamily::Ed) if length == 32 => Ok(()),
        _ => Err(KeyError::WrongKind(algorithm)),
    }
}
