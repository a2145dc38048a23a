//! Finding the engine that the docker command would use, and where none was chosen, one that answers.
//!
//! What was chosen by `DOCKER_HOST`, a context or the configuration is the only candidate: to run on another engine than the
//! one that was named would be a surprise. Nothing here reads the environment.

mod candidates;
mod choice;
mod error;
mod host;

use std::path::PathBuf;

pub use error::{FindError, HostProblem, Tried};

use crate::{Endpoint, Engine};
use choice::Choice;

/// What decides which engine is meant: the docker command's variables, and folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `DOCKER_HOST`.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub context: Option<String>,
    /// The folder of the Docker configuration: `DOCKER_CONFIG`, else `~/.docker`.
    pub config_dir: Option<PathBuf>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// Whether `DOCKER_TLS_VERIFY` is set and not empty.
    pub tls_verify: bool,
}

/// Finds an engine on this machine and connects to it.
///
/// # Errors
///
/// Fails if the chosen engine cannot be used, or, where none was chosen, if none answers. The error names all that was tried.
pub async fn find(surroundings: &Surroundings) -> Result<Engine, FindError> {
    let engine = match choice::choose(surroundings)? {
        Choice::Engine { endpoint, origin } => Engine::open(&endpoint)
            .await
            .map_err(|error| FindError::Chosen { origin, error })?,
        Choice::None => first_that_answers(candidates::of(surroundings)).await?,
    };
    Ok(engine.with_config_dir(surroundings.config_dir.clone()))
}

async fn first_that_answers(candidates: Vec<PathBuf>) -> Result<Engine, FindError> {
    let mut tried = Vec::new();
    for path in candidates {
        match Engine::open(&Endpoint::Unix(path)).await {
            Ok(engine) => return Ok(engine),
            Err(error) => tried.push(Tried::of(error)),
        }
    }
    Err(FindError::None { tried })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::net::UnixListener;

    use super::*;

    async fn sentence(folder: &Path, names: &[&str]) -> (String, Option<String>) {
        let candidates = names.iter().map(|name| folder.join(name)).collect();
        let error = first_that_answers(candidates).await.unwrap_err();
        let text = error.to_string().replace(folder.to_str().unwrap(), "/run");
        (text, error.hint())
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_was_tried_is_named_and_the_hint_is_for_what_is_nearest() {
        let folder = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(folder.path().join("dead")).unwrap());
        let _silent = UnixListener::bind(folder.path().join("silent")).unwrap();

        let (text, hint) = sentence(folder.path(), &["a", "dead", "b", "silent"]).await;
        assert_eq!(
            text,
            "no Docker engine answers (unix:///run/dead: nobody listens there; cannot ask the engine for its version: \
             the engine at unix:///run/silent did not answer within 10 s; not there: /run/a, /run/b)"
        );
        assert!(hint.unwrap().starts_with("is Docker running?"));

        let (text, hint) = sentence(folder.path(), &["a", "b"]).await;
        assert_eq!(text, "no Docker engine answers (tried /run/a, /run/b)");
        assert!(hint.unwrap().starts_with("install Docker"));
    }
}
