//! Events as lines.

use polyport_core::{Dialect, Event, Frame, Sender, single_argument};

use crate::codec::LineWriter;

/// The name of an event that the original knows: what `say` sends.
pub(crate) const MESSAGE: &str = "message";

/// Writes events as the original writes what is said in a room. An event of another name carries it behind all else.
#[derive(Debug)]
pub(crate) struct VerbsDialect {
    /// The plug-in for v21 and later writes `"0"` where the others write `0`.
    pub(crate) server_sender_is_text: bool,
}

impl Dialect for VerbsDialect {
    fn protocol(&self) -> &'static str {
        crate::listener::PROTOCOL
    }

    fn encode(&self, event: &Event) -> Frame {
        let data = single_argument(&event.args);
        let mut line = LineWriter::new(data.len() + 160).raw("message", data.as_str());
        if let Some(room) = &event.room {
            line = line.string("room", room.as_str());
        }
        line = match event.from {
            Sender::Session(id) => line
                .string("from", &id.to_string())
                .raw("context", "\"user\""),
            Sender::Server => {
                let nobody = if self.server_sender_is_text {
                    "\"0\""
                } else {
                    "0"
                };
                line.raw("from", nobody).raw("context", "\"api\"")
            }
        };
        line = line.number("sentAt", event.sent_at.0);
        if event.name.as_str() != MESSAGE {
            line = line.string("event", event.name.as_str());
        }
        line.finish()
    }
}

#[cfg(test)]
mod tests {
    use polyport_core::{EventName, Json, Millis, RoomName};

    use super::*;

    #[track_caller]
    fn check(name: &str, data: &str, room: Option<&str>, expected: &str) {
        let mut event = Event::new(EventName::new(name).unwrap(), Json::parse(data).unwrap());
        event.room = room.map(|room| RoomName::new(room).unwrap());
        event.sent_at = Millis(7);
        let dialect = VerbsDialect {
            server_sender_is_text: false,
        };
        assert_eq!(dialect.encode(&event), format!("{expected}\r\n"));
    }

    #[test]
    fn events_as_lines() {
        check(
            "message",
            "\"hi\"",
            Some("lobby"),
            r#"{"message":"hi","room":"lobby","from":0,"context":"api","sentAt":7}"#,
        );
        check(
            "hello",
            r#"{"n":1}"#,
            None,
            r#"{"message":{"n":1},"from":0,"context":"api","sentAt":7,"event":"hello"}"#,
        );
    }
}
