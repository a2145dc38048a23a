//! What bounds an answer that takes its time: the limit of a stream, and the end of the server.
//!
//! The bounds also keep what the answer's invocation holds, so that a place is taken until the last byte.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::Span;

use crate::limits::{Hold, after};

/// What bounds one answer, and whose it is.
pub(crate) struct Bounds {
    /// Cancelled when the server can wait no longer.
    cut: CancellationToken,
    pub(crate) limit: Duration,
    pub(crate) deadline: Option<Instant>,
    pub(crate) span: Span,
    /// Made when there is something to wait for; most answers end before.
    waits: Option<Waits>,
    _hold: Hold,
}

/// What completes at the moment of an end, so that a silent stream is woken by it.
struct Waits {
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// Why an answer cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server can wait no longer.
    Shutdown,
    /// It has taken as long as it may.
    Limit,
}

impl Bounds {
    /// Bounds an answer that begins now.
    pub(crate) fn new(cut: CancellationToken, limit: Duration, span: Span, hold: Hold) -> Self {
        Self {
            cut,
            limit,
            deadline: after(limit),
            span,
            waits: None,
            _hold: hold,
        }
    }

    /// Returns whether an end has come, without waiting for it.
    pub(crate) fn reached(&self) -> Option<End> {
        if self.cut.is_cancelled() {
            Some(End::Shutdown)
        } else if self.deadline.is_some_and(|at| at <= Instant::now()) {
            Some(End::Limit)
        } else {
            None
        }
    }

    /// Waits until the server can wait no longer.
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Waits for the first end; the timer is set once, however often this is polled.
    pub(crate) fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<End> {
        let (cut, deadline) = (&self.cut, self.deadline);
        let waits = self.waits.get_or_insert_with(|| Waits {
            cut: Box::pin(cut.clone().cancelled_owned()),
            deadline: deadline.map(|at| Box::pin(sleep_until(at))),
        });
        if waits.cut.as_mut().poll(task).is_ready() {
            return Poll::Ready(End::Shutdown);
        }
        match &mut waits.deadline {
            Some(deadline) => deadline.as_mut().poll(task).map(|()| End::Limit),
            None => Poll::Pending,
        }
    }
}
