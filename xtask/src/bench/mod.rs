//! `cargo xtask bench`: measurements beside the peers, in one run on one machine.
//!
//! Ours and the peer take turns, round by round, so that a noisy machine disturbs both; what counts is the ratio.
//! Nothing here passes or fails by time: a person reads the table, and keeps the JSON.

mod agent_start;
mod container;
mod context;
mod events;
mod first_byte;
mod memory;
mod ping;
mod report;
mod requests;
mod server;
mod size;
mod startup;
mod stream;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use serde_json::Value;

use crate::sh::{Cmd, Failed, Result, agent_builds, heading, say, target_dir, text};
use report::Report;
use server::Server;

/// The arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Measure only these
    #[arg(value_enum, value_name = "NAME")]
    names: Vec<Name>,
    /// How often ours and the peer take turns
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long one measurement of requests a second lasts
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Write every sample to FILE too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Take the programs from FOLDER instead of building them
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// One group of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Start of the command line beside an empty program
    Startup,
    /// Requests a second of the hello agents
    Requests,
    /// Events a second of a streaming Rust agent, and its first event
    Events,
    /// Start of the Rust hello agent to its first healthy ping
    AgentStart,
    /// Resident memory of Rust agents, idle and with 10,000 sessions
    Memory,
    /// Size of the static program of the Rust hello agent
    Size,
    /// Pings while streams are open, threads are blocked, handlers burn
    Ping,
    /// From a new session id to the first byte of its answer
    FirstByte,
    /// New sessions in containers, and `invoke` beside curl
    Container,
    /// A build context of 20,000 small files
    Context,
    /// A stream of 20,000 events, decoded
    Stream,
}

impl Name {
    /// As it is typed.
    fn text(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Requests => "requests",
            Self::Events => "events",
            Self::AgentStart => "agent-start",
            Self::Memory => "memory",
            Self::Size => "size",
            Self::Ping => "ping",
            Self::FirstByte => "first-byte",
            Self::Container => "container",
            Self::Context => "context",
            Self::Stream => "stream",
        }
    }
}

/// What every group needs.
struct Bench {
    rounds: u32,
    seconds: f64,
    programs: PathBuf,
}

impl Bench {
    /// The program `name`, which must have been built.
    fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.programs.join(name);
        if path.is_file() {
            Ok(path)
        } else {
            Err(Failed(format!("{} is not there", path.display())))
        }
    }

    /// Our program in the folder of a project.
    fn agentcore(&self, project: &Path) -> Result<Cmd> {
        let command = Cmd::new(self.program("agentcore")?).dir(project);
        Ok(command.env("CARGO_TARGET_DIR", agent_builds()?))
    }

    /// What the load generator tells.
    fn load(&self, line: &str, server: &Server, body: &str) -> Result<Value> {
        let output = Cmd::new(self.program("bench-load")?)
            .words(line)
            .args(["--url", &server.url(), "--body", body])
            .output()?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            Failed(format!(
                "`bench-load {line}` failed: {}",
                text(&output.stderr).trim()
            ))
        })
    }

    /// Says that a round begins: a measurement takes minutes, and silence looks like a hang.
    fn round(&self, round: u32) {
        say(&format!("round {} of {}", round + 1, self.rounds));
    }
}

/// Measures, prints the tables, and fails if a group could not be measured.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let programs = match &args.programs {
        Some(folder) => folder
            .canonicalize()
            .map_err(|error| Failed(format!("{}: {error}", folder.display())))?,
        None => build()?,
    };
    let bench = Bench {
        rounds: args.rounds.max(1),
        seconds: args.seconds,
        programs,
    };
    let wanted = |name: &&Name| args.names.is_empty() || args.names.contains(name);
    let mut report = Report::new();
    for &name in Name::value_variants().iter().filter(wanted) {
        heading(name.text());
        let measured = match name {
            Name::Startup => startup::measure(&bench, &mut report),
            Name::Requests => requests::measure(&bench, &mut report),
            Name::Events => events::measure(&bench, &mut report),
            Name::AgentStart => agent_start::measure(&bench, &mut report),
            Name::Memory => memory::measure(&bench, &mut report),
            Name::Size => size::measure(&mut report),
            Name::Ping => ping::measure(&bench, &mut report),
            Name::FirstByte => first_byte::measure(&bench, &mut report),
            Name::Container => container::measure(&bench, &mut report),
            Name::Context => context::measure(&bench, &mut report),
            Name::Stream => stream::measure(&bench, &mut report),
        };
        if let Err(Failed(reason)) = measured {
            say(&format!("Not measured: {reason}"));
            report.missed(reason);
        }
    }
    heading("results: ratio of ours to the peer's, then median (minimum to maximum)");
    say(&report.to_string());
    if let Some(file) = &args.json {
        write_json(file, &report)?;
    }
    report.complete()
}

/// A number in what the load generator tells.
fn number(told: &Value, name: &str) -> Result<f64> {
    told[name]
        .as_f64()
        .ok_or_else(|| Failed(format!("the load generator tells no `{name}`: {told}")))
}

fn build() -> Result<PathBuf> {
    heading("build");
    Cmd::cargo("build --release --workspace --locked").run()?;
    Ok(target_dir()?.join("release"))
}

fn write_json(file: &Path, report: &Report) -> Result<()> {
    fs::write(file, format!("{:#}\n", report.to_json()))
        .map_err(|error| Failed(format!("{}: {error}", file.display())))
}
