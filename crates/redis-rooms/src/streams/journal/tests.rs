use polyport_core::{Event, EventName, Except, Json, Realm, RoomName};

use super::*;
use crate::codec::{Content, Flags, Packet, Rooms, Selection};

struct Rig {
    hub: Arc<polyport_core::Hub>,
    realm: Arc<Realm>,
    journal: Journal,
}

const PLACE: Place = Place {
    millis: 7,
    number: 0,
};

impl Rig {
    fn new(max_bytes: usize) -> Self {
        let hub = polyport_core::Hub::new(0, None);
        let realm = hub.realm(&polyport_core::RealmName::new("default").unwrap());
        Self {
            hub,
            realm,
            journal: Journal::new(max_bytes, Arc::default()),
        }
    }

    fn live() -> Self {
        let rig = Self::new(1 << 20);
        assert_eq!(rig.journal.begin(), 0);
        rig
    }

    fn push(&self, name: &str) -> Kept {
        let here = here(&self.hub, &self.realm, name);
        self.journal.push(vec![entry(name)], here)
    }

    /// Takes all entries, as if they were sent.
    fn send(&self) -> Vec<u64> {
        let taken = self.journal.state.lock().take(100, 1 << 20);
        taken.into_iter().map(|(number, _)| number).collect()
    }

    /// What is queued here, with its places, when an entry is read.
    fn read(&self, name: &str, place: Place) -> Vec<(String, Option<Place>)> {
        let back = self.journal.came_back(place, &found(name));
        back.into_iter()
            .map(|(here, place)| (here.name(), place))
            .collect()
    }

    fn overdue(&self) -> Vec<String> {
        self.journal.overdue().iter().map(Here::name).collect()
    }
}

fn content(name: &str) -> Content {
    Content::Event {
        packet: Packet {
            namespace: "/".to_owned(),
            name: EventName::new(name).unwrap(),
            args: polyport_core::Args::new(),
        },
        selection: Selection {
            rooms: Rooms::All,
            except: Vec::new(),
        },
        flags: Flags::default(),
    }
}

fn entry(name: &str) -> Entry {
    Entry::new("/", &content(name)).unwrap()
}

fn found(name: &str) -> Found {
    let data = entry(name).data;
    let fields = ["uid", "u", "nsp", "/", "type", "3", "data"];
    let fields = fields.iter().map(|it| it.as_bytes().to_vec());
    Found::new(fields.chain([data]).collect()).unwrap()
}

fn here(hub: &polyport_core::Hub, realm: &Realm, name: &str) -> Option<Here> {
    let event = Event::new(EventName::new(name).unwrap(), Json::NULL);
    let target = polyport_core::Target::Room {
        realm,
        room: &RoomName::new("lobby").unwrap(),
        except: Except::default(),
    };
    Here::of(hub, target, &event)
}

#[test]
fn what_comes_back_is_for_this_node_then() {
    let rig = Rig::live();
    for name in ["a", "b"] {
        assert_eq!(rig.push(name), Kept::Whole);
    }
    assert_eq!(rig.send(), [0, 1]);
    assert_eq!(rig.send(), [0; 0]);
    assert_eq!(rig.overdue(), [""; 0]);
    rig.journal.added(0, PLACE);
    assert_eq!(rig.read("a", PLACE), [("a".to_owned(), Some(PLACE))]);
    assert_eq!(rig.read("a", PLACE), [], "once");
    // Redis may be quicker to give it back than to say that it has it.
    let place = Place { number: 1, ..PLACE };
    assert_eq!(rig.read("b", place), [("b".to_owned(), Some(place))]);
    rig.journal.added(1, place);
    assert!(rig.journal.state.lock().items.is_empty());
    assert_eq!(rig.journal.state.lock().bytes, 0);
}

#[test]
fn of_several_entries_the_last_one_counts() {
    let rig = Rig::live();
    let here = here(&rig.hub, &rig.realm, "a");
    rig.journal.push(vec![entry("a"), entry("a2")], here);
    rig.send();
    assert_eq!(rig.read("a", PLACE), []);
    let place = Place { number: 1, ..PLACE };
    assert_eq!(rig.read("a2", place), [("a".to_owned(), Some(place))]);
}

#[test]
fn without_a_link_nothing_waits_and_nothing_is_queued_twice() {
    let rig = Rig::new(1 << 20);
    rig.push("a");
    assert_eq!(rig.overdue(), ["a"]);
    assert_eq!(rig.journal.begin(), 0, "it was never sent");
    assert_eq!(rig.send(), [0]);
    assert_eq!(rig.read("a", PLACE), []);
    rig.push("b");
    rig.send();
    rig.journal.end();
    rig.push("c");
    assert_eq!(rig.overdue(), ["b", "c"], "in order");
    assert_eq!(rig.read("b", PLACE), [], "it had been added");
    assert_eq!(rig.journal.begin(), 0);
    assert_eq!(rig.send(), [2]);
}

#[test]
fn what_has_not_come_back_at_the_end_is_added_again() {
    let rig = Rig::live();
    for name in ["a", "b", "c"] {
        rig.push(name);
    }
    rig.send();
    rig.journal.added(1, PLACE);
    rig.journal.end();
    assert_eq!(rig.read("a", Place::default()).len(), 1);
    assert_eq!(rig.journal.begin(), 2);
    assert_eq!(rig.send(), [1, 2]);
    let place = Place {
        millis: 8,
        number: 0,
    };
    assert_eq!(rig.read("b", place).len(), 1, "at another place");
}

#[test]
fn what_the_stream_has_lost_is_for_this_node_nevertheless() {
    let rig = Rig::live();
    for name in ["a", "b"] {
        rig.push(name);
    }
    rig.send();
    rig.journal.added(0, PLACE);
    let place = Place { number: 1, ..PLACE };
    let names = [("a".to_owned(), Some(PLACE)), ("b".to_owned(), Some(place))];
    assert_eq!(rig.read("b", place), names);
}

#[test]
fn what_is_too_much_or_refused_is_for_this_node_alone_and_keeps_its_order() {
    let bytes = entry("a").bytes();
    let rig = Rig::new(bytes);
    rig.journal.begin();
    assert_eq!(rig.push("a"), Kept::Whole);
    assert_eq!(rig.push("b"), Kept::Here);
    assert_eq!(rig.push("c"), Kept::Here);
    assert_eq!(rig.push("d"), Kept::Not);
    assert_eq!(rig.overdue(), ["a", "b", "c"]);
    assert_eq!(rig.push("e"), Kept::Here, "there is room again");
    assert_eq!(rig.overdue(), ["e"]);
    assert_eq!(rig.send(), [0]);
    rig.journal.refused(0);
    assert_eq!(rig.overdue(), [""; 0]);
    assert_eq!(rig.push("f"), Kept::Whole);
    rig.push("g");
    let numbers = rig.send();
    rig.journal.refused(numbers[0]);
    assert_eq!(rig.overdue(), ["f", "g"]);
}

#[tokio::test]
async fn it_is_settled_when_nothing_is_left() {
    let rig = Rig::live();
    rig.push("a");
    rig.send();
    assert_eq!(rig.journal.waiting(), 1);
    let (_, read) = tokio::join!(rig.journal.settled(), async { rig.read("a", PLACE) });
    assert_eq!((read.len(), rig.journal.waiting()), (1, 0));
}
