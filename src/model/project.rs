//! The project file, `.agentcore.yaml`: only what a person decides.
//!
//! There are no nulls. An absent key means *not decided here*; a default is asked for by writing it. Unknown keys are
//! errors. The order of keys here is the order in which the file is written.

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::authorizer::Authorizer;
use super::aws::{AccountId, EcrRepository, PolicyArn, PythonVersion, Region, Role};
use super::choices::{Build, Engine, Language, Permission, Protocol};
use super::entrypoint::Entrypoint;
use super::environment::Environment;
use super::image::ImageReference;
use super::lifecycle::Lifecycle;
use super::name::AgentName;
use super::network::Network;
use super::path::ProjectPath;
use super::request_headers::RequestHeaders;

/// What one project file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectFile {
    /// The version of the file's form.
    pub(crate) version: Version,
    /// The agent that is meant where none is named; a project of one agent needs none.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) default_agent: Option<AgentName>,
    /// The agents, in the order in which they are written.
    pub(crate) agents: IndexMap<AgentName, AgentConfig>,
}

/// What a person decided about one agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentConfig {
    /// Where its code is.
    pub(crate) entrypoint: Entrypoint,
    /// The folder that is built and sent.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) source: Option<ProjectPath>,
    /// What it is written in; absent, the entrypoint tells.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) language: Option<Language>,
    /// The Python of its image.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) python: Option<PythonVersion>,
    /// What serves it, if it is written in Python.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) engine: Option<Engine>,
    /// The file that lists its dependencies.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) dependencies: Option<ProjectPath>,
    /// The binary of a Rust package that has several.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) bin: Option<String>,
    /// What it speaks.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) protocol: Option<Protocol>,
    /// The environment variables it is given.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) environment: Option<Environment>,
    /// How its callers prove who they are.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) authorizer: Option<Authorizer>,
    /// The request headers that reach it.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) request_headers: Option<RequestHeaders>,
    /// How long its sessions idle and live.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) lifecycle: Option<Lifecycle>,
    /// How its image is built.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) image: Option<Image>,
    /// Where and as what it is deployed.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) aws: Option<Aws>,
}

impl AgentConfig {
    /// An agent of which nothing is decided but where its code is.
    pub(crate) fn new(entrypoint: Entrypoint) -> Self {
        Self {
            entrypoint,
            source: None,
            language: None,
            python: None,
            engine: None,
            dependencies: None,
            bin: None,
            protocol: None,
            environment: None,
            authorizer: None,
            request_headers: None,
            lifecycle: None,
            image: None,
            aws: None,
        }
    }
}

/// How an agent's image is built.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    /// The image that it starts from.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) base: Option<ImageReference>,
    /// A Dockerfile of the user's own.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) dockerfile: Option<ProjectPath>,
}

/// Where and as what an agent is deployed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aws {
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) region: Option<Region>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) account: Option<AccountId>,
    /// The role that the agent runs as.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) execution_role: Option<Role>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) ecr_repository: Option<EcrRepository>,
    /// The role that builds the image.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) codebuild_role: Option<Role>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) network: Option<Network>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) build: Option<Build>,
    /// What the role may do, where it is made by this program.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) permissions: Option<Vec<Permission>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) permissions_boundary: Option<PolicyArn>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) tags: Option<IndexMap<String, String>>,
}

/// The version of the file's form: 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "1" => Ok(Self),
            other => Err(serde::de::Error::custom(format!(
                "the version `{other}` of the project file is not known to this program, which knows version 1"
            ))),
        }
    }
}

/// Reads a value that must be one where its key is written: no nulls.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
