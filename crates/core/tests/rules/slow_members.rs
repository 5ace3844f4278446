//! Rule 4: a slow client hurts only itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use polyport_core::{
    CloseReason, Dialect, Event, Frame, FrameQueue, Hub, Json, Target, Transport, Wrote,
};

use crate::rig::{
    ListenerPlan, MemoryPeer, address, announce, check_metric, hub_and_listener, member, open_at,
    open_on, room,
};

const OUTBOX: usize = 64 << 10;

fn small_outboxes(hub: &Arc<Hub>) -> Arc<polyport_core::Listener> {
    let mut plan = ListenerPlan::new("one");
    plan.limits.outbox = OUTBOX;
    plan.on(hub)
}

#[test]
fn what_is_volatile_waits_for_nobody() {
    let (hub, listener) = hub_and_listener();
    let (quick, quick_hears) = member(&listener, "lobby");
    let peer = MemoryPeer::taking(1);
    let slow = open_on(&listener, &peer);
    slow.put_into(&room("lobby")).unwrap();
    announce(
        &listener,
        "lobby",
        Json::string("the first byte of it fits"),
    );
    let waiting = slow.outbox().waiting();
    let mut event = Event::new(crate::rig::name("position"), Json::NULL);
    event.is_volatile = true;
    let lobby = room("lobby");
    let to_lobby = Target::Room {
        realm: listener.realm(),
        room: &lobby,
        except: polyport_core::Except::default(),
    };
    for (target, expected) in [
        (to_lobby, 1),
        (
            Target::Realm {
                realm: listener.realm(),
                except: &[],
            },
            1,
        ),
        (Target::Any(&[Target::Session(slow.id()), to_lobby]), 1),
        (Target::Session(slow.id()), 0),
        (Target::Session(quick.id()), 1),
    ] {
        assert_eq!(hub.publish(target, &event).sessions, expected, "{target:?}");
    }
    assert_eq!(quick_hears.lines().len(), 5);
    assert_eq!(slow.outbox().waiting(), waiting);
    peer.take_more(usize::MAX);
    slow.outbox().resume(&mut |frames| peer.write(frames));
    assert_eq!(hub.publish(to_lobby, &event).sessions, 2);
}

#[test]
fn a_stuck_member_delays_nobody_and_is_closed_at_its_bound() {
    let hub = Hub::new(0, None);
    let listener = small_outboxes(&hub);
    let members: Vec<_> = (0..10).map(|_| member(&listener, "lobby")).collect();
    let peer = MemoryPeer::taking(0);
    let stuck = open_on(&listener, &peer);
    stuck.put_into(&room("lobby")).unwrap();

    let news = Json::string(&"x".repeat(1000));
    let mut events = 0;
    while stuck.outbox().closing().is_none() {
        events += 1;
        announce(&listener, "lobby", news.clone());
        assert!(stuck.outbox().waiting() <= OUTBOX);
        for (_, quick) in &members {
            assert_eq!(
                quick.lines().len(),
                events,
                "delivered before the publish returned"
            );
        }
    }
    assert!(
        (40..=OUTBOX / 1000).contains(&events),
        "closed after {events} events"
    );
    assert_eq!(stuck.outbox().closing(), Some(CloseReason::OutboxFull));
    assert_eq!(
        peer.wakes(),
        2,
        "woken when it blocked and when it was closed"
    );
    check_metric(
        &hub,
        "polyport_limit_hits_total",
        &[("limit", "outbox")],
        1.0,
    );

    announce(&listener, "lobby", news);
    assert_eq!(members[0].1.lines().len(), events + 1);
    assert_eq!(
        stuck.outbox().waiting(),
        0,
        "what nobody will read is dropped"
    );
    check_metric(
        &hub,
        "polyport_limit_hits_total",
        &[("limit", "outbox")],
        1.0,
    );

    drop(stuck);
    check_metric(
        &hub,
        "polyport_sessions_closed_total",
        &[("reason", "outbox_full")],
        1.0,
    );
    check_metric(&hub, "polyport_sessions_closed_total", &[], 1.0);
}

#[test]
fn a_closed_member_counts_no_delivery() {
    let (hub, listener) = hub_and_listener();
    let (_quick, _) = member(&listener, "lobby");
    let (leaving, peer) = member(&listener, "lobby");
    leaving.close(CloseReason::Disconnected);
    assert_eq!(announce(&listener, "lobby", Json::NULL), 1);
    assert_eq!(peer.text(), "");
    check_metric(&hub, "polyport_events_delivered_total", &[], 1.0);
}

#[test]
fn an_event_to_one_session_says_whether_it_was_queued() {
    let (hub, listener) = hub_and_listener();
    let (session, peer) = member(&listener, "lobby");
    let event = Event::new(crate::rig::name("direct"), Json::NULL);
    let target = Target::Session(session.id());
    assert_eq!(hub.publish(target, &event).sessions, 1);
    assert_eq!(peer.lines(), ["lines - direct null"]);
    check_metric(&hub, "polyport_events_delivered_total", &[], 1.0);
    session.close(CloseReason::Disconnected);
    assert_eq!(
        hub.publish(target, &event).sessions,
        0,
        "it takes nothing any more"
    );
    drop(session);
    assert_eq!(hub.publish(target, &event).sessions, 0);
}

