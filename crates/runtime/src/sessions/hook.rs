//! The end of a session: the app's hook, and after it the session's state, on the agent's threads.
//!
//! A hook that fails by a panic is logged and ends nothing else; one that never ends is cut when the server does.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Level};

use super::session::Session;
use super::table::{EndReason, Ended};
use crate::agent::BoxFuture;
use crate::app::App;
use crate::failure::Failure;
use crate::log::LOGGER;

/// How many hooks run at a time: many sessions may end at once, and their hooks share the threads with the handlers.
const AT_A_TIME: usize = 128;

impl App {
    /// Calls `hook` whenever a session has ended, with the session and why it ended; its state is still there, and is dropped
    /// afterwards.
    ///
    /// The hook is an `fn`, which may block, or an `async fn`; either runs on the agent's threads, up to 128 at a time. When
    /// the server ends, every session does, and hooks have up to 5 seconds, though no more than is left of
    /// [`App::drain`]; then an `async fn` is cut. A panic in a hook is logged. An app that is dropped without having been
    /// served to its end runs no hooks. The last hook that is set counts.
    ///
    /// A caller may come back to the same id while the hook runs, and gets a new session then: a hook that saves the state must not
    /// take longer than that one may take to load it, or the two need a lock between them.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use agentcore_runtime::{App, Context, EndReason, Session};
    /// use serde_json::Value;
    ///
    /// #[derive(Default)]
    /// struct History(Mutex<Vec<Value>>);
    ///
    /// async fn remember(payload: Value, context: Context) -> Option<usize> {
    ///     let history = context.session()?.get_or_init(History::default);
    ///     let mut messages = history.0.lock().ok()?;
    ///     messages.push(payload);
    ///     Some(messages.len())
    /// }
    ///
    /// async fn save(session: Session, reason: EndReason) {
    ///     if let Some(history) = session.get::<History>() {
    ///         tracing::info!(%reason, messages = history.0.lock().map_or(0, |it| it.len()), "a session ended");
    ///     }
    /// }
    ///
    /// let app = App::new(remember).on_session_end(save);
    /// # drop(app);
    /// ```
    pub fn on_session_end<R, M>(
        self,
        hook: impl Fn(Session, EndReason) -> R + Send + Sync + 'static,
    ) -> Self
    where
        R: HookReturn<M>,
    {
        let hook = R::hook(Arc::new(hook));
        let before = self.sessions().shared.lock().ends.hook.replace(hook);
        drop(before);
        self
    }
}

/// What a hook may return: nothing, or a future of nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a hook returns",
    note = "write an `fn` or `async fn` of `(Session, EndReason)` that returns nothing"
)]
pub trait HookReturn<M>: Sized {
    /// Forgets the type of a hook.
    fn hook(call: Arc<dyn Fn(Session, EndReason) -> Self + Send + Sync>) -> Hook;
}

/// Marks a hook that runs to its end when it is called.
pub enum Now {}
/// Marks a hook that returns a future.
pub enum Later {}

/// A hook in the one form that is kept.
#[derive(Clone)]
pub struct Hook(Arc<dyn Fn(Ended) -> BoxFuture<'static, Outcome> + Send + Sync>);

/// Whether a hook came to its end, or what it panicked with.
type Outcome = Result<(), Box<dyn Any + Send>>;

impl HookReturn<Now> for () {
    fn hook(call: Arc<dyn Fn(Session, EndReason) + Send + Sync>) -> Hook {
        Hook(Arc::new(move |ended| {
            let (call, span) = (Arc::clone(&call), ended.session.span());
            Box::pin(async move {
                let work = spawn_blocking(move || {
                    let _entered = span.entered();
                    // The state is dropped by itself, and not while a panic unwinds.
                    let run = || call(ended.session.clone(), ended.reason);
                    catch_unwind(AssertUnwindSafe(run))
                });
                // Threads that are going away run nothing any longer.
                work.await.unwrap_or(Ok(()))
            })
        }))
    }
}

impl<F> HookReturn<Later> for F
where
    F: Future<Output = ()> + Send + 'static,
{
    fn hook(call: Arc<dyn Fn(Session, EndReason) -> F + Send + Sync>) -> Hook {
        Hook(Arc::new(move |ended| {
            let call = Arc::clone(&call);
            Box::pin(async move {
                let run = async { call(ended.session.clone(), ended.reason).await };
                let span = ended.session.span();
                AssertUnwindSafe(run).catch_unwind().instrument(span).await
            })
        }))
    }
}

/// What happens to sessions that have ended.
#[derive(Clone)]
pub(super) struct Ends {
    /// The agent's threads, once there are any.
    pub(super) threads: Option<Handle>,
    pub(super) hook: Option<Hook>,
    running: TaskTracker,
    places: Arc<Semaphore>,
    cut: CancellationToken,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            threads: None,
            hook: None,
            running: TaskTracker::new(),
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            cut: CancellationToken::new(),
        }
    }
}

impl Ends {
    /// Begins to run the hook for each, and to drop their states.
    pub(super) fn begin(&self, ended: Vec<Ended>) {
        if tracing::enabled!(target: LOGGER, Level::DEBUG) {
            for Ended { session, reason } in &ended {
                tracing::debug!(target: LOGGER, parent: &session.span(), "Session ended: {reason}");
            }
        }
        match (&self.threads, &self.hook) {
            (Some(threads), Some(hook)) => {
                for ended in ended {
                    let work = self.clone().run(hook.clone(), ended);
                    self.running.spawn_on(work, threads);
                }
            }
            (Some(threads), None) if ended.iter().any(|it| it.session.has_state()) => {
                self.running.spawn_on(async move { drop(ended) }, threads);
            }
            // Nothing of the agent's: dropped here.
            _ => {}
        }
    }

    async fn run(self, Hook(hook): Hook, ended: Ended) {
        let span = ended.session.span();
        let work = async move {
            // The places are never closed.
            let _place = self.places.acquire().await;
            if let Err(panic) = hook(ended).await {
                tracing::error!(
                    target: LOGGER, parent: &span,
                    errorType = "Panic",
                    errorMessage = %Failure::from_panic(&*panic),
                    "The hook for the end of a session panicked"
                );
            }
        };
        self.cut.run_until_cancelled(work).await;
    }

    /// Waits for the hooks that run, cuts those that need more than `time`, and logs how many these are.
    pub(super) async fn finish(&self, time: Duration) {
        self.running.close();
        if timeout(time, self.running.wait()).await.is_err() {
            tracing::warn!(
                target: LOGGER,
                "Hooks for the end of sessions take longer than {time:?}, ending without them (sessions: {})",
                self.running.len()
            );
            self.cut.cancel();
        }
    }
}
