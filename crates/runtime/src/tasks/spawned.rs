//! Tasks that are futures: they begin, run and end by themselves on the agent's threads.
//!
//! A task is cut by its token and not by tokio's abort, so that the books are in order, and its own future gone, before
//! anybody hears that it has ended.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::table::{Kind, Shared};
use super::{TaskId, Tasks};
use crate::failure::Failure;
use crate::log::LOGGER;
use crate::reply::{Boxed, DynError, Text, Typed};

/// The result of a spawned task, to wait for or to leave: a task whose handle is dropped goes on.
pub struct TaskHandle<T> {
    result: oneshot::Receiver<Result<T, TaskError>>,
    stop: CancellationToken,
    /// Where it is in the books; `None` if it never began.
    place: Option<(Arc<Shared>, TaskId)>,
}

/// Why a spawned task has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It panicked, and said this.
    #[error("{0}")]
    Panicked(String),
    /// It was aborted, or cut because the server shut down, or never began because it had.
    #[error("the task was cut before its end")]
    Cut,
}

/// An error that a task returned, as the log has it: any `Error`, one behind a box, or a text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the error of a task",
    note = "it implements `std::error::Error`, or it is a boxed error, a `String` or a `&str`"
)]
pub trait TaskFailure<M> {
    /// Returns the failure that the error stands for.
    fn failure(&self) -> Failure;
}

impl<E: std::error::Error + 'static> TaskFailure<Typed> for E {
    fn failure(&self) -> Failure {
        Failure::from_typed(self)
    }
}

impl<E: std::ops::Deref<Target: DynError>> TaskFailure<Boxed> for E {
    fn failure(&self) -> Failure {
        Failure::from_error(self.as_error())
    }
}

impl TaskFailure<Text> for String {
    fn failure(&self) -> Failure {
        Failure::internal(self.as_str())
    }
}

impl TaskFailure<Text> for &'static str {
    fn failure(&self) -> Failure {
        Failure::internal(*self)
    }
}

impl Tasks {
    /// Runs a future as a background task on the agent's threads; it goes on after the invocation that started it.
    ///
    /// The handle is a future of the result. A panic ends the task alone, and is logged. An `Err` that the future returns
    /// is a result like any other and is not: [`Tasks::spawn_fallible_task`] logs it.
    ///
    /// Before the app is served, the task runs on the tokio runtime at hand; if there is none, it waits until the app is
    /// served. When the server shuts down, the task is told ([`Tasks::stopping`]), has the grace period left, and is cut
    /// where it waits. Once it has shut down, a task does not begin any more: its handle says [`TaskError::Cut`].
    ///
    /// ```
    /// # use agentcore_runtime::{TaskError, Tasks};
    /// # async fn example(tasks: &Tasks) -> Result<(), TaskError> {
    /// let sum = tasks.spawn_task("sum", async { (1..=10).sum::<u32>() });
    /// assert_eq!(sum.await?, 55);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(example(&Tasks::default()))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_task<F>(&self, name: impl Into<String>, future: F) -> TaskHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.launch(name.into(), future, |_| None)
    }

    /// As [`Tasks::spawn_task`], for a future of a `Result`: an error is logged as `Async task failed: <name>`, with its
    /// type and its text, whether anybody waits for the handle or not.
    ///
    /// ```
    /// # use agentcore_runtime::Tasks;
    /// # fn example(tasks: &Tasks) {
    /// tasks.spawn_fallible_task("tidy", async {
    ///     tokio::fs::remove_dir_all("/tmp/scratch").await
    /// });
    /// # }
    /// # mod tokio { pub mod fs { pub async fn remove_dir_all(_: &str) -> std::io::Result<()> { Ok(()) } } }
    /// ```
    pub fn spawn_fallible_task<T, E, M>(
        &self,
        name: impl Into<String>,
        future: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> TaskHandle<Result<T, E>>
    where
        T: Send + 'static,
        E: TaskFailure<M> + Send + 'static,
    {
        self.launch(name.into(), future, |result| {
            result.as_ref().err().map(TaskFailure::failure)
        })
    }

    fn launch<F>(
        &self,
        name: String,
        future: F,
        failure_in: fn(&F::Output) -> Option<Failure>,
    ) -> TaskHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (tell, result) = oneshot::channel();
        let stop = self.shared.cut.child_token();
        let mut handle = TaskHandle {
            result,
            stop: stop.clone(),
            place: None,
        };
        if stop.is_cancelled() {
            tracing::warn!(target: LOGGER, "Async task not started, the server has shut down: {name}");
            return handle;
        }
        let id = self.begin(name.clone(), Kind::Spawned, Value::Null);
        handle.place = Some((Arc::clone(&self.shared), id));
        tracing::debug!(target: LOGGER, "Starting async task: {name}");
        let books = Books {
            tasks: self.clone(),
            id,
            name,
            started: Instant::now(),
        };
        let work = run(future, stop, failure_in, books, tell);
        self.shared.run(Box::pin(work.instrument(Span::current())));
        handle
    }
}

