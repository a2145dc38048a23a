//! What a call keeps as long as its worker may be at work on it: its place in the server, and one among the worker's calls.
//!
//! Callers leave, and limits are reached, while a handler goes on; whether it ever ends is watched here. One that does not
//! takes its worker with it, because nothing else ends a loop in somebody else's process.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agentcore_runtime::{Hold, Invocation};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{NotTaken, Worker};

/// How long a call may go on that has run into its limit.
const OVERTIME: Duration = Duration::from_secs(5);

/// How long a stream may take to end whose caller has left: its generator may be in the middle of something.
const FAREWELL: Duration = Duration::from_mins(15);

/// One call that a worker has, or may have.
#[derive(Debug)]
pub(super) struct Ticket {
    worker: Arc<Worker>,
    /// When the caller is answered without the worker.
    deadline: Option<Instant>,
    _hold: Hold,
    _counted: TaskTrackerToken,
}

impl Ticket {
    /// A ticket for a call to `worker`, unless that takes no more calls.
    pub(super) fn new(
        worker: &Arc<Worker>,
        deadline: Option<Instant>,
        hold: Hold,
    ) -> Result<Self, NotTaken> {
        let counted = worker.calls.token();
        // After it is counted: who retires the worker waits for it, or has done so before, and is seen here.
        if worker.is_retired() {
            return Err(NotTaken::Gone);
        }
        Ok(Self {
            worker: Arc::clone(worker),
            deadline,
            _hold: hold,
            _counted: counted,
        })
    }

    /// The ticket of an invocation.
    pub(super) fn of(worker: &Arc<Worker>, invocation: &Invocation) -> Result<Self, NotTaken> {
        Self::new(worker, invocation.deadline, invocation.hold.clone())
    }

    pub(super) fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// Whether the limit is reached.
    pub(super) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|at| at <= Instant::now())
    }

    /// When the limit is reached.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The answer has begun: from now on it is the stream's end that counts.
    pub(super) fn began_to_stream(&mut self) {
        self.deadline = None;
    }

    /// Waits, in a task of its own, for the `end` of a call that nobody waits for any more; `insist` tells the worker that
    /// its time is up.
    pub(super) fn see_it_end(
        self,
        end: impl Future<Output = ()> + Send + 'static,
        insist: impl FnOnce() + Send + 'static,
    ) {
        let handle = self.worker.handle.clone();
        handle.spawn(async move {
            let mut end = pin!(end);
            let limit = self.deadline.unwrap_or_else(|| Instant::now() + FAREWELL);
            if timeout_at(limit, &mut end).await.is_ok() {
                return;
            }
            insist();
            if timeout(OVERTIME, end).await.is_err() {
                let worker = Arc::clone(&self.worker);
                drop(self);
                worker.retire("an invocation in it did not end at its limit of time");
            }
        });
    }
}
