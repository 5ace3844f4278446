//! socket.red's texts.

use std::io::Write as _;

use memchr::memchr;

/// Appends `[number,"name",args]`; `action` is the name, and behind a space the arguments as a JSON list.
pub(crate) fn write_call(number: u32, action: &str, out: &mut Vec<u8>) {
    let (name, args) = action.split_once(' ').unwrap_or((action, "[]"));
    write!(out, r#"[{number},"{name}",{args}]"#).expect("a Vec takes every write");
}

/// The number of the call that `text` answers, and whether it worked; `None` for events and actions.
pub(crate) fn answered_call(text: &[u8]) -> Option<(u32, bool)> {
    let rest = text.strip_prefix(b"[")?;
    let comma = memchr(b',', rest)?;
    let number = std::str::from_utf8(rest.get(..comma)?).ok()?.parse().ok()?;
    let rest = rest.get(comma + 1..)?;
    match number {
        0 => None,
        number if rest.starts_with(b"true,") => Some((number, true)),
        number if rest.starts_with(b"false,") => Some((number, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_written_with_and_without_arguments() {
        let mut out = Vec::new();
        write_call(7, "sum [4,5]", &mut out);
        write_call(8, "randomNumber", &mut out);
        assert_eq!(out, br#"[7,"sum",[4,5]][8,"randomNumber",[]]"#);
    }

    #[test]
    fn answers_are_told_from_events() {
        assert_eq!(answered_call(b"[7,true,9]"), Some((7, true)));
        assert_eq!(answered_call(br#"[7,false,"no"]"#), Some((7, false)));
        assert_eq!(answered_call(br#"[0,{"type":"TICK"}]"#), None);
        assert_eq!(answered_call(br#"[-1,"hi",null]"#), None);
        assert_eq!(answered_call(b"[7"), None);
    }
}
