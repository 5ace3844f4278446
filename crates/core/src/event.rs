//! What is pushed to sessions.

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use smallvec::SmallVec;

use crate::{EventName, Json, RoomName, SessionId};

/// Milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The time now.
    #[must_use]
    pub fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The place of an event in the history of its realm, where there is one that all nodes share: later events have later
/// places. Written as `MILLISECONDS-NUMBER`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// When it was put there, in milliseconds since the Unix epoch.
    pub millis: u64,
    /// Its number among those of one millisecond.
    pub number: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// The text is no place in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no place in a history: expected MILLISECONDS-NUMBER")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let number = |digits: &str| {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_number).ok_or(NoPlace)
        };
        let (millis, rest) = text.split_once('-').ok_or(NoPlace)?;
        Ok(Self {
            millis: number(millis)?,
            number: number(rest)?,
        })
    }
}

/// One argument of an event or a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// A JSON value, kept as text.
    Json(Json),
    /// Binary, for protocols that carry it.
    Binary(Bytes),
    /// A JSON value that has binary somewhere inside it.
    Mixed(Arc<Mixed>),
}

impl Arg {
    /// How many bytes it holds: of text, and of binary as it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Json(json) => json.as_str().len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Mixed(mixed) => {
                let texts = mixed.texts.iter().map(|text| text.len()).sum::<usize>();
                texts + mixed.parts.iter().map(Bytes::len).sum::<usize>()
            }
        }
    }
}

/// Arguments in order; nearly always one.
pub type Args = SmallVec<[Arg; 1]>;

/// The text of a JSON value with gaps, and what binary belongs into each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mixed {
    /// One more than there are parts.
    texts: Vec<Box<str>>,
    parts: Vec<Bytes>,
}

/// Texts and parts that are no value with gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON value with binary inside")]
pub struct NotMixed;

impl Mixed {
    /// The first text, the first part, the second text and so on to the last text.
    ///
    /// # Errors
    /// [`NotMixed`] when there is not one text more than parts, or the texts with `null` in each gap are no JSON value.
    pub fn new(texts: Vec<Box<str>>, parts: Vec<Bytes>) -> Result<Self, NotMixed> {
        let is_good = texts.len() == parts.len() + 1 && Json::parse(&texts.join("null")).is_ok();
        is_good.then_some(Self { texts, parts }).ok_or(NotMixed)
    }

    /// What belongs into the gaps, in order.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The same value with other binary in its gaps.
    pub(crate) fn map(&self, part: impl FnMut(&Bytes) -> Bytes) -> Self {
        Self {
            texts: self.texts.clone(),
            parts: self.parts.iter().map(part).collect(),
        }
    }

    /// Appends the text, with what `part` appends in each gap.
    pub fn write(&self, into: &mut String, mut part: impl FnMut(&mut String, &Bytes)) {
        let mut texts = self.texts.iter();
        into.extend(texts.next().map(|text| &**text));
        for (bytes, text) in self.parts.iter().zip(texts) {
            part(into, bytes);
            into.push_str(text);
        }
    }
}

/// Who published an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client.
    Session(SessionId),
    /// The gateway itself or a backend.
    Server,
}

/// Something pushed to sessions. Each [`crate::Dialect`] writes it in its protocol's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub name: EventName,
    /// Its arguments.
    pub args: Args,
    /// The room it was published to, if to a room.
    pub room: Option<RoomName>,
    /// Who published it.
    pub from: Sender,
    /// When it was published.
    pub sent_at: Millis,
    /// Only those get it whose connections can take it at once: it is worth nothing later.
    pub is_volatile: bool,
    /// Where it stands in the history that all nodes share, if there is one and it has been put there.
    pub place: Option<Place>,
}

/// Arguments as the one JSON value that protocols with a single argument carry: none is `null`, one is itself, several
/// are the list of them; binary is `{"base64":true,"data":"…"}`.
#[must_use]
pub fn single_argument(args: &[Arg]) -> Json {
    match args {
        [] => Json::NULL,
        [Arg::Json(only)] => only.clone(),
        [Arg::Binary(bytes)] => binary_as_json(bytes),
        [Arg::Mixed(mixed)] => {
            let mut text = String::new();
            mixed.write(&mut text, |text, bytes| {
                text.push_str(binary_as_json(bytes).as_str());
            });
            Json::parse(&text).expect("its constructor has checked the texts")
        }
        several => {
            let list: Vec<Json> = several
                .iter()
                .map(|arg| single_argument(std::slice::from_ref(arg)))
                .collect();
            Json::encode(&list)
        }
    }
}

/// The first argument as JSON, `null` if there is none: for protocols whose answers are one value.
#[must_use]
pub fn first_argument(args: &[Arg]) -> Json {
    single_argument(&args[..args.len().min(1)])
}

