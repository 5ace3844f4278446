//! All that a console shows of this node, in one answer.
//!
//! It is asked for every few seconds by everybody who watches, so that it has to be cheap: figures are counters that are
//! there anyway, and what takes a look at every session or at the system is kept for a moment and shared.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use polyport_core::{
    BackendFigures, BackplaneFigures, Counts, Durations, Hub, Listener, Millis, RealmName, Refusal,
    SessionId, SessionRef, TooSlow,
};
use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    Readiness,
    api::{
        Api, answer::Answer, error::ApiError, info::RealmInfo, keys::ApiKey, query::Query,
        verb::Right,
    },
    process::ProcessFigures,
    standing::{BoundListener, Standing},
};

/// How long a sample is good for.
const SAMPLE_TIME: Duration = Duration::from_millis(1900);

/// Sessions that are shown because much waits for them.
const SLOWEST: usize = 20;

#[derive(Debug, Serialize)]
struct Overview<'a> {
    /// Milliseconds since the Unix epoch.
    at: u64,
    version: &'a str,
    /// How other nodes call this one, if there may be others.
    node: Option<String>,
    uptime_seconds: f64,
    ready: bool,
    reasons: Vec<&'static str>,
    sessions: usize,
    realms: Vec<RealmInfo>,
    listeners: Vec<ListenerBody>,
    /// By protocol.
    deliveries: BTreeMap<&'static str, Deliveries>,
    backends: Vec<BackendBody>,
    backplane: Option<BackplaneBody>,
    /// When the sample was taken that the rest is from.
    sampled_at: u64,
    process: Option<&'a ProcessFigures>,
    /// For a key that may list sessions.
    slow: Option<SlowBody<'a>>,
    refusals: Option<Vec<RefusalBody>>,
    key: KeyBody<'a>,
}

#[derive(Debug, Serialize)]
struct ListenerBody {
    name: String,
    protocol: &'static str,
    realm: RealmName,
    /// `None` for one that accepts nothing any more.
    address: Option<String>,
    tls: bool,
    draining: bool,
    sessions: i64,
    parked: i64,
    opened: u64,
    closed: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
    limit_hits: BTreeMap<&'static str, u64>,
    calls: CallsBody,
    published: u64,
    received_messages: u64,
    invalid_messages: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

#[derive(Debug, Serialize)]
struct CallsBody {
    outcomes: BTreeMap<&'static str, u64>,
    durations: DurationsBody,
}

#[derive(Debug, Serialize)]
struct DurationsBody {
    count: u64,
    seconds: f64,
    /// Bounds in seconds, each with how many took no longer.
    buckets: Vec<(f64, u64)>,
}

#[derive(Debug, Serialize)]
struct Deliveries {
    delivered: u64,
    encodes: u64,
}

#[derive(Debug, Serialize)]
struct BackendBody {
    name: String,
    kind: &'static str,
    available: bool,
    in_flight: i64,
    waiting: i64,
    outcomes: BTreeMap<&'static str, u64>,
    durations: DurationsBody,
    restarts: u64,
}

#[derive(Debug, Serialize)]
struct BackplaneBody {
    up: bool,
    links: u64,
    subscriptions: i64,
    published: BTreeMap<&'static str, u64>,
    received: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct SlowBody<'a> {
    /// Those for which most bytes wait.
    waiting: &'a [WaitingBody],
    /// Those that were ended because too many did.
    closed: Vec<TooSlowBody>,
}

#[derive(Debug, Serialize)]
struct WaitingBody {
    session: SessionId,
    listener: String,
    peer: String,
    bytes: usize,
    limit: usize,
}

#[derive(Debug, Serialize)]
struct TooSlowBody {
    at: u64,
    session: SessionId,
    listener: String,
    peer: String,
}

#[derive(Debug, Serialize)]
struct RefusalBody {
    at: u64,
    listener: String,
    peer: Option<String>,
    reason: &'static str,
}

/// What the key of the request may do.
#[derive(Debug, Serialize)]
struct KeyBody<'a> {
    name: &'a str,
    verbs: Vec<&'static str>,
    /// Whether it may address some rooms only.
    bounded: bool,
}

