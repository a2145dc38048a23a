//! What an engine is asked for: a container's name, labels, limits and rights.
//!
//! Text and numbers from a specification; nothing here speaks to an engine.

use std::collections::BTreeMap;

use agentcore_docker::{ContainerRequest, Engine};
use agentcore_protocol::SessionId;

use crate::sandbox::output::{MERGED, OUTPUT_VARIABLE};
use crate::spec::{ContainerRoot, ContainerSpec};

/// The project's folder.
const PROJECT_LABEL: &str = "agentcore.project";
/// The agent's name.
const AGENT_LABEL: &str = "agentcore.agent";
/// The session that the container was made for; empty if it was made before its session came.
const SESSION_LABEL: &str = "agentcore.session";
/// What tells the agent of one project from all others.
pub(super) const MARK_LABEL: &str = "agentcore.mark";
/// The front door's instance id.
pub(super) const INSTANCE_LABEL: &str = "agentcore.instance";
/// The sandbox's id within its front door.
pub(super) const SANDBOX_LABEL: &str = "agentcore.sandbox";
/// The network that the container is on.
pub(super) const NETWORK_LABEL: &str = "agentcore.network";

/// More processes and threads than any agent needs, and fewer than would hurt the machine.
const MOST_PROCESSES: u32 = 4096;

/// Of a part of a name that somebody chose, this much is kept, in characters.
const LONGEST_PART: usize = 64;

/// What all containers of one front door have in common.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) agent: String,
    /// The orphan mark.
    pub(super) mark: String,
    pub(super) instance: String,
    pub(super) spec: ContainerSpec,
}

impl Family {
    /// The name of the container of sandbox `id`, for people who list them.
    pub(super) fn name(&self, id: &str, session: Option<&SessionId>) -> String {
        let agent = part(&self.agent);
        let session = session.map_or("spare".to_owned(), |it| part(it.as_str()));
        let instance: String = part(&self.instance).chars().take(8).collect();
        format!("agentcore-{agent}-{session}-{instance}-{id}")
    }

    /// The labels by which the containers of this front door are found again.
    pub(super) fn own_labels(&self) -> BTreeMap<String, String> {
        labels([(MARK_LABEL, &self.mark), (INSTANCE_LABEL, &self.instance)])
    }

    /// The labels of what belongs to the project, whichever agent of it.
    pub(super) fn project_labels(&self) -> BTreeMap<String, String> {
        labels([(PROJECT_LABEL, &self.spec.project)])
    }

    /// The container of sandbox `id`, on the network with this id.
    pub(super) fn request(
        &self,
        engine: &Engine,
        (id, session): (&str, Option<&SessionId>),
        network: String,
    ) -> ContainerRequest {
        let Self { agent, spec, .. } = self;
        let mut labels = self.own_labels();
        labels.extend(self.project_labels());
        labels.extend(self::labels([
            (AGENT_LABEL, agent.as_str()),
            (SESSION_LABEL, session.map_or("", SessionId::as_str)),
            (SANDBOX_LABEL, id),
            (NETWORK_LABEL, &spec.network),
        ]));
        let generated = matches!(spec.root, ContainerRoot::ReadOnly { .. });
        ContainerRequest {
            name: self.name(id, session),
            image: spec.image.clone(),
            env: environment(spec),
            command: None,
            labels,
            port: spec.port,
            network: Some(network),
            cpus: Some(cpus(spec, engine.cpus())),
            memory: Some(memory(spec, engine.memory())),
            pids: Some(MOST_PROCESSES),
            read_only: generated,
            tmpfs: writable(&spec.root),
            // An image of the user's may bring an init of its own, which must be process 1.
            init: generated && engine.has_init(),
            drop_capabilities: true,
            no_new_privileges: true,
        }
    }
}

/// What containers may use of an engine with `available` bytes of memory.
pub(super) fn memory(spec: &ContainerSpec, available: u64) -> u64 {
    match available {
        // It does not say.
        0 => spec.memory,
        available => spec.memory.min(available),
    }
}

fn cpus(spec: &ContainerSpec, available: u32) -> f64 {
    spec.cpus
        .unwrap_or(ContainerSpec::CPUS)
        .min(f64::from(available.max(1)))
}

fn environment(spec: &ContainerSpec) -> BTreeMap<String, String> {
    let mut env = spec.env.clone();
    // Without it, AWS SDKs that find no credentials wait for a metadata service that is not there.
    env.entry("AWS_EC2_METADATA_DISABLED".to_owned())
        .or_insert_with(|| "true".to_owned());
    env.insert(OUTPUT_VARIABLE.to_owned(), MERGED.to_owned());
    if let ContainerRoot::ReadOnly { home, .. } = &spec.root {
        env.entry("HOME".to_owned()).or_insert_with(|| home.clone());
    }
    env
}

