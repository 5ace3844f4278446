//! Recorded conversations of original clients and servers: every packet of both sides is read, and writing what was read
//! gives the same bytes. Where ours differ on purpose, [`Differs`] says why. What is answered when is compared elsewhere.

#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Display,
    fs,
    path::Path,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use polyport_core::{Arg, Json};
use polyport_socket_io::codec::{
    Assembler, Attachments, EnginePacket, Kind, Malformed, OpenPacket, Packet, PollPacket,
    ReadLimits, Revision, Style, read_engine, read_engine_base64, read_engine_binary, read_msgpack,
    read_payload, write_ack, write_connect, write_disconnect, write_engine_base64, write_error,
    write_event, write_msgpack_ack, write_msgpack_connect, write_msgpack_disconnect,
    write_msgpack_error, write_msgpack_event, write_payload,
};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/traces/socket-io");

/// Why bytes of ours are not those of the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Differs {
    /// Servers of 1.x and 2.x leave `maxPayload` out; ours always sends it, as 4.x does to everybody.
    MaxPayload,
    /// 1.x ends the name of a namespace with the packet; the comma of the later versions is understood by all.
    NoComma,
    /// Only clients send credentials or a query with a CONNECT.
    ClientConnect,
    /// msgpack clients send options of their own.
    ClientOptions,
    /// Generation 3 polling: JSON of ours is in ASCII.
    Ascii,
    /// 1.x, and one request made by hand, send binary bodies without any binary in them.
    NeedlessOctets,
}

/// A packet as it was recorded or written: its text with the type of Engine.IO, and what follows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    text: String,
    attachments: Attachments,
}

/// What a side of a session is known by: the recording, the session, the direction.
type Side = (String, String, String);

/// What is known of a side.
#[derive(Default)]
struct State {
    assembler: Assembler,
    style: Style,
    /// The incomplete packet as it was recorded.
    incomplete: Message,
}

#[derive(Default)]
struct Replay {
    sides: HashMap<Side, State>,
    /// How often what was read, by kind.
    read: BTreeMap<&'static str, usize>,
    differs: BTreeMap<Differs, usize>,
    /// Steps whose packets are broken on purpose, and what is wrong with them.
    broken: BTreeSet<(String, String)>,
    /// The arguments of all events `uni`.
    characters: BTreeSet<String>,
    /// Compressed, or cut by the recorder.
    unreadable: usize,
    /// Polling bodies inside of JSONP.
    jsonp: usize,
}

/// Where something was recorded.
struct Place<'a> {
    side: Side,
    step: &'a str,
    revision: Revision,
    is_msgpack: bool,
}

impl Replay {
    fn file(&mut self, name: &str, text: &str) {
        let mut urls: HashMap<u64, String> = HashMap::new();
        let mut methods: HashMap<u64, String> = HashMap::new();
        for line in text.lines() {
            let entry: Value = serde_json::from_str(line).unwrap();
            let Some(exchange) = entry["x"].as_u64() else {
                continue;
            };
            if let Some(url) = entry["url"].as_str() {
                urls.insert(exchange, url.to_owned());
                let method = entry["method"].as_str().unwrap_or_default();
                methods.insert(exchange, method.to_owned());
            }
            let url = &urls[&exchange];
            let parameter = |name: &str| {
                let (_, query) = url.split_once('?')?;
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find_map(|(key, value)| (key == name).then_some(value))
            };
            let session = parameter("sid").map_or_else(|| exchange.to_string(), str::to_owned);
            let is_from_client = entry["dir"] == "c2s";
            let place = Place {
                side: (
                    name.to_owned(),
                    session,
                    entry["dir"].as_str().unwrap().to_owned(),
                ),
                step: entry["step"].as_str().unwrap(),
                revision: if parameter("EIO") == Some("4") {
                    Revision::V4
                } else {
                    Revision::V3
                },
                is_msgpack: name.starts_with("msgpack"),
            };
            let is_poll = entry["kind"] == "http" && parameter("transport") == Some("polling");
            let is_post = methods[&exchange] == "POST";
            if entry["kind"] == "ws" && entry["op"] != "close" {
                self.frame(&place, &entry);
            } else if is_poll
                && is_post == is_from_client
                && (is_from_client || entry["status"] == 200 && methods[&exchange] == "GET")
            {
                if parameter("j").is_some() {
                    self.jsonp += 1;
                } else {
                    self.body(&place, &entry);
                }
            }
        }
    }

