//! What scripts ask clients.

use std::sync::Arc;

use polyport_core::{Args, Json, RealmName, Unanswered};

use super::queue::{Job, Queue};

/// Why a question has no answer.
pub(crate) enum NoAnswer {
    Text(&'static str),
    /// The client's own error, or its protocol's.
    Error(Json),
}

const SILENCE: NoAnswer = NoAnswer::Text("the client went without an answer");

/// A question to a client. When it is dropped its engine hears what came of it: that there is no answer, unless one came.
pub(crate) struct Question {
    queue: Arc<Queue>,
    engine: u32,
    number: f64,
    realm: RealmName,
    outcome: Result<Args, NoAnswer>,
}

impl Question {
    /// The question that the script of an engine, by its number, knows by a number. `realm` is the session's.
    pub(crate) fn new(queue: Arc<Queue>, engine: u32, number: f64, realm: RealmName) -> Self {
        Self {
            queue,
            engine,
            number,
            realm,
            outcome: Err(SILENCE),
        }
    }

    /// The client has answered, or not.
    pub(crate) fn settle(mut self, answer: Result<Args, Unanswered>) {
        self.outcome = answer.map_err(|unanswered| match unanswered {
            Unanswered::Ended => SILENCE,
            Unanswered::Error(error) => NoAnswer::Error(error),
        });
    }

    /// It cannot be asked.
    pub(crate) fn fail(mut self, why: &'static str) {
        self.outcome = Err(NoAnswer::Text(why));
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let answered = Job::Answered {
            engine: self.engine,
            number: self.number,
            realm: self.realm.clone(),
            outcome: std::mem::replace(&mut self.outcome, Err(SILENCE)),
        };
        // After the end nobody waits for it.
        let _ = self.queue.push(answered);
    }
}
