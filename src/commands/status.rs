//! `agentcore status`: what runs of an agent.

use std::fmt;
use std::process::ExitCode;

use agentcore_local::{SandboxStatus, StatusReport};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::chosen::{self, Chosen};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::services::local::ask;
use crate::services::local::record::{Presence, Record};
use crate::ui::log_lines::short_session;

/// What was typed after `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Ask about this agent instead of the project's default
    #[arg(long, short, value_name = "NAME")]
    agent: Option<String>,
    /// Ask about the agent that runs on this machine
    #[arg(long, short)]
    local: bool,
}

/// The result of `status --local`.
#[derive(Debug, Serialize)]
struct LocalStatus {
    agent: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    front_door: Option<FrontDoor>,
}

/// What the front door says about itself, without what is in [`LocalStatus`] already.
#[derive(Debug, Serialize)]
struct FrontDoor {
    pid: u32,
    started: u64,
    arn: String,
    instance: String,
    max_sandboxes: usize,
    /// Where its containers are, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    sandboxes: Vec<SandboxStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    NotRunning,
    Starting,
    Running,
}

pub(crate) fn run(ctx: &Context, args: StatusArgs) -> Result<ExitCode, CliError> {
    let StatusArgs { agent, local } = args;
    let chosen = Chosen::resolve(ctx, agent.as_deref())?;
    if !local {
        return Err(chosen::only_here(&chosen, "status"));
    }
    let report = look(&chosen)?;
    ctx.printer.report(&report)?;
    if report.state == State::NotRunning {
        ctx.printer.hint("start it with `agentcore launch --local`");
    }
    Ok(ExitCode::SUCCESS)
}

fn look(chosen: &Chosen) -> Result<LocalStatus, CliError> {
    let agent = chosen.name.to_string();
    let presence = chosen.places().look().map_err(|error| {
        CliError::other("cannot tell what runs on this machine").caused_by(error)
    })?;
    let without = |state| LocalStatus {
        agent: agent.clone(),
        state,
        address: None,
        front_door: None,
    };
    match presence {
        Presence::Absent | Presence::Stale(_) => Ok(without(State::NotRunning)),
        Presence::Starting => Ok(without(State::Starting)),
        Presence::Running(record) if !record.ready => Ok(LocalStatus {
            address: Some(record.base()),
            ..without(State::Starting)
        }),
        Presence::Running(record) => {
            let report = match ask(&record) {
                Ok(report) => report,
                Err(_) if ask::has_died(&chosen.places()).is_ok_and(|it| it) => {
                    return Ok(without(State::NotRunning));
                }
                Err(error) => return Err(error),
            };
            let StatusReport {
                instance,
                agent: _,
                arn,
                pid,
                started,
                max_sandboxes,
                sandboxes,
            } = report;
            let front_door = FrontDoor {
                pid,
                started,
                arn,
                instance,
                max_sandboxes,
                engine: record.engine.as_ref().map(ToString::to_string),
                sandboxes,
            };
            Ok(LocalStatus {
                address: Some(record.base()),
                front_door: Some(front_door),
                ..without(State::Running)
            })
        }
    }
}

fn ask(record: &Record) -> Result<StatusReport, CliError> {
    let base = record.base();
    match ask::ask(record) {
        Ok(Some(report)) => Ok(report),
        Ok(None) => Err(CliError::other(format!(
            "what answers at {base} is not this project's front door"
        ))
        .hint("run the command on the machine or in the container that launched it")),
        Err(error) => Err(CliError::new(
            Kind::TimedOut,
            format!("the front door at {base} does not answer"),
        )
        .caused_by(error)
        .hint("end it with `agentcore stop --local`")),
    }
}

impl fmt::Display for LocalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            agent,
            state,
            address,
            front_door,
        } = self;
        match (state, address) {
            (State::NotRunning, _) => write!(f, "{agent} does not run on this machine"),
            (State::Starting, None) => write!(f, "{agent} is being started"),
            (State::Starting, Some(address)) => write!(f, "{agent} is being started at {address}"),
            (State::Running, address) => {
                write!(
                    f,
                    "{agent} runs at {}",
                    address.as_deref().unwrap_or_default()
                )?;
                front_door.as_ref().map_or(Ok(()), |it| it.fmt(f))
            }
        }
    }
}

impl fmt::Display for FrontDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid,
            started,
            arn,
            instance: _,
            max_sandboxes,
            engine,
            sandboxes,
        } = self;
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        writeln!(f, " (process {pid}, for {})", ago(now, *started))?;
        writeln!(f, "{arn}")?;
        let taken = sandboxes.iter().filter(|it| it.session.is_some()).count();
        write!(f, "{taken} of at most {max_sandboxes} sessions")?;
        if let Some(engine) = engine {
            write!(f, ", each in a container of the engine at {engine}")?;
        }
        for SandboxStatus {
            id,
            session,
            state,
            invocations,
            open,
            busy,
            last_used,
            container,
            ..
        } in sandboxes
        {
            let name = match session {
                Some(session) => short_session(session.as_str()).to_owned(),
                None => format!("(sandbox {id}, waits for a session)"),
            };
            let plural = if *invocations == 1 { "" } else { "s" };
            write!(f, "\n  {name}: {state}, {invocations} invocation{plural}")?;
            if let Some(container) = container {
                write!(f, ", container {container}")?;
            }
            if *open > 0 {
                write!(f, ", {open} open")?;
            }
            if *busy {
                f.write_str(", works in the background")?;
            }
            if let Some(last) = last_used {
                write!(f, ", last used {} ago", ago(now, *last))?;
            }
        }
        Ok(())
    }
}

/// The time from `then` to `now`, in words as short as `3m 12s`.
fn ago(now: u64, then: u64) -> String {
    let seconds = i64::try_from(now.saturating_sub(then)).unwrap_or_default();
    format!("{:#}", SignedDuration::from_secs(seconds))
}