/// Frames whose memory is counted while anything holds them.
struct CountedDialect(Arc<AtomicUsize>);

struct Counted {
    bytes: Vec<u8>,
    alive: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(self.bytes.len(), Ordering::SeqCst);
    }
}

impl Dialect for CountedDialect {
    fn protocol(&self) -> &'static str {
        "counted"
    }

    fn encode(&self, _: &Event) -> Frame {
        let bytes = vec![b'x'; 1000];
        self.0.fetch_add(bytes.len(), Ordering::SeqCst);
        Bytes::from_owner(Counted {
            bytes,
            alive: Arc::clone(&self.0),
        })
    }
}

#[test]
fn the_memory_of_a_stuck_member_is_bounded_in_bytes_and_given_back_at_once() {
    let hub = Hub::new(0, None);
    let alive = Arc::new(AtomicUsize::new(0));
    let mut plan = ListenerPlan::new("counted");
    plan.limits.outbox = OUTBOX;
    plan.dialect = Arc::new(CountedDialect(Arc::clone(&alive)));
    let listener = plan.on(&hub);
    let peer = MemoryPeer::taking(1500);
    let stuck = open_on(&listener, &peer);
    stuck.put_into(&room("lobby")).unwrap();
    let mut most = 0;
    for _ in 0..1000 {
        announce(&listener, "lobby", Json::NULL);
        most = most.max(alive.load(Ordering::SeqCst));
    }
    assert!(
        (OUTBOX / 2..=OUTBOX).contains(&most),
        "held up to {most} bytes"
    );
    assert_eq!(
        alive.load(Ordering::SeqCst),
        1000,
        "only the frame the peer has begun to read is kept"
    );
    assert!(stuck.outbox().waiting() < 1000);
    drop(stuck);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

/// A peer whose write takes as long as the test wants.
struct SlowWrite {
    entered: mpsc::SyncSender<()>,
    go_on: parking_lot::Mutex<mpsc::Receiver<()>>,
}

impl Transport for SlowWrite {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        self.entered.send(()).unwrap();
        self.go_on
            .lock()
            .recv_timeout(Duration::from_secs(30))
            .unwrap();
        while !frames.is_empty() {
            frames
                .write_with(usize::MAX, |slices| {
                    Ok::<_, ()>(slices.iter().map(|slice| slice.len()).sum())
                })
                .unwrap();
        }
        Wrote::All
    }

    fn wake(&self) {}
}

#[test]
fn a_publisher_never_waits_for_a_write_that_another_thread_has_begun() {
    let (_hub, listener) = hub_and_listener();
    let (entered, has_entered) = mpsc::sync_channel(16);
    let (go_on, may_go_on) = mpsc::sync_channel(16);
    let transport = Arc::new(SlowWrite {
        entered,
        go_on: parking_lot::Mutex::new(may_go_on),
    });
    let slow = open_at(&listener, transport, address(1)).unwrap();
    slow.put_into(&room("lobby")).unwrap();
    let (_quick, peer) = member(&listener, "lobby");
    thread::scope(|scope| {
        scope.spawn(|| slow.send(Frame::from_static(b"first")));
        has_entered.recv_timeout(Duration::from_secs(30)).unwrap();
        // The write hangs; this thread's publishes return and reach everybody else all the same.
        for sent in 1..=10 {
            assert_eq!(announce(&listener, "lobby", Json::NULL), 2);
            assert_eq!(peer.lines().len(), sent);
        }
        assert!(slow.outbox().waiting() > 0);
        go_on.send(()).unwrap();
        has_entered.recv_timeout(Duration::from_secs(30)).unwrap();
        go_on.send(()).unwrap();
    });
    assert_eq!(
        slow.outbox().waiting(),
        0,
        "the second write took all that had come meanwhile"
    );
    assert!(has_entered.try_recv().is_err());
}

#[test]
fn a_peer_that_vanished_is_found_out_by_writing() {
    struct Vanished(AtomicUsize);
    impl Transport for Vanished {
        fn write(&self, _: &mut FrameQueue) -> Wrote {
            Wrote::Gone
        }
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (hub, listener) = hub_and_listener();
    let peer = Arc::new(Vanished(AtomicUsize::new(0)));
    let transport = Arc::clone(&peer) as Arc<dyn Transport>;
    let session = open_at(&listener, transport, address(1)).unwrap();
    session.send(Frame::from_static(b"anybody there?"));
    assert_eq!(session.outbox().closing(), Some(CloseReason::PeerGone));
    assert_eq!(session.outbox().waiting(), 0);
    assert_eq!(peer.0.load(Ordering::SeqCst), 1, "its task is woken to end");
    drop(session);
    check_metric(
        &hub,
        "polyport_sessions_closed_total",
        &[("reason", "peer_gone")],
        1.0,
    );
}
