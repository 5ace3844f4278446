//! What has happened, as it waits for a reader: as little work as can be for whoever is watched.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    Arg, Args, Call, CallArgs, CallError, CloseReason, Dialect, Event, Frame, Json, Millis, Peer,
    RealmName, Reply, RoomName, SessionId, SessionRef,
};

/// Values of more bytes are not kept, but their beginning.
const KEPT: usize = 16 << 10;

/// So much of their beginning.
const BEGINNING: usize = 4 << 10;

/// What an occurrence costs beside its values, roughly.
const OVERHEAD: usize = 256;

/// Something that has happened.
pub(super) struct Seen {
    pub(super) at: Millis,
    /// Whose doing it is, if it is a session's.
    pub(super) who: Option<Who>,
    pub(super) what: What,
}

/// A session, without keeping it.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) session: SessionId,
    /// Nothing of a session of another node.
    pub(super) came: Option<Came>,
}

/// How a session came.
#[derive(Debug, Clone)]
pub(super) struct Came {
    pub(super) listener: Box<str>,
    pub(super) protocol: &'static str,
    pub(super) realm: RealmName,
}

pub(super) enum What {
    /// An event is published, or told to somebody.
    Event {
        is_delivery: bool,
        realm: Option<RealmName>,
        event: Event,
        /// In the place of the event's arguments.
        values: Values,
        /// How the one session writes it to which it goes.
        dialect: Option<Arc<dyn Dialect>>,
    },
    /// A message of a protocol goes to its own, as a frame.
    Relay {
        frame: Frame,
        /// What is kept of it is only the beginning of so many bytes.
        bytes: usize,
        dialect: Arc<dyn Dialect>,
    },
    /// Something is asked for.
    Call { name: Box<str>, values: Values },
    /// It is answered.
    Answer {
        name: Box<str>,
        outcome: &'static str,
        error: Option<String>,
        values: Values,
        took: Duration,
    },
    /// A session is in a room now.
    Join(RoomName),
    /// It is no longer.
    Leave(RoomName),
    /// A session is open.
    Open(Peer),
    /// It has ended.
    Close(CloseReason),
}

/// Values that were given, or the beginning of their text.
#[derive(Debug, Clone)]
pub(super) enum Values {
    None,
    List(Args),
    /// By name, as an object.
    Named(Json),
    Cut {
        beginning: String,
        /// Bytes of all of it.
        bytes: usize,
    },
}

impl Seen {
    pub(super) fn now(who: Option<Who>, what: What) -> Self {
        Self {
            at: Millis::now(),
            who,
            what,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        OVERHEAD
            + match &self.what {
                What::Event { values, .. }
                | What::Call { values, .. }
                | What::Answer { values, .. } => values.bytes(),
                What::Relay { frame, .. } => frame.len(),
                What::Join(_) | What::Leave(_) | What::Open(_) | What::Close(_) => 0,
            }
    }

    pub(super) fn event(
        is_delivery: bool,
        realm: Option<&RealmName>,
        event: &Event,
        who: Option<Who>,
        dialect: Option<&Arc<dyn Dialect>>,
    ) -> Self {
        let what = What::Event {
            is_delivery,
            realm: realm.cloned(),
            values: Values::of_args(&event.args),
            event: Event {
                name: event.name.clone(),
                args: Args::new(),
                room: event.room.clone(),
                ..*event
            },
            dialect: dialect.cloned(),
        };
        Self {
            // The clock has been asked for it already.
            at: if is_delivery {
                Millis::now()
            } else {
                event.sent_at
            },
            who,
            what,
        }
    }
}

impl What {
    pub(super) fn relay(session: &SessionRef, frame: &Frame) -> Self {
        let kept = if frame.len() > KEPT {
            Frame::copy_from_slice(&frame[..BEGINNING])
        } else {
            frame.clone()
        };
        Self::Relay {
            frame: kept,
            bytes: frame.len(),
            dialect: Arc::clone(session.dialect()),
        }
    }

