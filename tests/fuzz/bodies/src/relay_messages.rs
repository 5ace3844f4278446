//! What apps and monitors say to the relay of the Redux DevTools, and how they come and go.

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    rc::Rc,
};

use polyport_core::{Json, RealmName};
use polyport_devtools_relay::{
    codec::{members, string},
    columns_of,
    relay::{Head, History, Peer, Place, Registry, Role, with_id},
};
use serde_json::value::RawValue;

use crate::Input;

/// Programs that connect again and again.
const PROGRAMS: usize = 6;

/// Reads the payload as lines, each of a program and what it does: `0 login`, `1 watch`, `0 log {…}`, `0 log-noid {…}`,
/// `0 report {…}`, `0 leave`, and `0 wait` until it is too late for those that have left before.
///
/// # Panics
/// When the relay loses or invents a word, keeps more than it may, or says of an app that it has gone while it is there, twice,
/// or never.
pub fn relay_messages(data: &[u8]) {
    let mut input = Input::new(data);
    let keeps = input.byte() & 1 == 0;
    let most = 256 + input.number();
    let mut model = Model::new(keeps, most);
    let text = String::from_utf8_lossy(input.payload());
    for line in text.lines() {
        let Some((program, order)) = line.split_once(' ') else {
            continue;
        };
        let Ok(program) = program.parse::<usize>() else {
            continue;
        };
        let program = program % PROGRAMS;
        let (order, said) = order.split_once(' ').unwrap_or((order, ""));
        match order {
            "login" => model.login(program, Role::App),
            "watch" => model.login(program, Role::Monitor),
            "leave" => model.leave(program),
            "wait" => model.wait(),
            "log" | "log-noid" | "report" => {
                if let (Ok(raw), Ok(message)) = (serde_json::from_str(said), Json::parse(said)) {
                    match order {
                        "report" => check_report(raw),
                        _ => model.log(program, raw, &message),
                    }
                }
            }
            _ => {}
        }
        model.check();
    }
    model.end();
}

/// A connection, as the registry sees it.
#[derive(Clone)]
struct Line(Rc<(String, Cell<bool>)>);

impl Peer for Line {
    fn is_there(&self) -> bool {
        self.0.1.get()
    }

    fn is_watching(&self) -> bool {
        self.is_there()
    }
}

/// A program's connection.
struct Connection {
    line: Line,
    place: Place,
    instances: usize,
}

struct Model {
    keeps: bool,
    most: usize,
    realm: RealmName,
    registry: Registry<Line>,
    history: History,
    connections: HashMap<usize, Connection>,
    opened: usize,
    /// Apps that have left and may come back, and of how many instances they are.
    held: Vec<(String, usize)>,
    /// Connections that monitors know as apps, and have not been told of that they have gone.
    known: HashSet<String>,
    /// What was said of each instance since its last beginning.
    said: HashMap<String, Vec<Box<str>>>,
}

impl Model {
    fn new(keeps: bool, most: usize) -> Self {
        Self {
            keeps,
            most,
            realm: RealmName::new("fuzz").expect("it is a name"),
            registry: Registry::default(),
            history: History::default(),
            connections: HashMap::new(),
            opened: 0,
            held: Vec::new(),
            known: HashSet::new(),
            said: HashMap::new(),
        }
    }

    fn login(&mut self, program: usize, role: Role) {
        let opened = &mut self.opened;
        let connection = self.connections.entry(program).or_insert_with(|| {
            *opened += 1;
            Connection {
                line: Line(Rc::new((format!("c{opened}"), Cell::new(true)))),
                place: Place::default(),
                instances: 0,
            }
        });
        let Line(shared) = &connection.line;
        let line = connection.line.clone();
        let answer = self
            .registry
            .login(&self.realm, &shared.0, line, role, PROGRAMS);
        assert!(answer.is_ok(), "there are no more than so many");
        connection.place.role = Some(role);
        if role == Role::App {
            self.known.insert(shared.0.clone());
        }
    }

    fn log(&mut self, program: usize, raw: &RawValue, message: &Json) {
        let head = Head::read(raw);
        let Some(connection) = self.connections.get_mut(&program) else {
            return;
        };
        let name = connection.line.0.0.clone();
        check_wrapped(&name, message);
        if let Some(instance) = head.instance()
            && connection.place.is_new(instance)
        {
            connection.instances += 1;
            let forgotten = self.registry.announce(&self.realm, &name, instance);
            self.gone(&forgotten);
        }
        let shown = head.shown_as().unwrap_or(&name).to_owned();
        let kind = member(raw, "type");
        let is_base = matches!(kind.as_deref(), Some("STATE" | "INIT"));
        if is_base || kind.as_deref() == Some("ACTION") {
            let said = self.said.entry(shown).or_default();
            if is_base {
                said.clear();
            }
            said.push(message.as_str().into());
        }
        self.history
            .note(&self.realm, &name, &head, message, self.most);
    }

