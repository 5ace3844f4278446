//! Pings, and the end of those who do not answer them. Each beat of the timer is one interval.

use polyport_net::{Deadlines, Handler, Moment, Tasks, WsMessages};

use super::{
    super::*,
    world::{Client, Desk, Plan, World},
};

const PING: &[u8] = b"\x89\x00";

/// A client behind what takes its frames apart.
struct Beating {
    client: Client,
    messages: WsMessages<RpcSession>,
    deadlines: Deadlines,
}

impl Beating {
    fn new(world: &World) -> Self {
        let mut client = world.connect();
        let session = client.session.take().expect("just connected");
        Self {
            client,
            messages: WsMessages::new(session),
            deadlines: Deadlines::start(&Tasks::new()),
        }
    }

    /// One interval passes; what goes out.
    fn beat(&mut self) -> Vec<u8> {
        self.messages
            .on_timer(self.deadlines.now(), &self.deadlines);
        self.client.bytes()
    }

    fn sends(&mut self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        assert_eq!(self.messages.on_bytes(&mut frame), frame.len());
        self.client.bytes()
    }

    fn closing(&self) -> Option<CloseReason> {
        self.messages.wire().outbox().closing()
    }
}

#[tokio::test]
async fn the_first_ping_comes_one_interval_after_the_opening() {
    let mut beating = Beating::new(&World::new(Plan::default()));
    assert_eq!(beating.beat(), b"");
    assert_eq!(beating.beat(), PING);
}

#[tokio::test]
async fn any_pong_keeps_the_session_and_other_traffic_does_not() {
    let mut beating = Beating::new(&World::new(Plan::default()));
    beating.beat();
    for pong in [&b"\x8a\x80\0\0\0\0"[..], b"\x8a\x82\0\0\0\0hi"] {
        assert_eq!(beating.beat(), PING);
        assert_eq!(beating.sends(pong), b"");
    }
    assert_eq!(beating.beat(), PING);
    assert_eq!(beating.sends(b"\x89\x82\0\0\0\0hi"), b"\x8a\x02hi");
    assert_eq!(beating.sends(b"\x81\x8a\0\0\0\0[9,\"undef\""), b"");
    assert_eq!(beating.closing(), None);
    beating.beat();
    assert_eq!(beating.closing(), Some(CloseReason::IdleTimeout));
}

#[tokio::test]
async fn who_is_silent_is_cut_without_a_word_and_backends_hear_1006() {
    let world = World::new(Plan::default());
    let mut beating = Beating::new(&world);
    assert_eq!(beating.beat(), b"");
    assert_eq!(beating.beat(), PING);
    assert_eq!(beating.beat(), b"");
    assert_eq!(beating.closing(), Some(CloseReason::IdleTimeout));
    beating.messages.on_close(CloseReason::IdleTimeout);
    // A last frame waits for the connection's own task.
    beating.messages.wire().flush();
    assert_eq!(beating.client.bytes(), b"", "no close frame");
    drop(beating);
    assert_eq!(world.ended(), [(1006, String::new())]);
}

#[tokio::test]
async fn a_pong_between_the_pings_does_not_count_for_the_next_one() {
    let mut beating = Beating::new(&World::new(Plan::default()));
    beating.beat();
    beating.sends(b"\x8a\x80\0\0\0\0");
    assert_eq!(beating.beat(), PING);
    beating.beat();
    assert_eq!(beating.closing(), Some(CloseReason::IdleTimeout));
}

#[tokio::test]
async fn no_heartbeat_at_all() {
    let mut plan = Plan::default();
    plan.options.heartbeat = Duration::ZERO;
    let mut beating = Beating::new(&World::new(plan));
    let next = beating
        .messages
        .on_timer(beating.deadlines.now(), &beating.deadlines);
    assert_eq!(next, Moment::NEVER);
    assert_eq!(beating.beat(), b"");
}

#[test]
fn the_interval_is_the_listeners_unless_a_backend_wants_another() {
    let interval = |options: Option<Duration>, ping| {
        let mut plan = Plan {
            desk: Desk {
                ping,
                ..Desk::default()
            },
            ..Plan::default()
        };
        if let Some(heartbeat) = options {
            plan.options.heartbeat = heartbeat;
        }
        World::new(plan).connect().session().heartbeat().interval
    };
    let second = Duration::from_secs(1);
    assert_eq!(interval(None, None), 30 * second);
    assert_eq!(interval(Some(second), None), second);
    assert_eq!(interval(None, Some(second)), second);
    assert_eq!(interval(Some(second), Some(Duration::ZERO)), Duration::ZERO);
}
