//! One timer for all that a connection waits for: the head of a request, the answer of an invocation, the end of a stream.
//!
//! A timer for each would be entered in the runtime's wheel and taken out again with every request, though hardly any ever
//! goes off: measured, that wakes the thread that sleeps on the wheel. So deadlines are only noted, and the one timer is
//! moved on when it goes off too early. What ends at a deadline is not known here.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker, ready};
use std::time::Duration;

use hyper::rt::{Sleep as HyperSleep, Timer};
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// The deadlines of one connection; somebody has to watch them by an [`Alarm`].
#[derive(Clone)]
pub(super) struct Clock(Arc<Mutex<Deadlines>>);

struct Deadlines {
    /// The time, as of the last deadline that passed: whoever is due is woken by the timer, and need not look at a clock.
    now: Instant,
    /// Of the head that is awaited.
    head: Option<Waits>,
    /// Of the answer that is awaited: a connection has one request at a time.
    answer: Option<Waits>,
    /// Of an answer that is being sent: the timer's own.
    sent: Option<Instant>,
    /// When the timer goes off, if it is set.
    timer: Option<Instant>,
    /// The task that has the timer.
    watcher: Option<Waker>,
}

/// Somebody who waits for a moment.
struct Waits {
    until: Instant,
    waker: Waker,
}

impl Clock {
    /// Creates a clock without deadlines.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Deadlines {
            now: Instant::now(),
            head: None,
            answer: None,
            sent: None,
            timer: None,
            watcher: None,
        })))
    }

    /// Returns the timer that watches the deadlines.
    pub(super) fn alarm(&self) -> Alarm {
        Alarm {
            clock: self.clone(),
            timer: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// Waits for `answer` until `deadline`; `None` if it did not come by then.
    pub(super) async fn answer_by<F: Future>(
        &self,
        deadline: Instant,
        answer: F,
    ) -> Option<F::Output> {
        let mut answer = pin!(answer);
        std::future::poll_fn(|task| match answer.as_mut().poll(task) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => {
                ready!(self.poll(deadline, task, |deadlines| &mut deadlines.answer));
                Poll::Ready(None)
            }
        })
        .await
    }

    /// Notes until when the answer has to be sent that is begun now.
    pub(super) fn sends_until(&self, deadline: Option<Instant>) {
        self.deadlines().sent = deadline;
    }

    /// Returns whether the timer goes off later than it has to, because nobody has looked after it.
    pub(super) fn is_late(&self) -> bool {
        let deadlines = self.deadlines();
        let next = deadlines.next();
        next.is_some_and(|next| deadlines.is_before_timer(next))
    }

    /// Completes if `deadline` has passed, and otherwise notes it.
    fn poll(
        &self,
        deadline: Instant,
        task: &TaskContext<'_>,
        slot: impl FnOnce(&mut Deadlines) -> &mut Option<Waits>,
    ) -> Poll<()> {
        let mut deadlines = self.deadlines();
        if deadline <= deadlines.now {
            return Poll::Ready(());
        }
        let slot = slot(&mut deadlines);
        if let Some(waits) = slot {
            waits.until = deadline;
            waits.waker.clone_from(task.waker());
        } else {
            let waker = task.waker().clone();
            *slot = Some(Waits {
                until: deadline,
                waker,
            });
        }
        if deadlines.is_before_timer(deadline)
            && let Some(watcher) = &deadlines.watcher
        {
            watcher.wake_by_ref();
        }
        Poll::Pending
    }

    fn deadlines(&self) -> MutexGuard<'_, Deadlines> {
        // A deadline that a panic kept from being noted is one that its task does not wait for.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The timer of a connection.
pub(super) struct Alarm {
    clock: Clock,
    timer: Pin<Box<Sleep>>,
}

impl Alarm {
    /// Wakes those whose deadline has passed; completes when an answer should have been sent long ago.
    ///
    /// That one cannot end by itself: while its caller does not read, nobody is asked for anything. To be called after each step of
    /// the connection, which may have noted deadlines.
    pub(super) fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            let mut deadlines = self.clock.deadlines();
            match &mut deadlines.watcher {
                Some(watcher) => watcher.clone_from(task.waker()),
                none => *none = Some(task.waker().clone()),
            }
            let Some(next) = deadlines.next() else {
                deadlines.timer = None;
                return Poll::Pending;
            };
            // A timer that goes off too early is not worth moving.
            if deadlines.is_before_timer(next) {
                deadlines.timer = Some(next);
                self.timer.as_mut().reset(next);
            }
            drop(deadlines);
            // Whatever the connection has used up of its task's budget.
            ready!(pin!(unconstrained(self.timer.as_mut())).poll(task));
            if self.clock.deadlines().gone_off() {
                return Poll::Ready(());
            }
        }
    }
}

