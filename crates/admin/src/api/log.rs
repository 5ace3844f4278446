//! Looking at what is logged, and changing it for now.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::api::{
    Api,
    answer::Answer,
    body,
    error::{ApiError, Code},
    keys::ApiKey,
    query::Query,
};

/// Who writes the log.
pub trait LogControl: Send + Sync + fmt::Debug {
    /// What is logged now.
    fn state(&self) -> LogState;

    /// Logs what `level` says in place of what the configuration says: until it is reloaded, or for the time that `lasts` says.
    ///
    /// # Errors
    /// What is wrong with either text, for whoever wrote it. Nothing has changed.
    fn set(&self, level: &str, lasts: Option<&str>) -> Result<(), String>;
}

/// What is logged: a level, and levels of single modules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogState {
    /// What is in force.
    pub level: String,
    /// What the configuration says.
    pub configured: String,
    /// The time after which the configuration counts again, if it does by itself.
    pub remaining: Option<Duration>,
}

/// Nothing is logged, and that cannot be changed.
#[derive(Debug)]
pub(crate) struct NoLog;

impl LogControl for NoLog {
    fn state(&self) -> LogState {
        LogState {
            level: "off".to_owned(),
            configured: "off".to_owned(),
            remaining: None,
        }
    }

    fn set(&self, _: &str, _: Option<&str>) -> Result<(), String> {
        Err("nothing is logged here".to_owned())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogBody {
    level: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
}

#[derive(Debug, Serialize)]
struct LogText {
    level: String,
    configured: String,
    /// Milliseconds until the configuration counts again.
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
}

impl Api {
    pub(crate) fn log(&self, query: Option<&str>) -> Result<Answer, ApiError> {
        Query::parse(query, &[])?;
        Ok(self.log_answer())
    }

    /// It is the log of everybody: a key that is confined to rooms may look only.
    pub(crate) fn set_log(&self, key: &ApiKey, body: &[u8]) -> Result<Answer, ApiError> {
        let LogBody { level, lasts } = body::decode(body)?;
        key.check_unbounded()?;
        let set = self.log_control().set(&level, lasts.as_deref());
        set.map_err(|message| ApiError::new(Code::InvalidRequest, message))?;
        Ok(self.log_answer())
    }

    fn log_answer(&self) -> Answer {
        let LogState {
            level,
            configured,
            remaining,
        } = self.log_control().state();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Answer::ok(&LogText {
            level,
            configured,
            remaining: remaining.map(milliseconds),
        })
    }
}
