//! The thread connections of a worker: each serves one call at a time.
//!
//! The one used last is used first, so that few threads stay warm. When none is idle, the worker is asked for more:
//! the first few at once, further ones only if for a moment no call has ended, or if one has waited for long. Handlers
//! that answer quickly are served best by few threads, handlers that block need as many as there are calls. Callers
//! that wait are served in their order.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::link::Link;
use super::outbox::Outbox;
use crate::LOGGER;
use crate::wire::to_worker;

/// Up to this many connections are asked for without waiting.
const EAGER: usize = 4;

/// If no call ends for this long while one waits, all are taken to block, and more connections are asked for.
const PATIENCE: Duration = Duration::from_millis(2);

/// How long a call waits at most while others end.
const LONG_PATIENCE: Duration = Duration::from_millis(25);

/// A call that waits for longer is worth a line in the log, where every thread is busy.
const TOO_LONG: Duration = Duration::from_secs(5);

/// How long such a line stands.
const SILENCE: Duration = Duration::from_mins(1);

/// The thread connections of one worker.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    /// The way to the worker's control connection, for GROW.
    control: Arc<Outbox>,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Link>,
    waiters: VecDeque<oneshot::Sender<Link>>,
    /// Connections that exist, idle or in a call.
    open: usize,
    /// Connections that the worker was asked for and has not opened yet.
    asked: usize,
    max: usize,
    /// How many calls have ended.
    ended: u64,
    /// Who waits for the thread of a call whose connection was cut.
    cut: HashMap<u32, oneshot::Sender<()>>,
    /// Nobody gets a connection any more.
    retired: bool,
    /// All connections are gone.
    closed: bool,
    complained: Option<Instant>,
}

/// A place in the queue. Given up, it passes on what it may have been handed at that very moment.
struct Waiter<'a> {
    receiver: oneshot::Receiver<Link>,
    pool: &'a Pool,
}

impl Pool {
    pub(crate) fn new(control: Arc<Outbox>) -> Self {
        Self {
            state: Mutex::default(),
            control,
        }
    }

    /// Says how many connections the worker opens at most.
    pub(crate) fn set_max(&self, max: usize) {
        self.lock().max = max.max(1);
    }

    /// Adds a connection that the worker has opened.
    pub(crate) fn add(&self, link: Link) {
        let mut state = self.lock();
        state.open += 1;
        state.asked = state.asked.saturating_sub(1);
        state.hand_out(link);
    }

    /// Takes a connection back after a call.
    pub(crate) fn give_back(&self, link: Link) {
        let mut state = self.lock();
        state.ended = state.ended.wrapping_add(1);
        state.hand_out(link);
    }

    /// Says that a connection is gone.
    pub(crate) fn lose(&self) {
        let more = {
            let mut state = self.lock();
            state.open = state.open.saturating_sub(1);
            state.growth(usize::MAX)
        };
        self.ask_for(more);
    }

