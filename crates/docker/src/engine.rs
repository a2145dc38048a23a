//! A connection to one engine, and what is known of it: processor, size, version.
//!
//! Opening it proves that an engine answers there. What it can do is in the modules for images, builds, networks and
//! containers.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error as ClientError;
use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::error::Unreachable;
use crate::{Architecture, Endpoint, EngineError};

/// How long one request may take until its answer begins. Builds, pulls and waiting have no such limit.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How long an engine may take to say who it is. One that is busy needs a few seconds for it.
const INTRODUCTION_LIMIT: Duration = Duration::from_secs(10);

/// Longer than anything lives: for answers that begin when the work is done.
const NO_LIMIT: Duration = Duration::from_hours(10 * 365 * 24);

/// An engine that answered. Cheap to clone; every request has a connection of its own.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    docker: Docker,
    endpoint: Endpoint,
    facts: Facts,
    config_dir: Option<PathBuf>,
}

/// What an engine says of itself.
#[derive(Clone)]
struct Facts {
    name: &'static str,
    version: String,
    architecture: Architecture,
    cpus: u32,
    memory: u64,
    has_init: bool,
}

impl Engine {
    /// Connects, agrees on a version of the API and asks the engine what it is.
    ///
    /// # Errors
    ///
    /// Fails if nobody listens there, access is denied, or no engine answers in time.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, EngineError> {
        knock(endpoint).await?;
        let docker = connect(endpoint)?;
        let docker = introduce(endpoint, docker.negotiate_version()).await?;
        let facts = introduce(endpoint, Facts::of(&docker)).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                docker,
                endpoint: endpoint.clone(),
                facts,
                config_dir: None,
            }),
        })
    }

    /// The same engine, used with the registry credentials of a Docker configuration folder.
    #[must_use]
    pub fn with_config_dir(self, config_dir: Option<PathBuf>) -> Self {
        let shared = Shared {
            config_dir,
            ..Shared::clone(&self.shared)
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Where it listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// The architecture of the machine it runs on, which its containers have too.
    pub fn architecture(&self) -> &Architecture {
        &self.shared.facts.architecture
    }

    /// Its version: `28.2.2`.
    pub fn version(&self) -> &str {
        &self.shared.facts.version
    }

    /// What it is: `Docker` or `Podman`.
    pub fn name(&self) -> &str {
        self.shared.facts.name
    }

    /// The version of the API that is spoken: `1.41`.
    pub fn api_version(&self) -> String {
        self.shared.docker.client_version().to_string()
    }

    /// How many processors its containers can use.
    pub fn cpus(&self) -> u32 {
        self.shared.facts.cpus
    }

    /// How many bytes of memory its machine has.
    pub fn memory(&self) -> u64 {
        self.shared.facts.memory
    }

    /// Whether it can put an init process into containers.
    pub fn has_init(&self) -> bool {
        self.shared.facts.has_init
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.shared.docker
    }

    /// For requests whose answer begins only when the work is done.
    pub(crate) fn patient(&self) -> Docker {
        self.shared.docker.clone().with_timeout(NO_LIMIT)
    }

    pub(crate) fn config_dir(&self) -> Option<&Path> {
        self.shared.config_dir.as_deref()
    }

    pub(crate) fn is_podman(&self) -> bool {
        self.shared.facts.name == PODMAN
    }

    /// The sentence for a request that was to `action` and failed.
    pub(crate) fn error(&self, action: impl Into<String>, error: ClientError) -> EngineError {
        EngineError::of(self.endpoint(), action.into(), error)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("endpoint", self.endpoint())
            .field("name", &self.name())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

const PODMAN: &str = "Podman";

impl Facts {
    async fn of(docker: &Docker) -> Result<Self, ClientError> {
        let version = docker.version().await?;
        let info = docker.info().await?;
        let is_podman = version
            .components
            .unwrap_or_default()
            .iter()
            .any(|component| component.name.contains(PODMAN));
        // An engine names the program even when it is not installed; only the version behind it tells.
        let init_is_missing = info
            .init_commit
            .and_then(|commit| commit.id)
            .is_some_and(|id| id == "N/A");
        let has_init = info.init_binary.is_some_and(|name| !name.is_empty()) && !init_is_missing;
        Ok(Self {
            name: if is_podman { PODMAN } else { "Docker" },
            version: version.version.or(info.server_version).unwrap_or_default(),
            architecture: Architecture::parse(
                &info.architecture.or(version.arch).unwrap_or_default(),
            ),
            cpus: info
                .ncpu
                .and_then(|count| count.try_into().ok())
                .unwrap_or(1)
                .max(1),
            memory: info
                .mem_total
                .and_then(|bytes| bytes.try_into().ok())
                .unwrap_or_default(),
            has_init,
        })
    }
}

/// Connects and hangs up: the client's own errors do not tell why a connection failed.
async fn knock(endpoint: &Endpoint) -> Result<(), EngineError> {
    let knocking = async {
        match endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(drop),
            Endpoint::Tcp(address) => TcpStream::connect(address).await.map(drop),
        }
    };
    let reason = match timeout(CONNECT_LIMIT, knocking).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => Unreachable::of(error),
        Err(_) => Unreachable::Slow(CONNECT_LIMIT),
    };
    Err(EngineError::Unreachable {
        endpoint: endpoint.clone(),
        reason,
    })
}

fn connect(endpoint: &Endpoint) -> Result<Docker, EngineError> {
    let seconds = ANSWER_LIMIT.as_secs();
    let docker = match endpoint {
        Endpoint::Unix(path) => {
            let Some(path) = path.to_str() else {
                let problem =
                    std::io::Error::new(std::io::ErrorKind::InvalidInput, "its path is not UTF-8");
                return Err(EngineError::Unreachable {
                    endpoint: endpoint.clone(),
                    reason: Unreachable::Other(problem),
                });
            };
            Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION)
        }
        Endpoint::Tcp(address) => {
            Docker::connect_with_http(&address.to_string(), seconds, API_DEFAULT_VERSION)
        }
    };
    let docker = docker.map_err(|error| EngineError::of(endpoint, "connect".to_owned(), error))?;
    Ok(docker.with_request_modifier(crate::credentials::repair_header))
}

/// One of the first requests: it has a short limit, and whoever answers it wrongly is no engine.
async fn introduce<T>(
    endpoint: &Endpoint,
    request: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, EngineError> {
    let action = || "ask the engine for its version".to_owned();
    match timeout(INTRODUCTION_LIMIT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(match EngineError::of(endpoint, action(), error) {
            EngineError::Broken {
                endpoint, source, ..
            } => EngineError::Foreign { endpoint, source },
            error => error,
        }),
        Err(_) => Err(EngineError::Silent {
            endpoint: endpoint.clone(),
            action: action(),
            limit: INTRODUCTION_LIMIT,
        }),
    }
}
