//! Tasks that are used again: each runs one job after the other.
//!
//! A task costs an allocation that is aligned to a cache line pair, an entry in the runtime's list and a handle; for an
//! invocation that is over in microseconds this is a good part of the whole. Whoever wants to cancel a job needs a task of
//! its own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker, ready};

use tokio::runtime::Handle;

use crate::agent::BoxFuture;

/// How many tasks are kept without a job; those that a busy moment brought on top end when they are done.
const IDLE: usize = 256;

/// Something to run to its end. It does not panic: what may is caught within.
type Job = BoxFuture<'static, ()>;

/// The tasks of one runtime.
#[derive(Clone)]
pub(super) struct Lanes(Arc<Shared>);

struct Shared {
    threads: Handle,
    /// Last in, first out, so that the warmest one is next.
    idle: Mutex<Vec<Arc<Lane>>>,
}

impl Lanes {
    pub(super) fn new(threads: Handle) -> Self {
        let idle = Mutex::new(Vec::new());
        Self(Arc::new(Shared { threads, idle }))
    }

    /// Returns the runtime, for tasks that are not used again.
    pub(super) fn threads(&self) -> &Handle {
        &self.0.threads
    }

    /// Begins to run `job`.
    pub(super) fn run(&self, job: Job) {
        let idle = lock(&self.0.idle).pop();
        match idle {
            Some(lane) => lane.give(job),
            None => drop(self.0.threads.spawn(Runs {
                job: Some(job),
                lane: Arc::default(),
                lanes: self.clone(),
            })),
        }
    }

    /// Takes back a lane that has nothing to do; `false` if it is not needed.
    fn keep(&self, lane: &Arc<Lane>) -> bool {
        let mut idle = lock(&self.0.idle);
        let is_kept = idle.len() < IDLE;
        if is_kept {
            idle.push(Arc::clone(lane));
        }
        is_kept
    }
}

/// Where a task finds its next job.
#[derive(Default)]
struct Lane(Mutex<Next>);

#[derive(Default)]
struct Next {
    job: Option<Job>,
    /// The task, when it waits.
    waker: Option<Waker>,
}

impl Lane {
    fn give(&self, job: Job) {
        let mut next = lock(&self.0);
        next.job = Some(job);
        let waker = next.waker.take();
        drop(next);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The task of a lane.
struct Runs {
    job: Option<Job>,
    lane: Arc<Lane>,
    lanes: Lanes,
}

impl Future for Runs {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            if let Some(job) = &mut self.job {
                ready!(job.as_mut().poll(task));
                self.job = None;
                if !self.lanes.keep(&self.lane) {
                    return Poll::Ready(());
                }
            }
            let mut next = lock(&self.lane.0);
            let Some(job) = next.job.take() else {
                next.waker = Some(task.waker().clone());
                return Poll::Pending;
            };
            drop(next);
            self.job = Some(job);
        }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        // The end of the runtime: a job that it did not come to is lost, and says so itself.
        drop(lock(&self.lane.0).job.take());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::runtime::Builder;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_task_is_used_again_when_its_job_is_over() {
        let lanes = Lanes::new(Handle::current());
        let mut tasks = HashSet::new();
        for _ in 0..10 {
            let (tell, told) = oneshot::channel();
            lanes.run(Box::pin(async {
                // A job that has to wait keeps its task.
                tokio::task::yield_now().await;
                tell.send(tokio::task::id()).unwrap();
            }));
            tasks.insert(told.await.unwrap());
            while lock(&lanes.0.idle).is_empty() {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(tasks.len(), 1);
    }

    #[tokio::test]
    async fn jobs_never_wait_for_each_other_and_few_tasks_are_kept() {
        let lanes = Lanes::new(Handle::current());
        let mut ends = Vec::new();
        for _ in 0..IDLE + 50 {
            let (end, ended) = oneshot::channel::<()>();
            let (tell, told) = oneshot::channel::<()>();
            lanes.run(Box::pin(async {
                let _ = ended.await;
                tell.send(()).unwrap();
            }));
            ends.push((end, told));
        }
        while let Some((end, told)) = ends.pop() {
            end.send(()).unwrap();
            told.await.unwrap();
        }
        tokio::task::yield_now().await;
        assert_eq!(lock(&lanes.0.idle).len(), IDLE);
    }

    #[test]
    fn a_job_that_the_runtime_does_not_come_to_is_dropped_with_it() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let lanes = Lanes::new(runtime.handle().clone());
        lanes.run(Box::pin(async {}));
        runtime.block_on(tokio::task::yield_now());
        assert_eq!(lock(&lanes.0.idle).len(), 1);
        let kept = Arc::new(());
        let job = Arc::clone(&kept);
        lanes.run(Box::pin(async move { drop(job) }));
        assert_eq!(Arc::strong_count(&kept), 2);
        drop(runtime);
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
