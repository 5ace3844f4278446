//! Asking the client of a session that another node has: question and answer over the channels of both nodes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use polyport_core::{
    Arg, Args, Arrival, Asked, Event, EventName, Hub, Json, Millis, Sender, SessionId, SessionInfo,
    Unanswered, argument_with_binary, single_argument,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, time::timeout};

use crate::{backplane::Health, shared::Shared};

/// Questions that may wait for their answers.
const MOST: usize = 10_000;

/// What one node says to another.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    /// Tell this to your session.
    Question(Question),
    /// This came of it.
    Answer { id: u64, outcome: Outcome },
    /// The client of your session, which was lost, has come back to me.
    Moved { session: SessionId },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Question {
    /// Who wants to know, and the number of the question there.
    from: String,
    id: u64,
    session: SessionId,
    event: EventName,
    args: Vec<Json>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Answered(Vec<Json>),
    Failed(Json),
    Ended,
    NoAcks,
}

/// Questions to other nodes that wait for their answers.
#[derive(Default)]
pub(crate) struct Questions {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Outcome>>>,
    last: AtomicU64,
}

/// A question that waits. Nobody waits any more when it is dropped.
struct Waiting<'a> {
    questions: &'a Questions,
    id: u64,
}

impl Questions {
    /// Begins to wait, unless too many do.
    fn wait(&self) -> Option<(Waiting<'_>, oneshot::Receiver<Outcome>)> {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST {
            return None;
        }
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        waiting.insert(id, answer);
        let questions = self;
        Some((Waiting { questions, id }, answered))
    }

    /// Hands on an answer; whether somebody waits for it.
    fn answered(&self, id: u64, outcome: Outcome) -> bool {
        let answer = self.waiting.lock().remove(&id);
        answer.is_some_and(|answer| answer.send(outcome).is_ok())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.questions.waiting.lock().remove(&self.id);
    }
}

/// Asks the client of another node's session.
pub(crate) async fn ask(
    shared: &Shared,
    session: &SessionInfo,
    event: &Event,
    limit: Duration,
) -> Asked {
    let is_down = *shared.health.borrow() == Health::Down;
    let Some(node) = session.node.as_deref().filter(|_| !is_down) else {
        return Asked::OutOfReach;
    };
    let Some((waiting, answered)) = shared.questions.wait() else {
        return Asked::OutOfReach;
    };
    let question = Message::Question(Question {
        from: shared.node.to_string(),
        id: waiting.id,
        session: session.id,
        event: event.name.clone(),
        args: written(&event.args),
    });
    if !say(shared, node, &question) {
        return Asked::OutOfReach;
    }
    match timeout(limit, answered).await {
        Ok(Ok(Outcome::Answered(args))) => Asked::Answered(read(args)),
        Ok(Ok(Outcome::Failed(error))) => Asked::Failed(error),
        Ok(Ok(Outcome::Ended)) => Asked::Ended,
        Ok(Ok(Outcome::NoAcks)) => Asked::NoAcks,
        Ok(Err(_)) | Err(_) => Asked::NoAnswer,
    }
}

/// Takes what another node says to this one.
pub(crate) fn heard(shared: &Arc<Shared>, hub: &Hub, payload: &[u8]) -> Arrival {
    match serde_json::from_slice(payload) {
        Ok(Message::Question(question)) => {
            answer(shared, hub, question);
            Arrival::Delivered
        }
        Ok(Message::Answer { id, outcome }) => {
            if shared.questions.answered(id, outcome) {
                Arrival::Delivered
            } else {
                Arrival::Ignored
            }
        }
        Ok(Message::Moved { session }) => {
            if let Some(session) = hub.session(session) {
                session.moved_away();
            }
            Arrival::Delivered
        }
        Err(error) => {
            tracing::debug!(%error, "a message on Redis is dropped");
            Arrival::Malformed
        }
    }
}

