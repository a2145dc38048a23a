//! A sandbox that is a container: how it is started, how its end is told from the end of its engine, and how it is
//! removed.
//!
//! One life at a time. What the containers of a front door share is in `fleet`.

mod fleet;
mod listening;
mod logs;
mod orphans;
mod request;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentcore_docker::{ContainerState, EngineError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::process::LineSink;
use super::{End, Sandbox};
use crate::error::{ContainerEnd, EndCause};
use crate::process_tree::GRACE;

use fleet::Started;

pub(crate) use fleet::Fleet;
pub(crate) use listening::Listening;
pub use orphans::end_orphan_containers;

/// How long the last lines of a container may take after it has ended.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What an engine may need to stop a container beyond the grace that the container has.
const STOP_SLACK: Duration = Duration::from_secs(10);

/// How long an engine may be away before its containers count as gone with it.
pub(crate) const DOUBT_LIMIT: Duration = Duration::from_secs(4);

/// What engines, shells and inits add to the number of the signal that ended a program.
const SIGNALLED: i32 = 128;

/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(200);

/// A running container.
#[derive(Debug)]
pub(crate) struct Container {
    fleet: Arc<Fleet>,
    inner: agentcore_docker::Container,
    sandbox: String,
    /// Whether its name tells its session.
    is_named: bool,
    has_ended: bool,
    log: JoinHandle<()>,
}

/// What is known of a container while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    id: String,
    /// Its main process on the engine's machine.
    pid: Option<u32>,
    pub(crate) port: u16,
}

impl Inside {
    /// The id as far as people need it.
    pub(crate) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Where something listens in it, if the kernel tells.
    pub(crate) fn listening(&self) -> Option<Listening> {
        Listening::of_process(self.pid?, &self.id)
    }
}

impl Container {
    /// Starts a container for `sandbox` and says where it is reached.
    ///
    /// # Errors
    ///
    /// Fails with the cause if there is none; also if the sandbox was asked to end meanwhile.
    pub(crate) async fn start(
        fleet: &Arc<Fleet>,
        sandbox: &Sandbox,
        lines: &LineSink,
    ) -> Result<Self, End> {
        let session = sandbox.session.get();
        let unwanted = || sandbox.asked.borrow().is_some();
        let whose = (sandbox.id.as_str(), session);
        let Started {
            container: inner,
            log,
        } = match fleet.start(whose, lines, unwanted).await {
            Ok(Some(started)) => started,
            Ok(None) => return Err(sandbox.wish().await.into()),
            Err(error) => return Err(not_started(fleet, &error)),
        };
        let container = Self {
            fleet: Arc::clone(fleet),
            sandbox: sandbox.id.clone(),
            is_named: session.is_some(),
            has_ended: false,
            log,
            inner,
        };
        match container.reach(sandbox).await {
            Ok(()) => Ok(container),
            Err(error) => {
                let end = not_started(fleet, &error);
                container.end().await;
                Err(end)
            }
        }
    }

    /// Finds out where it is reached. One that has ended already is no error: its end is told by [`ended`](Self::ended).
    async fn reach(&self, sandbox: &Sandbox) -> Result<(), EngineError> {
        let state = self.inner.state().await?;
        let address = match state.address {
            Some(address) => Some(address),
            None => self.inner.address().await?,
        };
        if let Some(address) = address {
            sandbox.client.place().publish(address);
        }
        let _ = sandbox.inside.set(Inside {
            id: self.inner.id().to_owned(),
            pid: state.pid,
            port: self.fleet.port(),
        });
        Ok(())
    }

    /// Waits until it has ended and its last lines were read. May be dropped and called again.
    ///
    /// A connection that breaks is not its end: `doubt` is set while it is looked for again.
    pub(crate) async fn ended(&mut self, doubt: &AtomicBool) -> End {
        loop {
            let end = match self.inner.wait().await {
                Ok(state) => Some(self.end_of(&state)),
                Err(EngineError::NotFound { .. }) => Some(EndCause::Removed.into()),
                Err(error) => {
                    doubt.store(true, Ordering::Relaxed);
                    let end = self.look_again(&error).await;
                    doubt.store(false, Ordering::Relaxed);
                    end
                }
            };
            if let Some(end) = end {
                self.has_ended = true;
                self.last_lines().await;
                return end;
            }
        }
    }

