//! Occurrences: what is logged and counted together.
//!
//! A verbose listener says at `info` what the original prints with `--verbose`; it is asked for, so the text of messages
//! may be in it.

use std::fmt::{self, Write};

use polyport_core::{PublishError, SessionRef};
use tracing::{debug, info, trace};

/// A longer text is cut in the log.
const MAX_LOGGED: usize = 2_000;

pub(crate) fn connected(session: &SessionRef) {
    info!(
        listener = session.listener().name(),
        "connected ({})",
        session.peer()
    );
}

pub(crate) fn disconnected(session: &SessionRef) {
    info!(
        listener = session.listener().name(),
        "disconnected ({})",
        session.peer()
    );
}

pub(crate) fn received(session: &SessionRef, text: &[u8]) {
    info!(
        listener = session.listener().name(),
        "Receive: {}",
        Shown(text)
    );
}

pub(crate) fn sent(session: &SessionRef, text: &[u8]) {
    info!(
        listener = session.listener().name(),
        "Send: {}",
        Shown(text)
    );
}

pub(crate) fn forgery_refused(session: &SessionRef) {
    session.listener().metrics().invalid_messages.inc();
    debug!(session = %session.id(), listener = session.listener().name(), "forged hub message refused");
}

pub(crate) fn not_published(session: &SessionRef, error: PublishError) {
    trace!(session = %session.id(), listener = session.listener().name(), %error, "not shown to other protocols");
}

pub(crate) fn not_let_publish(session: &SessionRef, text: &str) {
    trace!(session = %session.id(), listener = session.listener().name(), text, "a backend refused the event");
}

/// A client's bytes for a log: without line breaks and control characters, and not all of them when they are many.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, is_cut) = match self.0.get(..MAX_LOGGED) {
            Some(start) => (start, self.0.len() > MAX_LOGGED),
            None => (self.0, false),
        };
        for char in String::from_utf8_lossy(shown).chars() {
            if char.is_control() {
                write!(f, "{}", char.escape_default())?;
            } else {
                f.write_char(char)?;
            }
        }
        if is_cut {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: &str) {
        assert_eq!(Shown(text).to_string(), expected);
    }

    #[test]
    fn a_message_cannot_forge_log_lines() {
        check(br#"{"id":1}"#, r#"{"id":1}"#);
        check("hé\n\u{1b}[2J".as_bytes(), r"hé\n\u{1b}[2J");
        check(b"\xff", "\u{fffd}");
    }

    #[test]
    fn a_long_message_is_cut() {
        let shown = Shown(&[b'x'; MAX_LOGGED + 1]).to_string();
        assert!(shown.ends_with("x… (2001 bytes)"), "{shown}");
        check(&[b'x'; MAX_LOGGED], &"x".repeat(MAX_LOGGED));
    }
}
