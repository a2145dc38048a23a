//! The threads that run the agent's code, apart from those that answer `/ping`.
//!
//! A handler that blocks its thread would otherwise silence the server: measured, `/ping` then waits for as long as the
//! handler does, even on a multi-threaded runtime. So the agent has a tokio runtime of its own: asynchronous code
//! runs on its workers, synchronous code on its blocking pool.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll};
use std::thread::available_parallelism;
use std::vec;

use futures_core::Stream;
use futures_util::StreamExt;
use http::StatusCode;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use crate::agent::{EventStream, StreamItem};
use crate::failure::Failure;

/// How many items may wait on either side of the threads' border: enough to spare most of the wake-ups across it.
const READ_AHEAD: usize = 32;

/// The agent's threads. Dropping it, also within asynchronous code, cuts what still runs on them.
pub(crate) struct Isolate {
    /// Taken out when dropped: a runtime that is dropped within another one panics.
    runtime: Option<Runtime>,
    handle: Handle,
    plain: TaskTracker,
}

impl Isolate {
    /// Starts the threads.
    pub(crate) fn start() -> io::Result<Self> {
        // Two at least: on a machine with one processor, one blocked handler would otherwise stop all others.
        let threads = available_parallelism().map_or(2, |threads| threads.get().max(2));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("agent")
            .enable_all()
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            plain: TaskTracker::new(),
        })
    }

    /// Runs `work` to its end, even if nobody waits for it any longer.
    pub(crate) fn run<T, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Failure>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let work = work.instrument(Span::current());
        let task = self.handle.spawn(self.plain.track_future(work));
        async { task.await.map_err(lost) }
    }

    /// The same for work that blocks its thread.
    pub(crate) fn run_blocking<T, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Failure>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        let (span, token) = (Span::current(), self.plain.token());
        let task = self.handle.spawn_blocking(move || {
            let _running = token;
            span.in_scope(work)
        });
        async { task.await.map_err(lost) }
    }

    /// Opens a stream and reads ahead of whoever takes its items. Dropping either future or stream ends the work at once.
    pub(crate) fn stream<S, O>(
        &self,
        open: O,
    ) -> impl Future<Output = Result<EventStream, Failure>> + Send + use<S, O>
    where
        O: Future<Output = Result<S, Failure>> + Send + 'static,
        S: Stream<Item = Result<StreamItem, Failure>> + Send + 'static,
    {
        let (opened, opening) = oneshot::channel();
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let work = produce(open, opened, sender).instrument(Span::current());
        let producer = Producer(self.handle.spawn(work));
        async move {
            let mut items = Items {
                receiver,
                batch: Vec::with_capacity(READ_AHEAD),
                ready: Vec::new().into_iter(),
                producer: Some(producer),
            };
            match opening.await {
                Ok(Ok(())) => Ok(Box::pin(items) as EventStream),
                Ok(Err(failure)) => Err(failure),
                // Gone without a word: only a panic does that, or the end of the threads.
                Err(_) => match items.next().await {
                    Some(Err(failure)) => Err(failure),
                    _ => Err(ended()),
                },
            }
        }
    }

    /// Waits until what [`Isolate::run`] and [`Isolate::run_blocking`] began has ended.
    pub(crate) fn finish(&self) -> impl Future<Output = ()> + Send + use<> {
        self.plain.close();
        let plain = self.plain.clone();
        async move { plain.wait().await }
    }
}

impl Drop for Isolate {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
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
    let mut stream = pin!(stream);
    while let Some(item) = stream.next().await {
        if items.send(item).await.is_err() {
            return;
        }
    }
}

/// The items of a stream that is produced on the agent's threads.
struct Items {
    receiver: mpsc::Receiver<Result<StreamItem, Failure>>,
    /// Filled from the channel at once, so that a producer that waits is woken once and not for each item.
    batch: Vec<Result<StreamItem, Failure>>,
    ready: vec::IntoIter<Result<StreamItem, Failure>>,
    /// Gone once its end is known.
    producer: Option<Producer>,
}

impl Stream for Items {
    type Item = Result<StreamItem, Failure>;

    fn poll_next(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<StreamItem, Failure>>> {
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
        let ended = std::task::ready!(Pin::new(&mut producer.0).poll(task));
        this.producer = None;
        Poll::Ready(ended.err().map(|error| Err(lost(error))))
    }
}

/// A task that ends when nobody waits for it any longer.
struct Producer(JoinHandle<()>);

impl Drop for Producer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Describes a task that ended without a result.
fn lost(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => Failure::from_panic(&*panic),
        Err(_) => ended(),
    }
}

fn ended() -> Failure {
    Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the server is shutting down",
    )
    .with_type("ServerShutdown")
}
