//! What all containers of one front door share: their engine, their network, and the memory of those that could not be
//! removed.
//!
//! It makes containers and finds them again by their labels. How long one lives is not its matter.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use agentcore_docker::{Container, Engine, EngineError, NetworkRequest};
use agentcore_protocol::SessionId;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::logs;
use super::orphans::{self, Found};
use super::request::{self, Family, SANDBOX_LABEL};
use crate::sandbox::hints::Setting;
use crate::sandbox::process::LineSink;
use crate::spec::{ContainerRoot, ContainerSpec, FrontDoorConfig};

/// How often an engine is asked again for containers that could not be removed, at first and at last.
const SWEEP_PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];

/// How long the last clearing up may take.
const FINISH_LIMIT: Duration = Duration::from_secs(10);

/// How long a front door that is dropped may wait for its containers to be killed.
const KILL_LIMIT: Duration = Duration::from_secs(15);

/// After so long without a container, none comes any more from a task that was about to make one.
const QUIET: Duration = Duration::from_secs(1);

/// A sandbox's id and the session that it is started for, if it is for one.
type Whose<'a> = (&'a str, Option<&'a SessionId>);

/// A container that was started, and the task that tells what it writes.
pub(super) struct Started {
    pub(super) container: Container,
    pub(super) log: JoinHandle<()>,
}

/// The containers of one front door.
#[derive(Debug)]
pub(crate) struct Fleet {
    engine: Engine,
    family: Family,
    /// The network's id, once it is known to be there.
    network: AsyncMutex<Option<String>>,
    /// The sandboxes whose containers could not be removed, or may exist although nobody heard so.
    lost: Mutex<BTreeSet<String>>,
    /// How many containers are being asked for at this moment.
    creating: AtomicUsize,
}

