//! Binary in the JSON that crosses between the program and JavaScript. Each piece is a string there: a mark, and the bytes in
//! base64. Nobody outside knows the mark, so no client can write such a string.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use polyport_core::{Arg, Args, Json, Mixed};
use serde_json::value::RawValue;

/// A list of arguments on its way to JavaScript.
#[derive(Debug, Default)]
pub(crate) struct ListText {
    pub(crate) text: String,
    pub(crate) has_binary: bool,
}

/// JavaScript's text is none that arguments can be read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("binary stands inside of a text that the script has made of it")]
pub(crate) struct MarkError;

/// The mark, with the quote that it follows in JSON.
#[derive(Debug)]
pub(crate) struct Mark(String);

impl Mark {
    pub(crate) fn random() -> Self {
        let secret: u128 = rand::random();
        Self(format!("\"{secret:032x}:"))
    }

    /// The mark as JavaScript has it, without the quote.
    pub(crate) fn as_str(&self) -> &str {
        &self.0[1..]
    }

    /// Whether there may be binary in a text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        text.contains(&self.0)
    }

    /// Writes a list of arguments.
    pub(crate) fn write(&self, args: &[Arg]) -> ListText {
        let mut list = ListText {
            text: String::from("["),
            has_binary: false,
        };
        for (position, arg) in args.iter().enumerate() {
            if position > 0 {
                list.text.push(',');
            }
            match arg {
                Arg::Json(json) => list.text.push_str(json.as_str()),
                Arg::Binary(bytes) => self.write_piece(&mut list.text, bytes),
                Arg::Mixed(mixed) => {
                    mixed.write(&mut list.text, |text, bytes| self.write_piece(text, bytes));
                }
            }
            list.has_binary |= !matches!(arg, Arg::Json(_));
        }
        list.text.push(']');
        list
    }

    fn write_piece(&self, text: &mut String, bytes: &[u8]) {
        text.push_str(&self.0);
        STANDARD.encode_string(bytes, text);
        text.push('"');
    }

    /// Reads a list of arguments.
    pub(crate) fn read(&self, list: &str) -> Result<Args, MarkError> {
        let elements: Vec<&RawValue> = serde_json::from_str(list).map_err(|_| MarkError)?;
        elements.iter().map(|it| self.read_one(it.get())).collect()
    }

    /// Reads one argument.
    pub(crate) fn read_one(&self, text: &str) -> Result<Arg, MarkError> {
        let mut pieces = text.split(&self.0);
        let mut texts: Vec<Box<str>> = pieces.next().into_iter().map(Box::from).collect();
        let mut parts = Vec::new();
        for piece in pieces {
            let (bytes, behind) = piece.split_once('"').ok_or(MarkError)?;
            parts.push(Bytes::from(STANDARD.decode(bytes).map_err(|_| MarkError)?));
            texts.push(Box::from(behind));
        }
        if parts.is_empty() {
            return Json::parse(text).map(Arg::Json).map_err(|_| MarkError);
        }
        if parts.len() == 1 && texts.iter().all(|text| text.is_empty()) {
            return Ok(Arg::Binary(parts.swap_remove(0)));
        }
        let mixed = Mixed::new(texts, parts).map_err(|_| MarkError)?;
        Ok(Arg::Mixed(Arc::new(mixed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Arg {
        Arg::Json(Json::parse(text).unwrap())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mark = Mark::random();
        let piece = |bytes: &'static [u8]| Bytes::from_static(bytes);
        let texts = ["{\"a\":[", ",\"x\",", "]}"].map(Box::from).to_vec();
        let mixed = Mixed::new(texts, vec![piece(b"\x00\xff"), piece(b"")]).unwrap();
        let args = Args::from_vec(vec![
            json(r#"{"base64":true,"data":"AP8="}"#),
            Arg::Binary(piece(b"\xfb\xff")),
            Arg::Mixed(Arc::new(mixed)),
        ]);
        let list = mark.write(&args);
        assert!(list.has_binary && mark.is_in(&list.text));
        assert_eq!(mark.read(&list.text), Ok(args));
    }

    #[test]
    fn plain_json_passes_as_it_stands() {
        let mark = Mark::random();
        let list = mark.write(&[json("1e3"), json(r#""\u00e9""#)]);
        assert_eq!(list.text, r#"[1e3,"\u00e9"]"#);
        assert!(!list.has_binary);
        assert_eq!(mark.write(&[]).text, "[]");
    }

    #[test]
    fn a_mark_at_a_wrong_place_is_an_error() {
        let mark = Mark::random();
        let secret = mark.as_str();
        for text in [
            format!(r#"["{{\"a\":\"{secret}AA==\"}}"]"#),
            format!(r#"["{secret}AA="]"#),
            format!(r#"["{secret}no base64"]"#),
            format!(r#"["{secret}AA=="#),
        ] {
            assert_eq!(mark.read(&text), Err(MarkError), "{text}");
        }
    }
}
