//! The threads that run the agent's code, apart from those that answer `/ping`.
//!
//! A handler that blocks its thread would otherwise silence the server: measured, `/ping` then waits for as long as the
//! handler does, even on a multi-threaded runtime. So the agent has a tokio runtime of its own: asynchronous code
//! runs on its workers, synchronous code on its blocking pool.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::thread::available_parallelism;
use std::time::Duration;
use std::vec;

use futures_core::Stream;
use futures_util::StreamExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use crate::agent::{EventStream, Invocation, StreamItem};
use crate::failure::Failure;
use crate::limits::{Hold, deadline_reached, shutting_down};
use crate::log::LOGGER;

/// How many items may wait on either side of the threads' border: enough to spare most of the wake-ups across it.
const READ_AHEAD: usize = 32;

/// Where the agent's code runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// On threads of its own: a handler that blocks delays neither `/ping` nor the server.
    #[default]
    Own,
    /// On the threads of the server, which saves two changes of thread an invocation. For agents that never block: one
    /// that does silences `/ping`, and a plain `fn` runs there too.
    Shared,
}

/// What becomes of a plain invocation whose caller hangs up. A stream is always cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallerLeaves {
    /// It runs to its end, as in the reference SDK: what it does to the world is done whole.
    #[default]
    Finish,
    /// It is cancelled at once, at the point where it waits; a plain `fn`, which cannot be, runs to its end.
    Cancel,
}

/// The conditions under which one invocation runs.
#[derive(Debug)]
pub(crate) struct Terms {
    deadline: Option<Instant>,
    hold: Hold,
}

impl Terms {
    /// Takes the conditions of an invocation; the work keeps its place.
    pub(crate) fn of(invocation: &Invocation) -> Self {
        Self {
            deadline: invocation.deadline,
            hold: invocation.hold.clone(),
        }
    }
}

/// The agent's threads. Dropping it, also within asynchronous code, cuts what still runs on them.
pub(crate) struct Isolate {
    /// `None` where the server's threads are shared. Taken out when dropped: a runtime that is dropped within another one
    /// panics.
    runtime: Option<Runtime>,
    caller_leaves: CallerLeaves,
    plain: TaskTracker,
}

impl Isolate {
    /// Starts the threads.
    pub(crate) fn start(threads: Threads, caller_leaves: CallerLeaves) -> io::Result<Self> {
        let runtime = match threads {
            Threads::Own => Some(start_threads()?),
            Threads::Shared => None,
        };
        Ok(Self {
            runtime,
            caller_leaves,
            plain: TaskTracker::new(),
        })
    }

    /// Returns the threads, for work that is not an invocation's.
    pub(crate) fn handle(&self) -> Handle {
        match &self.runtime {
            Some(runtime) => runtime.handle().clone(),
            None => Handle::current(),
        }
    }

