//! `roomAdd` and `say` on a listener whose backends want to be asked about rooms, and `roomView` where other nodes have members
//! too.
//!
//! The lines of one session are served in their order, each when the one before has its answer, so that what is said behind
//! a `roomAdd` is said in that room, and what is said twice arrives in that order.

use std::sync::Arc;

use polyport_core::{
    Ask, CallError, Denial, JoinError, Json, LimitKind, RoomName, SessionRef, WeakSession,
};
use polyport_net::ask;

use crate::{
    listener::Shared,
    session::{Envelope, VerbsSession},
    verbs::{Outcome, Said, joined, message, reply_line, room_view},
};

impl VerbsSession {
    pub(crate) fn ask_room_add(&mut self, name: &str, envelope: &Envelope) {
        if self.auto_joined && name == self.shared.options.default_room.as_str() {
            self.auto_joined = false;
            return self.reply(Outcome::Value(Json::encode(&true)), envelope);
        }
        let room = RoomName::new(name);
        let line = Line::of(self, envelope);
        self.serve_in_order(envelope, async move {
            let outcome = match room {
                Ok(room) => line.room_add(&room).await,
                Err(_) => Some(no_such_room()),
            };
            if let (Some(outcome), Some(session)) = (outcome, line.session.upgrade()) {
                line.reply(&session, outcome);
            }
        });
    }

    pub(crate) fn ask_say(&mut self, rest: &str, envelope: &Envelope) {
        let rest = rest.to_owned();
        let line = Line::of(self, envelope);
        self.serve_in_order(envelope, async move { line.say(&rest).await });
    }

    /// Shows who is in a room on all nodes; on this one alone while the others are out of reach.
    pub(crate) fn ask_room_view(&mut self, room: RoomName, envelope: &Envelope) {
        let line = Line::of(self, envelope);
        let hub = Arc::clone(self.session.listener().hub());
        let realm = self.session.realm().name().clone();
        self.serve_in_order(envelope, async move {
            let mut members = hub.presence(&realm, &room).await.value;
            members.sort_by_key(|member| (member.joined_at, member.place));
            let members = members.iter().map(|it| (it.session, it.joined_at));
            if let Some(session) = line.session.upgrade() {
                line.reply(&session, room_view(&room, members.collect()));
            }
        });
    }

    fn serve_in_order(
        &mut self,
        envelope: &Envelope,
        job: impl Future<Output = ()> + Send + 'static,
    ) {
        let tasks = self.shared.tasks.clone();
        let unsettled = self.session.unsettle();
        let job = async move {
            job.await;
            drop(unsettled);
        };
        if self.in_order.run(&tasks, job).is_err() {
            self.session.limit_hit(LimitKind::CallsInFlight);
            let text = CallError::TooManyPending.to_string();
            self.reply(Outcome::Failed(text), envelope);
        }
    }
}

/// A line on its way. It does not keep the session: a client that leaves is let go.
struct Line {
    session: WeakSession,
    shared: Arc<Shared>,
    envelope: Envelope,
}

impl Line {
    fn of(session: &VerbsSession, envelope: &Envelope) -> Self {
        Self {
            session: session.session.downgrade(),
            shared: Arc::clone(&session.shared),
            envelope: envelope.clone(),
        }
    }

    fn reply(&self, session: &SessionRef, outcome: Outcome) {
        let line = reply_line(&self.shared.options.profile, outcome);
        session.send(self.envelope.seal(line));
    }

    /// Nothing when the client has left.
    async fn room_add(&self, room: &RoomName) -> Option<Outcome> {
        let profile = &self.shared.options.profile;
        let before = {
            let session = self.session.upgrade()?;
            if !session.is_in(room) && !session.realm().exists(room) {
                return Some(no_such_room());
            }
            session.may_join(room)
        };
        if before.is_err() {
            return Some(joined(profile, room, before));
        }
        if self.shared.backend().hooks().join
            && let Err(denial) = self.ask(Ask::Join(room.clone())).await?
        {
            return Some(Outcome::FailedWithFalse(denial.text));
        }
        let session = self.session.upgrade()?;
        let result = match session.put_into(room) {
            Err(JoinError::Ended) => return None,
            result => result,
        };
        Some(joined(profile, room, result))
    }

    async fn say(&self, rest: &str) {
        let profile = &self.shared.options.profile;
        let Some(session) = self.session.upgrade() else {
            return;
        };
        let allowed = Said::parse(rest)
            .and_then(|said| said.allowed(profile, &session).map(|room| (said, room)));
        let (said, room) = match allowed {
            Ok(allowed) => allowed,
            Err(outcome) => return self.reply(&session, outcome),
        };
        drop(session);
        if self.shared.backend().hooks().publish {
            let question = Ask::Publish {
                room: room.clone(),
                event: message(),
                args: said.args(),
            };
            let Some(answer) = self.ask(question).await else {
                return;
            };
            if let (Err(denial), Some(session)) = (answer, self.session.upgrade()) {
                return self.reply(&session, Outcome::Failed(denial.text));
            }
        }
        if let Some(session) = self.session.upgrade() {
            let hub = session.listener().hub();
            hub.turn(|| said.publish(profile, &session, &room, &self.envelope));
        }
    }

    async fn ask(&self, question: Ask) -> Option<Result<(), Denial>> {
        ask(self.shared.backend(), &self.session, question).await
    }
}

fn no_such_room() -> Outcome {
    Outcome::FailedWithFalse("room does not exist".to_owned())
}
