//! How a protocol writes events.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use crate::Event;

/// Encoded bytes, immutable and shared between outboxes.
pub type Frame = Bytes;

/// One protocol's (and version's, and option set's) way to write an event as a frame.
///
/// A dialect is known by its allocation: sessions that share one `Arc<dyn Dialect>` share frames, so a front end makes
/// one per distinct wire form and hands the same `Arc` to all of its sessions.
pub trait Dialect: Send + Sync + 'static {
    /// The protocol's name, as in the configuration; a metric label.
    fn protocol(&self) -> &'static str;

    /// Whether its clients can be told the event at all. Events that are not carried are dropped.
    fn carries(&self, event: &Event) -> bool {
        let _ = event;
        true
    }

    /// Writes the event, complete with the protocol's framing. Called at most once per event and dialect.
    fn encode(&self, event: &Event) -> Frame;

    /// The same for whoever watches, when nobody gets the frame: for dialects that count what they write.
    fn sample(&self, event: &Event) -> Frame {
        self.encode(event)
    }

    /// A frame, or the beginning of one, as text for whoever watches, without the protocol's framing; `base64:` stands before
    /// what is no text.
    fn show(&self, frame: &Frame) -> String {
        match std::str::from_utf8(frame) {
            Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
            Err(_) => shown_binary(frame),
        }
    }
}

/// Bytes that are no text, for [`Dialect::show`].
#[must_use]
pub fn shown_binary(bytes: &[u8]) -> String {
    let mut text = String::from("base64:");
    STANDARD.encode_string(bytes, &mut text);
    text
}
