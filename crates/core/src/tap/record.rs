//! What a tap shows of something that has happened: without secrets, cut to size, ready to be written as JSON.

use std::{borrow::Cow, slice, sync::Arc};

use serde::Serialize;

use super::{
    forms::Forms,
    redact::{REDACTED, Redaction},
    seen::{Came, Seen, Values, What},
};
use crate::{
    Arg, Args, Event, EventName, Hub, Json, Millis, RealmName, RoomName, SessionId,
    argument_with_binary, single_argument,
};

/// Arguments, a form, a raw message: so many bytes of each are shown.
const SHOWN: usize = 4 << 10;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordKind {
    /// An event was published: to the room, by the session, by a session of the listener.
    Publish,
    /// An event came from another node, or from somebody else to the session or listener.
    Deliver,
    /// A session asked for something.
    Call,
    /// It was answered.
    Answer,
    /// A session entered a room.
    Join,
    /// It left it.
    Leave,
    /// A session opened.
    Open,
    /// It ended.
    Close,
    /// Records were dropped, because there were too many or the reader is too slow.
    Dropped,
}

/// One thing that a tap shows. What does not apply is not there.
#[derive(Debug, Serialize)]
pub struct Record {
    at: Millis,
    kind: RecordKind,
    /// The listener of the session whose doing it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    /// The session whose doing it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    /// Where its connection comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<RealmName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// What is called, or answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `ok`, or why not, as in the metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// What the client hears of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// From the call to its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    /// Why a session has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// How many were dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Vec<Json>>,
    /// Of arguments that are cut: bytes of all of them. There is one argument then, the beginning of their text.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<usize>,
    /// A message as it came, where a protocol passes it on as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<String>,
    #[serde(skip_serializing_if = "Forms::is_empty")]
    forms: Forms,
}

impl Record {
    fn new(at: Millis, kind: RecordKind) -> Self {
        Self {
            at,
            kind,
            listener: None,
            protocol: None,
            session: None,
            peer: None,
            realm: None,
            room: None,
            event: None,
            name: None,
            outcome: None,
            error: None,
            seconds: None,
            reason: None,
            count: None,
            args: None,
            cut: None,
            raw: None,
            forms: Forms::default(),
        }
    }

    pub(super) fn dropped(count: u64) -> Self {
        Self {
            count: Some(count),
            ..Self::new(Millis::now(), RecordKind::Dropped)
        }
    }

    /// `forms` says in which hub to look for the protocols that write it, and whose session is watched.
    pub(super) fn of(
        seen: Seen,
        redaction: &Redaction,
        forms: Option<(&Hub, Option<SessionId>)>,
    ) -> Self {
        let Seen { at, who, what } = seen;
        let mut record = Self::new(at, RecordKind::Publish);
        if let Some(who) = who {
            record.session = Some(who.session);
            if let Some(Came {
                listener,
                protocol,
                realm,
            }) = who.came
            {
                record.listener = Some(listener);
                record.protocol = Some(protocol);
                record.realm = Some(realm);
            }
        }
        let text = |text: &str| cut(redaction.text(text).into_owned());
        match what {
            What::Event {
                is_delivery,
                realm,
                event,
                values,
                dialect,
            } => {
                if is_delivery {
                    record.kind = RecordKind::Deliver;
                }
                let values = clean(redaction, event.name.as_str(), values);
                record.realm = realm.or(record.realm);
                record.room = event.room.as_ref().map(|room| text(room.as_str()));
                record.event = Some(text(event.name.as_str()));
                // Of what is cut no protocol could write the whole.
                if let (Some((hub, watched)), Clean::Whole(args)) = (forms, &values) {
                    let event = clean_event(redaction, &event, args.clone());
                    let watched = watched.and_then(|id| hub.session(id));
                    let watched = watched.map(|session| Arc::clone(session.dialect()));
                    let own = dialect.into_iter().chain(watched);
                    record.forms = Forms::of(hub, &event, record.realm.as_ref(), own);
                }
                record.show(values);
            }
            What::Relay {
                frame,
                bytes,
                dialect,
            } => {
                let shown = redaction.text(&dialect.show(&frame)).into_owned();
                record.raw = Some(if bytes > frame.len() {
                    cut_of(shown, bytes)
                } else {
                    cut(shown)
                });
            }
            What::Call { name, values } => {
                record.kind = RecordKind::Call;
                record.show(clean(redaction, &name, values));
                record.name = Some(text(&name));
            }
            What::Answer {
                name,
                outcome,
                error,
                values,
                took,
            } => {
                record.kind = RecordKind::Answer;
                record.show(clean(redaction, &name, values));
                record.name = Some(text(&name));
                record.outcome = Some(outcome);
                record.error = error.map(|error| text(&error));
                record.seconds = Some(took.as_secs_f64());
            }
            What::Join(room) => {
                record.kind = RecordKind::Join;
                record.room = Some(text(room.as_str()));
            }
            What::Leave(room) => {
                record.kind = RecordKind::Leave;
                record.room = Some(text(room.as_str()));
            }
            What::Open(peer) => {
                record.kind = RecordKind::Open;
                record.peer = Some(peer.to_string());
            }
            What::Close(reason) => {
                record.kind = RecordKind::Close;
                record.reason = Some(reason.label());
            }
        }
        record
    }

