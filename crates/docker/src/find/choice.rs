//! What was chosen: `DOCKER_HOST`, else `DOCKER_CONTEXT`, else the current context of the Docker configuration, else nothing.
//!
//! Contexts are folders that the docker command writes: `contexts/meta/<sha256 of the name>/meta.json`, and TLS material
//! beside it under `contexts/tls`.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::host::{self, HostProblem};
use super::{FindError, Surroundings};
use crate::Endpoint;
use crate::hex::sha256;

/// The context that means: whatever is there without a context.
const DEFAULT_CONTEXT: &str = "default";

/// What the surroundings say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// One engine and no other.
    Engine {
        /// Where it listens.
        endpoint: Endpoint,
        /// What chose it, for messages.
        origin: String,
    },
    /// Nothing was chosen.
    None,
}

/// Reads what was chosen.
pub(super) fn choose(surroundings: &Surroundings) -> Result<Choice, FindError> {
    if let Some(host) = given(surroundings.host.as_deref()) {
        return chosen("DOCKER_HOST".to_owned(), host, surroundings.tls_verify);
    }
    if let Some(name) = given(surroundings.context.as_deref()) {
        return context(
            name,
            format!("the context `{name}` of DOCKER_CONTEXT"),
            surroundings,
        );
    }
    if let Some(name) = surroundings.config_dir.as_deref().and_then(current_context) {
        return context(&name, format!("the current context `{name}`"), surroundings);
    }
    no_choice(surroundings)
}

fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

/// With `DOCKER_TLS_VERIFY` alone the docker command talks TLS to a port of this machine.
fn no_choice(surroundings: &Surroundings) -> Result<Choice, FindError> {
    if surroundings.tls_verify {
        return Err(FindError::Unusable {
            origin: "DOCKER_TLS_VERIFY".to_owned(),
            host: "tcp://localhost:2376".to_owned(),
            problem: HostProblem::Tls,
        });
    }
    Ok(Choice::None)
}

fn chosen(origin: String, host: &str, tls: bool) -> Result<Choice, FindError> {
    match host::parse(host, tls) {
        Ok(endpoint) => Ok(Choice::Engine { endpoint, origin }),
        Err(problem) => Err(FindError::Unusable {
            origin,
            host: host::shown(host),
            problem,
        }),
    }
}

fn context(name: &str, origin: String, surroundings: &Surroundings) -> Result<Choice, FindError> {
    if name == DEFAULT_CONTEXT {
        return no_choice(surroundings);
    }
    let unreadable = |source: io::Error| FindError::Context {
        name: name.to_owned(),
        source,
    };
    let dir = surroundings
        .config_dir
        .as_deref()
        .ok_or_else(|| unreadable(io::ErrorKind::NotFound.into()))?;
    let id = sha256(name);
    let text =
        fs::read(dir.join("contexts/meta").join(&id).join("meta.json")).map_err(unreadable)?;
    let meta: ContextMeta =
        serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))?;
    let docker = meta.endpoints.docker;
    let host = docker.as_ref().and_then(|it| given(it.host.as_deref()));
    let host = host.ok_or_else(|| {
        let problem = "it names no Docker endpoint";
        unreadable(io::Error::new(io::ErrorKind::InvalidData, problem))
    })?;
    let skips_verifying = docker.as_ref().is_some_and(|it| it.skip_tls_verify);
    let has_material = dir.join("contexts/tls").join(&id).join("docker").is_dir();
    chosen(origin, host, skips_verifying || has_material)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<DockerEndpoint>,
}

#[derive(Deserialize)]
struct DockerEndpoint {
    #[serde(rename = "Host")]
    host: Option<String>,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

/// The context that `docker context use` has written down.
///
/// A configuration that cannot be read counts as none: the docker command warns and goes on, too (a file that `sudo docker
/// login` left behind is the usual reason).
fn current_context(config_dir: &Path) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config {
        current_context: Option<String>,
    }
    let path = config_dir.join("config.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(path = %path.display(), %error, "the Docker configuration cannot be read");
            }
            return None;
        }
    };
    match serde_json::from_slice::<Config>(&text) {
        Ok(config) => config.current_context.filter(|name| !name.is_empty()),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the Docker configuration cannot be read");
            None
        }
    }
}
