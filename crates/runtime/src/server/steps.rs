//! A connection that two threads can bring on: its own task does, and so does the thread that has just made its answer.
//!
//! An answer is made on the agent's threads. To wake the server's for no more than to write it would cost as much as the
//! rest of the request, so the thread that made it takes the connection's next step itself. A step never blocks, and
//! nobody waits for a step of another's: whoever comes second leaves word.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context as TaskContext, Poll, Waker};

use tokio::runtime::Handle;

use super::clock::Clock;

/// A connection whose next step anyone can take.
pub(crate) trait Step: Send + Sync {
    /// Takes it, unless that is being done; returns whether it was taken.
    fn step(&self) -> bool;
}

/// Where the answer to an invocation goes; nowhere in particular by default. It keeps nothing open.
#[derive(Clone, Default)]
pub(crate) struct Stepper(Option<Weak<dyn Step>>);

impl Stepper {
    pub(super) fn of(connection: Weak<dyn Step>) -> Self {
        Self(Some(connection))
    }

    /// Takes the next step of the connection, which has an answer to find; `false` if its task has to be woken for that.
    pub(crate) fn step(&self) -> bool {
        let connection = self.0.as_ref().and_then(Weak::upgrade);
        connection.is_some_and(|connection| connection.step())
    }
}

impl fmt::Debug for Stepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stepper").finish_non_exhaustive()
    }
}

/// A connection, until it has ended.
pub(super) struct Steps<C: Future> {
    turn: Mutex<Turn<C>>,
    /// The connection's own task came while somebody else had the turn.
    missed: AtomicBool,
    /// Where the timers of a step belong, wherever it is taken.
    threads: Handle,
    clock: Clock,
}

/// The right to take a step.
struct Turn<C: Future> {
    /// Out while it takes a step, so that one that panics has ended.
    connection: Option<Pin<Box<C>>>,
    ended: Option<C::Output>,
    /// The connection's own task.
    owner: Option<Waker>,
}

impl<C: Future> Steps<C> {
    /// Takes a connection that is served by the current task, with its deadlines.
    pub(super) fn new(connection: C, clock: Clock) -> Self {
        Self {
            turn: Mutex::new(Turn {
                connection: Some(Box::pin(connection)),
                ended: None,
                owner: None,
            }),
            missed: AtomicBool::new(false),
            threads: Handle::current(),
            clock,
        }
    }

    /// Takes a step of the connection's own task; completes when the connection has ended, by a panic without a result.
    pub(super) fn poll(&self, task: &mut TaskContext<'_>) -> Poll<Option<C::Output>> {
        let turn = self.try_turn().or_else(|| {
            self.missed.store(true, Ordering::SeqCst);
            // Whoever has given it back in this moment may not have seen that.
            self.try_turn()
        });
        let Some(mut turn) = turn else {
            return Poll::Pending;
        };
        match &mut turn.owner {
            Some(owner) => owner.clone_from(task.waker()),
            none => *none = Some(task.waker().clone()),
        }
        turn.poll(task).map(|()| turn.ended.take())
    }

    /// Changes the connection between two steps.
    pub(super) fn between(&self, change: impl FnOnce(Pin<&mut C>)) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &mut turn.connection {
            change(connection.as_mut());
        }
    }

    fn try_turn(&self) -> Option<MutexGuard<'_, Turn<C>>> {
        match self.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<C: Future> Turn<C> {
    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        let Some(mut connection) = self.connection.take() else {
            return Poll::Ready(());
        };
        match connection.as_mut().poll(task) {
            Poll::Ready(ended) => {
                self.ended = Some(ended);
                Poll::Ready(())
            }
            Poll::Pending => {
                self.connection = Some(connection);
                Poll::Pending
            }
        }
    }
}

impl<C: Future<Output: Send> + Send> Step for Steps<C> {
    fn step(&self) -> bool {
        let Some(mut turn) = self.try_turn() else {
            return false;
        };
        let Some(owner) = turn.owner.clone() else {
            return false;
        };
        let entered = self.threads.enter();
        let has_ended = turn.poll(&mut TaskContext::from_waker(&owner)).is_ready();
        drop((turn, entered));
        if self.missed.swap(false, Ordering::SeqCst) || has_ended || self.clock.is_late() {
            owner.wake();
        }
        true
    }
}
