//! What all parts of the backplane share: how something is said, and what becomes of what others say.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use polyport_core::{Arrival, BackplaneMetrics, Hub, RealmName};
use rand::distr::{Alphanumeric, SampleString};
use tokio::sync::watch;

use crate::{
    answers::{Answerer, Way},
    asking::{self, Questions},
    backplane::Health,
    codec::{
        Broadcast, BroadcastChannel, Channel, MAX_MESSAGE, ReadError, Request, Wire,
        read_broadcast, read_request, read_sync_request, write_ancient, write_broadcast,
        write_request,
    },
    incoming,
    options::RedisOptions,
    outgoing::{self, Parcel},
    presence::Records,
    queue::Queue,
    realms::{self, Base},
    servers::{self, Counting},
    streams::{self, Streams},
    subscriptions::Changes,
    typed,
};

/// Characters of the name by which servers know their own messages.
const UID: usize = 6;

/// Characters of the name by which gateways know each other.
const NODE: usize = 12;

/// A message to be published.
pub(crate) struct Outgoing {
    pub(crate) channel: String,
    pub(crate) payload: Vec<u8>,
    /// On a channel that only the node with its slot knows.
    pub(crate) is_sharded: bool,
}

/// A message that has arrived.
pub(crate) struct Incoming {
    /// Set when it was heard by a pattern.
    pub(crate) pattern: Option<Bytes>,
    /// Whether it was said on a sharded channel.
    pub(crate) is_sharded: bool,
    pub(crate) channel: Bytes,
    pub(crate) payload: Bytes,
}

/// Where gateways alone speak to each other.
pub(crate) struct PrivateChannels {
    pub(crate) frames: String,
    pub(crate) sessions: String,
    pub(crate) orders: String,
    /// What precedes the name of a node.
    nodes: String,
    node: String,
}

impl PrivateChannels {
    fn new(key: &str, node: &str) -> Self {
        let nodes = format!("polyport:{key}:node:");
        Self {
            frames: format!("polyport:{key}:frames"),
            sessions: format!("polyport:{key}:sessions"),
            orders: format!("polyport:{key}:orders"),
            node: format!("{nodes}{node}"),
            nodes,
        }
    }

    /// Where something is said to one node.
    pub(crate) fn of_node(&self, node: &str) -> String {
        format!("{}{node}", self.nodes)
    }

    pub(crate) fn all(&self) -> [String; 4] {
        [
            self.frames.clone(),
            self.sessions.clone(),
            self.orders.clone(),
            self.node.clone(),
        ]
    }
}

/// What all parts of the backplane share.
pub(crate) struct Shared {
    pub(crate) options: RedisOptions,
    pub(crate) hub: Weak<Hub>,
    /// By this it knows its own messages.
    pub(crate) uid: String,
    /// The same on sharded channels and in streams.
    pub(crate) shard_uid: String,
    /// By this gateways know it.
    pub(crate) node: Arc<str>,
    pub(crate) private: PrivateChannels,
    pub(crate) outgoing: Queue<Outgoing>,
    pub(crate) incoming: Queue<Incoming>,
    pub(crate) changes: Changes,
    /// Nothing if this node puts nothing on record.
    pub(crate) records: Option<Records>,
    pub(crate) questions: Questions,
    pub(crate) server_questions: servers::Questions,
    pub(crate) counting: Counting,
    pub(crate) streams: Streams,
    pub(crate) metrics: BackplaneMetrics,
    pub(crate) health: watch::Sender<Health>,
    /// Looked at for every message, and seldom changed.
    bases: Mutex<Arc<[Arc<Base>]>>,
}

impl Shared {
    /// Nothing is sent before the link is up.
    pub(crate) fn new(options: RedisOptions, hub: &Arc<Hub>) -> Arc<Self> {
        let bases = options.keys.iter();
        let bases = bases.map(|(realm, key)| Arc::new(Base::shared(realm.as_str(), key)));
        let bases: Vec<_> = bases.collect();
        let node: Arc<str> = Alphanumeric.sample_string(&mut rand::rng(), NODE).into();
        let cluster = options.cluster_name();
        let records = options
            .time_to_live
            .map(|time_to_live| Records::new(Arc::clone(&node), cluster, time_to_live));
        let shared = Self {
            hub: Arc::downgrade(hub),
            uid: Alphanumeric.sample_string(&mut rand::rng(), UID),
            shard_uid: typed::new_uid(),
            private: PrivateChannels::new(cluster, &node),
            node,
            records,
            questions: Questions::default(),
            server_questions: servers::Questions::default(),
            counting: Counting::default(),
            streams: Streams::new(&options, &bases),
            outgoing: Queue::new(options.queue_bytes),
            incoming: Queue::new(options.queue_bytes),
            changes: Changes::default(),
            metrics: hub.metrics().backplane(),
            health: watch::Sender::new(Health::Down),
            bases: Mutex::new(bases.into()),
            options,
        };
        shared.outgoing.close();
        Arc::new(shared)
    }

