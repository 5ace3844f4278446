//! A relay between rooms that are published to and a client whose connection is lost again and again.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use polyport_core::{
    Branch, Event, EventName, Except, Hub, Json, Limits, ListenerConfig, OpeningOn, Peer,
    Permissions, RealmName, RoomName, Session, SessionId, Target,
};
use polyport_net::ws;
use proptest::prelude::*;

use super::*;
use crate::{
    codec::Revision,
    dialect::{Form, SocketIoDialect},
    options::Parser,
    recovery::Offsets,
};

/// One connection: the client has read the first `read` of what was written.
#[derive(Default)]
struct Line {
    written: Mutex<Vec<Frame>>,
    read: AtomicUsize,
}

impl Transport for Line {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        self.written
            .lock()
            .extend(std::iter::from_fn(|| frames.pop()));
        Wrote::All
    }

    fn wake(&self) {}
}

#[derive(Default)]
struct Told(AtomicBool);

impl Keeper for Told {
    fn end_soon(self: Arc<Self>, pid: &str) {
        assert_eq!(pid, "a pid");
        self.0.store(true, Ordering::Relaxed);
    }

    fn forget(&self, _: &str) {}
}

/// What a client has made of what it has read.
#[derive(Default)]
struct Heard {
    numbers: Vec<u64>,
    offset: Option<String>,
    greetings: usize,
}

impl Heard {
    fn hear(&mut self, frame: &Frame) {
        let text = std::str::from_utf8(&frame[2..]).expect("all frames here are short texts");
        let Some(args) = text.strip_prefix("42") else {
            self.greetings += usize::from(text.starts_with("40"));
            return;
        };
        let (_, number, offset): (String, u64, String) = serde_json::from_str(args).unwrap();
        self.numbers.push(number);
        self.offset = Some(offset);
    }
}

struct World {
    hub: Arc<Hub>,
    listener: Arc<Listener>,
    room: RoomName,
    keeper: Arc<Told>,
    relay: Arc<Relay>,
    session: Session,
    line: Arc<Line>,
    base: Arc<Wire>,
    heard: Heard,
}

impl World {
    fn new(outbox: usize) -> Self {
        Self::since(outbox, Since::Opening(None))
    }

    fn since(outbox: usize, since: Since) -> Self {
        let hub = Hub::new(0, None);
        let dialect = Arc::new(SocketIoDialect {
            namespace: "/".into(),
            form: Form::new(Revision::V4, Parser::Json),
            offsets: Some(Offsets::new(&hub, &RealmName::new("default").unwrap())),
        });
        let room = RoomName::new("news").unwrap();
        let listener = hub.listener(ListenerConfig {
            name: "messaging".to_owned(),
            protocol: "socket-io",
            realm: RealmName::new("default").unwrap(),
            dialect: Arc::clone(&dialect) as _,
            join: Vec::new(),
            rooms: Vec::new(),
            limits: Limits {
                outbox,
                ..Limits::default()
            },
            permissions: Permissions::default(),
        });
        let keeper = Arc::new(Told::default());
        let (line, base) = connection(&listener);
        let weak: Weak<Told> = Arc::downgrade(&keeper);
        let (relay, own) = Relay::new(&base, "/", "a pid", weak, since);
        let realm = Arc::clone(listener.realm());
        let join = vec![room.clone()];
        let session = Session::open_on(OpeningOn {
            id: SessionId::random_short(),
            wire: &own,
            branch: Arc::new(Branch::new("/", realm, dialect, join, Vec::new())),
            asks: None,
            greeting: Some(ws::text("40")),
        });
        Self {
            hub,
            listener,
            room,
            keeper,
            relay,
            session,
            line,
            base,
            heard: Heard::default(),
        }
    }

    fn publish(&self, number: u64) {
        publish(&self.hub, &self.listener, &self.room, number);
    }

    /// The client reads so many frames, or as many as there are.
    fn read(&mut self, frames: usize) {
        let written = self.line.written.lock();
        let read = self.line.read.load(Ordering::Relaxed);
        let until = read.saturating_add(frames).min(written.len());
        for frame in &written[read..until] {
            self.heard.hear(frame);
        }
        self.line.read.store(until, Ordering::Relaxed);
    }

    fn lose(&self) {
        self.base.close(CloseReason::PeerGone);
        self.relay.park();
    }

    fn come_back(&mut self) -> bool {
        (self.line, self.base) = connection(&self.listener);
        let offset = self.heard.offset.as_deref().and_then(Offset::read);
        self.relay.come_back(&self.base, ws::text("40"), offset)
    }

    /// Its client hears what it has missed elsewhere: events whose numbers are their places.
    fn catch_up(&self, missed: std::ops::RangeInclusive<u64>) -> bool {
        let history = History {
            until: place(*missed.end()),
            events: missed.map(placed).collect(),
        };
        let greeting = ws::text("40");
        self.relay
            .catch_up(&self.base, &self.session, greeting, &history)
    }