/// What takes a look at every session, or at the system.
#[derive(Debug)]
struct Sample {
    taken: Instant,
    at: Millis,
    process: Option<ProcessFigures>,
    slowest: Vec<WaitingBody>,
}

/// The last sample, for all who ask while it is fresh. Those who ask while one is taken wait for that one.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<Option<Arc<Sample>>>);

impl Samples {
    async fn get(&self, hub: &Arc<Hub>) -> Arc<Sample> {
        let mut last = self.0.lock().await;
        if let Some(sample) = &*last
            && sample.taken.elapsed() < SAMPLE_TIME
        {
            return Arc::clone(sample);
        }
        let hub = Arc::clone(hub);
        let taking = tokio::task::spawn_blocking(move || Sample::take(&hub));
        let sample = Arc::new(taking.await.unwrap_or_else(|error| {
            tracing::error!(%error, "how sessions stand cannot be looked at");
            Sample::empty()
        }));
        *last = Some(Arc::clone(&sample));
        sample
    }
}

impl Sample {
    fn take(hub: &Hub) -> Self {
        let slowest = hub.slowest(SLOWEST);
        Self {
            process: ProcessFigures::read(),
            slowest: slowest.iter().map(WaitingBody::of).collect(),
            ..Self::empty()
        }
    }

    fn empty() -> Self {
        Self {
            taken: Instant::now(),
            at: Millis::now(),
            process: None,
            slowest: Vec::new(),
        }
    }
}

impl Api {
    pub(crate) async fn overview(
        &self,
        key: &ApiKey,
        readiness: &Readiness,
        query: Option<&str>,
    ) -> Result<Answer, ApiError> {
        Query::parse(query, &[])?;
        let hub = self.hub();
        let standing = self.standing();
        let sample = self.samples().get(hub).await;
        let listeners = hub.listeners();
        let reasons = readiness.reasons();
        let backends = standing.backends.iter().map(|backend| {
            let figures = hub.metrics().backend_figures(&backend.name);
            BackendBody::of(&backend.name, backend.kind, figures)
        });
        let may_list = key.check_right(Right::Sessions).is_ok() && key.check_unbounded().is_ok();
        let backplane = hub.is_connected();
        let backplane = backplane.then(|| hub.metrics().backplane().figures());
        Ok(Answer::ok(&Overview {
            at: Millis::now().0,
            version: self.version(),
            node: self.node().map(|node| node.to_string()),
            uptime_seconds: self.uptime().as_secs_f64(),
            ready: reasons.is_empty(),
            reasons,
            sessions: hub.len(),
            realms: hub.realms().iter().map(RealmInfo::of).collect(),
            listeners: listener_bodies(&listeners, &standing),
            deliveries: deliveries(&listeners),
            backends: backends.collect(),
            backplane: backplane.map(BackplaneBody::of),
            sampled_at: sample.at.0,
            process: sample.process.as_ref(),
            slow: may_list.then(|| SlowBody {
                waiting: &sample.slowest,
                closed: hub
                    .recent()
                    .too_slow
                    .list()
                    .into_iter()
                    .map(TooSlowBody::of)
                    .collect(),
            }),
            refusals: may_list.then(|| {
                let refusals = hub.recent().refusals.list();
                refusals.into_iter().map(RefusalBody::of).collect()
            }),
            key: KeyBody {
                name: key.name(),
                verbs: key.verbs(),
                bounded: key.check_unbounded().is_err(),
            },
        }))
    }
}

