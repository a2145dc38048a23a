//! A connection that two threads can bring on: its own task does, and so does the thread that has just made its answer.
//!
//! An answer is made on the agent's threads. To wake the server's for no more than to write it would cost as much as the
//! rest of the request, so the thread that made it takes the connection's next step itself. A step never blocks, and
//! none waits for another's: whoever comes second leaves word.
//!
//! A connection that wakes itself in a step goes on in that step: each request with a body does, because `hyper` is told
//! when a piece is taken. As a task it would be put into a queue, and another thread woken to help.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::task::coop::has_budget_remaining;

use super::clock::Clock;

/// How often a connection that wakes itself goes on before others get their turn.
const IN_A_ROW: usize = 4;

/// A connection whose next step anyone can take.
pub(crate) trait Step: Send + Sync {
    /// Takes it, unless somebody else does so now.
    fn step(&self);
}

/// Where the answer to an invocation goes; nowhere in particular by default. It keeps nothing open.
#[derive(Clone, Default)]
pub(crate) struct Stepper(Option<Weak<dyn Step>>);

impl Stepper {
    pub(super) fn of(connection: Weak<dyn Step>) -> Self {
        Self(Some(connection))
    }

    /// Takes the next step of the connection, if it can be taken here and now.
    pub(crate) fn step(&self) {
        if let Some(connection) = self.0.as_ref().and_then(Weak::upgrade) {
            connection.step();
        }
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
    bell: Arc<Bell>,
    /// The same, as what a connection leaves with those it waits for.
    waker: Waker,
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
}

/// Wakes the connection's own task, unless a step is being taken, which goes on instead.
#[derive(Default)]
struct Bell {
    state: AtomicU8,
    owner: AtomicWaker,
}

/// Nobody takes a step.
const IDLE: u8 = 0;
/// Somebody takes one.
const STEPPING: u8 = 1;
/// The same, and something has happened since it began.
const RUNG: u8 = 2;

impl<C: Future> Steps<C> {
    /// Takes a connection that is served by the current task, with its deadlines.
    pub(super) fn new(connection: C, clock: Clock) -> Self {
        let bell = Arc::<Bell>::default();
        Self {
            turn: Mutex::new(Turn {
                connection: Some(Box::pin(connection)),
                ended: None,
            }),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            missed: AtomicBool::new(false),
            threads: Handle::current(),
            clock,
        }
    }

    /// Takes a step of the connection's own task; completes when the connection has ended, by a panic without a result.
    pub(super) fn poll(&self, task: &mut TaskContext<'_>) -> Poll<Option<C::Output>> {
        // First: what happens from here on is its to know, also if the turn is somebody else's.
        self.bell.owner.register(task.waker());
        let turn = self.try_turn().or_else(|| {
            self.missed.swap(true, Ordering::SeqCst);
            // Whoever has given it back in this moment may not have seen that.
            self.try_turn()
        });
        let Some(mut turn) = turn else {
            return Poll::Pending;
        };
        self.go_on(&mut turn).map(|()| turn.ended.take())
    }

    /// Changes the connection between two steps; waits for one that is being taken, which is over in microseconds.
    pub(super) fn between(&self, change: impl FnOnce(Pin<&mut C>)) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &mut turn.connection {
            change(connection.as_mut());
        }
    }