    /// The bytes of an entry, if the recorder has them all and as they were sent.
    fn bytes(&mut self, entry: &Value) -> Option<Vec<u8>> {
        let text = entry["body"].as_str();
        let is_cut = text.is_some_and(|text| text.ends_with(" chars)"));
        let is_compressed = entry["op"] == "text" && entry["body_b64"].is_string()
            || entry["headers"]["content-encoding"].is_string();
        if is_cut || is_compressed {
            self.unreadable += 1;
            return None;
        }
        let decoded = entry["body_b64"]
            .as_str()
            .map(|data| STANDARD.decode(data).unwrap());
        Some(decoded.unwrap_or_else(|| text.unwrap_or_default().as_bytes().to_vec()))
    }

    fn frame(&mut self, place: &Place<'_>, entry: &Value) {
        let Some(bytes) = self.bytes(entry) else {
            return;
        };
        if entry["op"] == "binary" {
            match read_engine_binary(place.revision, &bytes) {
                Ok(data) => {
                    let head: &[u8] = match place.revision {
                        Revision::V3 => &[4],
                        Revision::V4 => &[],
                    };
                    assert_eq!([head, data].concat(), bytes);
                    self.binary(place, data);
                }
                Err(error) => self.broken(place, error),
            }
            return;
        }
        let text = String::from_utf8(bytes).unwrap();
        match read_engine_base64(place.revision, &text).unwrap() {
            Some(data) => {
                assert_eq!(write_engine_base64(place.revision, &data), text);
                self.binary(place, &data);
            }
            None => self.text(place, &text),
        }
    }

    fn body(&mut self, place: &Place<'_>, entry: &Value) {
        let Some(body) = self.bytes(entry) else {
            return;
        };
        let kind = entry["headers"]["content-type"].as_str();
        let is_octets = kind == Some("application/octet-stream");
        let state = self.sides.entry(place.side.clone()).or_default();
        let (packets, error) = read_all(place.revision, is_octets, &mut state.style, &body);
        let style = state.style;
        if let Some(error) = error {
            self.broken(place, error);
        } else {
            self.check_body(place, is_octets, style, &body, &packets);
        }
        for packet in packets {
            match packet {
                PollPacket::Text(text) => self.text(place, &text),
                PollPacket::Binary(data) => self.binary(place, &data),
            }
        }
    }

    fn check_body(
        &mut self,
        place: &Place<'_>,
        is_octets: bool,
        style: Style,
        body: &[u8],
        packets: &[PollPacket<'_>],
    ) {
        let written = write_payload(place.revision, !is_octets, style, packets);
        if written.is_octets == is_octets && written.body == body {
            return;
        }
        assert_eq!(place.revision, Revision::V3);
        if is_octets {
            assert!(
                packets
                    .iter()
                    .all(|packet| matches!(packet, PollPacket::Text(_)))
            );
            self.differ(Differs::NeedlessOctets);
            return;
        }
        assert!(!body.is_ascii() && written.body.is_ascii());
        let (again, error) = read_all(Revision::V3, false, &mut Style::default(), &written.body);
        assert_eq!(error, None);
        let plain = |packet: &PollPacket<'_>| match packet {
            PollPacket::Text(text) => {
                let (front, json) = text.split_at(text.find('[').unwrap_or(text.len()));
                (front.to_owned(), serde_json::from_str::<Value>(json).ok())
            }
            PollPacket::Binary(_) => panic!("binary is ASCII"),
        };
        assert!(again.iter().map(plain).eq(packets.iter().map(plain)));
        self.differ(Differs::Ascii);
    }

