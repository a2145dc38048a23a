//! The thread connections of a worker: each serves one call at a time.
//!
//! The one used last is used first, so that few threads stay warm, and callers that wait are served in their order. How
//! many calls may run at once is one thing (`pace`), how many connections there are another: one that is given back may
//! stay idle although somebody waits. While more than a few calls run or anybody waits, one task keeps the time and has
//! it judged whether they are too few or too many.

mod cpu;
mod pace;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use self::cpu::Meter;
use self::state::{Need, Next, State, TICK};
use super::link::Link;
use super::outbox::Outbox;
use crate::LOGGER;
use crate::wire::to_worker;

/// A moment that took longer shows only that this machine is busy.
const LATE: Duration = TICK.saturating_mul(2);

/// What is judged as one: long enough for a clock that counts hundredths of a second.
const STRETCH: Duration = Duration::from_millis(100);

/// The thread connections of one worker.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Told when somebody waits and the time is not kept closely.
    waits: Notify,
    meter: Meter,
    /// The way to the worker's control connection, for GROW.
    control: Arc<Outbox>,
}

/// What was when a stretch of time began.
struct Begun {
    at: Instant,
    ended: u64,
    /// For how long the worker had been at work.
    worked: Option<Duration>,
}

/// A place in the queue. Given up, it passes on what it may have been handed at that very moment.
struct Place<'a> {
    receiver: oneshot::Receiver<Link>,
    shared: &'a Shared,
}