    fn leave(&mut self, program: usize) {
        let Some(connection) = self.connections.remove(&program) else {
            return;
        };
        connection.line.0.1.set(false);
        let name = connection.line.0.0.clone();
        let farewells = self.registry.leave(&self.realm, &name, self.keeps);
        self.registry.tidy(&self.realm);
        let is_app = connection.place.role == Some(Role::App);
        assert!(is_app || !farewells.is_held);
        if farewells.is_last_monitor {
            assert!(!is_app);
            let is_monitor = |it: &Connection| it.place.role == Some(Role::Monitor);
            assert!(!self.keeps || !self.connections.values().any(is_monitor));
        }
        if !self.keeps && !is_app {
            // In strict mode the last login alone counts, as with the original.
            self.known.remove(&name);
        }
        self.gone(&farewells.apps);
        if farewells.is_held {
            assert!(self.keeps);
            self.held.push((name, connection.instances));
        }
    }

    /// Nobody who has left comes back any more.
    fn wait(&mut self) {
        for (name, _) in std::mem::take(&mut self.held) {
            let gone = self.registry.expire(&self.realm, &name);
            self.registry.tidy(&self.realm);
            self.gone(&gone);
        }
    }

    /// Monitors are told.
    fn gone(&mut self, ids: &[Box<str>]) {
        for id in ids {
            assert!(self.known.remove(&**id), "{id} has gone once");
            let mut there = self.connections.values();
            assert!(there.all(|it| it.line.0.0 != **id), "{id} is there");
            assert!(self.registry.find(&self.realm, id).is_none());
        }
    }

    fn check(&mut self) {
        for connection in self.connections.values() {
            let name = &connection.line.0.0;
            let found = self.registry.find(&self.realm, name);
            assert!(found.is_some_and(|found| Rc::ptr_eq(&found.0, &connection.line.0)));
        }
        let there = self.connections.values().map(|it| it.instances);
        let instances: usize = there.chain(self.held.iter().map(|(_, it)| *it)).sum();
        // An id is a connection's own, or another stands for it: then it is in a list and in the index.
        let ids = self.connections.len() + 2 * self.known.len();
        assert!(self.registry.remembered(&self.realm) <= ids + instances);
        assert!(self.history.bytes() <= self.most);
        let (history, realm) = (&self.history, &self.realm);
        let mut kept = 0;
        self.said.retain(|instance, said| {
            let Some(recording) = history.recording(realm, instance) else {
                return false;
            };
            assert!(said.ends_with(&recording), "in order, to the last word");
            kept += recording.iter().map(|it| it.len()).sum::<usize>();
            *said = recording;
            true
        });
        assert!(
            kept <= history.bytes(),
            "nothing is kept that is not counted"
        );
    }

    /// Everybody goes; nobody and nothing is left.
    fn end(mut self) {
        for instance in self.said.keys() {
            if let Some(snapshot) = self.history.snapshot(&self.realm, instance) {
                check_snapshot(&self.realm, &snapshot.payload);
            }
        }
        for program in 0..PROGRAMS {
            self.leave(program);
        }
        self.wait();
        assert_eq!(self.registry.remembered(&self.realm), 0);
        assert_eq!(self.known, HashSet::new(), "these are shown for ever");
    }
}

/// The last string of that name in a message.
fn member(raw: &RawValue, name: &str) -> Option<String> {
    let members = members(raw, 64)?;
    let (_, value) = members.into_iter().rfind(|(key, _)| key == name)?;
    string(value).map(|text| text.into_owned())
}

/// A message that is wrapped for monitors is in there as it was.
fn check_wrapped(name: &str, message: &Json) {
    let wrapped = with_id(name, Some(message.clone()));
    let raw: &RawValue = wrapped.decode().expect("it is JSON");
    assert_eq!(member(raw, "id").as_deref(), Some(name));
    let parts = members(raw, 2).expect("it has two members");
    assert_eq!(parts[1].1.get(), message.as_str());
}

/// A snapshot is a state that stands for itself: an app that has sent it has it as its snapshot.
fn check_snapshot(realm: &RealmName, payload: &str) {
    assert!(Json::parse(payload).is_ok(), "it is JSON");
    let text = Json::string(payload);
    let message = format!(
        r#"{{"type":"STATE","instanceId":"again","payload":{}}}"#,
        text.as_str()
    );
    let message = Json::parse(&message).expect("it is put together of JSON");
    let mut history = History::default();
    let head = Head::read(message.decode().expect("it is JSON"));
    history.note(realm, "c0", &head, &message, usize::MAX);
    let again = history.snapshot(realm, "again").expect("it has a state");
    assert_eq!(again.payload, payload);
}

/// A report that is kept is one of the two kinds, and is the same when it is sent as it was kept.
fn check_report(raw: &RawValue) {
    let Some(columns) = columns_of(raw) else {
        return;
    };
    assert!(matches!(&*columns["type"], "STATE" | "ACTIONS"));
    assert!(!columns["payload"].is_empty());
    let again: Vec<_> = ["type", "payload", "title", "instanceId", "meta", "appId"]
        .into_iter()
        .filter_map(|name| Some((name, columns.get(name)?)))
        .collect();
    let body: HashMap<_, _> = again.iter().copied().collect();
    let body = Json::encode(&body);
    let kept = columns_of(body.decode().expect("it is JSON")).expect("it was kept before");
    for (name, value) in again {
        assert_eq!(kept.get(name), Some(value), "{name}");
    }
}
