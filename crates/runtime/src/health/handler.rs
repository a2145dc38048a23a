//! The shapes of function that tell an app's status.
//!
//! The traits are implemented for functions and for what they return, and are not meant to be implemented elsewhere; their
//! parameter only tells the shapes apart and is always inferred.

use std::cell::OnceCell;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::custom::Custom;
use crate::PingStatus;
use crate::app::App;
use crate::failure::Failure;
use crate::handler::{Later, Now};
use crate::reply::IntoFailure;

impl App {
    /// Sets a function that tells the app's status, instead of whether there are background tasks.
    ///
    /// It is an `fn` or `async fn` without parameters that returns a [`PingStatus`], an `Option` of it (`None`: as without
    /// it), or a `Result` of either; after an error or a panic, which are logged, the status is as without it. A status
    /// that is forced ([`Health::force_ping_status`](crate::Health::force_ping_status)) comes first, and the function is
    /// not asked.
    ///
    /// Each ping asks it, on a thread of its own, so that the agent's threads may all be blocked; pings that come together
    /// share one answer. A ping waits one second for it, then falls back as after an error; as long as the function is that
    /// slow, later pings do not wait, and tell what it said last, if it did within the last minute. An `async fn` is
    /// cancelled after that second; an `fn` cannot be.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use agentcore_runtime::{App, PingStatus};
    /// use serde_json::Value;
    ///
    /// let queued = Arc::new(AtomicUsize::new(0));
    /// let app = App::new(async |payload: Value| payload).ping(move || {
    ///     (queued.load(Ordering::Relaxed) > 0).then_some(PingStatus::HealthyBusy)
    /// });
    /// # drop(app);
    /// ```
    pub fn ping<M>(self, handler: impl PingHandler<M>) -> Self {
        self.health().set_custom(Custom::new(handler));
        self
    }
}

/// A function that tells an app's status.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a ping handler",
    note = "write an `fn` or `async fn` without parameters that returns a `PingStatus`, an `Option<PingStatus>`, or a `Result` of either",
    note = "an error implements `std::error::Error`, or it is a boxed error or a `String`"
)]
pub trait PingHandler<M>: Send + Sync + 'static {
    /// Asks the function on the thread for pings.
    fn ask(&self, thread: &PingThread) -> Asked;
}

/// What a ping handler may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a ping status",
    note = "a ping handler returns a `PingStatus`, an `Option<PingStatus>`, or a `Result` of either"
)]
pub trait IntoPingStatus<M> {
    /// Turns the value into a status, into none, or into the failure that it stands for.
    fn into_ping_status(self) -> Result<Option<PingStatus>, Failure>;
}

/// Marks a status.
pub enum Status {}

impl IntoPingStatus<Status> for PingStatus {
    fn into_ping_status(self) -> Result<Option<PingStatus>, Failure> {
        Ok(Some(self))
    }
}

impl IntoPingStatus<Status> for Option<PingStatus> {
    fn into_ping_status(self) -> Result<Option<PingStatus>, Failure> {
        Ok(self)
    }
}

impl<S, E, M, N> IntoPingStatus<(M, N)> for Result<S, E>
where
    S: IntoPingStatus<M>,
    E: IntoFailure<N>,
{
    fn into_ping_status(self) -> Result<Option<PingStatus>, Failure> {
        self.map_err(E::into_failure)?.into_ping_status()
    }
}

impl<F, R, M> PingHandler<(Now, M)> for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: IntoPingStatus<M>,
{
    fn ask(&self, _: &PingThread) -> Asked {
        Asked(Answer::of(self().into_ping_status()))
    }
}

impl<F, R, M> PingHandler<(Later, M)> for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output: IntoPingStatus<M>>,
{
    fn ask(&self, thread: &PingThread) -> Asked {
        Asked(thread.wait(|| async { self().await.into_ping_status() }))
    }
}

/// What a handler said when it was asked.
pub struct Asked(pub(super) Answer);

/// The same, for this module.
#[derive(Debug)]
pub(super) enum Answer {
    /// A status, or that it is automatic.
    Told(Option<PingStatus>),
    /// An error or a panic.
    Failed(Failure),
    /// Nothing, within its time.
    Late,
}

impl Answer {
    fn of(told: Result<Option<PingStatus>, Failure>) -> Self {
        told.map_or_else(Self::Failed, Self::Told)
    }
}

/// The thread that asks ping handlers, and nothing that others could use of it.
pub struct PingThread {
    limit: Duration,
    /// Made when the first asynchronous handler is asked: one that is not may not run within a runtime, as blocking clients
    /// refuse that.
    runtime: OnceCell<Runtime>,
}

impl PingThread {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            runtime: OnceCell::new(),
        }
    }

    fn wait<F>(&self, work: impl FnOnce() -> F) -> Answer
    where
        F: Future<Output = Result<Option<PingStatus>, Failure>>,
    {
        let runtime = match self.runtime.get() {
            Some(runtime) => runtime,
            None => match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => self.runtime.get_or_init(|| runtime),
                Err(error) => {
                    let text = format!("no runtime for it could be started: {error}");
                    return Answer::Failed(Failure::internal(text));
                }
            },
        };
        // Called within the runtime too: the function may make its timers before its future is polled.
        runtime
            .block_on(async { timeout(self.limit, async { work().await }).await })
            .map_or(Answer::Late, Answer::of)
    }
}
