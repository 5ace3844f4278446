//! A hub without sockets: peers that record what is written to them, dialects that count, metrics as numbers.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use polyport_core::{
    ActionInfo, Admission, Answer, Arg, Args, Backend, Call, Dialect, Event, EventName, Except,
    Frame, FrameQueue, Hub, Json, Limits, Listener, ListenerConfig, Opening, Peer, Permissions,
    RealmName, RefuseReason, RoomName, Session, SessionId, SessionRef, Target, Transport, Wrote,
};

/// A peer that takes bytes up to its capacity and remembers each write.
pub(crate) struct MemoryPeer {
    writes: Mutex<Vec<Vec<Bytes>>>,
    capacity: AtomicUsize,
    wakes: AtomicUsize,
    /// Where the bytes of each written slice lay in memory.
    addresses: Mutex<Vec<usize>>,
}

impl MemoryPeer {
    pub(crate) fn new() -> Arc<Self> {
        Self::taking(usize::MAX)
    }

    /// Takes so many bytes, then no more.
    pub(crate) fn taking(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            writes: Mutex::default(),
            capacity: AtomicUsize::new(capacity),
            wakes: AtomicUsize::new(0),
            addresses: Mutex::default(),
        })
    }

    pub(crate) fn take_more(&self, capacity: usize) {
        self.capacity.store(capacity, Ordering::SeqCst);
    }

    /// All bytes so far, as text.
    pub(crate) fn text(&self) -> String {
        let bytes: Vec<u8> = self
            .writes
            .lock()
            .iter()
            .flatten()
            .flatten()
            .copied()
            .collect();
        String::from_utf8(bytes).unwrap()
    }

    /// All lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// How often the transport was asked to write.
    pub(crate) fn writes(&self) -> usize {
        self.writes.lock().len()
    }

    /// How often the connection's task was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }

    pub(crate) fn addresses(&self) -> Vec<usize> {
        self.addresses.lock().clone()
    }
}

impl Transport for MemoryPeer {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        let mut written = Vec::new();
        let outcome = loop {
            if frames.is_empty() {
                break Wrote::All;
            }
            let capacity = self.capacity.load(Ordering::SeqCst);
            if capacity == 0 {
                break Wrote::Blocked;
            }
            let taken = frames.write_with(usize::MAX, |slices| {
                let mut taken = 0;
                for slice in slices {
                    let part = &slice[..slice.len().min(capacity - taken)];
                    taken += part.len();
                    self.addresses.lock().push(slice.as_ptr() as usize);
                    written.push(Bytes::copy_from_slice(part));
                }
                Ok::<_, ()>(taken)
            });
            if capacity != usize::MAX {
                self.capacity.fetch_sub(taken.unwrap(), Ordering::SeqCst);
            }
        };
        if !written.is_empty() {
            self.writes.lock().push(written);
        }
        outcome
    }

    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
    }
}

/// Writes an event as a line and counts how often it was asked to.
pub(crate) struct LineDialect {
    protocol: &'static str,
    encodes: AtomicUsize,
}

impl LineDialect {
    pub(crate) fn new(protocol: &'static str) -> Arc<Self> {
        Arc::new(Self {
            protocol,
            encodes: AtomicUsize::new(0),
        })
    }

    pub(crate) fn encodes(&self) -> usize {
        self.encodes.load(Ordering::SeqCst)
    }
}

impl Dialect for LineDialect {
    fn protocol(&self) -> &'static str {
        self.protocol
    }

    fn encode(&self, event: &Event) -> Frame {
        self.encodes.fetch_add(1, Ordering::SeqCst);
        let room = event.room.as_ref().map_or("-", RoomName::as_str);
        let data = match event.args.first() {
            Some(Arg::Json(json)) => json.as_str(),
            _ => "-",
        };
        let line = format!("{} {room} {} {data}\n", self.protocol, event.name);
        Frame::from(line)
    }
}

/// A listener on `hub` in realm `main`, with default limits and permissions.
pub(crate) struct ListenerPlan {
    pub(crate) name: &'static str,
    pub(crate) realm: &'static str,
    pub(crate) dialect: Arc<dyn Dialect>,
    pub(crate) join: Vec<&'static str>,
    pub(crate) limits: Limits,
    pub(crate) permissions: Permissions,
}

impl ListenerPlan {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            realm: "main",
            dialect: LineDialect::new("lines"),
            join: Vec::new(),
            limits: Limits {
                sessions: 0,
                sessions_per_address: 0,
                ..Limits::default()
            },
            permissions: Permissions::default(),
        }
    }

    pub(crate) fn on(self, hub: &Arc<Hub>) -> Arc<Listener> {
        hub.listener(ListenerConfig {
            name: self.name.to_owned(),
            protocol: self.dialect.protocol(),
            realm: RealmName::new(self.realm).unwrap(),
            dialect: self.dialect,
            join: self.join.into_iter().map(room).collect(),
            rooms: Vec::new(),
            limits: self.limits,
            permissions: self.permissions,
        })
    }
}

