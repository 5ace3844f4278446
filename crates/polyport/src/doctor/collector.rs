//! Whether traces reach their collector: its name, the way there, and what it answers to a request without spans.

use std::net::IpAddr;

use http::{StatusCode, Uri, header};
use polyport_net::{ClientResponse, HttpClient};
use tokio::{net::lookup_host, time::timeout};

use super::{CONNECT_TIMEOUT, Finding, TIMEOUT, clock, services};
use crate::{
    config::{Config, TracingConfig},
    secrets::Secrets,
    traces,
};

const SUBJECT: &str = "collector";

pub(super) async fn check(config: &Config, client: &HttpClient) -> Vec<Finding> {
    let Some(tracing) = &config.tracing else {
        return Vec::new();
    };
    let endpoint = &tracing.endpoint;
    let mut request = match traces::empty_request(tracing, &Secrets::new()) {
        Ok(request) => request,
        Err(error) => {
            let text = format!("it cannot be asked: {error:#}");
            let advice = "put the value there, readable for the user that the gateway runs as";
            return vec![Finding::wrong(SUBJECT, text, advice)];
        }
    };
    if let Err(error) = resolve(endpoint).await {
        let text = format!("{endpoint}: its name is not found: {error}");
        let advice = "correct tracing.endpoint, or see to the name service of this machine";
        return vec![Finding::wrong(SUBJECT, text, advice)];
    }
    request.timeout = request.timeout.min(TIMEOUT);
    match client.send(request).await {
        Err(error) => vec![Finding::wrong(
            SUBJECT,
            format!("{endpoint}: {error}"),
            "start the collector, let this machine reach it, or set tracing.endpoint to where it takes OTLP over HTTP (as a rule port 4318; 4317 is for gRPC)",
        )],
        Ok(answer) => {
            let mut findings = vec![judge(tracing, &answer)];
            let date = services::date(&answer);
            findings.extend(date.and_then(|time| clock::compare(SUBJECT, time)));
            findings
        }
    }
}

/// Whether the host of an address has one that can be connected to.
async fn resolve(endpoint: &str) -> Result<(), String> {
    let uri: Uri = endpoint
        .parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let host = uri.host().unwrap_or_default();
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    if is_address {
        return Ok(());
    }
    let found = timeout(CONNECT_TIMEOUT, lookup_host((host, 0))).await;
    match found {
        Err(_) => Err("no answer in time".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(_) => Ok(()),
            None => Err("it has no address".to_owned()),
        },
    }
}

fn judge(tracing: &TracingConfig, answer: &ClientResponse) -> Finding {
    let endpoint = &tracing.endpoint;
    let status = answer.status;
    let says = format!("{endpoint} answers {status}");
    let advice = match status {
        _ if status.is_success() && traces::is_taken(answer) => {
            return Finding::good(SUBJECT, format!("{endpoint} takes traces"));
        }
        _ if status.is_success() => {
            let kind = answer.headers.get(header::CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok());
            let text = format!(
                "{says}, but with {}, as no collector of OTLP does: spans would be lost without a word",
                kind.unwrap_or("what it does not name"),
            );
            let advice = "set tracing.endpoint to where the collector takes OTLP over HTTP; most do at /v1/traces";
            return Finding::wrong(SUBJECT, text, advice);
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "put what it wants to see into tracing.headers, and see that it is still valid"
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            "set tracing.endpoint to where it takes traces over HTTP; most do at /v1/traces"
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            "have it take application/x-protobuf: the gateway writes no other form"
        }
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            let text = format!(
                "{says} to a request without spans; whether it takes others cannot be told"
            );
            return Finding::note(SUBJECT, text);
        }
        _ if status.is_redirection() => {
            "set tracing.endpoint to where it sends to: the gateway does not follow"
        }
        _ => "see to the collector, or to the proxy in front of it",
    };
    Finding::wrong(SUBJECT, says, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_need_no_name_service_and_names_do() {
        for good in [
            "http://127.0.0.1:4318/v1/traces",
            "http://[::1]:4318/v1/traces",
            "https://localhost/v1/traces",
        ] {
            assert_eq!(resolve(good).await, Ok(()), "{good}");
        }
        assert!(
            resolve("http://collector.invalid:4318/v1/traces")
                .await
                .is_err()
        );
    }
}