    /// Runs `work`, to its end even if nobody waits for it any longer, unless the app wants it cancelled then; in any case
    /// until the deadline.
    pub(crate) fn run<T, W>(
        &self,
        terms: Terms,
        work: W,
    ) -> impl Future<Output = Result<T, Failure>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let caller = Caller::of(&terms);
        let has_left = Arc::clone(&caller.has_left);
        let work = async move {
            let Terms { deadline, hold } = terms;
            let _kept = hold;
            let Some(at) = deadline else {
                return Ok(work.await);
            };
            timeout_at(at, work).await.map_err(|_| {
                let limit = deadline_reached();
                if has_left.load(Ordering::Relaxed) {
                    tracing::error!(
                        target: LOGGER,
                        errorType = limit.error_type(),
                        "Invocation ended at its limit, after its caller had left"
                    );
                }
                limit
            })
        };
        let work = work.instrument(Span::current());
        let task = self.spawn(self.plain.track_future(work));
        let cancels = self.caller_leaves == CallerLeaves::Cancel;
        let mut task = Work { task, cancels };
        async move {
            let _caller = caller;
            let ended = (&mut task.task).await;
            ended.map_err(lost).flatten()
        }
    }

    /// The same for work that blocks its thread, which nothing can end.
    pub(crate) fn run_blocking<T, W>(
        &self,
        terms: Terms,
        work: W,
    ) -> impl Future<Output = Result<T, Failure>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let (span, token) = (Span::current(), self.plain.token());
        let work = move || {
            let _running = (token, terms.hold);
            span.in_scope(work)
        };
        let task = match &self.runtime {
            Some(runtime) => runtime.spawn_blocking(work),
            None => tokio::spawn(async move { work() }),
        };
        async { task.await.map_err(lost) }
    }

    /// Runs `work` for as long as somebody waits for its end; dropping the future ends it at the point where it waits.
    pub(crate) fn run_while_wanted<T, W>(
        &self,
        hold: Hold,
        work: W,
    ) -> impl Future<Output = Result<T, Failure>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let work = async move {
            let _kept = hold;
            work.await
        };
        let work = work.instrument(Span::current());
        let mut task = Work {
            task: self.spawn(self.plain.track_future(work)),
            cancels: true,
        };
        async move { (&mut task.task).await.map_err(lost) }
    }

    /// Opens a stream and reads ahead of whoever takes its items. Dropping either future or stream ends the work at once.
    pub(crate) fn stream<S, O>(
        &self,
        terms: Terms,
        open: O,
    ) -> impl Future<Output = Result<EventStream, Failure>> + Send + use<S, O>
    where
        O: Future<Output = Result<S, Failure>> + Send + 'static,
        S: Stream<Item = Result<StreamItem, Failure>> + Send + 'static,
    {
        let (opened, opening) = oneshot::channel();
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let work = async move {
            let _kept = terms.hold;
            produce(open, opened, sender).await;
        };
        let task = self.spawn(work.instrument(Span::current()));
        async move {
            let mut items = Items::new(receiver, task);
            match opening.await {
                Ok(Ok(())) => Ok(Box::pin(items) as EventStream),
                Ok(Err(failure)) => Err(failure),
                // Gone without a word: only a panic does that, or the end of the threads.
                Err(_) => match items.next().await {
                    Some(Err(failure)) => Err(failure),
                    _ => Err(shutting_down()),
                },
            }
        }
    }

    /// Returns what goes on with an answer when its handler has returned.
    pub(crate) fn relay(&self, terms: &Terms) -> Relay {
        Relay {
            threads: self.handle(),
            hold: terms.hold.clone(),
        }
    }

    /// Waits until what [`Isolate::run`] and [`Isolate::run_blocking`] began has ended, for as long as `grace`; logs what has not.
    pub(crate) fn finish(&self, grace: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.plain.close();
        let plain = self.plain.clone();
        async move {
            if timeout(grace, plain.wait()).await.is_err() {
                tracing::warn!(
                    target: LOGGER,
                    "Ending what still runs on the agent's threads (invocations: {})",
                    plain.len()
                );
            }
        }
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match &self.runtime {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        }
    }
}

impl Drop for Isolate {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn start_threads() -> io::Result<Runtime> {
    // Two at least: on a machine with one processor, one blocked handler would otherwise stop all others.
    let threads = available_parallelism().map_or(2, |threads| threads.get().max(2));
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("agent")
        .enable_all()
        .build()
}

/// Opens a stream, says whether that worked, and sends its items for as long as somebody wants them.
async fn produce<S>(
    open: impl Future<Output = Result<S, Failure>> + Send,
    opened: oneshot::Sender<Result<(), Failure>>,
    items: mpsc::Sender<Result<StreamItem, Failure>>,
) where
    S: Stream<Item = Result<StreamItem, Failure>> + Send,
{
    let stream = match open.await {
        Ok(stream) => stream,
        Err(failure) => {
            let _ = opened.send(Err(failure));
            return;
        }
    };
    if opened.send(Ok(())).is_err() {
        return;
    }
    send_all(stream, items).await;
}

async fn send_all<T>(
    stream: impl Stream<Item = Result<T, Failure>> + Send,
    items: mpsc::Sender<Result<T, Failure>>,
) {
    let mut stream = pin!(stream);
    while let Some(item) = stream.next().await {
        if items.send(item).await.is_err() {
            return;
        }
    }
}

/// The agent's threads, for the part of an answer that takes time after its handler has returned.
pub(crate) struct Relay {
    threads: Handle,
    hold: Hold,
}

impl Relay {
    /// Takes the items of `stream` on the agent's threads, ahead of whoever takes them here, and keeps the invocation's place
    /// until its end. Dropping what this returns ends the work at once.
    pub(crate) fn stream<T, S>(self, stream: S) -> Items<T>
    where
        T: Send + 'static,
        S: Stream<Item = Result<T, Failure>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let work = async move {
            let _kept = self.hold;
            send_all(stream, sender).await;
        };
        let task = self.threads.spawn(work.instrument(Span::current()));
        Items::new(receiver, task)
    }
}