/// A hub with one plain listener.
pub(crate) fn hub_and_listener() -> (Arc<Hub>, Arc<Listener>) {
    let hub = Hub::new(0, None);
    let listener = ListenerPlan::new("one").on(&hub);
    (hub, listener)
}

pub(crate) fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 40_000))
}

/// A session that writes to `peer`.
pub(crate) fn open_on(listener: &Arc<Listener>, peer: &Arc<MemoryPeer>) -> Session {
    let peer = Arc::clone(peer) as Arc<dyn Transport>;
    open_at(listener, peer, address(1)).unwrap()
}

pub(crate) fn open_at(
    listener: &Arc<Listener>,
    transport: Arc<dyn Transport>,
    from: SocketAddr,
) -> Result<Session, RefuseReason> {
    let mut admission: Admission = listener.admit(None)?;
    admission.count_address(from.ip())?;
    Ok(Session::open(Opening {
        id: SessionId::random(),
        admission,
        peer: Peer::Ip(from),
        transport,
    }))
}

/// A session in `room` whose peer takes everything.
pub(crate) fn member(listener: &Arc<Listener>, name: &str) -> (Session, Arc<MemoryPeer>) {
    let peer = MemoryPeer::new();
    let session = open_on(listener, &peer);
    session.put_into(&room(name)).unwrap();
    (session, peer)
}

/// A session of that id in no room, whose peer takes everything.
pub(crate) fn member_called(listener: &Arc<Listener>, id: SessionId) -> (Session, Arc<MemoryPeer>) {
    let peer = MemoryPeer::new();
    let session = Session::open(Opening {
        id,
        admission: listener.admit(None).unwrap(),
        peer: Peer::Ip(address(1)),
        transport: Arc::clone(&peer) as Arc<dyn Transport>,
    });
    (session, peer)
}

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

pub(crate) fn name(name: &str) -> EventName {
    EventName::new(name).unwrap()
}

pub(crate) fn number(value: usize) -> Args {
    Args::from_iter([Arg::Json(Json::encode(&value))])
}

/// Publishes `value` as the server; returns the number of receivers.
pub(crate) fn announce(listener: &Listener, to: &str, value: Json) -> usize {
    let to = room(to);
    let mut event = Event::new(name("news"), value);
    event.room = Some(to.clone());
    let target = Target::Room {
        realm: listener.realm(),
        room: &to,
        except: Except::default(),
    };
    listener.hub().publish(target, &event).sessions
}

/// Publishes `value` as `session`, to everybody in the room.
pub(crate) fn say(session: &SessionRef, to: &str, value: usize) -> usize {
    session
        .publish(&room(to), name("said"), number(value), Except::default())
        .unwrap()
        .sessions
}

/// The sum of a family's counters or gauges over all series that carry `labels`.
pub(crate) fn metric(hub: &Hub, family: &str, labels: &[(&str, &str)]) -> f64 {
    let families = hub.metrics().registry().gather();
    let family = families.iter().find(|f| f.name() == family).unwrap();
    family
        .get_metric()
        .iter()
        .filter(|series| {
            labels.iter().all(|(name, value)| {
                let has = |label: &prometheus::proto::LabelPair| {
                    label.name() == *name && label.value() == *value
                };
                series.get_label().iter().any(has)
            })
        })
        .map(|series| series.get_counter().get_value() + series.get_gauge().get_value())
        .sum()
}

#[track_caller]
pub(crate) fn check_metric(hub: &Hub, family: &str, labels: &[(&str, &str)], expected: f64) {
    let value = metric(hub, family, labels);
    assert!(
        (value - expected).abs() < f64::EPSILON,
        "{family}{labels:?} is {value}, not {expected}"
    );
}

/// A backend that does this with calls and knows nothing else.
pub(crate) struct Answering<F>(pub(crate) F);

impl<F: Fn(&SessionRef, Call<'_>) -> Answer + Send + Sync> Backend for Answering<F> {
    fn call(&self, session: &SessionRef, call: Call<'_>) -> Answer {
        self.0(session, call)
    }

    fn inputs(&self, _: &Call<'_>) -> Vec<(String, Json)> {
        Vec::new()
    }

    fn describe(&self) -> Arc<[ActionInfo]> {
        Arc::new([])
    }

    fn has_input(&self, _: &str) -> bool {
        false
    }

    fn documentation(&self) -> Json {
        Json::EMPTY_OBJECT
    }
}
