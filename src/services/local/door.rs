//! One front door, from its plan to its end, in the process that calls it: the same for `launch` in the foreground and
//! for the background program.
//!
//! It prints nothing: what happens goes to the plan's log and to the caller's sink. What it leaves in the file system is in
//! `traces`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use agentcore_local::{
    EventSink, FrontDoor, FrontDoorConfig, SandboxFailure, StartError, end_orphans,
};
use tokio::net::TcpListener;

use super::plan::{DEFAULT_PORTS, HOST, Plan, Port};
use super::record::{Places, Presence, Record};
use super::traces::Traces;
use crate::error::{CliError, Kind};

/// What to do where the engine is at fault.
const WITHOUT_ENGINE: &str =
    "look after the engine, or run each session in a process with `--sandbox process`";

/// A front door that has a healthy sandbox and is ready to serve.
pub(crate) struct Door {
    inner: FrontDoor,
    traces: Traces,
}

/// Why there is no front door, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    /// Another one runs for this agent.
    #[error("{}", already_running(agent, record.as_deref()))]
    AlreadyRunning {
        /// The agent.
        agent: String,
        /// The other one; none if it does not listen yet.
        record: Option<Box<Record>>,
    },
    /// The one port that it may listen on is somebody else's.
    #[error("port {port} is in use by another program")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Every port that it may listen on is somebody else's.
    #[error("the ports {} to {} are all in use", DEFAULT_PORTS.start(), DEFAULT_PORTS.end())]
    NoFreePort,
    /// It may not listen there.
    #[error("cannot listen on port {port}")]
    Listen {
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its files cannot be written.
    #[error("cannot write the state of the front door")]
    State(#[source] io::Error),
    /// It did not come to have a healthy sandbox.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It could not go on.
    #[error("the front door failed")]
    Serve(#[source] io::Error),
}

/// What came of opening a front door.
pub(crate) enum Opened<T> {
    /// It is ready to serve.
    Ready(Box<Door>),
    /// It was called off before it was ready, and nothing is left of it.
    CalledOff(T),
}

impl Door {
    /// Takes the lock, listens, and starts one sandbox, unless it is `called_off` before that is done.
    ///
    /// # Errors
    ///
    /// Fails if another front door runs, if no port is free, or if the sandbox does not become healthy. Nothing is left
    /// behind then.
    pub(crate) async fn open<T>(
        plan: Plan,
        events: EventSink,
        called_off: impl Future<Output = T>,
    ) -> Result<Opened<T>, DoorError> {
        let (listener, mut traces) = Traces::make(&plan).await?;
        let Plan {
            agent,
            arn,
            instance,
            spec,
            limits,
            orphan_mark,
            ..
        } = plan;
        let mark = orphan_mark.clone();
        let config = FrontDoorConfig {
            agent,
            arn,
            instance,
            spec,
            limits,
            run_dir: traces.record.run_dir.clone(),
            orphan_mark,
            events: Arc::clone(&events),
        };
        let starting = async {
            traces.look_for_containers(&events).await?;
            Ok(FrontDoor::start(config, listener).await?)
        };
        let started: Result<Result<FrontDoor, DoorError>, T> = tokio::select! {
            started = starting => Ok(started),
            reason = called_off => Err(reason),
        };
        match started {
            Ok(Ok(inner)) => {
                traces.record.ready = true;
                traces.write_record()?;
                Ok(Opened::Ready(Box::new(Self { inner, traces })))
            }
            Ok(Err(error)) => {
                traces.finish().await;
                Err(error)
            }
            Err(reason) => {
                // The sandbox has been killed; the lock is let go when the last of its processes is gone.
                let gone = tokio::task::spawn_blocking(move || end_orphans(&mark, None)).await;
                traces.finish().await;
                gone.map_err(io::Error::other)
                    .flatten()
                    .map_err(DoorError::State)?;
                Ok(Opened::CalledOff(reason))
            }
        }
    }

    /// How to reach it.
    pub(crate) fn record(&self) -> &Record {
        &self.traces.record
    }

    /// Serves until `shutdown`, then ends every sandbox.
    ///
    /// # Errors
    ///
    /// Fails if the listener fails.
    pub(crate) async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), DoorError> {
        let Self { inner, mut traces } = self;
        let served = inner.serve(shutdown).await.map_err(DoorError::Serve);
        traces.finish().await;
        drop(traces);
        served
    }
}

impl DoorError {
    /// The last lines of the agent that did not start.
    pub(crate) fn log_tail(&self) -> Option<String> {
        match self {
            Self::Start(StartError::Sandbox(failure)) if !failure.log_tail.is_empty() => {
                Some(failure.log_tail.join("\n"))
            }
            _ => None,
        }
    }
}

/// Listens on the first port that is free.
pub(super) async fn listen(port: Port) -> Result<TcpListener, DoorError> {
    for candidate in port.candidates() {
        match TcpListener::bind(SocketAddr::new(HOST, candidate)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => {
                return Err(DoorError::Listen {
                    port: candidate,
                    source,
                });
            }
        }
    }
    match port {
        Port::Only(port) => Err(DoorError::PortTaken { port }),
        Port::Preferably(_) | Port::FirstFree => Err(DoorError::NoFreePort),
    }
}

/// That another front door runs, and where.
pub(super) fn already(agent: String, places: &Places) -> DoorError {
    let record = match places.look() {
        Ok(Presence::Running(record)) => Some(Box::new(record)),
        _ => None,
    };
    DoorError::AlreadyRunning { agent, record }
}

fn already_running(agent: &str, record: Option<&Record>) -> String {
    match record {
        Some(record) => format!("`{agent}` is already running at {}", record.base()),
        None => format!("`{agent}` is already being started"),
    }
}

impl From<DoorError> for CliError {
    fn from(error: DoorError) -> Self {
        let message = error.to_string();
        match error {
            DoorError::AlreadyRunning { .. } => Self::other(message).hint(
                "use it, replace it with `--restart`, or end it with `agentcore stop --local`",
            ),
            DoorError::PortTaken { .. } => Self::other(message).hint(
                "choose another with `--port`, or leave `--port` out to take the first free one",
            ),
            DoorError::NoFreePort => Self::other(message).hint("choose a port with `--port`"),
            DoorError::Listen { source, .. } => Self::other(message)
                .caused_by(source)
                .hint("choose another port with `--port`"),
            DoorError::State(source) | DoorError::Serve(source) => {
                Self::other(message).caused_by(source)
            }
            DoorError::Start(StartError::Sandbox(failure)) => of_sandbox(*failure, message),
            DoorError::Start(StartError::Engine(error)) => {
                let failure = Self::new(Kind::Engine, message);
                let failure = match error.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                };
                failure.caused_by(error).hint(WITHOUT_ENGINE)
            }
            DoorError::Start(error) => match std::error::Error::source(&error) {
                Some(cause) => Self::other(message).caused_by(cause.to_string()),
                None => Self::other(message),
            },
        }
    }
}

/// The agent's own failure, unless its engine is at fault.
fn of_sandbox(failure: SandboxFailure, message: String) -> CliError {
    let SandboxFailure { cause, hint, .. } = failure;
    if cause.is_engine() {
        let failure = CliError::new(Kind::Engine, message);
        return match hint {
            Some(hint) => failure.hint(hint),
            None => failure.hint(WITHOUT_ENGINE),
        };
    }
    CliError::new(Kind::Agent, message).hint(hint.unwrap_or_else(|| {
        "run `agentcore serve` on the agent's file to see it start on its own".to_owned()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_passed_over_only_without_a_choice() {
        let taken = TcpListener::bind((HOST, 0))
            .await
            .expect("some port is free");
        let port = taken.local_addr().expect("it is bound").port();
        let refused = listen(Port::Only(port)).await.expect_err("it is taken");
        assert_eq!(
            refused.to_string(),
            format!("port {port} is in use by another program")
        );
        match listen(Port::Preferably(port)).await {
            Ok(other) => {
                let other = other.local_addr().expect("it is bound").port();
                assert!(DEFAULT_PORTS.contains(&other), "{other}");
            }
            Err(error) => assert!(matches!(error, DoorError::NoFreePort), "{error}"),
        }
    }
}
