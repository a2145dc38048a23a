//! The result of work that runs on other threads than the one who waits for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

use crate::failure::Failure;
use crate::limits::shutting_down;
use crate::server::Stepper;

/// Returns both ends of a result that is on its way.
pub(super) fn result<T>(stepper: Stepper) -> (Promise<T>, Awaited<T>) {
    let place = Arc::new(Place(Mutex::new(State::Open(None))));
    let awaited = Awaited(Arc::clone(&place));
    (Promise { place, stepper }, awaited)
}

struct Place<T>(Mutex<State<T>>);

enum State<T> {
    /// Nothing has come yet; the task that waits.
    Open(Option<Waker>),
    Come(Result<T, Failure>),
    /// Nothing will come, or it was taken.
    Gone,
    /// Nobody waits any longer.
    Left,
}

impl<T> Place<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a state, if nothing has come yet; returns whom to wake.
    fn settle(&self, settled: State<T>) -> Option<Waker> {
        let mut state = self.state();
        let State::Open(waker) = &mut *state else {
            return None;
        };
        let waker = waker.take();
        *state = settled;
        waker
    }
}

/// The end of the work; dropped without a result, the work was lost.
pub(super) struct Promise<T> {
    place: Arc<Place<T>>,
    stepper: Stepper,
}

impl<T> Promise<T> {
    /// Hands the result over, and takes the next step of the connection that waits for it, which sends its answer.
    pub(super) fn keep(self, result: Result<T, Failure>) {
        let Some(waker) = self.place.settle(State::Come(result)) else {
            return;
        };
        self.stepper.step();
        // It is there still if somebody else has the connection's turn, or if another task waits, as behind an author's layer.
        if matches!(*self.place.state(), State::Come(_)) {
            waker.wake();
        }
    }

    /// Returns whether nobody waits for the result any longer.
    pub(super) fn is_forgotten(&self) -> bool {
        matches!(*self.place.state(), State::Left)
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if let Some(waker) = self.place.settle(State::Gone) {
            waker.wake();
        }
    }
}

/// The end that waits.
pub(super) struct Awaited<T>(Arc<Place<T>>);

impl<T> Awaited<T> {
    /// Says that nobody waits any longer.
    pub(super) fn leave(&self) {
        self.0.settle(State::Left);
    }
}

impl<T> Future for Awaited<T> {
    type Output = Result<T, Failure>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut state = self.0.state();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Come(result) => Poll::Ready(result),
            State::Gone | State::Left => Poll::Ready(Err(shutting_down())),
            State::Open(waker) => {
                let waker = match waker {
                    Some(same) if same.will_wake(task.waker()) => same,
                    _ => task.waker().clone(),
                };
                *state = State::Open(Some(waker));
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_result_comes_before_or_after_it_is_awaited() {
        let (promise, awaited) = result(Stepper::default());
        promise.keep(Ok(1));
        assert_eq!(awaited.await, Ok(1));

        let (promise, mut awaited) = result(Stepper::default());
        assert_eq!((&mut awaited).now_or_never(), None);
        let kept = tokio::spawn(async { promise.keep(Ok(2)) });
        assert_eq!(awaited.await, Ok(2));
        kept.await.unwrap();
    }

    #[tokio::test]
    async fn work_that_is_lost_is_told() {
        let (promise, mut awaited) = result::<()>(Stepper::default());
        assert_eq!((&mut awaited).now_or_never(), None);
        let lost = tokio::spawn(async { drop(promise) });
        assert_eq!(awaited.await, Err(shutting_down()));
        lost.await.unwrap();
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let (promise, awaited) = result::<()>(Stepper::default());
        assert!(!promise.is_forgotten());
        awaited.leave();
        assert!(promise.is_forgotten());
        promise.keep(Ok(()));
    }
}
