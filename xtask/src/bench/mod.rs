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
mod processes;
mod python;
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
    /// Requests a second of the Rust hello agent
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
    /// Requests a second of Python agents
    PythonRequests,
    /// Streams of Python agents, and their first events
    PythonStream,
    /// Pings while Python agents burn CPU
    PythonPing,
    /// Start of a Python agent to its first healthy ping
    PythonStart,
    /// Memory of Python agents, idle and after load
    PythonMemory,
    /// 10 MB there and back
    PythonBody,
}

impl Name {
    fn measure(self, bench: &Bench, report: &mut Report) -> Result<()> {
        match self {
            Self::Startup => startup::measure(bench, report),
            Self::Requests => requests::measure(bench, report),
            Self::Events => events::measure(bench, report),
            Self::AgentStart => agent_start::measure(bench, report),
            Self::Memory => memory::measure(bench, report),
            Self::Size => size::measure(report),
            Self::Ping => ping::measure(bench, report),
            Self::FirstByte => first_byte::measure(bench, report),
            Self::Container => container::measure(bench, report),
            Self::Context => context::measure(bench, report),
            Self::Stream => stream::measure(bench, report),
            Self::PythonRequests => python::requests(bench, report),
            Self::PythonStream => python::stream(bench, report),
            Self::PythonPing => python::ping(bench, report),
            Self::PythonStart => python::start(bench, report),
            Self::PythonMemory => python::memory(bench, report),
            Self::PythonBody => python::body(bench, report),
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
        let typed = name.to_possible_value();
        heading(typed.as_ref().map_or("", |it| it.get_name()));
        if let Err(Failed(reason)) = name.measure(&bench, &mut report) {
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
