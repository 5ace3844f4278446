//! What the backplane brings back is not delivered before; what only other nodes have is published to them.

use std::sync::Arc;

use parking_lot::Mutex;
use polyport_core::{
    Backplane, Command, CommandError, Delivered, Done, Event, Except, Frame, Hub, Json, Listener,
    Order, Promise, RealmName, RoomName, SessionId, Target,
};

use crate::rig::{ListenerPlan, MemoryPeer, announce, member, name, room, say};

/// Brings back what is for the realm `main`, and writes down what was published.
#[derive(Default)]
struct Returning {
    published: Mutex<Vec<String>>,
}

fn shown(target: Target<'_>) -> String {
    match target {
        Target::Session(_) => "session".to_owned(),
        Target::Room { realm, room, .. } => format!("{}/{room}", realm.name()),
        Target::Rooms { realm, any_of, .. } => format!("{}/{}", realm.name(), any_of.len()),
        Target::Realm { realm, .. } => realm.name().to_string(),
        Target::Any(targets) => {
            let all: Vec<_> = targets.iter().map(|target| shown(*target)).collect();
            all.join(" ")
        }
    }
}

impl Backplane for Returning {
    fn publish(&self, target: Target<'_>, _: &Event) -> Promise {
        self.published.lock().push(shown(target));
        Promise::Sent
    }

    fn brings_back(&self, target: Target<'_>) -> bool {
        match target {
            Target::Session(_) => false,
            Target::Any(targets) => targets.iter().any(|target| self.brings_back(*target)),
            Target::Room { realm, .. }
            | Target::Rooms { realm, .. }
            | Target::Realm { realm, .. } => realm.name().as_str() == "main",
        }
    }

    fn reaches(&self, realm: &RealmName) -> bool {
        realm.as_str().starts_with("main/")
    }

    fn relay(&self, _: &Listener, _: &Frame) -> Promise {
        Promise::Sent
    }

    fn order(&self, _: Target<'_>, _: Order<'_>) -> Promise {
        Promise::Sent
    }

    fn realm_changed(&self, _: &RealmName) {}

    fn membership_changed(&self, _: &RealmName, _: &RoomName, _: SessionId) {}

    fn session_changed(&self, _: &RealmName, _: SessionId) {}
}

struct Rig {
    hub: Arc<Hub>,
    backplane: Arc<Returning>,
    main: Arc<Listener>,
    other: Arc<Listener>,
}

impl Rig {
    fn new() -> Self {
        let hub = Hub::new(0, None);
        let backplane = Arc::new(Returning::default());
        assert!(hub.connect(Arc::clone(&backplane) as Arc<dyn Backplane>));
        let other = ListenerPlan {
            realm: "other",
            ..ListenerPlan::new("other")
        };
        Self {
            main: ListenerPlan::new("main").on(&hub),
            other: other.on(&hub),
            hub,
            backplane,
        }
    }

    fn published(&self) -> Vec<String> {
        std::mem::take(&mut *self.backplane.published.lock())
    }
}

fn in_room<'a>(listener: &'a Listener, room: &'a RoomName) -> Target<'a> {
    Target::Room {
        realm: listener.realm(),
        room,
        except: Except::default(),
    }
}

fn lines(peers: &[&Arc<MemoryPeer>]) -> Vec<usize> {
    peers.iter().map(|peer| peer.lines().len()).collect()
}

#[test]
fn an_event_that_comes_back_is_counted_and_left_to_the_backplane() {
    let rig = Rig::new();
    let (first, a) = member(&rig.main, "x");
    let (_second, b) = member(&rig.main, "x");
    let (_third, c) = member(&rig.other, "x");
    assert_eq!(announce(&rig.main, "x", Json::NULL), 2);
    assert_eq!(say(&first, "x", 1), 2);
    assert_eq!(announce(&rig.other, "x", Json::NULL), 1);
    assert_eq!(lines(&[&a, &b, &c]), [0, 0, 1]);
    assert_eq!(rig.published(), ["main/x", "main/x", "other/x"]);
    let event = Event::new(name("news"), Json::NULL);
    assert_eq!(rig.hub.deliver(in_room(&rig.main, &room("x")), &event), 2);
    assert_eq!(lines(&[&a, &b, &c]), [1, 1, 1]);
}

#[test]
fn exceptions_are_not_counted() {
    let rig = Rig::new();
    let (first, _) = member(&rig.main, "x");
    let (_second, _) = member(&rig.main, "x");
    let but_first = Except {
        session: Some(&first),
        listener: None,
    };
    let target = Target::Room {
        except: but_first,
        room: &room("x"),
        realm: rig.main.realm(),
    };
    let event = Event::new(name("news"), Json::NULL);
    let expected = Delivered {
        sessions: 1,
        beyond: Promise::Sent,
    };
    assert_eq!(rig.hub.publish(target, &event), expected);
}

#[test]
fn of_several_targets_each_realm_is_published_by_itself() {
    let rig = Rig::new();
    let (first, a) = member(&rig.main, "x");
    let (_second, b) = member(&rig.other, "x");
    let (third, c) = member(&rig.other, "y");
    let x = room("x");
    let targets = [
        Target::Session(first.id()),
        in_room(&rig.main, &x),
        in_room(&rig.other, &x),
        Target::Any(&[Target::Session(third.id())]),
    ];
    let event = Event::new(name("news"), Json::NULL);
    let expected = Delivered {
        sessions: 3,
        beyond: Promise::Sent,
    };
    assert_eq!(rig.hub.publish(Target::Any(&targets), &event), expected);
    assert_eq!(rig.published(), ["session main/x", "other/x session"]);
    assert_eq!(
        lines(&[&a, &b, &c]),
        [0, 1, 1],
        "sessions that are named come with their room"
    );
    let only = [Target::Session(first.id()), Target::Session(third.id())];
    assert_eq!(rig.hub.publish(Target::Any(&only), &event).sessions, 2);
    assert_eq!(lines(&[&a, &b, &c]), [1, 1, 2]);
}

#[test]
fn a_realm_that_only_other_nodes_have_is_told_to_them() {
    let rig = Rig::new();
    let (_member, hears) = member(&rig.main, "x");
    let command = |realm: &str| {
        let text =
            format!(r#"{{"publish":{{"to":{{"room":"x","realm":"{realm}"}},"event":"news"}}}}"#);
        let command: Command = serde_json::from_str(&text).unwrap();
        rig.hub.execute(rig.main.realm().name(), &command)
    };
    let expected = Done {
        sessions: 0,
        beyond: Promise::Sent,
    };
    assert_eq!(command("main/there"), Ok(expected));
    assert_eq!(rig.published(), ["main/there/x"]);
    assert_eq!(hears.lines().len(), 0);
    assert!(rig.hub.find_realm("main/there").is_none(), "it is not made");
    let nowhere = RealmName::new("nowhere").unwrap();
    assert_eq!(command("nowhere"), Err(CommandError::UnknownRealm(nowhere)));
}
