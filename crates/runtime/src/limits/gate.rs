//! The gate that invocations pass: so many run, so many wait in order, and the others are refused at once.
//!
//! It counts and never looks at a request. Whoever leaves the queue, by dropping the future, has left it in that moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Hold, Limits, limit_reached, shutting_down, until};
use crate::failure::Failure;

/// The places of one server.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// The limits.
    running: usize,
    queued: usize,
    invocation: Duration,
    /// Cancelled when the server can wait no longer.
    cut: CancellationToken,
}

impl Gate {
    /// Creates the gate of a server, which empties its queue when `cut` is cancelled.
    pub(crate) fn new(limits: &Limits, cut: CancellationToken) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.running)),
            waiting: AtomicUsize::new(0),
            running: limits.running,
            queued: limits.queued,
            invocation: limits.invocation,
            cut,
        }
    }

    /// Takes a place if one is free. Passes nobody by: one that becomes free goes to the first who waits.
    pub(crate) fn try_enter(&self) -> Option<Hold> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Hold::default().and(place))
    }

    /// Takes a place, now or when the turn comes; it is free again when all copies of the hold are gone.
    ///
    /// # Errors
    ///
    /// Fails with 503 if too many wait already, or if the server ends; with 504 if `deadline` passes first.
    pub(crate) async fn enter(&self, deadline: Option<Instant>) -> Result<Hold, Failure> {
        if let Some(hold) = self.try_enter() {
            return Ok(hold);
        }
        let places = Arc::clone(&self.places);
        let _waits = self.queue().ok_or_else(|| self.overloaded())?;
        tokio::select! {
            biased;
            place = places.acquire_owned() => match place {
                Ok(place) => Ok(Hold::default().and(place)),
                Err(_closed) => Err(shutting_down()),
            },
            () = self.cut.cancelled() => Err(shutting_down()),
            () = until(deadline) => Err(limit_reached(self.invocation)),
        }
    }

    /// Returns how many places are taken.
    pub(crate) fn running(&self) -> usize {
        self.running - self.places.available_permits()
    }

    /// Returns how many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn queue(&self) -> Option<Waits<'_>> {
        let joined = |count: usize| (count < self.queued).then_some(count + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, joined)
            .ok()
            .map(|_| Waits(&self.waiting))
    }

    fn overloaded(&self) -> Failure {
        let Self {
            running, queued, ..
        } = self;
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "Too many invocations")
            .with_type("Overloaded")
            .with_details(format!("{running} run and {queued} wait"))
    }
}