/// Runs a task to its end, or until it has to stop; its future is the first thing that is dropped, in either case.
async fn run<F: Future>(
    future: F,
    stop: CancellationToken,
    failure_in: fn(&F::Output) -> Option<Failure>,
    books: Books,
    tell: oneshot::Sender<Result<F::Output, TaskError>>,
) {
    let result = tokio::select! {
        biased;
        () = stop.cancelled() => Err(TaskError::Cut),
        ended = AssertUnwindSafe(future).catch_unwind() => {
            ended.map_err(|panic| TaskError::Panicked(Failure::from_panic(&*panic).to_string()))
        }
    };
    match &result {
        Ok(output) => books.close(failure_in(output)),
        Err(TaskError::Cut) => books.close_cut(),
        Err(panicked) => {
            books.close(Some(
                Failure::internal(panicked.to_string()).with_type("Panic"),
            ));
        }
    }
    let _ = tell.send(result); // Nobody has to be interested.
}

/// The entry of a task that runs, and the lines about its end.
struct Books {
    tasks: Tasks,
    id: TaskId,
    name: String,
    started: Instant,
}

impl Books {
    fn close(self, failure: Option<Failure>) {
        let (name, took) = (&self.name, self.started.elapsed().as_secs_f64());
        match failure {
            None => tracing::info!(target: LOGGER, "Async task completed: {name} ({took:.3}s)"),
            Some(failure) => tracing::error!(
                target: LOGGER,
                errorType = failure.error_type().unwrap_or("Error"),
                errorMessage = failure.to_string(),
                cause = failure.cause(),
                "Async task failed: {name} ({took:.3}s)"
            ),
        }
        self.tasks.complete(self.id, Kind::Spawned);
    }

    fn close_cut(self) {
        if self.tasks.shared.cut.is_cancelled() {
            // The shutdown names all that it cuts in one line.
            self.tasks.shared.take_cut(self.id);
        } else {
            self.tasks.complete(self.id, Kind::Spawned);
        }
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        // Still there only if the task was dropped as it is, as when its threads end under it.
        if self.tasks.shared.take(self.id, Kind::Spawned).is_some() {
            let (name, took) = (&self.name, self.started.elapsed().as_secs_f64());
            tracing::warn!(target: LOGGER, "Async task cut: {name} ({took:.3}s)");
        }
    }
}

impl<T> TaskHandle<T> {
    /// Cuts the task where it waits; the handle then says [`TaskError::Cut`]. One that has ended stays as it is.
    pub fn abort(&self) {
        self.stop.cancel();
    }

    /// Returns whether the task has ended, in whatever way.
    pub fn is_finished(&self) -> bool {
        let place = self.place.as_ref();
        place.is_none_or(|(shared, id)| !shared.has(*id))
    }
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.result).poll(context));
        // Gone without a word: its threads have ended.
        Poll::Ready(result.unwrap_or(Err(TaskError::Cut)))
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}