impl Fleet {
    /// Connects to the engine of `spec` and makes sure of the project's network.
    pub(crate) async fn open(
        config: &FrontDoorConfig,
        spec: &ContainerSpec,
    ) -> Result<Self, EngineError> {
        let engine = Engine::open(&spec.endpoint).await?;
        let fleet = Self {
            engine,
            family: Family {
                agent: config.agent.clone(),
                mark: config.orphan_mark.clone(),
                instance: config.instance.clone(),
                spec: spec.clone(),
            },
            network: AsyncMutex::default(),
            lost: Mutex::default(),
            creating: AtomicUsize::new(0),
        };
        fleet.network().await?;
        Ok(fleet)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn port(&self) -> u16 {
        self.family.spec.port
    }

    pub(crate) fn setting(&self) -> Setting {
        Setting::Container {
            port: self.port(),
            read_only: matches!(self.family.spec.root, ContainerRoot::ReadOnly { .. }),
        }
    }

    /// How much memory a container may use, in bytes.
    pub(super) fn memory(&self) -> u64 {
        request::memory(&self.family.spec, self.engine.memory())
    }

    pub(super) fn name(&self, sandbox: &str, session: &SessionId) -> String {
        self.family.name(sandbox, Some(session))
    }

    /// Ends what earlier front doors of this agent left on the engine, and returns how many containers that were.
    pub(crate) async fn end_orphans(&self) -> Result<usize, EngineError> {
        let Family { mark, instance, .. } = &self.family;
        orphans::end(&self.engine, mark, Some(instance)).await
    }

    /// Creates and starts the container of `sandbox`, unless it is `unwanted` by the time it would be created.
    ///
    /// # Errors
    ///
    /// Fails if the engine cannot or does not answer. Nothing is left then, or it is removed as soon as that is possible.
    pub(super) async fn start(
        self: &Arc<Self>,
        whose: Whose<'_>,
        lines: &LineSink,
        unwanted: impl Fn() -> bool,
    ) -> Result<Option<Started>, EngineError> {
        let mut again = true;
        loop {
            let error = match self.try_start(whose, lines, &unwanted).await {
                Ok(started) => return Ok(started),
                Err(error) => error,
            };
            // Another front door of the project may have ended, and removed the network just before it was used.
            if !again || !is_about_network(&error) {
                return Err(error);
            }
            again = false;
            *self.network.lock().await = None;
        }
    }

    async fn try_start(
        self: &Arc<Self>,
        whose: Whose<'_>,
        lines: &LineSink,
        unwanted: &impl Fn() -> bool,
    ) -> Result<Option<Started>, EngineError> {
        let (sandbox, _) = whose;
        let network = self.network().await?;
        let request = self.family.request(&self.engine, whose, network);
        let creating = Creating::begin(&self.creating);
        // In this order: whoever kills all looks for containers after it has said that none is wanted.
        if unwanted() {
            return Ok(None);
        }
        let created = self.engine.create(&request).await;
        drop(creating);
        let container = created.inspect_err(|error| {
            // The engine may have heard the question all the same.
            if error.is_away() {
                self.lose(sandbox);
            }
        })?;
        if unwanted() {
            self.remove(&container, sandbox).await;
            return Ok(None);
        }
        // Heard before it speaks.
        let started = async {
            let live = container.attach().await?;
            container.start().await?;
            Ok(live)
        };
        match started.await {
            Ok(live) => {
                let log = tokio::spawn(logs::follow(container.clone(), live, Arc::clone(lines)));
                Ok(Some(Started { container, log }))
            }
            Err(error) => {
                self.remove(&container, sandbox).await;
                Err(error)
            }
        }
    }

    /// Removes a container; one that cannot be removed now is removed as soon as it can.
    pub(super) async fn remove(self: &Arc<Self>, container: &Container, sandbox: &str) {
        const LIMIT: Duration = Duration::from_secs(20);
        let problem = match timeout(LIMIT, container.remove()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
        };
        tracing::debug!(container = container.id(), %problem, "cannot remove a container yet");
        self.lose(sandbox);
    }

    /// Clears up at the end of the front door: what was lost, and the network if nobody else uses it.
    pub(crate) async fn finish(&self) {
        let work = async {
            if !self.lost().is_empty() {
                self.sweep().await?;
            }
            self.engine.remove_network(&self.family.spec.network).await
        };
        match timeout(FINISH_LIMIT, work).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "containers may be left"),
            Err(_) => tracing::warn!("the engine does not answer, containers may be left"),
        }
    }

    /// Kills and removes all containers, without the runtime that they were started from: nobody may be left to drive it.
    ///
    /// It blocks until that is done, and for [`KILL_LIMIT`] at most.
    pub(crate) fn kill_all(self: &Arc<Self>) {
        let (done, wait) = std::sync::mpsc::sync_channel(1);
        let fleet = Arc::clone(self);
        let thread = std::thread::Builder::new().name("end of containers".to_owned());
        let started = thread.spawn(move || {
            // In a block: the clock of a time limit belongs to the runtime that it is made in.
            let killed = run_apart(async { timeout(KILL_LIMIT, fleet.kill_until_quiet()).await });
            let _ = done.send(killed);
        });
        let killed = match started {
            Ok(_) => wait.recv_timeout(KILL_LIMIT + QUIET),
            Err(error) => {
                tracing::warn!(%error, "containers are left");
                return;
            }
        };
        match killed {
            Ok(Ok(Ok(Ok(())))) => {}
            Ok(Ok(Ok(Err(error)))) => tracing::warn!(%error, "containers may be left"),
            Ok(Err(error)) => tracing::warn!(%error, "containers may be left"),
            Ok(Ok(Err(_))) | Err(_) => tracing::warn!("the engine is slow, containers may be left"),
        }
    }

    async fn kill_until_quiet(&self) -> Result<(), EngineError> {
        const PAUSE: Duration = Duration::from_millis(20);
        // A client of its own: the other one's connections belong to another runtime.
        let engine = Engine::open(self.engine.endpoint()).await?;
        let labels = self.family.own_labels();
        let mut quiet = Duration::ZERO;
        loop {
            // Before the look, so that a container is either seen as being created or found.
            let creating = self.creating.load(Ordering::SeqCst) > 0;
            let found = Found::of(&engine, &labels).await?;
            if !found.is_empty() {
                found.remove_all().await?;
                quiet = Duration::ZERO;
            } else if !creating || quiet >= QUIET {
                break;
            }
            sleep(PAUSE).await;
            quiet += PAUSE;
        }
        engine.remove_network(&self.family.spec.network).await
    }

    /// Returns the network's id and makes it first if need be.
    async fn network(&self) -> Result<String, EngineError> {
        let mut known = self.network.lock().await;
        if let Some(id) = &*known {
            return Ok(id.clone());
        }
        let request = NetworkRequest {
            name: self.family.spec.network.clone(),
            labels: self.family.project_labels(),
        };
        let id = self.engine.ensure_network(&request).await?;
        *known = Some(id.clone());
        Ok(id)
    }

    /// Notes that `sandbox` may have a container, to be removed once the engine answers.
    fn lose(self: &Arc<Self>, sandbox: &str) {
        let first = {
            let mut lost = self.lost();
            let first = lost.is_empty();
            lost.insert(sandbox.to_owned());
            first
        };
        if first {
            tokio::spawn(sweep_until_none_is_lost(Arc::downgrade(self)));
        }
    }

    /// Removes the containers of lost sandboxes; those of others stay.
    async fn sweep(&self) -> Result<(), EngineError> {
        let lost = self.lost().clone();
        let mut found = Found::of(&self.engine, &self.family.own_labels()).await?;
        found.retain(|labels| {
            let sandbox = labels.get(SANDBOX_LABEL);
            sandbox.is_some_and(|sandbox| lost.contains(sandbox))
        });
        found.remove_all().await?;
        self.lost().retain(|it| !lost.contains(it));
        Ok(())
    }

    fn lost(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the engine again and again, for as long as the front door exists.
async fn sweep_until_none_is_lost(fleet: Weak<Fleet>) {
    let [mut pause, longest] = SWEEP_PAUSES;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(longest);
        let Some(fleet) = fleet.upgrade() else {
            return;
        };
        if let Err(error) = fleet.sweep().await {
            tracing::debug!(%error, "containers are still left");
        }
        if fleet.lost().is_empty() {
            return;
        }
    }
}

/// Counts a container that is being asked for.
struct Creating<'a>(&'a AtomicUsize);

impl<'a> Creating<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs `work` to its end on this thread.
fn run_apart<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(result)
}

fn is_about_network(error: &EngineError) -> bool {
    match error {
        EngineError::NotFound { message, .. } | EngineError::Refused { message, .. } => {
            message.contains("network")
        }
        _ => false,
    }
}
