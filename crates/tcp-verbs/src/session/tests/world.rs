//! A hub without sockets, the builtin actions, and clients whose wire is memory.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use polyport_backends::{
    Actions, Node, Provider, Registry,
    builtin::{self, BuiltinOptions},
};
use polyport_core::{
    FrameQueue, Hub, Limits, Listener, ListenerConfig, Peer, Permissions, RealmName, Reception,
    RoomName, SessionId, Transport, Wrote,
};
use polyport_net::Tasks;

use super::super::*;
use crate::{
    PublicFolders, VerbsOptions,
    dialect::VerbsDialect,
    listener::{PROTOCOL, Shared},
};

/// A version of the original to follow, with its profile and its actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Classic,
    V9,
    V12,
    V18,
    V20,
    V29,
}

impl Version {
    pub(crate) const ALL: [Self; 6] = [
        Self::Classic,
        Self::V9,
        Self::V12,
        Self::V18,
        Self::V20,
        Self::V29,
    ];

    pub(crate) fn profile(self) -> Profile {
        match self {
            Self::Classic => Profile::classic(),
            Self::V9 => Profile::v9(),
            Self::V12 => Profile::v12(),
            Self::V18 => Profile::v18(),
            Self::V20 => Profile::v20(),
            Self::V29 => Profile::v29(),
        }
    }

    fn actions(self) -> BuiltinOptions {
        match self {
            Self::Classic => BuiltinOptions::classic(),
            Self::V9 => BuiltinOptions::v9(),
            Self::V12 => BuiltinOptions::v12(),
            Self::V18 => BuiltinOptions::v18(),
            Self::V20 => BuiltinOptions::v20(),
            Self::V29 => BuiltinOptions::v29(),
        }
    }

    /// Whether lines are numbered; otherwise each reply carries an id.
    pub(crate) fn is_numbered(self) -> bool {
        !matches!(self, Self::V20 | Self::V29)
    }

    /// Whether failures of verbs are worded as in v18 and later.
    pub(crate) fn is_new(self) -> bool {
        matches!(self, Self::V18 | Self::V20 | Self::V29)
    }

    /// What a reply of a table is in this version. Beside what [`masked`] writes, it may hold
    /// `<n>` the end of a reply to line `count`, `<failed>` the key of a failed verb's text, `<null>` the data of a verb
    /// that returns nothing, `<false>` that of a failed room verb, `<in R>` a room named in an error, `<rnd>` the fields
    /// of `randomNumber`, `<Error>` the beginning of every action error and `<missing>` that of a missing param's.
    pub(crate) fn expand(self, reply: &str, count: u64) -> String {
        let pick = |holds: bool, text: &str| {
            if holds {
                text.to_owned()
            } else {
                String::new()
            }
        };
        let end = match self.is_numbered() {
            true => format!(r#""messageCount":{count}"#),
            false => r#""messageId":"<uuid>""#.to_owned(),
        };
        let failed = if self.is_new() { "error" } else { "status" };
        let sentence = r#","stringRandomNumber":"Your random number is <any>""#;
        let error = |holds: bool| pick(holds, "Error: ");
        let mut text = reply
            .replace("<n>", &end)
            .replace("<failed>", failed)
            .replace("<null>", &pick(!self.is_new(), r#","data":null"#))
            .replace("<false>", &pick(!self.is_new(), r#","data":false"#))
            .replace(
                "<rnd>",
                &format!(r#""randomNumber":<any>{}"#, pick(self.is_new(), sentence)),
            )
            .replace("<Error>", &error(self == Self::V9))
            .replace(
                "<missing>",
                &error(matches!(self, Self::V9 | Self::Classic)),
            );
        while let Some((before, rest)) = text.split_once("<in ") {
            let (room, behind) = rest.split_once('>').expect("a closed placeholder");
            text = format!(
                "{before}{}{behind}",
                pick(self.is_new(), &format!(" ({room})"))
            );
        }
        text
    }
}

/// A peer that takes everything, unless it is told not to.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    taken: Mutex<Vec<u8>>,
    is_blocked: AtomicBool,
}

impl Wire {
    pub(crate) fn block(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::SeqCst);
    }

    /// What came since the last time.
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.taken.lock())
    }

    fn write(&self, frames: &mut FrameQueue, draws: bool) -> Wrote {
        while !frames.is_empty() {
            if draws {
                frames.draw();
            }
            if self.is_blocked.load(Ordering::SeqCst) || frames.is_source_next() {
                return Wrote::Blocked;
            }
            let wrote = frames.write_with(usize::MAX, |slices| {
                let mut taken = self.taken.lock();
                let before = taken.len();
                slices
                    .iter()
                    .for_each(|slice| taken.extend_from_slice(slice));
                Ok::<_, ()>(taken.len() - before)
            });
            wrote.unwrap();
        }
        Wrote::All
    }
}

impl Transport for Wire {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        // Only the connection's task draws from sources.
        self.write(frames, false)
    }

    fn wake(&self) {}
}

/// What a world is made of.
pub(crate) struct Setup {
    pub(crate) version: Version,
    pub(crate) options: VerbsOptions,
    pub(crate) limits: Limits,
    pub(crate) permissions: Permissions,
    pub(crate) join: Vec<&'static str>,
    pub(crate) rooms: Vec<String>,
    /// What stands before the builtin actions.
    pub(crate) backend: Option<Arc<dyn Provider>>,
}

impl Setup {
    pub(crate) fn new(version: Version) -> Self {
        Self {
            version,
            options: VerbsOptions {
                profile: version.profile(),
                welcome: "Hello! Welcome to the actionhero api".to_owned(),
                default_room: room("defaultRoom"),
                auto_join: false,
                folders: PublicFolders::default(),
                delimiter: b'\n',
                max_data_length: 0,
            },
            limits: Limits {
                calls_in_flight: 5,
                ..Limits::default()
            },
            permissions: Permissions::default(),
            join: Vec::new(),
            rooms: ["defaultRoom", "otherRoom"].map(str::to_owned).to_vec(),
            backend: None,
        }
    }

