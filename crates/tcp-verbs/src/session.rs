//! What a line means: one connection's state.

use std::sync::Arc;

use polyport_core::{
    ActionInfo, Call, CallArgs, CallError, CloseReason, Frame, Guest, JoinError, Json, LimitKind,
    Opening, Params, Reply, Session, SessionEnd, Visit, Wire, first_argument,
};
use polyport_net::{
    Handler, InOrder,
    lines::{Line, LineReader},
    respond,
};
use uuid::Uuid;

use crate::{
    ErrorPrefix, FileError, MessageCount, MessageId, Profile, Scrub,
    codec::{self, JsonRequest, LineWriter, Request, Verb},
    listener::Shared,
};

/// The text of an error that several places give.
pub(crate) const TOO_MANY_PARAMS: &str = "too many params";

/// One connection.
pub(crate) struct VerbsSession {
    pub(crate) session: Session,
    visit: Option<Box<Visit>>,
    pub(crate) shared: Arc<Shared>,
    lines: LineReader,
    /// Lines read, as `messageCount` has them.
    count: u64,
    /// Actions asked for, also refused and unknown ones.
    pub(crate) total_actions: u64,
    /// The id of the last line, which an over-long line's error repeats.
    last_id: Option<Json>,
    /// It was put into the default room at open, and has not asked for it itself yet.
    pub(crate) auto_joined: bool,
    /// Lines about which backends are asked.
    pub(crate) in_order: InOrder,
}

/// How the reply to one line ends: fixed when the line is read, whenever the reply comes.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    count: Option<u64>,
    id: Option<Json>,
}

impl Envelope {
    pub(crate) fn seal(&self, line: LineWriter) -> Frame {
        let line = match self.count {
            Some(count) => line.number("messageCount", count),
            None => line,
        };
        let line = match &self.id {
            Some(id) => line.raw("messageId", id.as_str()),
            None => line,
        };
        line.finish()
    }
}

impl VerbsSession {
    pub(crate) fn open(opening: Opening, shared: Arc<Shared>, guest: Guest) -> Self {
        let session = Session::open_greeting(opening, Some(shared.welcome.clone()));
        let auto_joined = shared.options.auto_join
            && matches!(
                session.put_into(&shared.options.default_room),
                Ok(()) | Err(JoinError::AlreadyIn)
            );
        Self {
            visit: guest.enter(&session),
            session,
            lines: LineReader::new(shared.options.delimiter),
            shared,
            count: 0,
            total_actions: 0,
            last_id: None,
            auto_joined,
            in_order: InOrder::default(),
        }
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.shared.options.profile
    }

    fn on_line(&mut self, line: &[u8]) {
        self.session.listener().metrics().received_messages.inc();
        let mut text = codec::decode_line(line);
        if self.shared.options.delimiter != b'\n' && text.contains('\r') {
            // The original turns every CR into LF before it looks for the delimiter.
            text = text.replace('\r', "\n").into();
        }
        let max_params = self.session.listener().limits().params_per_session;
        match codec::parse(&text, self.profile().param_aliases, max_params) {
            Request::Verb(Verb::RoomAdd, Some(rest))
                if !self.shared.asks_about_rooms() && self.bare_room_add(rest) => {}
            Request::Verb(verb, rest) => {
                let envelope = self.begin();
                self.run_verb(verb, rest, &envelope);
            }
            Request::File(name) => {
                let envelope = self.begin();
                self.send_file(name, &envelope);
            }
            Request::Action(name) => {
                let envelope = self.begin();
                self.keep_param("action", Json::string(name));
                self.run_action(name, envelope);
            }
            Request::Json(request) => self.on_json(request),
            Request::Nothing => {
                let envelope = self.begin();
                self.run_action("", envelope);
            }
        }
    }

    fn on_json(&mut self, request: JsonRequest) {
        let mut envelope = self.begin();
        let replaces_params = request.params.is_some();
        if let Some(params) = request.params {
            if params.is_err() {
                self.session.limit_hit(LimitKind::Params);
            }
            let kept = params.and_then(|params| self.session.replace_params(params));
            if kept.is_err() {
                self.total_actions += 1;
                let error = CallError::Rejected(TOO_MANY_PARAMS.to_owned());
                self.reply_to_action(&Err(error), &envelope);
                return;
            }
            // The new params' own id wins; without one the old one still numbers this reply.
            if let Some(id) = self.sticky_id() {
                envelope.id = Some(id);
                self.last_id.clone_from(&envelope.id);
            }
        }
        let action = match request.action {
            Some(action) => {
                self.keep_param("action", action.clone());
                Some(action)
            }
            // `{}` would run the last action again, which nobody means.
            None if !replaces_params => None,
            None => self
                .session
                .with_params(|params| params.get("action").cloned()),
        };
        let name = match action {
            Some(action) if action.is_string() => codec::text_of(action.as_str()),
            Some(other) => other.as_str().to_owned(),
            None => String::new(),
        };
        self.run_action(&name, envelope);
    }