    /// Takes a step, which lasts as long as the connection wakes itself.
    fn go_on(&self, turn: &mut Turn<C>) -> Poll<()> {
        let mut task = TaskContext::from_waker(&self.waker);
        for _ in 0..IN_A_ROW {
            self.bell.state.store(STEPPING, Ordering::SeqCst);
            let polled = turn.poll(&mut task);
            let rung = self.bell.state.swap(IDLE, Ordering::SeqCst) == RUNG;
            if polled.is_ready() || !rung {
                return polled;
            }
            if !has_budget_remaining() {
                break;
            }
        }
        self.bell.owner.wake();
        Poll::Pending
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
    fn step(&self) {
        // Without budget the step would be put off until this thread has nothing else to do, which its next task may prevent.
        if !has_budget_remaining() {
            return;
        }
        let Some(mut turn) = self.try_turn() else {
            return;
        };
        let entered = self.threads.enter();
        // A panic ends the connection, as it would in the connection's own task, and nothing here.
        let stepped = catch_unwind(AssertUnwindSafe(|| self.go_on(&mut turn)));
        drop(turn);
        drop(entered);
        let is_whole = matches!(stepped, Ok(Poll::Pending)) && has_budget_remaining();
        if self.missed.swap(false, Ordering::SeqCst) || !is_whole || self.clock.is_late() {
            self.bell.owner.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let rung = self
            .state
            .compare_exchange(STEPPING, RUNG, Ordering::SeqCst, Ordering::SeqCst);
        if rung == Err(IDLE) {
            self.owner.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::task::Wake;
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Woken {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    /// A connection that ends when it is told a number, and panics when it is told none.
    struct Told(Mutex<Receiver<Option<u32>>>);

    impl Future for Told {
        type Output = u32;

        fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<u32> {
            match self.0.lock().unwrap().try_recv() {
                Ok(told) => Poll::Ready(told.expect("a number")),
                Err(_) => Poll::Pending,
            }
        }
    }

    fn told() -> (Sender<Option<u32>>, Steps<Told>, Arc<Woken>) {
        let (tell, told) = channel();
        let steps = Steps::new(Told(Mutex::new(told)), Clock::new());
        (tell, steps, Arc::default())
    }

    fn poll<C: Future>(steps: &Steps<C>, woken: &Arc<Woken>) -> Poll<Option<C::Output>> {
        let waker = Waker::from(Arc::clone(woken));
        steps.poll(&mut TaskContext::from_waker(&waker))
    }

    #[tokio::test]
    async fn a_step_that_ends_the_connection_is_told_to_its_task() {
        let (tell, steps, woken) = told();
        steps.step();
        assert!(poll(&steps, &woken).is_pending());
        steps.step();
        assert_eq!(woken.count(), 0, "nothing has happened");
        tell.send(Some(7)).unwrap();
        thread::scope(|scope| scope.spawn(|| steps.step()).join().unwrap());
        assert_eq!(woken.count(), 1);
        assert_eq!(poll(&steps, &woken), Poll::Ready(Some(7)));
    }

    #[tokio::test]
    async fn a_step_that_panics_ends_the_connection_and_nothing_else() {
        let (tell, steps, woken) = told();
        assert!(poll(&steps, &woken).is_pending());
        tell.send(None).unwrap();
        steps.step();
        assert_eq!(woken.count(), 1);
        assert_eq!(poll(&steps, &woken), Poll::Ready(None));
    }

    /// A connection that wakes itself in so many of its steps.
    struct Restless(usize);

    impl Future for Restless {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
            match self.0.checked_sub(1) {
                None => Poll::Ready(()),
                Some(left) => {
                    self.0 = left;
                    task.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_wakes_itself_goes_on_without_its_task_but_not_for_ever() {
        let woken = Arc::default();
        let steps = Steps::new(Restless(IN_A_ROW - 1), Clock::new());
        assert_eq!(poll(&steps, &woken), Poll::Ready(Some(())));
        assert_eq!(woken.count(), 0);

        let steps = Steps::new(Restless(IN_A_ROW + 1), Clock::new());
        assert!(poll(&steps, &woken).is_pending());
        assert_eq!(woken.count(), 1, "others have their turn first");
        assert_eq!(poll(&steps, &woken), Poll::Ready(Some(())));
        assert_eq!(woken.count(), 1);
    }

    /// A connection that tells whom to wake, and how often it is polled.
    struct Polled(Sender<Waker>);

    impl Future for Polled {
        type Output = ();

        fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
            self.0.send(task.waker().clone()).unwrap();
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn between_steps_its_task_is_woken_each_time() {
        let (tell, polled) = channel();
        let (steps, woken) = (Steps::new(Polled(tell), Clock::new()), Arc::default());
        for count in 1..4 {
            assert!(poll(&steps, &woken).is_pending());
            let waker = polled.try_recv().unwrap();
            assert!(polled.try_recv().is_err(), "one poll is enough");
            thread::scope(|scope| scope.spawn(|| waker.wake()).join().unwrap());
            assert_eq!(woken.count(), count);
        }
    }

    /// A connection whose steps take as long as the test wants, and which counts them.
    struct Slow {
        begun: Sender<()>,
        go_on: Mutex<Receiver<()>>,
    }

    impl Future for Slow {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<()> {
            self.begun.send(()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_step_of_anothers_and_none_is_lost() {
        let ((begun, begins), (proceed, go_on)) = (channel(), channel());
        let go_on = Mutex::new(go_on);
        let (steps, woken) = (
            Steps::new(Slow { begun, go_on }, Clock::new()),
            Arc::default(),
        );
        proceed.send(()).unwrap();
        assert!(poll(&steps, &woken).is_pending());
        begins.recv().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| steps.step());
            begins.recv().unwrap();
            assert!(poll(&steps, &woken).is_pending(), "comes second");
            steps.step();
            assert!(begins.try_recv().is_err(), "the step of the first goes on");
            assert_eq!(woken.count(), 0);
            proceed.send(()).unwrap();
        });
        assert_eq!(woken.count(), 1, "for the step that it missed");
    }
}
