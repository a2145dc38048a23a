//! An agent in worker processes, behind the server's seam: which worker a call goes to, and when a fresh one is started.
//!
//! There is one worker at a time. When it has died, the next call starts another; no call is ever made twice. An agent
//! that does not load the first time will not be tried again: the server is to end then.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentcore_runtime::{Agent, AgentStatus, BoxFuture, Invocation, Outcome};
use tempfile::TempDir;

use crate::LOGGER;
use crate::wire::from_worker::{Source, Status};
use crate::worker::{Death, NotTaken, Worker, WorkerCommand, of_a_death, shutting_down};

/// How many workers may die under a call before they have seen it; more would be an agent that dies of being started.
const TRIES: usize = 3;

/// Socket paths are limited to 104 bytes on some systems; a folder with a shorter path leaves room for names.
const LONGEST_FOLDER: usize = 72;

/// An [`Agent`] whose code runs in a worker process.
#[derive(Debug, Clone)]
pub struct WorkerAgent {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// How a fresh worker is started; `None` where the worker is not ours to start.
    command: Option<WorkerCommand>,
    /// Private, and removed at the end: the sockets are in it.
    folder: TempDir,
    first: Arc<Worker>,
    current: Mutex<Current>,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Current {
    worker: Arc<Worker>,
    number: u64,
}

impl WorkerAgent {
    /// Starts the first worker. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if no private folder for the worker's socket can be made. A worker that cannot be started is a load
    /// failure instead.
    pub fn start(command: WorkerCommand) -> io::Result<Self> {
        let folder = private_folder()?;
        let first = Worker::start(&command, &folder.path().join("1"));
        Ok(Self::of(first, Some(command), folder))
    }

    fn of(first: Arc<Worker>, command: Option<WorkerCommand>, folder: TempDir) -> Self {
        let current = Mutex::new(Current {
            worker: Arc::clone(&first),
            number: 1,
        });
        Self {
            shared: Arc::new(Shared {
                command,
                folder,
                first,
                current,
                stopping: AtomicBool::new(false),
            }),
        }
    }

    /// Waits until the agent has loaded for the first time.
    ///
    /// # Errors
    ///
    /// Fails with the reason (the last line of the traceback, or how the process ended) if it does not load.
    pub async fn loaded(&self) -> Result<(), String> {
        self.shared
            .first
            .loaded()
            .await
            .map_err(|death| death.cause.clone())
    }

    /// Ends the worker: what runs may finish within `grace`, then it is told to end, then it is ended.
    ///
    /// Returns when nothing is left of it. Calls that come later are refused.
    pub async fn stop(&self, grace: Duration) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let worker = Arc::clone(&self.shared.lock().worker);
        worker.stop(grace).await;
    }
}

impl WorkerAgent {
    /// Waits for a worker that runs already. Returns also the socket at which it has to connect, and the token to show.
    pub(crate) fn attached() -> io::Result<(Self, PathBuf, String)> {
        let folder = private_folder()?;
        let socket = folder.path().join("1");
        let (first, token) = Worker::attached(&socket)?;
        Ok((Self::of(first, None, folder), socket, token))
    }

    /// The first worker, which is the only one where it is not ours to start.
    pub(crate) fn first(&self) -> &Worker {
        &self.shared.first
    }

    /// Ends the worker at once, whatever it does. Returns when nothing is left of it.
    pub(crate) async fn kill(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let worker = Arc::clone(&self.shared.lock().worker);
        worker.kill().await;
    }
}

impl Agent for WorkerAgent {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Outcome> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.invoke(invocation).await })
    }

    /// The worker writes it, through the agent's own logger, which the agent may have set up as it likes.
    fn writes_its_own_log(&self) -> bool {
        true
    }

    fn status(&self) -> AgentStatus {
        if self.shared.first.is_loading() || self.shared.failed_for_good().is_some() {
            return AgentStatus::Starting;
        }
        let Status { status, source, .. } = self.shared.lock().worker.status();
        match source {
            Source::Forced | Source::Custom => AgentStatus::Decided(status),
            Source::Automatic => AgentStatus::Ready(status),
        }
    }

    fn refresh(&self) -> Option<BoxFuture<'static, ()>> {
        self.shared.lock().worker.refresh()
    }
}

impl Shared {
    async fn invoke(&self, invocation: Invocation) -> Outcome {
        let mut last = None;
        for _ in 0..TRIES {
            if self.stopping.load(Ordering::Relaxed) {
                return Outcome::Failed(shutting_down());
            }
            let worker = self.worker();
            if let Err(death) = worker.loaded().await {
                if death.loaded {
                    last = Some(death);
                    continue;
                }
                return Outcome::Failed(of_a_death(&death));
            }
            match worker.call(&invocation).await {
                Ok(outcome) => return outcome,
                Err(NotTaken) => last = worker.dead().or(last),
            }
        }
        Outcome::Failed(last.map_or_else(shutting_down, |death| of_a_death(&death)))
    }

    /// Returns the worker, a fresh one if it has died.
    fn worker(&self) -> Arc<Worker> {
        let mut current = self.lock();
        if current.worker.dead().is_none() {
            return Arc::clone(&current.worker);
        }
        if let Some(command) = &self.command
            && self.failed_for_good().is_none()
            && !self.stopping.load(Ordering::Relaxed)
        {
            tracing::info!(target: LOGGER, "A fresh worker process is started");
            current.number += 1;
            let socket = self.folder.path().join(current.number.to_string());
            current.worker = Worker::start(command, &socket);
        }
        Arc::clone(&current.worker)
    }

    /// Returns why the agent did not load the first time, if it did not.
    fn failed_for_good(&self) -> Option<Arc<Death>> {
        self.first.dead().filter(|death| !death.loaded)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        // Each change is complete when the lock is let go.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a folder that only this user can enter, with a path short enough for a socket in it.
fn private_folder() -> io::Result<TempDir> {
    let usual = std::env::temp_dir();
    let parent = if usual.as_os_str().as_bytes().len() <= LONGEST_FOLDER {
        &usual
    } else {
        Path::new("/tmp")
    };
    tempfile::Builder::new()
        .prefix("agentcore-")
        .tempdir_in(parent)
}
