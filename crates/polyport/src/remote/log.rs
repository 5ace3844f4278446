//! What the gateway logs.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::{Log, gateway::Gateway, table::duration};

#[derive(Debug, Serialize)]
struct Wanted<'a> {
    level: &'a str,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasts: Option<String>,
}

#[derive(Debug, Deserialize)]
struct State {
    level: String,
    configured: String,
    remaining: Option<u64>,
}

/// Says what is logged, after changing it if that is wanted.
pub(super) async fn log(gateway: &Gateway, wanted: &Log, as_json: bool) -> anyhow::Result<String> {
    let answer = match &wanted.level {
        None => gateway.query("/api/log", &[]).await?,
        Some(level) => {
            let lasts = wanted.lasts.map(|lasts| lasts.to_string());
            let body = Wanted { level, lasts };
            gateway.command("/api/log", &body).await?
        }
    };
    if as_json {
        return Ok(format!("{answer}\n"));
    }
    let state: State = serde_json::from_value(answer).context("the answer is another")?;
    Ok(state.shown())
}

impl State {
    fn shown(&self) -> String {
        let Self {
            level, configured, ..
        } = self;
        if self.remaining.is_none() && level == configured {
            return format!("{level}\n");
        }
        let until = match self.remaining {
            Some(left) => format!("for {} more", duration(Duration::from_millis(left))),
            None => "until the configuration is reloaded".to_owned(),
        };
        format!("{level}, {until}; the configuration says {configured}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_logged_and_how_long() {
        let shown = |level: &str, remaining| {
            let state = State {
                level: level.to_owned(),
                configured: "info".to_owned(),
                remaining,
            };
            state.shown()
        };
        assert_eq!(shown("info", None), "info\n");
        let tail = "the configuration says info\n";
        let expected = format!("debug, until the configuration is reloaded; {tail}");
        assert_eq!(shown("debug", None), expected);
        let expected = format!("debug, for 1m 5s more; {tail}");
        assert_eq!(shown("debug", Some(65_000)), expected);
    }
}