/// The inverse for one argument of a text without white space between its parts: what stands there as
/// `{"base64":true,"data":"…"}` becomes binary, unless its data is no base64.
#[must_use]
pub fn argument_with_binary(json: Json) -> Arg {
    // In a string its quotes would be escaped: where this stands it is the beginning of an object.
    const BEGINNING: &str = r#"{"base64":true,"data":""#;
    if !json.as_str().contains(BEGINNING) {
        return Arg::Json(json);
    }
    let mut pieces = json.as_str().split(BEGINNING);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    let (mut texts, mut parts) = (Vec::new(), Vec::new());
    for piece in pieces {
        let decoded = piece.split_once("\"}").and_then(|(data, behind)| {
            let bytes = base64::Engine::decode(&STANDARD, data).ok()?;
            Some((bytes, behind.to_owned()))
        });
        if let Some((bytes, behind)) = decoded {
            parts.push(Bytes::from(bytes));
            texts.push(std::mem::replace(&mut text, behind));
        } else {
            text.push_str(BEGINNING);
            text.push_str(piece);
        }
    }
    if parts.is_empty() {
        return Arg::Json(json);
    }
    texts.push(text);
    if parts.len() == 1 && texts.iter().all(String::is_empty) {
        return Arg::Binary(parts.swap_remove(0));
    }
    let texts = texts.into_iter().map(String::into_boxed_str).collect();
    Mixed::new(texts, parts).map_or(Arg::Json(json), |mixed| Arg::Mixed(Arc::new(mixed)))
}

fn binary_as_json(bytes: &[u8]) -> Json {
    #[derive(serde::Serialize)]
    struct Binary {
        base64: bool,
        data: String,
    }
    Json::encode(&Binary {
        base64: true,
        data: base64::Engine::encode(&STANDARD, bytes),
    })
}

impl Event {
    /// An event of one JSON argument, sent by the server now and not yet addressed to a room.
    #[must_use]
    pub fn new(name: EventName, data: Json) -> Self {
        Self {
            name,
            args: SmallVec::from_buf([Arg::Json(data)]),
            room: None,
            from: Sender::Server,
            sent_at: Millis::now(),
            is_volatile: false,
            place: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_arguments_become_a_list_and_binary_an_object() {
        let json = |text| Arg::Json(Json::parse(text).unwrap());
        let binary = Arg::Binary(Bytes::from_static(b"\x00\xff"));
        assert_eq!(single_argument(&[]).as_str(), "null");
        assert_eq!(single_argument(&[json("1e3")]).as_str(), "1e3");
        assert_eq!(
            single_argument(&[json("{}"), binary]).as_str(),
            r#"[{},{"base64":true,"data":"AP8="}]"#
        );
    }

    #[test]
    fn places_are_written_and_read() {
        let place = |millis, number| Place { millis, number };
        assert_eq!("1795181665506-0".parse(), Ok(place(1_795_181_665_506, 0)));
        assert_eq!(place(7, 12).to_string(), "7-12");
        assert!(place(7, 12) < place(8, 0));
        for text in ["", "1", "-", "1-", "-1", "+1-0", "1-0-0", "a-0", "1- 0"] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }

    #[test]
    fn binary_is_found_where_it_stands() {
        #[track_caller]
        fn check(text: &str, parts: usize) {
            let json = Json::parse(text).unwrap();
            let arg = argument_with_binary(json.clone());
            let found = match &arg {
                Arg::Json(_) => 0,
                Arg::Binary(_) => 1,
                Arg::Mixed(mixed) => mixed.parts().len(),
            };
            assert_eq!(found, parts, "{text}");
            assert_eq!(single_argument(&[arg]), json);
        }
        check(r#"{"base64":true,"data":"AP8="}"#, 1);
        check(
            r#"[{"base64":true,"data":""},{"a":{"base64":true,"data":"AP8="}}]"#,
            2,
        );
        check(r#"{"base64":true,"data":"AP8"}"#, 0);
        check(
            r#"[{"base64":true,"data":"?"},{"base64":true,"data":"AA=="}]"#,
            1,
        );
        check(r#"{"base64":true,"data":"AP8=","more":1}"#, 0);
        check(r#"{"base64":true,"data":"}"}"#, 0);
        check(r#"{"base64":false,"data":"AP8="}"#, 0);
        check(r#""{\"base64\":true,\"data\":\"AP8=\"}""#, 0);
        check("1e3", 0);
    }

    #[test]
    fn of_an_answer_in_one_value_the_first_argument_is_left() {
        let json = |text| Arg::Json(Json::parse(text).unwrap());
        assert_eq!(first_argument(&[]).as_str(), "null");
        assert_eq!(first_argument(&[json("1e3"), json("2")]).as_str(), "1e3");
        let binary = Arg::Binary(Bytes::from_static(b"\x00"));
        let expected = r#"{"base64":true,"data":"AA=="}"#;
        assert_eq!(first_argument(&[binary, json("2")]).as_str(), expected);
    }

    #[test]
    fn binary_inside_a_value_keeps_its_place() {
        let part = |byte: &'static [u8]| Bytes::from_static(byte);
        let texts = ["{\"a\":[", ",1,", "]}"].map(Box::from).to_vec();
        let mixed = Mixed::new(texts.clone(), vec![part(b"\x00\xff"), part(b"")]).unwrap();
        assert_eq!(
            single_argument(&[Arg::Mixed(Arc::new(mixed))]).as_str(),
            r#"{"a":[{"base64":true,"data":"AP8="},1,{"base64":true,"data":""}]}"#
        );
        assert_eq!(Mixed::new(texts, vec![part(b"")]), Err(NotMixed));
        let no_value = vec![Box::from("["), Box::from("")];
        assert_eq!(Mixed::new(no_value, vec![part(b"")]), Err(NotMixed));
    }
}
