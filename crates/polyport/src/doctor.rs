//! Looking for what keeps a gateway from running well: `polyport doctor`.
//!
//! Each file has checks of one kind; a check gives [`Finding`]s, and one that is wrong says what to do. Nothing is changed. Addresses
//! that are free are bound for a moment, services are asked for no more than whether they are there.

mod addresses;
mod certificates;
mod clock;
mod collector;
mod process;
mod secrets;
mod services;

use std::{fmt, time::Duration};

use anyhow::Context;
use polyport_net::{ClientRequest, ClientResponse, HttpClient, HttpClientOptions};
use tokio::runtime;

use crate::{
    config::{Config, Inputs, Problems},
    health,
};

/// How long a connection and a whole request may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer: metrics of many listeners are the longest.
const MAX_ANSWER: usize = 16 << 20;

/// What was found.
#[derive(Debug)]
pub struct Report(Vec<Finding>);

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    state: State,
    /// What was looked at.
    subject: String,
    /// How it stands.
    text: String,
    /// What to do about it.
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// Worth knowing: it need not be wrong, or cannot be told.
    Note,
    Wrong,
}

impl Finding {
    fn good(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            state: State::Good,
            subject: subject.into(),
            text: text.into(),
            advice: None,
        }
    }

    fn note(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            state: State::Note,
            ..Self::good(subject, text)
        }
    }

    fn wrong(
        subject: impl Into<String>,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Wrong,
            advice: Some(advice.into()),
            ..Self::good(subject, text)
        }
    }
}

impl Report {
    /// How many things are wrong.
    #[must_use]
    pub fn wrong(&self) -> usize {
        let wrong = self.0.iter().filter(|it| it.state == State::Wrong);
        wrong.count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.0.iter().map(|it| it.subject.chars().count());
        let width = widths.max().unwrap_or_default();
        for finding in &self.0 {
            let state = match finding.state {
                State::Good => "ok",
                State::Note => "note",
                State::Wrong => "WRONG",
            };
            let mut lines = finding.text.lines().chain(finding.advice.as_deref());
            let first = lines.next().unwrap_or_default();
            writeln!(f, "{state:<5}  {:<width$}  {first}", finding.subject)?;
            for line in lines {
                writeln!(f, "{:width$}         {line}", "")?;
            }
        }
        Ok(())
    }
}

/// Checks one thing after the other.
///
/// # Errors
/// When nothing can be checked at all.
pub fn examine(inputs: &Inputs) -> anyhow::Result<Report> {
    let mut findings = Vec::new();
    let loaded = match inputs.load() {
        Ok(loaded) => loaded,
        Err(problems) => return Ok(Report(vec![misconfigured(&problems)])),
    };
    findings.push(match loaded.check_paths() {
        Ok(()) => {
            let listeners = loaded.config.listeners.len();
            let text = format!("{}, {listeners} listeners", loaded.file.name);
            Finding::good("configuration", text)
        }
        Err(problems) => misconfigured(&problems),
    });
    let config = &loaded.config;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let client = HttpClient::new(HttpClientOptions {
        connect_timeout: CONNECT_TIMEOUT,
        ..HttpClientOptions::default()
    });
    let (state, running) = gateway(config);
    findings.push(state);
    findings.extend(runtime.block_on(async {
        let mut findings = vec![process::open_files(config, running, &client).await];
        findings.extend(addresses::check(config, running));
        findings.push(clock::check());
        findings.extend(certificates::check(config));
        findings.extend(services::redis(config).await);
        findings.extend(services::backends(config, &client).await);
        findings.extend(services::key_sets(config, &client).await);
        findings.extend(collector::check(config, &client).await);
        findings.extend(secrets::check(config));
        findings
    }));
    Ok(Report(findings))
}

fn misconfigured(problems: &Problems) -> Finding {
    Finding::wrong(
        "configuration",
        problems.to_string(),
        "put that right; docs/configuration.md has every setting",
    )
}

/// Whether a gateway runs with this configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Running {
    Yes,
    No,
}

fn gateway(config: &Config) -> (Finding, Running) {
    let subject = "gateway";
    if config.admin.is_none() {
        let text = "there is no [admin] listener, so that nobody can ask it how it is";
        return (Finding::note(subject, text), Running::No);
    }
    match health::look(config.admin) {
        Ok((true, _)) => (Finding::good(subject, "it runs and is ready"), Running::Yes),
        Ok((false, reasons)) => {
            let text = format!(
                "it runs, but is not ready: {}",
                reasons.trim_end().replace('\n', "; ")
            );
            let advice = "wait if it is stopping; else see to what it names";
            (Finding::wrong(subject, text, advice), Running::Yes)
        }
        Err(_) => (
            Finding::note(subject, "none runs with this configuration"),
            Running::No,
        ),
    }
}

async fn ask(
    client: &HttpClient,
    method: http::Method,
    url: &str,
) -> Result<ClientResponse, polyport_net::ClientError> {
    let request = ClientRequest {
        method,
        url: url.to_owned(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        timeout: TIMEOUT,
        max_body: MAX_ANSWER,
    };
    client.send(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_is_wrong_and_what_to_do() {
        let report = Report(vec![
            Finding::good("a", "fine"),
            Finding::note("longer", "perhaps"),
            Finding::wrong("b", "one\ntwo", "do this"),
        ]);
        let expected = "\
ok     a       fine
note   longer  perhaps
WRONG  b       one
               two
               do this
";
        assert_eq!((report.to_string().as_str(), report.wrong()), (expected, 1));
    }
}
