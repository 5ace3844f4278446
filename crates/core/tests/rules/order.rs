//! Rule 2: each publisher's order holds at every member, and all members see one common order.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use polyport_core::{FlushPool, Frame, FrameQueue, Hub, Transport, Wire, Wrote};

use crate::rig::{
    ListenerPlan, MemoryPeer, address, hub_and_listener, member, open_at, open_on, room, say,
};

const PUBLISHERS: usize = 4;
const EVENTS_EACH: usize = 500;

/// Writes to members on a thread of its own, like the pool of a running gateway.
struct PoolThread(Mutex<Option<mpsc::SyncSender<Vec<Arc<Wire>>>>>);

impl FlushPool for PoolThread {
    fn flush(&self, wires: Vec<Arc<Wire>>) {
        let jobs = self.0.lock().clone();
        jobs.unwrap().send(wires).unwrap();
    }
}

impl PoolThread {
    fn start() -> (Arc<Self>, thread::JoinHandle<()>) {
        let (sender, jobs) = mpsc::sync_channel::<Vec<Arc<Wire>>>(PUBLISHERS * EVENTS_EACH);
        let worker = thread::spawn(move || {
            for wire in jobs.into_iter().flatten() {
                wire.flush();
            }
        });
        (Arc::new(Self(Mutex::new(Some(sender)))), worker)
    }
}

/// Publishers are members 0 to 3. Returns what each member saw, as `(publisher, number)`.
fn publish_from_threads(members: &[(polyport_core::Session, Arc<MemoryPeer>)]) {
    thread::scope(|scope| {
        for (publisher, (session, _)) in members.iter().take(PUBLISHERS).enumerate() {
            scope.spawn(move || {
                for number in 0..EVENTS_EACH {
                    let delivered = say(session, "lobby", publisher * EVENTS_EACH + number);
                    assert_eq!(delivered, members.len());
                }
            });
        }
    });
}

fn check_orders(members: &[(polyport_core::Session, Arc<MemoryPeer>)]) {
    let first = members[0].1.text();
    for (_, peer) in members {
        assert_eq!(peer.text(), first, "one common order");
    }
    let seen: Vec<usize> = first
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(seen.len(), PUBLISHERS * EVENTS_EACH);
    for publisher in 0..PUBLISHERS {
        let own: Vec<usize> = seen
            .iter()
            .copied()
            .filter(|value| value / EVENTS_EACH == publisher)
            .collect();
        let expected: Vec<usize> =
            (publisher * EVENTS_EACH..(publisher + 1) * EVENTS_EACH).collect();
        assert_eq!(own, expected, "publisher {publisher}'s own order");
    }
}

#[test]
fn all_members_see_one_order_under_concurrent_publishers() {
    let (_hub, listener) = hub_and_listener();
    let members: Vec<_> = (0..20).map(|_| member(&listener, "lobby")).collect();
    publish_from_threads(&members);
    check_orders(&members);
}

#[test]
fn all_members_see_one_order_when_a_pool_writes_to_a_large_room() {
    let (pool, worker) = PoolThread::start();
    let hub = Hub::new(0, Some(Arc::clone(&pool) as Arc<dyn FlushPool>));
    let listener = ListenerPlan::new("one").on(&hub);
    let members: Vec<_> = (0..100).map(|_| member(&listener, "lobby")).collect();
    publish_from_threads(&members);
    pool.0.lock().take();
    worker.join().unwrap();
    check_orders(&members);
}

#[test]
fn what_a_call_publishes_is_on_the_wire_before_its_answer() {
    let (hub, listener) = hub_and_listener();
    let (caller, peer) = member(&listener, "lobby");
    hub.turn(|| {
        say(&caller, "lobby", 1);
        caller.send(Frame::from_static(b"answer\n"));
        say(&caller, "lobby", 2);
    });
    assert_eq!(
        peer.lines(),
        ["lines lobby said 1", "answer", "lines lobby said 2"]
    );
}

#[test]
fn an_outbox_is_first_in_first_out_over_blocked_and_partial_writes() {
    let (_hub, listener) = hub_and_listener();
    let peer = MemoryPeer::taking(7);
    let session = open_on(&listener, &peer);
    session.put_into(&room("lobby")).unwrap();
    let mut expected = String::new();
    for number in 0..50 {
        say(&session, "lobby", number);
        expected.push_str(&format!("lines lobby said {number}\n"));
        peer.take_more(number % 11);
        let outcome = session.outbox().resume(&mut |frames| peer.write(frames));
        assert_ne!(outcome, polyport_core::Flushed::Gone);
    }
    peer.take_more(usize::MAX);
    session.outbox().resume(&mut |frames| peer.write(frames));
    assert_eq!(peer.text(), expected);
    assert_eq!(session.outbox().waiting(), 0);
}

/// Takes three bytes, says when, and reports that it is blocked only when it is let go.
struct BlocksOnCommand {
    taken: Mutex<Vec<u8>>,
    entered: mpsc::SyncSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Transport for BlocksOnCommand {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        let take = |slices: &[std::io::IoSlice<'_>]| {
            self.taken.lock().extend_from_slice(&slices[0][..3]);
            Ok::<_, ()>(3)
        };
        frames.write_with(usize::MAX, take).unwrap();
        self.entered.send(()).unwrap();
        self.go_on
            .lock()
            .recv_timeout(Duration::from_secs(30))
            .unwrap();
        Wrote::Blocked
    }

    fn wake(&self) {}
}

#[test]
fn what_comes_during_a_write_that_blocks_goes_behind_what_it_left() {
    let (_hub, listener) = hub_and_listener();
    let (entered, has_entered) = mpsc::sync_channel(1);
    let (go_on, may_go_on) = mpsc::sync_channel(1);
    let transport = Arc::new(BlocksOnCommand {
        taken: Mutex::default(),
        entered,
        go_on: Mutex::new(may_go_on),
    });
    let shared = Arc::clone(&transport) as Arc<dyn Transport>;
    let session = open_at(&listener, shared, address(1)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| session.send(Frame::from_static(b"first ")));
        has_entered.recv_timeout(Duration::from_secs(30)).unwrap();
        session.send(Frame::from_static(b"second "));
        session.send(Frame::from_static(b"third"));
        go_on.send(()).unwrap();
    });
    let mut rest = Vec::new();
    session.outbox().resume(&mut |frames| {
        while !frames.is_empty() {
            let take = |slices: &[std::io::IoSlice<'_>]| {
                rest.extend_from_slice(&slices[0]);
                Ok::<_, ()>(slices[0].len())
            };
            frames.write_with(usize::MAX, take).unwrap();
        }
        Wrote::All
    });
    assert_eq!(*transport.taken.lock(), b"fir");
    assert_eq!(rest, b"st second third");
}
