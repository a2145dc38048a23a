//! Everything that a front door needs to know, made ready by `launch`; as JSON it goes to a background program over its
//! stdin, so that no value of an environment is ever part of a command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use agentcore_local::{Limits, SandboxSpec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::record::Places;

/// Where to listen when nothing else is said: the first free one is taken.
pub(crate) const DEFAULT_PORTS: std::ops::RangeInclusive<u16> = 8080..=8099;
/// The only host that a front door listens on.
pub(crate) const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The longest folder under which the sockets of sandboxes have paths that every system takes, in bytes.
const LONGEST_TEMP_DIR: usize = 64;

/// What a front door is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The agent's name.
    pub(crate) agent: String,
    /// The ARN that it is served under.
    pub(crate) arn: String,
    /// This front door, told from every other.
    pub(crate) instance: String,
    /// What a sandbox runs.
    pub(crate) spec: SandboxSpec,
    /// How many sandboxes, and how long they live.
    pub(crate) limits: Limits,
    /// Where to listen.
    pub(crate) port: Port,
    /// Its files in the project.
    pub(crate) places: Places,
    /// The project and the agent in it, to find what an earlier front door left behind.
    pub(crate) orphan_mark: String,
    /// Where the private folder is made.
    pub(crate) temp_dir: PathBuf,
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Port {
    /// This one or none.
    Only(u16),
    /// This one if it is free, otherwise the first free one of [`DEFAULT_PORTS`].
    Preferably(u16),
    /// The first free one of [`DEFAULT_PORTS`].
    FirstFree,
}

impl Port {
    /// The ports to try, in order.
    pub(crate) fn candidates(self) -> Vec<u16> {
        match self {
            Self::Only(port) => vec![port],
            Self::Preferably(port) => std::iter::once(port).chain(DEFAULT_PORTS).collect(),
            Self::FirstFree => DEFAULT_PORTS.collect(),
        }
    }
}

/// A name for one front door that no other has.
pub(crate) fn new_instance() -> String {
    Uuid::new_v4().simple().to_string()
}

/// What tells the agent of one project from all others on this machine.
pub(crate) fn orphan_mark(project: &Path, agent: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(project.as_os_str().as_encoded_bytes());
    digest.update(b"\n");
    digest.update(agent.as_bytes());
    hex(digest)
}

/// The network that the containers of one project are on.
pub(crate) fn network(project: &Path) -> String {
    let mut digest = Sha256::new();
    digest.update(project.as_os_str().as_encoded_bytes());
    format!("agentcore-{}", &hex(digest)[..12])
}

/// The first half of a digest.
fn hex(digest: Sha256) -> String {
    let digest: [u8; 32] = digest.finalize().into();
    let (first, _) = digest
        .split_first_chunk()
        .expect("a digest has more than 16 bytes");
    format!("{:032x}", u128::from_be_bytes(*first))
}

/// The ARN under which this machine serves `agent`: the shape of a real one, with an id that no real one has.
pub(crate) fn local_arn(region: &str, account: &str, agent: &str) -> String {
    format!("arn:aws:bedrock-agentcore:{region}:{account}:runtime/{agent}-localagent")
}

/// The folder for short-lived files: the system's, unless its path is too long for the sockets in it.
pub(crate) fn temp_dir(system: PathBuf) -> PathBuf {
    if system.as_os_str().len() <= LONGEST_TEMP_DIR {
        system
    } else {
        "/tmp".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_port_is_the_only_one_tried() {
        assert_eq!(Port::Only(9000).candidates(), [9000]);
        assert_eq!(Port::FirstFree.candidates().first(), Some(&8080));
        assert_eq!(Port::FirstFree.candidates().last(), Some(&8099));
        assert_eq!(Port::Preferably(8085).candidates()[..2], [8085, 8080]);
    }

    #[test]
    fn a_mark_is_the_same_for_one_agent_of_one_project_only() {
        let mark = |project: &str, agent| orphan_mark(Path::new(project), agent);
        assert_eq!(mark("/p", "a"), mark("/p", "a"));
        assert_ne!(mark("/p", "a"), mark("/p", "b"));
        assert_ne!(mark("/p", "a"), mark("/q", "a"));
    }

    #[test]
    fn the_agents_of_a_project_share_a_network_that_no_other_project_has() {
        let name = network(Path::new("/p"));
        assert_eq!(name, network(Path::new("/p")));
        assert_ne!(name, network(Path::new("/q")));
        let digits = name
            .strip_prefix("agentcore-")
            .expect("it says whose it is");
        assert_eq!(digits.len(), 12);
    }

    #[test]
    fn a_long_temporary_folder_is_not_used() {
        assert_eq!(temp_dir("/var/tmp".into()), Path::new("/var/tmp"));
        assert_eq!(
            temp_dir(format!("/{}", "x".repeat(64)).into()),
            Path::new("/tmp")
        );
    }
}
