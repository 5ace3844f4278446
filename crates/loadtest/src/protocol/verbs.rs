//! Actionhero's lines.

use memchr::{memchr, memrchr};

use super::{Incoming, Split};

/// The server's first line is the welcome; every later one is a message.
pub(super) fn split(opened: bool, input: &[u8]) -> Split<'_> {
    let Some(end) = memchr(b'\n', input) else {
        return Ok(None);
    };
    let line = &input[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let incoming = if opened {
        Incoming::Text(line)
    } else {
        Incoming::Opened
    };
    Ok(Some((incoming, end + 1)))
}

/// Ends lines with CR LF, which every version of the original reads.
pub(super) fn write_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

/// The number of the request that `line` answers: `messageCount` is the last member of every answer.
pub(crate) fn message_count(line: &[u8]) -> Option<u32> {
    let line = line.strip_suffix(b"}")?;
    let colon = memrchr(b':', line)?;
    if !line[..colon].ends_with(br#""messageCount""#) {
        return None;
    }
    std::str::from_utf8(&line[colon + 1..]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_opens_and_the_others_are_messages() {
        let input = b"{\"welcome\":\"Hello!\"}\r\n{\"a\":1}\r\n{\"b\"";
        let (incoming, used) = split(false, input).unwrap().unwrap();
        assert_eq!(incoming, Incoming::Opened);
        let rest = &input[used..];
        let (incoming, used) = split(true, rest).unwrap().unwrap();
        assert_eq!(incoming, Incoming::Text(b"{\"a\":1}"));
        assert_eq!(split(true, &rest[used..]), Ok(None));
    }

    #[test]
    fn answers_are_numbered_and_broadcasts_are_not() {
        let count = |line: &str| message_count(line.as_bytes());
        assert_eq!(
            count(r#"{"randomNumber":0.5,"context":"response","messageCount":12}"#),
            Some(12)
        );
        assert_eq!(
            count(r#"{"message":"hi","context":"user","sentAt":1400000000000}"#),
            None
        );
        assert_eq!(count(r#"{"messageCount":}"#), None);
        assert_eq!(count(""), None);
    }
}
