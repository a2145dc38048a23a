//! The work of an invocation, and the caller who waits for its end: the caller may leave before, and the work has a limit.
//!
//! Where the work runs is decided by [`Isolate`](super::Isolate).

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::task::coop::unconstrained;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{Instrument, Span};

use super::CallerLeaves;
use super::lanes::Lanes;
use super::result::{Awaited, result};
use crate::agent::BoxFuture;
use crate::failure::Failure;
use crate::limits::{Hold, LIMIT_TYPE, deadline_reached, shutting_down};
use crate::log::{LOGGER, Within};
use crate::server::Stepper;

/// Waits for the end of work. The app has chosen what becomes of the work when nobody waits any longer.
pub(crate) struct Running<T: Send + 'static> {
    work: Work<T>,
    deadline: Option<Instant>,
    caller_leaves: CallerLeaves,
}

enum Work<T> {
    /// On other threads, in a task of its own if it may be cancelled.
    Apart(Awaited<T>, Option<JoinHandle<()>>),
    /// In the caller's task. Taken out while it is polled: what panics is gone. With the end of what is finished for nobody.
    Here(Option<Bounded<T>>, Arc<CancellationToken>),
    Ended,
}

impl<T: Send + 'static> Running<T> {
    /// Does the work in a task of its own, on the threads of `lanes`.
    pub(super) fn apart(
        work: Bounded<T>,
        lanes: &Lanes,
        stepper: Stepper,
        caller_leaves: CallerLeaves,
    ) -> Self {
        let deadline = work.deadline;
        let (promise, awaited) = result(stepper);
        let span = Span::current();
        let job = Box::pin(async move {
            // Its place is free when this is over, which is before the caller is answered.
            let ended = Within::new(&span, AssertUnwindSafe(work).catch_unwind()).await;
            let result = match ended {
                Ok(ended) => ended.unwrap_or_else(|| Err(deadline_reached())),
                Err(panic) => Err(Failure::from_panic(&*panic)),
            };
            if promise.is_forgotten() {
                span.in_scope(|| log_for_nobody(&result));
            }
            drop(span);
            promise.keep(result);
        });
        let task = match caller_leaves {
            CallerLeaves::Cancel => Some(lanes.threads().spawn(job)),
            CallerLeaves::Finish => {
                lanes.run(job);
                None
            }
        };
        Self {
            work: Work::Apart(awaited, task),
            deadline,
            caller_leaves,
        }
    }

    /// Waits for work that blocks its thread and has promised its result.
    pub(super) fn blocking(awaited: Awaited<T>) -> Self {
        Self {
            work: Work::Apart(awaited, None),
            deadline: None,
            caller_leaves: CallerLeaves::Finish,
        }
    }

    /// Does the work where it is waited for; what is left of it when the caller leaves is cut at the `end`.
    pub(super) fn here(
        work: Bounded<T>,
        caller_leaves: CallerLeaves,
        end: &Arc<CancellationToken>,
    ) -> Self {
        Self {
            deadline: work.deadline,
            work: Work::Here(Some(work), Arc::clone(end)),
            caller_leaves,
        }
    }
}

impl<T: Send + 'static> Future for Running<T> {
    type Output = Result<T, Failure>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let result = match &mut self.work {
            Work::Apart(awaited, _) => ready!(Pin::new(awaited).poll(task)),
            Work::Here(kept, _) => {
                let Some(mut work) = kept.take() else {
                    return Poll::Pending;
                };
                match Pin::new(&mut work).poll(task) {
                    Poll::Ready(ended) => ended.unwrap_or_else(|| Err(deadline_reached())),
                    Poll::Pending => {
                        *kept = Some(work);
                        return Poll::Pending;
                    }
                }
            }
            Work::Ended => return Poll::Pending,
        };
        self.work = Work::Ended;
        Poll::Ready(result)
    }
}

impl<T: Send + 'static> Drop for Running<T> {
    fn drop(&mut self) {
        // At the deadline itself it is the server that leaves, and tells.
        let is_early = |deadline: Option<Instant>| deadline.is_none_or(|at| Instant::now() < at);
        match (&mut self.work, self.caller_leaves) {
            (Work::Apart(_, Some(task)), CallerLeaves::Cancel) => task.abort(),
            (Work::Apart(awaited, _), CallerLeaves::Finish) if is_early(self.deadline) => {
                awaited.leave();
            }
            (Work::Here(work, end), CallerLeaves::Finish) if is_early(self.deadline) => {
                if let (Some(work), Ok(threads)) = (work.take(), Handle::try_current()) {
                    let work = work.map(|ended| {
                        log_for_nobody(&ended.unwrap_or_else(|| Err(deadline_reached())));
                    });
                    // The span is the invocation's: what runs within it is dropped within it too.
                    let work = work.instrument(Span::current());
                    let end = CancellationToken::clone(end);
                    threads.spawn(end.run_until_cancelled_owned(work));
                }
            }
            (Work::Apart(..) | Work::Here(..) | Work::Ended, _) => {}
        }
    }
}

/// Tells how work ended badly whose caller has left: nobody else does.
pub(super) fn log_for_nobody<T>(result: &Result<T, Failure>) {
    let Err(failure) = result else {
        return;
    };
    if failure.error_type() == Some(LIMIT_TYPE) {
        tracing::error!(
            target: LOGGER,
            errorType = LIMIT_TYPE,
            "Invocation ended at its limit, after its caller had left"
        );
    } else if !failure.is_logged() {
        tracing::error!(
            target: LOGGER,
            errorType = failure.error_type(),
            errorMessage = failure.to_string(),
            cause = failure.cause(),
            "Invocation failed, after its caller had left"
        );
    }
}

/// Work that ends at its deadline, without a result then, and keeps the invocation's place until it has ended.
pub(super) struct Bounded<T> {
    /// Gone when it has ended, so that its own end belongs to the invocation's.
    work: Option<BoxFuture<'static, Result<T, Failure>>>,
    deadline: Option<Instant>,
    /// Made when there is something to wait for.
    timer: Option<Pin<Box<Sleep>>>,
    _kept: (Hold, TaskTrackerToken),
}

impl<T> Bounded<T> {
    pub(super) fn new(
        (deadline, hold): (Option<Instant>, Hold),
        counted: TaskTrackerToken,
        work: BoxFuture<'static, Result<T, Failure>>,
    ) -> Self {
        Self {
            work: Some(work),
            deadline,
            timer: None,
            _kept: (hold, counted),
        }
    }
}

impl<T> Future for Bounded<T> {
    type Output = Option<Result<T, Failure>>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.work else {
            return Poll::Pending;
        };
        if let Poll::Ready(result) = work.as_mut().poll(task) {
            self.work = None;
            return Poll::Ready(Some(result));
        }
        let Some(at) = self.deadline else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        // Whatever the work has used up of its task's budget.
        ready!(pin!(unconstrained(timer.as_mut())).poll(task));
        self.work = None;
        Poll::Ready(None)
    }
}

/// A task that ends when nobody wants its end any longer.
pub(super) struct Wanted<T>(pub(super) JoinHandle<T>);

impl<T> Drop for Wanted<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Describes a task that ended without a result.
pub(super) fn lost(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => Failure::from_panic(&*panic),
        Err(_) => shutting_down(),
    }
}
