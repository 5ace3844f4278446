//! Keys and secrets that should outlast a run.

use super::Finding;
use crate::{
    config::{ApiConfig, BackendKindConfig, Config, KeyMaterial, SecretConfig, TokensConfig},
    secrets::Secrets,
};

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let known = Secrets::new();
    let mut findings: Vec<Finding> = config.api.iter().map(api).collect();
    findings.extend(config.tokens.iter().map(|tokens| of_tokens(tokens, &known)));
    for backend in &config.backends {
        if let BackendKindConfig::Http(http) = &backend.kind {
            let subject = format!("backend {}", backend.name);
            let secrets = http.secrets.iter();
            findings.extend(secrets.filter_map(|secret| unusable(&subject, secret, &known)));
        }
    }
    findings
}

fn api(api: &ApiConfig) -> Finding {
    let subject = "server API";
    match (api.keys.len(), &api.master_key) {
        (0, None) => Finding::wrong(
            subject,
            "there is no key, so that each start makes one up, and callers are locked out by the next",
            "set POLYPORT_API_KEY, or make a key with `polyport api-key` and put its hash under [api.keys.NAME]",
        ),
        (0, Some(_)) => Finding::good(subject, "POLYPORT_API_KEY is set"),
        (keys, None) => Finding::good(subject, format!("{keys} keys")),
        (keys, Some(_)) => Finding::good(subject, format!("{keys} keys, and POLYPORT_API_KEY")),
    }
}

fn of_tokens(tokens: &TokensConfig, known: &Secrets) -> Finding {
    let subject = format!("tokens {}", tokens.name);
    for key in &tokens.keys {
        if let KeyMaterial::Secret(secret) = &key.material
            && let Some(finding) = unusable(&subject, secret, known)
        {
            return finding;
        }
    }
    let keys = tokens.keys.len();
    Finding::good(
        subject,
        match (keys, &tokens.jwks) {
            (0, _) => "checked by a key set".to_owned(),
            (keys, None) => format!("{keys} keys"),
            (keys, Some(_)) => format!("{keys} keys, and a key set"),
        },
    )
}

/// What is wrong with a secret. Its own text is never shown.
fn unusable(subject: &str, secret: &SecretConfig, known: &Secrets) -> Option<Finding> {
    if *secret == SecretConfig::Random {
        return Some(Finding::wrong(
            subject,
            "no secret is set, so that each start makes one up, and tokens of the run before are refused",
            "set POLYPORT_JWT_SECRET to what your services sign with",
        ));
    }
    let error = known.load(secret).err()?;
    Some(Finding::wrong(
        subject,
        format!("a secret cannot be had: {error:#}"),
        "put the secret there, readable for the user that the gateway runs as",
    ))
}
