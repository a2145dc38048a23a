//! What a front door is told before it starts: what a sandbox runs, how many there may be, and how long they live.
//!
//! Plain data. Whoever builds or finds the agent fills it in; nothing here decides how an agent is made ready.

mod container;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::event::EventSink;

pub use container::{ContainerRoot, ContainerSpec};

/// How one sandbox of the agent is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The kind of isolation, with what it needs.
    pub kind: SandboxKind,
}

impl From<ProcessSpec> for SandboxSpec {
    fn from(spec: ProcessSpec) -> Self {
        Self {
            kind: SandboxKind::Process(spec),
        }
    }
}

impl From<ContainerSpec> for SandboxSpec {
    fn from(spec: ContainerSpec) -> Self {
        Self {
            kind: SandboxKind::Container(Box::new(spec)),
        }
    }
}

/// The kinds of isolation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SandboxKind {
    /// A process of its own. It shares user, files and network with everything else: no security boundary.
    Process(ProcessSpec),
    /// A container of its own, with files, memory, processes and network of its own.
    Container(Box<ContainerSpec>),
}

/// A command line that serves the agent on the address given in `AGENTCORE_LISTEN`.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// The program, absolute or found on the `PATH` of `env`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// The folder that it runs in.
    pub cwd: PathBuf,
    /// Its whole environment. `HOME`, `TMPDIR`, `AGENTCORE_LISTEN`, `AGENTCORE_SANDBOX` and `AGENTCORE_OUTPUT` are set for
    /// each sandbox and win over entries here.
    pub env: BTreeMap<String, String>,
}

impl fmt::Debug for ProcessSpec {
    // Values may be credentials; the names are enough to find a mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            args,
            cwd,
            env,
        } = self;
        f.debug_struct("ProcessSpec")
            .field("program", program)
            .field("args", args)
            .field("cwd", cwd)
            .field("env", &env.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// How many sandboxes there may be, and how long each lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The largest number of sessions with a live sandbox; those that wait for a session do not count.
    pub max_sandboxes: usize,
    /// How many sandboxes are kept waiting for sessions to come. One is started before the front door is ready in any case;
    /// with 0 it waits for the first session, and no other does.
    pub spares: usize,
    /// A sandbox ends after this time without an open invocation and without background work.
    pub idle_timeout: Duration,
    /// A sandbox ends this long after its session began, whatever it does.
    pub max_lifetime: Duration,
    /// How long a sandbox may take to answer its first healthy ping.
    pub start_limit: Duration,
}

impl Limits {
    /// Returns how many sandboxes fit into the memory that is available now, at 256 MiB each: at least 16.
    pub fn default_max_sandboxes() -> usize {
        const EACH: u64 = 256 * 1024 * 1024;
        let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let available = System::new_with_specifics(memory).map_or(0, |system| {
            let cgroup = system.cgroup_limits().map(|it| it.free_memory);
            cgroup.unwrap_or(u64::MAX).min(system.available_memory())
        });
        usize::try_from(available / EACH).map_or(usize::MAX, |fitting| fitting.max(16))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_sandboxes: Self::default_max_sandboxes(),
            spares: 0,
            idle_timeout: Duration::from_mins(15),
            max_lifetime: Duration::from_hours(8),
            start_limit: Duration::from_mins(2),
        }
    }
}

/// Everything a [`FrontDoor`](crate::FrontDoor) is told.
#[derive(Clone)]
pub struct FrontDoorConfig {
    /// The agent's name; its runtime id is this name, or this name, `-` and anything.
    pub agent: String,
    /// The ARN that the agent is announced under.
    pub arn: String,
    /// Tells this front door from every other, earlier ones of the same agent included. Without `/`.
    pub instance: String,
    /// What a sandbox runs.
    pub spec: SandboxSpec,
    /// How many, and how long.
    pub limits: Limits,
    /// A folder for this front door alone, with a short path: it holds sockets, homes and temporary folders. Made private,
    /// emptied of what an earlier front door left there, and removed at the end.
    pub run_dir: PathBuf,
    /// The project and the agent in it, in one text: sandboxes that carry it and were started by another instance are
    /// orphans and are ended at the start.
    pub orphan_mark: String,
    /// Hears what happens.
    pub events: EventSink,
}

impl fmt::Debug for FrontDoorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            agent,
            arn,
            instance,
            spec,
            limits,
            run_dir,
            orphan_mark,
            events: _,
        } = self;
        f.debug_struct("FrontDoorConfig")
            .field("agent", agent)
            .field("arn", arn)
            .field("instance", instance)
            .field("spec", spec)
            .field("limits", limits)
            .field("run_dir", run_dir)
            .field("orphan_mark", orphan_mark)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_variables_and_hides_their_values() {
        let spec = SandboxSpec::from(ProcessSpec {
            program: "/bin/agent".into(),
            args: vec![],
            cwd: "/".into(),
            env: BTreeMap::from([("AWS_SECRET_ACCESS_KEY".into(), "hush".into())]),
        });
        let text = format!("{spec:?}");
        assert!(text.contains("AWS_SECRET_ACCESS_KEY"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn a_spec_survives_being_written_and_read() {
        let spec = SandboxSpec::from(ProcessSpec {
            program: "/bin/agent".into(),
            args: vec!["--flag".into()],
            cwd: "/tmp".into(),
            env: BTreeMap::from([("A".into(), "1".into())]),
        });
        let json = serde_json::to_value(&spec).unwrap();
        let read: SandboxSpec = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
    }

    #[test]
    fn at_least_sixteen_sandboxes_are_allowed() {
        assert!(Limits::default_max_sandboxes() >= 16);
    }
}
