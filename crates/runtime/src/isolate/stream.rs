//! Streams across the border between the agent's threads and the server's: produced on one side, taken on the other.
//!
//! Items go over in batches, and a producer is ahead of its reader by two of them at most.

use std::pin::{Pin, pin};
use std::task::{Context as TaskContext, Poll, ready};
use std::vec;

use futures_core::Stream;
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use super::running::{Wanted, lost};
use crate::agent::StreamItem;
use crate::failure::Failure;
use crate::limits::Hold;

/// How many items may wait on either side of the threads' border: enough to spare most of the wake-ups across it.
pub(super) const READ_AHEAD: usize = 32;

/// Opens a stream, says whether that worked, and sends its items for as long as somebody wants them.
pub(super) async fn produce<S>(
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
    pub(super) threads: Handle,
    pub(super) hold: Hold,
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
    producer: Option<Wanted<()>>,
}

impl<T> Items<T> {
    pub(super) fn new(receiver: mpsc::Receiver<Result<T, Failure>>, task: JoinHandle<()>) -> Self {
        Self {
            receiver,
            batch: Vec::with_capacity(READ_AHEAD),
            ready: Vec::new().into_iter(),
            producer: Some(Wanted(task)),
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
        if ready!(received) > 0 {
            this.ready = std::mem::take(&mut this.batch).into_iter();
            return Poll::Ready(this.ready.next());
        }
        // No item will come; a panic is the one end that must not look like a normal one.
        let Some(producer) = &mut this.producer else {
            return Poll::Ready(None);
        };
        let ended = ready!(Pin::new(&mut producer.0).poll(task));
        this.producer = None;
        Poll::Ready(ended.err().map(|error| Err(lost(error))))
    }
}
