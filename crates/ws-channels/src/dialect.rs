//! How events of the core look to Pocketsocket clients.

use std::{
    cell::RefCell,
    sync::{Arc, LazyLock},
};

use polyport_core::{Dialect, Event, Frame, single_argument};
use polyport_net::ws;

use crate::codec;

/// The protocol's name in the configuration and in metrics.
pub(crate) const PROTOCOL: &str = "ws-channels";

/// A text being written keeps at most so much memory for the next one.
const KEPT_CAPACITY: usize = 4 << 10;

thread_local! {
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

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
        text_frame(|text| codec::write_event(text, room, event.name.as_str(), data.as_str()))
    }
}

/// A text frame of what `write` writes, in one allocation: the text is put together in memory of the thread.
pub(crate) fn text_frame(write: impl FnOnce(&mut String)) -> Frame {
    TEXT.with_borrow_mut(|text| {
        text.clear();
        write(text);
        let frame = ws::text(text);
        text.clear();
        text.shrink_to(KEPT_CAPACITY);
        frame
    })
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

    #[test]
    fn memory_of_a_large_text_is_given_back() {
        let large = text_frame(|text| text.push_str(&"x".repeat(1 << 20)));
        assert_eq!(large.len(), (1 << 20) + 10);
        TEXT.with_borrow(|text| assert!(text.capacity() <= KEPT_CAPACITY));
    }
}