    /// The answer to what was refused at once.
    pub(super) fn refusal(name: Box<str>, error: &CallError) -> Self {
        Self::Answer {
            name,
            outcome: error.label(),
            error: Some(error.to_string()),
            values: Values::None,
            took: Duration::ZERO,
        }
    }

    pub(super) fn answer(
        name: Box<str>,
        answer: &Result<Reply, CallError>,
        took: Duration,
    ) -> Self {
        let (outcome, error) = match answer {
            Ok(_) => ("ok", None),
            Err(error) => (error.label(), Some(error.to_string())),
        };
        let values = match answer {
            Ok(Reply::Value(value)) => Values::of_args(&[Arg::Json(value.clone())]),
            Ok(Reply::Args(args)) => Values::of_args(args),
            Ok(Reply::Void | Reply::Nothing) => Values::None,
            Err(CallError::Thrown { error, .. }) => Values::of_args(&[Arg::Json(error.clone())]),
            Err(_) => Values::None,
        };
        Self::Answer {
            name,
            outcome,
            error,
            values,
            took,
        }
    }
}

impl Who {
    pub(super) fn of(session: &SessionRef) -> Self {
        let listener = session.listener();
        Self {
            session: session.id(),
            came: Some(Came {
                listener: listener.name().into(),
                protocol: listener.protocol(),
                realm: session.realm().name().clone(),
            }),
        }
    }
}

impl Values {
    pub(super) fn of_call(call: &Call<'_>) -> Self {
        match call.args {
            CallArgs::List(args) => Self::of_args(args),
            CallArgs::Named(params) if params.bytes() > KEPT => {
                let mut beginning = String::from("{");
                for (name, value) in params.iter() {
                    if beginning.len() >= BEGINNING {
                        break;
                    }
                    let comma = if beginning.len() > 1 { "," } else { "" };
                    beginning.push_str(comma);
                    beginning.push_str(&super::redact::quoted(name));
                    beginning.push(':');
                    push_beginning(&mut beginning, value.as_str());
                }
                Self::Cut {
                    beginning,
                    bytes: params.bytes(),
                }
            }
            CallArgs::Named(params) => Self::Named(Json::encode(params)),
        }
    }

    pub(super) fn of_args(args: &[Arg]) -> Self {
        let bytes = args.iter().map(Arg::bytes).sum::<usize>();
        if bytes <= KEPT && args.len() <= KEPT / 16 {
            return Self::List(Args::from(args));
        }
        let mut beginning = String::from("[");
        for (arg, comma) in args
            .iter()
            .zip([""].into_iter().chain(std::iter::repeat(",")))
        {
            if beginning.len() >= BEGINNING {
                break;
            }
            beginning.push_str(comma);
            match arg {
                Arg::Json(json) => push_beginning(&mut beginning, json.as_str()),
                Arg::Binary(bytes) => push_binary(&mut beginning, bytes),
                Arg::Mixed(mixed) => {
                    let mut text = String::new();
                    mixed.write(&mut text, push_binary);
                    push_beginning(&mut beginning, &text);
                }
            }
        }
        Self::Cut { beginning, bytes }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::None => 0,
            Self::List(args) => {
                args.iter().map(Arg::bytes).sum::<usize>() + size_of_val::<[Arg]>(args)
            }
            Self::Named(json) => json.len(),
            Self::Cut { beginning, .. } => beginning.len(),
        }
    }
}

fn push_beginning(into: &mut String, text: &str) {
    let room = BEGINNING.saturating_sub(into.len());
    into.push_str(&text[..text.floor_char_boundary(room)]);
}

/// Only how much it is: a part of it in base64 could not be looked into for secrets.
fn push_binary(into: &mut String, bytes: &Bytes) {
    let _ = write!(into, r#"{{"base64":true,"bytes":{}}}"#, bytes.len());
}