    /// Returns how it ended, after its engine was lost sight of; `None` if it runs.
    async fn look_again(&self, error: &EngineError) -> Option<End> {
        let deadline = Instant::now() + DOUBT_LIMIT;
        // A connection alone may break for many reasons; an engine that takes none is away.
        let mut was_away = matches!(error, EngineError::Unreachable { .. });
        loop {
            let end: End = match self.inner.state().await {
                Ok(state) if state.running => return None,
                Ok(state) => self.end_of(&state),
                Err(EngineError::NotFound { .. }) => EndCause::Removed.into(),
                Err(error) => {
                    tracing::debug!(%error, "cannot look at a container");
                    was_away = true;
                    if Instant::now() < deadline {
                        sleep(LOOK).await;
                        continue;
                    }
                    return Some(self.engine_gone().into());
                }
            };
            // An engine that ends takes its containers with it: what it says of them is not their own doing.
            return Some(if was_away {
                self.engine_gone().into()
            } else {
                end
            });
        }
    }

    fn engine_gone(&self) -> EndCause {
        EndCause::EngineGone {
            engine: self.fleet.engine().name().to_owned(),
        }
    }

    fn end_of(&self, state: &ContainerState) -> End {
        let exit_code = state.exit_code.unwrap_or_default();
        let oom_killed = state.oom_killed;
        let status = i32::try_from(exit_code).unwrap_or(i32::MAX);
        let cause = match status - SIGNALLED {
            _ if oom_killed && status != 0 => EndCause::OutOfMemory {
                limit: self.fleet.memory(),
            },
            signal @ 1..=31 => EndCause::Signalled { signal },
            _ => EndCause::Exited { status },
        };
        End {
            container: Some(ContainerEnd {
                exit_code,
                oom_killed,
            }),
            reason: state.error.clone(),
            ..cause.into()
        }
    }

    /// Gives it a name that tells its session, once it has one; never completes.
    pub(crate) fn renaming<'s>(
        &self,
        sandbox: &'s Sandbox,
    ) -> impl Future<Output = Infallible> + use<'s> {
        let (inner, is_named) = (self.inner.clone(), self.is_named);
        let fleet = Arc::clone(&self.fleet);
        async move {
            if !is_named {
                let session = sandbox.its_session().await;
                let name = fleet.name(&sandbox.id, session);
                if let Err(error) = inner.rename(&name).await {
                    tracing::debug!(%error, "a container keeps its name");
                }
            }
            std::future::pending().await
        }
    }

    /// Ends and removes it: asked first, and killed after [`GRACE`].
    pub(crate) async fn end(mut self) {
        if !self.has_ended {
            let stopped = timeout(GRACE + STOP_SLACK, self.inner.stop(GRACE)).await;
            if let Ok(Err(error)) = stopped {
                tracing::debug!(%error, "cannot stop a container");
            }
        }
        self.last_lines().await;
        self.fleet.remove(&self.inner, &self.sandbox).await;
    }

    async fn last_lines(&mut self) {
        if !self.log.is_finished() {
            let _ = timeout(LAST_LINES, &mut self.log).await;
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.log.abort();
    }
}

/// What an engine's refusal or silence means for a sandbox that was to be started.
fn not_started(fleet: &Fleet, error: &EngineError) -> End {
    let text = error.to_string();
    let cause = if error.is_away() {
        EndCause::EngineAway {
            engine: fleet.engine().name().to_owned(),
            error: text,
        }
    } else {
        EndCause::NotStarted { error: text }
    };
    End {
        hint: error.hint(),
        ..cause.into()
    }
}