    /// Events of these numbers come from the history.
    fn deliver(&self, numbers: impl IntoIterator<Item = u64>) {
        let target = Target::Room {
            realm: self.listener.realm(),
            room: &self.room,
            except: Except::default(),
        };
        for number in numbers {
            self.hub.deliver(target, &placed(number));
        }
    }

    fn is_told_to_end(&self) -> bool {
        self.keeper.0.load(Ordering::Relaxed)
    }
}

fn place(number: u64) -> Place {
    Place {
        millis: number,
        number: 0,
    }
}

fn placed(number: u64) -> Event {
    let data = Json::parse(&number.to_string()).unwrap();
    Event {
        place: Some(place(number)),
        ..Event::new(EventName::new("news").unwrap(), data)
    }
}

fn connection(listener: &Arc<Listener>) -> (Arc<Line>, Arc<Wire>) {
    let line = Arc::new(Line::default());
    let admission = listener.admit(None).unwrap();
    let wire = Wire::new(admission, Peer::Unix, Arc::clone(&line) as _);
    (line, wire)
}

fn publish(hub: &Hub, listener: &Listener, room: &RoomName, number: u64) {
    let event = Event::new(
        EventName::new("news").unwrap(),
        Json::parse(&number.to_string()).unwrap(),
    );
    let target = Target::Room {
        realm: listener.realm(),
        room,
        except: Except::default(),
    };
    hub.publish(target, &event);
}

#[derive(Debug, Clone)]
enum Step {
    Publish,
    PublishInOneTurn(u64),
    Read(usize),
    /// A ping goes out.
    Ping,
    /// The client reads all and answers, if there was a ping on this connection.
    Pong,
    Lose,
    ComeBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Publish),
        1 => (2..6_u64).prop_map(Step::PublishInOneTurn),
        2 => (1..5_usize).prop_map(Step::Read),
        1 => Just(Step::Ping),
        1 => Just(Step::Pong),
        2 => Just(Step::Lose),
        2 => Just(Step::ComeBack),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn each_event_arrives_once_and_in_order(steps in steps()) {
        let mut world = World::new(1 << 20);
        let mut published = 0;
        let (mut is_lost, mut is_pinged) = (false, false);
        let mut back = 1;
        for step in steps {
            match step {
                Step::Publish => {
                    world.publish(published);
                    published += 1;
                }
                Step::PublishInOneTurn(count) => {
                    world.hub.turn(|| (0..count).for_each(|more| world.publish(published + more)));
                    published += count;
                }
                Step::Read(frames) if !is_lost => world.read(frames),
                Step::Ping if !is_lost => {
                    world.relay.pinging();
                    world.base.send(ws::text("2"));
                    is_pinged = true;
                }
                Step::Pong if !is_lost && is_pinged => {
                    world.read(usize::MAX);
                    world.relay.ponged();
                    is_pinged = false;
                }
                Step::Lose if !is_lost => {
                    world.lose();
                    (is_lost, is_pinged) = (true, false);
                }
                Step::ComeBack if is_lost => {
                    prop_assert!(world.come_back());
                    world.read(1);
                    back += 1;
                    is_lost = false;
                }
                Step::Read(_) | Step::Ping | Step::Pong | Step::Lose | Step::ComeBack => {}
            }
        }
        if is_lost {
            prop_assert!(world.come_back());
            back += 1;
        }
        world.read(usize::MAX);
        // The first greeting may have been lost with the connection, as its events may.
        prop_assert!(world.heard.greetings >= back - 1);
        let all: Vec<u64> = (0..published).collect();
        prop_assert_eq!(&world.heard.numbers, &all);
    }
}

/// Publishers of threads of their own do not wait for a client that comes and goes.
#[test]
fn nothing_is_lost_or_doubled_while_others_publish() {
    const PUBLISHERS: u64 = 3;
    const EACH: u64 = 300;
    let mut world = World::new(1 << 20);
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (hub, listener) = (Arc::clone(&world.hub), Arc::clone(&world.listener));
            let room = world.room.clone();
            thread::spawn(move || {
                for number in 0..EACH {
                    publish(&hub, &listener, &room, publisher * EACH + number);
                    thread::yield_now();
                }
            })
        })
        .collect();
    let mut reads = (1..7).cycle();
    while !publishers.iter().all(thread::JoinHandle::is_finished) {
        world.read(reads.next().unwrap());
        world.lose();
        assert!(world.come_back());
    }
    for publisher in publishers {
        publisher.join().unwrap();
    }
    world.read(usize::MAX);
    for publisher in 0..PUBLISHERS {
        let own = publisher * EACH..(publisher + 1) * EACH;
        let heard: Vec<u64> = world
            .heard
            .numbers
            .iter()
            .copied()
            .filter(|it| own.contains(it))
            .collect();
        assert_eq!(heard, own.collect::<Vec<_>>());
    }
}

