//! Why no engine was found: everything that was tried, and why each of it failed.

use std::fmt;
use std::io;

pub use super::host::HostProblem;
use crate::error::Unreachable;
use crate::{Endpoint, EngineError};

/// Why no engine was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// Nothing was chosen, and no engine answers at any of the usual places.
    #[error("no Docker engine answers ({})", Summary(tried))]
    None {
        /// What was tried, in this order.
        tried: Vec<Tried>,
    },
    /// The engine that was chosen does not answer.
    #[error("the Docker engine of {origin} does not answer ({error})")]
    Chosen {
        /// What chose it: `DOCKER_HOST`, a context.
        origin: String,
        /// Why it does not answer; a part of the sentence, and so no source of it.
        error: EngineError,
    },
    /// The engine that was chosen cannot be used from here.
    #[error("{}", Sentence { origin, host, problem: *problem })]
    Unusable {
        /// What chose it.
        origin: String,
        /// The address, without a password.
        host: String,
        /// Why it cannot be used.
        problem: HostProblem,
    },
    /// The context that was chosen cannot be read.
    #[error("the Docker context `{name}` cannot be read")]
    Context {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// One place that was tried.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tried {
    /// Where.
    pub endpoint: Option<Endpoint>,
    /// Why there is no engine to be had.
    pub error: EngineError,
}

impl Tried {
    pub(super) fn of(error: EngineError) -> Self {
        let endpoint = match &error {
            EngineError::Unreachable { endpoint, .. }
            | EngineError::Silent { endpoint, .. }
            | EngineError::Foreign { endpoint, .. }
            | EngineError::Broken { endpoint, .. } => Some(endpoint.clone()),
            _ => None,
        };
        Self { endpoint, error }
    }

    fn is_missing(&self) -> bool {
        is_missing(&self.error)
    }
}

fn is_missing(error: &EngineError) -> bool {
    let EngineError::Unreachable { reason, .. } = error else {
        return false;
    };
    matches!(reason, Unreachable::Missing)
}

/// How a choice is undone.
const CHOOSE_ANOTHER: &str =
    "`unset DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY`, `docker context use default`";

impl FindError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::None { tried } => {
                // What is there and does not work is nearer to working than what is not there.
                let nearest = tried
                    .iter()
                    .find(|it| !it.is_missing())
                    .or_else(|| tried.first());
                nearest.and_then(|it| it.error.hint())
            }
            Self::Chosen { error, .. } if is_missing(error) => Some(format!(
                "start that engine, or choose another one: {CHOOSE_ANOTHER}"
            )),
            Self::Chosen { error, .. } => error.hint(),
            Self::Unusable {
                origin,
                problem: HostProblem::Malformed,
                ..
            } => Some(format!("write {origin} as `unix:///path/to/docker.sock`")),
            Self::Unusable { .. } => Some(format!(
                "choose an engine of this machine: {CHOOSE_ANOTHER}"
            )),
            Self::Context { .. } => {
                Some("`docker context ls` shows the contexts that there are".to_owned())
            }
        }
    }
}

/// All that was tried: what is there and does not work with its reason, what is not there as a list.
struct Summary<'a>(&'a [Tried]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, present): (Vec<_>, Vec<_>) = self.0.iter().partition(|it| it.is_missing());
        for (index, tried) in present.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}", tried.error)?;
        }
        if missing.is_empty() {
            return Ok(());
        }
        f.write_str(if present.is_empty() {
            "tried "
        } else {
            "; not there: "
        })?;
        for (index, endpoint) in missing
            .iter()
            .filter_map(|it| it.endpoint.as_ref())
            .enumerate()
        {
            let separator = if index == 0 { "" } else { ", " };
            match endpoint {
                Endpoint::Unix(path) => write!(f, "{separator}{}", path.display())?,
                Endpoint::Tcp(address) => write!(f, "{separator}{address}")?,
            }
        }
        Ok(())
    }
}

/// Why an address cannot be used, in a sentence.
struct Sentence<'a> {
    origin: &'a str,
    host: &'a str,
    problem: HostProblem,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origin,
            host,
            problem,
        } = self;
        match problem {
            HostProblem::Remote => write!(
                f,
                "{origin} names a Docker engine on another machine ({host}): the ports of its containers are not on this one"
            ),
            HostProblem::Tls => write!(
                f,
                "{origin} asks for TLS ({host}), which is not supported for Docker engines"
            ),
            HostProblem::Unsupported => {
                write!(
                    f,
                    "{origin} names an address that cannot be connected to on this system ({host})"
                )
            }
            HostProblem::Malformed => write!(
                f,
                "{origin} is not the address of a Docker engine (`{host}`)"
            ),
        }
    }
}
