//! Jobs of one session that wait for something, one after another.

use std::{collections::VecDeque, fmt, pin::Pin, sync::Arc};

use parking_lot::Mutex;

use crate::Tasks;

/// So many jobs of one session may wait.
const MAX_WAITING: usize = 100;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the jobs of one session in the order in which they came, each when the one before has ended. Costs one pointer
/// until the first job, and no task while there is none.
#[derive(Default)]
pub struct InOrder(Option<Arc<Mutex<Queue>>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    is_running: bool,
}

/// As many jobs wait as may; the new one was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests wait")]
pub struct TooManyJobs;

impl InOrder {
    /// Whether as many jobs wait as may: for callers that have to answer instead.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let queue = self.0.as_ref();
        queue.is_some_and(|queue| queue.lock().waiting.len() >= MAX_WAITING)
    }

    /// Runs `job` when those before it have ended. It must end by itself, within a deadline of its own.
    ///
    /// # Errors
    /// [`TooManyJobs`].
    pub fn run(
        &mut self,
        tasks: &Tasks,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), TooManyJobs> {
        let queue = self.0.get_or_insert_default();
        {
            let mut queue = queue.lock();
            if queue.waiting.len() >= MAX_WAITING {
                return Err(TooManyJobs);
            }
            queue.waiting.push_back(Box::pin(job));
            if std::mem::replace(&mut queue.is_running, true) {
                return Ok(());
            }
        }
        let queue = Arc::clone(queue);
        tasks.spawn(async move {
            loop {
                let next = {
                    let mut queue = queue.lock();
                    let next = queue.waiting.pop_front();
                    queue.is_running = next.is_some();
                    if next.is_none() {
                        queue.waiting.shrink_to_fit();
                    }
                    next
                };
                let Some(job) = next else { return };
                job.await;
            }
        });
        Ok(())
    }
}

impl fmt::Debug for InOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.0.as_ref().map(|queue| queue.lock().waiting.len());
        f.debug_tuple("InOrder").field(&waiting).finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[tokio::test]
    async fn a_later_job_waits_for_a_slow_one() {
        let tasks = Tasks::new();
        let mut jobs = InOrder::default();
        let (done, mut ends) = mpsc::channel(10);
        let (go, slow) = oneshot::channel::<()>();
        let first = done.clone();
        jobs.run(&tasks, async move {
            slow.await.unwrap();
            first.send(1).await.unwrap();
        })
        .unwrap();
        for number in [2, 3] {
            let done = done.clone();
            jobs.run(&tasks, async move { done.send(number).await.unwrap() })
                .unwrap();
        }
        assert!(ends.try_recv().is_err());
        go.send(()).unwrap();
        for number in [1, 2, 3] {
            assert_eq!(ends.recv().await, Some(number));
        }
        // Idle again, it starts anew.
        jobs.run(&tasks, async move { done.send(4).await.unwrap() })
            .unwrap();
        assert_eq!(ends.recv().await, Some(4));
        tasks.finish().await;
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let tasks = Tasks::new();
        let mut jobs = InOrder::default();
        let (go, slow) = oneshot::channel::<()>();
        jobs.run(&tasks, async move { slow.await.unwrap() })
            .unwrap();
        // Until its task has run, the first waits too.
        let mut taken = 1;
        while jobs.run(&tasks, async {}).is_ok() {
            taken += 1;
        }
        assert!((MAX_WAITING..=MAX_WAITING + 1).contains(&taken), "{taken}");
        go.send(()).unwrap();
        tasks.finish().await;
        jobs.run(&tasks, async {}).unwrap();
    }
}