    /// The base of a realm. One that no setting names has a key of its own.
    pub(crate) fn base(&self, realm: &RealmName) -> Arc<Base> {
        self.base_of(realms::split(realm.as_str()).0)
    }

    pub(crate) fn base_of(&self, realm: &str) -> Arc<Base> {
        let mut bases = self.bases.lock();
        if let Some(base) = bases.iter().find(|base| base.realm_name() == realm) {
            return Arc::clone(base);
        }
        let base = Arc::new(Base::private(realm));
        *bases = bases.iter().chain([&base]).cloned().collect();
        base
    }

    /// Whether a setting gives the realm a key.
    pub(crate) fn has_key(&self, realm: &str) -> bool {
        let bases = self.bases.lock();
        bases
            .iter()
            .any(|base| base.is_shared && base.realm_name() == realm)
    }

    pub(crate) fn shared_bases(&self) -> Vec<Arc<Base>> {
        let bases = self.bases.lock();
        bases
            .iter()
            .filter(|base| base.is_shared)
            .cloned()
            .collect()
    }

    pub(crate) fn send(&self, parcel: &Parcel) -> bool {
        match parcel {
            Parcel::Session(broadcast) => {
                let payload = write_broadcast(broadcast, Wire::Modern);
                self.post(self.private.sessions.clone(), payload)
            }
            Parcel::Rooms(base, broadcast) => {
                let base = self.base_of(base);
                let is_sent = !self.is_classic(&base) || {
                    let payload = write_broadcast(broadcast, self.options.wire);
                    self.post(base.channels.of(broadcast), payload)
                };
                let is_sent = self.send_to_ancient(&base, broadcast) && is_sent;
                typed::publish(self, &base, broadcast) && is_sent
            }
        }
    }

    /// Sends a text to servers with an adapter before 0.2, if they are to hear it. Bytes are lost among them, too.
    fn send_to_ancient(&self, base: &Base, broadcast: &Broadcast) -> bool {
        if !self.options.ancient_servers || !base.is_shared {
            return true;
        }
        let payload = write_ancient(&Broadcast {
            flags: outgoing::marked(broadcast),
            ..broadcast.clone()
        });
        payload.is_none_or(|payload| self.post(base.channels.ancient_server(&self.uid), payload))
    }

    /// Sends an order to a namespace.
    pub(crate) fn pass_on(&self, base: &Base, namespace: &str, request: &Request) -> bool {
        if self.streams.carry(base.realm_name()) {
            return streams::order(self, base, namespace, request);
        }
        let is_sent = !self.is_classic(base)
            || self.post(base.channels.request(namespace), write_request(request));
        typed::order(self, base, namespace, request) && is_sent
    }

    /// Whether classic channels are used for a realm.
    pub(crate) fn is_classic(&self, base: &Base) -> bool {
        !base.is_shared || (self.options.classic && self.options.streams.is_none())
    }

    pub(crate) fn post(&self, channel: String, payload: Vec<u8>) -> bool {
        self.push(Outgoing {
            channel,
            payload,
            is_sharded: false,
        })
    }

    pub(crate) fn post_sharded(&self, channel: String, payload: Vec<u8>) -> bool {
        self.push(Outgoing {
            channel,
            payload,
            is_sharded: true,
        })
    }

    fn push(&self, message: Outgoing) -> bool {
        let (size, bytes) = (message.channel.len(), message.payload.len());
        let sent = bytes <= MAX_MESSAGE && self.outgoing.push(message, size + bytes);
        if !sent {
            self.metrics.published(false, 1);
        }
        sent
    }

    /// Takes over a message. It runs on the connection's task: others do the work.
    pub(crate) fn arrived(&self, message: Incoming) {
        let size = message.channel.len() + message.payload.len();
        if !self.incoming.push(message, size) {
            self.metrics.received(Arrival::Overflow);
        }
    }

