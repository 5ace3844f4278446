//! Secrets of the configuration, and those that are made up for one run where nobody gave any.

use std::fs;

use anyhow::Context;
use polyport_admin::ApiKeys;

use crate::config::SecretConfig;

/// Bytes of a made-up secret; as many as SHA-256 has.
const SECRET_BYTES: usize = 32;

/// What was made up when the process started. The same for its whole life, so that a reload does not lock anybody out.
pub(crate) struct Secrets {
    for_tokens: [u8; SECRET_BYTES],
    /// A key of the server API.
    pub(crate) api_key: String,
}

impl Secrets {
    pub(crate) fn new() -> Self {
        Self {
            for_tokens: rand::random(),
            api_key: ApiKeys::generate().key,
        }
    }

    /// The bytes of a secret. The last line break of a file does not count, since editors put one there.
    pub(crate) fn load(&self, secret: &SecretConfig) -> anyhow::Result<Vec<u8>> {
        match secret {
            SecretConfig::Value(value) => Ok(value.clone()),
            SecretConfig::Random => Ok(self.for_tokens.to_vec()),
            SecretConfig::File(path) => {
                let mut value =
                    fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                while value
                    .last()
                    .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
                {
                    value.pop();
                }
                anyhow::ensure!(!value.is_empty(), "{} is empty", path.display());
                Ok(value)
            }
        }
    }
}
