//! The two kinds of sandboxes behind one face: how one is made, what runs in it, and how all are killed.
//!
//! It chooses and delegates; what a process or a container is stands in their own modules.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use agentcore_docker::EngineError;
use tokio_util::either::Either;

use super::container::{Container, Fleet};
use super::hints::Setting;
use super::place::Place;
use super::process::{LineSink, Process};
use super::{End, Sandbox};
use crate::error::EndCause;
use crate::process_tree::{self, Family, Mark};
use crate::run_dir::{RunDir, SandboxDir};
use crate::spec::{FrontDoorConfig, ProcessSpec, SandboxKind};

/// How the sandboxes of one front door are made.
pub(crate) enum Kind {
    Processes {
        spec: Arc<ProcessSpec>,
        project: String,
        instance: String,
    },
    Containers(Arc<Fleet>),
}

/// What one sandbox is made from.
pub(crate) enum Plan {
    Process {
        spec: Arc<ProcessSpec>,
        dir: SandboxDir,
        mark: Mark,
    },
    Container(Arc<Fleet>),
}

/// What a sandbox is while it runs.
pub(crate) enum Body {
    Process {
        process: Box<Process>,
        dir: SandboxDir,
    },
    Container(Container),
}

impl Kind {
    /// Makes ready what all sandboxes need: for containers, their engine and network.
    pub(crate) async fn prepare(config: &FrontDoorConfig) -> Result<Self, EngineError> {
        Ok(match &config.spec.kind {
            SandboxKind::Process(spec) => Self::Processes {
                spec: Arc::new(spec.clone()),
                project: config.orphan_mark.clone(),
                instance: config.instance.clone(),
            },
            SandboxKind::Container(spec) => {
                Self::Containers(Arc::new(Fleet::open(config, spec).await?))
            }
        })
    }

    pub(crate) fn setting(&self) -> Setting {
        match self {
            Self::Processes { .. } => Setting::Process,
            Self::Containers(fleet) => fleet.setting(),
        }
    }

    /// Prepares the sandbox `id`.
    ///
    /// # Errors
    ///
    /// Fails if its folder cannot be made.
    pub(crate) fn plan(&self, run_dir: &RunDir, id: &str) -> io::Result<Plan> {
        Ok(match self {
            Self::Processes {
                spec,
                project,
                instance,
            } => Plan::Process {
                spec: Arc::clone(spec),
                dir: run_dir.sandbox(id)?,
                mark: Mark {
                    project: project.clone(),
                    instance: instance.clone(),
                    sandbox: id.to_owned(),
                },
            },
            Self::Containers(fleet) => Plan::Container(Arc::clone(fleet)),
        })
    }

    /// Ends containers that earlier front doors left, and returns how many; processes are looked for elsewhere.
    pub(crate) async fn end_orphan_containers(&self) -> Result<usize, EngineError> {
        match self {
            Self::Processes { .. } => Ok(0),
            Self::Containers(fleet) => fleet.end_orphans().await,
        }
    }

    /// Clears up when all sandboxes have ended.
    pub(crate) async fn finish(&self) {
        if let Self::Containers(fleet) = self {
            fleet.finish().await;
        }
    }

    /// Kills all sandboxes on the spot. It blocks: some milliseconds for processes, as long as the engine needs for
    /// containers.
    pub(crate) fn kill_all(&self) {
        match self {
            Self::Processes {
                project, instance, ..
            } => {
                let family = Family::Instance {
                    project: project.clone(),
                    instance: instance.clone(),
                };
                if let Err(error) = process_tree::end(&family, Duration::ZERO) {
                    tracing::warn!(%error, "cannot look for the processes of sandboxes");
                }
            }
            Self::Containers(fleet) => fleet.kill_all(),
        }
    }
}

impl Plan {
    /// Where the sandbox will listen.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Process { dir, .. } => Place::Socket(dir.socket()),
            Self::Container(fleet) => Place::port(fleet.port()),
        }
    }

    /// Starts what runs in `sandbox`.
    ///
    /// # Errors
    ///
    /// Fails with the reason if nothing runs; then nothing is left either.
    pub(crate) async fn start(self, sandbox: &Sandbox, lines: &LineSink) -> Result<Body, End> {
        match self {
            Self::Process { spec, dir, mark } => match Process::start(&spec, &dir, mark, lines) {
                Ok(process) => {
                    let _ = sandbox.pid.set(process.pid());
                    let process = Box::new(process);
                    Ok(Body::Process { process, dir })
                }
                Err(error) => {
                    remove(dir).await;
                    let error = format!("`{}` cannot be run: {error}", spec.program.display());
                    Err(EndCause::NotStarted { error }.into())
                }
            },
            Self::Container(fleet) => Container::start(&fleet, sandbox, lines)
                .await
                .map(Body::Container),
        }
    }

    /// Removes what was made ready for a sandbox that is not wanted any more.
    pub(crate) async fn discard(self) {
        if let Self::Process { dir, .. } = self {
            remove(dir).await;
        }
    }
}

impl Body {
    /// Waits until it has ended by itself and its last lines were read. May be dropped and called again.
    ///
    /// `doubt` is set while it is not known whether it has.
    pub(crate) async fn ended(&mut self, doubt: &AtomicBool) -> End {
        match self {
            Self::Process { process, .. } => process.ended().await.into(),
            Self::Container(container) => container.ended(doubt).await,
        }
    }

    /// Has the name of what runs follow the session; never completes.
    pub(crate) fn renaming<'s>(
        &self,
        sandbox: &'s Sandbox,
    ) -> impl Future<Output = Infallible> + use<'s> {
        match self {
            Self::Process { .. } => Either::Left(pending()),
            Self::Container(container) => Either::Right(container.renaming(sandbox)),
        }
    }

    /// Ends it and returns when nothing of it is left.
    pub(crate) async fn end(self) {
        match self {
            Self::Process { process, dir } => {
                process.end().await;
                remove(dir).await;
            }
            Self::Container(container) => container.end().await,
        }
    }
}

async fn remove(dir: SandboxDir) {
    let _ = tokio::task::spawn_blocking(|| drop(dir)).await;
}