    fn text(&mut self, place: &Place<'_>, text: &str) {
        let message = match read_engine(text) {
            Ok(EnginePacket::Open) => return self.open(text),
            Ok(EnginePacket::Message(message)) => message,
            Ok(_) => return self.count("others of Engine.IO"),
            Err(error) => return self.broken(place, error),
        };
        let state = self.sides.entry(place.side.clone()).or_default();
        match state.assembler.text(message, &limits(place.revision)) {
            Ok(None) => {
                text.clone_into(&mut state.incomplete.text);
                state.incomplete.attachments.0.clear();
            }
            Ok(Some(packet)) => {
                let written = self.written(place, &packet);
                if let Some(written) = written {
                    assert!(written.attachments.0.is_empty());
                    self.same(&written.text, text);
                }
            }
            Err(error) => self.broken(place, error),
        }
    }

    fn binary(&mut self, place: &Place<'_>, data: &[u8]) {
        if place.is_msgpack {
            return self.msgpack(place, data);
        }
        let state = self.sides.entry(place.side.clone()).or_default();
        let attachments = &mut state.incomplete.attachments.0;
        attachments.push(Bytes::copy_from_slice(data));
        let limits = limits(place.revision);
        let whole = match state.assembler.binary(data, &limits) {
            Ok(None) => return,
            Ok(Some(whole)) => whole,
            Err(error) => return self.broken(place, error),
        };
        let recorded = std::mem::take(&mut state.incomplete);
        match whole.packet(&limits) {
            Ok(packet) => {
                self.count("with attachments");
                assert_eq!(self.written(place, &packet), Some(recorded));
            }
            Err(error) => self.broken(place, error),
        }
    }

    fn open(&mut self, text: &str) {
        self.count("open");
        let open: Value = serde_json::from_str(&text[1..]).unwrap();
        let upgrades = open["upgrades"].as_array().unwrap();
        let upgrades: Vec<&str> = upgrades.iter().map(|name| name.as_str().unwrap()).collect();
        let millis = |name: &str| Duration::from_millis(open[name].as_u64().unwrap());
        let max_payload = open["maxPayload"].as_u64();
        let written = OpenPacket {
            sid: open["sid"].as_str().unwrap(),
            upgrades: &upgrades,
            ping_interval: millis("pingInterval"),
            ping_timeout: millis("pingTimeout"),
            max_payload: usize::try_from(max_payload.unwrap_or(7)).unwrap(),
        }
        .write();
        if max_payload.is_none() {
            self.differ(Differs::MaxPayload);
            assert_eq!(written.replace(",\"maxPayload\":7", ""), text);
        } else {
            assert_eq!(written, text);
        }
    }

    fn same(&mut self, written: &str, recorded: &str) {
        if written != recorded {
            assert_eq!(written, format!("{recorded},"));
            assert!(recorded.starts_with("40/") || recorded.starts_with("41/"));
            self.differ(Differs::NoComma);
        }
    }

