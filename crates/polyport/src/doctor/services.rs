//! Who must be reached: Redis, services, key sets.

use std::time::Duration;

use http::{Method, StatusCode, header};
use polyport_net::{ClientResponse, HttpClient};
use polyport_redis_rooms::ServerInfo;
use serde_json::Value;

use super::{Finding, ask, clock};
use crate::{
    backplane,
    config::{BackendKindConfig, Config, JwksPlace},
    secrets::Secrets,
};

const REDIS: &str = "redis";

/// The oldest Redis that speaks as gateways do.
const OLDEST_REDIS: u64 = 6;

pub(super) async fn redis(config: &Config) -> Vec<Finding> {
    let Some(redis) = &config.backplane else {
        return Vec::new();
    };
    let deployment = match backplane::deployment(redis, &Secrets::new()) {
        Ok(deployment) => deployment,
        Err(error) => {
            let text = format!("it cannot be connected to: {error:#}");
            let advice = "see to the file or secret that [backplane] names";
            return vec![Finding::wrong(REDIS, text, advice)];
        }
    };
    let server = match deployment.probe().await {
        Ok(server) => server,
        Err(error) => {
            let advice = "start Redis or let this machine reach it; backplane.url, user, password and tls say how it is reached";
            return vec![Finding::wrong(REDIS, error.to_string(), advice)];
        }
    };
    let mut findings = vec![judge(&server)];
    findings.extend(server.clock.and_then(|time| clock::compare(REDIS, time)));
    findings
}

fn judge(server: &ServerInfo) -> Finding {
    let address = &server.address;
    let Some(version) = &server.version else {
        let text = format!("{address} answers, but this user may not know its version");
        return Finding::note(REDIS, text);
    };
    let text = format!("{address} is Redis {version}");
    if major(version).is_some_and(|major| major < OLDEST_REDIS) {
        return Finding::wrong(REDIS, text, format!("take Redis {OLDEST_REDIS} or newer"));
    }
    Finding::good(REDIS, text)
}

fn major(version: &str) -> Option<u64> {
    version.split('.').next()?.parse().ok()
}

/// Services are asked for the head of their page, which has no effect. Any answer will do.
pub(super) async fn backends(config: &Config, client: &HttpClient) -> Vec<Finding> {
    let mut findings = Vec::new();
    for backend in &config.backends {
        let BackendKindConfig::Http(http) = &backend.kind else {
            continue;
        };
        let subject = format!("backend {}", backend.name);
        let client = if http.http2 {
            client.with_http2()
        } else {
            client.clone()
        };
        match ask(&client, Method::HEAD, &http.url).await {
            Err(error) => findings.push(Finding::wrong(
                &subject,
                format!("{}: {error}", http.url),
                format!(
                    "start the service, or set backends.{}.url to where it is",
                    backend.name
                ),
            )),
            Ok(answer) => {
                findings.push(Finding::good(&subject, format!("{} answers", http.url)));
                findings.extend(date(&answer).and_then(|time| clock::compare(&subject, time)));
            }
        }
    }
    findings
}

pub(super) async fn key_sets(config: &Config, client: &HttpClient) -> Vec<Finding> {
    let mut findings = Vec::new();
    for tokens in &config.tokens {
        let Some(JwksPlace::Url(url)) = tokens.jwks.as_ref().map(|jwks| &jwks.from) else {
            continue;
        };
        let subject = format!("tokens {}", tokens.name);
        let problem = match ask(client, Method::GET, url).await {
            Err(error) => error.to_string(),
            Ok(answer) if answer.status != StatusCode::OK => format!("answers {}", answer.status),
            Ok(answer) => match serde_json::from_slice::<Value>(&answer.body) {
                Ok(set) if set["keys"].is_array() => {
                    findings.push(Finding::good(subject, format!("{url} has a key set")));
                    continue;
                }
                _ => "what is there is no key set".to_owned(),
            },
        };
        findings.push(Finding::wrong(
            subject,
            format!("{url}: {problem}"),
            format!(
                "let this machine reach it, or set tokens.{}.jwks to where the keys are",
                tokens.name
            ),
        ));
    }
    findings
}

/// When an answer was written by the clock of who has, since 1970.
pub(super) fn date(answer: &ClientResponse) -> Option<Duration> {
    seconds(answer.headers.get(header::DATE)?.to_str().ok()?)
}

/// The time of a `Date` header, as since 1970.
fn seconds(date: &str) -> Option<Duration> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut parts = date.split_once(", ")?.1.split(' ');
    let day = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    let year = parts.next()?.parse().ok()?;
    let mut time = parts
        .next()?
        .split(':')
        .map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let days = polyport_net::days_since_1970(year, u64::try_from(month).ok()?, day)?;
    Some(Duration::from_secs(
        days * 86_400 + hour * 3_600 + minute * 60 + second,
    ))
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn dates_of_answers() {
        let check = |date, expected: Option<u64>| {
            assert_eq!(seconds(date), expected.map(Duration::from_secs), "{date}");
        };
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Thu, 26 Nov 2026 09:31:31 GMT", Some(1_795_685_491));
        for bad in [
            "",
            "Sun, 06 Nox 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn an_old_redis_is_wrong_and_an_unknown_one_need_not_be() {
        let check = |version: Option<&str>, state| {
            let server = ServerInfo {
                address: "here".to_owned(),
                version: version.map(str::to_owned),
                clock: None,
            };
            assert_eq!(judge(&server).state, state, "{version:?}");
        };
        check(Some("7.2.4"), State::Good);
        check(Some("255.255.255"), State::Good);
        check(Some("5.0.14"), State::Wrong);
        check(None, State::Note);
    }
}
