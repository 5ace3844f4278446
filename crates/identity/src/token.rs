//! A token taken apart, before anything in it is believed; and the words for what is wrong with one.
//!
//! The texts are those of npm jsonwebtoken, which clients of socketio-jwt compare.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use polyport_core::TokenError;
use serde::Deserialize;

/// The three parts of a token.
pub(crate) struct Token<'a> {
    pub(crate) header: Header,
    /// What was signed.
    pub(crate) message: &'a str,
    payload: &'a str,
    /// In base64url; not empty.
    pub(crate) signature: &'a str,
}

/// What of a token's header matters here.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    #[serde(default)]
    pub(crate) kid: Option<String>,
    /// Extensions that must be understood; none is.
    #[serde(default)]
    crit: Option<serde::de::IgnoredAny>,
}

impl<'a> Token<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > polyport_core::MAX_TOKEN {
            return Err(invalid("jwt too long"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid("jwt malformed"));
        };
        let message = &text[..header.len() + 1 + payload.len()];
        let header = decoded(header)?;
        let header: Header =
            serde_json::from_slice(&header).map_err(|_| invalid("invalid token"))?;
        if signature.is_empty() || header.alg.eq_ignore_ascii_case("none") {
            return Err(invalid("jwt signature is required"));
        }
        if header.crit.is_some() {
            return Err(invalid("jwt asks for an extension that is not known"));
        }
        Ok(Self {
            header,
            message,
            payload,
            signature,
        })
    }

    /// The claims as JSON text, once the signature is known to be good.
    pub(crate) fn claims(&self) -> Result<String, TokenError> {
        String::from_utf8(decoded(self.payload)?).map_err(|_| invalid("invalid token"))
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| invalid("invalid token"))
}

pub(crate) fn invalid(message: impl Into<String>) -> TokenError {
    TokenError {
        code: TokenError::INVALID,
        message: message.into(),
    }
}

pub(crate) fn expired() -> TokenError {
    TokenError {
        code: TokenError::EXPIRED,
        message: "jwt expired".to_owned(),
    }
}

/// No keys can be had now; the token may be good.
pub(crate) fn unavailable() -> TokenError {
    TokenError {
        code: TokenError::UNAVAILABLE,
        message: "the keys to check the token with cannot be had now".to_owned(),
    }
}
