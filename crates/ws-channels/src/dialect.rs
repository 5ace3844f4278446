//! How events of the core look to Pocketsocket clients.

use std::sync::{Arc, LazyLock};

use polyport_core::{Dialect, Event, Frame, single_argument};
use polyport_net::ws;

use crate::codec;

/// The protocol's name in the configuration and in metrics.
pub(crate) const PROTOCOL: &str = "ws-channels";

/// The form of the client library's own messages, so that an event in room R named N reaches the page's listeners of
/// channel R.
#[derive(Debug)]
struct PocketDialect;

/// The one dialect of all listeners, so that an event is written once for all of them.
pub(crate) fn dialect() -> Arc<dyn Dialect> {
    static SHARED: LazyLock<Arc<dyn Dialect>> = LazyLock::new(|| Arc::new(PocketDialect));
    Arc::clone(&SHARED)
}

impl Dialect for PocketDialect {
    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    fn encode(&self, event: &Event) -> Frame {
        let room = event.room.as_ref().map(|room| room.as_str());
        let data = single_argument(&event.args);
        ws::written_text(|text| codec::write_event(text, room, event.name.as_str(), data.as_str()))
    }

    fn show(&self, frame: &Frame) -> String {
        ws::shown(frame)
    }
}

#[cfg(test)]
mod tests {
    use polyport_core::{Arg, Args, EventName, Json, RoomName};

    use super::*;

    #[track_caller]
    fn check(room: Option<&str>, name: &str, args: &[Arg], expected: &str) {
        let mut event = Event::new(EventName::new(name).unwrap(), Json::NULL);
        event.room = room.map(|room| RoomName::new(room).unwrap());
        event.args = Args::from(args);
        assert_eq!(dialect().encode(&event), ws::text(expected));
    }

    #[test]
    fn events() {
        let json = |text| Arg::Json(Json::parse(text).unwrap());
        let binary = Arg::Binary(b"\x00\xff".as_slice().into());
        check(
            Some("lobby"),
            "message",
            &[json(r#""hé""#)],
            r#"{"id":null,"message":"lobby.message","data":"hé"}"#,
        );
        check(
            None,
            "news",
            &[json("{ \"n\" : 1e0 }")],
            r#"{"id":null,"message":"news","data":{ "n" : 1e0 }}"#,
        );
        check(
            Some("a\"b"),
            "x",
            &[],
            r#"{"id":null,"message":"a\"b.x","data":null}"#,
        );
        check(
            Some("r"),
            "x",
            &[json("1"), binary],
            r#"{"id":null,"message":"r.x","data":[1,{"base64":true,"data":"AP8="}]}"#,
        );
    }

    #[test]
    fn all_listeners_share_one_dialect() {
        assert!(Arc::ptr_eq(&dialect(), &dialect()));
    }
}
