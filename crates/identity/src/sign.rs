//! Making tokens: for a hint at the start, for trying things out, for tests.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use polyport_core::Json;

/// `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// A token with these claims, a JSON object, signed with HS256 and a shared secret.
///
/// # Panics
/// Never: HMAC takes a key of any length.
#[must_use]
pub fn sign(secret: &[u8], claims: &Json) -> String {
    let claims = URL_SAFE_NO_PAD.encode(claims.as_str());
    let message = format!("{HEADER}.{claims}");
    let key = EncodingKey::from_secret(secret);
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256)
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
