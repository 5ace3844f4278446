//! Spans on their way to the collector: a bounded queue, and one task that sends what is in it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use polyport_core::{
    TraceMetrics,
    trace::{FinishedSpan, SpanSink},
};
use polyport_net::{ClientError, ClientRequest, ClientResponse, HttpClient};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::{debug, warn};

use super::otlp::{self, Resource};
use crate::{backends::Surroundings, config::TracingConfig};

/// Bytes of a collector's answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// How often a batch is sent, if the collector has no time for it.
const ATTEMPTS: u32 = 5;

/// Before a batch is sent again; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that a collector is granted.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Takes spans, and drops those for which there is no room.
pub(super) struct Exporter {
    queue: mpsc::Sender<FinishedSpan>,
    metrics: TraceMetrics,
    stop: Arc<Notify>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl SpanSink for Exporter {
    fn take(&self, span: FinishedSpan) {
        if self.queue.try_send(span).is_err() {
            self.metrics.dropped.inc();
        }
    }
}

impl Exporter {
    /// Starts one. Its task ends when it is told to, or when nobody has the exporter any more and all is sent.
    pub(super) fn start(
        config: &TracingConfig,
        headers: HeaderMap,
        surroundings: &Surroundings,
    ) -> Arc<Self> {
        let (queue, waiting) = mpsc::channel(config.queue);
        let (stop, metrics) = (Arc::new(Notify::new()), surroundings.hub.metrics().traces());
        let mut resource: Resource = vec![
            ("service.name".to_owned(), config.service.clone()),
            (
                "service.version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
            (
                "service.instance.id".to_owned(),
                surroundings.node.id.clone(),
            ),
        ];
        resource.retain(|(known, _)| !config.attributes.iter().any(|(name, _)| name == known));
        resource.extend(config.attributes.iter().cloned());
        let sender = Sender {
            waiting,
            stop: Arc::clone(&stop),
            metrics: metrics.clone(),
            client: surroundings.client.clone(),
            config: config.clone(),
            headers,
            resource,
        };
        let (tell, ended) = oneshot::channel();
        surroundings.tasks.spawn(async move {
            sender.run().await;
            // Nobody waits unless the process ends.
            let _ = tell.send(());
        });
        Arc::new(Self {
            queue,
            metrics,
            stop,
            ended: Mutex::new(Some(ended)),
        })
    }

    /// Has what waits sent, once, and waits for that.
    pub(super) async fn finish(&self, at_most: Duration) {
        self.stop.notify_one();
        let ended = self.ended.lock().take();
        if let Some(ended) = ended
            && timeout(at_most, ended).await.is_err()
        {
            warn!("the last spans have not been sent: the trace collector is too slow");
        }
    }
}

/// The other end of the queue.
struct Sender {
    waiting: mpsc::Receiver<FinishedSpan>,
    stop: Arc<Notify>,
    metrics: TraceMetrics,
    client: HttpClient,
    config: TracingConfig,
    headers: HeaderMap,
    resource: Resource,
}

/// What becomes of a batch.
enum Sent {
    Taken(ClientResponse),
    /// Another attempt may do better, after this time if the collector says so.
    NotNow(String, Option<Duration>),
    Never(String),
}

impl Sender {
    async fn run(mut self) {
        let mut batch = Vec::new();
        let mut is_going_on = true;
        while is_going_on {
            is_going_on = self.collect(&mut batch).await;
            while !batch.is_empty() {
                let is_told_to_stop = self.send(&batch, is_going_on).await;
                is_going_on &= !is_told_to_stop;
                batch.clear();
                if !is_going_on {
                    self.take_waiting(&mut batch);
                }
            }
        }
    }