    fn show(&mut self, values: Clean) {
        match values {
            Clean::None => {}
            Clean::Whole(args) => {
                let args: Vec<Json> = args
                    .iter()
                    .map(|arg| single_argument(slice::from_ref(arg)))
                    .collect();
                let bytes = args.iter().map(Json::len).sum::<usize>();
                if bytes <= SHOWN {
                    self.args = Some(args);
                } else {
                    let list = Json::encode(&args);
                    self.show(Clean::Cut {
                        beginning: list.as_str().to_owned(),
                        bytes: list.len(),
                    });
                }
            }
            Clean::Cut { beginning, bytes } => {
                self.args = Some(vec![Json::string(&cut_of(beginning, bytes))]);
                self.cut = Some(bytes);
            }
        }
    }
}

/// Values without secrets.
enum Clean {
    None,
    Whole(Args),
    Cut { beginning: String, bytes: usize },
}

/// What was given to, or said by, something of this name.
fn clean(redaction: &Redaction, name: &str, values: Values) -> Clean {
    let is_secret = redaction.is_secret(name);
    match values {
        Values::None => Clean::None,
        Values::List(args) if is_secret => Clean::Whole(args.iter().map(|_| redacted()).collect()),
        Values::List(args) => {
            let args = args.into_iter().map(|arg| clean_arg(redaction, arg));
            Clean::Whole(args.collect())
        }
        Values::Named(_) if is_secret => Clean::Whole(Args::from_iter([redacted()])),
        Values::Named(json) => {
            Clean::Whole(Args::from_iter([clean_arg(redaction, Arg::Json(json))]))
        }
        Values::Cut { bytes, .. } if is_secret => Clean::Cut {
            beginning: REDACTED.to_owned(),
            bytes,
        },
        Values::Cut { beginning, bytes } => Clean::Cut {
            beginning: redaction.json(&beginning).into_owned(),
            bytes,
        },
    }
}

fn redacted() -> Arg {
    Arg::Json(Json::string(REDACTED))
}

fn clean_arg(redaction: &Redaction, arg: Arg) -> Arg {
    let json = |json: &Json| match redaction.json(json.as_str()) {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(Json::parse(&text).unwrap_or_else(|_| Json::string(REDACTED))),
    };
    match &arg {
        Arg::Json(value) => json(value).map_or(arg, Arg::Json),
        Arg::Binary(bytes) => Arg::Binary(redaction.binary(bytes)),
        Arg::Mixed(mixed) => {
            let mixed = Arg::Mixed(Arc::new(mixed.map(|part| redaction.binary(part))));
            let value = single_argument(slice::from_ref(&mixed));
            json(&value).map_or(mixed, argument_with_binary)
        }
    }
}

/// The event that protocols write for whoever watches.
fn clean_event(redaction: &Redaction, event: &Event, args: Args) -> Event {
    let name = EventName::new(&redaction.text(event.name.as_str()));
    let room = event.room.as_ref().map(|room| {
        let clean = RoomName::new(&redaction.text(room.as_str()));
        clean.unwrap_or_else(|_| room.clone())
    });
    Event {
        name: name.unwrap_or_else(|_| event.name.clone()),
        args,
        room,
        ..*event
    }
}

/// At most so much of a text as is shown, with a mark where it is cut.
pub(super) fn cut(text: String) -> String {
    if text.len() <= SHOWN {
        return text;
    }
    let bytes = text.len();
    cut_of(text, bytes)
}

/// The beginning of a text of so many bytes.
fn cut_of(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(SHOWN));
    text.push_str(&format!("… [cut: {bytes} bytes]"));
    text
}