/// The folders that can be written to where everything else cannot. Programs may run from them: wheels are unpacked and
/// tools are installed there.
fn writable(root: &ContainerRoot) -> BTreeMap<String, String> {
    match root {
        ContainerRoot::ReadOnly { home, uid } => labels([
            ("/tmp", "rw,exec,nosuid,nodev,mode=1777"),
            (
                home,
                &format!("rw,exec,nosuid,nodev,mode=0700,uid={uid},gid={uid}"),
            ),
        ]),
        ContainerRoot::AsBuilt => BTreeMap::new(),
    }
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// What engines take as part of a name.
fn part(text: &str) -> String {
    let allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '.' | '-');
    let part = text.chars().take(LONGEST_PART);
    part.map(|it| if allowed(it) { it } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use agentcore_docker::Endpoint;

    use super::*;

    fn family(root: ContainerRoot) -> Family {
        Family {
            agent: "my_agent".into(),
            mark: "mark".into(),
            instance: "0123456789abcdef".into(),
            spec: ContainerSpec {
                endpoint: Endpoint::Unix("/var/run/docker.sock".into()),
                image: "sha256:0".into(),
                port: 8080,
                env: BTreeMap::from([("A".into(), "1".into())]),
                root,
                project: "/project".into(),
                network: "agentcore-project".into(),
                cpus: None,
                memory: ContainerSpec::MEMORY,
            },
        }
    }

    #[test]
    fn names_tell_agent_session_and_front_door() {
        let family = family(ContainerRoot::AsBuilt);
        assert_eq!(
            family.name("7", None),
            "agentcore-my_agent-spare-01234567-7"
        );
        let session: SessionId = "conversation-123".parse().unwrap();
        assert_eq!(
            family.name("7", Some(&session)),
            "agentcore-my_agent-conversation-123-01234567-7"
        );
    }

    #[test]
    fn names_have_only_what_engines_take() {
        let family = family(ContainerRoot::AsBuilt);
        let odd = format!("a b/c:é\u{1f600}{}", "x".repeat(300));
        let session: SessionId = http::HeaderValue::from_bytes(odd.as_bytes())
            .map(|it| SessionId::try_from(&it).unwrap())
            .unwrap();
        let name = family.name("7", Some(&session));
        assert!(name.starts_with("agentcore-my_agent-a-b-c-"), "{name}");
        assert!(name.ends_with("x-01234567-7"), "{name}");
        assert!(name.len() < 128, "{name}");
        let allowed = |it: char| it.is_ascii_alphanumeric() || "_.-".contains(it);
        assert!(name.chars().all(allowed), "{name}");
    }

    #[test]
    fn limits_are_cut_to_what_the_engine_has() {
        let mut spec = family(ContainerRoot::AsBuilt).spec;
        assert_eq!(memory(&spec, 4 << 30), 4 << 30);
        assert_eq!(memory(&spec, 64 << 30), 8 << 30);
        assert_eq!(memory(&spec, 0), 8 << 30);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(cpus(&spec, 1), 1.0) && near(cpus(&spec, 16), 2.0));
        spec.cpus = Some(0.5);
        assert!(near(cpus(&spec, 16), 0.5));
    }

    #[test]
    fn what_is_set_is_not_overruled() {
        let root = ContainerRoot::ReadOnly {
            home: "/home/agent".into(),
            uid: 10001,
        };
        let mut spec = family(root).spec;
        let env = environment(&spec);
        assert_eq!(env["AWS_EC2_METADATA_DISABLED"], "true");
        assert_eq!(
            (env["HOME"].as_str(), env["A"].as_str()),
            ("/home/agent", "1")
        );
        spec.env = BTreeMap::from([
            ("AWS_EC2_METADATA_DISABLED".into(), "false".into()),
            ("HOME".into(), "/data".into()),
        ]);
        let mut expected = spec.env.clone();
        // How it is read is the front door's own affair.
        expected.insert("AGENTCORE_OUTPUT".into(), "merged".into());
        assert_eq!(environment(&spec), expected);
    }

    #[test]
    fn only_generated_images_get_folders_of_their_own() {
        assert!(writable(&ContainerRoot::AsBuilt).is_empty());
        let folders = writable(&ContainerRoot::ReadOnly {
            home: "/home/agent".into(),
            uid: 10001,
        });
        let paths: Vec<_> = folders.keys().map(String::as_str).collect();
        assert_eq!(paths, ["/home/agent", "/tmp"]);
        assert!(folders["/home/agent"].contains("mode=0700,uid=10001,gid=10001"));
    }
}