/// One entry for each name and protocol, by name: a listener that was bound anew counts on in the same figures. One that
/// was removed stays until its last session has ended.
fn listener_bodies(listeners: &[Arc<Listener>], standing: &Standing) -> Vec<ListenerBody> {
    let mut seen = BTreeSet::new();
    // The newest of a name is the one that accepts.
    let newest = listeners.iter().rev();
    let newest = newest.filter(|it| seen.insert((it.name().to_owned(), it.protocol())));
    let mut bodies: Vec<ListenerBody> = newest
        .filter_map(|listener| {
            let mut bound = standing.listeners.iter();
            let bound = bound.find(|bound| bound.name == listener.name());
            let body = ListenerBody::of(listener, bound);
            let is_gone = bound.is_none() && body.draining && body.sessions + body.parked == 0;
            (!is_gone).then_some(body)
        })
        .collect();
    bodies.sort_by(|a, b| a.name.cmp(&b.name));
    bodies
}

impl ListenerBody {
    fn of(listener: &Listener, bound: Option<&BoundListener>) -> Self {
        let bound = bound.filter(|_| !listener.is_draining());
        let figures = listener.metrics().figures();
        Self {
            name: listener.name().to_owned(),
            protocol: listener.protocol(),
            realm: listener.realm().name().clone(),
            address: bound.map(|bound| bound.address.clone()),
            tls: bound.is_some_and(|bound| bound.is_tls),
            draining: listener.is_draining(),
            sessions: figures.sessions,
            parked: figures.parked,
            opened: figures.opened,
            closed: by_label(figures.closed),
            refused: by_label(figures.refused),
            limit_hits: by_label(figures.limit_hits),
            calls: CallsBody {
                outcomes: by_label(figures.calls),
                durations: figures.call_durations.into(),
            },
            published: figures.published,
            received_messages: figures.received_messages,
            invalid_messages: figures.invalid_messages,
            received_bytes: figures.received_bytes,
            sent_bytes: figures.sent_bytes,
        }
    }
}

fn deliveries(listeners: &[Arc<Listener>]) -> BTreeMap<&'static str, Deliveries> {
    let of = |listener: &Arc<Listener>| {
        let figures = listener.metrics().protocol_figures();
        let deliveries = Deliveries {
            delivered: figures.delivered,
            encodes: figures.encodes,
        };
        (listener.protocol(), deliveries)
    };
    listeners.iter().map(of).collect()
}

fn by_label(counts: Counts) -> BTreeMap<&'static str, u64> {
    counts.into_iter().collect()
}

impl From<Durations> for DurationsBody {
    fn from(durations: Durations) -> Self {
        Self {
            count: durations.count,
            seconds: durations.sum,
            buckets: durations.buckets,
        }
    }
}

impl BackendBody {
    fn of(name: &str, kind: &'static str, figures: BackendFigures) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            available: figures.is_available,
            in_flight: figures.in_flight,
            waiting: figures.waiting,
            outcomes: by_label(figures.requests),
            durations: figures.durations.into(),
            restarts: figures.restarts,
        }
    }
}

impl BackplaneBody {
    fn of(figures: BackplaneFigures) -> Self {
        Self {
            up: figures.is_up,
            links: figures.links,
            subscriptions: figures.subscriptions,
            published: by_label(figures.published),
            received: by_label(figures.received),
        }
    }
}

impl WaitingBody {
    fn of((session, bytes): &(SessionRef, usize)) -> Self {
        let listener = session.listener();
        Self {
            session: session.id(),
            listener: listener.name().to_owned(),
            peer: session.peer().to_string(),
            bytes: *bytes,
            limit: listener.limits().outbox,
        }
    }
}

impl TooSlowBody {
    fn of(slow: TooSlow) -> Self {
        Self {
            at: slow.at.0,
            session: slow.session,
            listener: slow.listener.to_string(),
            peer: slow.peer.to_string(),
        }
    }
}

impl RefusalBody {
    fn of(refusal: Refusal) -> Self {
        Self {
            at: refusal.at.0,
            listener: refusal.listener.to_string(),
            peer: refusal.peer.map(|peer| peer.to_string()),
            reason: refusal.reason.label(),
        }
    }
}
