//! The backplane: what the hub tells it, and the task that does what others say.

use std::{sync::Arc, time::Duration};

use polyport_core::{
    Args, Asked, Backplane, Cluster, Event, EventName, Frame, History, Hub, Keeping, KeptSession,
    Known, Listener, Member, Missing, Order, Part, Place, Promise, RealmName, RoomInfo, RoomName,
    ServersAnswered, SessionId, SessionInfo, Soon, Taken, Target,
};
use polyport_net::Tasks;
use tokio::{runtime::Handle, sync::watch, time::timeout};
use tracing::warn;

use crate::{
    asking,
    codec::{Wire, write_broadcast, write_request},
    link,
    options::RedisOptions,
    outgoing::{self, Parcel},
    presence::Records,
    realms, servers,
    shared::Shared,
    streams::{self, keeping},
    subscriptions::Change,
};

/// Messages that are read and delivered in one go.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 1 << 20;

/// How long a node that stops may take to add to the streams what waits.
const FAREWELL: Duration = Duration::from_secs(1);

/// How the link to Redis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Everything is subscribed, and what is published goes out.
    Up,
    /// Other nodes are out of reach.
    Down,
}

/// Rooms over Redis: a [`Backplane`] that shares rooms with the servers and emitters of Socket.IO.
pub struct RedisRooms {
    shared: Arc<Shared>,
    tasks: Tasks,
    /// Scripts ask from threads of their own.
    runtime: Handle,
}

impl RedisRooms {
    /// Connects `hub` with the other nodes, now and again until the tasks stop. The link is [`Health::Down`] at first.
    #[must_use]
    pub fn start(options: RedisOptions, hub: &Arc<Hub>, tasks: &Tasks) -> Arc<Self> {
        let shared = Shared::new(options, hub);
        let rooms = Arc::new(Self {
            shared: Arc::clone(&shared),
            tasks: tasks.clone(),
            runtime: Handle::current(),
        });
        hub.connect(Arc::clone(&rooms) as Arc<dyn Backplane>);
        let stopping = tasks.stopping();
        let linked = Arc::clone(&shared);
        tasks.spawn(async move { stopping.run_until_cancelled(link::run(&linked)).await });
        let stopping = tasks.stopping();
        tasks.spawn(async move { stopping.run_until_cancelled(receive(&shared)).await });
        rooms
    }

    /// Waits until what is on its way to a stream is there, and takes what this node has put on record off it, for good; a second
    /// at most for each. Without this, others see its sessions until its time to live is over.
    pub async fn leave(&self) {
        if *self.shared.health.borrow() == Health::Up {
            // What is left then is counted below.
            timeout(FAREWELL, self.shared.streams.settled()).await.ok();
        }
        let lost = self.shared.streams.waiting();
        if lost > 0 {
            self.shared.metrics.published(false, lost);
            warn!(
                lost,
                "this node stops before Redis has what it has published"
            );
        }
        if let Some(records) = &self.shared.records {
            records.leave().await;
        }
    }

    /// How the link is, and how it becomes.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }
}

impl Backplane for RedisRooms {
    fn publish(&self, target: Target<'_>, event: &Event) -> Promise {
        let comes_back = self.brings_back(target);
        // Nothing is written for nobody.
        if *self.shared.health.borrow() == Health::Down && !comes_back {
            self.shared.metrics.published(false, 1);
            return Promise::NotSent;
        }
        let parcels = outgoing::parcels(&self.shared.uid, target, event);
        if comes_back {
            return self.publish_in_stream(target, event, parcels);
        }
        promise(parcels.iter().map(|parcel| self.shared.send(parcel)))
    }

    fn brings_back(&self, target: Target<'_>) -> bool {
        self.shared.streams.bring_back(target)
    }

    /// Clients make namespaces, so any of a realm that is here or has a key may be on another node.
    fn reaches(&self, realm: &RealmName) -> bool {
        let (base, _) = realms::split(realm.as_str());
        let is_here = |hub: Arc<Hub>| hub.find_realm(base).is_some();
        self.shared.has_key(base) || self.shared.hub.upgrade().is_some_and(is_here)
    }

    fn order(&self, target: Target<'_>, order: Order<'_>) -> Promise {
        let commands = outgoing::commands(&self.shared.uid, target, order);
        let sent = commands.iter().map(|command| match command {
            outgoing::Command::Session(request) => {
                let channel = self.shared.private.orders.clone();
                self.shared.post(channel, write_request(request))
            }
            outgoing::Command::Realm(base, namespace, request) => {
                self.shared
                    .pass_on(&self.shared.base_of(base), namespace, request)
            }
        });
        promise(sent)
    }

    fn relay(&self, listener: &Listener, frame: &Frame) -> Promise {
        let broadcast = outgoing::frame(&self.shared.uid, listener, frame);
        let payload = write_broadcast(&broadcast, Wire::Modern);
        let sent = self
            .shared
            .post(self.shared.private.frames.clone(), payload);
        promise([sent])
    }

    fn realm_changed(&self, realm: &RealmName) {
        self.shared.changes.add(|| Change::Realm(realm.clone()));
    }