/// The items of a stream that is produced on the agent's threads.
pub(crate) struct Items<T> {
    receiver: mpsc::Receiver<Result<T, Failure>>,
    /// Filled from the channel at once, so that a producer that waits is woken once and not for each item.
    batch: Vec<Result<T, Failure>>,
    ready: vec::IntoIter<Result<T, Failure>>,
    /// Gone once its end is known.
    producer: Option<Work<()>>,
}

impl<T> Items<T> {
    fn new(receiver: mpsc::Receiver<Result<T, Failure>>, task: JoinHandle<()>) -> Self {
        Self {
            receiver,
            batch: Vec::with_capacity(READ_AHEAD),
            ready: Vec::new().into_iter(),
            producer: Some(Work {
                task,
                cancels: true,
            }),
        }
    }
}

impl<T> Unpin for Items<T> {}

impl<T> Stream for Items<T> {
    type Item = Result<T, Failure>;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(item) = this.ready.next() {
            return Poll::Ready(Some(item));
        }
        let received = this
            .receiver
            .poll_recv_many(task, &mut this.batch, READ_AHEAD);
        if std::task::ready!(received) > 0 {
            this.ready = std::mem::take(&mut this.batch).into_iter();
            return Poll::Ready(this.ready.next());
        }
        // No item will come; a panic is the one end that must not look like a normal one.
        let Some(producer) = &mut this.producer else {
            return Poll::Ready(None);
        };
        let ended = std::task::ready!(Pin::new(&mut producer.task).poll(task));
        this.producer = None;
        Poll::Ready(ended.err().map(|error| Err(lost(error))))
    }
}

/// A task that, if it `cancels`, ends when nobody waits for it any longer.
struct Work<T> {
    task: JoinHandle<T>,
    cancels: bool,
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        if self.cancels {
            self.task.abort();
        }
    }
}

/// The caller of an invocation, who may leave before it ends: nobody else tells then how it ended.
struct Caller {
    has_left: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Caller {
    fn of(terms: &Terms) -> Self {
        Self {
            has_left: Arc::default(),
            deadline: terms.deadline,
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // At the deadline itself it is the server that leaves, and tells.
        if self.deadline.is_some_and(|at| Instant::now() < at) {
            self.has_left.store(true, Ordering::Relaxed);
        }
    }
}

/// Describes a task that ended without a result.
fn lost(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => Failure::from_panic(&*panic),
        Err(_) => shutting_down(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::log::Captured;

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_at_its_limit_is_told_by_one_side() {
        for leaves in [false, true] {
            let captured = Captured::start();
            let isolate = Isolate::start(Threads::Shared, CallerLeaves::Finish).unwrap();
            let terms = Terms {
                deadline: Some(Instant::now() + Duration::from_secs(1)),
                hold: Hold::default(),
            };
            let mut waiting = Box::pin(isolate.run(terms, std::future::pending::<()>()));
            assert!(waiting.as_mut().now_or_never().is_none());
            if leaves {
                drop(waiting);
            } else {
                assert_eq!(waiting.await, Err(deadline_reached()));
            }
            isolate.finish(Duration::from_secs(9)).await;
            let told = captured.lines().concat();
            let line =
                r#""ERROR", "message": "Invocation ended at its limit, after its caller had left""#;
            assert_eq!(told.contains(line), leaves, "{told}");
        }
    }
}