    pub(crate) fn deliver(self: &Arc<Self>, hub: &Hub, message: &Incoming) -> Arrival {
        if is_of(&self.uid, &message.payload) {
            return Arrival::Own;
        }
        let Ok(channel) = std::str::from_utf8(&message.channel) else {
            return Arrival::Malformed;
        };
        if channel == self.private.sessions || channel == self.private.frames {
            return self.deliver_private(hub, channel, &message.payload);
        }
        if channel == self.private.node {
            return asking::heard(self, hub, &message.payload);
        }
        if channel == self.private.orders {
            return self.obey(hub, &message.payload);
        }
        let bases = self.bases.lock().clone();
        if message.is_sharded {
            let base = bases
                .iter()
                .find(|base| base.channels.read(channel).is_some());
            return base.map_or(Arrival::Ignored, |base| {
                typed::heard(self, hub, base, channel, &message.payload)
            });
        }
        let read = bases
            .iter()
            .find_map(|base| Some((base, base.channels.read(channel)?)));
        let (base, channel) = match read {
            Some((base, Channel::Broadcast(BroadcastChannel::Namespace { .. })))
                if self.streams.carry(base.realm_name()) =>
            {
                return typed::heard(self, hub, base, channel, &message.payload);
            }
            Some((base, Channel::Broadcast(channel))) => (base, channel),
            Some((base, Channel::Request { namespace })) => {
                return self.answer(hub, base, &namespace, &message.payload);
            }
            Some((_, Channel::Response { uid: None, .. })) => {
                return servers::heard(self, &message.payload);
            }
            Some((base, Channel::SyncRequest { namespace })) => {
                return self.answer_sync(hub, base, &namespace, &message.payload);
            }
            _ => return Arrival::Ignored,
        };
        let is_ancient = matches!(channel, BroadcastChannel::Server { .. });
        let by_ancient_pattern = message
            .pattern
            .as_deref()
            .is_some_and(|pattern| pattern == base.channels.ancient_pattern().as_bytes());
        if is_ancient != by_ancient_pattern || !self.concerns(hub, base, &channel) {
            return Arrival::Ignored;
        }
        match read_broadcast(&channel, &message.payload) {
            Ok(arrived) if arrived.broadcast.uid == self.uid => Arrival::Own,
            Ok(arrived) if arrived.broadcast.flags.local => Arrival::Ignored,
            Ok(arrived) if is_ancient && incoming::note(&arrived.broadcast).is_gateways => {
                Arrival::Ignored
            }
            Ok(arrived) => {
                incoming::deliver(hub, base, arrived, None);
                Arrival::Delivered
            }
            Err(error) => unreadable(error),
        }
    }

    fn deliver_private(&self, hub: &Hub, channel: &str, payload: &[u8]) -> Arrival {
        let plain = BroadcastChannel::Namespace {
            namespace: "/".into(),
            room: None,
        };
        let broadcast = match read_broadcast(&plain, payload) {
            Ok(arrived) => arrived.broadcast,
            Err(error) => return unreadable(error),
        };
        if channel == self.private.sessions {
            incoming::deliver_to_session(hub, broadcast);
        } else {
            incoming::deliver_frame(hub, &broadcast);
        }
        Arrival::Delivered
    }

    /// Does what another gateway orders to a single session.
    fn obey(&self, hub: &Hub, payload: &[u8]) -> Arrival {
        self.requested(payload, |request| {
            incoming::obey(hub, None, &request.question);
        })
    }

    /// Does what another server orders, and answers what it asks.
    fn answer(
        self: &Arc<Self>,
        hub: &Hub,
        base: &Base,
        namespace: &str,
        payload: &[u8],
    ) -> Arrival {
        self.requested(payload, |request| {
            let answerer = Answerer::new(self, hub, base, namespace);
            if let Some(realm) = answerer.realm() {
                incoming::obey(hub, Some(realm.name()), &request.question);
            }
            let way = Way::classic(base, namespace, request.numbering);
            answerer.answer(&way, request.id.as_deref(), &request.question);
        })
    }

    fn requested(&self, payload: &[u8], work: impl FnOnce(&Request)) -> Arrival {
        match read_request(payload) {
            Ok(request) if request.uid.as_deref() == Some(&self.uid) => Arrival::Own,
            Ok(request) => {
                work(&request);
                Arrival::Delivered
            }
            Err(error) => unreadable(error),
        }
    }

    /// Answers a server with adapter 1.1.
    fn answer_sync(
        self: &Arc<Self>,
        hub: &Hub,
        base: &Base,
        namespace: &str,
        payload: &[u8],
    ) -> Arrival {
        match read_sync_request(payload) {
            Ok(request) => {
                Answerer::new(self, hub, base, namespace).answer_sync(request);
                Arrival::Delivered
            }
            Err(error) => unreadable(error),
        }
    }

    /// Whether the room that a channel names is used here: if not, the message need not be read.
    fn concerns(&self, hub: &Hub, base: &Base, channel: &BroadcastChannel<'_>) -> bool {
        let BroadcastChannel::Namespace {
            namespace,
            room: Some(room),
        } = channel
        else {
            return true;
        };
        let realm = base.realm(namespace);
        let realm = realm.and_then(|name| hub.find_realm(name.as_str()));
        realm.is_some_and(|realm| realm.exists(room) || hub.alone_in(&realm, room).is_some())
    }
}

/// Whether a message of three elements begins with this uid.
fn is_of(uid: &str, payload: &[u8]) -> bool {
    payload
        .strip_prefix(&[0x93, 0xa0 | UID as u8])
        .is_some_and(|rest| rest.starts_with(uid.as_bytes()))
}

pub(crate) fn unreadable(error: ReadError) -> Arrival {
    match error {
        ReadError::OtherNamespace => Arrival::Ignored,
        error => {
            tracing::debug!(%error, "a message on Redis is dropped");
            Arrival::Malformed
        }
    }
}
