//! How events of the core look to Socket.IO clients of one namespace.

use polyport_core::{Arg, Dialect, Event, Frame};
use polyport_net::ws;

use crate::codec::{Attachments, Revision, is_reserved, write_ack, write_event};

/// The protocol's name in the configuration and in metrics.
pub(crate) const PROTOCOL: &str = "socket-io";

/// One namespace in one revision. An event is written as WebSocket frames, attachments behind their packet in the same
/// piece, so that nothing comes between; polling takes the frames apart again.
#[derive(Debug)]
pub(crate) struct SocketIoDialect {
    pub(crate) namespace: Box<str>,
    pub(crate) revision: Revision,
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
        event_frame(self.revision, &self.namespace, None, event)
    }
}

/// An event, with the number of the ack that is wanted.
pub(crate) fn event_frame(
    revision: Revision,
    namespace: &str,
    id: Option<u64>,
    event: &Event,
) -> Frame {
    frames(revision, |text, attachments| {
        let name = event.name.as_str();
        write_event(text, attachments, namespace, id, name, &event.args, None);
    })
}

/// An ack.
pub(crate) fn ack_frame(revision: Revision, namespace: &str, id: u64, args: &[Arg]) -> Frame {
    frames(revision, |text, attachments| {
        write_ack(text, attachments, namespace, id, args);
    })
}

fn frames(revision: Revision, write: impl FnOnce(&mut String, &mut Attachments)) -> Frame {
    let mut attachments = Attachments::default();
    let text = ws::written_text(|text| write(text, &mut attachments));
    if attachments.0.is_empty() {
        return text;
    }
    let mut frames = Vec::from(text);
    for part in attachments.0 {
        frames.extend_from_slice(&binary_frame(revision, &part));
    }
    frames.into()
}

/// A binary message. Revision 3 gives it the type 4 as a byte.
fn binary_frame(revision: Revision, data: &[u8]) -> Frame {
    match revision {
        Revision::V4 => ws::binary(data),
        Revision::V3 => {
            let mut typed = Vec::with_capacity(data.len() + 1);
            typed.push(4);
            typed.extend_from_slice(data);
            ws::binary(&typed)
        }
    }
}
