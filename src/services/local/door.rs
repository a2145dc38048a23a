//! One front door, from its plan to its end, in the process that calls it: the same for `launch` in the foreground and
//! for the background program.
//!
//! It keeps the lock and the record. It prints nothing: what happens goes to the plan's log and to the caller's sink.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use agentcore_local::{EventSink, FrontDoor, FrontDoorConfig, StartError, end_orphans};
use tokio::net::TcpListener;

use super::plan::{DEFAULT_PORTS, HOST, Plan, Port};
use super::record::{Lock, Places, Presence, Record};
use crate::error::{CliError, Kind};

/// How the private folders are called; what is removed after a killed front door must be called so.
const RUN_DIR_PREFIX: &str = "agentcore-";

/// A front door that has a healthy sandbox and is ready to serve.
pub(crate) struct Door {
    inner: FrontDoor,
    traces: Traces,
    record: Record,
}

/// What a front door leaves in the file system, removed when this is dropped.
struct Traces {
    places: Places,
    run_dir: tempfile::TempDir,
    _lock: Lock,
}

/// Why there is no front door, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoorError {
    /// Another one runs for this agent.
    #[error("{}", already_running(agent, record.as_ref()))]
    AlreadyRunning {
        /// The agent.
        agent: String,
        /// The other one; none if it does not listen yet.
        record: Option<Record>,
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
        let (listener, traces) = Traces::make(&plan).await?;
        let address = listener.local_addr().map_err(DoorError::State)?;
        let Plan {
            agent,
            arn,
            instance,
            spec,
            limits,
            orphan_mark,
            ..
        } = plan;
        let run_dir = traces.run_dir.path().to_owned();
        let mut record = Record {
            host: address.ip().to_string(),
            port: address.port(),
            pid: std::process::id(),
            started: now(),
            instance: instance.clone(),
            arn: arn.clone(),
            run_dir: run_dir.clone(),
            ready: false,
        };
        traces
            .places
            .write_record(&record)
            .map_err(DoorError::State)?;
        let mark = orphan_mark.clone();
        let config = FrontDoorConfig {
            agent,
            arn,
            instance,
            spec,
            limits,
            run_dir,
            orphan_mark,
            events,
        };
        let started = tokio::select! {
            started = FrontDoor::start(config, listener) => Ok(started?),
            reason = called_off => Err(reason),
        };
        let inner = match started {
            Ok(inner) => inner,
            Err(reason) => {
                // The sandbox has been killed; the lock is let go when the last of its processes is gone.
                let gone = tokio::task::spawn_blocking(move || end_orphans(&mark, None)).await;
                gone.map_err(io::Error::other)
                    .flatten()
                    .map_err(DoorError::State)?;
                return Ok(Opened::CalledOff(reason));
            }
        };
        record.ready = true;
        traces
            .places
            .write_record(&record)
            .map_err(DoorError::State)?;
        Ok(Opened::Ready(Box::new(Self {
            inner,
            traces,
            record,
        })))
    }

    /// How to reach it.
    pub(crate) fn record(&self) -> &Record {
        &self.record
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
        let Self {
            inner,
            traces,
            record: _,
        } = self;
        let served = inner.serve(shutdown).await.map_err(DoorError::Serve);
        drop(traces);
        served
    }
}

impl Traces {
    /// Takes the lock, clears up after a front door that was killed, listens, and makes the private folder.
    async fn make(plan: &Plan) -> Result<(TcpListener, Self), DoorError> {
        let Plan {
            agent,
            instance,
            port,
            places,
            temp_dir,
            ..
        } = plan;
        let before = places.look().map_err(DoorError::State)?;
        let Some(lock) = places.lock_for(instance).map_err(DoorError::State)? else {
            return Err(already(agent.clone(), places));
        };
        if let Presence::Stale(dead) = before {
            clean_up_after(&dead);
        }
        let listener = listen(*port).await?;
        let run_dir = tempfile::Builder::new()
            .prefix(RUN_DIR_PREFIX)
            .tempdir_in(temp_dir)
            .map_err(DoorError::State)?;
        Ok((
            listener,
            Self {
                places: places.clone(),
                run_dir,
                _lock: lock,
            },
        ))
    }
}

impl Drop for Traces {
    // The record goes before the lock: nobody finds the record of a front door that is over.
    fn drop(&mut self) {
        let _ = self.places.remove_record();
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

/// Removes the private folder of a front door that was killed. A record is only a file in a project: what it names
/// is removed only if it is one of our folders.
pub(crate) fn clean_up_after(dead: &Record) {
    let ours = dead.run_dir.file_name().and_then(|it| it.to_str());
    if ours.is_some_and(|it| it.starts_with(RUN_DIR_PREFIX)) && is_private(&dead.run_dir) {
        // What cannot be removed is the system's to clear: it stands in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&dead.run_dir);
    }
}

/// A folder, not a link to one, that its user made for nobody else.
fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    folder.symlink_metadata().is_ok_and(|it| {
        it.is_dir() && it.mode() & 0o777 == 0o700 && it.uid() == rustix::process::geteuid().as_raw()
    })
}

async fn listen(port: Port) -> Result<TcpListener, DoorError> {
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

fn already(agent: String, places: &Places) -> DoorError {
    let record = match places.look() {
        Ok(Presence::Running(record)) => Some(record),
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

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |it| it.as_secs())
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
            DoorError::Start(StartError::Sandbox(_)) => Self::new(Kind::Agent, message)
                .hint("run `agentcore serve` on the agent's file to see it start on its own"),
            DoorError::Start(error) => match std::error::Error::source(&error) {
                Some(cause) => Self::other(message).caused_by(cause.to_string()),
                None => Self::other(message),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dead(run_dir: &Path) -> Record {
        Record {
            host: "127.0.0.1".into(),
            port: 1,
            pid: 1,
            started: 0,
            instance: "i".into(),
            arn: "a".into(),
            run_dir: run_dir.to_owned(),
            ready: true,
        }
    }

    #[test]
    fn only_our_own_folders_are_removed_after_a_killed_front_door() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let folder = |name: &str, mode| {
            let path = temp.path().join(name);
            fs::create_dir(&path).expect("it can be made");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
            path
        };
        let ours = folder("agentcore-x", 0o700);
        let other_name = folder("project", 0o700);
        let open_to_all = folder("agentcore-y", 0o755);
        let link = temp.path().join("agentcore-z");
        std::os::unix::fs::symlink(&other_name, &link).expect("it can be made");
        for path in [&ours, &other_name, &open_to_all, &link] {
            clean_up_after(&dead(path));
        }
        assert!(!ours.exists());
        assert!(other_name.exists() && open_to_all.exists() && link.exists());
    }

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
