//! How events of the core look to SocketCluster clients.

use std::sync::{Arc, LazyLock};

use polyport_core::{Dialect, Event, Frame, single_argument};
use polyport_net::ws;

use crate::codec::{self, Codec, Generation};

/// The protocol's name in the configuration and in metrics.
pub(crate) const PROTOCOL: &str = "devtools-relay";

/// The name of events that are what somebody published to a channel.
pub(crate) const MESSAGE: &str = "message";

/// The event by which a channel's publication comes, if it is told to one client alone.
const PUBLISH: &str = "#publish";

/// Both generations write what is published in the same way.
#[derive(Debug)]
struct ClusterDialect(Codec);

/// The one dialect of all listeners with that codec, so that an event is written once for all of them.
pub(crate) fn dialect(codec: Codec) -> Arc<dyn Dialect> {
    static JSON: LazyLock<Arc<dyn Dialect>> =
        LazyLock::new(|| Arc::new(ClusterDialect(Codec::Json)));
    static MIN_BIN: LazyLock<Arc<dyn Dialect>> =
        LazyLock::new(|| Arc::new(ClusterDialect(Codec::MinBin)));
    Arc::clone(match codec {
        Codec::Json => &JSON,
        Codec::MinBin => &MIN_BIN,
    })
}

/// The frame of the packet, or the list of packets, that `write` writes in JSON.
pub(crate) fn frame(codec: Codec, write: impl FnOnce(&mut String)) -> Frame {
    match codec {
        Codec::Json => ws::written_text(write),
        Codec::MinBin => {
            let mut text = String::new();
            write(&mut text);
            ws::binary(&codec::write_min_bin(&text))
        }
    }
}

impl Dialect for ClusterDialect {
    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    /// Other names of this form are the protocol's own.
    fn carries(&self, event: &Event) -> bool {
        let name = event.name.as_str();
        event.room.is_some() || !name.starts_with('#') || name == PUBLISH
    }

    fn encode(&self, event: &Event) -> Frame {
        let name = event.name.as_str();
        let data = (!event.args.is_empty()).then(|| single_argument(&event.args));
        let data = data.as_ref().map(|data| data.as_str());
        frame(self.0, |text| {
            match event.room.as_ref().map(|room| room.as_str()) {
                None => codec::write_event(text, name, data),
                Some(room) if name == MESSAGE => codec::write_publish(text, room, data),
                Some(room) => {
                    let mut wrapped = String::new();
                    codec::write_event(&mut wrapped, name, data);
                    codec::write_publish(text, room, Some(&wrapped));
                }
            }
        })
    }

    fn show(&self, frame: &Frame) -> String {
        ws::shown(frame)
    }
}

/// The frame that asks a client of that generation whether it is there.
pub(crate) fn ping(codec: Codec, generation: Generation) -> Frame {
    match (codec, generation) {
        (Codec::MinBin, Generation::V1) => ws::binary(codec::OLD_PING),
        _ => ws::text(generation.ping()),
    }
}

#[cfg(test)]
mod tests {
    use polyport_core::{Arg, Args, EventName, Json, RoomName};

    use super::*;

    fn event(room: Option<&str>, name: &str, args: &[Arg]) -> Event {
        let mut event = Event::new(EventName::new(name).unwrap(), Json::NULL);
        event.room = room.map(|room| RoomName::new(room).unwrap());
        event.args = Args::from(args);
        event
    }

    #[track_caller]
    fn check(room: Option<&str>, name: &str, args: &[Arg], expected: &str) {
        let event = event(room, name, args);
        assert_eq!(dialect(Codec::Json).encode(&event), ws::text(expected));
        let binary = ws::binary(&codec::write_min_bin(expected));
        assert_eq!(dialect(Codec::MinBin).encode(&event), binary);
    }

    #[test]
    fn events() {
        let json = |text| Arg::Json(Json::parse(text).unwrap());
        let binary = Arg::Binary(b"hi".as_slice().into());
        check(
            Some("news"),
            "message",
            &[json(r#"{"n":1}"#)],
            r##"{"event":"#publish","data":{"channel":"news","data":{"n":1}}}"##,
        );
        check(
            Some("news"),
            "message",
            &[],
            r##"{"event":"#publish","data":{"channel":"news"}}"##,
        );
        check(
            Some("news"),
            "sold",
            &[json("1"), binary],
            r##"{"event":"#publish","data":{"channel":"news","data":{"event":"sold","data":[1,{"base64":true,"data":"aGk="}]}}}"##,
        );
        check(
            None,
            "greet",
            &[json("null")],
            r#"{"event":"greet","data":null}"#,
        );
        check(None, "greet", &[], r#"{"event":"greet"}"#);
    }

    #[test]
    fn nobody_speaks_for_the_protocol() {
        assert!(!dialect(Codec::Json).carries(&event(None, "#setAuthToken", &[])));
        assert!(dialect(Codec::Json).carries(&event(None, "#publish", &[])));
        assert!(dialect(Codec::Json).carries(&event(Some("news"), "#kickOut", &[])));
    }
}
