//! One container: starting it, watching it, ending it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bollard::errors::Error as ClientError;
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptions, RemoveContainerOptions, RenameContainerOptions,
    StartContainerOptions, StopContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep};

use super::ContainerState;
use super::state::is_ending;
use crate::{Engine, EngineError};

/// How long the published port may take to show up, and a removed container to be gone.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked for.
const SETTLE_PAUSE: Duration = Duration::from_millis(20);

/// What an engine needs beyond the grace that a container is given.
const STOP_SLACK: Duration = Duration::from_mins(1);

/// A container of an engine. Cheap to clone; dropping it leaves the container as it is.
#[derive(Clone)]
pub struct Container {
    engine: Engine,
    id: String,
}

impl Container {
    pub(super) fn new(engine: Engine, id: String) -> Self {
        Self { engine, id }
    }

    /// Its id, 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The engine that it belongs to.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts its main process. One that runs already is no error.
    ///
    /// # Errors
    ///
    /// Fails if the container is gone, its program does not exist in the image, or the engine cannot give what it was
    /// promised.
    pub async fn start(&self) -> Result<(), EngineError> {
        let started = self
            .engine
            .docker()
            .start_container(&self.id, None::<StartContainerOptions>)
            .await;
        started.map_err(|error| self.error("start", error))
    }

    /// How it is now.
    pub async fn state(&self) -> Result<ContainerState, EngineError> {
        let docker = self.engine.docker();
        let look = || docker.inspect_container(&self.id, None::<InspectContainerOptions>);
        let found = settled(look).await;
        found
            .map(ContainerState::of)
            .map_err(|error| self.error("look at", error))
    }

    /// The published address, waited for until it shows up; none if the container has ended before.
    ///
    /// # Errors
    ///
    /// Fails if a running container has no address after a while.
    pub async fn address(&self) -> Result<Option<SocketAddr>, EngineError> {
        let end = Instant::now() + SETTLE_LIMIT;
        loop {
            let state = self.state().await?;
            if state.address.is_some() || !state.running {
                return Ok(state.address);
            }
            if Instant::now() >= end {
                return Err(EngineError::Refused {
                    action: self.action("reach"),
                    status: 0,
                    message: "the engine published no port for it".to_owned(),
                });
            }
            sleep(SETTLE_PAUSE).await;
        }
    }

    /// Waits until it has ended and says how. One that was never started has ended.
    ///
    /// # Errors
    ///
    /// Fails if the engine goes away meanwhile, or the container is gone.
    pub async fn wait(&self) -> Result<ContainerState, EngineError> {
        let options = WaitContainerOptions {
            condition: "not-running".to_owned(),
        };
        let mut waiting = self
            .engine
            .patient()
            .wait_container(&self.id, Some(options));
        match waiting.next().await {
            // The client calls every status but 0 an error.
            None | Some(Ok(_) | Err(ClientError::DockerContainerWaitError { .. })) => {}
            Some(Err(error)) => return Err(self.error("wait for", error)),
        }
        // Asked again for what the answer does not tell: whether the memory was used up. One that was removed is told as such:
        // the status that comes with it is not its own in every engine.
        let state = self.state().await?;
        if state.running {
            return Err(EngineError::Broken {
                endpoint: self.engine.endpoint().clone(),
                action: self.action("wait for"),
                source: "the engine stopped waiting while the container runs".into(),
            });
        }
        Ok(state)
    }

    /// Asks it to end (SIGTERM) and kills it after `grace`. One that has ended or is gone is no error.
    pub async fn stop(&self, grace: Duration) -> Result<(), EngineError> {
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let options = StopContainerOptions {
            t: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
            ..StopContainerOptions::default()
        };
        let docker = self
            .engine
            .docker()
            .clone()
            .with_timeout(grace + STOP_SLACK);
        let stopped = docker.stop_container(&self.id, Some(options)).await;
        unless_gone(stopped.map_err(|error| self.error("stop", error)))
    }

    /// Kills it (SIGKILL). One that has ended or is gone is no error.
    pub async fn kill(&self) -> Result<(), EngineError> {
        let options = KillContainerOptions {
            signal: "SIGKILL".to_owned(),
        };
        let killed = self
            .engine
            .docker()
            .kill_container(&self.id, Some(options))
            .await;
        match unless_gone(killed.map_err(|error| self.error("kill", error))) {
            // It does not run.
            Err(EngineError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }

    /// Removes it with its anonymous volumes, killing it first if it runs. One that is gone is no error.
    pub async fn remove(&self) -> Result<(), EngineError> {
        let options = RemoveContainerOptions {
            v: true,
            force: true,
            link: false,
        };
        let end = Instant::now() + SETTLE_LIMIT;
        loop {
            let removed = self
                .engine
                .docker()
                .remove_container(&self.id, Some(options.clone()))
                .await;
            match unless_gone(removed.map_err(|error| self.error("remove", error))) {
                // Somebody else is removing it: it is gone in a moment, and only then is this done.
                Err(EngineError::Conflict { .. }) if Instant::now() < end => {
                    sleep(SETTLE_PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// Gives it another name.
    ///
    /// # Errors
    ///
    /// Fails if the name is taken or the container is gone.
    pub async fn rename(&self, name: &str) -> Result<(), EngineError> {
        let options = RenameContainerOptions {
            name: name.to_owned(),
        };
        let renamed = self
            .engine
            .docker()
            .rename_container(&self.id, options)
            .await;
        renamed.map_err(|error| self.error("rename", error))
    }

    pub(super) fn action(&self, verb: &str) -> String {
        let short = self
            .id
            .get(..12)
            .filter(|_| self.id.len() == 64)
            .unwrap_or(&self.id);
        format!("{verb} the container `{short}`")
    }

    pub(super) fn error(&self, verb: &str, error: ClientError) -> EngineError {
        self.engine.error(self.action(verb), error)
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Container").field(&self.id).finish()
    }
}

/// Asks again while a container is about to end and the engine has no word for it that the client knows.
pub(super) async fn settled<T, F>(mut ask: impl FnMut() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let end = Instant::now() + SETTLE_LIMIT;
    loop {
        match ask().await {
            Err(error) if is_ending(&error) && Instant::now() < end => sleep(SETTLE_PAUSE).await,
            answer => return answer,
        }
    }
}

fn unless_gone(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(EngineError::NotFound { .. }) => Ok(()),
        other => other,
    }
}
