//! Answers kept for a while, so that a request that is sent again is not done again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::api::{
    answer::Answer,
    error::{ApiError, Code},
};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(600);

/// Answers kept at most, and their bytes; the oldest go first.
const MAX_ANSWERS: usize = 10_000;
const MAX_BYTES: usize = 16 << 20;

/// What an entry costs beside its texts.
const OVERHEAD: usize = 256;

/// The longest key.
const MAX_KEY: usize = 255;

/// Who sent it, and what the client calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    owner: Arc<str>,
    key: Arc<str>,
}

impl Name {
    /// Checks the text of an `Idempotency-Key` header.
    pub(crate) fn new(owner: &Arc<str>, key: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(key).ok();
        let text = text.filter(|text| {
            (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let Some(text) = text else {
            let message = format!("Idempotency-Key takes 1 to {MAX_KEY} visible ASCII characters");
            return Err(ApiError::new(Code::MalformedRequest, message));
        };
        Ok(Self {
            owner: Arc::clone(owner),
            key: text.into(),
        })
    }
}

/// What is asked for: a hash of the path and the body.
pub(crate) type Fingerprint = [u8; 32];

/// The answers that are kept.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Name, Entry>,
    /// Answered requests, the oldest first.
    answered: VecDeque<(Instant, Name)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    /// `None` while it is being worked on.
    answer: Option<Answer>,
}

/// What to do with a request.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Work on it.
    New(Ticket),
    /// It was answered before.
    Again(Answer),
}

/// A request that is being worked on. Dropped unfinished, it can be sent again.
#[derive(Debug)]
pub(crate) struct Ticket {
    answers: Arc<Answers>,
    name: Name,
}

impl Answers {
    /// Takes note of a request.
    pub(crate) fn begin(
        self: &Arc<Self>,
        name: Name,
        fingerprint: Fingerprint,
    ) -> Result<Begun, ApiError> {
        let mut state = self.0.lock();
        state.forget_old(Instant::now());
        match state.entries.get(&name) {
            Some(entry) if entry.fingerprint != fingerprint => Err(ApiError::new(
                Code::IdempotencyMismatch,
                "this Idempotency-Key was used for another request",
            )),
            Some(Entry {
                answer: Some(answer),
                ..
            }) => Ok(Begun::Again(answer.clone())),
            Some(_) => Err(ApiError::retry_after(
                Code::IdempotencyInFlight,
                "the request of this Idempotency-Key is still being worked on",
                1,
            )),
            None => {
                let entry = Entry {
                    fingerprint,
                    answer: None,
                };
                state.entries.insert(name.clone(), entry);
                let answers = Arc::clone(self);
                Ok(Begun::New(Ticket { answers, name }))
            }
        }
    }
}

impl State {
    fn forget_old(&mut self, now: Instant) {
        while let Some((at, name)) = self.answered.front() {
            let is_old = now.saturating_duration_since(*at) >= KEPT;
            if !is_old && self.answered.len() <= MAX_ANSWERS && self.bytes <= MAX_BYTES {
                break;
            }
            if let Some(Entry {
                answer: Some(answer),
                ..
            }) = self.entries.remove(name)
            {
                self.bytes -= cost(name, &answer);
            }
            self.answered.pop_front();
        }
    }
}

fn cost(name: &Name, answer: &Answer) -> usize {
    name.key.len() + answer.body.len() + OVERHEAD
}

impl Ticket {
    /// Keeps the answer.
    pub(crate) fn finish(self, answer: &Answer) {
        let now = Instant::now();
        let mut state = self.answers.0.lock();
        if let Some(entry) = state.entries.get_mut(&self.name) {
            entry.answer = Some(answer.clone());
            state.bytes += cost(&self.name, answer);
            state.answered.push_back((now, self.name.clone()));
            state.forget_old(now);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.answers.0.lock();
        if state
            .entries
            .get(&self.name)
            .is_some_and(|entry| entry.answer.is_none())
        {
            state.entries.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &str) -> Name {
        Name::new(&"owner".into(), key.as_bytes()).unwrap()
    }

    fn begin(answers: &Arc<Answers>, key: &str) -> Option<Ticket> {
        match answers.begin(name(key), [0; 32]).unwrap() {
            Begun::New(ticket) => Some(ticket),
            Begun::Again(_) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_ten_minutes() {
        let answers = Arc::new(Answers::default());
        let ticket = begin(&answers, "a").unwrap();
        assert!(answers.begin(name("a"), [0; 32]).is_err(), "in flight");
        ticket.finish(&Answer::ok(&1));
        assert!(answers.begin(name("a"), [1; 32]).is_err(), "another body");
        tokio::time::advance(KEPT - Duration::from_secs(1)).await;
        assert!(begin(&answers, "a").is_none());
        let another = Name::new(&"another".into(), b"a").unwrap();
        assert!(matches!(answers.begin(another, [1; 32]), Ok(Begun::New(_))));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(begin(&answers, "a").is_some());
        assert!(
            begin(&answers, "a").is_some(),
            "the first one came to nothing"
        );
        let state = answers.0.lock();
        assert_eq!(
            (state.entries.len(), state.answered.len(), state.bytes),
            (0, 0, 0)
        );
    }

    #[tokio::test]
    async fn the_oldest_go_when_there_are_too_many() {
        let answers = Arc::new(Answers::default());
        for index in 0..=MAX_ANSWERS {
            begin(&answers, &index.to_string())
                .unwrap()
                .finish(&Answer::ok(&1));
        }
        assert!(begin(&answers, "1").is_none());
        assert!(begin(&answers, "0").is_some());
        let large = "x".repeat(MAX_BYTES / 2);
        for key in ["large", "larger"] {
            begin(&answers, key).unwrap().finish(&Answer::ok(&large));
        }
        assert!(begin(&answers, "large").is_some());
        assert!(begin(&answers, "larger").is_none());
        assert!(answers.0.lock().bytes <= MAX_BYTES);
    }

    #[test]
    fn keys_are_short_and_visible() {
        let long = "k".repeat(MAX_KEY + 1);
        for key in ["", " ", "a b", "é", "\u{7f}", &long] {
            assert!(
                Name::new(&"owner".into(), key.as_bytes()).is_err(),
                "{key:?}"
            );
        }
        assert!(Name::new(&"owner".into(), &long.as_bytes()[1..]).is_ok());
    }
}
