//! What the settings of traces come to.

use http::HeaderName;
use polyport_net::HttpClient;

use super::Resolver;
use crate::config::{locate::Part, resolved::TracingConfig, settings::TracingSettings};

/// Spans that may wait; each takes some hundred bytes.
const MAX_QUEUE: usize = 1_000_000;

/// Where collectors take traces.
const PATH: &str = "/v1/traces";

impl Resolver<'_> {
    pub(super) fn tracing(&mut self, settings: &TracingSettings) -> Option<TracingConfig> {
        let at = |key: &'static str| ["tracing", key];
        if !(0.0..=1.0).contains(&settings.ratio) {
            self.fault(&at("ratio"), "expected a number from 0 to 1");
        }
        if !(1..=MAX_QUEUE).contains(&settings.queue) {
            let message = format!("expected a number from 1 to {MAX_QUEUE}");
            self.fault(&at("queue"), message);
        }
        if settings.batch == 0 {
            self.fault(&at("batch"), "expected 1 or more");
        }
        if settings.timeout.0.is_zero() {
            self.fault(&at("timeout"), "every request needs an end");
        }
        if settings.service.is_empty() {
            self.fault(&at("service"), "the collector needs a name");
        }
        let mut headers = Vec::new();
        for (name, secret) in &settings.headers {
            let setting = ["tracing", "headers", name];
            if HeaderName::try_from(name).is_err() {
                self.fault_at(&setting, Part::Key, "not the name of a header");
                continue;
            }
            let secret = self.secret(secret, &setting);
            headers.extend(secret.map(|secret| (name.clone(), secret)));
        }
        Some(TracingConfig {
            endpoint: self.collector(settings.endpoint.as_deref()?)?,
            headers,
            service: settings.service.clone(),
            attributes: settings.attributes.clone().into_iter().collect(),
            ratio: settings.ratio,
            queue: settings.queue,
            batch: settings.batch.min(settings.queue),
            interval: settings.interval.0,
            timeout: settings.timeout.0,
        })
    }

    fn collector(&mut self, endpoint: &str) -> Option<String> {
        let schemes = ["http://", "https://"];
        let host = schemes
            .iter()
            .find_map(|scheme| endpoint.strip_prefix(scheme));
        let is_good = HttpClient::check_url(endpoint).is_ok();
        let Some(host) = host.filter(|host| is_good && !host.starts_with('/')) else {
            let message = r#"expected the address of a collector such as "http://127.0.0.1:4318""#;
            self.fault(&["tracing", "endpoint"], message);
            return None;
        };
        Some(match host.split_once('/') {
            None => format!("{endpoint}{PATH}"),
            Some((_, "")) => format!("{}{PATH}", endpoint.trim_end_matches('/')),
            Some(_) => endpoint.to_owned(),
        })
    }
}
