//! SocketCluster over WebSocket, one packet in each text frame: the second generation as applications speak it, and the first
//! for the relay of the Redux DevTools, whose original knows no other.

use std::io::Write as _;

use memchr::memchr;

use super::{Incoming, Split, Unexpected, pad, websocket};
use crate::stamp::Stamp;

/// Where servers listen.
pub(super) const PATH: &str = "/socketcluster/";

const HANDSHAKE: &[u8] = br##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##;

/// The numbers of the calls by which a client enters; the handshake has the first.
const ENTRY: [u32; 2] = [2, 3];

/// What the generations do not have in common, as far as a client that only answers must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    First,
    Second,
}

impl Generation {
    fn ping(self) -> &'static [u8] {
        match self {
            Self::First => b"#1",
            Self::Second => b"",
        }
    }

    fn pong(self) -> &'static [u8] {
        match self {
            Self::First => b"#2",
            Self::Second => b"",
        }
    }
}

/// Reads one step of the opening: the HTTP head, or the answer to [`HANDSHAKE`].
pub(super) fn split_opening(generation: Generation, input: &[u8]) -> Split<'_> {
    // No server's frame begins with the letter that HTTP answers begin with.
    if input.starts_with(b"H") {
        let head = websocket::split_opening(input)?;
        return Ok(head.map(|(_, used)| (Incoming::Asks(HANDSHAKE), used)));
    }
    match split(generation, input)? {
        Some((Incoming::Text(text), used)) => match answered(text) {
            Some((1, true)) => Ok(Some((Incoming::Opened, used))),
            Some(_) => Err(Unexpected(format!(
                "the handshake was answered `{}`",
                String::from_utf8_lossy(text)
            ))),
            None => Ok(Some((Incoming::Text(text), used))),
        },
        other => Ok(other),
    }
}

/// Reads one packet.
pub(super) fn split(generation: Generation, input: &[u8]) -> Split<'_> {
    Ok(match websocket::split(input)? {
        Some((Incoming::Text(text), used)) if text == generation.ping() => {
            Some((Incoming::Asks(generation.pong()), used))
        }
        other => other,
    })
}