    pub(crate) fn world(self) -> World {
        let hub = Hub::new(0, None);
        let listener = hub.listener(ListenerConfig {
            name: "tcp".to_owned(),
            protocol: PROTOCOL,
            realm: RealmName::new("default").unwrap(),
            dialect: Arc::new(VerbsDialect {
                server_sender_is_text: self.options.profile.server_sender_is_text,
            }),
            join: self.join.into_iter().map(room).collect(),
            rooms: self.rooms.iter().map(|name| room(name)).collect(),
            limits: self.limits,
            permissions: self.permissions,
        });
        let actions = self.version.actions();
        let node = Arc::new(Node::new("node-1".to_owned()));
        let builtin: Arc<dyn Provider> = Arc::new(Actions::new(builtin::actions(&actions, &node)));
        let registry = Registry::new(
            self.backend.into_iter().chain([builtin]).collect(),
            actions.documentation_shape,
        );
        let reception = Reception::new(Arc::new(registry), None);
        let shared = Shared::new(self.options, reception, Tasks::new());
        World {
            version: self.version,
            hub,
            listener,
            shared: Arc::new(shared),
        }
    }
}

/// A hub with one listener of this protocol.
pub(crate) struct World {
    pub(crate) version: Version,
    pub(crate) hub: Arc<Hub>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) shared: Arc<Shared>,
}

impl World {
    pub(crate) fn new(version: Version) -> Self {
        Setup::new(version).world()
    }

    /// A client that has read its welcome.
    pub(crate) fn connect(&self) -> Client {
        let client = self.dial();
        client.wire.take();
        client
    }

    /// A client that has not.
    pub(crate) fn dial(&self) -> Client {
        self.dial_from(Peer::Ip(SocketAddr::from(([127, 0, 0, 1], 4321))))
    }

    pub(crate) fn dial_from(&self, peer: Peer) -> Client {
        let wire = Arc::new(Wire::default());
        let opening = Opening {
            id: SessionId::random(),
            admission: self.listener.admit(None).unwrap(),
            peer,
            transport: wire.clone(),
        };
        let shared = Arc::clone(&self.shared);
        let handler = self
            .hub
            .turn(|| VerbsSession::open(opening, shared, Guest::default()));
        let mut client = Client {
            version: self.version,
            handler,
            wire,
            unfinished: Vec::new(),
            lines: 0,
            has_closed: false,
        };
        client.settle();
        client
    }

    /// The sum of a metric over all series with this value of a label.
    pub(crate) fn metric(&self, family: &str, label: &str) -> u64 {
        let families = self.hub.metrics().registry().gather();
        let family = families.iter().find(|f| f.name() == family).unwrap();
        let series = family.get_metric().iter();
        let with_label = series.filter(|s| s.get_label().iter().any(|l| l.value() == label));
        with_label.map(|s| s.get_counter().get_value() as u64).sum()
    }

    #[track_caller]
    pub(crate) fn check_limit_hits(&self, limit: &str, expected: u64) {
        let hits = self.metric("polyport_limit_hits_total", limit);
        assert_eq!(hits, expected, "hits of {limit}");
    }
}

/// One connection, served as the connection's task does.
pub(crate) struct Client {
    version: Version,
    pub(crate) handler: VerbsSession,
    pub(crate) wire: Arc<Wire>,
    unfinished: Vec<u8>,
    /// Lines said by [`Client::check`] that are counted.
    lines: u64,
    pub(crate) has_closed: bool,
}

