//! The threads that run the agent's code, apart from those that answer `/ping`.
//!
//! A handler that blocks its thread would otherwise silence the server: measured, `/ping` then waits for as long as the
//! handler does, even on a multi-threaded runtime. So the agent has a tokio runtime of its own: asynchronous code
//! runs on its workers, synchronous code on its blocking pool.

mod lanes;
mod result;
mod running;
mod stream;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use self::lanes::Lanes;
use self::result::result;
use self::running::{Bounded, Wanted, log_for_nobody, lost};
use self::stream::{READ_AHEAD, produce};
use crate::agent::{BoxFuture, EventStream, Invocation, StreamItem};
use crate::failure::Failure;
use crate::limits::{Hold, shutting_down};
use crate::log::LOGGER;
use crate::server::Stepper;

pub(crate) use self::running::Running;
pub(crate) use self::stream::{Items, Relay};

/// Where the agent's code runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Threads {
    /// On threads of its own: a handler that blocks delays neither `/ping` nor the server.
    #[default]
    Own,
    /// On the threads of the server, which saves a change of thread an invocation. For agents that never block: one
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
    stepper: Stepper,
}

impl Terms {
    /// Takes the conditions of an invocation; the work keeps its place.
    pub(crate) fn of(invocation: &Invocation) -> Self {
        Self {
            deadline: invocation.deadline,
            hold: invocation.hold.clone(),
            stepper: invocation.stepper.clone(),
        }
    }
}

/// The agent's threads. Dropping it, also within asynchronous code, cuts what still runs on them.
pub(crate) struct Isolate {
    /// `None` where the server's threads are shared. Taken out when dropped: a runtime that is dropped within another one
    /// panics.
    runtime: Option<(Runtime, Lanes)>,
    caller_leaves: CallerLeaves,
    plain: TaskTracker,
    /// Cancelled when this is dropped: ends what shared threads still do for nobody.
    end: Arc<CancellationToken>,
}

impl Isolate {
    /// Starts the threads.
    pub(crate) fn start(threads: Threads, caller_leaves: CallerLeaves) -> io::Result<Self> {
        let runtime = match threads {
            Threads::Own => {
                let runtime = start_threads()?;
                let lanes = Lanes::new(runtime.handle().clone());
                Some((runtime, lanes))
            }
            Threads::Shared => None,
        };
        Ok(Self {
            runtime,
            caller_leaves,
            plain: TaskTracker::new(),
            end: Arc::default(),
        })
    }

    /// Returns the threads, for work that is not an invocation's.
    pub(crate) fn handle(&self) -> Handle {
        match &self.runtime {
            Some((runtime, _)) => runtime.handle().clone(),
            None => Handle::current(),
        }
    }

    /// Runs `work`, to its end even if nobody waits for it any longer, unless the app wants it cancelled then; in any case
    /// until the deadline.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        terms: Terms,
        work: BoxFuture<'static, Result<T, Failure>>,
    ) -> Running<T> {
        let Terms {
            deadline,
            hold,
            stepper,
        } = terms;
        let work = Bounded::new((deadline, hold), self.plain.token(), work);
        match &self.runtime {
            Some((_, lanes)) => Running::apart(work, lanes, stepper, self.caller_leaves),
            None => Running::here(work, self.caller_leaves, &self.end),
        }
    }

    /// The same for work that blocks its thread, which nothing can end.
    pub(crate) fn run_blocking<T: Send + 'static>(
        &self,
        terms: Terms,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Running<T> {
        let (promise, awaited) = result(terms.stepper);
        let (span, kept) = (Span::current(), (self.plain.token(), terms.hold));
        let work = move || {
            let result = span.in_scope(|| catch_unwind(AssertUnwindSafe(work)));
            let result = result.unwrap_or_else(|panic| Err(Failure::from_panic(&*panic)));
            if promise.is_forgotten() {
                span.in_scope(|| log_for_nobody(&result));
            }
            drop((kept, span));
            promise.keep(result);
        };
        match &self.runtime {
            Some((runtime, _)) => drop(runtime.spawn_blocking(work)),
            None => drop(tokio::spawn(async { work() })),
        }
        Running::blocking(awaited)
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
        let mut task = Wanted(self.spawn(self.plain.track_future(work)));
        async move { (&mut task.0).await.map_err(lost) }
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
            Some((runtime, _)) => runtime.spawn(work),
            None => tokio::spawn(work),
        }
    }
}

impl Drop for Isolate {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some((runtime, _)) = self.runtime.take() {
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::limits::deadline_reached;
    use crate::log::Captured;

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_at_its_limit_is_told_by_one_side() {
        for leaves in [false, true] {
            let captured = Captured::start();
            let isolate = Isolate::start(Threads::Shared, CallerLeaves::Finish).unwrap();
            let terms = Terms {
                deadline: Some(Instant::now() + Duration::from_secs(1)),
                hold: Hold::default(),
                stepper: Stepper::default(),
            };
            let work = std::future::pending::<Result<(), Failure>>();
            let mut waiting = Box::pin(isolate.run(terms, Box::pin(work)));
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

    #[tokio::test]
    async fn a_failure_that_no_caller_waits_for_is_told() {
        let captured = Captured::start();
        let isolate = Isolate::start(Threads::Shared, CallerLeaves::Finish).unwrap();
        let terms = || Terms {
            deadline: None,
            hold: Hold::default(),
            stepper: Stepper::default(),
        };
        let (go_on, going) = oneshot::channel::<()>();
        let work = async {
            let _ = going.await;
            Err::<(), _>(Failure::internal("the payment failed"))
        };
        let mut waiting = Box::pin(isolate.run(terms(), Box::pin(work)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(waiting);
        drop(isolate.run_blocking(terms(), || Err::<(), _>(Failure::internal("no stock"))));
        go_on.send(()).unwrap();
        isolate.finish(Duration::from_secs(9)).await;
        let lines = captured.lines();
        for error in ["the payment failed", "no stock"] {
            let told = lines.iter().filter(|line| {
                line.contains("Invocation failed, after its caller had left")
                    && line.contains(error)
            });
            assert_eq!(told.count(), 1, "{lines:?}");
        }
    }
}
