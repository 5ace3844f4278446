//! What scripts ask clients.

use std::sync::Arc;

use polyport_core::{Args, RealmName};

use super::queue::{Job, Queue};

/// A question to a client. When it is dropped its engine hears what came of it: that there is no answer, unless one came.
pub(crate) struct Question {
    queue: Arc<Queue>,
    engine: u32,
    number: f64,
    realm: RealmName,
    outcome: Result<Args, &'static str>,
}

impl Question {
    /// The question that the script of an engine, by its number, knows by a number. `realm` is the session's.
    pub(crate) fn new(queue: Arc<Queue>, engine: u32, number: f64, realm: RealmName) -> Self {
        Self {
            queue,
            engine,
            number,
            realm,
            outcome: Err("the client went without an answer"),
        }
    }

    /// The client has answered, or not.
    pub(crate) fn settle(mut self, answer: Option<Args>) {
        if let Some(args) = answer {
            self.outcome = Ok(args);
        }
    }

    /// It cannot be asked.
    pub(crate) fn fail(mut self, why: &'static str) {
        self.outcome = Err(why);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let answered = Job::Answered {
            engine: self.engine,
            number: self.number,
            realm: self.realm.clone(),
            outcome: std::mem::replace(&mut self.outcome, Err("")),
        };
        // After the end nobody waits for it.
        let _ = self.queue.push(answered);
    }
}
