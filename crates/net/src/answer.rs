//! Getting a backend's answer to whoever waits for it.

use std::time::Duration;

use polyport_core::{Answer, Ask, Backend, CallError, Denial, Reply, WeakSession};
use tokio::time::timeout;

use crate::Tasks;

/// Does `then` with an answer: at once, or in a task of its own within `deadline` (zero is none), or on the backend's
/// thread.
pub fn respond(
    answer: Answer,
    tasks: &Tasks,
    deadline: Duration,
    then: impl FnOnce(Result<Reply, CallError>) + Send + 'static,
) {
    match answer {
        Answer::Now(answer) => then(answer),
        Answer::Told(tell) => tell(Box::new(then)),
        Answer::Later(answer) => {
            tasks.spawn(async move {
                let answer = if deadline.is_zero() {
                    answer.await
                } else {
                    timeout(deadline, answer)
                        .await
                        .unwrap_or(Err(CallError::Deadline))
                };
                then(answer);
            });
        }
    }
}

/// What `backend` says to something that a session wants to do, within the time of a call. `None` when the session has
/// ended. It is not kept alive meanwhile.
pub async fn ask(
    backend: &dyn Backend,
    session: &WeakSession,
    ask: Ask,
) -> Option<Result<(), Denial>> {
    let (asking, deadline) = {
        let session = session.upgrade()?;
        let deadline = session.listener().limits().call;
        (backend.may(&session, ask), deadline)
    };
    if deadline.is_zero() {
        return Some(asking.await);
    }
    let answer = timeout(deadline, asking).await;
    Some(answer.unwrap_or_else(|_| Err(CallError::Deadline.into())))
}
