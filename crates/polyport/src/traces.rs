//! Traces: to a collector that speaks OTLP over HTTP, off unless one is configured.
//!
//! `exporter` takes spans from everywhere, never waiting, and sends them in batches; `otlp` writes a batch, on top of `protobuf`.
//! What is exported and why in this way stands in `docs/tracing.md`.

mod exporter;
mod otlp;
mod protobuf;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use polyport_core::trace::SpanSink;
use polyport_net::{ClientRequest, ClientResponse};

use self::exporter::Exporter;
use crate::{backends::Surroundings, config::TracingConfig, secrets::Secrets};

/// Longest time that the last spans have to leave when the process ends.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// The exporter that runs, if there is one.
#[derive(Default)]
pub(crate) struct Traces {
    running: Option<Running>,
}

struct Running {
    config: TracingConfig,
    headers: HeaderMap,
    exporter: Arc<Exporter>,
}

/// What a configuration says, with everything read that can fail.
pub(crate) struct Prepared(Option<(TracingConfig, HeaderMap)>);

impl Traces {
    /// Reads what the configuration needs.
    ///
    /// # Errors
    /// A header's value cannot be read or used.
    pub(crate) fn prepare(
        config: Option<&TracingConfig>,
        secrets: &Secrets,
    ) -> anyhow::Result<Prepared> {
        let Some(config) = config else {
            return Ok(Prepared(None));
        };
        let headers = read_headers(config, secrets).context("tracing.headers")?;
        Ok(Prepared(Some((config.clone(), headers))))
    }

    /// Goes on as it was prepared. What the exporter before has still to send it sends.
    pub(crate) fn put_in_force(&mut self, prepared: Prepared, surroundings: &Surroundings) {
        let tracer = surroundings.hub.tracer();
        let Some((config, headers)) = prepared.0 else {
            tracer.turn_off();
            self.running = None;
            return;
        };
        if let Some(running) = &self.running
            && (&running.config, &running.headers) == (&config, &headers)
        {
            return;
        }
        let exporter = Exporter::start(&config, headers.clone(), surroundings);
        tracer.turn_on(Arc::clone(&exporter) as Arc<dyn SpanSink>, config.ratio);
        self.running = Some(Running {
            config,
            headers,
            exporter,
        });
    }

    /// Sends what waits, within a bound.
    pub(crate) async fn finish(&self) {
        if let Some(running) = &self.running {
            let at_most = running.config.timeout.min(LAST_SPANS);
            running.exporter.finish(at_most).await;
        }
    }
}

/// A request without spans, as the exporter would send it.
///
/// # Errors
/// A header's value cannot be read or used.
pub(crate) fn empty_request(
    config: &TracingConfig,
    secrets: &Secrets,
) -> anyhow::Result<ClientRequest> {
    let headers = read_headers(config, secrets).context("tracing.headers")?;
    Ok(exporter::request(config, headers, Bytes::new()))
}

/// Whether a successful answer is one of a collector.
pub(crate) fn is_taken(answer: &ClientResponse) -> bool {
    let kind = answer.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    otlp::is_answer(kind, &answer.body)
}

fn read_headers(config: &TracingConfig, secrets: &Secrets) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, secret) in &config.headers {
        let known = HeaderName::try_from(name).with_context(|| format!("`{name}`"))?;
        let value = secrets.load(secret).with_context(|| name.clone())?;
        let value = HeaderValue::try_from(value).ok();
        ensure!(
            value.is_some(),
            "{name}: its value cannot stand in a header"
        );
        headers.extend(value.map(|mut value| {
            value.set_sensitive(true);
            (known, value)
        }));
    }
    Ok(headers)
}