/// Tells the node that had it that a session goes on here.
pub(crate) fn moved(shared: &Shared, node: &str, session: SessionId) -> bool {
    say(shared, node, &Message::Moved { session })
}

fn answer(shared: &Arc<Shared>, hub: &Hub, question: Question) {
    let Question { from, id, .. } = question;
    let answer = |shared: &Shared, outcome| say(shared, &from, &Message::Answer { id, outcome });
    let Some(session) = hub.session(question.session) else {
        answer(shared, Outcome::Ended);
        return;
    };
    if !session.answers_events() {
        answer(shared, Outcome::NoAcks);
        return;
    }
    let event = Event {
        name: question.event,
        args: read(question.args),
        room: None,
        from: Sender::Server,
        sent_at: Millis::now(),
        is_volatile: false,
        place: None,
    };
    let asker = from.clone();
    let weak = Arc::downgrade(shared);
    let respond = Box::new(move |answer: Result<Args, Unanswered>| {
        let outcome = match answer {
            Ok(args) => Outcome::Answered(written(&args)),
            Err(Unanswered::Error(error)) => Outcome::Failed(error),
            Err(Unanswered::Ended) => Outcome::Ended,
        };
        if let Some(shared) = weak.upgrade() {
            say(&shared, &asker, &Message::Answer { id, outcome });
        }
    });
    if session.ask(&event, respond).is_err() {
        answer(shared, Outcome::NoAcks);
    }
}

fn say(shared: &Shared, node: &str, message: &Message) -> bool {
    let payload = serde_json::to_vec(message).expect("our own types always serialize");
    shared.post(shared.private.of_node(node), payload)
}

/// Binary becomes what it is in every protocol of JSON.
fn written(args: &[Arg]) -> Vec<Json> {
    let one = |arg: &Arg| single_argument(std::slice::from_ref(arg));
    args.iter().map(one).collect()
}

fn read(args: Vec<Json>) -> Args {
    args.into_iter()
        .map(|json| argument_with_binary(json.compact()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_say_is_what_they_read() {
        let json = |text: &str| Json::parse(text).unwrap();
        for message in [
            Message::Question(Question {
                from: "node".to_owned(),
                id: 7,
                session: SessionId::random(),
                event: EventName::new("e").unwrap(),
                args: vec![json(r#"{"a":1e3}"#), json("null")],
            }),
            Message::Answer {
                id: 7,
                outcome: Outcome::Answered(vec![json("1")]),
            },
            Message::Answer {
                id: 8,
                outcome: Outcome::Ended,
            },
            Message::Moved {
                session: SessionId::random(),
            },
        ] {
            let text = serde_json::to_vec(&message).unwrap();
            let read: Message = serde_json::from_slice(&text).unwrap();
            assert_eq!(read, message);
        }
    }

    #[test]
    fn binary_arguments_arrive_as_they_were() {
        let args = Args::from_iter([
            Arg::Binary(bytes::Bytes::from_static(b"\x00\xff")),
            Arg::Json(Json::parse("[1]").unwrap()),
        ]);
        assert_eq!(read(written(&args)), args);
    }

    #[tokio::test]
    async fn an_answer_finds_its_question_once() {
        let questions = Questions::default();
        let (first, answered) = questions.wait().unwrap();
        let (second, _) = questions.wait().unwrap();
        assert!(questions.answered(first.id, Outcome::Ended));
        assert_eq!(answered.await, Ok(Outcome::Ended));
        assert!(!questions.answered(first.id, Outcome::Ended));
        let id = second.id;
        drop(second);
        assert!(!questions.answered(id, Outcome::NoAcks), "nobody waits");
    }

    #[test]
    fn only_so_many_wait() {
        let questions = Questions::default();
        let mut waiting: Vec<_> = (0..MOST).map(|_| questions.wait().unwrap()).collect();
        assert!(questions.wait().is_none());
        waiting.pop();
        assert!(questions.wait().is_some());
    }
}
