//! `agentcore stop`: ends what runs of an agent, and returns when it is gone.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;

use super::chosen::{self, Chosen};
use crate::config::project::Project;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::services::local::orphans::Unseen;
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
    let report = StopReport { agents };
    ctx.printer.report(&report)?;
    let mut code = ExitCode::SUCCESS;
    for StoppedAgent { agent, stopped } in &report.agents {
        for Unseen { engine, reason } in &stopped.unseen {
            let what = format!(
                "containers of `{agent}` may be left on the Docker engine at {engine}: {reason}"
            );
            ctx.printer.warn(&what);
            code = ExitCode::from(Kind::Engine.code());
        }
    }
    if code != ExitCode::SUCCESS {
        ctx.printer
            .hint("start that engine and run the command again");
    }
    Ok(code)
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
            stopped:
                Stopped {
                    was_running,
                    orphans,
                    orphan_containers,
                    unseen: _,
                },
        } = self;
        let orphans = [
            (*orphans, "process", "es"),
            (*orphan_containers, "container", "s"),
        ];
        let left: Vec<String> = orphans
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, noun, plural)| {
                let plural = if count == 1 { "" } else { plural };
                format!("{count} {noun}{plural}")
            })
            .collect();
        let left = left.join(" and ");
        match (was_running, left.as_str()) {
            (true, "") => write!(f, "Stopped {agent}"),
            (false, "") => write!(f, "{agent} did not run on this machine"),
            (true, left) => write!(
                f,
                "Stopped {agent}, and {left} that an earlier front door left behind"
            ),
            (false, left) => write!(
                f,
                "{agent} did not run; stopped {left} that a killed front door left behind"
            ),
        }
    }
}