/// A call that subscribes to `channel`.
pub(super) fn subscription(channel: &str) -> String {
    packet("#subscribe", &format!(r#"{{"channel":"{channel}"}}"#), 0)
}

/// The two calls that make a client a monitor of a relay that hears all apps.
pub(super) fn monitor() -> [String; 2] {
    [
        packet("login", "{}", 0),
        packet("#subscribe", r#"{"channel":"log"}"#, 1),
    ]
}

/// The two calls that make a client an app of a relay, and behind them the state of `instance` that its actions change.
pub(super) fn app(instance: &str) -> [String; 3] {
    [
        packet("login", r#""master""#, 0),
        packet("#subscribe", r#"{"channel":"respond"}"#, 1),
        format!(
            r#"{{"event":"log","data":{{"type":"STATE","name":"{instance}","instanceId":"{instance}","payload":"{{\"monitorState\":{{}},\"actionsById\":{{\"0\":{{\"type\":\"PERFORM_ACTION\",\"action\":{{\"type\":\"@@INIT\"}},\"timestamp\":1795180817000}}}},\"nextActionId\":1,\"stagedActionIds\":[0],\"skippedActionIds\":[],\"currentStateIndex\":0,\"computedStates\":[{{\"state\":{{\"count\":0}}}}],\"isLocked\":false,\"isPaused\":false}}"}}}}"#
        ),
    ]
}

fn packet(event: &str, data: &str, entry: usize) -> String {
    let cid = ENTRY[entry];
    format!(r#"{{"event":"{event}","data":{data},"cid":{cid}}}"#)
}

/// Appends a publication that wants no answer.
pub(super) fn write_publication(channel: &str, stamp: Stamp, size: usize, out: &mut Vec<u8>) {
    let begin = format!(r##"{{"event":"#publish","data":{{"channel":"{channel}","data":""##);
    let begun = out.len();
    out.extend_from_slice(begin.as_bytes());
    stamp.write(out);
    pad(size.saturating_sub(out.len() - begun + 3), out);
    out.extend_from_slice(br#""}}"#);
}

/// Appends an action of `instance` as an enhancer of Redux logs it, with the state behind it.
pub(super) fn write_action(instance: &str, stamp: Stamp, size: usize, out: &mut Vec<u8>) {
    let begun = out.len();
    let begin = format!(
        r#"{{"event":"log","data":{{"type":"ACTION","name":"{instance}","instanceId":"{instance}","action":"{{\"type\":\"PERFORM_ACTION\",\"action\":{{\"type\":\"ADD\",\"by\":3}},\"timestamp\":1795180817605}}","isExcess":false,"nextActionId":{},"payload":"{{\"count\":{},\"text\":\""#,
        u64::from(stamp.sequence) + 2,
        u64::from(stamp.sequence) * 3,
    );
    let end = br#"\"}"}}"#;
    out.extend_from_slice(begin.as_bytes());
    stamp.write(out);
    pad(size.saturating_sub(out.len() - begun + end.len()), out);
    out.extend_from_slice(end);
}

/// Appends a call under `number`; `action` is the name of the procedure, and behind a space its data as JSON.
pub(crate) fn write_invocation(number: u32, action: &str, out: &mut Vec<u8>) {
    let wrote = match action.split_once(' ') {
        Some((name, data)) => {
            write!(out, r#"{{"event":"{name}","data":{data},"cid":{number}}}"#)
        }
        None => write!(out, r#"{{"event":"{action}","cid":{number}}}"#),
    };
    wrote.expect("a Vec takes every write");
}

/// The number of the call that `text` answers, and whether it worked; `None` for everything else.
pub(crate) fn answered(text: &[u8]) -> Option<(u32, bool)> {
    let rest = text.strip_prefix(br#"{"rid":"#)?;
    let digits = memchr(b',', rest).unwrap_or_else(|| rest.len().saturating_sub(1));
    let (number, rest) = rest.split_at(digits);
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    match rest {
        b"}" => Some((number, true)),
        rest => Some((number, !rest.starts_with(br#","error":"#))),
    }
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
    fn a_session_opens_with_a_handshake_behind_the_head() {
        let (first, second) = (Generation::First, Generation::Second);
        let asked = Ok(Some((Incoming::Asks(HANDSHAKE), HEAD.len())));
        assert_eq!(split_opening(second, HEAD), asked);
        for cut in [1, HEAD.len() - 1] {
            assert_eq!(
                split_opening(second, &HEAD[..cut]),
                Ok(None),
                "cut at {cut}"
            );
        }
        let answer = frame(r#"{"rid":1,"data":{"id":"x","pingTimeout":20000}}"#);
        let opened = Ok(Some((Incoming::Opened, answer.len())));
        assert_eq!(split_opening(first, &answer), opened);
        assert_eq!(
            split_opening(first, &frame("#1")),
            split(first, &frame("#1"))
        );
        let token = frame(r##"{"event":"#removeAuthToken"}"##);
        assert_eq!(split_opening(second, &token), split(second, &token));
    }

    #[test]
    fn a_refused_opening_is_an_error() {
        let refused = |input: &[u8]| split_opening(Generation::Second, input).is_err();
        assert!(refused(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        assert!(refused(&frame(r#"{"rid":1,"error":{"name":"DenySC"}}"#)));
        assert!(refused(&frame(r#"{"rid":2}"#)));
    }

    #[test]
    fn each_generation_answers_its_own_pings() {
        let (first, second) = (Generation::First, Generation::Second);
        assert_eq!(
            split(first, &frame("#1")),
            Ok(Some((Incoming::Asks(b"#2"), 4)))
        );
        assert_eq!(
            split(second, &frame("")),
            Ok(Some((Incoming::Asks(b""), 2)))
        );
        assert_eq!(
            split(second, &frame("#1")),
            Ok(Some((Incoming::Text(b"#1"), 4)))
        );
        assert_eq!(split(first, &frame("")), Ok(Some((Incoming::Text(b""), 2))));
        assert_eq!(
            split(second, &[0x89, 0]),
            Ok(Some((Incoming::Ping(b""), 2)))
        );
    }

    #[test]
    fn calls_are_written_with_and_without_data() {
        let mut out = Vec::new();
        write_invocation(7, "sum [4,5]", &mut out);
        write_invocation(8, "randomNumber", &mut out);
        let expected = r#"{"event":"sum","data":[4,5],"cid":7}{"event":"randomNumber","cid":8}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn answers_are_told_from_events() {
        assert_eq!(answered(br#"{"rid":17,"data":0.5}"#), Some((17, true)));
        assert_eq!(answered(br#"{"rid":4}"#), Some((4, true)));
        assert_eq!(answered(br#"{"rid":6,"error":"no"}"#), Some((6, false)));
        assert_eq!(answered(br#"{"event":"rid","cid":4}"#), None);
        assert_eq!(answered(br#"{"rid":"x"}"#), None);
        assert_eq!(answered(br#"{"rid":"#), None);
        assert_eq!(answered(b"load"), None);
    }

    #[test]
    fn everything_that_is_sent_is_json() {
        let stamp = Stamp {
            sequence: 5,
            intended: 1,
        };
        let mut action = Vec::new();
        write_action("app-0", stamp, 500, &mut action);
        assert_eq!(action.len(), 500);
        let mut publication = Vec::new();
        write_publication("news", stamp, 100, &mut publication);
        assert_eq!(publication.len(), 100);
        let mut texts = vec![HANDSHAKE.to_vec(), action, publication];
        let entries = [&monitor()[..], &app("app-0"), &[subscription("news")]].concat();
        texts.extend(entries.into_iter().map(String::into_bytes));
        for text in texts {
            let packet: serde_json::Value = serde_json::from_slice(&text).unwrap();
            let Some(payload) = packet["data"]["payload"].as_str() else {
                continue;
            };
            let state: serde_json::Value = serde_json::from_str(payload).unwrap();
            assert!(state.is_object(), "{payload}");
        }
    }
}
