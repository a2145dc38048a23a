//! What a container sandbox runs: an image that exists on an engine, and what the container is told and allowed.
//!
//! Plain data that goes from one program to another; the image is built and chosen by whoever fills it in.

use std::collections::BTreeMap;
use std::fmt;

use agentcore_docker::Endpoint;
use serde::{Deserialize, Serialize};

/// An image that serves the agent on a port, and how its containers are made.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Where the engine listens that has the image.
    pub endpoint: Endpoint,
    /// The image's id.
    pub image: String,
    /// The port inside that the agent listens on, on all interfaces.
    pub port: u16,
    /// The environment, complete but for what the image itself sets. `AWS_EC2_METADATA_DISABLED=true` is added, and `HOME`
    /// where [`ContainerRoot::ReadOnly`] names it, unless they are set here; and `AGENTCORE_OUTPUT` in any case.
    pub env: BTreeMap<String, String>,
    /// What becomes of the image's files.
    pub root: ContainerRoot,
    /// The project's folder, for the label `agentcore.project`.
    pub project: String,
    /// The project's network, made if it is not there; containers on it do not reach each other.
    pub network: String,
    /// How many processors a container may use: [`CPUS`](Self::CPUS) if none is told, and never more than the engine has.
    pub cpus: Option<f64>,
    /// How much memory a container may use, in bytes; never more than the engine has.
    pub memory: u64,
}

impl ContainerSpec {
    /// The processors that the managed service gives to a session.
    pub const CPUS: f64 = 2.0;

    /// The memory that the managed service gives to a session, in bytes: 8 GB.
    pub const MEMORY: u64 = 8 * 1024 * 1024 * 1024;
}

/// What becomes of an image's files in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerRoot {
    /// They cannot be changed; `/tmp` and the home are writable and empty. For images that we generate.
    ReadOnly {
        /// The home of the image's user.
        home: String,
        /// The number of the image's user, which is also that of its group.
        uid: u32,
    },
    /// Everything is as the image says, process 1 included. For the user's own images.
    AsBuilt,
}

impl fmt::Debug for ContainerSpec {
    // Values may be credentials; the names are enough to find a mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint,
            image,
            port,
            env,
            root,
            project,
            network,
            cpus,
            memory,
        } = self;
        f.debug_struct("ContainerSpec")
            .field("endpoint", endpoint)
            .field("image", image)
            .field("port", port)
            .field("env", &env.keys().collect::<Vec<_>>())
            .field("root", root)
            .field("project", project)
            .field("network", network)
            .field("cpus", cpus)
            .field("memory", memory)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::SandboxSpec;

    fn spec(root: ContainerRoot) -> ContainerSpec {
        ContainerSpec {
            endpoint: Endpoint::Unix("/var/run/docker.sock".into()),
            image: "sha256:0".into(),
            port: 8080,
            env: BTreeMap::from([("AWS_SECRET_ACCESS_KEY".into(), "hush".into())]),
            root,
            project: "/home/user/project".into(),
            network: "agentcore-project".into(),
            cpus: None,
            memory: ContainerSpec::MEMORY,
        }
    }

    #[test]
    fn debug_output_names_variables_and_hides_their_values() {
        let text = format!("{:?}", SandboxSpec::from(spec(ContainerRoot::AsBuilt)));
        assert!(text.contains("AWS_SECRET_ACCESS_KEY"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn a_spec_survives_being_written_and_read() {
        let read_only = ContainerRoot::ReadOnly {
            home: "/home/agent".into(),
            uid: 10001,
        };
        for root in [read_only, ContainerRoot::AsBuilt] {
            let json = serde_json::to_string(&spec(root.clone())).unwrap();
            let read: ContainerSpec = serde_json::from_str(&json).unwrap();
            assert_eq!(read, spec(root));
        }
    }
}