    /// The packet as a server writes it; `None` for what no server writes.
    fn written(&mut self, place: &Place<'_>, packet: &Packet<'_>) -> Option<Message> {
        self.heard(packet);
        let namespace = packet.namespace;
        let text = match (packet.kind, &packet.data) {
            (Kind::Event | Kind::Ack, _) => {
                let mut out = Message::default();
                let (text, attachments) = (&mut out.text, &mut out.attachments);
                let (id, args) = (packet.id, &packet.args);
                match &packet.name {
                    Some(name) => {
                        write_event(text, attachments, namespace, id, name.as_str(), args, None);
                    }
                    None => write_ack(text, attachments, namespace, id.unwrap(), args),
                }
                return Some(out);
            }
            (Kind::Disconnect, _) => write_disconnect(namespace),
            (Kind::Connect, None) if packet.query.is_none() => write_connect(namespace, None, None),
            (Kind::Connect, _) if place.side.2 == "c2s" => {
                self.differ(Differs::ClientConnect);
                return None;
            }
            (Kind::Connect, Some(json)) => {
                let ids: Value = json.decode().unwrap();
                write_connect(namespace, ids["sid"].as_str(), ids["pid"].as_str())
            }
            (Kind::ConnectError, Some(json)) => {
                let (message, data) = refusal(place.revision, json);
                write_error(place.revision, namespace, &message, data.as_ref())
            }
            _ => panic!("{packet:?}"),
        };
        Some(Message {
            text,
            attachments: Attachments::default(),
        })
    }

    fn msgpack(&mut self, place: &Place<'_>, data: &[u8]) {
        let packet = read_msgpack(data, &limits(place.revision)).unwrap();
        self.heard(&packet);
        let namespace = packet.namespace;
        let is_from_client = place.side.2 == "c2s";
        let written = match (packet.kind, &packet.data) {
            (Kind::Event | Kind::Ack, _) => {
                let (id, args) = (packet.id, &packet.args);
                match &packet.name {
                    Some(name) => write_msgpack_event(namespace, id, name.as_str(), args, None),
                    None => write_msgpack_ack(namespace, id.unwrap(), args),
                }
            }
            (Kind::Disconnect, _) => write_msgpack_disconnect(namespace),
            (Kind::Connect, None) => write_msgpack_connect(namespace, None, None),
            (Kind::Connect, Some(_)) if is_from_client => {
                return self.differ(Differs::ClientConnect);
            }
            (Kind::Connect, Some(json)) => {
                let ids: Value = json.decode().unwrap();
                write_msgpack_connect(namespace, ids["sid"].as_str(), ids["pid"].as_str())
            }
            (Kind::ConnectError, Some(json)) => {
                let (message, data) = refusal(place.revision, json);
                write_msgpack_error(namespace, &message, data.as_ref())
            }
            _ => panic!("{packet:?}"),
        };
        const OPTIONS: &[u8] = b"\xa7options\x81\xa8compress\xc3";
        let at = data.windows(OPTIONS.len()).position(|part| part == OPTIONS);
        let Some(at) = at else {
            assert_eq!(written, data);
            return;
        };
        assert!(is_from_client);
        self.differ(Differs::ClientOptions);
        let without = [&[data[0] - 1], &data[1..at], &data[at + OPTIONS.len()..]].concat();
        assert_eq!(written, without);
    }

    fn heard(&mut self, packet: &Packet<'_>) {
        self.count(match packet.kind {
            Kind::Connect => "connect",
            Kind::Disconnect => "disconnect",
            Kind::Event => "event",
            Kind::Ack => "ack",
            Kind::ConnectError => "connect error",
        });
        let name = packet.name.as_ref().map(|name| name.as_str());
        if name == Some("uni") {
            self.characters
                .extend(packet.args.iter().map(|arg| match arg {
                    Arg::Json(json) => json.decode().unwrap(),
                    other => panic!("{other:?}"),
                }));
        }
    }

    fn broken(&mut self, place: &Place<'_>, reason: impl Display) {
        assert!(
            place.side.0.starts_with("errors") && place.side.2 == "c2s",
            "{:?}: {reason}",
            place.side
        );
        let place = (place.step.to_owned(), reason.to_string());
        self.broken.insert(place);
    }

    fn differ(&mut self, why: Differs) {
        *self.differs.entry(why).or_default() += 1;
    }

    fn count(&mut self, what: &'static str) {
        *self.read.entry(what).or_default() += 1;
    }
}

fn limits(revision: Revision) -> ReadLimits {
    ReadLimits {
        revision,
        attachments: 10,
        attachment_bytes: 2_000_000,
    }
}