impl Deadlines {
    fn next(&self) -> Option<Instant> {
        let noted = [&self.head, &self.answer];
        let noted = noted.into_iter().flatten().map(|waits| waits.until);
        noted.chain(self.sent).min()
    }

    fn is_before_timer(&self, deadline: Instant) -> bool {
        self.timer.is_none_or(|timer| deadline < timer)
    }

    /// Wakes those who are due; returns whether the answer is overdue.
    fn gone_off(&mut self) -> bool {
        let now = Instant::now();
        (self.now, self.timer) = (now, None);
        for slot in [&mut self.head, &mut self.answer] {
            if let Some(waits) = slot.take_if(|waits| waits.until <= now) {
                waits.waker.wake();
            }
        }
        self.sent.is_some_and(|until| until <= now)
    }
}

/// As a timer, the clock tells `hyper` when a head has taken too long.
impl Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn HyperSleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn HyperSleep>> {
        // The next head is awaited: the last answer has been sent.
        self.sends_until(None);
        Box::pin(UntilHead {
            clock: self.clone(),
            deadline: deadline.into(),
        })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

/// Completes when the head of a request is overdue.
struct UntilHead {
    clock: Clock,
    deadline: Instant,
}

impl HyperSleep for UntilHead {}

impl Future for UntilHead {
    type Output = ();

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let Self { clock, deadline } = &*self;
        clock.poll(*deadline, task, |deadlines| &mut deadlines.head)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};

    use futures_util::FutureExt;
    use futures_util::future::join;
    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Runs `work` beside the alarm, as a connection does; returns what it returned, and after how many seconds.
    async fn watched<F: Future>(clock: &Clock, work: F) -> (F::Output, u64) {
        let began = Instant::now();
        let mut alarm = clock.alarm();
        let mut work = pin!(work);
        let output = poll_fn(|task| match work.as_mut().poll(task) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => {
                assert!(alarm.poll(task).is_pending(), "no answer goes on");
                Poll::Pending
            }
        });
        (output.await, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_comes_in_time_or_not() {
        let clock = Clock::new();
        let at = |seconds| Instant::now() + seconds * SECOND;
        let never = clock.answer_by(at(5), pending::<()>());
        assert_eq!(watched(&clock, never).await, (None, 5));
        let in_time = clock.answer_by(at(5), sleep(2 * SECOND));
        assert_eq!(watched(&clock, in_time).await, (Some(()), 2));
        // The timer is still set to the deadline before, which is nearer.
        let later = clock.answer_by(at(9), pending::<()>());
        assert_eq!(watched(&clock, later).await, (None, 9));
        let nearer = clock.answer_by(at(1), pending::<()>());
        assert_eq!(watched(&clock, nearer).await, (None, 1));
        let passed = clock.answer_by(Instant::now(), pending::<()>());
        assert_eq!(watched(&clock, passed).await, (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_and_an_answer_have_each_their_deadline() {
        let clock = Clock::new();
        let head = clock.sleep(3 * SECOND).map(|()| Instant::now());
        let answer = clock.answer_by(Instant::now() + 7 * SECOND, pending::<()>());
        let began = Instant::now();
        let ((headless, answer), seconds) = watched(&clock, join(head, answer)).await;
        assert_eq!((answer, seconds), (None, 7));
        assert_eq!(headless - began, 3 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_another_task_is_woken_too() {
        let clock = Clock::new();
        let far = clock.answer_by(Instant::now() + 100 * SECOND, sleep(10 * SECOND));
        let head = clock.clone();
        let apart = tokio::spawn(async move {
            sleep(SECOND).await;
            head.sleep(SECOND).await;
            Instant::now()
        });
        let began = Instant::now();
        assert_eq!(watched(&clock, far).await, (Some(()), 10));
        assert_eq!(apart.await.unwrap() - began, 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_nobody_looked_after_is_late() {
        let clock = Clock::new();
        let mut alarm = clock.alarm();
        let mut poll = async || poll_fn(|task| Poll::Ready(alarm.poll(task))).await;
        assert!(poll().await.is_pending());
        assert!(!clock.is_late(), "there is nothing to wait for");
        let mut answer = pin!(clock.answer_by(Instant::now() + SECOND, pending::<()>()));
        assert!(answer.as_mut().now_or_never().is_none());
        assert!(clock.is_late());
        assert!(poll().await.is_pending());
        assert!(!clock.is_late());
        advance(2 * SECOND).await;
        assert!(poll().await.is_pending());
        assert_eq!(answer.now_or_never(), Some(None));
    }
}