    /// Waits until the thread of a call is done with it, whose connection is cut now.
    pub(crate) fn comes_back(&self, call: u32) -> impl Future<Output = ()> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        if !state.closed {
            state.cut.retain(|_, waiting| !waiting.is_closed());
            state.cut.insert(call, sender);
        }
        async move {
            let _ = receiver.await;
        }
    }

    /// Says that the thread is there again whose connection was cut in `call`.
    pub(crate) fn came_back(&self, call: u32) {
        let waiting = self.lock().cut.remove(&call);
        if let Some(waiting) = waiting {
            let _ = waiting.send(());
        }
    }

    /// Waits for a connection; `None` if the worker is gone, or takes no more calls.
    pub(crate) async fn acquire(&self) -> Option<Link> {
        let receiver = match self.take_or_wait()? {
            Ok(link) => return Some(link),
            Err(receiver) => receiver,
        };
        let mut waiter = Waiter {
            receiver,
            pool: self,
        };
        let ended = self.lock().ended;
        if let Ok(handed) = timeout(PATIENCE, &mut waiter.receiver).await {
            return handed.ok();
        }
        let others_end = self.lock().ended != ended;
        if others_end && let Ok(handed) = timeout(LONG_PATIENCE, &mut waiter.receiver).await {
            return handed.ok();
        }
        let more = self.lock().growth(usize::MAX);
        self.ask_for(more);
        if let Ok(handed) = timeout(TOO_LONG, &mut waiter.receiver).await {
            return handed.ok();
        }
        self.complain();
        (&mut waiter.receiver).await.ok()
    }

    /// Says, once in a while, that every thread is busy.
    fn complain(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        let is_news = state.complained.is_none_or(|at| at + SILENCE <= now);
        if state.open < state.max || !is_news {
            return;
        }
        state.complained = Some(now);
        let (threads, waiting) = (state.open, state.waiters.len());
        drop(state);
        tracing::warn!(
            target: LOGGER,
            "All {threads} threads of the agent are busy, and {waiting} invocations wait: `--threads` sets how many there are"
        );
    }

    /// Takes an idle connection or a place in the queue.
    fn take_or_wait(&self) -> Option<Result<Link, oneshot::Receiver<Link>>> {
        let mut state = self.lock();
        if state.closed || state.retired {
            return None;
        }
        if let Some(link) = state.idle.pop() {
            return Some(Ok(link));
        }
        let (sender, receiver) = oneshot::channel();
        state.waiters.push_back(sender);
        let more = state.growth(EAGER);
        drop(state);
        self.ask_for(more);
        Some(Err(receiver))
    }

    /// Gives nobody a connection any more, and sends away who waits. Calls that have one go on.
    pub(crate) fn retire(&self) {
        let mut state = self.lock();
        state.retired = true;
        state.waiters.clear();
    }

    /// Lets all connections go and everyone who waits know.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.idle.clear();
        state.waiters.clear();
        state.cut.clear();
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

impl State {
    fn hand_out(&mut self, mut link: Link) {
        if self.closed {
            return;
        }
        while let Some(waiter) = self.waiters.pop_front() {
            match waiter.send(link) {
                Ok(()) => return,
                // Its call was given up.
                Err(returned) => link = returned,
            }
        }
        self.idle.push(link);
    }

    /// Notes and returns how many connections to ask for, so that there are `limit` and the worker's own limit at most.
    fn growth(&mut self, limit: usize) -> usize {
        self.waiters.retain(|waiter| !waiter.is_closed());
        let wanted = self.waiters.len().saturating_sub(self.asked);
        let room = limit.min(self.max).saturating_sub(self.open + self.asked);
        let more = wanted.min(room);
        self.asked += more;
        more
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(link) = self.receiver.try_recv() {
            self.pool.give_back(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use futures_util::FutureExt;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

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
        pool.control.close();
        pool.control.run(&ours).await.unwrap();
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
            assert_eq!(pool.lock().asked, EAGER);
            tokio::time::sleep(PATIENCE * 2).await;
            for call in &mut waiting {
                assert!(call.as_mut().now_or_never().is_none());
            }
            assert_eq!(pool.lock().asked, 6);
        }
        assert_eq!(asked_for(&pool).await, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn while_calls_end_those_that_wait_are_patient() {
        let pool = pool(6);
        for _ in 0..EAGER {
            pool.add(link());
        }
        let mut busy = Vec::new();
        for _ in 0..EAGER {
            busy.push(pool.acquire().await.unwrap());
        }
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(pool.acquire())).collect();
        for call in &mut waiting {
            assert!(call.as_mut().now_or_never().is_none());
        }
        pool.give_back(busy.pop().unwrap());
        tokio::time::sleep(PATIENCE * 2).await;
        assert!(waiting[0].as_mut().now_or_never().is_some());
        assert!(waiting[1].as_mut().now_or_never().is_none());
        assert_eq!(pool.lock().asked, 0);
        tokio::time::sleep(LONG_PATIENCE).await;
        assert!(waiting[1].as_mut().now_or_never().is_none());
        assert_eq!(pool.lock().asked, 2);
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
        assert_eq!(pool.lock().asked, 1);
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