    /// Counts a line and fixes how its reply ends.
    pub(crate) fn begin(&mut self) -> Envelope {
        self.count += 1;
        let envelope = Envelope {
            count: self.number(),
            id: self.id(),
        };
        self.last_id.clone_from(&envelope.id);
        envelope
    }

    fn number(&self) -> Option<u64> {
        match self.profile().message_count {
            MessageCount::Always => Some(self.count),
            MessageCount::Never => None,
        }
    }

    fn id(&self) -> Option<Json> {
        match self.profile().message_id {
            MessageId::Never => None,
            MessageId::IfSet => self.sticky_id(),
            MessageId::Always => self
                .sticky_id()
                .or_else(|| Some(Json::string(&Uuid::new_v4().to_string()))),
        }
    }

    fn sticky_id(&self) -> Option<Json> {
        if self.profile().message_id == MessageId::Never {
            return None;
        }
        self.session
            .with_params(|params| params.get("messageId").cloned())
    }

    fn run_action(&mut self, name: &str, envelope: Envelope) {
        self.total_actions += 1;
        self.add_version(name);
        let mut ticket = match self.session.begin_permitted_call(name) {
            Ok(ticket) => ticket,
            Err(error) => {
                self.lend_params(|params| self.session.call_refused(&call(name, params), &error));
                self.reply_to_action(&Err(error), &envelope);
                return;
            }
        };
        self.scrub(name);
        let backend = self.shared.backend();
        let answer =
            self.lend_params(|params| ticket.ask(&self.session, backend, call(name, params)));
        let deadline = self.session.listener().limits().call;
        let shared = Arc::clone(&self.shared);
        // It holds no handle of the session: a client that leaves is let go, its answer is dropped.
        respond(answer, &self.shared.tasks, deadline, move |answer| {
            let unsent = ticket.answer(&answer);
            let line = answer_line(&shared.options.profile, &answer, &envelope);
            if let (Some(frame), Some(session)) = (line, unsent.session()) {
                session.send(frame);
            }
        });
    }

    /// Only this connection's task changes the params, so they can be lent out instead of copied.
    fn lend_params<R>(&self, work: impl FnOnce(&Params) -> R) -> R {
        let params = self.session.with_params(std::mem::take);
        let result = work(&params);
        self.session.with_params(|empty| *empty = params);
        result
    }

    /// Keeps what a line named for later lines. When there is no room for it (which is counted), this line is served all
    /// the same.
    fn keep_param(&self, name: &str, value: Json) {
        let kept = self.session.set_param(name, value);
        tracing::trace!(session = %self.session.id(), name, ?kept, "param from a line");
    }

    fn reply_to_action(&self, answer: &Result<Reply, CallError>, envelope: &Envelope) {
        if let Some(frame) = answer_line(self.profile(), answer, envelope) {
            self.session.send(frame);
        }
    }

    /// Up to v17 asking for an action adds its version to the sticky params, also when it is then refused.
    fn add_version(&self, name: &str) {
        if self.profile().sticky_scrub == Scrub::None {
            return;
        }
        let Some(action) = self.newest(name) else {
            return;
        };
        self.session.with_params(|params| {
            if params.get("apiVersion").is_none() {
                params.set("apiVersion", Json::encode(&action.version));
            }
        });
    }

    /// Up to v17 running an action edits the sticky params: what no action knows goes; from v11 on also what this action
    /// does not, and what it made of its inputs is kept.
    fn scrub(&self, name: &str) {
        let scrub = self.profile().sticky_scrub;
        if scrub == Scrub::None {
            return;
        }
        let Some(action) = self.newest(name) else {
            return;
        };
        let is_input = |key: &str| action.inputs.iter().any(|input| input.name == key);
        self.session.with_params(|params| {
            let unwanted: Vec<String> = params
                .iter()
                .map(|(key, _)| key)
                .filter(|key| match scrub {
                    Scrub::Undeclared => !is_safe(key) && !is_input(key),
                    _ => !self.shared.allows(key),
                })
                .map(str::to_owned)
                .collect();
            for key in unwanted {
                params.remove(&key);
            }
            if scrub == Scrub::Undeclared {
                for (key, value) in self.shared.backend().inputs(&call(name, params)) {
                    params.set(&key, value);
                }
            }
        });
    }

    fn newest(&self, name: &str) -> Option<ActionInfo> {
        let actions = self.shared.backend().describe();
        let of_that_name = actions.iter().filter(|action| action.name == name);
        of_that_name.max_by_key(|action| action.version).cloned()
    }

