//! The beginning of the end: what tells all open connections that the server drains.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Says once that the server drains.
#[derive(Clone, Default)]
pub(super) struct Draining(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The same as the token, to look at without its locks.
    has_begun: AtomicBool,
    token: CancellationToken,
}

impl Draining {
    /// Tells everyone who waits.
    pub(super) fn begin(&self) {
        self.0.has_begun.store(true, Ordering::Release);
        self.0.token.cancel();
    }

    /// Returns what waits for it in a task of its own.
    pub(super) fn begun(&self) -> Begun {
        Begun {
            draining: self.clone(),
            waits: None,
            is_told: false,
        }
    }
}

/// Completes when the server drains, once; to be polled by one task only.
///
/// A connection looks at it with each of its steps. Only the first look gets in line, under a lock that all connections share.
pub(super) struct Begun {
    draining: Draining,
    waits: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    is_told: bool,
}

impl Begun {
    pub(super) fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        if self.is_told {
            return Poll::Pending;
        }
        let Shared { has_begun, token } = &*self.draining.0;
        if self.waits.is_none() {
            let mut waits = Box::pin(token.clone().cancelled_owned());
            // What it returns is asked of the flag, which is set before anyone is woken.
            let _ = waits.as_mut().poll(task);
            self.waits = Some(waits);
        }
        self.is_told = has_begun.load(Ordering::Acquire);
        if self.is_told {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
