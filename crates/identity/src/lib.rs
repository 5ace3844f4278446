//! Who a client is: JSON Web Tokens become identities, and openings tell the site of the page that a client runs on.
//!
//! Start reading at [`TokenRules`] (what an operator can say of tokens), then [`Verifier`] (a token → an identity or a
//! [`polyport_core::TokenError`]). `key` holds keys, each pinned to one algorithm; `jwks` fetches and caches keys that an
//! issuer publishes; `claims` judges times, audience and issuer; [`SiteRules`] finds the base domain of a page.
//!
//! **This crate must not know** any protocol: front ends hand it the token's text and the opening request, and word what it
//! says in their own way. No text it gives away holds anything of a token or a key.

mod algorithm;
mod claims;
mod events;
mod jwks;
mod key;
mod punycode;
mod rules;
mod sign;
mod site;
mod token;
mod verifier;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use key::KeyError;
pub use rules::{JwksRules, JwksSource, KeyMaterial, KeyRule, RulesError, TokenRules};
pub use sign::sign;
pub use site::{SiteRules, SiteSource, base_domain};
pub use verifier::Verifier;