    /// Waits until a batch is full or its first span has waited long enough. Whether there will be more.
    async fn collect(&mut self, batch: &mut Vec<FinishedSpan>) -> bool {
        let stop = Arc::clone(&self.stop);
        let collecting = async {
            let Some(first) = self.waiting.recv().await else {
                return false;
            };
            batch.push(first);
            let until = Instant::now() + self.config.interval;
            while batch.len() < self.config.batch {
                match timeout_at(until, self.waiting.recv()).await {
                    Ok(Some(span)) => batch.push(span),
                    Ok(None) => return false,
                    Err(_) => break,
                }
            }
            true
        };
        tokio::select! {
            is_going_on = collecting => is_going_on,
            () = stop.notified() => {
                self.waiting.close();
                self.take_waiting(batch);
                false
            }
        }
    }

    fn take_waiting(&mut self, batch: &mut Vec<FinishedSpan>) {
        while batch.len() < self.config.batch {
            match self.waiting.try_recv() {
                Ok(span) => batch.push(span),
                Err(_) => return,
            }
        }
    }

    /// Sends a batch, again if that may help and `is_patient`. Whether it was told to stop meanwhile.
    async fn send(&mut self, batch: &[FinishedSpan], is_patient: bool) -> bool {
        let body = Bytes::from(otlp::request(&self.resource, batch));
        let mut pause = FIRST_PAUSE;
        let mut attempts = if is_patient { ATTEMPTS } else { 1 };
        let mut is_told_to_stop = false;
        loop {
            attempts -= 1;
            let error = match self.attempt(body.clone()).await {
                Sent::Taken(answer) => {
                    self.count(batch.len(), &answer);
                    return is_told_to_stop;
                }
                Sent::NotNow(error, wanted) if attempts > 0 => {
                    debug!(error, "spans are sent again");
                    let pausing = sleep(wanted.unwrap_or(pause).min(MAX_PAUSE));
                    tokio::select! {
                        () = pausing => {}
                        () = self.stop.notified() => {
                            self.waiting.close();
                            (is_told_to_stop, attempts) = (true, 1);
                        }
                    }
                    pause *= 2;
                    continue;
                }
                Sent::NotNow(error, _) | Sent::Never(error) => error,
            };
            self.metrics.failed.inc_by(batch.len() as u64);
            warn!(
                spans = batch.len(),
                error, "the trace collector has not taken spans"
            );
            return is_told_to_stop;
        }
    }

    async fn attempt(&self, body: Bytes) -> Sent {
        let request = request(&self.config, self.headers.clone(), body);
        match self.client.send(request).await {
            Ok(answer) if answer.status.is_success() => Sent::Taken(answer),
            Ok(answer) => {
                let error = format!("it answered with status {}", answer.status);
                match answer.status {
                    StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT => Sent::NotNow(error, retry_after(&answer)),
                    _ => Sent::Never(error),
                }
            }
            Err(error @ (ClientError::BadUrl(_) | ClientError::TooLarge { .. })) => {
                Sent::Never(error.to_string())
            }
            Err(error) => Sent::NotNow(error.to_string(), None),
        }
    }

    fn count(&self, spans: usize, answer: &ClientResponse) {
        let all = spans as u64;
        let rejected = match otlp::rejected(&answer.body) {
            None | Some((0, _)) => 0,
            Some((rejected, message)) => {
                warn!(
                    spans = rejected,
                    error = message,
                    "the trace collector has not taken spans"
                );
                rejected.min(all)
            }
        };
        self.metrics.failed.inc_by(rejected);
        self.metrics.sent.inc_by(all - rejected);
    }
}

/// What a collector is sent.
pub(super) fn request(
    config: &TracingConfig,
    mut headers: HeaderMap,
    body: Bytes,
) -> ClientRequest {
    let protobuf = HeaderValue::from_static(otlp::CONTENT_TYPE);
    headers.insert(header::CONTENT_TYPE, protobuf);
    ClientRequest {
        method: Method::POST,
        url: config.endpoint.clone(),
        headers,
        body,
        timeout: config.timeout,
        max_body: MAX_ANSWER,
    }
}

/// The pause that a collector asks for, in seconds.
fn retry_after(answer: &ClientResponse) -> Option<Duration> {
    let value = answer.headers.get(header::RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