/// The message and the data of a refusal.
fn refusal(revision: Revision, json: &Json) -> (String, Option<Json>) {
    if revision == Revision::V3 {
        return (String::new(), Some(json.clone()));
    }
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
        data: Option<Json>,
    }
    let refusal: Refusal = serde_json::from_str(json.as_str()).unwrap();
    (refusal.message, refusal.data)
}

#[test]
fn recorded_packets_are_read_and_written_again() {
    let mut replay = Replay::default();
    let mut files: Vec<_> = fs::read_dir(Path::new(FOLDER))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    files.sort();
    for path in &files {
        let name = path.file_stem().unwrap().to_str().unwrap();
        replay.file(name, &fs::read_to_string(path).unwrap());
    }
    assert_eq!(files.len(), 56);
    // None is left out silently: a recording more or less changes these.
    let read: Vec<_> = replay.read.into_iter().collect();
    assert_eq!(
        read,
        [
            ("ack", 78),
            ("connect", 389),
            ("connect error", 75),
            ("disconnect", 125),
            ("event", 689),
            ("open", 258),
            ("others of Engine.IO", 147),
            ("with attachments", 108),
        ]
    );
    let differs: Vec<_> = replay.differs.into_iter().collect();
    assert_eq!(
        differs,
        [
            (Differs::MaxPayload, 117),
            (Differs::NoComma, 35),
            (Differs::ClientConnect, 35),
            (Differs::ClientOptions, 4),
            (Differs::Ascii, 12),
            (Differs::NeedlessOctets, 6),
        ]
    );
    assert_eq!((replay.unreadable, replay.jsonp), (29, 11));
    // Encoded once or twice, the characters are the same.
    assert!(replay.characters.iter().eq(["é€😀\u{2028}"]));
    let broken: Vec<_> = replay
        .broken
        .iter()
        .map(|(step, reason)| (&**step, &**reason))
        .collect();
    assert_eq!(broken, BROKEN);
}

/// The recordings of errors send these on purpose.
const BROKEN: [(&str, &str); 17] = [
    (
        "POST above maxHttpBufferSize (1000 bytes configured)",
        "an empty body",
    ),
    ("POST empty body", "an empty body"),
    ("POST garbage (invalid packet)", "an unknown type of packet"),
    ("POST handshake", "an empty body"),
    ("POST octet-stream", "a binary body"),
    ("POST unframed payload", "a length without an end"),
    (
        "socket.io level: 11 attachments announced",
        "too many attachments",
    ),
    (
        "socket.io level: EVENT with empty array",
        "an event without a name",
    ),
    (
        "socket.io level: EVENT with object payload",
        "a payload that is no array",
    ),
    (
        "socket.io level: binary frame without header",
        "binary that was not announced",
    ),
    (
        "socket.io level: placeholder out of range",
        "a placeholder out of range",
    ),
    (
        "socket.io level: reserved event name disconnect",
        "a reserved event name",
    ),
    (
        "socket.io level: text frame while attachments are awaited",
        "text while attachments are missing",
    ),
    (
        "socket.io level: unknown packet type (EIO message 4abc)",
        "unknown packet type",
    ),
    ("unknown sid POST", "a length without an end"),
    ("unknown sid POST", "an unknown type of packet"),
    ("ws garbage frame", "an unknown type of packet"),
];

/// All packets of a body, and what is wrong with it.
fn read_all(
    revision: Revision,
    is_octets: bool,
    style: &mut Style,
    body: &[u8],
) -> (Vec<PollPacket<'static>>, Option<Malformed>) {
    let mut packets = Vec::new();
    let read = read_payload(revision, is_octets, style, body, |packet| {
        packets.push(match packet {
            PollPacket::Text(text) => PollPacket::Text(text.into_owned().into()),
            PollPacket::Binary(data) => PollPacket::Binary(data),
        });
    });
    (packets, read.err())
}