impl Pool {
    pub(crate) fn new(control: Arc<Outbox>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                waits: Notify::new(),
                meter: Meter::default(),
                control,
            }),
        }
    }

    /// Says how many connections the worker opens at most.
    pub(crate) fn set_max(&self, max: usize) {
        self.lock().pace.set_max(max);
    }

    /// Adds a connection that the worker has opened.
    pub(crate) fn add(&self, link: Link) {
        self.shared.meter.watch(link.stream());
        self.lock().add(link);
    }

    /// Takes a connection back after a call.
    pub(crate) fn give_back(&self, link: Link) {
        self.lock().give_back(link);
    }

    /// Says that a connection is gone.
    pub(crate) fn lose(&self) {
        let more = self.lock().lose();
        self.shared.ask_for(more);
    }

    /// Waits until the thread of a call is done with it, whose connection is cut now.
    pub(crate) fn comes_back(&self, call: u32) -> impl Future<Output = ()> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        self.lock().cut(call, sender);
        async move {
            let _ = receiver.await;
        }
    }

    /// Says that the thread is there again whose connection was cut in `call`.
    pub(crate) fn came_back(&self, call: u32) {
        let waiting = self.lock().came_back(call);
        if let Some(waiting) = waiting {
            let _ = waiting.send(());
        }
    }

    /// Waits for a connection; `None` if the worker is gone, or takes no more calls.
    pub(crate) async fn acquire(&self) -> Option<Link> {
        let (taken, more, need) = {
            let mut state = self.lock();
            let taken = state.take_or_wait(Instant::now)?;
            let more = if taken.is_err() { state.growth() } else { 0 };
            (taken, more, state.need_of_time())
        };
        self.shared.ask_for(more);
        match need {
            Some(Need::Start) => drop(tokio::spawn(Arc::clone(&self.shared).keep_time())),
            Some(Need::Tell) => self.shared.waits.notify_one(),
            None => {}
        }
        match taken {
            Ok(link) => Some(link),
            Err(receiver) => {
                let mut place = Place {
                    receiver,
                    shared: &self.shared,
                };
                (&mut place.receiver).await.ok()
            }
        }
    }

    /// Gives nobody a connection any more, and sends away who waits. Calls that have one go on.
    pub(crate) fn retire(&self) {
        self.lock().retire();
    }

    /// Lets all connections go and everyone who waits know.
    pub(crate) fn close(&self) {
        self.lock().close();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Shared {
    /// Has it judged how many calls may run at once, for as long as that matters.
    async fn keep_time(self: Arc<Self>) {
        let mut stretch = self.begin_stretch();
        loop {
            let Some(next) = self.lock().next() else {
                return;
            };
            let end = stretch.at + STRETCH;
            match next {
                Next::Moment { ended } => self.pass_a_moment(ended).await,
                // Cut short when somebody waits.
                Next::Stretch => drop(timeout_at(end, self.waits.notified()).await),
            }
            if Instant::now() >= end {
                self.judge(&stretch);
                stretch = self.begin_stretch();
            }
        }
    }

    fn begin_stretch(&self) -> Begun {
        Begun {
            at: Instant::now(),
            ended: self.lock().begin_stretch(),
            worked: self.meter.read(),
        }
    }

    fn judge(&self, before: &Begun) {
        let (now, worked) = (Instant::now(), self.meter.read());
        let busy = worked
            .zip(before.worked)
            .map(|(now, then)| now.saturating_sub(then));
        let (more, complaint) = {
            let mut state = self.lock();
            let more = state.judge(before.ended, now - before.at, busy, now);
            (more, state.complaint(now))
        };
        self.ask_for(more);
        if let Some((threads, waiting)) = complaint {
            complain(threads, waiting);
        }
    }

    async fn pass_a_moment(&self, ended: u64) {
        let begun = Instant::now();
        sleep(TICK).await;
        let now = Instant::now();
        if now - begun < LATE {
            let more = self.lock().tick(ended, now);
            self.ask_for(more);
        }
    }

    fn ask_for(&self, more: usize) {
        if let Some(more) = u32::try_from(more).ok().filter(|more| *more > 0) {
            self.control.push(|out| to_worker::grow(more, out));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete when the lock is let go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(link) = self.receiver.try_recv() {
            self.shared.lock().return_unused(link);
        }
    }
}

fn complain(threads: usize, waiting: usize) {
    tracing::warn!(
        target: LOGGER,
        "All {threads} threads of the agent are busy, and {waiting} invocations wait: `--threads` sets how many there are"
    );
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::BytesMut;
    use futures_util::FutureExt;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::pace::EAGER;
    use super::*;
    use crate::wire::frame;
    use crate::worker::link;

    fn pool(max: usize) -> Pool {
        let pool = Pool::new(Arc::default());
        pool.set_max(max);
        pool
    }

    fn link() -> Link {
        Link::new(UnixStream::pair().unwrap().0)
    }

    /// Reads all that was said to the worker, and returns how many connections it was asked for.
    async fn asked_for(pool: &Pool) -> u32 {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Arc::new(ours);
        pool.shared.control.close();
        pool.shared.control.run(&ours).await.unwrap();
        link::shut(&ours);
        let mut bytes = BytesMut::new();
        while theirs.read_buf(&mut bytes).await.unwrap() > 0 {}
        let mut sum = 0;
        while let Some(frame) = frame::decode(&mut bytes).unwrap() {
            sum += u32::from_be_bytes(*frame.payload.first_chunk().unwrap());
        }
        sum
    }

    #[tokio::test]
    async fn the_connection_used_last_is_used_first() {
        let pool = pool(8);
        let (first, second) = (link(), link());
        let second_stream = Arc::clone(second.stream());
        pool.add(first);
        pool.add(second);
        let taken = pool.acquire().await.unwrap();
        assert!(Arc::ptr_eq(taken.stream(), &second_stream));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_wait_make_the_pool_grow_up_to_its_limit() {
        let pool = pool(6);
        {
            let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(pool.acquire())).collect();
            for call in &mut waiting {
                assert!(call.as_mut().now_or_never().is_none());
            }
            assert_eq!(pool.lock().asked(), EAGER);
            // The worker takes its time with those.
            sleep(TICK * 12).await;
            for call in &mut waiting {
                assert!(call.as_mut().now_or_never().is_none());
            }
            assert_eq!(pool.lock().asked(), 6);
        }
        assert_eq!(asked_for(&pool).await, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn while_calls_end_those_that_wait_are_patient() {
        let pool = pool(6);
        for _ in 0..EAGER {
            pool.add(link());
        }
        let mut busy = VecDeque::new();
        for _ in 0..EAGER {
            busy.push_back(pool.acquire().await.unwrap());
        }
        let mut waiting: Vec<_> = (0..60).map(|_| Box::pin(pool.acquire())).collect();
        for call in &mut waiting {
            assert!(call.as_mut().now_or_never().is_none());
        }
        let mut waiting = waiting.into_iter();
        let begun = Instant::now();
        while pool.lock().asked() == 0 {
            sleep(Duration::from_millis(2)).await;
            pool.give_back(busy.pop_front().unwrap());
            busy.push_back(waiting.next().unwrap().await.unwrap());
        }
        let patience = begun.elapsed();
        assert!(
            patience >= STRETCH && patience < STRETCH + TICK * 3,
            "{patience:?}"
        );
        assert_eq!(pool.lock().asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_whom_nobody_can_serve_is_served_as_soon_as_somebody_can() {
        let pool = pool(1);
        pool.add(link());
        let taken = pool.acquire().await.unwrap();
        let mut waiting = Box::pin(pool.acquire());
        assert!(waiting.as_mut().now_or_never().is_none());
        sleep(Duration::from_mins(10)).await;
        assert!(waiting.as_mut().now_or_never().is_none());
        pool.give_back(taken);
        assert!(waiting.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_keeps_the_time_when_few_calls_run() {
        let pool = pool(8);
        let mut calls: Vec<_> = (0..6).map(|_| Box::pin(pool.acquire())).collect();
        for call in &mut calls {
            assert!(call.as_mut().now_or_never().is_none());
        }
        assert_eq!(Arc::strong_count(&pool.shared), 2);
        sleep(TICK * 2).await;
        for _ in 0..6 {
            pool.add(link());
        }
        let mut busy = Vec::new();
        for call in calls {
            busy.push(call.await.unwrap());
        }
        sleep(STRETCH * 2).await;
        assert_eq!(Arc::strong_count(&pool.shared), 2);
        for link in busy.drain(..2) {
            pool.give_back(link);
        }
        sleep(STRETCH * 2).await;
        assert_eq!(Arc::strong_count(&pool.shared), 1);
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_passes_its_connection_on() {
        let pool = pool(1);
        let mut first = Box::pin(pool.acquire());
        assert!(first.as_mut().now_or_never().is_none());
        pool.add(link());
        drop(first);
        assert!(pool.acquire().await.is_some());
    }

    #[tokio::test]
    async fn a_lost_connection_is_replaced_for_those_who_wait() {
        let pool = pool(1);
        pool.add(link());
        let taken = pool.acquire().await.unwrap();
        let mut waiting = Box::pin(pool.acquire());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(taken);
        pool.lose();
        assert_eq!(pool.lock().asked(), 1);
        pool.add(link());
        assert!(waiting.await.is_some());
    }

    #[tokio::test]
    async fn when_the_worker_takes_no_more_calls_those_that_wait_are_sent_away_at_once() {
        let pool = pool(1);
        pool.add(link());
        let taken = pool.acquire().await.unwrap();
        let mut waiting = Box::pin(pool.acquire());
        assert!(waiting.as_mut().now_or_never().is_none());
        pool.retire();
        assert!(waiting.as_mut().now_or_never().unwrap().is_none());
        // Not even a connection that is free.
        pool.give_back(taken);
        assert!(pool.acquire().now_or_never().unwrap().is_none());
    }

    #[tokio::test]
    async fn when_the_worker_is_gone_nobody_waits() {
        let pool = pool(1);
        let mut waiting = Box::pin(pool.acquire());
        assert!(waiting.as_mut().now_or_never().is_none());
        pool.close();
        assert!(waiting.await.is_none());
        assert!(pool.acquire().await.is_none());
    }
}