    fn membership_changed(&self, realm: &RealmName, room: &RoomName, session: SessionId) {
        let change = || Change::Room(realm.clone(), room.clone());
        self.shared.changes.add(change);
        if let Some(records) = &self.shared.records {
            records.membership_changed(realm, room, session);
        }
    }

    fn session_changed(&self, _: &RealmName, session: SessionId) {
        if let Some(records) = &self.shared.records {
            records.session_changed(session);
        }
    }

    fn ask_servers(
        &self,
        realm: &RealmName,
        event: EventName,
        args: Args,
        limit: Duration,
        done: ServersAnswered,
    ) {
        let (shared, realm) = (Arc::clone(&self.shared), realm.clone());
        let stopping = self.tasks.stopping();
        let _inside = self.runtime.enter();
        self.tasks.spawn(async move {
            let asking = servers::ask(&shared, &realm, event, args, limit);
            done(stopping.run_until_cancelled(asking).await.flatten());
        });
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        self.shared.records.as_ref()?;
        Some(self)
    }

    fn keeping(&self) -> Option<&dyn Keeping> {
        (!self.shared.streams.is_empty()).then_some(self as _)
    }

    fn place(&self, realm: &RealmName) -> Option<Place> {
        keeping::place_in(&self.shared, realm)
    }
}

impl RedisRooms {
    /// Single sessions are told as always.
    fn publish_in_stream(
        &self,
        target: Target<'_>,
        event: &Event,
        parcels: Vec<Parcel>,
    ) -> Promise {
        let (mut broadcasts, mut others) = (Vec::new(), Vec::new());
        let mut realm = String::new();
        for parcel in parcels {
            match parcel {
                Parcel::Rooms(base, broadcast) => {
                    realm = base;
                    broadcasts.push(broadcast);
                }
                Parcel::Session(_) => others.push(parcel),
            }
        }
        let is_added = streams::publish(&self.shared, target, event, &realm, &broadcasts);
        let others = others.iter().map(|parcel| self.shared.send(parcel));
        promise([is_added].into_iter().chain(others))
    }

    fn records(&self) -> &Records {
        let records = self.shared.records.as_ref();
        records.expect("nobody is given a cluster without records")
    }
}

impl Cluster for RedisRooms {
    fn node(&self) -> &Arc<str> {
        &self.shared.node
    }

    fn members<'a>(
        &'a self,
        realm: &'a RealmName,
        room: &'a RoomName,
    ) -> Soon<'a, Known<Vec<Member>>> {
        Box::pin(self.records().members(realm, room))
    }

    fn rooms<'a>(
        &'a self,
        realm: &'a RealmName,
        prefix: &'a str,
        part: Part<'a, RoomName>,
    ) -> Soon<'a, Known<Vec<RoomInfo>>> {
        Box::pin(self.records().rooms(realm, prefix, part))
    }

    fn sessions<'a>(
        &'a self,
        room: Option<(&'a RealmName, &'a RoomName)>,
        part: Part<'a, SessionInfo>,
    ) -> Soon<'a, Known<Vec<SessionInfo>>> {
        Box::pin(self.records().sessions(room, part))
    }

    fn session(&self, id: SessionId) -> Soon<'_, Known<Option<SessionInfo>>> {
        Box::pin(self.records().session(id))
    }

    fn ask<'a>(
        &'a self,
        session: &'a SessionInfo,
        event: &'a Event,
        limit: Duration,
    ) -> Soon<'a, Asked> {
        Box::pin(asking::ask(&self.shared, session, event, limit))
    }
}

impl Keeping for RedisRooms {
    fn keep<'a>(&'a self, key: &'a str, kept: &'a KeptSession, time: Duration) -> Soon<'a, bool> {
        Box::pin(keeping::keep(&self.shared, key, kept, time))
    }

    fn take<'a>(&'a self, key: &'a str) -> Soon<'a, Taken> {
        Box::pin(keeping::take(&self.shared, key))
    }

    fn has<'a>(&'a self, key: &'a str) -> Soon<'a, Option<bool>> {
        Box::pin(keeping::has(&self.shared, key))
    }

    fn forget<'a>(&'a self, key: &'a str) -> Soon<'a, ()> {
        Box::pin(keeping::forget(&self.shared, key))
    }

    fn history<'a>(
        &'a self,
        realm: &'a RealmName,
        after: Place,
        missing: Missing<'a>,
    ) -> Soon<'a, Option<History>> {
        Box::pin(keeping::history(&self.shared, realm, after, missing))
    }
}

fn promise(sent: impl IntoIterator<Item = bool>) -> Promise {
    let promises = sent.into_iter().map(|sent| {
        if sent {
            Promise::Sent
        } else {
            Promise::NotSent
        }
    });
    promises.fold(Promise::Alone, Promise::and)
}

/// Delivers what arrives, in its order.
async fn receive(shared: &Arc<Shared>) {
    loop {
        let messages = shared.incoming.take(BATCH, BATCH_BYTES).await;
        let Some(hub) = shared.hub.upgrade() else {
            return;
        };
        hub.turn(|| {
            for message in &messages {
                let outcome = shared.deliver(&hub, message);
                shared.metrics.received(outcome);
            }
        });
        tokio::task::yield_now().await;
    }
}
