//! What this node says to the other servers of a namespace, and what they answer.

mod counting;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use polyport_core::{Args, Arrival, EventName, Json, Known, RealmName};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tracing::debug;

use crate::{
    backplane::Health,
    codec::{
        Answer, MAX_MESSAGE, Numbering, Question, Request, Response, read_response, write_request,
    },
    realms,
    shared::Shared,
    typed,
};
pub(crate) use counting::Counting;

/// Questions that may wait for their answers.
const MOST: usize = 1_000;

/// Answers of one question that may wait to be taken.
const WAITING: usize = 4_096;

/// Questions to servers that wait for their answers, by their ids.
#[derive(Default)]
pub(crate) struct Questions {
    waiting: Mutex<HashMap<String, mpsc::Sender<Option<Json>>>>,
    last: AtomicU64,
}

/// A question that waits. Nobody waits any more when it is dropped.
struct Waiting<'a> {
    questions: &'a Questions,
    id: String,
}

impl Questions {
    /// Begins to wait, unless too many do.
    fn wait(&self, node: &str) -> Option<(Waiting<'_>, mpsc::Receiver<Option<Json>>)> {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST {
            return None;
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let id = format!("{node}-{number}");
        let (answer, answered) = mpsc::channel(WAITING);
        waiting.insert(id.clone(), answer);
        let questions = self;
        Some((Waiting { questions, id }, answered))
    }

    /// Hands on an answer, or that it is only to be counted.
    pub(crate) fn answered(&self, id: &str, answer: Option<Json>) -> Arrival {
        let waiting = self.waiting.lock();
        match waiting.get(id).map(|asker| asker.try_send(answer)) {
            Some(Ok(())) => Arrival::Delivered,
            Some(Err(mpsc::error::TrySendError::Full(_))) => Arrival::Overflow,
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => Arrival::Ignored,
        }
    }

    fn are_none(&self) -> bool {
        self.waiting.lock().is_empty()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.questions.waiting.lock().remove(&self.id);
    }
}

/// Says something to the other servers of a realm, and waits until all have answered, but no longer than `limit`. Nothing
/// if they are out of reach.
pub(crate) async fn ask(
    shared: &Shared,
    realm: &RealmName,
    name: EventName,
    args: Args,
    limit: Duration,
) -> Option<Known<Vec<Json>>> {
    let until = Instant::now() + limit;
    if *shared.health.borrow() == Health::Down {
        return None;
    }
    let (waiting, answered) = shared.server_questions.wait(&shared.node)?;
    let count = match timeout_at(until, others(shared, realm)).await {
        Ok(Ok(count)) => count,
        Ok(Err(error)) => {
            debug!(%error, "the other servers cannot be counted");
            return None;
        }
        Err(_) => return None,
    };
    let question = Question::ServerSide { name, args };
    let is_sent = say(shared, realm, waiting.id.clone(), question);
    if !is_sent {
        return None;
    }
    Some(collect(answered, count, until).await)
}

/// How many answers are to be expected: as many as there are who listen, without this node.
async fn others(shared: &Shared, realm: &RealmName) -> redis::RedisResult<usize> {
    let base = shared.base(realm);
    let (_, namespace) = realms::split(realm.as_str());
    let mut count = 0;
    if shared.is_classic(&base) {
        let channel = base.channels.request(namespace);
        let subscribers = shared.counting.subscribers(shared, "NUMSUB", &channel);
        count += subscribers.await?.saturating_sub(1);
    }
    if typed::is_typed(shared, &base) {
        let channel = base.channels.namespace(namespace);
        let is_sharded = !shared.streams.carry(base.realm_name());
        let question = if is_sharded { "SHARDNUMSUB" } else { "NUMSUB" };
        let subscribers = shared.counting.subscribers(shared, question, &channel);
        count += subscribers.await?.saturating_sub(1);
    }
    Ok(count)
}

fn say(shared: &Shared, realm: &RealmName, id: String, question: Question) -> bool {
    let base = shared.base(realm);
    let (_, namespace) = realms::split(realm.as_str());
    let request = Request {
        uid: Some(shared.uid.clone()),
        id: Some(id),
        numbering: Numbering::New,
        question,
    };
    let is_sent = !shared.is_classic(&base)
        || shared.post(base.channels.request(namespace), write_request(&request));
    typed::ask(shared, &base, namespace, &request) && is_sent
}

async fn collect(
    mut answered: mpsc::Receiver<Option<Json>>,
    count: usize,
    until: Instant,
) -> Known<Vec<Json>> {
    let mut answers = Vec::new();
    let (mut heard, mut bytes) = (0, 0);
    while heard < count {
        let Ok(Some(answer)) = timeout_at(until, answered.recv()).await else {
            break;
        };
        if let Some(answer) = answer {
            bytes += answer.len();
            if bytes > MAX_MESSAGE {
                break;
            }
            answers.push(answer);
        }
        heard += 1;
    }
    Known {
        value: answers,
        is_complete: heard >= count,
    }
}

/// Takes an answer on the channel that all servers of a namespace hear. Most are for others.
pub(crate) fn heard(shared: &Shared, payload: &[u8]) -> Arrival {
    if shared.server_questions.are_none() {
        return Arrival::Ignored;
    }
    match read_response(payload) {
        Ok(Response {
            id,
            answer: Answer::ServerSide(answer),
            ..
        }) => shared.server_questions.answered(&id, Some(answer)),
        // An answer to another's question need not be one that is understood here.
        Ok(_) | Err(_) => Arrival::Ignored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[tokio::test]
    async fn answers_are_collected_until_all_are_there() {
        let questions = Questions::default();
        let (waiting, answered) = questions.wait("node").unwrap();
        for answer in [Some(json("1")), None, Some(json("null"))] {
            assert_eq!(questions.answered(&waiting.id, answer), Arrival::Delivered);
        }
        assert_eq!(questions.answered("other", None), Arrival::Ignored);
        let until = Instant::now() + Duration::from_secs(60);
        let known = collect(answered, 3, until).await;
        assert_eq!(
            known,
            Known {
                value: vec![json("1"), json("null")],
                is_complete: true
            }
        );
        let id = waiting.id.clone();
        drop(waiting);
        assert!(questions.are_none());
        assert_eq!(questions.answered(&id, None), Arrival::Ignored);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_in_time_is_not_lost() {
        let questions = Questions::default();
        let (waiting, answered) = questions.wait("node").unwrap();
        questions.answered(&waiting.id, Some(json("1")));
        let until = Instant::now() + Duration::from_secs(5);
        let known = collect(answered, 2, until).await;
        assert_eq!(known.value, [json("1")]);
        assert!(!known.is_complete);
        assert_eq!(Instant::now(), until);
    }

    #[test]
    fn only_so_many_wait() {
        let questions = Questions::default();
        let mut waiting: Vec<_> = (0..MOST).map(|_| questions.wait("n").unwrap()).collect();
        assert!(questions.wait("n").is_none());
        waiting.pop();
        assert!(questions.wait("n").is_some());
    }
}