impl Client {
    pub(crate) fn id(&self) -> String {
        self.handler.session.id().to_string()
    }

    /// One read of the server's.
    pub(crate) fn sends(&mut self, bytes: impl AsRef<[u8]>) {
        if self.has_closed {
            return;
        }
        let hub = Arc::clone(self.handler.session.listener().hub());
        self.unfinished.extend_from_slice(bytes.as_ref());
        let mut has_complete_input = true;
        while has_complete_input && !self.has_closed {
            has_complete_input = hub.turn(|| {
                let used = self.handler.on_bytes(&mut self.unfinished);
                self.unfinished.drain(..used);
                self.handler.session.is_turn_over() && !self.unfinished.is_empty()
            });
            self.settle();
        }
    }

    /// Bytes that the server keeps because their line has not ended.
    pub(crate) fn kept(&self) -> usize {
        self.unfinished.len()
    }

    /// What the connection's task does when it wakes: end the session if that is due, and write.
    pub(crate) fn settle(&mut self) {
        let handler = &mut self.handler;
        if handler.session.listener().is_draining() && handler.may_end() {
            handler.session.close(CloseReason::Shutdown);
        }
        let closing = handler.session.outbox().closing();
        if let (Some(reason), false) = (closing, self.has_closed) {
            self.has_closed = true;
            handler.session.leave_all();
            handler.on_close(reason);
        }
        let outbox = self.handler.session.outbox();
        if outbox.needs_resume() {
            outbox.resume(&mut |frames| self.wire.write(frames, true));
        }
    }

    /// Lines that came since the last time, variable parts masked.
    #[track_caller]
    pub(crate) fn hears(&mut self) -> Vec<String> {
        self.settle();
        let own = self.id();
        lines(&self.wire.take())
            .iter()
            .map(|line| masked(line, &own))
            .collect()
    }

    #[track_caller]
    pub(crate) fn expects(&mut self, expected: &[&str]) {
        assert_eq!(self.hears(), expected);
    }

    /// Says one line and compares the replies, which `\n` parts. See [`Version::expand`].
    #[track_caller]
    pub(crate) fn check(&mut self, line: &str, replies: &str) {
        self.lines += u64::from(!line.is_empty());
        self.sends(format!("{line}\r\n"));
        let expected = self.version.expand(replies, self.lines);
        let expected: Vec<&str> = expected.lines().collect();
        assert_eq!(self.hears(), expected, "{:?}: {line}", self.version);
    }

    /// Says lines one by one.
    #[track_caller]
    pub(crate) fn talk(&mut self, dialogue: &[(&str, &str)]) {
        for (line, replies) in dialogue {
            self.check(line, replies);
        }
    }

    /// Says several lines in one write and compares all replies.
    #[track_caller]
    pub(crate) fn check_write(&mut self, write: &str, expected: &[&str]) {
        self.sends(write);
        assert_eq!(self.hears(), expected, "{:?}: {write:?}", self.version);
    }
}

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

/// The lines that were written, without their ends, which must be CR LF.
#[track_caller]
pub(crate) fn lines(written: &[u8]) -> Vec<String> {
    let text = str::from_utf8(written).unwrap();
    let lines: Vec<String> = text.split_terminator("\r\n").map(str::to_owned).collect();
    assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
    assert!(lines.iter().all(|l| !l.contains(['\r', '\n'])), "{text:?}");
    lines
}

/// A line with `<me>` for the own id, `<uuid>` for any other, `<ms>` for times and `<any>` for what is random.
pub(crate) fn masked(line: &str, own: &str) -> String {
    const VARIABLE: [&str; 5] = [
        r#""randomNumber":"#,
        "Your random number is ",
        r#""sleepDelta":"#,
        r#""uptime":"#,
        r#""consumedMemoryMB":"#,
    ];
    let mut text = String::new();
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        if let Some(behind) = behind_uuid(rest) {
            text += if rest.starts_with(own) {
                "<me>"
            } else {
                "<uuid>"
            };
            rest = behind;
        } else if next.is_ascii_digit() {
            let is_part = |c: char| c.is_ascii_digit() || ".e-".contains(c);
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (number, behind) = rest.split_at(length);
            text += match number {
                _ if VARIABLE.iter().any(|before| text.ends_with(before)) => "<any>",
                time if time.len() == 13 && time.starts_with('1') => "<ms>",
                other => other,
            };
            rest = behind;
        } else {
            text.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    text
}

fn behind_uuid(text: &str) -> Option<&str> {
    let (head, behind) = text.split_at_checked(36)?;
    let is_uuid = head.bytes().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    is_uuid.then_some(behind)
}
