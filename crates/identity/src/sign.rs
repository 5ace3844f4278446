//! Making tokens: for a hint at the start, for trying things out, for tests.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, crypto};
use polyport_core::Json;
use serde::Serialize;

use crate::{Algorithm, KeyError, KeyMaterial, KeyRule, key::Key};

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    typ: &'static str,
}

/// A token with these claims, a JSON object, signed with HS256 and a shared secret.
#[must_use]
pub fn sign(secret: &[u8], claims: &Json) -> String {
    signed(Algorithm::Hs256, None, secret, claims)
}

impl KeyRule {
    /// A token with these claims, a JSON object, that this key accepts.
    ///
    /// # Errors
    /// [`KeyError`] when no token could be checked with the key, or when it is a public one, which signs nothing.
    pub fn sign(&self, claims: &Json) -> Result<String, KeyError> {
        let known = Key::new(self)?;
        match &self.material {
            KeyMaterial::Secret(secret) => Ok(signed(
                known.algorithm,
                known.kid.as_deref(),
                secret,
                claims,
            )),
            KeyMaterial::PublicKey(_) => Err(KeyError::SignsNothing),
        }
    }
}

fn signed(algorithm: Algorithm, kid: Option<&str>, secret: &[u8], claims: &Json) -> String {
    let header = Json::encode(&Header {
        alg: algorithm.name(),
        kid,
        typ: "JWT",
    });
    let [header, claims] = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.as_str()));
    let message = format!("{header}.{claims}");
    let key = EncodingKey::from_secret(secret);
    let signature = crypto::sign(message.as_bytes(), &key, algorithm.implementation())
        .expect("HMAC takes a key of any length");
    format!("{message}.{signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_jwt_io() {
        let claims = Json::parse(r#"{"sub":"1234567890","name":"John Doe","iat":1516239022}"#);
        assert_eq!(
            sign(b"your-256-bit-secret", &claims.unwrap()),
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
             eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.\
             SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
        );
    }
}