#[test]
fn what_waits_precedes_the_end_of_the_connection() {
    let mut world = World::new(1 << 20);
    let base = Arc::clone(&world.base);
    world.hub.turn(|| {
        world.publish(0);
        world.session.close(CloseReason::Disconnected);
    });
    assert_eq!(base.outbox().closing(), Some(CloseReason::Disconnected));
    world.read(usize::MAX);
    assert_eq!(world.heard.numbers, [0]);
    assert!(!world.is_told_to_end());
}

#[test]
fn a_parked_session_that_is_closed_is_to_end() {
    let world = World::new(1 << 20);
    world.lose();
    world.session.wake();
    assert!(!world.is_told_to_end());
    world.session.close(CloseReason::IdentityExpired);
    assert!(world.is_told_to_end());
}

#[test]
fn a_parked_session_does_not_hold_up_a_listener_that_drains() {
    let world = World::new(1 << 20);
    world.lose();
    world.listener.drain();
    world.session.wake();
    assert!(world.is_told_to_end());
}

/// A client that has read one event and is lost then.
fn lost_after_one() -> World {
    let mut world = World::new(4096);
    world.publish(0);
    world.read(usize::MAX);
    world.lose();
    world
}

/// How many events after the loss are too many.
fn too_many() -> u64 {
    let world = lost_after_one();
    let missed = (1..4096).find(|number| {
        world.publish(*number);
        world.is_told_to_end()
    });
    missed.expect("the bound holds")
}

#[test]
fn a_client_that_has_missed_too_much_cannot_come_back() {
    let mut world = lost_after_one();
    (1..=too_many()).for_each(|number| world.publish(number));
    let closing = world.session.outbox().closing();
    assert_eq!(closing, Some(CloseReason::OutboxFull));
    assert!(!world.come_back());
}

#[test]
fn what_was_kept_fits_into_the_next_outbox() {
    let mut world = lost_after_one();
    let most = too_many();
    (1..most).for_each(|number| world.publish(number));
    assert!(!world.is_told_to_end());
    world.hub.clone().turn(|| assert!(world.come_back()));
    world.read(usize::MAX);
    assert_eq!(world.base.outbox().closing(), None);
    assert_eq!(world.heard.numbers, (0..most).collect::<Vec<_>>());
}

#[test]
fn what_a_full_connection_took_no_more_comes_with_the_next() {
    let mut world = World::new(1 << 20);
    world.publish(0);
    world.read(usize::MAX);
    world.base.close(CloseReason::OutboxFull);
    world.publish(1);
    world.relay.park();
    assert_eq!(world.session.outbox().closing(), None);
    assert!(world.come_back());
    world.read(usize::MAX);
    assert_eq!(world.heard.numbers, [0, 1]);
}

#[test]
fn an_ended_session_keeps_nothing() {
    let mut world = World::new(1 << 20);
    world.publish(0);
    world.relay.end();
    world.session.close(CloseReason::PeerGone);
    assert!(!world.is_told_to_end());
    world.read(usize::MAX);
    assert_eq!(world.heard.numbers, [0]);
}

#[test]
fn what_was_missed_elsewhere_comes_first_and_nothing_twice() {
    for held in 4..=9 {
        let mut world = World::since(1 << 20, Since::Missing(place(3)));
        assert!(world.relay.is_held());
        // Up to a place before the end of what is found, up to that, or beyond.
        world.deliver(4..held);
        assert!(world.catch_up(4..=7));
        world.deliver(held..=10);
        world.read(usize::MAX);
        assert_eq!(world.heard.greetings, 1, "{held}");
        let expected: Vec<u64> = (4..=10).collect();
        assert_eq!(world.heard.numbers, expected, "{held}");
    }
}

#[test]
fn who_is_lost_after_having_caught_up_comes_back_as_ever() {
    let mut world = World::since(1 << 20, Since::Missing(place(3)));
    assert!(world.catch_up(4..=7));
    world.read(3);
    world.lose();
    world.deliver(6..=9);
    world.publish(100);
    assert!(world.come_back());
    world.read(usize::MAX);
    assert_eq!(world.heard.numbers, [4, 5, 6, 7, 8, 9, 100]);
}

#[test]
fn who_has_ended_catches_up_no_more() {
    let world = World::since(1 << 20, Since::Missing(place(3)));
    world.session.close(CloseReason::Disconnected);
    assert!(!world.catch_up(4..=7));
    let world = World::since(1 << 20, Since::Opening(None));
    assert!(!world.catch_up(4..=7), "nothing was missed");
}