/// Counts one who waits, in whatever way the waiting ends.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::{Context, Poll, Waker};

    use futures_util::FutureExt;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;
    use crate::agent::BoxFuture;

    fn gate(running: usize, queued: usize) -> Gate {
        let limits = Limits::default().running(running).queued(queued);
        Gate::new(&limits, CancellationToken::new())
    }

    #[tokio::test]
    async fn who_comes_beyond_the_queue_is_told_the_numbers() {
        let gate = gate(1, 0);
        let held = gate.enter(None).await.unwrap();
        let refusal = gate.enter(None).await.unwrap_err();
        assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            refusal.body(),
            r#"{"error":"Too many invocations","error_type":"Overloaded","details":"1 run and 0 wait"}"#
                .as_bytes()
        );
        drop(held);
        assert!(gate.enter(None).await.is_ok());
    }

    #[tokio::test]
    async fn a_copy_of_a_hold_keeps_the_place() {
        let gate = gate(1, 0);
        let held = gate.enter(None).await.unwrap();
        let copy = held.clone().and("something else");
        drop(held);
        assert_eq!(gate.running(), 1);
        drop(copy);
        assert_eq!(gate.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_the_deadline() {
        let gate = gate(1, 1);
        let _held = gate.enter(None).await.unwrap();
        let deadline = Instant::now() + Duration::from_mins(15);
        let mut waiting = Box::pin(gate.enter(Some(deadline)));
        assert!(waiting.as_mut().now_or_never().is_none());
        advance(Duration::from_mins(15)).await;
        let refusal = waiting.await.unwrap_err();
        assert_eq!(refusal.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(refusal.details(), Some("the limit is 900 s"));
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test]
    async fn the_queue_is_empty_when_the_server_can_wait_no_longer() {
        let cut = CancellationToken::new();
        let gate = Gate::new(&Limits::default().running(1).queued(9), cut.clone());
        let _held = gate.enter(None).await.unwrap();
        let waiting = [gate.enter(None), gate.enter(None)];
        let refused = futures_util::future::join_all(waiting);
        let cancelled = async { cut.cancel() };
        for refusal in tokio::join!(refused, cancelled).0 {
            assert_eq!(refusal.unwrap_err().error_type(), Some("ServerShutdown"));
        }
        assert_eq!(gate.waiting(), 0);
    }

    /// What happens at a gate; the numbers choose among those who are there.
    #[derive(Clone, Debug)]
    enum Step {
        Arrives,
        LeavesTheQueue(usize),
        /// One ends, and so many of the first who wait leave before they notice that it is their turn.
        Ends(usize, usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Arrives),
            1 => any::<usize>().prop_map(Step::LeavesTheQueue),
            2 => (any::<usize>(), 0_usize..3).prop_map(|(who, leave)| Step::Ends(who, leave)),
        ];
        vec(step, 0..200)
    }

    type Entering<'a> = BoxFuture<'a, Result<Hold, Failure>>;

    /// A gate, and what must be true of it: who runs, and who waits in which order.
    struct Model<'a> {
        running: Vec<(u32, Hold)>,
        waiting: VecDeque<(u32, Entering<'a>)>,
        arrived: u32,
    }

    impl<'a> Model<'a> {
        fn arrives(&mut self, gate: &'a Gate) -> Result<(), TestCaseError> {
            let (is_full, is_queue_full) = (
                self.running.len() == gate.running,
                self.waiting.len() == gate.queued,
            );
            self.arrived += 1;
            let mut entering: Entering<'a> = Box::pin(gate.enter(None));
            match poll(&mut entering) {
                Poll::Ready(Ok(hold)) => {
                    prop_assert!(!is_full, "more run than may");
                    self.running.push((self.arrived, hold));
                }
                Poll::Pending => {
                    prop_assert!(is_full && !is_queue_full, "waits without need or room");
                    self.waiting.push_back((self.arrived, entering));
                }
                Poll::Ready(Err(_)) => {
                    prop_assert!(is_full && is_queue_full, "refused without need");
                }
            }
            Ok(())
        }

        fn ends(&mut self, choice: usize, leave: usize) -> Result<(), TestCaseError> {
            if self.running.is_empty() {
                return Ok(());
            }
            self.running.swap_remove(choice % self.running.len());
            self.waiting.drain(..leave.min(self.waiting.len()));
            let Some((who, mut entering)) = self.waiting.pop_front() else {
                return Ok(());
            };
            // Polled last, so that a place that was given to anyone else would be noticed.
            for (_, later) in self.waiting.iter_mut().rev() {
                prop_assert!(poll(later).is_pending(), "overtaken");
            }
            let Poll::Ready(Ok(hold)) = poll(&mut entering) else {
                return Err(TestCaseError::fail(format!("the place of {who} was lost")));
            };
            self.running.push((who, hold));
            Ok(())
        }
    }

    fn poll(entering: &mut Entering<'_>) -> Poll<Result<Hold, Failure>> {
        let mut context = Context::from_waker(Waker::noop());
        entering.as_mut().poll(&mut context)
    }

    proptest! {
        #[test]
        fn no_sequence_runs_too_many_queues_too_many_or_loses_a_place(
            running in 1_usize..5, queued in 0_usize..5, steps in steps()
        ) {
            let gate = gate(running, queued);
            let mut model = Model {
                running: Vec::new(),
                waiting: VecDeque::new(),
                arrived: 0,
            };
            for step in steps {
                match step {
                    Step::Arrives => model.arrives(&gate)?,
                    Step::LeavesTheQueue(choice) if !model.waiting.is_empty() => {
                        drop(model.waiting.remove(choice % model.waiting.len()));
                    }
                    Step::LeavesTheQueue(_) => {}
                    Step::Ends(choice, leave) => model.ends(choice, leave)?,
                }
                prop_assert_eq!(gate.running(), model.running.len());
                prop_assert_eq!(gate.waiting(), model.waiting.len());
            }
            drop(model);
            prop_assert_eq!((gate.running(), gate.waiting()), (0, 0));
        }
    }
}
