//! Background tasks: work that goes on after the invocation that started it, and keeps the sandbox alive by `HealthyBusy`.
//!
//! Three ways to say that there is work: a manual pair of calls, a guard, and a spawned future, which is the only kind that
//! can be cut. Tasks have no time limit. This module never answers a ping; `health` asks it.

mod id;
mod shutdown;
mod spawned;
mod table;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Handle;

pub use self::id::TaskId;
pub use self::spawned::{TaskError, TaskHandle};
use self::table::{Kind, Shared};
use crate::log::LOGGER;
use crate::sessions::{Lease, RenewableLease};

/// The background tasks of an app.
///
/// As long as there is one, the app's automatic status is `HealthyBusy`, and the platform leaves the sandbox alone though no
/// invocation comes. Cloning is cheap, and every clone is about the same tasks. Those that are started through a
/// [`Context`](crate::Context) also keep its session open until they end, and their lines in the log carry
/// the ids of the invocation.
///
/// ```
/// use agentcore_runtime::{App, Context};
/// use serde_json::{Value, json};
///
/// async fn answer(payload: Value, context: Context) -> Value {
///     context.tasks().spawn_task("index", async move { index(&payload).await });
///     json!({ "accepted": true })
/// }
/// # async fn index(_: &Value) {}
/// # drop(App::new(answer));
/// ```
#[derive(Clone, Default)]
pub struct Tasks {
    shared: Arc<Shared>,
    /// Of the invocation that has these; what is begun through them keeps the session, they themselves do not.
    lease: Option<RenewableLease>,
}

/// What runs in the background now, as the debug action `job_status` tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskInfo {
    /// How many tasks there are.
    pub active_count: usize,
    /// The tasks, in the order in which they started.
    pub running_jobs: Vec<RunningJob>,
}

/// One background task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunningJob {
    /// The name that it was started with; names need not be unique.
    pub name: String,
    /// How long it has run, in seconds.
    pub duration: f64,
}

/// A background task that ends when this is dropped: at the end of a scope, by a panic, or with a future that is cancelled.
#[derive(Debug)]
#[must_use = "the task ends when its guard is dropped"]
pub struct TaskGuard {
    tasks: Tasks,
    id: TaskId,
}

impl Tasks {
    /// Notes that a task of that name has begun; it runs until [`Tasks::complete_async_task`] is told its id.
    ///
    /// Nothing ends it otherwise, a panic or the end of the invocation included, so that the app may stay `HealthyBusy` for
    /// ever: prefer [`Tasks::guard`] or [`Tasks::spawn_task`] where the work is in this process.
    pub fn add_async_task(&self, name: impl Into<String>) -> TaskId {
        self.begin(name.into(), Kind::Manual, Value::Null)
    }

    /// The same with something to remember about the task, for [`Tasks::metadata`].
    ///
    /// Metadata is neither logged nor listed by [`Tasks::info`].
    pub fn add_async_task_with(&self, name: impl Into<String>, metadata: Value) -> TaskId {
        self.begin(name.into(), Kind::Manual, metadata)
    }

    /// Notes that a task that was added has ended. Returns `false`, and logs a warning, if there is none of that id:
    /// unknown, completed already, or one that ends by itself.
    pub fn complete_async_task(&self, id: TaskId) -> bool {
        let completed = self.complete(id, Kind::Manual);
        if !completed {
            tracing::warn!(target: LOGGER, "Attempted to complete unknown task ID: {id}");
        }
        completed
    }

    /// Returns what [`Tasks::add_async_task_with`] was given, as long as the task runs.
    pub fn metadata(&self, id: TaskId) -> Option<Value> {
        self.shared.metadata(id)
    }

    /// Begins a task that ends when the guard is dropped.
    ///
    /// ```
    /// # use agentcore_runtime::Tasks;
    /// async fn sync_files(tasks: &Tasks) -> std::io::Result<()> {
    ///     let _task = tasks.guard("sync-files");
    ///     copy().await?; // Whether this fails, panics or is cancelled, the task has ended then.
    ///     Ok(())
    /// }
    /// # async fn copy() -> std::io::Result<()> { Ok(()) }
    /// # drop(sync_files(&Tasks::default()));
    /// ```
    pub fn guard(&self, name: impl Into<String>) -> TaskGuard {
        TaskGuard {
            id: self.begin(name.into(), Kind::Guard, Value::Null),
            tasks: self.clone(),
        }
    }

    /// Returns what runs now.
    pub fn info(&self) -> TaskInfo {
        let running_jobs = self.shared.jobs();
        TaskInfo {
            active_count: running_jobs.len(),
            running_jobs,
        }
    }

    /// Completes when the server begins to shut down; from then on, tasks have the grace period left
    /// ([`App::drain`](crate::App::drain)) before they are cut.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use agentcore_runtime::Tasks;
    /// async fn poll_for_ever(tasks: Tasks) {
    ///     loop {
    ///         tokio::select! {
    ///             () = tasks.stopping() => return, // After saving what must not be lost.
    ///             () = tokio::time::sleep(Duration::from_secs(5)) => poll().await,
    ///         }
    ///     }
    /// }
    /// # async fn poll() {}
    /// # drop(poll_for_ever(Tasks::default()));
    /// ```
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        self.shared.stopping.clone().cancelled_owned()
    }

    /// Returns whether the server has begun to shut down; for code that cannot wait for [`Tasks::stopping`].
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.is_cancelled()
    }

    /// Says where tasks run from now on, and begins those that waited for it.
    pub(crate) fn start(&self, threads: &Handle) {
        self.shared.start(threads);
    }

    /// The same tasks; those that are started through it keep a session open.
    pub(crate) fn within(&self, lease: &Lease) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            lease: Some(lease.renewable()),
        }
    }

    /// Returns whether there is one.
    pub(crate) fn is_busy(&self) -> bool {
        self.shared.is_busy()
    }

    fn begin(&self, name: String, kind: Kind, metadata: Value) -> TaskId {
        let lease = self.lease.as_ref().and_then(RenewableLease::renew);
        self.shared.begin(name, kind, metadata, lease)
    }

    /// Ends a task of that kind, and says so in the log.
    fn complete(&self, id: TaskId, kind: Kind) -> bool {
        let Some(entry) = self.shared.take(id, kind) else {
            return false;
        };
        let took = entry.started.elapsed().as_secs_f64();
        entry.span.in_scope(|| {
            tracing::info!(
                target: LOGGER,
                "Async task completed: {} (ID: {id}, Duration: {took:.2}s)",
                entry.name
            );
        });
        true
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks")
            .field("active_count", &self.shared.count())
            .finish_non_exhaustive()
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.tasks.complete(self.id, Kind::Guard);
    }
}

#[cfg(test)]
mod tests;
