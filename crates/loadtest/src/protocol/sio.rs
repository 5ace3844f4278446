//! Socket.IO of generation 4, inside Engine.IO's packets, one in each text frame.

use std::io::Write as _;

use super::{Incoming, Split, Unexpected, websocket};

/// Where servers listen, with the parameters that choose the generation and leave polling out.
pub(super) const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// Opens the main namespace.
const CONNECT: &[u8] = b"40";
const PING: &[u8] = b"2";
const PONG: &[u8] = b"3";
const CLOSE: &[u8] = b"1";

/// Reads one step of the opening: the HTTP head together with the open packet behind it, or the answer to [`CONNECT`].
pub(super) fn split_opening(input: &[u8]) -> Split<'_> {
    // No server's frame begins with the letter that HTTP answers begin with.
    if !input.starts_with(b"H") {
        return match split(input)? {
            Some((Incoming::Text(text), used)) => match text.strip_prefix(CONNECT) {
                Some([b'{', ..]) => Ok(Some((Incoming::Opened, used))),
                _ => Err(unexpected("the namespace was answered", text)),
            },
            other => Ok(other),
        };
    }
    let Some((_, head)) = websocket::split_opening(input)? else {
        return Ok(None);
    };
    match websocket::split(&input[head..])? {
        Some((Incoming::Text(text), used)) if text.starts_with(b"0{") => {
            Ok(Some((Incoming::Asks(CONNECT), head + used)))
        }
        Some((Incoming::Text(text), _)) => Err(unexpected("the first packet was", text)),
        Some(_) => Err(Unexpected("no open packet".to_owned())),
        None => Ok(None),
    }
}

/// Reads one packet. A session that the server ends while its connection lives would hear nothing more, so that is an
/// error.
pub(super) fn split(input: &[u8]) -> Split<'_> {
    let Some((incoming, used)) = websocket::split(input)? else {
        return Ok(None);
    };
    let incoming = match incoming {
        Incoming::Text(PING) => Incoming::Asks(PONG),
        Incoming::Text(CLOSE) => Incoming::Closing,
        Incoming::Text(text) if text.starts_with(b"41") || text.starts_with(b"44") => {
            return Err(unexpected("the server ended the session with", text));
        }
        other => other,
    };
    Ok(Some((incoming, used)))
}

fn unexpected(what: &str, text: &[u8]) -> Unexpected {
    Unexpected(format!("{what} `{}`", String::from_utf8_lossy(text)))
}

/// Appends an event that wants to be acknowledged under `number`; `action` is its name, and behind a space its arguments as
/// a JSON list.
pub(crate) fn write_acknowledged(number: u32, action: &str, out: &mut Vec<u8>) {
    let (name, args) = action.split_once(' ').unwrap_or((action, "[]"));
    write!(out, r#"42{number}["{name}""#).expect("a Vec takes every write");
    let args = args.trim_start().strip_prefix('[').unwrap_or(args);
    if args.trim_start() != "]" {
        out.push(b',');
    }
    out.extend_from_slice(args.as_bytes());
}

/// The number of the event that `text` acknowledges; `None` for everything else.
pub(crate) fn acknowledged(text: &[u8]) -> Option<u32> {
    let rest = text.strip_prefix(b"43")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, arguments) = rest.split_at(digits);
    if !arguments.starts_with(b"[") {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    /// A short text as a server frames it.
    fn frame(text: &str) -> Vec<u8> {
        assert!(text.len() < 126);
        [&[0x81, text.len() as u8], text.as_bytes()].concat()
    }

    #[test]
    fn a_session_opens_in_two_steps() {
        let first = [HEAD, &frame(r#"0{"sid":"x","upgrades":[]}"#)].concat();
        let read = split_opening(&first);
        assert_eq!(read, Ok(Some((Incoming::Asks(b"40"), first.len()))));
        for cut in [0, 1, HEAD.len() - 1, HEAD.len(), first.len() - 1] {
            assert_eq!(split_opening(&first[..cut]), Ok(None), "cut at {cut}");
        }
        let second = frame(r#"40{"sid":"y"}"#);
        let read = split_opening(&second);
        assert_eq!(read, Ok(Some((Incoming::Opened, second.len()))));
    }

    #[test]
    fn a_refused_opening_is_an_error() {
        let refused = |input: &[u8]| split_opening(input).is_err();
        assert!(refused(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        assert!(refused(&[HEAD, &frame("40")].concat()));
        assert!(refused(&[HEAD, &[0x88, 0]].concat()));
        assert!(refused(&frame(r#"44{"message":"not authorized"}"#)));
        assert!(refused(&frame("40")), "generation 3 has no sid");
    }

    #[test]
    fn packets_are_told_apart() {
        let event = frame(r#"42["msg","2"]"#);
        let read = split(&event);
        let text = Incoming::Text(br#"42["msg","2"]"#);
        assert_eq!(read, Ok(Some((text, event.len()))));
        assert_eq!(split(&frame("2")), Ok(Some((Incoming::Asks(b"3"), 3))));
        assert_eq!(split_opening(&frame("2")), split(&frame("2")));
        assert_eq!(split(&frame("1")), Ok(Some((Incoming::Closing, 3))));
        assert_eq!(split(&[0x89, 0]), Ok(Some((Incoming::Ping(b""), 2))));
        assert!(split(&frame("41")).is_err());
    }

    #[test]
    fn events_are_written_with_and_without_arguments() {
        let mut out = Vec::new();
        write_acknowledged(7, "sum [4,5]", &mut out);
        write_acknowledged(8, "randomNumber", &mut out);
        assert_eq!(out, br#"427["sum",4,5]428["randomNumber"]"#);
    }

    #[test]
    fn acknowledgements_are_told_from_events() {
        assert_eq!(acknowledged(br#"4317[{"randomNumber":0.5}]"#), Some(17));
        assert_eq!(acknowledged(b"430[]"), Some(0));
        assert_eq!(acknowledged(br#"4217["randomNumber"]"#), None);
        assert_eq!(acknowledged(b"43[]"), None);
        assert_eq!(acknowledged(b"4317"), None);
        assert_eq!(acknowledged(b"load"), None);
    }
}
