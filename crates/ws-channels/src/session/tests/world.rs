//! A hub without sockets, and clients whose wire is memory.

use std::net::SocketAddr;

use parking_lot::Mutex;
use polyport_core::{
    Dialect, Event, FrameQueue, Hub, Limits, Listener, Peer, Permissions, RealmName, Reception,
    SessionId, Transport, Wrote,
};
use polyport_net::{Bind, Place, ServerSettings, WsClose};

use super::super::*;
use crate::listener;

/// A peer that takes everything.
#[derive(Debug, Default)]
pub(super) struct Wire(Mutex<Vec<u8>>);

impl Wire {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Transport for Wire {
    fn write(&self, frames: &mut FrameQueue) -> Wrote {
        while !frames.is_empty() {
            let mut taken = self.0.lock();
            let wrote = frames.write_with(usize::MAX, |slices| {
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

    fn wake(&self) {}
}

/// A hub with one listener.
pub(super) struct World {
    pub(super) hub: Arc<Hub>,
    pub(super) pocket: Arc<Listener>,
    pub(super) front_end: listener::PocketFrontEnd,
}

pub(super) struct Client {
    pub(super) session: Option<PocketSession>,
    pub(super) wire: Arc<Wire>,
}

pub(super) fn place(name: &str, join: &[&str]) -> Place {
    Place {
        name: name.to_owned(),
        bind: Bind::Unix("unused".into()),
        realm: RealmName::new("default").unwrap(),
        join: join
            .iter()
            .map(|room| RoomName::new(room).unwrap())
            .collect(),
        rooms: Vec::new(),
        limits: Limits::default(),
        permissions: Permissions::default(),
        server: ServerSettings::default(),
    }
}

pub(super) fn opening(listener: &Arc<Listener>, port: u16) -> (Opening, Arc<Wire>) {
    let wire = Arc::new(Wire::default());
    let opening = Opening {
        id: SessionId::random(),
        admission: listener.admit(None).unwrap(),
        peer: Peer::Ip(SocketAddr::from(([127, 0, 0, 1], port))),
        transport: wire.clone(),
    };
    (opening, wire)
}

impl World {
    pub(super) fn new(options: ChannelsOptions) -> Self {
        Self::with(options, &["lobby"], Permissions::default())
    }

    pub(super) fn with(options: ChannelsOptions, join: &[&str], permissions: Permissions) -> Self {
        Self::made(
            options,
            join,
            permissions,
            &Tasks::new(),
            Reception::default(),
        )
    }

    pub(super) fn received(join: &[&str], tasks: &Tasks, reception: Reception) -> Self {
        let options = ChannelsOptions::default();
        Self::made(options, join, Permissions::default(), tasks, reception)
    }

    fn made(
        options: ChannelsOptions,
        join: &[&str],
        permissions: Permissions,
        tasks: &Tasks,
        reception: Reception,
    ) -> Self {
        let hub = Hub::new(0, None);
        let mut place = place("pocket", join);
        place.permissions = permissions;
        // The hub's own room is not the session's choice.
        place.limits.rooms_per_session = 0;
        let (pocket, front_end) = listener::prepare(place, &hub, tasks, options, reception);
        Self {
            hub,
            pocket,
            front_end,
        }
    }

    pub(super) fn connect(&self, port: u16) -> Client {
        let (opening, wire) = opening(&self.pocket, port);
        Client {
            session: Some(self.front_end.open_session(opening, Guest::default())),
            wire,
        }
    }

    /// Somebody of another protocol in `room`.
    pub(super) fn stranger(&self, room: &str) -> (Session, Arc<Wire>) {
        let place = place("tcp", &[room]);
        let listener = place.listener(&self.hub, "test", Arc::new(Plainly));
        let (opening, wire) = opening(&listener, 1);
        (Session::open(opening), wire)
    }
}

/// Writes `room name args` for strangers.
pub(super) struct Plainly;

impl Dialect for Plainly {
    fn protocol(&self) -> &'static str {
        "test"
    }

    fn encode(&self, event: &Event) -> Frame {
        let room = event.room.as_ref().unwrap();
        let data = polyport_core::single_argument(&event.args);
        Frame::from(format!("{room} {} {}\n", event.name, data.as_str()))
    }
}

impl Client {
    pub(super) fn says(&mut self, text: &str) {
        self.session.as_mut().unwrap().on_text(text);
    }

    pub(super) fn sends(&mut self, data: &[u8]) {
        self.session.as_mut().unwrap().on_binary(data);
    }

    pub(super) fn closes(&mut self, close: WsClose) -> Frame {
        self.session.as_mut().unwrap().on_close(close)
    }

    pub(super) fn is_gone(&mut self) {
        self.session = None;
    }

    /// What came since the last time: `T` and text, `B` and binary; times of receipts left out.
    pub(super) fn hears(&self) -> Vec<String> {
        let bytes = mem::take(&mut *self.wire.0.lock());
        let mut rest = &bytes[..];
        let mut heard = Vec::new();
        while let [first, length, behind @ ..] = rest {
            let (length, behind) = match *length {
                126 => (
                    usize::from(u16::from_be_bytes([behind[0], behind[1]])),
                    &behind[2..],
                ),
                short => (usize::from(short), behind),
            };
            let (payload, behind) = behind.split_at(length);
            let kind = if *first == 0x81 { 'T' } else { 'B' };
            heard.push(format!(
                "{kind} {}",
                without_time(&String::from_utf8_lossy(payload))
            ));
            rest = behind;
        }
        heard
    }

    #[track_caller]
    pub(super) fn expects(&self, expected: &[&str]) {
        assert_eq!(self.hears(), expected);
    }
}

pub(super) fn forget<const N: usize>(clients: [&Client; N]) {
    for client in clients {
        client.hears();
    }
}

pub(super) fn without_time(text: &str) -> String {
    match text
        .strip_prefix(r#"{"time": ""#)
        .and_then(|rest| rest.split_once("\", "))
    {
        Some((_, rest)) => format!("{{{rest}"),
        None => text.to_owned(),
    }
}

pub(super) fn sent(id: &str) -> String {
    format!(r#"T {{"messageId": {id}, "socket": "sent", "attr": "json"}}"#)
}

/// A log that can be looked at.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
