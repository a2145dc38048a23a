//! `agentcore stop`: ends what runs of an agent, and returns when it is gone.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;

use super::chosen::{self, Chosen};
use crate::config::project::Project;
use crate::context::Context;
use crate::error::CliError;
use crate::services::local::record::Places;
use crate::services::local::stop::{self, StopError, Stopped};

/// What was typed after `stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct StopArgs {
    /// Stop this agent instead of the project's default
    #[arg(long, short, value_name = "NAME", conflicts_with = "all")]
    agent: Option<String>,
    /// Stop every agent of the project
    #[arg(long)]
    all: bool,
    /// Stop what runs on this machine
    #[arg(long, short)]
    local: bool,
}

/// One agent to stop.
struct Target {
    agent: String,
    places: Places,
    orphan_mark: String,
}

/// The result of `stop --local`.
#[derive(Debug, Serialize)]
struct StopReport {
    agents: Vec<StoppedAgent>,
}

#[derive(Debug, Serialize)]
struct StoppedAgent {
    agent: String,
    #[serde(flatten)]
    stopped: Stopped,
}

pub(crate) fn run(ctx: &Context, args: StopArgs) -> Result<ExitCode, CliError> {
    let targets = resolve(args, ctx)?;
    let agents = stop_all(targets)?;
    ctx.printer.report(&StopReport { agents })?;
    Ok(ExitCode::SUCCESS)
}

fn resolve(args: StopArgs, ctx: &Context) -> Result<Vec<Target>, CliError> {
    let StopArgs { agent, all, local } = args;
    if !local {
        return Err(chosen::only_here(
            &Chosen::resolve(ctx, agent.as_deref())?,
            "stop",
        ));
    }
    if !all {
        let chosen = Chosen::resolve(ctx, agent.as_deref())?;
        return Ok(vec![Target {
            agent: chosen.name.to_string(),
            places: chosen.places(),
            orphan_mark: chosen.orphan_mark(),
        }]);
    }
    let project = Project::load_required(ctx)?;
    let target = |name| Target {
        agent: ToString::to_string(name),
        places: chosen::places(&project, name),
        orphan_mark: chosen::orphan_mark(&project, name),
    };
    Ok(project.file.agents.keys().map(target).collect())
}

/// Stops all at the same time, and waits for all even if one fails.
fn stop_all(targets: Vec<Target>) -> Result<Vec<StoppedAgent>, CliError> {
    std::thread::scope(|scope| {
        let running: Vec<_> = targets
            .into_iter()
            .map(
                |Target {
                     agent,
                     places,
                     orphan_mark,
                 }| {
                    scope.spawn(move || {
                        let stopped = stop::stop(&places, &orphan_mark)?;
                        Ok(StoppedAgent { agent, stopped })
                    })
                },
            )
            .collect();
        let ended = running
            .into_iter()
            .map(|it| it.join().expect("stopping does not panic"));
        let ended: Vec<Result<_, StopError>> = ended.collect();
        ended
            .into_iter()
            .map(|it| it.map_err(CliError::from))
            .collect()
    })
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.agents.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for StoppedAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            agent,
            stopped: Stopped {
                was_running,
                orphans,
            },
        } = self;
        match (was_running, orphans) {
            (true, 0) => write!(f, "Stopped {agent}"),
            (false, 0) => write!(f, "{agent} did not run on this machine"),
            (true, count) => write!(
                f,
                "Stopped {agent}, and {count} processes that an earlier front door left behind"
            ),
            (false, count) => {
                write!(
                    f,
                    "{agent} did not run; stopped {count} processes that a killed front door left behind"
                )
            }
        }
    }
}