    fn send_file(&self, name: Option<&str>, envelope: &Envelope) {
        if let Some(name) = name {
            self.keep_param("file", Json::string(name));
        }
        let wanted = match name {
            Some(name) => Some(name.to_owned()),
            None => self.session.with_params(|params| {
                let file = params.get("file")?;
                file.decode::<String>().ok()
            }),
        };
        let file = wanted.and_then(|name| self.shared.options.folders.find(&name));
        match file {
            Some(file) => self.session.send_source(Box::new(file)),
            None => self.session.send(self.file_not_found(envelope)),
        }
    }

    fn file_not_found(&self, envelope: &Envelope) -> Frame {
        let text = self.profile().file_not_found;
        match self.profile().file_error {
            FileError::Object => envelope.seal(
                LineWriter::new(128)
                    .string("error", text)
                    .raw("context", "\"response\""),
            ),
            FileError::String => Frame::from(format!("{}\r\n", Json::string(text).as_str())),
        }
    }

    /// The original counts an over-long line wrongly, and its clients time out from then on; it is counted here.
    fn too_long(&mut self, length: usize, limit: usize) {
        self.session.limit_hit(LimitKind::Message);
        self.session.listener().metrics().invalid_messages.inc();
        self.count += 1;
        let envelope = Envelope {
            count: self.number(),
            id: self.last_id.clone(),
        };
        let error = if self.profile().short_length_error {
            "DATA_LENGTH_TOO_LONG".to_owned()
        } else {
            // The two numbers are in this order whatever the words say.
            format!("data length is too big ({limit} received/{length} max)")
        };
        let line = LineWriter::new(160)
            .string("status", "error")
            .string("error", &error)
            .raw("context", "\"response\"");
        self.session.send(envelope.seal(line));
    }

    fn max_line(&self) -> usize {
        let limit = self.session.listener().limits().message;
        match self.shared.options.max_data_length {
            0 => limit,
            own => own.min(limit),
        }
    }
}

impl Handler for VerbsSession {
    fn wire(&self) -> &Arc<Wire> {
        self.session.wire()
    }

    fn leave(&mut self) {
        self.session.leave_all();
    }

    fn is_calling(&self) -> bool {
        self.session.calls_in_flight() > 0
    }

    fn may_end(&self) -> bool {
        self.session.is_settled()
    }

    fn on_bytes(&mut self, input: &mut [u8]) -> usize {
        if codec::is_break(input) {
            self.session.close(CloseReason::ClientLeft);
            return input.len();
        }
        let limit = self.max_line();
        let mut used = 0;
        while let Some(rest) = input.get(used..) {
            match self.lines.next(rest, limit) {
                Line::Incomplete => break,
                Line::Skipped { consumed } => used += consumed,
                Line::TooLong { consumed, length } => {
                    used += consumed;
                    self.too_long(length, limit);
                }
                Line::Complete { length } => {
                    used += length + 1;
                    if length > 0 {
                        self.on_line(&rest[..length]);
                        if self.session.outbox().closing().is_some() {
                            return input.len();
                        }
                        if self.session.is_turn_over() {
                            break;
                        }
                    }
                }
            }
        }
        used
    }

    fn on_close(&mut self, reason: CloseReason) {
        if let Some(visit) = &mut self.visit {
            visit.ends(SessionEnd::CLOSED);
        }
        let line = LineWriter::new(64);
        let line = match reason {
            CloseReason::OutboxFull => line.string("error", "connection reads too slowly"),
            CloseReason::IdentityExpired => line.string("error", "token expired"),
            _ => line.string("status", &self.profile().goodbye),
        };
        self.session
            .send_last(line.raw("context", "\"api\"").finish());
    }
}

fn call<'a>(name: &'a str, params: &'a Params) -> Call<'a> {
    Call {
        action: name,
        version: params.get("apiVersion"),
        args: CallArgs::Named(params),
    }
}

/// Params that every action may have.
fn is_safe(key: &str) -> bool {
    matches!(key, "file" | "apiVersion" | "callback" | "action")
}

/// The reply to an action; `None` when the action chose not to answer.
fn answer_line(
    profile: &Profile,
    answer: &Result<Reply, CallError>,
    envelope: &Envelope,
) -> Option<Frame> {
    let line = match answer {
        Ok(Reply::Value(value)) => LineWriter::from_object(value, 64),
        Ok(Reply::Args(args)) => LineWriter::from_object(&first_argument(args), 64),
        Ok(Reply::Void) => LineWriter::from_object(&Json::NULL, 64),
        Ok(Reply::Nothing) => return None,
        Err(error) => {
            let prefixed = match profile.error_prefix {
                ErrorPrefix::None => false,
                ErrorPrefix::MissingParam => matches!(error, CallError::MissingParam(_)),
                ErrorPrefix::All => true,
            };
            let prefix = if prefixed { "Error: " } else { "" };
            LineWriter::new(128).string("error", &format!("{prefix}{error}"))
        }
    };
    Some(envelope.seal(line.raw("context", "\"response\"")))
}

#[cfg(test)]
pub(crate) mod tests;
