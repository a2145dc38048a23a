//! The agent that a command is about: the one named with `--agent`, otherwise the project's default.

use crate::config::project::Project;
use crate::config::state::{AgentState, FOLDER};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::model::name::AgentName;
use crate::model::project::AgentConfig;
use crate::services::local::plan;
use crate::services::local::record::Places;

/// An agent of the project around the current folder.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// Its project.
    pub(crate) project: Project,
    /// Its name.
    pub(crate) name: AgentName,
    /// What a person decided about it.
    pub(crate) config: AgentConfig,
}

impl Chosen {
    /// Finds the project and the agent `named` in it.
    pub(crate) fn resolve(ctx: &Context, named: Option<&str>) -> Result<Self, CliError> {
        let project = Project::load_required(ctx)?;
        let (name, config) = project.agent(named)?;
        let (name, config) = (name.clone(), config.clone());
        Ok(Self {
            project,
            name,
            config,
        })
    }

    /// The files of its front door.
    pub(crate) fn places(&self) -> Places {
        places(&self.project, &self.name)
    }

    /// What its sandboxes are marked with.
    pub(crate) fn orphan_mark(&self) -> String {
        orphan_mark(&self.project, &self.name)
    }

    /// What launches and calls have left behind.
    pub(crate) fn state(&self) -> Result<AgentState, CliError> {
        Ok(self
            .project
            .state()
            .load()?
            .agent(&self.name)
            .cloned()
            .unwrap_or_default())
    }
}

/// The files of the front door of the agent `name`.
pub(crate) fn places(project: &Project, name: &AgentName) -> Places {
    Places::new(&project.root.join(FOLDER), name.as_str())
}

/// What the sandboxes of the agent `name` are marked with.
pub(crate) fn orphan_mark(project: &Project, name: &AgentName) -> String {
    // A project is the same one however its folder was reached.
    let root = project
        .root
        .canonicalize()
        .unwrap_or_else(|_| project.root.clone());
    plan::orphan_mark(&root, name.as_str())
}

/// The error of a command that was not told `--local`, for an agent that is deployed or not.
pub(crate) fn only_here(chosen: &Chosen, verb: &str) -> CliError {
    let failure = match chosen.state() {
        Err(error) => return error,
        Ok(state) if state.cloud.arn.is_some() => CliError::other(format!(
            "`agentcore {verb}` of a deployed agent is not part of this version"
        )),
        Ok(_) => CliError::new(Kind::NotFound, format!("`{}` is not deployed", chosen.name)),
    };
    failure.hint(format!(
        "add `--local` for the one on this machine: `agentcore {verb} --local`"
    ))
}
