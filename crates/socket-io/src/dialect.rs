//! How events of the core look to Socket.IO clients of one namespace, and all else that is said to them.

use polyport_core::{Arg, Dialect, Event, Frame, Json};
use polyport_net::ws;

use crate::{
    codec::{
        Attachments, Kind, Revision, is_reserved, write_ack, write_connect, write_disconnect,
        write_engine_base64, write_error, write_event, write_msgpack_ack, write_msgpack_connect,
        write_msgpack_disconnect, write_msgpack_error, write_msgpack_event, write_msgpack_text,
    },
    options::Parser,
    recovery::Offsets,
};

/// The protocol's name in the configuration and in metrics.
pub(crate) const PROTOCOL: &str = "socket-io";

/// How packets are written for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    pub(crate) revision: Revision,
    pub(crate) parser: Parser,
    /// Binary messages are text: to a client of generation 3 that opened its WebSocket so.
    pub(crate) is_base64: bool,
}

/// One namespace in one form. An event is written as WebSocket frames, attachments behind their packet in the same
/// piece, so that nothing comes between; polling takes the frames apart again.
#[derive(Debug)]
pub(crate) struct SocketIoDialect {
    pub(crate) namespace: Box<str>,
    pub(crate) form: Form,
    /// Gives each event its offset, if lost clients may come back.
    pub(crate) offsets: Option<Offsets>,
}

impl Dialect for SocketIoDialect {
    fn protocol(&self) -> &'static str {
        PROTOCOL
    }

    /// The client would run its own handlers for a reserved name.
    fn carries(&self, event: &Event) -> bool {
        !is_reserved(event.name.as_str())
    }

    fn encode(&self, event: &Event) -> Frame {
        let offsets = self.offsets.as_ref().filter(|_| !event.is_volatile);
        let offset = offsets.map(|it| it.next(event.place).to_string());
        self.form
            .event(&self.namespace, None, event, offset.as_deref())
    }

    /// No offset is spent on it.
    fn sample(&self, event: &Event) -> Frame {
        self.form.event(&self.namespace, None, event, None)
    }

    fn show(&self, frame: &Frame) -> String {
        ws::shown(frame)
    }
}

impl Form {
    /// All there are.
    pub(crate) const ALL: [Self; 6] = [
        Self::new(Revision::V3, Parser::Json),
        Self::new(Revision::V3, Parser::Json).in_base64(),
        Self::new(Revision::V3, Parser::Msgpack),
        Self::new(Revision::V3, Parser::Msgpack).in_base64(),
        Self::new(Revision::V4, Parser::Json),
        Self::new(Revision::V4, Parser::Msgpack),
    ];

    pub(crate) const fn new(revision: Revision, parser: Parser) -> Self {
        Self {
            revision,
            parser,
            is_base64: false,
        }
    }

    pub(crate) const fn in_base64(self) -> Self {
        Self {
            is_base64: true,
            ..self
        }
    }

    /// An event, with the number of the ack that is wanted, or its offset where lost clients may come back.
    pub(crate) fn event(
        self,
        namespace: &str,
        id: Option<u64>,
        event: &Event,
        offset: Option<&str>,
    ) -> Frame {
        let name = event.name.as_str();
        match self.parser {
            Parser::Json => self.frames(|text, attachments| {
                write_event(text, attachments, namespace, id, name, &event.args, offset);
            }),
            Parser::Msgpack => {
                let packet = write_msgpack_event(namespace, id, name, &event.args, offset);
                self.binary(&packet)
            }
        }
    }

    /// An ack.
    pub(crate) fn ack(self, namespace: &str, id: u64, args: &[Arg]) -> Frame {
        match self.parser {
            Parser::Json => self.frames(|text, attachments| {
                write_ack(text, attachments, namespace, id, args);
            }),
            Parser::Msgpack => self.binary(&write_msgpack_ack(namespace, id, args)),
        }
    }

    /// The namespace is open; generation 4 hears the id it has there, and the secret by which it can come back.
    pub(crate) fn connect(self, namespace: &str, sid: &str, pid: Option<&str>) -> Frame {
        match (self.parser, self.revision) {
            (Parser::Json, Revision::V3) => ws::text(&write_connect(namespace, None, None)),
            (Parser::Json, Revision::V4) => ws::text(&write_connect(namespace, Some(sid), pid)),
            (Parser::Msgpack, Revision::V3) => {
                ws::text(&write_msgpack_text(Kind::Connect, namespace, None))
            }
            (Parser::Msgpack, Revision::V4) => {
                ws::binary(&write_msgpack_connect(namespace, Some(sid), pid))
            }
        }
    }

    /// The namespace is over.
    pub(crate) fn disconnect(self, namespace: &str) -> Frame {
        match (self.parser, self.revision) {
            (Parser::Json, _) => ws::text(&write_disconnect(namespace)),
            (Parser::Msgpack, Revision::V3) => {
                ws::text(&write_msgpack_text(Kind::Disconnect, namespace, None))
            }
            (Parser::Msgpack, Revision::V4) => ws::binary(&write_msgpack_disconnect(namespace)),
        }
    }

    /// The namespace is refused. With msgpack a client of generation 3 gets the message alone: it would break on data.
    pub(crate) fn error(self, namespace: &str, message: &str, data: Option<&Json>) -> Frame {
        match (self.parser, self.revision) {
            (Parser::Json, revision) => ws::text(&write_error(revision, namespace, message, data)),
            (Parser::Msgpack, Revision::V3) => ws::text(&write_msgpack_text(
                Kind::ConnectError,
                namespace,
                Some(message),
            )),
            (Parser::Msgpack, Revision::V4) => {
                ws::binary(&write_msgpack_error(namespace, message, data))
            }
        }
    }

    fn frames(self, write: impl FnOnce(&mut String, &mut Attachments)) -> Frame {
        let mut attachments = Attachments::default();
        let text = ws::written_text(|text| write(text, &mut attachments));
        if attachments.0.is_empty() {
            return text;
        }
        let mut frames = Vec::from(text);
        for part in attachments.0 {
            frames.extend_from_slice(&self.binary(&part));
        }
        frames.into()
    }

    /// A binary message. Revision 3 gives it the type 4, as a byte or a digit.
    fn binary(self, data: &[u8]) -> Frame {
        match self.revision {
            Revision::V3 if self.is_base64 => ws::text(&write_engine_base64(self.revision, data)),
            Revision::V3 => {
                let mut typed = Vec::with_capacity(data.len() + 1);
                typed.push(4);
                typed.extend_from_slice(data);
                ws::binary(&typed)
            }
            Revision::V4 => ws::binary(data),
        }
    }
}
