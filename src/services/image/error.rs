//! Why there is no image: one error for what is written and built, and the class that each cause has for the user.

use std::io;
use std::path::PathBuf;

use agentcore_docker::context::ContextError;
use agentcore_docker::{Architecture, BuildError, EngineError};

use crate::error::{CliError, Kind};
use crate::model::Invalid;
use crate::services::cargo::StaticBuildError;
use crate::services::host_binary::HostBinaryError;
use crate::services::source_files::SourceError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// What the project says cannot be made into an image.
    #[error("{0}")]
    Configuration(Invalid),
    /// What was typed cannot.
    #[error("{0}")]
    Usage(Invalid),
    /// The folder of the image cannot be written.
    #[error("cannot write `{}`", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that decides the image cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The rules of the agent's source cannot be read.
    #[error(transparent)]
    Rules(#[from] SourceError),
    /// The agent's source cannot be read.
    #[error(transparent)]
    Source(#[from] ContextError),
    /// There is no program that could serve a Python agent.
    #[error(transparent)]
    Host(#[from] HostBinaryError),
    /// The Rust agent cannot be built.
    #[error(transparent)]
    Rust(#[from] StaticBuildError),
    /// The engine does not answer as it should.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine has not built the image.
    #[error("{error}")]
    Build {
        /// Why not.
        error: BuildError,
        /// The end of what the build said.
        said: String,
    },
    /// Rust agents are built for x86-64 and 64-bit ARM only.
    #[error("Rust agents are built for x86_64 and aarch64, and the Docker engine is {0}")]
    NoTarget(Architecture),
    /// The image is for another machine.
    #[error("the image was built for {image}, and the Docker engine is {engine}")]
    Architecture {
        /// What it is for.
        image: Architecture,
        /// What the engine is.
        engine: Architecture,
        /// What to do.
        hint: String,
    },
}

impl From<Invalid> for ImageError {
    fn from(invalid: Invalid) -> Self {
        Self::Configuration(invalid)
    }
}

/// What always works where an image does not.
const PROCESS: &str = "or run the agent without containers: `--sandbox process`";

impl From<ImageError> for CliError {
    fn from(error: ImageError) -> Self {
        let message = error.to_string();
        match error {
            ImageError::Configuration(invalid) => Self::invalid(Kind::Configuration, invalid),
            ImageError::Usage(invalid) => Self::invalid(Kind::Usage, invalid),
            ImageError::Write { source, .. } => Self::other(message)
                .caused_by(source)
                .hint("check the permissions of the folder and the space on the disk"),
            ImageError::Read { source, .. } => Self::other(message)
                .caused_by(source)
                .hint("check the permissions of the file"),
            ImageError::Rules(error) => error.into(),
            ImageError::Source(error) => source(&error),
            ImageError::Host(error) => error.into(),
            ImageError::Rust(error) => error.into(),
            ImageError::Engine(error) => engine(&error),
            ImageError::Build { error, said } => build(error, said),
            ImageError::NoTarget(_) => Self::new(Kind::Engine, message).hint(PROCESS),
            ImageError::Architecture { hint, .. } => {
                Self::new(Kind::Engine, message).hint(hint).hint(PROCESS)
            }
        }
    }
}

fn source(error: &ContextError) -> CliError {
    let hint = error.hint();
    let failed = CliError::other(error.to_string());
    let failed = match std::error::Error::source(error) {
        Some(cause) => failed.caused_by(cause.to_string()),
        None => failed,
    };
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

fn engine(error: &EngineError) -> CliError {
    let failed = CliError::new(Kind::Engine, error.to_string());
    let failed = match std::error::Error::source(error) {
        Some(cause) => failed.caused_by(cause.to_string()),
        None => failed,
    };
    match error.hint() {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

fn build(error: BuildError, said: String) -> CliError {
    let (message, hint) = (error.to_string(), error.hint());
    let failed = match error {
        BuildError::BaseImage { .. } => CliError::new(Kind::Engine, message),
        BuildError::DiskFull { .. } => CliError::new(Kind::Engine, message).details(said),
        BuildError::Context(cause) => CliError::other(message)
            .caused_by(cause)
            .hint("the agent's source must not change while it is sent"),
        BuildError::Engine(error) => return engine(&error),
        // What failed is the user's: a dependency, or a line of the Dockerfile.
        _ => CliError::other(message).details(said),
    };
    let is_engine = failed.kind() == Kind::Engine;
    let failed = match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    };
    if is_engine {
        failed.hint(PROCESS)
    } else {
        failed
    }
}
