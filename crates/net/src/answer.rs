//! Getting a backend's answer to whoever waits for it.

use std::time::Duration;

use polyport_core::{Answer, CallError, Reply};
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
